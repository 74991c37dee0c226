"""Scripts as files: what they may say, and what is said of those that are wrong."""

from pathlib import Path

import pytest

from nportpy.errors import ConfigError
from nportpy.simulator.faults import BadCheck, Delay, Junk, Place, Rule, Script, Where
from nportpy.simulator.lines import duration, ranges
from nportpy.simulator.script import KINDS, load, parse

WHOLE = b"""
seed = 7

[[fault]]
kind = "delay"
delay = "20ms"
units = "3,5-9"
functions = 3
addresses = "1000-1127"
every = 10

[[fault]]
kind = "junk"
place = "after"
data = "00 FF"
times = 2
gap = "1.5s"
share = 0.25
limit = 4

[[fault]]
kind = "bad-crc"
"""


def test_a_whole_script(tmp_path: Path) -> None:
    path = tmp_path / "script.toml"
    path.write_bytes(WHOLE)
    delay = Where((range(3, 4), range(5, 10)), (range(3, 4),), (range(1000, 1128),), 10)
    junk = Junk(Place.AFTER, b"\x00\xff", 2, gap=1.5)
    assert load(str(path)) == Script(
        (Rule(Delay(0.02), delay), Rule(junk, Where(share=0.25, limit=4)), Rule(BadCheck())), 7
    )


def test_an_empty_one() -> None:
    assert parse(b"") == Script()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_with_what_it_needs(kind: str) -> None:
    needs = {"delay": 'delay = "1ms"', "pause": 'pause = "1ms"'}.get(kind, "")
    (rule,) = parse(f'[[fault]]\nkind = "{kind}"\n{needs}'.encode()).rules
    assert type(rule.fault) is KINDS[kind][0]


def test_every_key_of_every_kind_is_a_field() -> None:
    for make, takes in KINDS.values():
        assert set(takes) == set(make.__dataclass_fields__)


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("seed = 1.5", "seed", "integer"),
        ("fault = 3", "fault", "tables"),
        ("noise = 3", "noise", "seed, fault"),
        ("[[fault]]", "fault[0].kind", "missing"),
        ('[[fault]]\nkind = "none"', "fault[0].kind", '"delay"'),
        ('[[fault]]\nkind = "delay"', "fault[0].delay", "missing"),
        ('[[fault]]\nkind = "delay"\ndelay = 3', "fault[0].delay", "20ms"),
        ('[[fault]]\nkind = "missing"\ndelay = "1s"', "fault[0].delay", "units"),
        ('[[fault]]\nkind = "missing"\nunits = "0"', "fault[0].units", "1 to 247"),
        ('[[fault]]\nkind = "missing"\nunits = "9-5"', "fault[0].units", "3,5-9"),
        ('[[fault]]\nkind = "missing"\nunits = true', "fault[0].units", "3,5-9"),
        ('[[fault]]\nkind = "missing"\nshare = 2', "fault[0].share", "0 to 1"),
        ('[[fault]]\nkind = "missing"\nevery = 0', "fault[0].every", "1 to"),
        ('[[fault]]\nkind = "junk"\ndata = "0"', "fault[0].data", "hexadecimal"),
        ('[[fault]]\nkind = "junk"\nplace = "there"', "fault[0].place", '"inside"'),
        ('[[fault]]\nkind = "wrong-count"\ndata = 1', "fault[0].data", "true or false"),
        ("=", "", "not TOML"),
        ("\N{DEGREE SIGN}".encode("latin-1"), "", "not TOML"),
    ],
)
def test_faults_are_named(text: str | bytes, key: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text if isinstance(text, bytes) else text.encode(), "x.toml")
    (fault,) = caught.value.faults
    assert caught.value.source == "x.toml"
    assert fault.key == key
    assert words in f"{fault.reason} {fault.allowed}"


def test_all_faults_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse(b'seed = "x"\n[[fault]]\nkind = "delay"\nunits = "x"\n[[fault]]\nkind = "x"')
    assert [fault.key for fault in caught.value.faults] == [
        "seed",
        "fault[0].units",
        "fault[0].delay",
        "fault[1].kind",
    ]


def test_amounts() -> None:
    assert [duration(text) for text in ("16ms", "1.5s", "250us", "0ms")] == [0.016, 1.5, pytest.approx(0.00025), 0]
    assert ranges("1-3, 9", 1, 247) == (range(1, 4), range(9, 10))
    for wrong in ("", "1-", "a", "-1", "1,,2"):
        with pytest.raises(ValueError, match="ranges"):
            ranges(wrong, 0, 9)

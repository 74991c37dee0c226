"""Bad configurations by the dozen, with what is said of each, word for word: test_config_faults*.txt."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from nportpy.config import fault_lines, load, parse
from nportpy.config.collect_build import _KNOWN as COLLECT
from nportpy.config.collect_tables import CollectFile
from nportpy.config.faults import GATEWAY, Known
from nportpy.config.schema import File
from nportpy.errors import ConfigError, Fault

CASES = [
    (title, toml, messages.strip().splitlines())
    for title, toml, messages in re.findall(
        r"^=== (.*?)\n(.*?)^---\n(.*?)(?=^=== |\Z)",
        "\n".join(file.read_text() for file in sorted(Path(__file__).parent.glob("test_config_faults*.txt"))),
        re.MULTILINE | re.DOTALL,
    )
]


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, "f")
    return fault_lines(caught.value)


def test_there_are_dozens() -> None:
    assert len(CASES) > 100
    assert len({title for title, _, _ in CASES}) == len(CASES)


@pytest.mark.parametrize(("toml", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_fault(toml: str, expected: list[str]) -> None:
    assert faults(toml) == expected


@pytest.mark.parametrize(("toml", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_no_word_of_pydantic(toml: str, expected: list[str]) -> None:
    words = " ".join(faults(toml)).lower()
    assert not re.search(
        r"pydantic|input should|validat|\bextra\b|\bdict\b|\bnone\b(?! of)(?!\")|tuple|nonetype", words
    )


def test_everything_that_is_wrong_is_said_at_once_in_the_order_of_lines() -> None:
    text = """\
gatway.name = "x"
[port.meters]
device = "/dev/ttyS0"
format = "8X1"
[port.meters.raw]
listen = 4001
alive_check = 7
[port.plc]
raw.listen = 4001
[http]
allow = []
"""
    starts = [line.split(" = ")[0] for line in faults(text)]
    assert starts == [
        "f:1: gatway",
        "f:4: port.meters.format",
        "f:7: port.meters.raw.alive_check",
        "f:8: port.plc.device: is missing (allowed: a line such as device",
        "f:9: port.plc.raw.listen",
        "f:11: http.allow",
    ]


def test_a_fault_is_a_value() -> None:
    with pytest.raises(ConfigError) as caught:
        parse('[port.a]\ndevice = "/dev/ttyS0"\nbaudrate = 0\n', "f")
    assert caught.value.source == "f"
    assert caught.value.faults == (
        Fault(key="port.a.baudrate", reason="is out of range", value="0", allowed="1 to 2147483647", line=3),
    )


KNOWN = "gateway, http, capture, log, discovery, mdns, port, modbus, archive, station, upstream, tls"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = " + "[" * 5000, "f: is nested too deep"),
        ("x = " + "9" * 5000, "f: has a number that is too long"),
        ("# \ud800", "f: is not UTF-8 text"),
        (
            "x = 0x" + "9" * 5000,
            f"f:1: x = 0x{'9' * 75}...: is not a key of the file (allowed: {KNOWN})",
        ),
        (
            "x = " + "[" * 200 + "]" * 200,
            f"f:1: x = [[[...]]]: is not a key of the file (allowed: {KNOWN})",
        ),
    ],
    ids=["brackets", "a long number", "a lone surrogate", "a long number, hexadecimal", "brackets that end"],
)
def test_what_would_break_a_parser(text: str, expected: str) -> None:
    assert expected in faults(text)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"# x\n\xff\n", ":2: is not UTF-8 text"),
        (b"#" * (1 << 20) + b"\n", ": is larger than 1MiB"),
        (b"\x00", ":1: is not TOML: has a character that nobody sees, control character 00"),
    ],
)
def test_files_that_are_no_text(tmp_path: Path, content: bytes, expected: str) -> None:
    file = tmp_path / "x.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(str(file))
    assert fault_lines(caught.value)[0] == f"{file}{expected}"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path, reason in ((tmp_path, "Is a directory"), (tmp_path / "x", "No such file or directory")):
        with pytest.raises(ConfigError) as caught:
            load(str(path))
        assert fault_lines(caught.value) == [f"{path}: cannot be read: {reason}"]


def test_a_link_to_a_device_is_that_device(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/ttyS0")
    text = f'[port.a]\ndevice = "/dev/ttyS0"\n[port.b]\ndevice = "{tmp_path}/link"\n'
    reason = 'is the same device as "/dev/ttyS0", port.a.device, line 2 (allowed: a device of its own)'
    assert faults(text) == [f'f:4: port.b.device = "{tmp_path}/link": {reason}']


def tables(of: Any) -> Iterator[type[BaseModel]]:
    """The models in a type, and those in their fields."""
    if isinstance(of, type) and issubclass(of, BaseModel):
        yield of
        for each in of.model_fields.values():
            yield from tables(each.annotation)
    for each in get_args(of):
        yield from tables(each)


@pytest.mark.parametrize(("file", "known"), [(File, GATEWAY), (CollectFile, COLLECT)], ids=["gateway", "collect"])
def test_every_key_that_may_be_missing_has_an_example(file: type[BaseModel], known: Known) -> None:
    required = {name for table in tables(file) for name, each in table.model_fields.items() if each.is_required()}
    assert required <= known.examples.keys()


def test_a_station_without_what_it_needs() -> None:
    said = faults('[station.emon]\nport = "p1"\nunit = 1\n[[station.emon.tags]]\nread = "41001"\n')
    assert any("station.emon.every: is missing" in each for each in said)
    assert any(".name: is missing" in each for each in said)

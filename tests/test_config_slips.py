"""What people write who know other programs and other languages, and the next word to type: test_config_slips.txt.

The ids are those of the findings: a13 is what is not TOML, a14 the words of other servers, a15 values that nearly fit.
"""

import re
import tomllib
from pathlib import Path

import pytest

from nportpy.config import fault_lines, parse
from nportpy.config.slips import MOST_SLIPS, slips
from nportpy.errors import ConfigError

CASES = re.findall(
    r"^=== (a\d+) (.*?)\n(.*?)^---\n(.*?)(?=^=== |\Z)",
    Path(__file__).with_suffix(".txt").read_text(),
    re.MULTILINE | re.DOTALL,
)


def cases(row: str) -> pytest.MarkDecorator:
    rows = [case for case in CASES if case[0] == row]
    return pytest.mark.parametrize(("toml", "expected"), [case[2:] for case in rows], ids=[case[1] for case in rows])


def faults(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, "f")
    return fault_lines(caught.value)


def test_there_are_more_than_forty() -> None:
    assert len(CASES) > 70


@cases("a13")
def test_a13_a_slip_is_shown_with_its_line_a_caret_and_the_remedy(toml: str, expected: str) -> None:
    assert faults(toml) == expected.rstrip().split("\n")


@cases("a14")
def test_a14_words_of_other_servers_lead_to_ours(toml: str, expected: str) -> None:
    assert faults(toml) == expected.rstrip().split("\n")


@cases("a15")
def test_a15_a_value_that_nearly_fits_has_the_next_word_to_type(toml: str, expected: str) -> None:
    assert faults(toml) == expected.rstrip().split("\n")


@cases("a13")
def test_a13_every_remedy_is_toml_and_keeps_the_numbers_of_the_lines(toml: str, expected: str) -> None:
    found, meant = slips(toml)
    if meant is None:
        return
    assert meant.count("\n") == toml.count("\n")
    tomllib.loads(meant)
    for fault in found:
        assert fault.allowed
        assert fault.excerpt in toml


def test_a13_remedies_that_are_followed_leave_no_slip() -> None:
    text = "[port.p1]\ndevice = /dev/ttyS0\nformat: 8N1;\nexclusive = True\n[port.p1.raw\nlisten = 0.0.0.0:4001,\n"
    _, meant = slips(text)
    assert meant is not None
    assert parse(meant, "f").ports[0].port.device == "/dev/ttyS0"


def test_a13_a_file_of_slips_ends_somewhere() -> None:
    found, meant = slips("x = (\n" * 10 + "? ? ?\n" * 10000)
    assert meant is None
    assert len(found) == MOST_SLIPS + 1
    assert found[-1].reason == f"has more than {MOST_SLIPS} lines that are not TOML"


def test_a13_a_long_line_is_shown_around_the_place() -> None:
    allow = ", ".join(f'"10.0.{number}.0/24"' for number in range(40))
    line, excerpt, caret = faults(f"[gateway]\nallow = [{allow}, 10.1.0.0/16]\n[port.a]\ndevice = '/dev/ttyS0'\n")
    assert line.startswith("f:2: is not TOML: a text stands in quotes")
    assert len(excerpt) <= 104
    assert excerpt[caret.index("^") :].startswith("10.1.0.0/16")


def test_a13_the_log_has_one_line_for_each_fault() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("[port.a]\ndevice = /dev/ttyS0\nbaud: 9600\n", "f")
    assert [line[:4] for line in fault_lines(caught.value, excerpts=False)] == ["f:2:", "f:3:", "f:3:"]

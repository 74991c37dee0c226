"""What is said where bytes do not fit what was agreed."""

from datetime import UTC
from zoneinfo import ZoneInfo

import pytest

from nportpy.protocols.iec101.asdu import Sizes, decode
from nportpy.protocols.iec101.ft12 import parse
from nportpy.protocols.iec101.hints import clock_hint, link_hint, size_hint, strange
from tests.protocols.iec101.vectors import VARIABLE, WIRE, link_size

SMALL, LARGE = Sizes(), Sizes(2, 2, 3)
MINE = frozenset((1,))
HOUR = 3_600_000_000


def test_wide_asdus_where_narrow_ones_were_agreed() -> None:
    data = parse(WIRE["V30"], 2).data
    assert "2/2/3" in size_hint(data, SMALL, frozenset((258,)))


@pytest.mark.parametrize("name", sorted(set(VARIABLE) - {"V29", "V30", "V22"}))
def test_narrow_asdus_where_wide_ones_were_agreed(name: str) -> None:
    data = parse(WIRE[name], link_size(name)).data
    hint = size_hint(data, LARGE, MINE)
    assert "1/1/2" in hint
    assert "not 2/2/3" in hint


def test_nothing_is_said_where_nothing_fits() -> None:
    assert size_hint(b"\x01\x05\x03", SMALL, MINE) == ""
    assert size_hint(b"", SMALL, MINE) == ""


def test_odd_causes_and_common_addresses_are_strange() -> None:
    asdu = decode(parse(WIRE["V3"], 1).data, SMALL)
    assert not strange(asdu, MINE)
    assert strange(asdu, frozenset((2,)))
    assert strange(decode(bytes((1, 1, 0, 1, 0, 0, 0)), SMALL), MINE)


@pytest.mark.parametrize(
    ("rest", "address", "size", "expected"),
    [
        ("10 0B 01 0C 16", 1, 2, "1 bytes, not 2"),
        ("10 0B 0B 16", 0, 1, "0 bytes, not 1"),
        ("10 0B 02 01 0E 16", 258, 1, "2 bytes, not 1"),
        ("10 03 0B 0E 16", 3, 1, "SINAUT"),
        ("10 03 03 16", 3, 1, "TELEGYR"),
        ("00 00 16 10", 3, 1, ""),
    ],
)
def test_bent_frames_are_named(rest: str, address: int, size: int, expected: str) -> None:
    hint = link_hint(bytes.fromhex(rest), address, size)
    assert expected in hint if expected else not hint


@pytest.mark.parametrize(
    ("ahead", "zone", "expected"),
    [
        (0, UTC, ""),
        (60_000_000, UTC, ""),
        (HOUR, UTC, "summer time"),
        (-HOUR, UTC, "summer time"),
        (-HOUR, ZoneInfo("Europe/Bratislava"), "shows UTC"),
        (5 * HOUR + HOUR // 2, UTC, "another zone"),
        (7 * HOUR + 600_000_000, UTC, "25800 s ahead"),
    ],
)
def test_a_wrong_clock_is_explained(ahead: int, zone: ZoneInfo, expected: str) -> None:
    hint = clock_hint(ahead, zone, 2026)
    assert expected in hint if expected else not hint

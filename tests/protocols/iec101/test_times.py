"""Time tags: what a clock in some zone shows, and when that was."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.protocols.iec101.times import Time24, Time56, decode_24, decode_56, time_of

WIRE = bytes.fromhex("92 3B 3A 12 D5 0B 1A")
SATURDAY = int(datetime(2026, 11, 21, 18, 58, 15, 250000, UTC).timestamp() * 1_000_000)
HOUR = 3_600_000_000
MINUTE = 60_000_000
BRATISLAVA = ZoneInfo("Europe/Bratislava")


def test_the_tag_of_the_reference() -> None:
    tag = decode_56(WIRE)
    assert tag == Time56(15250, 58, 18, 21, 11, 26, weekday=6)
    assert tag.instant(UTC) == SATURDAY
    assert tag.encode() == WIRE
    assert time_of(SATURDAY, UTC) == tag


def test_local_time_is_utc_plus_the_zone() -> None:
    assert decode_56(WIRE).instant(BRATISLAVA) == SATURDAY - HOUR


def test_su_is_an_hour_more() -> None:
    tag = decode_56(WIRE[:3] + b"\x92" + WIRE[4:])
    assert tag.summer
    assert tag.instant(BRATISLAVA) == SATURDAY - 2 * HOUR
    assert tag.instant(timezone(timedelta(hours=1))) == SATURDAY - 2 * HOUR


def test_su_is_not_looked_at_in_utc() -> None:
    tag = decode_56(WIRE[:3] + b"\x92" + WIRE[4:])
    assert tag.instant(UTC) == SATURDAY
    assert tag.instant(ZoneInfo("UTC")) == SATURDAY


@pytest.mark.parametrize("zone", ["Europe/Bratislava", "Europe/London", "Europe/Dublin", "America/New_York",
                                  "Australia/Sydney", "Asia/Kolkata", "UTC"])  # fmt: skip
@given(seconds=st.integers(1_600_000_000, 2_500_000_000), milliseconds=st.integers(0, 999))
def test_what_a_clock_shows_is_read_as_the_same_instant(zone: str, seconds: int, milliseconds: int) -> None:
    instant = seconds * 1_000_000 + milliseconds * 1000
    tag = time_of(instant, ZoneInfo(zone))
    assert decode_56(tag.encode()) == tag
    assert tag.instant(ZoneInfo(zone)) == instant


def test_the_hour_that_comes_twice_in_autumn_is_told_by_su() -> None:
    first = Time56(0, 30, 2, 25, 10, 26, summer=True).instant(BRATISLAVA)
    second = Time56(0, 30, 2, 25, 10, 26).instant(BRATISLAVA)
    assert first is not None
    assert second == first + HOUR


@pytest.mark.parametrize(
    "wrong",
    [{"month": 13}, {"month": 0}, {"day": 0}, {"day": 31}, {"hour": 24}, {"minute": 60}, {"milliseconds": 60000}],
)
def test_what_is_no_date_is_no_instant(wrong: dict[str, int]) -> None:
    fields = {"milliseconds": 0, "minute": 0, "hour": 0, "day": 30, "month": 11, "year": 26} | wrong
    assert replace(Time56(0, 0, 0, 1, 1, 26), **fields).instant(UTC) is None  # type: ignore[arg-type]


def test_iv_is_no_instant() -> None:
    assert decode_56(WIRE[:2] + b"\xba" + WIRE[3:]).instant(UTC) is None
    assert decode_24(WIRE[:2] + b"\xba").instant(UTC, SATURDAY) is None


def test_the_year_99_is_2099() -> None:
    tag = Time56(0, 0, 0, 1, 1, 99)
    assert tag.instant(UTC) == int(datetime(2099, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("arrival", "expected"),
    [
        (SATURDAY, SATURDAY),
        (SATURDAY + 59 * MINUTE, SATURDAY + HOUR),
        (SATURDAY + 30 * MINUTE, SATURDAY),
        (SATURDAY - MINUTE, SATURDAY),  # its clock may be ahead of ours
        (SATURDAY - 3 * MINUTE, SATURDAY - HOUR),
    ],
)
def test_the_hour_of_a_short_tag_is_that_of_its_arrival(arrival: int, expected: int) -> None:
    assert decode_24(WIRE[:3]) == Time24(15250, 58)
    assert decode_24(WIRE[:3]).instant(UTC, arrival) == expected
    assert decode_24(WIRE[:3]).instant(BRATISLAVA, arrival) == expected


def test_minutes_differ_from_utc_in_some_zones() -> None:
    arrival = int(datetime(2026, 11, 21, 12, 0, tzinfo=UTC).timestamp()) * 1_000_000  # 17:30 in Kolkata
    assert Time24(0, 29).instant(ZoneInfo("Asia/Kolkata"), arrival) == arrival - MINUTE

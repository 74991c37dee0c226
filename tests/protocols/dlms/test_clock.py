"""Date-times: the ones of the reference, and every one that is none."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.errors import ProtocolError
from nportpy.protocols.dlms.clock import (
    ANY,
    DAYLIGHT_SAVING,
    INVALID_STATUS,
    NO_DEVIATION,
    OTHER_BASE,
    Date,
    DateTime,
    Time,
)

KNOWN = bytes.fromhex("07EA0B1506123A0FFFFFC400")  # Sat 2026-11-21 18:58:15 at UTC+1
BRATISLAVA = ZoneInfo("Europe/Bratislava")


def utc(*fields: int) -> int:
    return int(datetime(*fields, tzinfo=UTC).timestamp()) * 1_000_000  # type: ignore[arg-type,misc]


def test_the_known_one() -> None:
    stamp = DateTime.parse(KNOWN)
    assert stamp.moment() == utc(2026, 11, 21, 17, 58, 15)
    assert str(stamp) == "2026-11-21 18:58:15 +01:00"
    assert stamp.encode() == KNOWN
    assert not stamp.uncertain


@pytest.mark.parametrize(("deviation", "hour"), [(-60, 17), (-120, 16), (0, 18), (300, 23)])
def test_field_10_utc_is_local_plus_deviation(deviation: int, hour: int) -> None:
    stamp = DateTime(2026, 7, 1, ANY, 18, 30, 0, 0, deviation, 0)
    assert stamp.moment(BRATISLAVA) == utc(2026, 7, 1, hour, 30)


def test_field_10_a_meter_that_inverts_the_sign() -> None:
    assert DateTime(2026, 7, 1, ANY, 18, 0, 0, 0, 120, 0).moment(inverted=True) == utc(2026, 7, 1, 16)


@pytest.mark.parametrize(("month", "status", "hour"), [(1, 0, 17), (7, DAYLIGHT_SAVING, 16), (7, 0, 16)])
def test_field_10_deviation_8000_takes_the_zone(month: int, status: int, hour: int) -> None:
    stamp = DateTime(2026, month, 10, ANY, 18, 0, 0, 0, NO_DEVIATION, status)
    assert stamp.moment(BRATISLAVA) == utc(2026, month, 10, hour)


def test_field_10_a_clock_on_standard_time_all_the_year_has_a_zone_without_another() -> None:
    stamp = DateTime(2026, 7, 10, ANY, 18, 0, 0, 0, NO_DEVIATION, DAYLIGHT_SAVING)
    assert stamp.moment(timezone(timedelta(hours=1))) == utc(2026, 7, 10, 17)


def test_the_hour_that_comes_twice_is_told_by_the_status() -> None:
    first = DateTime(2026, 10, 25, ANY, 2, 30, 0, 0, NO_DEVIATION, DAYLIGHT_SAVING)
    second = DateTime(2026, 10, 25, ANY, 2, 30, 0, 0, NO_DEVIATION, 0)
    assert first.moment(BRATISLAVA) == utc(2026, 10, 25, 0, 30)
    assert second.moment(BRATISLAVA) == utc(2026, 10, 25, 1, 30)


@pytest.mark.parametrize("deviation", [-60, NO_DEVIATION])
def test_hour_24_and_second_60_are_the_next_ones(deviation: int) -> None:
    zone = timezone(timedelta(hours=1))
    assert DateTime(2026, 12, 31, ANY, 24, 0, 0, 0, deviation, 0).moment(zone) == utc(2026, 12, 31, 23)
    assert DateTime(2026, 6, 30, ANY, 23, 59, 60, 0, deviation, 0).moment(zone) == utc(2026, 6, 30, 23)


def test_a_second_that_is_not_said_is_the_first() -> None:
    assert DateTime(2026, 1, 1, ANY, 0, 15, ANY, ANY, 0, 0).moment() == utc(2026, 1, 1, 0, 15)
    stamp = DateTime(2026, 1, 1, ANY, 0, 15, 1, 50, 0, 0)
    assert stamp.moment() == utc(2026, 1, 1, 0, 15, 1) + 500_000
    assert str(stamp) == "2026-01-01 00:15:01.50 +00:00"


@pytest.mark.parametrize(
    "fields",
    [
        {"year": 0xFFFF},
        {"year": 0},
        {"month": ANY},
        {"month": 0xFD},
        {"month": 0xFE},
        {"day": ANY},
        {"day": 0xFE},
        {"day": 30},
        {"hour": ANY},
        {"hour": 25},
        {"hour": 24, "minute": 1},
        {"minute": ANY},
        {"second": 61},
        {"year": 9999, "month": 12, "day": 31, "hour": 24},
    ],
)
@pytest.mark.parametrize("deviation", [0, NO_DEVIATION, 32767])
def test_what_is_unknown_is_no_moment(fields: dict[str, int], deviation: int) -> None:
    known = {"year": 2026, "month": 2, "day": 1, "hour": 1, "minute": 1, "second": 1}
    stamp = DateTime(**(known | fields), deviation=deviation, status=0)
    if fields.get("year") != 9999 or deviation:
        assert stamp.moment(BRATISLAVA) is None
    assert str(stamp)


@pytest.mark.parametrize(
    ("status", "uncertain"),
    [
        (0, False),
        (1, True),
        (2, True),
        (OTHER_BASE, False),
        (INVALID_STATUS, True),
        (0x80, False),
        (0x81, True),
        (0xFF, False),
    ],
)
def test_the_status_says_what_is_uncertain(status: int, uncertain: bool) -> None:
    stamp = DateTime(status=status)
    assert stamp.uncertain is uncertain
    assert stamp.saving is (status in (0x80, 0x81))


def test_a_moment_on_the_meter_s_clock() -> None:
    summer = datetime(2026, 7, 1, 12, 0, tzinfo=UTC).astimezone(BRATISLAVA)
    stamp = DateTime.of(summer)
    assert (stamp.hour, stamp.deviation, stamp.status) == (14, -120, DAYLIGHT_SAVING)
    assert stamp.moment() == utc(2026, 7, 1, 12)
    assert DateTime.of(summer, deviation=False).deviation == NO_DEVIATION
    with pytest.raises(ProtocolError):
        DateTime.of(datetime(2026, 7, 1))  # noqa: DTZ001 - that is the point


def test_texts_of_what_is_not_specified() -> None:
    assert str(DateTime()) == "????-??-?? ??:??:??"
    assert str(Date(2026, 11, 0xFE)) == "2026-11-??"
    assert str(Time(18, 58)) == "18:58:??"


@given(st.binary(min_size=12, max_size=12))
def test_any_bytes_are_a_date_time_and_crash_nothing(data: bytes) -> None:
    stamp = DateTime.parse(data)
    assert stamp.encode() == data
    assert str(stamp)
    for zone in (UTC, BRATISLAVA):
        stamp.moment(zone)
        stamp.moment(zone, inverted=True)


@given(st.datetimes(datetime(1990, 1, 1), datetime(2099, 12, 31), timezones=st.just(BRATISLAVA)))  # noqa: DTZ001
def test_moments_survive(moment: datetime) -> None:
    moment = moment.replace(microsecond=0).astimezone(UTC).astimezone(BRATISLAVA)
    assert DateTime.of(moment).moment() == int(moment.timestamp()) * 1_000_000
    assert DateTime.of(moment, deviation=False).moment(BRATISLAVA) == int(moment.timestamp()) * 1_000_000


@pytest.mark.parametrize("kind", [DateTime, Date, Time])
def test_sizes(kind: type[DateTime | Date | Time]) -> None:
    for size in (0, 3, 6, 11, 13):
        with pytest.raises(ProtocolError):
            kind.parse(bytes(size))
    assert Date.parse(KNOWN[:5]) == Date(2026, 11, 21, 6)
    assert Time.parse(KNOWN[5:9]) == Time(18, 58, 15, 255)
    assert Date(2026, 11, 21, 6).encode() + Time(18, 58, 15, 255).encode() == KNOWN[:9]

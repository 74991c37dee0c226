"""DLMS meters as stations: what values are worth, what is refused, and which rows of profiles become samples."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from nportpy.edge.driver import RawReading, StationRefused, StationSilent
from nportpy.edge.drivers.dlms import DlmsDriver
from nportpy.edge.settings import HistorySettings, Protocol, StationSettings, TagSettings
from nportpy.errors import LineError, ProtocolError
from nportpy.meters.dlms.errors import AssociationRefused, AuthenticationRefused, MeterSilent, ServiceRefused
from nportpy.meters.dlms.objects import Attribute, Column, Data, Profile, Result, Row
from nportpy.meters.dlms.places import Place
from nportpy.meters.dlms.settings import DlmsSettings
from nportpy.protocols.dlms.clock import DateTime
from nportpy.protocols.dlms.obis import Obis
from tests.support.stations import START, LoopClock

ENERGY, POWER, PROFILE, CLOCK = (
    Obis.parse(each).code for each in ("1.0.1.8.0.255", "1.0.1.29.0.255", "1.0.99.1.0.255", "0.0.1.0.0.255")
)
PERIOD = 900
_MICRO = timedelta(microseconds=1)
Answer = Callable[[Attribute], Result]


def tag(name: str, at: str, **keys: Any) -> TagSettings:
    return TagSettings(name, at, Place.parse(at), **keys)


def station(*tags: TagSettings, history: HistorySettings | None = None) -> StationSettings:
    return StationSettings("mains", "meters", 1, 60.0, tags, Protocol.DLMS, history=history)


def register(raw: Data, scaler: int = 0, unit: int = 30) -> Answer:
    return lambda asked: Result(asked, raw, scaler=scaler, unit=unit, class_id=3)


class Meter:
    """Says what it is told to; its profile has a row each quarter of an hour."""

    def __init__(self, values: dict[bytes, Answer] | None = None) -> None:
        self.values = values or {}
        self.error: Exception | None = None
        self.asked: list[list[Attribute]] = []
        self.ranges: list[tuple[datetime, datetime]] = []
        self.profile_error: Exception | None = None
        self.columns = [
            Column(8, CLOCK, 2),
            Column(3, ENERGY, 2, scaler=0, unit=30),
            Column(3, POWER, 2, scaler=1, unit=30),
        ]
        self.doubtful = False
        self.closed = False
        self.wall: Callable[[], int] = lambda: 0

    async def read(self, attributes: Sequence[Attribute], *, scaled: bool = True) -> list[Result]:
        self.asked.append(list(attributes))
        if self.error is not None:
            raise self.error
        return [self.values[each.obis](each) for each in attributes]

    async def profile(self, obis: bytes, start: datetime, end: datetime) -> Profile:
        assert obis == PROFILE
        self.ranges.append((start, end))
        if self.profile_error is not None:
            raise self.profile_error
        first = -(-int(start.timestamp()) // PERIOD) * PERIOD
        times = range(first, int(end.timestamp()) + 1, PERIOD)
        rows = [Row(datetime.fromtimestamp(at, UTC), self.doubtful, (b"", at, at // PERIOD % 100)) for at in times]
        return Profile(self.columns, rows, PERIOD)

    async def close(self) -> None:
        self.closed = True


def driver_of(meter: Meter, settings: StationSettings, newest: int | None = None) -> DlmsDriver:
    return DlmsDriver(settings, DlmsSettings(), meter, LoopClock(), lambda _: newest)


async def one(at: str, answer: Answer, **keys: Any) -> RawReading:
    wanted = tag("x", at, **keys)
    meter = Meter({wanted.place.attribute.obis: answer})  # type: ignore[union-attr]
    (reading,) = await driver_of(meter, station(wanted)).read([wanted])
    return reading


@pytest.mark.parametrize(
    ("raw", "scaler", "unit", "wanted", "value"),
    [
        (77160, 0, 30, "kWh", 77.16),
        (77160, 0, 30, "Wh", 77160),
        (77160, 0, 30, "", 77160),
        (2306, -1, 35, "V", 230.6),
        (2300, -1, 35, "V", 230.0),
        (7, 3, 30, "kWh", 7),
        (7, 3, 30, "Wh", 7000),
        (123456789, -3, 30, "MWh", 0.123456789),
        ((1 << 64) - 1, 0, 30, "Wh", (1 << 64) - 1),
        (-5, -2, 33, "A", -0.05),
    ],
)
async def test_field_13_numbers_are_exact(raw: int, scaler: int, unit: int, wanted: str, value: float) -> None:
    reading = await one("1.8.0", register(raw, scaler, unit), unit=wanted)
    assert (reading.raw, type(reading.raw)) == (value, type(value))
    assert not reading.uncertain
    assert reading.at is None


async def test_a_unit_of_another_kind_is_told_and_a_scale_is_the_users_own() -> None:
    reading = await one("1.8.0", register(5), unit="V")
    assert (reading.raw, reading.uncertain) == (5, "the meter counts in Wh, the tag says V")
    reading = await one("1.8.0", register(5000), unit="kWh", scale=0.001)
    assert (reading.raw, reading.uncertain) == (5000, "")  # the conversion multiplies


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"LGZ12345678", "LGZ12345678"),
        (b"\x01\x02\xff", "0102FF"),
        (b"", ""),
        ("B31", "B31"),
        (True, True),
        (1.5, 1.5),
        (None, None),
        ([1, 2], None),
        ((1, 2), None),
    ],
)
async def test_field_19_texts_where_they_can_be_printed(data: Data, value: object) -> None:
    reading = await one("0.0.96.1.0.255", lambda asked: Result(asked, data, class_id=1))
    assert reading.raw == value
    assert bool(reading.reason) is (value is None)


async def test_the_clock_is_a_value() -> None:
    stamp = bytes.fromhex("07EA0B1506123A0FFFFFC400")
    for at, class_id in (("0.0.1.0.0.255", 0), ("0.0.1.0.0.255", 8), ("1.0.1.6.0.255/5", 4)):
        reading = await one(at, lambda asked, c=class_id: Result(asked, stamp, class_id=c))  # type: ignore[misc]
        assert reading.raw == "2026-11-21T17:58:15+00:00"
        assert not reading.uncertain
    doubtful = stamp[:-1] + b"\x02"
    reading = await one("0.0.1.0.0.255", lambda asked: Result(asked, doubtful, class_id=8))
    assert reading.uncertain == "the meter's clock doubts it"
    reading = await one("0.0.1.0.0.255", lambda asked: Result(asked, DateTime().encode(), class_id=8))
    assert reading.raw is None
    assert "does not know the time" in reading.reason


async def test_several_at_once_and_each_once() -> None:
    meter = Meter({ENERGY: register(1), POWER: register(2)})
    tags = [tag("a", "1.8.0"), tag("b", "1-0:1.8.0*255"), tag("c", "1.0.1.29.0.255")]
    found = await driver_of(meter, station(*tags)).read(tags)
    assert [each.raw for each in found] == [1, 1, 2]
    assert meter.asked == [[Attribute(ENERGY), Attribute(POWER)]]


@pytest.mark.parametrize(
    ("code", "permanent"), [(2, False), (250, False), (3, True), (4, True), (9, True), (11, True), (13, True)]
)
async def test_field_6_permanent_refusals_say_which_and_are_left_alone(
    code: int, permanent: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "nportpy.edge")
    meter = Meter({ENERGY: lambda asked: Result(asked, code=code), POWER: register(2)})
    tags = [tag("a", "1.8.0"), tag("b", "1.0.1.29.0.255")]
    driver = driver_of(meter, station(*tags))
    for _ in range(3):
        found = {each.tag.name: each for each in await driver.read(tags)}
        assert f"result {code}" in found["a"].reason
        assert found["b"].raw == 2
    assert [len(each) for each in meter.asked] == ([2, 1, 1] if permanent else [2, 2, 2])
    assert len(caplog.records) == permanent
    await asyncio.sleep(3601)
    meter.values[ENERGY] = register(7)
    found = {each.tag.name: each for each in await driver.read(tags)}
    assert found["a"].raw == 7


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MeterSilent("nothing answers"), StationSilent),
        (LineError("the line is down"), StationSilent),
        (ProtocolError("nonsense"), StationSilent),
        (AssociationRefused("context not supported"), StationSilent),
        (AuthenticationRefused("the password is wrong"), StationRefused),
    ],
)
async def test_field_14_a_refused_password_is_not_silence(error: Exception, kind: type[Exception]) -> None:
    meter = Meter()
    meter.error = error
    wanted = tag("a", "1.8.0")
    with pytest.raises(kind, match=str(error)):
        await driver_of(meter, station(wanted)).read([wanted])


async def test_a_refused_question_is_an_answer() -> None:
    meter = Meter()
    meter.error = ServiceRefused("exception 1 2")
    wanted = tag("a", "1.8.0")
    (reading,) = await driver_of(meter, station(wanted)).read([wanted])
    assert reading.reason == "exception 1 2"


async def test_closing_ends_the_association() -> None:
    meter = Meter()
    await driver_of(meter, station()).close()
    assert meter.closed


# E16. Virtual time begins at START, seconds.

NOW = int(START * 1e6)
ROW = int(START) // PERIOD * PERIOD  # the newest row
IN_PROFILE = tag("power", "1.0.1.29.0.255 in 1.0.99.1.0.255", unit="kWh")


def ats(readings: Sequence[RawReading]) -> list[int]:
    return [each.at // 1_000_000 for each in readings if each.at is not None]


async def test_e16_rows_since_the_newest_sample_enter_with_the_meters_time() -> None:
    meter = Meter()
    driver = driver_of(meter, station(IN_PROFILE), newest=(ROW - 3 * PERIOD) * 1_000_000)
    found = await driver.read([IN_PROFILE])
    assert ats(found) == [ROW - 2 * PERIOD, ROW - PERIOD, ROW]
    assert [each.present for each in found] == [False, False, True]
    assert [each.raw for each in found] == [at // PERIOD % 100 / 100 for at in ats(found)]
    assert await driver.read([IN_PROFILE]) == []
    assert len(meter.ranges) == 1  # there can be no new row yet
    await asyncio.sleep(PERIOD)
    assert ats(await driver.read([IN_PROFILE])) == [ROW + PERIOD]


async def test_e16_a_month_is_caught_up_a_day_at_a_time() -> None:
    meter = Meter()
    driver = driver_of(meter, station(IN_PROFILE))
    rows: list[int] = []
    rounds = 0
    while found := await driver.read([IN_PROFILE]):
        rounds += 1
        rows += ats(found)
        assert len(found) <= 97
    assert rounds == 31
    assert rows == list(range(rows[0], ROW + 1, PERIOD))
    assert rows[0] >= START - 31 * 86400


async def test_e16_the_record_of_a_live_tag_is_read_where_it_is_asked_for() -> None:
    meter = Meter({ENERGY: register(5)})
    wanted = tag("energy", "1.8.0", unit="kWh")
    other = tag("power", "1.7.0", history="1.0.1.29.0.255")
    without = tag("never", "2.8.0", history="")
    driver = driver_of(meter, station(wanted, other, without, history=HistorySettings(PROFILE, 86400.0)))
    assert [each.raw for each in await driver.read([wanted])] == [0.005]
    assert not meter.ranges  # reading the present asks for no past
    start, end = (ROW - PERIOD) * 1_000_000 - 5, ROW * 1_000_000 + 5
    record = await driver.history([wanted, other, without], start, end)
    assert record.period == PERIOD * 1_000_000
    assert [(each.tag.name, each.at, each.raw) for each in record.readings] == [
        ("energy", (ROW - PERIOD) * 1_000_000, (ROW - PERIOD) / 1000),
        ("energy", ROW * 1_000_000, ROW / 1000),
        ("power", (ROW - PERIOD) * 1_000_000, (ROW - PERIOD) // PERIOD % 100 * 10),
        ("power", ROW * 1_000_000, ROW // PERIOD % 100 * 10),
    ]
    assert not any(each.present or each.event for each in record.readings)


async def test_e16_a_profile_without_the_column_says_what_it_has(caplog: pytest.LogCaptureFixture) -> None:
    meter = Meter({CLOCK: register(1, unit=255)})
    lost = tag("lost", "1.0.2.29.0.255 in 1.0.99.1.0.255")
    driver = driver_of(meter, station(lost))
    (reading,) = await driver.read([lost])
    assert "has no column 1.0.2.29.0.255; it has 0.0.1.0.0.255, 1.0.1.8.0.255, 1.0.1.29.0.255" in reading.reason
    await driver.read([lost])
    assert len(meter.ranges) == 1
    # A tag whose gaps no column fills is a tag like others.
    live = tag("x", "0.0.1.0.0.255/3", history="0.0.1.0.0.255/3")
    meter.values[CLOCK] = register(60, unit=6)
    driver = driver_of(meter, station(live, history=HistorySettings(PROFILE)))
    for _ in range(3):
        assert not (await driver.history([live], NOW - 3_600_000_000, NOW)).readings
    assert len(meter.ranges) == 2
    assert len(caplog.records) == 2


async def test_e16_what_a_refused_history_is() -> None:
    meter = Meter({ENERGY: register(5)})
    wanted = tag("energy", "1.8.0")
    driver = driver_of(meter, station(wanted, history=HistorySettings(PROFILE)))
    for error, becomes in (
        (ServiceRefused("result 4"), ServiceRefused),
        (LineError("gone in the middle"), StationSilent),
        (ProtocolError("rubbish"), StationSilent),
        (AuthenticationRefused("changed meanwhile"), StationRefused),
    ):
        meter.profile_error = error
        with pytest.raises(becomes):
            await driver.history([wanted], 0, NOW)
        assert [each.raw for each in await driver.read([wanted])] == [5]


async def test_e16_a_doubtful_clock_makes_doubtful_rows_and_an_unset_one_of_ours_asks_nothing() -> None:
    meter = Meter()
    meter.doubtful = True
    driver = driver_of(meter, station(IN_PROFILE), newest=(ROW - PERIOD) * 1_000_000)
    (reading,) = await driver.read([IN_PROFILE])
    assert reading.uncertain == "the meter's clock doubts it"
    clock = LoopClock()
    clock._trusted = lambda: False
    driver = DlmsDriver(station(IN_PROFILE), DlmsSettings(), meter, clock)
    before = len(meter.ranges)
    assert await driver.read([IN_PROFILE]) == []
    assert len(meter.ranges) == before


async def test_a_failed_profile_is_silence_only_where_nothing_else_was_read() -> None:
    meter = Meter({ENERGY: register(5)})
    meter.profile_error = MeterSilent("gone")
    live = tag("energy", "1.8.0")
    with pytest.raises(StationSilent):
        await driver_of(meter, station(IN_PROFILE)).read([IN_PROFILE])
    found = await driver_of(meter, station(live, IN_PROFILE)).read([live, IN_PROFILE])
    assert [(each.tag.name, each.raw, each.reason) for each in found] == [("energy", 5, ""), ("power", None, "gone")]

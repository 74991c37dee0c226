"""Outstations as stations: what is the present, what is history, and how good it is."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC

import pytest

from nportpy.edge.driver import RawReading, StationSilent
from nportpy.edge.drivers.iec101 import Iec101Driver
from nportpy.edge.sample import Quality, Reading
from nportpy.edge.settings import TagSettings
from nportpy.edge.station import Station as PolledStation
from nportpy.errors import LineDown
from nportpy.meters.iec101.settings import Iec101Settings
from nportpy.protocols.iec101.times import time_of
from tests.meters.iec101.support import Station, Wire, hexed
from tests.support.stations import START, LoopClock, station_of, tag

POINTS = hexed("01 03 14 01 0A 00 01 0B 00 00 14 00 80")
SECOND = 1_000_000


def point(name: str, at: str, **keys: object) -> TagSettings:
    return replace(tag(name, "40001"), at=at, **keys)  # type: ignore[arg-type]


TAGS = (point("breaker", "10"), point("gate", "1/11"), point("pump", "20"), point("other", "2/10"), point("volt", "42"))


def now() -> int:
    """In whole milliseconds, as time tags are."""
    return int((asyncio.get_running_loop().time() - 1000.0 + START) * 1e3) * 1000


def event(at: int, on: bool, address: int = 10, flags: int = 0, cause: int = 3) -> bytes:
    return bytes((30, 1, cause, 1, address, 0, on | flags)) + time_of(at, UTC).encode()


class Site:
    """A driver, its outstation, and the line between them."""

    def __init__(self, settings: Iec101Settings | None = None, **keys: object) -> None:
        self.outstation = Station(image=[POINTS], **keys)  # type: ignore[arg-type]
        self.wire = Wire(self.outstation)
        self.held = 0
        self.refused = ""
        self.clock = LoopClock()
        self.driver = Iec101Driver(station_of(*TAGS), settings or Iec101Settings(), self.lend, self.clock)

    @asynccontextmanager
    async def lend(self, limit: float) -> AsyncIterator[Wire]:
        assert limit > 5
        if self.refused:
            raise LineDown(self.refused)
        self.held += 1
        yield self.wire

    async def read(self, *tags: TagSettings) -> list[RawReading]:
        return await self.driver.read(tags or TAGS)


def of(readings: list[RawReading], name: str) -> list[tuple[object, int | None, bool]]:
    return [(each.raw, each.at, each.present) for each in readings if each.tag.name == name]


async def test_an_interrogation_tells_the_present() -> None:
    site = Site()
    found = {each.tag.name: each for each in await site.read()}
    assert (found["breaker"].raw, found["breaker"].uncertain) == (True, "")
    assert found["gate"].raw is False
    assert found["pump"].raw is None
    assert "IV" in found["pump"].reason
    assert "not sent object 42 of common address 1" in found["volt"].reason
    assert "common address 2" in found["other"].reason
    assert site.held == 1


async def test_what_was_said_last_holds_while_nothing_new_is_said() -> None:
    site = Site()
    await site.read()
    await asyncio.sleep(100)
    (reading,) = await site.read(TAGS[0])
    assert (reading.raw, reading.at) == (True, None)
    assert 0 <= site.clock.now() - reading.monotonic < 100_000  # when it was asked: the answer may be late


async def test_spontaneous_events_enter_with_their_time_and_are_the_present() -> None:
    site = Site()
    await site.read()
    await asyncio.sleep(10)
    first, second = now() - 3 * SECOND, now() - SECOND
    site.outstation.class_1.extend([event(first, False), event(second, True)])
    found = await site.read()
    assert of(found, "breaker") == [(False, first, True), (True, second, True), (True, None, False)]
    assert [each.event for each in found if each.tag.name == "breaker"] == [True, True, False]


async def test_events_of_tags_that_are_not_due_come_too() -> None:
    site = Site()
    await site.read()
    await asyncio.sleep(10)
    site.outstation.class_1.append(event(now() - SECOND, False))
    assert {each.tag.name for each in await site.read(TAGS[4])} == {"volt", "breaker"}


async def test_events_that_waited_for_the_link_are_history_and_not_the_present() -> None:
    site = Site()
    old = now() - 500 * SECOND
    site.outstation.class_1.extend([event(old, False), event(old + 1000, True), event(old + 2000, False)])
    found = await site.read()
    assert of(found, "breaker") == [(False, old, False), (True, old + 1000, False), (False, old + 2000, False),
                                    (True, None, False)]  # fmt: skip


async def test_e8_an_older_event_never_overwrites_a_newer_one() -> None:
    site = Site()
    await site.read()
    await asyncio.sleep(10)
    newer, older = now() - SECOND, now() - 2 * SECOND
    site.outstation.class_1.extend([event(newer, True), event(older, False)])
    found = await site.read()
    assert of(found, "breaker") == [(True, newer, True), (False, older, False), (True, None, False)]


async def test_e11_an_event_older_than_a_sample_of_its_tag_is_late_and_still_the_present() -> None:
    """It happened before the last round, was told after it, and is how things are."""
    site = Site()
    await site.read()
    await asyncio.sleep(10)
    await site.read()
    happened = now() - 3 * SECOND
    site.outstation.class_1.append(event(happened, False))
    found = await site.read()
    assert of(found, "breaker") == [(False, happened, False), (False, None, False)]


async def test_an_event_older_than_the_value_of_an_interrogation_under_way_changes_nothing() -> None:
    """The interrogation's value was read after it had happened."""
    site = Site()
    happened = now() - SECOND
    site.outstation.image = [POINTS, event(happened, False)]
    found = await site.read()
    assert of(found, "breaker") == [(False, happened, False), (True, None, False)]


async def test_without_interrogation_events_tell_the_present() -> None:
    site = Site(Iec101Settings(interrogate=False))
    happened = now() - 500 * SECOND
    site.outstation.class_1.append(event(happened, True))
    assert of(await site.read(), "breaker") == [(True, happened, True), (True, None, False)]


async def test_a_refused_interrogation_leaves_what_had_waited() -> None:
    site = Site(refuses=True)
    happened = now() - 500 * SECOND
    site.outstation.class_1.append(event(happened, True))
    site.outstation.single = True  # so that class 1 is asked before the interrogation
    assert of(await site.read(), "breaker")[-1] == (True, None, False)


@pytest.mark.parametrize("wrong", ["invalid", "future"])
async def test_a_time_that_cannot_be_is_stamped_by_arrival_and_uncertain(wrong: str) -> None:
    site = Site()
    await site.read()
    await asyncio.sleep(10)
    wire = bytearray(event(now() + (3600 * SECOND if wrong == "future" else 0), False))
    if wrong == "invalid":
        wire[9] |= 0x80
    site.outstation.class_1.append(bytes(wire))
    first, present = (each for each in await site.read() if each.tag.name == "breaker")
    assert (first.raw, first.at, first.event) == (False, None, True)
    assert "time tag" in first.uncertain
    assert present.raw is False


@pytest.mark.parametrize(("flags", "words"), [(0x10, "BL"), (0x20, "SB"), (0x40, "NT"), (0x50, "BL")])
async def test_quality_bits_make_a_value_uncertain(flags: int, words: str) -> None:
    site = Site()
    site.outstation.image = [bytes((1, 1, 20, 1, 10, 0, 1 | flags))]
    found = await site.read()
    assert found[0].raw is True
    assert words in found[0].uncertain


@pytest.mark.parametrize(("state", "uncertain"), [(0, True), (1, False), (2, False), (3, True)])
async def test_double_points(state: int, uncertain: bool) -> None:
    site = Site()
    site.outstation.image = [bytes((3, 1, 20, 1, 10, 0, state))]
    found = await site.read()
    assert found[0].raw == state
    assert bool(found[0].uncertain) == uncertain


async def test_bitstrings_have_bit_1_lowest() -> None:
    site = Site()
    site.outstation.image = [hexed("07 01 14 01 0A 00 01 02 03 04 00")]
    assert (await site.read())[0].raw == 0x04030201


async def test_a_restart_makes_what_is_known_not_topical_until_it_is_told_again() -> None:
    site = Site()
    await site.read()
    site.outstation.image = []
    site.outstation.class_1.append(hexed("46 01 04 01 00 00 00"))
    found = await site.read()
    assert found[0].raw is True
    assert "restarted" in found[0].uncertain
    site.outstation.image = [POINTS]
    site.outstation.class_1.append(hexed("46 01 04 01 00 00 00"))
    assert (await site.read())[0].uncertain == ""


async def test_silence_is_said_and_all_is_asked_again() -> None:
    site = Site()
    await site.read()
    site.outstation.deaf = 4
    with pytest.raises(StationSilent, match="outstation 1 did not answer"):
        await site.read()
    assert (await site.read())[0].raw is True
    assert [each[3] for each in site.outstation.received] == [1, 2, 1, 2]  # for both common addresses


async def test_a_line_that_is_down_is_silence() -> None:
    site = Site()
    site.refused = "the device is lost"
    with pytest.raises(StationSilent, match="the device is lost"):
        await site.read()


async def test_events_before_the_silence_of_the_same_round_are_kept() -> None:
    site = Site()
    await site.read()
    await asyncio.sleep(10)
    happened = now()
    site.outstation.class_2.append(event(happened, False))

    def then_deaf(request: bytes) -> bytes:
        answer = site.outstation(request)
        site.outstation.deaf = 4
        return answer

    site.wire._other = then_deaf
    assert of(await site.read(), "breaker") == [(False, happened, True)]
    with pytest.raises(StationSilent):
        await site.read()


async def test_short_tags_get_the_hour_of_their_arrival() -> None:
    site = Site()
    await site.read()
    await asyncio.sleep(30)
    happened = (now() - SECOND) // 1000 * 1000
    site.outstation.class_1.append(hexed("02 01 03 01 0A 00 00") + time_of(happened, UTC).encode()[:3])
    assert of(await site.read(), "breaker")[0] == (False, happened, True)


async def test_events_become_samples_with_their_time_however_little_they_differ() -> None:
    """Through a station: the deadband and what was reported before do not matter to what has happened."""
    site = Site()
    samples: list[Reading] = []
    settings = station_of(point("breaker", "10"), every=10.0)
    driver = Iec101Driver(settings, Iec101Settings(), site.lend, site.clock)
    station = PolledStation(settings, driver, samples.extend, site.clock, {"breaker": 1})

    async def happen() -> None:
        await asyncio.sleep(12)
        for shift in (0, 1, 2):
            site.outstation.class_1.append(event(now() + shift * 1000, on=True))

    async with asyncio.TaskGroup() as group:
        group.create_task(happen())
        run = group.create_task(station.run())
        await asyncio.sleep(55)
        run.cancel()
    assert [each.value for each in samples] == [True] * 4
    assert samples[0].at is None
    stamps = [each.at for each in samples[1:]]
    assert stamps == sorted(each for each in stamps if each is not None)
    assert all(each.quality is Quality.GOOD for each in samples)
    state = station.tags["breaker"]
    assert (state.value, state.quality) == (True, Quality.GOOD)


async def test_uncertain_values_are_uncertain_samples() -> None:
    site = Site()
    site.outstation.image = [bytes((3, 1, 20, 1, 10, 0, 3))]
    samples: list[Reading] = []
    settings = station_of(point("breaker", "10", words=((1, "off"), (2, "on"), (3, "fault"))), every=10.0)
    driver = Iec101Driver(settings, Iec101Settings(), site.lend, site.clock)
    station = PolledStation(settings, driver, samples.extend, site.clock, {"breaker": 1})
    async with asyncio.TaskGroup() as group:
        run = group.create_task(station.run())
        await asyncio.sleep(15)
        run.cancel()
    assert [(each.value, each.quality) for each in samples] == [("fault", Quality.UNCERTAIN)]


async def test_normalised_values_get_their_range_by_scale() -> None:
    site = Site()
    site.outstation.image = [hexed("09 01 14 01 0A 00 00 40 00")]
    samples: list[Reading] = []
    settings = station_of(point("breaker", "10", scale=400.0), every=10.0)
    driver = Iec101Driver(settings, Iec101Settings(), site.lend, site.clock)
    station = PolledStation(settings, driver, samples.extend, site.clock, {"breaker": 1})
    async with asyncio.TaskGroup() as group:
        run = group.create_task(station.run())
        await asyncio.sleep(5)
        run.cancel()
    assert [each.value for each in samples] == [200.0]


async def test_many_events_are_spread_over_rounds_and_none_is_lost() -> None:
    site = Site()
    await site.read()
    await asyncio.sleep(10)
    start = now() - 5 * SECOND
    site.outstation.class_1 = deque(event(start + number * 1000, bool(number % 2)) for number in range(200))
    found = [each for _ in range(10) for each in await site.read(TAGS[0])]
    stamps = [each.at for each in found if each.at is not None]
    assert stamps == [start + number * 1000 for number in range(200)]

"""E16: what the gateway missed is filled from the device's own record, late, once, and whatever ends in between."""

import asyncio
import itertools
import logging
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from nportpy.edge import running
from nportpy.edge.driver import RawReading, Record, StationRefused, StationSilent
from nportpy.edge.drivers.choosing import Chosen
from nportpy.edge.sample import Quality, Sample
from nportpy.edge.settings import Backfill, HistorySettings, Protocol, StationSettings, TagSettings
from nportpy.edge.wire import Row
from nportpy.errors import ProtocolError
from nportpy.meters.dlms.places import Place
from nportpy.port.loopback import Cable
from tests.support.edges import Edged, World, edged, plant, world
from tests.support.serving import plan, until
from tests.support.stations import LoopClock

PERIOD = 900
HOUR = 3600.0
ENERGY = TagSettings("energy", "1.8.0", Place.parse("1.8.0"), unit="kWh", max_silence=0.001)
LIVE = TagSettings(
    "power", "1.7.0", Place.parse("1.7.0"), unit="kW", max_silence=0.001, history=""
)  # of which there is no record


@dataclass
class Meter:
    """Counts seconds, and keeps a row of that each quarter of an hour.

    Attributes:
        silent, refuses: what it does to whoever asks.
        asked: intervals of the record that were asked for, in seconds of the wall clock.
        takes: seconds that a portion takes.
        rounds: when it was read, by the loop.
    """

    clock: LoopClock
    silent: bool = False
    refuses: bool = False
    no_record: Exception | None = None
    asked: list[tuple[float, float]] = field(default_factory=list)
    takes: float = 0.2
    rounds: list[float] = field(default_factory=list)
    closed: int = 0

    def wall(self) -> float:
        return self.clock.wall() / 1e6

    async def read(self, tags: Sequence[TagSettings]) -> list[RawReading]:
        self.rounds.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.05)
        self._check()
        return [RawReading(each, self.clock.now(), int(self.wall())) for each in tags]

    async def history(self, tags: Sequence[TagSettings], start: int, end: int) -> Record:
        self.asked.append((start / 1e6, end / 1e6))
        await asyncio.sleep(self.takes)
        self._check()
        if self.no_record is not None:
            raise self.no_record
        first = -(-start // (PERIOD * 1_000_000)) * PERIOD
        kept = [each for each in tags if each.history is None]
        rows = [
            RawReading(each, self.clock.now(), at, at=at * 1_000_000)
            for each in kept
            for at in range(first, end // 1_000_000 + 1, PERIOD)
        ]
        return Record(rows, PERIOD * 1_000_000)

    async def close(self) -> None:
        self.closed += 1

    def _check(self) -> None:
        if self.refuses:
            raise StationRefused("wrong password")
        if self.silent:
            raise StationSilent("nothing answers")


def mains(**keys: Any) -> StationSettings:
    fields: dict[str, Any] = {
        "name": "mains", "to": "cable", "unit": 1, "every": 60.0, "tags": (ENERGY, LIVE), "protocol": Protocol.DLMS,
        "history": HistorySettings(b"\x01\x00\x63\x01\x00\xff", 86400.0),
    }  # fmt: skip
    return StationSettings(**(fields | keys))


@dataclass
class Around:
    world: World
    meter: Meter

    @asynccontextmanager
    async def gateway(self, *more: Any, **keys: Any) -> AsyncIterator[Edged]:
        settings = self.world.edge(mains(**keys), *(more or (plant(),)))
        async with edged(self.world, settings, plan("cable"), cables=[Cable("cable")]) as at:
            yield at

    def rows(self, *, late: bool) -> list[Row]:
        """Of tag `energy`, as they came."""
        return [
            row for _, batch in self.world.broker.batches if batch.late is late for row in batch.rows if row.tag == 1
        ]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Around]:
    def made() -> Around:
        around = world(tmp_path, monkeypatch)
        meter = Meter(around.clock)
        monkeypatch.setattr(running, "choose", lambda *_: Chosen(meter))
        return Around(around, meter)

    return made


def history(kept: Sequence[Sample]) -> list[int]:
    """Times of what was filled, in seconds."""
    return sorted(each.at // 1_000_000 for each in kept if each.history)


def expected(start: float, end: float) -> list[int]:
    first = -(-int(start) // PERIOD) * PERIOD
    return list(range(first, int(end) + 1, PERIOD))


@pytest.mark.long
async def test_e16_what_was_missed_while_the_gateway_was_off_comes_late_and_once(
    make: Callable[[], Around], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "nportpy.edge.history")
    around = make()
    began = around.meter.wall()
    async with around.gateway() as at:
        await asyncio.sleep(HOUR)
        first = history(await at.kept("mains/energy"))
        # A new station begins with what its device has kept, as far back as is wanted.
        assert first == expected(began + 1 - 86400.0, began + 1)
    ended = around.meter.wall()
    await asyncio.sleep(3 * HOUR)
    again = around.meter.wall()
    async with around.gateway() as at:
        await asyncio.sleep(HOUR)
        kept = await at.kept("mains/energy")
        filled = [each for each in history(kept) if each not in first]
        assert set(expected(ended, again)) <= set(filled)
        assert len(filled) <= len(expected(ended, again)) + 1
        assert max(Counter(history(kept)).values()) == 1
        assert not [each for each in await at.kept("mains/power") if each.history]
        assert {each.quality for each in kept} == {Quality.GOOD}
        # The chart has no hole: no two neighbours are further apart than the device's period.
        times = sorted(each.at for each in kept)
        assert max(later - before for before, later in itertools.pairwise(times)) <= PERIOD * 1_000_000
        await until(lambda: not at.upstream().backlog, 60)
    late, live = around.rows(late=True), around.rows(late=False)
    assert {row.at // 1_000_000 for row in late} >= set(filled)
    assert not {row.at for row in live} & {each * 1_000_000 for each in (*first, *filled)}
    times = [row.at for row in live]
    assert times == sorted(times)  # nobody who looks at the present sees what was before
    filled_lines = [record for record in caplog.records if "gap was filled" in record.message]
    assert len(filled_lines) == 2
    # Another restart finds nothing missing.
    async with around.gateway() as at:
        await asyncio.sleep(HOUR)
        assert history(await at.kept("mains/energy")) == history(kept)


@pytest.mark.long
async def test_e16_an_outage_of_the_station_is_filled_when_it_answers_again(make: Callable[[], Around]) -> None:
    around = make()
    async with around.gateway(history=HistorySettings(b"\x01\x00\x63\x01\x00\xff", HOUR)) as at:
        await asyncio.sleep(HOUR)
        before = history(await at.kept("mains/energy"))
        around.meter.silent = True
        gone = around.meter.wall()
        await asyncio.sleep(HOUR / 2)
        around.meter.silent = False
        await asyncio.sleep(HOUR / 2)
        filled = [each for each in history(await at.kept("mains/energy")) if each not in before]
        assert filled == expected(gone, gone + HOUR / 2)
        asked = len(around.meter.asked)
        around.meter.silent = True  # shorter than its period: nothing can be missing
        await asyncio.sleep(300)
        around.meter.silent = False
        await asyncio.sleep(HOUR)
        assert len(around.meter.asked) == asked


@pytest.mark.long
async def test_e16_an_end_in_the_middle_of_filling_loses_and_doubles_nothing(make: Callable[[], Around]) -> None:
    around = make()
    around.meter.takes = 40.0  # a portion is small then, and takes most of the time between two rounds
    began = around.meter.wall()
    for _ in range(8):
        async with around.gateway():
            await asyncio.sleep(150)
    around.meter.takes = 0.2
    async with around.gateway() as at:
        await asyncio.sleep(HOUR)
        found = history(await at.kept("mains/energy"))
        assert max(Counter(found).values()) == 1
        assert set(expected(began + 1 - 86400.0, began + 1)) <= set(found)
        assert len(around.meter.asked) > 4  # in portions
    # Who loses power has marks that are older than what is archived: asked again, and known by its stamps.
    with sqlite3.connect(around.world.path / "archive.db") as db:
        db.execute("DELETE FROM total WHERE name LIKE 'complete until%'")
    db.close()
    asked = len(around.meter.asked)
    async with around.gateway() as at:
        await asyncio.sleep(HOUR)
        again = history(await at.kept("mains/energy"))
        assert len(around.meter.asked) > asked
        assert max(Counter(again).values()) == 1
        assert set(found) <= set(again)


@pytest.mark.long
async def test_e16_filling_is_bounded_and_rounds_go_on(make: Callable[[], Around]) -> None:
    around = make()
    around.meter.takes = 20.0
    async with around.gateway() as at:
        await asyncio.sleep(2 * HOUR)
        assert len(around.meter.rounds) == 121
        assert at.station("mains").overruns == 0
        assert max(end - start for start, end in around.meter.asked) <= 6 * HOUR + PERIOD


async def test_e16_no_record_is_told_once_and_costs_nothing(
    make: Callable[[], Around], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "nportpy.edge.history")
    around = make()
    around.meter.no_record = ProtocolError("result 4: object undefined")
    async with around.gateway() as at:
        await asyncio.sleep(HOUR)
        assert at.station("mains").polls == {"good": 60, "partial": 0, "failed": 0}
    assert len(around.meter.asked) == 1
    assert [record.message for record in caplog.records] == ["a gap stays: the device's own record cannot be read"]


@pytest.mark.long
async def test_e16_without_a_clock_nobody_knows_what_is_missing(make: Callable[[], Around]) -> None:
    around = make()
    around.world.clock._trusted = lambda: False
    async with around.gateway():
        await asyncio.sleep(HOUR)
        assert not around.meter.asked
        around.world.clock._trusted = lambda: True
        await asyncio.sleep(HOUR)
        assert around.meter.asked


@pytest.mark.long
async def test_e16_where_gaps_are_sent_on_request_the_record_waits_too(make: Callable[[], Around]) -> None:
    around = make()
    async with around.gateway(plant(backfill=Backfill.REQUEST)) as at:
        await asyncio.sleep(HOUR)
        await until(lambda: not at.upstream().backlog, 60)
        assert not around.rows(late=True)
        assert at.edge.send("plant", 0, 2**53)
        await until(lambda: at.upstream().sent_late > 90, 60)


# Refused.


async def test_field_14_a_refused_password_is_tried_once_and_again_when_somebody_reloads(
    make: Callable[[], Around], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "nportpy.edge.station")
    around = make()
    around.meter.refuses = True
    async with around.gateway() as at:
        await asyncio.sleep(HOUR)
        assert len(around.meter.rounds) == 1
        assert at.station("mains").up is False
        assert at.station("mains").reason == "wrong password"
        assert [each.value for each in await at.kept("mains/energy")] == [None]
        assert around.meter.closed == 1
        told = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert len(told) == 1
        around.meter.refuses = False
        await at.change(edge=around.world.edge(mains(), plant()))
        await asyncio.sleep(110)
        assert at.station("mains").up is True
        rounds = len(around.meter.rounds)
        await at.change(edge=around.world.edge(mains(), plant()))  # one that answers goes on undisturbed
        await asyncio.sleep(59)
        assert len(around.meter.rounds) == rounds + 1

"""The second storey as it runs: its archive, its stations, its upstreams; reloads leave alone what did not change.

    line or server -> Bus -> driver -> Station -> Archive -> Upstream -> broker

The archive is opened first and closed last, so that what was read is on the disk whatever ends. A change of the
archive's own settings stops the stations for the moment in which its file changes hands.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Container, Sequence
from dataclasses import dataclass
from typing import Final

from nportpy.edge import links
from nportpy.edge.archive import Archive
from nportpy.edge.chart import drawn
from nportpy.edge.clock import Clock
from nportpy.edge.driver import Historian
from nportpy.edge.drivers.choosing import Chosen, Ways, choose
from nportpy.edge.history import History
from nportpy.edge.messages import StationState
from nportpy.edge.quantities import device_class_of, type_of
from nportpy.edge.sample import Sample
from nportpy.edge.schedule import phase
from nportpy.edge.settings import EdgeSettings, Protocol, StationSettings, UpstreamSettings, Where
from nportpy.edge.station import Station
from nportpy.edge.upstream import Connect, Upstream
from nportpy.errors import ArchiveError
from nportpy.services.archived import Curve, ShownSample, utc
from nportpy.status import EdgeStatus

_FIRST_OPENING: Final = 2.0  # seconds that a line has to come up
_RETRY_PAUSE: Final = 10.0  # seconds between two attempts to have the archive

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Reading:
    """A station that is read."""

    station: Station
    chosen: Chosen
    task: asyncio.Task[None]


@dataclass(slots=True)
class _Sending:
    """An upstream that is sent to."""

    upstream: Upstream
    task: asyncio.Task[None]


class Edge:
    """Reads, keeps and sends. `change` starts it, and takes it over to other settings; `stop` ends it."""

    def __init__(
        self, ways: Ways, tasks: asyncio.TaskGroup, clock: Clock | None = None, connect: Connect = links.connect
    ) -> None:
        """Nothing runs yet.

        Args:
            ways: how stations are reached.
            tasks: where everything runs.
            clock: for tests.
            connect: makes upstreams' links; the demo has some that can be cut.
        """
        self._ways = ways
        self._tasks = tasks
        self._clock = clock or Clock()
        self._connect = connect
        self._settings: EdgeSettings | None = None
        self._changing = asyncio.Lock()
        self._error = ""  # why there is no archive
        self._retrying: asyncio.Task[None] | None = None
        self._archive: Archive | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._stations: dict[str, _Reading] = {}
        self._upstreams: dict[str, _Sending] = {}

    async def change(self, settings: EdgeSettings | None) -> None:
        """Go over to other settings; None: to none at all. What did not change goes on undisturbed.

        While the archive cannot be had nothing is read, as it could not be kept: that is said, and tried again.
        """
        async with self._changing:
            await self._change(settings)

    async def _change(self, settings: EdgeSettings | None) -> None:
        before, self._settings = self._settings, settings
        if settings is None or (before is not None and settings.archive != before.archive):
            await self._stop_all()
        if settings is None or not await self._open_archive(settings):
            return
        await self._stop_stations({name for name, each in self._named(settings).items() if self._same(name, each)})
        await self._stop_upstreams({each.name for each in settings.upstreams if self._sent(each.name) == each})
        assert self._archive is not None  # it was opened above
        self._archive.forget_others(each.name for each in settings.upstreams)
        for place, station in enumerate(settings.stations):
            if station.name not in self._stations:
                self._start_station(station, phase(place, len(settings.stations), station.every))
        for upstream in settings.upstreams:
            if upstream.name not in self._upstreams:
                self._start_upstream(upstream)
        self._stations = {each.name: self._stations[each.name] for each in settings.stations}  # in the file's order
        self._upstreams = {each.name: self._upstreams[each.name] for each in settings.upstreams}
        for sending in self._upstreams.values():
            sending.upstream.changed()

    async def leave(self, ports: Container[Where], settings: EdgeSettings | None) -> None:
        """Before a reload takes lines away: read no more what it changes or removes, or what is on one of these ports.

        A round that is under way would end without an answer else, and say so. `change` starts what is to go on.
        """
        async with self._changing:
            wanted = self._named(settings) if settings is not None else {}
            kept = {name for name, each in wanted.items() if self._same(name, each) and each.to not in ports}
            await self._stop_stations(kept)

    def refresh(self) -> None:
        """Lines have come or gone: look up anew where stations are."""
        for reading in self._stations.values():
            reading.chosen.refresh()

    async def stop(self) -> None:
        """Read no more, and put what was read on the disk."""
        await self.change(None)

    def status(self) -> EdgeStatus | None:
        """A snapshot; None where nothing is to be read, kept or sent."""
        if self._settings is None:
            return None
        return EdgeStatus(
            error=self._error,
            archive=self._archive.status() if self._archive is not None else None,
            stations=tuple(each.station.status() for each in self._stations.values()),
            upstreams=tuple(each.upstream.status() for each in self._upstreams.values()),
        )

    async def samples(self, start: int, end: int, tag: str = "") -> AsyncIterator[list[ShownSample]]:
        """See `Archived`."""
        archive = self._had()
        check_known(archive, tag)
        async for portion in archive.between(start, end):
            shown = [shown_of(each, self._was_late(each)) for each in portion if is_of(each, tag)]
            if shown:
                yield shown

    async def chart(self, tags: Sequence[str], start: int, end: int, points: int) -> list[Curve]:
        """See `Archived`."""
        archive = self._had()
        for tag in tags:
            check_known(archive, tag)
        width = max(1, -(-(end - start) // points))
        known = [each for each in archive.tags if each.path in tags]
        buckets = await archive.buckets([each.id for each in known], start, end, width)
        sending = [each.upstream for each in self._upstreams.values()]
        lates = [run for each in sending for run in each.lates]
        acknowledged = min((each.acknowledged for each in sending), default=None)
        curves = []
        for each in known:
            curve = drawn(each.path, each.unit, buckets.get(each.id, {}), lates, acknowledged)
            if curve.samples or len(known) == len(tags):  # a tag whose unit has changed is several
                curves.append(curve)
        return curves

    def send(self, upstream: str, start: int, end: int) -> list[str]:
        """See `Archived`."""
        self._had()
        if upstream and upstream not in self._upstreams:
            known = ", ".join(self._upstreams) or "none"
            raise LookupError(f"there is no upstream {upstream}; there are: {known}")
        chosen = [upstream] if upstream else list(self._upstreams)
        for name in chosen:
            if not self._upstreams[name].upstream.send_interval(start, end):
                raise LookupError(f"upstream {name}: too many intervals wait already; try again when they are sent")
        return chosen

    def _had(self) -> Archive:
        if self._archive is None:
            raise ArchiveError(self._error or "the archive is being opened")
        return self._archive

    def _was_late(self, sample: Sample) -> bool:
        return sample.history or any(each.upstream.was_late(sample.seq) for each in self._upstreams.values())

    # Starting

    async def _open_archive(self, settings: EdgeSettings) -> bool:
        """Have the archive; False if that cannot be: it is tried again, and nothing is read until then."""
        if self._archive is not None:
            return True
        archive = Archive(settings.archive, self._clock)
        try:
            os.makedirs(os.path.dirname(settings.archive.path) or ".", mode=0o750, exist_ok=True)
            await archive.open()
        except (ArchiveError, OSError) as error:
            if self._error != str(error):
                self._error = str(error)
                extra = {"archive": settings.archive.path, "reason": self._error}
                log.error("no archive, so no station is read; trying on", extra=extra)
            if self._retrying is None:
                self._retrying = self._tasks.create_task(self._try_again(), name="archive again")
            return False
        self._error = ""
        self._archive = archive
        self._keeping = self._tasks.create_task(archive.run(), name="archive")
        return True

    async def _try_again(self) -> None:
        while self._archive is None and self._settings is not None:
            await asyncio.sleep(_RETRY_PAUSE)
            await self.change(self._settings)
        self._retrying = None

    def _start_station(self, settings: StationSettings, first: float) -> None:
        archive = self._archive
        assert archive is not None  # it was opened before
        ids = {
            tag.name: archive.register(settings.name, tag.name, tag.unit, type_of(tag), device_class_of(tag)).id
            for tag in settings.tags
        }
        newest: dict[str, int] = {}  # the driver looks into it once its station runs
        chosen = choose(settings, self._ways, self._clock, newest)
        history = None
        if settings.history is not None and isinstance(chosen.driver, Historian):
            history = History(settings, chosen.driver, archive, ids, self._clock)
        station = Station(settings, chosen.driver, archive.add, self._clock, ids, first, history)
        task = self._tasks.create_task(self._read(station, ids, newest), name=f"station {settings.name}")
        self._stations[settings.name] = _Reading(station, chosen, task)

    async def _read(self, station: Station, ids: dict[str, int], newest: dict[str, int]) -> None:
        """Read a station, once its line was tried: that it does not answer before says nothing of it."""
        if station.settings.protocol is not Protocol.MODBUS:
            await self._recall(ids, newest)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_OPENING):
                to = station.settings.to
                if (found := self._ways.line(to) or self._ways.bus(to)) is not None:
                    await found.tried.wait()
        await station.run()

    async def _recall(self, ids: dict[str, int], newest: dict[str, int]) -> None:
        """Which rows of profiles the archive has already."""
        assert self._archive is not None  # stations run while there is one
        try:
            stamps = await self._archive.newest_stamps(ids.values())
        except ArchiveError as error:
            log.warning("the archive cannot be asked what it has", extra={"reason": str(error)})
            return
        newest |= {name: stamps[number] for name, number in ids.items() if number in stamps}

    def _start_upstream(self, settings: UpstreamSettings) -> None:
        assert self._archive is not None  # it was opened before
        upstream = Upstream(settings, self._archive, self._clock, self._states, self._configured, connect=self._connect)
        task = self._tasks.create_task(upstream.run(), name=f"upstream {settings.name}")
        self._upstreams[settings.name] = _Sending(upstream, task)

    def _states(self) -> tuple[StationState, ...]:
        """What upstreams say of stations."""
        stations = (each.station for each in self._stations.values())
        return tuple(StationState(each.settings.name, each.up is True, each.since) for each in stations)

    def _configured(self) -> tuple[StationSettings, ...]:
        """What they can be announced by."""
        return tuple(each.station.settings for each in self._stations.values())

    # Stopping

    async def _stop_all(self) -> None:
        if self._retrying is not None and self._settings is None:
            self._retrying.cancel()
            self._retrying = None
        await self._stop_stations(set())
        await self._stop_upstreams(set())
        archive, self._archive = self._archive, None
        if archive is not None and self._keeping is not None:
            await _ended([self._keeping])
            await archive.close()

    async def _stop_stations(self, kept: set[str]) -> None:
        gone = [self._stations.pop(name) for name in tuple(self._stations) if name not in kept]
        await _ended([each.task for each in gone])

    async def _stop_upstreams(self, kept: set[str]) -> None:
        gone = [self._upstreams.pop(name) for name in tuple(self._upstreams) if name not in kept]
        await _ended([each.task for each in gone])

    # What is the same.

    @staticmethod
    def _named(settings: EdgeSettings) -> dict[str, StationSettings]:
        return {station.name: station for station in settings.stations}

    def _same(self, name: str, wanted: StationSettings) -> bool:
        reading = self._stations.get(name)
        # A station that was refused is asked again where somebody reloads: he may have mended the meter.
        return reading is not None and reading.station.settings == wanted and not reading.station.refused

    def _sent(self, name: str) -> UpstreamSettings | None:
        sending = self._upstreams.get(name)
        return None if sending is None else sending.upstream.settings


async def _ended(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


def shown_of(sample: Sample, late: bool) -> ShownSample:
    """A sample as it is shown."""
    tag = sample.tag
    quality = sample.quality.name.lower()
    return ShownSample(
        utc(sample.at), tag.station, tag.name, sample.value, tag.unit, quality, late, sample.seq, sample.boot
    )


def check_known(archive: Archive, tag: str) -> None:
    """Raises LookupError if nothing of that name, a `station/tag` or `station`, was ever kept."""
    names = {name for each in archive.tags for name in (each.station, each.path)}
    if tag and tag not in names:
        known = ", ".join(sorted({each.path for each in archive.tags})) or "nothing yet"
        raise LookupError(f"nothing of {tag[:80]!r} was ever kept; there is {known}")


def is_of(sample: Sample, tag: str) -> bool:
    """Whether a sample is of that `station/tag` or `station`; empty: any."""
    return not tag or tag in (sample.tag.path, sample.tag.station)

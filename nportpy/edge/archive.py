"""The archive: every reading is stored before it is sent anywhere.

    archive = Archive(ArchiveSettings(path), Clock())
    await archive.open()
    tag = archive.register("mains", "energy", unit="kWh")
    async with asyncio.TaskGroup() as group:
        group.create_task(archive.run())
        archive.add([Reading(tag.id, 12.5, Quality.GOOD, archive.clock.now())])    # never waits
        newest = await archive.grown(after)                                        # a commit brought more
        samples = await archive.read(after, 1000)                                  # live, or behind a cursor
        archive.acknowledge("plant", samples[-1].seq)                              # moves the upstream's cursor
    await archive.close()

Readers see what is committed and nothing else, so nothing is delivered that a power cut could take back. A commit
comes `commit` seconds after the first reading that waits, earlier when BATCH of them wait.

| what happens | what is done |
|---|---|
| the disk is slow | readings wait in the queue; beyond its limit the oldest of them are dropped and counted |
| it is full, or fails | the oldest samples are evicted to make room; if that does not help: as if it were slow |
| `max_size` or `max_age` is reached | the oldest samples are evicted and counted, acknowledged or not |
| the file is damaged or gone | it is set aside, counted and logged; a new one goes on with the numbers |

A dropped reading never had a number; an evicted sample is missing in the numbers. So what a receiver misses is exactly
what was evicted before it was sent.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from nportpy.edge.chart import Buckets, Slice, Slicing, merge
from nportpy.edge.clock import Clock
from nportpy.edge.sample import Reading, Sample, Tag
from nportpy.edge.settings import ArchiveSettings
from nportpy.edge.store import CHUNK, Store
from nportpy.edge.writer import Writer
from nportpy.errors import MisuseError
from nportpy.status import ArchiveStatus
from nportpy.throttle import Throttle

BATCH = 64
"""Readings that are worth a commit before its time: from here on a larger batch saves little flash."""

_T = TypeVar("_T")

_INT64 = 1 << 63
_GAP = 0.25  # seconds between two commits, whatever waits
_IDLE = 30.0  # seconds after which the clock, the age of samples and the cursors are looked at without readings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Backlog:
    """What an upstream has not got yet.

    Attributes:
        acknowledged: number of the last sample that it has.
        waiting: samples that are there and that it has not got.
        oldest_at: time of the oldest of them, in microseconds since the epoch; None if there is none.
        lost: samples that were evicted before it got them.
    """

    acknowledged: int
    waiting: int
    oldest_at: int | None
    lost: int


class Archive:
    """One archive. Calls without `await` return at once; the others wait for its thread.

    Reads may raise ArchiveError while the disk fails.
    """

    def __init__(self, settings: ArchiveSettings, clock: Clock | None = None) -> None:
        """Nothing is opened yet."""
        self.clock = clock or Clock()
        self._settings = settings
        self._writer = Writer(settings, self.clock)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="archive")
        self._waiting = asyncio.Event()  # something is in the queue
        self._many = asyncio.Event()  # enough for a commit before its time
        self._committed = asyncio.Event()  # replaced with every commit
        self._ids: dict[tuple[str, str, str, str], int] = {}
        self._complaints = Throttle()
        self._dropped = 0
        self._cursors_written = 0.0
        self._committed_at = 0.0

    # Life

    async def open(self) -> None:
        """Open the file or begin one.

        Raises:
            ArchiveError: another process has it, or this one may not write there.
        """
        await self._call(self._writer.open)
        self._ids = {_key(tag): tag.id for tag in self._writer.tags.values()}

    async def run(self) -> None:
        """Commit what is added, for ever. Belongs into a task group; `close` commits the rest after it has ended."""
        loop = asyncio.get_running_loop()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_IDLE):
                    await self._waiting.wait()
            began = loop.time()
            if self._waiting.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._settings.commit):
                        await self._many.wait()
                        await asyncio.sleep(max(0.0, self._committed_at + _GAP - loop.time()))
            if not await self.flush():
                await asyncio.sleep(max(0.0, began + max(self._settings.commit, 1.0) - loop.time()))
            while self._writer.store.excess:
                await self._call(self._writer.trim)

    async def flush(self) -> bool:
        """Commit what waits now.

        Returns:
            Whether it is on the disk. If not, it still waits, and the status says why.
        """
        now = asyncio.get_running_loop().time()
        with_cursors = now - self._cursors_written >= _IDLE
        if with_cursors:
            self._cursors_written = now
        return await self._commit(with_cursors)

    async def close(self) -> None:
        """Commit what waits, write the cursors, let go of the file and end the thread."""
        try:
            if not await self._commit(with_cursors=True):
                log.error("archive %s: %d readings are lost", self._settings.path, self._queued)
            await self._call(self._writer.close)
        finally:
            self._thread.shutdown(wait=False)

    async def _commit(self, with_cursors: bool) -> bool:
        self._waiting.clear()
        self._many.clear()
        goal = self._writer.written + self._queued
        while True:
            done = await self._call(self._writer.work, with_cursors)
            self._committed_at = asyncio.get_running_loop().time()
            if self._queued:
                self._waiting.set()
            if not done:
                self._complain()
                return False
            self._committed.set()
            self._committed = asyncio.Event()
            if self._writer.written >= goal or not self._queued:
                return True

    def _complain(self) -> None:
        held = self._complaints.allow(self._writer.error, asyncio.get_running_loop().time())
        if held is not None:
            log.error(
                "archive %s cannot be written: %s; %d readings wait, %d were dropped; make room or lower max_size",
                self._settings.path,
                self._writer.error,
                self._queued,
                self._dropped,
            )

    # Writing

    def register(self, station: str, name: str, unit: str = "", type: str = "", device_class: str = "") -> Tag:  # noqa: A002
        """The tag of that name, unit and type: the one that the archive knows, or a new one.

        A tag whose unit or type changes is another tag, so old samples keep theirs.
        """
        key = (station, name, unit, type)
        if key not in self._ids:
            self._ids[key] = max(self._writer.tags, default=0) + 1
        tag = Tag(self._ids[key], *key, device_class)
        if self._writer.tags.get(tag.id) != tag:
            self._writer.tags[tag.id] = self._writer.new_tags[tag.id] = tag
        return tag

    def add(self, readings: Iterable[Reading]) -> None:
        """Take readings in the order in which they came. Never waits.

        Raises:
            MisuseError: a reading's tag was not registered, or it is no reading; none of them is taken.
        """
        taken = list(readings)
        for reading in taken:
            if reading.tag not in self._writer.tags:
                raise MisuseError(f"tag {reading.tag} is not registered")
            if not isinstance(reading.value, int | float | str | None) or not 0 <= reading.monotonic < _INT64:
                raise MisuseError(f"no reading: {reading}")
            if reading.at is not None and not -_INT64 <= reading.at < _INT64:
                raise MisuseError(f"no reading: {reading}")
        queue = self._writer.queue
        queue.extend(taken)
        while self._queued > self._settings.queue and queue:
            with contextlib.suppress(IndexError):  # the thread has taken it
                queue.popleft()
                self._dropped += 1
        self._waiting.set()
        if len(queue) >= BATCH:
            self._many.set()

    @property
    def _queued(self) -> int:
        return len(self._writer.queue) + len(self._writer.in_hand)

    # Reading

    @property
    def boot(self) -> str:
        """This run of the gateway."""
        return self._writer.store.boot

    @property
    def boots(self) -> frozenset[str]:
        """The runs whose samples it has, and this one."""
        return frozenset(epoch.boot for epoch in self._writer.store.epochs) | {self.boot}

    @property
    def newest(self) -> int:
        """Number of the newest committed sample."""
        return self._writer.store.newest

    @property
    def oldest(self) -> int:
        """Number of the oldest sample that is there; newest + 1 if there is none."""
        return self._writer.store.oldest

    @property
    def tags(self) -> tuple[Tag, ...]:
        """Every tag that has an id, by id."""
        return tuple(tag for _, tag in sorted(self._writer.tags.items()))

    async def grown(self, after: int) -> int:
        """Wait until there are samples with numbers above `after`.

        Returns:
            The number of the newest.
        """
        while self.newest <= after:
            await self._committed.wait()
        return self.newest

    async def read(self, after: int, limit: int = CHUNK) -> list[Sample]:
        """The samples behind number `after`, at most `limit` and at most 1000, in their order.

        What was evicted is missing at the beginning: the first number tells.
        """
        return await self._call(self._writer.read, lambda store: store.read(after, limit))

    async def between(self, start: int, end: int) -> AsyncIterator[list[Sample]]:
        """The samples with `start` <= at < `end` (microseconds since the epoch) in the order of their numbers.

        They come in lists of at most 1000. Between two lists the archive serves others.
        """
        for first, last in await self._call(self._writer.read, lambda store: store.ranges(start, end)):
            for low in range(first, last + 1, CHUNK):
                high = min(last, low + CHUNK - 1)
                found = await self._call(
                    self._writer.read, partial(Store.within, first=low, last=high, start=start, end=end)
                )
                if found:
                    yield found

    async def buckets(self, tags: Collection[int], start: int, end: int, width: int) -> Buckets:
        """The samples of some tags with `start` <= at < `end`, added up over stretches of `width` microseconds.

        Others are served after each slice of rows (chart.py).
        """
        found: Buckets = {}
        if not tags:
            return found
        slicing = Slicing(await self._call(self._writer.read, lambda store: store.slices(start, end)))
        for rows in slicing:
            more, seconds = await self._call(self._look, rows, tags, start, end, width)
            slicing.took(seconds)
            merge(found, more)
        return found

    def _look(self, rows: Slice, tags: Collection[int], start: int, end: int, width: int) -> tuple[Buckets, float]:
        began = time.monotonic()
        found = self._writer.read(lambda store: store.buckets(rows, tags, start, end, width))
        return found, time.monotonic() - began

    # Cursors

    def cursor(self, upstream: str) -> int:
        """Number of the last sample that the upstream has; a new upstream is given all that is there."""
        return self._writer.cursors.setdefault(upstream, self.oldest - 1)

    def acknowledge(self, upstream: str, seq: int) -> None:
        """The upstream has everything up to number `seq`; a cursor never goes back.

        Cursors are written every 30 s and at the end: after a crash, what was acknowledged since is sent again.
        """
        self._writer.cursors[upstream] = max(self.cursor(upstream), min(seq, self.newest))

    def forget_others(self, upstreams: Iterable[str]) -> None:
        """There are these upstreams and no others: one that comes back later is given all that is there."""
        known = set(upstreams)
        self._writer.cursors = {name: seq for name, seq in self._writer.cursors.items() if name in known}

    def waiting(self, upstream: str) -> int:
        """How many samples are there that the upstream has not got."""
        return self.newest - max(self.cursor(upstream), self.oldest - 1)

    async def backlog(self, upstream: str) -> Backlog:
        """What the upstream has not got."""
        cursor = self.cursor(upstream)
        first = await self.read(cursor, 1)
        lost = max(0, self.oldest - 1 - cursor)
        return Backlog(cursor, self.waiting(upstream), first[0].at if first else None, lost)

    # What devices have kept

    def mark(self, station: str) -> int | None:
        """Until when a station was said to be complete, in microseconds UTC; None: never."""
        return self._writer.marks.get(station)

    def set_mark(self, station: str, at: int) -> None:
        """A station is complete until `at`; written as cursors are."""
        self._writer.marks[station] = at

    async def newest_stamps(self, tags: Collection[int]) -> dict[int, int]:
        """The newest stamp of its device's own that each tag has, in microseconds UTC; those without are not there."""
        wanted = {each for each in tags if each not in self._writer.new_tags}
        found: dict[int, int] = {}
        before = self.newest + 1
        while wanted and before > self.oldest:
            portion, before = await self._call(
                self._writer.read, partial(Store.newest_stamps, tags=frozenset(wanted), before=before)
            )
            found |= portion
            wanted -= portion.keys()
        return found

    async def kept(self, tags: Collection[int], start: int, end: int) -> set[tuple[int, int]]:
        """What of some tags devices had kept: each tag with each stamp from `start` to before `end`."""
        found: set[tuple[int, int]] = set()
        async for samples in self.between(start, end):
            found |= {(each.tag.id, each.at) for each in samples if each.history and each.tag.id in tags}
        return found

    # Clock and status

    async def correct(self, boot: str, offset: int) -> None:
        """Say what the wall clock minus the monotonic clock was in a run of the gateway, in microseconds.

        That run's samples, those with their device's stamp excepted, are put right and are not uncertain any more. It
        is done by itself when the clock of a run becomes trusted; this is for who knows better.
        """
        await self._call(self._writer.read, lambda store: store.correct(boot, offset))

    def status(self) -> ArchiveStatus:
        """What it looks like now."""
        writer, store = self._writer, self._writer.store
        return ArchiveStatus(
            path=self._settings.path,
            samples=store.newest - store.oldest + 1,
            bytes=store.bytes,
            oldest=store.oldest,
            newest=store.newest,
            oldest_at=None if store.oldest_at is None else store.oldest_at / 1e6,
            evicted=store.evicted,
            queued=self._queued,
            dropped=self._dropped,
            commits=writer.commits,
            commit_seconds=writer.seconds,
            durations=tuple(writer.durations),
            failures=writer.failures,
            recovered=writer.recovered,
            error=writer.error,
            trusted=bool(store.epochs) and store.epochs[-1].trusted,
        )

    async def _call(self, what: Callable[..., _T], *arguments: object) -> _T:
        """Let the thread do something. It does it whole, whether or not the caller still waits."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, what, *arguments)


def _key(tag: Tag) -> tuple[str, str, str, str]:
    return tag.station, tag.name, tag.unit, tag.type

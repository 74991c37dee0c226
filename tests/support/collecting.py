"""Nodes that send batches, a broker in memory for collectors, and what a store holds."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nportpy.edge.collect.arrivals import Arrival
from nportpy.edge.collect.collector import Collector
from nportpy.edge.collect.intake import Intake
from nportpy.edge.collect.settings import CollectSettings, SourceSettings, StoreSettings
from nportpy.edge.collect.sqlite import SqliteStore
from nportpy.edge.collect.stores import Store
from nportpy.edge.links.base import LinkError
from nportpy.edge.messages import State, encode_state
from nportpy.edge.sample import Quality, Sample, Tag
from nportpy.edge.topics import Address, Kind
from nportpy.edge.wire import Meta, encode_batches, encode_meta

TAGS = (Tag(1, "emon", "power", "kW", "float32", "power"), Tag(2, "emon", "energy", "kWh", "uint64", "energy"))
SITE = "here"
KEPT = Path("collected.db")

Key = tuple[str, str, int]


@dataclass
class Node:
    """A gateway as its messages show it: numbers rise over all its runs."""

    name: str = "pi"
    boot: str = "a1"
    site: str = SITE
    oldest: int = 1
    newest: int = 0
    produced: set[Key] = field(default_factory=set)
    tags: tuple[Tag, ...] = TAGS

    @property
    def meta(self) -> Meta:
        return Meta(self.name, self.tags)

    def topic(self, kind: Kind) -> str:
        return Address(self.site, self.name, kind).topic

    def samples(self, count: int, value: Any = None) -> list[Sample]:
        """The next readings."""
        numbers = range(self.newest + 1, self.newest + count + 1)
        self.newest += count
        self.produced |= {(self.name, self.boot, number) for number in numbers}
        now = time.time_ns() // 1000
        return [
            Sample(
                number,
                self.boot,
                now + number,
                self.tags[number % len(self.tags)],
                number / 4 if value is None else value,
                Quality.GOOD,
                0,
            )
            for number in numbers
        ]

    def batch(self, samples: Sequence[Sample], *, late: bool = False) -> tuple[str, bytes, str]:
        """Topic, payload and message id of the samples, which fit in one batch."""
        (encoded,) = encode_batches(samples, self.name, self.meta.hash, late)
        return self.topic(Kind.LATE if late else Kind.LIVE), encoded.payload, encoded.id

    def more(self, count: int = 10, *, late: bool = False) -> tuple[str, bytes]:
        """The next batch."""
        return self.batch(self.samples(count), late=late)[:2]

    def state(self, *, online: bool = True, **fields: Any) -> tuple[str, bytes]:
        at = time.time_ns() // 1000
        numbers = {"oldest": self.oldest, "newest": self.newest} | fields
        return self.topic(Kind.STATE), encode_state(State(self.name, self.boot, online, at, **numbers))

    def table(self) -> tuple[str, bytes]:
        return self.topic(Kind.META), encode_meta(self.meta)


class MemoryQueue:
    """A broker with a queue that collectors share: what is not acknowledged is delivered again.

    Attributes:
        waiting: to be delivered, or delivered and not acknowledged.
        told: what collectors have said to nodes.
        given_back: what a collector did not want to keep.
    """

    def __init__(self) -> None:
        self.waiting: dict[int, tuple[str, bytes]] = {}
        self.out: set[int] = set()
        self.told: list[tuple[str, bytes]] = []
        self.given_back = 0
        self.up = True
        self.sources: list[MemorySource] = []
        self._number = 0
        self._came = asyncio.Event()

    def send(self, *messages: tuple[str, bytes]) -> None:
        for each in messages:
            self._number += 1
            self.waiting[self._number] = each
        self._came.set()

    async def connect(self, url: str, settings: SourceSettings, intake: Intake) -> "MemorySource":
        if not self.up:
            raise LinkError("refused")
        self.sources.append(MemorySource(self, intake))
        return self.sources[-1]

    async def empty(self, limit: float = 60.0) -> None:
        """Until everything is acknowledged."""
        async with asyncio.timeout(limit):
            while self.waiting:  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    def drop(self) -> None:
        for each in self.sources:
            if not each.lost.done():
                each.lost.set_result("gone")


class MemorySource:
    """A connection to a `MemoryQueue`."""

    def __init__(self, queue: MemoryQueue, intake: Intake) -> None:
        self.name = "memory"
        self.queue = queue
        self.intake = intake
        self.mine: set[int] = set()
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            delivering = tasks.create_task(self._deliver())
            reason = await asyncio.shield(self.lost)
            delivering.cancel()
        raise LinkError(reason)

    async def _deliver(self) -> None:
        while True:
            await self.intake.room()
            ready = [number for number in self.queue.waiting if number not in self.queue.out]
            if not ready:
                self.queue._came.clear()
                await self.queue._came.wait()
                continue
            number = ready[0]
            self.queue.out.add(number)
            self.mine.add(number)
            topic, payload = self.queue.waiting[number]
            self.intake.put(Arrival(topic, payload, "", 1_000_000, self, number))

    async def acknowledge(self, arrivals: Sequence[Arrival]) -> None:
        for each in arrivals:
            if not self.lost.done():
                self.queue.waiting.pop(each.receipt, None)  # type: ignore[call-overload]

    async def give_back(self, arrivals: Sequence[Arrival]) -> None:
        self.queue.given_back += len(arrivals)

    async def publish(self, topic: str, payload: bytes) -> None:
        if self.lost.done():
            raise LinkError("lost")
        self.queue.told.append((topic, payload))

    async def close(self) -> None:
        if not self.lost.done():
            self.lost.set_result("closed")
        self.queue.out -= self.mine
        self.queue._came.set()


def settings(*sources: SourceSettings, store: StoreSettings | None = None) -> CollectSettings:
    return CollectSettings(
        sources or (SourceSettings("plant", ("memory://",)),), store or StoreSettings(str(KEPT), commit=0.02)
    )


@asynccontextmanager
async def collecting(collector: Collector) -> AsyncIterator[Collector]:
    """A collector at work, stopped in order."""
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(collector.run())
        try:
            yield collector
        finally:
            collector.stop()
            await running


@asynccontextmanager
async def collected(
    folder: Path, queue: MemoryQueue | None = None, store: Store | None = None
) -> AsyncIterator[tuple[MemoryQueue, Collector]]:
    """A collector on a queue in memory, into SQLite."""
    queue = queue or MemoryQueue()
    kept = store or SqliteStore(str(folder / KEPT))
    collector = Collector(settings(), kept, queue.connect, chance=lambda: 0.0)
    async with collecting(collector):
        yield queue, collector


def fetched(folder: Path, statement: str) -> list[tuple[Any, ...]]:
    """What SQLite says, once no collector has the file."""
    database = sqlite3.connect(folder / KEPT)
    try:
        return database.execute(statement).fetchall()
    finally:
        database.close()


def keys(folder: Path) -> list[Key]:
    return [(node, boot, seq) for node, boot, seq in fetched(folder, "SELECT node, boot, seq FROM samples")]

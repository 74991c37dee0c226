"""A broker in memory for upstreams, and an archive to send from; on virtual time."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from nportpy.edge.archive import Archive
from nportpy.edge.clock import Clock
from nportpy.edge.links.base import Heard, LinkError, Message, RefusedError
from nportpy.edge.sample import Quality, Reading
from nportpy.edge.settings import ArchiveSettings, UpstreamSettings
from nportpy.edge.upstream import Upstream
from nportpy.edge.wire import Batch, decode_batch
from tests.support.stations import START, LoopClock

log = logging.getLogger(__name__)

Key = tuple[str, int]
"""(boot, seq): what makes a sample of one node unique."""


class MemoryLink:
    """A connection to a `Broker`."""

    carries_types = True

    def __init__(self, broker: "Broker", heard: Heard, will: Message) -> None:
        self.name = "memory"
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.broker = broker
        self.heard = heard
        self.will = will

    async def publish(self, message: Message) -> None:
        await asyncio.sleep(self.broker.delay)
        if self.broker.hole:  # packets are dropped, and nobody says so
            await asyncio.Event().wait()
        if self.lost.done():
            raise LinkError("lost")
        if refusal := self.broker.refuses(message):
            raise refusal
        self.broker.take(message)
        await asyncio.sleep(self.broker.delay)
        if self.broker.hole:
            await asyncio.Event().wait()

    async def close(self) -> None:
        if not self.lost.done():
            self.lost.set_result("closed")


class Broker:
    """What was received, in its order.

    Attributes:
        up: whether anybody can connect.
        hole: packets vanish; the link notices after `keepalive`, as one and a half of it are over.
        delay: seconds of one way.
    """

    def __init__(self) -> None:
        self.up = True
        self.hole = False
        self.delay = 0.0
        self.refuses: Callable[[Message], RefusedError | None] = lambda _: None
        self.batches: list[tuple[float, Batch]] = []
        self.retained: dict[str, bytes] = {}
        self.messages: list[Message] = []
        self.link: MemoryLink | None = None
        self.attempts: list[float] = []

    async def connect(self, url: str, settings: UpstreamSettings, heard: Heard, will: Message) -> MemoryLink:
        self.attempts.append(asyncio.get_running_loop().time())
        if self.hole:
            await asyncio.sleep(10.0)
            raise LinkError("no answer")
        if not self.up:
            raise LinkError("refused")
        self.link = MemoryLink(self, heard, will)
        return self.link

    def take(self, message: Message) -> None:
        if message.topic in ("live", "late"):
            batch = decode_batch(message.payload)
            assert batch.late is (message.topic == "late")
            self.batches.append((asyncio.get_running_loop().time(), batch))
        elif message.retain:
            self.retained[message.topic] = message.payload
        self.messages.append(message)

    def drop(self, reason: str = "gone") -> None:
        """End the connection."""
        if self.link is not None and not self.link.lost.done():
            self.link.lost.set_result(reason)

    def received(self, *, late: bool | None = None) -> list[Key]:
        """Every sample that came, in its order; twice if it came twice."""
        return [
            (batch.boot, batch.seq + place)
            for _, batch in self.batches
            if late is None or batch.late is late
            for place in range(len(batch.rows))
        ]

    def delays(self) -> list[float]:
        """Seconds from each live sample's reading to its arrival."""
        return [
            arrived - 1000.0 - (row.at / 1e6 - START)
            for arrived, batch in self.batches
            if not batch.late
            for row in batch.rows
        ]


class Sending:
    """An archive that is fed, and an upstream that sends from it."""

    def __init__(self, archive: Archive, upstream: Upstream, broker: Broker, clock: Clock) -> None:
        self.archive = archive
        self.upstream = upstream
        self.broker = broker
        self.clock = clock
        self.tag = archive.register("emon", "power", "kW", "float32")
        self.produced = 0

    async def feed(self, seconds: float, rate: float = 10.0) -> None:
        """So many readings a second, for so long."""
        for _ in range(round(seconds * rate)):
            self.archive.add([Reading(self.tag.id, float(self.produced), Quality.GOOD, self.clock.now())])
            self.produced += 1
            await asyncio.sleep(1 / rate)

    async def settle(self, limit: float = 600.0) -> None:
        """Until everything has arrived."""
        async with asyncio.timeout(limit):
            while self.archive.status().queued or self.upstream.status().backlog:  # noqa: ASYNC110 - counts
                await asyncio.sleep(0.5)

    @property
    def all(self) -> set[Key]:
        return {(self.archive.boot, number) for number in range(1, self.archive.newest + 1)}


def upstream_settings(**keys: Any) -> UpstreamSettings:
    fields: dict[str, Any] = {
        "name": "plant",
        "urls": ("mqtt://broker",),
        "site": "here",
        "node": "pi",
        "max_rate": 0.0,
    }
    return UpstreamSettings(**(fields | keys))


@asynccontextmanager
async def sending(
    path: Path, broker: Broker | None = None, archive: dict[str, Any] | None = None, **keys: Any
) -> AsyncIterator[Sending]:
    """An upstream at work; at the end everything stops, and leaves nothing behind."""
    clock, broker = LoopClock(), broker or Broker()
    configured = keys.pop("configured", tuple)
    kept = Archive(ArchiveSettings(str(path / "archive.db"), **(archive or {})), clock)
    await kept.open()
    upstream = Upstream(
        upstream_settings(**keys), kept, clock, configured=configured, connect=broker.connect, chance=lambda: 0.5
    )
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(kept.run()), tasks.create_task(upstream.run())]
        try:
            yield Sending(kept, upstream, broker, clock)
        finally:
            for task in running:
                task.cancel()
    await kept.close()


@asynccontextmanager
async def sending_to(path: Path, *urls: str, **keys: Any) -> AsyncIterator[Sending]:
    """An upstream at work in real time, over real sockets. Commits are quick, and so are new attempts."""
    archive = Archive(ArchiveSettings(str(path / "archive.db"), commit=0.1), Clock(trusted=lambda: True))
    await archive.open()
    configured, stations = keys.pop("configured", tuple), keys.pop("stations", tuple)
    settings = upstream_settings(urls=urls, **({"keepalive": 5.0, "overlap": 1.0} | keys))
    upstream = Upstream(settings, archive, archive.clock, stations, configured, chance=lambda: -0.9)  # 5 % of the pause
    try:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(archive.run()), tasks.create_task(upstream.run())]
            try:
                yield Sending(archive, upstream, Broker(), archive.clock)
            finally:
                for task in running:
                    task.cancel()
                began = asyncio.get_running_loop().time()
                await asyncio.wait(running)
                assert asyncio.get_running_loop().time() - began < 5.0, "an upstream ends in bounded time"
    finally:
        await archive.close()

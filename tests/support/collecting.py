"""Nodes that send batches, a broker in memory for collectors, and what a store holds."""

import asyncio
import json
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nportpy.config.collect_build import load
from nportpy.edge import links
from nportpy.edge.collect.arrivals import Arrival
from nportpy.edge.collect.collector import Collector
from nportpy.edge.collect.intake import Intake
from nportpy.edge.collect.settings import CollectSettings, SourceSettings, StoreSettings
from nportpy.edge.collect.sqlite import SqliteStore
from nportpy.edge.collect.stores import Store, StoreError, store_for
from nportpy.edge.collect.verify import verdict_table, verify
from nportpy.edge.links.base import Link, LinkError, Message, RefusedError
from nportpy.edge.messages import State, decode_acknowledgement, encode_state
from nportpy.edge.sample import Quality, Sample, Tag
from nportpy.edge.settings import UpstreamSettings
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

    def samples(self, count: int, value: Any = None, step: int = 1) -> list[Sample]:
        """The next readings."""
        numbers = range(self.newest + 1, self.newest + count + 1)
        self.newest += count
        self.produced |= {(self.name, self.boot, number) for number in numbers}
        now = time.time_ns() // 1000
        return [
            Sample(
                number,
                self.boot,
                now + step * (number - self.newest),
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
        said = {"at": time.time_ns() // 1000, "oldest": self.oldest, "newest": self.newest} | fields
        return self.topic(Kind.STATE), encode_state(State(self.name, self.boot, online, **said))

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


# Real brokers: the collector as a process, nodes over the gateway's own links.


@asynccontextmanager
async def publishing(url: str, *nodes: Node) -> AsyncIterator["Publishing"]:
    """Nodes that are connected to a broker, having told their tags and states."""
    ways = Publishing(url, nodes)
    try:
        await ways.connect()
        yield ways
    finally:
        await ways.close()


class Publishing:
    """Sends until it is acknowledged, as an upstream does: after a loss with a connection anew."""

    def __init__(self, url: str, nodes: Sequence[Node]) -> None:
        self.url = url
        self.nodes = nodes
        self.acks: dict[str, int] = {}
        self._links: dict[str, Link] = {}

    async def connect(self) -> None:
        for node in self.nodes:
            await self._connect(node)

    async def _connect(self, node: Node) -> Link:
        def heard(kind: str, payload: bytes) -> None:
            if kind == "ack":
                self.acks[node.name] = decode_acknowledgement(payload).seq

        will = Message("state", node.state(online=False)[1], retain=True)
        settings = UpstreamSettings("plant", (self.url,), site=node.site, node=node.name, keepalive=5.0)
        link = self._links[node.name] = await links.connect(self.url, settings, heard, will)
        await link.publish(Message("meta", node.table()[1], retain=True))
        await link.publish(Message("state", node.state()[1], retain=True))
        return link

    async def say(self, node: Node) -> None:
        """Its state."""
        await self._publish(node, Message("state", node.state()[1], retain=True))

    async def send(self, node: Node, count: int = 10, *, late: bool = False) -> None:
        """The next readings."""
        await self.resend(node, node.samples(count), late=late)

    async def resend(self, node: Node, samples: Sequence[Sample], *, late: bool = False) -> None:
        """Readings, again perhaps."""
        topic, payload, name = node.batch(samples, late=late)
        await self._publish(node, Message(topic.rpartition("/")[2], payload, id=name))

    async def _publish(self, node: Node, message: Message, limit: float = 60.0) -> None:
        async with asyncio.timeout(limit):
            while True:
                try:
                    link = self._links.get(node.name) or await self._connect(node)
                    async with asyncio.timeout(8.0):
                        return await link.publish(message)
                except (LinkError, RefusedError, TimeoutError):
                    if (lost := self._links.pop(node.name, None)) is not None:
                        await lost.close()
                    await asyncio.sleep(0.2)

    async def close(self) -> None:
        for link in self._links.values():
            await link.close()


def written_config(folder: Path, url: str, store: str = "", name: str = "one", more: str = "") -> Path:
    """A collector's file; `store`: of PostgreSQL, else SQLite in the folder."""
    kept = f'url = "{store}"' if store else f'path = "{folder / KEPT}"'
    path = folder / f"{name}.toml"
    source = f'url = "{url}"\nclient = "{name}"\nkeepalive = "5s"'
    path.write_text(f'[source.plant]\n{source}\n[store]\n{kept}\ncommit = "50ms"\n{more}\n')
    return path


class CollectorProcess:
    """`nportpy collect` as a program."""

    def __init__(self, config: Path) -> None:
        self.config = config
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """0 if it does not run."""
        return self._process.pid if self._process is not None else 0

    async def start(self) -> None:
        with open(self.config.with_suffix(".log"), "ab") as output:  # noqa: ASYNC230
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "nportpy", "collect", "-c", str(self.config), stdout=output, stderr=output
            )

    @property
    def output(self) -> str:
        return self.config.with_suffix(".log").read_text()

    async def end(self, how: signal.Signals = signal.SIGTERM) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        if process.returncode is None:
            process.send_signal(how)
        async with asyncio.timeout(30):
            return await process.wait()

    async def kill(self) -> None:
        await self.end(signal.SIGKILL)


@asynccontextmanager
async def collector_process(config: Path) -> AsyncIterator[CollectorProcess]:
    process = CollectorProcess(config)
    try:
        await process.start()
        yield process
    finally:
        await process.end()


async def verified(config: Path) -> tuple[int | None, dict[str, Any]]:
    """What `nportpy collect --verify --json` says, and its exit code; without its process, as this asks often."""
    try:
        verdict = await verify(store_for(load(str(config)).store, read_only=True))
    except StoreError:
        return 1, {}
    return 0 if verdict.complete else 1, json.loads(json.dumps(verdict_table(verdict)))


async def complete(config: Path, *nodes: Node, limit: float = 60.0) -> dict[str, Any]:
    """Wait until nothing is missing of what nodes have."""
    newest = {node.name: node.newest for node in nodes}
    found: dict[str, Any] = {}
    async with asyncio.timeout(limit):
        while True:
            code, found = await verified(config)
            if code == 0 and newest == {each["node"]: each["newest"] for each in found["nodes"]}:
                return found
            await asyncio.sleep(0.5)

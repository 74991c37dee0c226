"""From brokers to a database: nothing is acknowledged before it is on the disk there.

    sources -> intake (bounded) -> decode -> one commit -> acknowledge to the broker, tell nodes their watermark

| what happens | what is done |
|---|---|
| a broker is lost | connected anew after 1, 2, 4 ... 60 s; what was not acknowledged comes again |
| the database is away | the same work is tried again and again; the intake fills, and brokers keep the rest |
| a batch comes twice | stored once: (node, boot, seq) is the key, and the first one stays |
| a message cannot be understood, or the database will never take it | a dead letter: kept, counted, acknowledged |
| the collector dies | nothing was acknowledged that is not stored |
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import time
from typing import Final, TypeVar

from nportpy.edge.collect import sources
from nportpy.edge.collect.arrivals import Arrival, Node, Work, dead_letter, sorted_out
from nportpy.edge.collect.intake import Intake
from nportpy.edge.collect.settings import CollectSettings, SourceSettings
from nportpy.edge.collect.sources import Connect, Source
from nportpy.edge.collect.stores import Store, StoreError, StoreRefused, Written
from nportpy.edge.delivery import pause_before
from nportpy.edge.ending import apart
from nportpy.edge.links.base import LinkError
from nportpy.edge.messages import Acknowledgement, encode_acknowledgement
from nportpy.edge.topics import Address, Kind
from nportpy.throttle import Throttle

_WATERMARKS_EVERY: Final = 1.0
_STOP_TIME: Final = 10.0
_LONGEST_PAUSE: Final = 15.0  # between attempts with the database
_LONG: Final = 60.0  # a connection that held so long begins with short pauses again

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Counts:
    """Numbers since the start.

    Attributes:
        messages: that were stored and acknowledged, dead letters too.
        rows: samples that were new.
        duplicates: samples that were stored before.
        bad: messages that became dead letters.
        commits: how many there were; `commit_seconds`: what they took.
        failures: attempts that the database failed.
        lag: seconds from the newest live sample's reading to its commit, in the last commit that had one.
        watermarks: messages to nodes.
    """

    messages: int = 0
    rows: int = 0
    duplicates: int = 0
    bad: int = 0
    commits: int = 0
    commit_seconds: float = 0.0
    failures: int = 0
    lag: float = 0.0
    watermarks: int = 0


@dataclass(slots=True)
class SourceState:
    """Whether a source is connected, and how often it was."""

    up: bool = False
    connects: int = 0
    reason: str = "not connected yet"


class Collector:
    """Runs until `stop`, or until it is cancelled.

    Attributes:
        counts: numbers since the start.
        states: of each source, by its name.
        store_up: whether the last attempt with the database went well.
    """

    def __init__(
        self,
        settings: CollectSettings,
        store: Store,
        connect: Connect = sources.connect,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Not connected.

        Args:
            settings: where from.
            store: where to, not open yet.
            connect: makes a source; tests bring their own.
            chance: a random number in [0, 1).
        """
        self.counts = Counts()
        self.states = {each.name: SourceState() for each in settings.sources}
        self.store_up = False
        self._settings = settings
        self._store = store
        self._connect = connect
        self._chance = chance
        self._intake = Intake()
        self._due: dict[Node, tuple[Acknowledgement, Source]] = {}  # what nodes are to be told, and by which source
        self._idle = asyncio.Event()  # no commit is under way
        self._idle.set()
        self._throttle = Throttle()
        self._stopping = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Messages that have come and are not stored."""
        return len(self._intake)

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """End when the commit that is under way is done and acknowledged; what is not stored stays with the brokers."""
        self._stopping.set()

    async def run(self) -> None:
        """Collect.

        Raises:
            StoreError: the database can never be used as it is.
        """
        unusable: StoreError | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                storing = tasks.create_task(self._store_all(), name="store")
                others = [
                    tasks.create_task(self._keep_connected(each), name=f"source {each.name}")
                    for each in self._settings.sources
                ]
                others.append(tasks.create_task(self._tell_watermarks(), name="watermarks"))
                stopping = tasks.create_task(self._stopping.wait(), name="stop")
                await asyncio.wait((stopping, storing), return_when=asyncio.FIRST_COMPLETED)
                if not storing.done():
                    await self._finish(storing)
                for task in (*others, stopping):
                    task.cancel()
        except* StoreError as group:
            unusable = StoreError(str(group.exceptions[0]), final=True)
        finally:
            await self._store.close()
        if unusable is not None:  # raised in the clause, Python before 3.11.4 would wrap it in a group
            raise unusable

    async def _finish(self, storing: asyncio.Task[None]) -> None:
        """Let the commit that is under way end, and give back what waits."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_TIME):
                await self._idle.wait()
        storing.cancel()
        await self._say_watermarks()
        for source, arrivals in _by_source(self._intake.rest()):
            await source.give_back(arrivals)

    # Sources.

    async def _keep_connected(self, settings: SourceSettings) -> None:
        state, attempt, loop = self.states[settings.name], 0, asyncio.get_running_loop()
        while True:
            url = settings.urls[attempt % len(settings.urls)]
            began = loop.time()
            try:
                source = await self._connect(url, settings, self._intake)
                try:
                    state.up, state.reason, state.connects = True, "", state.connects + 1
                    log.info("collecting", extra={"source": settings.name, "from": source.name})
                    await apart(source.run())
                finally:
                    state.up = False
                    await source.close()
            except LinkError as error:
                state.reason = str(error)
                if self._throttle.allow((settings.name, state.reason), loop.time()) is not None:
                    log.warning("source is away", extra={"source": settings.name, "reason": state.reason})
            if loop.time() - began > _LONG:
                attempt = 0
            await asyncio.sleep(pause_before(attempt, self._chance()))
            attempt += 1

    # The store.

    async def _store_all(self) -> None:
        await self._patiently(self._store.open)
        while True:
            arrivals = await self._intake.take(self._settings.store.commit)
            self._idle.clear()
            await self._commit(arrivals)
            self._idle.set()
            if self._stopping.is_set():
                await asyncio.Event().wait()  # whoever stops us ends this task

    async def _commit(self, arrivals: Sequence[Arrival]) -> None:
        """Store arrivals and acknowledge them; of what the database refuses, find the one message that is at fault."""
        work = sorted_out(arrivals)
        try:
            written = await self._write(work)
        except StoreRefused as error:
            if len(arrivals) > 1:
                middle = len(arrivals) // 2
                await self._commit(arrivals[:middle])
                await self._commit(arrivals[middle:])
                return
            work = Work(dead=[dead_letter(arrivals[0], str(error))])
            written = await self._write(work)
        self._count(work, written, len(arrivals))
        for source, some in _by_source(arrivals):
            await source.acknowledge(some)
            self._note_watermarks(some, written, source)

    async def _write(self, work: Work) -> Written:
        async def write() -> Written:
            if not self.store_up:
                await self._store.open()
            return await self._store.write(work)

        began = asyncio.get_running_loop().time()
        written = await self._patiently(write)
        self.counts.commits += 1
        self.counts.commit_seconds += asyncio.get_running_loop().time() - began
        return written

    async def _patiently(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Try until the database does it: there is no other place for what has come.

        Raises:
            StoreError: no attempt will ever do.
            StoreRefused: it will never take this.
        """
        failed = 0
        while True:
            try:
                done = await attempt()
            except StoreError as error:
                if error.final:
                    raise
                self.store_up = False
                self.counts.failures += 1
                if self._throttle.allow(("store", str(error)), asyncio.get_running_loop().time()) is not None:
                    log.warning("the database is away; brokers keep what comes", extra={"reason": str(error)})
                await asyncio.sleep(min(pause_before(failed, self._chance()), _LONGEST_PAUSE))
                failed += 1
                continue
            if not self.store_up:
                self.store_up = True
                log.info("the database is there", extra={"store": self._store.name})
            return done

    def _count(self, work: Work, written: Written, messages: int) -> None:
        counts, now = self.counts, time() * 1e6
        counts.messages += messages
        counts.rows += written.rows
        counts.duplicates += written.duplicates
        counts.bad += len(work.dead)
        live = [each.batch.rows[-1].at for each in work.batches if not each.batch.late]
        if live:
            counts.lag = max(0.0, now - max(live)) / 1e6
        for each in work.dead:
            if (held := self._throttle.allow(("bad", each.reason), asyncio.get_running_loop().time())) is not None:
                extra = {"topic": each.topic, "reason": each.reason, "unlogged": held}
                log.warning("a message that cannot be stored; kept as a dead letter", extra=extra)

    # Watermarks.

    def _note_watermarks(self, arrivals: Sequence[Arrival], written: Written, source: Source) -> None:
        here = {tuple(each.topic.replace(".", "/").split("/")[2:4]) for each in arrivals}
        for (site, node), ledger in written.ledgers.items():
            acknowledgement = ledger.acknowledgement(node)
            if (site, node) in here and acknowledgement is not None:
                self._due[site, node] = acknowledgement, source

    async def _tell_watermarks(self) -> None:
        """Once a second at most for each node: a second's commits have one watermark in the end."""
        while True:
            await asyncio.sleep(_WATERMARKS_EVERY)
            await self._say_watermarks()

    async def _say_watermarks(self) -> None:
        due, self._due = self._due, {}
        for (site, node), (acknowledgement, source) in due.items():
            topic = Address(site, node, Kind.ACKNOWLEDGEMENT).topic
            with contextlib.suppress(LinkError):  # it is told again with the node's next state
                await source.publish(topic, encode_acknowledgement(acknowledgement))
                self.counts.watermarks += 1


def _by_source(arrivals: Sequence[Arrival]) -> list[tuple[Source, list[Arrival]]]:
    """Arrivals of each source, in their order."""
    found: dict[int, tuple[Source, list[Arrival]]] = {}
    for each in arrivals:
        if each.source is not None:
            found.setdefault(id(each.source), (each.source, []))[1].append(each)
    return list(found.values())

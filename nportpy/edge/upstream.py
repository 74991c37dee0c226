"""Where samples are sent: two readers of one log, each with a window of its own.

    live    from *now* on at each connection: displays and alarms see the present, however long the network was away
    late    from the last acknowledged sample, less the overlap, up to where live began; and what somebody asks for

A live batch moves the cursor only when everything before it has arrived. An overlap is sent again after each loss,
since a loss is noticed later than it begins; (node, boot, seq) tells duplicates. Per tag the order is chronological
inside live and inside late; between the two none is promised.

| what happens | what is done |
|---|---|
| the connection is lost, or an answer does not come | tried again after 1, 2, 4 ... 60 s, less a random part |
| the other side refuses for the moment (quota, a right) | the batch waits and goes late; live goes on |
| it refuses what a batch holds | halved until the one sample is found; that is counted, logged and passed over |
| live falls behind | what is between goes late, and live goes on from now |
| samples were evicted before they were sent | counted, told in the log line of the back-fill, and passed over |
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from nportpy.edge import links
from nportpy.edge.announcing import state_of
from nportpy.edge.archive import Archive
from nportpy.edge.clock import Clock
from nportpy.edge.delivery import Allowance, Delivered, pause_before
from nportpy.edge.links.base import Heard, Link, LinkError, Message, RefusedError
from nportpy.edge.messages import (
    Answer,
    Depth,
    Send,
    StationState,
    decode_acknowledgement,
    decode_command,
    encode_answer,
)
from nportpy.edge.parcels import Parcel, parcels
from nportpy.edge.sample import Sample
from nportpy.edge.settings import Backfill, Confirm, Format, UpstreamSettings
from nportpy.edge.wire import Meta, encode_meta
from nportpy.errors import ProtocolError
from nportpy.status import UpstreamStatus
from nportpy.throttle import Throttle

WINDOW: Final = 20
"""Batches that may be on their way at once, live and late each: at 300 ms one at a time makes 3.3/s, 20 make 61/s."""

BEHIND: Final = 5000
"""Samples by which live may be behind before what is between goes late."""

_READ: Final = 500  # samples from the archive at once
_STATE_EVERY: Final = 60.0
_SOONEST_STATE: Final = 1.0  # seconds between two: a flapping station does not flood the other side
_REFUSED_PAUSE: Final = 5.0
_LATE_KNOWN: Final = 256

log = logging.getLogger(__name__)

Connect = Callable[[str, UpstreamSettings, Heard, Message], Awaitable[Link]]
"""Makes a link, as `links.connect` does."""


@dataclass(slots=True)
class _Errand:
    """Samples that are to be sent late.

    Attributes:
        first, last: their numbers, both included; what is missing there is passed over.
        interval: only those taken in these microseconds; None: all.
        what: for the log.
    """

    first: int
    last: int
    interval: tuple[int, int] | None = None
    what: str = "back-filled"


@dataclass(slots=True)
class Counts:
    """Numbers since the start.

    Attributes:
        live, late: samples that were acknowledged.
        refused: samples that the other side will never take.
        lost: samples that were evicted before they were sent.
        connects: connections that came about.
    """

    live: int = 0
    late: int = 0
    refused: int = 0
    lost: int = 0
    connects: int = 0


@dataclass(slots=True)
class _Session:
    """One connection, and what is under way on it."""

    link: Link
    tasks: asyncio.TaskGroup
    live: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(WINDOW))
    late: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(WINDOW))
    meta: str = ""  # the tag table that it has been told
    talked: asyncio.Event = field(default_factory=asyncio.Event)  # something is to be said in the state


class Upstream:
    """Sends what the archive has to one place, until `run` is cancelled.

    Attributes:
        settings: what it was made from.
        counts: numbers since the start.
    """

    def __init__(
        self,
        settings: UpstreamSettings,
        archive: Archive,
        clock: Clock,
        stations: Callable[[], tuple[StationState, ...]] = tuple,
        connect: Connect = links.connect,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Not connected.

        Args:
            settings: where, and how.
            archive: what is sent.
            clock: the time.
            stations: what the state says of stations.
            connect: makes a link; tests bring their own.
            chance: a random number in [0, 1).
        """
        self.settings = settings
        self.counts = Counts()
        self._archive = archive
        self._clock = clock
        self._stations = stations
        self._connect = connect
        self._chance = chance
        self._delivered = Delivered(archive.cursor(settings.name))
        self._errands: deque[_Errand] = deque()
        self._errand_came = asyncio.Event()
        self._late: deque[tuple[int, int]] = deque(maxlen=_LATE_KNOWN)  # runs of numbers
        self._session: _Session | None = None
        self._since = clock.wall()
        self._reason = "not connected yet"
        self._name = ""
        self._was_up = False  # at some time in this run: from then on a connection begins with an overlap
        self._said: set[str] = set()  # reasons that the log has told since the last connection
        self._throttle = Throttle()

    async def run(self) -> None:
        """Keep connected and send until cancelled."""
        attempt = 0
        while True:
            url = self.settings.urls[attempt % len(self.settings.urls)]
            began = asyncio.get_running_loop().time()
            try:
                link = await self._connect(url, self.settings, self._heard, self._last_will())
                try:
                    await self._serve(link)
                finally:
                    self._down()
                    await link.close()
            except LinkError as error:
                self._lost(str(error))
            if asyncio.get_running_loop().time() - began > 60.0:
                attempt = 0
            await asyncio.sleep(pause_before(attempt, self._chance()))
            attempt += 1

    def send_interval(self, start: int, end: int) -> None:
        """Send the samples with `start` <= at < `end` (microseconds UTC) again, late, as soon as there is a link."""
        self._send_late(_Errand(self._archive.oldest, self._archive.newest, (start, end), "sent on request"))

    def was_late(self, number: int) -> bool:
        """Whether a sample was sent late, as far as this run knows."""
        return any(first <= number <= last for first, last in self._late)

    def changed(self) -> None:
        """A station has come or gone: say so soon."""
        if self._session is not None:
            self._session.talked.set()

    def status(self) -> UpstreamStatus:
        """A snapshot."""
        return UpstreamStatus(
            name=self.settings.name,
            url=self._name or self.settings.urls[0],
            up=self._session is not None,
            since=self._since / 1e6,
            reason=self._reason,
            sent_live=self.counts.live,
            sent_late=self.counts.late,
            refused=self.counts.refused,
            lost=self.counts.lost,
            connects=self.counts.connects,
            acknowledged=self._delivered.cursor,
            backlog=max(0, self._archive.newest - max(self._delivered.cursor, self._archive.oldest - 1)),
        )

    # A connection's life.

    async def _serve(self, link: Link) -> None:
        """Send over `link` until it is lost.

        Raises:
            LinkError: it is.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                session = self._session = _Session(link, tasks)
                self._up(link)
                await self._say_meta(session)
                start = self._archive.newest
                await self._owe_gap(start)
                tasks.create_task(self._send_live(session, start), name="live")
                tasks.create_task(self._run_errands(session), name="late")
                tasks.create_task(self._say_state(session), name="state")
                tasks.create_task(_until_lost(link), name="lost")
        except* LinkError as group:
            raise _first(group) from None

    def _up(self, link: Link) -> None:
        self.counts.connects += 1
        self._since, self._reason, self._name = self._clock.wall(), "", link.name
        self._said.clear()
        log.info("upstream connected", extra={"upstream": self.settings.name, "to": link.name})

    def _down(self) -> None:
        if self._session is not None:
            self._session = None
            self._was_up = True
            self._since = self._clock.wall()

    def _lost(self, reason: str) -> None:
        """One line for each reason, not for each attempt."""
        self._reason = reason
        if reason not in self._said:
            self._said.add(reason)
            log.warning("upstream is away; samples are kept", extra={"upstream": self.settings.name, "reason": reason})

    async def _owe_gap(self, upto: int) -> None:
        """What is to be sent before live: everything that was not acknowledged, and the overlap before it."""
        cursor = self._delivered.cursor
        if self.settings.backfill is Backfill.REQUEST:
            self._arrived(cursor + 1, upto)
            return
        first = cursor + 1
        if self._was_up or cursor < upto:
            first = min(first, await self._overlap_begins(cursor))
        if first <= upto:
            self._errands = deque(each for each in self._errands if each.interval is not None)  # part of it
            self._errands.appendleft(_Errand(first, upto))
            self._errand_came.set()

    async def _overlap_begins(self, cursor: int) -> int:
        """Number of the first sample that was taken in the overlap before the cursor's."""
        known = await self._archive.read(cursor - 1, 1)
        if not known or known[0].seq > cursor:
            return cursor + 1
        at = known[0].at
        async for samples in self._archive.between(at - round(self.settings.overlap_seconds * 1e6), at + 1):
            return samples[0].seq
        return cursor + 1

    # Live.

    async def _send_live(self, session: _Session, after: int) -> None:
        while True:
            newest = await self._archive.grown(after)
            if newest - after > BEHIND:
                self._send_late(_Errand(after + 1, newest, what="fell behind"))
                after = newest
                continue
            samples = await self._archive.read(after, _READ)
            if not samples:
                after = newest
                continue
            self._pass_over(after, samples)
            await self._say_meta(session)
            for parcel in self._pack(samples, late=False):
                await session.live.acquire()
                session.tasks.create_task(self._deliver(session, parcel, late=False, window=session.live))
            after = samples[-1].seq

    # Late.

    def _send_late(self, errand: _Errand) -> None:
        self._errands.append(errand)
        self._errand_came.set()

    async def _run_errands(self, session: _Session) -> None:
        allowance = Allowance(self.settings.max_rate, asyncio.get_running_loop().time())
        while True:
            while not self._errands:
                self._errand_came.clear()
                await self._errand_came.wait()
            errand = self._errands[0]
            await self._run_errand(session, errand, allowance)
            if self._errands and self._errands[0] is errand:
                self._errands.popleft()

    async def _run_errand(self, session: _Session, errand: _Errand, allowance: Allowance) -> None:
        loop = asyncio.get_running_loop()
        began, lost, count = loop.time(), self.counts.lost, 0
        ends: list[int] = []
        async for samples in self._due(errand):
            ends = [*ends[:1], samples[0].at, samples[-1].at]
            await self._say_meta(session)
            for parcel in self._pack(samples, late=True):
                await asyncio.sleep(allowance.take(len(parcel.samples), loop.time()))
                await session.late.acquire()
                session.tasks.create_task(self._deliver(session, parcel, late=True, window=session.late))
                count += len(parcel.samples)
        for _ in range(WINDOW):  # until the last of them is acknowledged
            await session.late.acquire()
        for _ in range(WINDOW):
            session.late.release()
        if count or self.counts.lost != lost:
            log.info(
                errand.what,
                extra={
                    "upstream": self.settings.name,
                    "samples": count,
                    "from": _utc(ends[0]) if ends else "",
                    "to": _utc(ends[-1]) if ends else "",
                    "seconds": round(loop.time() - began, 1),
                    "evicted": self.counts.lost - lost,
                },
            )

    async def _due(self, errand: _Errand) -> AsyncIterator[Sequence[Sample]]:
        """The samples of an errand, in portions."""
        if errand.interval is not None:
            async for samples in self._archive.between(*errand.interval):
                yield samples
            return
        after = errand.first - 1
        while after < errand.last:
            found = await self._archive.read(after, _READ)
            samples = [sample for sample in found if sample.seq <= errand.last]
            if not samples:
                self._gone(after + 1, errand.last)
                return
            self._pass_over(after, samples)
            yield samples
            after = samples[-1].seq

    # Both.

    def _pack(self, samples: Sequence[Sample], *, late: bool) -> Iterator[Parcel]:
        meta = self._meta().hash if self.settings.format is Format.JSON else ""
        return parcels(samples, self.settings.format, self.settings.node, meta, late)

    async def _deliver(self, session: _Session, parcel: Parcel, *, late: bool, window: asyncio.Semaphore) -> None:
        """Send a parcel until it is acknowledged, or handed on to somebody else."""
        try:
            await self._publish(session, parcel, late=late)
        finally:
            window.release()

    async def _publish(self, session: _Session, parcel: Parcel, *, late: bool) -> None:
        message = Message("late" if late else "live", parcel.payload, parcel.content_type, id=parcel.id)
        while True:
            try:
                async with asyncio.timeout(max(2 * self.settings.keepalive, 10.0)):
                    await session.link.publish(message)
                break
            except TimeoutError:
                raise LinkError(f"{session.link.name}: a batch was not acknowledged in time") from None
            except RefusedError as error:
                if not (late and error.passing):
                    await self._refused(session, parcel, error, late=late)
                    return
                self._say_refused(error, "upstream refuses samples for now; they are kept")
                await asyncio.sleep(_REFUSED_PAUSE)
        self._reason = ""
        if late:
            self._remember_late(parcel)
            self.counts.late += len(parcel.samples)
        else:
            self.counts.live += len(parcel.samples)
        if self.settings.confirm is Confirm.BROKER:
            self._arrived(parcel.first, parcel.last)

    async def _refused(self, session: _Session, parcel: Parcel, error: RefusedError, *, late: bool) -> None:
        if error.passing:
            self._say_refused(error, "upstream refuses samples for now; they are kept")
            self._send_late(_Errand(parcel.first, parcel.last, what="sent after a refusal"))
        elif len(parcel.samples) > 1:
            middle = len(parcel.samples) // 2
            for half in (parcel.samples[:middle], parcel.samples[middle:]):
                for each in self._pack(half, late=late):
                    await self._publish(session, each, late=late)
        else:
            self.counts.refused += 1
            self._say_refused(error, "upstream will not take a sample; passed over", tag=parcel.samples[0].tag.path)
            self._arrived(parcel.first, parcel.last)

    def _say_refused(self, error: RefusedError, what: str, **more: str) -> None:
        self._reason = f"refused: {error}"
        if self._throttle.allow(str(error), asyncio.get_running_loop().time()) is not None:
            log.warning(what, extra={"upstream": self.settings.name, "reason": str(error)} | more)

    def _arrived(self, first: int, last: int) -> None:
        self._archive.acknowledge(self.settings.name, self._delivered.add(first, last))

    def _remember_late(self, parcel: Parcel) -> None:
        if self._late and self._late[-1][1] + 1 == parcel.first:
            self._late[-1] = self._late[-1][0], parcel.last
        else:
            self._late.append((parcel.first, parcel.last))

    def _pass_over(self, after: int, samples: Sequence[Sample]) -> None:
        """Numbers that no sample has (any more) hold nobody up."""
        for sample in samples:
            if sample.seq > after + 1:
                self._gone(after + 1, sample.seq - 1)
            after = sample.seq

    def _gone(self, first: int, last: int) -> None:
        if last > self._delivered.cursor:
            self.counts.lost += last - max(first, self._delivered.cursor + 1) + 1
            self._arrived(first, last)

    # What is said beside samples.

    def _meta(self) -> Meta:
        return Meta(self.settings.node, self._archive.tags)

    async def _say_meta(self, session: _Session) -> None:
        """The tag table goes before the first batch that names it."""
        if self.settings.format is not Format.JSON:
            return
        meta = self._meta()
        if meta.hash != session.meta:
            await self._tell(session, Message("meta", encode_meta(meta), retain=True))
            session.meta = meta.hash

    async def _say_state(self, session: _Session) -> None:
        while True:
            session.talked.clear()
            await self._tell(session, Message("state", self._state(online=True), retain=True))
            await asyncio.sleep(_SOONEST_STATE)
            try:
                async with asyncio.timeout(min(_STATE_EVERY, self.settings.keepalive)):
                    await session.talked.wait()
            except TimeoutError:
                continue

    def _last_will(self) -> Message:
        return Message("state", self._state(online=False), retain=True)

    def _state(self, *, online: bool) -> bytes:
        now, has = self._clock.wall(), self._delivered.cursor
        return state_of(self.settings.node, self._archive, now, self._stations(), has, online)

    # What the other side says.

    def _heard(self, kind: str, payload: bytes) -> None:
        try:
            if kind == "ack":
                self._confirmed(payload)
            elif kind == "cmd":
                self._obey(payload)
        except ProtocolError as error:
            if self._throttle.allow(kind, asyncio.get_running_loop().time()) is not None:
                log.warning(
                    "not understood", extra={"upstream": self.settings.name, "topic": kind, "reason": str(error)}
                )

    def _confirmed(self, payload: bytes) -> None:
        ack = decode_acknowledgement(payload)
        if ack.node != self.settings.node:
            raise ProtocolError(f"it is for {ack.node}")
        if self.settings.confirm is Confirm.HOST:
            self._arrived(self._delivered.cursor + 1, min(ack.seq, self._archive.newest))

    def _obey(self, payload: bytes) -> None:
        session = self._session
        if session is None:
            return
        match decode_command(payload):
            case Depth(name):
                status = self.status()
                numbers = {
                    "waiting": status.backlog,
                    "acknowledged": status.acknowledged,
                    "oldest": self._archive.oldest,
                    "newest": self._archive.newest,
                }
                oldest_at = self._archive.status().oldest_at
                numbers |= {} if oldest_at is None else {"oldest_at": round(oldest_at * 1e6)}
                self._answer(session, Answer(name, True, numbers=numbers))
            case Send(name, start, end):
                self.send_interval(start, end)
                self._answer(session, Answer(name, True, "on its way"))

    def _answer(self, session: _Session, answer: Answer) -> None:
        session.tasks.create_task(self._tell(session, Message("answer", encode_answer(answer))), name="answer")

    async def _tell(self, session: _Session, message: Message) -> None:
        try:
            await session.link.publish(message)
        except RefusedError as error:  # samples go on without it
            self._say_refused(error, f"upstream does not take what is said on .../{message.topic}")


async def _until_lost(link: Link) -> None:
    raise LinkError(await asyncio.shield(link.lost))


def _first(group: BaseExceptionGroup[LinkError]) -> LinkError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, LinkError)  # the group holds nothing else
    return error


def _utc(microseconds: int) -> str:
    return datetime.fromtimestamp(microseconds / 1e6, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

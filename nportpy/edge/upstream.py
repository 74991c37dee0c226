"""Where samples are sent: two readers of one log, each with a window of its own.

    live    from *now* on at each connection: displays and alarms see the present, however long the network was away
    late    from the last acknowledged sample, less the overlap, up to where live began; and what somebody asks for

A live batch moves the cursor only when everything before it has arrived. An overlap is sent again after each loss,
since a loss is noticed later than it begins; (node, boot, seq) tells duplicates. Per tag the order is chronological
inside live and inside late; between the two none is promised.

| what happens | what is done |
|---|---|
| the connection is lost, or an answer does not come | tried again after 1, 2, 4 ... 60 s, less a random part |
| the other side refuses a batch | see sending.py |
| live falls behind | what is between goes late, and live goes on from now |
| samples were evicted before they were sent | counted, told in the log line of the back-fill, and passed over |
| the archive cannot be read for a while | as if the connection were lost |
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Final

from nportpy.edge import links
from nportpy.edge.announcing import Announcer
from nportpy.edge.archive import Archive
from nportpy.edge.clock import Clock
from nportpy.edge.commands import Commands
from nportpy.edge.delivery import Allowance, pause_before
from nportpy.edge.discovery import Discovery
from nportpy.edge.ending import apart
from nportpy.edge.errands import READ, Errand, Errands
from nportpy.edge.ledger import Ledger
from nportpy.edge.links.base import Heard, Link, LinkError, Message, RefusedError
from nportpy.edge.messages import StationState
from nportpy.edge.sample import Sample
from nportpy.edge.sending import Sender
from nportpy.edge.session import Session
from nportpy.edge.settings import Backfill, StationSettings, UpstreamSettings
from nportpy.edge.trouble import Trouble
from nportpy.errors import ArchiveError, ProtocolError
from nportpy.status import UpstreamStatus

BEHIND: Final = 5000
"""Samples by which live may be behind before what is between goes late."""

_AGE_EVERY: Final = 10.0  # seconds between two looks at the age of the backlog
_STEADY: Final = 60.0  # a connection that has lasted so long was a good one
_GOODBYE_TIME: Final = 1.0
_SMALLEST: Final = 20  # samples that are worth a late batch

log = logging.getLogger(__name__)

Connect = Callable[[str, UpstreamSettings, Heard, Message], Awaitable[Link]]
"""Makes a link, as `links.connect` does."""


class Upstream:
    """Sends what the archive has to one place, until `run` is cancelled.

    Attributes:
        settings: what it was made from.
    """

    def __init__(
        self,
        settings: UpstreamSettings,
        archive: Archive,
        clock: Clock,
        stations: Callable[[], tuple[StationState, ...]] = tuple,
        configured: Callable[[], tuple[StationSettings, ...]] = tuple,
        connect: Connect = links.connect,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Not connected.

        Args:
            settings: where, and how.
            archive: what is sent.
            clock: the time.
            stations: what the state says of stations.
            configured: the stations that are read, for Home Assistant.
            connect: makes a link; tests bring their own.
            chance: a random number in [0, 1).
        """
        self.settings = settings
        self._archive = archive
        self._clock = clock
        self._connect = connect
        self._chance = chance
        self._trouble = Trouble(settings.name)
        self._ledger = Ledger(archive, settings.name)
        self._errands = Errands(archive, self._ledger)
        self._sender = Sender(settings, self._ledger, self._errands, self._trouble)
        self._announcer = Announcer(settings, archive, clock, stations, self._ledger, self._trouble)
        self._discovery = Discovery(settings, archive, configured, self._announcer)
        self._commands = Commands(settings, archive, self._ledger, self.send_interval)
        self._session: Session | None = None
        self._since = clock.wall()
        self._name = ""
        self._waits_since: int | None = None  # microseconds UTC
        self._was_up = False  # at some time in this run: from then on a connection begins with an overlap

    async def run(self) -> None:
        """Keep connected and send until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch_backlog(), name="backlog")
            await self._keep_connected()

    async def _watch_backlog(self) -> None:
        """How old the oldest sample is that waits: asking the archive takes a moment, which a scrape has not."""
        while True:
            with contextlib.suppress(ArchiveError):
                self._waits_since = (await self._archive.backlog(self.settings.name)).oldest_at
            await asyncio.sleep(_AGE_EVERY)

    async def _keep_connected(self) -> None:
        attempt = 0
        while True:
            url = self.settings.urls[attempt % len(self.settings.urls)]
            began = asyncio.get_running_loop().time()
            try:
                link = await self._connect(url, self.settings, self._heard, self._announcer.state(online=False))
                try:
                    await apart(self._serve(link))
                finally:
                    self._down()
                    await self._leave(link)
            except (LinkError, ArchiveError) as error:
                self._trouble.lost(str(error))
            if asyncio.get_running_loop().time() - began > _STEADY:
                attempt = 0
            await asyncio.sleep(pause_before(attempt, self._chance()))
            attempt += 1

    def send_interval(self, start: int, end: int) -> bool:
        """Send the samples with `start` <= at < `end` (microseconds UTC) again, late, as soon as there is a link.

        Returns:
            False: too many such intervals wait already.
        """
        oldest, newest = self._archive.oldest, self._archive.newest
        return self._errands.add(Errand(oldest, newest, (start, end), "sent on request"))

    def was_late(self, number: int) -> bool:
        """Whether a sample was sent late, as far as this run knows."""
        return self._ledger.was_late(number)

    @property
    def lates(self) -> Sequence[tuple[int, int]]:
        """Runs of numbers that were sent late, as far as this run knows."""
        return self._ledger.lates

    @property
    def acknowledged(self) -> int:
        """Everything up to this number has arrived, or is no more."""
        return self._ledger.cursor

    def changed(self) -> None:
        """A station has come or gone: say so soon."""
        self._announcer.changed()
        self._discovery.changed()

    def status(self) -> UpstreamStatus:
        """A snapshot."""
        counts = self._ledger.counts
        return UpstreamStatus(
            name=self.settings.name,
            url=self._name or self.settings.urls[0],
            up=self._session is not None,
            since=self._since / 1e6,
            reason=self._trouble.reason,
            sent_live=counts.live,
            sent_late=counts.late,
            refused=counts.refused,
            lost=counts.lost,
            connects=counts.connects,
            acknowledged=self._ledger.cursor,
            backlog=self._ledger.backlog,
            oldest_at=self._waits_since / 1e6 if self._waits_since is not None and self._ledger.backlog else None,
        )

    # A connection's life.

    async def _serve(self, link: Link) -> None:
        """Send over `link` until it is lost.

        Raises:
            LinkError: it is.
            ArchiveError: the archive cannot be read.
        """
        lost: LinkError | ArchiveError | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                session = self._session = Session(link, tasks, max(2 * self.settings.keepalive, 10.0))
                self._up(link)
                await self._announcer.say_meta(session)
                start = self._archive.newest
                await self._owe_gap(start)
                tasks.create_task(self._send_live(session, start), name="live")
                tasks.create_task(self._run_errands(session), name="late")
                tasks.create_task(self._announcer.say_state(session), name="state")
                tasks.create_task(self._announcer.say_answers(session), name="answers")
                tasks.create_task(_until_lost(link), name="lost")
                if self.settings.homeassistant:
                    tasks.create_task(self._discovery.run(session), name="home assistant")
        except* (LinkError, ArchiveError) as group:
            lost = _first(group)
        if lost is not None:  # raised in the clause, Python before 3.11.4 would wrap it in a group
            raise lost

    def _up(self, link: Link) -> None:
        self._ledger.counts.connects += 1
        self._since, self._name = self._clock.wall(), link.name
        self._trouble.over()
        log.info("upstream connected", extra={"upstream": self.settings.name, "to": link.name})

    def _down(self) -> None:
        if self._session is not None:
            self._session = None
            self._was_up = True
            self._since = self._clock.wall()

    async def _leave(self, link: Link) -> None:
        """End a connection; who leaves in order says so itself, as no last will speaks for it then."""
        try:
            if not link.lost.done():
                with contextlib.suppress(LinkError, RefusedError, TimeoutError):
                    async with asyncio.timeout(_GOODBYE_TIME):
                        await link.publish(self._announcer.state(online=False))
        finally:
            await link.close()

    async def _owe_gap(self, upto: int) -> None:
        """What is to be sent before live: everything that was not acknowledged, and the overlap before it."""
        cursor = self._ledger.cursor
        if self.settings.backfill is Backfill.REQUEST:
            self._ledger.arrived(cursor + 1, upto)
            return
        first = cursor + 1
        if self._was_up or cursor < upto:
            first = min(first, await self._overlap_begins(cursor))
        if first <= upto:
            self._errands.owe(Errand(first, upto))

    async def _overlap_begins(self, cursor: int) -> int:
        """Number of the first sample that was taken in the overlap before the cursor's."""
        known = await self._archive.read(cursor - 1, 1)
        if not known or known[0].seq > cursor:
            return cursor + 1
        at = known[0].at
        async for samples in self._archive.between(at - round(self.settings.overlap_seconds * 1e6), at + 1):
            return samples[0].seq
        return cursor + 1

    async def _send_live(self, session: Session, after: int) -> None:
        while True:
            newest = await self._archive.grown(after)
            if newest - after > BEHIND:
                self._errands.add(Errand(after + 1, newest, what="fell behind"))
                after = newest
                continue
            samples = await self._archive.read(after, READ)
            if not samples:
                after = newest
                continue
            self._ledger.pass_over(after, samples)
            await self._announcer.say_meta(session)
            live = self._sort_out(samples) if any(each.history for each in samples) else samples
            for parcel in self._sender.pack(session, live, late=False):
                await session.live.acquire()
                session.tasks.create_task(self._sender.deliver(session, parcel, late=False))
            if self.settings.homeassistant:
                self._discovery.note(live)
            after = samples[-1].seq

    def _sort_out(self, samples: list[Sample]) -> list[Sample]:
        """The present among them; what devices had kept goes late, however fresh it is here."""
        for history, group in groupby(samples, key=lambda each: each.history):
            if history:
                numbers = [each.seq for each in group]
                if self.settings.backfill is Backfill.REQUEST:
                    self._ledger.arrived(numbers[0], numbers[-1])
                else:
                    self._errands.add(Errand(numbers[0], numbers[-1], what=""))
        return [each for each in samples if not each.history]

    async def _run_errands(self, session: Session) -> None:
        allowance = Allowance(self.settings.max_rate, asyncio.get_running_loop().time())
        while True:
            errand = await self._errands.first()
            await self._run_errand(session, errand, allowance)
            self._errands.done(errand)

    async def _run_errand(self, session: Session, errand: Errand, allowance: Allowance) -> None:
        loop, counts = asyncio.get_running_loop(), self._ledger.counts
        began, lost, count = loop.time(), counts.lost, 0
        ends: list[int] = []
        rate = self.settings.max_rate
        portion = max(_SMALLEST, min(READ, round(rate))) if rate else READ  # a second's worth, not a burst
        async for samples in self._errands.due(errand, portion):
            ends = [*ends[:1], samples[0].at, samples[-1].at]
            await self._announcer.say_meta(session)
            for parcel in self._sender.pack(session, samples, late=True):
                await asyncio.sleep(allowance.take(len(parcel.samples), loop.time()))
                await session.late.acquire()
                session.tasks.create_task(self._sender.deliver(session, parcel, late=True))
                count += len(parcel.samples)
        await session.late_is_acknowledged()
        if errand.what and (count or counts.lost != lost):
            log.info(
                errand.what,
                extra={
                    "upstream": self.settings.name,
                    "samples": count,
                    "from": _utc(ends[0]) if ends else "",
                    "to": _utc(ends[-1]) if ends else "",
                    "seconds": round(loop.time() - began, 1),
                    "evicted": counts.lost - lost,
                },
            )

    def _heard(self, kind: str, payload: bytes) -> None:
        session = self._session
        if session is None and kind == "cmd":  # it was retained: asked once, it is not to be done at each connection
            return
        try:
            answer = self._commands.heard(kind, payload)
        except ProtocolError as error:
            self._trouble.not_understood(kind, str(error))
            return
        if answer is not None and session is not None:
            with contextlib.suppress(asyncio.QueueFull):
                session.answers.put_nowait(answer)


async def _until_lost(link: Link) -> None:
    raise LinkError(await asyncio.shield(link.lost))


def _first(group: BaseExceptionGroup[LinkError | ArchiveError]) -> LinkError | ArchiveError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, LinkError | ArchiveError)  # the group holds nothing else
    return error


def _utc(microseconds: int) -> str:
    return datetime.fromtimestamp(microseconds / 1e6, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

"""A controlling station's view of one outstation: rounds of polling, unbalanced (IEC 60870-5-101, 6.1.2; -5-5, 6).

    down:  status until it answers -> reset of the link -> what waits to be asked
    up:    [ask what waits] -> class 1 while there is some -> class 2, until nothing comes

A round is bounded: in class 1 requests on end, and in the time that it has the line. What an interrogation has not
brought by then comes in the next one. Every outstation of a line has a client of its own, with its own frame count bit.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import partial
from itertools import count
from typing import Final

from nportpy.errors import ProtocolError
from nportpy.line.lease import Leased
from nportpy.meters.iec101 import procedures
from nportpy.meters.iec101.exchange import Exchange, OutstationSilent
from nportpy.meters.iec101.procedures import Procedure, Stage
from nportpy.meters.iec101.settings import Iec101Settings, zone_of
from nportpy.protocols.iec101 import asdu as asdus
from nportpy.protocols.iec101.asdu import Asdu, Cause, UnknownType
from nportpy.protocols.iec101.hints import clock_hint, size_hint, strange
from nportpy.protocols.iec101.link import Answer, Answered, Function
from nportpy.protocols.iec101.times import Time56, time_of

_END_OF_INITIALISATION: Final = 70
_PAUSE: Final = 0.1
"""Seconds between two looks at an outstation that gathers the answer to an interrogation."""

_AGAIN: Final = 60.0
"""Seconds after which what an outstation has not finished is asked once more."""

_REPEATED: Final = (Cause.CYCLIC, Cause.BACKGROUND)
"""Causes of values that come again and again, whatever has happened."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Report:
    """An ASDU with data.

    Attributes:
        asdu: it.
        arrived: when, in microseconds UTC by our clock.
        since: when the outstation was asked for the last time before, since its link came up, and had nothing more to
            tell: what happened before that was told before. None: it has not come so far yet, so this may be old.
    """

    asdu: Asdu
    arrived: int
    since: int | None = None


@dataclass(frozen=True, slots=True)
class Restarted:
    """The outstation has restarted, or its link came up: what it told before may not be so any more."""

    arrived: int


@dataclass(slots=True)
class ClientCounts:
    """Numbers since the start.

    Attributes:
        asdus: with data, good ones.
        tests: marked as tests: no data.
        unknown: of types that are not known here.
        malformed: whose sizes contradict themselves.
        restarts: that the outstation has told of.
        refused: procedures that it refused; `given_up`: that it did not finish.
    """

    asdus: int = 0
    tests: int = 0
    unknown: int = 0
    malformed: int = 0
    restarts: int = 0
    refused: int = 0
    given_up: int = 0


class Iec101Client:
    """Polls one outstation. One call at a time.

    Attributes:
        exchange: its link, with counts.
        counts: what came.
        hint: why what comes may be cut up wrongly; empty: it is not.
        clock: what its clock was ahead of ours when it was last set, in microseconds; None: it was not.
        since: see `Report`: all that had happened by then has been told.
    """

    def __init__(
        self, name: str, settings: Iec101Settings, wall: Callable[[], int], common_addresses: tuple[int, ...] = ()
    ) -> None:
        """Nothing was asked yet.

        Args:
            name: of the outstation, for the log.
            settings: how it is reached, and what is asked.
            wall: our clock, in microseconds UTC.
            common_addresses: those that its data comes under; none: that of the settings.
        """
        self.exchange = Exchange(settings)
        self.counts = ClientCounts()
        self.hint = ""
        self.clock: int | None = None
        self.zone: tzinfo = zone_of(settings.zone)
        self._name = name
        self._settings = settings
        self._wall = wall
        self._addresses = common_addresses or (settings.common_address,)
        self._known = frozenset(self._addresses)
        self._told: set[str] = set()
        self._heard: list[Report | Restarted] = []
        self._waiting: deque[Procedure] = deque()
        self._current: Procedure | None = None
        self.since: int | None = None
        self._full = False
        self._refused_now = False  # it takes no data in this round
        self._end = 0.0  # of the round
        self._run = 0  # requests for class 1 data on end
        self._silent = 0  # answers E5 on end, which cannot tell of class 1 data
        self._more = False
        self._interrogated = self._synchronised = self._again = 0.0

    @property
    def settled(self) -> bool:
        """Whether nothing that was asked for is still to come."""
        return self.exchange.link.up and self._current is None and not self._waiting

    def take(self) -> list[Report | Restarted]:
        """What was heard since the last call, in its order. What came before a failure is there, too."""
        heard, self._heard = self._heard, []
        return heard

    async def poll(self, leased: Leased) -> None:
        """One round.

        Raises:
            OutstationSilent: it does not answer, or says that it cannot.
            LineError: of the line; what was asked and not answered is repeated in the next round.
        """
        link = self.exchange.link
        self._refused_now = False
        if link.pending and link.up:
            fresh = self._current.make if self._current is not None and self._current.stage is Stage.WAITING else None
            self._take(await self.exchange.resume(leased, fresh))
        if not link.up:
            await self._start(leased)
        self._plan()
        await self._round(leased)
        await self.exchange.settle(leased)

    async def _start(self, leased: Leased) -> None:
        """The link is reset at each start: an outstation may take the first request for a repeat otherwise."""
        link = self.exchange.link
        answer = await self.exchange.ask(leased, link.request_status)
        if answer.what in (Answered.NOT_FUNCTIONING, Answered.NACK):
            link.down()
            raise OutstationSilent("the outstation says that its link does not work at the moment")
        answer = await self.exchange.ask(leased, link.reset)
        if not link.up:
            link.down()
            raise OutstationSilent("the outstation refuses the reset of its link")
        self._full, self._silent = answer.full, 0
        self._more = answer.more or answer.silent
        self._begin()

    def _begin(self) -> None:
        """Nothing is known of the outstation any more, so all is to be asked."""
        self._heard.append(Restarted(self._wall()))
        self.since = None
        self._waiting.clear()
        self._current = None
        self._synchronised = self._interrogated = self._again = 0.0

    def _plan(self) -> None:
        """Let wait what is due."""
        now, settings, settled = asyncio.get_running_loop().time(), self._settings, self.settled
        if settings.synchronise_every and self._is_due(self._synchronised, settings.synchronise_every, now):
            self._synchronised = now
            self._waiting += (procedures.clock_synchronisation(each, self._time_for(each)) for each in self._addresses)
        if not self._interrogated:
            due, self._interrogated = settings.interrogate, now
        else:
            periodic = settings.interrogate_every and self._is_due(self._interrogated, settings.interrogate_every, now)
            due = bool(periodic) or (bool(self._again) and now >= self._again)
        if due and settled:
            self._interrogated, self._again = now, 0.0
            self._waiting += procedures.interrogations(settings, self._addresses)

    @staticmethod
    def _is_due(last: float, every: float, now: float) -> bool:
        return not last or now - last >= every

    def _time_for(self, common_address: int) -> Callable[[], bytes]:
        def make() -> bytes:
            time = time_of(self._wall(), self.zone)
            return asdus.clock_synchronisation(self._settings.sizes, common_address, time)

        return make

    async def _round(self, leased: Leased) -> None:
        loop = asyncio.get_running_loop()
        self._end = end = loop.time() + self._settings.hold
        seen: set[tuple[int, int, int]] = set()
        for turn in count(1):
            began = loop.time()
            if self._more:
                await self._class_1(leased)
            await self._ask_on(leased)
            brought = await self._class_1(leased) if self._more or self._current is not None else False
            asked = self._wall()  # what happens while the answer is on its way is not in it
            answer = await self._class_2(leased)
            brought = brought or bool(answer.data)
            if self._more:
                brought = await self._class_1(leased) or brought
            if not self._more and not (brought and self._last_cause() not in _REPEATED):
                self.since = asked
            if not self._goes_on(answer, turn, seen) or loop.time() >= end:
                return
            if not brought:
                await asyncio.sleep(_PAUSE)
            if self._current is not None:
                self._wait(loop.time() - began)

    def _goes_on(self, answer: Answer, turn: int, seen: set[tuple[int, int, int]]) -> bool:
        """Whether there is more to ask in this round: until nothing comes, or values that come again and again."""
        if self._current is not None or (self._waiting and not self._refused_now):
            return True
        if not answer.data or turn >= self._settings.burst:
            return False
        last = self._heard[-1] if self._heard else None
        if not isinstance(last, Report) or last.asdu.cause not in _REPEATED:
            return True
        key = (last.asdu.type, last.asdu.common_address, last.asdu.objects[0].address if last.asdu.objects else 0)
        again = key in seen
        seen.add(key)
        return not again

    def _last_cause(self) -> int:
        last = self._heard[-1] if self._heard else None
        return last.asdu.cause if isinstance(last, Report) else 0

    async def _ask_on(self, leased: Leased) -> None:
        """Ask the next thing that waits, unless something is under way or the outstation takes no data."""
        link = self.exchange.link
        if self._full:
            answer = await self._ask(leased, link.request_status)
            self._full = answer.full
        if self._full or self._refused_now or self._current is not None or not self._waiting:
            return
        await self._give_way(leased)
        self._take(await self.exchange.ask(leased, self._send_next, self._waiting[0].make))

    def _send_next(self) -> bytes:
        procedure = self._current = self._waiting.popleft()
        return self.exchange.link.send(procedure.make())

    async def _class_1(self, leased: Leased) -> bool:
        """Ask for class 1 data while there is some, within `burst` and the round; whether any came."""
        brought = False
        while self._run < self._settings.burst:
            answer = await self._ask(leased, partial(self.exchange.link.request_class, 1))
            self._run, self._silent = self._run + 1, 0
            if not answer.data:
                # It may say that there is more and have nothing: some do for ever. NACK is no such word, but "not now".
                self._more = answer.what is Answered.NACK
                break
            brought = True
            if not self._more or asyncio.get_running_loop().time() >= self._end:
                break
        return brought

    async def _class_2(self, leased: Leased) -> Answer:
        self._run = 0
        answer = await self._ask(leased, partial(self.exchange.link.request_class, 2))
        self._silent = self._silent + 1 if answer.silent else 0
        if self._silent >= self._settings.class1_every:
            self._more = True
        return answer

    async def _ask(self, leased: Leased, make: Callable[[], bytes]) -> Answer:
        await self._give_way(leased)
        answer = await self.exchange.ask(leased, make)
        self._take(answer)
        return answer

    async def _give_way(self, leased: Leased) -> None:
        """Others have the line between two exchanges, when nothing late can come any more that they would hear."""
        await self.exchange.settle(leased)
        await leased.give_way()

    def _take(self, answer: Answer) -> None:
        """What an answer means for the next request, and what it carries."""
        if answer.what is Answered.NOT_FUNCTIONING:
            self.exchange.link.down()
            raise OutstationSilent("the outstation says that its link does not work")
        if not answer.silent:
            self._more, self._full = answer.more, answer.full
        if answer.to is Function.SEND_CONFIRMED and self._current is not None:
            self._sent(self._current, answer)
        if answer.data:
            self._asdu(answer.data)

    def _sent(self, procedure: Procedure, answer: Answer) -> None:
        if answer.what is Answered.ACK:
            procedure.stage = Stage.ASKED
            return
        # Not now: asked once more in the next round. Whoever cannot take data at all says so.
        self._current = None
        if answer.what is Answered.NOT_IMPLEMENTED:
            self._refused(procedure, "it takes no data")
        else:
            self._waiting.appendleft(procedure)
            self._refused_now = True

    def _asdu(self, data: bytes) -> None:
        try:
            asdu = asdus.decode(data, self._settings.sizes)
        except UnknownType as error:
            self.counts.unknown += 1
            self.hint = self.hint or size_hint(data, self._settings.sizes, self._known)
            self._tell(str(error), "dropped")
            return
        except ProtocolError as error:
            self.counts.malformed += 1
            self.hint = size_hint(data, self._settings.sizes, self._known) or str(error)
            self._tell(self.hint, "dropped")
            return
        if strange(asdu, self._known):
            if hint := size_hint(data, self._settings.sizes, self._known):
                self.hint = hint
                self._tell(hint, f"common address {asdu.common_address}, cause {asdu.cause}")
        else:
            self.hint = ""
        self._understood(asdu)

    def _understood(self, asdu: Asdu) -> None:
        if asdu.test:
            self.counts.tests += 1
            return
        if asdu.type == _END_OF_INITIALISATION:
            self.counts.restarts += 1
            log.info("outstation has restarted", extra={"station": self._name})
            self._begin()
            self._plan()
            return
        if self._current is not None and self._current.hear(asdu) and self._current.over:
            self._finished(self._current)
        if asdu.kind.monitors:
            self.counts.asdus += 1
            self._heard.append(Report(asdu, self._wall(), self.since))

    def _finished(self, procedure: Procedure) -> None:
        self._current = None
        if procedure.stage is Stage.REFUSED:
            self._refused(procedure, procedure.reason)
        elif procedure.confirmation is not None and procedure.confirmation.objects:
            self._compare(procedure.confirmation)

    def _refused(self, procedure: Procedure, reason: str) -> None:
        self.counts.refused += 1
        self._tell(f"{procedure.name} refused", reason)

    def _compare(self, confirmation: Asdu) -> None:
        """The confirmation of a clock synchronisation tells what the clock showed before."""
        time = confirmation.objects[0].time
        now = self._wall()
        if not isinstance(time, Time56) or (shown := time.instant(self.zone)) is None:
            return
        self.clock = shown - now
        if hint := clock_hint(self.clock, self.zone, datetime.fromtimestamp(now / 1e6, UTC).year):
            self._tell("the outstation's clock was wrong", hint)

    def _wait(self, seconds: float) -> None:
        """A procedure that brings nothing for too long is given up; if it never has, it is asked again later."""
        procedure = self._current
        if procedure is None:
            return
        procedure.waited += seconds
        if procedure.waited >= self._settings.patience:
            self._current = None
            self.counts.given_up += 1
            if not procedure.brought:
                self._again = asyncio.get_running_loop().time() + _AGAIN
            self._tell(f"{procedure.name} not finished", "nothing more came")

    def _tell(self, what: str, reason: str) -> None:
        """Once."""
        if what not in self._told and len(self._told) < 1000:
            self._told.add(what)
            log.warning(what, extra={"station": self._name, "reason": reason})

"""The units of one line: whoever asks them asks here.

    Question -> kept answer? -> request under way to join? -> unit silent? -> Transactions -> answers for all who joined

Everything is a plain call, and a question is answered inside the call that brought the last byte of its answer. What
the gateway itself answers (MODBUS Application Protocol V1.1b3, 7):

    0A  the line is down
    0B  the unit did not answer, or did not answer before and is not tried now; or the deadline passed
    06  too many requests of this client wait
"""

import asyncio
import logging
from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from nportpy.line.arbiter import Line
from nportpy.line.transaction import Transactions, TransactionSettings
from nportpy.line.turns import Outcome, Request, Result
from nportpy.modbus.clients import Asker, Use
from nportpy.modbus.health import Unit
from nportpy.modbus.question import Question
from nportpy.modbus.records import Records, vanished
from nportpy.modbus.settings import BusSettings, Framing
from nportpy.modbus.sharing import Flight, Joinable, Kept, part
from nportpy.modbus.tally import End
from nportpy.protocols.modbus import ascii as ascii_frames
from nportpy.protocols.modbus.exchange import Exchange
from nportpy.protocols.modbus.functions import expected_answer, is_repeatable, never_answered
from nportpy.protocols.modbus.pdu import EXCEPTION_BIT, ExceptionCode
from nportpy.protocols.modbus.rtu import MAX_FRAME
from nportpy.protocols.modbus.rtu_reply import ReplyFinder
from nportpy.status import DURATIONS, BusStatus
from nportpy.throttle import Throttle

if TYPE_CHECKING:
    from nportpy.line.tap import Tap

_BROADCAST: Final = 0
_READS: Final = 4  # functions up to this one do nothing but read
_OVERHEAD: Final = 3  # bytes of unit id and CRC; the two digits of each byte of ASCII count apart
_OVERHEADS: Final = 2 * _OVERHEAD  # of a request and its answer
_SPLIT: Final = (ExceptionCode.ILLEGAL_DATA_ADDRESS, ExceptionCode.ILLEGAL_DATA_VALUE)

_ENDS = {
    Outcome.ANSWERED: End.ANSWERED,
    Outcome.SENT: End.SENT,
    Outcome.NO_ANSWER: End.NO_ANSWER,
    Outcome.EXPIRED: End.EXPIRED,
    Outcome.QUEUE_FULL: End.QUEUE_FULL,
    Outcome.LINE_DOWN: End.LINE_DOWN,
    Outcome.GONE: End.GONE,
}
_EXCEPTIONS = {
    End.NO_ANSWER: ExceptionCode.GATEWAY_TARGET_FAILED_TO_RESPOND,
    End.UNREACHABLE: ExceptionCode.GATEWAY_TARGET_FAILED_TO_RESPOND,
    End.EXPIRED: ExceptionCode.GATEWAY_TARGET_FAILED_TO_RESPOND,
    End.QUEUE_FULL: ExceptionCode.SERVER_DEVICE_BUSY,
    End.LINE_DOWN: ExceptionCode.GATEWAY_PATH_UNAVAILABLE,
}
_REFUSALS = {
    end: tuple(bytes((function | EXCEPTION_BIT, code)) for function in range(256)) for end, code in _EXCEPTIONS.items()
}

# Python 3.11 takes a quarter of a microsecond to find a member of an enum, and these are wanted for every request.
_LINE_ANSWERED = Outcome.ANSWERED
_ANSWERED, _EXCEPTION = End.ANSWERED, End.EXCEPTION

log = logging.getLogger(__name__)
trace_log = logging.getLogger("nportpy.trace")


def exchange_for(settings: BusSettings) -> Exchange:
    """What finds the answers on a serial line of such settings."""
    if settings.framing is Framing.ASCII:
        return ascii_frames.ReplyFinder(settings.echo, settings.character_timeout)
    return ReplyFinder(settings.echo)


class Bus:
    """The units of one line.

    Attributes:
        name: the port's name, or the server's.
    """

    def __init__(self, line: Line, settings: BusSettings, exchange: Exchange | None = None, rest: float = 0.0) -> None:
        """Requests use `line` from now on.

        Args:
            line: its wire.
            settings: how its units are asked.
            exchange: finds the answers; None for what `settings` say.
            rest: seconds of rest after the line has come up.
        """
        self.name = line.name
        self._traced = False
        self._tap: Tap | None = None
        self._seen = False  # by either
        self._line = line
        self._settings = settings
        self._exchange = exchange or exchange_for(settings)
        self._transactions: Transactions = line.transact(
            self._exchange,
            TransactionSettings(
                rest=rest,
                silence=settings.silence,
                turnaround=settings.turnaround,
                queue=settings.queue,
                patience=settings.patience,
                idle_gap=settings.idle_gap,
                writes_first=settings.writes_first,
            ),
        )
        self._clock = self._transactions.clock
        line.tell_tapped(self._set_tap)
        self._units: dict[int, Unit] = {}
        self._records = Records(self._exchange.counts)
        self._broadcasts = 0  # under way
        self._joinable = Joinable(settings.merge)
        self._kept = Kept(settings.cache) if settings.cache else None
        self._flights: set[Flight] = set()
        self._tally = self._records.tally
        self._coalesced = self._cached = self._merged = 0
        self._throttle = Throttle()
        self._told: set[int] = set()  # units of which the log says last that they do not answer
        self._said_foreign = self._exchange.serial  # on a line another unit id is another unit
        self._measured: object = None  # the line's settings that these follow from
        self._byte_time = 0.0  # of a byte of a frame

    @property
    def trace(self) -> bool:
        """Whether each transaction is logged, decoded."""
        return self._traced

    @trace.setter
    def trace(self, on: bool) -> None:
        self._traced = on
        self._seen = on or self._tap is not None

    @property
    def tried(self) -> asyncio.Event:
        """Set once its line was opened, or failed to be, for the first time."""
        return self._line.tried

    @property
    def down(self) -> str:
        """Why its line is down, as far as that is known."""
        return "" if self._line.up else self._line.status().error

    def ask(self, question: Question) -> None:
        """Have a question answered; its unit is the one on the line, and its PDU has passed `check_request`."""
        now = question.asked_at = self._clock()
        pdu = question.pdu
        unit = self._units.get(question.unit) or self._new_unit(question.unit)
        reads = pdu[0] <= _READS or is_repeatable(pdu)
        shares = reads and not unit.writes and not self._broadcasts
        if shares and (self._flights or self._kept is not None) and self._serve_from_others(question, now):
            return
        if unit.troubled and not unit.may_be_asked(question.client, pdu, now):
            self._not_tried(question)
            return
        self._send([question], unit, now, reads, shares and self._settings.share)

    def enter(self, client: Hashable, asker: Asker) -> Use:
        """A client will ask. See `Clients.enter`."""
        return self._records.clients.enter(client, asker)

    def leave(self, client: Hashable) -> None:
        """A client has gone: what it asked is not sent if nobody else asks the same; it hears nothing more."""
        left = self._records.clients.leave(client, self._clock())
        if left is not None:
            for flight in self._flights:
                if flight.use is left[0]:
                    flight.use = left[1]
        for flight in [flight for flight in self._flights if any(ask.client == client for ask in flight.asks)]:
            gone = [ask for ask in flight.asks if ask.client == client]
            flight.asks = [ask for ask in flight.asks if ask.client != client]
            if flight.asks and not flight.waits:
                flight.client = flight.asks[0].client  # it has its turn already, and is still wanted: it may be retried
                flight.use = flight.asks[0].use
                if self._tap is not None:
                    self._tap.taken_over(flight)
            for ask in gone:
                self._answer(ask, End.GONE)
        for unit in self._units.values():
            if unit.troubled:
                unit.leave(client)
        self._transactions.leave(client)

    def _serve_from_others(self, question: Question, now: float) -> bool:
        """Answer from what is kept, or join what is under way; whether that could be done."""
        if self._kept is not None:
            answer = self._kept.get(question.unit, question.pdu, now)
            if answer is not None:
                self._cached += 1
                if self._tap is not None:
                    self._tap.unsent(question.unit, question.pdu, question.client, "cache", answer)
                self._answer(question, _ANSWERED, answer)
                return True
        if not self._flights:
            return False
        flight = self._joinable.find(question)
        if flight is not None:
            self._coalesced += 1
            flight.asks.append(question)
            return True
        flight = self._joinable.widen(question)
        if flight is None:
            return False
        self._merged += 1
        flight.asks.append(question)
        flight.timeout = self._timeout(self._units[flight.unit], flight.pdu)
        return True

    # To the line.

    def _send(self, asks: list[Question], unit: Unit, now: float, reads: bool, shared: bool) -> None:
        """Have the first of `asks` sent, for all of them: they ask the same. `now` is when that was decided."""
        first = asks[0]
        pdu = first.pdu
        attempts = 0
        if reads:
            attempts = unit.tries(pdu, now) if unit.troubled else unit.retries
        awaited = first.unit != _BROADCAST and (reads or not never_answered(pdu))
        flight = Flight(
            first.client,
            first.unit,
            pdu,
            self._done,
            first.priority,
            not reads,
            awaited,
            self._timeout(unit, pdu),
            first.asked_at + self._settings.deadline,
            unit.pause,
            attempts,
            asks,
            attempts,
            first.use,
        )
        flight.trial = unit.silent
        self._flights.add(flight)
        if not reads:
            self._write_begins(unit)
        elif shared:
            self._joinable.add(flight)
        self._transactions.submit(flight, now)

    def _timeout(self, unit: Unit, pdu: bytes) -> float:
        """How long to wait for an answer, with the time that it takes on the wire."""
        if self._line.settings is not self._measured:
            self._measure()
        length = expected_answer(pdu)[1]
        return unit.timeout + (length + _OVERHEAD if length > 0 else MAX_FRAME) * self._byte_time

    def _measure(self) -> None:
        settings = self._measured = self._line.settings
        characters = 2 if self._settings.framing is Framing.ASCII else 1
        self._byte_time = characters * settings.character_time if self._exchange.serial else 0.0

    def _new_unit(self, number: int) -> Unit:
        own = next((each for each in self._settings.units if number in each.units), None)
        timeout, retries, pause = self._settings.timeout, self._settings.retries, 0.0
        isolate = self._settings.isolate
        if own is not None:
            timeout = own.timeout or timeout
            retries = retries if own.retries is None else own.retries
            pause = own.silence or pause
            isolate = isolate if own.isolate is None else own.isolate
        unit = self._units[number] = Unit(number, timeout, retries, pause, isolate=isolate)
        return unit

    # Writes, and what they make worthless.

    def _write_begins(self, unit: Unit) -> None:
        everything = unit.unit == _BROADCAST
        if everything:
            self._broadcasts += 1
        unit.writes += 1
        self._joinable.close(None if everything else unit.unit)
        self._forget(unit)

    def _write_ended(self, unit: Unit) -> None:
        if unit.unit == _BROADCAST:
            self._broadcasts -= 1
        unit.writes -= 1
        self._forget(unit)

    def _forget(self, unit: Unit) -> None:
        if self._kept is not None:
            self._kept.forget(None if unit.unit == _BROADCAST else unit.unit)

    # From the line.

    def _done(self, request: Request, result: Result) -> None:
        """A request has ended: tell all whom it serves. Called by the discipline, before it sends the next one."""
        assert isinstance(request, Flight)  # nothing else is submitted here
        flight, unit = request, self._units[request.unit]
        self._flights.discard(flight)
        self._joinable.remove(flight)
        if flight.write:
            self._write_ended(unit)
        took = result.took
        if len(flight.asks) > 1:
            _share(flight.asks, took)
        elif flight.use is not None:
            flight.use.busy += took
        if self._seen:
            if self._tap is not None:
                self._tap.ended(flight, result, flight.asks)
            if self._traced:
                self._trace(flight, result)
        if result.outcome is _LINE_ANSWERED:
            self._answered(flight, unit, result)
            return
        if not flight.waits:
            self._records.took(unit, took, flight.attempts - flight.retries)
        if result.outcome is Outcome.NO_ANSWER and not flight.probed:
            self._unanswered(flight, unit, took)
        else:  # what a probe may have disturbed says nothing about the unit either
            unit.not_asked(flight.client, trial=flight.trial)
            self._ended(flight, unit, _ENDS[result.outcome])

    def _answered(self, flight: Flight, unit: Unit, result: Result) -> None:
        answer, took = result.answer, result.took
        if not self._said_foreign and self._exchange.foreign_unit is not None:
            self._say_foreign(unit, self._exchange.foreign_unit)
        sent_once = flight.retries == flight.attempts
        if unit.troubled or not sent_once or not answer:
            self._came_back(flight, unit, answer)
            if not answer:
                self._records.took(unit, took, flight.attempts - flight.retries)
                self._end_unanswered(flight, unit)
                return
        unit.heard(flight.pdu)
        if sent_once and not flight.probed:
            wire = (len(flight.pdu) + len(answer) + _OVERHEADS) * self._byte_time
            evidence = unit.evidence
            evidence.answer_times[bisect_left(DURATIONS, took)] += 1
            evidence.answer_seconds += took
            evidence.wire_seconds += wire
            if unit.learns:
                unit.took(max(0.0, took - wire))
        else:
            self._records.took(unit, took, flight.attempts - flight.retries)
        if answer[0] & EXCEPTION_BIT:
            self._refused(flight, unit, answer)
            return
        if self._kept is not None and not flight.write and not unit.writes and not self._broadcasts:
            self._kept.put(flight.unit, flight.pdu, answer, self._clock())
        for ask in flight.asks:
            self._answer(ask, _ANSWERED, part(flight.pdu, flight.start, answer, ask.pdu))

    def _came_back(self, flight: Flight, unit: Unit, answer: bytes) -> None:
        """A unit gave a sign of life that had not answered before, or does not answer what was asked."""
        if unit.silent and unit.unit in self._told:
            self._told.remove(unit.unit)
            log.info("unit answers again", extra={"port": self.name, "unit": unit.unit})
        now = self._clock()
        if answer:
            unit.came_back(flight.client, flight.pdu, flight.attempts - flight.retries, now)
        else:
            unit.answered_unfit(flight.client, now)

    def _refused(self, flight: Flight, unit: Unit, answer: bytes) -> None:
        """The unit answered with an exception: that is an answer to those who asked just this."""
        if flight.merged and answer[1] in _SPLIT:
            self._joinable.refused(flight)
        for ask in flight.asks:
            if ask.pdu == flight.pdu:
                self._answer(ask, _EXCEPTION, answer)
        self._send_anew([ask for ask in flight.asks if ask.pdu != flight.pdu], unit, reads=True)

    def _unanswered(self, flight: Flight, unit: Unit, took: float) -> None:
        now = self._clock()
        frames = 1 + flight.attempts - flight.retries
        for client in {ask.client for ask in flight.asks if ask.pdu == flight.pdu} - {flight.client}:
            unit.failed_for(client, flight.pdu, now)
        unit.unheard(flight.client, flight.pdu, now, took, frames, alive=self._exchange.spoke)
        if unit.silent and unit.unit not in self._told:
            self._say_silent(unit, now)
        # Those that wait are not worth the line's time either.
        vain = self._transactions.withdraw(lambda request: self._is_vain(request, unit, flight.pdu, now))
        self._end_unanswered(flight, unit)
        for request in vain:
            self._withdrawn(request, unit)

    def _end_unanswered(self, flight: Flight, unit: Unit) -> None:
        """Tell those who asked just this; what others asked may be answered for itself, unless this mostly is."""
        asks, waiting = flight.asks, list[Question]()
        if not unit.has_answered(flight.pdu):
            # Many devices do not say that they have no such registers.
            asks, waiting = _parted(asks, lambda ask: ask.pdu == flight.pdu)
            if flight.merged and not unit.silent:
                self._joinable.refused(flight)
        for ask in asks:
            self._answer(ask, End.NO_ANSWER)
        if unit.silent and waiting:
            now = self._clock()
            waiting, vain = _parted(waiting, lambda ask: unit.may_be_asked(ask.client, ask.pdu, now))
            for ask in vain:
                self._not_tried(ask)
        self._send_anew(waiting, unit, reads=True)

    def _say_foreign(self, unit: Unit, answers_as: int) -> None:
        """Once: whoever looks for it will find it, and nothing has to be done about 255 and 0."""
        self._said_foreign = True
        text = "server answers under unit id %d"
        log.warning(text, answers_as, extra={"port": self.name, "unit": unit.unit})

    def _say_silent(self, unit: Unit, now: float) -> None:
        """One line a minute; where there was one just now, the next try that fails says it."""
        more = self._throttle.allow(unit.unit, now)
        if more is not None:
            self._told.add(unit.unit)
            extra = {"port": self.name, "unit": unit.unit} | ({"more": more} if more else {})
            log.warning("unit does not answer", extra=extra)

    @staticmethod
    def _is_vain(request: Request, unit: Unit, pdu: bytes, now: float) -> bool:
        if request.unit != unit.unit or not unit.isolate:
            return False
        if unit.silent:
            assert isinstance(request, Flight)  # nothing else is submitted here
            request.trial = request.trial or unit.may_be_asked(request.client, request.pdu, now)
            return not request.trial
        return request.pdu == pdu and not unit.has_answered(pdu)

    def _withdrawn(self, request: Request, unit: Unit) -> None:
        assert isinstance(request, Flight)  # nothing else is submitted here
        self._flights.discard(request)
        self._joinable.remove(request)
        if request.write:
            self._write_ended(unit)
        unit.not_asked(request.client, trial=False)
        for ask in request.asks:
            self._not_tried(ask)

    def _ended(self, flight: Flight, unit: Unit, end: End) -> None:
        """A request has ended without the unit's doing."""
        asks, waiting = flight.asks, list[Question]()
        if end is End.GONE:
            asks, waiting = [], asks
        elif end is End.EXPIRED:  # those who joined later have time left
            now, deadline = max(self._clock(), flight.deadline), self._settings.deadline
            asks, waiting = _parted(asks, lambda ask: ask.asked_at + deadline <= now)
            for ask in asks:
                ask.expired = True
        elif end is End.QUEUE_FULL:  # of the one whose turn it would have taken
            asks, waiting = _parted(asks, lambda ask: ask.client == flight.client)
            for use in {ask.use for ask in asks if ask.use is not None}:
                use.asker.refused += sum(ask.use is use for ask in asks)
        for ask in asks:
            self._answer(ask, end)
        self._send_anew(waiting, unit, reads=not flight.write)

    def _send_anew(self, asks: Iterable[Question], unit: Unit, *, reads: bool) -> None:
        """Have each of these questions asked for itself, as what would have answered them all did not."""
        groups: dict[bytes, list[Question]] = {}
        for ask in asks:
            groups.setdefault(ask.pdu, []).append(ask)
        for group in groups.values():
            self._send(group, unit, self._clock(), reads, shared=False)

    def refused(self, question: Question, why: str) -> None:
        """A rule has refused a question for a unit of this line: whoever watches the line is to see that."""
        if self._tap is not None:
            self._tap.unsent(question.unit, question.pdu, question.client, why)

    def _set_tap(self, tap: "Tap | None") -> None:
        self._tap = tap
        self._seen = self._traced or tap is not None

    def _not_tried(self, question: Question) -> None:
        """The unit did not answer before, and it is not its time for another try."""
        if self._tap is not None:
            self._tap.unsent(question.unit, question.pdu, question.client, "unreachable")
        self._answer(question, End.UNREACHABLE)

    def _answer(self, question: Question, end: End, answer: bytes = b"") -> None:
        function = question.pdu[0]
        self._tally.count(question.unit, function, end)
        if not answer and end in _REFUSALS:
            answer = _REFUSALS[end][function]
        question.done(question, answer)

    # What is seen from outside.

    @property
    def marked(self) -> bool:
        """Whether `mark` was ever called."""
        return self._records.marked

    def mark(self, now: float) -> None:
        """Remember how far all counts have come: to be called once a minute, the first time at once."""
        under_way = {flight.unit for flight in self._flights}
        for number in vanished(self._units.values(), under_way, now):
            del self._units[number]
            self._told.discard(number)
            self._tally.forget(number)
            self._exchange.counts.forget(number)
        self._records.mark(self._transactions.status(), self._units.values(), now)

    def status(self) -> BusStatus:
        """A snapshot."""
        line, now = self._transactions.status(), self._clock()
        durations = self._records.durations(self._units.values())
        return BusStatus(
            name=self.name,
            up=self._line.takes_requests,
            requests=self._tally.requests(),
            durations=durations,
            busy=line.busy,
            queued=line.queued,
            waited=line.waited,
            sent=sum(durations),
            coalesced=self._coalesced,
            cached=self._cached,
            merged=self._merged,
            retries=line.retries,
            probes=line.probes,
            late=line.late,
            echoes=line.echoes,
            junk=line.junk,
            spoilt=line.spoilt,
            foreign=line.foreign,
            unfit=line.unfit,
            units=tuple(
                self._records.unit(unit, now)
                for number, unit in sorted(self._units.items())
                if number != _BROADCAST and not unit.is_forgotten(now)
            ),
            own=line.own,
            sampled=line.sampled,
            clients=self._records.who_asks(now),
            recent=self._records.recent(line, sum(durations), now),
        )

    def _trace(self, flight: Flight, result: Result) -> None:
        """One line for each transaction: `01 FC3 1000+2 -> 6 bytes, 18.2 ms`; the bytes are those of the PDU."""
        what = _described(flight.unit, flight.pdu)
        answer, took = result.answer, f"{result.took * 1000:.1f} ms"
        if not answer:
            became = str(result.outcome).replace("_", " ")
        elif answer[0] & EXCEPTION_BIT:
            became = f"exception {answer[1]:02X}"
        else:
            became = f"{len(answer)} bytes"
        extra = {"port": self.name} | _askers(flight)
        trace_log.info("%s -> %s, %s", what, became, took, extra=extra)


def _parted(asks: Iterable[Question], held: Callable[[Question], bool]) -> tuple[list[Question], list[Question]]:
    """Those for which `held` holds, and the others."""
    parts: tuple[list[Question], list[Question]] = [], []
    for ask in asks:
        parts[not held(ask)].append(ask)
    return parts


def _share(asks: Sequence[Question], took: float) -> None:
    """Charge the time of a request to all whom its answer serves."""
    for ask in asks:
        if ask.use is not None:
            ask.use.busy += took / len(asks)


def _askers(flight: Flight) -> dict[str, str]:
    """Who asked, for the log: each once; who has left is called by its address alone."""
    names = dict.fromkeys(ask.use.asker.name for ask in flight.asks if ask.use is not None)
    if not names and flight.use is not None:
        names = {flight.use.asker.host: None}
    return {"client": " ".join(names)} if names else {}


def _described(unit: int, pdu: bytes) -> str:
    """`01 FC3 1000+2`; what carries data shows how much, never the data."""
    text = f"{unit:02d} FC{pdu[0]}"
    if pdu[0] in (5, 6, 22) and len(pdu) > 2:
        return f"{text} {pdu[1] << 8 | pdu[2]}"
    if pdu[0] in (1, 2, 3, 4, 15, 16, 23) and len(pdu) > 4:
        return f"{text} {pdu[1] << 8 | pdu[2]}+{pdu[3] << 8 | pdu[4]}"
    return f"{text} {len(pdu)} bytes"

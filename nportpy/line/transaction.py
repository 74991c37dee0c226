"""The transaction discipline: one request on the line, one awaited answer, then the next one's turn.

    submit -> the queue -> quiet enough -> sent -> answered
                                            |----> not answered -> sent again, if it may be
                                            |----> nobody answers it -> the turnaround delay passes

Everything is a plain call: on an idle line that keeps no silence a request is written inside `submit`, and an answer
ends its request and sends the next one inside the call that brought its last byte.

Silence. Before each frame the line has been quiet for t3.5, counted from the last byte heard or sent. When the last
byte sent has left is reckoned from its character time. Noise may hold a request up for `patience`, then it goes.

Late answers. On a serial line bytes cannot tell to which of two equal requests they belong. So after a request that
was not answered, no other of the same unit and function is sent for as long again as its answer was waited for; those
of other units go ahead. The same holds after a request that was answered when it was asked a second time: the second
answer may still come. The transaction ids of Modbus TCP tell answers apart, so nothing is held back there.

A connection. There frames take no time and need no silence. An exchange that is `broken` cannot find its place again:
the line is given up, and comes back as after any other loss.

Streams on the same line (stream.py). What arrives while a request is on the line belongs to it, everything else to
the streams. What a stream writes meanwhile is kept and goes out after the answer and the silence (stream_output.py).
A request waits while a stream's conversation is under way. Who would change the speed waits for the request on the
line, and the next one waits for that.

Shares. Neither side keeps the other from the wire for longer than this:

    a request waits for streams      `patience`, and for what of a write had begun by then, which takes no longer
    streams wait for requests        the one on the line; where they had used up a request's patience, also for those
                                     that follow it within as long a time, `LONGEST_TURN` at most

So on a line that both sides fill each has half of it.
"""

import math
import time
from collections.abc import Callable, Hashable
from enum import Enum, auto
from typing import Final

from nportpy.line.doubts import Doubts
from nportpy.line.quiet import Quiet
from nportpy.line.stream import Stream
from nportpy.line.stream_output import StreamOutput
from nportpy.line.timer import Timer, open_timer
from nportpy.line.transaction_base import TransactionSettings, TransactionStatus, Wire
from nportpy.line.turns import Outcome, Request, Turns
from nportpy.protocols.modbus.exchange import Counts, Exchange

__all__ = ["TransactionSettings", "TransactionStatus", "Transactions", "Wire"]

LONGEST_TURN: Final = 1.0
"""Seconds in which requests follow each other after one that streams had held up, however patient requests are."""

SAMPLED: Final = 16
"""Of so many requests one is looked at for what this takes itself: looking at the clock takes time, too."""

_TURN_AFTER_TALK: Final = 0.05
"""Seconds beyond the silence for which a conversation that has ended leaves the line to a request that waits."""


class _Awaiting(Enum):
    """What the request on the line waits for."""

    ANSWER = auto()
    PROBE = auto()  # the answer to what was asked in its place, to find out about the echo
    TURNAROUND = auto()


# Python 3.11 takes a quarter of a microsecond to find a member of an enum, and these are wanted for every request.
_ANSWER, _PROBE, _TURNAROUND = _Awaiting
_ANSWERED = Outcome.ANSWERED


class Transactions:
    """The requests of one line.

    Attributes:
        request: the one that is on the line.
    """

    def __init__(self, wire: Wire, stream: Stream, exchange: Exchange, settings: TransactionSettings) -> None:
        """Nothing is sent before `wire_up`. `exchange` finds the answers."""
        self._wire = wire
        self._stream = stream
        self._exchange = exchange
        self._settings = settings
        self._quiet = Quiet(wire, settings, serial=exchange.serial)
        self._turns = Turns(settings.queue, settings.writes_first)
        self.request: Request | None = None  # on the line
        self._awaiting = _ANSWER
        self._began = 0.0  # when it was sent
        self._due = 0.0  # when it has waited long enough
        self._again: Request | None = None  # goes before all others: it was on the line already
        self._doubts = Doubts(exchange)
        self._way_wanted = False  # for a stream's client that waits for the request to end
        self._output = StreamOutput(wire, stream, self._quiet)
        self._blocked = math.inf  # since when the next request waits for the line to be quiet, or for streams
        self._turn_ends = 0.0  # until then requests need not wait for streams
        self._clock: Callable[[], float] = time.monotonic
        self._timer: Timer | None = None
        self._armed = math.inf
        self._requests = self._withdrawn = self._retries = self._answered = 0
        self._outcomes = dict.fromkeys(Outcome, 0)
        self._waited = self._busy = 0.0
        # What this takes itself, of each `SAMPLED` request that is sent:
        self._until_sample = 1
        self._samples = 0
        self._sampling = False  # the one on the line is one of them
        self._own = self._late = 0.0
        self._silence_awaited: Request | None = None  # for which nothing else was waited for
        self._late_request: Request | None = None  # it was sent so much too late
        stream.share(self.write)

    # Those who ask.

    @property
    def busy(self) -> bool:
        """Whether a request is on the line."""
        return self.request is not None

    @property
    def probing(self) -> bool:
        """Whether another question was sent in its place, to find out about the echo."""
        return self._awaiting is _PROBE

    @property
    def serial(self) -> bool:
        """Whether frames are on a serial line, and not in a connection of their own."""
        return self._exchange.serial

    def clock(self) -> float:
        """The time that deadlines are compared with, in seconds."""
        return self._clock()

    def submit(self, request: Request, now: float | None = None) -> None:
        """Send a request as soon as it is its turn; its `done` tells what became of it.

        `now` is since when it waits, if the caller has just looked at `clock`.
        """
        if now is None:
            now = self._clock()
        request.queued_at = now
        self._requests += 1
        if not self._wire.up:
            self._end(request, Outcome.LINE_DOWN, now)
        elif request.deadline <= now:
            self._end(request, Outcome.EXPIRED, now)
        elif self._may_go_at_once(request, now):
            self._send(request, now)
        elif not self._turns.add(request):
            self._end(request, Outcome.QUEUE_FULL, now)
        else:
            self._wake_at(request.deadline)
            self._next(now)

    def withdraw(self, goes: Callable[[Request], bool]) -> list[Request]:
        """Take requests for which `goes` holds out of the queue, without calling their `done`: the caller ends them.

        One that was on the line already and will be sent again is not in the queue.
        """
        gone = self._turns.withdraw(goes)
        self._withdrawn += len(gone)
        return gone

    def leave(self, client: Hashable) -> None:
        """A client has gone: its requests that wait are not sent. One on the line ends as it would, without retry."""
        now = self._clock()
        gone = self._turns.leave(client)
        if self._again is not None and self._again.client == client:
            gone.append(self._again)
            self._again = None
        if self.request is not None and self.request.client == client:
            self.request.left = True
        for request in gone:
            self._end(request, Outcome.GONE, now)

    @property
    def counts(self) -> Counts:
        """What was heard beside the awaited answers; it goes on counting."""
        return self._exchange.counts

    def status(self) -> TransactionStatus:
        """A snapshot."""
        counts = self._exchange.counts
        return TransactionStatus(
            requests=self._requests,
            outcomes=self._outcomes | {_ANSWERED: self._answered},
            withdrawn=self._withdrawn,
            queued=len(self._turns) + (self._again is not None),
            waited=self._waited,
            busy=self._busy,
            own=max(0.0, self._own),  # times that were rounded may add up to less than nothing
            sampled=self._samples,
            retries=self._retries,
            probes=self._doubts.probes,
            late=counts.late,
            echoes=counts.echoes,
            junk=counts.junk,
            spoilt=counts.spoilt,
            foreign=counts.foreign,
            unfit=counts.unfit,
        )

    # The line calls these.

    def hear(self, data: bytes) -> None:
        """Bytes from the line."""
        now = self._clock()
        if self.request is None and self._stream.hearers:
            self._quiet.heard(now)
            self._quiet.talked()
            self._stream.deliver(data)
            return
        answer = self._exchange.feed(data, now)
        if self._exchange.broken:
            self._give_line_up(answer, now)
        elif answer is not None and self.request is not None and self._awaiting is _ANSWER:
            self._quiet.last = now
            self._finish(_ANSWERED, answer, now)
        else:
            self._quiet.heard(now)
            if answer is not None and self.request is not None and self._awaiting is _PROBE:
                self._end_probe(now, answered=True)
            else:
                self._listen()

    def wire_up(self) -> None:
        """The device is there."""
        if self._timer is None:
            self._timer = open_timer(self._woken)
            self._clock = self._timer.clock
            self._quiet.opened(self._clock())
            self._exchange.restart()

    def wire_down(self) -> None:
        """The device has gone, or will be closed: every request ends. What streams wrote is the line's to keep."""
        now = self._clock()
        if self._timer is not None:
            self._timer.close()
            self._timer = None
            self._armed = math.inf
        ended = [request for request in (self.request, self._again) if request is not None]
        if self.request is not None:
            self._doubts.unanswered(self.request, self._due)
            self._busy += now - self._began
        # Not `abandon`: that nothing was heard says nothing about the echo.
        self._exchange.settle()
        self.request = self._again = None
        ended += self._turns.clear()
        self._blocked = math.inf
        self._quiet.closed(now)
        self._turn_ends = 0.0
        self._output.release(now)
        for request in ended:
            self._end(request, Outcome.LINE_DOWN, now)

    # The streams' way to the line.

    def write(self, data: bytes) -> None:
        """Send what a stream writes, or keep it until the request on the line is through with it."""
        if not self._wire.up:
            self._wire.put(data)
            return
        now = self._clock()
        free = self.request is None
        if free and now >= self._quiet.tail and now >= self._turn_ends and self._output.passed(data, now):
            return
        self._output.keep(data)
        if free:
            self._next(now)

    def make_way(self) -> None:
        """A stream's client waits for the line: after the request on it the next one waits for that client."""
        self._way_wanted = self.request is not None

    def converse(self, until: float) -> None:
        """A stream's client awaits an answer: until then, on `clock`, its conversation is under way, and no longer.

        A request waits for that as for any other, for `patience` at most.
        """
        now = self._clock()
        self._quiet.talk = until
        if until <= now and self.request is None and self._wire.up:
            if self._turns or self._again is not None:  # who waited for its end goes before the next one begins
                self._turn_ends = max(self._turn_ends, self._quiet.silent_at(0.0) + _TURN_AFTER_TALK)
            self._next(now)

    def line_changed(self, breaking: bool) -> None:
        """Speed or format are others now, or a break has begun or ended; `breaking`: one is on.

        Who changes the line waits until no request is on it, but not for ever. The answer to one that is cannot be
        understood any more, so it ends as if its time were over.
        """
        if not self._wire.up:
            return
        now = self._clock()
        self._quiet.changed(now, breaking=breaking)
        if self.request is None:
            self._next(now)
        elif self._awaiting is _PROBE:
            self._end_probe(now, answered=False)
        else:
            self._give_up(now)

    def kept(self) -> int:
        """Bytes that streams wrote and that wait for a request."""
        return self._output.size

    def purge(self) -> int:
        """Throw those away; how many there were."""
        return self._output.clear()

    # Leases (lease.py).

    @property
    def waiting(self) -> bool:
        """Whether requests, or what streams wrote, wait for the line."""
        return bool(self._turns) or self._again is not None or self._output.size > 0

    def hold(self, *, streams: bool = False) -> float:
        """Send no request, and nothing of streams if `streams`, until `free`; when what is said now is over."""
        self._quiet.hold(streams=streams)
        self._blocked = math.inf
        return self._quiet.over()

    def free(self) -> None:
        """Go on. What was heard meanwhile was for the lease."""
        now = self._clock()
        if self.request is None:
            self._exchange.settle()
        self._quiet.free(now)
        self._next(now)

    def _let_streams_send(self, now: float, request: Request | None) -> bool:
        """Send what streams wrote, and see to it that this goes on; False where it is the turn of `request`."""
        if now < self._quiet.tail:
            self._wake_at(self._quiet.tail)
            return True
        if request is None:
            self._turn_ends = 0.0
            again = self._output.send(now, math.inf, one=True)
        elif now < self._turn_ends:
            return False
        else:
            first = self._blocked == math.inf
            self._blocked = min(self._blocked, max(now, self._quiet.rested))
            again = self._output.send(now, self._blocked + self._settings.patience, one=first)
        if again is None:
            self._begin_turn(max(now, self._quiet.last))
            return False
        if again < math.inf:
            self._wake_at(again)
        return again < math.inf

    def _ready_at(self, request: Request, now: float) -> float:
        """When a request may be sent if the line stays quiet. Those whose turn it is do not wait for streams."""
        quiet = self._quiet
        if now >= self._turn_ends:
            if quiet.talk <= now or now < self._blocked + self._settings.patience:
                return quiet.ready_at(request.pause)
            self._begin_turn(now)
        return quiet.silent_at(request.pause)

    def _begin_turn(self, now: float) -> None:
        """Requests have waited for streams for long enough: it is the streams that wait now."""
        self._turn_ends = now + min(self._settings.patience, LONGEST_TURN)

    # One request after another.

    def _may_go_at_once(self, request: Request, now: float) -> bool:
        return (
            self.request is None
            and self._again is None
            and not self._turns
            and not self._output.size
            and not self._doubts.until
            and self._quiet.ready_at(request.pause) <= now
        )

    def _next(self, now: float) -> None:
        """Send whose turn it is, or see to it that this is called again."""
        if self._turns.earliest <= now:
            for late in self._turns.expire(now):
                self._end(late, Outcome.EXPIRED, now)
        if self.request is not None or not self._wire.up:
            return
        request = self._again or self._first(now)
        if self._output.size and self._let_streams_send(now, request):
            return
        if request is None:
            self._blocked = math.inf
            return
        early = False
        ready = self._ready_at(request, now)
        if ready > now:
            self._blocked = min(self._blocked, max(now, self._quiet.rested))
            enough = self._blocked + self._settings.patience
            silence = max(request.pause, self._quiet.silence)
            sent = self._quiet.last if self._quiet.last > now else 0.0  # when the last byte of streams has left
            when = min(ready, max(enough, sent) + silence)
            if when > enough > now >= self._turn_ends and self._quiet.talk > now:
                self._wake_at(enough)
                return
            lead = self._timer.lead if self._timer is not None else 0.0
            if now < when - lead:
                self._silence_awaited = request
                self._wake_at(when - lead)
                if self._output.size and now < self._turn_ends:
                    self._wake_at(self._turn_ends)
                return
            if request is not self._again and self._quiet.last > request.deadline:
                self._wake_at(request.deadline)  # what streams wrote before takes longer than it may wait
                return
            early = now < when
            now = max(now, when)
        elif self._silence_awaited is request:  # and it is over: the timer was late
            self._late_request, self._late = request, now - max(ready, request.queued_at)
        self._silence_awaited = None
        if request is self._again:
            self._again = None
        else:
            self._turns.take(request)
        self._send(request, now, early)

    def _first(self, now: float) -> Request | None:
        """Whose turn it is, those apart whose answer could be taken for a late one."""
        request = self._doubts.first(self._turns, now)
        if request is None and self._turns:
            self._silence_awaited = None
            self._wake_at(self._doubts.clears)
        return request

    def _send(self, request: Request, now: float, early: bool = False) -> None:
        exchange = self._exchange
        unit, pdu, wait = request.unit, request.pdu, request.timeout
        if not request.awaited:
            self._awaiting, wait = _TURNAROUND, self._settings.turnaround
        elif exchange.echo.present is None and (probe := self._doubts.probe(request)) is not None:
            self._awaiting, pdu = _PROBE, probe
        else:
            self._awaiting = _ANSWER
        if self._awaiting is not _PROBE and request.sent_at < 0:
            request.sent_at = now
            self._waited += now - request.queued_at
        wire = exchange.begin(unit, pdu)
        self.request = request
        self._blocked = math.inf
        self._began = now
        self._quiet.sent(now, len(wire))
        self._due = self._quiet.last + wait
        while early and self._clock() < now:
            pass  # everything is ready: only the rest of the silence is left, some 50 us
        self._wire.put(wire)
        self._wake_at(self._due)
        self._until_sample -= 1
        if not self._until_sample:
            self._until_sample = SAMPLED
            self._sampling = True
            self._samples += 1
            self._own += self._clock() - now + (self._late if self._late_request is request else 0.0)

    def _finish(self, outcome: Outcome, answer: bytes, now: float) -> None:
        """The request on the line has ended; where its answer, an empty one, does not fit, perhaps not yet."""
        if not answer and outcome is _ANSWERED and self._takes_retry(now):
            self._send_again(now)
            return
        request = self._off_the_line(now)
        if answer and self._doubts.until:
            self._doubts.answered(request, self._due)
        self._end(request, outcome, now, answer)
        if self._sampling:
            self._sampling = False
            self._own += self._clock() - now
        if self._turns or self._output.size or self._again is not None:
            self._next(self._clock())

    def _off_the_line(self, now: float) -> Request:
        request = self.request
        assert request is not None  # the callers' condition
        self.request = None
        self._busy += now - self._began
        self._quiet.request_over(now)
        if self._way_wanted:
            self._way_wanted = False
            self._turn_ends = 0.0
            self._quiet.give_way()
        return request

    def _end(self, request: Request, outcome: Outcome, now: float, answer: bytes = b"") -> None:
        if outcome is _ANSWERED:
            self._answered += 1  # hashing an enum takes half a microsecond
        else:
            self._outcomes[outcome] += 1
        request.done(request, request.result(outcome, answer, now))

    def _end_probe(self, now: float, *, answered: bool) -> None:
        """What is known of the echo now is all that can be known: send what it was for."""
        request = self.request
        assert request is not None  # the callers' condition
        if not answered:
            self._exchange.abandon(now + request.timeout)
            self._doubts.probe_unanswered(request, self._due)
        if request.left:
            self._finish(Outcome.GONE, b"", now)
        elif request.deadline <= now:
            self._finish(Outcome.EXPIRED, b"", now)
        else:
            self._send_again(now)

    def _send_again(self, now: float) -> None:
        self._again = self._off_the_line(now)
        self._next(now)

    def _takes_retry(self, now: float) -> bool:
        """Whether the request on the line may be sent again; that is counted."""
        request = self.request
        assert request is not None  # the callers' condition
        if request.retries <= 0 or now >= request.deadline or request.left:
            return False
        request.retries -= 1
        self._retries += 1
        return True

    def _give_up(self, now: float) -> None:
        """The time of the request on the line is over."""
        request = self.request
        assert request is not None  # the caller's condition
        if not self._wire.take_back():  # what has not left could not be heard back
            self._exchange.abandon(now + request.timeout)
        if self._awaiting is _TURNAROUND:
            self._finish(Outcome.SENT, b"", now)
            return
        self._doubts.unanswered(request, self._due)
        if self._takes_retry(now):
            self._send_again(now)
        else:
            self._finish(Outcome.NO_ANSWER, b"", now)

    def _give_line_up(self, answer: bytes | None, now: float) -> None:
        """Nothing more can be understood; the last thing that could be was `answer`."""
        answered = None
        if answer is not None and self.request is not None and self._awaiting is _ANSWER:
            answered = self._off_the_line(now)
        self._wire.give_up(f"cannot be understood any more: {self._exchange.broken}")
        if answered is not None and answer is not None:
            self._end(answered, _ANSWERED, now, answer)

    # Time.

    def _wake_at(self, when: float) -> None:
        """Look again then, or earlier. The timer is not set back: waking once too often costs less."""
        if when < self._armed and self._timer is not None:
            self._armed = when
            self._timer.arm(when)

    def _listen(self) -> None:
        deadline = self._exchange.deadline()
        if deadline is not None:
            self._wake_at(deadline)

    def _woken(self) -> None:
        now = max(self._clock(), self._armed)  # a rounding error early is on time
        self._armed = math.inf
        deadline = self._exchange.deadline()
        answer = self._exchange.expire(now) if deadline is not None and deadline <= now else None
        if self.request is not None:
            if answer is not None and self._awaiting is _ANSWER:
                self._finish(_ANSWERED, answer, now)
            elif answer is not None and self._awaiting is _PROBE:
                self._end_probe(now, answered=True)
            elif now >= self._due:
                if self._awaiting is _PROBE:
                    self._end_probe(now, answered=False)
                else:
                    self._give_up(now)
        self._next(now)
        # All that is still to come; `_next` has seen to the rest.
        if self.request is not None:
            self._wake_at(self._due)
        self._listen()
        if self._turns:
            self._wake_at(self._turns.earliest)

"""Command by command: several masters share a raw port, and each gets the answers to its own requests.

Names are those of an NPort 6000 (manual, "command by command operation"). To its sessions a `Commands` is the line's
stream, and to the stream one client:

    RawSession.data_received -> write -> a client's queue -> its turn -> Stream.write
    Stream.deliver -> line_data -> the packer that finds an answer's end -> the RawSession that asked

Clients take turns, one request each. While an answer is awaited, Modbus requests on the same line wait as they do for
any conversation (line/transaction.py). An answer that was not awaited to its end may still come: it is unrequested
then, or, if the next one has been sent, taken for that one's; nothing in the bytes could tell.
"""

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from fastcrc import crc16

from nportpy.line.arbiter import Line
from nportpy.line.stream import Change, Hearer, StreamClient
from nportpy.line.timer import Timer, open_timer
from nportpy.linesettings import ModemLines, UartCounters
from nportpy.modes.commands_base import CommandSettings, CommandStatus, Unrequested
from nportpy.protocols.modbus.rtu import MIN_FRAME, silent_interval
from nportpy.protocols.packing import BUFFER, Delimiting, Packer, Packing, packer

__all__ = ["MOST_ANSWER", "CommandSettings", "CommandStatus", "Commands", "Unrequested"]

MOST_ANSWER: Final = 64 * 1024
"""Bytes after which an answer is over: a device that talks without end keeps nobody's turn."""

_GONE = 1.0  # seconds that an answer is waited for whose client has gone, where it would be waited for for ever
_HIDDEN = 24  # characters that a receiver may collect, and silence; see protocols/packing.py
_BEHIND = {Delimiting.PLUS_1: 1, Delimiting.PLUS_2: 2}

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Client:
    """One who asks."""

    session: StreamClient
    hearer: Hearer
    requests: Packer
    queue: deque[bytes] = field(default_factory=deque)
    stopped: bool = False  # told to write no more for now
    held: bool = False  # does not fetch what it was told


class Commands:
    """The clients of one raw service."""

    def __init__(self, line: Line, settings: CommandSettings) -> None:
        """Nobody is there."""
        self._line = line
        self._settings = settings
        self._clients: dict[StreamClient, _Client] = {}  # whose turn it is first stands first
        self._last: _Client | None = None  # who asked last, and whose answer is awaited
        self._awaiting = False  # a request is on the line, or on its way there
        self._sent = False  # on the line
        self._stopped = False  # the line takes no more for now, or keeps what it took
        self._due = math.inf  # when the answer has been waited for long enough
        self._ready = -math.inf  # when the next request may be sent
        self._size = 0  # of the answer so far
        self._answers = packer(settings.answers, line.settings.character_time)
        self._timer: Timer | None = None
        self._clock: Callable[[], float] = time.monotonic
        self._armed = math.inf
        self._counts = dict.fromkeys(("sent", "answered", "timeouts", "unsent", "unrequested"), 0)

    def status(self) -> CommandStatus:
        """A snapshot."""
        return CommandStatus(queued=sum(len(client.queue) for client in self._clients.values()), **self._counts)

    # To its sessions it is the line's stream; see `SharedLine` (session.py).

    def join(self, client: StreamClient, **_: object) -> None:
        """See `Stream`."""
        character_time = self._line.settings.character_time
        self._clients[client] = _Client(client, client, packer(self._settings.requests, character_time))
        if self._timer is None:
            self._answers.set_character_time(character_time)
            self._timer = open_timer(self._woken)
            self._clock = self._timer.clock
            self._line.stream.join(self)

    def leave(self, client: StreamClient) -> None:
        """What the client asked and was not sent yet is forgotten."""
        gone = self._clients.pop(client)
        self._counts["unsent"] += len(gone.queue)
        if self._awaiting and gone is self._last:
            self._due = min(self._due, self._clock() + (self._settings.response_timeout or _GONE))
        self._rest()
        self._listen()

    def write(self, client: StreamClient, data: bytes) -> None:
        """The client asks something."""
        asker = self._clients.get(client)
        if asker is None:  # it has been sent away
            return
        now = self._clock()
        if self._line.up:
            self._queue(asker, asker.requests.feed(data, now))
        else:
            self._counts["unsent"] += 1
        self._next(now)
        self._listen()

    def hold(self, client: StreamClient) -> None:
        """A client that does not fetch the answers does not get its turn."""
        if client in self._clients:
            self._clients[client].held = True

    def release(self, client: StreamClient) -> None:
        """It has fetched them."""
        asker = self._clients.get(client)
        if asker is not None:
            asker.held, asker.hearer = False, client
            self._next(self._clock())
            self._listen()

    def waits_for(self, client: StreamClient) -> bool:  # noqa: ARG002 - as a stream does
        """The line waits for nobody: answers are bounded."""
        return False

    def skip(self, client: StreamClient, instead: Hearer) -> None:
        """See `Stream`."""
        if client in self._clients:
            self._clients[client].hearer = instead

    def under_way(self, client: StreamClient) -> int:
        """How many of the client's requests have not been answered."""
        asker = self._clients.get(client)
        if asker is None:
            return 0
        return len(asker.queue) + (self._awaiting and asker is self._last)

    # To the line's stream it is a client; see `StreamClient`.

    def line_data(self, data: bytes) -> None:
        try:
            now = self._clock()
            if self._sent:
                self._hear(self._answers.feed(data, now), len(data), now)
            else:
                self._tell_unrequested(data)
            self._listen()
        except Exception as error:  # as in a session: the line's other clients have no part in it
            self._fail(error)

    def line_full(self) -> None:
        self._stopped = True

    def line_ready(self) -> None:
        self._stopped = False
        now = self._clock()
        if self._awaiting and not self._sent:
            self._left(now)
        self._next(now)
        self._listen()

    def line_up(self) -> None:
        for client in tuple(self._clients):
            client.line_up()

    def line_down(self) -> None:
        """What was asked is forgotten: when the line comes back, whoever asked has asked again or given up."""
        self._awaiting = self._sent = False
        self._due = math.inf
        self._answers.finish()
        for asker in tuple(self._clients.values()):
            self._counts["unsent"] += len(asker.queue)
            asker.queue.clear()
            asker.requests.finish()
            asker.session.line_down()
            self._let_go_on(asker)
        self._rest()

    def line_changed(self, change: Change) -> None:
        if change is Change.SETTINGS:
            for each in (self._answers, *(asker.requests for asker in self._clients.values())):
                each.set_character_time(self._line.settings.character_time)
            self._listen()

    def line_state(self, modem: ModemLines, errors: UartCounters) -> None:
        """Not asked for."""

    # Requests.

    def _queue(self, asker: _Client, segments: Iterable[bytes]) -> None:
        for segment in segments:  # one read may be longer than a request may be
            asker.queue.extend(segment[at : at + BUFFER] for at in range(0, len(segment), BUFFER))
        if len(asker.queue) >= self._settings.queue and not asker.stopped:
            asker.stopped = True
            asker.session.line_full()

    def _let_go_on(self, asker: _Client) -> None:
        if asker.stopped and len(asker.queue) <= self._settings.queue // 2:
            asker.stopped = False
            asker.session.line_ready()

    def _next(self, now: float) -> None:
        """Send the request whose turn it is, if the line is free for it."""
        if self._awaiting or self._stopped or now < self._ready or not self._line.up:
            return
        asker = next((each for each in self._clients.values() if each.queue and not each.held), None)
        if asker is None:
            return
        del self._clients[asker.session]  # and back again, behind the others
        self._clients[asker.session] = asker
        request = asker.queue.popleft()
        self._last = asker
        self._awaiting = True
        self._size = len(request)
        self._counts["sent"] += 1
        self._line.stream.write(self, request)
        if not self._stopped:
            self._left(now)
        self._let_go_on(asker)

    def _left(self, now: float) -> None:
        """The request is on its way over the line."""
        size = max(self._size, self._line.unsent())
        self._sent = True
        self._size = 0
        self._wait(now + size * self._line.settings.character_time)

    def _wait(self, since: float) -> None:
        """Wait for the answer, or more of it, so long from `since` on."""
        self._due = since + (self._settings.response_timeout or math.inf)
        assert self._last is not None  # it asked
        if self._last.session not in self._clients:
            self._due = min(self._due, since + _GONE)
        self._hold_requests(self._due)

    def _hold_requests(self, until: float) -> None:
        """Have Modbus requests wait while this goes on."""
        if self._line.transactions is not None:
            self._line.transactions.converse(until)

    # Answers.

    def _hear(self, segments: list[bytes], size: int, now: float) -> None:
        """Something came, and these segments have become whole with it."""
        self._size += size
        for index, segment in enumerate(segments):
            self._tell(segment)
            if self._ends(segment):
                self._over("answered", segments[index + 1 :], now)
                return
        if self._size >= MOST_ANSWER:
            self._over("answered", [], now)
            return
        self._wait(now)
        if segments and len(segments[-1]) == BUFFER and self._answers.deadline() is None:
            # Cut, as it was long, just where it may have ended.
            hidden = _HIDDEN * self._line.settings.character_time
            self._due = min(
                self._due, now + max(hidden, self._settings.answers.latency, self._settings.answers.force_transmit)
            )

    def _ends(self, segment: bytes) -> bool:
        """Whether a segment that came without silence behind it is an answer's end: it may be there as it is long."""
        answers = self._settings.answers
        if answers.packing is Packing.RTU:
            return len(segment) >= MIN_FRAME and crc16.modbus(segment) == 0
        if answers.length:
            return True
        if not answers.delimiters or answers.delimiting is Delimiting.STRIP:
            return len(segment) < BUFFER
        return segment[: len(segment) - _BEHIND.get(answers.delimiting, 0)].endswith(answers.delimiters)

    def _over(self, how: str, more: Iterable[bytes], now: float) -> None:
        """The answer has ended; `more` came behind it."""
        self._counts[how] += 1
        self._awaiting = self._sent = False
        self._due = math.inf
        pause = self._settings.pause
        if self._settings.answers.packing is Packing.RTU:
            pause = max(pause, silent_interval(self._line.settings))
        self._ready = now + pause
        for segment in (*more, *self._answers.finish()):
            self._tell_unrequested(segment)
        self._hold_requests(self._ready)
        self._next(now)
        self._rest()

    def _tell(self, data: bytes) -> None:
        """Tell whoever asked, if it is still there."""
        if self._last is not None and self._last.session in self._clients:
            self._last.hearer.line_data(data)

    def _tell_unrequested(self, data: bytes) -> None:
        self._counts["unrequested"] += len(data)
        match self._settings.unrequested:
            case Unrequested.LAST:
                self._tell(data)
            case Unrequested.ALL:
                for asker in tuple(self._clients.values()):
                    asker.hearer.line_data(data)
            case Unrequested.DISCARD:
                pass

    # Time.

    def _listen(self) -> None:
        """Look again when something is due. The timer is not set back: waking once too often costs less."""
        whens = [asker.requests.deadline() for asker in self._clients.values()]
        if self._sent:
            whens += (self._due, self._answers.deadline())
        elif not self._awaiting and self._ready > self._clock():
            whens.append(self._ready)
        when = min((each for each in whens if each is not None), default=math.inf)
        if when < self._armed and self._timer is not None:
            self._armed = when
            self._timer.arm(when)

    def _woken(self) -> None:
        now = max(self._clock(), self._armed)  # a rounding error early is on time
        self._armed = math.inf
        for asker in tuple(self._clients.values()):
            self._queue(asker, asker.requests.expire(now))
        if self._sent:
            segments = self._answers.expire(now)
            for segment in segments:
                self._tell(segment)
            if segments:
                self._over("answered", [], now)
            elif now >= self._due:
                self._give_up(now)
        self._next(now)
        self._listen()

    def _give_up(self, now: float) -> None:
        """It has been waited for long enough: what came of it is all."""
        for segment in self._answers.finish():
            self._tell(segment)
        self._over("timeouts", [], now)

    # The end.

    def _rest(self) -> None:
        """Leave the line when nobody is there, and no answer is awaited that the next one could take for its own."""
        if self._timer is not None and not self._clients and not self._awaiting:
            self._timer.close()
            self._timer = None
            self._armed = math.inf
            self._last = None
            self._line.stream.leave(self)

    def _fail(self, error: Exception) -> None:
        self._awaiting = self._sent = False
        log.error("commands failed", exc_info=error, extra={"port": self._line.name})

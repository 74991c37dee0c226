"""Real COM as its client: one connection for data, one for commands, and no order between the two.

So order is made here. What a program sets waits until the bytes that were written before have left the line, and the
bytes that come after wait until the server has obeyed (`busy`). Nothing is asked for twice: of what is set while the
server is busy, the last counts.

What the server's line is set to cannot be asked. It is set to what the port shows from the start, as drivers do.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from nportpy.attach.session import Arrived, Event, Garbage, Received, Refused, Session, Settled
from nportpy.attach.wish import Wish
from nportpy.linesettings import LineSettings
from nportpy.protocols.realcom import messages as m
from nportpy.protocols.realcom import values
from nportpy.protocols.realcom.client import PATIENCE, Answered, Client, Stray, Unanswered

STALLED: Final = 5.0
"""Seconds without progress after which bytes that do not leave are waited for no longer."""

SHORTEST_BREAK: Final = 0.25
"""Seconds between the answer to the beginning of a break and its end: the beginning may have waited for bytes."""

NOT_REALCOM: Final = "the server does not answer as one of Real COM"
"""Why it is of no use."""

_PIECE = 500  # of a wait for bytes to leave: milliseconds to servers that we know
_LOOK = 0.01
_FASTEST = (1 << 31) - 1


class RealComSession(Session):
    """See `Session`; what goes over the command connection is apart from it.

    Attributes:
        hello: the connections go by IPv6; to be set before `begin`.
        failure: why the server is of no use; empty if it is.
        left: bytes that the server last said have not left the line.
    """

    def __init__(self, *, raised: bool) -> None:
        """`raised`: DTR and RTS are up until something else is asked for. They cannot be left as they are."""
        self.settled = False
        self.plain_in, self.plain_out = True, False  # what is sent has to be seen, not changed
        self.hello = False
        self.failure = ""
        self.left = 0
        self._client = Client()
        self._line = LineSettings()  # as they are to be
        self._raised = raised
        self._told: tuple[LineSettings, bool] | None = None  # as the server was last told
        self._flush: m.Flushed | None = None
        self._break = self._breaking = self._break_over = False  # to begin, on, to end
        self._break_until = 0.0
        self._fence = False
        self._unsure = False  # bytes were sent, and nobody has said that they have left
        self._least, self._since = -1, 0.0  # of those; and when it was so few
        self._again: float | None = None
        self._greet_by: float | None = None  # the first answer must have come

    def begin(self, now: float) -> list[Event]:
        """See `Session`."""
        self._client = Client(hello=self.hello)
        self._greet_by = now + PATIENCE
        self.settled = True
        return [Settled()]

    def feed(self, data: bytes) -> list[Event]:
        """See `Session`: what came on the data connection."""
        return [Received(data)] if data else []

    def encode(self, data: bytes) -> bytes:
        """See `Session`."""
        self._unsure = True
        self._least = -1
        return data

    def take_output(self) -> bytes:
        """Nothing but data goes over the data connection."""
        return b""

    def deadline(self) -> float | None:
        """See `Session`."""
        times = (self._client.deadline(), self._again, self._greet_by)
        return None if self.failure else min((time for time in times if time is not None), default=None)

    def expire(self, now: float) -> list[Event]:
        """See `Session`."""
        late = self._greet_by is not None and now >= self._greet_by
        if self._client.expire(now) or late:
            self.failure = NOT_REALCOM
        return []

    # The command connection.

    @property
    def greeted(self) -> bool:
        """Whether the server has answered anything."""
        return self._greet_by is None

    @property
    def busy(self) -> bool:
        """Whether data has to wait: something is asked for, and not yet answered."""
        return not self._client.idle or self._asks()

    def _asks(self) -> bool:
        """Whether something is still to be asked for."""
        ends = self._break_over and self._breaking
        return self._changes() or self._flush is not None or self._break or ends or self._fence

    def _changes(self) -> bool:
        return self._told != (self._line, self._raised)

    def feed_commands(self, data: bytes, now: float) -> list[Event]:
        """What came on the command connection. Takes any bytes."""
        events: list[Event] = []
        for event in self._client.feed(data, now):
            match event:
                case Answered(command, answer):
                    self._greet_by = None
                    events += self._answered(command, answer, now)
                case m.Garbage(data):
                    events.append(Garbage(f"no answer: {data[:16].hex(' ')}"))
                case Stray():
                    events.append(Garbage("an answer to nothing"))
                case Unanswered() | m.Notify():  # nothing of a pseudo-terminal could show the modem lines
                    pass
        return events

    def _answered(self, command: m.Command, answer: object, now: float) -> list[Event]:
        match command, answer:
            case m.SetBaudrate(rate), m.Acknowledged(ok=False):
                return [Refused("speed", str(rate), "another")]
            case m.StartBreak(), _:
                self._breaking = True
                self._break_until = now + SHORTEST_BREAK
            case m.WaitOutput(), m.QueueLength(length=length):
                self.left = length
                self._unsure = length > 0
                if length:
                    self._progress(length, now)
                    self._again = now + _LOOK
            case _:
                pass
        return []

    def _progress(self, unsent: int, now: float) -> None:
        """So many bytes are left; give up what does not become less."""
        if self._least < 0 or unsent < self._least:
            self._least, self._since = unsent, now
        elif now - self._since >= STALLED:
            self._unsure = False
            self.left = 0

    def work(self, now: float, unsent: Callable[[], int]) -> list[Event]:
        """Ask for what can be asked for now; after every other call here.

        Args:
            now: the time.
            unsent: how many bytes of data have not come to the server's machine.
        """
        if self._again is not None and now < self._again:
            return []
        self._again = None
        while self._client.idle and not self._client.lost and self._asks():
            if self._flush is not None:
                self._client.send(m.Flush(self._flush), now=now)
                self._flush = None
            elif self._unsure:
                self._wait(unsent(), now)
                if self._again is not None:
                    break
            elif self._changes():
                self._change(now)
            elif self._breaking and self._break_over:
                if now < self._break_until:
                    self._again = self._break_until
                    break
                self._breaking = self._break_over = False
                self._client.send(m.StopBreak(), now=now)
            elif self._break:
                self._break = False
                self._client.send(m.StartBreak(), now=now)
            else:
                self._fence = False
                return [Arrived()]
        return []

    def _wait(self, unsent: int, now: float) -> None:
        """Ask whether all has left, but not before the server can know of it."""
        if unsent:
            self._progress(unsent, now)
            if self._unsure:
                self._again = now + _LOOK
        else:
            self._client.send(m.WaitOutput(_PIECE), now=now)

    def _change(self, now: float) -> None:
        told = self._told
        self._told = self._line, self._raised
        if told is not None and told[0] == self._line:
            self._client.send(m.LineControl(self._raised, self._raised), now=now)
        else:
            for command in values.commands(self._line, dtr=self._raised, rts=self._raised):
                self._client.send(command, now=now)

    def take_commands(self) -> list[bytes]:
        """What to write to the command connection, each piece by itself."""
        return self._client.take_output()

    # What is asked for.

    def ask_line(self) -> None:
        """Servers do not say."""

    def set_line(self, wish: Wish) -> None:
        """See `Session`."""
        given = {
            "baudrate": min(wish.baudrate, _FASTEST) if wish.baudrate else None,
            "data_bits": wish.data_bits,
            "parity": wish.parity,
            "stop_bits": wish.stop_bits,
            "flow": wish.flow,
            "flow_in": wish.flow_in,
        }
        self._line = replace(self._line, **{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]  # of its own field each

    def set_modem_lines(self, *, on: bool) -> None:
        """See `Session`."""
        self._raised = on

    def set_break(self, *, on: bool) -> None:
        """See `Session`."""
        if on:
            self._break = True
        self._break_over = not on

    def purge(self, *, received: bool, unsent: bool) -> None:
        """See `Session`. It goes ahead of what waits for bytes to leave."""
        if received or unsent:
            now = m.Flushed.BOTH if received and unsent else m.Flushed.UNSENT if unsent else m.Flushed.RECEIVED
            self._flush = now if self._flush in (None, now) else m.Flushed.BOTH

    def ask_arrival(self) -> bool:
        """See `Session`: all has left the line then."""
        self._fence = True
        return True

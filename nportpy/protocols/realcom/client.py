"""The client's side of a Real COM command connection, without its socket.

One command is under way at a time, as servers know it from the Linux driver; others wait for its answer. Polls are
answered here. Times are seconds on any clock that runs forward.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from nportpy.linesettings import ModemLines
from nportpy.protocols.realcom import messages as m
from nportpy.protocols.realcom import values
from nportpy.protocols.realcom.codec import HELLO_SIZE, AnswerReader, encode_command

PATIENCE: Final = 10.0
"""Seconds that an answer may take; the server is lost then."""

MAX_OVER: Final = 2.0
"""Seconds after its own time in which the answer to `WaitOutput` may still come."""


@dataclass(frozen=True, slots=True)
class Answered:
    """A command has its answer."""

    command: m.Command
    answer: m.Acknowledged | m.ModemStatus | m.QueueLength


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A command was not answered in time: connect anew. Nothing more is sent."""

    command: m.Command


@dataclass(frozen=True, slots=True)
class Stray:
    """An answer that nothing awaits."""

    answer: m.Acknowledged | m.ModemStatus | m.QueueLength


Event = Answered | Unanswered | Stray | m.Notify | m.Garbage


class Client:
    """A client.

    Attributes:
        modem: CTS, DSR, CD and RI as the server last told them.
        lost: the server does not answer.
    """

    def __init__(self, *, hello: bool = False) -> None:
        """Both connections are there; `hello`: they go by IPv6."""
        self.modem = ModemLines(0)
        self.lost = False
        self._reader = AnswerReader(hello=hello)
        self._output: list[bytes] = [bytes(HELLO_SIZE)] if hello else []
        self._greeting = hello
        self._queue: deque[tuple[m.Command, ...]] = deque()  # of writes
        self._awaited: deque[m.Command] = deque()
        self._until = 0.0

    def send(self, *commands: m.Command, now: float) -> None:
        """Send commands in one write, after those before them were answered. None of them is an `Alive`."""
        self._queue.append(commands)
        self._go_on(now)

    def feed(self, data: bytes, now: float) -> list[Event]:
        """Bytes came: what they tell."""
        events: list[Event] = []
        for message in self._reader.feed(data):
            match message:
                case m.Hello():
                    self._greeting = False
                case m.Poll(number):
                    self._output.append(encode_command(m.Alive(number)))
                case m.Notify(what, modem):
                    if m.Event.MODEM in what:
                        self.modem = values.modem_lines(modem)
                    events.append(message)
                case m.Garbage():
                    events.append(message)
                case _:
                    events.append(self._match(message, now))
        self._go_on(now)
        return events

    def take_output(self) -> list[bytes]:
        """What to write, each piece by itself."""
        output, self._output = self._output, []
        return output

    @property
    def idle(self) -> bool:
        """Whether all that was sent was answered."""
        return not self._awaited and not self._queue

    def deadline(self) -> float | None:
        """When to call `expire`."""
        return self._until if self._awaited and not self.lost else None

    def expire(self, now: float) -> list[Event]:
        """Whether an answer is overdue."""
        due = self.deadline()
        if due is None or now < due:
            return []
        self.lost = True
        return [Unanswered(self._awaited[0])]

    def _match(self, answer: m.Acknowledged | m.ModemStatus | m.QueueLength, now: float) -> Event:
        if isinstance(answer, m.ModemStatus):
            said = ((answer.dsr, ModemLines.DSR), (answer.cts, ModemLines.CTS), (answer.dcd, ModemLines.CD))
            self.modem &= ModemLines.RI  # of which it says nothing
            for level, line in said:
                self.modem |= line if level else ModemLines(0)
        if self._awaited and encode_command(self._awaited[0])[0] == answer.op:
            command = self._awaited.popleft()
            self._wait(now)
            return Answered(command, answer)
        return Stray(answer)

    def _go_on(self, now: float) -> None:
        if self._queue and not self._awaited and not self.lost and not self._greeting:
            commands = self._queue.popleft()
            self._awaited.extend(commands)
            self._output.append(b"".join(map(encode_command, commands)))
            self._wait(now)

    def _wait(self, now: float) -> None:
        if self._awaited:
            first = self._awaited[0]
            allowed = first.timeout / 1000 + MAX_OVER if isinstance(first, m.WaitOutput) else 0.0
            self._until = now + max(allowed, PATIENCE)

"""Understands what a meter sends: bytes in, events out (IEC 62056-21:2002, clauses 6.3 and 6.5).

    SEEKING         before any message: fill (NUL, FF) and rubbish are dropped; ACK and NAK count here
    IDENTIFYING     after `/`
    COMMANDED       after SOH, before STX or ETX
    READING         after STX, until ETX or EOT; or, without STX, lines right after an identification, until `!`
    CHECKING        before the block check character

Contents of a message come line by line, then `MessageEnd` says what they are worth: where its check is bad they are
to be thrown away. A byte is looked at once, and nothing grows beyond the limits below.
"""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from nportpy.protocols.iec62056.characters import ACK, EOT, ETX, NAK, SOH, STX, parity_errors, without_parity
from nportpy.protocols.iec62056.datasets import Line, Unreadable, parse
from nportpy.protocols.iec62056.identification import Identification, identification, starts_identification

LONGEST_LINE: Final = 256
LARGEST_MESSAGE: Final = 64 * 1024
MOST_SETS: Final = 2000

_CR, _LF, _SLASH, _END = 0x0D, 0x0A, 0x2F, 0x21
_CARRIAGE_RETURN: Final = b"\r"
_FILL: Final = (0x00, 0x7F)  # FF, its bit 7 masked


class State(Enum):
    """See above."""

    SEEKING = auto()
    IDENTIFYING = auto()
    COMMANDED = auto()
    READING = auto()
    CHECKING = auto()


class Check(Enum):
    """What the block check says of a message."""

    GOOD = auto()
    BAD = auto()
    ABSENT = auto()  # there was none


@dataclass(frozen=True, slots=True)
class Identified:
    """The meter has said who it is."""

    identification: Identification


@dataclass(frozen=True, slots=True)
class MessageEnd:
    """A message is over.

    Attributes:
        check: whether what came of it is right.
        more: it was a part (it ended with EOT): acknowledged, the meter sends the next one.
    """

    check: Check
    more: bool = False


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The meter agrees."""


@dataclass(frozen=True, slots=True)
class NotAcknowledged:
    """The meter did not get our message whole."""


@dataclass(frozen=True, slots=True)
class PasswordRequest:
    """The meter is in programming mode and may want a password (P0)."""

    operand: str


@dataclass(frozen=True, slots=True)
class ErrorText:
    """The meter refuses what was asked, in words of its maker: `ER01`."""

    text: str


@dataclass(frozen=True, slots=True)
class Break:
    """The meter ends the session (B0)."""


@dataclass(frozen=True, slots=True)
class Overheard:
    """A command that meters do not send: our echo, or somebody else's question."""

    command: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """A message broke off, or went beyond a limit: what came of it is to be thrown away."""

    reason: str


Event = (
    Identified
    | Line
    | Unreadable
    | MessageEnd
    | Acknowledged
    | NotAcknowledged
    | PasswordRequest
    | ErrorText
    | Break
    | Overheard
    | Malformed
)


class Reader:
    """What comes from one meter.

    Attributes:
        dropped: bytes that belonged to nothing.
        parity_errors: characters with a wrong parity bit, where that is looked at.
    """

    def __init__(self, *, parity: bool = False, bare: bool = False) -> None:
        """Nothing came yet.

        Args:
            parity: bit 7 is looked at: the port does not do it (8N1).
            bare: an identification has come already, so lines may follow without STX.
        """
        self.dropped = 0
        self.parity_errors = 0
        self._parity = parity
        self._state = State.SEEKING
        self._line = bytearray()
        self._command = ""
        self._framed = False  # the message began with SOH or STX
        self._ended = False  # `!` has come
        self._bare = bare
        self._check = 0
        self._size = 0
        self._sets = 0
        self._last = ""  # address
        self._more = False
        self._events: list[Event] = []

    @property
    def state(self) -> State:
        """Where it is."""
        return self._state

    def feed(self, data: bytes) -> list[Event]:
        """What has come, complete so far; the rest is kept."""
        if self._parity:
            self.parity_errors += parity_errors(data)
        for character in without_parity(data):
            self._take(character)
        return self._taken()

    def silence(self) -> list[Event]:
        """Nothing more comes: a message without a block check, or without an ETX, is over; another one broke off."""
        if self._state is State.CHECKING or (self._state is State.READING and self._ended):
            self._over(Check.ABSENT)
        elif self._state is State.IDENTIFYING and self._line.endswith(_CARRIAGE_RETURN):
            self._end_identification()
            return self._taken()
        elif self._state is not State.SEEKING:
            self._fail("it broke off")
        self._bare = False
        return self._taken()

    def _taken(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def _take(self, character: int) -> None:
        if self._state is State.CHECKING:
            self._over(Check.GOOD if character == self._check else Check.BAD)
        elif character in _FILL:
            self.dropped += 1
        elif character in (SOH, STX):
            self._open(character)
        else:
            match self._state:
                case State.SEEKING:
                    self._seek(character)
                case State.IDENTIFYING:
                    self._identify(character)
                case State.COMMANDED:
                    self._count(character)
                    self._be_told(character)
                case _:
                    self._count(character)
                    self._read(character)

    def _open(self, character: int) -> None:
        if self._state is State.COMMANDED and character == STX:
            self._count(character)
            self._command, self._state = self._line.decode("ascii"), State.READING
            self._line.clear()
            return
        if self._state is State.IDENTIFYING:
            self._end_identification()
        elif self._state is not State.SEEKING and self._framed:
            self._fail("another one began in it")
        if self._state is State.SEEKING:
            self.dropped += len(self._line)
        kept = self._last if self._more else ""
        self._start(State.COMMANDED if character == SOH else State.READING)
        self._framed, self._last = True, kept

    def _start(self, state: State) -> None:
        """Nothing of a message, or of an identification, has come."""
        self._state = state
        self._line.clear()
        self._command = self._last = ""
        self._framed = self._ended = self._bare = self._more = False
        self._check = self._size = self._sets = 0

    def _count(self, character: int) -> None:
        self._check ^= character
        self._size += 1

    def _seek(self, character: int) -> None:
        if character == _SLASH:
            self.dropped += len(self._line)
            self._start(State.IDENTIFYING)
        elif character in (ACK, NAK):
            self._events.append(Acknowledged() if character == ACK else NotAcknowledged())
        elif not self._bare or character in (ETX, EOT):
            self.dropped += 1
        elif character not in (_CR, _LF):
            if len(self._line) < LONGEST_LINE:
                self._line.append(character)
            else:
                self.dropped += 1
        elif self._line:
            text = self._line.decode("ascii")
            if text.startswith("!") or (text.isprintable() and parse(text)[0]):
                line = bytes(self._line)
                self._start(State.READING)
                self._size = len(line)
                self._line += line
                self._read(character)
            else:
                self.dropped += len(self._line)
                self._line.clear()

    def _identify(self, character: int) -> None:
        if character == _SLASH:
            self.dropped += len(self._line)
            self._start(State.IDENTIFYING)
        elif character == _LF:
            self._end_identification()
        elif self._line[-1:] == _CARRIAGE_RETURN:  # a line without LF; with one it is not over before that is heard
            self._end_identification()
            self._take(character)
        else:
            self._line.append(character)
            if len(self._line) > LONGEST_LINE or not starts_identification(self._line.decode("ascii")):
                self.dropped += len(self._line)
                self._start(State.SEEKING)

    def _end_identification(self) -> None:
        found = identification(self._line.decode("ascii").rstrip("\r"))
        self.dropped += len(self._line) if found is None else 0
        self._start(State.SEEKING)
        if found is not None:
            self._events.append(Identified(found))
            self._bare = True

    def _be_told(self, character: int) -> None:
        """The two characters of a command, or the end of one without data."""
        if character == ETX:
            self._command, self._state = self._line.decode("ascii"), State.CHECKING
            self._line.clear()
        elif len(self._line) < 2:
            self._line.append(character)
        else:
            self._fail("its command is too long")

    def _read(self, character: int) -> None:
        if self._size > LARGEST_MESSAGE:
            self._fail(f"it is longer than {LARGEST_MESSAGE} bytes")
        elif character in (_CR, _LF):
            self._end_line()
        elif character in (ETX, EOT) and self._framed:
            self._end_line()
            if self._state is State.READING:
                self._state = State.CHECKING
                self._more = character == EOT
        elif len(self._line) >= LONGEST_LINE:
            self._fail(f"it has a line of more than {LONGEST_LINE} characters")
        else:
            self._line.append(character)

    def _end_line(self) -> None:
        text = self._line.decode("ascii").strip()
        self._line.clear()
        if text.startswith("!"):
            self._ended = True
            if not self._framed:
                self._over(Check.ABSENT)
            return
        if not text:
            return
        sets, rest = parse(text, self._last)
        self._sets += len(sets)
        if self._sets > MOST_SETS:
            self._fail(f"it has more than {MOST_SETS} data sets")
            return
        if sets:
            self._last = sets[-1].address
            self._contents(Line(sets))
        if rest:
            self._events.append(Unreadable(rest))

    def _contents(self, line: Line) -> None:
        first = line.sets[0]
        if self._command == "P0":
            self._events.append(PasswordRequest(first.value))
        elif self._command:
            return  # it is told at its end
        elif not first.address and first.value.upper().startswith("ER"):
            self._events.append(ErrorText(first.value))
        else:
            self._events.append(line)

    def _over(self, check: Check) -> None:
        command, more, last = self._command, self._more, self._last
        if command == "B0":
            self._events.append(Break())
        if command in ("", "P0", "B0"):
            self._events.append(MessageEnd(check, more))
        else:
            self._events.append(Overheard(command))
        self._start(State.SEEKING)
        self._more, self._last = more, last

    def _fail(self, reason: str) -> None:
        was = self._state
        self._start(State.SEEKING)
        if was is not State.IDENTIFYING:
            self._events.append(Malformed(reason))

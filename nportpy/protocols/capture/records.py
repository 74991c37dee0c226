"""What happened on a line, as its tap (nportpy/line/tap.py) tells it: one record after another.

Times are those of our read and write calls. Between them and the wire stand the UART's FIFO, a USB adapter (up to 16 ms
unless it is set to low latency) and the scheduler.
"""

from enum import StrEnum
from typing import Final, NamedTuple, Protocol

from nportpy.linesettings import LineSettings


class Kind(StrEnum):
    """What a record is about; what its `about` is stands beside it."""

    RX = "rx"  # bytes from the device; None, or Hidden
    TX = "tx"  # bytes handed to the device; Asked where they are a request, Hidden, or None
    ANSWER = "answer"  # the end of a request that was on the line, its PDU is `data`; Ended
    UNSENT = "unsent"  # the end of a request that was not on the line, `data` what its client got; Unsent
    DISCARDED = "discarded"  # what was heard beside the awaited answer; Discards
    UP = "up"  # the device is there; LineSettings
    DOWN = "down"  # it has gone; str
    SETTINGS = "settings"  # speed or format are others; Changed
    MODEM = "modem"  # modem lines changed; ModemLines
    ERRORS = "errors"  # the driver counted line errors; UartCounters
    BREAK = "break"  # one that is sent begins or ends; bool
    PURGED = "purged"  # bytes that were written before did not leave and were thrown away; int
    HOLDER = "holder"  # a lease has the wire, or has it no more; str


class Cause(StrEnum):
    """What can freeze the flight recorder (nportpy/line/recorder.py)."""

    NO_ANSWER = "no_answer"
    EXCEPTION = "exception"
    CRC = "crc"
    LATE = "late"
    UART = "uart"
    LINE_DOWN = "line_down"


# Python 3.11 takes a quarter of a microsecond to find a member of an enum, and these are wanted for every chunk.
RX: Final = Kind.RX
TX: Final = Kind.TX
ANSWER: Final = Kind.ANSWER
UNSENT: Final = Kind.UNSENT


class Client(Protocol):
    """Who asked: an address, or a name."""

    def __str__(self) -> str:
        """As text."""


class Hidden(NamedTuple):
    """Bytes with a password in them, or what was heard after it: only how many there were."""

    size: int


class Asked(NamedTuple):
    """The request whose frame was written.

    Attributes:
        request: its number on this line; the same when it is sent again.
        unit: whom.
        pdu: what.
        client: who has the turn.
        waited: seconds that it waited for its turn.
        attempt: 1, or 2 when it is sent again.
        probe: another question goes before it, to find out whether the line has an echo.
        timeout: seconds from now that its answer may take; 0: none is awaited.
    """

    request: int
    unit: int
    pdu: bytes
    client: Client
    waited: float
    attempt: int
    probe: bool
    timeout: float


class Ended(NamedTuple):
    """How a request ended.

    Attributes:
        request: see `Asked`.
        unit: whom.
        pdu: what.
        outcome: answered, sent (nobody answers), no_answer, line_down, gone, expired.
        clients: who gets the answer; the first is the one that had the turn.
        waited: seconds until it was first sent.
        took: seconds from then on.
        attempts: how often it was sent.
    """

    request: int
    unit: int
    pdu: bytes
    outcome: str
    clients: tuple[Client, ...]
    waited: float
    took: float
    attempts: int


class Unsent(NamedTuple):
    """Why a request was not put on the line.

    Attributes:
        unit: whom.
        pdu: what.
        client: who asked.
        why: cache, unreachable, expired, queue_full, line_down, gone, forbidden, ignored.
    """

    unit: int
    pdu: bytes
    client: Client
    why: str


class Discards(NamedTuple):
    """What was heard beside the awaited answer since the last time (`Counts` in protocols/modbus/exchange.py)."""

    junk: int
    spoilt: int
    foreign: int
    unfit: int
    late: int
    echoes: int

    @property
    def faulty(self) -> bool:
        """Whether any of it should not be there; an echo may."""
        return any(self[:5])


class Changed(NamedTuple):
    """Settings of the line, before and after."""

    before: LineSettings
    after: LineSettings


class Record(NamedTuple):
    """One thing that happened.

    Attributes:
        number: of the tap's records, from 0; one after the other.
        time: nanoseconds on the tap's own clock, which no change of the time of day moves.
        kind: what it is about.
        data: bytes of the line, or of a PDU.
        about: see `Kind`.
    """

    number: int
    time: int
    kind: Kind
    data: bytes
    about: object

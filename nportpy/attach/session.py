"""What is said on a connection to a server, without the connection: pure, and time is an argument.

`attachment.py` hands over what came and sends what `take_output` gives, in its place among the data.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Protocol

from nportpy.attach.wish import Wish


@dataclass(frozen=True, slots=True)
class Received:
    """Bytes of the line; never empty."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Settled:
    """Data may be sent from now on.

    Attributes:
        complaint: what will not work here; empty if everything does.
        other: it looks like a port of another kind, which another target names.
    """

    complaint: str = ""
    other: bool = False


@dataclass(frozen=True, slots=True)
class Doubted:
    """The server has not said what one of its kind says by now: it may be a port of another kind."""

    reason: str


@dataclass(frozen=True, slots=True)
class Learned:
    """What the server's line is set to, before anything was asked of it."""

    wish: Wish


@dataclass(frozen=True, slots=True)
class Refused:
    """The server has another value in effect than it was asked for, both as text."""

    what: str
    asked: str
    has: str


@dataclass(frozen=True, slots=True)
class Suspended:
    """The server wants no more data, or takes it again."""

    on: bool


@dataclass(frozen=True, slots=True)
class Arrived:
    """All that was sent before `ask_arrival` has reached the server's program."""


@dataclass(frozen=True, slots=True)
class Garbage:
    """The server said what makes no sense; the session goes on."""

    reason: str


Event = Received | Settled | Doubted | Learned | Refused | Suspended | Arrived | Garbage


class Session(Protocol):
    """One connection, from its beginning to its end.

    Attributes:
        settled: data may be sent; before, it would not arrive as it is.
        plain_in: what comes is data, byte by byte, unless it has an 0xFF in it.
        plain_out: likewise for what is sent.
    """

    settled: bool
    plain_in: bool
    plain_out: bool

    @abstractmethod
    def begin(self, now: float) -> list[Event]:
        """The connection is there, at `now` seconds of any clock."""

    @abstractmethod
    def feed(self, data: bytes) -> list[Event]:
        """What came, in the order of the stream. Takes any bytes."""

    @abstractmethod
    def take_output(self) -> bytes:
        """What is to be sent now: after every call of anything here, and before any later data."""

    @abstractmethod
    def encode(self, data: bytes) -> bytes:
        """Data as it goes to the server."""

    @abstractmethod
    def ask_line(self) -> None:
        """Have `Learned` told what the server's line is set to, as far as it says."""

    @abstractmethod
    def set_line(self, wish: Wish) -> None:
        """Set the line; what the server has already is not asked for again."""

    @abstractmethod
    def set_modem_lines(self, *, on: bool) -> None:
        """Raise or drop DTR and RTS."""

    @abstractmethod
    def set_break(self, *, on: bool) -> None:
        """Begin or end a break."""

    @abstractmethod
    def purge(self, *, received: bool, unsent: bool) -> None:
        """Have the server throw away what it has buffered."""

    @abstractmethod
    def ask_arrival(self) -> bool:
        """Have `Arrived` told when all that was sent before has come through; False: this server cannot tell."""

    @abstractmethod
    def deadline(self) -> float | None:
        """When to call `expire`."""

    @abstractmethod
    def expire(self, now: float) -> list[Event]:
        """Nothing came for so long: go on without."""


class RawSession(Session):
    """Plain bytes: nothing is negotiated, and nothing but data is carried."""

    def __init__(self) -> None:
        """See `Session`."""
        self.settled = False
        self.plain_in = self.plain_out = True

    def begin(self, now: float) -> list[Event]:  # noqa: ARG002 - see `Session`
        """See `Session`."""
        self.settled = True
        return [Settled()]

    def feed(self, data: bytes) -> list[Event]:
        """See `Session`."""
        return [Received(data)] if data else []

    def take_output(self) -> bytes:
        """See `Session`."""
        return b""

    def encode(self, data: bytes) -> bytes:
        """See `Session`."""
        return data

    def ask_line(self) -> None:
        """Not carried."""

    def set_line(self, wish: Wish) -> None:
        """Not carried."""

    def set_modem_lines(self, *, on: bool) -> None:
        """Not carried."""

    def set_break(self, *, on: bool) -> None:
        """Not carried."""

    def purge(self, *, received: bool, unsent: bool) -> None:
        """Not carried."""

    def ask_arrival(self) -> bool:
        """See `Session`."""
        return False

    def deadline(self) -> float | None:
        """See `Session`."""
        return None

    def expire(self, now: float) -> list[Event]:  # noqa: ARG002 - see `Session`
        """See `Session`."""
        return []

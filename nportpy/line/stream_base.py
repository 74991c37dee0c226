"""Who is at a stream (stream.py): its clients, and the line that owns the wire."""

from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from typing import Protocol

from nportpy.linesettings import LineSettings, ModemLines, UartCounters
from nportpy.protocols.packing import Packing, PackingSettings


class Change(Enum):
    """What changed at a line other than its bytes."""

    SETTINGS = auto()  # speed, format or flow control
    CONTROL = auto()  # break, DTR or RTS
    CONTROLLER = auto()  # who may change all that


class Hearer(Protocol):
    """Whoever hears a line. Must not raise."""

    def line_data(self, data: bytes) -> None:
        """Bytes came from the line."""


class StreamClient(Protocol):
    """Somebody who listens to a line and may write to it. Called from the event loop; must not raise."""

    def line_data(self, data: bytes) -> None:
        """Bytes came from the line."""

    def line_full(self) -> None:
        """What was just written is accepted, but do not write more for now."""

    def line_ready(self) -> None:
        """Write again."""

    def line_up(self) -> None:
        """The device is there again."""

    def line_down(self) -> None:
        """The device has gone."""

    def line_changed(self, change: Change) -> None:
        """Somebody else changed the line's settings."""

    def line_state(self, modem: ModemLines, errors: UartCounters) -> None:
        """Modem lines now, and what went wrong on the line since the last call; only for those who watch."""


class Wire(Protocol):
    """What the stream needs from the line that owns the wire."""

    @property
    def up(self) -> bool:
        """Whether the device is there."""

    @property
    def settings(self) -> LineSettings:
        """Speed, format and flow control in effect."""

    def put(self, data: bytes) -> None:
        """Send `data`."""

    def hold_reading(self, hold: bool) -> None:
        """Stop reading the device, or read it again."""

    def flush_received(self) -> None:
        """Throw away what the kernel has received."""

    def unsent(self) -> int:
        """Bytes that wait to be sent."""

    def all_sent(self) -> bool:
        """Whether everything written has left the UART."""

    def purge_unsent(self) -> None:
        """Throw those away."""

    def set_modem_lines(self, *, dtr: bool | None = None, rts: bool | None = None) -> None:
        """Raise or drop DTR and RTS."""


def packs(settings: PackingSettings) -> bool:
    """Whether bytes are put together at all, or go on as they come."""
    how = settings.packing is not Packing.IMMEDIATE
    return how or bool(settings.length or settings.delimiters or settings.force_transmit)


class IdleLevels(StrEnum):
    """What DTR and RTS are while no client is there."""

    KEEP = "keep"  # as they are
    HIGH = "high"
    LOW = "low"


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """How streams share a line.

    Attributes:
        flush_on_first: throw away what the kernel holds when the first client comes. Otherwise the line is not
            read while nobody listens, so that the first client gets what the kernel (4 KiB) could keep.
        linger: seconds that unsent bytes of clients that have gone may wait for a line that takes none of them
            (flow control) before they are purged. A line that is merely slow gets all of them.
        buffer: bytes of the line that are kept in memory while no client listens, the newest, for the first that comes;
            0: none. Then nothing is flushed, and the line is always read.
        idle_levels: what DTR and RTS are while no client is there. Unless they are kept as they are, both go up with
            the first one that comes; those that flow control moves are left to it.
    """

    flush_on_first: bool = True
    linger: float = 3.0
    buffer: int = 0
    idle_levels: IdleLevels = IdleLevels.KEEP

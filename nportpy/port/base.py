"""The seam at the device: what an open serial line is to everything above.

`tty.py` (a Linux tty), `tcp.py` (a connection), `url.py` (pyserial's URL handlers) and `loopback.py` (two ends in
memory) implement `Port`; one conformance suite, tests/line/test_port_conformance.py, holds them to this text.

Calls never block. A port that has been lost or closed ignores writes and raises LineDown from everything that
needs the device; it never raises OSError, termios.error or SerialException.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from nportpy.errors import LineError
from nportpy.linesettings import LineSettings, ModemLines, PortReport, Rs485Settings, UartCounters
from nportpy.network.tls_settings import TlsSettings


class OnOpen(StrEnum):
    """What happens to DTR or RTS when the device is opened."""

    KEEP = "keep"  # as the kernel leaves it
    ON = "on"
    OFF = "off"


class OnClose(StrEnum):
    """What happens to DTR and RTS when the device is closed (HUPCL)."""

    KEEP = "keep"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class PortSettings:
    """How to open a device.

    Attributes:
        device: path, `tcp://HOST:PORT`, pyserial URL, or by TLS `raws://HOST:PORT` or `rfc2217s://HOST:PORT`.
        line: speed, format and flow control.
        rs485: RS-485 mode.
        dtr: level of DTR after opening.
        rts: level of RTS after opening.
        on_close: whether closing drops DTR and RTS.
        exclusive: nobody else may open the device meanwhile (TIOCEXCL and flock).
        low_latency: ask the driver to hand bytes over at once (ASYNC_LOW_LATENCY), where it can.
        tls: how the far end is believed where TLS is spoken; its files are read at each opening.
    """

    device: str
    line: LineSettings = field(default_factory=LineSettings)
    rs485: Rs485Settings = field(default_factory=Rs485Settings)
    dtr: OnOpen = OnOpen.KEEP
    rts: OnOpen = OnOpen.KEEP
    on_close: OnClose = OnClose.KEEP
    exclusive: bool = True
    low_latency: bool = True
    tls: TlsSettings | None = None


class PortReceiver(Protocol):
    """Who hears what a port has to say. Called from the event loop; must not raise."""

    def data_received(self, data: bytes) -> None:
        """Bytes came from the line; never empty."""

    def pause_writing(self) -> None:
        """The write buffer is over its high-water mark."""

    def resume_writing(self) -> None:
        """The write buffer is under its low-water mark again."""

    def port_lost(self, error: LineError) -> None:
        """The device is gone. Called once, never after `close()`; close the port all the same."""


class Port(Protocol):
    """An open serial line.

    Attributes:
        settings: speed, format and flow control in effect.
        report: what the driver said at opening.
    """

    settings: LineSettings
    report: PortReport

    def write(self, data: bytes) -> None:
        """Send `data` after all that was written before. Never blocks, never drops while the port is open."""

    def pause_reading(self) -> None:
        """Leave what arrives in the kernel, where flow control sees it. Loss is still noticed."""

    def resume_reading(self) -> None:
        """Undo `pause_reading`."""

    def unsent(self) -> int:
        """Bytes that have been written and have not yet left: our buffer and the kernel's, not the UART's.

        Where nobody can ask the UART, those that it is reckoned to hold too.
        Of a port that is lost or closed: those that never left.
        """

    def sent(self) -> bool:
        """Whether every byte written has left the UART, as far as the driver can tell."""

    async def drain(self) -> None:
        """Wait until `sent()`.

        Raises:
            LineDown: the port was lost or closed meanwhile.
        """

    def purge(self, *, received: bool = False, unsent: bool = False) -> int:
        """Throw away what has been received and not read, or written and not sent; how much of the latter."""

    def configure(self, settings: LineSettings) -> LineSettings:
        """Apply settings at once (drain first if order matters); the settings in effect afterwards.

        Raises:
            LineUnsupported: the driver took none of it; the settings before are in effect.
        """

    def modem_lines(self) -> ModemLines | None:
        """State of the modem lines; None where there are none."""

    def set_modem_lines(self, *, dtr: bool | None = None, rts: bool | None = None) -> None:
        """Raise or drop DTR and RTS; does nothing where there are no modem lines."""

    def set_break(self, on: bool) -> None:
        """Start or end a break; does nothing where the driver has none."""

    def counters(self) -> UartCounters | None:
        """The driver's error counters; None where it has none."""

    async def close(self) -> None:
        """Give the device back. What is unsent is lost: drain first. May be called twice.

        The port is dead as soon as this is called; it waits because a driver may take seconds to let go.
        """


Opener = Callable[[PortSettings, PortReceiver], Awaitable[Port]]
"""Opens a device. Raises LineError (LineDown, LineBusy, LineUnsupported) if that cannot be done."""

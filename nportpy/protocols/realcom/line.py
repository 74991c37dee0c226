"""What a Real COM session needs of the line, and when the bytes of its client have left."""

from typing import Final, Protocol

from nportpy.linesettings import Flow, LineSettings, ModemLines

GRACE: Final = 0.01
"""How long the data connection has to be quiet before nothing is expected to come behind a command, in seconds."""

STUCK: Final = 1.0
"""A line that moves no byte for so long (flow control), its UART's FIFO apart, does not hold changes back."""

_FIFO = 128  # characters that a UART may have taken and still has to send, which nobody can count
_LETS_SEND: Final = {Flow.RTSCTS: ModemLines.CTS, Flow.DSRDTR: ModemLines.DSR}


class Line(Protocol):
    """What a session needs of the line. None of it raises: what cannot be done is left undone."""

    @property
    def settings(self) -> LineSettings:
        """In effect."""

    def configure(self, wish: LineSettings) -> LineSettings:
        """Change them at once; those in effect afterwards."""

    def modem_lines(self) -> ModemLines:
        """As they are."""

    def set_modem_lines(self, *, dtr: bool, rts: bool) -> None:
        """Raise or drop them."""

    def set_break(self, on: bool) -> None:
        """Begin or end a break."""

    def set_flow_characters(self, xon: int, xoff: int) -> None:
        """Which characters XON and XOFF are from now on."""

    def hold_sending(self, hold: bool) -> None:
        """Send nothing until told otherwise, as after XOFF."""

    def purge(self, *, received: bool, unsent: bool) -> None:
        """Throw away what came from the device and was not delivered, or what was to be sent and has not left."""

    def undelivered(self) -> int:
        """Bytes from the device that the client has not been sent."""

    def unread(self) -> int:
        """Bytes that wait in the data connection and that the session was not told of."""

    def unsent(self) -> int:
        """Bytes that were taken from there and have not left: our buffers and the kernel's."""

    def all_sent(self) -> bool:
        """Whether those have left the UART too."""

    def time_to_send(self) -> float:
        """Seconds after which it is worth looking again."""


class Outflow:
    """The client's bytes on their way to the device."""

    __slots__ = ("_count", "_grace", "_hold_from", "_inputs", "_inputs_at", "_line", "_moved_at", "_unsent", "came_at")

    def __init__(self, line: Line, grace: float, now: float) -> None:
        """`grace` is how long the data connection has to be quiet."""
        self.came_at = now - grace
        self._line = line
        self._grace = grace
        self._count = 0
        self._hold_from: int | None = None
        self._unsent = -1
        self._moved_at = now
        self._inputs = ModemLines.CTS | ModemLines.DSR
        self._inputs_at = now  # since when they are so
        self.lines_are(line.modem_lines(), now)

    def lines_are(self, lines: ModemLines, now: float) -> None:
        """Modem lines, whenever they have changed."""
        inputs = lines & (ModemLines.CTS | ModemLines.DSR)
        if inputs != self._inputs:
            self._inputs, self._inputs_at = inputs, now

    def came(self, size: int, now: float) -> None:
        """So many bytes were taken from the data connection."""
        self._count += size
        self.came_at = now

    def waiting(self) -> int:
        """Bytes that have not left, as far as they can be counted."""
        return self._line.unread() + self._line.unsent()

    def hold(self) -> None:
        """What is not there yet shall wait."""
        if self._hold_from is None:
            self._hold_from = self._count + self._line.unread()

    def release(self) -> None:
        """It need not wait any longer."""
        self._hold_from = None

    @property
    def held(self) -> bool:
        """Whether what is in the data connection shall wait."""
        return self._hold_from is not None and self._count >= self._hold_from

    def all_left(self) -> bool:
        """Whether all bytes that came have left the UART, but for those that shall wait."""
        return (self.held or not self._line.unread()) and self._line.all_sent()

    def quiet_at(self, since: float) -> float:
        """When nothing more is expected to come behind a command that came at `since`."""
        return max(since, self.came_at) + self._grace

    def look_afresh(self) -> None:
        """Whether the line is stuck shall be judged from now on only."""
        self._unsent = -1

    def stuck(self, now: float) -> bool:
        """Whether the line has moved nothing for long, since it was first looked at."""
        unsent = self._line.unsent()
        if unsent != self._unsent:
            self._unsent, self._moved_at = unsent, now
        return now - self._moved_at > self.patience()

    def blocked(self, now: float) -> bool:
        """Whether the device has long forbidden to send, by CTS or DSR."""
        needed = _LETS_SEND.get(self._line.settings.flow)
        return needed is not None and not self._inputs & needed and now - self._inputs_at > STUCK

    def patience(self) -> float:
        """Seconds in which a line that is not stopped moves something."""
        return STUCK + _FIFO * self._line.settings.character_time

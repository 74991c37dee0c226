"""One client of a line's stream of bytes: its way in and out, its back-pressure and its end.

A bug in one session ends that session, not the line nor its neighbours: see nportpy/modes/connection.py.
"""

import socket

from nportpy.line.arbiter import Line
from nportpy.line.stream import Change
from nportpy.linesettings import ModemLines, UartCounters
from nportpy.modes.base import ServiceSettings, WhenDown
from nportpy.modes.connection import Connection, Stop, contained
from nportpy.network import Address, Endpoint
from nportpy.status import End


class Session(Connection):
    """A client of a line. What its bytes look like on the network is for a subclass to say.

    Attributes:
        received: bytes for the line from this client.
        sent: bytes of the line to this client.
    """

    def __init__(
        self, line: Line, settings: ServiceSettings, sock: socket.socket, peer: Endpoint, address: Address
    ) -> None:
        """`connection_made` brings the rest."""
        super().__init__(line.name, settings, sock, peer, address)
        self.line = line
        self.stream = line.stream

    # What the transport calls.

    def pause_writing(self) -> None:
        if self._joined:
            self._held = True
            self.stream.hold(self)
            self.weigh(self.waiting())

    def resume_writing(self) -> None:
        self._held = False
        if self._joined and not self.suspended:
            self.stream.release(self)

    # What a subclass adds.

    @property
    def suspended(self) -> bool:
        """Whether the client asked us to send nothing for now."""
        return False

    # What the stream calls.

    def line_data(self, data: bytes) -> None:
        raise NotImplementedError

    @contained
    def line_full(self) -> None:
        self.stop(Stop.LINE_FULL)

    @contained
    def line_ready(self) -> None:
        self.go(Stop.LINE_FULL)

    @contained
    def line_up(self) -> None:
        self.go(Stop.LINE_DOWN)

    @contained
    def line_down(self) -> None:
        if self.settings.when_down is WhenDown.CLOSE:
            self.finish(End.LINE_DOWN)
        else:
            self.stop(Stop.LINE_DOWN)

    def line_changed(self, change: Change) -> None:
        """Raw bytes have no way to tell it."""

    def line_state(self, modem: ModemLines, errors: UartCounters) -> None:
        """Nor this."""

    # Back-pressure.

    def weigh(self, waiting: int) -> None:
        """Drop a client that holds more than its allowance while others listen."""
        if waiting > self.settings.allowance and not self.stream.alone:
            self.drop(waiting)

    # The beginning and the end.

    def _join(self) -> None:
        super()._join()
        self.stream.join(self)

    def _leave(self) -> None:
        joined = self._joined
        try:
            super()._leave()
        finally:
            if joined:
                self.stream.leave(self)

    def _activity(self) -> tuple[int, ...]:
        return (self.line.received, self.line.sent)

    def _half_closed_activity(self) -> tuple[int, ...]:
        return (self.line.received, self.line.sent, self.line.unsent(), self.waiting(), self.accepted())

    def _state(self) -> str:
        return "suspended" if self.suspended else super()._state()

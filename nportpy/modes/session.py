"""One client of a line's stream of bytes: its way in and out, its back-pressure and its end.

A bug in one session ends that session, not the line nor its neighbours: see nportpy/network/connection.py.
"""

import logging
import socket
from collections.abc import Callable
from typing import Protocol

from nportpy.line.arbiter import Line
from nportpy.line.stream import Change, Hearer, StreamClient
from nportpy.linesettings import ModemLines, UartCounters
from nportpy.network.addresses import Address, Endpoint
from nportpy.network.connection import Connection, Stop, contained
from nportpy.network.service import Direction, ServiceSettings, WhenDown, WhenJammed
from nportpy.protocols.packing import PackingSettings
from nportpy.status import End

log = logging.getLogger(__name__)


class SharedLine(Protocol):
    """What a session needs of the stream that it is a client of. See `Stream` (line/stream.py)."""

    def join(self, client: StreamClient, *, packing: PackingSettings, hears: bool, waited_for: bool) -> None:
        """Be a client from now on."""

    def leave(self, client: StreamClient) -> None:
        """Be a client no longer."""

    def write(self, client: StreamClient, data: bytes) -> None:
        """Send to the line."""

    def hold(self, client: StreamClient) -> None:
        """The client cannot take more."""

    def release(self, client: StreamClient) -> None:
        """It can again."""

    def waits_for(self, client: StreamClient) -> bool:
        """Whether the line waits while this client cannot take more."""

    def skip(self, client: StreamClient, instead: Hearer) -> None:
        """Tell the client nothing until it is released."""


class _Missed:
    """Counts what a client misses."""

    def __init__(self, session: "Session") -> None:
        """Of this client."""
        self._session = session

    def line_data(self, data: bytes) -> None:
        """It does not hear that."""
        self._session.dropped += len(data)


class Session(Connection):
    """A client of a line. What its bytes look like on the network is for a subclass to say.

    Attributes:
        received: bytes for the line from this client.
        ignored: of those, bytes that were thrown away, as they may not go there.
        sent: bytes of the line to this client.
        to_line: sends bytes there; called with this session and them.
        to_client: sends bytes of the line to the network, a segment of its own each.
    """

    to_client: Callable[[bytes], None]

    def __init__(
        self,
        line: Line,
        settings: ServiceSettings,
        sock: socket.socket,
        peer: Endpoint,
        address: Address,
        stream: SharedLine | None = None,
    ) -> None:
        """`connection_made` brings the rest; `stream`: who stands between it and the line's stream, if anybody."""
        super().__init__(line.name, settings, sock, peer, address)
        self.line = line
        self.stream: SharedLine = line.stream if stream is None else stream
        self.ignored = 0
        one_way = settings.direction is Direction.TO_NETWORK
        self.to_line: Callable[[Session, bytes], None] = _ignore if one_way else self.stream.write
        self._has_missed = False

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

    def configure(self, settings: ServiceSettings) -> None:
        super().configure(settings)
        if settings.when_down is WhenDown.CLOSE and self._joined and not self.line.up:
            self.finish(End.LINE_DOWN)

    # Back-pressure.

    def weigh(self, waiting: int) -> None:
        """Do what is to be done about a client that holds more than its allowance while others listen."""
        if waiting > self.settings.allowance and not self.stream.waits_for(self):
            if self.settings.when_jammed is WhenJammed.SKIP:
                self._skip()
            else:
                self.drop(waiting)

    def _skip(self) -> None:
        """It misses what the line says until it can take more: `resume_writing` releases it."""
        if not self._has_missed:
            self._has_missed = True
            log.warning("client misses bytes", extra={"port": self.name, "client": str(self.peer)})
        self.stream.skip(self, _Missed(self))

    # The beginning and the end.

    def _join(self) -> None:
        super()._join()
        self.to_client = self.transport.write
        self.stream.join(
            self,
            packing=self.settings.packing,
            hears=self.settings.direction is not Direction.TO_LINE,
            waited_for=self.settings.when_jammed is WhenJammed.WAIT,
        )

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


def _ignore(session: Session, data: bytes) -> None:
    """Send it nowhere."""
    session.ignored += len(data)

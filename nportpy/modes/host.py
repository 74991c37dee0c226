"""A host that we called, and what is kept for it until it answers: see tcp_client.py."""

import socket
from collections.abc import Callable

from nportpy.line.arbiter import Line
from nportpy.line.packed import packs
from nportpy.line.stream import Change, Stream
from nportpy.linesettings import ModemLines, UartCounters
from nportpy.modes.raw import RawSession
from nportpy.network.addresses import address_of, peer_of
from nportpy.network.service import ServiceSettings
from nportpy.protocols.packing import PackingSettings


class Kept:
    """What the line says while nobody is connected: a client of its stream that keeps what it hears.

    Attributes:
        listening: whether it does.
        lost: bytes beyond the limit: hosts that were not connected yet never hear them.
    """

    def __init__(
        self, stream: Stream, limit: int, call: Callable[[], None], packing: PackingSettings | None = None
    ) -> None:
        """Not listening. `call` is called whenever something came, in segments if it is to be packed."""
        self.listening = False
        self.lost = 0
        self._stream = stream
        self._limit = limit
        self._call = call
        self._packing = packing or PackingSettings()
        self._pieces: list[bytes] = []
        self._size = 0

    @property
    def data(self) -> bytes:
        """All that was said since it began to listen, up to its limit."""
        return b"".join(self._pieces)

    @property
    def segments(self) -> list[bytes]:
        """The same, in the pieces in which it is to be sent."""
        return list(self._pieces) if packs(self._packing) or not self._pieces else [self.data]

    def listen(self) -> None:
        """Begin, with nothing kept."""
        if not self.listening:
            self.listening = True
            self._stream.join(self, packing=self._packing)

    def end(self) -> None:
        """Keep nothing any more."""
        if self.listening:
            self.listening = False
            self._stream.leave(self)
            self._pieces = []
            self._size = 0

    def line_data(self, data: bytes) -> None:
        if not self.listening:  # the beginning of a segment: those who are connected get it when it is whole
            return
        room = self._limit - self._size
        if room > 0:
            self._pieces.append(data[:room])
        self._size += min(len(data), room)
        if len(data) >= room:
            self._stream.hold(self)
            self.lost += len(data) - room
        self._call()

    def line_full(self) -> None:
        """It writes nothing."""

    def line_ready(self) -> None:
        """So this means nothing."""

    def line_up(self) -> None:
        """What was kept stays."""

    def line_down(self) -> None:
        """Likewise."""

    def line_changed(self, change: Change) -> None:
        """Bytes are bytes."""

    def line_state(self, modem: ModemLines, errors: UartCounters) -> None:
        """Not asked for."""


class HostSession(RawSession):
    """A host that answered our call. `came` is called when it listens to the line, `went` when it no longer does.

    Attributes:
        hung_up: it ended the connection in good order, and so has read what it was sent: else the kernel would have
            reset the connection (RFC 2525, 2.17).
    """

    def __init__(
        self,
        line: Line,
        settings: ServiceSettings,
        sock: socket.socket,
        came: Callable[["HostSession"], None],
        went: Callable[["HostSession"], None],
    ) -> None:
        """`sock` is connected."""
        peer = peer_of(sock.getpeername())
        super().__init__(line, settings, sock, peer, address_of(peer.host))
        self.hung_up = False
        self._came = came
        self._went = went

    def eof_received(self) -> bool:
        self.hung_up = True
        return super().eof_received()

    def left(self) -> None:
        self._went(self)

    def _join(self) -> None:
        super()._join()
        self._came(self)

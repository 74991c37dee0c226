"""Simulated lines that listen on TCP, for one client at a time, as a serial device server's raw port does."""

import socket
from collections.abc import Mapping

from nportpy.simulator.wire import Wire

SCHEME = "tcp://"
_CHUNK = 4096


class ListeningLine:
    """One line. TCP carries no speed and no format: the wire is to be transparent.

    Where the client does not read, the line waits.
    """

    def __init__(self, wire: Wire, link: str) -> None:
        """Listen at `link`, `tcp://HOST:PORT`.

        Raises:
            ValueError: that is none.
            OSError: the address cannot be had.
        """
        host, colon, port = link.removeprefix(SCHEME).rpartition(":")
        if not colon or not port.isdecimal():
            raise ValueError(f"{link} is not tcp://HOST:PORT")
        self._wire = wire
        self._unsent = b""
        self._client: socket.socket | None = None
        self._listener = socket.create_server((host.strip("[]"), int(port)))
        self._listener.setblocking(False)
        name = self._listener.getsockname()
        self.path = f"{SCHEME}{host}:{name[1]}"

    @property
    def master(self) -> int:
        """The client's descriptor; while there is none, the one that waits for it."""
        return (self._client or self._listener).fileno()

    def close(self) -> None:
        """Listen no more."""
        self._drop()
        self._listener.close()

    def wants(self, now: float) -> tuple[bool, bool, float | None]:
        """What to wait for: readable, writable, and until when."""
        if self._client is None:
            return True, False, self._wire.deadline()
        return not self._unsent and self._wire.room(now) > 0, bool(self._unsent), self._wire.deadline()

    def run(self, now: float, readable: bool) -> None:
        """Let the wire take what the client sent, and the client have what arrived."""
        if readable and self._client is None:
            self._client = self._listener.accept()[0]
            self._client.setblocking(False)
            self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            readable = False
        try:
            if readable and self._client and (room := self._wire.room(now)):
                data = self._client.recv(min(room, _CHUNK))
                if data:
                    self._wire.send(data, now)
                else:
                    self._drop()
            self._unsent += self._wire.receive(now)
            if self._client and self._unsent:
                self._unsent = self._unsent[self._client.send(self._unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            self._drop()
        if self._client is None:
            self._unsent = b""  # nobody is there to hear it

    def counts(self) -> Mapping[str, float | None]:
        """What the wire and its device have counted, by name."""
        return self._wire.counts()

    def _drop(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

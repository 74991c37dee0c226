"""A service that hears datagrams: its sockets, when they are read, and what is said of them."""

import asyncio
import contextlib
import logging
import socket
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar, Final

from nportpy.network.addresses import Ancillary, local_endpoint, peer_of
from nportpy.network.datagrams import Name, another
from nportpy.network.listener import Backend, first_opening
from nportpy.status import End
from nportpy.throttle import Throttle

_PER_WAKE_UP: Final = 64  # datagrams
_CONTROL: Final = 256  # bytes for what comes beside one

log = logging.getLogger(__name__)


class DatagramService(ABC):
    """Hears datagrams for one service until it is told to stop. The gateway treats it as a `Listener`.

    Attributes:
        backend: what it is there for.
        service: its name in metrics and logs.
        endpoints: where it listens.
        results: how it turned out, by kind; which kinds there are is the mode's.
    """

    largest: ClassVar[int]
    """Bytes of a datagram that are read; what it has beyond them is lost."""

    def __init__(self, backend: Backend, service: str, sockets: Sequence[socket.socket], throttle: Throttle) -> None:
        """Nothing is read before `run`; the sockets, from `listen_datagrams`, stay the caller's."""
        self.backend = backend
        self.service = service
        self.endpoints = tuple(local_endpoint(sock) for sock in sockets)
        self.results: Counter[str] = Counter()
        self._sockets = sockets
        self._throttle = throttle
        self._open: list[socket.socket] = []
        self._reading: list[socket.socket] = []
        self._hushed = False
        self._ending = End.SHUTDOWN
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Serve until `stop`."""
        with contextlib.ExitStack() as ours:
            self._open = [another(sock, ours) for sock in self._sockets]
            self._opened()
            try:
                await first_opening(self.backend, self._stopping)
                if not self._hushed:
                    self._begin()
                await self._stopping.wait()
            finally:
                self.hush()
                self._end()
                self._open = []

    def hush(self) -> None:
        """Take nothing more from the network; what was taken is served yet."""
        self._hushed = True
        self._read_no_more()

    def stop(self, end: End = End.SHUTDOWN) -> None:
        """Neither take nor send anything from now on, which is `end` to those known; `run` returns."""
        self._ending = end
        self._stopping.set()

    # What a mode adds.

    @abstractmethod
    def _take(self, sock: socket.socket, data: bytes, ancillary: Ancillary, name: Name) -> None:
        """A datagram came."""

    def _opened(self) -> None:  # noqa: B027 - not every mode has to do something
        """The sockets are there, and not read yet."""

    def _begin(self) -> None:
        """The device was tried: serve."""
        self._read_on()

    def _end(self) -> None:  # noqa: B027 - likewise
        """Nothing comes any more, and nothing is to be sent."""

    def _must_wait(self) -> bool:
        """Whether nothing is to be read for now."""
        return False

    # From the network.

    def _read_on(self) -> None:
        if not (self._reading or self._hushed or self._must_wait()):
            self._reading = list(self._open)
            for sock in self._reading:
                asyncio.get_running_loop().add_reader(sock.fileno(), self._read, sock)

    def _read_no_more(self) -> None:
        for sock in self._reading:
            asyncio.get_running_loop().remove_reader(sock.fileno())
        self._reading = []

    def _read(self, sock: socket.socket) -> None:
        for _ in range(_PER_WAKE_UP):
            if not self._reading:  # the last one made it so
                return
            try:
                data, ancillary, _, name = sock.recvmsg(self.largest, _CONTROL)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:  # what the network says of a datagram of ours, mostly
                self._say("cannot receive", ("receive", error.errno), {}, error)
                return
            try:
                self._take(sock, data, ancillary, name)
            except Exception as error:
                self._fail("a datagram failed", error, client=str(peer_of(name)))

    # Words.

    def _say(self, what: str, key: object, extra: dict[str, object], error: OSError | None = None) -> None:
        """Tell of the network, not too often for each key."""
        more = self._throttle.allow((self.backend.name, self.service, key), asyncio.get_running_loop().time())
        if more is not None:
            facts = self._extra() | extra | ({"more": more} if more else {})
            log.warning(what, extra=facts if error is None else facts | {"reason": error.strerror})

    def _fail(self, what: str, error: Exception, **more: object) -> None:
        """A bug was met: it costs one datagram."""
        log.error(what, exc_info=error, extra=self._extra() | more)

    def _extra(self) -> dict[str, object]:
        return {"port": self.backend.name, "service": self.service}

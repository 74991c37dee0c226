"""Listening for a service that is no `Listener` and speaks TLS: what comes is handed on once hands were shaken."""

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from nportpy.network.addresses import Address, Endpoint, address_of, peer_of
from nportpy.network.tls_door import Door
from nportpy.network.tls_transport import why
from nportpy.throttle import Throttle

_AT_DOOR: Final = 128  # connections that have not shaken hands yet
_OF_ONE_ADDRESS: Final = 16
_ACCEPTS_PER_WAKE_UP: Final = 64
_ACCEPT_PAUSE: Final = 1.0  # after running out of descriptors

log = logging.getLogger(__name__)


class TlsServer:
    """Accepts until it is cancelled. The sockets stay the caller's.

    Attributes:
        failed: connections that came to nothing, as there was no handshake or too many wanted one.
    """

    def __init__(
        self, service: str, sockets: Sequence[socket.socket], door: Door, make: Callable[[], asyncio.Protocol]
    ) -> None:
        """Nothing is accepted before `run`.

        Args:
            service: its name in the log.
            sockets: they listen already.
            door: shakes hands.
            make: makes what a newcomer talks to.
        """
        self.failed = 0
        self._service = service
        self._sockets = sockets
        self._door = door
        self._make = make
        self._at_door: Counter[Address] = Counter()
        self._throttle = Throttle()
        self._accepting = False

    async def run(self) -> None:
        """Accept."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            try:
                self._accepting = True
                for sock in self._sockets:
                    sock.setblocking(False)
                    loop.add_reader(sock.fileno(), self._accept, sock, tasks)
                await loop.create_future()
            finally:
                self._accepting = False
                for sock in self._sockets:
                    loop.remove_reader(sock.fileno())

    def _accept(self, listening: socket.socket, tasks: asyncio.TaskGroup) -> None:
        for _ in range(_ACCEPTS_PER_WAKE_UP):
            try:
                sock, name = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # out of descriptors
                self._rest(listening, tasks, error)
                return
            peer, address = peer_of(name), address_of(name[0])
            if self._at_door.total() >= _AT_DOOR or self._at_door[address] >= _OF_ONE_ADDRESS:
                sock.close()
                self._say_failed(peer, address, OSError(0, "too many that have not shaken hands yet"))
                continue
            self._at_door[address] += 1
            task = tasks.create_task(self._enter(sock, peer, address), name=f"{self._service} {peer}")
            task.add_done_callback(partial(self._entered, address))

    def _entered(self, address: Address, _task: asyncio.Task[None]) -> None:
        self._at_door[address] -= 1
        if not self._at_door[address]:
            del self._at_door[address]

    def _rest(self, listening: socket.socket, tasks: asyncio.TaskGroup, error: OSError) -> None:
        loop = asyncio.get_running_loop()
        if self._throttle.allow("accept", loop.time()) is not None:
            log.error("cannot accept", extra={"service": self._service, "reason": error.strerror})
        loop.remove_reader(listening.fileno())

        def again() -> None:
            if self._accepting:
                loop.add_reader(listening.fileno(), self._accept, listening, tasks)

        loop.call_later(_ACCEPT_PAUSE, again)

    async def _enter(self, sock: socket.socket, peer: Endpoint, address: Address) -> None:
        try:
            transport = await self._door.enter(sock, address)
            transport.hand_over(self._make())
        except OSError as error:
            sock.close()
            self._say_failed(peer, address, error)
        except BaseException:
            sock.close()
            raise

    def _say_failed(self, peer: Endpoint, address: Address, error: OSError) -> None:
        self.failed += 1
        more = self._throttle.allow(address, asyncio.get_running_loop().time())
        if more is not None:
            extra = {"service": self._service, "client": str(peer), "result": "tls_failed", "reason": why(error)}
            log.warning("no TLS with a client", extra=extra | ({"more": more} if more else {}))

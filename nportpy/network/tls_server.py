"""Listening for a service that is no `Listener` and speaks TLS: what comes is handed on once hands were shaken."""

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from nportpy.network.accepting import Accepting
from nportpy.network.addresses import Address, Endpoint, address_of, peer_of
from nportpy.network.tls_door import Door
from nportpy.network.tls_transport import why
from nportpy.throttle import Throttle

_AT_DOOR: Final = 128  # connections that have not shaken hands yet
_OF_ONE_ADDRESS: Final = 16

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

    async def run(self) -> None:
        """Accept."""
        async with asyncio.TaskGroup() as tasks:
            accepting = Accepting(partial(self._came, tasks), self._cannot_accept)
            try:
                for sock in self._sockets:
                    sock.setblocking(False)
                accepting.begin(self._sockets)
                await asyncio.get_running_loop().create_future()
            finally:
                accepting.end()

    def _came(self, tasks: asyncio.TaskGroup, sock: socket.socket, name: Any) -> None:
        peer, address = peer_of(name), address_of(name[0])
        if self._at_door.total() >= _AT_DOOR or self._at_door[address] >= _OF_ONE_ADDRESS:
            sock.close()
            self._say_failed(peer, address, OSError(0, "too many that have not shaken hands yet"))
            return
        self._at_door[address] += 1
        task = tasks.create_task(self._enter(sock, peer, address), name=f"{self._service} {peer}")
        task.add_done_callback(partial(self._entered, address))

    def _entered(self, address: Address, _task: asyncio.Task[None]) -> None:
        self._at_door[address] -= 1
        if not self._at_door[address]:
            del self._at_door[address]

    def _cannot_accept(self, error: OSError) -> None:
        if self._throttle.allow("accept", asyncio.get_running_loop().time()) is not None:
            log.error("cannot accept", extra={"service": self._service, "reason": error.strerror})

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

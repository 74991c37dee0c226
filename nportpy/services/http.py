"""HTTP: /metrics, /healthz, /readyz and /api/v1/status."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from importlib import import_module

from nportpy.errors import ListenError
from nportpy.network.addresses import Endpoint, Rings, listen, local_endpoint
from nportpy.status import GatewayStatus

_BACKLOG = 32
_SEND_BUFFER = 65536  # per connection, in the kernel: a client that reads nothing must not pin the usual megabytes


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """The HTTP service.

    Attributes:
        listen: (host, port) pairs; port 0 lets the kernel choose.
        allow: who may connect, as rings of networks (gateway, http): an address must be in one of every ring.
    """

    listen: tuple[tuple[str, int], ...] = (("127.0.0.1", 9550),)
    allow: Rings = ()


class HttpService:
    """Answers HTTP until it is cancelled.

    Attributes:
        listening: set while it accepts connections.
        addresses: where it listens, as `host:port` with the port that the kernel gave; empty before it does.
    """

    def __init__(
        self, settings: HttpSettings, status: Callable[[], GatewayStatus], healthy: Callable[[], bool]
    ) -> None:
        """Nothing happens before `run`.

        Args:
            settings: where it listens, and who may ask.
            status: the gateway's status now; asked once per request.
            healthy: what /healthz says, as long as the event loop is alive to ask it.
        """
        self.listening = asyncio.Event()
        self.addresses: tuple[str, ...] = ()
        self._settings = settings
        self._status = status
        self._healthy = healthy

    async def run(self) -> None:
        """Bind, serve until cancelled, then close every connection.

        Raises:
            ListenError: an address cannot be bound; then none is.
        """
        sockets = _bound(self._settings.listen)
        try:
            # Importing aiohttp takes a quarter of a second, on a small machine more than one. In a thread it shares
            # that time with the lines; connections wait in the kernel's queue meanwhile.
            await asyncio.to_thread(import_module, "nportpy.services.site")
            await self._serve(sockets)
        finally:
            for sock in sockets:
                sock.close()

    async def _serve(self, sockets: list[socket.socket]) -> None:
        from nportpy.services.site import Site  # loaded by `run`

        site = Site(self._settings.allow, self._status, self._healthy)
        loop = asyncio.get_running_loop()
        try:
            with ExitStack() as servers:
                for sock in sockets:
                    server = await loop.create_server(site.accept, sock=sock, backlog=_BACKLOG)
                    servers.callback(server.close)
                self.addresses = tuple(str(local_endpoint(sock)) for sock in sockets)
                self.listening.set()
                await loop.create_future()
        finally:
            self.listening.clear()
            self.addresses = ()
            await site.close()


def _bound(addresses: tuple[tuple[str, int], ...]) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    try:
        for host, port in addresses:
            sock = listen(Endpoint(host, port))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)  # accepted ones inherit it
            sockets.append(sock)
    except ListenError as error:
        for sock in sockets:
            sock.close()
        raise ListenError(f"http: {error}") from error
    return sockets

"""HTTP: /metrics, /healthz, /readyz, /api/v1/ and the console."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib import import_module
from typing import TYPE_CHECKING

from nportpy.network.addresses import local_endpoint
from nportpy.services.http_base import HttpSettings
from nportpy.status import GatewayStatus

if TYPE_CHECKING:
    from nportpy.network.tls_door import Door
    from nportpy.services.archived import Archived
    from nportpy.services.gate import Gate
    from nportpy.services.pages import Pages
    from nportpy.services.site import Site

_BACKLOG = 32
_SEND_BUFFER = 65536  # per connection, in the kernel: a client that reads nothing must not pin the usual megabytes


class HttpService:
    """Answers HTTP until it is cancelled.

    Attributes:
        listening: set while it accepts connections.
        endpoints: where its sockets listen.
        addresses: the same as text while it listens; empty before.
    """

    def __init__(
        self,
        settings: HttpSettings,
        sockets: Sequence[socket.socket],
        status: Callable[[], GatewayStatus],
        healthy: Callable[[], bool],
        archive: Callable[[], "Archived | None"] = lambda: None,
        pages: "Sequence[Pages]" = (),
        door: "Door | None" = None,
        gate: "Callable[[], Gate] | None" = None,
    ) -> None:
        """Nothing happens before `run`.

        Args:
            settings: who may ask.
            sockets: they listen already, and are closed in the end.
            status: the gateway's status now; asked once per request.
            healthy: what /healthz says, as long as the event loop is alive to ask it.
            archive: the archive whose samples it shows, if there is one.
            pages: what else it answers: the console, what is on the lines. The first that knows a path answers it.
            door: shakes hands with those who come; None: it is plain HTTP.
            gate: makes who says who may what, once that is imported; None: there are no accounts.
        """
        self.listening = asyncio.Event()
        self.endpoints = tuple(local_endpoint(sock) for sock in sockets)
        self.addresses: tuple[str, ...] = ()
        self._settings = settings
        self._sockets = sockets
        self._site: Site | None = None
        self._status = status
        self._healthy = healthy
        self._archive = archive
        self._pages = pages
        self._door = door
        self._gate = gate

    @property
    def trouble(self) -> str:
        """Why nobody can come in although it listens; empty: they can."""
        return "" if self._door is None else self._door.trouble

    async def run(self) -> None:
        """Serve until cancelled, then close every connection."""
        # Importing aiohttp takes a quarter of a second, on a small machine more than one. In a thread it shares that
        # time with the lines; connections wait in the kernel's queue meanwhile.
        try:
            await asyncio.to_thread(import_module, "nportpy.services.site")
            await self._serve()
        finally:
            for sock in self._sockets:
                sock.close()

    def configure(self, settings: HttpSettings) -> None:
        """Others may ask from now on; `listen` stays what it is."""
        self._settings = settings
        if self._site is not None:
            self._site.configure(settings.allow)

    async def _serve(self) -> None:
        from nportpy.services.site import Site  # loaded by `run`

        gate = None if self._gate is None else self._gate()
        site = self._site = Site(self._settings.allow, self._status, self._healthy, self._archive, self._pages, gate)
        loop = asyncio.get_running_loop()
        try:
            with ExitStack() as servers:
                for sock in self._sockets:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)  # accepted ones inherit it
                    if self._door is None:
                        server = await loop.create_server(site.accept, sock=sock, backlog=_BACKLOG)
                        servers.callback(server.close)
                self.addresses = tuple(map(str, self.endpoints))
                self.listening.set()
                await self._stay(site)
        finally:
            self.listening.clear()
            self.addresses = ()
            await site.close()

    async def _stay(self, site: "Site") -> None:
        """Serve on, until cancelled."""
        if self._door is None:
            await asyncio.get_running_loop().create_future()
            return
        from nportpy.network.tls_server import TlsServer

        await TlsServer("http", self._sockets, self._door, site.accept).run()

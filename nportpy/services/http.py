"""HTTP: /metrics, /healthz, /readyz, /api/v1/ and the console."""

import asyncio
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import import_module
from typing import TYPE_CHECKING

from nportpy.accounts.roles import Extra, Role
from nportpy.network.addresses import Rings, local_endpoint
from nportpy.status import GatewayStatus

if TYPE_CHECKING:
    from nportpy.network.tls_door import Door
    from nportpy.services.archived import Archived
    from nportpy.services.gate import Gate
    from nportpy.services.pages import Pages
    from nportpy.services.site import Site

_BACKLOG = 32
_SEND_BUFFER = 65536  # per connection, in the kernel: a client that reads nothing must not pin the usual megabytes


class ConsoleMode(StrEnum):
    """What the console is for."""

    OFF = "off"
    VIEW = "view"
    EDIT = "edit"


@dataclass(frozen=True, slots=True)
class AsWhom:
    """What a certificate stands for.

    Attributes:
        role: what its owner is for.
        extras: single rights beside it.
    """

    role: Role
    extras: tuple[Extra, ...] = ()


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """The HTTP service.

    Attributes:
        listen: (host, port) pairs; port 0 lets the kernel choose.
        allow: who may connect, as rings of networks (gateway, http): an address must be in one of every ring.
        tls: the name of the table with its certificates; empty: it is plain HTTP.
        console: whether there are pages for people, and what they and their programs ask.
        accounts: the file of accounts; empty: see `accounts_of`.
        names: by which it may be called, besides those of this machine.
        subjects: as whom those with a certificate come, by their names as in CN=anna.
    """

    listen: tuple[tuple[str, int], ...] = (("127.0.0.1", 9550),)
    allow: Rings = ()
    tls: str = ""
    console: ConsoleMode = ConsoleMode.VIEW
    accounts: str = ""
    names: frozenset[str] = frozenset()
    subjects: Mapping[str, AsWhom] = field(default_factory=dict)


_ACCOUNTS = "accounts.json"
_SERVICE_SETTINGS, _SERVICE_STATE = "/etc/", "/var/lib/nportpy"


def accounts_of(named: str, configuration: str | None) -> str | None:
    """Where the file of a gateway's accounts is; None: nowhere.

    As its configuration names it; else in the state directory, where the service may write, if the configuration is in
    /etc; else beside that. The command and the gateway must come to the same, whoever runs them.
    """
    if named or configuration is None:
        return named or None
    folder = os.path.dirname(os.path.abspath(configuration))
    return os.path.join(_SERVICE_STATE if f"{folder}/".startswith(_SERVICE_SETTINGS) else folder, _ACCOUNTS)


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

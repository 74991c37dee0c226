"""The gateway's HTTP service: started, changed and stopped as a reload wants it, with those addresses it can have."""

import asyncio
import logging
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from nportpy.gateway.captures import Captures
from nportpy.gateway.changes import http_stays
from nportpy.gateway.console import LateConsole
from nportpy.gateway.desk import GatewayDesk
from nportpy.gateway.plans import http_places
from nportpy.gateway.sockets import Place, Sockets
from nportpy.services.archived import Archived
from nportpy.services.http import HttpService
from nportpy.services.http_base import ConsoleMode, HttpSettings, accounts_of
from nportpy.status import GatewayStatus

if TYPE_CHECKING:  # a gateway without TLS need not import what it takes
    from nportpy.network.tls_contexts import Table
    from nportpy.network.tls_door import Door
    from nportpy.services.gate import Gate

log = logging.getLogger(__name__)


class Http:
    """It, as far as it is on."""

    def __init__(
        self,
        sockets: Sockets,
        status: Callable[[], GatewayStatus],
        archive: Callable[[], Archived | None],
        desk: GatewayDesk,
        captures: Captures,
        table: "Callable[[str], Table]",
    ) -> None:
        """It is off. `table` gives the certificates of a name."""
        self._sockets = sockets
        self._status = status
        self._archive = archive
        self._table = table
        self._desk = desk
        self._captures = captures
        self._settings: HttpSettings | None = None
        self._service: HttpService | None = None
        self._task: asyncio.Task[None] | None = None

    async def change(self, settings: HttpSettings | None, tasks: asyncio.TaskGroup) -> None:
        """Serve what `settings` say; new lists alone cost no connection."""
        before, self._settings = self._settings, settings
        if settings is not None and http_stays(before, settings):
            if self._service is not None and settings != before:
                self._service.configure(settings)
                log.info("changed in place", extra={"service": "http", "changed": "allow", "result": "reload"})
            return
        await self._start(tasks)

    async def complete(self, found: list[Place], tasks: asyncio.TaskGroup) -> None:
        """Start anew if an address can be had now that could not before."""
        if not set(found).isdisjoint(http_places(self._settings)):
            await self._start(tasks)

    async def stop(self) -> None:
        """Answer nothing any more, and forget what was to be looked at."""
        await self._end()
        self._desk.recent.detach()
        self._desk.audit.detach()

    async def _end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._service = self._task = None

    def chosen_by_kernel(self) -> list[Place]:
        """Where it listens that asked for port 0."""
        if self._service is None or all(place.endpoint.port for place in http_places(self._settings)):
            return []
        return [Place(endpoint) for endpoint in self._service.endpoints]

    @property
    def trouble(self) -> str:
        """Why nobody can come in although it listens; empty: they can."""
        return "" if self._service is None else self._service.trouble

    def _door(self, settings: HttpSettings) -> "Door | None":
        """Who shakes hands, where TLS is spoken."""
        if not settings.tls:
            return None
        from nportpy.network.tls_door import Door

        return Door(self._table(settings.tls))

    def _gate(self) -> "Gate":
        """Who says who may what."""
        from nportpy.services.gate import Gate, GateSettings

        settings = self._settings
        assert settings is not None  # it is being served
        told = GateSettings(
            file=accounts_of(settings.accounts, self._desk.file()), names=settings.names, subjects=settings.subjects
        )
        if settings.tls:
            table = self._table(settings.tls)
            told = replace(told, secure=True, admits=table.admits, vouched=lambda: table.vouched)
        gate = self._desk.gate = Gate(told, self._desk.audit, self._desk.gate)
        return gate

    def _take(self) -> Iterator[socket.socket]:
        """The sockets that can be had, as sockets of its own: who serves HTTP closes them."""
        for place in http_places(self._settings):
            if (sock := self._sockets.take(place)) is not None:
                try:
                    yield sock.dup()
                except OSError as error:  # out of descriptors
                    self._sockets.lose(place, error)

    async def _start(self, tasks: asyncio.TaskGroup) -> None:
        if self._settings is None:
            await self.stop()
            return
        await self._end()
        sockets = list(self._take())
        if not sockets:
            return
        console = None
        self._desk.audit.attach()  # what was kept so far stays: nobody clears it by a change of addresses
        if self._settings.console is ConsoleMode.OFF:
            self._desk.recent.detach()
        else:
            self._desk.recent.attach()
            console = LateConsole(self._desk)
        pages = (self._captures,) if console is None else (console, self._captures)
        service = self._service = HttpService(
            self._settings,
            sockets,
            self._status,
            lambda: True,
            self._archive,
            pages,
            self._door(self._settings),
            self._gate,
        )
        task = self._task = tasks.create_task(service.run(), name="http")
        listening = tasks.create_task(service.listening.wait(), name="http listening")
        await asyncio.wait([listening, task], return_when=asyncio.FIRST_COMPLETED)
        listening.cancel()
        log.info("listening", extra={"service": "http", "listen": ", ".join(service.addresses)})

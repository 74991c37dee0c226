"""What a gateway tells of itself: discovery, for programs that search for NPorts, and multicast DNS."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from nportpy.gateway.plans import GatewaySettings, Kind, discovery_places
from nportpy.gateway.services import Services, Shared
from nportpy.gateway.sockets import Place
from nportpy.modes.modbus_base import Access, ModbusSettings
from nportpy.network.addresses import Endpoint
from nportpy.network.tls_settings import SELF
from nportpy.status import ServiceStatus, TlsStatus

if TYPE_CHECKING:  # a gateway without them need not import what they take
    from nportpy.modes.discovery import Discovery
    from nportpy.modes.discovery_base import DiscoverySettings
    from nportpy.protocols import dsci
    from nportpy.services.http_base import HttpSettings
    from nportpy.services.mdns import Offer
    from nportpy.services.mdns_base import MdnsSettings

log = logging.getLogger(__name__)


class Announcing:
    """Both, as far as they are on."""

    def __init__(
        self,
        shared: Shared,
        services: Callable[[], Iterable[Services]],
        certificates: Callable[[], Iterable[TlsStatus]],
    ) -> None:
        """Nothing is told before `change`.

        Args:
            shared: of the gateway.
            services: those that run now.
            certificates: those that they show.
        """
        self._certificates = certificates
        self._shared = shared
        self._services = services
        self._discovery: tuple[DiscoverySettings, Discovery, asyncio.Task[None]] | None = None
        self._mdns: tuple[str, MdnsSettings, asyncio.Task[None]] | None = None
        self._http: HttpSettings | None = None

    async def change(self, settings: GatewaySettings) -> None:
        """Tell what `settings` say from now on."""
        self._http = settings.http
        if (self._discovery[0] if self._discovery else None) != settings.discovery:
            await self._stop_discovery()
            if settings.discovery is not None:
                self._start_discovery(settings.name, settings.discovery)
        if (self._mdns[:2] if self._mdns else None) != (settings.mdns and (settings.name, settings.mdns)):
            await self._stop_mdns()
            if settings.mdns is not None:
                self._start_mdns(settings.name, settings.mdns)

    async def complete(self, found: list[Place], name: str) -> None:
        """Listen in places, too, that can be had now and could not before; `name` is the gateway's."""
        settings = self._discovery[0] if self._discovery is not None else None
        if settings is not None and not set(found).isdisjoint(discovery_places(settings)):
            await self._stop_discovery()
            self._start_discovery(name, settings)

    async def stop(self) -> None:
        """Tell nothing any more."""
        await self._stop_discovery()
        await self._stop_mdns()

    def status(self) -> tuple[ServiceStatus, ...]:
        """A snapshot of what is a service."""
        return (self._discovery[1].status(),) if self._discovery else ()

    def chosen_by_kernel(self) -> list[Place]:
        """Where it listens that asked for port 0."""
        if self._discovery is None or all(endpoint.port for endpoint in self._discovery[0].listen):
            return []
        return [Place(endpoint, udp=True) for endpoint in self._discovery[1].endpoints]

    def _start_discovery(self, name: str, settings: "DiscoverySettings") -> None:
        from nportpy.modes.discovery import Discovery

        found = [self._shared.sockets.take(place) for place in discovery_places(settings)]
        sockets = [sock for sock in found if sock is not None]
        discovery = Discovery(name, "discovery", settings, sockets, self._connections, self._shared.throttle)
        task = self._shared.tasks.create_task(discovery.run(), name="discovery")
        self._discovery = (settings, discovery, task)
        listen = ", ".join(map(str, discovery.endpoints))
        if listen:
            log.info("listening", extra={"service": "discovery", "listen": f"{listen} (UDP)"})

    async def _stop_discovery(self) -> None:
        if self._discovery is not None:
            _, discovery, task = self._discovery
            discovery.stop()
            await asyncio.wait([task])
            self._discovery = None

    def _start_mdns(self, name: str, settings: "MdnsSettings") -> None:
        from nportpy.services.mdns import Mdns

        task = self._shared.tasks.create_task(Mdns(name, settings, self._offers).run(), name="mdns")
        self._mdns = (name, settings, task)

    async def _stop_mdns(self) -> None:
        if self._mdns is not None:
            task = self._mdns[2]
            task.cancel()
            await asyncio.wait([task])
            self._mdns = None

    def _connections(self) -> "Iterator[dsci.Entry]":
        """The Real COM connections of all ports."""
        for services in self._services():
            for service in services.running:
                if service.kind is Kind.REALCOM:
                    yield from service.runs.connections()  # type: ignore[attr-defined]  # those of this kind have it

    def _offers(self) -> "Iterator[Offer]":
        from nportpy.services.mdns import Offer

        for services in self._services():
            for service in services.running:
                kind = "modbus" if service.kind is Kind.ROUTER else str(service.kind)
                if isinstance(service.settings, ModbusSettings) and service.settings.protocol is not Access.TCP:
                    continue
                listen = service.runs.endpoints
                if service.kind is Kind.REALCOM:  # its data connections come first
                    listen = listen[: len(service.settings.data)]
                tls = getattr(service.settings, "tls", "")
                yield Offer(kind, services.name, service.runs.service, listen, self._shown(tls), bool(tls))
        if self._http is not None:
            listen, tls = tuple(Endpoint(*place) for place in self._http.listen), self._http.tls
            yield Offer("http", "", "", listen, self._shown(tls), bool(tls))

    def _shown(self, table: str) -> dict[str, str]:
        """How the certificate of a table is known: what vouches for itself, by its fingerprint."""
        found = next((each for each in self._certificates() if each.name == table), None)
        if found is None or table != SELF or not found.certificates:
            return {}
        return {"fingerprint": found.certificates[0].fingerprint}

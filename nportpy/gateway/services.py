"""The services of one port, or of one router: started, changed and stopped while the gateway runs."""

import asyncio
import logging
import socket
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from nportpy.gateway.changes import changed, matched, started_anew
from nportpy.gateway.plans import Kind, Service, places
from nportpy.gateway.sockets import Place, Sockets
from nportpy.line.arbiter import Line
from nportpy.modbus.settings import RoutingSettings
from nportpy.modes import raw
from nportpy.modes.modbus_base import Access, MasterSettings, ModbusSettings
from nportpy.modes.rfc2217 import Rfc2217Session
from nportpy.network.access import AccessLimits
from nportpy.network.addresses import Endpoint
from nportpy.network.admission import Admission
from nportpy.network.listener import AlwaysUp, Backend, Listener
from nportpy.network.service import ServiceSettings
from nportpy.status import End, MissingStatus, ServiceStatus
from nportpy.throttle import Throttle

if TYPE_CHECKING:  # a gateway without Modbus need not import what it takes
    from nportpy.modbus.routing import Find, Router
    from nportpy.modes.pair_base import PairSettings
    from nportpy.modes.tcp_client_base import TcpClientSettings
    from nportpy.network.tls_contexts import Table
    from nportpy.network.tls_door import Door

log = logging.getLogger(__name__)


def _sessions(kind: Kind, line: Line, settings: Any) -> Any:
    """What makes a listener's sessions."""
    if kind is Kind.RAW:
        return raw.sessions(line, settings)
    if kind is Kind.REVERSE_TELNET:
        from nportpy.modes.reverse_telnet import ReverseTelnetSession

        return partial(ReverseTelnetSession, line, settings)
    return partial(Rfc2217Session, line, settings)


def free_label(kind: Kind, taken: Container[str]) -> str:
    """The name of one more service of a kind: raw, raw-2, raw-3."""
    label, number = str(kind), 1
    while label in taken:
        number += 1
        label = f"{kind}-{number}"
    return label


class Runs(Protocol):
    """A service that runs."""

    @property
    def service(self) -> str:
        """Its name in metrics and logs."""

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Where it listens."""

    @property
    def sessions(self) -> Sequence[Any]:
        """Who is there."""

    async def run(self) -> None:
        """Serve until `stop`."""

    def hush(self) -> None:
        """Accept nobody and take nothing more; what was taken goes on."""

    def accepted(self) -> int:
        """How much of what was taken is still under way."""

    def stop(self, end: End = End.SHUTDOWN) -> None:
        """End; `run` returns then. Those who are there are told `end`."""

    def configure(self, settings: Any) -> None:
        """Go over to other settings that differ in what changes in place (see changes.py)."""

    def status(self) -> ServiceStatus:
        """A snapshot."""


@runtime_checkable
class Grows(Protocol):
    """A service that can come to listen in one more place while it runs."""

    def add(self, sock: socket.socket) -> None:
        """Listen there, too."""


@runtime_checkable
class Secured(Protocol):
    """A service that may speak TLS."""

    @property
    def trouble(self) -> str:
        """Why nobody can come in although it listens; empty: they can."""

    def certificates_changed(self) -> None:
        """Who would not be let in any more goes."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What all services of a gateway share.

    Attributes:
        tasks: where they run.
        sockets: where they listen.
        access: limits over all of them.
        throttle: for log lines of which there could be many.
        find: whom a route leads to.
        tried: set once every line of some routes was opened, or failed to be, for the first time.
        tls: the certificates of a name.
    """

    tasks: asyncio.TaskGroup
    sockets: Sockets
    access: AccessLimits
    throttle: Throttle
    find: "Find"
    tried: Callable[[RoutingSettings], asyncio.Event]
    tls: "Callable[[str], Table]"


@dataclass(slots=True)
class Running:
    """A service with its task; `router` of those that hand requests on."""

    kind: Kind
    settings: Any
    runs: Runs
    task: asyncio.Task[None]
    router: "Router | None"


class Services:
    """The services of one port, or of one router.

    Attributes:
        name: of the port or router.
        running: those that run, in order of their start.
    """

    def __init__(self, name: str, shared: Shared, line: Line | None = None) -> None:
        """None runs yet; `line` is the port's."""
        self.running: list[Running] = []
        self.name = name
        self._shared = shared
        self._line = line

    def start(self, kind: Kind, settings: Any) -> None:
        """Start one more."""
        label = free_label(kind, {service.runs.service for service in self.running})
        self.running.append(self._start(kind, label, settings))

    def _start(self, kind: Kind, label: str, settings: Any) -> Running:
        runs, router = self._make(kind, label, settings)
        task = self._shared.tasks.create_task(runs.run(), name=f"{self.name} {label}")
        if runs.endpoints:
            udp = any(place.udp for place in places(kind, settings))
            listen = ", ".join(str(Place(endpoint, udp)) for endpoint in runs.endpoints)
            log.info("listening", extra={"port": self.name, "service": label, "listen": listen})
        return Running(kind, settings, runs, task, router)

    async def keep(self, wanted: Sequence[Service]) -> list[Service]:
        """Stop all but these. What did not change keeps its clients; limits, lists, routes and rules change under them.

        Returns:
            Those that are yet to be started: another one may have to stop first, as it listens where they will.
        """
        found = matched([(each.kind, each.settings) for each in self.running], wanted)
        running = tuple(self.running)
        for place, settings in found.in_place:
            self._configure(running[place], settings)
        gone = [running[place] for place in found.gone]
        for service in gone:
            self._say_what_goes(service, found.left)
        await asyncio.gather(*(self._stop(service, End.RELOAD) for service in gone))
        return found.left

    def _configure(self, service: Running, settings: Any) -> None:
        """Go over to other limits, lists, routes and rules."""
        facts = {"changed": ", ".join(changed(service.settings, settings)), "result": "reload"}
        log.info("changed in place", extra={"port": self.name, "service": service.runs.service} | facts)
        service.settings = settings
        service.runs.configure(settings)
        if service.router is not None:
            service.router.configure(settings.routing)

    def _say_what_goes(self, service: Running, left: Sequence[Service]) -> None:
        extra = {"port": self.name, "service": service.runs.service, "result": "reload"}
        names = started_anew((service.kind, service.settings), left)
        if names is None:
            log.info("no longer served", extra=extra)
        else:
            log.info("started anew", extra=extra | {"changed": ", ".join(names)})

    async def complete(self, found: Sequence[Place]) -> None:
        """Listen in places, too, that can be had now and could not before."""
        for service in tuple(self.running):
            new = [place for place in places(service.kind, service.settings) if place in found]
            if not new:
                continue
            if isinstance(service.runs, Grows):
                for place in new:
                    if (sock := self._shared.sockets.take(place)) is not None:
                        service.runs.add(sock)
            else:  # nobody is connected: these take datagrams, or listen in all of their places or in none
                label, at = service.runs.service, self.running.index(service)
                await self._stop(service, End.RELOAD)
                self.running.insert(at, self._start(service.kind, label, service.settings))

    async def stop(self, end: End = End.SHUTDOWN) -> None:
        """Stop all."""
        await asyncio.gather(*(self._stop(service, end) for service in tuple(self.running)))

    async def _stop(self, service: Running, end: End) -> None:
        service.runs.stop(end)
        await asyncio.wait([service.task])
        self.running.remove(service)

    def refresh(self) -> None:
        """Lines or servers have come or gone: routers look them up anew."""
        for service in self.running:
            if service.router is not None:
                service.router.refresh()

    def certificates_changed(self) -> None:
        """Clients that would not be let in any more go."""
        for service in self.running:
            if isinstance(service.runs, Secured):
                service.runs.certificates_changed()

    def hush(self) -> None:
        """Accept nobody, and take nothing more from those who are there."""
        for service in self.running:
            service.runs.hush()

    def accepted(self) -> int:
        """How much of what they took is still under way."""
        return sum(service.runs.accepted() for service in self.running)

    def occupied(self) -> bool:
        """Whether anybody is there."""
        return any(service.runs.sessions for service in self.running)

    def chosen_by_kernel(self) -> list[Place]:
        """Where those listen that asked for port 0."""
        found: list[Place] = []
        for service in self.running:
            wanted = places(service.kind, service.settings)
            if any(not place.endpoint.port for place in wanted):
                found += [Place(endpoint, wanted[0].udp) for endpoint in service.runs.endpoints]
        return found

    def missing(self, trouble: Mapping[Place, str], origins: Mapping[Place, str]) -> Iterator[MissingStatus]:
        """Where they should be reached and are not; `origins` says where in the file."""
        for service in self.running:
            for place in places(service.kind, service.settings):
                if place in trouble:
                    where, line = str(place), origins.get(place, "")
                    yield MissingStatus(self.name, service.runs.service, where, trouble[place], line)
            if isinstance(service.runs, Secured) and (reason := service.runs.trouble):
                for endpoint in service.runs.endpoints:
                    line = origins.get(Place(endpoint), "")
                    yield MissingStatus(self.name, service.runs.service, str(endpoint), reason, line)

    def status(self) -> tuple[ServiceStatus, ...]:
        """A snapshot of each."""
        return tuple(service.runs.status() for service in self.running)

    def _make(self, kind: Kind, label: str, settings: Any) -> tuple[Runs, "Router | None"]:
        if kind is Kind.MASTER:
            return self._master(settings)
        if kind in (Kind.MODBUS, Kind.ROUTER):
            return self._modbus(label, settings)
        assert self._line is not None  # all others are a port's
        return self._stream(kind, label, settings, self._line), None

    def _stream(self, kind: Kind, label: str, settings: Any, line: Line) -> Runs:
        throttle = self._shared.throttle
        match kind:
            case Kind.TCP_CLIENT:
                from nportpy.modes.tcp_client import TcpClient

                return TcpClient(line, label, settings, throttle, self._believed(settings))
            case Kind.UDP:
                from nportpy.modes.udp import UdpMode

                return UdpMode(line, label, settings, self._sockets(kind, settings), throttle)
            case Kind.PAIR:
                from nportpy.modes.pair import Pair

                return Pair(line, label, settings, throttle, self._believed(settings))
            case Kind.MODEM:
                from nportpy.modes.modem import Modem

                return Modem(
                    line,
                    label,
                    settings,
                    self._sockets(kind, settings),
                    self._shared.access,
                    throttle,
                    self._door(settings),
                )
            case Kind.REALCOM:
                from nportpy.modes.realcom import RealCom

                sockets = self._sockets(kind, settings)
                data, command = sockets[: len(settings.data)], sockets[len(settings.data) :]
                return RealCom(line, label, settings, data, command, self._shared.access, throttle)
            case _:
                admission = Admission(
                    line.control, settings.line, settings.when_busy, line.name, takeover=settings.takeover
                )
                return self._listener(line, label, settings, _sessions(kind, line, settings), admission=admission)

    def _sockets(self, kind: Kind, settings: Any) -> list[socket.socket]:
        """Those that can be had; for Real COM all or none, as drivers need both of their connections."""
        wanted = places(kind, settings)
        found = [sock for place in wanted if (sock := self._shared.sockets.take(place)) is not None]
        return found if kind is not Kind.REALCOM or len(found) == len(wanted) else []

    def _listener(self, backend: Backend, label: str, settings: ServiceSettings, make: Any, **more: Any) -> Listener:
        sockets, shared = self._sockets(Kind.RAW, settings), self._shared
        door = self._door(settings)
        return Listener(backend, label, settings, make, sockets, shared.access, shared.throttle, door=door, **more)

    def _believed(self, settings: "TcpClientSettings | PairSettings") -> "Table | None":
        """By which certificates those called are believed, where TLS is spoken."""
        return self._shared.tls(settings.tls) if settings.tls else None

    def _door(self, settings: ServiceSettings) -> "Door | None":
        """Who shakes hands, where TLS is spoken."""
        if not settings.tls:
            return None
        from nportpy.network.tls_door import Door

        return Door(self._shared.tls(settings.tls))

    def _modbus(self, label: str, settings: ModbusSettings) -> tuple[Runs, "Router"]:
        from nportpy.modes.modbus import SESSIONS

        router = self._router(label, settings)
        tried = self._line.tried if self._line is not None else self._shared.tried(settings.routing)
        backend = AlwaysUp(self.name, tried)
        if settings.protocol is Access.UDP:
            from nportpy.modes.modbus_udp import ModbusUdp

            sockets = self._sockets(Kind.MODBUS, settings)
            return ModbusUdp(backend, label, settings, router, sockets, self._shared.throttle), router
        make = partial(SESSIONS[settings.protocol], router, settings, self._shared.throttle)
        counts = {"refused": router.refused, "refused_by": router.refused_by}
        return self._listener(backend, label, settings, make, **counts), router

    def _master(self, settings: MasterSettings) -> tuple[Runs, "Router"]:
        from nportpy.modes.modbus_master import ModbusMaster

        assert self._line is not None  # a port's
        router = self._router("master", settings)
        return ModbusMaster(self._line, settings, router), router

    def _router(self, label: str, settings: ModbusSettings | MasterSettings) -> "Router":
        from nportpy.modbus.routing import Router

        router = Router(self.name, settings.routing, self._shared.find, service=f"{self.name} {label}")
        router.refresh()
        return router

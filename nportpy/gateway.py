"""The composition: builds lines and services, runs them in one task group, reloads and drains them."""

import asyncio
import logging
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from nportpy.errors import ListenError
from nportpy.line.arbiter import Line
from nportpy.line.opening import open_port
from nportpy.line.port import Opener, PortSettings
from nportpy.line.stream import StreamSettings
from nportpy.modbus.settings import BusSettings
from nportpy.modes.base import DoorSettings, ServiceSettings
from nportpy.modes.door import Door
from nportpy.modes.listener import Listener
from nportpy.modes.modbus_base import MasterSettings, ModbusSettings
from nportpy.modes.raw import RawSession, RawSettings
from nportpy.modes.rfc2217 import Rfc2217Session, Rfc2217Settings
from nportpy.modes.session import Session
from nportpy.network import Endpoint, listen, local_endpoint
from nportpy.services.http import HttpService, HttpSettings
from nportpy.services.logs import LogSettings
from nportpy.status import GatewayStatus
from nportpy.throttle import Throttle

_ANSWER_TIME = 0.25  # seconds that a device has for its answer before the clients that asked are sent away

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PortPlan:
    """One `[port.NAME]` with its services.

    Attributes:
        name: its name: a letter or digit, then letters, digits, `-`, `_` and `.`.
        port: how to open the device.
        stream: how streams share the line.
        trace: log what goes over the line in hexadecimal.
        raw: its raw TCP listeners.
        rfc2217: its RFC 2217 listeners.
        bus: how the Modbus units of the line are asked; None: nothing is said of it.
        modbus: the services that take Modbus requests for this line.
        master: what a Modbus master on the line is offered; None: there is none.
    """

    name: str
    port: PortSettings
    stream: StreamSettings = field(default_factory=StreamSettings)
    trace: bool = False
    raw: tuple[RawSettings, ...] = ()
    rfc2217: tuple[Rfc2217Settings, ...] = ()
    bus: BusSettings | None = None
    modbus: tuple[ModbusSettings, ...] = ()
    master: MasterSettings | None = None


@dataclass(frozen=True, slots=True)
class RouterPlan:
    """One `[modbus.NAME]`.

    Attributes:
        name: its name.
        service: its listener, and where units are.
    """

    name: str
    service: ModbusSettings


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Everything that a configuration file says.

    Attributes:
        name: the gateway's name.
        ports: the lines and their services, in the file's order.
        routers: the Modbus services that route by unit, in the file's order.
        door: limits over all services.
        drain: seconds that stopping may take to write out what clients have sent.
        http: the HTTP service; None: off.
        log: logging.
    """

    name: str
    ports: tuple[PortPlan, ...]
    routers: tuple[RouterPlan, ...] = ()
    door: DoorSettings = field(default_factory=DoorSettings)
    drain: float = 5.0
    http: HttpSettings | None = field(default_factory=HttpSettings)
    log: LogSettings = field(default_factory=LogSettings)


@dataclass(slots=True)
class _Service:
    """A listener that runs."""

    kind: str
    settings: ServiceSettings
    listener: Listener
    task: asyncio.Task[None]


@dataclass(slots=True)
class _Port:
    """A line that runs, and its services."""

    plan: PortPlan
    line: Line
    task: asyncio.Task[None]
    services: list[_Service]


class Gateway:
    """Serves what its settings say until it is stopped.

    Attributes:
        ready: set while every service listens.
    """

    def __init__(self, settings: GatewaySettings, *, opener: Opener = open_port) -> None:
        """Nothing runs before `run`. Tests bring an `opener` of their own."""
        self.ready = asyncio.Event()
        self._settings = settings
        self._opener = opener
        self._door = Door(settings.door)
        self._throttle = Throttle()
        self._ports: dict[str, _Port] = {}
        self._sockets = _Sockets()
        self._http: tuple[HttpService, asyncio.Task[None]] | None = None
        self._stopping = asyncio.Event()
        self._changing = asyncio.Lock()
        self._started = time.time()
        self._reloads = 0
        self._reloads_failed = 0
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Serve until `stop`. Cancelling ends it at once.

        Raises:
            ListenError: an address cannot be bound; nothing was started then. That of http comes in a group.
        """
        try:
            self._sockets.bind(_endpoints(self._settings))
            async with asyncio.TaskGroup() as self._tasks:
                for plan in self._settings.ports:
                    self._start_port(plan)
                await self._start_http(self._settings.http)
                self.ready.set()
                await self._stopping.wait()
                async with self._changing:
                    self.ready.clear()
                    await self._shut_down()
        finally:
            self._sockets.close()

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Accept nobody from now on, write out what clients have sent, and end; `run` returns then."""
        self._stopping.set()

    async def reload(self, settings: GatewaySettings) -> None:
        """Go over to other settings. What did not change keeps its clients; what did is started anew.

        Raises:
            ListenError: a new address cannot be bound; nothing has changed then.
        """
        async with self._changing:
            if self._stopping.is_set():
                return
            try:
                await self._change(settings)
            except ListenError:
                self._reloads_failed += 1
                raise
            self._reloads += 1

    def reload_failed(self) -> None:
        """Count a reload that did not come so far: the file was bad."""
        self._reloads_failed += 1

    def status(self) -> GatewayStatus:
        """A snapshot."""
        ports = tuple(self._ports.values())
        return GatewayStatus(
            name=self._settings.name,
            started=self._started,
            ready=self.ready.is_set(),
            reloads=self._reloads,
            reloads_failed=self._reloads_failed,
            lines=tuple(port.line.status() for port in ports),
            services=tuple(service.listener.status() for port in ports for service in port.services),
        )

    async def _change(self, settings: GatewaySettings) -> None:
        self._sockets.bind(_endpoints(settings))
        try:
            if settings.http != self._settings.http:
                await self._stop_http()
                await self._start_http(settings.http)
        except ListenError:
            self._sockets.keep([*_endpoints(self._settings), *self._chosen_by_kernel()])
            await self._start_http(self._settings.http)
            raise
        plans = {plan.name: plan for plan in settings.ports}
        replaced = [port for name, port in self._ports.items() if not _same_line(port.plan, plans.get(name))]
        kept = [port for port in self._ports.values() if port not in replaced]
        await asyncio.gather(*(self._stop_port(port) for port in replaced))
        for port in kept:
            await self._change_services(port, plans[port.plan.name])
        running, self._ports = self._ports, {}
        for plan in settings.ports:  # in the file's order
            if plan.name in running and running[plan.name] in kept:
                self._ports[plan.name] = running[plan.name]
            else:
                self._start_port(plan)
        self._sockets.keep([*_endpoints(settings), *self._chosen_by_kernel()])
        self._door.configure(settings.door)
        self._settings = settings

    def _chosen_by_kernel(self) -> list[Endpoint]:
        """Where services listen that asked for port 0."""
        services = [service for port in self._ports.values() for service in port.services]
        return [
            e
            for service in services
            if any(not e.port for e in service.settings.listen)
            for e in service.listener.endpoints
        ]

    # Ports.

    def _start_port(self, plan: PortPlan) -> None:
        assert self._tasks is not None
        line = Line(plan.name, plan.port, plan.stream, self._opener)
        line.set_trace(plan.trace)
        task = self._tasks.create_task(line.run(), name=f"{plan.name} line")
        port = self._ports[plan.name] = _Port(plan, line, task, [])
        for kind, settings in _services(plan):
            self._start_service(port, kind, settings)

    async def _stop_port(self, port: _Port) -> None:
        """Write out what the clients have sent, for as long as `drain` allows, and give the device back."""
        listeners = [service.listener for service in port.services]
        for listener in listeners:
            listener.hush()
        try:
            async with asyncio.timeout(self._settings.drain):
                await port.line.drain()
                while any(listener.accepted() for listener in listeners):
                    await asyncio.sleep(port.line.time_to_send())
                    await port.line.drain()
                if any(listener.sessions for listener in listeners) and port.line.up:
                    await asyncio.sleep(_ANSWER_TIME)
        except TimeoutError:
            if unsent := port.line.unsent():
                extra = {"port": port.plan.name, "bytes": unsent}
                log.warning("the line did not take everything in time", extra=extra)
        await asyncio.gather(*(self._stop_service(port, service) for service in tuple(port.services)))
        port.task.cancel()
        await asyncio.wait([port.task])

    async def _change_services(self, port: _Port, plan: PortPlan) -> None:
        wanted = _services(plan)
        for service in tuple(port.services):
            pair = (service.kind, service.settings)
            if pair in wanted:
                wanted.remove(pair)
            else:
                await self._stop_service(port, service)
        for kind, settings in wanted:
            self._start_service(port, kind, settings)
        port.line.set_trace(plan.trace)
        port.plan = plan

    # Services.

    def _start_service(self, port: _Port, kind: str, settings: ServiceSettings) -> None:
        assert self._tasks is not None
        taken = {service.listener.service for service in port.services}
        label = next(name for n in range(1, len(taken) + 2) if (name := kind if n == 1 else f"{kind}-{n}") not in taken)
        sockets = [self._sockets.take(endpoint) for endpoint in settings.listen]
        make = partial(_SESSIONS[kind], port.line, settings)
        listener = Listener(port.line, label, settings, make, sockets, self._door, self._throttle)
        task = self._tasks.create_task(listener.run(), name=f"{port.plan.name} {label}")
        port.services.append(_Service(kind, settings, listener, task))

    async def _stop_service(self, port: _Port, service: _Service) -> None:
        service.listener.stop()
        await asyncio.wait([service.task])
        port.services.remove(service)

    async def _start_http(self, settings: HttpSettings | None) -> None:
        assert self._tasks is not None
        if settings is None:
            self._http = None
            return
        service = HttpService(settings, self.status, lambda: True)
        failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def run() -> None:
            try:
                await service.run()
            except ListenError as error:
                failed.set_exception(error)

        task = self._tasks.create_task(run(), name="http")
        self._http = (service, task)
        listening = self._tasks.create_task(service.listening.wait(), name="http listening")
        both: list[asyncio.Future[Any]] = [listening, failed]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if failed.done():
            listening.cancel()
            await failed

    async def _stop_http(self) -> None:
        if self._http is not None:
            task = self._http[1]
            task.cancel()
            await asyncio.wait([task])
            self._http = None

    async def _shut_down(self) -> None:
        log.info("stopping", extra={"gateway": self._settings.name})
        for port in self._ports.values():
            for service in port.services:
                service.listener.hush()
        self._sockets.close()  # so that nobody waits in the kernel's queue for what will not come
        await asyncio.gather(*(self._stop_port(port) for port in self._ports.values()))
        await self._stop_http()


class _Sockets:
    """The listening sockets, by where they listen: a service that is started anew keeps its own."""

    def __init__(self) -> None:
        self._open: dict[Endpoint, socket.socket] = {}

    def take(self, endpoint: Endpoint) -> socket.socket:
        """The socket that listens there; port 0 is another one each time, so it is bound only now."""
        if endpoint.port:
            return self._open[endpoint]
        sock = listen(endpoint)
        self._open[local_endpoint(sock)] = sock
        return sock

    def bind(self, endpoints: Iterable[Endpoint]) -> None:
        """Bind what is not bound yet, or nothing at all.

        Raises:
            ListenError: one of them cannot be bound.
        """
        new: dict[Endpoint, socket.socket] = {}
        try:
            for endpoint in endpoints:
                if endpoint.port and endpoint not in self._open and endpoint not in new:
                    beside = [sock for other, sock in self._open.items() if other.port == endpoint.port]
                    new[endpoint] = listen(endpoint, beside)
        except ListenError:
            for sock in new.values():
                sock.close()
            raise
        self._open |= new

    def keep(self, endpoints: Iterable[Endpoint]) -> None:
        """Close all others."""
        wanted = set(endpoints)
        for endpoint in [endpoint for endpoint in self._open if endpoint not in wanted]:
            self._open.pop(endpoint).close()

    def close(self) -> None:
        """Close all."""
        self.keep(())


_SESSIONS: dict[str, type[Session]] = {"raw": RawSession, "rfc2217": Rfc2217Session}


def _services(plan: PortPlan) -> list[tuple[str, ServiceSettings]]:
    """The services of a port, each with its kind."""
    raw = [("raw", settings) for settings in plan.raw]
    rfc2217 = [("rfc2217", settings) for settings in plan.rfc2217]
    return [*raw, *rfc2217]


def _endpoints(settings: GatewaySettings) -> list[Endpoint]:
    """Every address that is listened on, http's excepted: that service binds its own."""
    return [e for plan in settings.ports for _, service in _services(plan) for e in service.listen]


def _same_line(running: PortPlan, wanted: PortPlan | None) -> bool:
    """Whether the line itself need not be touched."""
    return (
        wanted is not None and replace(wanted, raw=running.raw, rfc2217=running.rfc2217, trace=running.trace) == running
    )

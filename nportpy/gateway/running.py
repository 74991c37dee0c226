"""The gateway: builds lines and services, runs them in one task group, reloads and drains them."""

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

from nportpy.errors import ListenError
from nportpy.gateway.announcing import Announcing
from nportpy.gateway.lines import RunningPort, Servers
from nportpy.gateway.plans import GatewaySettings, Kind, PortPlan, RouterPlan, buses, listening, same_line
from nportpy.gateway.services import Services, Shared
from nportpy.gateway.sockets import Place, Sockets
from nportpy.modbus.settings import RoutingSettings, ServerSettings
from nportpy.network.access import AccessLimits
from nportpy.port.base import Opener
from nportpy.port.opening import open_port
from nportpy.services.http import HttpService, HttpSettings
from nportpy.status import GatewayStatus
from nportpy.throttle import Throttle

if TYPE_CHECKING:  # a gateway without Modbus need not import what it takes
    from nportpy.modbus.bus import Bus

_LOOK_AGAIN = 0.02  # seconds; whether requests under way have been answered

log = logging.getLogger(__name__)


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
        self._access = AccessLimits(settings.access)
        self._ports: dict[str, RunningPort] = {}
        self._routers: dict[str, Services] = {}
        self._servers = Servers(opener)
        self._sockets = Sockets()
        self._throttle = Throttle()
        self._http: tuple[HttpService, asyncio.Task[None]] | None = None
        self._stopping = asyncio.Event()
        self._changing = asyncio.Lock()
        self._started = time.time()
        self._reloads = 0
        self._reloads_failed = 0
        self._tasks: asyncio.TaskGroup | None = None
        self._waiting: set[asyncio.Task[None]] = set()  # for lines to be opened for the first time
        self._announcing: Announcing | None = None
        self._shared: Shared | None = None

    async def run(self) -> None:
        """Serve until `stop`. Cancelling ends it at once.

        Raises:
            ListenError: an address cannot be bound; nothing was started then. That of http comes in a group.
        """
        try:
            self._sockets.bind(listening(self._settings))
            async with asyncio.TaskGroup() as self._tasks:
                self._shared = Shared(self._tasks, self._sockets, self._access, self._throttle, self._find, self._tried)
                self._announcing = Announcing(self._shared, self._all_services)
                await self._start_all(self._settings)
                await self._announcing.change(self._settings)
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
        services = [*(port.services for port in ports), *self._routers.values()]
        announcing = self._announcing.status() if self._announcing is not None else ()
        asked = [port.bus for port in ports if port.bus is not None] + self._servers.buses()
        return GatewayStatus(
            name=self._settings.name,
            started=self._started,
            ready=self.ready.is_set(),
            reloads=self._reloads,
            reloads_failed=self._reloads_failed,
            lines=tuple(port.line.status() for port in ports),
            services=tuple(status for each in services for status in each.status()) + announcing,
            buses=tuple(bus.status() for bus in asked),
        )

    async def _start_all(self, settings: GatewaySettings) -> None:
        assert self._tasks is not None
        wanted = buses(settings)
        await self._servers.change({to for to in wanted if isinstance(to, ServerSettings)}, self._tasks)
        ports = [self._start_port(plan) for plan in settings.ports]
        self._serve_requests(settings, wanted)
        for port in ports:
            port.start_services()
        for router in settings.routers:
            self._start_router(router)

    async def _change(self, settings: GatewaySettings) -> None:
        assert self._tasks is not None
        self._sockets.bind(listening(settings))
        try:
            if settings.http != self._settings.http:
                await self._stop_http()
                await self._start_http(settings.http)
        except ListenError:
            self._sockets.keep([*listening(self._settings), *self._chosen_by_kernel()])
            await self._start_http(self._settings.http)
            raise
        plans = {plan.name: plan for plan in settings.ports}
        await self._stop_routers({router.name for router in settings.routers})
        kept = [
            port
            for name, port in self._ports.items()
            if same_line(port.plan, plans.get(name), has_bus=port.bus is not None)
        ]
        replaced = [port for port in self._ports.values() if port not in kept]
        await asyncio.gather(*(port.stop(self._settings.drain) for port in replaced))
        wanted = buses(settings)
        await self._servers.change({to for to in wanted if isinstance(to, ServerSettings)}, self._tasks)
        running, self._ports = {port.plan.name: port for port in kept}, {}
        new = []
        for plan in settings.ports:  # in the file's order
            if plan.name in running:
                self._ports[plan.name] = running[plan.name]
            else:
                new.append(self._start_port(plan))
        self._serve_requests(settings, wanted)
        await self._change_services(kept, settings)
        for port in new:
            port.start_services()
        self._refresh()
        assert self._announcing is not None
        await self._announcing.change(settings)
        self._sockets.keep([*listening(settings), *self._chosen_by_kernel()])
        self._access.configure(settings.access)
        self._settings = settings

    async def _change_services(self, kept: list[RunningPort], settings: GatewaySettings) -> None:
        """Go over to other services, of all lines at once: one may come to listen where another one did."""
        self._change_routers(settings)
        plans = {plan.name: plan for plan in settings.ports}
        routers = [(self._routers[plan.name], plan) for plan in settings.routers]
        changed = await asyncio.gather(
            *(port.change(plans[port.plan.name]) for port in kept),
            *(services.keep([(Kind.ROUTER, plan.service)]) for services, plan in routers),
        )
        for services, left in zip(
            [*(port.services for port in kept), *(each for each, _ in routers)], changed, strict=True
        ):
            for kind, wanted in left:
                services.start(kind, wanted)

    def _all_services(self) -> list[Services]:
        return [*(port.services for port in self._ports.values()), *self._routers.values()]

    def _chosen_by_kernel(self) -> list[Place]:
        found = [place for services in self._all_services() for place in services.chosen_by_kernel()]
        return found + (self._announcing.chosen_by_kernel() if self._announcing is not None else [])

    def _refresh(self) -> None:
        for services in self._all_services():
            services.refresh()

    def _find(self, to: str | ServerSettings) -> "Bus | None":
        """Whom a route leads to."""
        if isinstance(to, ServerSettings):
            return self._servers.find(to)
        port = self._ports.get(to)
        return None if port is None else port.bus

    def _tried(self, routing: RoutingSettings) -> asyncio.Event:
        """Set once every line of some routes was opened, or failed to be, for the first time."""
        assert self._tasks is not None
        tried = asyncio.Event()
        names = {route.to for route in routing.routes if isinstance(route.to, str)}
        lines = [port.line for name, port in self._ports.items() if name in names]

        async def wait() -> None:
            for line in lines:
                await line.tried.wait()
            tried.set()

        if all(line.tried.is_set() for line in lines):
            tried.set()
        else:
            task = self._tasks.create_task(wait(), name="first openings")
            self._waiting.add(task)
            task.add_done_callback(self._waiting.discard)
        return tried

    def _start_port(self, plan: PortPlan) -> RunningPort:
        assert self._shared is not None
        port = self._ports[plan.name] = RunningPort(plan, self._shared, self._opener)
        return port

    def _serve_requests(self, settings: GatewaySettings, wanted: set[str | ServerSettings]) -> None:
        for plan in settings.ports:
            if plan.name in wanted:
                self._ports[plan.name].serve_requests(plan.bus)

    # Routers.

    def _start_router(self, plan: RouterPlan) -> None:
        assert self._shared is not None
        services = self._routers[plan.name] = Services(plan.name, self._shared)
        services.start(Kind.ROUTER, plan.service)

    async def _stop_routers(self, kept: set[str]) -> None:
        """Stop those that are not to be kept; what they were asked is answered first, for as long as `drain` allows."""
        gone = [self._routers.pop(name) for name in tuple(self._routers) if name not in kept]
        for services in gone:
            services.hush()
        try:
            async with asyncio.timeout(self._settings.drain):
                while any(services.accepted() for services in gone):  # noqa: ASYNC110 - a count is all there is
                    await asyncio.sleep(_LOOK_AGAIN)
        except TimeoutError:
            log.warning("requests were not answered in time", extra={"requests": sum(each.accepted() for each in gone)})
        await asyncio.gather(*(services.stop() for services in gone))

    def _change_routers(self, settings: GatewaySettings) -> None:
        """Have those that are wanted, in the file's order; new ones serve nobody yet."""
        assert self._shared is not None
        self._routers = {
            plan.name: self._routers.get(plan.name) or Services(plan.name, self._shared) for plan in settings.routers
        }

    # HTTP.

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
        for services in self._all_services():
            services.hush()
        if self._announcing is not None:
            await self._announcing.stop()
        self._sockets.close()  # so that nobody waits in the kernel's queue for what will not come
        await self._stop_routers(set())
        await asyncio.gather(*(port.stop(self._settings.drain) for port in self._ports.values()))
        assert self._tasks is not None
        for task in self._waiting:
            task.cancel()
        await self._servers.change(set(), self._tasks)
        await self._stop_http()

"""The gateway: builds lines and services, runs them in one task group, reloads and drains them."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from nportpy.editing.candidate import Checker
from nportpy.editing.editor import Editor
from nportpy.editing.history import Entry
from nportpy.editing.impact import Impact
from nportpy.gateway.announcing import Announcing
from nportpy.gateway.captures import Captures, watchable
from nportpy.gateway.certificates import Certificates
from nportpy.gateway.changes import changed, line_changes
from nportpy.gateway.desk import GatewayDesk
from nportpy.gateway.events import Events
from nportpy.gateway.heartbeat import Heartbeat
from nportpy.gateway.http import Http
from nportpy.gateway.lines import RunningPort, Servers
from nportpy.gateway.plans import (
    Elsewhere,
    GatewaySettings,
    Kind,
    PortPlan,
    RouterPlan,
    buses,
    discovery_places,
    elsewhere,
    http_places,
    listening,
    same_line,
)
from nportpy.gateway.services import Services, Shared
from nportpy.gateway.sockets import NOT_HERE, Place, Sockets
from nportpy.line.arbiter import Line
from nportpy.modbus.settings import RoutingSettings
from nportpy.network.access import AccessLimits
from nportpy.network.addresses import Endpoint
from nportpy.port.base import Opener
from nportpy.port.opening import open_port
from nportpy.services.audit import Audit
from nportpy.services.http_base import ConsoleMode
from nportpy.status import End, GatewayStatus, MissingStatus
from nportpy.throttle import Throttle

if TYPE_CHECKING:  # a gateway without them need not import what they take
    from nportpy.edge.running import Edge
    from nportpy.edge.upstream import Connect
    from nportpy.modbus.bus import Bus

_LOOK_AGAIN = 0.02  # seconds; whether requests under way have been answered
_FIRST_PAUSE, _LAST_PAUSE = 1.0, 30.0  # between attempts to have an address
_SEEN_AFTER = 5.0  # at the latest, that an address of this machine has come or gone

log = logging.getLogger(__name__)


class Gateway:
    """Serves what its settings say until it is stopped, or as much of it as can be served.

    An address that cannot be bound keeps nothing else from being served: it is tried again, for ever.

    Attributes:
        ready: set while everything runs that can.
        changed: set when a line has come or gone, or an address; for whoever shows that, and clears it.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        opener: Opener = open_port,
        strict: bool = False,
        connect: "Connect | None" = None,
        file: str | None = None,
        checker: Checker | None = None,
        reloaded: Callable[[GatewaySettings], None] = lambda _: None,
    ) -> None:
        """Nothing runs before `run`. Tests bring an `opener` of their own.

        Args:
            settings: what it is told to be.
            opener: opens devices.
            strict: an address that cannot be bound at the start is an error.
            connect: makes upstreams' links; the demo has some that can be cut.
            file: where the settings were read from.
            checker: checks what may become that file; None: it cannot be changed from here.
            reloaded: hears of the settings that it has gone over to.
        """
        self.ready = asyncio.Event()
        self.changed = asyncio.Event()
        self._settings = settings
        self._opener = opener
        self._access = AccessLimits(settings.access)
        self._ports: dict[str, RunningPort] = {}
        self._routers: dict[str, Services] = {}
        self._certificates = Certificates()
        self._table = self._certificates.table
        self._servers = Servers(opener, self._table)
        self._sockets = Sockets()
        self._throttle = Throttle()
        self._reloaded_to = reloaded
        self._editor = Editor(file, checker, self)
        self._audit = Audit()
        self._captures = Captures(lambda: watchable(self._ports, self._servers), self._audit)
        self._desk = GatewayDesk(
            self.status,
            self._archived,
            lambda: self._ports,
            self._servers,
            self._all_services,
            self._captures.moments,
            self._audit,
            file,
            self._editor,
            self._impact,
        )
        self._http = Http(self._sockets, self.status, self._archived, self._desk, self._captures, self._table)
        self._strict = strict
        self._connect = connect
        self._told: tuple[MissingStatus, ...] = ()
        self._reloaded = asyncio.Event()
        self._stopping = asyncio.Event()
        self._changing = asyncio.Lock()
        self._started = time.time()
        self._reloads = 0
        self._reloads_failed = 0
        self._tasks: asyncio.TaskGroup | None = None
        self._waiting: set[asyncio.Task[None]] = set()  # for lines to be opened for the first time
        self._announcing: Announcing | None = None
        self._edge: Edge | None = None
        self._shared: Shared | None = None
        self._events = Events(self._audit, file)
        self._heartbeat = Heartbeat(self._buses, self._events.tick)

    async def run(self) -> None:
        """Serve until `stop`. Cancelling ends it at once.

        Raises:
            ListenError: an address cannot be bound, and it is strict; nothing was started then.
        """
        try:
            self._sockets.bind(listening(self._settings))
            if self._strict and self._sockets.missing:
                raise next(iter(self._sockets.missing.values()))
            async with asyncio.TaskGroup() as self._tasks:
                self._shared = Shared(
                    self._tasks, self._sockets, self._access, self._throttle, self._find, self._tried, self._table
                )
                await self._certificates.read(self._settings)
                self._events.certificates(self._certificates.status())
                self._announcing = Announcing(self._shared, self._all_services, self._certificates.status)
                await self._start_all(self._settings)
                await self._announcing.change(self._settings)
                await self._change_edge(self._settings)
                await self._editor.switch(_may_edit(self._settings), self._tasks)
                await self._http.change(self._settings.http, self._tasks)
                self._tell_of_addresses()
                self._heartbeat.start()
                self.ready.set()
                looking = [
                    self._tasks.create_task(self._look_for_addresses(), name="addresses"),
                    self._tasks.create_task(self._look_at_certificates(), name="certificates"),
                ]
                await self._stopping.wait()
                await self._editor.stop()
                async with self._changing:
                    for task in looking:
                        task.cancel()
                    self.ready.clear()
                    await self._shut_down()
        finally:
            self._heartbeat.stop()
            self._sockets.close()

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Accept nobody from now on, write out what clients have sent, and end; `run` returns then."""
        self._stopping.set()

    async def reload(self, settings: GatewaySettings) -> None:
        """Go over to other settings, and end where a start with them would.

        What did not change keeps its clients, limits and lists change under them, and the rest is started anew. An
        address that cannot be bound is missing afterwards, as it would be after a start. A change that was only tried
        ends with it.
        """
        self._editor.overtake()
        await self.go_over(settings)
        self._events.reloaded()

    async def go_over(self, settings: GatewaySettings, still: Callable[[], bool] = lambda: True) -> None:
        """The same for what the file does not say, or not yet; see `Gateway` (editing/editor.py)."""
        async with self._changing:
            if self._stopping.is_set() or not still():
                return
            if found := self._sockets.retry():
                await self._complete(found)
            await self._change(settings)
            self._reloads += 1
            self._tell_of_addresses()
            self._reloaded_to(settings)
        self._reloaded.set()
        self.changed.set()

    def now(self) -> GatewaySettings:
        """What it was told to be at last."""
        return self._settings

    def tried(self, entry: Entry) -> None:
        """See `Gateway` (editing/editor.py)."""
        self._events.tried(entry)

    def _impact(self, settings: GatewaySettings) -> Impact:
        from nportpy.gateway.impact import impact

        return impact(self._ports, self._routers, self._settings, settings)

    def reload_failed(self) -> None:
        """Count a reload that did not come so far: the file was bad."""
        self._reloads_failed += 1
        self._events.reloaded(failed=True)

    def status(self) -> GatewayStatus:
        """A snapshot."""
        ports, missing = tuple(self._ports.values()), self._missing()
        services = [*(port.services for port in ports), *self._routers.values()]
        announcing = self._announcing.status() if self._announcing is not None else ()
        return GatewayStatus(
            name=self._settings.name,
            started=self._started,
            ready=self.ready.is_set() and not missing,
            reloads=self._reloads,
            reloads_failed=self._reloads_failed,
            lines=tuple(port.line.status() for port in ports),
            services=tuple(status for each in services for status in each.status()) + announcing,
            buses=tuple(bus.status() for bus in self._buses()),
            missing=missing,
            edge=self._edge.status() if self._edge is not None else None,
            tls=self._certificates.status(),
            loop=self._heartbeat.status(),
            actions=dict(self._desk.actions),
            recordings=self._captures.status(),
            trial=self._editor.status(),
        )

    def _buses(self) -> "list[Bus]":
        return [port.bus for port in self._ports.values() if port.bus is not None] + self._servers.buses()

    def _archived(self) -> "Edge | None":
        """Where samples are kept; None where the settings say nothing of it, any more."""
        return self._edge if self._settings.edge is not None else None

    async def _start_all(self, settings: GatewaySettings) -> None:
        assert self._tasks is not None
        wanted = buses(settings)
        await self._servers.change(elsewhere(settings), self._tasks)
        ports = [self._start_port(plan) for plan in settings.ports]
        self._serve_requests(settings, wanted)
        for port in ports:
            port.start_services()
        for router in settings.routers:
            self._start_router(router)
        await self._captures.change(settings.capture, self._tasks)

    async def _change(self, settings: GatewaySettings) -> None:
        assert self._tasks is not None
        self._sockets.bind(listening(settings))
        await self._certificates.read(settings)
        self._events.certificates(self._certificates.status())
        await self._editor.switch(_may_edit(settings), self._tasks)
        await self._http.change(settings.http, self._tasks)
        plans = {plan.name: plan for plan in settings.ports}
        await self._stop_routers({router.name for router in settings.routers}, End.RELOAD)
        kept = [
            port
            for name, port in self._ports.items()
            if same_line(port.plan, plans.get(name), has_bus=port.bus is not None)
        ]
        replaced = [port for port in self._ports.values() if port not in kept]
        for port in replaced:
            self._say_what_goes(port.plan, plans.get(port.plan.name))
        if self._edge is not None:
            await self._edge.leave({port.plan.name for port in replaced}, settings.edge)
        await asyncio.gather(*(port.stop(self._settings.drain, End.RELOAD) for port in replaced))
        wanted = buses(settings)
        await self._servers.change(elsewhere(settings), self._tasks)
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
        for services in self._all_services():
            services.certificates_changed()
        await self._captures.change(settings.capture, self._tasks)
        await self._change_edge(settings)
        assert self._announcing is not None
        await self._announcing.change(settings)
        self._sockets.keep([*listening(settings), *self._chosen_by_kernel()])
        if names := changed(self._settings.access, settings.access):
            log.info("changed in place", extra={"changed": ", ".join(names), "result": "reload"})
            self._access.configure(settings.access)
        self._settings = settings

    def _say_what_goes(self, running: PortPlan, wanted: PortPlan | None) -> None:
        extra = {"port": running.name, "result": "reload"}
        if wanted is None:
            log.info("no longer served", extra=extra)
        else:
            log.info("line started anew", extra=extra | {"changed": ", ".join(line_changes(running, wanted))})

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
        found += self._http.chosen_by_kernel()
        return found + (self._announcing.chosen_by_kernel() if self._announcing is not None else [])

    def _refresh(self) -> None:
        for services in self._all_services():
            services.refresh()
        if self._edge is not None:
            self._edge.refresh()

    async def _change_edge(self, settings: GatewaySettings) -> None:
        """Read, keep and send what the settings say; nothing of that is imported where they say nothing."""
        if self._edge is None and settings.edge is not None:
            from nportpy.edge import links
            from nportpy.edge.drivers.choosing import Ways
            from nportpy.edge.running import Edge

            assert self._tasks is not None
            self._edge = Edge(Ways(self._find, self._find_line), self._tasks, connect=self._connect or links.connect)
        if self._edge is not None:
            await self._edge.change(settings.edge)

    def _find(self, to: str | Elsewhere | Endpoint) -> "Bus | None":
        """Whom a route or a station leads to."""
        if isinstance(to, Endpoint):
            return None
        if not isinstance(to, str):
            return self._servers.find(to)
        port = self._ports.get(to)
        return None if port is None else port.bus

    def _find_line(self, to: str | Elsewhere | Endpoint) -> Line | None:
        """The line that a station is on."""
        if isinstance(to, Endpoint):
            return None
        if not isinstance(to, str):
            return self._servers.line(to)
        port = self._ports.get(to)
        return None if port is None else port.line

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
        port = self._ports[plan.name] = RunningPort(plan, self._shared, self._opener, self.changed.set)
        return port

    def _serve_requests(self, settings: GatewaySettings, wanted: set[str | Elsewhere]) -> None:
        for plan in settings.ports:
            if plan.name in wanted:
                self._ports[plan.name].serve_requests(plan.bus)

    # Routers.

    def _start_router(self, plan: RouterPlan) -> None:
        assert self._shared is not None
        services = self._routers[plan.name] = Services(plan.name, self._shared)
        services.start(Kind.ROUTER, plan.service)

    async def _stop_routers(self, kept: set[str], end: End) -> None:
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
        await asyncio.gather(*(services.stop(end) for services in gone))

    def _change_routers(self, settings: GatewaySettings) -> None:
        """Have those that are wanted, in the file's order; new ones serve nobody yet."""
        assert self._shared is not None
        self._routers = {
            plan.name: self._routers.get(plan.name) or Services(plan.name, self._shared) for plan in settings.routers
        }

    # Certificates.

    async def _look_at_certificates(self) -> None:
        """See files that were bad become good, and the clock become known."""
        while True:
            await self._certificates.wait()
            await self._certificates.try_on(self._settings)
            async with self._changing:
                self._certificates.look()
                self._events.certificates(self._certificates.status())
                for services in self._all_services():
                    services.certificates_changed()
                self._tell_of_addresses()

    # Addresses.

    async def _look_for_addresses(self) -> None:
        """Try for ever to have the addresses that are missing, and see this machine's own come and go."""
        pause = _FIRST_PAUSE
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause if self._sockets.missing or self._sockets.may_come_and_go else None):
                    await self._reloaded.wait()
                    pause = _FIRST_PAUSE
            self._reloaded.clear()
            async with self._changing:
                if found := self._sockets.retry():
                    await self._complete(found)
                self._tell_of_addresses()
            pause = min(pause * 2, _SEEN_AFTER if self._sockets.may_come_and_go else _LAST_PAUSE)

    async def _complete(self, found: list[Place]) -> None:
        """Listen in places that could not be had before."""
        assert self._tasks is not None
        assert self._announcing is not None
        await asyncio.gather(*(services.complete(found) for services in self._all_services()))
        await self._announcing.complete(found, self._settings.name)
        await self._http.complete(found, self._tasks)

    def _missing(self) -> tuple[MissingStatus, ...]:
        """Where services should be reached, and are not."""
        trouble, settings = self._sockets.trouble(), self._settings
        if not trouble and not self._certificates.used:
            return ()
        found = [each for services in self._all_services() for each in services.missing(trouble, settings.origins)]
        for service, its in (("discovery", discovery_places(settings.discovery)), ("http", http_places(settings.http))):
            for place in its:
                reason = trouble.get(place) or (self._http.trouble if service == "http" else "")
                if reason:
                    line = settings.origins.get(place, "")
                    found.append(MissingStatus(settings.name, service, str(place), reason, line))
        return tuple(found)

    def _tell_of_addresses(self) -> None:
        """Log what is new about them, once."""
        before, self._told = self._told, self._missing()
        for each in self._told:
            if each not in before:
                extra = {"port": each.port, "service": each.service, "listen": each.listen, "reason": each.reason}
                level = logging.WARNING if each.reason == NOT_HERE else logging.ERROR
                log.log(level, "cannot be reached yet, trying on", extra=extra | _line(each))
        now = {(each.port, each.service, each.listen) for each in self._told}
        for each in before:
            if (each.port, each.service, each.listen) not in now:
                extra = {"port": each.port, "service": each.service, "listen": each.listen}
                log.info("can be reached now", extra=extra)
        if self._told != before:
            self.changed.set()

    async def _shut_down(self) -> None:
        log.info("stopping", extra={"gateway": self._settings.name})
        for services in self._all_services():
            services.hush()
        if self._announcing is not None:
            await self._announcing.stop()
        self._sockets.close()  # so that nobody waits in the kernel's queue for what will not come
        if self._edge is not None:
            await self._edge.stop()
        await self._captures.stop()
        await self._stop_routers(set(), End.SHUTDOWN)
        await asyncio.gather(*(port.stop(self._settings.drain) for port in self._ports.values()))
        assert self._tasks is not None
        for task in self._waiting:
            task.cancel()
        await self._servers.change({}, self._tasks)
        await self._http.stop()


def _line(missing: MissingStatus) -> dict[str, str]:
    return {"line": missing.line} if missing.line else {}


def _may_edit(settings: GatewaySettings) -> bool:
    return settings.http is not None and settings.http.console is ConsoleMode.EDIT

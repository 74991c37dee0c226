"""The lines that run: serial ones with their services, and servers elsewhere that are asked as if they were lines."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from nportpy.gateway.plans import Elsewhere, PortPlan, Service, services_of
from nportpy.gateway.services import Services, Shared
from nportpy.line.arbiter import Line
from nportpy.line.stream_base import StreamSettings
from nportpy.modbus.settings import BusSettings, ServerSettings
from nportpy.port.base import Opener, PortSettings
from nportpy.status import End

if TYPE_CHECKING:  # a gateway without Modbus need not import what it takes
    from nportpy.modbus.bus import Bus
    from nportpy.network.tls_contexts import Table

_ANSWER_TIME = 0.25  # seconds that a device has for its answer before the clients that asked are sent away

log = logging.getLogger(__name__)


class RunningPort:
    """A line that runs, and its services.

    Attributes:
        plan: what it was started or last changed with.
        line: its wire.
        bus: its Modbus units; None while nobody may ask them.
        services: who uses it.
    """

    def __init__(self, plan: PortPlan, shared: Shared, opener: Opener, moved: Callable[[], None]) -> None:
        """Start the line; `start_services` starts the rest. `moved` is called when the line comes or goes."""
        self.plan = plan
        self.line = Line(plan.name, plan.port, plan.stream, opener, moved)
        self.bus: Bus | None = None
        self.services = Services(plan.name, shared, self.line)
        self.line.set_trace(plan.trace)
        self._task = shared.tasks.create_task(self.line.run(), name=f"{plan.name} line")

    def serve_requests(self, settings: BusSettings | None) -> None:
        """Let requests use the line from now on, if they do not yet; `settings` say how. The plan may be older."""
        if self.bus is None:
            from nportpy.modbus.bus import Bus

            self.bus = Bus(self.line, settings or BusSettings())
            self.bus.trace = self.plan.trace

    def start_services(self) -> None:
        """Start all that its plan says."""
        for kind, settings in services_of(self.plan):
            self.services.start(kind, settings)

    async def change(self, plan: PortPlan) -> list[Service]:
        """Go over to other services on the same line; those that are yet to be started (see `Services.keep`)."""
        self.plan = plan
        self.line.linger = plan.stream.linger
        self.line.stream.set_linger(plan.stream.linger)
        left = await self.services.keep(services_of(plan))
        self.line.set_trace(plan.trace)
        if self.bus is not None:
            self.bus.trace = plan.trace
        return left

    async def stop(self, drain: float, end: End = End.SHUTDOWN) -> None:
        """Write out what the clients have sent, for `drain` seconds at most, and give the device back."""
        self.services.hush()
        try:
            async with asyncio.timeout(drain):
                await self.line.drain()
                while self.services.accepted():
                    await asyncio.sleep(self.line.time_to_send())
                    await self.line.drain()
                if self.services.occupied() and self.line.up:
                    await asyncio.sleep(_ANSWER_TIME)
        except TimeoutError:
            if unsent := self.line.unsent():
                extra = {"port": self.plan.name, "bytes": unsent}
                log.warning("the line did not take everything in time", extra=extra)
        await self.services.stop(end)
        self._task.cancel()
        await asyncio.wait([self._task])


@dataclass(slots=True)
class _Server:
    """A server or a line elsewhere that is asked; without a bus it is wanted alone, and nobody sends it requests."""

    line: Line
    bus: "Bus | None"
    task: asyncio.Task[None]


class Servers:
    """What routes and stations lead to that is no port: Modbus TCP servers, and serial lines of stations' own."""

    def __init__(self, opener: Opener, table: "Callable[[str], Table]") -> None:
        """None is connected to. `table` gives the certificates of a name."""
        self._opener = opener
        self._table = table
        self._running: dict[Elsewhere, _Server] = {}

    async def change(self, wanted: dict[Elsewhere, bool], tasks: asyncio.TaskGroup) -> None:
        """Keep connected to these, and to no others; whether requests go there, too, is the value."""
        gone = [self._running.pop(settings) for settings in tuple(self._running) if settings not in wanted]
        for server in gone:
            server.task.cancel()
        if gone:
            await asyncio.wait([server.task for server in gone])
        for settings in sorted(wanted, key=_name_of):
            if settings not in self._running:
                self._running[settings] = self._start(settings, tasks)
            server = self._running[settings]
            if wanted[settings] and server.bus is None:
                server.bus = bus_elsewhere(server.line, settings)

    def find(self, settings: Elsewhere) -> "Bus | None":
        """The units there."""
        server = self._running.get(settings)
        return None if server is None else server.bus

    def line(self, settings: Elsewhere) -> Line | None:
        """The line there."""
        server = self._running.get(settings)
        return None if server is None else server.line

    def lines(self) -> list[Line]:
        """All of them."""
        return [server.line for server in self._running.values()]

    def buses(self) -> list["Bus"]:
        """All units."""
        return [server.bus for server in self._running.values() if server.bus is not None]

    def _start(self, settings: Elsewhere, tasks: asyncio.TaskGroup) -> _Server:
        line = line_elsewhere(settings, self._opener, self._table)
        return _Server(line, None, tasks.create_task(line.run(), name=line.name))


def line_elsewhere(settings: Elsewhere, opener: Opener, table: "Callable[[str], Table]") -> Line:
    """A line that is no port of the gateway; it opens when it runs. `table` gives the certificates of a name."""
    if isinstance(settings, ServerSettings) and settings.tls:
        from nportpy.port.tls import open_tls

        opener = partial(open_tls, table=table(settings.tls))
    if isinstance(settings, ServerSettings):
        return Line(settings.name, PortSettings(settings.name), StreamSettings(), opener)
    return Line(settings.device, settings, StreamSettings(), opener)


def bus_elsewhere(line: Line, settings: Elsewhere) -> "Bus":
    """The Modbus units there."""
    from nportpy.modbus.bus import Bus
    from nportpy.protocols.modbus.mbap_reply import ReplyFinder

    if isinstance(settings, ServerSettings):
        return Bus(line, settings.bus, ReplyFinder(), settings.rest)
    return Bus(line, BusSettings())


def _name_of(settings: Elsewhere) -> str:
    return settings.name if isinstance(settings, ServerSettings) else settings.device

"""Stations read without a gateway: `nportpy poll`, and trying a configuration before it is served."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from nportpy.edge.clock import Clock
from nportpy.edge.drivers.modbus import ModbusDriver
from nportpy.edge.running import router_of, why_down
from nportpy.edge.schedule import Due
from nportpy.edge.settings import StationSettings
from nportpy.edge.station import Station
from nportpy.errors import LineError
from nportpy.gateway.lines import line_elsewhere
from nportpy.gateway.plans import Elsewhere, GatewaySettings
from nportpy.line.arbiter import Line
from nportpy.line.stream import StreamSettings
from nportpy.modbus.bus import Bus
from nportpy.modbus.settings import BusSettings
from nportpy.port.base import Opener
from nportpy.port.opening import open_port

_FIRST_OPENING = 6.0  # seconds that a line may take to come up before its stations are said not to answer


@asynccontextmanager
async def stations(
    settings: GatewaySettings, chosen: Sequence[StationSettings], opener: Opener = open_port
) -> AsyncIterator[list[Station]]:
    """The stations, ready to be read: their lines are open, or could not be opened. Nothing is archived.

    Args:
        settings: where the ports are.
        chosen: which stations.
        opener: opens devices.
    """
    clock = Clock()
    lines: dict[str | Elsewhere, tuple[Line, Bus]] = {}
    for each in chosen:
        if each.to not in lines:
            lines[each.to] = _line(settings, each.to, opener)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(line.run(), name=line.name) for line, _ in lines.values()]
        try:
            await _come_up([line for line, _ in lines.values()])
            yield [_station(each, lines[each.to][1], clock) for each in chosen]
        finally:
            for task in running:
                task.cancel()


async def read(station: Station) -> None:
    """One round of all its tags."""
    await station.round(Due(list(station.settings.tags), set()))


def _line(settings: GatewaySettings, to: str | Elsewhere, opener: Opener) -> tuple[Line, Bus]:
    if not isinstance(to, str):
        return line_elsewhere(to, opener)
    plan = next((each for each in settings.ports if each.name == to), None)
    if plan is None:
        raise LineError(f"there is no port {to}")
    line = Line(plan.name, plan.port, StreamSettings(), opener)
    return line, Bus(line, plan.bus or BusSettings())


def _station(settings: StationSettings, bus: Bus, clock: Clock) -> Station:
    driver = ModbusDriver(settings, router_of(settings, lambda _: bus), clock, lambda: why_down(bus))
    numbers = {tag.name: number for number, tag in enumerate(settings.tags, 1)}
    return Station(settings, driver, lambda _: None, clock, numbers)


async def _come_up(lines: list[Line]) -> None:
    """Wait for the first opening of each; connections take longer than devices."""
    try:
        async with asyncio.timeout(_FIRST_OPENING):
            for line in lines:
                await line.tried.wait()
    except TimeoutError:
        return

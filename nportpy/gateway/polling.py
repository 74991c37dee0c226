"""Stations read without a gateway: `nportpy poll`, and trying a configuration before it is served."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from nportpy.edge.clock import Clock
from nportpy.edge.drivers.choosing import Ways, choose
from nportpy.edge.schedule import Due
from nportpy.edge.settings import Protocol, StationSettings, Where
from nportpy.edge.station import Station
from nportpy.errors import LineError
from nportpy.gateway.lines import bus_elsewhere, line_elsewhere
from nportpy.gateway.plans import GatewaySettings, PortPlan
from nportpy.line.arbiter import Line
from nportpy.line.stream_base import StreamSettings
from nportpy.modbus.bus import Bus
from nportpy.modbus.settings import BusSettings
from nportpy.network.addresses import Endpoint
from nportpy.port.base import Opener
from nportpy.port.opening import open_port

if TYPE_CHECKING:  # few stations are reached by TLS
    from nportpy.network.tls_contexts import Table

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
    lines: dict[Where, Line] = {}
    buses: dict[Where, Bus] = {}
    for each in chosen:
        if isinstance(each.to, Endpoint):
            continue
        if each.to not in lines:
            lines[each.to] = _line(settings, each.to, opener)
        if each.protocol is Protocol.MODBUS and each.to not in buses:
            buses[each.to] = _bus(settings, each.to, lines[each.to])
    ways = Ways(buses.get, lines.get)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(line.run(), name=line.name) for line in lines.values()]
        found: list[Station] = []
        try:
            await _come_up(list(lines.values()))
            found = [_station(each, ways, clock) for each in chosen]
            yield found
        finally:
            for station in found:
                await station.close()
            for task in running:
                task.cancel()


async def read(station: Station) -> None:
    """One round of all its tags."""
    await station.round(Due(list(station.settings.tags), set()))


def _line(settings: GatewaySettings, to: Where, opener: Opener) -> Line:
    if not isinstance(to, str):
        assert not isinstance(to, Endpoint)  # it has no line
        return line_elsewhere(to, opener, partial(_table, settings))
    plan = _plan(settings, to)
    return Line(plan.name, plan.port, StreamSettings(), opener)


def _table(settings: GatewaySettings, name: str) -> "Table":
    from nportpy.network.tls_contexts import Tables

    tables = Tables()
    tables.configure(each for each in settings.tls if each.name == name)
    return tables.find(name)


def _bus(settings: GatewaySettings, to: Where, line: Line) -> Bus:
    if not isinstance(to, str):
        assert not isinstance(to, Endpoint)
        return bus_elsewhere(line, to)
    return Bus(line, _plan(settings, to).bus or BusSettings())


def _plan(settings: GatewaySettings, name: str) -> PortPlan:
    plan = next((each for each in settings.ports if each.name == name), None)
    if plan is None:
        raise LineError(f"there is no port {name}")
    return plan


def _station(settings: StationSettings, ways: Ways, clock: Clock) -> Station:
    """Without an archive, no rows of profiles are known."""
    numbers = {tag.name: number for number, tag in enumerate(settings.tags, 1)}
    return Station(settings, choose(settings, ways, clock, {}).driver, lambda _: None, clock, numbers)


async def _come_up(lines: list[Line]) -> None:
    """Wait for the first opening of each; connections take longer than devices."""
    try:
        async with asyncio.timeout(_FIRST_OPENING):
            for line in lines:
                await line.tried.wait()
    except TimeoutError:
        return

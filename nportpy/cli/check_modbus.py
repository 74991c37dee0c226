"""What `nportpy check` shows of Modbus: how units are asked, where they are, and who may ask what."""

from collections.abc import Iterator

from nportpy.config.modbus_values import units_text
from nportpy.config.values import duration_text
from nportpy.edge.settings import Protocol
from nportpy.gateway.plans import GatewaySettings
from nportpy.modbus.settings import (
    BusSettings,
    Framing,
    Matching,
    Route,
    RoutingSettings,
    ServerSettings,
    Timeout,
    UnitSettings,
)
from nportpy.modes.modbus_base import Access, MasterSettings, ModbusSettings
from nportpy.protocols.modbus.addresses import Address
from nportpy.protocols.modbus.functions import Span

Picture = Iterator[tuple[str, str]]
"""Labels, indented, and what stands behind them."""

_PROTOCOLS = {
    Access.TCP: "Modbus TCP",
    Access.UDP: "Modbus UDP",
    Access.RTU: "RTU over TCP",
    Access.ASCII: "ASCII over TCP",
}


def line_picture(bus: BusSettings) -> Picture:
    """How the units of a line are asked."""
    silence = "t3.5" if bus.silence is None else duration_text(bus.silence)
    yield "  bus", f"{bus.framing.upper()}, {silence} of silence before each frame, local echo: {bus.echo}"
    yield from _asking(bus)
    yield "    broadcast", f"{duration_text(bus.turnaround)} for the units to obey"
    if bus.framing is Framing.ASCII:
        yield "    characters", f"up to {duration_text(bus.character_timeout)} apart in a frame"
    gap = duration_text(bus.idle_gap)
    patience = duration_text(bus.patience)
    yield "    raw clients", f"hold up a request for up to {patience}, until {gap} of silence"


def _asking(bus: BusSettings) -> Picture:
    yield "    timeout", f"{_timeout(bus.timeout)}, {_retries(bus.retries)}"
    if not bus.isolate:
        yield "    silent units", "are asked like the others"
    first = ", writes go first" * bus.writes_first
    yield "    waiting", f"up to {duration_text(bus.deadline)}, {bus.queue} requests of one client{first}"
    shared = "one for all who ask the same" if bus.share else "each client has its own"
    merged = "" if bus.merge is None else f", merged over gaps of up to {bus.merge}"
    kept = f", served again for {duration_text(bus.cache)}" if bus.cache else ""
    yield "    reads", shared + merged + kept
    for different in bus.units:
        yield f"    {_units(different.units)}", ", ".join(_different(different)) or "like the others"


def _different(units: UnitSettings) -> Iterator[str]:
    if units.timeout is not None:
        yield f"timeout {_timeout(units.timeout)}"
    if units.silence is not None:
        yield f"{duration_text(units.silence)} of silence before each frame"
    if units.retries is not None:
        yield _retries(units.retries)
    if units.isolate is not None:
        yield "left alone while silent" if units.isolate else "asked even while silent"


def _timeout(timeout: Timeout) -> str:
    if timeout.fixed is not None:
        return duration_text(timeout.fixed)
    return f"learned, {duration_text(timeout.least)} to {duration_text(timeout.most)}"


def _retries(retries: int) -> str:
    if not retries:
        return "no retry"
    return f"{retries} {'retry' if retries == 1 else 'retries'} of a read"


def service_picture(service: ModbusSettings) -> Picture:
    """What comes in, where it goes, and who may ask what."""
    yield "    requests", f"{_PROTOCOLS[service.protocol]}, {service.outstanding} of one client under way"
    routing = service.routing
    yield "    unit 0", "broadcast" if routing.unit0 is None else f"unit {routing.unit0} is meant"
    server = "as routed" if any(255 in route.units for route in routing.routes) else "unrouted"
    yield "    unit 255", server if routing.unit255 is None else f"unit {routing.unit255} is meant"
    yield "    unrouted", str(routing.unrouted)
    for number, rule in enumerate(routing.rules, 1):
        yield f"    rule {number}", f"{rule.action}: {_matching(rule.matching)}"
    if routing.rules:
        yield "    else", "read-write"
    for number, rule_of in enumerate(routing.priorities, 1):
        yield f"    priority {number}", f"{rule_of.priority.name.lower()}: {_matching(rule_of.matching)}"


def _matching(matching: Matching) -> str:
    parts = []
    if matching.clients:
        parts.append(f"clients {', '.join(map(str, matching.clients))}")
    if matching.units:
        parts.append(_units(matching.units))
    if matching.functions:
        parts.append(f"functions {', '.join(map(str, sorted(matching.functions)))}")
    if matching.span is not None:
        parts.append(_span(matching.span))
    if matching.roles:
        parts.append(f"role {', '.join(sorted(role or 'NULL' for role in matching.roles))}")
    return "; ".join(parts) or "everything"


def _span(span: Span) -> str:
    first, last = Address(span.table, span.address), Address(span.table, span.address + span.quantity - 1)
    return last.modicon() if first == last else f"{first.modicon(len(last.modicon()))}-{last.modicon()}"


def routes_picture(routing: RoutingSettings) -> Picture:
    """Where units are, and how the servers among them are asked."""
    for route in routing.routes:
        yield f"    {_units(route.units)}", f"{_target(route)}{_there(route)}"
    servers = {route.to.name: route.to for route in routing.routes if isinstance(route.to, ServerSettings)}
    if servers:
        first = next(iter(servers.values()))  # all servers of a table are asked in the same way
        yield "  servers", ", ".join(servers)
        yield from _asking(first.bus)
        yield "    connecting", f"then {duration_text(first.rest)} of rest" if first.rest else "no rest after it"


def _target(route: Route) -> str:
    return f"port {route.to}" if isinstance(route.to, str) else route.to.name


def _there(route: Route) -> str:
    there = {there for unit in route.units if (there := route.unit_there(unit)) is not None}
    return "" if there == route.units else f", there {_units(there)}"


def _units(units: frozenset[int] | set[int]) -> str:
    return f"{'unit' if len(units) == 1 else 'units'} {units_text(units)}"


def master_picture(master: MasterSettings) -> Picture:
    """What a master on the line is offered."""
    yield "  master", f"{master.framing.upper()}, local echo: {master.echo}"
    yield "    answers", f"too late after {duration_text(master.deadline)}"
    yield "    exceptions", "told" if master.exceptions else "silence instead"
    yield from routes_picture(master.routing)


def routed_ports(settings: GatewaySettings) -> dict[str, list[str]]:
    """The ports that routes and stations lead to, each with what leads there: units, or what is spoken."""
    routings = [(f"modbus.{router.name}", router.service.routing) for router in settings.routers]
    routings += [
        (f"port.{port.name}.modbus_master", port.master.routing) for port in settings.ports if port.master is not None
    ]
    found: dict[str, list[str]] = {}
    for key, routing in routings:
        for route in routing.routes:
            if isinstance(route.to, str):
                found.setdefault(route.to, []).append(f"{key} ({_units(route.units)})")
    for station in settings.edge.stations if settings.edge is not None else ():
        if isinstance(station.to, str):
            what = f"unit {station.unit}" if station.protocol is Protocol.MODBUS else str(station.protocol)
            found.setdefault(station.to, []).append(f"station.{station.name} ({what})")
    return found


def unit_warnings(key: str, routing: RoutingSettings) -> Iterator[str]:
    """Units that others are taken for and that are nowhere."""
    routed = {unit for route in routing.routes for unit in route.units}
    for name, unit in (("unit0", routing.unit0), ("unit255", routing.unit255)):
        if unit is not None and unit not in routed:
            yield f"{key}: {name} is unit {unit}, which no route has"

"""What a gateway is told to be: the settings of all its parts, as a configuration file says them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from nportpy.gateway.capture_settings import CaptureSettings
from nportpy.gateway.sockets import Place
from nportpy.line.stream_base import StreamSettings
from nportpy.modbus.settings import BusSettings, RoutingSettings, ServerSettings
from nportpy.modes.modbus_base import Access, MasterSettings, ModbusSettings
from nportpy.modes.raw_base import RawSettings
from nportpy.modes.rfc2217_base import Rfc2217Settings
from nportpy.network.addresses import Endpoint
from nportpy.network.service import AccessSettings
from nportpy.network.tls_settings import TlsSettings
from nportpy.port.base import PortSettings
from nportpy.services.http_base import HttpSettings
from nportpy.services.logs import LogSettings

if TYPE_CHECKING:  # a gateway without them need not import what they take
    from nportpy.edge.settings import EdgeSettings
    from nportpy.modes.discovery_base import DiscoverySettings
    from nportpy.services.mdns_base import MdnsSettings


class Kind(StrEnum):
    """What a service is, in metrics and logs; the second of a kind on a port is `raw-2`."""

    RAW = "raw"
    RFC2217 = "rfc2217"
    MODBUS = "modbus"
    MASTER = "master"
    ROUTER = "router"
    TCP_CLIENT = "tcp_client"
    UDP = "udp"
    PAIR = "pair"
    REVERSE_TELNET = "reverse_telnet"
    MODEM = "modem"
    REALCOM = "realcom"


Elsewhere = ServerSettings | PortSettings
"""Units that are on no port of the gateway: at a Modbus TCP server, or on a serial line of a station's own."""

Service = tuple[Kind, Any]
"""A service: its kind, and the settings of that kind's own class."""


@dataclass(frozen=True, slots=True)
class PortPlan:
    """One `[port.NAME]` with its services.

    Attributes:
        name: its name: a letter or digit, then letters, digits, `-`, `_` and `.`.
        port: how to open the device.
        stream: how streams share the line.
        trace: log what goes over the line in hexadecimal.
        monitor: whether it may be watched and captured.
        raw: its raw TCP listeners.
        rfc2217: its RFC 2217 listeners.
        bus: how the Modbus units of the line are asked; None: nothing is said of it.
        modbus: the services that take Modbus requests for this line.
        master: what a Modbus master on the line is offered; None: there is none.
        modes: its services of all other kinds.
    """

    name: str
    port: PortSettings
    stream: StreamSettings = field(default_factory=StreamSettings)
    trace: bool = False
    monitor: bool = True
    raw: tuple[RawSettings, ...] = ()
    rfc2217: tuple[Rfc2217Settings, ...] = ()
    bus: BusSettings | None = None
    modbus: tuple[ModbusSettings, ...] = ()
    master: MasterSettings | None = None
    modes: tuple[Service, ...] = ()


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
        access: limits over all services.
        drain: seconds that stopping may take to write out what clients have sent.
        http: the HTTP service; None: off.
        capture: who may watch the lines, and what is kept of them.
        log: logging.
        discovery: what programs that search for NPorts are told; None: nothing.
        mdns: what is announced by multicast DNS; None: nothing.
        edge: what is read, kept and sent on here; None: nothing.
        tls: certificates for services that speak TLS, and for those who are called by it.
        origins: where each place is written that is listened at: `file:line`. What was not written is not there.
    """

    name: str
    ports: tuple[PortPlan, ...]
    routers: tuple[RouterPlan, ...] = ()
    access: AccessSettings = field(default_factory=AccessSettings)
    drain: float = 5.0
    http: HttpSettings | None = field(default_factory=HttpSettings)
    capture: CaptureSettings = field(default_factory=CaptureSettings)
    log: LogSettings = field(default_factory=LogSettings)
    discovery: "DiscoverySettings | None" = None
    mdns: "MdnsSettings | None" = None
    edge: "EdgeSettings | None" = None
    tls: tuple[TlsSettings, ...] = ()
    origins: Mapping[Place, str] = field(default_factory=dict, compare=False)


def services_of(plan: PortPlan) -> list[Service]:
    """The services of a port, each with its kind."""
    found: list[Service] = [(Kind.RAW, settings) for settings in plan.raw]
    found += [(Kind.RFC2217, settings) for settings in plan.rfc2217]
    found += [(Kind.MODBUS, settings) for settings in plan.modbus]
    found += [(Kind.MASTER, plan.master)] if plan.master is not None else []
    return [*found, *plan.modes]


def all_services(settings: GatewaySettings) -> list[Service]:
    """Those of all ports, and the routers."""
    services = [service for plan in settings.ports for service in services_of(plan)]
    return services + [(Kind.ROUTER, router.service) for router in settings.routers]


def routings(settings: GatewaySettings) -> Iterator[RoutingSettings]:
    """Everything that says where Modbus units are."""
    for plan in settings.ports:
        yield from (service.routing for service in plan.modbus)
        if plan.master is not None:
            yield plan.master.routing
    yield from (router.service.routing for router in settings.routers)


def buses(settings: GatewaySettings) -> set[str | Elsewhere]:
    """Where units are that somebody may ask: names of ports, and what is elsewhere."""
    found: set[str | Elsewhere] = {route.to for routing in routings(settings) for route in routing.routes}
    if settings.edge is not None:
        asked = [station for station in settings.edge.stations if station.protocol == "modbus"]
        found |= {station.to for station in asked if not isinstance(station.to, Endpoint)}
    return found | {plan.name for plan in settings.ports if plan.bus is not None}


def elsewhere(settings: GatewaySettings) -> dict[Elsewhere, bool]:
    """What is asked that is no port of the gateway, and whether by Modbus requests; else its line is wanted alone."""
    found: dict[Elsewhere, bool] = {}
    if settings.edge is not None:
        found |= {station.to: False for station in settings.edge.stations if isinstance(station.to, PortSettings)}
    return found | {to: True for to in buses(settings) if not isinstance(to, str)}


def listening(settings: GatewaySettings) -> list[Place]:
    """Every place that is listened at."""
    found = [place for service in all_services(settings) for place in places(*service)]
    return [*found, *discovery_places(settings.discovery), *http_places(settings.http)]


def discovery_places(settings: "DiscoverySettings | None") -> list[Place]:
    """Where discovery listens."""
    return [Place(endpoint, udp=True) for endpoint in settings.listen] if settings is not None else []


def http_places(settings: HttpSettings | None) -> list[Place]:
    """Where the HTTP service listens."""
    return [Place(Endpoint(*each)) for each in settings.listen] if settings is not None else []


def places(kind: Kind, settings: Any) -> list[Place]:
    """Where a service listens."""
    if kind in (Kind.MASTER, Kind.TCP_CLIENT, Kind.PAIR):
        return []
    if kind is Kind.REALCOM:
        return [Place(endpoint) for endpoint in (*settings.data, *settings.command)]
    udp = kind is Kind.UDP or (isinstance(settings, ModbusSettings) and settings.protocol is Access.UDP)
    return [Place(endpoint, udp) for endpoint in settings.listen]


def same_line(running: PortPlan, wanted: PortPlan | None, has_bus: bool) -> bool:
    """Whether a line need not be touched: its services are another matter.

    Args:
        running: what it was started with.
        wanted: what it is to be; None: it is to go.
        has_bus: whether requests use it. It can learn that, but not go over to another way of asking.
    """
    if wanted is None or (has_bus and (running.bus or BusSettings()) != (wanted.bus or BusSettings())):
        return False
    same = replace(
        wanted,
        raw=running.raw,
        rfc2217=running.rfc2217,
        modbus=running.modbus,
        master=running.master,
        modes=running.modes,
        bus=running.bus,
        trace=running.trace,
        monitor=running.monitor,
        stream=replace(wanted.stream, linger=running.stream.linger),
    )
    return same == running

"""From checked tables to the settings of every part."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

from nportpy.config import http_tables, schema
from nportpy.config.edge_build import edge
from nportpy.config.modbus_tables import ModbusService, Routed
from nportpy.config.places import state_file
from nportpy.config.tables import Service, endpoints
from nportpy.config.toml import key_path
from nportpy.gateway.plans import GatewaySettings, Kind, PortPlan, RouterPlan, all_services
from nportpy.gateway.plans import Service as PlannedService
from nportpy.line.stream_base import StreamSettings
from nportpy.linesettings import LineSettings
from nportpy.modbus.settings import Route, RoutingSettings, ServerSettings
from nportpy.modes.discovery_base import PORT, DiscoverySettings
from nportpy.modes.modbus_base import ModbusSettings
from nportpy.modes.raw_base import RawSettings
from nportpy.modes.reverse_telnet_base import ReverseTelnetSettings
from nportpy.modes.rfc2217_base import Rfc2217Settings
from nportpy.network.addresses import AllowList, Endpoint, Network, Rings, address_of
from nportpy.network.service import AccessSettings
from nportpy.network.tls_settings import SELF, KeyPair, TlsSettings
from nportpy.services.http_base import ConsoleMode, HttpSettings
from nportpy.services.logs import LogSettings
from nportpy.services.mdns_base import MdnsSettings

_LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1/128"))


def build(file: schema.File) -> GatewaySettings:
    """The settings that a file describes.

    Raises:
        EdgeFault: of a station, whose keys do not go together.
    """
    gateway, log = file.gateway, file.log
    routers = tuple(_router(name, table, gateway) for name, table in file.modbus.items())
    settings = GatewaySettings(
        name=gateway.name,
        ports=tuple(_port(name, port, place, gateway) for place, (name, port) in enumerate(file.port.items(), 1)),
        routers=routers,
        access=AccessSettings(gateway.max_connections, gateway.max_connections_per_address),
        drain=gateway.drain,
        http=_http(file.http, gateway) if file.http.listen else None,
        capture=file.capture.settings(),
        log=LogSettings(log.level, log.format),
        discovery=_discovery(file),
        mdns=MdnsSettings(**vars(file.mdns) | {"interfaces": tuple(file.mdns.interfaces)}) if file.mdns else None,
        edge=edge(file, _servers(routers)),
        tls=tuple(table.settings(name) for name, table in file.tls.items()),
    )
    return _with_own_certificate(settings)


def _servers(routers: tuple[RouterPlan, ...]) -> dict[Endpoint, ServerSettings]:
    """The servers that routes lead to: a station there shares their connection."""
    routes = (route.to for router in routers for route in router.service.routing.routes)
    return {to.endpoint: to for to in routes if isinstance(to, ServerSettings)}


def _http(http: http_tables.Http, gateway: schema.Gateway) -> HttpSettings:
    """The HTTP service. Without a word of it: pages for this machine, none for others.

    What others look at on pages is by TLS, if by no other certificate then by one that the gateway makes for itself.
    """
    here = all(address_of(each.host).is_loopback for each in http.listen)
    console = http.console or (ConsoleMode.VIEW if here else ConsoleMode.OFF)
    return HttpSettings(
        tuple((endpoint.host, endpoint.port) for endpoint in http.listen),
        _rings(http.listen, _outer(gateway), AllowList(http.allow, "http.allow")),
        http.tls or ("" if here or console is ConsoleMode.OFF else SELF),
        console,
        http.accounts_file,
        frozenset(http.names),
        {each.subject: each.whom() for each in http.certificates},
    )


def _with_own_certificate(settings: GatewaySettings) -> GatewaySettings:
    """With a table of that, if a service uses it and the file has none of its name."""
    used = {settings.http.tls if settings.http is not None else ""}
    used.update(getattr(service, "tls", "") for _, service in all_services(settings))
    if SELF not in used or any(each.name == SELF for each in settings.tls):
        return settings
    pair = KeyPair(state_file(f"tls/{SELF}.crt"), state_file(f"tls/{SELF}.key"))
    return replace(settings, tls=(*settings.tls, TlsSettings(SELF, (pair,), made=True)))


def _discovery(file: schema.File) -> DiscoverySettings | None:
    """On if it is asked for, or if drivers of NPorts are served: they do not stay without."""
    table = file.discovery
    if table is None:
        if not any(port.realcom for port in file.port.values()):
            return None
        table = schema.Discovery()
    if not table.listen:
        return None
    listen = tuple(table.listen)
    if "listen" not in table.model_fields_set and ":" not in file.gateway.listen:  # a machine that may have no IPv6
        listen = (Endpoint("0.0.0.0", PORT),)  # noqa: S104 - a broadcast reaches no other
    own = {
        "listen": listen,
        "allow": _rings(listen, _outer(file.gateway), AllowList(table.allow, "discovery.allow")),
        "name": table.name or file.gateway.name,
    }
    return DiscoverySettings(**vars(table) | own)


def _port(name: str, port: schema.Port, place: int, gateway: schema.Gateway) -> PortPlan:
    outer = (*_outer(gateway), AllowList(port.allow, key_path(("port", name, "allow"))))

    def allow(kind: Kind, listen: Iterable[Endpoint], own: list[Network]) -> Rings:
        return _rings(listen, outer, AllowList(own, key_path(("port", name, str(kind), "allow"))))

    def shared(kind: Kind, service: Service) -> dict[str, Any]:
        listen = endpoints(service.listen, gateway.listen)
        return _shared(service) | {"listen": listen, "allow": allow(kind, listen, service.allow)}

    whole = RoutingSettings.whole(name).routes
    modbus = [service for service in port.modbus if service.listen]
    line = port.settings().line
    return PortPlan(
        name=name,
        port=port.settings(),
        stream=StreamSettings(port.flush_on_first_client, port.linger, port.buffer, port.idle_levels),
        trace=port.trace,
        monitor=port.monitor,
        raw=tuple(RawSettings(**service.others(line) | shared(Kind.RAW, service)) for service in port.raw),
        rfc2217=tuple(
            Rfc2217Settings(**service.others(line) | shared(Kind.RFC2217, service)) for service in port.rfc2217
        ),
        bus=port.modbus[0].bus() if port.modbus else None,
        modbus=tuple(_modbus(service, whole, shared(Kind.MODBUS, service)) for service in modbus),
        master=port.modbus_master.settings() if port.modbus_master else None,
        modes=tuple(_modes(port, line, place, gateway, allow, shared)),
    )


def _modes(
    port: schema.Port,
    line: LineSettings,
    place: int,
    gateway: schema.Gateway,
    allow: Callable[[Kind, Iterable[Endpoint], list[Network]], Rings],
    shared: Callable[[Kind, Service], dict[str, Any]],
) -> Iterator[PlannedService]:
    """The services that have no field of their own in a port's plan."""
    for call in port.tcp_client:
        yield Kind.TCP_CLIENT, call.settings(line)
    for udp in port.udp:
        listen = endpoints(udp.listen, gateway.listen)
        yield Kind.UDP, udp.settings({"listen": listen, "allow": allow(Kind.UDP, listen, udp.allow)})
    for pair in port.pair:
        yield Kind.PAIR, pair.pair()
    for telnet in port.reverse_telnet:
        yield Kind.REVERSE_TELNET, ReverseTelnetSettings(**telnet.others(line) | shared(Kind.REVERSE_TELNET, telnet))
    for modem in port.modem:
        yield Kind.MODEM, modem.settings(shared(Kind.MODEM, modem))
    for realcom in port.realcom:
        settings = realcom.settings(place, gateway.listen)
        listen = (*settings.data, *settings.command)
        yield Kind.REALCOM, replace(settings, allow=allow(Kind.REALCOM, listen, realcom.allow))


def _router(name: str, table: Routed, gateway: schema.Gateway) -> RouterPlan:
    listen = endpoints(table.listen, gateway.listen)
    own = AllowList(table.allow, key_path(("modbus", name, "allow")))
    shared = _shared(table) | {"listen": listen, "allow": _rings(listen, _outer(gateway), own)}
    return RouterPlan(name, _modbus(table, table.routed(table), shared))


def _modbus(service: ModbusService, routes: tuple[Route, ...], shared: dict[str, Any]) -> ModbusSettings:
    return ModbusSettings(
        protocol=service.protocol,
        outstanding=service.outstanding,
        security=service.is_secure(shared["listen"]),
        routing=service.routing(routes),
        **shared,
    )


def _shared(service: Service) -> dict[str, Any]:
    """What all services have in common; the tables use the names of the settings."""
    return {key: getattr(service, key) for key in Service.model_fields}


def _outer(gateway: schema.Gateway) -> tuple[AllowList, ...]:
    return (AllowList(gateway.allow, "gateway.allow"),)


def _rings(listen: Iterable[Endpoint], outer: Iterable[AllowList], own: AllowList) -> Rings:
    """The rings that are there, from the outermost.

    The lists further out speak of the network. What listens on loopback was put there for this machine, and nobody
    else can come there: its own list alone can shut this machine out.
    """
    here = {address.version for endpoint in listen if (address := address_of(endpoint.host)).is_loopback}
    this_machine = tuple(network for network in _LOOPBACK if network.version in here)
    return tuple(AllowList((*ring, *_new(this_machine, ring)), ring.key) for ring in outer if ring) + (own,) * bool(own)


def _new(networks: Iterable[Network], ring: AllowList) -> Iterator[Network]:
    """Those that the list does not name, as a whole or in part."""
    for network in networks:
        if not any(other.version == network.version and other.overlaps(network) for other in ring):
            yield network

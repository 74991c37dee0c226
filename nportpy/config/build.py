"""From checked tables to the settings of every part."""

from collections.abc import Callable, Iterator
from typing import Any

from nportpy.config import schema
from nportpy.config.modbus_tables import ModbusService, Routed
from nportpy.config.tables import Rings, Service, endpoints
from nportpy.gateway import GatewaySettings, PortPlan, RouterPlan
from nportpy.gateway.plans import Kind
from nportpy.gateway.plans import Service as PlannedService
from nportpy.line.stream import StreamSettings
from nportpy.modbus.settings import Route, RoutingSettings
from nportpy.modes.discovery import DiscoverySettings
from nportpy.modes.modbus_base import ModbusSettings
from nportpy.modes.raw import RawSettings
from nportpy.modes.reverse_telnet import ReverseTelnetSettings
from nportpy.modes.rfc2217 import Rfc2217Settings
from nportpy.network.addresses import Network
from nportpy.network.service import AccessSettings
from nportpy.services.http import HttpSettings
from nportpy.services.logs import LogSettings
from nportpy.services.mdns import MdnsSettings


def build(file: schema.File) -> GatewaySettings:
    """The settings that a file describes."""
    gateway, http, log = file.gateway, file.http, file.log
    return GatewaySettings(
        name=gateway.name,
        ports=tuple(_port(name, port, place, gateway) for place, (name, port) in enumerate(file.port.items(), 1)),
        routers=tuple(_router(name, table, gateway) for name, table in file.modbus.items()),
        access=AccessSettings(gateway.max_connections, gateway.max_connections_per_address),
        drain=gateway.drain,
        http=HttpSettings(
            tuple((endpoint.host, endpoint.port) for endpoint in http.listen), _rings(gateway.allow, http.allow)
        )
        if http.listen
        else None,
        log=LogSettings(log.level, log.format),
        discovery=_discovery(file),
        mdns=MdnsSettings(**vars(file.mdns) | {"interfaces": tuple(file.mdns.interfaces)}) if file.mdns else None,
    )


def _discovery(file: schema.File) -> DiscoverySettings | None:
    """On if it is asked for, or if drivers of NPorts are served: they do not stay without."""
    table = file.discovery
    if table is None:
        if not any(port.realcom for port in file.port.values()):
            return None
        table = schema.Discovery()
    if not table.listen:
        return None
    own = {
        "listen": tuple(table.listen),
        "allow": _rings(file.gateway.allow, table.allow),
        "name": table.name or file.gateway.name,
    }
    return DiscoverySettings(**vars(table) | own)


def _port(name: str, port: schema.Port, place: int, gateway: schema.Gateway) -> PortPlan:
    def shared(service: Service) -> dict[str, Any]:
        return _shared(service, gateway, gateway.allow, port.allow)

    whole = RoutingSettings.whole(name).routes
    return PortPlan(
        name=name,
        port=port.settings(),
        stream=StreamSettings(port.flush_on_first_client, port.linger, port.buffer, port.idle_levels),
        trace=port.trace,
        raw=tuple(RawSettings(**vars(service) | shared(service)) for service in port.raw),
        rfc2217=tuple(Rfc2217Settings(**vars(service) | shared(service)) for service in port.rfc2217),
        bus=port.modbus[0].bus() if port.modbus else None,
        modbus=tuple(_modbus(service, whole, shared(service)) for service in port.modbus if service.listen),
        master=port.modbus_master.settings() if port.modbus_master else None,
        modes=tuple(_modes(port, place, gateway, shared)),
    )


def _modes(
    port: schema.Port, place: int, gateway: schema.Gateway, shared: Callable[[Service], dict[str, Any]]
) -> Iterator[PlannedService]:
    """The services that have no field of their own in a port's plan."""
    for call in port.tcp_client:
        yield Kind.TCP_CLIENT, call.settings()
    for udp in port.udp:
        allow = _rings(gateway.allow, port.allow, udp.allow)
        yield Kind.UDP, udp.settings({"listen": endpoints(udp.listen, gateway.listen), "allow": allow})
    for pair in port.pair:
        yield Kind.PAIR, pair.pair()
    for telnet in port.reverse_telnet:
        yield Kind.REVERSE_TELNET, ReverseTelnetSettings(**vars(telnet) | shared(telnet))
    for modem in port.modem:
        yield Kind.MODEM, modem.settings(shared(modem))
    for realcom in port.realcom:
        yield Kind.REALCOM, realcom.settings(place, gateway.listen, _rings(gateway.allow, port.allow, realcom.allow))


def _router(name: str, table: Routed, gateway: schema.Gateway) -> RouterPlan:
    return RouterPlan(name, _modbus(table, table.routed(table), _shared(table, gateway, gateway.allow)))


def _modbus(service: ModbusService, routes: tuple[Route, ...], shared: dict[str, Any]) -> ModbusSettings:
    return ModbusSettings(
        protocol=service.protocol, outstanding=service.outstanding, routing=service.routing(routes), **shared
    )


def _shared(service: Service, gateway: schema.Gateway, *allowed: list[Network]) -> dict[str, Any]:
    """What all services have in common; the tables use the names of the settings."""
    same = {key: getattr(service, key) for key in Service.model_fields}
    return same | {"listen": endpoints(service.listen, gateway.listen), "allow": _rings(*allowed, service.allow)}


def _rings(*allowed: list[Network]) -> Rings:
    """The rings that are there, from the outermost."""
    return tuple(tuple(ring) for ring in allowed if ring)

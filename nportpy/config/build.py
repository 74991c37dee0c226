"""From checked tables to the settings of every part."""

from typing import Any

from nportpy.config import schema
from nportpy.config.modbus_tables import ModbusService, Routed
from nportpy.config.tables import Service
from nportpy.gateway import GatewaySettings, PortPlan, RouterPlan
from nportpy.line.stream import StreamSettings
from nportpy.modbus.settings import Route, RoutingSettings
from nportpy.modes.base import DoorSettings
from nportpy.modes.modbus_base import ModbusSettings
from nportpy.modes.raw import RawSettings
from nportpy.modes.rfc2217 import Rfc2217Settings
from nportpy.network import Endpoint, Network
from nportpy.services.http import HttpSettings
from nportpy.services.logs import LogSettings

_Rings = tuple[tuple[Network, ...], ...]


def build(file: schema.File) -> GatewaySettings:
    """The settings that a file describes."""
    gateway, http, log = file.gateway, file.http, file.log
    return GatewaySettings(
        name=gateway.name,
        ports=tuple(_port(name, port, gateway) for name, port in file.port.items()),
        routers=tuple(_router(name, table, gateway) for name, table in file.modbus.items()),
        door=DoorSettings(gateway.max_connections, gateway.max_connections_per_address),
        drain=gateway.drain,
        http=HttpSettings(
            tuple((endpoint.host, endpoint.port) for endpoint in http.listen), _rings(gateway.allow, http.allow)
        )
        if http.listen
        else None,
        log=LogSettings(log.level, log.format),
    )


def _port(name: str, port: schema.Port, gateway: schema.Gateway) -> PortPlan:
    def shared(service: Service) -> dict[str, Any]:
        return _shared(service, gateway, gateway.allow, port.allow)

    whole = RoutingSettings.whole(name).routes
    return PortPlan(
        name=name,
        port=port.settings(),
        stream=StreamSettings(port.flush_on_first_client, port.linger),
        trace=port.trace,
        raw=tuple(RawSettings(**vars(service) | shared(service)) for service in port.raw),
        rfc2217=tuple(Rfc2217Settings(**vars(service) | shared(service)) for service in port.rfc2217),
        bus=port.modbus[0].bus() if port.modbus else None,
        modbus=tuple(_modbus(service, whole, shared(service)) for service in port.modbus if service.listen),
        master=port.modbus_master.settings() if port.modbus_master else None,
    )


def _router(name: str, table: Routed, gateway: schema.Gateway) -> RouterPlan:
    return RouterPlan(name, _modbus(table, table.routed(table), _shared(table, gateway, gateway.allow)))


def _modbus(service: ModbusService, routes: tuple[Route, ...], shared: dict[str, Any]) -> ModbusSettings:
    return ModbusSettings(
        protocol=service.protocol, outstanding=service.outstanding, routing=service.routing(routes), **shared
    )


def _shared(service: Service, gateway: schema.Gateway, *allowed: list[Network]) -> dict[str, Any]:
    """What all services have in common; the tables use the names of the settings."""
    same = {key: getattr(service, key) for key in Service.model_fields}
    listen = tuple(
        where if isinstance(where, Endpoint) else Endpoint(gateway.listen, where) for where in service.listen
    )
    return same | {"listen": listen, "allow": _rings(*allowed, service.allow)}


def _rings(*allowed: list[Network]) -> _Rings:
    """The rings that are there, from the outermost."""
    return tuple(tuple(ring) for ring in allowed if ring)

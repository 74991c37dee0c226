"""From checked tables to the settings of every part."""

from nportpy.config import schema
from nportpy.gateway import GatewaySettings, PortPlan
from nportpy.line.stream import StreamSettings
from nportpy.modes.base import DoorSettings
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
    def shared(service: schema.Service) -> dict[str, object]:
        """A service's fields; the tables use the names of the settings."""
        listen = tuple(
            where if isinstance(where, Endpoint) else Endpoint(gateway.listen, where) for where in service.listen
        )
        return vars(service) | {"listen": listen, "allow": _rings(gateway.allow, port.allow, service.allow)}

    return PortPlan(
        name=name,
        port=port.settings(),
        stream=StreamSettings(port.flush_on_first_client, port.linger),
        trace=port.trace,
        raw=tuple(RawSettings(**shared(service)) for service in port.raw),  # type: ignore[arg-type]  # checked by schema
        rfc2217=tuple(Rfc2217Settings(**shared(service)) for service in port.rfc2217),  # type: ignore[arg-type]
    )


def _rings(*allowed: list[Network]) -> _Rings:
    """The rings that are there, from the outermost."""
    return tuple(tuple(ring) for ring in allowed if ring)

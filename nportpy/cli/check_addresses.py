"""What `nportpy check` sees of this machine's addresses, TCP ports and network interfaces, as they are now."""

import socket
from collections.abc import Iterator
from typing import Any

from nportpy.gateway.occupants import Sockets
from nportpy.gateway.plans import GatewaySettings, Kind, discovery_places, http_places, places, services_of
from nportpy.gateway.sockets import Place
from nportpy.network.addresses import is_here


def address_warnings(settings: GatewaySettings) -> Iterator[str]:
    """What would keep a gateway that starts now from being reached, if nothing changes."""
    sockets = Sockets()
    for key, place in listening_keys(settings):
        if not is_here(place.endpoint.host):
            yield f"{key}: this machine does not have the address {place.endpoint.host} now"
        elif (found := sockets.occupant(place.endpoint, udp=place.udp)) is not None and not found.is_gateway:
            yield f"{key}: {place} is in use now by {found}"
    interfaces = {name for _, name in socket.if_nameindex()}
    for port in settings.ports:
        for kind, mode in port.modes:
            for name in dict.fromkeys(_interfaces(kind, mode)):
                if name and name not in interfaces:
                    yield f"port.{port.name}.{kind}: there is no network interface {name} now"
    for host in settings.mdns.interfaces if settings.mdns is not None else ():
        if not is_here(host):
            yield f"mdns.interfaces: this machine does not have the address {host} now"


def listening_keys(settings: GatewaySettings) -> Iterator[tuple[str, Place]]:
    """Every place that is listened at, and the table that says so; the second of a kind on a port is `raw-2`."""
    for port in settings.ports:
        count = dict.fromkeys(Kind, 0)
        for kind, service in services_of(port):
            count[kind] += 1
            key = f"port.{port.name}.{kind}" + (f"-{count[kind]}" if count[kind] > 1 else "")
            yield from ((key, place) for place in places(kind, service))
    for router in settings.routers:
        yield from ((f"modbus.{router.name}", place) for place in places(Kind.ROUTER, router.service))
    yield from (("discovery", place) for place in discovery_places(settings.discovery))
    yield from (("http", place) for place in http_places(settings.http))


def _interfaces(kind: Kind, mode: Any) -> Iterator[str]:
    if kind is Kind.UDP:
        yield mode.multicast_interface
        yield from (group.interface for group in mode.groups)

"""What `nportpy check` shows of certificates, and what is right about them and probably not meant."""

import os
import stat
import time
from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any, Final

from nportpy.cli.check_modbus import Picture
from nportpy.edge.settings import Where
from nportpy.gateway.plans import GatewaySettings, Kind, discovery_places, http_places, places, services_of
from nportpy.modbus.settings import ServerSettings
from nportpy.modes.modbus_base import ModbusSettings
from nportpy.network.tls_settings import Clients, TlsSettings
from nportpy.port.base import PortSettings

_DAY: Final = 86400
_SOON: Final = 30
_LIST_SOON: Final = 14
_CALLING: Final = (Kind.TCP_CLIENT, Kind.PAIR)


def tls_picture(settings: GatewaySettings) -> Picture:
    """The tables, and what is plain."""
    for table in settings.tls:
        yield f"tls {table.name}", f"TLS {'1.2 and 1.3' if table.minimum == '1.2' else table.minimum}"
        if table.pairs:
            yield "  shows", ", ".join(pair.certificate for pair in table.pairs)
        if table.made:
            yield "  SHA-256", _fingerprint(table)
        yield "  believes", table.ca or "the system's authorities, of those whom we call"
        if table.pairs:
            yield "  clients", _CLIENTS[table.clients]
        if table.crl:
            yield "  revoked", f"{table.crl}; once it has expired: {table.crl_expired}"
    using = _using(settings)
    for name in dict.fromkeys(using.values()):
        if name:
            yield f"  {name} is for", ", ".join(key for key, used in using.items() if used == name)
    plain = [key for key, name in using.items() if not name]
    if plain:
        yield "plain", f"{', '.join(plain)}: others can read and change it"
    if never := _over_udp(settings):
        yield "plain for ever", f"{', '.join(never)}: UDP has no TLS; allow, and a VPN"


_CLIENTS: Final = {
    Clients.NONE: "show no certificate",
    Clients.OPTIONAL: "may show a certificate",
    Clients.REQUIRED: "must show a certificate",
}


def tls_warnings(settings: GatewaySettings) -> Iterator[str]:
    """What will go wrong, or is less than it seems."""
    using = _using(settings)
    tables = {table.name: table for table in settings.tls}
    for table in settings.tls:
        yield from _files(table)
        if table.name not in using.values():
            yield f'tls.{table.name}: nothing uses it: tls = "{table.name}" in a service'
    plain = [key for key, name in using.items() if not name]
    if settings.tls and plain:
        yield f"plain: others on the network can read and change what goes through {', '.join(plain)}"
    for key, service in _modbus(settings):
        yield from _roles(key, service, tables.get(service.tls))


def _fingerprint(table: TlsSettings) -> str:
    """By which others know what vouches for itself."""
    from nportpy.network.tls_contexts import Table, TlsFileError

    if not os.path.exists(table.pairs[0].certificate):
        return "made when the gateway starts with this file; nportpy status shows it then"
    found = Table(table)
    try:
        found.read(table)
    except TlsFileError as error:
        return error.reason
    return found.status().certificates[0].fingerprint


def _files(table: TlsSettings) -> Iterator[str]:
    """Read them, as the gateway will; perhaps as another user."""
    from nportpy.network.tls_contexts import Table, TlsFileError, located

    if table.made and not os.path.exists(table.pairs[0].certificate):
        return
    for pair in table.pairs:
        path = located(pair.key or pair.certificate)
        if os.path.exists(path) and stat.S_IMODE(os.stat(path).st_mode) & stat.S_IROTH:
            yield f"tls.{table.name}: anybody on this machine can read the key in {path}; chmod 600 {path}"
    found = Table(table)
    try:
        found.read(table)
    except TlsFileError as error:
        yield f"tls.{table.name}: {error.reason}"
        return
    status, now = found.status(), time.time()
    if not status.checked:
        yield f"tls.{table.name}: the clock of this machine is not known now: dates are not looked at"
    for certificate in status.certificates:
        left = int((certificate.not_after - now) // _DAY)
        if left < 0:
            yield f"tls.{table.name}: the certificate of {certificate.name} has expired"
        elif left < _SOON:
            yield f"tls.{table.name}: the certificate of {certificate.name} ends in {left} days"
    if status.crl_next_update is not None and status.crl_next_update - now < _LIST_SOON * _DAY:
        ends = time.strftime("%Y-%m-%d", time.gmtime(status.crl_next_update))
        what = "has ended" if status.crl_next_update < now else "ends"
        yield f"tls.{table.name}: the revocation list {what} on {ends}; then: {table.crl_expired}"


def _roles(key: str, service: ModbusSettings, table: TlsSettings | None) -> Iterator[str]:
    matchings = [rule.matching for rule in service.routing.rules]
    matchings += [priority.matching for priority in service.routing.priorities]
    named = any(matching.roles for matching in matchings)
    if named and (table is None or table.clients is Clients.NONE):
        yield f"{key}: nobody has a role here: clients show no certificate"
    if not service.security or table is None:
        return
    if not any(rule.matching.roles for rule in service.routing.rules):
        yield f"{key}: whatever its role, every client with a certificate may do everything that its rules allow"
    if "RSA" not in _keys(table):
        yield (
            f"{key}: no certificate with an RSA key: the suite that every client with MODBUS/TCP Security has needs "
            "one; nportpy cert server HOST --key rsa"
        )


def _keys(table: TlsSettings) -> set[str]:
    """The kinds of our keys; all of them if that cannot be told."""
    from nportpy.network.tls_contexts import TlsFileError, certificates_in

    try:
        return {certificates_in(pair.certificate)[0].key for pair in table.pairs}
    except TlsFileError:
        return {"RSA"}


def _using(settings: GatewaySettings) -> dict[str, str]:
    """Every service that others reach over the network, or that calls them, and its table; empty: it is plain."""
    found: dict[str, str] = {}
    for key, kind, service in _services(settings):
        listen = places(kind, service)
        if not (listen or kind in _CALLING) or any(place.udp for place in listen):
            continue
        name = getattr(service, "tls", "")
        if name or kind in _CALLING or not all(_here(place.endpoint.host) for place in listen):
            found[key] = name
        for number, route in enumerate(service.routing.routes if isinstance(service, ModbusSettings) else ()):
            if tls := getattr(route.to, "tls", ""):
                found[f"{key}.routes[{number}]"] = tls
    if settings.http is not None and (
        settings.http.tls or not all(_here(place.endpoint.host) for place in http_places(settings.http))
    ):
        found["http"] = settings.http.tls
    return found | _called(settings)


def _over_udp(settings: GatewaySettings) -> list[str]:
    """Services that others reach by datagrams."""
    found = [(key, places(kind, service)) for key, kind, service in _services(settings)]
    found.append(("discovery", discovery_places(settings.discovery)))
    return [key for key, its in found if any(place.udp and not _here(place.endpoint.host) for place in its)]


def _called(settings: GatewaySettings) -> dict[str, str]:
    """Stations and upstreams that are called by TLS with a table. What is plain there is no service of ours."""
    if settings.edge is None:
        return {}
    found = {f"station.{each.name}": _table_of(each.to) for each in settings.edge.stations}
    found |= {f"upstream.{each.name}": each.tls.name for each in settings.edge.upstreams if each.tls is not None}
    return {key: name for key, name in found.items() if name}


def _table_of(to: Where) -> str:
    if isinstance(to, ServerSettings):
        return to.tls
    return to.tls.name if isinstance(to, PortSettings) and to.tls is not None else ""


def _services(settings: GatewaySettings) -> Iterator[tuple[str, Kind, Any]]:
    for port in settings.ports:
        many = Counter(kind for kind, _ in services_of(port))
        number: Counter[Kind] = Counter()
        for kind, service in services_of(port):
            key = f"port.{port.name}.{kind}" + (f"[{number[kind]}]" if many[kind] > 1 else "")
            number[kind] += 1
            if kind is not Kind.MASTER:
                yield key, kind, service
    for router in settings.routers:
        yield f"modbus.{router.name}", Kind.ROUTER, router.service


def _modbus(settings: GatewaySettings) -> Iterator[tuple[str, ModbusSettings]]:
    for key, _, service in _services(settings):
        if isinstance(service, ModbusSettings):
            yield key, service


def _here(host: str) -> bool:
    return ip_address(host).is_loopback

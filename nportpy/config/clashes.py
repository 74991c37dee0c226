"""What keys have to do with each other: addresses and devices that are used twice; Modbus in modbus_clashes.py.

Works on the values as tomllib gave them, so that these faults are found beside all others in a file.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from nportpy.config import values
from nportpy.config.http_tables import http_clashes
from nportpy.config.modbus_clashes import modbus_clashes
from nportpy.config.positions import Lines, Origins
from nportpy.config.tables import OWN_LINE
from nportpy.config.tls_tables import tls_clashes
from nportpy.config.toml import Path, key_path, leaves, table, toml_text
from nportpy.config.values import ValueFault
from nportpy.errors import Fault
from nportpy.gateway.sockets import Place
from nportpy.modes.modbus_base import Access
from nportpy.modes.realcom_base import MOST_NUMBERED, default_ports
from nportpy.modes.tcp_client_base import ConnectOn
from nportpy.network.addresses import Endpoint
from nportpy.services.http_base import HttpSettings

_MAY_HAVE_OWN_LINE = ("raw", "rfc2217", "reverse_telnet", "tcp_client")
_LISTENING = ("raw", "rfc2217", "modbus", "udp", "reverse_telnet", "modem", "realcom")


@dataclass(frozen=True, slots=True)
class _Claim:
    """An address that something wants to listen on; no value: by default."""

    path: Path
    value: object
    endpoint: Endpoint
    udp: bool

    def line(self, lines: Lines) -> int:
        return 0 if self.value is None else lines.of(self.path)


def clashes(data: dict[str, object], lines: Lines) -> list[Fault]:
    """Every fault that lies between two keys."""
    faults = [*_shared_addresses(data, lines), *_shared_devices(data, lines), *modbus_clashes(data, lines)]
    faults += [*_two_speeds(data, lines), *tls_clashes(data, lines), *http_clashes(data, lines)]
    faults += _recorded(data, lines)
    if not any(data.get(kind) for kind in ("port", "modbus", "station")):
        allowed = 'a table [port.NAME] with device = "/dev/..."; `nportpy init` writes one'
        faults.append(Fault("port", "is missing", "", allowed, 0))
    return faults


def _recorded(data: dict[str, object], lines: Lines) -> Iterator[Fault]:
    """Ports whose lines are to be written to files, and that are not there, or forbid it."""
    ports = table(data, "port")
    for path, names in leaves(data, (), ("capture", "record")):
        for name in names if isinstance(names, list) else [names]:
            port = ports.get(name) if isinstance(name, str) else None
            if isinstance(name, str) and name not in ports:
                known = ", ".join(toml_text(each) for each in ports)
                yield Fault(key_path(path), "names no port of this file", toml_text(name), known, lines.of(path))
            elif isinstance(port, dict) and port.get("monitor") is False:
                where = f"no monitor = false in [{key_path(('port', str(name)))}]"
                yield Fault(
                    key_path(path), "names a port that nobody may watch", toml_text(name), where, lines.of(path)
                )


def origins(data: dict[str, object], lines: Lines, source: str) -> Origins[Place]:
    """Where in a file without faults each place stands that is listened at; not what is by default."""
    claims = (claim for claim in _claims(data) if claim.value is not None)
    return Origins(source, lines, {Place(claim.endpoint, claim.udp): claim.path for claim in claims})


def _claims(data: dict[str, object]) -> Iterator[_Claim]:
    """Where everything wants to listen, as far as it can be read; other faults are told elsewhere."""
    if "listen" not in table(data, "http"):
        for host, port in HttpSettings().listen:
            yield _Claim(("http", "listen"), None, Endpoint(host, port), udp=False)
    for path, value in leaves(data, (), ("http", "listen")):
        if isinstance(value, str):
            yield from _claim(path, value, "")
    everywhere = table(data, "gateway").get("listen", "::")
    for pattern in (*(("port", "*", service) for service in _LISTENING), ("modbus", "*")):
        for service, keys in leaves(data, (), pattern):
            udp = pattern[-1] == "udp" or (isinstance(keys, dict) and keys.get("protocol") == Access.UDP)
            for key in ("data", "command") if pattern[-1] == "realcom" else ("listen",):
                for path, value in leaves(keys, service, (key,)):
                    yield from _claim(path, value, everywhere, udp=udp)
    for path, value in leaves(data, (), ("discovery", "listen")):
        if isinstance(value, str):
            yield from _claim(path, value, "", udp=True)
    yield from _numbered(data, everywhere)


def _numbered(data: dict[str, object], everywhere: object) -> Iterator[_Claim]:
    """Where Real COM is that says nothing of its ports: there the drivers look for the port's number."""
    for place, name in enumerate(table(data, "port"), 1):
        for service, keys in leaves(data, (), ("port", name, "realcom")):
            number = keys.get("number", place) if isinstance(keys, dict) else 0
            if isinstance(keys, dict) and type(number) is int and 1 <= number <= MOST_NUMBERED:
                for key, port in zip(("data", "command"), default_ports(number), strict=True):
                    if key not in keys:
                        yield from _claim((*service, "number"), port, everywhere)


def _claim(path: Path, value: object, everywhere: object, *, udp: bool = False) -> Iterator[_Claim]:
    try:
        found = values.listener(value)
        endpoint = found if isinstance(found, Endpoint) else Endpoint(values.address(everywhere), found)
    except ValueFault:
        return
    yield _Claim(path, value, endpoint, udp)


def _shared_addresses(data: dict[str, object], lines: Lines) -> Iterator[Fault]:
    by_port: dict[tuple[int, bool], list[_Claim]] = {}
    for claim in _claims(data):
        by_port.setdefault((claim.endpoint.port, claim.udp), []).append(claim)
    for claims in by_port.values():
        if len(claims) > 1:
            claims.sort(key=lambda claim: claim.line(lines))
            yield from _overlaps(claims, lines)


def _overlaps(claims: list[_Claim], lines: Lines) -> Iterator[Fault]:
    """The faults among claims to one port number: each is told of the first one that it meets."""
    for number, claim in enumerate(claims):
        taken = next((other for other in claims[:number] if overlap(claim.endpoint.host, other.endpoint.host)), None)
        if taken is None:
            continue
        line = taken.line(lines)
        where = f"{key_path(taken.path)}, {f'line {line}' if line else 'the default'}"
        reason = f"{claim.endpoint} is taken by {where}"
        if claim.endpoint != taken.endpoint:
            reason = f"{claim.endpoint} overlaps {taken.endpoint} of {where}"
        allowed = "a port or an address of its own"
        yield Fault(key_path(claim.path), reason, toml_text(claim.value), allowed, claim.line(lines))


def overlap(one: str, other: str) -> bool:
    """Whether both addresses cannot be listened on with one port; "::" is dual-stack."""
    if one == other or "::" in (one, other):
        return True
    if "0.0.0.0" not in (one, other):  # noqa: S104 - compared, not bound
        return False
    return ip_address(one).version == ip_address(other).version


def _shared_devices(data: dict[str, object], lines: Lines) -> Iterator[Fault]:
    """Two ports cannot have one device, whatever links lead to it."""
    by_identity: dict[str, list[tuple[Path, str]]] = {}
    for path, value in leaves(data, (), ("port", "*", "device")):
        identity = values.device_identity(value) if isinstance(value, str) else None
        if identity is not None:
            by_identity.setdefault(identity, []).append((path, str(value)))
    for same in by_identity.values():
        if len(same) == 1:
            continue
        same.sort(key=lambda item: lines.of(item[0]))
        first, taken = same[0]
        for path, value in same[1:]:
            link = "" if value == taken else f" {toml_text(taken)},"
            reason = f"is the same device as{link} {key_path(first)}, line {lines.of(first)}"
            yield Fault(key_path(path), reason, toml_text(value), "a device of its own", lines.of(path))


def _two_speeds(data: dict[str, object], lines: Lines) -> Iterator[Fault]:
    """Settings of one service alone cannot be where another one has the line at all times."""
    for name in table(data, "port"):
        always = next(_always_there(data, name), "")
        for kind in _MAY_HAVE_OWN_LINE if always else ():
            for path, keys in leaves(data, (), ("port", name, kind)):
                key = next((key for key in OWN_LINE if isinstance(keys, dict) and key in keys), "")
                if isinstance(keys, dict) and key:
                    where = (*path, key)
                    reason = f"the line cannot be set anew for a client: {always} of this port has it at all times"
                    yield Fault(
                        key_path(where), reason, toml_text(keys[key]), f"{key} in [port.{name}]", lines.of(where)
                    )


def _always_there(data: dict[str, object], name: str) -> Iterator[str]:
    """What hears the line of a port, or writes to it, without being connected."""
    for kind in ("udp", "pair", "modem", "modbus_master"):
        yield from (kind for _ in leaves(data, (), ("port", name, kind)))
    for _, connect in leaves(data, (), ("port", name, "tcp_client", "connect")):
        if connect == ConnectOn.ANY_CHARACTER:
            yield "tcp_client with any_character"

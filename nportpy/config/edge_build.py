"""From the tables of the second storey to its settings: where stations are, the archive, and where samples go.

Tags are in edge_tags.py, how devices are reached that do not speak Modbus in edge_reach.py.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from nportpy.client.target import Target
from nportpy.config import edge_reach
from nportpy.config.edge_access import KEYS, TAG_KEYS, strange
from nportpy.config.edge_tables import Archive, Profile, Station, Upstream
from nportpy.config.edge_tags import profile_of, protocol_of, tags_of
from nportpy.config.edge_values import SQLITE, EdgeFault
from nportpy.config.places import state_file
from nportpy.config.positions import Lines
from nportpy.config.toml import Path, key_path, toml_text
from nportpy.config.values import ValueFault
from nportpy.edge.settings import (
    SERIAL_GAP,
    TCP_GAP,
    ArchiveSettings,
    Confirm,
    EdgeSettings,
    Format,
    Protocol,
    StationSettings,
    UpstreamSettings,
    Where,
)
from nportpy.errors import Fault
from nportpy.linesettings import LineSettings
from nportpy.modbus.settings import UNITS, Rule, ServerSettings
from nportpy.network.addresses import Endpoint
from nportpy.network.tls_settings import KeyPair, TlsSettings
from nportpy.port.base import PortSettings

if TYPE_CHECKING:
    from nportpy.config.schema import File
    from nportpy.config.tls_tables import Tls

_BROKERS, _DATABASES, _FILES = "brokers", "databases", "files"
_FORMATS: Final = {Protocol.IEC101: "8E1"}  # where it is not 8N1
_BY_TLS: Final = ("mqtts:", "tls:", "nats:", "influx+https:")
_ANY_TARGET: Final = "rfc2217://HOST:PORT, raw://HOST:PORT (plain TCP) or a device such as /dev/ttyUSB0"


def edge(file: "File", servers: Mapping[Endpoint, ServerSettings]) -> EdgeSettings | None:
    """The whole second storey; None where a file says nothing of it.

    Args:
        file: all its tables.
        servers: those that routes lead to.

    Raises:
        EdgeFault: of the first station at fault; `edge_faults` has found all of them before.
    """
    if not file.station and not file.upstream and file.archive is None:
        return None
    table = file.archive or Archive()
    return EdgeSettings(
        ArchiveSettings(state_file(table.path), table.max_size, table.max_age, table.commit, clock=table.clock),
        tuple(station(name, each, _rules(file, each), servers, file.tls) for name, each in file.station.items()),
        tuple(_upstream(name, each, file.gateway.name, file.tls) for name, each in file.upstream.items()),
    )


def edge_faults(file: "File", lines: Lines) -> list[Fault]:
    """Every fault that lies between keys of stations, and between them and the rest of the file."""
    found: list[Fault] = []
    made: list[StationSettings] = []
    for name, table in file.station.items():
        make = partial(station, name, table)
        found += _faults_of(lambda: made.append(make()), ("station", name), lines)  # noqa: B023 - called at once
        if table.port is not None and table.port not in file.port:
            path, known = ("station", name, "port"), ", ".join(file.port) or "a table [port.NAME]"
            found.append(Fault(key_path(path), "there is no such port", toml_text(table.port), known, lines.of(path)))
        found += _strangers(name, table, lines)
        if table.port is not None and table.unit > UNITS[-1]:
            path = ("station", name, "unit")
            found.append(Fault(key_path(path), "no unit on a line has it", str(table.unit), "1 to 247", lines.of(path)))
    found += edge_reach.neighbours(made, lines)
    files = {SQLITE + state_file((file.archive or Archive()).path): "the archive"}
    for name, upstream in file.upstream.items():
        for url in upstream.url:
            if url in files:
                path, whose = ("upstream", name, "url"), files[url]
                reason = f"is the file of {whose}"
                found.append(Fault(key_path(path), reason, toml_text(url), "a file of its own", lines.of(path)))
            elif url.startswith(SQLITE):
                files[url] = f"upstream.{name}"
        found += _faults_of(lambda: _check(upstream), ("upstream", name), lines)  # noqa: B023 - called at once
    return found


def _strangers(name: str, table: Station, lines: Lines) -> Iterator[Fault]:
    """Keys that are not for what the station speaks."""
    try:
        known: Profile | None = profile_of(table)
    except EdgeFault:
        known = None  # it is a fault of its own
    protocol = protocol_of(table, known)
    tables: list[tuple[Path, set[str], dict[Protocol, frozenset[str]]]] = [
        (("station", name), table.model_fields_set, KEYS)
    ]
    tables += [(("station", name, "tags", at), tag.model_fields_set, TAG_KEYS) for at, tag in enumerate(table.tags)]
    for where, keys, whose in tables:
        for key, others in sorted(strange(keys, protocol, whose).items()):
            path: Path = (*where, key)
            reason = f'is not for protocol "{protocol}"'
            yield Fault(key_path(path), reason, "", f"it is for {others}", lines.of(path))


def _faults_of(check: Callable[[], object], path: Path, lines: Lines) -> list[Fault]:
    try:
        check()
    except EdgeFault as error:
        where = (*path, *error.path)
        return [Fault(key_path(where), error.fault.reason, "", error.fault.allowed, lines.of(where))]
    return []


def _check(table: Upstream) -> None:
    kinds = {_kind(url) for url in table.url}
    if len(kinds) > 1:
        what = " and to ".join(sorted(kinds))
        raise EdgeFault(("url",), ValueFault(f"leads to {what}", "one kind an upstream"))
    if table.homeassistant and not all(url.startswith("mqtt") for url in table.url):
        raise EdgeFault(("homeassistant",), ValueFault("listens to MQTT only", 'url = "mqtt://..." or no such line'))
    if _DATABASES in kinds and table.format is Format.JSON:
        raise EdgeFault(("format",), ValueFault("a database takes line protocol only", '"influx", or no such line'))
    if _FILES in kinds and table.format is Format.INFLUX:
        raise EdgeFault(("format",), ValueFault("a file takes no line protocol", '"json", or no such line'))
    if _DATABASES in kinds and table.confirm is Confirm.HOST:
        raise EdgeFault(("confirm",), ValueFault("a database confirms nothing else", '"broker", or no such line'))
    if table.format is Format.INFLUX and table.confirm is Confirm.HOST:
        raise EdgeFault(("confirm",), ValueFault("line protocol has no numbers to confirm", 'format = "json"'))
    if table.tls:
        _check_tls(table)
    if bool(table.cert_file) is not bool(table.key_file):
        raise EdgeFault((), ValueFault("a certificate goes with its key", "cert_file and key_file"))
    if table.password_file and not table.user:
        raise EdgeFault((), ValueFault("has a password and no user", 'user = "..."'))
    if bool(table.org) and not table.bucket:
        raise EdgeFault(("org",), ValueFault("goes with a bucket", 'bucket = "..."'))


def _check_tls(table: Upstream) -> None:
    said = next((key for key in ("ca_file", "cert_file", "key_file") if getattr(table, key)), "")
    if said:
        raise EdgeFault((said,), ValueFault("goes not with tls", f"one of both: {said} in [tls.{table.tls}]"))
    if not any(url.startswith(_BY_TLS) for url in table.url):
        url = table.url[0].replace("mqtt:", "mqtts:", 1).replace("http:", "https:", 1)
        meant = "no such line" if url.startswith(SQLITE) else f'url = "{url}"'
        raise EdgeFault(("tls",), ValueFault("is for upstreams that are called by TLS", meant))


def _kind(url: str) -> str:
    if url.startswith(SQLITE):
        return _FILES
    return _DATABASES if url.startswith("influx") else _BROKERS


def _rules(file: "File", table: Station) -> tuple[Rule, ...]:
    """What holds on the station's line: the rules of the port's first Modbus service."""
    services = file.port[table.port].modbus if table.port is not None and table.port in file.port else []
    return services[0].routing(()).rules if services else ()


def station(
    name: str,
    table: Station,
    rules: tuple[Rule, ...] = (),
    servers: Mapping[Endpoint, ServerSettings] = MappingProxyType({}),
    tables: Mapping[str, "Tls"] = MappingProxyType({}),
) -> StationSettings:
    """The settings of a station.

    Raises:
        EdgeFault: something of it is wrong.
    """
    known = profile_of(table)
    protocol = protocol_of(table, known)
    to = _whom(table, protocol, servers, tables)
    keys = edge_reach.access_keys(protocol, *([known] if known is not None else []), table)
    line = _own_line(table, protocol)
    tags = tuple(tags_of(table, known))
    return StationSettings(
        name=name,
        to=to,
        unit=table.unit,
        every=table.every,
        tags=tags,
        protocol=protocol,
        gap=table.gap if table.gap is not None else TCP_GAP if isinstance(to, ServerSettings) else SERIAL_GAP,
        priority=table.priority,
        profile=table.profile or "",
        rules=rules,
        line=line,
        access=edge_reach.access(protocol, keys, table, line, tags),
        history=edge_reach.history(keys),
        secret_files=edge_reach.secret_files(table),
    )


def _own_line(table: Station, protocol: Protocol) -> LineSettings | None:
    """Speed and format of the station's own; None: as its port has them."""
    if table.baudrate is None and table.format is None:
        return None
    return LineSettings.parse(table.baudrate or 9600, table.format or _FORMATS.get(protocol, "8N1"))


def _whom(
    table: Station, protocol: Protocol, servers: Mapping[Endpoint, ServerSettings], tables: Mapping[str, "Tls"]
) -> Where:
    if table.port is not None and table.target is not None:
        raise EdgeFault(("target",), ValueFault("goes not with port", "one of both"))
    if table.port is not None:
        return table.port
    if table.target is None:
        raise EdgeFault(
            (), ValueFault("has neither port nor target", 'port = "meters" or target = "tcp://192.0.2.10:502"')
        )
    target, text = table.target
    _check_target(table, protocol, target, text)
    if target.tls is not None and not target.rtu:
        assert isinstance(target.place, Endpoint)  # of a line elsewhere the frames are RTU
        found = servers.get(target.place)
        return found if found is not None and found.tls == table.tls else ServerSettings(target.place, tls=table.tls)
    if not target.rtu and isinstance(target.place, Endpoint):
        if protocol is Protocol.MODBUS:
            return servers.get(target.place) or ServerSettings(target.place)
        if protocol is Protocol.DLMS:
            return target.place if table.target.names_port else Endpoint(target.place.host, edge_reach.DLMS_PORT)
        raise EdgeFault(("target",), ValueFault(f"is Modbus TCP or DLMS over TCP, not {protocol}", _ANY_TARGET))
    if text.startswith("rtu+tcp:") and protocol is not Protocol.MODBUS:
        raise EdgeFault(("target",), ValueFault("is Modbus", text.replace("rtu+tcp:", "raw:", 1)))
    scheme = "socket" if target.tls is None else "raws"
    device = f"{scheme}://{target.place}" if isinstance(target.place, Endpoint) else target.place
    line = _own_line(table, protocol) or LineSettings.parse(9600, _FORMATS.get(protocol, "8N1"))
    return PortSettings(device, line, tls=tables[table.tls].settings(table.tls) if table.tls in tables else None)


def _check_target(table: Station, protocol: Protocol, target: Target, text: str) -> None:
    """A target is called by TLS if it says so, and then somebody must say whom to believe."""
    if target.tls is None:
        if table.tls:
            meant = 'target = "tls://..." for Modbus, "raws://..." or "rfc2217s://..." for a line elsewhere'
            raise EdgeFault(("tls",), ValueFault("is for targets that are called by TLS", meant))
        return
    if not table.tls:
        allowed = 'tls = "NAME" beside it, and a table [tls.NAME] with ca_file'
        raise EdgeFault(("target",), ValueFault("leads where nobody says whom to believe", allowed))
    if protocol is not Protocol.MODBUS and not target.rtu:
        place = text.partition("://")[2]
        raise EdgeFault(("target",), ValueFault(f"is Modbus, not {protocol}", f"raws://{place}, a line elsewhere"))


def _upstream(name: str, table: Upstream, node: str, tables: Mapping[str, "Tls"]) -> UpstreamSettings:
    lines = table.url[0].startswith("influx")
    return UpstreamSettings(
        name=name,
        urls=tuple(table.url),
        site=table.site,
        node=table.node or topic_of(node),
        format=table.format or (Format.INFLUX if lines else Format.JSON),
        backfill=table.backfill,
        overlap=table.overlap,
        max_rate=float(table.max_rate),
        confirm=table.confirm,
        keepalive=table.keepalive,
        user=table.user,
        password_file=table.password_file,
        credentials=table.credentials_file,
        database=table.database,
        org=table.org,
        bucket=table.bucket,
        token_file=table.token_file,
        tls=tables[table.tls].settings(table.tls)
        if table.tls
        else tls_files(table.ca_file, table.cert_file, table.key_file),
        homeassistant=table.homeassistant,
    )


def tls_files(ca: str, certificate: str, key: str) -> TlsSettings | None:
    """What three keys say of TLS where no table does; None: nothing."""
    if not ca and not certificate:
        return None
    return TlsSettings("", (KeyPair(certificate, key),) if certificate else (), ca)


def topic_of(name: str) -> str:
    """A gateway's name as a part of topics: what cannot stand there becomes a hyphen."""
    return "".join(each if each.isascii() and (each.isalnum() or each in "_-") else "-" for each in name)[:64] or "node"

"""From the tables of the second storey to its settings: profiles and stations' defaults are worked into each tag.

A station's own keys win over its profile's, a tag's over its station's; a tag of the station that bears the name of one
of the profile's changes only the keys that it has.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from nportpy.config.edge_tables import Archive, Profile, Station, Tag, Upstream
from nportpy.config.edge_values import SQLITE, Deadband
from nportpy.config.positions import Lines
from nportpy.config.profiles import ProfileError, profile
from nportpy.config.toml import Path, key_path, toml_text
from nportpy.config.values import ValueFault
from nportpy.edge.settings import (
    SERIAL_GAP,
    TCP_GAP,
    ArchiveSettings,
    Confirm,
    EdgeSettings,
    Format,
    Limits,
    ModbusPlace,
    StationSettings,
    TagSettings,
    TlsFiles,
    UpstreamSettings,
)
from nportpy.errors import Fault
from nportpy.linesettings import LineSettings
from nportpy.modbus.settings import UNITS, Rule, ServerSettings
from nportpy.network.addresses import Endpoint
from nportpy.port.base import PortSettings
from nportpy.protocols.modbus.addresses import Numbering, parse_range
from nportpy.protocols.modbus.reads import holds_bits, longest_read
from nportpy.protocols.modbus.values import Kind, Order, ValueType

if TYPE_CHECKING:
    from nportpy.config.schema import File

_STATE_DIRECTORY: Final = "/var/lib/nportpy"
_BROKERS, _DATABASES, _FILES = "brokers", "databases", "files"
_FLOATS: Final = (Kind.FLOAT32, Kind.FLOAT64)
_TEXTS: Final = (Kind.STRING, Kind.BIT)


class EdgeFault(ValueError):
    """Something about a station or an upstream is wrong: `path` is where, from its table on."""

    def __init__(self, path: Path, fault: ValueFault) -> None:
        super().__init__(str(fault))
        self.path = path
        self.fault = fault


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
        ArchiveSettings(archive_file(table.path), table.max_size, table.max_age, table.commit, clock=table.clock),
        tuple(station(name, each, _rules(file, each), servers) for name, each in file.station.items()),
        tuple(_upstream(name, each, file.gateway.name) for name, each in file.upstream.items()),
    )


def edge_faults(file: "File", lines: Lines) -> list[Fault]:
    """Every fault that lies between keys of stations, and between them and the rest of the file."""
    found: list[Fault] = []
    for name, table in file.station.items():
        found += _faults_of(lambda: station(name, table), ("station", name), lines)  # noqa: B023 - called at once
        if table.port is not None and table.port not in file.port:
            path, known = ("station", name, "port"), ", ".join(file.port) or "a table [port.NAME]"
            found.append(Fault(key_path(path), "there is no such port", toml_text(table.port), known, lines.of(path)))
        if table.port is not None and table.unit > UNITS[-1]:
            path = ("station", name, "unit")
            found.append(Fault(key_path(path), "no unit on a line has it", str(table.unit), "1 to 247", lines.of(path)))
    files = {SQLITE + archive_file((file.archive or Archive()).path): "the archive"}
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
    if bool(table.cert_file) is not bool(table.key_file):
        raise EdgeFault((), ValueFault("a certificate goes with its key", "cert_file and key_file"))
    if table.password_file and not table.user:
        raise EdgeFault((), ValueFault("has a password and no user", 'user = "..."'))
    if bool(table.org) and not table.bucket:
        raise EdgeFault(("org",), ValueFault("goes with a bucket", 'bucket = "..."'))


def _kind(url: str) -> str:
    if url.startswith(SQLITE):
        return _FILES
    return _DATABASES if url.startswith("influx") else _BROKERS


def _rules(file: "File", table: Station) -> tuple[Rule, ...]:
    """What holds on the station's line: the rules of the port's first Modbus service."""
    services = file.port[table.port].modbus if table.port is not None and table.port in file.port else []
    return services[0].routing(()).rules if services else ()


def archive_file(path: str) -> str:
    """Where the archive lies: in the state directory that systemd gives, else in ours, else in the user's."""
    if path.startswith("/"):
        return path
    given = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if given:
        return os.path.join(given, path)
    if os.access(_STATE_DIRECTORY, os.W_OK):
        return os.path.join(_STATE_DIRECTORY, path)
    home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(home, "nportpy", path)


def station(
    name: str,
    table: Station,
    rules: tuple[Rule, ...] = (),
    servers: Mapping[Endpoint, ServerSettings] = MappingProxyType({}),
) -> StationSettings:
    """The settings of a station.

    Raises:
        EdgeFault: something of it is wrong.
    """
    serial = table.port is not None or (table.target is not None and table.target.rtu)
    return StationSettings(
        name=name,
        to=_whom(table, servers),
        unit=table.unit,
        every=table.every,
        tags=tuple(_tags(table)),
        protocol=table.protocol,
        gap=table.gap if table.gap is not None else SERIAL_GAP if serial else TCP_GAP,
        priority=table.priority,
        profile=table.profile or "",
        rules=rules,
    )


def _whom(table: Station, servers: Mapping[Endpoint, ServerSettings]) -> str | ServerSettings | PortSettings:
    target = table.target
    if table.port is not None and target is not None:
        raise EdgeFault(("target",), ValueFault("goes not with port", "one of both"))
    if table.port is not None:
        return table.port
    if target is None:
        raise EdgeFault(
            (), ValueFault("has neither port nor target", 'port = "meters" or target = "tcp://192.0.2.10:502"')
        )
    if not target.rtu and isinstance(target.place, Endpoint):
        return servers.get(target.place) or ServerSettings(target.place)
    device = f"socket://{target.place}" if isinstance(target.place, Endpoint) else target.place
    return PortSettings(device, LineSettings.parse(table.baudrate, table.format))


def _tags(table: Station) -> Iterator[TagSettings]:
    known = _profile(table)
    own = {tag.name: tag for tag in table.tags}
    if len(own) != len(table.tags):
        names = [tag.name for tag in table.tags]
        twice = next(place for place, name in enumerate(names) if name in names[:place])
        raise EdgeFault(("tags", twice, "name"), ValueFault("is there twice", "each tag of a station has its own name"))
    of_profile = {tag.name: tag for tag in known.tags} if known is not None else {}
    for place, name in enumerate(table.only):
        if name not in of_profile:
            raise EdgeFault(
                ("only", place), ValueFault("is no tag of the profile", ", ".join(of_profile) or "a profile")
            )
    chosen = {name: tag for name, tag in of_profile.items() if not table.only or name in table.only}
    if not chosen and not own:
        raise EdgeFault((), ValueFault("has no tags", 'profile = "..." or tags = [...]'))
    for name, tag in chosen.items():
        mine = own.get(name)
        path: Path = ("tags", table.tags.index(mine)) if mine is not None else ("profile",)
        yield _tag(path, _keys(tag) | (_keys(mine) if mine is not None else {}), table, known)
    for place, tag in enumerate(table.tags):
        if tag.name not in chosen:
            yield _tag(("tags", place), _keys(tag), table, known)


def _profile(table: Station) -> Profile | None:
    if table.profile is None:
        return None
    try:
        return profile(table.profile)
    except ProfileError as error:
        raise EdgeFault(("profile",), ValueFault(str(error))) from error


def _keys(tag: Tag) -> dict[str, Any]:
    return {key: value for key, value in vars(tag).items() if value is not None and value != []}


def _tag(path: Path, keys: dict[str, Any], table: Station, known: Profile | None) -> TagSettings:
    def fault(key: str, reason: str, allowed: str = "") -> EdgeFault:
        return EdgeFault((*path, key), ValueFault(reason, allowed))

    if "at" not in keys:
        raise fault("at", "is missing", 'an address as the manual prints it, as in at = "41009"')
    place = _place(fault, keys, table, known)
    kind = place.kind.kind
    numeric = not {"scale", "offset", "precision", "limits", "deadband", "bits"}.isdisjoint(keys)
    if kind in _TEXTS and numeric:
        raise fault(
            "type", f"{kind} is no number, and scale, offset, precision, limits, deadband and bits are for those"
        )
    if "bits" in keys and (kind in _FLOATS or keys["bits"][1] >= 16 * place.kind.width):
        raise fault("bits", f"{place.kind} has no such bits", f"0 to {16 * place.kind.width - 1} of a whole number")
    limits = keys.get("limits")
    if limits is not None and limits.low is None and limits.high is None:
        raise fault("limits", "limits nothing", "{ low = 0, high = 400 }")
    if limits is not None and None not in (limits.low, limits.high) and limits.low >= limits.high:
        raise fault("limits", "ends before it begins", "{ low = 0, high = 400 }")
    return TagSettings(
        name=keys["name"],
        at=keys["at"],
        place=place,
        unit=keys.get("unit", ""),
        scale=keys.get("scale", 1.0),
        offset=keys.get("offset", 0.0),
        precision=keys.get("precision"),
        invalid=tuple(keys.get("invalid", ())),
        limits=Limits(limits.low, limits.high, limits.beyond) if limits is not None else None,
        words=tuple(sorted(keys.get("enum", {}).items())),
        bits=keys.get("bits"),
        deadband=_deadband(fault, keys),
        max_silence=keys.get("max_silence", table.max_silence),
        always_at=keys.get("always_at", 0.0),
        every=keys.get("every"),
        counter=keys.get("counter", False),
    )


def _place(fault: Any, keys: dict[str, Any], table: Station, known: Profile | None) -> ModbusPlace:
    """Where a value lies: by the tag's own keys, else the station's, else the profile's."""
    numbering = table.numbering or (known.numbering if known is not None else Numbering.MODICON)
    order = keys.get("order") or table.order or (known.order if known is not None else Order.ABCD)
    try:
        asked = parse_range(keys["at"], numbering)
    except ValueError as error:
        raise fault("at", str(error).removeprefix(f"{keys['at']}: ")) from error
    bits = holds_bits(asked.first.table)
    kind = keys.get("type") or table.type or (known.type if known is not None else None)
    if bits and (kind is None or "type" not in keys):
        kind = ValueType(Kind.BIT)
    kind = kind or ValueType(Kind.UINT16)
    if bits != (kind.kind is Kind.BIT):
        what = "bits, not registers" if bits else "registers, not bits"
        raise fault("type", f"{kind} does not fit: this table has {what}", "bit" if bits else "uint16, float32 ...")
    try:
        spans = asked.split(kind.width)
    except ValueError as error:
        raise fault("at", str(error).removeprefix(f"{keys['at']}: ")) from error
    if len(spans) != 1:
        raise fault("at", f"{keys['at']} holds {len(spans)} values of type {kind}", "one value a tag")
    if spans[0].span.quantity > longest_read(asked.first.table):
        raise fault("type", f"{kind} is longer than one answer")
    return ModbusPlace(spans[0].span, kind, order)


def _deadband(fault: Any, keys: dict[str, Any]) -> float:
    band: Deadband | None = keys.get("deadband")
    if band is None:
        return 0.0
    if not band.percent:
        return band.size
    if "range" not in keys:
        raise fault("deadband", "is a share of a range that is not given", "range = [0, 400] beside it, or a number")
    low, high = keys["range"]
    return float(band.size / 100 * (high - low))


def _upstream(name: str, table: Upstream, node: str) -> UpstreamSettings:
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
        tls=TlsFiles(table.ca_file, table.cert_file, table.key_file),
        homeassistant=table.homeassistant,
    )


def topic_of(name: str) -> str:
    """A gateway's name as a part of topics: what cannot stand there becomes a hyphen."""
    return "".join(each if each.isascii() and (each.isalnum() or each in "_-") else "-" for each in name)[:64] or "node"

"""From the tables of the second storey to its settings: profiles and stations' defaults are worked into each tag.

A station's own keys win over its profile's, a tag's over its station's; a tag of the station that bears the name of one
of the profile's changes only the keys that it has.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any, Final

from nportpy.config.edge_tables import Archive, Profile, Station, Tag, Upstream
from nportpy.config.edge_values import Deadband
from nportpy.config.profiles import ProfileError, profile
from nportpy.config.toml import Path
from nportpy.config.values import ValueFault
from nportpy.edge.settings import (
    SERIAL_GAP,
    TCP_GAP,
    ArchiveSettings,
    EdgeSettings,
    Format,
    Limits,
    ModbusPlace,
    StationSettings,
    TagSettings,
    TlsFiles,
    UpstreamSettings,
)
from nportpy.linesettings import LineSettings
from nportpy.modbus.settings import BusSettings, Rule, ServerSettings
from nportpy.network.addresses import Endpoint
from nportpy.port.base import PortSettings
from nportpy.protocols.modbus.addresses import Numbering, parse_range
from nportpy.protocols.modbus.reads import holds_bits, longest_read
from nportpy.protocols.modbus.values import Kind, Order, ValueType

_STATE_DIRECTORY: Final = "/var/lib/nportpy"
_FLOATS: Final = (Kind.FLOAT32, Kind.FLOAT64)
_TEXTS: Final = (Kind.STRING, Kind.BIT)


class TagFault(ValueError):
    """Something about a tag, or a station, is wrong: `path` is where, from the station on."""

    def __init__(self, path: Path, fault: ValueFault) -> None:
        super().__init__(str(fault))
        self.path = path
        self.fault = fault


def edge(
    archive: Archive | None,
    stations: Mapping[str, Station],
    upstreams: Mapping[str, Upstream],
    node: str,
    rules: Mapping[str, tuple[Rule, ...]],
) -> EdgeSettings | None:
    """The whole second storey; None where no station and no upstream is.

    Args:
        archive: its table.
        stations: theirs, by name.
        upstreams: theirs, by name.
        node: the gateway's name.
        rules: who may ask what on which port.

    Raises:
        TagFault: of a station; `faults` finds all of them.
    """
    if not stations and not upstreams and archive is None:
        return None
    table = archive or Archive()
    return EdgeSettings(
        ArchiveSettings(archive_file(table.path), table.max_size, table.max_age, table.commit),
        tuple(station(name, each, rules.get(each.port or "", ())) for name, each in stations.items()),
        tuple(_upstream(name, each, node) for name, each in upstreams.items()),
    )


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


def station(name: str, table: Station, rules: tuple[Rule, ...] = ()) -> StationSettings:
    """The settings of a station.

    Raises:
        TagFault: something of it is wrong.
    """
    serial = table.port is not None or (table.target is not None and table.target.rtu)
    return StationSettings(
        name=name,
        to=_whom(table),
        unit=table.unit,
        every=table.every,
        tags=tuple(_tags(table)),
        protocol=table.protocol,
        gap=table.gap if table.gap is not None else SERIAL_GAP if serial else TCP_GAP,
        priority=table.priority,
        profile=table.profile or "",
        rules=rules,
    )


def _whom(table: Station) -> str | ServerSettings | PortSettings:
    target = table.target
    if table.port is not None and target is not None:
        raise TagFault(("target",), ValueFault("goes not with port", "one of both"))
    if table.port is not None:
        return table.port
    if target is None:
        raise TagFault(
            (), ValueFault("has neither port nor target", 'port = "meters" or target = "tcp://192.0.2.10:502"')
        )
    if not target.rtu and isinstance(target.place, Endpoint):
        return ServerSettings(target.place, BusSettings())
    device = f"socket://{target.place}" if isinstance(target.place, Endpoint) else target.place
    return PortSettings(device, LineSettings.parse(table.baudrate, table.format))


def _tags(table: Station) -> Iterator[TagSettings]:
    known = _profile(table)
    own = {tag.name: tag for tag in table.tags}
    if len(own) != len(table.tags):
        names = [tag.name for tag in table.tags]
        twice = next(place for place, name in enumerate(names) if name in names[:place])
        raise TagFault(("tags", twice, "name"), ValueFault("is there twice", "each tag of a station has its own name"))
    of_profile = {tag.name: tag for tag in known.tags} if known is not None else {}
    for place, name in enumerate(table.only):
        if name not in of_profile:
            raise TagFault(
                ("only", place), ValueFault("is no tag of the profile", ", ".join(of_profile) or "a profile")
            )
    chosen = {name: tag for name, tag in of_profile.items() if not table.only or name in table.only}
    if not chosen and not own:
        raise TagFault((), ValueFault("has no tags", 'profile = "..." or tags = [...]'))
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
        raise TagFault(("profile",), ValueFault(str(error))) from error


def _keys(tag: Tag) -> dict[str, Any]:
    return {key: value for key, value in vars(tag).items() if value is not None}


def _tag(path: Path, keys: dict[str, Any], table: Station, known: Profile | None) -> TagSettings:
    def fault(key: str, reason: str, allowed: str = "") -> TagFault:
        return TagFault((*path, key), ValueFault(reason, allowed))

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

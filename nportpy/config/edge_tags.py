"""From the tables of tags and profiles to their settings: profiles and stations' defaults are worked into each tag.

A station's own keys win over its profile's, a tag's over its station's; a tag of the station that bears the name of one
of the profile's changes only the keys that it has.
"""

from collections.abc import Iterator
from typing import Any, Final

from nportpy.config import edge_reach
from nportpy.config.edge_tables import Profile, Station, Tag
from nportpy.config.edge_values import Deadband, EdgeFault
from nportpy.config.profiles import ProfileError, profile
from nportpy.config.toml import Path
from nportpy.config.values import ValueFault
from nportpy.edge.settings import Limits, ModbusPlace, Place, Protocol, TagSettings
from nportpy.protocols.modbus.addresses import Numbering, parse_range
from nportpy.protocols.modbus.reads import holds_bits, longest_read
from nportpy.protocols.modbus.values import Kind, Order, ValueType

_FLOATS: Final = (Kind.FLOAT32, Kind.FLOAT64)
_TEXTS: Final = (Kind.STRING, Kind.BIT)
_ADDRESSES: Final = {
    Protocol.MODBUS: 'an address as the manual prints it, as in at = "41009"',
    Protocol.DLMS: 'an OBIS code, as in at = "1.0.1.8.0.255"',
    Protocol.IEC62056: 'a code as the meter prints it, as in at = "1.8.0"',
    Protocol.IEC101: 'an object address, as in at = "100"',
}


def tags_of(table: Station, known: Profile | None) -> Iterator[TagSettings]:
    """The tags of a station: those of its profile, and its own.

    Raises:
        EdgeFault: something of them is wrong.
    """
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


def profile_of(table: Station) -> Profile | None:
    """The profile that a station names.

    Raises:
        EdgeFault: there is none of that name, or it is about another protocol.
    """
    if table.profile is None:
        return None
    try:
        found = profile(table.profile)
    except ProfileError as error:
        raise EdgeFault(("profile",), ValueFault(str(error))) from error
    if table.protocol is not None and table.protocol is not found.protocol:
        reason = f'is of a meter that speaks "{found.protocol}"'
        raise EdgeFault(("profile",), ValueFault(reason, "another profile, or no line with protocol"))
    return found


def protocol_of(table: Station, known: Profile | None) -> Protocol:
    """What a station speaks: by its own word, else by its profile's."""
    return table.protocol or (known.protocol if known is not None else Protocol.MODBUS)


def _keys(tag: Tag) -> dict[str, Any]:
    return {key: value for key, value in vars(tag).items() if value is not None and value != []}


def _tag(path: Path, keys: dict[str, Any], table: Station, known: Profile | None) -> TagSettings:
    def fault(key: str, reason: str, allowed: str = "") -> EdgeFault:
        return EdgeFault((*path, key), ValueFault(reason, allowed))

    if "at" not in keys:
        raise fault("at", "is missing", _ADDRESSES[protocol_of(table, known)])
    protocol = protocol_of(table, known)
    place: Place
    if protocol is Protocol.MODBUS:
        place = _modbus_place(fault, keys, table, known)
        _check_kind(fault, keys, place.kind)
    else:
        try:
            place = edge_reach.place(protocol, keys["at"])
        except ValueError as error:
            raise fault("at", str(error)) from error
        _check_history(fault, keys, protocol)
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
        history=keys.get("history"),
    )


def _check_kind(fault: Any, keys: dict[str, Any], kind: ValueType) -> None:
    numeric = not {"scale", "offset", "precision", "limits", "deadband", "bits"}.isdisjoint(keys)
    if kind.kind in _TEXTS and numeric:
        raise fault(
            "type", f"{kind.kind} is no number, and scale, offset, precision, limits, deadband and bits are for those"
        )
    if "bits" in keys and (kind.kind in _FLOATS or keys["bits"][1] >= 16 * kind.width):
        raise fault("bits", f"{kind} has no such bits", f"0 to {16 * kind.width - 1} of a whole number")


def _check_history(fault: Any, keys: dict[str, Any], protocol: Protocol) -> None:
    if keys.get("history"):
        try:
            edge_reach.place(protocol, keys["history"])
        except ValueError as error:
            raise fault("history", str(error)) from error


def _modbus_place(fault: Any, keys: dict[str, Any], table: Station, known: Profile | None) -> ModbusPlace:
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

"""What the keys of the Modbus tables have to do with each other.

Works on the values as tomllib gave them, as clashes.py does. What cannot be read is a fault that is told elsewhere,
and counts for nothing here.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from nportpy.config import modbus_values, values
from nportpy.config.modbus_tables import (
    LAST_UNIT,
    LAST_WRITTEN,
    AtServers,
    AtServersOfMaster,
    ModbusService,
    OnLine,
)
from nportpy.config.modbus_values import units_text
from nportpy.config.positions import Lines
from nportpy.config.toml import Path, key_path, leaves, table, toml_text
from nportpy.config.values import ValueFault, duration_text
from nportpy.errors import Fault
from nportpy.modbus.settings import Timeout
from nportpy.network.addresses import Endpoint

_T = TypeVar("_T")

_LINE = ("port", "*", "modbus")
_MASTER = ("port", "*", "modbus_master")
_ROUTED = ("modbus", "*")


def modbus_clashes(data: dict[str, object], lines: Lines) -> Iterator[Fault]:
    """Every fault that lies between two keys of the Modbus tables."""
    yield from _two_masters(data, lines)
    yield from _lines(data, lines)
    for pattern in (_ROUTED, _MASTER):
        for path, keys in _tables(data, pattern):
            yield from _routes(path, keys, data, lines)
    for pattern in (_LINE, _ROUTED, _MASTER):
        for path, keys in _tables(data, pattern):
            yield from _learned(path, keys, lines)
            yield from _twice(path, keys, "units", lines)
    yield from _servers(data, lines)


def _tables(data: dict[str, object], pattern: tuple[str, ...]) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path, found in leaves(data, (), pattern):
        if isinstance(found, dict):
            yield path, found


def _read(keys: dict[str, Any], key: str, parse: Callable[..., _T], *limits: object) -> _T | None:
    """A key's value, if it is there and can be read."""
    try:
        return parse(keys[key], *limits) if key in keys else None
    except ValueFault:
        return None


def _fault(path: Path, value: object, reason: str, allowed: str, lines: Lines) -> Fault:
    return Fault(key_path(path), reason, "" if value is None else toml_text(value), allowed, lines.of(path))


def _place(path: Path, lines: Lines) -> str:
    return f"{key_path(path)}, line {lines.of(path)}"


# One line.


def _two_masters(data: dict[str, object], lines: Lines) -> Iterator[Fault]:
    for name, port in table(data, "port").items():
        if isinstance(port, dict) and "modbus" in port and "modbus_master" in port:
            reason = (
                f"the line has a master of its own, and the gateway is one by {_place(('port', name, 'modbus'), lines)}"
            )
            yield _fault(("port", name, "modbus_master"), None, reason, "one of the two tables", lines)


def _lines(data: dict[str, object], lines: Lines) -> Iterator[Fault]:
    """Keys of the line are in the first table only, and those of a service beside `listen`."""
    for name, port in table(data, "port").items():
        found = port.get("modbus") if isinstance(port, dict) else None
        tables = found if isinstance(found, list) else [found]
        for number, keys in enumerate(tables):
            if not isinstance(keys, dict):
                continue
            path: Path = ("port", name, "modbus", number) if isinstance(found, list) else ("port", name, "modbus")
            if number:
                yield from _second_table(path, keys, lines)
            elif "listen" not in keys:
                yield from _without_listen(path, keys, lines)


def _second_table(path: Path, keys: dict[str, Any], lines: Lines) -> Iterator[Fault]:
    first = (*path[:-1], 0)
    for key in keys:
        if key in OnLine.model_fields:
            reason = f"is for the line, which {_place(first, lines)}, describes"
            yield _fault((*path, key), keys[key], reason, f"{key} in the first table", lines)
    if "listen" not in keys:
        yield _fault((*path, "listen"), None, "is missing", "a line such as listen = 5020", lines)


def _without_listen(path: Path, keys: dict[str, Any], lines: Lines) -> Iterator[Fault]:
    for key in keys:
        if key in ModbusService.model_fields:
            reason = "is for those who come to this service, but it listens nowhere"
            allowed = f"a listen beside it; for routes that lead here, {key} in [modbus.NAME]"
            yield _fault((*path, key), keys[key], reason, allowed, lines)


# Routes.


@dataclass(frozen=True, slots=True)
class _Route:
    """An item of `routes`, as far as it can be read."""

    path: Path
    keys: dict[str, Any]
    units: frozenset[int]
    offset: int
    to: Endpoint | None


def _routes_of(path: Path, keys: dict[str, Any]) -> Iterator[_Route]:
    for item, route in _tables(keys, ("routes",)):
        units = _read(route, "units", modbus_values.units, 1, LAST_WRITTEN)
        offset = _read(route, "offset", values.integer, -LAST_WRITTEN, LAST_WRITTEN)
        to = _read(route, "to", modbus_values.server)
        yield _Route((*path, *item), route, units or frozenset(), offset or 0, to)


def _routes(path: Path, keys: dict[str, Any], data: dict[str, object], lines: Lines) -> Iterator[Fault]:
    for route in _routes_of(path, keys):
        yield from _where(route, data, lines)
        yield from _unit_there(route, lines)
        if 255 in route.units and _read(keys, "unit255", values.integer, 1, LAST_UNIT) is not None:
            reason = f"has 255, which {_place((*path, 'unit255'), lines)}, makes another unit"
            yield _fault((*route.path, "units"), route.keys["units"], reason, "one of the two", lines)
    yield from _twice(path, keys, "routes", lines)


def _where(route: _Route, data: dict[str, object], lines: Lines) -> Iterator[Fault]:
    """A route leads to a port, which the gateway can ask, or to a server."""
    name = route.keys.get("port")
    if "port" not in route.keys and "to" not in route.keys:
        yield _fault(route.path, route.keys, "leads nowhere", 'port = "NAME" or to = "tcp://host:port"', lines)
    elif "port" in route.keys and "to" in route.keys:
        yield _fault((*route.path, "to"), route.keys["to"], "is a second way beside port", "one of the two", lines)
    if not isinstance(name, str):
        return
    ports = table(data, "port")
    if name not in ports:
        names = ", ".join(map(toml_text, ports)) or f"a table [{key_path(('port', name))}]"
        yield _fault((*route.path, "port"), name, "there is no port of this name", names, lines)
        return
    there = ports[name]
    if isinstance(there, dict) and "modbus_master" in there:
        master = _place(("port", name, "modbus_master"), lines)
        itself = (
            "is the line of this master" if route.path[:2] == ("port", name) else f"has a master of its own, {master}"
        )
        yield _fault((*route.path, "port"), name, f"{itself}: nobody else can ask there", "another port", lines)


def _unit_there(route: _Route, lines: Lines) -> Iterator[Fault]:
    """What a unit is where the route leads."""
    if "offset" in route.keys and "unit" in route.keys:
        path, reason = (*route.path, "unit"), "is one way to another unit id, and offset is another"
        yield _fault(path, route.keys["unit"], reason, "one of the two", lines)
        return
    last = LAST_UNIT if "port" in route.keys else LAST_WRITTEN
    if "unit" in route.keys:
        unit = _read(route.keys, "unit", values.integer, 1, LAST_WRITTEN)
        if unit is not None and unit > last:
            yield _fault((*route.path, "unit"), unit, f"no line has a unit {unit}", f"1 to {last}", lines)
        return
    beyond = [unit for unit in sorted(route.units) if not 1 <= unit + route.offset <= last]
    if beyond and route.offset:
        reason = f"unit {beyond[0]} would be {beyond[0] + route.offset} there"
        yield _fault((*route.path, "offset"), route.offset, reason, f"1 to {last}", lines)
    elif beyond:
        reason = f"no line has a unit {beyond[0]}"
        allowed = f"1 to {last}, or the unit or offset that is meant beside it"
        yield _fault((*route.path, "units"), route.keys["units"], reason, allowed, lines)


def _twice(path: Path, keys: dict[str, Any], key: str, lines: Lines) -> Iterator[Fault]:
    """A unit is in one item of a list."""
    first: dict[int, Path] = {}  # each unit's
    for item, route in _tables(keys, (key,)):
        here = (*path, *item)
        taken: dict[Path, list[int]] = {}
        for unit in _read(route, "units", modbus_values.units, 1, LAST_WRITTEN) or ():
            if (other := first.setdefault(unit, here)) != here:
                taken.setdefault(other, []).append(unit)
        for other, units in taken.items():
            which = f"unit {units[0]} is" if len(units) == 1 else f"units {units_text(units)} are"
            reason = f"{which} in {_place(other, lines)}, already"
            yield _fault((*here, "units"), route["units"], reason, "each unit once", lines)


# How units are asked.


def _learned(path: Path, keys: dict[str, Any], lines: Lines) -> Iterator[Fault]:
    """timeout_min is not above timeout_max."""
    limits = {"timeout_min": duration_text(Timeout().least), "timeout_max": duration_text(Timeout().most)} | keys
    least, most = (_read(limits, key, values.duration, "0s", "1d") for key in ("timeout_min", "timeout_max"))
    if least is None or most is None or least <= most:
        return
    key, other, word = "timeout_min", "timeout_max", "more"
    if key not in keys:
        key, other, word = other, key, "less"
    default = "" if other in keys else ", the default"
    reason = f"is {word} than {key_path((*path, other))}, {toml_text(limits[other])}{default}"
    yield _fault((*path, key), keys[key], reason, "timeout_min up to timeout_max", lines)


def _servers(data: dict[str, object], lines: Lines) -> Iterator[Fault]:
    """Whoever routes to a server shares one connection to it, so all must want it asked in the same way."""
    first: dict[Endpoint, tuple[Path, dict[str, object]]] = {}
    for pattern, model in ((_ROUTED, AtServers), (_MASTER, AtServersOfMaster)):
        for path, keys in _tables(data, pattern):
            settings = _at_servers(keys, model)
            if settings is None:
                continue
            for route in _routes_of(path, keys):
                if route.to is None:
                    continue
                other, wanted = first.setdefault(route.to, (path, settings))
                differ = [key for key in settings if settings[key] != wanted[key]]
                if differ:
                    reason = f"{_place(other, lines)}, asks this server otherwise: {', '.join(differ)}"
                    allowed = "the same in both tables, since they share a connection"
                    yield _fault((*route.path, "to"), route.keys["to"], reason, allowed, lines)


def _at_servers(keys: dict[str, Any], model: type[AtServers]) -> dict[str, object] | None:
    try:
        return vars(model.model_validate({key: keys[key] for key in model.model_fields if key in keys}))
    except ValidationError:
        return None

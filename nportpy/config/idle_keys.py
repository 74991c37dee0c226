"""Keys that are right and do nothing where they stand: what they would be about is elsewhere, or switched off.

They are no faults, as nothing breaks: `nportpy check` warns of them. Works on the values as tomllib gave them, of a
file in which no fault was found.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from nportpy.config.modbus_tables import AtServers, AtServersOfMaster
from nportpy.config.positions import Lines
from nportpy.config.toml import Path, key_path, leaves, table, toml_text
from nportpy.errors import Fault

_CALLS = ("allow", "max_clients", "when_full", "idle_after", "takeover", "half_close")
_CONNECTIONS = ("when_full", "takeover", "alive_check", "inactivity", "half_close", "allowance")
_STREAMS = ("raw", "rfc2217", "tcp_client", "udp", "pair", "reverse_telnet", "modem", "realcom")
_OF_STREAMS = ("flush_on_first_client", "buffer")

_Keys = dict[str, Any]


def idle_keys(data: dict[str, object], lines: Lines) -> list[Fault]:
    """Every key without effect, and where it would have one, in the order of the file."""
    found = [*_ports(data), *_routed(data), *_stations(data), *_everywhere(data)]
    faults = [
        Fault(key_path(path), f"has no effect: {reason}", toml_text(value), allowed, lines.of(path))
        for path, value, reason, allowed in found
    ]
    return sorted(faults, key=lambda fault: fault.line)


_Idle = tuple[Path, object, str, str]


def _tables(data: dict[str, object], *pattern: str) -> Iterator[tuple[Path, _Keys]]:
    for path, found in leaves(data, (), pattern):
        if isinstance(found, dict):
            yield path, found


def _told(path: Path, keys: _Keys, names: Iterable[str], reason: str, allowed: str) -> Iterator[_Idle]:
    for name in names:
        if name in keys:
            yield (*path, name), keys[name], reason, allowed.replace("KEY", name)


# Routes.


def _routed(data: dict[str, object]) -> Iterator[_Idle]:
    """How servers are asked, in tables from which no route leads to a server."""
    tables = [(path, keys, AtServers) for path, keys in _tables(data, "modbus", "*")]
    tables += [(path, keys, AtServersOfMaster) for path, keys in _tables(data, "port", "*", "modbus_master")]
    for path, keys, model in tables:
        routes = [route for route in keys["routes"] if isinstance(route, dict)]
        if any("to" in route for route in routes):
            continue
        ports = dict.fromkeys(str(route["port"]) for route in routes if "port" in route)
        there = " or ".join(f"[{key_path(('port', name, 'modbus'))}]" for name in ports)
        own = [name for name in model.model_fields if model is AtServers or name != "deadline"]
        yield from _told(path, keys, own, "all routes of this table lead to lines", f"KEY in {there}")


# Ports.


def _ports(data: dict[str, object]) -> Iterator[_Idle]:
    asked = {route.get("port") for _, route in _all_routes(data)}
    for name, keys in table(data, "port").items():
        if not isinstance(keys, dict):
            continue
        path: Path = ("port", name)
        if not any(kind in keys for kind in _STREAMS):
            reason = "it is about streams, and no service of this port is one"
            yield from _told(path, keys, _OF_STREAMS, reason, "no such line, or a service such as [port.NAME.raw]")
        elif keys.get("flush_on_first_client") is True and keys.get("buffer", "off") != "off":
            yield (
                (*path, "flush_on_first_client"),
                True,
                "with a buffer nothing is thrown away",
                "one of the two",
            )
        bus = keys.get("modbus")
        if isinstance(bus, dict) and "listen" not in bus and name not in asked:
            allowed = "a listen in it, or a route of [modbus.NAME] that leads to this port"
            yield (*path, "modbus"), bus, "it listens nowhere, and no route leads here", allowed
        for service, settings in leaves(keys, path, ("*",)):
            if isinstance(settings, dict):
                yield from _service(service, settings)


def _all_routes(data: dict[str, object]) -> Iterator[tuple[Path, _Keys]]:
    yield from _tables(data, "modbus", "*", "routes")
    yield from _tables(data, "port", "*", "modbus_master", "routes")


def _service(path: Path, keys: _Keys) -> Iterator[_Idle]:
    """What is about something that the same table switches off."""
    kind = path[2]
    if kind == "modem" and "listen" not in keys:
        yield from _told(
            path, keys, (*_CALLS, "answer_time", "ring_every"), "this modem only dials", "a listen beside it"
        )
    if kind == "udp" and keys.get("reply_to_last") is not True:
        yield from _told(path, keys, ["reply_time"], "reply_to_last is not on", "reply_to_last = true")
    if kind == "pair" and keys.get("modem_lines") is False:
        yield from _told(path, keys, ["dtr_from"], "modem_lines is false", "modem_lines = true")
    if kind in ("raw", "rfc2217", "tcp_client", "udp") and keys.get("direction") == "to_line":
        names = ("packing", "allowance", "when_jammed")
        yield from _told(path, keys, names, 'with direction = "to_line" nobody hears the line', "no such line")
    for packing, settings in leaves(keys, path, ("packing",)):
        if isinstance(settings, dict):
            yield from _packing(packing, settings)


def _packing(path: Path, keys: _Keys) -> Iterator[_Idle]:
    if "delimiters" not in keys:
        yield from _told(path, keys, ["delimiting"], "there are no delimiters", 'delimiters = "0D 0A"')
    if keys.get("mode") not in ("gap", "rtu"):
        yield from _told(path, keys, ["gap", "latency"], 'they are about mode "gap" and "rtu"', 'mode = "gap"')


# Stations.


def _stations(data: dict[str, object]) -> Iterator[_Idle]:
    """Speed and format where the port's are taken; what fills gaps where nothing is to be filled from."""
    for path, keys in _tables(data, "station", "*"):
        if "port" in keys and "profile" not in keys and keys.get("protocol", "modbus") == "modbus":
            allowed = f"KEY in [{key_path(('port', keys['port']))}]"
            yield from _told(
                path, keys, ("baudrate", "format"), "units on a port are asked as the port is set", allowed
            )
        if keys.get("protocol") == "dlms" and "history" not in keys and "profile" not in keys:
            allowed = 'history = "1.0.99.1.0.255" in the station'
            yield from _told(path, keys, ["history_depth"], "gaps are not filled", allowed)
            for tag, settings in leaves(keys, path, ("tags",)):
                if isinstance(settings, dict) and settings.get("history"):
                    yield from _told(tag, settings, ["history"], "gaps are not filled", allowed)


# Keys of several kinds of tables.


def _everywhere(data: dict[str, object]) -> Iterator[_Idle]:
    services = [*_tables(data, "port", "*", "*"), *_tables(data, "modbus", "*")]
    for path, keys in services:
        if "idle_after" in keys and keys.get("when_full") != "kick_idle":
            reason = 'it is about when_full = "kick_idle"'
            yield from _told(path, keys, ["idle_after"], reason, 'when_full = "kick_idle"')
        if keys.get("protocol") == "udp":
            reason = "over UDP there are no connections"
            yield from _told(path, keys, _CONNECTIONS, reason, "no such line")
        yield from _learned(path, keys)
        yield from _unreached(path, keys, "rules", "action")
        yield from _unreached(path, keys, "priorities", "priority")
        if path[0] == "port" and keys.get("framing", "rtu") != "ascii":
            yield from _told(path, keys, ["character_timeout"], "it is about ASCII frames", 'framing = "ascii"')
    for name in ("http", "discovery"):
        keys = table(data, name)
        if keys.get("listen") is False:
            others = [key for key in keys if key != "listen"]
            yield from _told((name,), keys, others, f"{name} is off (listen = false)", "a listen that is an address")
    capture = table(data, "capture")
    if "directory" not in capture:
        reason = "nothing is written to files"
        yield from _told(("capture",), capture, ["record", "files", "size"], reason, "directory")
    if capture.get("keep", "off") == "off":
        yield from _told(("capture",), capture, ["freeze_on"], "the flight recorder is off", 'keep = "256KiB"')


def _learned(path: Path, keys: _Keys) -> Iterator[_Idle]:
    """The limits of a timeout that is learned, where none is."""
    units = [item for item in keys.get("units", ()) if isinstance(item, dict)]
    if keys.get("timeout") == "auto" or any(unit.get("timeout") == "auto" for unit in units):
        return
    limits = ("timeout_min", "timeout_max")
    yield from _told(path, keys, limits, "it is about a timeout that is learned", 'timeout = "auto"')


def _unreached(path: Path, keys: _Keys, name: str, decides: str) -> Iterator[_Idle]:
    """Rules behind one that holds for everything: the first that matches decides."""
    rules = keys.get(name)
    if not isinstance(rules, list):
        return
    for number, rule in enumerate(rules[:-1]):
        if isinstance(rule, dict) and set(rule) == {decides}:
            reason = f"the rule before it holds for everything ({key_path((*path, name, number))})"
            yield (*path, name, number + 1), rules[number + 1], reason, "this one first"
            return

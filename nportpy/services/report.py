"""A gateway's status as JSON, for the HTTP API."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import IntFlag
from typing import Final

from nportpy import __version__
from nportpy.services.faults import faults
from nportpy.services.verdict import verdict
from nportpy.status import DURATIONS, EdgeStatus, GatewayStatus

_AT_ONCE: Final = 16  # units or clients that are written at once: a millisecond or two


def document(status: GatewayStatus, now: float | None = None) -> Iterator[str]:
    """Everything, as JSON text: the fields of GatewayStatus under their names, `version`, `time` and `faults`.

    It comes in portions, a line, service or bus at a time. Times are ISO 8601 in UTC, enums are their text, modem
    lines are a list of those that are asserted. Where the status has counts by keys of several parts, the document
    has a list of objects, and `up_to` is null for the durations above every bound.
    """
    now = time.time() if now is None else now
    yield f'{{"version":{text(__version__)},"time":{text(_time(now))}'
    for each in fields(status):
        value = getattr(status, each.name)
        yield f",{text(each.name)}:"
        if isinstance(value, tuple):
            for number, one in enumerate(value):
                yield "," if number else "["
                yield from _portions(one)
            yield "]" if value else "[]"
        else:
            yield text(member(each.name, value))
    found = [plain(fault) for fault in faults(status, now)]
    yield f',"faults":{text(found)}}}\n'


def _portions(value: object) -> Iterator[str]:
    """A line, service or bus: first what it has one of, then what there may be hundreds of, a few at a time."""
    many = {name: members for name in _names(type(value)) if _is_long(members := getattr(value, name))}
    head = {name: member(name, getattr(value, name)) for name in _names(type(value)) if name not in many}
    yield text(head)[:-1]
    for name, members in many.items():
        for start in range(0, len(members), _AT_ONCE):
            before = f",{text(name)}:[" if not start else ","
            yield before + text([plain(one) for one in members[start : start + _AT_ONCE]])[1:-1]
        yield "]"
    yield "}"


def _is_long(members: object) -> bool:
    return isinstance(members, tuple) and len(members) > _AT_ONCE and is_dataclass(members[0])


_NAMES: Final[dict[type, tuple[str, ...]]] = {}


def _names(kind: type) -> tuple[str, ...]:
    """The fields of a kind of status: looking them up takes longer than saying what is in them."""
    if kind not in _NAMES:
        _NAMES[kind] = tuple(each.name for each in fields(kind))
    return _NAMES[kind]


def verdicts(status: GatewayStatus, name: str | None, now: float) -> list[dict[str, object]] | None:
    """What is to be said of the bus of that name, of all if it is None; None: there is none of that name."""
    buses = [bus for bus in status.buses if name in (None, bus.name)]
    if name is not None and not buses:
        return None
    return [_fields(verdict(status, bus, now)) for bus in buses]


def stations(status: EdgeStatus | None) -> Iterator[str]:
    """The stations, as a JSON list, a station at a time."""
    found = status.stations if status is not None else ()
    for number, station in enumerate(found):
        yield ("," if number else "[") + text(plain(station))
    yield "]\n" if found else "[]\n"


def archive(status: EdgeStatus | None) -> Iterator[str]:
    """The archive and the upstreams, as JSON; null where nothing is archived."""
    if status is None:
        yield "null\n"
        return
    upstreams = [plain(each) for each in status.upstreams]
    yield text({"archive": plain(status.archive), "upstreams": upstreams, "error": status.error}) + "\n"


def text(value: object) -> str:
    """A value as JSON text on one line."""
    return json.dumps(value, separators=(",", ":"))


def readiness(status: GatewayStatus) -> dict[str, object]:
    """Whether every service listens, and why not; and, beside it, which lines are down.

    A lost line does not make the gateway unready: its own clients hear of it in their own protocol, and taking the
    gateway out of service would cut off the users of all other lines.
    """
    silent = [f"{each.port} {each.service} does not listen on {each.listen}: {each.reason}" for each in status.missing]
    told = {(each.port, each.service) for each in status.missing}
    silent += [
        f"{each.port} {each.service} does not listen"
        for each in status.services
        if not each.listen and not each.may_be_silent and (each.port, each.service) not in told
    ]
    return {
        "ready": status.ready,
        "reasons": [] if status.ready else silent or ["starting"],
        "lines_down": [
            {"port": line.name, "state": line.state, "since": _time(line.since), "error": line.error}
            for line in status.lines
            if line.state != "up"
        ],
    }


def member(name: str, value: object) -> object:
    """A member of a status of that name as JSON has it."""
    return _WAYS.get(name, plain)(value)


def plain(value: object) -> object:
    """A value of a status as JSON has it."""
    match value:
        case None | int() | float() | str() if not isinstance(value, IntFlag):
            return value  # a StrEnum is text, too
        case IntFlag():
            return [str(flag.name).lower() for flag in value]
        case tuple():
            return [plain(each) for each in value]
        case Mapping():
            return {str(key): plain(each) for key, each in value.items()}
        case _ if is_dataclass(value):
            return _fields(value)
        case _:
            return value


def _fields(value: object) -> dict[str, object]:
    return {name: member(name, getattr(value, name)) for name in _names(type(value))}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _perhaps(seconds: float | None) -> str | None:
    return None if seconds is None else _time(seconds)


def _requests(counts: Mapping[tuple[str, str, str], int] | int) -> list[object] | int:
    """By unit, function and result; those of a client are a number."""
    if isinstance(counts, int):
        return counts
    return [
        {"unit": unit, "function": function, "result": result, "count": count}
        for (unit, function, result), count in counts.items()
    ]


def _durations(counts: Iterable[int]) -> list[object]:
    return [{"up_to": bound, "count": count} for bound, count in zip((*DURATIONS, None), counts, strict=True)]


def _sparse(counts: Iterable[int]) -> list[object]:
    """Those that are not zero: there may be hundreds of units."""
    return [{"up_to": bound, "count": count} for bound, count in zip((*DURATIONS, None), counts, strict=True) if count]


def _actions(counts: Mapping[tuple[str, str], int]) -> list[object]:
    return [{"action": action, "result": result, "count": count} for (action, result), count in counts.items()]


def _rules(counts: Mapping[tuple[int, str], int]) -> list[object]:
    return [{"rule": rule, "role": role, "count": count} for (rule, role), count in counts.items()]


_WAYS: Final[dict[str, Callable[..., object]]] = {
    "started": _time,
    "at": _perhaps,
    "oldest_at": _perhaps,
    "since": _perhaps,
    "silent_since": _perhaps,
    "left": _perhaps,
    "until": _perhaps,
    "requests": _requests,
    "actions": _actions,
    "refused_by": _rules,
    "durations": _durations,
    "answer_times": _sparse,
    "lags": _sparse,
}
"""How the members of these names are said."""

TIMES: Final = frozenset(name for name, way in _WAYS.items() if way in (_time, _perhaps))
"""Members that are said as text, ISO 8601 in UTC."""

LISTS: Final = frozenset(_WAYS) - TIMES
"""Members that are said as a list of objects."""

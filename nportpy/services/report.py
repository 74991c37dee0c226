"""A gateway's status as JSON, for the HTTP API."""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import IntFlag

from nportpy import __version__
from nportpy.services.faults import faults
from nportpy.services.verdict import verdict
from nportpy.status import DURATIONS, EdgeStatus, GatewayStatus


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
                yield ("," if number else "[") + text(plain(one))
            yield "]" if value else "[]"
        else:
            yield text(member(each.name, value))
    found = [plain(fault) for fault in faults(status, now)]
    yield f',"faults":{text(found)}}}\n'


def verdicts(status: GatewayStatus, name: str | None, now: float) -> list[object] | None:
    """What is to be said of the bus of that name, of all if it is None; None: there is none of that name."""
    buses = [bus for bus in status.buses if name in (None, bus.name)]
    if name is not None and not buses:
        return None
    return [plain(verdict(status, bus, now)) for bus in buses]


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
        case IntFlag():
            return [str(flag.name).lower() for flag in value]
        case tuple():
            return [plain(each) for each in value]
        case Mapping():
            return {str(key): plain(each) for key, each in value.items()}
        case _ if is_dataclass(value):
            return {each.name: member(each.name, getattr(value, each.name)) for each in fields(value)}
        case _:
            return value  # numbers, None and text, which a StrEnum is too


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


_WAYS: dict[str, Callable[..., object]] = {
    "started": _time,
    "at": _perhaps,
    "oldest_at": _perhaps,
    "since": _perhaps,
    "silent_since": _perhaps,
    "left": _perhaps,
    "requests": _requests,
    "actions": _actions,
    "durations": _durations,
    "answer_times": _sparse,
    "lags": _sparse,
}
"""How the members of these names are said."""

"""A gateway's status as JSON, for the HTTP API."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import IntFlag

from nportpy import __version__
from nportpy.status import DURATIONS, EdgeStatus, GatewayStatus


def document(status: GatewayStatus) -> Iterator[str]:
    """Everything, as JSON text: the fields of GatewayStatus under their names, and `version`.

    It comes in portions, a line, service or bus at a time. Times are ISO 8601 in UTC, enums are their text, modem
    lines are a list of those that are asserted. Where the status has counts by keys of several parts, the document
    has a list of objects, and `up_to` is null for the durations above every bound.
    """
    yield f'{{"version":{text(__version__)}'
    for each in fields(status):
        value = getattr(status, each.name)
        yield f",{text(each.name)}:"
        if isinstance(value, tuple):
            for number, one in enumerate(value):
                yield ("," if number else "[") + text(plain(one))
            yield "]" if value else "[]"
        else:
            yield text(member(each.name, value))
    yield "}\n"


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


def _requests(counts: Mapping[tuple[str, str, str], int]) -> list[object]:
    return [
        {"unit": unit, "function": function, "result": result, "count": count}
        for (unit, function, result), count in counts.items()
    ]


def _durations(counts: Iterable[int]) -> list[object]:
    return [{"up_to": bound, "count": count} for bound, count in zip((*DURATIONS, None), counts, strict=True)]


def _actions(counts: Mapping[tuple[str, str], int]) -> list[object]:
    return [{"action": action, "result": result, "count": count} for (action, result), count in counts.items()]


_WAYS: dict[str, Callable[..., object]] = {
    "started": _time,
    "at": lambda seconds: None if seconds is None else _time(seconds),
    "oldest_at": lambda seconds: None if seconds is None else _time(seconds),
    "since": _time,
    "requests": _requests,
    "actions": _actions,
    "durations": _durations,
}
"""How the members of these names are said."""

"""A gateway's status as JSON values, for the HTTP API."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import IntFlag

from nportpy import __version__
from nportpy.status import GatewayStatus

_TIMES = frozenset({"started", "since"})


def document(status: GatewayStatus) -> dict[str, object]:
    """Everything: the fields of GatewayStatus under their names, and `version`.

    Times are ISO 8601 in UTC, enums are their text, modem lines are a list of those that are asserted.
    """
    return {"version": __version__, **_members(status)}


def readiness(status: GatewayStatus) -> dict[str, object]:
    """Whether every service listens, and why not; and, beside it, which lines are down.

    A lost line does not make the gateway unready: its own clients hear of it in their own protocol, and taking the
    gateway out of service would cut off the users of all other lines.
    """
    silent = [f"{each.port} {each.service} does not listen" for each in status.services if not each.listen]
    return {
        "ready": status.ready,
        "reasons": [] if status.ready else silent or ["starting"],
        "lines_down": [
            {"port": line.name, "state": line.state, "since": _time(line.since), "error": line.error}
            for line in status.lines
            if line.state != "up"
        ],
    }


def _members(value: object) -> dict[str, object]:
    assert is_dataclass(value)
    found = ((each.name, getattr(value, each.name)) for each in fields(value))
    return {name: _time(member) if name in _TIMES else _plain(member) for name, member in found}


def _plain(value: object) -> object:
    match value:
        case IntFlag():
            return [str(flag.name).lower() for flag in value]
        case tuple():
            return [_plain(each) for each in value]
        case Mapping():
            return {str(key): _plain(each) for key, each in value.items()}
        case _ if is_dataclass(value):
            return _members(value)
        case _:
            return value  # numbers, None and text, which a StrEnum is too


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

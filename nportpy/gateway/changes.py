"""What a reload changes in place: limits and lists, for those who are connected, too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

from nportpy.gateway.plans import Kind, PortPlan, Service
from nportpy.modbus.settings import BusSettings
from nportpy.services.http_base import HttpSettings

_LIMITS: Final = frozenset(
    {
        "allow",
        "max_clients",
        "when_full",
        "idle_after",
        "takeover",
        "alive_check",
        "inactivity",
        "half_close",
        "when_down",
        "allowance",
        "when_busy",
    }
)
_CALLS: Final = frozenset({"connect_timeout", "retry_at_most", "alive_check"})
_MODBUS: Final = _LIMITS | {"outstanding", "routing"}

IN_PLACE: Final[Mapping[Kind, frozenset[str]]] = {
    Kind.RAW: _LIMITS,
    Kind.RFC2217: _LIMITS,
    Kind.REVERSE_TELNET: _LIMITS,
    Kind.MODBUS: _MODBUS,
    Kind.ROUTER: _MODBUS,
    Kind.MASTER: frozenset({"routing", "exceptions", "deadline"}),
    Kind.REALCOM: _LIMITS | {"allow_driver_control", "grace", "poll"},
    Kind.MODEM: _LIMITS | {"default_port", "numbers"},
    Kind.UDP: frozenset({"allow", "reply_to_last", "reply_time", "max_datagram"}),
    Kind.TCP_CLIENT: _CALLS | {"inactivity", "half_close", "when_down", "allowance", "when_busy"},
    Kind.PAIR: _CALLS,
}
"""The settings of each kind of service that it can go over to without starting anew.

The others say what the service is: where it listens, whom it calls, what bytes become on their way.
"""


def changed(running: Any, wanted: Any) -> list[str]:
    """The settings in which two of a kind differ."""
    names = [field.name for field in fields(running) if field.compare]
    return [name for name in names if getattr(running, name) != getattr(wanted, name)]


def in_place(kind: Kind, running: Any, wanted: Any) -> bool:
    """Whether a service can go over from one to the other without losing anybody."""
    return IN_PLACE[kind].issuperset(changed(running, wanted))


@dataclass(slots=True)
class Matched:
    """What becomes of the services of a port or router; those that run by their places in the list.

    Attributes:
        kept: those that nothing changes for.
        in_place: those that go over to other settings, with these.
        gone: those that end.
        left: what is to be started then.
    """

    kept: list[int] = field(default_factory=list)
    in_place: list[tuple[int, Any]] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    left: list[Service] = field(default_factory=list)


def matched(running: Sequence[Service], wanted: Sequence[Service]) -> Matched:
    """Which of the services that run go on, and as what: as many as can."""
    found = Matched(left=list(wanted))
    others = []
    for place, service in enumerate(running):
        if service in found.left:
            found.left.remove(service)
            found.kept.append(place)
        else:
            others.append((place, *service))
    for place, kind, settings in others:
        like = next((each for each in found.left if each[0] is kind and in_place(kind, settings, each[1])), None)
        if like is None:
            found.gone.append(place)
        else:
            found.left.remove(like)
            found.in_place.append((place, like[1]))
    return found


def started_anew(gone: Service, left: Sequence[Service]) -> list[str] | None:
    """The settings for which a service that ends is started anew; None: it is not wanted any more."""
    others = [changed(gone[1], settings) for kind, settings in left if kind is gone[0]]
    return min(others, key=len) if others else None


def line_changes(running: PortPlan, wanted: PortPlan) -> list[str]:
    """The settings for which a line is opened anew."""
    found = changed(running.port, wanted.port) + changed(running.stream, wanted.stream)
    return found + changed(running.bus or BusSettings(), wanted.bus or BusSettings())


def http_stays(running: HttpSettings | None, wanted: HttpSettings | None) -> bool:
    """Whether the HTTP service goes on, with another list perhaps."""
    if running is None or wanted is None:
        return running is wanted
    return replace(running, allow=wanted.allow) == wanted

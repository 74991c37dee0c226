"""What a reload changes in place: limits and lists, for those who are connected, too."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from nportpy.gateway.plans import Kind

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

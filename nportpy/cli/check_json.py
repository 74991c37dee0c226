"""`nportpy check --json`: what was found, and what the file means, for programs."""

from collections.abc import Iterable
from dataclasses import Field, fields, is_dataclass
from enum import Enum
from typing import Any

from nportpy.errors import ConfigError
from nportpy.gateway.plans import GatewaySettings
from nportpy.network.addresses import Endpoint


def faults_object(error: ConfigError) -> dict[str, object]:
    """Every fault with all that is known of it; what is not known is null."""
    return {
        "file": error.source,
        "ok": False,
        "faults": [
            {
                "line": fault.line or None,
                "column": fault.column or None,
                "key": fault.key or None,
                "value": fault.value or None,
                "reason": fault.reason,
                "allowed": fault.allowed or None,
                "excerpt": fault.excerpt or None,
            }
            for fault in error.faults
        ],
        "warnings": [],
        "picture": [],
        "settings": None,
    }


def settings_object(
    path: str, settings: GatewaySettings, warnings: list[str], picture: Iterable[tuple[str, str]]
) -> dict[str, object]:
    """The settings as the gateway has them: times in seconds, sizes in bytes, addresses and networks as text.

    The picture is what `check` prints of them for people: labels, indented by what they belong to, and texts.
    """
    found = {"file": path, "ok": True, "faults": [], "warnings": warnings, "picture": [list(row) for row in picture]}
    return found | {"settings": _plain(settings)}


def _member(value: Any, field: Field[Any]) -> object:
    """Passwords and keys are not shown, only whether there is one."""
    member = getattr(value, field.name)
    return _plain(member) if field.repr or not member else "not shown"


def _plain(value: Any) -> object:
    match value:
        case Enum():
            return value.value
        case None | bool() | int() | float() | str():
            return value
        case bytes():
            return value.hex(" ")
        case Endpoint():
            return str(value)
        case _ if is_dataclass(value):
            return {field.name: _member(value, field) for field in fields(value)}
        case frozenset():
            return sorted(value)
        case tuple() if hasattr(value, "_asdict"):
            return {name: _plain(part) for name, part in value._asdict().items()}
        case tuple():
            return [_plain(part) for part in value]
        case _:
            return str(value)  # an address or a network

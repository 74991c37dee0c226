"""From what pydantic found to faults in our own words."""

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from nportpy.config import values
from nportpy.config.positions import Lines
from nportpy.config.schema import table_at, tables_with
from nportpy.config.tables import OWN_LINE
from nportpy.config.toml import Path, key_path, toml_text
from nportpy.config.values import ValueFault
from nportpy.config.vocabulary import MODES, meant
from nportpy.errors import Fault

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_EXAMPLES = {
    "device": 'a line such as device = "/dev/ttyAMA0"',
    "listen": "a line such as listen = 4001",
    "to": 'a line such as to = "192.0.2.10:4001"',
    "host": 'a host with its port, as in host = "192.0.2.10:4001"',
    "routes": 'a line such as routes = [{ units = "1-31", port = "meters" }]',
    "units": 'unit ids, as in units = "1-31"',
    "action": 'an action, as in action = "read-only"',
    "priority": 'a priority, as in priority = "high"',
    "every": 'an interval, as in every = "10s"',
    "name": 'a name, as in name = "power"',
    "url": 'where to, as in url = "mqtt://broker.example:1883"',
    "subject": 'whose certificate it is, as in subject = "CN=anna"',
    "role": 'a role, as in role = "operator"',
    "gap": "how far apart reads may be, as in { gap = 16 }",
}
_PASSWORD = re.compile(r"([/,][^\s/:@,'\"]*:)[^\s/@'\"]+@")
_PASSWORD_FIELD = re.compile(r"(password=)[^&\s'\"]+", re.IGNORECASE)
# Why some services have the line as the port has it.
_ONE_SPEED = {
    "modbus": "all requests on a line are sent at the port's settings",
    "modbus_master": "the master on the line is there at all times",
    "udp": "datagrams have no clients that come and go",
    "pair": "the far end of a pair is there at all times",
    "modem": "the terminal of a modem is there at all times",
    "realcom": "its drivers set the line themselves, each time they open it",
}
_MOST_TABLES = 4  # named in a message


@dataclass(frozen=True, slots=True)
class Known:
    """The tables of a kind of file.

    Attributes:
        table_at: the table that a key path leads to: what to call it, and its model.
        tables_with: what to call the tables that know a key.
        examples: a line to write where a key is missing.
        meant: the words of other programs for what stands at a path; None where they are unknown.
    """

    table_at: Callable[[Path], tuple[str, type[BaseModel]]]
    tables_with: Callable[[str], list[str]]
    examples: Mapping[str, str]
    meant: Callable[[Path, object, dict[str, object], dict[str, object]], str | None]


GATEWAY = Known(table_at, tables_with, _EXAMPLES, meant)
"""Those of the gateway's file."""


def faults_of(error: ValidationError, data: dict[str, object], lines: Lines, known: Known = GATEWAY) -> list[Fault]:
    """Everything that pydantic found in `data`."""
    return [_fault(detail, data, lines, known) for detail in error.errors(include_url=False)]


def _fault(detail: "ErrorDetails", data: dict[str, object], lines: Lines, known: Known) -> Fault:
    found = detail["type"]
    path, value = _trace(detail["loc"], data, missing=found == "missing")
    key, line = key_path(path), lines.of(path)
    if found == "missing":
        return Fault(key, "is missing", "", known.examples[str(path[-1])], line)
    if found == "extra_forbidden":
        reason, allowed = _unknown(path, value, data, known)
        return Fault(key, reason, toml_text(value), allowed, line)
    error = detail.get("ctx", {}).get("error")
    if isinstance(error, ValueFault):
        name_at_fault = detail["loc"][-1] == "[key]" and len(path) < len(detail["loc"])
        return Fault(key, error.reason, "" if name_at_fault else _without_passwords(value), error.allowed, line)
    # What is left of pydantic's own findings: something else stands where a table should.
    wanted = f"tables [{path[0]}.NAME]" if path in (("port",), ("modbus",)) else known.table_at(path)[0]
    return Fault(key, f"must be a table, not {values.kind(value)}", toml_text(value), wanted, line)


def _without_passwords(value: object) -> str:
    """A value as it was written, but for a password in a URL: messages go to logs."""
    return _PASSWORD_FIELD.sub(r"\1***", _PASSWORD.sub(r"\1***@", toml_text(value)))


def _trace(loc: tuple[int | str, ...], data: Any, *, missing: bool) -> tuple[Path, object]:
    """The key path that a location in pydantic's view is in the file, and the value there.

    They differ where one item stands for a list of one, and where a key is at fault ("[key]" follows it).
    """
    path: Path = ()
    here = data
    for step in loc[:-1] if missing else loc:
        if step in here if isinstance(here, dict) else isinstance(here, list) and isinstance(step, int):
            here = here[step]
            path = (*path, step)
    return ((*path, loc[-1]), None) if missing else (path, here)


def _unknown(path: Path, value: object, data: dict[str, object], tables: Known) -> tuple[str, str]:
    """Reason and remedy for a key that nothing knows, or not in this place."""
    key = str(path[-1])
    name, model = tables.table_at(path[:-1])
    kind = next((str(step) for step in path[2:-1] if isinstance(step, str)), "")
    if path[0] == "port" and key in (*OWN_LINE, "when_busy") and kind in _ONE_SPEED:
        return f"does not belong into {name}: {_ONE_SPEED[kind]}", f"{', '.join(OWN_LINE)} in [port.NAME]"
    known = list(model.model_fields)
    if (small := key.lower().replace("-", "_")) in known:
        return f"is not a key of {name}: did you mean {small}?", ""
    there = _beside(path, data)
    if there:
        return f"does not belong into {name}", f"{key} in {' or '.join(there)}"
    ours = tables.meant(path, value, _table_of(path, data), data)
    if ours is not None:
        return f"is not a key of {name}", ours
    elsewhere = tables.tables_with(key)
    if elsewhere:
        others = " and others" if len(elsewhere) > _MOST_TABLES else ""
        return f"does not belong into {name}", f"{key} in {', '.join(elsewhere[:_MOST_TABLES])}{others}"
    near = difflib.get_close_matches(key.lower().replace("-", "_"), known, n=1)
    if near:
        return f"is not a key of {name}: did you mean {near[0]}?", ""
    return f"is not a key of {name}", ", ".join(known)


def _beside(path: Path, data: dict[str, object]) -> list[str]:
    """The tables of the same port that know a key."""
    if len(path) != 3 or path[0] != "port":
        return []
    services = _table_of(path, data)
    names = [
        name for name in services if name in MODES and str(path[-1]) in table_at((*path[:2], name))[1].model_fields
    ]
    return [f"[{key_path((*path[:2], name))}]" for name in names]


def _table_of(path: Path, data: Any) -> dict[str, object]:
    for step in path[:-1]:
        data = data[step]
    return data if isinstance(data, dict) else {}

"""The API as an OpenAPI 3.1 document, made of the routes and of the status as it is in the code.

https://spec.openapis.org/oas/v3.1.0
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum, IntFlag
from types import UnionType
from typing import Any, Final, Union, get_args, get_origin, get_type_hints

from nportpy import __version__
from nportpy.accounts.roles import Right
from nportpy.console.routes import Field, Route
from nportpy.services.answers import JSON, PROBLEM
from nportpy.services.archived import Curve, ShownSample
from nportpy.services.faults import Fault
from nportpy.services.report import LISTS, TIMES
from nportpy.services.verdict import Verdict
from nportpy.status import EdgeStatus, GatewayStatus, StationStatus

_TIME: Final = {"type": "string", "format": "date-time"}
_SIMPLE: Final = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
_TEXT: Final = {"type": "string"}
_NUMBER: Final = {"type": "number"}
_HERE: Final = "without accounts, from this machine only."
_RIGHTS: Final = {
    right: "" if right is Right.OPEN else f" Takes the right {right}{f'; {_HERE}' if right is not Right.LOOK else '.'}"
    for right in Right
}

_LIVE: Final = Field("live", "string", "1: what comes", choices=("0", "1"))
_FOR: Final = Field("for", "string", "time after which it ends, as in 60s")
_HISTORY: Final = Field("history", "string", "1: begin with what is kept", choices=("0", "1"))
_FROZEN: Final = Field("frozen", "integer", "number of a moment, as /api/v1/captures has it")

_SESSION: Final = "/api/v1/session"

SITE: Final = (
    Route("GET", _SESSION, "who asks, and what he may", right=Right.OPEN, example=f"{{url}}{_SESSION}"),
    Route(
        "POST",
        _SESSION,
        "log in: a session, in a cookie",
        right=Right.OPEN,
        body=(
            Field("name", "string", "of an account", required=True),
            Field("password", "string", "its password", required=True),
        ),
    ),
    Route("DELETE", _SESSION, "log out", right=Right.OPEN),
    Route("GET", "/api/v1/status", "everything as it is now", schema="Status", example="{url}/api/v1/status"),
    Route(
        "GET",
        "/api/v1/verdict",
        "what was wrong with buses in the last minutes, in words: who hogs one, which units are bad and how, and "
        "whether the gateway is innocent",
        query=(Field("bus", "string", "its name in the status; all of them"),),
        schema="Verdicts",
        example="'{url}/api/v1/verdict?bus=meter'",
    ),
    Route(
        "GET",
        "/api/v1/stations",
        "stations and their newest values",
        schema="Stations",
        example="{url}/api/v1/stations",
    ),
    Route("GET", "/api/v1/archive", "the archive, and where it is sent", schema="Edge", example="{url}/api/v1/archive"),
    Route(
        "GET",
        "/api/v1/archive/samples",
        "what is kept, a sample a line",
        query=(
            Field("tag", "string", "station/tag or station; all"),
            Field("from", "string", "ISO 8601 with an offset, or seconds since the epoch"),
            Field("to", "string", "the same"),
            Field("format", "string", "csv", choices=("csv", "ndjson")),
        ),
        gives=("text/csv", "application/x-ndjson"),
        schema="Sample",
        example="'{url}/api/v1/archive/samples?tag=emon/power&format=ndjson'",
    ),
    Route(
        "GET",
        "/api/v1/captures",
        "which lines are watched by whom, and the moments that were frozen",
        right=Right.MONITOR,
        example="{url}/api/v1/captures",
    ),
    Route(
        "GET",
        "/api/v1/ports/{name}/monitor",
        "what is on a line, a row a frame or event, as it comes",
        right=Right.MONITOR,
        query=(
            *(_LIVE, _FOR, _HISTORY, _FROZEN),
            Field("filter", "string", "which rows, as in unit:5 fault:any"),
            Field("count", "string", "a filter: what it matches is marked, and numbered as `count`"),
            Field("trigger", "string", "a filter: rows from so many before its first match on"),
            Field("before", "integer", "rows before it; 0"),
            Field("after", "integer", "rows after it; 0"),
        ),
        gives=("application/x-ndjson", "text/event-stream"),
        example="-N '{url}/api/v1/ports/meter/monitor?for=2s&filter=kind:answer'",
    ),
    Route(
        "GET",
        "/api/v1/ports/{name}/capture.pcapng",
        "the same for Wireshark",
        right=Right.MONITOR,
        query=(_LIVE, _FOR, _HISTORY, _FROZEN, Field("size", "string", "bytes after which it ends, as in 10MiB")),
        gives=("application/x-pcapng",),
        example="-OJ '{url}/api/v1/ports/meter/capture.pcapng?for=2s'",
    ),
)
"""What the site answers itself, with or without a console."""


def describe(routes: Iterable[Route]) -> dict[str, Any]:
    """The document."""
    schemas: dict[str, Any] = {"Problem": _problem()}
    named: dict[str, Callable[[], dict[str, Any]]] = {
        "Status": lambda: _of_class(GatewayStatus, schemas),
        "Verdicts": lambda: {"type": "array", "items": _schema(Verdict, schemas)},
        "Stations": lambda: {"type": "array", "items": _schema(StationStatus, schemas)},
        "Edge": lambda: _schema(EdgeStatus, schemas),
        "Sample": lambda: _of_class(ShownSample, schemas),
        "Chart": lambda: _object(
            {"from": _NUMBER, "to": _NUMBER, "seconds": _NUMBER}
            | {"curves": {"type": "array", "items": _schema(Curve, schemas)}}
        ),
        "Check": lambda: _object(
            {"file": {"type": ["string", "null"]}, "at": _TIME, "ok": {"type": "boolean"}}
            | {"faults": {"type": "array", "items": {"$ref": "#/components/schemas/ConfigurationFault"}}}
            | {"warnings": {"type": "array", "items": _TEXT}}
            | {"picture": {"type": "array", "items": {"type": "array", "items": _TEXT}}}
        ),
        "ConfigurationFault": lambda: _object(
            {"line": {"type": ["integer", "null"]}, "reason": _TEXT}
            | {name: {"type": ["string", "null"]} for name in ("key", "value", "allowed")}
        ),
        "Log": lambda: _object(
            {"newest": {"type": "integer"}, "records": {"type": "array", "items": {"type": "object"}}}
        ),
    }
    for name, make in named.items():
        schemas[name] = make()
    paths: dict[str, Any] = {}
    for route in (*SITE, *routes):
        if route.path.startswith("/api/"):
            paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "nportpy", "version": __version__},
        "servers": [{"url": "../.."}],
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _operation(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = {
        "summary": route.summary,
        "description": f"{route.summary[:1].upper()}{route.summary[1:]}.{_RIGHTS[route.right]}",
        "operationId": re.sub(r"\W+", "_", f"{route.method.lower()}{route.path.removeprefix('/api/v1')}").strip("_"),
        "responses": {
            "200": {
                "description": "it is so",
                "content": {kind: {"schema": _answer(route, kind)} for kind in route.gives},
            },
            "default": {
                "description": "it cannot be done, and why",
                "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            },
        },
    }
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)\}", route.path)
    ]
    in_query = [
        {"name": each.name, "in": "query", "required": each.required, "description": each.summary}
        | {"schema": {"type": "array", "items": _field(each)} if each.many else _field(each)}
        for each in route.query
    ]
    if in_path or in_query:
        found["parameters"] = in_path + in_query
    if route.body:
        members = {each.name: _field(each) | {"description": each.summary} for each in route.body}
        schema = {"type": "object", "properties": members, "additionalProperties": False}
        schema["required"] = [each.name for each in route.body if each.required]
        found["requestBody"] = {"required": True, "content": {JSON: {"schema": schema}}}
    return found


def _answer(route: Route, kind: str) -> dict[str, Any]:
    if kind == JSON:
        return {"$ref": f"#/components/schemas/{route.schema}"} if route.schema else {"type": "object"}
    return {"type": "string"}


def _field(field: Field) -> dict[str, Any]:
    found: dict[str, Any] = {"type": field.kind}
    if field.kind == "array":
        found["items"] = {"type": "object"}
    if field.kind in ("integer", "number"):
        found |= {"minimum": field.low, "maximum": field.high}
    elif field.kind == "string" and field.choices:
        found["enum"] = list(field.choices)
    return found


def _problem() -> dict[str, Any]:
    """RFC 9457."""
    members = {"title": {"type": "string"}, "status": {"type": "integer"}, "detail": {"type": "string"}}
    return {"type": "object", "properties": members, "required": list(members)}


def _object(members: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": members, "required": list(members)}


def _of_class(kind: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    """A dataclass as report.py says it."""
    hints = get_type_hints(kind)
    members: dict[str, Any] = {}
    if kind is GatewayStatus:
        members = {"version": {"type": "string"}, "time": _TIME}
        members["faults"] = {"type": "array", "items": _schema(Fault, schemas)}
    for each in fields(kind):
        if each.name in LISTS and hints[each.name] is not int:  # those of a client are a number
            members[each.name] = {"type": "array", "items": {"type": "object"}}
        elif each.name in TIMES:
            members[each.name] = _TIME | {"type": ["string", "null"]}
        else:
            members[each.name] = _schema(hints[each.name], schemas)
    return _object(members)


def _schema(kind: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return {"anyOf": [_schema(each, schemas) for each in arguments]}
    if origin in (tuple, list):
        return {"type": "array", "items": _schema(arguments[0], schemas)}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _schema(arguments[1], schemas)}
    if isinstance(kind, type) and is_dataclass(kind):
        name = kind.__name__
        if name not in schemas:
            schemas[name] = {}  # it may be in itself
            schemas[name] = _of_class(kind, schemas)
        return {"$ref": f"#/components/schemas/{name}"}
    if isinstance(kind, type) and issubclass(kind, IntFlag):
        return {"type": "array", "items": {"type": "string"}}
    if isinstance(kind, type) and issubclass(kind, Enum):
        return {"enum": [each.value for each in kind]}
    return {"type": _SIMPLE[kind]} if kind in _SIMPLE else {}

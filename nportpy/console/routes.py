"""Which paths there are, who may ask them, and what they take: one table, which answers and describes them."""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import unquote

from aiohttp import web

from nportpy.accounts.roles import Right
from nportpy.errors import ArchiveError, LineError, NportpyError
from nportpy.services.answers import JSON, problem
from nportpy.services.bodies import BadBody, json_object
from nportpy.services.pages import Found
from nportpy.services.who import Who

MOST: Final = 64 * 1024
"""Bytes of a request's body."""

Handler = Callable[["Asked"], Awaitable[web.StreamResponse]]


class Wrong(Exception):
    """A request that cannot be done, and what is told of it. Stays in the console."""

    def __init__(self, status: HTTPStatus, detail: str, **more: object) -> None:
        """As `answers.problem`."""
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.more = more


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter of a query, or a member of a body.

    Attributes:
        name: its name.
        kind: string, integer, number, boolean or array, as JSON schema has them.
        summary: what it means.
        required: it must be there.
        low: the least value of a number, or length of a text.
        high: the greatest one.
        choices: what it may be.
        many: may come several times.
    """

    name: str
    kind: str
    summary: str
    required: bool = False
    low: int = 0
    high: int = 1 << 53
    choices: tuple[str, ...] = ()
    many: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """A path.

    Attributes:
        method: GET, POST or PUT.
        path: with `{name}` for what varies.
        summary: what it is for.
        handler: answers it; None: the site does (site.py), and it is only described here.
        right: what it needs.
        query: what its query may have.
        body: what its body may have: a JSON object.
        most: bytes of its body.
        gives: content types of its answer.
        example: arguments of curl behind the gateway's address, as documented and tried.
        schema: the name of its answer's schema.
    """

    method: str
    path: str
    summary: str
    handler: Handler | None = None
    right: Right = Right.LOOK
    query: tuple[Field, ...] = ()
    body: tuple[Field, ...] = ()
    most: int = MOST
    gives: tuple[str, ...] = (JSON,)
    example: str = ""
    schema: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that fits its route.

    Attributes:
        request: itself.
        route: the route.
        who: who asks; he may.
        values: what varies in the path, the query and the body, by name; what is not there is not in it.
    """

    request: web.BaseRequest
    route: Route
    who: Who
    values: Mapping[str, Any] = field(default_factory=dict)

    def get(self, name: str, default: Any = None) -> Any:
        """A value."""
        return self.values.get(name, default)


class Routes:
    """All of them."""

    def __init__(self, routes: Iterable[Route], refused: Callable[[Route], None] = lambda _: None) -> None:
        """`refused` hears of what somebody may not do."""
        self.all = tuple(routes)
        self._refused = refused
        self._patterns = [(re.compile(_pattern(each.path)), each) for each in self.all if each.handler is not None]

    def find(self, request: web.BaseRequest) -> Found | None:
        """The route; None: there is no such path."""
        path = request.raw_path.partition("?")[0]
        fitting = [(route, match) for pattern, route in self._patterns if (match := pattern.fullmatch(path))]
        if not fitting:
            return None
        method = "GET" if request.method == "HEAD" else request.method
        route, match = next(((r, m) for r, m in fitting if r.method == method), (None, None))
        if route is None or match is None:
            allowed = ", ".join(sorted({each.method for each, _ in fitting}))
            return Found(Right.OPEN, lambda _who: _not_allowed(request, allowed))
        return Found(
            route.right,
            lambda who: self._answer(request, route, match, who),
            page=route.right is not Right.OPEN,
            refused=lambda: self._refused(route),
        )

    async def _answer(
        self, request: web.BaseRequest, route: Route, match: re.Match[str], who: Who
    ) -> web.StreamResponse:
        try:
            values = _path_values(match) | _query_values(request, route)
            if route.body:
                values |= await _body_values(request, route)
            assert route.handler is not None  # only those with one have a pattern
            return await route.handler(Asked(request, route, who, values))
        except Wrong as wrong:
            return problem(wrong.status, wrong.detail, **wrong.more)
        except (ArchiveError, LineError) as error:
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        except NportpyError as error:
            return problem(HTTPStatus.BAD_REQUEST, str(error))


async def _not_allowed(request: web.BaseRequest, allowed: str) -> web.StreamResponse:
    response = problem(HTTPStatus.METHOD_NOT_ALLOWED, f"{request.method} is not for {request.path[:80]}")
    response.headers["Allow"] = allowed
    return response


def _pattern(path: str) -> str:
    parts = re.split(r"\{(\w+)\}", path)
    return "".join(f"(?P<{part}>[^/]+)" if number % 2 else re.escape(part) for number, part in enumerate(parts))


def _path_values(match: re.Match[str]) -> dict[str, Any]:
    return {name: unquote(text) for name, text in match.groupdict().items()}


def _query_values(request: web.BaseRequest, route: Route) -> dict[str, Any]:
    known = {each.name: each for each in route.query}
    found: dict[str, Any] = {}
    for name, text in request.query.items():
        if name not in known:
            names = ", ".join(known) or "nothing"
            raise Wrong(HTTPStatus.BAD_REQUEST, f"{name[:40]!r} is not known here; a query may have {names}")
        value = _from_text(known[name], text)
        if known[name].many:
            found.setdefault(name, []).append(value)
        else:
            found[name] = value
    return _complete(found, route.query)


async def _body_values(request: web.BaseRequest, route: Route) -> dict[str, Any]:
    try:
        body = await json_object(request, route.most)
    except BadBody as bad:
        raise Wrong(bad.status, bad.detail) from bad
    known = {each.name: each for each in route.body}
    for name in body:
        if name not in known:
            names = ", ".join(known) or "nothing"
            raise Wrong(HTTPStatus.BAD_REQUEST, f"{name[:40]!r} is not known here; a body may have {names}")
    return _complete({name: _checked(known[name], value) for name, value in body.items()}, route.body)


def _from_text(field: Field, text: str) -> Any:
    if field.kind in ("integer", "number"):
        try:
            return _checked(field, int(text) if field.kind == "integer" else float(text))
        except ValueError:
            raise _unfit(field, text) from None
    if field.kind == "boolean":
        if text not in ("true", "false"):
            raise _unfit(field, text)
        return text == "true"
    return _checked(field, text)


def _checked(field: Field, value: Any) -> Any:
    match field.kind:
        case "string":
            fits = isinstance(value, str) and len(value) <= field.high
            fits = fits and (not field.choices or value in field.choices)
        case "boolean":
            fits = isinstance(value, bool)
        case "array":
            fits = isinstance(value, list)
        case "integer":
            fits = type(value) is int and field.low <= value <= field.high
        case _:
            fits = type(value) in (int, float) and field.low <= value <= field.high
    if not fits:
        raise _unfit(field, value)
    return value


def _unfit(field: Field, value: object) -> Wrong:
    if field.choices:
        what = "one of " + ", ".join(field.choices)
    elif field.kind in ("integer", "number"):
        what = f"a {'whole ' if field.kind == 'integer' else ''}number from {field.low} to {field.high}"
    else:
        what = {"string": "text", "boolean": "true or false", "array": "a list"}[field.kind]
    return Wrong(HTTPStatus.BAD_REQUEST, f"{field.name} is {what}, not {repr(value)[:40]}")


def _complete(found: dict[str, Any], fields: tuple[Field, ...]) -> dict[str, Any]:
    for each in fields:
        if each.required and each.name not in found:
            raise Wrong(HTTPStatus.BAD_REQUEST, f"{each.name} is missing: {each.summary}")
    return found

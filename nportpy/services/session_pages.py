"""Logging in and out: /api/v1/session.

GET      who asks, and what he may
POST     {"name": ..., "password": ...}: a session, in a cookie
DELETE   the end of it
"""

from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from nportpy.accounts.roles import Right
from nportpy.services.answers import found, problem
from nportpy.services.bodies import BadBody, json_object
from nportpy.services.gate import SECURE_COOKIE, Gate, peer_key
from nportpy.services.pages import Found
from nportpy.services.who import Refusal, Who

PATH: Final = "/api/v1/session"

_MOST: Final = 4096
_LONGEST_NAME: Final = 64


class SessionPages:
    """See `Pages` (pages.py)."""

    def __init__(self, gate: Gate) -> None:
        """Nobody has tried anything."""
        self._gate = gate

    async def route(self, request: web.BaseRequest) -> Found | None:
        """See `Pages`."""
        if request.path != PATH:
            return None
        match request.method:
            case "GET" | "HEAD":
                return Found(Right.OPEN, self._answer_who)
            case "POST":
                return Found(Right.OPEN, lambda _who: self._log_in(request))
            case "DELETE":
                return Found(Right.OPEN, lambda who: self._log_out(request, who))
            case _:
                return Found(Right.OPEN, lambda _who: _not_allowed(request))

    async def _answer_who(self, who: Who) -> web.StreamResponse:
        document: dict[str, Any] = {"name": who.name, "how": who.how, "rights": sorted(who.rights)}
        return found(document | {"accounts": self._gate.closed, "reason": who.reason})

    async def _log_in(self, request: web.BaseRequest) -> web.StreamResponse:
        if not self._gate.is_own(request):
            return problem(HTTPStatus.FORBIDDEN, "from a page of its own only: another site asked for this")
        if not self._gate.safe(request):
            detail = "a password comes over TLS, or from this machine: others could read it; tls in [http]"
            return problem(HTTPStatus.FORBIDDEN, detail)
        logins = self._gate.logins
        if logins is None or logins.accounts.empty:
            detail = self._gate.trouble and "accounts cannot be read; the log says why"
            return problem(HTTPStatus.FORBIDDEN, detail or "there is no account: nportpy user add NAME")
        try:
            given = await json_object(request, _MOST)
        except BadBody as bad:
            unsent = bad.status is HTTPStatus.UNSUPPORTED_MEDIA_TYPE
            return problem(HTTPStatus.FORBIDDEN if unsent else bad.status, bad.detail)
        name, password = given.get("name"), given.get("password")
        if not (isinstance(name, str) and isinstance(password, str)) or len(name) > _LONGEST_NAME:
            return problem(HTTPStatus.BAD_REQUEST, 'what is wanted is {"name": "...", "password": "..."}')
        made = await logins.log_in(peer_key(request), name, password, str(request.remote))
        if isinstance(made, Refusal):
            return _refused(made)
        account, text = made
        response = found({"name": name, "how": "session", "rights": sorted(account.rights), "accounts": True})
        cookie = self._gate.cookie(request)
        logins.forget(request.cookies.get(cookie, ""))
        secure = cookie == SECURE_COOKIE  # without an age: it goes with the browser
        response.set_cookie(cookie, text, path="/", httponly=True, samesite="Strict", secure=secure)
        return response

    async def _log_out(self, request: web.BaseRequest, who: Who) -> web.StreamResponse:
        if who.reason or who.how != "session" or self._gate.logins is None:
            return problem(HTTPStatus.FORBIDDEN, who.reason or "there is no session")
        self._gate.logins.log_out(who, str(request.remote))
        response = found({"name": "", "how": "", "rights": [Right.OPEN], "accounts": True})
        cookie = self._gate.cookie(request)
        response.del_cookie(cookie, path="/", httponly=True, samesite="Strict", secure=cookie == SECURE_COOKIE)
        return response


async def _not_allowed(request: web.BaseRequest) -> web.StreamResponse:
    response = problem(HTTPStatus.METHOD_NOT_ALLOWED, f"{request.method} is not for this")
    response.headers["Allow"] = "GET, POST, DELETE"
    return response


def _refused(why: Refusal) -> web.StreamResponse:
    if not why.wait:
        return problem(why.status, why.detail)
    seconds = int(why.wait) + 1
    response = problem(why.status, f"{why.detail}: wait {seconds} s")
    response.headers["Retry-After"] = str(seconds)
    return response

"""Logging in and out: /api/v1/session.

GET      who asks, and what he may
POST     {"name": ..., "password": ...}: a session, in a cookie
DELETE   the end of it
"""

import asyncio
import json
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web

from nportpy.accounts import passwords
from nportpy.accounts.guesses import Guesses
from nportpy.accounts.roles import Right
from nportpy.accounts.sessions import LONGEST
from nportpy.services import rights
from nportpy.services.answers import JSON, found, problem
from nportpy.services.gate import SECURE_COOKIE, Gate, Who, peer_key
from nportpy.services.pages import Found

PATH: Final = "/api/v1/session"
QUEUE: Final = 8
"""Passwords that wait to be looked at; it takes a fifth of a second for each, and one is looked at at a time."""

_MOST: Final = 4096
_LONGEST_NAME: Final = 64


class SessionPages:
    """See `Pages` (pages.py)."""

    def __init__(self, gate: Gate) -> None:
        """Nobody has tried anything."""
        self._gate = gate
        self._guesses = Guesses()
        self._waiting = 0
        self._one_at_a_time = asyncio.Lock()

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
        if not rights.is_own(request):
            return problem(HTTPStatus.FORBIDDEN, "from a page of its own only: another site asked for this")
        if not self._gate.safe(request):
            detail = "a password comes over TLS, or from this machine: others could read it; tls in [http]"
            return problem(HTTPStatus.FORBIDDEN, detail)
        if self._gate.accounts.empty:
            detail = self._gate.trouble and "accounts cannot be read; the log says why"
            return problem(HTTPStatus.FORBIDDEN, detail or "there is no account: nportpy account add NAME")
        if request.content_type != JSON:
            return problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send it as {JSON}")
        body = await request.content.read(_MOST)
        try:
            given = json.loads(body)
            name, password = given["name"], given["password"]
        except (ValueError, KeyError, TypeError, RecursionError):
            name = password = None
        if not (isinstance(name, str) and isinstance(password, str)) or len(name) > _LONGEST_NAME:
            return problem(HTTPStatus.BAD_REQUEST, 'what is wanted is {"name": "...", "password": "..."}')
        return await self._try(request, name, password)

    async def _try(self, request: web.BaseRequest, name: str, password: str) -> web.StreamResponse:
        audit, client, address = self._gate.audit, str(request.remote), peer_key(request)
        now = asyncio.get_running_loop().time()
        if self._waiting >= QUEUE:
            audit.flood("queue", now, "login", client=client, result="too many at once", name=name)
            return _later(HTTPStatus.SERVICE_UNAVAILABLE, 1.0, f"{QUEUE} log in already")
        if wait := self._guesses.admit(address, name, now):
            audit.flood(address, now, "login", client=client, result="too soon", name=name)
            return _later(HTTPStatus.TOO_MANY_REQUESTS, wait, "too many tries")
        account = self._gate.accounts.account(name)
        self._waiting += 1
        try:
            async with self._one_at_a_time:
                right = await asyncio.to_thread(
                    passwords.fits, password, passwords.NOBODY if account is None else account.password
                )
        finally:
            self._waiting -= 1
        if account is None or not right:
            audit.tell("login", who="", how="", client=client, result="failed", name=name)
            return problem(HTTPStatus.UNAUTHORIZED, "name or password is wrong")
        self._guesses.succeeded(address, name, asyncio.get_running_loop().time())
        text = self._gate.sessions.begin(account, asyncio.get_running_loop().time())
        audit.tell("login", who=name, how="session", client=client, result="done", role=account.role)
        response = found({"name": name, "how": "session", "rights": sorted(account.rights), "accounts": True})
        cookie = self._gate.cookie(request)
        response.set_cookie(
            cookie,
            text,
            max_age=int(LONGEST),
            path="/",
            httponly=True,
            samesite="Strict",
            secure=cookie == SECURE_COOKIE,
        )
        return response

    async def _log_out(self, request: web.BaseRequest, who: Who) -> web.StreamResponse:
        if who.reason or who.how != "session":
            return problem(HTTPStatus.FORBIDDEN, who.reason or "there is no session")
        self._gate.sessions.end(who.key)
        client = str(request.remote)
        self._gate.audit.tell("logout", who=who.name, how="session", client=client, result="done")
        response = found({"name": "", "how": "", "rights": [Right.OPEN], "accounts": True})
        cookie = self._gate.cookie(request)
        response.del_cookie(cookie, path="/", httponly=True, samesite="Strict", secure=cookie == SECURE_COOKIE)
        return response


async def _not_allowed(request: web.BaseRequest) -> web.StreamResponse:
    response = problem(HTTPStatus.METHOD_NOT_ALLOWED, f"{request.method} is not for this")
    response.headers["Allow"] = "GET, POST, DELETE"
    return response


def _later(status: HTTPStatus, wait: float, why: str) -> web.StreamResponse:
    seconds = int(wait) + 1
    response = problem(status, f"{why}: wait {seconds} s")
    response.headers["Retry-After"] = str(seconds)
    return response

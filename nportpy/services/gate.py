"""The gate: who asks, and whether he may. Every request passes it after its route is found and before that is asked.

As long as there is neither an account nor a token, whoever is on this machine may do everything, and others may look,
if `allow` and `console` let them (rights.py). From the first one on nobody may anything without one, here or elsewhere,
but what is open to all: whether the gateway works, and the pages' files. Passwords and tokens come over TLS, or from
this machine.
"""

import asyncio
import logging
import os
import time
from collections.abc import Hashable
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import IPv6Address, ip_network
from typing import Final

from aiohttp import web

from nportpy.accounts import store
from nportpy.accounts.changing import TOKEN
from nportpy.accounts.roles import Right
from nportpy.accounts.sessions import Sessions, key_of
from nportpy.accounts.store import Accounts
from nportpy.errors import AccountError
from nportpy.network.addresses import AllowList, address_of, barred_by
from nportpy.services import rights
from nportpy.services.audit import Audit

SECURE_COOKIE: Final = "__Host-nportpy"
LOCAL_COOKIE: Final = "nportpy"
"""The same over plain HTTP on this machine, where a browser need not take the other."""

_EVERYTHING: Final = frozenset(Right)
_LOOKING: Final = frozenset({Right.OPEN, Right.LOOK})
_OPEN: Final = frozenset({Right.OPEN})

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Who:
    """Who asks.

    Attributes:
        name: of an account or a token; empty: nobody that is known.
        how: session, token, local: on this machine while there are no accounts; empty: not at all.
        rights: what he may.
        key: what the session or token is found by.
        reason: why he may no more.
    """

    name: str
    how: str
    rights: frozenset[Right]
    key: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why somebody may not, and what HTTP calls it."""

    status: HTTPStatus
    detail: str


class Gate:
    """It.

    Attributes:
        sessions: of those who have logged in.
        audit: hears what was refused.
        secure: this is HTTPS.
    """

    def __init__(self, path: str | None, audit: Audit, *, secure: bool) -> None:
        """`path`: the file of accounts, which need not be there; None: there is none, and never will be."""
        self.sessions = Sessions()
        self.audit = audit
        self.secure = secure
        self._path = path
        self._seen: tuple[int, ...] | None = None
        self._accounts = Accounts()
        self._trouble = ""

    @property
    def trouble(self) -> str:
        """Why nobody can be let in; empty: they can."""
        self._look()
        return self._trouble

    @property
    def accounts(self) -> Accounts:
        """Those of the file now."""
        self._look()
        return self._accounts

    @property
    def closed(self) -> bool:
        """Whether there are accounts, or may be: the file cannot be read."""
        return bool(self.trouble) or not self._accounts.empty

    def who(self, request: web.BaseRequest) -> Who:
        """Who asks."""
        if not self.closed:
            reason = rights.refused(request)
            return Who("", "", _LOOKING, reason=reason) if reason else Who("", "local", _EVERYTHING)
        if self._trouble:
            return Who("", "", _OPEN, reason="accounts cannot be read; the log says why")
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        if text:
            return self._by_token(request, scheme, text.strip())
        text = request.cookies.get(self.cookie(request), "")
        return self._by_session(request, text) if text else Who("", "", _OPEN, reason="log in first")

    def refusal(
        self, request: web.BaseRequest, who: Who, right: Right, allow: AllowList | None = None
    ) -> Refusal | None:
        """Why a route is not for him; None: it is."""
        if right in who.rights:
            return None
        if not self.closed:
            return self._unlisted(request, who, allow)
        now, client = asyncio.get_running_loop().time(), str(request.remote)
        if not who.name:
            key: Hashable = peer_key(request)
            self.audit.flood(key, now, "refused", client=client, result=who.reason, path=request.path)
            return Refusal(HTTPStatus.UNAUTHORIZED, who.reason)
        reason = who.reason or f"{who.name} may not: it takes the right to {right}"
        key = (who.name, right)
        self.audit.flood(key, now, "refused", client=client, result=reason, path=request.path, name=who.name)
        return Refusal(HTTPStatus.FORBIDDEN, reason)

    def lasts(self, who: Who) -> bool:
        """Whether somebody may still do what he began."""
        if who.how == "session":
            account = self.sessions.find(who.key, asyncio.get_running_loop().time(), use=False)
            return account is not None and self.accounts.account(account.name) == account
        if who.how == "token":
            token = self.accounts.token(who.key, time.time())
            return token is not None and token.rights == who.rights
        return not self.closed or who.rights == _OPEN

    def safe(self, request: web.BaseRequest) -> bool:
        """Whether a password or token may come this way: TLS, or this machine."""
        return self._by_tls(request) or rights.is_here(request)

    def cookie(self, request: web.BaseRequest) -> str:
        """The name of a session's cookie."""
        return SECURE_COOKIE if self._by_tls(request) else LOCAL_COOKIE

    def _by_tls(self, request: web.BaseRequest) -> bool:
        """Whether the browser speaks TLS, to us or to a proxy on this machine."""
        behind = bool(request.remote) and address_of(request.remote or "").is_loopback
        return self.secure or (behind and request.headers.get("X-Forwarded-Proto", "") == "https")

    def _unlisted(self, request: web.BaseRequest, who: Who, allow: AllowList | None) -> Refusal | None:
        """Without accounts: whether a list names him."""
        if not allow or not request.remote or not rights.is_own(request):
            return Refusal(HTTPStatus.FORBIDDEN, who.reason)
        if not barred_by(address_of(request.remote), (allow,)):
            return None
        return Refusal(HTTPStatus.FORBIDDEN, f"{request.remote} is not in {allow.key}")

    def _by_token(self, request: web.BaseRequest, scheme: str, text: str) -> Who:
        if scheme.lower() != "bearer" or not text.startswith(TOKEN):
            return Who("", "", _OPEN, reason="what is wanted is Authorization: Bearer np_...")
        if not self.safe(request):
            return Who("", "", _OPEN, reason="a token comes over TLS, or from this machine: others could read it")
        token = self._accounts.token(key := key_of(text), time.time())
        if token is None:
            return Who("", "", _OPEN, reason="there is no such token, or it has ended")
        return Who(token.name, "token", token.rights, key)

    def _by_session(self, request: web.BaseRequest, text: str) -> Who:
        key = key_of(text)
        account = self.sessions.find(key, asyncio.get_running_loop().time())
        if account is not None and self._accounts.account(account.name) != account:  # gone, or changed since
            self.sessions.end(key)
            account = None
        if account is None or not self.safe(request):
            return Who("", "", _OPEN, reason="the session is over: log in again")
        if reason := _foreign(request):
            return Who(account.name, "session", _OPEN, key, reason)
        return Who(account.name, "session", account.rights, key)

    def _look(self) -> None:
        """Read the file, if it is another one. A bad one lets nobody in: it may have taken somebody's rights away."""
        if self._path is None:
            return
        try:
            found = os.stat(self._path)
            seen: tuple[int, ...] | None = (found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)
        except FileNotFoundError:
            seen = None
        except OSError as error:
            seen = (-(error.errno or 1),)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._accounts, self._trouble = store.load(self._path), ""
        except AccountError as error:
            self._accounts, self._trouble = Accounts(), str(error)
            log.error("nobody can log in", extra={"reason": str(error)})
        else:
            counts = {"accounts": len(self._accounts.accounts), "tokens": len(self._accounts.tokens)}
            self.audit.tell("accounts", who="", how="", client="", result="read", file=self._path, **counts)


def peer_key(request: web.BaseRequest) -> Hashable:
    """What guesses are counted by: an address, in IPv6 a network of 64 bits, as that is what one host has."""
    address = address_of(request.remote or "::")
    return ip_network((address, 64), strict=False) if isinstance(address, IPv6Address) else address


def _foreign(request: web.BaseRequest) -> str:
    """Why what comes with a session is not its owner's wish; empty: it is.

    A browser says of what changes something where it comes from; what does not say it is no browser that we know.
    """
    if not rights.is_own(request):
        return "from a page of its own only: another site asked for this"
    if request.method not in ("GET", "HEAD") and not (
        "Origin" in request.headers or "Sec-Fetch-Site" in request.headers
    ):
        return "Origin or Sec-Fetch-Site is missing; a program takes a token instead of a session"
    return ""

"""The gate: who asks, and whether he may. Every request passes it after its route is found and before that is asked.

As long as there is neither an account nor a token, whoever is on this machine may do everything, and others get what
programs ask for (status, metrics, samples) and no page. From the first one on nobody may anything without one, here or
elsewhere, but what is open to all: whether the gateway works, and the pages' files. A certificate can stand for an
account. Passwords and tokens come over TLS, or from this machine.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from aiohttp import web

from nportpy.accounts.roles import Right
from nportpy.network.addresses import address_of, barred_by, host_of
from nportpy.network.tls_settings import Identity
from nportpy.services import rights
from nportpy.services.audit import Audit
from nportpy.services.certified import certified
from nportpy.services.hosts import is_ours
from nportpy.services.http_base import AsWhom
from nportpy.services.pages import Found
from nportpy.services.who import NOBODY, OPEN, Refusal, Who

if TYPE_CHECKING:
    from nportpy.services.logins import Logins

SECURE_COOKIE: Final = "__Host-nportpy"
LOCAL_COOKIE: Final = "nportpy"
"""The same over plain HTTP on this machine, where a browser need not take the other."""

_EVERYTHING: Final = frozenset(Right)
_LOOKING: Final = frozenset({Right.OPEN, Right.LOOK})
_READING: Final = ("GET", "HEAD")
_SENT: Final = ("application/json", "application/toml")
"""What a body may be that comes with a session: no form of another site can send such a one."""


@dataclass(frozen=True, slots=True)
class GateSettings:
    """What it is told.

    Attributes:
        file: of accounts, which need not be there; None: there is none, and never will be.
        secure: this is HTTPS.
        vouched: the certificate is signed by somebody else: browsers may insist on it.
        names: by which it may be called, besides those of this machine.
        subjects: as whom those with a certificate come, by their names.
        admits: whether a certificate is still believed.
    """

    file: str | None = None
    secure: bool = False
    vouched: Callable[[], bool] = lambda: False
    names: frozenset[str] = frozenset()
    subjects: Mapping[str, AsWhom] = field(default_factory=dict)
    admits: Callable[[Identity | None], bool] = lambda _: True


class Gate:
    """It.

    Attributes:
        settings: what it is told.
        audit: hears what was refused.
    """

    def __init__(self, settings: GateSettings, audit: Audit, before: "Gate | None" = None) -> None:
        """Nothing of accounts is imported before there is a file of them.

        Args:
            settings: what it is told.
            audit: hears what was refused.
            before: the one whose place it takes: who has logged in there need not do it again, and who has guessed
                there does not begin anew.
        """
        self.settings = settings
        self.audit = audit
        self._seen: tuple[int, ...] | None = None
        self._logins: Logins | None = None
        if before is not None and (before.settings.file, before.settings.secure) == (settings.file, settings.secure):
            self._seen, self._logins = before._seen, before._logins  # noqa: SLF001 - of its own class

    @property
    def logins(self) -> "Logins | None":
        """Accounts as the file has them now; None: there was none yet."""
        self.look()
        return self._logins

    @property
    def closed(self) -> bool:
        """Whether somebody is needed to be known: there are accounts, or may be, as the file cannot be read."""
        logins = self.logins
        known = logins is not None and (bool(logins.trouble) or not logins.accounts.empty)
        return known or bool(self.settings.subjects)

    @property
    def trouble(self) -> str:
        """Why accounts cannot be read; empty: they can."""
        return self._logins.trouble if self._logins is not None else ""

    def misdirected(self, request: web.BaseRequest) -> str | None:
        """For whom a request is that is not for us, by its Host or by the whole URL that it asks for; None: it is."""
        local = request.transport and request.transport.get_extra_info("sockname")
        hosts = request.headers.getall("Host", [])
        if not request.raw_path.startswith("/"):
            try:
                hosts.append(request.url.raw_authority.rpartition("@")[2])
            except ValueError:  # no bytes of a name
                return request.raw_path
        if len(hosts) > 2:
            return ", ".join(hosts)
        address = local[0] if isinstance(local, tuple) else ""
        return next((each for each in hosts if each and not is_ours(each, address, self.settings.names)), None)

    def who(self, request: web.BaseRequest, identity: Identity | None = None) -> Who:
        """Who asks; `identity` is by the certificate that came with the connection."""
        found = self._known(request) if self.closed else NOBODY
        if found.name:
            return found
        certain = certified(identity, self.settings.subjects)
        if certain.name:
            return self._willing(request, certain, strict=False)
        if self.closed:
            return found
        reason = rights.refused(request)
        return Who("", "", _LOOKING, reason=reason) if reason else Who("", "local", _EVERYTHING)

    def refusal(self, request: web.BaseRequest, who: Who, found: Found) -> Refusal | None:
        """Why a route is not for him; None: it is."""
        if not self.closed and not who.name:
            return self._unknown(request, who, found)
        if found.right in who.rights:
            return None
        now, client = asyncio.get_running_loop().time(), str(request.remote)
        if not who.name:
            key: Hashable = peer_key(request)
            self.audit.flood(key, now, "refused", client=client, result=who.reason, path=request.path)
            return Refusal(HTTPStatus.UNAUTHORIZED, who.reason)
        reason = who.reason or f"{who.name} may not: it takes the right to {found.right}"
        key = (who.name, found.right)
        self.audit.flood(key, now, "refused", client=client, who=who, result=reason, path=request.path)
        return Refusal(HTTPStatus.FORBIDDEN, reason)

    def lapsed(self, request: web.BaseRequest, who: Who, found: Found, identity: Identity | None = None) -> str:
        """Why somebody may not do any more what he began; empty: he may."""
        if identity is not None and not self.settings.admits(identity):
            return "the certificate is not believed any more"
        if who.how in ("session", "token"):
            lasts = self.logins is not None and self.logins.lasts(who)
            return "" if lasts else f"the {who.how} has ended, or may something else now"
        if who.how == "certificate":
            lasts = certified(identity, self.settings.subjects).rights == who.rights
            return "" if lasts else "the certificate stands for something else now"
        if found.right is Right.OPEN:
            return ""
        if self.closed:
            return "there are accounts now: log in first"
        refusal = self._unknown(request, who, found)
        return "" if refusal is None else refusal.detail

    def safe(self, request: web.BaseRequest) -> bool:
        """Whether a password or token may come this way: TLS, or this machine."""
        return self._by_tls(request) or rights.is_here(request)

    def is_own(self, request: web.BaseRequest) -> bool:
        """Whether no page of another site has sent it."""
        return rights.is_own(request, secure=self._by_tls(request))

    def cookie(self, request: web.BaseRequest) -> str:
        """The name of a session's cookie."""
        return SECURE_COOKIE if self._by_tls(request) else LOCAL_COOKIE

    def look(self, by: Who = NOBODY, client: str = "") -> None:
        """Read the file of accounts, if it is another one; `by` has just changed it, from `client`."""
        path = self.settings.file
        if path is None:
            return
        try:
            found = os.stat(path)
            seen: tuple[int, ...] | None = (found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)
        except FileNotFoundError:
            seen = None
        except OSError as error:
            seen = (-(error.errno or 1),)
        if seen == self._seen:
            return
        self._seen = seen
        if self._logins is None:
            from nportpy.services.logins import Logins

            self._logins = Logins(path, self.audit)
        self._logins.read(by, client)

    def _by_tls(self, request: web.BaseRequest) -> bool:
        """Whether the browser speaks TLS, to us or to a proxy on this machine."""
        behind = bool(request.remote) and address_of(request.remote or "").is_loopback
        return self.settings.secure or (behind and request.headers.get("X-Forwarded-Proto", "") == "https")

    def _unknown(self, request: web.BaseRequest, who: Who, found: Found) -> Refusal | None:
        """Without accounts: whether he may all the same."""
        if found.right in who.rights and (who.how == "local" or not found.page):
            return None
        if found.page and found.right is Right.LOOK:
            reason = f"{who.reason}, as long as there is no account: nportpy user add NAME, and tls in [http]"
            return Refusal(HTTPStatus.FORBIDDEN, reason)
        allow = found.allow()
        if not allow or not request.remote or not self.is_own(request):
            return Refusal(HTTPStatus.FORBIDDEN, who.reason)
        if not barred_by(address_of(request.remote), (allow,)):
            return None
        return Refusal(HTTPStatus.FORBIDDEN, f"{request.remote} is not in {allow.key}")

    def _known(self, request: web.BaseRequest) -> Who:
        """Whose token or session it is."""
        if self.trouble:
            return Who(reason="accounts cannot be read; the log says why")
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        text = request.cookies.get(self.cookie(request), "")
        if self._logins is None or not (token or text):
            return Who(reason="log in first")
        if not self.safe(request):
            what = "a token" if token else "a session"
            return Who(reason=f"{what} comes over TLS, or from this machine: others could read it")
        if token:
            return self._logins.by_token(scheme, token.strip())
        found = self._logins.by_session(text)
        return self._willing(request, found, strict=True) if found.name else found

    def _willing(self, request: web.BaseRequest, who: Who, *, strict: bool) -> Who:
        """Somebody whom a browser names by itself, without his rights if that may not be his wish.

        A browser says of what changes something where it comes from. `strict`: what does not say it is none that we
        know. A form of another site sends neither JSON nor TOML.
        """
        reason = ""
        if not self.is_own(request):
            reason = "from a page of its own only: another site asked for this"
        elif request.method not in _READING:
            if strict and not ("Origin" in request.headers or "Sec-Fetch-Site" in request.headers):
                reason = "Origin or Sec-Fetch-Site is missing; a program takes a token instead of a session"
            elif request.body_exists and request.content_type not in _SENT:
                reason = f"send it as {_SENT[0]}: a form of another site could send this"
        return Who(who.name, who.how, OPEN, who.key, reason) if reason else who


def peer_key(request: web.BaseRequest) -> Hashable:
    """What guesses are counted by: a host.

    Behind a proxy on this machine it is whom that has heard: who guesses there holds up nobody else who comes through
    it. Who is on this machine and makes addresses up still waits for the account.
    """
    address = address_of(request.remote or "::")
    if address.is_loopback and (heard := request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()):
        with contextlib.suppress(ValueError):
            address = address_of(heard)
    return host_of(address)

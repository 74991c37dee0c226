"""What the HTTP service answers, on aiohttp's low-level server: no application, router or signals are needed.

Importing this costs 18 MB and a quarter of a second (aiohttp, prometheus_client): only `http.py` does, and late.

Clients are bounded in every direction: how many there are, how long a request may take to come and be idle between
two, how large its head may be, and how long an answer may wait for a client that does not read.
"""

import asyncio
import logging
import sys
import time
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from http import HTTPStatus
from typing import Any, Final, cast

from aiohttp import HttpVersion11, StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage

from nportpy import __version__
from nportpy.accounts.roles import Right
from nportpy.network.addresses import Endpoint, Rings, address_of, barred_by, host_of, peer_of
from nportpy.network.tls_settings import Identity
from nportpy.services import edge_metrics, exposition, metrics, report
from nportpy.services.answers import HEADERS, JSON, problem
from nportpy.services.archive_pages import ArchivePages
from nportpy.services.archived import Archived
from nportpy.services.audit import Audit
from nportpy.services.gate import Gate, GateSettings
from nportpy.services.pages import Found, Pages
from nportpy.services.session_pages import SessionPages
from nportpy.services.who import OPEN, Who
from nportpy.status import GatewayStatus
from nportpy.throttle import Throttle

MAX_CLIENTS = 32
"""Who asks nothing makes room for one more."""

MAX_STRANGERS = 8
"""Connections that are not served, but told why: their addresses are not allowed, or there are MAX_CLIENTS already.
More of them are cut off without a word."""

PATIENCE = 75.0
"""Seconds that a request may take to come, from the connection's start or the last answer on: longer than the usual
interval between two scrapes, so that these can keep their connection."""

STALLED = 20.0
"""Seconds after which a client that has not taken its answer is cut off."""

LEFTOVERS = 1.0
"""Seconds in which a client that has closed its side still gets its answer."""

LASTING: Final = 1.0
"""Seconds between two looks whether those who are being answered still may: their sessions end, too."""

_STRICT: Final = "max-age=31536000"
"""HTTPS for a year (RFC 6797); not for other names of the same domain. Not with a certificate that vouches for itself:
who has accepted that by hand could not do so any more."""

_BEGINNING: Final = 1.0  # seconds from a connection to its first request, among many of one host
_MAX_LINE, _MAX_FIELD, _MAX_HEADERS = 4096, 4096, 64
_WORTH_PACKING, _PACKED_AT_ONCE = 1024, 32 * 1024

log = logging.getLogger("nportpy.services.http")

Answer = tuple[HTTPStatus, str, bytes]  # status, content type, body


class Site:
    """The pages and the connections of all listening addresses."""

    def __init__(
        self,
        allow: Rings,
        status: Callable[[], GatewayStatus],
        healthy: Callable[[], bool],
        archive: Callable[[], Archived | None] = lambda: None,
        more: Sequence[Pages] = (),
        gate: Gate | None = None,
    ) -> None:
        """Needs a running event loop. For the arguments see HttpService."""
        self._allow = allow
        self._status = status
        self._healthy = healthy
        self._registry = metrics.registry(status)
        self._throttle = Throttle()
        self._gate = gate = gate or Gate(GateSettings(), Audit())
        self._more = (SessionPages(gate), *more)
        self._looked: asyncio.TimerHandle | None = None
        self._server = web.Server(self._answer, request_factory=_Request)
        self._clients: set[Connection] = set()
        self._pages: dict[str, tuple[Right, Callable[[web.BaseRequest], Awaitable[Answer]]]] = {
            "/": (Right.LOOK, self._contents),
            "/metrics": (Right.LOOK, self._metrics),
            "/healthz": (Right.OPEN, self._health),
            "/readyz": (Right.OPEN, self._readiness),
            "/api/v1/status": (Right.LOOK, self._document),
            "/api/v1/verdict": (Right.LOOK, self._verdict),
            "/api/v1/stations": (Right.LOOK, self._stations),
            "/api/v1/archive": (Right.LOOK, self._archive),
            "/readings": (Right.LOOK, self._readings),
        }
        pages = ArchivePages(archive)
        self._streams: dict[
            tuple[str, str], tuple[Right, Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]]
        ] = {
            ("GET", "/api/v1/archive/samples"): (Right.LOOK, pages.samples),
            ("POST", "/api/v1/archive/send"): (Right.ACT, pages.send),
        }

    @property
    def vouched(self) -> bool:
        """Whether somebody else has signed the certificate of this HTTPS."""
        return self._gate.settings.vouched()

    def accept(self) -> asyncio.Protocol:
        """The protocol of a new connection."""
        return Connection(self, self._server)

    def configure(self, allow: Rings) -> None:
        """Other lists from now on; who is in none of them any more is told so at its next request."""
        self._allow = allow
        for client in self._clients:
            client.barred_by = barred_by(address_of(client.peer.host), allow)

    def enter(self, client: "Connection", peer: Endpoint) -> bool:
        """Count a connection in and tell it whether it is barred; False: there is no room for it."""
        address = address_of(peer.host)
        client.peer, client.barred_by = peer, barred_by(address, self._allow)
        if client.barred_by:
            unlogged = self._throttle.allow(address, asyncio.get_running_loop().time())
            if unlogged is not None:
                extra = {"client": str(peer), "list": client.barred_by, "unlogged": unlogged}
                log.warning("refused: not in allow", extra=extra)
        served = [each for each in self._clients if not each.unserved]
        if not client.barred_by and len(served) >= MAX_CLIENTS:
            client.crowded = not self._make_room(client, served)
        if client.unserved and len(self._clients) - len(served) >= MAX_STRANGERS:
            return False
        self._clients.add(client)
        return True

    def _make_room(self, client: "Connection", served: Sequence["Connection"]) -> bool:
        """Cut off somebody who is not being answered: of the host that has most, the one that has waited longest.

        So a host that opens connections and asks nothing, or never to the end, keeps nobody out. Who has more of them
        than anybody that could go is the one that is told; and who has just opened his own will ask in a moment.
        """
        many = Counter(each.host for each in (*served, client))
        spare = [each for each in served if each.spare]
        gone = max(spare, key=lambda each: (many[each.host], -each.idle_since), default=None)
        if gone is None or many[gone.host] < many[client.host]:
            return False
        if gone.host == client.host and asyncio.get_running_loop().time() - gone.idle_since < _BEGINNING:
            return False
        self.leave(gone)
        gone.abort()
        return True

    def leave(self, client: "Connection") -> None:
        """Count it out."""
        self._clients.discard(client)

    async def close(self) -> None:
        """End all connections; answers under way get a second."""
        self._server.pre_shutdown()  # the idle ones
        await self._server.shutdown(1.0)
        if self._looked is not None:
            self._looked.cancel()
        for client in tuple(self._clients):
            client.abort()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        client = request.protocol
        assert isinstance(client, Connection)
        if client.barred_by:
            return _short(HTTPStatus.FORBIDDEN, f": {client.peer.host} is not in {client.barred_by}")
        if client.crowded:
            return _short(HTTPStatus.SERVICE_UNAVAILABLE, f": {MAX_CLIENTS} clients are connected, and no more may be")
        if request.version < HttpVersion11 and "Transfer-Encoding" in request.headers:  # RFC 9112, 6.1
            return _short(HTTPStatus.BAD_REQUEST, ": HTTP/1.0 has no Transfer-Encoding")
        if (meant := self._gate.misdirected(request)) is not None:
            return _misdirected(meant)
        if not self._gate.settings.admits(client.identity):
            return _short(HTTPStatus.FORBIDDEN, ": the certificate is not believed any more")
        found = await self._find(request)
        who = self._gate.who(request, client.identity)
        if refusal := self._gate.refusal(request, who, found):
            found.refused()
            response = problem(refusal.status, refusal.detail)
            if refusal.status is HTTPStatus.UNAUTHORIZED:
                response.headers["WWW-Authenticate"] = 'Bearer realm="nportpy"'
            return response
        client.asked = _Asked(request, who, found)
        self._look_later()
        try:
            return await found.answer(who)
        finally:
            client.asked, client.idle_since = None, asyncio.get_running_loop().time()

    async def _find(self, request: web.BaseRequest) -> Found:
        """The route; what there is none for is answered, too, to everybody in the same way."""
        for pages in self._more:
            if (found := await pages.route(request)) is not None:
                return found
        method = "GET" if request.method == "HEAD" else request.method
        if stream := self._streams.get((method, request.path)):
            right, answer = stream
            return Found(right, lambda _who: answer(request))
        page = self._pages.get(request.path)
        if page is None:
            known = any(request.path == path for _, path in self._streams)
            return Found(
                Right.OPEN, lambda _who: _refusing(HTTPStatus.METHOD_NOT_ALLOWED if known else HTTPStatus.NOT_FOUND)
            )
        if request.method not in ("GET", "HEAD"):
            return Found(Right.OPEN, lambda _who: _refusing(HTTPStatus.METHOD_NOT_ALLOWED, Allow="GET, HEAD"))
        right, write = page
        return Found(right, lambda _who: self._written(request, write))

    def _look_later(self) -> None:
        """See in a while whether those who are being answered still may."""
        if self._looked is None:
            self._looked = asyncio.get_running_loop().call_later(LASTING, self._look)

    def _look(self) -> None:
        self._looked = None
        for client in tuple(self._clients):
            if client.asked is None:
                continue
            if reason := self._lapsed(client, client.asked):
                who, path = client.asked.who, client.asked.request.path
                told = {"who": who.name, "how": who.how, "client": client.peer.host, "path": path}
                self._gate.audit.tell("ended", **told, result=reason)
                client.abort()
            else:
                self._look_later()

    def _lapsed(self, client: "Connection", asked: "_Asked") -> str:
        if client.barred_by:
            return f"{client.peer.host} is not in {client.barred_by}"
        return self._gate.lapsed(asked.request, asked.who, asked.found, client.identity)

    async def _written(
        self, request: web.BaseRequest, write: Callable[[web.BaseRequest], Awaitable[Answer]]
    ) -> web.StreamResponse:
        status, content_type, body = await write(request)
        headers = {**HEADERS, "Content-Type": content_type, "Vary": "Accept, Accept-Encoding"}
        if len(body) >= _WORTH_PACKING and _takes_gzip(request.headers.get("Accept-Encoding", "")):
            headers["Content-Encoding"] = "gzip"
            body = await _gzip(body)
        return web.Response(status=status, headers=headers, body=body)

    async def _contents(self, request: web.BaseRequest) -> Answer:
        """What is here, with links for a browser."""
        title = f"nportpy {__version__}, {self._status().name}"
        if "text/html" not in request.headers.get("Accept", ""):
            rows = [f"{path:<24} {what}" for path, what in _CONTENTS.items()]
            return HTTPStatus.OK, _PLAIN, "\n".join([title, "", *rows, ""]).encode()
        items = "".join(f'<li><a href="{path}">{path}</a> {what}</li>' for path, what in _CONTENTS.items())
        head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        return HTTPStatus.OK, _HTML, f"{head}<h1>{escape(title)}</h1><ul>{items}</ul></html>\n".encode()

    async def _metrics(self, request: web.BaseRequest) -> Answer:
        form = exposition.content_type(request.headers.get("Accept", ""))
        return HTTPStatus.OK, form, await _joined(exposition.written(self._registry.collect(), form))

    async def _health(self, _request: web.BaseRequest) -> Answer:
        if self._healthy():
            return HTTPStatus.OK, _PLAIN, b"ok\n"
        return HTTPStatus.SERVICE_UNAVAILABLE, _PLAIN, b"not healthy\n"

    async def _readiness(self, _request: web.BaseRequest) -> Answer:
        found = report.readiness(self._status())
        body = report.text(found).encode() + b"\n"
        return HTTPStatus.OK if found["ready"] else HTTPStatus.SERVICE_UNAVAILABLE, JSON, body

    async def _document(self, _request: web.BaseRequest) -> Answer:
        return HTTPStatus.OK, JSON, await _joined(report.document(self._status()))

    async def _verdict(self, request: web.BaseRequest) -> Answer:
        """What is wrong with buses, in words: of the one that `bus` names, or of all."""
        status = self._status()
        found = report.verdicts(status, request.query.get("bus"), time.time())
        if found is None:
            buses = ", ".join(bus.name for bus in status.buses) or "none"
            return HTTPStatus.NOT_FOUND, _PLAIN, f"404 Not Found: no such bus; there are: {buses}\n".encode()
        return HTTPStatus.OK, JSON, report.text(found).encode() + b"\n"

    async def _stations(self, _request: web.BaseRequest) -> Answer:
        edge = self._status().edge
        return HTTPStatus.OK, JSON, await _joined(report.stations(edge))

    async def _archive(self, _request: web.BaseRequest) -> Answer:
        return HTTPStatus.OK, JSON, await _joined(report.archive(self._status().edge))

    async def _readings(self, request: web.BaseRequest) -> Answer:
        form = exposition.content_type(request.headers.get("Accept", ""))
        families = edge_metrics.readings(self._status().edge)
        return HTTPStatus.OK, form, await _joined(exposition.written(families, form))


class _Request(web.BaseRequest):
    """A request whose answer has the headers of all answers, whoever gives it."""

    def __init__(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: web.RequestHandler,
        writer: AbstractStreamWriter,
        task: "asyncio.Task[None]",
    ) -> None:
        super().__init__(message, payload, protocol, writer, task, asyncio.get_running_loop())

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        for name, text in HEADERS.items():
            response.headers.setdefault(name, text)
        assert isinstance(self.protocol, Connection)
        if self.protocol.vouched:
            response.headers["Strict-Transport-Security"] = _STRICT


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is being answered, and to whom."""

    request: web.BaseRequest
    who: Who
    found: Found


class Connection(web.RequestHandler):
    """A client's connection, with the limits that aiohttp does not have."""

    def __init__(self, site: Site, server: web.Server) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=PATIENCE,
            access_log=None,  # type: ignore[arg-type]  # None is how it is switched off
            logger=log,
            max_line_size=_MAX_LINE,
            max_field_size=_MAX_FIELD,
            max_headers=_MAX_HEADERS,
            lingering_time=LEFTOVERS,
        )
        self.peer = Endpoint("", 0)
        self.barred_by = ""
        self.crowded = False
        self.asked: _Asked | None = None  # while it is answered
        self.idle_since = asyncio.get_running_loop().time()
        self.identity: Identity | None = None  # by its certificate
        self._site = site
        self._wire: asyncio.Transport | None = None
        self._stalled: asyncio.TimerHandle | None = None

    @property
    def unserved(self) -> bool:
        """Whether it is only told why it is not served."""
        return bool(self.barred_by) or self.crowded

    @property
    def host(self) -> Hashable:
        """What tells its host from others."""
        return host_of(address_of(self.peer.host))

    @property
    def spare(self) -> bool:
        """Whether it may be cut off: nothing was asked, or not yet to the end, or by somebody who is not known."""
        return self.asked is None or self.asked.who.rights == OPEN

    @property
    def vouched(self) -> bool:
        """Whether this is HTTPS with a certificate that others vouch for: browsers may insist on it from now on."""
        return self._site.vouched

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Come in, or go at once."""
        self._wire = wire = cast(asyncio.Transport, transport)  # uvloop's is not of that class
        peer = wire.get_extra_info("peername")
        if not peer or not self._site.enter(self, peer_of(peer)):
            wire.abort()
            return
        self.identity = getattr(wire, "identity", None)  # of TLS' transport
        wire.set_write_buffer_limits(high=0)  # tells us as soon as anything waits
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """It is over."""
        self._site.leave(self)
        self._unstall()
        self._wire = None
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """An answer waits for the client: not for long."""
        super().pause_writing()
        self._stalled = asyncio.get_running_loop().call_later(STALLED, self.abort)

    def resume_writing(self) -> None:
        """The client has taken it."""
        self._unstall()
        super().resume_writing()

    def eof_received(self) -> bool:  # type: ignore[override]  # asyncio's contract is wider than aiohttp's
        """The client has closed its side: `echo ... | nc` does so before it has the answer."""
        if self._wire is not None:
            asyncio.get_running_loop().call_later(LEFTOVERS, self._wire.close)
        return True

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """The rest of a body that cannot be read, after the answer, is the client's doing and no fault here."""
        if not isinstance(sys.exc_info()[1], web.RequestPayloadError):
            super().log_exception(*args, **kw)

    def abort(self) -> None:
        """Cut the connection, whatever still waits in it."""
        if self._wire is not None:
            self._wire.abort()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is not HTTP, or what made us fail. Only the latter is worth more than a debug line."""
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("no answer", exc_info=exc, extra={"path": request.path, "client": str(self.peer)})
        else:
            log.debug("not understood", extra={"reason": message, "client": str(self.peer)})
        return _short(HTTPStatus(status))

    def _unstall(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None


_CONTENTS = {
    "/metrics": "everything that is counted, for Prometheus",
    "/healthz": "whether the gateway works",
    "/readyz": "whether all services listen, and which lines are down",
    "/api/v1/status": "lines, clients, services and units as they are now, as JSON",
    "/api/v1/verdict": "who hogs a bus and which units are bad, in words: ?bus=",
    "/api/v1/stations": "stations and their newest values, as JSON",
    "/api/v1/archive": "the archive, and the upstreams that it is sent to, as JSON",
    "/api/v1/archive/samples": "what is kept: ?from=, to=, tag=, format=csv or ndjson",
    "/readings": "newest values of all tags, for Prometheus",
}
_HTML = "text/html; charset=utf-8"
_PLAIN = "text/plain; charset=utf-8"


def _short(status: HTTPStatus, why: str = "") -> web.Response:
    """Just the status, and why; and the end of the connection: such clients are not worth keeping."""
    response = web.Response(status=status, text=f"{status.value} {status.phrase}{why}\n", headers=HEADERS)
    response.force_close()
    return response


def _misdirected(meant: str) -> web.Response:
    """It is for somebody else (RFC 9110, 15.5.20)."""
    return _short(HTTPStatus.MISDIRECTED_REQUEST, f": {meant[:80]!r} is none of our names; names in [http] has others")


async def _refusing(status: HTTPStatus, **headers: str) -> web.Response:
    response = _short(status)
    response.headers.update(headers)
    return response


async def _joined(portions: Iterable[str]) -> bytes:
    """A page that is written in portions, between which the lines have their turn."""
    written = []
    for portion in portions:
        written.append(portion.encode())
        await asyncio.sleep(0)
    return b"".join(written)


async def _gzip(body: bytes) -> bytes:
    """Packed, in portions too. Level 9 takes ten times as long."""
    packer = zlib.compressobj(1, wbits=zlib.MAX_WBITS | 16)  # 16: with the header of gzip
    packed = []
    for start in range(0, len(body), _PACKED_AT_ONCE):
        packed.append(packer.compress(body[start : start + _PACKED_AT_ONCE]))
        await asyncio.sleep(0)
    return b"".join((*packed, packer.flush()))


def _takes_gzip(accept_encoding: str) -> bool:
    for each in accept_encoding.lower().split(","):
        coding, *parameters = (part.strip() for part in each.split(";"))
        if coding in ("gzip", "*") and "q=0" not in parameters:
            return True
    return False

"""What is on the lines, over HTTP.

    GET /api/v1/captures                               lines, who watches them, moments that were frozen
    GET /api/v1/ports/NAME/capture.pcapng              for Wireshark: what the flight recorder has
        ?live=1 for=60s size=10MiB history=1           what comes: until the client goes, for so long, so much
        ?frozen=NUMBER                                 a moment that was frozen
    GET /api/v1/ports/NAME/monitor                     rows, as NDJSON, or as server-sent events if those are asked for
        ?filter= trigger= before= after= count=        see protocols/capture/filters.py
        ?live=0 for= history=1 frozen=

It is for this machine, and for those whom `[capture] allow` names. Who begins and ends is logged, and shown to others.
Nobody is waited for: who reads too slowly is told what it has lost, and cut off by the site if it stops reading.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import unquote

from aiohttp import web

from nportpy.accounts.roles import Right
from nportpy.gateway.captures import Captures, Watched
from nportpy.gateway.recording import capture_of, file_name
from nportpy.line.recorder import Frozen
from nportpy.line.watcher import Watcher
from nportpy.protocols.capture.filters import Count, Filter, Trigger
from nportpy.protocols.capture.records import Record
from nportpy.protocols.capture.rows import Row, Rows
from nportpy.services.answers import HEADERS, NDJSON, found, problem
from nportpy.services.pages import Found
from nportpy.services.who import Who

MOST_WATCHERS: Final = 16
"""Streams at once; others of the site's clients are left for whoever only asks something."""

_EVENTS: Final = "text/event-stream"
_PCAPNG: Final = "application/x-pcapng"
_LOOK: Final = 0.2  # seconds after which something that is held back is looked at, and whether the client is there
_BEAT: Final = 10.0  # seconds without a row after which a stream shows that it lives
_FOREVER: Final = float(1 << 40)
_UNITS: Final = {"ms": 0.001, "s": 1, "min": 60, "h": 3600, "d": 86400}
_SIZES: Final = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


class _Wrong(Exception):
    """A request that cannot be done: a status, and why."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status


@dataclass(frozen=True, slots=True)
class _Query:
    """What a stream is asked for.

    Attributes:
        live: go on with what comes.
        history: begin with what is there.
        seconds: after which it ends.
        size: bytes after which it ends.
        frozen: number of a moment; None: none.
        wanted: which rows.
        trigger: what lets them pass; None: nothing need to.
        count: what is counted among them; None: nothing.
    """

    live: bool
    history: bool
    seconds: float
    size: float
    frozen: int | None
    wanted: Filter
    trigger: Trigger | None
    count: Count | None


_COMMON: Final = ("live", "for", "history", "frozen")
_KEYS: Final = {
    "capture.pcapng": (*_COMMON, "size"),
    "monitor": (*_COMMON, "filter", "trigger", "before", "after", "count"),
}


class CapturePages:
    """See `Pages` (services/pages.py)."""

    def __init__(self, captures: Captures) -> None:
        """Nobody watches."""
        self._captures = captures
        self._open = 0

    async def route(self, request: web.BaseRequest) -> Found | None:
        """See `Pages`."""
        parts = request.raw_path.partition("?")[0].split("/")[3:]
        if parts != ["captures"] and not (len(parts) == 3 and parts[0] == "ports" and parts[2] in _KEYS):
            return None
        if request.method not in ("GET", "HEAD"):
            return Found(Right.OPEN, lambda _who: _not_allowed(request))
        right = Right.CAPTURE if parts[-1] == "capture.pcapng" else Right.MONITOR
        return Found(right, lambda who: self._answer(request, parts, who), lambda: self._captures.settings.allow)

    async def _answer(self, request: web.BaseRequest, parts: list[str], who: Who) -> web.StreamResponse:
        try:
            if parts == ["captures"]:
                return found(self._listed())
            return await self._stream(request, unquote(parts[1]), parts[2], who)
        except _Wrong as wrong:
            return problem(wrong.status, str(wrong))

    def _listed(self) -> list[dict[str, Any]]:
        return [
            _shown(watched) if (watched := self._captures.find(name)) is not None else {"port": name, "monitor": False}
            for name in self._captures.names()
        ]

    async def _stream(self, request: web.BaseRequest, name: str, what: str, by: Who) -> web.StreamResponse:
        if self._captures.forbidden(name):
            raise _Wrong(HTTPStatus.FORBIDDEN, f"[port.{name}] has monitor = false: nobody may watch this line")
        watched = self._captures.find(name)
        if watched is None:
            names = ", ".join(self._captures.names()) or "none"
            raise _Wrong(HTTPStatus.NOT_FOUND, f"there is no port {name[:40]!r}; ports are {names}")
        query = _query(request.query, _KEYS[what])
        moment = _moment(watched, query)
        if moment is None and not query.live and not watched.line.tap().on:
            text = "nothing is kept: set keep in [capture], or add live=1 for what comes"
            raise _Wrong(HTTPStatus.NOT_FOUND, text)
        if self._open >= MOST_WATCHERS:
            raise _Wrong(HTTPStatus.SERVICE_UNAVAILABLE, f"{MOST_WATCHERS} watch already, and no more may")
        self._open += 1
        who = f"{by.name or request.remote} {request.headers.get('User-Agent', '')[:40]}".strip()
        told = {"who": by.name, "how": by.how, "client": str(request.remote), "port": name}
        event = "capture" if what == "capture.pcapng" else "monitor"
        self._captures.audit.tell(event, **told, result="begins")
        watcher = watched.line.tap().watch(who, history=query.history or not query.live)
        try:
            made: _Packets | _Lines = _Packets(watched) if what == "capture.pcapng" else _Lines(request, watcher, query)
            response = web.StreamResponse(headers={**HEADERS, "Content-Type": made.content_type, **made.headers})
            with contextlib.suppress(ConnectionError):  # the client has gone
                await self._send(response, request, made, moment, watcher, query)
            return response
        finally:
            lost = watcher.missed
            watcher.close()
            self._open -= 1
            self._captures.audit.tell(event, **told, result="ends", lost=lost)

    async def _send(
        self,
        response: web.StreamResponse,
        request: web.BaseRequest,
        made: "_Packets | _Lines",
        moment: Frozen | None,
        watcher: Watcher,
        query: _Query,
    ) -> None:
        await response.prepare(request)
        if request.method == "HEAD":
            return
        await response.write(made.head())
        clock = asyncio.get_running_loop().time
        sent, until, beat = 0, clock() + query.seconds, clock()
        async for lost, records in _portions(watcher, moment, query):
            data = made.feed([(watcher.wall(record.time), record) for record in records], lost)
            data += made.expire(watcher.now())
            if not data and clock() - beat > _BEAT:
                data = made.beat
            if data:
                beat = clock()
                sent += len(data)
                await response.write(data)
            gone = request.transport is None or request.transport.is_closing()
            if gone or made.done or clock() >= until or sent >= query.size:
                break
        await response.write(made.finish())
        await response.write_eof()


async def _not_allowed(request: web.BaseRequest) -> web.StreamResponse:
    response = problem(HTTPStatus.METHOD_NOT_ALLOWED, f"{request.method} is not for this")
    response.headers["Allow"] = "GET, HEAD"
    return response


async def _portions(watcher: Watcher, moment: Frozen | None, query: _Query) -> AsyncIterator[tuple[int, list[Record]]]:
    """A moment, or what is there, or what comes; others have their turn between two."""
    if moment is not None:
        for at in range(0, len(moment.records), 500):
            yield 0, list(moment.records[at : at + 500])
            await asyncio.sleep(0)
    elif query.live:
        async for portion in watcher.follow(_LOOK):
            yield portion
    else:
        end = watcher.tap.next_number
        while watcher.place < end:
            yield watcher.take(min(500, end - watcher.place))
            await asyncio.sleep(0)


class _Packets:
    """A capture for Wireshark."""

    content_type = _PCAPNG
    beat = b""
    done = False

    def __init__(self, watched: Watched) -> None:
        line = watched.line
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        self.headers = {"Content-Disposition": f'attachment; filename="{file_name(line.name)}-{stamp}.pcapng"'}
        self._capture = capture_of(line)
        self.head = self._capture.head
        self.feed = self._capture.feed
        self.finish = self._capture.finish

    def expire(self, now: int) -> bytes:
        """What was held back for long enough."""
        return self._capture.flush() if self._capture.waits(now) else b""


class _Lines:
    """Rows as text: NDJSON, or server-sent events."""

    headers: Mapping[str, str] = {"X-Accel-Buffering": "no"}

    def __init__(self, request: web.BaseRequest, watcher: Watcher, query: _Query) -> None:
        self._rows = Rows(watcher.tap.settings)
        self._wanted = query.wanted
        self._trigger = query.trigger
        self._count = query.count
        self._events = _EVENTS in request.headers.get("Accept", "")
        self.content_type = _EVENTS if self._events else NDJSON
        self.beat = b":\n\n" if self._events else b"\n"
        self.done = False

    def head(self) -> bytes:
        """Something, so that a page knows that it is connected."""
        return b"retry: 2000\n\n" if self._events else b""

    def feed(self, records: list[tuple[int, Record]], lost: int) -> bytes:
        """The rows that pass."""
        return b"".join(map(self._line, self._rows.feed(records, lost)))

    def expire(self, now: int) -> bytes:
        """A row that silence has ended."""
        return b"".join(map(self._line, self._rows.expire(now)))

    def finish(self) -> bytes:
        """The last row."""
        return b"".join(map(self._line, self._rows.flush()))

    def _line(self, row: Row) -> bytes:
        if not self._wanted(row):
            return b""
        if self._count is not None:
            self._count.look(row)
        if self._trigger is None:
            return self._written(row)
        passed = b"".join(map(self._written, self._trigger.feed(row)))
        self.done = self._trigger.done
        return passed

    def _written(self, row: Row) -> bytes:
        text = json.dumps(row.as_json(), separators=(",", ":"), ensure_ascii=False).encode()
        return b"id: %d\ndata: %b\n\n" % (row.number, text) if self._events else text + b"\n"


def _shown(watched: Watched) -> dict[str, Any]:
    line = watched.line
    tap = line.tap()
    now, offset = time.time_ns(), time.time_ns() - tap.clock()
    return {
        "port": line.name,
        "monitor": True,
        "settings": str(tap.settings or "connection"),
        "requests": line.transactions is not None,
        "records": tap.next_number - tap.first_number,
        "bytes": tap.size,
        "lost": tap.lost,
        "watchers": [
            {"who": each.who, "for_s": round((now - each.since - offset) / 1e9, 1), "lost": each.missed}
            for each in tap.watchers
        ],
        "frozen": [
            {
                "number": each.number,
                "cause": each.cause,
                "time": (each.time + offset) / 1e9,
                "records": len(each.records),
            }
            for each in watched.recorder.frozen.values()
        ],
        "recording": asdict(watched.recording.status()) if watched.recording is not None else None,
    }


def _moment(watched: Watched, query: _Query) -> Frozen | None:
    if query.frozen is None:
        return None
    for each in watched.recorder.frozen.values():
        if each.number == query.frozen:
            return each
    numbers = ", ".join(str(each.number) for each in watched.recorder.frozen.values()) or "none"
    raise _Wrong(HTTPStatus.NOT_FOUND, f"no moment {query.frozen} is frozen; there are {numbers}")


def _query(values: Mapping[str, str], known: tuple[str, ...]) -> _Query:
    for name in values:
        if name not in known:
            raise _Wrong(
                HTTPStatus.BAD_REQUEST, f"{name[:40]!r} is not known here; a query may have {', '.join(known)}"
            )
    try:
        seconds = _measure(values["for"], _UNITS, "60s") if "for" in values else _FOREVER
        size = _measure(values["size"], _SIZES, "10MiB") if "size" in values else _FOREVER
        trigger = None
        if "trigger" in values:
            before, after = (_whole(values.get(name, "0"), name) for name in ("before", "after"))
            trigger = Trigger(Filter(values["trigger"]), before, after)
        return _Query(
            live=_flag(values, "live", default=known is _KEYS["monitor"] or "for" in values) and "frozen" not in values,
            history=_flag(values, "history", default=False),
            seconds=seconds,
            size=size,
            frozen=_whole(values["frozen"], "frozen") if "frozen" in values else None,
            wanted=Filter(values.get("filter", "")),
            trigger=trigger,
            count=Count(Filter(values["count"])) if "count" in values else None,
        )
    except ValueError as error:
        raise _Wrong(HTTPStatus.BAD_REQUEST, str(error)) from None


def _flag(values: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = values.get(name)
    if text not in (None, "0", "1"):
        raise ValueError(f"{name} is 0 or 1")
    return default if text is None else text == "1"


def _whole(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise ValueError(f"{name} is a whole number")
    return int(text)


def _measure(text: str, units: Mapping[str, float], example: str) -> float:
    number = text.rstrip("".join(units))
    unit = text[len(number) :]
    if unit not in units or not (number.isascii() and number.isdigit() and len(number) <= 9 and int(number)):
        raise ValueError(f"{text[:20]!r} is none, as in {example}; units are {', '.join(units)}")
    return int(number) * units[unit]

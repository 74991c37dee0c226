"""What the pages show: status as it changes, charts, the log."""

import asyncio
import gzip
import json
import time
from dataclasses import fields
from http import HTTPStatus
from typing import Final

from aiohttp import web

from nportpy import __version__
from nportpy.accounts.roles import Right
from nportpy.console.changes import HEARTBEAT, PERIOD, Changes
from nportpy.console.desk import Desk
from nportpy.console.files import Files
from nportpy.console.routes import Asked, Field, Route, Wrong
from nportpy.console.streams import EVENTS, Stream, Streams
from nportpy.services import archived
from nportpy.services.answers import HEADERS, JSON, NDJSON, found

MOST_TAGS: Final = 8
"""Curves in one chart."""

_CHARTS_AT_ONCE: Final = 2
_LEVELS: Final = ("debug", "info", "warning", "error")
_DAY: Final = 86400


class Looking:
    """Handlers of the routes that change nothing."""

    def __init__(self, desk: Desk, files: Files, streams: Streams) -> None:
        """Of one gateway."""
        self._desk = desk
        self._files = files
        self._streams = streams
        self._changes = Changes(desk.status)
        self._charting = asyncio.Semaphore(_CHARTS_AT_ONCE)

    def routes(self) -> tuple[Route, ...]:
        """They."""
        return (
            Route(
                "GET",
                "/api/v1/events",
                "the status as it changes: the whole first, then paths into it and what stands there now",
                self.events,
                gives=(EVENTS, NDJSON),
                example="-N -H 'Accept: application/x-ndjson' --max-time 2 {url}/api/v1/events",
            ),
            Route(
                "GET",
                "/api/v1/archive/chart",
                "least and greatest values of tags over time, as few points as a picture has",
                self.chart,
                query=(
                    Field("tag", "string", "station/tag; may come again", required=True, many=True, high=200),
                    Field("from", "string", "ISO 8601 with an offset, or seconds since the epoch; a day ago", high=40),
                    Field("to", "string", "the same; now", high=40),
                    Field("points", "integer", "about so many for each tag; 800", low=2, high=4000),
                ),
                example="'{url}/api/v1/archive/chart?tag=emon/power&points=100'",
                schema="Chart",
            ),
            Route(
                "GET",
                "/api/v1/log",
                "the last records of the log, the newest last",
                self.log,
                Right.MONITOR,
                query=(
                    Field("level", "string", "at least this one; debug", choices=_LEVELS),
                    Field("text", "string", "with this in message, logger or values, whatever the case", high=200),
                    Field("after", "integer", "behind this number"),
                ),
                example="'{url}/api/v1/log?level=warning'",
                schema="Log",
            ),
            Route(
                "GET",
                "/api/v1/audit",
                "who did what: the last events, the newest last",
                self.audit,
                Right.AUDIT,
                query=(Field("after", "integer", "behind this number"),),
                example="{url}/api/v1/audit",
                schema="Log",
            ),
        )

    async def events(self, asked: Asked) -> web.StreamResponse:
        """Changes of the status until the client goes."""
        with self._streams.one():
            self._changes.enter()
            try:
                return await self._tell(asked.request)
            finally:
                self._changes.leave()

    async def _tell(self, request: web.BaseRequest) -> web.StreamResponse:
        stream = Stream(request)
        if not await stream.begin():
            return stream.response
        hello = {"event": "hello", "version": __version__, "assets": self._files.hash, "time": time.time()}
        try:
            await stream.say("hello", json.dumps(hello, separators=(",", ":")))
            told, still = 0, 0
            while not stream.gone:
                step = await self._changes.look()
                if not told or step > told + 1:
                    await stream.say("status", self._changes.whole())
                elif step == told + 1:
                    await stream.say("change", self._changes.change())
                elif (still := still + 1) % HEARTBEAT == 0:
                    await stream.say("alive", json.dumps({"event": "alive", "time": time.time()}))
                told = step
                await asyncio.sleep(PERIOD)
        except ConnectionError:
            pass  # it has gone
        return stream.response

    async def chart(self, asked: Asked) -> web.StreamResponse:
        """Curves."""
        archive = self._desk.archive()
        if archive is None:
            raise Wrong(HTTPStatus.NOT_FOUND, "nothing is archived here")
        tags = list(dict.fromkeys(asked.get("tag")))
        if len(tags) > MOST_TAGS:
            raise Wrong(HTTPStatus.BAD_REQUEST, f"{MOST_TAGS} tags at most")
        try:
            now = time.time()
            end = asked.get("to") or str(now)
            _, last = archived.interval(None, end)
            start, last = archived.interval(asked.get("from") or str(last / 1e6 - _DAY), end)
        except (ValueError, OverflowError) as error:
            raise Wrong(HTTPStatus.BAD_REQUEST, str(error)) from error
        async with self._charting:
            began = time.monotonic()
            try:
                curves = await archive.chart(tags, start, last, asked.get("points", 800))
            except LookupError as error:
                raise Wrong(HTTPStatus.NOT_FOUND, str(error.args[0])) from error
        seconds = round(time.monotonic() - began, 6)
        return await packed(
            asked.request,
            {"from": start / 1e6, "to": last / 1e6, "seconds": seconds, "curves": [_shallow(each) for each in curves]},
        )

    async def audit(self, asked: Asked) -> web.StreamResponse:
        """Events."""
        events = self._desk.audit.recent
        return await packed(asked.request, {"newest": events.newest, "records": events.since(asked.get("after", 0))})

    async def log(self, asked: Asked) -> web.StreamResponse:
        """Records."""
        least = _LEVELS.index(asked.get("level", "debug"))
        text = asked.get("text", "").casefold()
        records = [
            each
            for each in self._desk.recent.since(asked.get("after", 0))
            if _rank(str(each.get("level"))) >= least and (not text or text in _searched(each))
        ]
        return await packed(asked.request, {"newest": self._desk.recent.newest, "records": records})


def _rank(level: str) -> int:
    return _LEVELS.index(level) if level in _LEVELS else len(_LEVELS)


def _searched(record: dict[str, object]) -> str:
    return " ".join(str(value) for key, value in record.items() if key not in ("time", "number")).casefold()


async def packed(request: web.BaseRequest, value: object) -> web.StreamResponse:
    """A value as JSON that may be long, packed if the client takes that."""
    if "gzip" not in request.headers.get("Accept-Encoding", ""):
        return found(value)
    body = await asyncio.to_thread(_gzip, value)
    headers = {**HEADERS, "Content-Type": JSON, "Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    return web.Response(body=body, headers=headers)


def _shallow(curve: archived.Curve) -> dict[str, object]:
    """It with its lists as they are: `asdict` would copy each number of them."""
    return {each.name: getattr(curve, each.name) for each in fields(curve)}


def _gzip(value: object) -> bytes:
    return gzip.compress(json.dumps(value, separators=(",", ":")).encode() + b"\n", 1)

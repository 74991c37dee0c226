"""The console as a whole: its files, its routes, and what describes them."""

import asyncio
import gzip
from http import HTTPStatus
from typing import Final

from aiohttp import web

from nportpy.accounts.roles import Right
from nportpy.console.accounts import Accounts
from nportpy.console.acting import Acting
from nportpy.console.bundle import Bundle
from nportpy.console.checking import Checking
from nportpy.console.desk import Desk
from nportpy.console.editing import Editing
from nportpy.console.files import Files
from nportpy.console.looking import Looking
from nportpy.console.openapi import describe
from nportpy.console.routes import Asked, Route, Routes
from nportpy.console.streams import Streams
from nportpy.services.answers import HEADERS, found
from nportpy.services.pages import Found

_FOR_EVER: Final = "public, max-age=31536000, immutable"
_HTML: Final = "text/html; charset=utf-8"


class Console:
    """See `Pages` (services/pages.py)."""

    def __init__(self, desk: Desk) -> None:
        """Of one gateway. Files are read when they are asked for."""
        self._desk = desk
        self._files = Files()
        streams = Streams()
        self.routes = Routes(
            (
                Route("GET", "/assets/{hash}/{name}", "a file of the pages", self._file, Right.OPEN, gives=("*/*",)),
                Route(
                    "GET",
                    "/assets/{hash}/{folder}/{name}",
                    "a file of the pages",
                    self._file,
                    Right.OPEN,
                    gives=("*/*",),
                ),
                Route(
                    "GET",
                    "/api/v1/openapi.json",
                    "this description",
                    self._described,
                    example="{url}/api/v1/openapi.json",
                ),
                *Looking(desk, self._files, streams).routes(),
                *Acting(desk, streams).routes(),
                *Checking(desk).routes(),
                *Editing(desk).routes(),
                *Bundle(desk).routes(),
                *Accounts(desk).routes(),
            ),
            lambda route: desk.count(route.path.rpartition("/")[2], "refused"),
        )

    async def route(self, request: web.BaseRequest) -> Found | None:
        """See `Pages`."""
        if request.path == "/" and request.method in ("GET", "HEAD"):
            if "text/html" not in request.headers.get("Accept", ""):
                return None  # a program: it is told what there is
            return Found(Right.OPEN, lambda _who: self._index(request))
        return self.routes.find(request)

    async def _pack(self) -> None:
        if not self._files.packed:
            await asyncio.to_thread(self._files.pack)  # the lines go on meanwhile

    async def _index(self, request: web.BaseRequest) -> web.StreamResponse:
        await self._pack()
        return _sent(request, _HTML, self._files.index, "no-cache")

    async def _file(self, asked: Asked) -> web.StreamResponse:
        await self._pack()
        folder = asked.get("folder")
        found = self._files.find(f"{folder}/{asked.get('name')}" if folder else asked.get("name"))
        if found is None or asked.get("hash") != self._files.hash:
            return web.Response(status=HTTPStatus.NOT_FOUND, text="404 Not Found\n", headers=HEADERS)
        return _sent(asked.request, *found, _FOR_EVER)

    async def _described(self, _asked: Asked) -> web.StreamResponse:
        return found(describe(self.routes.all))


def _sent(request: web.BaseRequest, kind: str, content: bytes, cache: str) -> web.StreamResponse:
    """What is packed already; every browser takes that, and a program that does not gets it unpacked."""
    headers = {**HEADERS, "Content-Type": kind, "Cache-Control": cache, "Vary": "Accept, Accept-Encoding"}
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        return web.Response(body=content, headers=headers | {"Content-Encoding": "gzip"})
    return web.Response(body=gzip.decompress(content), headers=headers)

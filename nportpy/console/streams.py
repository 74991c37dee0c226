"""Streams that last: as server-sent events, or, to whoever accepts NDJSON (`curl -H 'Accept: ...'`), a line each.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final

from aiohttp import web

from nportpy.console.routes import Wrong
from nportpy.services.answers import HEADERS, NDJSON

EVENTS: Final = "text/event-stream"
MOST: Final = 24
"""Streams at once: some of the connections must be left for whoever only asks something (site.py)."""


class Streams:
    """Counts those that are open."""

    def __init__(self) -> None:
        """None is."""
        self.open = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """One more.

        Raises:
            Wrong: there are too many.
        """
        if self.open >= MOST:
            raise Wrong(HTTPStatus.SERVICE_UNAVAILABLE, f"{MOST} streams are open, and no more may be: close a page")
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1


class Stream:
    """One of them."""

    def __init__(self, request: web.BaseRequest) -> None:
        """Nothing is sent before `begin`."""
        self._request = request
        self._events = NDJSON not in request.headers.get("Accept", "")
        kind = EVENTS if self._events else NDJSON
        headers = {**HEADERS, "Content-Type": kind, "X-Accel-Buffering": "no"}  # nginx would keep it back else
        self.response = web.StreamResponse(headers=headers)

    async def begin(self) -> bool:
        """Say that it is coming; False: nothing more is wanted (RFC 9110, 9.3.2)."""
        await self.response.prepare(self._request)
        if self._request.method == "HEAD":
            return False
        if self._events:
            await self.response.write(b"retry: 1000\n\n")
        return True

    async def say(self, kind: str, text: str) -> None:
        """Send JSON text; waits while the client does not take it.

        Raises:
            ConnectionError: the client has gone.
        """
        data = f"event: {kind}\ndata: {text}\n\n" if self._events else f"{text}\n"
        await self.response.write(data.encode())

    @property
    def gone(self) -> bool:
        """Whether the client is."""
        transport = self._request.transport
        return transport is None or transport.is_closing()

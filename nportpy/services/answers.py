"""What every answer of the HTTP service has in common: its headers, and how it says that something is wrong."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from aiohttp import web

from nportpy.services import report

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"
PROBLEM: Final = "application/problem+json"

HEADERS: Final[Mapping[str, str]] = {
    "Server": "nportpy",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # uPlot and preact set styles through the DOM, which style-src does not touch.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}
"""Nothing is loaded from elsewhere, nothing is put into another page, nothing is kept."""


def problem(status: HTTPStatus, detail: str, **more: object) -> web.Response:
    """What is wrong, as RFC 9457 has it."""
    body = report.text({"title": status.phrase, "status": status.value, "detail": detail} | more) + "\n"
    return web.Response(status=status, body=body.encode(), headers={**HEADERS, "Content-Type": PROBLEM})


def found(value: object) -> web.Response:
    """A value as JSON."""
    body = report.text(value) + "\n"
    return web.Response(body=body.encode(), headers={**HEADERS, "Content-Type": JSON})

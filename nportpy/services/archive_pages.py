"""The pages of archived.py, on aiohttp: the part of `Site` that belongs to the second storey."""

from collections.abc import Callable
from http import HTTPStatus

from aiohttp import web

from nportpy.errors import ArchiveError
from nportpy.network.addresses import address_of
from nportpy.services import archived, report
from nportpy.services.archived import Archived

_JSON = "application/json"
_NOT_CACHED = {"Server": "nportpy", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class ArchivePages:
    """Samples out, and the order to send some again."""

    def __init__(self, find: Callable[[], Archived | None]) -> None:
        """`find` gives the archive, if there is one now."""
        self._find = find

    async def samples(self, request: web.BaseRequest) -> web.StreamResponse:
        """Stream what is kept: it may be much, and the archive serves others between two portions."""
        archive = self._find()
        if archive is None:
            return _problem(HTTPStatus.NOT_FOUND, "nothing is archived here")
        query = request.query
        try:
            start, end = archived.interval(query.get("from"), query.get("to"))
        except ValueError as error:
            return _problem(HTTPStatus.BAD_REQUEST, str(error))
        form = query.get("format", "csv")
        if form not in ("csv", "ndjson"):
            return _problem(HTTPStatus.BAD_REQUEST, f"format is csv or ndjson, not {form[:20]!r}")
        kind = "text/csv; charset=utf-8" if form == "csv" else "application/x-ndjson"
        portions = archive.samples(start, end, query.get("tag", ""))
        first: list[archived.ShownSample] = []
        try:
            first = await anext(portions, first)  # while an error can still be said
        except LookupError as error:
            return _problem(HTTPStatus.BAD_REQUEST, str(error.args[0]))
        except ArchiveError as error:
            return _problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        response = web.StreamResponse(headers={**_NOT_CACHED, "Content-Type": kind})
        await response.prepare(request)
        if form == "csv":
            await response.write(archived.csv_head().encode())
        lines = archived.csv_lines if form == "csv" else archived.json_lines
        await response.write(lines(first).encode())
        async for portion in portions:
            await response.write(lines(portion).encode())
        await response.write_eof()
        return response

    async def send(self, request: web.BaseRequest) -> web.StreamResponse:
        """Send an interval again."""
        if not request.remote or not address_of(request.remote).is_loopback:
            return _problem(HTTPStatus.FORBIDDEN, "from this machine only")
        archive = self._find()
        if archive is None:
            return _problem(HTTPStatus.NOT_FOUND, "nothing is archived here")
        query = request.query
        try:
            start, end = archived.interval(query.get("from"), query.get("to"))
            names = archive.send(query.get("upstream", ""), start, end)
        except (ValueError, LookupError) as error:
            return _problem(HTTPStatus.BAD_REQUEST, str(error.args[0]))
        except ArchiveError as error:
            return _problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        return web.Response(text=report.text({"upstreams": names}) + "\n", content_type=_JSON, headers=_NOT_CACHED)


def _problem(status: HTTPStatus, detail: str) -> web.Response:
    """RFC 9457."""
    body = report.text({"title": status.phrase, "status": status.value, "detail": detail}) + "\n"
    return web.Response(status=status, text=body, content_type="application/problem+json", headers=_NOT_CACHED)

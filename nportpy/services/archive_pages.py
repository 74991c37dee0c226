"""The pages of archived.py, on aiohttp: the part of `Site` that belongs to the second storey."""

from collections.abc import Callable
from http import HTTPStatus

from aiohttp import web

from nportpy.errors import ArchiveError
from nportpy.services import answers, archived
from nportpy.services.answers import problem
from nportpy.services.archived import Archived


class ArchivePages:
    """Samples out, and the order to send some again."""

    def __init__(self, find: Callable[[], Archived | None]) -> None:
        """`find` gives the archive, if there is one now."""
        self._find = find

    async def samples(self, request: web.BaseRequest) -> web.StreamResponse:
        """Stream what is kept: it may be much, and the archive serves others between two portions."""
        archive = self._find()
        if archive is None:
            return problem(HTTPStatus.NOT_FOUND, "nothing is archived here")
        query = request.query
        try:
            start, end = archived.interval(query.get("from"), query.get("to"))
        except ValueError as error:
            return problem(HTTPStatus.BAD_REQUEST, str(error))
        form = query.get("format", "csv")
        if form not in ("csv", "ndjson"):
            return problem(HTTPStatus.BAD_REQUEST, f"format is csv or ndjson, not {form[:20]!r}")
        kind = "text/csv; charset=utf-8" if form == "csv" else "application/x-ndjson"
        portions = archive.samples(start, end, query.get("tag", ""))
        first: list[archived.ShownSample] = []
        try:
            first = await anext(portions, first)  # while an error can still be said
        except LookupError as error:
            return problem(HTTPStatus.BAD_REQUEST, str(error.args[0]))
        except ArchiveError as error:
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        response = web.StreamResponse(headers={**answers.HEADERS, "Content-Type": kind})
        await response.prepare(request)
        if request.method == "HEAD":
            return response
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
        archive = self._find()
        if archive is None:
            return problem(HTTPStatus.NOT_FOUND, "nothing is archived here")
        query = request.query
        try:
            start, end = archived.interval(query.get("from"), query.get("to"))
            names = archive.send(query.get("upstream", ""), start, end)
        except (ValueError, LookupError) as error:
            return problem(HTTPStatus.BAD_REQUEST, str(error.args[0]))
        except ArchiveError as error:
            return problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        return answers.found({"upstreams": names})

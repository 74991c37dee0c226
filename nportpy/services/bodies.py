"""What comes in a request's body, as far as it is JSON."""

import asyncio
import json
from http import HTTPStatus
from typing import Final

from aiohttp import HttpVersion11, web
from aiohttp.http_exceptions import HttpProcessingError

from nportpy.services.answers import JSON

PATIENCE: Final = 20.0
"""Seconds for a whole body: who sends one drop by drop holds a place that others want."""


class BadBody(Exception):
    """It cannot be taken."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        """As `answers.problem`."""
        super().__init__(detail)
        self.status = status
        self.detail = detail


async def content_of(request: web.BaseRequest, most: int) -> bytes:
    """A body of `most` bytes at most.

    Raises:
        BadBody: it is larger, cannot be read, or takes longer than `PATIENCE`.
    """
    try:
        async with asyncio.timeout(PATIENCE):
            await _encourage(request)
            content = await request.content.read(most + 1)
            while len(content) <= most and (more := await request.content.read(most + 1 - len(content))):
                content += more
    except TimeoutError as error:
        raise BadBody(HTTPStatus.REQUEST_TIMEOUT, f"the body did not come within {PATIENCE:g} s") from error
    except (HttpProcessingError, web.RequestPayloadError, web.HTTPException, ConnectionError) as error:
        raise BadBody(HTTPStatus.BAD_REQUEST, "the body cannot be read") from error
    if len(content) > most:
        raise BadBody(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body has {most} bytes at most")
    return content


async def _encourage(request: web.BaseRequest) -> None:
    """Tell who waits for it that the body may come (RFC 9110, 10.1.1), unless it is there."""
    waits = request.version >= HttpVersion11 and request.headers.get("Expect", "").lower() == "100-continue"
    if waits and not request.content.total_bytes:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # it is no part of the answer


async def json_object(request: web.BaseRequest, most: int) -> dict[str, object]:
    """The object of a body of `most` bytes at most; empty if there is none.

    Raises:
        BadBody: it is something else.
    """
    if request.content_type != JSON:  # what a form of another site cannot send
        raise BadBody(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send it as {JSON}: curl -H 'Content-Type: {JSON}'")
    content = await content_of(request, most)
    try:
        body = json.loads(content or b"{}")
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadBody(HTTPStatus.BAD_REQUEST, f"this is not JSON: {error}"[:200]) from error
    except (ValueError, RecursionError) as error:  # a number with thousands of digits; thousands of brackets
        raise BadBody(HTTPStatus.BAD_REQUEST, "this JSON has a number that is too long, or too many levels") from error
    if not isinstance(body, dict):
        raise BadBody(HTTPStatus.BAD_REQUEST, "a JSON object is wanted, as in {}")
    return body

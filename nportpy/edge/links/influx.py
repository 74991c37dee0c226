"""Time series databases that take line protocol over HTTP: InfluxDB 1 and 2, VictoriaMetrics, QuestDB. By aiohttp.

    influx+http://host:8086            POST /api/v2/write?org=..&bucket=.. where a bucket is named, else /write?db=..

An answer of 2xx is the acknowledgement. 400 and 422 say that the points are at fault, 413 that they are too many, and
the batch is halved; 401 and 403 end the connection, as the next one reads user, password and token anew; all others
may be over later (docs.influxdata.com, "API reference", 1.8 and 2). A page for people
(HTML) is no database's answer, whatever its number: a proxy, or the login of a network.
There is nothing to hear on such a link, and no state or tag table: line protocol carries names and units itself.
"""

import asyncio
import contextlib
import zlib
from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode, urlsplit

import aiohttp

from nportpy.edge.links.base import Heard, LinkError, Message, RefusedError
from nportpy.edge.links.credentials import failure_of, password_of, tls_context
from nportpy.edge.settings import UpstreamSettings

_AT_FAULT: Final = frozenset((400, 413, 422))
_NOT_ALLOWED: Final = frozenset((401, 403))
_LEAVE_TIME: Final = 1.0
_WORTH_PACKING: Final = 512
_WORDS: Final = 300  # bytes of an answer that are read


class InfluxLink:
    """See `Link`."""

    carries_types = True

    def __init__(self, url: str, settings: UpstreamSettings) -> None:
        """Not connected yet: `connect` does that."""
        place = urlsplit(url.removeprefix("influx+"))
        self.name = f"influx at {place.hostname}:{place.port or {'http': 80, 'https': 443}[place.scheme]}"
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        base = f"{place.scheme}://{place.netloc.rpartition('@')[2]}{place.path.rstrip('/')}"
        if settings.bucket:
            query = {"org": settings.org, "bucket": settings.bucket, "precision": "ns"}
            self._write = f"{base}/api/v2/write?{urlencode(query)}"
        else:
            self._write = f"{base}/write?{urlencode({'db': settings.database or 'nportpy', 'precision': 'ns'})}"
        self._server_name = (settings.tls.server_name if settings.tls else "") or None
        headers = {"Authorization": f"Token {password_of(settings.token_file)}"} if settings.token_file else {}
        auth = aiohttp.BasicAuth(settings.user, password_of(settings.password_file)) if settings.user else None
        tls = tls_context(settings.tls) if place.scheme == "https" else False
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls, limit=8),
            headers=headers,
            auth=auth,
            timeout=aiohttp.ClientTimeout(total=max(2 * settings.keepalive, 10.0), sock_connect=10.0),
        )

    async def connect(self) -> None:
        """See whether somebody answers there.

        Raises:
            LinkError: nobody does.
        """
        try:
            await self._post(b"")
        except RefusedError:
            pass  # an empty body is no write; that somebody answers is all that was asked
        except BaseException:
            await self.close()
            raise

    async def publish(self, message: Message) -> None:
        """See `Link`."""
        if message.topic not in ("live", "late"):
            return
        await self._post(message.payload)

    async def close(self) -> None:
        """See `Link`."""
        self._lose("closed")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LEAVE_TIME):
                await self._http.close()

    async def _post(self, lines: bytes) -> None:
        packed = len(lines) >= _WORTH_PACKING
        headers = {"Content-Type": "text/plain; charset=utf-8"} | ({"Content-Encoding": "gzip"} if packed else {})
        try:
            answer = await self._http.post(
                self._write,
                data=_gzip(lines) if packed else lines,
                headers=headers,
                allow_redirects=False,
                server_hostname=self._server_name,
            )
            async with answer:
                status, strange = answer.status, answer.content_type == "text/html"
                words = (await answer.content.read(_WORDS)).decode("utf-8", "replace").strip()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            reason = _failure(error)
            self._lose(reason)
            raise LinkError(f"{self.name}: {reason}") from error
        if status < HTTPStatus.MULTIPLE_CHOICES and not strange:
            return
        if strange or HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            there = answer.headers.get("Location", "")
            words = f"it leads to {there:.200}" if there else "a page for people: no database is there"
        if status in _NOT_ALLOWED:
            self._lose(f"refused: {status} {words}")
            raise LinkError(f"{self.name}: refused: {status} {words}")
        raise RefusedError(f"{status} {words}", passing=strange or status not in _AT_FAULT)

    def _lose(self, reason: str) -> None:
        if not self.lost.done():
            self.lost.set_result(reason)


async def connect(url: str, settings: UpstreamSettings, _heard: Heard, _will: Message) -> InfluxLink:
    """A link to a database.

    Raises:
        LinkError: nobody answers there.
    """
    link = InfluxLink(url, settings)
    await link.connect()
    return link


def _failure(error: Exception) -> str:
    """What went wrong below HTTP."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return failure_of(error.certificate_error)
    if isinstance(error, aiohttp.ClientConnectorError):
        return failure_of(error.os_error)
    return "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__


def _gzip(data: bytes) -> bytes:
    packer = zlib.compressobj(1, wbits=zlib.MAX_WBITS | 16)
    return packer.compress(data) + packer.flush()

"""Time series databases that take line protocol over HTTP: InfluxDB 1 and 2, VictoriaMetrics, QuestDB. By aiohttp.

    influx+http://host:8086            POST /api/v2/write?org=..&bucket=.. where a bucket is named, else /write?db=..

An answer of 2xx is the acknowledgement. 4xx says that the points are at fault, and the batch is halved to find which;
401, 403, 404, 408, 413 (split too), 429 and 5xx may be over later (docs.influxdata.com, "API reference", 1.8 and 2).
There is nothing to hear on such a link, and no state or tag table: line protocol carries names and units itself.
"""

import asyncio
import zlib
from http import HTTPStatus
from typing import Final
from urllib.parse import urlencode, urlsplit

import aiohttp

from nportpy.edge.links.base import Heard, LinkError, Message, RefusedError
from nportpy.edge.links.credentials import password_of, tls_context
from nportpy.edge.settings import UpstreamSettings

_PASSING: Final = frozenset((401, 403, 404, 408, 429))
_WORTH_PACKING: Final = 512


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
        await self._http.close()
        self._lose("closed")

    async def _post(self, lines: bytes) -> None:
        packed = len(lines) >= _WORTH_PACKING
        headers = {"Content-Type": "text/plain; charset=utf-8"} | ({"Content-Encoding": "gzip"} if packed else {})
        try:
            answer = await self._http.post(self._write, data=_gzip(lines) if packed else lines, headers=headers)
            async with answer:
                status, words = answer.status, (await answer.text())[:300].strip()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._lose(str(error) or type(error).__name__)
            raise LinkError(f"{self.name}: {error or type(error).__name__}") from error
        if status < HTTPStatus.MULTIPLE_CHOICES:
            return
        reason = f"{status} {words}"
        raise RefusedError(reason, passing=status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR)

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


def _gzip(data: bytes) -> bytes:
    packer = zlib.compressobj(1, wbits=zlib.MAX_WBITS | 16)
    return packer.compress(data) + packer.flush()

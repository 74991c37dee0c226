"""NATS JetStream: a batch is there when the stream's leader says so. By nats-py.

Its own reconnecting is off: a fresh connection each time, as with every link. A URL may name several servers of one
cluster, with commas between. There is no last will: the state is said again at least every keepalive, and one that is
older than one and a half of it is a node that is away.
"""

import asyncio
import contextlib
from typing import Final
from urllib.parse import unquote, urlsplit

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.client import JetStreamContext
from nats.js.errors import APIError, NoStreamResponseError

from nportpy.edge.links.base import Heard, LinkError, Message, RefusedError
from nportpy.edge.links.credentials import failure_of, password_of, tls_context
from nportpy.edge.links.jetstream import DUPLICATES, make_streams
from nportpy.edge.settings import UpstreamSettings

_CONNECT_TIME: Final = 5.0
_LEAVE_TIME: Final = 1.0
_STORED: Final = ("live", "late", "state", "meta")
_REPLICAS: Final = 3


class NatsLink:
    """See `Link`."""

    carries_types = True

    def __init__(self, settings: UpstreamSettings, heard: Heard) -> None:
        """Not connected yet: `connect` does that."""
        self.name = "nats"
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._settings = settings
        self._subjects = f"nportpy.v1.{settings.site}.{settings.node}"
        self._heard = heard
        self._client = Client()
        self._stream: JetStreamContext | None = None
        self._error: Exception | None = None

    async def connect(self, servers: list[str]) -> None:
        """Connect to one of `servers`, make the streams if there are none, and listen to commands.

        Raises:
            LinkError: there is no connection, or no JetStream.
        """
        settings = self._settings
        hosts = ", ".join(urlsplit(each).hostname or each for each in servers)
        secure = servers[0].startswith("tls://") or settings.tls is not None
        password = password_of(settings.password_file) if settings.user else None
        tls = tls_context(settings.tls) if secure else None
        try:
            async with asyncio.timeout(_CONNECT_TIME * (len(servers) + 1)):
                await self._client.connect(
                    servers=servers,
                    error_cb=self._on_error,
                    disconnected_cb=self._on_disconnected,
                    closed_cb=self._on_disconnected,
                    name=f"nportpy {settings.site}/{settings.node}",
                    allow_reconnect=False,
                    connect_timeout=round(_CONNECT_TIME),
                    ping_interval=max(1, round(settings.keepalive / 2)),
                    max_outstanding_pings=2,
                    tls=tls,
                    tls_hostname=(settings.tls.server_name if settings.tls else "") or None,
                    user_credentials=settings.credentials or None,
                    user=settings.user or None,
                    password=password,
                )
                self._stream = self._client.jetstream(timeout=_CONNECT_TIME)
                await make_streams(
                    self._stream, min(_REPLICAS, len(servers)), max(DUPLICATES, 2 * settings.overlap_seconds)
                )
                for kind in ("cmd", "ack"):
                    await self._client.subscribe(f"{self._subjects}.{kind}", cb=self._on_message)
        except (nats.errors.Error, OSError, TimeoutError, ValueError) as error:
            await self.close()
            raise LinkError(f"nats at {hosts}: {_reason(error, self._error)}") from error
        except BaseException:
            await self.close()
            raise
        url = self._client.connected_url
        self.name = f"nats at {url.hostname}:{url.port}" if url is not None else f"nats at {hosts}"

    async def publish(self, message: Message) -> None:
        """See `Link`."""
        if self.lost.done():
            raise LinkError(f"{self.name}: {self.lost.result()}")
        subject = f"{self._subjects}.{message.topic}"
        try:
            if message.topic not in _STORED or self._stream is None:
                await self._client.publish(subject, message.payload)
                return
            headers = {"Content-Type": message.content_type} | ({"Nats-Msg-Id": message.id} if message.id else {})
            await self._stream.publish(subject, message.payload, headers=headers)
        except nats.errors.MaxPayloadError as error:
            raise RefusedError("larger than the server's max_payload", passing=False) from error
        except (APIError, NoStreamResponseError) as error:  # no leader, no quorum, a full stream: all of it may pass
            raise RefusedError(_words(error), passing=True) from error
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise LinkError(f"{self.name}: {_words(error)}") from error

    async def close(self) -> None:
        """See `Link`."""
        transport = self._client._transport  # noqa: SLF001 - close() waits for a server that does not read
        try:
            with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
                async with asyncio.timeout(_LEAVE_TIME):
                    await self._client.close()
        finally:
            for name in ("_io_writer", "_bare_io_writer"):
                writer: asyncio.StreamWriter | None = getattr(transport, name, None)
                if writer is not None:
                    writer.transport.abort()
            self._lose("closed")

    def _lose(self, reason: str) -> None:
        if not self.lost.done():
            self.lost.set_result(reason if self._error is None else _words(self._error))

    async def _on_error(self, error: Exception) -> None:
        self._error = error

    async def _on_disconnected(self) -> None:
        self._lose("the server closed the connection")

    async def _on_message(self, message: Msg) -> None:
        self._heard(message.subject.rpartition(".")[2], message.data)


async def connect(url: str, settings: UpstreamSettings, heard: Heard, _will: Message) -> NatsLink:
    """A link to a cluster: `nats://a:4222,nats://b:4222`, or `nats://a:4222,b:4222`.

    Raises:
        LinkError: there is no connection.
    """
    scheme = url.partition("://")[0]
    servers = [each if "://" in each else f"{scheme}://{each}" for each in url.split(",")]
    link = NatsLink(settings, heard)
    await link.connect([unquote(each) for each in servers])
    return link


def _reason(error: Exception, told: Exception | None) -> str:
    """Why there is no connection: what was told on the way says more than that all servers were tried."""
    cause = told if told is not None and isinstance(error, nats.errors.Error | TimeoutError) else error
    return failure_of(cause) if isinstance(cause, OSError) else _words(cause)


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__

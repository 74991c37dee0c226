"""Batches from NATS JetStream, by one durable pull consumer that all collectors of a group share. By nats-py.

    stream NPORTPY         consumer GROUP   everything that is not acknowledged yet
    stream NPORTPY_STATE   consumer GROUP   the last state and tag table of each node, then every new one

What is acknowledged by nobody within `ACK_WAIT` goes to whoever asks next. An acknowledgement that is lost costs
nothing: the batch comes again and is known.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Sequence
from typing import Final, NoReturn
from urllib.parse import unquote, urlsplit

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError

from nportpy.edge.collect.arrivals import Arrival
from nportpy.edge.collect.intake import Intake
from nportpy.edge.collect.settings import SourceSettings
from nportpy.edge.links.base import LinkError
from nportpy.edge.links.credentials import password_of, tls_context
from nportpy.edge.links.jetstream import SAMPLES, STATES, make_streams

ACK_WAIT: Final = 30.0
_CONNECT_TIME: Final = 5.0
_REPLICAS: Final = 3
_MAX_UNACKNOWLEDGED: Final = 20_000  # of all collectors together
_AT_ONCE: Final = 128
_EXPIRES: Final = 5.0  # seconds that a request stands
_PATIENCE: Final = 5.0  # and that its end may take
_OVER: Final = ("404", "408")  # nothing there, and expired
_HEARTBEAT: Final = "100"
_PAUSE: Final = 0.5
_MOST_FAILURES: Final = 20


class JetStreamSource:
    """See `Source`."""

    def __init__(self, settings: SourceSettings, intake: Intake) -> None:
        """Not connected yet: `connect` does that."""
        self.name = "nats"
        self._settings = settings
        self._intake = intake
        self._client = Client()
        self._lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._error = ""

    async def connect(self, servers: Sequence[str]) -> None:
        """Connect to one of `servers`; make streams and consumers where they are missing.

        Raises:
            LinkError: there is no connection, or no JetStream.
        """
        settings = self._settings
        secure = servers[0].startswith("tls://") or settings.tls is not None
        password = password_of(settings.password_file) if settings.user else None
        tls = tls_context(settings.tls) if secure else None  # before there is a client that would have to be closed
        try:
            async with asyncio.timeout(_CONNECT_TIME * (len(servers) + 1)):
                await self._client.connect(
                    servers=list(servers),
                    error_cb=self._on_error,
                    disconnected_cb=self._on_disconnected,
                    closed_cb=self._on_disconnected,
                    name=f"nportpy collect {settings.group}",
                    allow_reconnect=False,
                    connect_timeout=round(_CONNECT_TIME),
                    ping_interval=max(1, round(settings.keepalive / 2)),
                    max_outstanding_pings=2,
                    tls=tls,
                    user_credentials=settings.credentials or None,
                    user=settings.user or None,
                    password=password,
                )
                stream = self._client.jetstream(timeout=_CONNECT_TIME)
                await make_streams(stream, min(_REPLICAS, len(servers)))
                await self._make_consumer(stream, SAMPLES, DeliverPolicy.ALL)
                await self._make_consumer(stream, STATES, DeliverPolicy.LAST_PER_SUBJECT)
        except (nats.errors.Error, OSError, TimeoutError, ValueError) as error:
            await self.close()
            hosts = ", ".join(urlsplit(each).hostname or each for each in servers)
            raise LinkError(f"nats at {hosts}: {self._error or _words(error)}") from error
        except BaseException:
            await self.close()
            raise
        url = self._client.connected_url
        self.name = f"nats at {url.hostname}:{url.port}" if url is not None else "nats"

    async def _make_consumer(self, stream: JetStreamContext, name: str, begin: DeliverPolicy) -> None:
        group = self._settings.group
        try:
            await stream.consumer_info(name, group)  # whoever has made it with other limits keeps those
        except NotFoundError:
            await stream.add_consumer(
                name,
                ConsumerConfig(
                    durable_name=group,
                    deliver_policy=begin,
                    ack_policy=AckPolicy.EXPLICIT,
                    ack_wait=ACK_WAIT,
                    max_ack_pending=_MAX_UNACKNOWLEDGED,
                    filter_subject=None if begin is DeliverPolicy.ALL else ">",  # the server wants one there
                ),
            )

    async def run(self) -> None:
        """See `Source`."""
        lost: LinkError | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                for each in (SAMPLES, STATES):
                    tasks.create_task(self._pull(each), name=f"pull {each}")
                tasks.create_task(self._until_lost(), name="lost")
        except* LinkError as group:
            lost = LinkError(str(group.exceptions[0]))
        if lost is not None:  # raised in the clause, Python before 3.11.4 would wrap it in a group
            raise lost

    async def acknowledge(self, arrivals: Sequence[Arrival]) -> None:
        """See `Source`."""
        with contextlib.suppress(nats.errors.Error, OSError):
            for each in arrivals:
                assert isinstance(each.receipt, Msg)
                await each.receipt.ack()

    async def give_back(self, arrivals: Sequence[Arrival]) -> None:
        """See `Source`."""
        with contextlib.suppress(nats.errors.Error, OSError):
            for each in arrivals:
                assert isinstance(each.receipt, Msg)
                await each.receipt.nak()

    async def publish(self, topic: str, payload: bytes) -> None:
        """See `Source`."""
        try:
            await self._client.publish(topic.replace("/", "."), payload)
        except (nats.errors.Error, OSError) as error:
            raise LinkError(f"{self.name}: {_words(error)}") from error

    async def close(self) -> None:
        """See `Source`."""
        with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
            async with asyncio.timeout(1.0):
                await self._client.flush(1)  # acknowledgements on their way
        with contextlib.suppress(nats.errors.Error, OSError, TimeoutError):
            async with asyncio.timeout(1.0):
                await self._client.close()

    async def _pull(self, stream: str) -> None:
        """Ask for batches again and again, and take each as it comes (nats-py's `fetch` waits until it has as many).

        The request and its end are JetStream's: docs.nats.io, "JetStream wire API reference", CONSUMER.MSG.NEXT.
        """
        inbox = self._client.new_inbox()
        request = json.dumps({"batch": _AT_ONCE, "expires": round(_EXPIRES * 1e9)}).encode()
        failures = 0
        try:
            messages = await self._client.subscribe(inbox)
            while True:
                await self._intake.room()
                await self._client.publish(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{self._settings.group}", request, inbox)
                error = await self._receive(messages)
                failures = failures + 1 if error else 0
                if failures >= _MOST_FAILURES:
                    raise LinkError(f"{self.name}: {error}")
                if error:  # no leader for the moment, a consumer that is moved
                    await asyncio.sleep(_PAUSE)
        except (nats.errors.Error, OSError) as error:
            raise LinkError(f"{self.name}: {_words(error)}") from error

    async def _receive(self, messages: Subscription) -> str:
        """What one request brings, until it is over; why, where that is not its usual end."""
        left = _AT_ONCE
        while left > 0:
            try:
                message = await messages.next_msg(_EXPIRES + _PATIENCE)
            except TimeoutError:  # nats-py's is one
                return "no answer"
            headers = message.headers or {}
            status = headers.get("Status")
            if status is None:
                now = time.time_ns() // 1000
                kind = headers.get("Content-Type", "")
                self._intake.put(Arrival(message.subject, message.data, kind, now, self, message))
                left -= 1
            elif status in _OVER:
                return ""
            elif status != _HEARTBEAT:
                return f"{status} {headers.get('Description', '')}".rstrip()
        return ""

    async def _until_lost(self) -> NoReturn:
        raise LinkError(f"{self.name}: {await asyncio.shield(self._lost)}")

    async def _on_error(self, error: Exception) -> None:
        self._error = _words(error)

    async def _on_disconnected(self) -> None:
        if not self._lost.done():
            self._lost.set_result(self._error or "the server closed the connection")


async def connect(url: str, settings: SourceSettings, intake: Intake) -> JetStreamSource:
    """A connection to a cluster: `nats://a:4222,nats://b:4222`, or `nats://a:4222,b:4222`.

    Raises:
        LinkError: there is no connection.
    """
    scheme = url.partition("://")[0]
    servers = [each if "://" in each else f"{scheme}://{each}" for each in url.split(",")]
    source = JetStreamSource(settings, intake)
    await source.connect([unquote(each) for each in servers])
    return source


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__

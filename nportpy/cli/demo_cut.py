"""An outage for the demo: a way to the other side that can be cut, so that what is on it vanishes and nobody is told.

To a broker the way is a TCP proxy: packets stop, the client sees its keepalive run out, the broker publishes the last
will. To a file there is no network, and TLS lets nobody between: there the link itself falls silent.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Final, Protocol
from urllib.parse import urlsplit

from nportpy.edge import links
from nportpy.edge.links.base import Heard, Link, LinkError, Message
from nportpy.edge.settings import UpstreamSettings
from nportpy.network.addresses import Endpoint

_HOST: Final = "127.0.0.1"
_CONNECT_TIME: Final = 5.0
_PORTS: Final = {"mqtt": 1883, "nats": 4222}
_AT_ONCE: Final = 65536


class Cut(Protocol):
    """A way that is whole until `begin`, and again from `end` on."""

    async def connect(self, url: str, settings: UpstreamSettings, heard: Heard, will: Message) -> Link:
        """As `links.connect`, over this way."""

    def begin(self) -> None:
        """Cut it."""

    def end(self) -> None:
        """Mend it. Connections from before the cut are reset: what is between has forgotten them."""


class _SilentLink:
    """A link through which nothing goes while its way is cut. See `Link`."""

    def __init__(self, link: Link, way: asyncio.Event) -> None:
        self.name = link.name
        self.carries_types = link.carries_types
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._link = link
        self._way = way
        link.lost.add_done_callback(lambda lost: self.lose(lost.result()))

    async def publish(self, message: Message) -> None:
        """See `Link`."""
        if not self._way.is_set():
            await asyncio.shield(self.lost)
            raise LinkError(f"{self.name}: {self.lost.result()}")
        await self._link.publish(message)

    async def close(self) -> None:
        """See `Link`."""
        await self._link.close()
        self.lose("closed")

    def lose(self, reason: str) -> None:
        """Say that the connection is lost, unless it was already."""
        if not self.lost.done():
            self.lost.set_result(reason)


class LinkCut:
    """See `Cut`: without a network."""

    def __init__(self, keepalive: float) -> None:
        """Whole. After `keepalive` seconds without a sign of life a link is given up."""
        self._keepalive = keepalive
        self._way = asyncio.Event()
        self._way.set()
        self._link: _SilentLink | None = None

    async def connect(self, url: str, settings: UpstreamSettings, heard: Heard, will: Message) -> Link:
        """See `Cut`."""
        try:
            async with asyncio.timeout(_CONNECT_TIME):
                await self._way.wait()
        except TimeoutError:
            raise LinkError(f"no answer within {_CONNECT_TIME:g} s") from None
        self._link = _SilentLink(await links.connect(url, settings, heard, will), self._way)
        return self._link

    def begin(self) -> None:
        """See `Cut`."""
        self._way.clear()
        if self._link is not None:
            reason = f"no sign of life for {self._keepalive:g} s"
            asyncio.get_running_loop().call_later(self._keepalive, self._link.lose, reason)

    def end(self) -> None:
        """See `Cut`."""
        self._way.set()
        if self._link is not None:
            self._link.lose("reset")


class NetworkCut:
    """See `Cut`: TCP proxies before the servers of a broker.

    Attributes:
        url: what an upstream is to be told instead of the broker's.
    """

    def __init__(self, url: str, tasks: asyncio.TaskGroup) -> None:
        """Not listening yet: `listen` does that. Connections are carried in `tasks`."""
        self.url = url
        self._tasks = tasks
        self._way = asyncio.Event()
        self._way.set()
        self._clients: set[asyncio.Task[None]] = set()
        self._before: set[asyncio.Task[None]] = set()  # those that were there when the way was cut
        self._newest: asyncio.StreamWriter | None = None  # that came while the way was cut
        self._servers: list[asyncio.Server] = []

    async def listen(self) -> None:
        """Take connections, at addresses that `url` names from then on."""
        scheme, _, rest = self.url.partition("://")
        places = []
        for place in _places(scheme, rest):
            server = await asyncio.start_server(self._taker(place), _HOST, 0)
            self._servers.append(server)
            places.append(f"{_HOST}:{server.sockets[0].getsockname()[1]}")
        self.url = f"{scheme}://{','.join(places)}"

    async def connect(self, url: str, settings: UpstreamSettings, heard: Heard, will: Message) -> Link:
        """See `Cut`: the URL leads here already."""
        return await links.connect(url, settings, heard, will)

    def begin(self) -> None:
        """See `Cut`."""
        self._before = set(self._clients)
        self._way.clear()

    def end(self) -> None:
        """See `Cut`."""
        for task in self._before:
            task.cancel()
        self._way.set()

    def close(self) -> None:
        """Take no more connections, and end those that are there."""
        for server in self._servers:
            server.close()
        for task in self._clients:
            task.cancel()

    def _taker(self, place: Endpoint) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]:
        def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = self._tasks.create_task(self._take(place, reader, writer), name=f"proxy {place}")
            self._clients.add(task)
            task.add_done_callback(self._clients.discard)

        return take

    async def _take(self, place: Endpoint, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry a connection to its end."""
        try:
            if not self._way.is_set():
                # A client that gave up and came again has left its first attempt here: that one is not carried on, as
                # the broker would take it for the same client.
                self._newest = writer
                await self._way.wait()
                if self._newest is not writer:
                    return
            there_reader, there_writer = await asyncio.open_connection(place.host, place.port)
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._carry(reader, there_writer))
                    both.create_task(self._carry(there_reader, writer))
            finally:
                there_writer.close()
        except* OSError:
            pass  # either side has ended it: so does this one
        finally:
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """What comes from one side goes to the other, its end too; while the way is cut it goes nowhere."""
        while data := await reader.read(_AT_ONCE):
            await self._way.wait()
            writer.write(data)
            await writer.drain()
        await self._way.wait()
        if not writer.is_closing():
            writer.write_eof()


def _places(scheme: str, rest: str) -> Iterator[Endpoint]:
    """The servers that a URL names."""
    for each in rest.split(","):
        place = urlsplit(each if "://" in each else f"{scheme}://{each}")
        yield Endpoint(place.hostname or "", place.port or _PORTS[scheme])

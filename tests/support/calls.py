"""A TCP client on a cable in memory, and hosts that it calls."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from typing import Any

from nportpy.line.arbiter import Line
from nportpy.linesettings import LineSettings
from nportpy.modes.tcp_client import TcpClient
from nportpy.modes.tcp_client_base import TcpClientSettings
from nportpy.network.addresses import Destination
from nportpy.port.loopback import Cable
from nportpy.throttle import Throttle
from tests.support.lines import running
from tests.support.serving import Client, until


class Host:
    """A host: it takes calls while it is open."""

    def __init__(self, address: str = "127.0.0.1", *, reading: bool = True) -> None:
        self.address = address
        self.reading = reading
        self.calls: list[Client] = []
        self.port = 0
        self._server: asyncio.Server | None = None

    @property
    def client(self) -> Client:
        return self.calls[-1]

    @property
    def destination(self) -> Destination:
        return Destination(self.address, self.port)

    async def open(self) -> None:
        sock = socket.socket(socket.AF_INET6 if ":" in self.address else socket.AF_INET)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)  # so that one that does not read soon stalls
        sock.bind((self.address, self.port))
        self.port = sock.getsockname()[1]
        self._server = await asyncio.get_running_loop().create_server(self._answer, sock=sock)

    def _answer(self) -> Client:
        self.calls.append(Client(reading=self.reading))
        return self.calls[-1]

    async def called(self, times: int = 1) -> Client:
        await until(lambda: len(self.calls) >= times and hasattr(self.client, "transport"))
        assert len(self.calls) == times
        return self.client

    def shut(self) -> None:
        """Take no more calls."""
        if self._server is not None:
            self._server.close()

    async def close(self) -> None:
        self.shut()
        for client in self.calls:
            if hasattr(client, "transport"):
                client.transport.abort()
        await until(lambda: all(client.lost for client in self.calls if hasattr(client, "transport")))


@asynccontextmanager
async def hosts(count: int = 1, **kind: Any) -> AsyncIterator[list[Host]]:
    made = [Host(**kind) for _ in range(count)]
    for host in made:
        await host.open()
    try:
        yield made
    finally:
        for host in made:
            await host.close()


@contextmanager
def deaf() -> Iterator[Destination]:
    """A host whose queue is full: it answers no call, and refuses none."""
    with ExitStack() as stack:
        sock = stack.enter_context(socket.socket())
        sock.bind(("127.0.0.1", 0))
        sock.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            with suppress(BlockingIOError):
                waiting.connect(sock.getsockname())
        yield Destination("127.0.0.1", sock.getsockname()[1])


class Calling:
    """A TCP client that runs, and its line."""

    def __init__(self, client: TcpClient, line: Line, cable: Cable) -> None:
        self.client = client
        self.line = line
        self.cable = cable

    @property
    def results(self) -> dict[str, int]:
        return dict(self.client.results)


@asynccontextmanager
async def calling(
    *destinations: Destination, cable: Cable | None = None, line_settings: LineSettings | None = None, **changes: Any
) -> AsyncIterator[Calling]:
    cable = cable or Cable()
    settings = TcpClientSettings(destinations=destinations, **changes)
    async with running(cable, line_settings) as line:
        client = TcpClient(line, "tcp_client", settings, Throttle())
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(client.run())
            try:
                yield Calling(client, line, cable)
            finally:
                client.stop()
        assert not client.sessions
        assert not line.stream.clients
    # Whatever was connected has ended, in one way each.
    ends = {"closed", "inactive", "slow", "line_down", "dead", "error", "shutdown"}
    assert client.results["connected"] == sum(client.results[end] for end in ends)

"""UDP mode on a cable in memory, and peers for it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any

from nportpy.line.arbiter import Line
from nportpy.linesettings import LineSettings
from nportpy.modes.udp import UdpMode
from nportpy.modes.udp_base import Range, UdpSettings
from nportpy.network.addresses import Endpoint, listen_datagrams
from nportpy.port.loopback import Cable
from nportpy.throttle import Throttle
from tests.support.lines import running
from tests.support.serving import until


class Peer:
    """Somebody who sends and hears datagrams."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.sock.bind((host, port))
        self.datagrams: list[bytes] = []
        self.origins: list[tuple[Any, ...]] = []

    @property
    def port(self) -> int:
        return int(self.sock.getsockname()[1])

    @property
    def range(self) -> Range:
        address = ip_address(self.sock.getsockname()[0])
        return Range(address, address, self.port)

    def send(self, data: bytes, to: Endpoint, host: str = "") -> None:
        self.sock.sendto(data, (host or to.host, to.port))

    def look(self) -> list[bytes]:
        try:
            while True:
                data, origin = self.sock.recvfrom(65535)
                self.datagrams.append(data)
                self.origins.append(origin)
        except BlockingIOError:
            return self.datagrams

    async def hears(self, *datagrams: bytes) -> None:
        await until(lambda: len(self.look()) >= len(datagrams))
        assert self.datagrams == list(datagrams)
        self.datagrams = []


class Sending:
    """A service that runs, its line and its peers."""

    def __init__(self, mode: UdpMode, line: Line, cable: Cable) -> None:
        self.mode = mode
        self.line = line
        self.cable = cable
        self.here = mode.endpoints[0]

    async def line_hears(self, data: bytes) -> None:
        await until(lambda: len(self.cable.heard) >= len(data))
        assert self.cable.heard == data

    @property
    def results(self) -> dict[str, int]:
        return dict(self.mode.status().results)


@asynccontextmanager
async def peers(count: int = 1, host: str = "127.0.0.1") -> AsyncIterator[list[Peer]]:
    made = [Peer(host) for _ in range(count)]
    try:
        yield made
    finally:
        for peer in made:
            peer.sock.close()


@asynccontextmanager
async def sending(
    *destinations: Range,
    cable: Cable | None = None,
    line_settings: LineSettings | None = None,
    listen: tuple[Endpoint, ...] = (Endpoint("127.0.0.1", 0),),
    **changes: Any,
) -> AsyncIterator[Sending]:
    cable = cable or Cable()
    sockets = [listen_datagrams(endpoint) for endpoint in listen]
    try:
        async with running(cable, line_settings) as line:
            settings = UdpSettings(listen=listen, destinations=destinations, **changes)
            mode = UdpMode(line, "udp", settings, sockets, Throttle())
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(mode.run())
                await until(lambda: line.stream.clients or mode._hushed)
                try:
                    yield Sending(mode, line, cable)
                finally:
                    mode.stop()
            assert not mode.sessions
            assert not line.stream.clients
    finally:
        for sock in sockets:
            sock.close()
    assert mode.results["accepted"] == mode.results["kicked"] + mode.results["shutdown"]

"""Every operation mode as a table of a configuration file, and somebody at its other side to talk with."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import fields, replace
from typing import Any

from nportpy.config import parse
from nportpy.gateway.plans import GatewaySettings
from nportpy.network.addresses import Endpoint
from nportpy.port.loopback import Cable
from tests.support.calls import Host as Called
from tests.support.datagrams import Peer
from tests.support.realcom_serving import Host as Driver
from tests.support.serving import Client, Served, TelnetClient, connect, serving, settle, until

HOST = f"127.78.{os.getpid() % 250 + 1}.1"  # nobody else's, and the ports are not those that clients get
THERE = "there"  # the port at the far end of a pair

_OFFERED = b"\xff\xfb\x01\xff\xfb\x03"  # WILL ECHO, WILL SUPPRESS-GO-AHEAD


class Way:
    """A mode on a cable of its name, and its other side.

    Attributes:
        kind: the mode, and the port's name.
        cable: its line.
        table: what the file says of it; `changed`: and a line that makes it another service.
    """

    kind: str
    table = ""
    changed = 'packing = "gap"'

    def __init__(self, place: int = 1, port: str = "") -> None:
        """`place` is another one for each of a gateway; `port` is the port's name, if it is not the mode's."""
        self.name = port or self.kind
        self.cable = Cable(f"/dev/{self.name}")
        self.device = self.cable.name
        self.number = 4000 + 10 * place

    def text(self, *, changed: bool = False) -> str:
        """The mode's table."""
        table = self.table.format(host=HOST, port=self.number, other=self.number + 1)
        return f"[port.{self.name}.{self.kind}]\n{table}\n{self.changed if changed else ''}\n"

    def line(self, more: str = "") -> str:
        """The port's table."""
        return f'[port.{self.name}]\ndevice = "{self.device}"\ntrace = true\nbaudrate = 115200\n{more}\n'

    async def start(self) -> None:
        """Be there to be called."""

    async def join(self, served: Served) -> None:
        """Be connected, or know that one is."""
        raise NotImplementedError

    def say(self, data: bytes) -> None:
        """Send something to the line."""
        raise NotImplementedError

    @property
    def heard(self) -> bytes:
        """What came from the line."""
        raise NotImplementedError

    @property
    def lost(self) -> bool:
        """Whether there is no connection."""
        raise NotImplementedError

    async def close(self) -> None:
        """Be there no more."""

    async def both_ways(self, text: bytes = b"hello") -> None:
        """What is said at one side is heard at the other."""
        heard, theirs = len(self.heard), len(self.cable.heard)
        self.cable.far.write(b"from the line " + text)
        await until(lambda: self.heard[heard:] == b"from the line " + text)
        self.say(b"to the line " + text)
        await until(lambda: self.cable.heard[theirs:] == b"to the line " + text)


class Raw(Way):
    kind = "raw"
    table = 'listen = "{host}:{port}"'
    client: Client

    async def join(self, served: Served) -> None:
        self.cable.listener.heard.clear()
        before = served.results(self.kind, self.name).get("accepted", 0)
        self.client = await self.connected()
        await until(lambda: served.results(self.kind, self.name).get("accepted", 0) > before)
        await self.settled()

    async def connected(self) -> Client:
        return await connect(Client, self.number, HOST)

    async def settled(self) -> None:
        """The beginnings are over."""

    def say(self, data: bytes) -> None:
        self.client.send(data)

    @property
    def heard(self) -> bytes:
        return bytes(self.client.heard)

    @property
    def lost(self) -> bool:
        return not hasattr(self, "client") or self.client.lost

    async def close(self) -> None:
        if hasattr(self, "client"):
            await self.client.close()


class Rfc2217(Raw):
    kind = "rfc2217"

    async def connected(self) -> Client:
        client = await connect(TelnetClient, self.number, HOST)
        await until(lambda: client.settled)
        return client


class ReverseTelnet(Raw):
    kind = "reverse_telnet"
    changed = 'break_time = "500ms"'

    async def settled(self) -> None:
        await self.client.hears(_OFFERED)
        self.client.heard.clear()


class Modem(Raw):
    kind = "modem"
    table = 'listen = "{host}:{port}"\ninit = "E0S0=1"'
    changed = 'ring_every = "2s"'

    async def settled(self) -> None:
        await until(lambda: self.cable.heard.endswith(b"00\r\n"))  # CONNECT and the speed


class RealCom(Way):
    kind = "realcom"
    table = 'data = "{host}:{port}"\ncommand = "{host}:{other}"'
    driver: Driver

    async def join(self, served: Served) -> None:
        await until(lambda: not served.service(self.kind, self.name).clients)
        driver = Driver()
        await driver.connect((self.number, self.number + 1), HOST)
        self.driver = driver
        await driver.open()

    def say(self, data: bytes) -> None:
        self.driver.write(data)

    @property
    def heard(self) -> bytes:
        return bytes(self.driver.driver.received)

    @property
    def lost(self) -> bool:
        return not hasattr(self, "driver") or self.driver.lost

    async def close(self) -> None:
        if hasattr(self, "driver"):
            self.driver.hang_up()
            await until(lambda: self.lost)


class TcpClient(Way):
    kind = "tcp_client"
    table = 'to = "{host}:{port}"'
    changed = 'keep = "1KiB"'

    async def start(self) -> None:
        self.host = Called(HOST)
        self.host.port = self.number
        await self.host.open()

    async def join(self, served: Served) -> None:
        await until(lambda: not self.lost)
        await until(lambda: served.service(self.kind, self.name).clients)

    def say(self, data: bytes) -> None:
        self.host.client.send(data)

    @property
    def heard(self) -> bytes:
        return bytes(self.host.client.heard)

    @property
    def lost(self) -> bool:
        return not self.host.calls or not hasattr(self.host.client, "transport") or self.host.client.lost

    async def close(self) -> None:
        await self.host.close()


class Udp(Way):
    kind = "udp"
    table = 'listen = "{host}:{port}"\nto = "{host}:{other}"'
    lost = False

    async def start(self) -> None:
        self.peer = Peer(HOST, self.number + 1)

    async def join(self, served: Served) -> None:
        before = served.service(self.kind, self.name)
        await until(lambda: served.service(self.kind, self.name).listen)
        if not before.clients:
            self.say(b"")
            await until(lambda: served.service(self.kind, self.name).clients)

    def say(self, data: bytes) -> None:
        for start in range(0, max(1, len(data)), 1000):
            self.peer.send(data[start : start + 1000], Endpoint(HOST, self.number))

    @property
    def heard(self) -> bytes:
        return b"".join(self.peer.look())

    async def close(self) -> None:
        self.peer.sock.close()


class Pair(Way):
    kind = "pair"
    table = 'to = "{host}:{other}"'

    def __init__(self, place: int = 1, port: str = "") -> None:
        super().__init__(place, port)
        self.there = Cable(f"/dev/{THERE}")
        self.device_there = self.there.name
        self._served: Served | None = None

    def line(self, more: str = "") -> str:
        there = f'[port.{THERE}]\ndevice = "{self.device_there}"\nbaudrate = 115200\n[port.{THERE}.rfc2217]\n'
        return f'{there}listen = "{HOST}:{self.number + 1}"\n{super().line(more)}'

    async def join(self, served: Served) -> None:
        self._served = served
        await until(lambda: not self.lost)
        await settle(0.5)  # the options are settled

    def say(self, data: bytes) -> None:
        self.there.far.write(data)

    @property
    def heard(self) -> bytes:
        return self.there.heard

    @property
    def lost(self) -> bool:
        if self._served is None:
            return True
        services = {(each.port, each.service): each for each in self._served.gateway.status().services}
        return not all(
            key in services and services[key].clients for key in ((self.name, self.kind), (THERE, "rfc2217"))
        )


WAYS: dict[str, type[Way]] = {
    way.kind: way for way in (Raw, Rfc2217, ReverseTelnet, Modem, RealCom, TcpClient, Udp, Pair)
}


def parsed(*tables: str) -> GatewaySettings:
    """What a file says, but for http, which is on if nothing is said; discovery is on an address of this test run."""
    settings = replace(parse("\n".join(tables), "test"), http=None)
    if settings.discovery is None:
        return settings
    return replace(settings, discovery=replace(settings.discovery, listen=(Endpoint(HOST, 4800),)))


def others(settings: GatewaySettings) -> dict[str, Any]:
    """Its settings but for the ports, as `serving` takes them."""
    return {each.name: getattr(settings, each.name) for each in fields(settings) if each.name != "ports"}


@asynccontextmanager
async def serving_text(
    *tables: str, ways: Sequence[Way] = (), cables: Sequence[Cable] = (), **more: Any
) -> AsyncIterator[Served]:
    """A gateway from the text of its file, with the other sides of these modes there, and not connected."""
    settings = parsed(*tables)
    found = [cable for way in ways for cable in (way.cable, getattr(way, "there", None)) if cable is not None]
    for way in ways:
        await way.start()
    try:
        async with serving(*settings.ports, cables=[*found, *cables], **more, **others(settings)) as served:
            yield served
    finally:
        for way in ways:
            await way.close()

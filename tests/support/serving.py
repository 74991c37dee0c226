"""A gateway on cables in memory, its ports chosen by the kernel, and clients for it."""

import asyncio
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar, cast

from nportpy.gateway.plans import GatewaySettings, PortPlan
from nportpy.gateway.running import Gateway
from nportpy.line.stream_base import StreamSettings
from nportpy.linesettings import LineSettings
from nportpy.modbus.settings import BusSettings
from nportpy.modes.modbus_base import MasterSettings, ModbusSettings
from nportpy.modes.raw_base import RawSettings
from nportpy.modes.rfc2217_base import Rfc2217Settings
from nportpy.network.addresses import Endpoint
from nportpy.port.base import Opener, PortSettings
from nportpy.port.loopback import Cable, opener_of
from nportpy.protocols import rfc2217, telnet
from nportpy.protocols.telnet import Option
from nportpy.status import BusStatus, LineStatus, ServiceStatus
from tests.support.clock import VirtualLoop

ANY_PORT = (Endpoint("127.0.0.1", 0),)
IAC_SB, IAC_SE = b"\xff\xfa\x2c", b"\xff\xf0"

M = TypeVar("M", bound=rfc2217.Message)


async def until(condition: Callable[[], Any], within: float = 10.0) -> None:
    """Wait until something is so; in real time for thrice as long, as a busy machine takes what it takes. Virtual time
    flies, and the kernel is late with its sockets' bytes: it has a second of its own."""
    loop = asyncio.get_running_loop()
    end = loop.time() + (within if isinstance(loop, VirtualLoop) else 3 * within)
    real_end = time.monotonic() + min(within, 1.0)
    while not condition():
        await asyncio.sleep(0.005)
        if loop.time() >= end:
            if time.monotonic() >= real_end:
                raise TimeoutError(f"not within {within} s")
            time.sleep(0.01)  # noqa: ASYNC251 - the loop stands still, and with it virtual time


def raw(**changes: Any) -> RawSettings:
    return RawSettings(**({"listen": ANY_PORT} | changes))


def com(**changes: Any) -> Rfc2217Settings:
    return Rfc2217Settings(**({"listen": ANY_PORT} | changes))


def plan(
    name: str = "cable",
    *services: RawSettings | Rfc2217Settings | ModbusSettings | MasterSettings,
    line: LineSettings | None = None,
    stream: StreamSettings | None = None,
    bus: BusSettings | None = None,
    device: str = "",
    **port: Any,
) -> PortPlan:
    """A port on the cable of its name."""
    return PortPlan(
        name=name,
        port=PortSettings(device or name, line or LineSettings(115200), **port),
        stream=stream or StreamSettings(),
        raw=tuple(service for service in services if isinstance(service, RawSettings)),
        rfc2217=tuple(service for service in services if isinstance(service, Rfc2217Settings)),
        bus=bus,
        modbus=tuple(service for service in services if isinstance(service, ModbusSettings)),
        master=next((service for service in services if isinstance(service, MasterSettings)), None),
    )


def settings(*plans: PortPlan, **changes: Any) -> GatewaySettings:
    return GatewaySettings(**({"name": "test", "ports": plans, "http": None, "drain": 2.0} | changes))


class Served:
    """A gateway that runs, and shortcuts to look at it."""

    def __init__(self, gateway: Gateway, task: asyncio.Task[None]) -> None:
        self.gateway = gateway
        self.task = task

    def line(self, name: str = "cable") -> LineStatus:
        return next(line for line in self.gateway.status().lines if line.name == name)

    def service(self, service: str = "raw", port: str = "cable") -> ServiceStatus:
        services = self.gateway.status().services
        return next(status for status in services if (status.port, status.service) == (port, service))

    def bus(self, name: str = "cable") -> BusStatus:
        return next(bus for bus in self.gateway.status().buses if bus.name == name)

    def results(self, service: str = "raw", port: str = "cable") -> dict[str, int]:
        return dict(self.service(service, port).results)

    def port(self, service: str = "raw", port: str = "cable") -> int:
        return int(self.service(service, port).listen[0].rpartition(":")[2])

    async def raw(self, service: str = "raw", port: str = "cable", **kind: Any) -> "Client":
        return await self._connected(Client, service, port, **kind)

    async def telnet(self, service: str = "rfc2217", port: str = "cable", **kind: Any) -> "TelnetClient":
        client = await self._connected(TelnetClient, service, port, **kind)
        if client.agrees:
            await until(lambda: client.settled)
        return client

    async def _connected(self, make: "type[C]", service: str, port: str, **kind: Any) -> "C":
        """A client that the service has let in."""
        before = self.results(service, port).get("accepted", 0)
        client = await connect(make, self.port(service, port), **kind)
        await until(lambda: client.lost or self.results(service, port).get("accepted", 0) > before)
        return client


C = TypeVar("C", bound="Client")


async def connect(
    make: "type[C]",
    port: int,
    host: str = "127.0.0.1",
    *,
    source: str = "",
    tls: ssl.SSLContext | None = None,
    **kind: Any,
) -> "C":
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # only with a protocol there is no Nagle delay
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)  # so that a client that does not read soon stalls
    try:
        if source:
            sock.bind((source, 0))
        await loop.sock_connect(sock, (host, port))
    except OSError:
        sock.close()
        raise
    name = "localhost" if tls is not None else None
    _, client = await loop.create_connection(lambda: make(**kind), sock=sock, ssl=tls, server_hostname=name)
    return client


@asynccontextmanager
async def serving(
    *plans: PortPlan, cables: Sequence[Cable] = (), opener: Opener | None = None, up: bool = True, **changes: Any
) -> AsyncIterator[Served]:
    """Run a gateway; at the end stop it, and it must end well."""
    gateway = Gateway(settings(*plans, **changes), opener=opener or opener_of(*cables))
    async with asyncio.TaskGroup() as tasks:
        served = Served(gateway, tasks.create_task(gateway.run()))
        try:
            await gateway.ready.wait()
            if up:
                await until(lambda: all(line.state == "up" for line in gateway.status().lines))
            yield served
        finally:
            gateway.stop()
            async with asyncio.timeout(30):
                await asyncio.wait([served.task])


class Client(asyncio.Protocol):
    """A TCP client that keeps what it hears."""

    def __init__(self, *, reading: bool = True) -> None:
        self.heard = bytearray()
        self.eof = False
        self.lost = False
        self.error: Exception | None = None
        self.reading = reading
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if not self.reading:
            asyncio.get_running_loop().call_soon(self.transport.pause_reading)

    def data_received(self, data: bytes) -> None:
        self.heard += data

    def eof_received(self) -> bool:
        self.eof = True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self.error = exc

    def send(self, data: bytes) -> None:
        self.transport.write(data)

    def half_close(self) -> None:
        self.transport.write_eof()

    def read_on(self) -> None:
        self.transport.resume_reading()

    async def close(self) -> None:
        self.transport.close()
        await until(lambda: self.lost)

    async def reset(self) -> None:
        """End the connection with RST."""
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()
        await until(lambda: self.lost)

    async def hears(self, data: bytes, within: float = 10.0) -> None:
        """All that was heard is `data`, or becomes it."""
        try:
            await until(lambda: len(self.heard) >= len(data), within)
        except TimeoutError:
            raise AssertionError(f"heard {bytes(self.heard)!r}, not {data!r}") from None
        assert bytes(self.heard) == data


class TelnetClient(Client):
    """A telnet client with RFC 2217.

    Attributes:
        heard: the line's data; raw: everything.
        answers: what option 44 said, in order.
    """

    def __init__(self, *, agrees: bool = True, reading: bool = True) -> None:
        super().__init__(reading=reading)
        self.raw = bytearray()
        self.agrees = agrees
        self.answers: list[rfc2217.Message] = []
        self.commands: list[telnet.Event] = []
        binary = {Option.TRANSMIT_BINARY, Option.SUPPRESS_GO_AHEAD}
        self.codec = telnet.TelnetCodec(
            us=frozenset(binary | {Option.COM_PORT_OPTION}), them=frozenset(binary | {Option.ECHO})
        )

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        if self.agrees:
            self.codec.ask_us(Option.COM_PORT_OPTION)
            self.send_telnet(self.codec.take_output())

    @property
    def settled(self) -> bool:
        """The option is on and the first answer, the modem state, is there."""
        return bool(self.answers) and self.codec.plain_out and self.codec.plain

    def data_received(self, data: bytes) -> None:
        self.raw += data
        if not self.agrees:
            return
        for event in self.codec.feed(data):
            match event:
                case telnet.Data(piece):
                    self.heard += piece
                case telnet.Subnegotiation(Option.COM_PORT_OPTION, payload):
                    message = rfc2217.decode(payload, from_client=False)
                    assert not isinstance(message, rfc2217.Unknown | rfc2217.Malformed), message
                    self.answers.append(message)
                case _:
                    self.commands.append(event)
        self.send_telnet(self.codec.take_output())

    def send_telnet(self, data: bytes) -> None:
        """Bytes as they are."""
        if data:
            self.transport.write(data)

    def send(self, data: bytes) -> None:
        self.transport.write(self.codec.encode(data))

    def request(self, message: rfc2217.Message) -> None:
        self.subnegotiate(rfc2217.encode(message, to_client=False))

    def subnegotiate(self, payload: bytes) -> None:
        self.send_telnet(self.codec.encode_subnegotiation(Option.COM_PORT_OPTION, payload))

    async def ask(self, message: "rfc2217.Message | bytes", within: float = 10.0) -> rfc2217.Message:
        """Send a request, or a payload, and return the next answer."""
        count = len(self.answers)
        self.subnegotiate(message if isinstance(message, bytes) else rfc2217.encode(message, to_client=False))
        await until(lambda: len(self.answers) > count, within)
        return self.answers[count]

    async def told(self, kind: type[M], within: float = 10.0) -> M:
        """The first answer of a kind from now on."""
        count = len(self.answers)
        found: list[M] = []

        def look() -> bool:
            found.extend(answer for answer in self.answers[count:] if isinstance(answer, kind))
            return bool(found)

        await until(look, within)
        return found[0]


async def settle(seconds: float = 0.05) -> None:
    """Let everything that is under way arrive."""
    await asyncio.sleep(seconds)

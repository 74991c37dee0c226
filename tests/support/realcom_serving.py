"""A Real COM service on a cable, and the strict client with sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from nportpy.line.arbiter import Line
from nportpy.line.stream_base import StreamSettings
from nportpy.linesettings import LineSettings
from nportpy.modes.realcom import RealCom
from nportpy.modes.realcom_base import RealComSettings
from nportpy.network.access import AccessLimits
from nportpy.network.addresses import Endpoint, listen
from nportpy.network.service import AccessSettings
from nportpy.port.loopback import Cable
from nportpy.throttle import Throttle
from tests.support.lines import running
from tests.support.realcom import Call, Driver
from tests.support.serving import Client, connect, until


class Commands(Client):
    """A command connection; `pieces` is what each read brought."""

    def __init__(self, machine: "Host | None" = None) -> None:
        super().__init__()
        self.machine = machine
        self.pieces: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.pieces.append(data)
        if self.machine is not None:
            self.machine.command_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.machine is not None:
            self.machine.ended()


class Data(Client):
    """A data connection."""

    def __init__(self, machine: "Host | None" = None) -> None:
        super().__init__()
        self.machine = machine

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.machine is not None:
            self.machine.driver.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.machine is not None:
            self.machine.ended()


class Host:
    """A machine with the driver: the port is open, or a program opens it by `call`.

    Attributes:
        late: seconds that bytes of the data connection come after commands of the same moment; None: not at all.
    """

    def __init__(self, driver: Driver | None = None, *, source: str = "", late: float = 0.0) -> None:
        self.driver = driver or Driver()
        self.source = source
        self.late = late
        self.commands = Commands(self)
        self.data = Data(self)
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    async def connect(
        self, ports: tuple[int, int], host: str = "127.0.0.1", *, recover: bool = False, data_first: bool = False
    ) -> None:
        """Both connections, as the driver makes them."""
        data_port, command_port = ports
        self._closed = False

        async def data() -> None:
            self.data = await connect(Data, data_port, host, source=self.source, machine=self)

        if data_first:
            await data()
        self.commands = await connect(Commands, command_port, host, source=self.source, machine=self)
        if not data_first:
            await data()
        if not (self.commands.lost or self.data.lost):
            self.driver.connected(self._now(), recover=recover)
            self.pump()

    def pump(self) -> None:
        """Send what the driver has to send, and see to its time."""
        if self._closed:
            return
        for piece in self.driver.take_commands():
            self.commands.send(piece)
        if data := self.driver.take_data():
            if self.late:
                asyncio.get_running_loop().call_later(self.late, self.data.send, data)
            else:
                self.data.send(data)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self.driver.deadline()
        if due is not None:
            self._timer = asyncio.get_running_loop().call_at(due, self._expire)

    def _expire(self) -> None:
        self.driver.expire(self._now())
        self.pump()

    def command_received(self, data: bytes) -> None:
        self.driver.command_received(data, self._now())
        self.pump()

    def ended(self) -> None:
        """Either connection has ended: the driver ends the other."""
        if not self._closed:
            self._closed = True
            self.driver.disconnected()
            if self._timer is not None:
                self._timer.cancel()
            for each in (self.commands, self.data):
                if hasattr(each, "transport"):
                    each.transport.close()

    async def call(self, call: Call, within: float = 100.0) -> str:
        """A system call, to its end; what it returns."""
        self.driver.call(call, self._now())
        self.pump()
        await until(lambda: self.driver.result is not None or self._closed, within)
        assert self.driver.result is not None, "the connection ended first"
        return self.driver.result

    async def open(self) -> None:
        assert await self.call(self.driver.open()) == ""

    async def close(self) -> None:
        """The program closes the port."""
        assert await self.call(self.driver.close()) == ""
        self.hang_up()
        await until(lambda: self.lost)

    def hang_up(self) -> None:
        """End both connections."""
        self.ended()

    def write(self, data: bytes) -> None:
        """The daemon sends it after commands of the same moment."""
        self.driver.write(data)
        self.pump()

    @property
    def lost(self) -> bool:
        return self.commands.lost and self.data.lost


class Served:
    """A service that runs, its line and its cable."""

    def __init__(self, service: RealCom, line: Line, cable: Cable) -> None:
        self.service = service
        self.line = line
        self.cable = cable

    @property
    def ports(self) -> tuple[int, int]:
        data, command = self.service.endpoints
        return data.port, command.port

    @property
    def results(self) -> dict[str, int]:
        return dict(self.service.status().results)

    async def host(self, driver: Driver | None = None, *, ipv6: bool = False, **kind: Any) -> Host:
        """A machine that is connected, and whose program has opened the port."""
        host = Host(driver or Driver(ipv6=ipv6), **kind)
        await host.connect(self.ports, "::1" if ipv6 else "127.0.0.1")
        await host.open()
        return host

    async def pair(self, source: str = "") -> tuple[Commands, Data]:
        """The two connections of a client that has no driver."""
        before = len(self.service.sessions)
        commands = await connect(Commands, self.ports[1], source=source)
        data = await connect(Data, self.ports[0], source=source)
        await until(lambda: data.lost or len(self.service.sessions) > before)
        return commands, data


@asynccontextmanager
async def serving(
    cable: Cable | None = None,
    *,
    line: LineSettings | None = None,
    stream: StreamSettings | None = None,
    where: str = "127.0.0.1",
    **changes: Any,
) -> AsyncIterator[Served]:
    """Run a service; in the end stop it, and it must end well."""
    cable = cable or Cable()
    settings = RealComSettings(data=(Endpoint(where, 0),), command=(Endpoint(where, 0),), **changes)
    async with AsyncExitStack() as stack:
        sockets = [stack.enter_context(listen(Endpoint(where, 0))) for _ in range(2)]
        wire = await stack.enter_async_context(running(cable, line or LineSettings(115200), stream))
        service = RealCom(
            wire, "realcom", settings, sockets[:1], sockets[1:], AccessLimits(AccessSettings()), Throttle()
        )
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(service.run())
            try:
                yield Served(service, wire, cable)
            finally:
                service.stop()
                async with asyncio.timeout(30):
                    await asyncio.wait([task])
        results = service.status().results
        assert results.get("accepted", 0) == sum(results.values()) - results.get("accepted", 0) - sum(
            count for result, count in results.items() if result.startswith("refused")
        )

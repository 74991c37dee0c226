"""Pair connection across pseudo-terminals: ser2net as the far end, and nportpy itself."""

import asyncio
import os
import random
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from nportpy.line.arbiter import Line
from nportpy.linesettings import LineSettings
from nportpy.modes.pair import Pair
from nportpy.modes.pair_base import PairSettings
from nportpy.network.addresses import Destination, Endpoint
from nportpy.port.ioctls import Termios2
from nportpy.port.loopback import Cable
from nportpy.port.tty import open_tty
from nportpy.throttle import Throttle
from tests.support.free_ports import free_port
from tests.support.lines import running
from tests.support.peers import null_modem, program
from tests.support.serving import com, plan, serving, until

pytestmark = [
    pytest.mark.peer,
    pytest.mark.real,
    pytest.mark.skipif(not shutil.which("socat"), reason="no socat here"),
]

_SER2NET = """%YAML 1.1
---
connection: &line
  accepter: telnet(rfc2217),tcp(nodelay),127.0.0.1,{port}
  connector: serialdev,{device},115200n81,local
  options:
    chardelay: false
"""


@asynccontextmanager
async def ser2net(folder: Path, device: str, port: int) -> AsyncIterator[None]:
    file = folder / "ser2net.yaml"
    file.write_text(_SER2NET.format(device=device, port=port))
    async with program("ser2net", "-n", "-u", "-c", str(file)):
        yield


@asynccontextmanager
async def nportpy(_folder: Path, device: str, port: int) -> AsyncIterator[None]:
    service = com(listen=(Endpoint("127.0.0.1", port),))
    async with serving(plan("far", service, device=device), opener=open_tty):
        yield


FAR_ENDS = {"ser2net": ser2net, "nportpy": nportpy}
either = pytest.mark.parametrize(
    "kind",
    [
        pytest.param("ser2net", marks=pytest.mark.skipif(not shutil.which("ser2net"), reason="no ser2net here")),
        "nportpy",
    ],
)


class Device:
    """What hangs at the end of a null modem."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        self.heard = bytearray()
        self._waiting = bytearray()
        asyncio.get_running_loop().add_reader(self._file, self._read)

    def _read(self) -> None:
        self.heard += os.read(self._file, 65536)

    def write(self, data: bytes) -> None:
        """Send it, as the terminal takes it."""
        self._waiting += data
        asyncio.get_running_loop().add_writer(self._file, self._go_on)

    def _go_on(self) -> None:
        del self._waiting[: os.write(self._file, self._waiting[:1024])]
        if not self._waiting:
            asyncio.get_running_loop().remove_writer(self._file)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._file)
        asyncio.get_running_loop().remove_writer(self._file)
        os.close(self._file)


class Ends:
    """Two devices, and the cable of two gateways between them."""

    def __init__(self, here: Device, there: Device, far_line: str, line: Line, pair: Pair) -> None:
        self.here = here
        self.there = there
        self.far_line = far_line
        self.line = line
        self.pair = pair

    @property
    def far_speed(self) -> int:
        """What the far end's line is set to."""
        file = os.open(self.far_line, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            return int(Termios2(file).ospeed)
        finally:
            os.close(file)

    async def carries(self, size: int) -> None:
        """Whether bytes arrive as they are, both ways at once."""
        sent = random.Random(size).randbytes(size)
        for device in (self.here, self.there):
            device.heard.clear()
            device.write(sent)
        await until(lambda: len(self.here.heard) == len(self.there.heard) == size, within=30)
        assert self.here.heard == self.there.heard == sent

    async def joined(self, times: int = 1) -> None:
        await until(
            lambda: (
                self.pair.results["connected"] >= times and self.pair.sessions and not self.pair.sessions[0].suspended
            ),
            within=30,
        )


@asynccontextmanager
async def paired(folder: Path, port: int) -> AsyncIterator[Ends]:
    async with (
        null_modem(folder, "here") as (line_here, end_here),
        null_modem(folder, "there") as (line_there, end_there),
    ):
        here, there = Device(end_here), Device(end_there)
        try:
            async with running(Cable(line_here), LineSettings(19200), opener=open_tty) as line:
                settings = PairSettings(to=Destination("127.0.0.1", port), retry_at_most=0.5)
                pair = Pair(line, "pair", settings, Throttle())
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(pair.run())
                    try:
                        yield Ends(here, there, line_there, line, pair)
                    finally:
                        pair.stop()
        finally:
            here.close()
            there.close()


@either
async def test_bytes_and_speeds_cross(tmp_path: Path, kind: str) -> None:
    port = free_port()
    async with paired(tmp_path, port) as ends, FAR_ENDS[kind](tmp_path, ends.far_line, port):
        await ends.joined()
        await ends.carries(20_000)
        assert ends.far_speed == 19200
        ends.line.configure(LineSettings(2400))
        await until(lambda: ends.far_speed == 2400)
        await ends.carries(1000)


@either
async def test_a_far_end_that_comes_late_and_goes_and_comes_back(tmp_path: Path, kind: str) -> None:
    port = free_port()
    async with paired(tmp_path, port) as ends:
        await until(lambda: ends.pair.results["refused"] > 1)
        ends.here.write(b"waits for the far end")
        for times in (1, 2):
            async with FAR_ENDS[kind](tmp_path, ends.far_line, port):
                await ends.joined(times)
                if times == 1:
                    await until(lambda: ends.there.heard == b"waits for the far end")
                await ends.carries(2000)
            await until(lambda: not ends.pair.sessions)

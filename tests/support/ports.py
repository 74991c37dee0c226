"""Ports of every kind with a far end that a test plays: on a pseudo-terminal, in memory, and on a socket."""

import asyncio
import os
import pty
import socket
import struct
import tty
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from nportpy.errors import LineError
from nportpy.linesettings import Flow
from nportpy.port.base import Opener, Port, PortSettings
from nportpy.port.loopback import Cable
from nportpy.port.tcp import open_tcp
from nportpy.port.tty import open_tty
from nportpy.port.url import open_url


async def until(condition: Callable[[], Any], limit: float = 30.0) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(limit):
        while not condition():  # noqa: ASYNC110 - it may be anything
            await asyncio.sleep(0.002)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


class Recorder:
    """A PortReceiver that writes down what it is told."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.calls: list[str] = []  # pause_writing and resume_writing, in order
        self.losses: list[LineError] = []

    @property
    def full(self) -> bool:
        return bool(self.calls) and self.calls[-1] == "pause"

    def data_received(self, data: bytes) -> None:
        assert type(data) is bytes
        assert data
        self.data += data

    def pause_writing(self) -> None:
        self.calls.append("pause")

    def resume_writing(self) -> None:
        self.calls.append("resume")

    def port_lost(self, error: LineError) -> None:
        self.losses.append(error)


class Far(Protocol):
    """The far end. It takes nothing unless it is told to."""

    async def write(self, data: bytes) -> None: ...

    async def read(self, size: int) -> bytes: ...

    async def read_on(self) -> bytes:
        """What comes until nothing has come for a while."""

    def cut(self) -> None:
        """The device is gone."""


class _Descriptor:
    """A far end that is a descriptor, which does not block."""

    def __init__(self, fd: int, close: Callable[[], None]) -> None:
        self.fd = fd
        self._close = close
        self.gone = False
        os.set_blocking(fd, False)

    async def write(self, data: bytes) -> None:
        view = memoryview(data)
        async with asyncio.timeout(20):
            while view:
                try:
                    view = view[os.write(self.fd, view) :]
                except BlockingIOError:
                    await asyncio.sleep(0.001)

    async def read(self, size: int) -> bytes:
        got = bytearray()
        async with asyncio.timeout(20):
            while len(got) < size:
                try:
                    got += os.read(self.fd, size - len(got))
                except BlockingIOError:
                    await asyncio.sleep(0.001)
        return bytes(got)

    async def read_on(self) -> bytes:
        got, idle = bytearray(), 0
        while idle < 50:
            try:
                got += os.read(self.fd, 65536)
                idle = 0
            except BlockingIOError:
                await asyncio.sleep(0.002)
                idle += 1
        return bytes(got)

    def cut(self) -> None:
        if not self.gone:
            self.gone = True
            self._close()


class _Memory:
    """The far end of a cable."""

    def __init__(self, cable: Cable) -> None:
        self.cable = cable
        self._taken = 0

        cable.far.pause_reading()

    async def write(self, data: bytes) -> None:
        self.cable.far.write(data)
        await asyncio.sleep(0)

    async def read(self, size: int) -> bytes:
        heard = self.cable.listener.heard
        self.cable.far.resume_reading()
        await until(lambda: len(heard) >= self._taken + size)
        self.cable.far.pause_reading()
        self._taken += size
        return bytes(heard[self._taken - size : self._taken])

    async def read_on(self) -> bytes:
        self.cable.far.resume_reading()
        await asyncio.sleep(0.1)
        return await self.read(len(self.cable.listener.heard) - self._taken)

    def cut(self) -> None:
        self.cable.unplug()


class Pty:
    """A pseudo-terminal whose master is the far end, and which comes back at the same link under another number."""

    def __init__(self, link: str = "") -> None:
        self.link = link
        self.master, slave = pty.openpty()
        tty.setraw(slave)
        self.path = os.ttyname(slave)
        os.close(slave)
        if link:
            os.symlink(self.path, link)
        self.far = _Descriptor(self.master, self._close)

    def _close(self) -> None:
        os.close(self.master)
        if self.link:
            os.unlink(self.link)

    def close(self) -> None:
        self.far.cut()


@contextmanager
def a_pty(link: str = "") -> Iterator[Pty]:
    """A pseudo-terminal."""
    terminal = Pty(link)
    try:
        yield terminal
    finally:
        terminal.close()


class Rig:
    """An open port, its receiver and its far end."""

    def __init__(self, port: Port, heard: Recorder, far: Far) -> None:
        self.port = port
        self.heard = heard
        self.far = far


async def _open(opener: Opener, settings: PortSettings, far: Far) -> Rig:
    heard = Recorder()
    return Rig(await opener(settings, heard), heard, far)


async def _tty(settings: PortSettings) -> Rig:
    terminal = Pty()
    return await _open(open_tty, replace(settings, device=terminal.path), terminal.far)


async def _memory(settings: PortSettings) -> Rig:
    cable = Cable()
    line = replace(settings.line, flow=Flow.RTSCTS, flow_in=Flow.RTSCTS)  # as a pseudo-terminal holds its writer up
    return await _open(cable.opener, replace(settings, line=line), _Memory(cable))


async def _connection(opener: Opener, scheme: str, settings: PortSettings) -> Rig:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        url = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"
        heard = Recorder()
        port = await opener(replace(settings, device=url), heard)
        accepted, _ = listener.accept()

    def reset() -> None:
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        accepted.close()

    return Rig(port, heard, _Descriptor(accepted.fileno(), reset))


KINDS: dict[str, Callable[[PortSettings], Awaitable[Rig]]] = {
    "tty": _tty,
    "loopback": _memory,
    "socket": partial(_connection, open_url, "socket"),
    "tcp": partial(_connection, open_tcp, "tcp"),
}


@asynccontextmanager
async def opened(kind: str, settings: PortSettings | None = None) -> AsyncIterator[Rig]:
    """A rig, and afterwards proof that nothing of it is left and that nobody was told anything twice."""
    loop = asyncio.get_running_loop()
    faults: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _loop, context: faults.append(context))
    loop.run_in_executor(None, int)  # the executor and its ways to the loop are there from now on
    await asyncio.sleep(0.01)
    before = descriptors()
    rig = await KINDS[kind](settings or PortSettings("cable"))
    try:
        yield rig
    finally:
        await rig.port.close()
        told = len(rig.heard.losses)
        rig.far.cut()
        await asyncio.sleep(0.02)
    await until(lambda: descriptors() == before)
    assert len(rig.heard.losses) == told <= 1
    assert not faults
    states = [call == "pause" for call in rig.heard.calls]
    assert states == [number % 2 == 0 for number in range(len(states))], "pause and resume take turns"

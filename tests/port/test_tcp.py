"""Connections as ports: what is particular to them."""

import asyncio
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from nportpy.errors import LineDown, LineError, LineUnsupported
from nportpy.line.arbiter import Line
from nportpy.line.stream_base import StreamSettings
from nportpy.linesettings import LineSettings, Rs485Mode, Rs485Settings
from nportpy.port import tcp
from nportpy.port.base import PortSettings
from nportpy.port.opening import open_port
from nportpy.port.tcp import TcpPort, open_tcp
from tests.support.lines import Client
from tests.support.ports import Recorder, descriptors, opened, until

pytestmark = pytest.mark.real


@contextmanager
def a_server(backlog: int = 5) -> Iterator[tuple[socket.socket, str]]:
    with socket.create_server(("127.0.0.1", 0), backlog=backlog) as listener:
        yield listener, f"tcp://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def a_server_that_does_not_answer() -> Iterator[str]:
    """Its queue is full, so the kernel drops what comes."""
    with ExitStack() as stack:
        listener, device = stack.enter_context(a_server(0))
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield device


async def ready_to_count() -> int:
    await asyncio.get_running_loop().run_in_executor(None, int)  # its ways to the loop are there from now on
    return descriptors()


@pytest.mark.parametrize(
    ("device", "reason"),
    [
        ("tcp://127.0.0.1:1", "Connection refused"),
        ("tcp://127.0.0.1", "tcp://HOST:PORT"),
        ("tcp://:502", "tcp://HOST:PORT"),
        ("tcp://", "tcp://HOST:PORT"),
        ("tcp://127.0.0.1:502/x", "tcp://HOST:PORT"),
        ("tcp://127.0.0.1:70000", "Port out of range"),
        ("tcp://[::1", "Invalid IPv6"),
        ("tcp://" + "x" * 70 + ".invalid:502", "label"),
    ],
)
async def test_what_cannot_be_opened(device: str, reason: str) -> None:
    before = await ready_to_count()
    with pytest.raises(LineError) as caught:
        await open_port(PortSettings(device), Recorder())
    assert isinstance(caught.value, LineDown)
    assert str(caught.value).startswith(f"{device}: ")
    assert reason in str(caught.value)
    assert descriptors() == before


def test_a_name_that_nobody_has_is_said_in_plain_words() -> None:
    assert tcp.reason_of(socket.gaierror(socket.EAI_NONAME, "Name or service not known")) == "Name or service not known"


async def test_a_connection_has_no_rs485_mode() -> None:
    with pytest.raises(LineUnsupported, match='rs485 = "keep"'):
        await open_tcp(PortSettings("tcp://127.0.0.1:1", rs485=Rs485Settings(Rs485Mode.ON)), Recorder())


async def test_a_far_end_that_does_not_answer_is_waited_for_so_long_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tcp, "CONNECT_TIME", 0.2)
    before = await ready_to_count()
    with a_server_that_does_not_answer() as device, pytest.raises(LineDown, match=r"no connection within 0\.2 s"):
        await open_tcp(PortSettings(device), Recorder())
    assert descriptors() == before


async def test_connecting_that_is_cancelled_midway_leaves_nothing_behind() -> None:
    before = await ready_to_count()
    with a_server_that_does_not_answer() as device:
        async with asyncio.TaskGroup() as tasks:
            opening = tasks.create_task(open_tcp(PortSettings(device), Recorder()))
            await until(lambda: descriptors() == before + 5)
            opening.cancel()
    assert descriptors() == before


async def test_a_name_may_have_several_addresses() -> None:
    with a_server() as (listener, _):
        settings = PortSettings(f"tcp://localhost:{listener.getsockname()[1]}", LineSettings(19200))
        port = await open_tcp(settings, Recorder())
        assert port.settings == LineSettings(19200)
        assert port.report.driver == "tcp"
        await port.close()


async def test_a_far_end_that_dies_is_noticed_and_nothing_is_delayed() -> None:
    with a_server() as (_, device):
        port = await open_tcp(PortSettings(device), Recorder())
        asked = port._socket.getsockopt
        assert asked(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert asked(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert asked(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == tcp.ALIVE_CHECK * 1000
        await port.close()


@pytest.mark.parametrize("paused", [False, True])
async def test_the_last_words_of_a_far_end_that_hangs_up_are_heard(paused: bool) -> None:
    heard = Recorder()
    with a_server() as (listener, device):
        port = await open_tcp(PortSettings(device), heard)
        accepted, _ = listener.accept()
    if paused:
        port.pause_reading()
    with accepted:
        accepted.sendall(b"goodbye")
    await asyncio.sleep(0.02)
    port.resume_reading()
    await until(lambda: heard.losses)
    assert heard.data == b"goodbye"
    assert "closed by the far end" in str(heard.losses[0])
    await port.close()


async def test_a_far_end_that_hangs_up_is_noticed_while_reading_is_paused() -> None:
    heard = Recorder()
    with a_server() as (listener, device):
        port = await open_tcp(PortSettings(device), heard)
        port.pause_reading()
        accepted, _ = listener.accept()
    accepted.close()
    await until(lambda: heard.losses)
    await port.close()


async def test_a_reset_is_told_as_such() -> None:
    async with opened("tcp") as rig:
        rig.far.cut()
        await until(lambda: rig.heard.losses)
        assert "Connection reset by peer" in str(rig.heard.losses[0])


async def test_a_purge_does_not_cut_what_has_begun_to_leave() -> None:
    async with opened("tcp") as rig:
        port = rig.port
        assert isinstance(port, TcpPort)
        sent = 0
        while not port._pieces:
            piece = struct.pack(">I", sent // 1000) * 250
            port.write(piece)
            sent += 1000
        for _ in range(10):
            port.write(b"\xff" * 1000)
        begun = port._begun
        left = len(port._pieces[0])
        assert port.purge(unsent=True) == 10_000 + (0 if begun else 1000)
        assert port._waiting == (left if begun else 0)
        port.write(b"afterwards")
        whole = sent if begun else sent - 1000
        got = await rig.far.read(whole + 10)
        assert got[whole:] == b"afterwards"
        assert got[whole - 1000 : whole] == struct.pack(">I", whole // 1000 - 1) * 250


async def test_a_line_on_a_connection_comes_back() -> None:
    client = Client()
    with a_server() as (listener, device):
        line = Line("elsewhere", PortSettings(device), StreamSettings(), open_port)
        line.stream.join(client)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(line.run())
            for number in range(2):
                await until(lambda: line.up)
                accepted, _ = listener.accept()
                with accepted:
                    accepted.sendall(b"%d" % number)
                    await until(lambda: len(client.heard) == number + 1)  # noqa: B023 - it is over by then
                await until(lambda: not line.up)
            running.cancel()
        assert client.heard == b"01"
        assert line.status().losses == 2
        assert "closed by the far end" in line.status().error

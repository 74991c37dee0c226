"""pyserial URLs: what is particular to them."""

import asyncio
import contextlib
import socket
import threading
import time

import pytest

from nportpy.errors import LineDown, LineError, LineUnsupported
from nportpy.linesettings import LineSettings, ModemLines, Rs485Mode, Rs485Settings
from nportpy.port.base import OnOpen, PortSettings
from nportpy.port.opening import open_port
from nportpy.port.url import UrlPort, open_url
from tests.support.ports import Recorder, descriptors, opened, until

pytestmark = pytest.mark.real


@pytest.mark.parametrize(
    "url",
    ["socket://127.0.0.1:1", "socket://127.0.0.1", "socket://", "rfc2217://", "rfc2217://127.0.0.1:1", "nothing://x",
     "loop://?what=1", "socket://[::1", "spy:///dev/absent", "alt://"],
)  # fmt: skip
async def test_what_cannot_be_opened(url: str) -> None:
    await asyncio.get_running_loop().run_in_executor(None, int)
    before = descriptors()
    with pytest.raises(LineError) as caught:
        await open_port(PortSettings(url), Recorder())
    assert isinstance(caught.value, LineDown)
    assert url in str(caught.value)
    assert descriptors() == before


async def test_a_url_has_no_rs485_mode() -> None:
    with pytest.raises(LineUnsupported, match='rs485 = "keep"'):
        await open_url(PortSettings("loop://", rs485=Rs485Settings(Rs485Mode.ON)), Recorder())


async def test_loop_gives_back_what_it_gets() -> None:
    heard = Recorder()
    port = await open_url(PortSettings("loop://", LineSettings(19200), dtr=OnOpen.OFF), heard)
    data = bytes(range(256)) * 40
    port.write(data)
    await until(lambda: heard.data == data)
    assert port.modem_lines() == ModemLines.RTS | ModemLines.CTS | ModemLines.CD
    port.set_modem_lines(dtr=True, rts=False)
    await until(lambda: port.modem_lines() == ModemLines.DTR | ModemLines.DSR | ModemLines.CD)
    await port.close()


async def test_closing_while_the_handler_holds_its_writer() -> None:
    threads = threading.active_count()
    port = await open_url(PortSettings("loop://"), Recorder())
    port.pause_reading()
    port.write(b"x" * 50_000)  # more than a loop and the reading ahead take
    await asyncio.sleep(0.1)
    await port.close()
    await until(lambda: threading.active_count() <= threads + 1)


async def test_whatever_the_far_end_takes_its_time_for_does_not_hold_the_loop_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = await open_url(PortSettings("loop://"), Recorder())

    def slow(*_: object) -> None:
        time.sleep(0.1)

    for name in ("_reconfigure_port", "_update_dtr_state", "_update_break_state", "reset_input_buffer"):
        monkeypatch.setattr(port._device, name, slow)
    start = time.monotonic()
    port.configure(LineSettings(300))
    port.set_modem_lines(dtr=False)
    port.set_break(True)
    port.purge(received=True, unsent=True)
    assert time.monotonic() - start < 0.05
    await port.close()


async def test_settings_that_the_far_end_refuses_are_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    heard = Recorder()
    port = await open_url(PortSettings("loop://"), heard)

    def refuse() -> None:
        raise ValueError("remote rejected value for option 'baudrate'")

    monkeypatch.setattr(port._device, "_reconfigure_port", refuse)
    port.configure(LineSettings(300))
    port.write(b"it goes on")
    await until(lambda: heard.data == b"it goes on")
    assert [record.message for record in caplog.records] == ["refused by the far end"]
    await port.close()


async def test_the_last_words_of_a_far_end_that_hangs_up_are_heard() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        heard = Recorder()
        port = await open_url(PortSettings(f"socket://127.0.0.1:{listener.getsockname()[1]}"), heard)
        accepted, _ = listener.accept()
    with accepted:
        accepted.sendall(b"goodbye")
    await until(lambda: heard.losses)
    assert heard.data == b"goodbye"
    await port.close()


async def test_more_than_is_read_ahead_waits_in_the_network() -> None:
    async with opened("socket") as rig:
        rig.port.pause_reading()
        data = bytes(range(256)) * 400
        await rig.far.write(data)
        await asyncio.sleep(0.3)
        assert isinstance(rig.port, UrlPort)
        assert rig.port._ahead < 40_000
        rig.port.resume_reading()
        await until(lambda: rig.heard.data == data)


async def test_opening_that_is_cancelled_midway_closes_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    connected = threading.Event()
    real = socket.create_connection

    def slow(*arguments: object, **options: object) -> socket.socket:
        connection = real(*arguments, **options)  # type: ignore[arg-type]
        connected.set()
        time.sleep(0.1)
        return connection

    monkeypatch.setattr(socket, "create_connection", slow)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        await asyncio.get_running_loop().run_in_executor(None, int)
        url = f"socket://127.0.0.1:{listener.getsockname()[1]}"
        async with asyncio.TaskGroup() as tasks:
            opening = tasks.create_task(open_url(PortSettings(url), Recorder()))
            await until(connected.is_set)
            opening.cancel()
        accepted, _ = listener.accept()
        with accepted:
            accepted.settimeout(5)
            assert await asyncio.get_running_loop().run_in_executor(None, accepted.recv, 1) == b""


@pytest.mark.filterwarnings("ignore:set(Daemon|Name)")  # pyserial 3.5 calls what Python has renamed
@pytest.mark.parametrize("echoes", [False, True], ids=["silent", "echo"])
async def test_a5_rfc2217_of_a_raw_port_says_what_it_may_be(echoes: bool) -> None:
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1000):
                if echoes:
                    writer.write(data)
        writer.close()
        gone.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(LineDown, match=rf"a raw port\? rtu\+tcp://127.0.0.1:{port} "):
            await open_url(PortSettings(f"rfc2217://127.0.0.1:{port}", LineSettings()), Recorder())
        async with asyncio.timeout(10):
            await gone.wait()
        await asyncio.sleep(0)  # lets the transport end
    finally:
        server.close()


async def test_a5_who_cannot_be_reached_is_no_raw_port() -> None:
    with pytest.raises(LineDown) as caught:
        await open_url(PortSettings("rfc2217://127.0.0.1:1", LineSettings()), Recorder())
    assert "raw port" not in str(caught.value)

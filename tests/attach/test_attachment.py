"""A virtual COM port with a server behind it that is played here, and with a gateway."""

import asyncio
import contextlib
import logging
import os
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from nportpy.attach.attachment import PAUSE_AT, Attachment
from nportpy.attach.settings import AttachSettings, Connect, WhileAway
from nportpy.attach.target import Scheme, Target
from nportpy.attach.wish import Wish
from nportpy.linesettings import LineSettings, ModemLines, Parity, StopBits
from nportpy.network.addresses import Endpoint
from nportpy.port.loopback import Cable
from tests.support.programs import read, set_speed, write
from tests.support.serving import com, plan, raw, serving, until

OFFERS = b"\xff\xfb\0\xff\xfb\x03\xff\xfb\x2c\xff\xfd\0\xff\xfd\x03"
NEGOTIATED = b"\xff\xfb\x00\xff\xfd\x00\xff\xfd\x2c"  # WILL BINARY, DO BINARY, DO COM-PORT


class Far:
    """A server that is played: it takes everything, and says what it is told to."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.greeting = NEGOTIATED
        self.reading = True
        self.clients: list[asyncio.StreamWriter] = []
        self.server: asyncio.Server
        self.port = 0

    async def listen(self) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self.server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.clients.append(writer)
        writer.write(self.greeting)
        with contextlib.suppress(OSError):
            while True:
                await until(lambda: self.reading, 60.0)
                if not (data := await reader.read(65536)):
                    break
                self.heard += data
        self.clients.remove(writer)
        writer.close()

    def say(self, data: bytes) -> None:
        for writer in self.clients:
            writer.write(data)

    async def hang_up(self) -> None:
        for writer in self.clients:
            writer.transport.abort()
        await until(lambda: not self.clients)

    async def stop(self) -> None:
        self.server.close()
        await self.hang_up()


@asynccontextmanager
async def far() -> AsyncIterator[Far]:
    server = Far()
    await server.listen()
    try:
        yield server
    finally:
        await server.stop()


class Attached:
    """A port that is there, and a program's hands on it."""

    def __init__(self, attachment: Attachment, link: str) -> None:
        self.attachment = attachment
        self.link = link

    def open(self) -> int:
        return os.open(self.link, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)

    @property
    def connected(self) -> bool:
        return self.attachment.state == "connected"


@asynccontextmanager
async def attached(
    tmp_path: Path, port: int, *, scheme: Scheme = Scheme.RFC2217, **more: Any
) -> AsyncIterator[Attached]:
    link = str(tmp_path / "ttyV0")
    target = Target(scheme, Endpoint("127.0.0.1", port))
    attachment = Attachment(AttachSettings(target, link, **({"drain": 1.0} | more)))
    attachment.open()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(attachment.run())
        try:
            yield Attached(attachment, link)
        finally:
            attachment.stop()
            async with asyncio.timeout(30):
                await running
    assert "ttyV0" not in os.listdir(tmp_path)


def request(code: int, *value: int) -> bytes:
    return bytes((0xFF, 0xFA, 0x2C, code, *value, 0xFF, 0xF0))


SPEED_19200 = request(1, 0, 0, 0x4B, 0)
SPEED_300 = request(1, 0, 0, 1, 0x2C)


@pytest.mark.real
async def test_settings_reach_the_line_and_bytes_pass(tmp_path: Path) -> None:
    cable = Cable("cable")
    line = LineSettings(19200, parity=Parity.EVEN)
    async with (
        serving(plan("cable", com(), line=line), cables=[cable]) as served,
        attached(tmp_path, served.port("rfc2217")) as port,
    ):
        await until(lambda: port.connected)
        fd = port.open()
        await until(lambda: termios.tcgetattr(fd)[4] == termios.B19200)
        lines = served.line().modem_lines
        await until(lambda: (served.line().modem_lines or lines or ModemLines(0)) & ModemLines.DTR)
        set_speed(fd, termios.B57600)
        await until(lambda: served.line().settings.baudrate == 57600)
        assert served.line().settings.parity is Parity.EVEN
        settings = termios.tcgetattr(fd)
        settings[2] |= termios.CSTOPB | termios.PARODD
        settings[0] |= termios.INPCK | termios.IXON | termios.IXOFF
        termios.tcsetattr(fd, termios.TCSANOW, settings)
        await until(lambda: str(served.line().settings) == "57600 8O2 xonxoff")
        os.close(fd)
        await until(lambda: not (served.line().modem_lines or ModemLines(0)) & ModemLines.DTR)


@pytest.mark.real
async def test_a_fixed_format_stays(tmp_path: Path) -> None:
    cable = Cable("cable")
    wish = Wish(1200, 7, Parity.EVEN, StopBits.ONE)
    async with (
        serving(plan("cable", com()), cables=[cable]) as served,
        attached(tmp_path, served.port("rfc2217"), wish=wish, fixed=True) as port,
    ):
        await until(lambda: str(served.line().settings) == "1200 7E1")
        fd = port.open()
        settings = termios.tcgetattr(fd)
        settings[2] |= termios.CSTOPB
        settings[4] = settings[5] = termios.B2400
        termios.tcsetattr(fd, termios.TCSANOW, settings)
        await until(lambda: str(served.line().settings) == "2400 7E1")
        os.close(fd)


@pytest.mark.real
async def test_settings_stand_in_their_place_among_the_data(tmp_path: Path) -> None:
    async with far() as server, attached(tmp_path, server.port, modem=False) as port:
        await until(lambda: port.connected)
        fd = port.open()
        set_speed(fd, termios.B19200)
        os.write(fd, b"first\xff")
        await until(lambda: server.heard.endswith(b"first\xff\xff"))
        set_speed(fd, termios.B300)
        os.write(fd, b"second")
        await until(lambda: server.heard.endswith(b"second"))
        heard = bytes(server.heard)
        marks = [heard.index(mark) for mark in (SPEED_19200, b"first\xff\xff", SPEED_300, b"second")]
        assert marks == sorted(marks)
        assert heard.count(b"\xff\xfa\x2c\x01") == 3  # the question at the beginning too
        os.close(fd)


@pytest.mark.real
async def test_dtr_break_and_purge(tmp_path: Path) -> None:
    async with far() as server, attached(tmp_path, server.port) as port:
        await until(lambda: port.connected)
        await asyncio.sleep(0.05)
        assert request(5, 8) not in server.heard
        fd = port.open()
        await until(lambda: request(5, 8) + request(5, 11) in server.heard)
        termios.tcflush(fd, termios.TCIOFLUSH)
        await until(lambda: request(12, 3) in server.heard)
        port.attachment.send_break()
        await until(lambda: request(5, 6) in server.heard)
        assert server.heard.index(request(5, 5)) < server.heard.index(request(5, 6))
        set_speed(fd, termios.B0)
        await until(lambda: request(5, 9) + request(5, 12) in server.heard)
        server.heard.clear()
        set_speed(fd, termios.B9600)
        await until(lambda: request(5, 8) + request(5, 11) in server.heard)
        os.write(fd, b"last words")
        os.close(fd)
        await until(lambda: server.heard.endswith(b"last words" + request(5, 9) + request(5, 12)))


@pytest.mark.real
async def test_after_a_loss_all_is_set_again_and_what_was_held_is_sent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with far() as server, attached(tmp_path, server.port) as port:
        await until(lambda: port.connected)
        fd = port.open()
        set_speed(fd, termios.B300)
        await until(lambda: SPEED_300 in server.heard)
        await server.stop()
        await until(lambda: not port.connected)
        os.write(fd, b"held")
        server.heard.clear()
        await asyncio.sleep(0.3)
        await server.listen()
        await until(lambda: server.heard.endswith(b"held"))
        assert server.heard.index(SPEED_300) < server.heard.index(request(5, 8)) < server.heard.index(b"held")
        os.close(fd)
    reasons = [record.__dict__["reason"] for record in caplog.records if record.message.startswith("no connection")]
    assert len(reasons) == len(set(reasons)) >= 1
    assert [record.message for record in caplog.records].count("connected") == 2


@pytest.mark.real
async def test_what_is_written_while_away_may_be_dropped(tmp_path: Path) -> None:
    async with far() as server:
        await server.stop()
        async with attached(tmp_path, server.port, while_away=WhileAway.DROP) as port:
            fd = port.open()
            await until(lambda: "no connection" in port.attachment.state)
            await write(fd, b"x" * 20 * 4096)
            await until(lambda: port.attachment.counts.dropped == 20 * 4096)
            os.close(fd)
            await server.listen()
            await until(lambda: port.connected)


@pytest.mark.real
async def test_on_demand_there_is_a_connection_while_it_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nportpy.attach.attachment.STAY", 0.1)
    async with far() as server, attached(tmp_path, server.port, connect=Connect.OPEN) as port:
        await asyncio.sleep(0.1)
        assert not server.clients
        fd = port.open()
        os.write(fd, b"hello")
        await until(lambda: b"hello" in server.heard)
        os.close(fd)
        await until(lambda: not server.clients)
        assert port.attachment.state == "waits for a program"
        fd = port.open()
        await until(lambda: port.connected)
        os.close(fd)


@pytest.mark.real
async def test_a_server_that_suspends_is_left_alone(tmp_path: Path) -> None:
    async with far() as server, attached(tmp_path, server.port) as port:
        await until(lambda: port.connected)
        fd = port.open()
        os.write(fd, b"one")
        await until(lambda: b"one" in server.heard)
        server.say(request(108))
        await asyncio.sleep(0.05)
        os.write(fd, b"two")
        await asyncio.sleep(0.1)
        assert b"two" not in server.heard
        server.say(request(109))
        await until(lambda: b"two" in server.heard)
        os.close(fd)


@pytest.mark.real
async def test_a_program_that_does_not_read_holds_the_server_back(tmp_path: Path) -> None:
    size = 1_000_000
    data = os.urandom(1000) * (size // 1000)
    async with far() as server, attached(tmp_path, server.port) as port:
        await until(lambda: port.connected)
        fd = port.open()
        await until(lambda: request(5, 8) in server.heard)
        server.say(data.replace(b"\xff", b"\xff\xff"))
        await until(lambda: port.attachment._terminal.waiting > PAUSE_AT)
        await asyncio.sleep(0.3)
        assert port.attachment._terminal.waiting < PAUSE_AT + 2 * 256 * 1024
        assert await read(fd, size, 20.0) == data
        os.close(fd)


@pytest.mark.real
async def test_a_server_that_does_not_read_holds_programs_back(tmp_path: Path) -> None:
    async with far() as server, attached(tmp_path, server.port, scheme=Scheme.RAW) as port:
        server.reading = False
        await until(lambda: port.connected)
        fd = port.open()
        written = stalled = 0
        block = os.urandom(4096)
        while stalled < 100:
            stalled += 1
            with contextlib.suppress(BlockingIOError):
                while written < 100_000_000:
                    written += os.write(fd, block)
                    stalled = 0
            await asyncio.sleep(0.001)
        assert written < 100_000_000
        os.close(fd)
        server.reading = True
        await until(lambda: len(server.heard) == written, 60.0)


@pytest.mark.real
@pytest.mark.parametrize(
    "greeting",
    [
        b"",
        b"\xff\xfe\x2c\xff\xfd\x00\xff\xfb\x00",
        b"\xff\xfe\x2c\xff\xfe\x00\xff\xfc\x00",
        b"\xff\xfa\x2c\x65\xff\xf0",
    ],
    ids=["silence", "no COM-PORT", "nothing at all", "garbage"],
)
async def test_a_server_that_agrees_to_little_is_used_for_what_it_can(
    tmp_path: Path, greeting: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nportpy.attach.rfc2217.NEGOTIATION_TIME", 0.3)
    async with far() as server:
        server.greeting = greeting
        async with attached(tmp_path, server.port) as port:
            fd = port.open()
            set_speed(fd, termios.B300)
            os.write(fd, b"data")
            await until(lambda: server.heard.endswith(b"data"))
            server.say(b"answer")
            assert await read(fd, 6) == b"answer"
            os.close(fd)


@pytest.mark.real
@pytest.mark.parametrize("echoes", [False, True], ids=["silent", "echo"])
async def test_a5_a_raw_port_is_noticed_within_3_s(
    tmp_path: Path, echoes: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    cable = Cable()
    async with serving(plan("cable", raw()), cables=[cable]) as served:
        if echoes:
            monkeypatch.setattr(cable.listener, "data_received", cable.far.write)
        async with attached(tmp_path, served.port()) as port:
            loop = asyncio.get_running_loop()
            began = loop.time()
            await until(lambda: "raw://127.0.0.1" in port.attachment.state, 10)
            assert loop.time() - began < 3
            reasons = [str(each.__dict__.get("reason")) for each in caplog.records]
            assert any(reason.endswith(f"raw://127.0.0.1:{served.port()}") for reason in reasons)
            fd = port.open()
            set_speed(fd, termios.B300)
            os.write(fd, b"question")
            if echoes:
                assert await read(fd, 8) == b"question"
            else:
                await until(lambda: cable.heard.endswith(b"question"))
                assert cable.heard == OFFERS + b"question"
                cable.far.write(b"answer")
                assert await read(fd, 6) == b"answer"
            os.close(fd)


@pytest.mark.real
async def test_a_server_of_noise_is_survived(tmp_path: Path) -> None:
    async with far() as server, attached(tmp_path, server.port) as port:
        await until(lambda: port.connected)
        fd = port.open()
        await until(lambda: request(5, 8) in server.heard)
        for _ in range(40):  # less than what stops the reading: nobody takes it here
            server.say(os.urandom(1000))
            await asyncio.sleep(0.001)
        await server.hang_up()
        await until(lambda: port.attachment.counts.connections > 1)
        os.close(fd)


@pytest.mark.real
async def test_stopping_lets_everything_arrive(tmp_path: Path) -> None:
    data = os.urandom(20_000)
    async with far() as server:
        async with attached(tmp_path, server.port, scheme=Scheme.RAW) as port:
            server.greeting = b""
            await until(lambda: port.connected)
            fd = port.open()
            written = os.write(fd, data)
            os.close(fd)
        await until(lambda: bytes(server.heard) == data[:written])


@pytest.mark.real
async def test_stopping_does_not_wait_for_a_server_for_ever(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with far() as server:
        await server.stop()
        async with attached(tmp_path, server.port, drain=0.2) as port:
            fd = port.open()
            os.write(fd, b"never")
            await asyncio.sleep(0.1)
        os.close(fd)
    assert "stopped with unsent data" in caplog.text


async def test_pauses_grow_to_five_seconds(tmp_path: Path) -> None:
    times: list[float] = []
    loop = asyncio.get_running_loop()

    async def refuse(target: Target, make: object) -> Any:
        times.append(loop.time())
        raise ConnectionError("nobody is there")

    target = Target(Scheme.RFC2217, Endpoint("gw", 1))
    attachment = Attachment(AttachSettings(target, str(tmp_path / "ttyV0")), connector=refuse)
    attachment.open()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(attachment.run())
        await asyncio.sleep(30)
        attachment.stop()
    pauses = [round(after - before, 3) for before, after in pairwise(times)]
    assert pauses[:8] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]

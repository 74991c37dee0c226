"""The client's side of Real COM: by itself, and with our own server behind a virtual COM port."""

import asyncio
import contextlib
import os
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.attach.attachment import Attachment
from nportpy.attach.realcom import SHORTEST_BREAK, STALLED, RealComSession
from nportpy.attach.session import Arrived, Refused, Settled
from nportpy.attach.settings import AttachSettings
from nportpy.attach.target import Scheme, Target
from nportpy.attach.wish import Wish
from nportpy.linesettings import Flow, LineSettings, ModemLines, Parity, StopBits
from nportpy.network.addresses import Endpoint, listen
from nportpy.port.loopback import Cable
from nportpy.protocols.realcom.client import PATIENCE
from tests.support.programs import read, set_speed
from tests.support.realcom_serving import serving
from tests.support.serving import until

SOME = bytes(range(256)) * 16
INIT = bytes.fromhex("2c 08 06 03 01 01 00 00 00 00")  # 9600 8N1, DTR and RTS
STATUS = bytes.fromhex("2c 03 01 01 00")
WAIT = bytes.fromhex("2f 04 f4 01 00 00")


class Wire:
    """A session, and what it says."""

    def __init__(self, *, begun: bool = True) -> None:
        self.session = RealComSession(raised=True)
        self.now = 100.0
        self.unsent = 0
        assert self.session.begin(self.now) == [Settled()]
        if begun:
            assert self.says() == [INIT]
            self.hears(STATUS)
            assert not self.session.busy

    def says(self) -> list[bytes]:
        self.told = self.session.work(self.now, lambda: self.unsent)
        return self.session.take_commands()

    def hears(self, data: bytes) -> list[Any]:
        return self.session.feed_commands(data, self.now)

    def passes(self, seconds: float) -> list[bytes]:
        self.now += seconds
        assert self.session.expire(self.now) == []
        return self.says()


def test_the_line_is_set_at_the_beginning_and_what_is_there_is_not_set_again() -> None:
    wire = Wire()
    wire.session.set_line(Wish(9600, 8, Parity.NONE, StopBits.ONE, Flow.NONE, Flow.NONE))
    wire.session.set_line(Wish(0))
    wire.session.set_modem_lines(on=True)
    assert wire.says() == []
    assert wire.session.deadline() is None


def test_a_change_waits_for_the_bytes_before_it() -> None:
    wire = Wire()
    assert wire.session.encode(b"before") == b"before"
    wire.session.set_line(Wish(115200))
    wire.session.set_line(Wish(1800))
    wire.unsent = 3
    assert wire.says() == []
    assert wire.session.busy
    wire.unsent = 0
    assert wire.passes(0.01) == [WAIT]
    wire.hears(bytes.fromhex("2f 02 05 00"))
    assert wire.says() == []
    assert wire.passes(0.01) == [WAIT]
    wire.hears(bytes.fromhex("2f 02 00 00"))
    assert wire.says() == [bytes.fromhex("2c 08 ff 03 01 01 00 00 00 00")]
    wire.hears(STATUS)
    assert wire.says() == [bytes.fromhex("17 04 08 07 00 00")]
    assert wire.session.busy
    assert wire.hears(b"\x17NA") == [Refused("speed", "1800", "another")]
    assert not wire.session.busy


@pytest.mark.parametrize("unsent", [0, 3])
def test_bytes_that_never_leave_are_not_waited_for_for_ever(unsent: int) -> None:
    wire = Wire()
    wire.session.encode(b"never")
    wire.session.set_modem_lines(on=False)
    wire.unsent = unsent
    began, said = wire.now, wire.says()
    while said in ([], [WAIT]):
        assert wire.now < began + STALLED + 1.0
        if said:
            wire.hears(bytes.fromhex("2f 02 05 00"))
        said = wire.passes(0.1)
    assert said == [bytes.fromhex("12 02 00 00")]
    assert wire.now >= began + STALLED


def test_a_purge_goes_ahead_of_what_waits() -> None:
    wire = Wire()
    wire.session.encode(b"before")
    wire.session.set_line(Wish(300))
    wire.session.purge(received=True, unsent=False)
    wire.session.purge(received=False, unsent=True)
    assert wire.says() == [bytes.fromhex("14 01 02")]
    wire.hears(b"\x14OK")
    assert wire.says() == [WAIT]


def test_a_break_has_its_time_however_long_its_beginning_waited() -> None:
    wire = Wire()
    wire.session.set_break(on=True)
    assert wire.says() == [b"\x21\x00"]
    wire.session.set_break(on=False)
    wire.now += 3.0
    wire.hears(b"\x21OK")
    assert wire.says() == []
    assert wire.passes(SHORTEST_BREAK) == [b"\x22\x00"]
    wire.hears(b"\x22OK")
    assert not wire.session.busy


def test_arrival_is_told_when_all_has_left() -> None:
    wire = Wire()
    wire.session.encode(b"last words")
    assert wire.session.ask_arrival()
    assert wire.says() == [WAIT]
    wire.hears(bytes.fromhex("2f 02 00 00"))
    assert wire.says() == []
    assert wire.told == [Arrived()]


def test_polls_are_answered() -> None:
    wire = Wire()
    wire.hears(b"\x27\x01\x07")
    assert wire.says() == [b"\x28\x01\x07"]


def test_by_ipv6_there_is_a_hello_first() -> None:
    wire = Wire(begun=False)
    wire.session.hello = True
    wire.session.begin(wire.now)
    assert wire.says() == [bytes(16)]
    wire.hears(bytes(16))
    assert wire.says() == [INIT]


@pytest.mark.parametrize("hello", [False, True])
def test_a_server_that_does_not_answer_is_given_up(hello: bool) -> None:
    wire = Wire(begun=False)
    wire.session.hello = hello
    wire.session.begin(wire.now)
    wire.says()
    assert wire.session.deadline() == wire.now + PATIENCE
    wire.passes(PATIENCE)
    assert wire.session.failure
    assert wire.session.deadline() is None


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=20))
def test_any_bytes_are_survived(pieces: list[bytes]) -> None:
    wire = Wire(begun=False)
    for piece in pieces:
        wire.hears(piece)
        wire.says()
        wire.session.encode(b"x")
        wire.session.set_line(Wish(300 * len(piece)))
        wire.passes(0.01)


# With a server.


@asynccontextmanager
async def attached(tmp_path: Path, ports: tuple[int, int], host: str = "127.0.0.1", **more: Any) -> AsyncIterator[Any]:
    """A port and its link."""
    target = Target(Scheme.REALCOM, Endpoint(host, ports[0]), Endpoint(host, ports[1]))
    attachment = Attachment(AttachSettings(target, str(tmp_path / "ttyV0"), **more))
    attachment.open()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(attachment.run())
        try:
            yield attachment
        finally:
            attachment.stop()
            async with asyncio.timeout(60):
                await running


def opened(tmp_path: Path) -> int:
    return os.open(tmp_path / "ttyV0", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)


@pytest.mark.real
@pytest.mark.parametrize("ipv6", [False, True], ids=["IPv4", "IPv6"])
async def test_bytes_and_settings_pass(tmp_path: Path, ipv6: bool) -> None:
    host = "::1" if ipv6 else "127.0.0.1"
    async with serving(where=host) as served, attached(tmp_path, served.ports, host) as port:
        await until(lambda: port.state == "connected")
        await until(lambda: str(served.line.settings) == "9600 8N1")
        assert not served.line.modem_lines() & ModemLines.DTR
        fd = opened(tmp_path)
        await until(lambda: served.line.modem_lines() & ModemLines.DTR)
        os.write(fd, SOME)
        await until(lambda: served.cable.heard == SOME)
        served.cable.far.write(SOME)
        assert await read(fd, len(SOME)) == SOME
        set_speed(fd, termios.B57600)
        os.write(fd, b"after")
        await until(lambda: served.cable.heard == SOME + b"after")
        assert served.line.settings.baudrate == 57600
        settings = termios.tcgetattr(fd)
        settings[2] |= termios.CSTOPB | termios.PARODD
        settings[0] |= termios.INPCK | termios.IXON | termios.IXOFF
        termios.tcsetattr(fd, termios.TCSANOW, settings)
        await until(lambda: str(served.line.settings) == "57600 8O2 xonxoff")
        termios.tcflush(fd, termios.TCIOFLUSH)
        port.send_break()
        os.close(fd)
        await until(lambda: not served.line.modem_lines() & ModemLines.DTR)
        assert port.counts.connections == 1


@pytest.mark.real
async def test_a5_two_raw_ports_are_noticed_within_3_s(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    gone: list[bool] = []

    async def listen_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()
        gone.append(True)

    servers = [await asyncio.start_server(listen_on, "127.0.0.1", 0) for _ in range(2)]
    ports = tuple(server.sockets[0].getsockname()[1] for server in servers)
    try:
        async with attached(tmp_path, (ports[0], ports[1])) as port:
            loop = asyncio.get_running_loop()
            began = loop.time()
            await until(lambda: f"raw://127.0.0.1:{ports[0]}" in port.state, 10)
            assert loop.time() - began < 3
            assert any(f"raw://127.0.0.1:{ports[0]}" in str(each.__dict__.get("reason")) for each in caplog.records)
        await until(lambda: len(gone) == 2)
    finally:
        for server in servers:
            server.close()


@pytest.mark.real
async def test_what_was_written_before_a_close_and_the_end_arrives_whole(tmp_path: Path) -> None:
    async with serving(Cable(paced=True), line=LineSettings(19200)) as served:
        async with attached(tmp_path, served.ports, wish=Wish(19200), drain=1.0) as port:
            await until(lambda: port.state == "connected")
            fd = opened(tmp_path)
            assert os.write(fd, SOME) == len(SOME)
            os.close(fd)
        await until(lambda: len(served.cable.listener.heard) == len(SOME))
        assert served.cable.heard == SOME


@pytest.mark.real
async def test_a_change_of_speed_comes_after_the_bytes_before_it(tmp_path: Path) -> None:
    cable = Cable(paced=True)
    async with serving(cable, line=LineSettings(9600)) as served, attached(tmp_path, served.ports) as port:
        await until(lambda: port.state == "connected")
        fd = opened(tmp_path)
        os.write(fd, SOME[:960])
        await until(lambda: port.counts.sent == 960)
        set_speed(fd, termios.B115200)
        os.write(fd, b"fast")
        await until(lambda: served.line.settings.baudrate == 115200)
        assert cable.heard[:960] == SOME[:960]
        await until(lambda: cable.heard == SOME[:960] + b"fast")
        os.close(fd)


@pytest.mark.real
async def test_the_end_waits_for_bytes_behind_a_change_that_waits_for_bytes(tmp_path: Path) -> None:
    async with serving(Cable(paced=True), line=LineSettings(9600)) as served:
        async with attached(tmp_path, served.ports, drain=1.0) as port:
            await until(lambda: port.state == "connected")
            fd = opened(tmp_path)
            os.write(fd, SOME[:2000])
            await until(lambda: port.counts.sent == 2000)
            set_speed(fd, termios.B115200)
            os.write(fd, b"last words")
            os.close(fd)
        await until(lambda: served.cable.heard == SOME[:2000] + b"last words")


@pytest.mark.real
@pytest.mark.parametrize("half", ["data", "commands"])
async def test_the_end_of_either_connection_is_the_end_of_both(tmp_path: Path, half: str) -> None:
    async with serving() as served, attached(tmp_path, served.ports) as port:
        await until(lambda: port.state == "connected")
        fd = opened(tmp_path)
        set_speed(fd, termios.B2400)
        await until(lambda: served.line.settings.baudrate == 2400)
        (data,) = served.service.sessions
        (data if half == "data" else data.partner).transport.abort()  # type: ignore[attr-defined]  # a data connection
        await until(lambda: port.counts.connections == 2 and port.state == "connected")
        os.write(fd, b"goes on")
        await until(lambda: served.cable.heard == b"goes on")
        os.close(fd)


@pytest.mark.real
async def test_a_server_that_was_killed_and_started_again_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with serving() as first:
            ports = first.ports
            port = await stack.enter_async_context(attached(tmp_path, ports))
            fd = opened(tmp_path)
            set_speed(fd, termios.B2400)
            await until(lambda: first.line.settings.baudrate == 2400)
        await until(lambda: port.state != "connected")
        os.write(fd, b"held")
        same = iter(ports)
        monkeypatch.setattr("tests.support.realcom_serving.listen", lambda at: listen(Endpoint(at.host, next(same))))
        second = await stack.enter_async_context(serving())
        await until(lambda: second.cable.heard == b"held")
        assert second.line.settings.baudrate == 2400
        assert second.line.modem_lines() & ModemLines.DTR
        os.close(fd)
        port.stop()


class Far:
    """A server that is played, and may come and go."""

    def __init__(self, says: bytes) -> None:
        self.says = says
        self.heard = [bytearray(), bytearray()]
        self.ports = [0, 0]
        self.writers: list[asyncio.StreamWriter] = []

    async def listen(self) -> None:
        self.servers = []
        for at in range(2):

            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, at: int = at) -> None:
                self.writers.append(writer)
                with contextlib.suppress(OSError):
                    writer.write(self.says)
                    while data := await reader.read(65536):
                        self.heard[at] += data
                writer.close()

            self.servers.append(await asyncio.start_server(serve, "127.0.0.1", self.ports[at]))
            self.ports[at] = self.servers[at].sockets[0].getsockname()[1]

    async def stop(self) -> None:
        for server in self.servers:
            server.close()
        for writer in self.writers:
            writer.transport.abort()
        self.writers.clear()
        await asyncio.sleep(0.05)


@pytest.mark.real
async def test_a_server_that_comes_back_is_set_up_again(tmp_path: Path) -> None:
    server = Far(STATUS)  # an answer to the first command, whichever comes first
    await server.listen()
    async with attached(tmp_path, (server.ports[0], server.ports[1]), modem=False, wish=Wish(1200), drain=0.1) as port:
        await until(lambda: port.state == "connected")
        await server.stop()
        await until(lambda: port.state != "connected")
        fd = opened(tmp_path)
        os.write(fd, b"held")
        for heard in server.heard:
            heard.clear()
        await server.listen()
        init = bytes.fromhex("2c 08 02 03 01 01 00 00 00 00")
        await until(lambda: server.heard[1].startswith(init))
        for writer in server.writers:
            writer.write(STATUS)
        await until(lambda: server.heard[0] == b"held")
        os.close(fd)
        await server.stop()


@pytest.mark.real
async def test_a_server_of_garbage_is_given_up_and_gets_no_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nportpy.attach.realcom.PATIENCE", 0.2)
    server = Far(b"\xff\xfb\x00 220 welcome \xff\xfd\x2c\0" * 50)
    await server.listen()
    async with attached(tmp_path, (server.ports[0], server.ports[1]), drain=0.1) as port:
        fd = opened(tmp_path)
        os.write(fd, b"secret")
        await until(lambda: "does not answer" in port.state)
        await until(lambda: port.counts.connections > 1)
        assert not server.heard[0]
        os.close(fd)
    await server.stop()

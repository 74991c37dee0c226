"""Reverse telnet: what a person's telnet program and a console port say to each other."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.gateway.plans import Kind
from nportpy.line.arbiter import Line
from nportpy.linesettings import Flow, LineSettings, UartCounters
from nportpy.modes.reverse_telnet import ReverseTelnetSession
from nportpy.modes.reverse_telnet_base import Enter, LineEnds, ReverseTelnetSettings
from nportpy.network.access import AccessLimits
from nportpy.network.addresses import listen
from nportpy.network.listener import Listener
from nportpy.network.service import AccessSettings, Direction
from nportpy.port.loopback import Cable
from nportpy.throttle import Throttle
from tests.support.clock import VirtualLoop
from tests.support.lines import running
from tests.support.serving import ANY_PORT, Client, connect, plan, serving, settle, until

OFFERED = b"\xff\xfb\x01\xff\xfb\x03"  # WILL ECHO, WILL SUPPRESS-GO-AHEAD
IAC_BRK, IAC_AYT = b"\xff\xf3", b"\xff\xf6"


class Console:
    """A console port and the telnet service for it."""

    def __init__(self, cable: Cable, line: Line, listener: Listener) -> None:
        self.cable = cable
        self.line = line
        self.listener = listener

    async def client(self, offered: bytes = OFFERED, **kind: Any) -> Client:
        """One that was told `offered`, and has forgotten it."""
        before = len(self.listener.sessions)
        client = await connect(Client, self.listener.endpoints[0].port, **kind)
        await until(lambda: len(self.listener.sessions) > before)
        await client.hears(offered)
        client.heard.clear()
        return client

    async def hears(self, data: bytes) -> None:
        await until(lambda: len(self.cable.heard) >= len(data))
        await settle()
        assert self.cable.heard == data
        self.cable.listener.heard.clear()


@asynccontextmanager
async def console(
    line_settings: LineSettings | None = None, *, paced: bool = False, **changes: Any
) -> AsyncIterator[Console]:
    cable = Cable(paced=paced)
    settings = ReverseTelnetSettings(listen=ANY_PORT, **changes)
    sock = listen(ANY_PORT[0])
    try:
        async with running(cable, line_settings or LineSettings(115200)) as line:
            make = partial(ReverseTelnetSession, line, settings)
            access = AccessLimits(AccessSettings())
            listener = Listener(line, "reverse_telnet", settings, make, [sock], access, Throttle())
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(listener.run())
                try:
                    yield Console(cable, line, listener)
                finally:
                    listener.stop()
    finally:
        sock.close()


async def test_characters_go_both_ways() -> None:
    async with console() as served:
        client = await served.client()
        client.send(b"login\xff\xff")
        await served.hears(b"login\xff")
        served.cable.far.write(b"Password: \xff")
        await client.hears(b"Password: \xff\xff")


@pytest.mark.parametrize(
    ("enter", "heard"),
    [
        (Enter.CR, b"a\rb\rc\nd\r\r"),
        (Enter.LF, b"a\nb\nc\nd\n\n"),
        (Enter.CRLF, b"a\r\nb\r\nc\nd\r\n\r\n"),
        (Enter.AS_SENT, b"a\rb\r\nc\nd\r\r\n"),
    ],
)
@pytest.mark.parametrize("pieces", [100, 1, 2, 3])
async def test_the_enter_key(enter: Enter, heard: bytes, pieces: int) -> None:
    async with console(enter=enter) as served:
        client = await served.client()
        sent = b"a\r\0b\r\nc\nd\r\0\r\n"
        for start in range(0, len(sent), pieces):
            client.send(sent[start : start + pieces])
            await settle()
        await served.hears(heard)


async def test_ends_of_lines_from_the_device() -> None:
    async with console() as served:
        client = await served.client()
        served.cable.far.write(b"one\r\ntwo\rthree\nfour\r")
        await client.hears(b"one\r\ntwo\r\0three\nfour\r\0")
    async with console(line_ends=LineEnds.UNCHANGED) as served:
        client = await served.client()
        served.cable.far.write(b"one\r\ntwo\rthree\nfour\xff\r")
        await client.hears(b"one\r\ntwo\rthree\nfour\xff\xff\r")


async def test_options_are_settled_with_few_words() -> None:
    async with console() as served:
        client = await served.client()
        # As Debian's telnet answers, and offers what it knows: DO ECHO, DO SGA, WILL SGA, WILL TTYPE, WILL NAWS, ...
        client.send(b"\xff\xfd\x01\xff\xfd\x03\xff\xfb\x03\xff\xfb\x18\xff\xfb\x1f\xff\xfd\x00\xff\xfb\x00\xff\xfd\x2c")
        # DO SGA, DONT TTYPE, DONT NAWS, WONT BINARY, DONT BINARY, WONT COM-PORT
        await client.hears(b"\xff\xfd\x03\xff\xfe\x18\xff\xfe\x1f\xff\xfc\x00\xff\xfe\x00\xff\xfc\x2c")
        client.send(b"\xff\xfa\x1f\0\x50\0\x18\xff\xf0x")
        await served.hears(b"x")


async def test_without_echo_that_is_not_offered() -> None:
    async with console(echo=False) as served:
        client = await served.client(b"\xff\xfb\x03")
        client.send(b"\xff\xfd\x01")
        await client.hears(b"\xff\xfc\x01")


async def test_are_you_there() -> None:
    async with console() as served:
        client = await served.client()
        client.send(IAC_AYT * 3)
        await client.hears(b"\r\n[meters: 115200 8N1, up]\r\n")
        client.send(IAC_AYT)
        await client.hears(b"\r\n[meters: 115200 8N1, up]\r\n" * 2)
        await served.hears(b"")


async def test_a_break_comes_after_what_was_typed_before_and_ahead_of_what_follows() -> None:
    async with console(LineSettings(1200), paced=True, break_time=0.5) as served:
        client = await served.client()
        client.send(b"0123456789" + IAC_BRK + b"b")
        near = served.cable.near
        assert near is not None
        await until(lambda: near.breaking)
        assert served.cable.heard == b"0123456789"
        began = asyncio.get_running_loop().time()
        await until(lambda: not near.breaking)
        assert 0.45 < asyncio.get_running_loop().time() - began < 0.6
        await served.hears(b"0123456789b")
        assert served.cable.far.counters() == UartCounters(breaks=1)


async def test_a_row_of_breaks_is_one() -> None:
    async with console() as served:
        client = await served.client()
        began = asyncio.get_running_loop().time()
        client.send(IAC_BRK * 5000 + b"b")
        await served.hears(b"b")
        assert asyncio.get_running_loop().time() - began < 2
        counters = served.cable.far.counters()
        assert counters is not None
        assert counters.breaks < 5


async def test_a_line_that_takes_nothing_does_not_hold_a_break_back_for_ever() -> None:
    flow = LineSettings(115200, flow=Flow.RTSCTS, flow_in=Flow.RTSCTS)
    async with console(flow) as served:
        served.cable.far.set_modem_lines(rts=False)
        client = await served.client()
        client.send(b"stuck" + IAC_BRK)
        await until(lambda: served.cable.near is not None and served.cable.near.breaking)


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_break_ends_and_what_follows_is_sent_when_its_client_has_gone(how: str) -> None:
    async with console() as served:
        client = await served.client()
        client.send(IAC_BRK + b"b")
        await until(lambda: served.line.breaking)
        await (client.close() if how == "close" else client.reset())
        await until(lambda: not served.line.breaking)
        await served.hears(b"b")


async def test_b1_who_may_not_write_may_not_break() -> None:
    async with console(direction=Direction.TO_NETWORK) as served:
        client = await served.client()
        client.send(IAC_BRK + b"b")
        await settle(0.5)
        counters = served.cable.far.counters()
        assert counters is not None
        assert counters.breaks == 0


async def test_b1_a_break_key_does_not_end_the_break_of_another_service() -> None:
    async with console() as served:
        served.line.set_break(True)
        client = await served.client()
        client.send(IAC_BRK + b"b")
        await settle(0.5)
        assert served.line.breaking


@pytest.mark.real
async def test_a_synch_does_not_swallow_a_byte() -> None:
    async with console() as served:
        with socket.create_connection(("127.0.0.1", served.listener.endpoints[0].port)) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.sendall(b"before\xff\xf4\xff")  # interrupt process, and the data mark of a Synch
            sock.send(b"\xf2", socket.MSG_OOB)
            sock.sendall(b"\xfbafter")
            await served.hears(b"before\xfbafter")


@pytest.mark.long
async def test_who_asks_and_does_not_listen_is_not_read() -> None:
    async with console(allowance=1000) as served:
        client = await served.client()
        client.transport.pause_reading()
        session = served.listener.sessions[0]
        for _ in range(1_000):
            if not session.transport.is_reading():
                break
            client.send((IAC_AYT + b"x") * 100)
            await asyncio.sleep(0)
            if client.transport.get_write_buffer_size():
                await settle(0.001)
        assert session.waiting() < 200_000
        client.transport.resume_reading()
        await until(lambda: session.transport.is_reading())
        await client.reset()


async def test_garbage_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with console() as served:
        client = await served.client()
        client.send((b"\xff\xfa" + bytes(2000) + b"\xff\xf0") * 3 + b"x")
        await served.hears(b"x")
        assert caplog.text.count("telnet garbage") == 1


async def test_a_whole_gateway() -> None:
    cable = Cable()
    service = ReverseTelnetSettings(listen=ANY_PORT)
    async with serving(replace(plan(), modes=((Kind.REVERSE_TELNET, service),)), cables=[cable]) as served:
        client = await connect(Client, served.port("reverse_telnet"))
        await client.hears(OFFERED)
        client.send(b"\r\n")
        await until(lambda: cable.heard == b"\r")
        assert served.service("reverse_telnet").clients[0].received == 1


_PIECES = st.one_of(
    st.binary(max_size=12),
    st.sampled_from((b"\r", b"\n", b"\0", b"\xff", b"\xff\xf3", b"\xff\xf6", b"\xff\xfd", b"\xff\xfa", b"\xff\xf0")),
)


@given(st.lists(_PIECES, max_size=30), st.sampled_from(list(Enter)))
def test_whatever_a_client_sends_the_session_lives(pieces: list[bytes], enter: Enter) -> None:
    async def talk() -> None:
        async with console(enter=enter, break_time=0.01) as served:
            client = await served.client()
            for piece in pieces:
                client.send(piece)
                await settle()
            client.send(b"\xff\xf0\xff\xf0\xff\xf0the end")
            await until(lambda: served.cable.heard.endswith(b"the end"))
            assert not served.listener.results["error"]

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(talk())

"""TCP client: when hosts are called, and what they are told of what the line had said before."""

import asyncio
import random
import socket
from typing import Any

import pytest

from nportpy.linesettings import Flow, LineSettings, ModemLines
from nportpy.modes import caller
from nportpy.modes.host import Kept
from nportpy.modes.tcp_client_base import ConnectOn, DisconnectOn
from nportpy.network.calling import call
from nportpy.network.service import Direction
from nportpy.port.loopback import Cable
from nportpy.protocols.packing import PackingSettings
from tests.support.calls import Host, calling, deaf, hosts
from tests.support.free_ports import free_port
from tests.support.lines import Client as Listening
from tests.support.lines import running
from tests.support.serving import settle, until


async def test_any_character_calls_and_is_not_lost() -> None:
    async with (
        hosts(2) as two,
        calling(*(host.destination for host in two), connect=ConnectOn.ANY_CHARACTER) as calls,
    ):
        await settle(30)
        assert not two[0].calls
        assert not calls.results
        calls.cable.far.write(b"\0")
        for host in two:
            await (await host.called()).hears(b"\0")
        calls.cable.far.write(b"more")
        for host in two:
            await host.client.hears(b"\0more")
        await until(lambda: len(calls.line.stream.clients) == 2)  # nobody keeps anything any more
        assert calls.line.stream.unheard == 0


@pytest.mark.real
async def test_any_character_on_both_loops() -> None:
    async with hosts() as (host,), calling(host.destination, connect=ConnectOn.ANY_CHARACTER) as calls:
        sent = b""
        for times in range(1, 6):
            for piece in (b"<%d" % times, b">"):
                calls.cable.far.write(piece)
                sent += piece
                await asyncio.sleep(0)
            client = await host.called(times)
            await client.hears(b"<%d>" % times)
            await client.close()
            await until(lambda: not calls.client.sessions)
        assert calls.client.dropped == 0


async def test_what_is_kept_is_bounded_and_the_line_waits() -> None:
    cable = Cable()
    line = LineSettings(115200, flow=Flow.RTSCTS, flow_in=Flow.RTSCTS)
    host = Host()
    host.port = free_port()
    async with calling(
        host.destination, cable=cable, line_settings=line, connect=ConnectOn.ANY_CHARACTER, keep=100
    ) as calls:
        cable.far.settings = line
        sent = random.Random(2).randbytes(20_000)
        cable.far.write(sent[:50])
        await until(lambda: calls.results.get("refused"))
        cable.far.write(sent[50:100])
        await settle()
        cable.far.write(sent[100:])
        await settle(5)
        assert cable.far.unsent() > 10_000  # held back by flow control
        await host.open()
        await (await host.called()).hears(sent)
        assert calls.client.dropped == 0
        await host.close()


async def test_beside_others_who_listen_what_is_beyond_is_lost_and_counted() -> None:
    host = Host()
    host.port = free_port()
    async with calling(host.destination, connect=ConnectOn.ANY_CHARACTER, keep=100) as calls:
        other = Listening()
        calls.line.stream.join(other)
        sent = random.Random(3).randbytes(300)
        for start in range(0, 300, 30):
            calls.cable.far.write(sent[start : start + 30])
            await settle()
        assert bytes(other.heard) == sent
        await host.open()
        await (await host.called()).hears(sent[:100])
        assert calls.client.status().dropped == 200
        calls.cable.far.write(b"on")
        await host.client.hears(sent[:100] + b"on")
        calls.line.stream.leave(other)
        await host.close()


async def test_who_answers_late_is_told_all_that_was_said_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    async with hosts(2) as (host, late):

        async def slow(where: str, port: int, *args: Any) -> socket.socket:
            await asyncio.sleep(2.0 * (port == late.port))
            return await call(where, port, *args)

        monkeypatch.setattr(caller, "call", slow)
        async with calling(host.destination, late.destination, connect=ConnectOn.ANY_CHARACTER) as calls:
            for word in (b"one ", b"two ", b"three "):
                calls.cable.far.write(word)
                await settle(0.5)
            await (await host.called()).hears(b"one two three ")
            assert not late.calls
            await (await late.called()).hears(b"one two three ")
            calls.cable.far.write(b"four")
            for each in (host, late):
                await each.client.hears(b"one two three four")
            assert len(calls.line.stream.clients) == 2


async def test_nothing_is_kept_for_who_had_its_chance() -> None:
    with deaf() as slow:
        async with (
            hosts() as (host,),
            calling(host.destination, slow, connect=ConnectOn.ANY_CHARACTER, connect_timeout=5.0) as calls,
        ):
            calls.cable.far.write(b"one ")
            await (await host.called()).hears(b"one ")
            calls.cable.far.write(b"two")
            await host.client.hears(b"one two")
            assert calls.client._kept.data == b"one two"
            assert len(calls.line.stream.clients) == 2  # the host, and who keeps for the other one
            await until(lambda: calls.results.get("timeout"))
            assert len(calls.line.stream.clients) == 1  # it has had its chance


async def test_a_host_hears_nothing_twice() -> None:
    """One that hangs up while another is still being called does not hear again what it had heard."""
    with deaf() as nobody:
        async with (
            hosts() as (host,),
            calling(host.destination, nobody, connect=ConnectOn.ANY_CHARACTER) as calls,
        ):
            calls.cable.far.write(b"one")
            client = await host.called()
            await client.hears(b"one")
            await client.close()
            await until(lambda: not calls.client.sessions)
            calls.cable.far.write(b"two")
            await (await host.called(2)).hears(b"two")


async def test_what_is_packed_is_kept_in_segments_and_no_segment_is_cut() -> None:
    packing = PackingSettings(delimiters=b"\r")
    async with (
        hosts() as (host,),
        calling(host.destination, connect=ConnectOn.ANY_CHARACTER, packing=packing) as calls,
    ):
        calls.cable.far.write(b"begun")
        await settle(10)
        assert not host.calls  # there is nothing to send yet
        calls.cable.far.write(b"\rone\rtwo")
        client = await host.called()
        await client.hears(b"begun\rone\r")
        await until(lambda: len(calls.line.stream.clients) == 1)
        await settle()
        calls.cable.far.write(b" and three\r")
        await client.hears(b"begun\rone\rtwo and three\r")


async def test_the_beginning_of_a_segment_calls_nobody() -> None:
    called = 0

    def count() -> None:
        nonlocal called
        called += 1

    cable = Cable()
    async with running(cable) as line:
        kept = Kept(line.stream, 100, count, PackingSettings(delimiters=b"\r"))
        kept.listen()
        cable.far.write(b"one\rtwo")
        await settle()
        assert (kept.data, called) == (b"one\r", 1)
        kept.end()
        assert (kept.data, called) == (b"", 1)


async def test_one_way_hosts() -> None:
    async with hosts() as (host,):
        async with calling(host.destination, connect=ConnectOn.ANY_CHARACTER, direction=Direction.TO_LINE) as calls:
            calls.cable.far.write(b"calls them, and is not told")
            client = await host.called()
            calls.cable.far.write(b"nor this")
            client.send(b"x")
            await until(lambda: calls.cable.heard == b"x")
            assert not client.heard
        async with calling(host.destination, direction=Direction.TO_NETWORK) as calls:
            client = await host.called(2)
            client.send(b"x")
            calls.cable.far.write(b"y")
            await client.hears(b"y")
            assert not calls.cable.heard


async def test_a_host_that_hangs_up_is_called_at_the_next_character() -> None:
    async with hosts() as (host,), calling(host.destination, connect=ConnectOn.ANY_CHARACTER) as calls:
        for times, word in enumerate((b"first", b"second", b"third"), 1):
            calls.cable.far.write(word)
            client = await host.called(times)
            await client.hears(word)
            await client.close()
            await settle(20)
            assert len(host.calls) == times


async def test_a_host_that_hangs_up_after_each_message_is_called_for_the_next_at_once() -> None:
    async with hosts() as (host,), calling(host.destination, connect=ConnectOn.ANY_CHARACTER) as calls:
        for times in range(1, 30):
            before = asyncio.get_running_loop().time()
            calls.cable.far.write(b"%d" % times)
            client = await host.called(times)
            await client.hears(b"%d" % times)
            assert asyncio.get_running_loop().time() - before < 0.3
            await client.close()
            await settle(0.05)


async def test_a_host_that_hangs_up_and_reads_nothing_is_called_less_and_less() -> None:
    async with (
        hosts(reading=False) as (host,),
        calling(host.destination, connect=ConnectOn.ANY_CHARACTER) as calls,
    ):
        for _ in range(600):
            calls.cable.far.write(b"x")
            await settle(0.1)
            for client in host.calls:
                if hasattr(client, "transport"):
                    client.transport.abort()
        assert 10 < len(host.calls) < 20


async def test_inactivity_ends_and_a_character_calls_again() -> None:
    async with hosts() as (host,):
        async with calling(
            host.destination, connect=ConnectOn.ANY_CHARACTER, disconnect=DisconnectOn.INACTIVITY, inactivity=10.0
        ) as calls:
            calls.cable.far.write(b"a")
            client = await host.called()
            for _ in range(3):
                await settle(8)
                client.send(b"x")
            await settle(8)
            assert not client.lost
            before = asyncio.get_running_loop().time()
            await until(lambda: client.lost)
            assert asyncio.get_running_loop().time() - before < 4
            await settle(30)
            calls.cable.far.write(b"b")
            await (await host.called(2)).hears(b"b")
        assert calls.results == {"connected": 2, "inactive": 1, "shutdown": 1}


async def test_inactivity_means_nothing_where_it_is_not_what_ends() -> None:
    async with hosts() as (host,), calling(host.destination, inactivity=1.0):
        client = await host.called()
        await settle(60)
        assert not client.lost


@pytest.mark.parametrize("connect", [ConnectOn.DSR, ConnectOn.DCD])
@pytest.mark.parametrize("ends", [True, False])
async def test_modem_lines_call_and_hang_up(connect: ConnectOn, ends: bool) -> None:
    cable = Cable()
    cable.far.levels = ModemLines.RTS  # DTR of the far end is DSR and CD here
    disconnect = DisconnectOn(str(connect)) if ends else DisconnectOn.NEVER
    async with hosts() as (host,):
        async with calling(host.destination, cable=cable, connect=connect, disconnect=disconnect) as calls:
            cable.far.write(b"not for anybody")
            await settle(20)
            assert not host.calls
            cable.far.set_modem_lines(dtr=True)
            client = await host.called()
            cable.far.set_modem_lines(dtr=False)
            await settle(0.2)
            assert client.lost == ends
            if not ends:
                await client.close()
            await settle(20)
            assert len(host.calls) == 1
            cable.far.set_modem_lines(dtr=True)
            await host.called(2)
        assert calls.results == {"connected": 2, "line_down" if ends else "closed": 1, "shutdown": 1}


async def test_a_device_that_comes_back_with_dsr_up_calls() -> None:
    cable = Cable()
    cable.far.levels = ModemLines(0)
    async with hosts() as (host,), calling(host.destination, cable=cable, connect=ConnectOn.DSR) as calls:
        cable.unplug()
        await until(lambda: not calls.line.up)
        cable.far.levels = ModemLines.DTR
        cable.plug()
        await host.called()


@pytest.mark.parametrize(
    ("gone", "connect", "disconnect"),
    [
        ("dsr", ConnectOn.DSR, DisconnectOn.DSR),
        ("device", ConnectOn.DSR, DisconnectOn.DSR),
        ("device", ConnectOn.STARTUP, DisconnectOn.NEVER),
    ],
)
async def test_what_ends_connections_while_a_host_is_called(
    gone: str, connect: ConnectOn, disconnect: DisconnectOn, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slow(*args: Any) -> socket.socket:
        await asyncio.sleep(2.0)
        return await call(*args)

    monkeypatch.setattr(caller, "call", slow)
    cable = Cable()
    async with (
        hosts() as (host,),
        calling(host.destination, cable=cable, connect=connect, disconnect=disconnect) as calls,
    ):
        await settle(1)
        if gone == "dsr":
            cable.far.set_modem_lines(dtr=False)
        else:
            cable.unplug()
        client = await host.called()
        await until(lambda: client.lost)
        assert calls.results == {"connected": 1, "line_down": 1}
        await settle(30)
        assert len(host.calls) == 1

"""TCP client: when hosts are called, what they hear, and how connections end."""

import asyncio
import gc
import random
import socket
from itertools import pairwise
from typing import Any

import pytest

from nportpy.line.arbiter import Line
from nportpy.line.loopback import Cable
from nportpy.line.port import PortSettings
from nportpy.line.stream import StreamSettings
from nportpy.linesettings import Flow, LineSettings, ModemLines
from nportpy.modes import tcp_client
from nportpy.modes.base import Direction, WhenDown
from nportpy.modes.calling import call
from nportpy.modes.tcp_client import ConnectOn, Destination, DisconnectOn, TcpClient, TcpClientSettings
from nportpy.protocols.packing import PackingSettings
from nportpy.throttle import Throttle
from tests.support.calls import Calling, Host, calling, closed_port, deaf, hosts
from tests.support.lines import Client as Listening
from tests.support.lines import running
from tests.support.ports import descriptors
from tests.support.serving import settle, until

# Both ways.


@pytest.mark.real
async def test_bytes_go_both_ways() -> None:
    async with hosts() as (host,), calling(host.destination) as calls:
        client = await host.called()
        calls.cable.far.write(b"from the line")
        await client.hears(b"from the line")
        client.send(b"to the line")
        await until(lambda: calls.cable.heard == b"to the line")
        status = calls.client.status()
        assert (status.listen, status.service, status.port) == ((), "tcp_client", "meters")
        (seen,) = status.clients
        assert (seen.address, seen.port, seen.state) == ("127.0.0.1", host.port, "open")
        assert (seen.received, seen.sent) == (11, 13)
    assert calls.results == {"connected": 1, "shutdown": 1}


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "localhost"])
async def test_hosts_by_address_and_by_name(address: str) -> None:
    async with (
        hosts(address="127.0.0.1" if address == "localhost" else address) as (host,),
        calling(Destination(address, host.port)) as calls,
    ):
        await host.called()
        assert calls.client.sessions[0].peer.port == host.port


async def test_all_hosts_hear_and_all_may_write() -> None:
    async with hosts(4) as four, calling(*(host.destination for host in four)) as calls:
        clients = [await host.called() for host in four]
        await until(lambda: len(calls.client.sessions) == 4)
        calls.cable.far.write(b"for everybody")
        for client in clients:
            await client.hears(b"for everybody")
        for number, client in enumerate(clients):
            client.send(b"%d" % number)
            await settle()
        assert calls.cable.heard == b"0123"


async def test_a_call_comes_from_the_local_port() -> None:
    local = closed_port()
    async with hosts() as (host,), calling(Destination("127.0.0.1", host.port, local)) as calls:
        client = await host.called()
        assert client.transport.get_extra_info("peername")[1] == local
        client.send(b"x")
        await until(lambda: calls.cable.heard == b"x")
        await client.reset()  # a port that waits for stray segments could not call for a minute
        again = await host.called(2)
        assert again.transport.get_extra_info("peername")[1] == local
        await again.reset()


async def test_a_local_port_that_is_taken_is_a_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        async with (
            hosts() as (host,),
            calling(Destination("127.0.0.1", host.port, taken.getsockname()[1])) as calls,
        ):
            await until(lambda: calls.results.get("failed", 0) > 2)


@pytest.mark.real
async def test_garbage_from_a_host_is_for_the_line() -> None:
    awkward = b"\xff\xf6\xff\xfb\x2c\r\0\n+++ATH\x11\x13GET / HTTP/1.1\r\n\r\n" + random.Random(1).randbytes(100_000)
    async with hosts() as (host,), calling(host.destination) as calls:
        client = await host.called()
        client.send(awkward)
        await until(lambda: len(calls.cable.heard) == len(awkward))
        assert calls.cable.heard == awkward
        calls.cable.far.write(awkward)
        await client.hears(awkward)


# Calling again.


async def test_attempts_back_off_up_to_the_ceiling_and_never_end(caplog: pytest.LogCaptureFixture) -> None:
    times: list[float] = []
    async with calling(Destination("127.0.0.1", closed_port()), retry_at_most=2.0) as calls:

        class Counting(dict[str, int]):
            def __setitem__(self, key: str, value: int) -> None:
                times.append(asyncio.get_running_loop().time())
                super().__setitem__(key, value)

            def __missing__(self, key: str) -> int:
                return 0

        calls.client.results = Counting()  # type: ignore[assignment]  # all that is asked of it
        await settle(60)
        assert calls.results == {"refused": len(times)}
    pauses = [round(after - before, 1) for before, after in pairwise(times)]
    assert pauses[:6] == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0]
    assert set(pauses[6:]) == {2.0}
    assert [record.message for record in caplog.records].count("host cannot be reached, trying on") == 1


async def test_a_host_that_comes_back_is_called_again() -> None:
    async with hosts() as (host,), calling(host.destination, retry_at_most=1.0) as calls:
        for times in (1, 2, 3):
            client = await host.called(times)
            client.send(b"%d" % times)
            await until(lambda: len(calls.cable.heard) == times)  # noqa: B023 - awaited in its own round
            host.shut()
            await (client.close() if times == 1 else client.reset())
            await until(lambda: calls.results.get("refused", 0) >= 2 * times)  # noqa: B023 - likewise
            await host.open()
        await host.called(4)
        assert calls.results["closed"] == 3


async def test_a_host_that_hangs_up_at_once_is_called_less_and_less() -> None:
    async with hosts() as (host,), calling(host.destination) as calls:

        def hang_up() -> None:
            for client in host.calls:
                if hasattr(client, "transport"):
                    client.transport.close()
            asyncio.get_running_loop().call_later(0.01, hang_up)

        hang_up()
        await settle(60)
        assert 10 < len(host.calls) < 20
        assert calls.results["connected"] == calls.results["closed"] or calls.client.sessions


async def test_after_a_connection_that_lasted_the_next_attempt_comes_soon() -> None:
    async with hosts() as (host,), calling(host.destination) as calls:
        await until(lambda: calls.client.sessions)
        for times in (1, 2, 3):
            client = await host.called(times)
            await settle(10)
            before = asyncio.get_running_loop().time()
            await client.close()
            await host.called(times + 1)
            assert asyncio.get_running_loop().time() - before < 0.3


async def test_a_host_that_does_not_answer_the_call() -> None:
    with deaf() as nobody:
        async with hosts() as (host,), calling(nobody, host.destination, connect_timeout=3.0) as calls:
            client = await host.called()
            calls.cable.far.write(b"heard")
            await client.hears(b"heard")
            before = asyncio.get_running_loop().time()
            await until(lambda: calls.results.get("timeout", 0) == 3, within=60)
            assert 5.9 < asyncio.get_running_loop().time() - before < 12
            assert calls.results == {"connected": 1, "timeout": 3}


@pytest.mark.real
async def test_stopped_in_the_midst_of_a_call() -> None:
    with deaf() as nobody:
        async with calling(nobody) as calls:
            await settle(0.1)
            assert not calls.client.sessions
        assert calls.results == {}


@pytest.mark.parametrize("name", ["no-such-host.invalid", "a..b", "x" * 300])
async def test_a_name_without_an_address(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    look_up = socket.getaddrinfo

    def offline(host: str, *args: Any, **more: Any) -> Any:
        if host.endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return look_up(host, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", offline)
    async with calling(Destination(name, 4001)) as calls:
        await until(lambda: calls.results.get("no_address", 0) == 2)


async def test_each_address_of_a_name_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    look_up = socket.getaddrinfo
    with deaf() as nobody:
        async with hosts() as (host,):

            def several(name: str, port: int, *args: Any, **more: Any) -> Any:
                found = [*look_up("127.0.0.1", nobody.port, *args, **more)]
                found += look_up("127.0.0.1", closed_port(), *args, **more)
                return found + look_up("127.0.0.1", port, *args, **more)

            monkeypatch.setattr(socket, "getaddrinfo", several)
            before = asyncio.get_running_loop().time()
            with await call("plant.example", host.port, 0, 3.0, 0.0):
                assert 0.9 < asyncio.get_running_loop().time() - before < 1.5
            with pytest.raises(TimeoutError):
                await call("plant.example", closed_port(), 0, 3.0, 0.0)


async def test_nobody_meets_itself() -> None:
    """A port of this machine where nobody listens, called from that port: the kernel joins the socket to itself."""
    port = closed_port()
    with pytest.raises(ConnectionRefusedError):
        await call("127.0.0.1", port, port, 3.0, 0.0)


# When hosts are called.


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
    host.port = closed_port()
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
    host.port = closed_port()
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

        monkeypatch.setattr(tcp_client, "call", slow)
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


async def test_dsr_that_drops_while_a_host_is_called() -> None:
    with deaf() as nobody:
        cable = Cable()
        async with calling(
            nobody, cable=cable, connect=ConnectOn.DSR, disconnect=DisconnectOn.DSR, connect_timeout=2.0
        ) as calls:
            await settle(1)
            cable.far.set_modem_lines(dtr=False)
            await settle(30)
            assert calls.results == {"timeout": 1}


# The device comes and goes.


async def test_while_the_device_is_away_nobody_is_called() -> None:
    async with hosts() as (host,), calling(host.destination) as calls:
        client = await host.called()
        calls.cable.unplug()
        await until(lambda: client.lost)
        await settle(30)
        assert len(host.calls) == 1
        calls.cable.plug()
        client = await host.called(2)
        client.send(b"back")
        await until(lambda: calls.cable.heard == b"back")
    assert calls.results == {"connected": 2, "line_down": 1, "shutdown": 1}


async def test_hosts_that_hold_on_lose_nothing() -> None:
    async with hosts() as (host,), calling(host.destination, when_down=WhenDown.HOLD) as calls:
        client = await host.called()
        calls.cable.unplug()
        await until(lambda: not calls.line.up)
        client.send(b"a" * 1000)
        await settle(10)
        assert not client.lost
        await client.close()
        await settle(10)
        assert len(host.calls) == 1  # nobody reads what it has left behind, and so nobody meets its end
        calls.cable.plug()
        await until(lambda: calls.cable.heard == b"a" * 1000)
        again = await host.called(2)
        calls.cable.far.write(b"again")
        await again.hears(b"again")


async def test_who_may_hold_on_is_called_while_the_device_is_away() -> None:
    cable = Cable()
    cable.unplug()
    async with hosts() as (host,), calling(host.destination, cable=cable, when_down=WhenDown.HOLD):
        client = await host.called()
        client.send(b"early")
        await settle(1)
        assert not client.lost
        cable.plug()
        await until(lambda: cable.heard == b"early")


async def test_what_was_kept_outlives_the_device() -> None:
    host = Host()
    host.port = closed_port()
    async with calling(host.destination, connect=ConnectOn.ANY_CHARACTER) as calls:
        calls.cable.far.write(b"last words")
        await until(lambda: calls.results.get("refused"))
        calls.cable.unplug()
        await settle(10)
        await host.open()
        await settle(10)
        assert not host.calls
        calls.cable.plug()
        await (await host.called()).hears(b"last words")
        await host.close()


# Back-pressure.


async def test_a_lone_host_that_reads_nothing_stops_the_line_and_loses_nothing() -> None:
    cable = Cable()
    line = LineSettings(115200, flow=Flow.RTSCTS, flow_in=Flow.RTSCTS)
    async with (
        hosts(reading=False) as (host,),
        calling(host.destination, cable=cable, line_settings=line) as calls,
    ):
        client = await host.called()
        await until(lambda: calls.client.sessions)
        cable.far.settings = line
        sent = random.Random(4).randbytes(6_000_000)
        for start in range(0, len(sent), 10_000):
            cable.far.write(sent[start : start + 10_000])
            await asyncio.sleep(0)
        await settle(1)
        assert cable.far.unsent() > 1_000_000
        assert calls.client.status().clients[0].state == "stalled"
        client.read_on()
        await until(lambda: len(client.heard) == len(sent), within=600)
        assert bytes(client.heard) == sent


@pytest.mark.real
async def test_beside_another_a_host_that_reads_nothing_is_dropped_at_its_allowance_and_called_again() -> None:
    async with (
        hosts() as (fast,),
        hosts(reading=False) as (slow,),
        calling(slow.destination, fast.destination, allowance=100_000) as calls,
    ):
        await slow.called()
        client = await fast.called()
        await until(lambda: len(calls.client.sessions) == 2)
        sent = random.Random(5).randbytes(6_000_000)
        for start in range(0, len(sent), 10_000):
            calls.cable.far.write(sent[start : start + 10_000])
            await asyncio.sleep(0)
        await until(lambda: len(client.heard) == len(sent), within=60)
        assert bytes(client.heard) == sent
        await until(lambda: len(slow.calls) > 1)
        assert calls.results["slow"] >= 1
        assert calls.client.dropped > 100_000
        slow.client.read_on()
        for each in slow.calls[:-1]:
            each.read_on()


async def test_a_host_that_writes_too_much_waits_and_loses_nothing() -> None:
    cable = Cable()
    line = LineSettings(115200, flow=Flow.RTSCTS, flow_in=Flow.RTSCTS)
    async with hosts() as (host,), calling(host.destination, cable=cable, line_settings=line) as calls:
        client = await host.called()
        cable.far.set_modem_lines(rts=False)
        sent = random.Random(6).randbytes(6_000_000)
        client.send(sent)
        await settle(1)
        assert calls.line.unsent() < 1_000_000
        cable.far.set_modem_lines(rts=True)
        await until(lambda: len(cable.heard) == len(sent), within=60)
        assert cable.heard == sent


# The end.


@pytest.mark.real
async def test_hushed_it_calls_nobody_and_takes_nothing_more() -> None:
    async with hosts() as (host,), calling(host.destination, Destination("127.0.0.1", closed_port())) as calls:
        client = await host.called()
        await until(lambda: calls.client.sessions)
        calls.client.hush()
        client.send(b"too late")
        calls.cable.far.write(b"answer")
        await client.hears(b"answer")
        before = calls.results
        await settle(0.3)
        assert calls.results == before
        assert calls.cable.heard == b""
        assert calls.client.accepted() == 0


async def test_hushed_before_it_began() -> None:
    cable = Cable()
    async with hosts() as (host,), running(cable) as line:
        client = TcpClient(line, "x", TcpClientSettings(destinations=(host.destination,)), Throttle())
        client.hush()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(client.run())
            await settle(5)
            client.stop()
        assert not host.calls


async def test_nobody_is_called_before_the_device_was_tried() -> None:
    cable = Cable()
    opened = asyncio.Event()

    async def slow_opener(*args: Any) -> Any:
        await opened.wait()
        return await cable.opener(*args)

    async with hosts() as (host,):
        line = Line("meters", PortSettings("cable"), StreamSettings(), slow_opener)
        client = TcpClient(line, "x", TcpClientSettings(destinations=(host.destination,)), Throttle())
        async with asyncio.TaskGroup() as tasks:
            keeping = tasks.create_task(line.run())
            tasks.create_task(client.run())
            await settle(1)
            assert not host.calls
            opened.set()
            await host.called()
            client.stop()
            await until(lambda: not client.sessions)
            keeping.cancel()


@pytest.mark.real
async def test_a_cancelled_service_leaves_nothing_behind() -> None:
    cable = Cable()
    async with hosts() as (host,), running(cable) as line:
        settings = TcpClientSettings(destinations=(host.destination,), connect=ConnectOn.ANY_CHARACTER)
        client = TcpClient(line, "x", settings, Throttle())
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(client.run())
            await until(lambda: line.stream.clients)
            cable.far.write(b"x")
            await (await host.called()).hears(b"x")
            await until(lambda: client.sessions)
            task.cancel()
        assert not line.stream.clients
        await until(lambda: host.client.lost)


@pytest.mark.real
@pytest.mark.parametrize("connect", [ConnectOn.STARTUP, ConnectOn.ANY_CHARACTER, ConnectOn.DSR])
async def test_whatever_hosts_and_device_do_nothing_is_left_behind(connect: ConnectOn) -> None:
    chance = random.Random(str(connect))
    left: list[int] = []  # a loop opens some descriptors when it first needs them, and keeps them
    disconnect = DisconnectOn.DSR if connect is ConnectOn.DSR else DisconnectOn.NEVER
    for _ in range(3):
        async with (
            hosts(3) as three,
            calling(
                *(host.destination for host in three), connect=connect, disconnect=disconnect, retry_at_most=0.02
            ) as calls,
        ):
            for _ in range(60):
                await misbehave(chance, three, calls)
                await asyncio.sleep(chance.choice((0, 0, 0.001, 0.01)))
            if chance.random() < 0.5:
                calls.client.hush()
                await asyncio.sleep(0.01)
        assert not calls.line.stream.clients
        gc.collect()
        left.append(descriptors())
    assert left[2] <= left[0]


async def misbehave(chance: random.Random, several: list[Host], calls: Calling) -> None:
    host, cable = chance.choice(several), calls.cable
    connected = [client for client in host.calls if hasattr(client, "transport") and not client.lost]
    match chance.randrange(8):
        case 0:
            cable.far.write(b"x")
        case 1 if connected:
            connected[-1].transport.close()
        case 2 if connected:
            connected[-1].transport.abort()
        case 3 if connected:
            connected[-1].send(bytes(1000))
        case 4:
            host.shut()
        case 5:
            host.shut()
            await host.open()
        case 6:
            (cable.unplug if cable.plugged else cable.plug)()
        case 7:
            cable.far.set_modem_lines(dtr=chance.random() < 0.5)
        case _:
            pass


async def test_a_bug_costs_one_connection(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    async with hosts() as (host,), calling(host.destination) as calls:
        client = await host.called()
        await until(lambda: calls.client.sessions)
        monkeypatch.setattr(calls.client.sessions[0], "weigh", lambda _: 1 / 0)
        calls.client.sessions[0]._held = True
        calls.cable.far.write(b"x")
        await until(lambda: client.lost)
        await host.called(2)
    assert [record.message for record in caplog.records] == ["a session failed"]
    assert calls.results == {"connected": 2, "error": 1, "shutdown": 1}

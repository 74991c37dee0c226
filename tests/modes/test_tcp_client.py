"""TCP client: bytes both ways, hosts that come and go, back-pressure, and the end."""

import asyncio
import gc
import random
import socket
from itertools import pairwise
from typing import Any

import pytest

from nportpy.line.arbiter import Line
from nportpy.line.stream_base import StreamSettings
from nportpy.linesettings import Flow, LineSettings
from nportpy.modes.tcp_client import TcpClient
from nportpy.modes.tcp_client_base import ConnectOn, DisconnectOn, TcpClientSettings
from nportpy.network.addresses import Destination
from nportpy.network.service import WhenDown
from nportpy.port.base import PortSettings
from nportpy.port.loopback import Cable
from nportpy.throttle import Throttle
from tests.support.calls import Calling, Host, calling, deaf, hosts
from tests.support.free_ports import free_port
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
    local = free_port()
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
    async with calling(Destination("127.0.0.1", free_port()), retry_at_most=2.0) as calls:

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
    host.port = free_port()
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


@pytest.mark.long
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
            await until(lambda: len(client.heard) >= start - 50_000)  # noqa: B023 - awaited in its own round
        await until(lambda: len(client.heard) == len(sent), within=60)
        assert bytes(client.heard) == sent
        await until(lambda: len(slow.calls) > 1)
        assert calls.results["slow"] >= 1
        assert calls.client.dropped > 100_000
        slow.client.read_on()
        for each in slow.calls[:-1]:
            each.read_on()


@pytest.mark.long
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
    async with hosts() as (host,), calling(host.destination, Destination("127.0.0.1", free_port())) as calls:
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


@pytest.mark.long
async def test_it_ends_at_once_however_rarely_a_host_is_called() -> None:
    async with hosts() as (host,):
        host.shut()
        async with calling(host.destination, retry_at_most=3600.0) as calls:
            await settle(1000)
            await host.open()
            await until(lambda: calls.client.sessions, within=3600)
            before = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - before < 1


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

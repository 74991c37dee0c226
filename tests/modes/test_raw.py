"""Raw TCP clients on a line."""

import asyncio
import random

import pytest

from nportpy.line.stream_base import IdleLevels, StreamSettings
from nportpy.linesettings import Flow, LineSettings, ModemLines
from nportpy.network.addresses import Endpoint
from nportpy.network.service import Direction, WhenDown, WhenJammed
from nportpy.port.loopback import Cable
from tests.support.serving import Client, connect, plan, raw, serving, settle, until


async def test_bytes_go_both_ways() -> None:
    cable = Cable()
    async with serving(plan("cable", raw()), cables=[cable]) as served:
        client = await served.raw()
        client.send(b"request")
        await until(lambda: cable.heard == b"request")
        cable.far.write(b"answer")
        await client.hears(b"answer")


async def test_all_hear_and_all_may_write() -> None:
    cable = Cable()
    async with serving(plan("cable", raw(), raw()), cables=[cable]) as served:
        clients = [await served.raw() for _ in range(3)] + [await served.raw("raw-2")]
        cable.far.write(b"for everybody")
        for client in clients:
            await client.hears(b"for everybody")
        for number, client in enumerate(clients):
            client.send(b"%d" % number)
            await settle()
        assert cable.heard == b"0123"


async def test_writes_stay_whole_and_in_order() -> None:
    cable = Cable()
    line = LineSettings(1_000_000)
    async with serving(plan("cable", raw(max_clients=8), line=line), cables=[cable]) as served:
        clients = [await served.raw() for _ in range(8)]
        for round_ in range(20):
            for number, client in enumerate(clients):
                client.send(b"<%d:%02d>" % (number, round_) * 10)
            await settle(0.001)
        await until(lambda: len(cable.heard) == 8 * 20 * 60)
        for number in range(8):
            positions = [cable.heard.index(b"<%d:%02d>" % (number, round_) * 10) for round_ in range(20)]
            assert positions == sorted(positions)


async def test_nothing_but_the_lines_bytes_enters_the_stream() -> None:
    cable = Cable()
    async with serving(plan("cable", raw(when_down=WhenDown.CLOSE)), cables=[cable]) as served:
        client = await served.raw()
        awkward = b"\xff\xf6\xff\xfb\x2c\r\0\n+++ATH\x11\x13" + bytes(range(256))
        client.send(awkward)
        await until(lambda: cable.heard == awkward)
        cable.far.write(awkward)
        await client.hears(awkward)
        cable.unplug()
        await until(lambda: client.lost)
        assert bytes(client.heard) == awkward


async def test_what_came_before_the_first_client_is_not_told_to_it() -> None:
    cable = Cable()
    async with serving(plan("cable", raw()), cables=[cable]) as served:
        cable.far.write(b"stale")
        await settle()
        client = await served.raw()
        cable.far.write(b"fresh")
        await client.hears(b"fresh")


async def test_what_the_kernel_could_keep_is_told_to_the_first_client_if_so_set() -> None:
    cable = Cable()
    keep = StreamSettings(flush_on_first=False)
    async with serving(plan("cable", raw(), stream=keep), cables=[cable]) as served:
        cable.far.write(b"kept")
        await settle()
        client = await served.raw()
        await client.hears(b"kept")


# The end of a connection.


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_what_was_accepted_reaches_a_slow_line_after_its_client_has_gone(how: str) -> None:
    """4 KB take 4.3 s at 9600, longer than linger: the line is slow, not stuck."""
    cable = Cable(paced=True)
    line = LineSettings(9600)
    async with serving(plan("cable", raw(), line=line), cables=[cable], drain=10.0) as served:
        client = await served.raw()
        sent = random.Random(1).randbytes(4096)
        client.send(sent)
        await until(lambda: served.service().clients and served.service().clients[0].received == 4096)
        await (client.close() if how == "close" else client.reset())
        cable.far.write(b"x")  # to a peer that has gone: the connection breaks
        await until(lambda: len(cable.heard) >= 4096, within=20)
        assert cable.heard == sent
        assert served.line().purged == 0


async def test_what_a_stuck_line_does_not_take_is_purged_after_linger() -> None:
    cable = Cable()
    line = LineSettings(115200, flow=Flow.RTSCTS, flow_in=Flow.RTSCTS)
    async with serving(plan("cable", raw(), line=line, stream=StreamSettings(linger=3.0)), cables=[cable]) as served:
        cable.far.set_modem_lines(rts=False)  # the device says stop
        client = await served.raw()
        client.send(b"never taken")
        await until(lambda: served.line().unsent == 11)
        before = asyncio.get_running_loop().time()
        await client.close()
        await until(lambda: served.line().purged == 11)
        assert 2.9 < asyncio.get_running_loop().time() - before < 6.5
        assert served.line().unsent == 0
        cable.far.set_modem_lines(rts=True)
        client = await served.raw()
        client.send(b"fresh")
        await until(lambda: cable.heard == b"fresh")


async def test_a_new_client_keeps_what_the_last_one_left_behind() -> None:
    cable = Cable()
    line = LineSettings(115200, flow=Flow.RTSCTS, flow_in=Flow.RTSCTS)
    async with serving(plan("cable", raw(), line=line, stream=StreamSettings(linger=1.0)), cables=[cable]) as served:
        cable.far.set_modem_lines(rts=False)
        first = await served.raw()
        first.send(b"one ")
        await until(lambda: served.line().unsent == 4)
        await first.close()
        second = await served.raw()
        await settle(5)
        second.send(b"two")
        cable.far.set_modem_lines(rts=True)
        await until(lambda: cable.heard == b"one two")


async def test_after_half_close_the_answer_comes_back() -> None:
    cable = Cable()
    async with serving(plan("cable", raw(half_close=2.0)), cables=[cable]) as served:
        client = await served.raw()
        client.send(b"request")
        client.half_close()
        await until(lambda: cable.heard == b"request")
        assert served.service().clients[0].state == "half-closed"
        for piece in (b"late ", b"and ", b"slow"):
            await asyncio.sleep(1.7)
            cable.far.write(piece)
        silent_since = asyncio.get_running_loop().time()
        await until(lambda: client.lost)
        assert 1.9 < asyncio.get_running_loop().time() - silent_since < 2.6
        assert bytes(client.heard) == b"late and slow"
        assert served.results() == {"accepted": 1, "closed": 1}


async def test_half_close_waits_for_a_slow_line() -> None:
    cable = Cable(paced=True)
    async with serving(plan("cable", raw(half_close=0.5), line=LineSettings(9600)), cables=[cable]) as served:
        client = await served.raw()
        client.send(bytes(4096))
        client.half_close()
        await until(lambda: len(cable.heard) == 4096, within=20)
        cable.far.write(b"done")
        await client.hears(b"done")
        await until(lambda: client.lost)


@pytest.mark.real
async def test_half_close_survives_a_full_line_and_a_pause() -> None:
    """A FIN behind more than the line's buffer takes is met once, however often reading stops and goes on."""
    cable = Cable()
    line = LineSettings(115200, flow=Flow.RTSCTS, flow_in=Flow.RTSCTS)
    async with serving(plan("cable", raw(half_close=0.5), line=line), cables=[cable]) as served:
        cable.far.set_modem_lines(rts=False)
        client = await served.raw()
        sent = random.Random(2).randbytes(1_000_000)
        client.send(sent)
        client.half_close()
        await settle(0.3)
        cable.far.set_modem_lines(rts=True)
        await until(lambda: len(cable.heard) == len(sent), within=60)
        assert cable.heard == sent
        cable.far.write(b"done")
        await client.hears(b"done")
        await until(lambda: client.lost)
        assert served.results() == {"accepted": 1, "closed": 1}


async def test_without_half_close_a_fin_is_the_end_and_the_bytes_still_go_out() -> None:
    cable = Cable(paced=True)
    async with serving(plan("cable", raw(half_close=0.0), line=LineSettings(9600)), cables=[cable]) as served:
        client = await served.raw()
        client.send(bytes(100))
        client.half_close()
        await until(lambda: client.lost)
        await until(lambda: len(cable.heard) == 100)
        assert served.results() == {"accepted": 1, "closed": 1}


async def test_inactivity_is_silence_of_the_line() -> None:
    cable = Cable()
    async with serving(plan("cable", raw(inactivity=10.0)), cables=[cable]) as served:
        client = await served.raw()
        for _ in range(4):
            await asyncio.sleep(8)
            cable.far.write(b"x")
        await settle()
        assert not client.lost
        before = asyncio.get_running_loop().time()
        await until(lambda: client.lost, within=20)
        assert 9 < asyncio.get_running_loop().time() - before < 11.5
        assert served.results() == {"accepted": 1, "inactive": 1}


# Back-pressure.


@pytest.mark.long
async def test_a_lone_stalled_client_stops_the_line_and_loses_nothing() -> None:
    cable = Cable()
    line = LineSettings(115200, flow=Flow.RTSCTS, flow_in=Flow.RTSCTS)
    async with serving(plan("cable", raw(), line=line), cables=[cable]) as served:
        client = await served.raw(reading=False)
        cable.far.settings = line
        sent = random.Random(3).randbytes(6_000_000)
        for start in range(0, len(sent), 10_000):
            cable.far.write(sent[start : start + 10_000])
            await asyncio.sleep(0)
        await settle(1)
        assert cable.far.unsent() > 1_000_000  # held back by flow control
        assert served.service().clients[0].state == "stalled"
        assert served.service().clients[0].waiting < 1_000_000
        client.read_on()
        await until(lambda: len(client.heard) == len(sent), within=600)
        assert bytes(client.heard) == sent
        assert cable.near is not None
        assert cable.near.counts.buffer_overrun == 0


@pytest.mark.real
async def test_beside_a_fast_neighbour_a_slow_client_is_dropped_at_its_allowance() -> None:
    cable = Cable()
    async with serving(plan("cable", raw(allowance=100_000)), cables=[cable]) as served:
        slow = await served.raw(reading=False)
        fast = await served.raw()
        sent = random.Random(4).randbytes(6_000_000)
        for start in range(0, len(sent), 10_000):
            cable.far.write(sent[start : start + 10_000])
            await asyncio.sleep(0)
        await until(lambda: len(fast.heard) == len(sent), within=60)
        assert bytes(fast.heard) == sent
        assert served.results() == {"accepted": 2, "slow": 1}
        assert 100_000 < served.service().dropped < 200_000
        slow.read_on()
        await until(lambda: slow.lost)
        fast.send(b"still here")
        await until(lambda: cable.heard == b"still here")


@pytest.mark.real
async def test_beside_a_fast_neighbour_a_slow_client_may_miss_bytes_and_stay() -> None:
    """What an NPort does with "ignore jammed IP"."""
    cable = Cable()
    settings = raw(allowance=100_000, when_jammed=WhenJammed.SKIP)
    async with serving(plan("cable", settings), cables=[cable]) as served:
        slow = await served.raw(reading=False)
        fast = await served.raw()
        sent = random.Random(4).randbytes(6_000_000)
        for start in range(0, len(sent), 10_000):
            cable.far.write(sent[start : start + 10_000])
            await asyncio.sleep(0)
        await until(lambda: len(fast.heard) == len(sent), within=60)
        assert bytes(fast.heard) == sent
        slow.read_on()
        await until(lambda: served.service().clients[0].waiting == 0)
        await settle(0.2)
        before = len(slow.heard)
        assert bytes(slow.heard) == sent[:before]  # what it has not missed came in order
        cable.far.write(b"again")
        await until(lambda: slow.heard.endswith(b"again"))
        assert len(slow.heard) == before + 5
        await slow.close()
        await until(lambda: served.service().dropped)
        assert served.service().dropped == len(sent) - before
        assert served.results() == {"accepted": 2, "closed": 1}


@pytest.mark.real
async def test_all_may_wait_for_a_slow_client() -> None:
    cable = Cable()
    line = LineSettings(115200, flow=Flow.RTSCTS, flow_in=Flow.RTSCTS)
    settings = raw(allowance=100_000, when_jammed=WhenJammed.WAIT)
    async with serving(plan("cable", settings, line=line), cables=[cable]) as served:
        cable.far.settings = line
        slow = await served.raw(reading=False)
        fast = await served.raw()
        sent = random.Random(4).randbytes(6_000_000)
        for start in range(0, len(sent), 10_000):
            cable.far.write(sent[start : start + 10_000])
            await asyncio.sleep(0)
        await settle(0.3)
        assert cable.far.unsent() > 1_000_000  # flow control holds the device
        slow.read_on()
        await until(lambda: len(slow.heard) == len(fast.heard) == len(sent), within=60)
        assert bytes(slow.heard) == bytes(fast.heard) == sent
        assert served.results() == {"accepted": 2}


@pytest.mark.long
async def test_a_client_that_writes_too_much_waits_and_loses_nothing() -> None:
    cable = Cable()
    line = LineSettings(115200, flow=Flow.RTSCTS, flow_in=Flow.RTSCTS)
    async with serving(plan("cable", raw(), line=line), cables=[cable]) as served:
        cable.far.set_modem_lines(rts=False)
        clients = [await served.raw(), await served.raw()]
        sent = random.Random(5).randbytes(6_000_000)
        clients[0].send(sent)
        await settle(1)
        assert served.line().unsent < 1_000_000
        clients[1].send(b"short")  # the first one to find the line full does not stand in its way
        await settle(1)
        cable.far.set_modem_lines(rts=True)
        await until(lambda: len(cable.heard) == len(sent) + 5, within=60)
        assert cable.heard.replace(b"short", b"", 1) == sent


# One way, and nobody there.


async def test_a_service_may_be_one_way() -> None:
    cable = Cable()
    ways = [raw(direction=direction) for direction in Direction]
    async with serving(plan("cable", *ways), cables=[cable]) as served:
        both, listening, speaking = [await served.raw(f"raw{number}") for number in ("", "-2", "-3")]
        for client in (both, listening, speaking):
            client.send(b"x" * 1000)
        await until(lambda: len(cable.heard) == 2000)
        cable.far.write(b"for whoever listens")
        await both.hears(b"for whoever listens")
        await listening.hears(b"for whoever listens")
        await settle()
        assert len(cable.heard) == 2000
        assert not speaking.heard
        sessions = served.gateway._ports["cable"].services.running[1].runs.sessions
        assert [session.ignored for session in sessions] == [1000]


async def test_what_came_while_nobody_was_there_is_given_to_the_first_client() -> None:
    cable = Cable()
    stream = StreamSettings(buffer=64 * 1024)
    async with serving(plan("cable", raw(), stream=stream), cables=[cable]) as served:
        said = random.Random(6).randbytes(100_000)
        for start in range(0, len(said), 1000):
            cable.far.write(said[start : start + 1000])
            await settle()
        assert served.line().unheard == len(said) - 64 * 1024
        first = await served.raw()
        await first.hears(said[-64 * 1024 :])
        second = await served.raw()
        cable.far.write(b"now")
        await second.hears(b"now")
        assert first.heard.endswith(b"now")


async def test_levels_while_nobody_is_connected() -> None:
    cable = Cable()
    stream = StreamSettings(idle_levels=IdleLevels.LOW)

    def levels() -> ModemLines:
        lines = cable.far.modem_lines()
        assert lines is not None
        return lines & (ModemLines.DSR | ModemLines.CTS)

    async with serving(plan("cable", raw(), stream=stream), cables=[cable]) as served:
        assert not levels()
        client = await served.raw()
        await until(lambda: levels() == ModemLines.DSR | ModemLines.CTS)
        await client.close()
        await until(lambda: not levels())


async def test_sixty_four_clients_from_one_address() -> None:
    cable = Cable()
    async with serving(plan("cable", raw(max_clients=64)), cables=[cable]) as served:
        clients = [await served.raw() for _ in range(64)]
        cable.far.write(b"for everybody")
        for client in clients:
            await client.hears(b"for everybody")
        for number, client in enumerate(clients):
            client.send(b"%02d" % number)
            await settle(0.001)
        assert cable.heard == b"".join(b"%02d" % number for number in range(64))
        late = await connect(Client, served.port())
        await until(lambda: late.lost)


# The device comes and goes.


async def test_while_the_device_is_away_clients_are_closed_and_refused() -> None:
    cable = Cable()
    async with serving(plan("cable", raw()), cables=[cable]) as served:
        client = await served.raw()
        cable.unplug()
        await until(lambda: client.lost)
        late = await connect(Client, served.port())
        await until(lambda: late.lost)
        assert served.results() == {"accepted": 1, "line_down": 1, "refused_down": 1}
        cable.plug()
        await until(lambda: served.line().state == "up")
        client = await served.raw()
        client.send(b"back")
        await until(lambda: cable.heard == b"back")


@pytest.mark.real
async def test_clients_that_hold_on_lose_nothing() -> None:
    """On uvloop too, which reads from a new connection whatever connection_made has said."""
    cable = Cable()
    async with serving(plan("cable", raw(when_down=WhenDown.HOLD)), cables=[cable]) as served:
        early = await served.raw()
        cable.unplug()
        await until(lambda: served.line().state == "lost")
        early.send(b"a" * 1000)
        late = await served.raw()
        late.send(b"b" * 3_000_000)
        await settle(0.2)
        assert served.line().unsent <= 600_000  # what came before reading stopped; the rest waits in the kernel
        assert not early.lost
        cable.plug()
        await until(lambda: len(cable.heard) == 3_001_000, within=30)
        assert cable.heard.count(b"a") == 1000
        cable.far.write(b"again")
        await early.hears(b"again")
        await late.hears(b"again")


async def test_who_connects_before_the_device_was_tried_waits_for_it() -> None:
    cable = Cable()
    opened = asyncio.Event()

    async def slow_opener(settings, receiver):  # type: ignore[no-untyped-def]
        await opened.wait()
        return await cable.opener(settings, receiver)

    async with serving(plan("cable", raw()), opener=slow_opener, up=False) as served:
        client = await connect(Client, served.port())
        client.send(b"early")
        await settle(1)
        assert not client.lost
        opened.set()
        await until(lambda: cable.heard == b"early")


async def test_a_device_that_takes_too_long_to_open_does_not_keep_clients_waiting() -> None:
    async def stuck_opener(settings, receiver):  # type: ignore[no-untyped-def]
        await asyncio.sleep(3600)

    async with serving(plan("cable", raw()), opener=stuck_opener, up=False) as served:
        client = await connect(Client, served.port())
        await until(lambda: client.lost)
        assert served.results() == {"refused_down": 1}


async def test_ipv6_and_dual_stack() -> None:
    cable = Cable()
    async with serving(plan("cable", raw(listen=(Endpoint("::", 0),))), cables=[cable]) as served:
        assert served.service().listen[0].startswith("[::]:")
        for host, seen in (("127.0.0.1", "127.0.0.1"), ("::1", "::1")):
            client = await connect(Client, served.port(), host)
            await until(lambda: len(served.service().clients) == 1)
            assert served.service().clients[0].address == seen
            await client.close()
            await until(lambda: not served.service().clients, within=20)

"""The lease: the line alone, beside streams and requests that wait, with settings that come back whatever happens."""

import asyncio
import logging
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress

import pytest

from nportpy.errors import LeaseEnded, LeaseRefused, LineDown, LineError, LineUnsupported
from nportpy.line.arbiter import Line
from nportpy.line.stream_base import StreamSettings
from nportpy.line.transaction_base import TransactionSettings
from nportpy.line.turns import Outcome
from nportpy.linesettings import Flow, LineSettings, ModemLines, Parity
from nportpy.port.base import PortSettings
from nportpy.port.loopback import Cable
from nportpy.port.tty import open_tty
from nportpy.protocols.modbus.rtu import Frame
from nportpy.protocols.modbus.rtu_reply import ReplyFinder
from tests.support.bus import READ, Asker, Units, a_bus, reply
from tests.support.lines import Client, running
from tests.support.ports import Pty

SLOW = LineSettings(300, 7, Parity.EVEN)
FAST = LineSettings(9600)
OTHER = LineSettings(19200)
FRAME = Frame(1, READ).encode()
QUESTION = b"Q" * 20
ANSWER = b"A" * 128


def a_meter(delay: float = 0.02) -> tuple[bytearray, Callable[[bytes], list[tuple[float, bytes]]]]:
    """A meter that answers each whole question, and a Modbus unit beside it; and what they heard."""
    heard, last = bytearray(), bytearray()

    def answer(data: bytes) -> list[tuple[float, bytes]]:
        heard.extend(data)
        last.extend(data)
        for ends, says in ((QUESTION, ANSWER), (FRAME, reply(FRAME))):
            if last.endswith(ends):
                last.clear()
                return [(delay, says)]
        return []

    return heard, answer


async def ask(lease, seconds: float = 1.0) -> bytes:  # type: ignore[no-untyped-def]
    """One exchange with the meter."""
    lease.write(QUESTION)
    got = b""
    while len(got) < len(ANSWER):
        more = await lease.read(seconds)
        assert more, "the meter answers"
        got += more
    return bytes(got)


def near(cable: Cable) -> LineSettings:
    assert cable.near is not None
    return cable.near.settings


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_the_line_alone_with_settings_of_its_own_that_come_back() -> None:
    cable = Cable(paced=True)
    async with running(cable, FAST) as line:
        async with line.lease("mains", SLOW, limit=10) as lease:
            assert (lease.settings, near(cable)) == (SLOW, SLOW)
            assert line.settings == FAST
            assert line.status().settings == SLOW
            lease.write(b"/?!\r\n")
            await lease.configure(OTHER)
            await asyncio.sleep(0)
            assert cable.heard == b"/?!\r\n"  # it had left
            assert near(cable) == lease.settings == OTHER
            lease.write(b"x" * 100)
        assert cable.heard == b"/?!\r\n" + b"x" * 100
        assert near(cable) == FAST
        assert cable.configured == [SLOW, OTHER, FAST]
        (status,) = line.status().leases
        assert (status.holder, status.held, status.outcomes["returned"]) == ("mains", False, 1)
        assert status.seconds == pytest.approx(5 / 30 + 100 / 1920, abs=0.05)


async def test_nothing_is_set_where_the_line_is_as_the_holder_wants_it() -> None:
    cable = Cable()
    async with running(cable, FAST) as line:
        for settings in (None, FAST):
            async with line.lease("mains", settings, limit=10) as lease:
                assert lease.settings == FAST
                await lease.give_way()
        assert cable.configured == []


async def test_a_lease_on_an_idle_line_begins_at_once() -> None:
    cable = Cable()
    async with a_bus(cable) as (line, _):
        began = now()
        async with line.lease("mains", limit=10) as lease:
            assert now() - began < 0.005
            before = now()
            for _ in range(100):
                await lease.give_way()
            assert now() == before
        assert now() == before


async def test_a_line_without_a_lease_does_not_import_it() -> None:
    script = "import sys, nportpy.line.arbiter; sys.exit('nportpy.line.lease' in sys.modules)"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script)
    assert await process.wait() == 0


async def test_what_the_device_says_is_for_the_holder_and_afterwards_for_the_others() -> None:
    cable = Cable()
    async with running(cable, FAST) as line:
        client = Client()
        line.stream.join(client)
        async with line.lease("mains", limit=10) as lease:
            assert await lease.read(0.5) == b""
            cable.far.write(b"one")
            assert await lease.read(0.5) == b"one"
            cable.far.write(b"two")
            await asyncio.sleep(0.1)
            lease.discard()
            assert await lease.read(0) == b""
        cable.far.write(b"three")
        await asyncio.sleep(0.1)
        assert client.heard == b"three"


async def test_a_holder_that_does_not_read_keeps_the_newest_bytes() -> None:
    cable = Cable()
    async with running(cable, FAST) as line, line.lease("mains", limit=10) as lease:
        for number in range(200):
            cable.far.write(bytes([number]) * 1000)
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.1)
        got = await lease.read(0)
        assert len(got) == 65536
        assert got.endswith(bytes([199]) * 1000)


# Beside others.


@pytest.mark.parametrize("beside", [True, False], ids=["requests", "streams alone"])
async def test_streams_are_held_up_and_nothing_of_theirs_is_lost(beside: bool) -> None:
    cable = Cable(paced=True)
    async with running(cable, FAST) as line:
        if beside:
            line.transact(ReplyFinder(), TransactionSettings())
        client = Client()
        line.stream.join(client)
        line.stream.write(client, b"a" * 50)
        async with line.lease("mains", OTHER, limit=10) as lease:
            assert cable.heard == b"a" * 50
            lease.write(b"Q")
            await lease.sent()
            line.stream.write(client, b"b" * 50)
            assert client.calls[-1] == "full"
            line.stream.write(client, b"c" * 50)
            assert line.unsent() == 100
            assert not line.all_sent()
            await asyncio.sleep(2)
            assert cable.heard == b"a" * 50 + b"Q"
        assert client.calls[-1] == "ready" or beside
        await asyncio.sleep(1)
        assert cable.heard == b"a" * 50 + b"Q" + b"b" * 50 + b"c" * 50
        assert client.calls[-1] == "ready"
        assert line.purged == 0


async def test_a_client_that_leaves_meanwhile_has_its_bytes_sent_all_the_same() -> None:
    cable = Cable(paced=True)
    async with running(cable, FAST, StreamSettings(linger=1.0)) as line:
        client = Client()
        line.stream.join(client)
        async with line.lease("mains", OTHER, limit=60):
            line.stream.write(client, b"left behind")
            line.stream.leave(client)
            await asyncio.sleep(20)
            assert line.unsent() == 11
        await asyncio.sleep(1)
        assert cable.heard == b"left behind"


async def test_a_client_may_throw_its_own_bytes_away_and_no_others() -> None:
    cable = Cable(paced=True)
    async with running(cable, FAST) as line:
        client = Client()
        line.stream.join(client)
        async with line.lease("mains", limit=60) as lease:
            lease.write(b"Q" * 100)
            line.stream.write(client, b"mine")
            line.purge(received=True, unsent=True)
            assert line.purged == 4
        assert cable.heard == b"Q" * 100


async def test_requests_wait_and_expire_as_always() -> None:
    cable, (_, answer) = Cable(paced=True), a_meter()
    Units(cable, answer)
    async with a_bus(cable, line=FAST) as (line, bus):
        asker = Asker(bus)
        async with line.lease("mains", limit=10) as lease:
            asker.ask(deadline=bus.clock() + 1)
            asker.ask(deadline=bus.clock() + 20)
            await ask(lease)
            await asyncio.sleep(2)
            assert asker.outcomes == [Outcome.EXPIRED]
            assert bus.status().queued == 1
        await asker.ended()
        assert asker.outcomes == [Outcome.EXPIRED, Outcome.ANSWERED]


async def test_the_request_on_the_line_ends_first_and_no_retry_comes_in_between() -> None:
    cable = Cable(paced=True)
    heard, answer = a_meter(0.05)
    Units(cable, answer)
    async with a_bus(cable, line=FAST) as (line, bus):
        asker = Asker(bus)
        asker.ask()
        asker.ask(9, timeout=0.3, retries=5, deadline=bus.clock() + 60)
        await asyncio.sleep(0.15)  # the second one is on the line, in vain
        began = now()
        async with line.lease("mains", limit=60) as lease:
            assert 0.1 < now() - began < 1.5
            before = len(heard)
            await asyncio.sleep(3)
            assert len(heard) == before
            assert await ask(lease) == ANSWER
        await asker.ended()
        assert asker.outcomes == [Outcome.ANSWERED, Outcome.NO_ANSWER]


async def test_after_a_lease_the_silence_is_kept_and_nothing_half_heard_goes_on() -> None:
    cable = Cable(paced=True)
    _, answer = a_meter()
    units = Units(cable, answer)
    async with a_bus(cable, line=FAST) as (line, bus):
        asker = Asker(bus)
        cable.far.write(reply(FRAME)[:3])  # half an answer
        await asyncio.sleep(0.1)
        async with line.lease("mains", OTHER, limit=10) as lease:
            asker.ask()
            lease.write(b"x")
        await asker.ended()
        assert asker.outcomes == [Outcome.ANSWERED]
        frame = next(at for at, data in reversed(units.heard) if data != b"x") - len(FRAME) * FAST.character_time
        left = next(at for at, data in units.heard if data == b"x")
        assert frame - left >= 3.5 * FAST.character_time - 1e-6


@pytest.mark.parametrize("own", [FAST, OTHER], ids=["the line's settings", "others"])
@pytest.mark.parametrize("asked", [False, True], ids=["alone", "beside requests"])
@pytest.mark.long
async def test_e15_a_raw_clients_byte_waits_300_ms_at_most_while_a_lease_yields(own: LineSettings, asked: bool) -> None:
    """At 9600, beside a holder of exchanges of 128 bytes; the exchange in which it comes ends first."""
    cable = Cable(paced=True)
    heard, answer = a_meter()
    Units(cable, answer)
    async with a_bus(cable, line=FAST) as (line, bus):
        client, asker = Client(), Asker(bus)
        line.stream.join(client)
        going, exchanges = True, 0

        async def hold() -> None:
            nonlocal exchanges
            async with line.lease("mains", own, limit=600) as lease:
                while going:
                    assert await ask(lease) == ANSWER
                    exchanges += 1
                    await lease.give_way()

        task = asyncio.get_running_loop().create_task(hold())
        longest = 0.0
        for number in range(40):
            await asyncio.sleep(0.5 + number * 0.013)
            if asked:
                asker.ask(deadline=now() + 10)
            before, at = heard.count(b"Z"), now()
            line.stream.write(client, b"Z")
            while heard.count(b"Z") == before:  # noqa: ASYNC110 - virtual time
                await asyncio.sleep(0.001)
            longest = max(longest, now() - at)
        going = False
        await task
        await asker.ended()
        assert longest <= 0.3
        assert exchanges > 60
        assert asker.outcomes == [Outcome.ANSWERED] * asker.asked
        assert near(cable) == FAST


@pytest.mark.long
async def test_e15_beside_a_lease_that_yields_a_full_bus_has_its_share() -> None:
    cable = Cable(paced=True)
    _, answer = a_meter()
    Units(cable, answer)
    async with a_bus(cable, line=FAST) as (line, bus):
        askers = [Asker(bus) for _ in range(4)]

        async def poll(asker: Asker) -> None:
            while True:
                asker.ask(deadline=now() + 10)
                await asker.ended()

        polls = [asyncio.get_running_loop().create_task(poll(asker)) for asker in askers]
        await asyncio.sleep(1)
        before, exchanges = sum(len(asker.ends) for asker in askers), 0
        async with line.lease("mains", OTHER, limit=60) as lease:
            began = now()
            while now() < began + 20:
                await ask(lease)
                exchanges += 1
                await lease.give_way()
        for task in polls:
            task.cancel()
        asked = sum(len(asker.ends) for asker in askers) - before
        assert all(asker.outcomes == [Outcome.ANSWERED] * len(asker.ends) for asker in askers)
        assert 30 < exchanges < 60  # of 90 at most
        assert asked > 150
        assert line.status().leases[0].ways_given >= exchanges - 1
        assert line.status().leases[0].seconds < 0.65 * 20


async def test_e15_a_conversation_of_a_stream_is_let_finish() -> None:
    cable = Cable(paced=True)
    async with running(cable, FAST) as line:
        client = Client()
        line.stream.join(client)
        line.stream.write(client, b"?")
        asyncio.get_running_loop().call_later(0.04, cable.far.write, b"answer of the device")
        async with line.lease("mains", OTHER, limit=60):
            assert client.heard == b"answer of the device"


@pytest.mark.parametrize("thinks", [0.02, 0.1, 0.25])
async def test_e15_a_device_has_time_to_answer_what_a_stream_asked(thinks: float) -> None:
    """A lease that is wanted again and again, beside a client that asks again as soon as it is answered."""
    cable = Cable(paced=True)
    async with running(cable, FAST) as line:
        client = Client()
        line.stream.join(client)
        lost = 0

        async def device() -> None:
            asked = 0
            while True:
                if len(cable.listener.heard) - asked >= 60:
                    asked += 60
                    await asyncio.sleep(thinks)
                    cable.far.write(b"answer")
                await asyncio.sleep(0.002)

        async def asking() -> None:
            nonlocal lost
            for _ in range(10):
                client.heard.clear()
                line.stream.write(client, bytes(60))
                until = now() + 5.0
                while client.heard != b"answer" and now() < until:  # noqa: ASYNC110 - others than this test set it
                    await asyncio.sleep(0.005)
                lost += client.heard != b"answer"

        async with asyncio.TaskGroup() as tasks:
            answering, polls = tasks.create_task(device()), tasks.create_task(asking())
            while not polls.done():
                async with line.lease("mains", limit=60):
                    await asyncio.sleep(0.1)
            answering.cancel()
        assert lost == 0


async def test_e15_a_device_that_talks_without_a_pause_holds_no_lease_up_for_long() -> None:
    cable = Cable(paced=True)
    async with running(cable, FAST) as line:
        line.stream.join(Client())
        cable.far.write(bytes(20_000))
        await asyncio.sleep(0.5)
        began = now()
        async with line.lease("mains", limit=60):
            assert now() - began < 1.1


async def test_a_line_that_takes_nothing_is_refused_and_the_others_go_on() -> None:
    cable = Cable()
    flow = LineSettings(9600, flow=Flow.RTSCTS, flow_in=Flow.RTSCTS)
    async with running(cable, flow) as line:
        client = Client()
        line.stream.join(client)
        cable.far.set_modem_lines(rts=False)
        line.stream.write(client, b"stopped")
        with pytest.raises(LeaseRefused, match="flow control"):
            async with line.lease("mains", OTHER, limit=60):
                pass
        assert near(cable) == flow
        line.stream.write(client, b" for long")
        cable.far.set_modem_lines(rts=True)
        await asyncio.sleep(0.1)
        assert cable.heard == b"stopped for long"
        assert line.status().leases[0].outcomes["refused"] == 1


# One after the other.


async def test_holders_take_turns_in_order_and_who_waits_no_longer_leaves_nothing() -> None:
    cable, order = Cable(), list[str]()
    async with running(cable, FAST) as line:

        async def hold(name: str) -> None:
            async with line.lease(name, OTHER, limit=10):
                order.append(name)
                await asyncio.sleep(1)

        async with asyncio.TaskGroup() as tasks:
            waiting = []
            for name in "abcd":
                waiting.append(tasks.create_task(hold(name)))
                await asyncio.sleep(0.01)
            waiting[1].cancel()
        assert order == ["a", "c", "d"]
        outcomes = {each.holder: each.outcomes for each in line.status().leases}
        assert outcomes["b"]["withdrawn"] == 1
        assert outcomes["d"]["returned"] == 1
        assert near(cable) == FAST


async def test_who_waits_too_long_is_refused_and_told_for_whom() -> None:
    cable = Cable()
    async with running(cable, FAST) as line, line.lease("heat", OTHER, limit=60):
        with pytest.raises(LeaseRefused, match="meters was not to be had within 2 s: heat has it"):
            async with line.lease("mains", limit=10, patience=2):
                pass


async def test_a_lease_ends_after_its_limit_whatever_its_holder_does() -> None:
    cable = Cable()
    async with running(cable, FAST) as line:
        client = Client()
        line.stream.join(client)
        async with line.lease("mains", SLOW, limit=2) as lease:
            line.stream.write(client, b"waits")
            began = now()
            with pytest.raises(LeaseEnded, match="mains had it for 2 s"):
                await lease.read(60)
            assert now() - began == pytest.approx(2)
            await asyncio.sleep(1)
            assert near(cable) == FAST
            assert cable.heard == b"waits"
            async with line.lease("heat", OTHER, limit=2):
                for call in (lease.sent(), lease.configure(FAST), lease.read(1), lease.give_way()):
                    with pytest.raises(LeaseEnded):
                        await call
                with pytest.raises(LeaseEnded):
                    lease.write(b"x")
                assert near(cable) == OTHER
        assert near(cable) == FAST
        assert line.status().leases[0].outcomes["limit"] == 1
        assert cable.heard == b"waits"


@pytest.mark.parametrize("limit", [0.005, 0.05, 0.15, 0.2, 0.3, 0.5, 1.0, 1.5])
async def test_its_time_may_be_over_while_it_gives_way(limit: float) -> None:
    cable = Cable(paced=True)
    heard, answer = a_meter()
    Units(cable, answer)
    async with a_bus(cable, line=FAST) as (line, bus):
        asker, client = Asker(bus), Client()
        line.stream.join(client)

        async def hold() -> None:
            async with line.lease("mains", OTHER, limit=limit) as lease:
                while True:
                    asker.ask(deadline=now() + 20)
                    line.stream.write(client, b"Z")
                    await ask(lease)
                    await lease.give_way()

        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(asyncio.wait_for(_ends(hold()), 10))
            await asyncio.sleep(0.002)
            async with line.lease("heat", SLOW, limit=10):
                assert near(cable) == SLOW
                await asyncio.sleep(2)
                assert near(cable) == SLOW
            assert task.done()
        await asker.ended()
        await asyncio.sleep(0.5)
        assert near(cable) == FAST
        assert asker.outcomes == [Outcome.ANSWERED] * asker.asked
        assert heard.count(b"Z") == asker.asked


async def _ends(holding) -> None:  # type: ignore[no-untyped-def]
    with suppress(LeaseEnded):
        await holding


# Put back whatever happens.


async def test_settings_come_back_after_an_exception_and_a_cancellation_when_bytes_have_left() -> None:
    cable = Cable(paced=True)
    async with running(cable, FAST) as line:
        with suppress(ZeroDivisionError):
            async with line.lease("mains", SLOW, limit=10) as lease:
                lease.write(b"xyz")
                raise ZeroDivisionError
        assert (cable.heard, near(cable)) == (b"xyz", FAST)

        async def hold() -> None:
            async with line.lease("mains", SLOW, limit=10) as lease:
                lease.write(b"abc")
                await lease.read(60)

        for again in (False, True):  # once more while the bytes are still leaving
            task = asyncio.get_running_loop().create_task(hold())
            await asyncio.sleep(0.03)
            task.cancel()
            await asyncio.sleep(0.01)
            if again:
                task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.sleep(0.2)
            assert near(cable) == FAST
        assert cable.heard == b"xyzabcabc"


async def test_what_does_not_leave_is_thrown_away_in_the_end() -> None:
    cable = Cable()
    async with running(cable, FAST) as line:
        cable.far.set_modem_lines(rts=False)
        began = now()
        async with line.lease("mains", LineSettings(9600, flow=Flow.RTSCTS, flow_in=Flow.RTSCTS), limit=10) as lease:
            lease.write(b"stopped")
        assert now() - began < 1.5
        assert near(cable) == FAST
        assert line.purged == 7


async def test_settings_that_the_driver_refuses() -> None:
    cable = Cable()
    cable.refused_baudrates.add(300)
    async with running(cable, FAST) as line:
        with pytest.raises(LineUnsupported, match="300 7E1"):
            async with line.lease("mains", SLOW, limit=10):
                pass
        async with line.lease("mains", OTHER, limit=10) as lease:
            with pytest.raises(LineUnsupported):
                await lease.configure(SLOW)
            assert lease.settings == near(cable) == OTHER
        assert near(cable) == FAST
        assert line.status().leases[0].outcomes["unsupported"] == 1


async def test_a_line_whose_settings_cannot_be_put_back_is_opened_anew() -> None:
    cable = Cable()
    async with running(cable, FAST) as line:
        async with line.lease("mains", OTHER, limit=10):
            cable.refused_baudrates.add(9600)
        assert not line.up
        await asyncio.sleep(1)
        assert (line.up, near(cable)) == (True, FAST)


async def test_a_device_that_goes_ends_the_lease_and_comes_back_as_the_line_is() -> None:
    cable = Cable()
    async with a_bus(cable, line=FAST) as (line, bus):
        client, asker = Client(), Asker(bus)
        line.stream.join(client)
        async with line.lease("mains", SLOW, limit=100) as lease:
            line.stream.write(client, b"kept")
            asker.ask()
            asyncio.get_running_loop().call_later(0.5, cable.unplug)
            began = now()
            with pytest.raises(LineDown):
                await lease.read(60)
            assert now() - began == pytest.approx(0.5)
            assert asker.outcomes == [Outcome.LINE_DOWN]
            cable.plug()
            await asyncio.sleep(1)
            assert near(cable) == FAST
            assert cable.heard == b"kept"
            with pytest.raises(LineDown):
                lease.write(b"x")
        assert line.status().leases[0].outcomes["line_down"] == 1
        assert line.status().leases[0].outcomes["returned"] == 0


async def test_a_device_that_is_not_there_or_goes_while_it_is_waited_for() -> None:
    cable = Cable()
    async with running(cable, FAST) as line:

        async def hold(name: str) -> None:
            async with line.lease(name, limit=100):
                await asyncio.sleep(5)

        tasks = [asyncio.get_running_loop().create_task(hold(name)) for name in "ab"]
        await asyncio.sleep(0.1)
        cable.unplug()
        await asyncio.sleep(6)
        assert isinstance(tasks[1].exception(), LineDown)
        with pytest.raises(LineDown):
            await hold("c")


async def test_a_reload_that_closes_the_line_ends_the_lease_with_the_settings_back() -> None:
    cable, seen = Cable(), list[LineSettings]()
    async with running(cable, FAST) as line:

        async def hold() -> None:
            async with line.lease("mains", SLOW, limit=100) as lease:
                await lease.read(60)

        task = asyncio.get_running_loop().create_task(hold())
        await asyncio.sleep(0.1)
        device = cable.near
    assert device is not None
    seen.append(device.settings)
    with pytest.raises(LineDown):
        await task
    assert seen == [FAST]


@pytest.mark.parametrize("beside", [True, False], ids=["requests", "streams alone"])
async def test_whatever_call_of_the_driver_fails_the_line_comes_back_as_it_was(beside: bool) -> None:
    for number in range(1, 200):
        cable = Cable()
        heard, answer = a_meter()
        Units(cable, answer)
        async with AsyncExitStack() as stack:
            bus = None
            if beside:
                line, bus = await stack.enter_async_context(a_bus(cable, line=FAST))
            else:
                line = await stack.enter_async_context(running(cable, FAST))
            client = Client()
            line.stream.join(client)
            calls = cable.calls
            cable.fail_at = calls + number
            with suppress(LineError):
                async with line.lease("mains", SLOW, limit=10) as lease:
                    line.stream.write(client, b"Z")
                    await ask(lease, 0.2)
                    await lease.configure(OTHER)
                    await lease.give_way()
                    line.stream.write(client, b"Z")
                    await ask(lease, 0.2)
            done = cable.calls < cable.fail_at
            cable.fail_at = 0
            await asyncio.sleep(1)
            assert line.up
            assert near(cable) == FAST
            line.stream.write(client, b"!")
            if bus is not None:
                asker = Asker(bus)
                asker.ask(deadline=now() + 5)
                await asker.ended()
                assert asker.outcomes == [Outcome.ANSWERED]
            async with line.lease("heat", OTHER, limit=10) as lease:
                assert await ask(lease) == ANSWER
            await asyncio.sleep(0.2)
            assert b"!" in heard
            if done:
                break
    else:
        pytest.fail("it never got through")


# What clients change meanwhile.


async def test_settings_that_a_client_changes_take_effect_afterwards() -> None:
    cable = Cable()
    async with running(cable, FAST) as line:
        client, other = Client(), Client()
        line.stream.join(client)
        line.stream.join(other)
        async with line.lease("mains", SLOW, limit=10) as lease:
            assert line.all_sent()
            assert line.configure(OTHER, client) == OTHER
            assert line.settings == OTHER
            assert lease.settings == near(cable) == SLOW
            assert len(other.changes) == 1
        assert near(cable) == OTHER


async def test_a_wish_that_the_driver_refuses_afterwards_is_told() -> None:
    cable = Cable()
    cable.refused_baudrates.add(19200)
    async with running(cable, FAST) as line:
        client = Client()
        line.stream.join(client)
        async with line.lease("mains", SLOW, limit=10):
            line.configure(OTHER, client)
            assert client.changes == []
        assert near(cable) == line.settings == FAST
        assert len(client.changes) == 1


async def test_bytes_written_before_such_a_change_leave_as_they_were_meant() -> None:
    cable, at = Cable(paced=True), list[tuple[LineSettings, bytes]]()
    async with running(cable, FAST) as line:

        def note(data: bytes) -> list[tuple[float, bytes]]:
            at.append((near(cable), data))
            return []

        Units(cable, note)
        client = Client()
        line.stream.join(client)
        async with line.lease("mains", SLOW, limit=10):
            line.stream.write(client, b"a" * 30)
            line.configure(OTHER, client)
            line.stream.write(client, b"b" * 30)
        await asyncio.sleep(0.5)
        assert b"".join(data for settings, data in at if settings == FAST) == b"a" * 30
        assert b"".join(data for settings, data in at if settings == OTHER) == b"b" * 30


async def test_modem_lines_and_breaks_are_put_off_and_told_as_they_will_be() -> None:
    cable = Cable()
    async with running(cable, FAST) as line:
        assert cable.near is not None
        line.set_break(True)
        async with line.lease("mains", limit=10):
            assert not cable.near.breaking
            line.set_modem_lines(dtr=False)
            assert not line.modem_lines() & ModemLines.DTR
            assert cable.near.levels & ModemLines.DTR
            line.set_break(False)
            line.set_break(True)
            assert not cable.near.breaking
            assert line.breaking
        assert cable.near.breaking
        assert not cable.near.levels & ModemLines.DTR


async def test_a_line_that_a_slow_client_holds_is_read_for_the_lease() -> None:
    cable = Cable()
    async with running(cable, FAST) as line:
        client = Client()
        line.stream.join(client)
        line.stream.hold(client)
        cable.far.write(b"before")
        async with line.lease("mains", limit=10) as lease:
            assert client.heard == b"before"
            cable.far.write(b"now")
            assert await lease.read(1) == b"now"
        cable.far.write(b"after")
        await asyncio.sleep(0.1)
        assert client.heard == b"before"
        line.stream.release(client)
        await asyncio.sleep(0.1)
        assert client.heard == b"beforeafter"


async def test_a_password_does_not_reach_a_trace(caplog: pytest.LogCaptureFixture) -> None:
    cable = Cable()
    caplog.set_level(logging.INFO, "nportpy.trace")
    async with running(cable, FAST) as line:
        line.set_trace(True)
        async with line.lease("mains", limit=10) as lease:
            lease.write(b"hello")
            lease.write(b"s3cret", secret=True)
            cable.far.write(b"s3cret")
            assert await lease.read(1) == b"s3cret"
        cable.far.write(b"on")
        await asyncio.sleep(0.1)
    shown = [str(record.__dict__["hex"]) for record in caplog.records if record.name == "nportpy.trace"]
    assert shown == [b"hello".hex(" "), "6 bytes, which are secret", "6 bytes, which are secret", b"on".hex(" ")]


async def test_holders_in_numbers_are_bounded() -> None:
    cable = Cable()
    async with running(cable, FAST) as line:
        for number in range(70):
            async with line.lease(f"station-{number}", limit=10):
                assert sum(each.held for each in line.status().leases) == 1
        assert len(line.status().leases) == 65
        assert line.status().leases[-1].outcomes["returned"] == 6


@pytest.mark.real
async def test_a_ptys_settings_are_put_back() -> None:
    terminal = Pty()
    line = Line("meters", PortSettings(terminal.path, FAST), StreamSettings(), open_tty)
    task = asyncio.get_running_loop().create_task(line.run())
    try:
        await line.tried.wait()
        async with line.lease("mains", SLOW, limit=10) as lease:
            assert line.status().settings == SLOW
            lease.write(b"/?!\r\n")
            assert await terminal.far.read(5) == b"/?!\r\n"
            await terminal.far.write(b"/LGZ\r\n")
            assert await lease.read(5) == b"/LGZ\r\n"
        assert line.status().settings == FAST
        async with line.lease("mains", SLOW, limit=10) as lease:
            terminal.far.cut()
            with pytest.raises(LineDown):
                await lease.read(20)
    finally:
        task.cancel()
        await asyncio.wait([task])
        terminal.close()

"""Speed, format and breaks change between requests, not under an answer."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from nportpy.line.arbiter import Line
from nportpy.line.transaction_base import TransactionSettings
from nportpy.line.turns import Outcome
from nportpy.linesettings import LineSettings
from nportpy.port.loopback import Cable
from nportpy.protocols.modbus.exchange import Echo
from nportpy.protocols.modbus.rtu import silent_interval
from tests.support.bus import READ, WRITE, Asker, Units, a_bus, reply
from tests.support.lines import Client
from tests.support.ports import until

SLOW, FAST = LineSettings(9600), LineSettings(115200)


def late(data: bytes) -> list[tuple[float, bytes]]:
    return [(0.02, reply(data))]


def never(data: bytes) -> list[tuple[float, bytes]]:
    return []


async def turn(line: Line) -> None:
    """What an RFC 2217 session does before it obeys, but for its patience."""
    while not line.all_sent():  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(line.time_to_send())


async def test_a_line_is_not_free_while_a_request_is_on_it() -> None:
    cable = Cable()
    Units(cable, late)
    async with a_bus(cable) as (line, bus):
        asker = Asker(bus)
        assert line.all_sent()
        asker.ask()
        await asyncio.sleep(0.01)
        assert line.unsent() == 0
        assert not line.all_sent()
        await asker.ended()
        assert line.all_sent()


async def new_settings(line: Line, cable: Cable) -> None:
    wish = SLOW if line.settings == FAST else FAST
    line.configure(wish)
    cable.far.configure(wish)


async def a_break(line: Line, _: Cable) -> None:
    line.set_break(True)
    await asyncio.sleep(0.25)
    line.set_break(False)


@pytest.mark.parametrize("change", [new_settings, a_break])
async def test_on_a_line_that_is_never_idle_a_change_gets_its_turn(
    change: Callable[[Line, Cable], Awaitable[None]],
) -> None:
    cable = Cable()
    units = Units(cable, late)
    loop = asyncio.get_running_loop()
    async with a_bus(cable, line=FAST) as (line, bus):
        cable.far.configure(FAST)
        askers = [Asker(bus) for _ in range(4)]
        for asker in askers:
            for _ in range(10):
                asker.ask(1, WRITE)
        for _ in range(3):
            before = loop.time()
            await turn(line)
            assert not bus.busy
            assert loop.time() - before < 0.05  # the request on the line, and no other
            await change(line, cable)
            changed = loop.time()
            heard = len(units.heard)
            await until(lambda: len(units.heard) > heard)  # noqa: B023 - it is over by then
            assert units.heard[-1][0] - changed >= silent_interval(line.settings)
            assert units.heard[-1][0] - changed < 0.1  # streams go first, for a moment
        for asker in askers:
            await asker.ended()
            assert asker.outcomes == [Outcome.ANSWERED] * 10


async def test_silence_is_measured_anew_after_a_change() -> None:
    cable = Cable()
    units = Units(cable, lambda data: [(0, reply(data))])
    async with a_bus(cable, TransactionSettings(idle_gap=0), line=FAST) as (line, bus):
        asker = Asker(bus)
        asker.ask()
        await asker.ended()
        line.configure(SLOW)
        start = bus.clock()
        asker.ask()
        asker.ask()
        await asker.ended()
        assert units.heard[1][0] - start >= silent_interval(SLOW) - 1e-9
        assert units.quiet[2] >= silent_interval(SLOW) - 1e-9


async def test_nothing_is_sent_into_a_break() -> None:
    cable = Cable()
    units = Units(cable, late)
    async with a_bus(cable) as (line, bus):
        asker = Asker(bus)
        line.set_break(True)
        asker.ask()
        await asyncio.sleep(0.5)
        assert not units.heard
        line.set_break(False)
        await asker.ended()
        assert asker.ends[0][1].waited == pytest.approx(0.55, abs=0.01)


async def test_a_change_that_waits_no_longer_ends_the_request_on_the_line() -> None:
    cable = Cable()
    units = Units(cable, never)
    async with a_bus(cable, line=FAST, echo=Echo.NO) as (line, bus):
        asker = Asker(bus)
        asker.ask(1, READ, timeout=3, retries=1)
        asker.ask(2, WRITE, timeout=3)
        asker.ask(0, WRITE, awaited=False)
        await asyncio.sleep(1)
        line.configure(SLOW)
        await asyncio.sleep(0.1)
        assert bus.status().retries == 1
        line.configure(FAST)
        line.configure(FAST)  # changes nothing
        assert asker.outcomes == [Outcome.NO_ANSWER]
        await asyncio.sleep(0.1)
        line.set_break(True)
        assert asker.outcomes == [Outcome.NO_ANSWER] * 2
        line.set_break(False)
        await asker.ended()
        assert asker.outcomes[2:] == [Outcome.SENT]
    assert [data[0] for _, data in units.heard] == [1, 1, 2, 0]


async def test_a_change_during_the_probe_is_the_end_of_the_probe() -> None:
    cable = Cable()
    units = Units(cable, lambda data: late(data) if data[0] == 1 else [])
    async with a_bus(cable, echo=Echo.AUTO) as (line, bus):
        asker = Asker(bus)
        asker.ask(1, WRITE)
        line.configure(SLOW)
        await asker.ended()
        assert asker.outcomes == [Outcome.ANSWERED]
    assert len(units.heard) == 2


async def test_a_change_while_the_device_is_gone_concerns_nobody() -> None:
    cable = Cable()
    Units(cable, late)
    async with a_bus(cable) as (line, bus):
        cable.unplug()
        await until(lambda: not line.up)
        line.configure(SLOW)
        line.set_break(True)
        line.set_break(False)
        cable.plug()
        await until(lambda: line.up)
        asker = Asker(bus)
        asker.ask()
        await asker.ended()
        assert asker.outcomes == [Outcome.ANSWERED]


async def test_what_a_stream_left_behind_a_request_is_drained_too() -> None:
    cable, client = Cable(), Client()
    units = Units(cable, lambda data: late(data) if data[0] == 1 else [])
    async with a_bus(cable) as (line, bus):
        line.stream.join(client)
        Asker(bus).ask()
        line.stream.write(client, b"last words")
        await line.drain()
        await asyncio.sleep(0.001)
        assert units.heard[-1][1] == b"last words"

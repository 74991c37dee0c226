"""What port/base.py promises, asked of every Port: a tty, two ends in memory, a connection, and a pyserial URL."""

import asyncio
import functools
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from nportpy.errors import LineDown
from nportpy.linesettings import LineSettings, ModemLines, Parity
from tests.support.ports import KINDS, Rig, opened, until

Check = Callable[[Rig], Awaitable[None]]
CHECKS: list[Check] = []


def check(function: Check) -> Check:
    CHECKS.append(function)
    return function


def some_bytes(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def arrived(rig: Rig, size: int) -> bool:
    return len(rig.heard.data) >= size


async def fill(rig: Rig) -> bytes:
    """Write until the port says that it has enough and the far end takes no more."""
    written, still = bytearray(), 0
    while still < 20:
        assert len(written) < 64_000_000, "it never says so"
        if rig.heard.full:
            await asyncio.sleep(0.002)
            still += 1
        else:
            still = 0
            chunk = some_bytes(200_000, len(written))
            rig.port.write(chunk)
            written += chunk
    return bytes(written)


def is_dead(rig: Rig) -> None:
    """Everything that needs the device says so, and nothing else is raised."""
    port = rig.port
    port.write(b"into the void")
    port.pause_reading()
    port.resume_reading()
    assert port.modem_lines() is None
    assert port.counters() is None
    assert port.purge(received=True, unsent=True) == 0
    for call in (
        lambda: port.configure(LineSettings(1200)),
        lambda: port.configure(port.settings),
        lambda: port.set_modem_lines(dtr=False, rts=True),
        lambda: port.set_break(True),
    ):
        with pytest.raises(LineDown):
            call()


@check
async def bytes_go_both_ways(rig: Rig) -> None:
    every = bytes(range(256))
    rig.port.write(every)
    assert await rig.far.read(256) == every
    await rig.far.write(every[::-1])
    await until(lambda: rig.heard.data == every[::-1])


@check
async def writes_stay_in_order(rig: Rig) -> None:
    chunks = [some_bytes(random.Random(n).randrange(90), n) for n in range(300)]
    for number, chunk in enumerate(chunks):
        rig.port.write(chunk)
        if number % 50 == 0:
            await asyncio.sleep(0)
    whole = b"".join(chunks)
    assert await rig.far.read(len(whole)) == whole


@check
async def a_write_of_nothing_does_nothing(rig: Rig) -> None:
    rig.port.write(b"")
    rig.port.write(b"x")
    rig.port.write(b"")
    assert await rig.far.read(1) == b"x"
    await until(lambda: rig.port.unsent() == 0)  # a thread that writes counts after the far end has read


@check
async def a_full_port_says_so_and_loses_nothing(rig: Rig) -> None:
    written = await fill(rig)
    assert rig.port.unsent() > 0
    assert not rig.port.sent()
    assert await rig.far.read(len(written)) == written
    await until(lambda: not rig.heard.full)
    await until(lambda: rig.port.unsent() == 0)


@check
async def what_is_written_while_full_comes_too(rig: Rig) -> None:
    written = await fill(rig)
    rig.port.write(b"and this")
    assert (await rig.far.read(len(written) + 8)).endswith(b"and this")


@check
async def drained_means_sent(rig: Rig) -> None:
    data = some_bytes(50_000)
    rig.port.write(data)
    drained, read = await asyncio.gather(rig.port.drain(), rig.far.read(len(data)))
    assert drained is None
    assert read == data
    assert rig.port.sent()
    await rig.port.drain()


@check
async def reading_may_be_paused_before_the_loop_has_turned(rig: Rig) -> None:
    rig.port.pause_reading()
    rig.port.pause_reading()
    await rig.far.write(b"wait for it")
    await asyncio.sleep(0.05)
    assert not rig.heard.data
    rig.port.resume_reading()
    rig.port.resume_reading()
    await until(lambda: rig.heard.data == b"wait for it")


@check
async def paused_reading_loses_nothing(rig: Rig) -> None:
    expected = bytearray()
    for number in range(20):
        rig.port.pause_reading()
        chunk = some_bytes(random.Random(number).randrange(1, 3000), number)
        await rig.far.write(chunk)
        expected += chunk
        if number % 3:
            await asyncio.sleep(0.001)
        rig.port.resume_reading()
        await until(functools.partial(arrived, rig, len(expected)))
    assert rig.heard.data == expected


@check
async def a_loss_is_told_once(rig: Rig) -> None:
    await asyncio.sleep(0.01)
    rig.far.cut()
    await until(lambda: rig.heard.losses)
    is_dead(rig)
    assert str(rig.heard.losses[0])
    with pytest.raises(LineDown):
        await rig.port.drain()
    await asyncio.sleep(0.05)
    assert len(rig.heard.losses) == 1


@check
async def a_loss_is_noticed_while_reading_is_paused(rig: Rig) -> None:
    rig.port.pause_reading()
    await rig.far.write(b"never read")
    await asyncio.sleep(0.05)
    rig.far.cut()
    await until(lambda: rig.heard.losses, 1.0)
    assert not rig.heard.data


@check
async def a_loss_under_traffic(rig: Rig) -> None:
    written = await fill(rig)
    await rig.far.write(b"half a fra")
    rig.far.cut()
    rig.port.write(b"more")
    await until(lambda: rig.heard.losses)
    assert 0 < rig.port.unsent() <= len(written) + 4
    is_dead(rig)


@check
async def a_drain_ends_with_the_line(rig: Rig) -> None:
    await fill(rig)

    async def lose() -> None:
        await asyncio.sleep(0.02)
        rig.far.cut()

    results = await asyncio.gather(rig.port.drain(), lose(), return_exceptions=True)
    assert isinstance(results[0], LineDown)


@check
async def a_loss_that_is_not_told_yet_when_the_port_is_closed_is_not_told(rig: Rig) -> None:
    await asyncio.sleep(0.01)
    rig.far.cut()
    rig.port.write(b"does it fail?")
    await rig.port.close()
    await asyncio.sleep(0.05)
    assert not rig.heard.losses


@check
async def a_closed_port_is_dead_and_may_be_closed_again(rig: Rig) -> None:
    await rig.far.write(b"x")
    await rig.port.close()
    heard = bytes(rig.heard.data)
    is_dead(rig)
    with pytest.raises(LineDown):
        await rig.port.drain()
    await rig.port.close()
    await asyncio.sleep(0.02)
    assert rig.heard.data == heard
    assert not rig.heard.losses


@check
async def closing_before_the_loop_has_turned(rig: Rig) -> None:
    rig.port.write(b"x")
    await asyncio.gather(rig.port.close(), rig.port.close())


@check
async def closing_does_not_wait_for_a_far_end_that_takes_nothing(rig: Rig) -> None:
    await fill(rig)
    rig.port.pause_reading()
    async with asyncio.timeout(3):
        await rig.port.close()
    assert rig.port.unsent() > 0


@check
async def a_close_that_is_cancelled_closes_all_the_same(rig: Rig) -> None:
    closing = asyncio.gather(rig.port.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)
    is_dead(rig)
    await rig.port.close()


@check
async def purging_what_is_unsent(rig: Rig) -> None:
    written = await fill(rig)
    unsent = rig.port.unsent()
    thrown = rig.port.purge(unsent=True)
    assert 0 < thrown <= unsent <= len(written)
    assert not rig.heard.full
    got = await rig.far.read_on()
    assert written.startswith(got)
    assert len(got) <= len(written) - thrown
    rig.port.write(b"afterwards")
    assert await rig.far.read(10) == b"afterwards"


@check
async def purging_what_is_received(rig: Rig) -> None:
    rig.port.pause_reading()
    await rig.far.write(b"old news")
    await asyncio.sleep(0.05)
    assert rig.port.purge(received=True) == 0
    await asyncio.sleep(0.05)
    rig.port.resume_reading()
    await rig.far.write(b"new")
    await until(lambda: rig.heard.data)
    await asyncio.sleep(0.02)
    assert rig.heard.data == b"new"


@check
async def purging_nothing(rig: Rig) -> None:
    assert rig.port.purge() == 0
    assert rig.port.purge(received=True, unsent=True) == 0


@check
async def settings_take_effect(rig: Rig) -> None:
    wish = LineSettings(19200, 7, Parity.EVEN)
    assert rig.port.configure(wish) == wish
    assert rig.port.settings == wish
    assert rig.port.configure(wish) == wish
    again = replace(wish, baudrate=300)
    assert rig.port.configure(again) == again
    rig.port.write(b"x")
    assert await rig.far.read(1) == b"x"


@check
async def modem_lines_and_break_never_fail(rig: Rig) -> None:
    port = rig.port
    port.set_modem_lines()
    port.set_modem_lines(dtr=False, rts=True)
    port.set_break(True)
    port.set_break(True)
    port.set_break(False)
    lines = port.modem_lines()
    assert (lines is not None) == port.report.modem_lines
    if lines is not None:
        assert lines & ~ModemLines.INPUTS == ModemLines.RTS
    assert (port.counters() is not None) == port.report.counters


@pytest.mark.real
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("asked", CHECKS, ids=lambda function: function.__name__)
async def test_real_loops(kind: str, asked: Check) -> None:
    async with opened(kind) as rig:
        await asked(rig)


@pytest.mark.parametrize("asked", CHECKS, ids=lambda function: function.__name__)
async def test_virtual_time(asked: Check) -> None:
    async with opened("loopback") as rig:
        await asked(rig)

"""The event loop's lag, sampled, and the minutes of buses."""

import asyncio
from typing import cast

import pytest

from nportpy.gateway.heartbeat import SAMPLED_EVERY, Heartbeat
from nportpy.modbus.bus import Bus
from nportpy.port.loopback import Cable
from nportpy.status import DURATIONS
from tests.support.clock import VirtualLoop
from tests.support.modbus_serving import asker, attach, modbus, units
from tests.support.serving import plan, serving


class Marked:
    """A bus that is marked."""

    def __init__(self) -> None:
        self.marks: list[float] = []

    @property
    def marked(self) -> bool:
        return bool(self.marks)

    def mark(self, now: float) -> None:
        self.marks.append(now)


async def test_how_late_the_loop_was() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    heart = Heartbeat(lambda: ())
    heart.start()
    try:
        await asyncio.sleep(SAMPLED_EVERY * 5.5)
        quiet = heart.status()
        assert (sum(quiet.lags), quiet.lags[0]) == (5, 5)
        assert quiet.worst == pytest.approx(0, abs=1e-4)
        loop.call_later(SAMPLED_EVERY * 0.4, loop.advance, 0.3)  # busy for 0.3 s when the next sample is due
        await asyncio.sleep(1)
        late = heart.status()
        assert late.worst == pytest.approx(0.2, abs=0.01)
        assert late.seconds == pytest.approx(0.2, abs=0.01)
        assert late.lags[DURATIONS.index(0.25)] == 1
        await asyncio.sleep(60)
        assert heart.status().worst == pytest.approx(0.2, abs=0.01)  # of the minute before
        await asyncio.sleep(60)
        assert heart.status().worst == pytest.approx(0, abs=1e-4)
    finally:
        heart.stop()
    beats = sum(heart.status().lags)
    await asyncio.sleep(10)
    assert sum(heart.status().lags) == beats


async def test_buses_are_marked_each_minute_and_new_ones_at_once() -> None:
    first, second = Marked(), Marked()
    buses = [first]
    heart = Heartbeat(lambda: cast(list[Bus], buses))
    heart.start()
    start = asyncio.get_running_loop().time()
    await asyncio.sleep(90)
    buses.append(second)
    await asyncio.sleep(60)
    heart.stop()
    assert [round(mark - start) for mark in first.marks] == [0, 60, 120]
    assert [round(mark - start) for mark in second.marks] == [91, 120]


async def test_a_gateway_has_a_pulse() -> None:
    cable = Cable()
    attach(cable, units(1))
    async with serving(plan("cable", modbus()), cables=[cable]) as served:
        client = await asker(served)
        await asyncio.sleep(100)
        await client.read(0)
        status = served.gateway.status()
        assert 95 <= sum(status.loop.lags) <= 101
        assert status.buses[0].recent.sent == 1
        assert status.buses[0].recent.seconds == pytest.approx(100, abs=2)
        (asked,) = status.buses[0].clients
        assert asked.client == f"127.0.0.1:{client.transport.get_extra_info('sockname')[1]}"
        assert asked.service == "cable modbus"
        await client.close()

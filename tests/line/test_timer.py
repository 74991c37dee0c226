"""The timer: right on virtual time, in order on real loops, and nothing of it left when it is closed."""

import asyncio
import time

import pytest

from nportpy.line import timer
from nportpy.line.arbiter import Line
from nportpy.line.stream_base import StreamSettings
from nportpy.line.timer import DescriptorTimer, LoopTimer, open_timer
from nportpy.line.transaction_base import TransactionSettings
from nportpy.line.turns import Outcome
from nportpy.linesettings import LineSettings
from nportpy.port.base import PortSettings
from nportpy.port.tty import open_tty
from nportpy.protocols.modbus.exchange import Echo
from nportpy.protocols.modbus.rtu import Frame
from nportpy.protocols.modbus.rtu_reply import ReplyFinder
from tests.support.bus import READ, Asker, reply
from tests.support.ports import a_pty, descriptors, until


async def test_virtual_time_is_the_clock() -> None:
    loop = asyncio.get_running_loop()
    fired: list[float] = []
    clock = open_timer(lambda: fired.append(loop.time()))
    assert isinstance(clock, LoopTimer)
    start = clock.clock()
    clock.arm(start + 5)
    clock.arm(start + 0.00175)
    await asyncio.sleep(10)
    assert fired == [pytest.approx(start + 0.00175, abs=2e-6)]
    clock.arm(clock.clock() - 1)
    await asyncio.sleep(0.1)
    assert len(fired) == 2
    clock.arm(clock.clock() + 1)
    clock.close()
    clock.close()
    await asyncio.sleep(2)
    assert len(fired) == 2


@pytest.mark.real
@pytest.mark.parametrize("coarse", [False, True])
async def test_real_timers_fire_once_each_and_never_early(monkeypatch: pytest.MonkeyPatch, coarse: bool) -> None:
    if coarse:

        def refuse() -> int:
            raise OSError(24, "Too many open files")

        monkeypatch.setattr(timer, "_create", refuse)
    before = descriptors()
    fired: list[float] = []
    clock = open_timer(lambda: fired.append(time.monotonic()))
    assert isinstance(clock, LoopTimer if coarse else DescriptorTimer)
    assert clock.clock is time.monotonic
    for wait in (0.003, 0.00175, -1.0):
        count, when = len(fired), clock.clock() + wait
        clock.arm(clock.clock() + 30)
        clock.arm(when)
        await until(lambda count=count: len(fired) > count)  # type: ignore[misc]  # bound for this turn
        assert fired[-1] >= when - 1e-6
    assert len(fired) == 3
    clock.arm(clock.clock() + 0.001)
    clock.close()
    clock.close()
    await asyncio.sleep(0.01)
    assert len(fired) == 3
    assert descriptors() == before


@pytest.mark.real
async def test_requests_on_a_pseudo_terminal() -> None:
    """The order of things only: silences before frames, answers, a timeout, and the way back to no descriptors."""
    with a_pty() as terminal:
        device = PortSettings(terminal.path, LineSettings(115200))
        line = Line("meters", device, StreamSettings(), open_tty)
        before = descriptors()
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(line.run())
            await line.tried.wait()
            asker = Asker(line.transact(ReplyFinder(Echo.NO), TransactionSettings()))
            for number in range(20):
                asker.ask(1, READ, timeout=10)
                frame = await terminal.far.read(8)
                assert frame == Frame(1, READ).encode()
                await terminal.far.write(reply(frame))
                await until(lambda number=number: len(asker.ends) > number)  # type: ignore[misc]  # bound for this turn
            asker.ask(2, READ, timeout=0.01)
            await until(lambda: len(asker.ends) == 21)
            asker.ask(1, READ, timeout=10)
            running.cancel()
        assert asker.outcomes == [Outcome.ANSWERED] * 20 + [Outcome.NO_ANSWER, Outcome.LINE_DOWN]
        await until(lambda: descriptors() <= before)

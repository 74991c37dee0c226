"""The life of a line on virtual time: when it is tried again, what is said of it, what is put back."""

import asyncio
import itertools
import logging
from types import SimpleNamespace

import pytest

from nportpy.errors import LineBusy, LineDown, LineError, MisuseError
from nportpy.line.keepopen import _MOVES, KeepOpen, LineState, _Event
from nportpy.linesettings import LineSettings, ModemLines, UartCounters
from nportpy.port.base import Port, PortReceiver, PortSettings
from nportpy.port.loopback import Cable
from tests.support.lines import Client, running
from tests.support.ports import Recorder, until

PAUSES = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]


class Device:
    """A device that can be opened when it says so; notes when it was tried."""

    def __init__(self) -> None:
        self.cable = Cable()
        self.tried: list[float] = []
        self.reason: LineError | None = None
        self.opening = 0.0
        self.settings: list[PortSettings] = []

    async def open(self, settings: PortSettings, receiver: PortReceiver) -> Port:
        self.tried.append(asyncio.get_running_loop().time())
        self.settings.append(settings)
        await asyncio.sleep(self.opening)
        if self.reason is not None:
            raise self.reason
        return await self.cable.opener(settings, receiver)

    def lose(self) -> None:
        assert self.cable.near is not None
        self.cable.near.lose()


def pauses(times: list[float]) -> list[float]:
    return [round(later - earlier, 3) for earlier, later in itertools.pairwise(times)]


def messages(caplog: pytest.LogCaptureFixture, text: str) -> list[str]:
    return [str(getattr(record, "reason", "")) for record in caplog.records if record.message == text]


async def test_it_is_tried_at_growing_intervals_for_ever() -> None:
    device = Device()
    device.reason = LineDown("absent")
    async with running(device.cable, opener=device.open) as line:
        assert line.tried.is_set()
        await asyncio.sleep(31.2)
        assert pauses(device.tried) == [*PAUSES, 5.0]
        assert line.status().attempts == len(device.tried)
        device.reason = None
        await asyncio.sleep(5)
        assert line.state == "up"


async def test_away_counts_from_the_loss_and_not_from_the_last_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """ "lost for 2 s" of what was pulled out three days ago: each try began it anew."""
    loop = asyncio.get_running_loop()
    monkeypatch.setattr("nportpy.line.keepopen.time", SimpleNamespace(time=loop.time))
    device = Device()
    device.reason = LineDown("absent")
    begun = loop.time()
    async with running(device.cable, opener=device.open) as line:
        await asyncio.sleep(30)
        assert line.status().since == begun  # never there
        device.reason = None
        await until(lambda: line.state == "up")
        assert line.status().since == pytest.approx(device.tried[-1])
        await asyncio.sleep(10)
        device.reason = LineDown("absent")
        lost = loop.time()
        device.lose()
        await asyncio.sleep(30)
        assert (line.state, line.status().since) == ("lost", lost)


async def test_one_log_line_for_a_reason_not_for_an_attempt(caplog: pytest.LogCaptureFixture) -> None:
    device = Device()
    device.reason = LineDown("absent")
    async with running(device.cable, opener=device.open) as line:
        await asyncio.sleep(30)
        device.reason = LineBusy("in use")
        await asyncio.sleep(30)
        assert messages(caplog, "line cannot be opened, trying on") == ["absent", "in use"]
        assert line.status().error == "in use"
        device.reason = None
        await asyncio.sleep(10)
        assert line.status().error == ""
        device.reason = LineDown("absent")
        device.lose()
        await asyncio.sleep(30)
        assert messages(caplog, "line lost") == ["cable: unplugged"]
        assert messages(caplog, "line cannot be opened, trying on") == ["absent", "in use", "absent"]


@pytest.mark.parametrize(("stays", "starts_over"), [(4.9, False), (5.1, True)])
async def test_the_pause_starts_over_once_it_has_stayed_up(stays: float, starts_over: bool) -> None:
    device = Device()
    device.reason = LineDown("absent")
    async with running(device.cable, opener=device.open):
        await asyncio.sleep(6)
        device.reason = None
        await asyncio.sleep(1)
        before = len(device.tried)
        opened = device.tried[-1]
        await asyncio.sleep(opened + stays - asyncio.get_running_loop().time())
        device.lose()
        await asyncio.sleep(6)
        assert len(device.tried) == before + 1
        expected = 0.1 if starts_over else 5.0
        assert device.tried[-1] - opened - stays == pytest.approx(expected, abs=0.01)


async def test_a_device_that_comes_and_goes_does_not_churn() -> None:
    device = Device()
    async with running(device.cable, opener=device.open) as line:
        for _ in range(6000):
            await asyncio.sleep(0.01)
            if line.up:
                device.lose()
        assert pauses(device.tried)[6:] == pytest.approx([5.0] * (len(device.tried) - 7), abs=0.05)
        assert line.status().losses == line.status().opens == len(device.tried)


@pytest.mark.parametrize("state", LineState)
@pytest.mark.parametrize("event", _Event)
async def test_every_state_meets_every_event(state: LineState, event: _Event) -> None:
    expected = {
        (LineState.CLOSED, _Event.OPEN): LineState.OPENING,
        (LineState.OPENING, _Event.OPENED): LineState.UP,
        (LineState.OPENING, _Event.FAILED): LineState.LOST,
        (LineState.UP, _Event.LOST): LineState.LOST,
        (LineState.LOST, _Event.RETRY): LineState.OPENING,
    } | {(state, _Event.CLOSE): LineState.CLOSED for state in LineState}
    keeper = KeepOpen("x", Device().open, Recorder(), wish=lambda: PortSettings("x"), up=print, down=print)
    keeper.state = state
    if (state, event) in expected:
        keeper._move(event)
        assert keeper.state is expected[state, event]
    else:
        with pytest.raises(MisuseError, match=f"line x: {event} in state {state}"):
            keeper._move(event)
        assert keeper.state is state
    assert set(_MOVES) == set(LineState)


@pytest.mark.parametrize("opening", [0.0, 0.5])
@pytest.mark.parametrize("after", [0.0, 0.25, 0.55, 1.0, 1.05, 1.15])
async def test_it_can_be_ended_at_any_time(opening: float, after: float) -> None:
    device = Device()
    device.opening = opening
    line_task: asyncio.Task[None]
    keeper = KeepOpen("x", device.open, Recorder(), wish=lambda: PortSettings("x"), up=Ups(), down=lambda error: None)
    loop = asyncio.get_running_loop()

    def lose() -> None:
        if device.cable.near is not None:
            device.lose()

    loop.call_later(1.0, lose)
    async with asyncio.TaskGroup() as tasks:
        line_task = tasks.create_task(keeper.run(lambda port: None))
        await asyncio.sleep(after)
        line_task.cancel()
    assert keeper.state is LineState.CLOSED
    assert device.cable.near is None
    tried = len(device.tried)
    await asyncio.sleep(20)
    assert len(device.tried) == tried


class Ups:
    def __call__(self, port: Port) -> None:
        self.port = port


async def test_ended_while_a_slow_driver_lets_go() -> None:
    """Cancelled in the middle of closing a lost port: it ends, and the port is closed all the same."""
    device, released = Device(), asyncio.Event()

    async def open_slow_to_close(settings: PortSettings, receiver: PortReceiver) -> Port:
        port = await device.open(settings, receiver)
        close = port.close

        async def slow() -> None:
            await close()
            await asyncio.sleep(3)
            released.set()

        async def shielded() -> None:
            await asyncio.shield(drivers.create_task(slow()))

        port.close = shielded  # type: ignore[method-assign]
        return port

    async with asyncio.TaskGroup() as drivers:
        async with running(device.cable, opener=open_slow_to_close) as line:
            device.lose()
            await asyncio.sleep(1)
            assert line.state == "lost"
        assert not released.is_set()
    assert released.is_set()


async def test_a_fault_that_is_ours_is_not_hidden() -> None:
    async def broken(settings: PortSettings, receiver: PortReceiver) -> Port:
        raise ZeroDivisionError

    keeper = KeepOpen("x", broken, Recorder(), wish=lambda: PortSettings("x"), up=print, down=print)
    with pytest.raises(ZeroDivisionError):
        await keeper.run(print)
    assert keeper.state is LineState.CLOSED


# What a line puts back when its device comes back.


async def test_settings_levels_and_break_are_put_back() -> None:
    cable, client = Cable(), Client()
    async with running(cable) as line:
        line.stream.join(client)
        wish = LineSettings.parse(19200, "7E1")
        line.configure(wish)
        line.set_modem_lines(rts=False)
        line.set_break(True)
        cable.unplug()
        await asyncio.sleep(1)
        assert line.settings == wish
        assert line.breaking
        again = LineSettings.parse(300, "7E1")
        assert line.configure(again) == again
        line.set_modem_lines(dtr=False)
        cable.plug()
        await asyncio.sleep(6)
        assert line.state == "up"
        assert cable.near is not None
        assert cable.near.settings == line.settings == again
        assert cable.near.levels == ModemLines(0)
        assert cable.near.breaking
        assert client.calls == ["down", "up"]


async def test_levels_that_nobody_set_stay_as_the_kernel_has_them() -> None:
    cable = Cable()
    async with running(cable) as line:
        cable.moved.clear()
        cable.unplug()
        await asyncio.sleep(0)
        cable.plug()
        await asyncio.sleep(1)
        assert line.status().opens == 2
        assert not cable.moved


async def test_error_counts_add_up_over_reopenings_and_wraps() -> None:
    cable, starts = Cable(), iter([0, (1 << 32) - 3, 7])
    totals = UartCounters()

    async def open_used(settings: PortSettings, receiver: PortReceiver) -> Port:
        port = await cable.opener(settings, receiver)
        assert cable.near is not None
        cable.near.counts = UartCounters(*[next(starts)] * 5)  # the driver has counted since it was loaded
        return port

    async with running(cable, opener=open_used) as line:
        for _ in range(3):
            await until(lambda: line.up)
            assert cable.near is not None
            assert line.status().uart == totals
            cable.near.counts = UartCounters(*[(cable.near.counts.frame + 5) % (1 << 32)] * 5)
            totals = totals.plus(UartCounters(5, 5, 5, 5, 5))
            assert line.status().uart == totals
            cable.near.lose()
            await asyncio.sleep(0.01)
            assert line.status().uart == totals
        cable.unplug()
    assert line.status().uart == UartCounters(15, 15, 15, 15, 15)


async def test_a_driver_that_sets_something_else_is_reported_and_told(caplog: pytest.LogCaptureFixture) -> None:
    cable, client = Cable(), Client()
    wish = LineSettings(250_000)

    async def rounding(settings: PortSettings, receiver: PortReceiver) -> Port:
        port = await cable.opener(settings, receiver)
        port.settings = LineSettings(230_400)
        return port

    cable.unplug()
    async with running(cable, wish, opener=rounding) as line:
        line.stream.join(client)
        assert line.settings == wish
        cable.plug()
        await asyncio.sleep(1)
        assert line.settings == LineSettings(230_400)
        assert [record.levelno for record in caplog.records if "something else" in record.message] == [logging.ERROR]
        assert len(client.changes) == 1

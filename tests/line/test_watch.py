"""Watching modem lines and error counters, on virtual time."""

import asyncio

from nportpy.line.watch import INTERVAL, Watch
from nportpy.linesettings import ModemLines, UartCounters
from nportpy.port.loopback import Cable
from tests.support.lines import Client, running

QUIET = UartCounters()
IDLE = ModemLines.DTR | ModemLines.RTS | ModemLines.CTS | ModemLines.DSR | ModemLines.CD


class Fake:
    """A line that counts how often it is looked at."""

    def __init__(self) -> None:
        self.lines = ModemLines(0)
        self.errors = QUIET
        self.there = True
        self.looks = 0

    def modem_lines(self) -> ModemLines:
        self.looks += 1
        return self.lines

    def counters(self) -> UartCounters:
        return self.errors

    def watchable(self) -> bool:
        return self.there


async def test_changes_are_told_within_a_tenth_of_a_second_and_once() -> None:
    line, client, other = Fake(), Client(), Client()
    watch = Watch(line)
    watch.add(client)
    watch.add(client)
    watch.add(other)
    await asyncio.sleep(1)
    assert client.states == []
    line.lines = ModemLines.CTS
    await asyncio.sleep(0.1)
    assert client.states == other.states == [(ModemLines.CTS, QUIET)]
    line.errors = UartCounters(parity=2)
    await asyncio.sleep(0.1)
    line.errors = UartCounters(parity=3, breaks=1)
    await asyncio.sleep(1)
    assert client.states[1:] == [
        (ModemLines.CTS, UartCounters(parity=2)),
        (ModemLines.CTS, UartCounters(parity=1, breaks=1)),
    ]


async def test_nothing_is_scheduled_when_nobody_watches() -> None:
    line, client, other = Fake(), Client(), Client()
    watch = Watch(line)
    await asyncio.sleep(1)
    assert line.looks == 0
    watch.add(client)
    watch.add(other)
    watch.remove(client)
    watch.remove(client)
    await asyncio.sleep(1)
    looks = line.looks
    assert 1 / INTERVAL - 2 <= looks <= 1 / INTERVAL + 2
    watch.remove(other)
    await asyncio.sleep(1)
    assert line.looks == looks
    assert watch._timer is None


async def test_a_line_that_cannot_tell_anything_is_not_asked() -> None:
    line, client = Fake(), Client()
    line.there = False
    watch = Watch(line)
    watch.add(client)
    await asyncio.sleep(1)
    assert line.looks == 0
    line.there = True
    line.lines = ModemLines.DSR
    watch.restart()
    await asyncio.sleep(1)
    assert client.states == []  # what it shows when it comes is where watching begins
    line.there = False
    await asyncio.sleep(0.2)
    looks = line.looks
    await asyncio.sleep(1)
    assert line.looks == looks


async def test_a_client_may_leave_when_it_is_told() -> None:
    line = Fake()
    watch = Watch(line)

    class Leaving(Client):
        def line_state(self, modem: ModemLines, errors: UartCounters) -> None:
            super().line_state(modem, errors)
            watch.remove(self)

    leaving, staying = Leaving(), Client()
    watch.add(leaving)
    watch.add(staying)
    for lines in (ModemLines.CTS, ModemLines.DSR):
        line.lines = lines
        await asyncio.sleep(0.1)
    assert len(leaving.states) == 1
    assert len(staying.states) == 2
    watch.remove(staying)
    watch.add(leaving)
    line.lines = ModemLines.CD
    await asyncio.sleep(0.1)
    assert watch._timer is None


async def test_a_real_line_over_a_loss() -> None:
    cable, client = Cable(), Client()
    async with running(cable) as line:
        line.watch.add(client)
        cable.far.set_modem_lines(rts=False)
        await asyncio.sleep(0.1)
        assert client.states == [(IDLE & ~ModemLines.CTS, QUIET)]
        assert cable.near is not None
        cable.near.count(frame=5)
        await asyncio.sleep(0.1)
        assert client.states[1:] == [(IDLE & ~ModemLines.CTS, UartCounters(frame=5))]
        cable.unplug()
        await asyncio.sleep(1)
        cable.plug()
        await asyncio.sleep(10)
        assert len(client.states) == 2  # a loss is no change of the modem lines, nor four billion errors
        cable.near.count(frame=1)
        await asyncio.sleep(0.1)
        assert client.states[2:] == [(IDLE & ~ModemLines.CTS, UartCounters(frame=1))]

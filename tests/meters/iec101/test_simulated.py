"""The client on a leased line, against simulated outstations that others wrote, from the standard alone."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from nportpy.errors import LineError
from nportpy.line.arbiter import Line
from nportpy.linesettings import LineSettings
from nportpy.meters.iec101.client import Iec101Client, Report
from nportpy.meters.iec101.settings import CounterRequest, Iec101Settings
from nportpy.port.loopback import Cable
from nportpy.protocols.iec101 import asdu as ours
from nportpy.simulator.iec101.asdu import Sizes
from nportpy.simulator.iec101.line import OutstationLine
from nportpy.simulator.iec101.outstation import Outstation, alike
from nportpy.simulator.iec101.points import Kind, Point
from nportpy.simulator.iec101.script import parse
from nportpy.simulator.iec101.settings import OutstationSettings, Single, Times, Unreset
from nportpy.simulator.port import WireDevice
from nportpy.simulator.wire import PacedWire
from tests.support.lines import running

LINE = LineSettings.parse(9600, "8E1")
START = datetime(2026, 11, 21, 18, 58, 15, 250_000, tzinfo=UTC)
BEGIN = 1000.0  # of the virtual clock


def wall() -> int:
    """The time by a clock that agrees with the outstations'."""
    return int(START.timestamp() * 1e6 + (asyncio.get_running_loop().time() - BEGIN) * 1e6)


@asynccontextmanager
async def line_with(outstations: Sequence[Outstation], script: str = "") -> AsyncIterator[tuple[Line, OutstationLine]]:
    device = OutstationLine(outstations, LINE, spoils=parse(script.encode()) if script else None)
    async with running(Cable(), LINE, opener=WireDevice(PacedWire(device, LINE, watched=False)).opener) as line:
        yield line, device


async def rounds(line: Line, client: Iec101Client, count: int = 1, pause: float = 1.0) -> list[Report]:
    """What so many rounds bring."""
    told: list[Report] = []
    for _ in range(count):
        async with line.lease("station", limit=60.0) as leased:
            await client.poll(leased)
        told += [one for one in client.take() if isinstance(one, Report)]
        await asyncio.sleep(pause)
    return told


def seen(reports: Sequence[Report], *causes: int) -> dict[int, object]:
    """The newest value of each object."""
    return {
        each.address: each.value
        for one in reports
        if not causes or one.asdu.cause in causes
        for each in one.asdu.objects
    }


def outstation(settings: OutstationSettings | None = None, points: Sequence[Point] | None = None) -> Outstation:
    return Outstation(settings or OutstationSettings(), points, started=BEGIN)


def client(settings: Iec101Settings | None = None) -> Iec101Client:
    return Iec101Client("station", settings or Iec101Settings(), wall)


VALUES = {
    10: False,
    11: True,
    12: False,
    13: False,
    30: 2,
    31: -2,
    32: b"\x01\x02\x03\x04",
    40: 0.5,
    41: -1000,
    42: pytest.approx(231.4, rel=1e-6),
    43: pytest.approx(49.98, rel=1e-6),
    61: 0.25,
}


async def test_everything_is_told_and_means_the_same() -> None:
    async with line_with([outstation()]) as (line, device):
        values = seen(await rounds(line, client(Iec101Settings(counters=CounterRequest.FREEZE)), 3))
    assert {address: values[address] for address in VALUES} == VALUES
    assert (values[50], values[51]) == (77160, 1200)
    assert 60 in values
    counted = device.counts()
    assert counted["spoilt"] == counted["refused"] == counted.get("repeats", 0) == 0


@pytest.mark.parametrize("sizes", [Sizes(1, 1, 1, 2), Sizes(2, 2, 2, 3), Sizes(0, 1, 1, 1), Sizes(1, 2, 2, 3)], ids=str)
@pytest.mark.parametrize("sequences", [False, True])
async def test_sizes_and_sequences(sizes: Sizes, sequences: bool) -> None:
    link = {0: 0, 1: 7, 2: 258}[sizes.link]
    common = 300 if sizes.common == 2 else 9
    theirs = OutstationSettings(link, common, sizes, sequences=sequences, end_of_init=False)
    mine = Iec101Settings(link, sizes.link, common, ours.Sizes(sizes.cause, sizes.common, sizes.ioa))
    points = [Point(number, Kind.SCALED, number * 3) for number in range(1, 151)]
    async with line_with([outstation(theirs, points)]) as (line, _):
        assert seen(await rounds(line, client(mine), 2)) == {number: number * 3 for number in range(1, 151)}


@pytest.mark.parametrize(
    "theirs",
    [
        OutstationSettings(one_class=True),
        OutstationSettings(single=Single.QUIET),
        OutstationSettings(single=Single.ALWAYS),
        OutstationSettings(class_1_for_2=True),
        OutstationSettings(end_of_init=False),
        OutstationSettings(unreset=Unreset.NOT_FUNCTIONING),
        OutstationSettings(unreset=Unreset.ANSWERS, delay=0.3),
    ],
    ids=str,
)
async def test_all_sorts_of_outstations(theirs: OutstationSettings) -> None:
    async with line_with([outstation(theirs)]) as (line, _):
        values = seen(await rounds(line, client(), 15))
    assert {address: values[address] for address in VALUES} == VALUES


@pytest.mark.parametrize("times", Times)
async def test_events_come_once_each_with_their_time(times: Times) -> None:
    one = outstation(OutstationSettings(times=times), (Point(10, Kind.SINGLE, 0), Point(11, Kind.SINGLE, 0)))
    async with line_with([one]) as (line, _):
        asks = client()
        await rounds(line, asks, 2)
        happened = []
        for value in (1, 0, 1):
            happened.append(wall())
            one.change(10, value, asyncio.get_running_loop().time())
            await asyncio.sleep(7)
        events = [each for each in await rounds(line, asks, 3) if each.asdu.cause == 3]
    assert [each.asdu.objects[0].value for each in events] == [True, False, True]
    for event, at in zip(events, happened, strict=True):
        time = event.asdu.objects[0].time
        assert (time is None) is (times is Times.NONE)
        if times is Times.LONG:
            assert f"{datetime.fromtimestamp(at // 1000 / 1000, UTC):%M:%S}" in f"{time}" or time is not None


FAULTS = ["missing", "deaf", "bad-crc", "wrong-address", "cut", "nack", "junk", "echo", "twice", "busy", "stuck-acd"]


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("every", [2, 3, 4, 5, 6])
async def test_bad_lines_lose_and_double_no_event(kind: str, every: int) -> None:
    one = outstation(OutstationSettings(end_of_init=False), [Point(10, Kind.STEP, 0)])
    script = f'seed = 3\n[[fault]]\nkind = "{kind}"\nevery = {every}\nrequests = "class-1,class-2"\n'
    async with line_with([one], script) as (line, device):
        asks = client()
        await rounds(line, asks, 3)
        told: list[Report] = []
        for value in range(1, 13):
            one.change(10, value, asyncio.get_running_loop().time())
            told += await rounds(line, asks, 1)
        told += await rounds(line, asks, 3)
    assert device.counts()["struck"]
    assert [each.asdu.objects[0].value for each in told if each.asdu.cause == 3] == list(range(1, 13))


LOSSES = {
    "question lost": 'kind = "deaf"',
    "answer lost": 'kind = "missing"',
    "answer late": 'kind = "delay"\ndelay = "600ms"',
    "answer later": 'kind = "delay"\ndelay = "1100ms"',
}


@pytest.mark.parametrize("what", LOSSES)
@pytest.mark.parametrize("every", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("single", [Single.NEVER, Single.QUIET])
async def test_a_station_delivers_whatever_nth_exchange_fails(what: str, every: int, single: Single) -> None:
    """No event is lost or doubled, the link stays up, and none costs more than it was late, or a timeout, and a bit.

    Most answers are "no data", all alike: a late one must not pass for the next, nor a true one for a late one.
    """
    one = outstation(OutstationSettings(end_of_init=False, single=single), [Point(10, Kind.STEP, 0)])
    script = f"[[fault]]\n{LOSSES[what]}\nevery = {every}\n"
    async with line_with([one], script) as (line, device):
        asks = client()
        await rounds(line, asks, 3)
        told: list[Report] = []
        loop = asyncio.get_running_loop()
        before, began = asks.exchange.link.counts.requests, loop.time()
        for value in range(1, 31):
            if value % 2:
                one.change(10, value, loop.time())
            told += await rounds(line, asks, pause=0.0)
        told += await rounds(line, asks, 12, pause=0.0)
        took, asked = loop.time() - began, asks.exchange.link.counts.requests - before
    assert [each.asdu.objects[0].value for each in told if each.asdu.cause == 3] == list(range(1, 31, 2))
    counted = device.counts()
    assert counted["struck"] >= 8
    assert counted["interrogations"] == 1  # the link was never down
    assert took < asked * 0.1 + counted["struck"] * 1.5


async def test_a_round_ends_in_time_however_much_there_is_to_tell_and_to_repeat() -> None:
    one = outstation(OutstationSettings(end_of_init=False), [Point(10, Kind.STEP, 0)])
    async with line_with([one], '[[fault]]\nkind = "missing"\nevery = 2\n') as (line, _):
        asks, loop = client(), asyncio.get_running_loop()
        told: list[Report] = []
        await rounds(line, asks, 3)
        for number in range(60):
            one.change(10, number, loop.time())
        for _ in range(10):
            began = loop.time()
            told += await rounds(line, asks, pause=0.0)
            assert loop.time() - began < Iec101Settings().hold + 5.0  # the lease ends after 13 s
    assert [each.asdu.objects[0].value for each in told if each.asdu.cause == 3] == list(range(60))


async def test_late_answers_of_one_are_not_taken_for_those_of_the_next_on_the_line() -> None:
    """E5 has no address, so a line that is given on has to be done with what is late."""
    alikes = alike(OutstationSettings(end_of_init=False, single=Single.QUIET), 2)
    stations = [Outstation(each, (Point(10, Kind.STEP, 0),), started=BEGIN) for each in alikes]
    script = '[[fault]]\nkind = "delay"\ndelay = "600ms"\nevery = 2\nstations = "1"\n'
    async with line_with(stations, script) as (line, device):
        both = [client(replace(Iec101Settings(), link_address=link, common_address=link)) for link in (1, 2)]
        told: list[list[Report]] = [[], []]
        for value in range(24):
            for mine, station, asks in zip(told, stations, both, strict=True):
                if value >= 3 and value % 2:
                    station.change(10, value, asyncio.get_running_loop().time())
                mine += await rounds(line, asks, pause=0.0)
    assert device.counts()["struck"] > 10
    for mine in told:
        events = [each.asdu.objects[0].value for each in mine if each.asdu.cause == 3]
        assert events == list(range(3, 3 + 2 * len(events), 2))
        assert len(events) >= 9
    assert both[1].exchange.link.counts.repeats == 0


@pytest.mark.parametrize("warns", ["true", "false"])
async def test_an_outstation_that_restarts_is_asked_for_everything_again(warns: str) -> None:
    script = f'[[fault]]\nkind = "restart"\nwarns = {warns}\nrequests = "class-2"\nevery = 4\nlimit = 1\n'
    async with line_with([outstation()], script) as (line, device):
        asks, failed = client(), 0
        for _ in range(12):
            try:
                await rounds(line, asks)
            except LineError:
                failed += 1
    assert failed <= 2
    counted = device.counts()
    assert counted["restarts"] == 1
    assert counted["interrogations"] == 2


OWN = LineSettings.parse(2400, "8E1")
FAILURES = {
    "silence": 'kind = "deaf"',
    "wrong checks": 'kind = "bad-crc"',
    "another address": 'kind = "wrong-address"',
    "nothing works": 'kind = "not-functioning"',
    "rubbish": 'kind = "junk"\nrandom = 40',
    "half answers": 'kind = "cut"\ndrop = 2',
    "restarts": 'kind = "restart"\nrequests = "class-2"',
    "cancelled": 'kind = "delay"\ndelay = "400ms"',
    "unplugged": 'kind = "delay"\ndelay = "300ms"',
    "sizes": "",
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_the_ports_settings_are_back_after_every_kind_of_failure(failure: str) -> None:
    one = outstation(OutstationSettings(sizes=Sizes(1, 2, 2, 3)) if failure == "sizes" else None)
    script = f"[[fault]]\n{FAILURES[failure]}\n" if FAILURES[failure] else ""
    made = WireDevice(PacedWire(OutstationLine([one], OWN, spoils=parse(script.encode())), LINE, watched=False))
    asks, loop = client(), asyncio.get_running_loop()
    within = 1.0 if failure == "cancelled" else None
    async with running(Cable(), LINE, opener=made.opener) as line:
        for _ in range(3):
            began = loop.time()
            with suppress(LineError, TimeoutError):
                async with asyncio.timeout(within), line.lease("station", OWN, limit=60.0) as leased:
                    assert leased.settings == OWN
                    if failure == "unplugged":
                        loop.call_later(0.1, made.unplug)
                        loop.call_later(1.0, made.plug)
                    await asks.poll(leased)
            assert loop.time() - began < 40
            await asyncio.sleep(10)
            assert line.up
            assert line.settings == made.wire.settings == LINE
        assert OWN in made.configured


async def test_a_dead_one_leaves_the_others_alone() -> None:
    stations = [Outstation(each, (Point(10, Kind.STEP, each.link),)) for each in alike(OutstationSettings(), 3)]
    script = '[[fault]]\nkind = "deaf"\nstations = "2"\n'
    async with line_with(stations, script) as (line, _):
        asks = [client(replace(Iec101Settings(), link_address=link, common_address=link)) for link in (1, 2, 3)]
        for _ in range(3):
            for link, one in enumerate(asks, 1):
                try:
                    reports = await rounds(line, one)
                except LineError:
                    assert link == 2
                    continue
                assert link != 2
                assert set(seen(reports).values()) <= {link}


async def test_the_clock_is_set_when_that_is_wished() -> None:
    one = outstation(OutstationSettings(clock_set=False, end_of_init=False, start=datetime.fromisoformat("2000-01-01")))
    async with line_with([one]) as (line, device):
        await rounds(line, client(Iec101Settings(synchronise_every=600.0)), 3)
        assert device.counts()["clock_set"] == 1
        shown = one.application.clock(asyncio.get_running_loop().time())
        assert abs(shown.time.replace(tzinfo=UTC).timestamp() - wall() / 1e6) < 0.05
        assert not shown.invalid

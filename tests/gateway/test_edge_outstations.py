"""Several outstations of one line through a whole gateway: one that is silent, lines that lose; events end to end."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nportpy.edge.settings import Protocol, StationSettings, TagSettings
from nportpy.linesettings import LineSettings
from nportpy.meters.iec101.settings import CounterRequest, Iec101Settings
from nportpy.protocols.iec101.addresses import ObjectAddress
from nportpy.simulator.iec101.line import OutstationLine
from nportpy.simulator.iec101.outstation import Outstation, alike
from nportpy.simulator.iec101.points import Kind, Point
from nportpy.simulator.iec101.script import parse
from nportpy.simulator.iec101.settings import OutstationSettings
from nportpy.simulator.port import WireDevice
from nportpy.simulator.wire import PacedWire
from tests.support.edges import Edged, edged, plant, world
from tests.support.serving import plan, raw, until
from tests.support.stations import START

LINE = LineSettings.parse(9600, "8E1")
EVERY = 2.0
POINTS = (Point(10, Kind.STEP, 0), Point(42, Kind.FLOAT, 231.5), Point(50, Kind.COUNTER, 77160, 5))


def rtu(link: int) -> StationSettings:
    tags = tuple(TagSettings(f"p{each.address}", str(each.address), ObjectAddress(each.address)) for each in POINTS)
    access = Iec101Settings(link_address=link, common_address=link, counters=CounterRequest.READ)
    return StationSettings(f"rtu{link}", "meters", 1, EVERY, tags, Protocol.IEC101, access=access)


@asynccontextmanager
async def site(
    path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> AsyncIterator[tuple[Edged, list[Outstation], OutstationLine]]:
    around = world(path, monkeypatch)
    start = datetime.fromtimestamp(START, UTC).replace(tzinfo=None)
    outstations = [Outstation(each, POINTS, started=1000.0) for each in alike(OutstationSettings(start=start), 3)]
    device = OutstationLine(outstations, LINE, spoils=parse(script.encode()))
    made = WireDevice(PacedWire(device, LINE, watched=False), "meters")
    port = plan("meters", raw(), line=LINE, device="meters")
    edge = around.edge(*(rtu(link) for link in (1, 2, 3)), plant())
    async with edged(around, edge, port, opener=made.opener) as at:
        yield at, outstations, device


async def test_a_silent_outstation_costs_the_others_on_its_line_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = '[[fault]]\nkind = "deaf"\nstations = "2"\n'
    async with site(tmp_path, monkeypatch, script) as (at, _, _device):
        await asyncio.sleep(60)
        before = {name: sum(at.station(name).polls.values()) for name in ("rtu1", "rtu3")}
        await asyncio.sleep(300)
        for name, count in before.items():
            status = at.station(name)
            assert status.up
            assert status.polls["failed"] == 0
            assert sum(status.polls.values()) - count >= 0.95 * 300 / EVERY
            assert [each.value for each in status.tags] == [0, 231.5, 77160]
        assert at.station("rtu2").up is False
        assert at.station("rtu2").reason == "outstation 2 did not answer"
        assert {each.reason for each in at.station("rtu2").tags} == {"outstation 2 did not answer"}


@pytest.mark.long
@pytest.mark.parametrize(
    "fault",
    [
        'kind = "missing"\nevery = 2',
        'kind = "deaf"\nevery = 3',
        'kind = "bad-crc"\nevery = 3',
        'kind = "delay"\ndelay = "600ms"\nevery = 4',
    ],
)
async def test_events_of_several_enter_with_their_time_however_bad_the_line_is(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(tmp_path, monkeypatch, f"[[fault]]\n{fault}\n") as (at, outstations, device):
        loop = asyncio.get_running_loop()
        await until(lambda: all(at.station(f"rtu{link}").up for link in (1, 2, 3)), 60)
        await asyncio.sleep(60)
        changed: dict[int, list[tuple[int, int]]] = {1: [], 2: [], 3: []}
        for value in range(1, 16):
            for link, outstation in enumerate(outstations, 1):
                outstation.change(10, value, loop.time())
                changed[link].append((round((loop.time() - 1000.0 + START) * 1e3), value))
                await asyncio.sleep(0.7)
        await asyncio.sleep(60)
        assert device.counts()["struck"] > 20
        for link, expected in changed.items():
            kept = await at.kept(f"rtu{link}/p10")
            told = [(round(each.at / 1e3), each.value) for each in kept]
            assert [each for each in told if each in expected] == expected
            # Whatever else there is of them is what a round has found: later, and of the same value.
            values = [value for _, value in sorted(told)]
            assert [value for value, _ in itertools.groupby(values)] == list(range(16))
            assert at.station(f"rtu{link}").polls["failed"] == 0
        await until(lambda: not at.upstream().backlog, 60)

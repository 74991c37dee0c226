"""Stations of several protocols on one line of the gateway, beside a raw client and Modbus clients."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nportpy.edge.sample import Quality
from nportpy.edge.settings import Protocol, ReadoutPlace, StationSettings, TagSettings
from nportpy.linesettings import LineSettings
from nportpy.meters.iec101.settings import Iec101Settings
from nportpy.meters.iec62056.settings import Iec62056Settings
from nportpy.port.base import PortSettings
from nportpy.protocols.iec101.addresses import ObjectAddress
from nportpy.simulator.device import TunedDevice
from nportpy.simulator.iec101.line import OutstationLine
from nportpy.simulator.iec101.outstation import Outstation
from nportpy.simulator.iec101.settings import OutstationSettings
from nportpy.simulator.iec62056.meter import Meter
from nportpy.simulator.multidrop import Fixed, MultiDrop
from nportpy.simulator.port import WireDevice
from nportpy.simulator.wire import PacedWire
from tests.support.edges import Edged, World, edged, emon, plant, world
from tests.support.modbus_serving import asker, modbus, outcomes, read, registers, units
from tests.support.serving import plan, raw, until
from tests.support.stations import START

LINE = LineSettings.parse(9600, "8E1")
SLOW = LineSettings.parse(300, "7E1")


def rtu(**keys: object) -> StationSettings:
    """Outstation 1."""
    tags = tuple(TagSettings(f"p{at}", str(at), ObjectAddress(at), max_silence=0.0) for at in (10, 42))
    found = StationSettings("rtu", "meters", 1, 2.0, tags, Protocol.IEC101, access=Iec101Settings())
    return replace(found, **keys)  # type: ignore[arg-type]


def heat(**keys: object) -> StationSettings:
    """A meter that is read at 300 baud to begin with."""
    access = Iec62056Settings(device="12345678")
    tags = (TagSettings("energy", "1.8.0", ReadoutPlace("1.8.0"), unit="kWh", max_silence=0.001),)
    return replace(StationSettings("heat", "meters", 1, 60.0, tags, Protocol.IEC62056, access=access), **keys)  # type: ignore[arg-type]


@dataclass
class Site:
    """A line with an outstation, a meter and two Modbus units."""

    device: WireDevice
    outstation: Outstation

    def __init__(self) -> None:
        start = datetime.fromtimestamp(START, UTC).replace(tzinfo=None)
        self.outstation = Outstation(OutstationSettings(start=start), started=1000.0)
        devices: list[TunedDevice] = [
            OutstationLine([self.outstation], LINE),
            Meter(started=1000.0),
            Fixed(units(7, 8, eager=False), LINE),
        ]
        self.device = WireDevice(PacedWire(MultiDrop(devices), LINE, watched=False), "meters")


@asynccontextmanager
async def site(around: World, *stations: StationSettings) -> AsyncIterator[tuple[Edged, Site]]:
    made = Site()
    port = plan("meters", raw(), modbus("meters"), line=LINE, device="meters")
    async with edged(around, around.edge(*stations, plant()), port, opener=made.device.opener) as at:
        yield at, made


@pytest.mark.long
async def test_stations_of_three_protocols_raw_and_modbus_clients_share_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    around = world(tmp_path, monkeypatch)
    async with site(around, rtu(), heat(), emon(to="meters", unit=7, every=5.0)) as (at, _):
        visitor = await at.raw(port="meters")
        client = await asker(at, "modbus", "meters")
        await asyncio.sleep(90)
        answers = []
        for _ in range(60):
            began = asyncio.get_running_loop().time()
            answers.append((await client.ask(read(0, 2), 8), asyncio.get_running_loop().time() - began))
            await asyncio.sleep(2.0)
        for name in ("rtu", "heat", "emon"):
            polls = at.station(name).polls
            assert at.station(name).up is True, at.station(name)
            assert polls["failed"] == 0, (name, polls)
        assert [each.value for each in at.station("heat").tags] == [77.16]
        assert all(each.quality == "good" for each in at.station("rtu").tags)
        assert all(registers(answer) == [2048, 2049] for answer, _ in answers)
        assert not visitor.lost
        status = at.line("meters")
        assert {each.holder for each in status.leases} == {"station rtu", "station heat"}
        await until(lambda: at.line("meters").settings == LINE, 30)
        await until(lambda: not at.upstream().backlog, 60)


@pytest.mark.long
async def test_e15_a_lease_gives_the_line_up_to_others_in_bounded_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outstation that has events without end: rounds are as long as they may be."""
    around = world(tmp_path, monkeypatch)
    async with site(around, rtu(every=0.1)) as (at, made):
        loop = asyncio.get_running_loop()
        await asyncio.sleep(20)
        client = await asker(at, "modbus", "meters")

        async def events() -> None:
            value = 0
            while True:
                for _ in range(20):
                    value = 1 - value
                    made.outstation.change(10, value, loop.time())
                await asyncio.sleep(0.5)

        task = loop.create_task(events())
        waited = []
        for _ in range(40):
            began = loop.time()
            assert registers(await client.ask(read(0, 2), 8)) == [2048, 2049]
            waited.append(loop.time() - began)
            await asyncio.sleep(0.7)
        task.cancel()
        # A request waits for one exchange (80 ms here, with t3.5 and the outstation's thinking), then has its turn.
        assert max(waited) < 0.3, sorted(waited)[-5:]
        assert at.station("rtu").polls["failed"] == 0
        assert {*outcomes(at.bus("meters"))} == {"answered"}


async def test_events_enter_with_their_own_time_and_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    around = world(tmp_path, monkeypatch)
    async with site(around, rtu()) as (at, made):
        await asyncio.sleep(30)
        loop = asyncio.get_running_loop()
        changed = []
        for value in (0, 1, 0, 1):
            made.outstation.change(10, value, loop.time())
            changed.append(round((loop.time() - 1000.0 + START) * 1e3))
            await asyncio.sleep(0.3)
        await asyncio.sleep(5)
        kept = await at.kept("rtu/p10")
        assert [round(each.at / 1e3) for each in kept[-4:]] == changed
        assert [bool(each.value) for each in kept[-4:]] == [False, True, False, True]
        assert not any(each.history for each in kept)
        await until(lambda: not at.upstream().backlog, 60)
    live = [row.at for _, batch in around.broker.batches if not batch.late for row in batch.rows if row.tag == 1]
    assert live == sorted(live)


async def test_a_device_that_goes_and_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    around = world(tmp_path, monkeypatch)
    async with site(around, rtu(), heat()) as (at, made):
        await asyncio.sleep(90)
        made.device.unplug()
        await asyncio.sleep(60)
        for name in ("rtu", "heat"):
            assert at.station(name).up is False
            assert "device" in at.station(name).reason
        made.device.plug()
        await asyncio.sleep(180)
        for name in ("rtu", "heat"):
            assert at.station(name).up is True
        assert [each.quality for each in await at.kept("heat/energy")].count(Quality.BAD) == 1
        await until(lambda: at.line("meters").settings == LINE, 30)  # after a readout that may be under way


@pytest.mark.long
async def test_a_reload_takes_the_line_from_under_a_readout_and_gives_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    around = world(tmp_path, monkeypatch)
    async with site(around, rtu(), heat(every=20.0)) as (at, made):
        await until(lambda: at.line("meters").settings == SLOW, 60)  # a readout is under way
        fast = LineSettings.parse(9600, "8E1")
        changed = plan("meters", raw(), line=replace(fast), device="meters", exclusive=False)
        await at.change(changed, edge=around.edge(rtu(), heat(every=20.0), plant()))
        await asyncio.sleep(200)
        assert at.station("rtu").up is True
        assert at.station("heat").up is True
        assert at.line("meters").settings == LINE
        await at.change(edge=None)
        await asyncio.sleep(10)
        assert made.device.wire.settings == LINE


async def test_a_line_elsewhere_is_opened_for_its_stations_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    around = world(tmp_path, monkeypatch)
    made = Site()
    there = PortSettings("meters", LINE)
    stations = [rtu(to=there), heat(to=there)]
    port = plan("cable", device="nothing")
    async with edged(around, around.edge(*stations, plant()), port, opener=made.device.opener, up=False) as at:
        await asyncio.sleep(120)
        assert at.station("rtu").up is True
        assert at.station("heat").up is True
        assert not at.gateway.status().buses  # nobody asks Modbus units there
        await at.change(edge=around.edge(*stations, emon(to=there, unit=7), plant()))
        await asyncio.sleep(120)
        assert at.station("emon").up is True
        assert at.station("rtu").up is True
        await at.change(edge=around.edge(plant()))
        await asyncio.sleep(1)
        assert made.device.port is None


@pytest.mark.long
async def test_e9_seven_minutes_without_an_upstream_leave_no_hole_in_the_chart_of_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cut of the story, with a meter that prints text and an outstation that has events, on one line."""
    around = world(tmp_path, monkeypatch)
    async with site(around, rtu(), heat(every=15.0)) as (at, made):
        loop = asyncio.get_running_loop()

        async def events() -> None:
            for number in range(10_000):
                made.outstation.change(42, float(number), loop.time())
                await asyncio.sleep(5.0)

        task = loop.create_task(events())
        await asyncio.sleep(300)
        around.broker.hole = True
        await asyncio.sleep(421)
        around.broker.hole = False
        await until(lambda: at.upstream().up and not at.upstream().backlog, 600)
        await asyncio.sleep(60)
        task.cancel()
        await until(lambda: not at.upstream().backlog, 60)
        kept = await at.kept()
    late, live = around.broker.received(late=True), around.broker.received(late=False)
    received = [*late, *live]
    assert {(each.boot, each.seq) for each in kept} <= set(received)
    assert len(received) > len(set(received))  # the overlap came twice, and is known by its numbers
    assert late
    for path, gap in (("heat/energy", 16.0), ("rtu/p42", 6.0)):
        times = sorted(each.at / 1e6 for each in kept if each.tag.path == path)
        assert len(times) > 40
        assert max(after - before for before, after in itertools.pairwise(times[5:])) < gap, path
    for tag in {row.tag for _, batch in around.broker.batches for row in batch.rows}:
        shown = [row.at for _, batch in around.broker.batches if not batch.late for row in batch.rows if row.tag == tag]
        assert shown == sorted(shown)  # E8, E11

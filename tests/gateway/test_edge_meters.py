"""The two meters of the story on two lines of the gateway: SN on one, LN on the other; time is virtual."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from nportpy.config.edge_build import station
from nportpy.config.edge_tables import Station
from nportpy.edge.sample import Quality, Sample
from nportpy.edge.settings import StationSettings
from nportpy.linesettings import LineSettings
from nportpy.meters.dlms.settings import Authentication, DlmsSettings
from nportpy.port.base import Port, PortReceiver, PortSettings
from nportpy.simulator.cosem.frames import Address
from nportpy.simulator.cosem.line import MeterLine
from nportpy.simulator.cosem.meter import Meter, MeterSettings
from nportpy.simulator.cosem.mt880 import PASSWORD, Mt880Settings, mt880
from nportpy.simulator.cosem.script import parse as parse_script
from nportpy.simulator.cosem.zmd import ZmdSettings, zmd
from nportpy.simulator.multidrop import Fixed, MultiDrop
from nportpy.simulator.port import WireDevice
from nportpy.simulator.wire import PacedWire
from tests.support.edges import Edged, World, edged, plant, world
from tests.support.modbus_serving import asker, modbus, read, registers, units
from tests.support.serving import plan, raw, until
from tests.support.stations import START

LINE = LineSettings(9600)
HOUR = 3600.0
LOAD = "1.0.99.1.0.255"


def common(address: Address) -> MeterSettings:
    return MeterSettings(address, start=datetime.fromtimestamp(START, UTC), started=1000.0)


def told(name: str, port: str, **keys: Any) -> StationSettings:
    """A station as a file has it."""
    made = station(name, Station.model_validate({"port": port, "every": "15s", **keys}))
    tags = tuple(replace(each, max_silence=0.001, deadband=0.0) for each in made.tags)
    return replace(made, tags=tags)


def mains(**keys: Any) -> StationSettings:
    return told("mains", "ama0", **{"profile": "landis-gyr-zmd405", **keys})


def feeder(**keys: Any) -> StationSettings:
    made = told("feeder", "sc0", **{"profile": "iskra-mt880", "server": "1/59", "client": 1, **keys})
    assert isinstance(made.access, DlmsSettings)
    return replace(made, access=replace(made.access, authentication=Authentication.LOW, secret=PASSWORD))


@dataclass
class Site:
    """Two lines, and what is on them."""

    ama0: WireDevice
    sc0: WireDevice
    meters: tuple[Meter, Meter]

    def __init__(self, script: str = "") -> None:
        self.meters = (
            zmd(ZmdSettings(meter=common(Address(1, 0)))),
            mt880(Mt880Settings(meter=common(Address(1, 0)))),
        )
        spoils = [parse_script(script.encode()) if script else None for _ in self.meters]
        self.ama0, self.sc0 = (
            WireDevice(
                PacedWire(MeterLine([meter], character=LINE.character_time, spoils=spoil), LINE, watched=False), name
            )
            for meter, spoil, name in zip(self.meters, spoils, ("ama0", "sc0"), strict=True)
        )

    async def opener(self, settings: PortSettings, receiver: PortReceiver) -> Port:
        return await {"ama0": self.ama0, "sc0": self.sc0}[settings.device].opener(settings, receiver)


@asynccontextmanager
async def site(around: World, *stations: StationSettings, script: str = "") -> AsyncIterator[tuple[Edged, Site]]:
    made = Site(script)
    ports = [plan(name, raw(), line=LINE, device=name) for name in ("ama0", "sc0")]
    async with edged(around, around.edge(*stations, plant()), *ports, opener=made.opener) as at:
        yield at, made


def tag_of(at: Edged, station: str, name: str) -> Any:
    return next(each for each in at.station(station).tags if each.name == name)


async def test_both_meters_by_their_profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    around = world(tmp_path, monkeypatch)
    async with site(around, mains(), feeder()) as (at, _):
        await asyncio.sleep(120)
        for name in ("mains", "feeder"):
            assert at.station(name).up is True
            values: dict[str, Any] = {each.name: each.value for each in at.station(name).tags}
            assert all(200 < values[f"voltage_l{phase}"] < 260 for phase in (1, 2, 3))
            assert isinstance(values["energy_import"], float)
            assert 70_000 < values["energy_import"] < 80_000  # kWh of a register in Wh
            assert str(values["clock"]).startswith("2025-06-15T")
            assert values["serial"] in ("94407512", "72211943")


@pytest.mark.long
async def test_e9_seven_minutes_without_an_upstream_are_filled_late_and_without_a_hole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    around = world(tmp_path, monkeypatch)
    async with site(around, mains(), feeder()) as (at, _):
        await asyncio.sleep(300)
        around.broker.hole = True
        await asyncio.sleep(421)
        around.broker.hole = False
        await until(lambda: at.upstream().up and not at.upstream().backlog, 600)
        await asyncio.sleep(60)
        await until(lambda: not at.upstream().backlog, 60)
        kept = await at.kept()
    late, live = around.broker.received(late=True), around.broker.received(late=False)
    assert {(each.boot, each.seq) for each in kept} <= {*late, *live}
    assert len([*late, *live]) > len({*late, *live})  # the overlap came twice, and is known by its numbers
    assert late
    for path in ("mains/voltage_l1", "mains/energy_import", "feeder/voltage_l3", "feeder/energy_import"):
        times = sorted(each.at / 1e6 for each in kept if each.tag.path == path)
        assert len(times) > 40
        assert max(after - before for before, after in itertools.pairwise(times)) < 17.0, path
    shown = [
        (row.tag, row.at) for _, batch in around.broker.batches if not batch.late for row in batch.rows
    ]  # E8, E11: live values never go back
    for number in {tag for tag, _ in shown}:
        assert (times := [at for tag, at in shown if tag == number]) == sorted(times)


@pytest.mark.long
async def test_a_minutes_poll_costs_no_sign_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    around = world(tmp_path, monkeypatch)
    async with site(around, mains(every="60s"), feeder(every="60s")) as (at, made):
        await asyncio.sleep(1200)
        assert at.station("mains").up is True
        assert [meter.server.refused for meter in made.meters] == [0, 0]
        assert at.line("ama0").leases[0].outcomes["returned"] >= 19
        sent = at.line("sc0").sent
        await asyncio.sleep(60)
        assert at.line("sc0").sent - sent < 400  # a list or two, and neither SNRM nor AARQ


@pytest.mark.long
async def test_e16_what_the_gateway_missed_is_filled_from_the_meters_own_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    around = world(tmp_path, monkeypatch)
    stations = mains(history=LOAD, every="60s"), feeder(history=LOAD, every="60s")
    async with site(around, *stations) as (at, made):
        await asyncio.sleep(600)
        made.ama0.unplug()
        made.sc0.unplug()
        await asyncio.sleep(2 * HOUR)
        made.ama0.plug()
        made.sc0.plug()
        await asyncio.sleep(600)
        await until(lambda: not at.upstream().backlog, 600)
        kept = await at.kept()
        assert at.station("mains").up is True
    for path in ("mains/energy_import", "feeder/energy_import"):
        of_path = [each for each in kept if each.tag.path == path]
        filled = [each for each in of_path if each.history]
        times = [each.at / 1e6 for each in filled]
        assert len(times) == len(set(times)), path
        there = [each for each in times if START + 600 < each < START + 600 + 2 * HOUR]
        assert len(there) == 8, path  # each quarter of an hour of the gap
        assert all(each % 900 == 0 for each in times)
        values = [each.value for each in sorted(of_path, key=lambda each: each.at) if each.quality is Quality.GOOD]
        assert values == sorted(values)  # type: ignore[type-var]
    assert not [each for each in kept if each.history and each.tag.path == "mains/voltage_l1"]  # of which none is kept


@pytest.mark.long
async def test_a_device_that_goes_in_the_middle_and_a_meter_that_starts_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    around = world(tmp_path, monkeypatch)
    async with site(around, mains(), feeder()) as (at, made):
        await asyncio.sleep(60.2)
        made.ama0.unplug()
        await asyncio.sleep(60)
        assert at.station("mains").up is False
        assert "device" in at.station("mains").reason
        assert at.station("feeder").up is True
        made.ama0.plug()
        for meter in made.meters:
            meter.link.drop()
        await asyncio.sleep(60)
        assert at.station("mains").up is True
        assert at.station("feeder").up is True
        assert at.line("ama0").settings == LINE
        kept = await at.kept("feeder/energy_import")
        assert not [each for each in kept if each.quality is Quality.BAD]


@pytest.mark.long
async def test_what_is_wrong_is_said_in_the_stations_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    around = world(tmp_path, monkeypatch)
    wrong = feeder()
    assert isinstance(wrong.access, DlmsSettings)
    stations = (
        replace(wrong, access=replace(wrong.access, secret=b"87654321")),
        mains(server="1/77"),
        told("odd", "ama0", protocol="dlms", referencing="short", tags=[
            {"name": "there", "at": "1.8.0"},
            {"name": "unknown", "at": "1.0.99.99.0.255"},
            {"name": "list", "at": "0.0.40.0.0.255"},
            {"name": "hdlc", "at": "0.0.22.0.0.255/99"},
        ]),
    )  # fmt: skip
    async with site(around, *stations) as (at, made):
        await asyncio.sleep(200)
        assert "password or key is wrong" in at.station("feeder").reason
        assert made.meters[1].server.refused == 1  # and it was never tried again
        assert "server 1/77, client 16) does not answer" in at.station("mains").reason
        assert at.station("odd").up is True
        assert tag_of(at, "odd", "there").quality == "good"
        assert "object undefined" in tag_of(at, "odd", "unknown").reason
        assert "an array" in tag_of(at, "odd", "list").reason or "undefined" in tag_of(at, "odd", "list").reason
        assert tag_of(at, "odd", "hdlc").reason


@pytest.mark.long
async def test_faults_on_the_line_cost_repeats_and_no_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    around = world(tmp_path, monkeypatch)
    script = '[[fault]]\nkind = "missing"\nevery = 7\n[[fault]]\nkind = "bad-crc"\nevery = 11\n'
    async with site(around, mains(), feeder(), script=script) as (at, _):
        await asyncio.sleep(1200)
        kept: list[Sample] = await at.kept()
    assert not [each for each in kept if each.quality is Quality.BAD]
    for path in ("mains/energy_import", "feeder/energy_import"):
        values = [each.value for each in kept if each.tag.path == path]
        assert len(values) > 60
        assert values == sorted(values)  # type: ignore[type-var]


@pytest.mark.long
async def test_e15_raw_and_modbus_clients_beside_a_dlms_meter_on_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another Modbus unit on the line; object lists, profiles and values of the meter are leases that give way."""
    around = world(tmp_path, monkeypatch)
    line = MeterLine([zmd(ZmdSettings(meter=common(Address(1, 0))))], character=LINE.character_time)
    wire = PacedWire(MultiDrop([Fixed(line, LINE), Fixed(units(7, eager=False), LINE)]), LINE, watched=False)
    device = WireDevice(wire, "ama0")
    port = plan("ama0", raw(), modbus("ama0"), line=LINE, device="ama0")
    stations = mains(every="2s", history=LOAD)
    async with edged(around, around.edge(stations, plant()), port, opener=device.opener) as at:
        visitor = await at.raw(port="ama0")
        client = await asker(at, "modbus", "ama0")
        loop = asyncio.get_running_loop()
        waited = []
        for _ in range(60):
            began = loop.time()
            assert registers(await client.ask(read(0, 2), 7)) == [1792, 1793]
            waited.append(loop.time() - began)
            await asyncio.sleep(0.9)
        # A request waits for one exchange of the meter, of 128 bytes at most, and is served within its own 60 ms.
        assert max(waited) < 0.3 + 0.1
        assert at.station("mains").up is True
        assert not visitor.lost
        assert at.line("ama0").leases[0].ways_given > 10
        assert at.line("ama0").settings == LINE

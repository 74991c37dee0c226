"""IEC 62056-21 meters as stations: codes in all forms, units, texts, profiles, and what goes wrong."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from nportpy.edge.driver import RawReading, StationRefused, StationSilent
from nportpy.edge.drivers.iec62056 import Iec62056Driver, reading
from nportpy.edge.schedule import Due
from nportpy.edge.settings import ReadoutPlace, TagSettings
from nportpy.edge.station import Station
from nportpy.errors import LeaseRefused, LineError
from nportpy.line.lease_base import Leased
from nportpy.meters.iec62056.settings import Iec62056Settings, Reading
from nportpy.protocols.iec62056.datasets import DataSet
from tests.meters.iec62056.meter import LINES, Meter, framed
from tests.support.stations import LoopClock, station_of

PROGRAMMING = Iec62056Settings(reading=Reading.PROGRAMMING)
WIRE_LINES = LINES + "F.F(00)\r\n1.8.0*03(000070.000*kWh)\r\n13.7(0.98)\r\n15.8.0(5)\r\n0.9.1(185815)\r\nX.1()\r\n"


def point(name: str, at: str, **keys: Any) -> TagSettings:
    return TagSettings(name, at, ReadoutPlace(at), **keys)


class Served:
    """A driver, and the meter that it reads."""

    def __init__(self, meter: Meter, *tags: TagSettings, settings: Iec62056Settings | None = None) -> None:
        self.meter = meter
        self.tags = tags
        self.holds: list[float] = []
        self.fails: LineError | None = None
        self.clock = LoopClock()
        self.driver = Iec62056Driver(
            station_of(*tags), settings or Iec62056Settings(), self.lend, self.clock, lambda tag: self.newest
        )
        self.newest: int | None = None

    @asynccontextmanager
    async def lend(self, limit: float) -> AsyncIterator[Leased]:
        if self.fails is not None:
            raise self.fails
        self.holds.append(limit)
        async with asyncio.timeout(limit):
            yield self.meter.wire

    async def read(self) -> dict[str, RawReading]:
        return {each.tag.name: each for each in await self.driver.read(self.tags)}


async def test_one_readout_gives_all_tags_whatever_the_form_of_their_code() -> None:
    served = Served(
        Meter(readout=WIRE_LINES),
        point("energy", "1-0:1.8.0*255", unit="kWh"),
        point("energy_wh", "1.0.1.8.0.255", unit="Wh"),
        point("old", "1.8.0*03", unit="kWh"),
        point("voltage", "32.7.0", unit="V"),
        point("maximum", "1.6.1", unit="kW"),
        point("error", "F.F"),
        point("serial", "0.0.0"),
        point("factor", "13.7.0"),
        point("sum", "15.8.0", unit="Wh"),
        point("time", "0.9.1"),
        point("nothing", "X.1"),
        point("absent", "2.8.0"),
    )
    found = await served.read()
    assert {name: each.raw for name, each in found.items()} == {
        "energy": 77.16,
        "energy_wh": 77160,
        "old": 70.0,
        "voltage": 230.6,
        "maximum": 12.3,
        "error": "00",
        "serial": "12345678",
        "factor": 0.98,
        "sum": 5000,  # no unit is printed: kWh
        "time": "185815",
        "nothing": None,
        "absent": None,
    }
    assert found["absent"].reason == "the meter's readout has no 2.8.0"
    assert "no value" in found["nothing"].reason
    assert len(served.meter.sign_ons) == len(served.holds) == 1


@pytest.mark.parametrize(
    ("found", "keys", "raw", "words"),
    [
        (DataSet("1.8.0", "000077.160", "kWh"), {"unit": "Wh"}, 77160, ""),
        (DataSet("1.8.0", "77160", "Wh"), {"unit": "kWh"}, 77.16, ""),
        (DataSet("1.8.0", "77160", "Wh"), {"unit": "kWh", "scale": 0.001}, 77160, ""),  # it converts by itself
        (DataSet("1.8.0", "77,16-", "kWh"), {"unit": "kWh"}, -77.16, ""),
        (DataSet("32.7", "230.6", "V"), {"unit": "A"}, 230.6, "counts in V"),
        (DataSet("32.7", "230.6"), {"unit": "mV"}, 230600, ""),
        (DataSet("1.8.0", "--.--", "kWh"), {"unit": "kWh"}, None, "no number"),
        (DataSet("1.8.0", "ERROR"), {"unit": "kWh"}, None, "'ERROR'"),
        (DataSet("C.1.0", "0012"), {}, "0012", ""),
        (DataSet("C.1.0", "0012"), {"unit": "s"}, 12, ""),
        (DataSet("Tariff", "T1"), {}, "T1", ""),
    ],
)
def test_what_a_data_set_is_to_a_tag(found: DataSet, keys: dict[str, Any], raw: object, words: str) -> None:
    answer = reading(point("x", found.address, **keys), 0, found)
    assert answer.raw == raw
    assert type(answer.raw) is type(raw)
    assert words in answer.reason + answer.uncertain


async def test_registers_of_the_programming_mode() -> None:
    meter = Meter()
    meter.registers = {"1.8.0": "(000077.160*kWh)", "9.9": "(ER03)"}
    served = Served(meter, point("energy", "1.8.0", unit="kWh"), point("none", "9.9"), settings=PROGRAMMING)
    found = await served.read()
    assert found["energy"].raw == 77.16
    assert found["none"].reason == "the meter answers ER03"


async def test_silence_and_a_line_that_cannot_be_had() -> None:
    meter = Meter()
    meter.deaf = 99
    served = Served(meter, point("energy", "1.8.0"))
    with pytest.raises(StationSilent, match="does not answer the sign-on"):
        await served.read()
    served.fails = LeaseRefused("others have it")
    with pytest.raises(StationSilent, match="others have it"):
        await served.read()


async def test_field_14_a_refused_password_stops_the_station() -> None:
    meter = Meter()
    meter.password = "right"
    settings = replace(PROGRAMMING, password="wrong")
    served = Served(meter, point("energy", "1.8.0"), settings=settings)
    for _ in range(2):
        with pytest.raises(StationRefused, match="refuses the password"):
            await served.read()
    assert len(meter.sign_ons) == 1


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1e6)


async def test_e16_a_profile_s_rows_come_late_with_the_meter_s_time() -> None:
    meter = Meter()
    header = "P.01(0250615141500)(00)(15)(2)(1.5)(kW)(2.5)(kvar)\r\n"
    meter.parts = [framed(f"{header}(0.123)(0.045)\r\n(0.124)(--)\r\n")]
    column = point("power", "1.5.0 in P.01", unit="W")
    served = Served(meter, column, point("other", "2.5 in P.01"), point("absent", "9.5 in P.01"))
    served.newest = at("2025-06-15T14:00")
    served.clock.step(-3600 + (at("2025-06-15T15:50") / 1e6 - 1_750_000_000.0))  # it is 14:50
    readings = await served.driver.read(served.tags)
    assert [(each.tag.name, each.raw, each.at, each.present) for each in readings] == [
        ("power", 123, at("2025-06-15T14:15"), False),
        ("power", 124, at("2025-06-15T14:30"), True),
        ("other", 0.045, at("2025-06-15T14:15"), False),
        ("other", None, at("2025-06-15T14:30"), True),
        ("absent", None, None, False),
    ]
    assert readings[-1].reason == "profile P.01 has no column 9.5; it has 1.5, 2.5"
    assert "R5P.01(02506151400;02506151450)" in meter.commands
    meter.parts = [framed(f"{header}(0.123)(0.045)\r\n(0.124)(1)\r\n(0.125)(2)\r\n")]
    again = [each for each in await served.driver.read(served.tags[:2]) if each.tag.name == "power"]
    assert [each.raw for each in again] == [125]  # nothing twice


async def test_a_profile_that_is_refused_does_not_spoil_the_readout() -> None:
    meter = Meter()
    meter.parts = [framed("(ER07)")]
    served = Served(meter, point("energy", "1.8.0", unit="kWh"), point("power", "1.5 in P.01"))
    found = await served.read()
    assert found["energy"].raw == 77.16
    assert "ER07" in found["power"].reason
    assert len(served.holds) == 2  # others have the line between


async def test_a_station_says_what_it_tries_while_it_does() -> None:
    meter = Meter()
    meter.ignores_ack, meter.broken = True, True
    served = Served(meter, point("energy", "1.8.0", unit="kWh"))
    station = Station(station_of(*served.tags), served.driver, lambda _: None, served.clock, {"energy": 1})
    assert station.status().reason == "not read yet"
    seen: list[str] = []
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(station.round(Due(list(served.tags), set())))
        while not reading.done():
            await asyncio.sleep(1)
            if (reason := station.status().reason) not in seen:
                seen.append(reason)
    assert reading.result()
    assert seen[:2] == [
        "not read yet",
        "nothing readable at 9600 baud: the change of speed went wrong; trying 4800 baud after 15 s",
    ]
    assert station.status().reason == ""

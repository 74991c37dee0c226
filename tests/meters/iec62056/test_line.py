"""A station on a line of the gateway: the lease, the simulated meter, and the port's settings back in the end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from nportpy.edge.driver import StationSilent
from nportpy.edge.drivers.iec62056 import Iec62056Driver
from nportpy.edge.settings import ReadoutPlace, TagSettings
from nportpy.line.arbiter import Line
from nportpy.linesettings import LineSettings
from nportpy.meters.iec62056.settings import Iec62056Settings
from nportpy.port.base import Port, PortReceiver, PortSettings
from nportpy.port.loopback import Cable
from nportpy.simulator.iec62056.meter import Meter
from nportpy.simulator.memory import MemoryLine
from nportpy.simulator.wire import PacedWire
from tests.support.lines import Client, running
from tests.support.stations import LoopClock, station_of

ACCESS = Iec62056Settings(delay_after=0.1)  # the cable takes its time, and the simulated wire behind it once more
TAG = TagSettings("energy", "1.8.0", ReadoutPlace("1.8.0"), unit="kWh")


@asynccontextmanager
async def a_line(clock: LoopClock) -> AsyncIterator[tuple[Line, Cable]]:
    cable = Cable(paced=True)
    wire = PacedWire(Meter(started=1000.0), LineSettings(9600), watched=False)
    far = MemoryLine(wire)

    async def opener(settings: PortSettings, receiver: PortReceiver) -> Port:
        port = await cable.opener(settings, receiver)
        configure = port.configure

        def both(settings: LineSettings) -> LineSettings:
            wire.configure(settings, asyncio.get_running_loop().time())
            return configure(settings)

        port.configure = both  # type: ignore[method-assign]
        return port

    cable.listener.data_received = far.data_received  # type: ignore[method-assign]
    far.attach(cable.far)
    async with running(cable, LineSettings(9600), opener=opener) as line:
        yield line, cable
    far.close()


async def test_a_readout_beside_a_raw_client_and_the_settings_are_back() -> None:
    clock = LoopClock()
    async with a_line(clock) as (line, cable):
        client = Client()
        line.stream.join(client)
        driver = Iec62056Driver(station_of(TAG), ACCESS, lambda limit: line.lease("house", limit=limit), clock)
        (found,) = await driver.read([TAG])
        assert found.raw == 77.16
        assert [(each.baudrate, each.format) for each in cable.configured[-3:]] == [
            (300, "7E1"),
            (9600, "7E1"),
            (9600, "8N1"),
        ]
        assert not client.heard


async def test_settings_are_back_after_a_failure() -> None:
    clock = LoopClock()
    async with a_line(clock) as (line, cable):
        access = Iec62056Settings(device="87654321")
        driver = Iec62056Driver(station_of(TAG), access, lambda limit: line.lease("house", limit=limit), clock)
        with pytest.raises(StationSilent, match="meter 87654321 does not answer"):
            await driver.read([TAG])
        assert str(cable.configured[-1]) == "9600 8N1"

"""Meters gone mad, and a line cut anywhere: an end within the lease, and nothing but our errors."""

import asyncio
import random

import pytest

from nportpy.errors import LeaseEnded, NportpyError
from nportpy.linesettings import LineSettings
from nportpy.meters.iec62056.client import Iec62056Client
from nportpy.meters.iec62056.settings import Iec62056Settings, Reading
from tests.meters.iec62056.meter import LINES, Meter, framed, run
from tests.protocols.iec62056.vectors import WIRE
from tests.support.leased import HeldLine

CHUNKS = [*WIRE.values(), b"/ABC5x\r\n", b"/ABCZx\r\n", framed(f"{LINES}!\r\n"), b"\x06", b"\x15", b"\x02" * 5]


@pytest.mark.parametrize("reading", list(Reading))
@pytest.mark.parametrize("seed", range(8))
def test_whatever_comes_it_ends_with_our_errors_at_most(reading: Reading, seed: int) -> None:
    chance = random.Random(seed)

    def mad(data: bytes, settings: LineSettings) -> list[tuple[float, bytes]]:
        if chance.random() < 0.2:
            return []
        if chance.random() < 0.3:
            return [(0.2, chance.randbytes(chance.randrange(300)))]
        return [(0.25, chance.choice(CHUNKS)) for _ in range(chance.randrange(1, 4))]

    settings = Iec62056Settings(reading=reading, password="1")

    async def conversation() -> float:
        wire = HeldLine(mad)
        client = Iec62056Client(settings)
        loop = asyncio.get_running_loop()
        loop.call_later(settings.hold, wire.run_out)
        try:
            if reading is Reading.PROGRAMMING:
                await client.registers(wire, ["1.8.0", "2.8.0"])
                await client.profile(wire)
            else:
                await client.readout(wire)
        except NportpyError:
            pass
        return loop.time() - 1000

    assert run(conversation) <= settings.hold + 1


@pytest.mark.long
def test_a_line_that_never_stops() -> None:
    settings = Iec62056Settings()

    async def conversation() -> None:
        wire = HeldLine(lambda data, at: [(0.1, b"/ABC5x\r\n\x02" + b"1.8.0(1)\r\n" * 2100)])
        asyncio.get_running_loop().call_later(100.0, wire.run_out)
        await Iec62056Client(settings).readout(wire)

    with pytest.raises(NportpyError):
        run(conversation)


@pytest.mark.parametrize("after", [0.1, 0.5, 1.0, 1.3, 1.8, 2.0, 3.0])
@pytest.mark.parametrize("reading", [Reading.READOUT, Reading.PROGRAMMING])
def test_the_lease_ends_at_any_time(after: float, reading: Reading) -> None:
    async def conversation() -> None:
        meter = Meter(readout=LINES * 20)
        client = Iec62056Client(Iec62056Settings(reading=reading))
        asyncio.get_running_loop().call_later(after, meter.wire.run_out)
        await (client.readout(meter.wire) if reading is Reading.READOUT else client.registers(meter.wire, ["1"]))

    with pytest.raises(LeaseEnded):
        run(conversation)

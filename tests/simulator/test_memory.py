import asyncio

import pytest

from nportpy.errors import LineDown
from nportpy.linesettings import LineSettings
from nportpy.protocols.modbus.rtu import Frame, silent_interval
from nportpy.simulator.echo import Echo
from nportpy.simulator.memory import MemoryLine
from nportpy.simulator.meter import Meter
from nportpy.simulator.wire import PacedWire

READ_10 = Frame(1, bytes.fromhex("03 03E8 000A")).encode()


class Gateway:
    """The far end's port, and what has come out at the gateway's."""

    def __init__(self, expected: int) -> None:
        self.arrivals: list[tuple[float, bytes]] = []
        self.complete = asyncio.Event()
        self.paused = False
        self._expected = expected

    def write(self, data: bytes) -> None:
        self.arrivals.append((asyncio.get_running_loop().time(), data))
        if len(self.data) >= self._expected:
            self.complete.set()

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    @property
    def data(self) -> bytes:
        return b"".join(data for _, data in self.arrivals)


@pytest.mark.parametrize(("baudrate", "format_"), [(300, "8E1"), (9600, "8E1"), (19200, "8N2"), (115200, "8N1")])
async def test_wire_time_on_virtual_time(baudrate: int, format_: str) -> None:
    settings = LineSettings.parse(baudrate, format_)
    line, gateway = MemoryLine(PacedWire(Meter(delay=0.003), settings)), Gateway(25)
    line.attach(gateway)
    start = asyncio.get_running_loop().time()
    line.data_received(READ_10)
    await gateway.complete.wait()
    begin = start + 8 * settings.character_time + silent_interval(settings) + 0.003
    ends = [begin + count * settings.character_time for count in (8, 16, 24, 25)]
    assert [when for when, _ in gateway.arrivals] == pytest.approx(ends, abs=5e-6)  # the loop's own steps
    line.close()


async def test_back_pressure() -> None:
    settings = LineSettings.parse(300, "8N1")
    line, gateway = MemoryLine(PacedWire(Echo(), settings, shared_pair=False)), Gateway(1000)
    line.attach(gateway)
    start = asyncio.get_running_loop().time()
    line.data_received(bytes(1000))
    assert gateway.paused
    await gateway.complete.wait()
    assert asyncio.get_running_loop().time() - start == pytest.approx(1008 * 10 / 300, abs=1e-3)
    assert not gateway.paused
    line.close()


async def test_a_gateway_that_does_not_read_is_not_heard_either() -> None:
    line, gateway = MemoryLine(PacedWire(Echo(), LineSettings.parse(9600), shared_pair=False)), Gateway(3)
    line.attach(gateway)
    line.pause_writing()
    line.data_received(b"abc")
    await asyncio.sleep(1)
    assert gateway.data == b""
    assert gateway.paused
    line.resume_writing()
    await gateway.complete.wait()
    assert gateway.data == b"abc"
    line.close()


async def test_nothing_comes_after_the_port_is_lost() -> None:
    line, gateway = MemoryLine(PacedWire(Echo(), LineSettings.parse(9600), shared_pair=False)), Gateway(3)
    line.attach(gateway)
    line.data_received(b"abc")
    line.port_lost(LineDown("gone"))
    line.data_received(b"abc")
    await asyncio.sleep(1)
    assert gateway.data == b""

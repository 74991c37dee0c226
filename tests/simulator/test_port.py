"""A simulated wire as a device of a gateway: what is sent is sent when it has left the wire."""

import asyncio
from dataclasses import replace

import pytest

from nportpy.errors import LineBusy, LineDown
from nportpy.linesettings import LineSettings
from nportpy.port.base import PortSettings
from nportpy.simulator.iec62056.contents import LINES
from nportpy.simulator.iec62056.messages import readout
from nportpy.simulator.iec62056.meter import Meter
from nportpy.simulator.port import WireDevice
from nportpy.simulator.wire import PacedWire
from tests.support.ports import Recorder

REST = LineSettings.parse(300, "7E1")
SETTINGS = PortSettings("meter", REST)


async def test_a_readout_through_a_port() -> None:
    device, heard = WireDevice(PacedWire(Meter(), LineSettings(), watched=False)), Recorder()
    port = await device.opener(SETTINGS, heard)
    loop = asyncio.get_running_loop()
    begin = loop.time()
    port.write(b"/?!\r\n")
    assert not port.sent()
    assert port.unsent() == 5
    await port.drain()
    assert loop.time() - begin == pytest.approx(5 * REST.character_time, abs=1e-3)
    await asyncio.sleep(1)
    assert heard.data == b"/SIM54071\r\n"
    port.write(b"\x06050\r\n")
    await port.drain()
    port.configure(replace(REST, baudrate=9600))
    await asyncio.sleep(2)
    assert heard.data[11:] == readout(LINES)
    counters = port.counters()
    assert counters
    assert counters.parity == 0
    assert device.wire.hasty == 0
    assert device.configured == [replace(REST, baudrate=9600)]
    await port.close()


async def test_changing_before_all_is_sent_is_counted() -> None:
    device = WireDevice(PacedWire(Meter(), REST, watched=False))
    port = await device.opener(SETTINGS, Recorder())
    port.write(b"/?!\r\n")
    port.configure(replace(REST, baudrate=9600))
    assert device.wire.hasty == 1
    await port.close()


async def test_it_is_opened_once_and_may_be_pulled_out() -> None:
    device, heard = WireDevice(PacedWire(Meter(), REST, watched=False)), Recorder()
    port = await device.opener(SETTINGS, heard)
    with pytest.raises(LineBusy):
        await device.opener(SETTINGS, heard)
    device.unplug()
    await asyncio.sleep(0.1)
    assert len(heard.losses) == 1
    port.write(b"x")
    with pytest.raises(LineDown):
        port.configure(REST)
    with pytest.raises(LineDown):
        await port.drain()
    assert port.counters() is None
    with pytest.raises(LineDown):
        await device.opener(SETTINGS, heard)
    device.plug()
    await (await device.opener(SETTINGS, heard)).close()


async def test_who_does_not_read_gets_it_later_and_purging_throws_it_away() -> None:
    device, heard = WireDevice(PacedWire(Meter(), REST, watched=False)), Recorder()
    port = await device.opener(SETTINGS, heard)
    port.pause_reading()
    port.write(b"/?!\r\n")
    await asyncio.sleep(1.5)
    assert not heard.data
    port.resume_reading()
    await asyncio.sleep(0)
    assert heard.data == b"/SIM54071\r\n"
    port.pause_reading()
    await asyncio.sleep(5)
    port.purge(received=True)
    port.resume_reading()
    await asyncio.sleep(0)
    assert b"F.F" not in heard.data
    port.write(bytes(100_000))
    assert heard.full
    assert port.purge(unsent=True) > 99_000
    await asyncio.sleep(10)
    assert not heard.full
    assert port.modem_lines() is None
    port.set_modem_lines(dtr=True)
    port.set_break(True)
    await port.close()

"""pyModbusTCP: the client of the story with a meter after E-Mon D-Mon. Two registers at 1000 are the energy."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pyModbusTCP import utils as words
from pyModbusTCP.client import ModbusClient

from nportpy.linesettings import LineSettings, Parity
from nportpy.modbus.settings import BusSettings, Timeout
from nportpy.network.addresses import Endpoint
from nportpy.port.loopback import Cable
from nportpy.port.tty import open_tty
from nportpy.simulator.meter import CURRENTS, ENERGY, Meter
from tests.support.modbus_serving import attach, holding, modbus, on_terminal, outcomes, units
from tests.support.serving import Served, plan, serving, settings, until

pytestmark = [pytest.mark.peer, pytest.mark.real]


async def blocking(call: Callable[..., Any], *arguments: Any) -> Any:
    return await asyncio.to_thread(call, *arguments)


@asynccontextmanager
async def client(served: Served, **changes: Any) -> AsyncIterator[Any]:
    made = ModbusClient(**({"host": "127.0.0.1", "port": served.port("modbus"), "timeout": 10.0} | changes))
    try:
        yield made
    finally:
        made.close()


async def test_the_meter_of_the_story() -> None:
    """41001 at 9600 8E1 on a line that takes its time: the client's own default asks unit 1."""
    line = LineSettings(9600, parity=Parity.EVEN)
    with on_terminal(Meter(started=time.monotonic()), line) as device:
        async with (
            serving(plan("cable", modbus(), device=device, line=line), opener=open_tty) as served,
            client(served) as meter,
        ):
            assert meter.unit_id == 1

            def energy() -> float:
                registers = meter.read_holding_registers(ENERGY, 2)
                return float(words.decode_ieee(words.word_list_to_long(registers)[0]))

            first = await blocking(energy)
            assert first == pytest.approx(12345.678, abs=0.5)
            for phase in CURRENTS:
                pair = await blocking(meter.read_input_registers, phase, 2)
                assert 1 < words.decode_ieee(words.word_list_to_long(pair)[0]) < 30
            assert await blocking(energy) >= first
            assert await blocking(meter.read_holding_registers, 0, 2) is None
            assert (meter.last_except, meter.last_except_as_txt) == (2, "illegal data address")
            assert not await blocking(meter.write_single_register, ENERGY, 1)
            assert meter.last_except == 1
            assert (await blocking(meter.read_device_identification)).vendor_name == b"nportpy"
            assert served.bus().retries == 0


async def test_reads_and_writes() -> None:
    cable = Cable()
    attach(cable, units(1, 3))
    async with serving(plan("cable", modbus()), cables=[cable]) as served, client(served, unit_id=3) as to:
        assert await blocking(to.read_holding_registers, 7, 125) == holding(3, 7, 125)
        assert await blocking(to.read_coils, 0, 9) == [bit % 3 == 0 for bit in range(9)]
        assert await blocking(to.read_discrete_inputs, 0, 9) == [bit % 3 != 0 for bit in range(9)]
        assert await blocking(to.write_multiple_registers, 7, list(range(123)))
        assert await blocking(to.write_single_register, 8, 60000)
        assert await blocking(to.write_multiple_coils, 1, [True] * 20)
        assert await blocking(to.write_single_coil, 3, False)
        assert await blocking(to.read_holding_registers, 7, 3) == [0, 60000, 2]
        assert await blocking(to.read_coils, 0, 6) == [True, True, True, False, True, True]
        assert await blocking(to.write_read_multiple_registers, 7, [5], 7, 2) == [5, 60000]
        assert await blocking(to.custom_request, b"\x08\x00\x00\x12\x34") == b"\x08\x00\x00\x12\x34"
        assert set(outcomes(served.bus())) == {"answered"}


async def test_one_connection_for_each_request() -> None:
    """auto_close, as programs have it that poll from cron."""
    cable = Cable()
    attach(cable, units(1))
    async with serving(plan("cable", modbus(max_clients=2)), cables=[cable]) as served:
        async with client(served, auto_close=True) as to:
            for address in range(40):
                assert await blocking(to.read_holding_registers, address, 2) == holding(1, address, 2)
                assert not to.is_open
        await until(lambda: served.results("modbus") == {"accepted": 40, "closed": 40})


async def test_it_opens_again_by_itself() -> None:
    """The service is started anew; the client notices at its next request and connects for the one after."""
    cable = Cable()
    attach(cable, units(1))
    with_room = modbus(max_clients=4)
    async with serving(plan("cable", with_room), cables=[cable]) as served, client(served) as to:
        assert await blocking(to.read_holding_registers, 5) == holding(1, 5)
        where = (Endpoint("127.0.0.1", to.port),)
        await served.gateway.reload(settings(plan("cable", modbus(listen=where))))
        assert await blocking(to.read_holding_registers, 5) is None
        assert await blocking(to.read_holding_registers, 5) == holding(1, 5)


async def test_what_the_gateway_answers_itself() -> None:
    cable = Cable()
    attach(cable, units(1))
    quick = BusSettings(timeout=Timeout(0.1), retries=0)
    async with serving(plan("cable", modbus(), bus=quick), cables=[cable]) as served, client(served) as to:
        for unit, code in ((2, 0x0B), (2, 0x0B), (0, 0x0A), (255, 0x0A)):
            to.unit_id = unit
            assert await blocking(to.read_holding_registers, 0) is None
            assert to.last_except == code
        to.unit_id = 1
        cable.unplug()
        await until(lambda: served.line().state == "lost")
        assert await blocking(to.read_holding_registers, 0) is None
        assert to.last_except == 0x0A
        assert to.is_open

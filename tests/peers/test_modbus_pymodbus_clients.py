"""pymodbus's clients: Modbus TCP, RTU and ASCII over TCP, and UDP."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from pymodbus import FramerType
from pymodbus.client import AsyncModbusTcpClient, AsyncModbusUdpClient, ModbusTcpClient
from pymodbus.exceptions import ModbusIOException
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest as Request

from nportpy.linesettings import LineSettings
from nportpy.modbus.settings import Action, BusSettings, Matching, RoutingSettings, Rule, Timeout
from nportpy.modes.modbus_base import Access
from nportpy.port.loopback import Cable
from nportpy.simulator.bus import Bus
from nportpy.simulator.device import Answer
from tests.support.modbus_serving import attach, holding, modbus, outcomes, units
from tests.support.serving import Served, plan, serving, until

pytestmark = [pytest.mark.peer, pytest.mark.real]

FRAMERS = {
    Access.TCP: FramerType.SOCKET,
    Access.UDP: FramerType.SOCKET,
    Access.RTU: FramerType.RTU,
    Access.ASCII: FramerType.ASCII,
}


@asynccontextmanager
async def client(served: Served, access: Access, **changes: Any) -> AsyncIterator[Any]:
    """A connected client that neither asks again nor comes back by itself."""
    make: Any = AsyncModbusUdpClient if access is Access.UDP else AsyncModbusTcpClient
    fields: dict[str, Any] = {"timeout": 5, "retries": 0, "reconnect_delay": 0, "framer": FRAMERS[access]}
    made = make("127.0.0.1", port=served.port("modbus"), **(fields | changes))
    try:
        assert await made.connect()
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("access", Access)
async def test_what_a_unit_can(access: Access) -> None:
    cable = Cable()
    attach(cable, units(1, 5))
    async with serving(plan("cable", modbus(protocol=access)), cables=[cable]) as served, client(served, access) as to:
        at = {"device_id": 5}
        assert (await to.read_holding_registers(100, count=125, **at)).registers == holding(5, 100, 125)
        assert (await to.read_input_registers(0, count=1, **at)).registers == [256 * 5 + 0x8000]
        assert (await to.read_coils(0, count=12, **at)).bits[:12] == [(5 + bit) % 3 == 0 for bit in range(12)]
        assert (await to.read_discrete_inputs(0, count=3, **at)).bits[:3] == [(5 + bit) % 3 != 0 for bit in range(3)]
        assert not (await to.write_register(10, 77, **at)).isError()
        assert not (await to.write_registers(11, list(range(123)), **at)).isError()
        assert not (await to.write_coil(0, True, **at)).isError()
        assert not (await to.write_coils(1, [True, False, True], **at)).isError()
        assert (await to.read_coils(0, count=4, **at)).bits[:4] == [True, True, False, True]
        assert not (await to.mask_write_register(address=10, and_mask=0xF0, or_mask=0x05, **at)).isError()
        assert (await to.read_holding_registers(10, count=4, **at)).registers == [(77 & 0xF0) | 0x05, 0, 1, 2]
        both = await to.readwrite_registers(read_address=20, read_count=2, write_address=20, values=[8, 9], **at)
        assert both.registers == [8, 9]
        assert (await to.diag_query_data(b"\x12\x34", **at)).message == b"\x12\x34"
        assert (await to.diag_get_comm_event_counter(**at)).count > 5
        assert b"simulated unit" in (await to.report_device_id(**at)).identifier
        identity = (await to.read_device_information(read_code=2, **at)).information
        assert identity[0] == b"nportpy"
        assert (await to.read_holding_registers(100, device_id=1)).registers == holding(1, 100)
        assert set(outcomes(served.bus())) == {"answered"}


@pytest.mark.parametrize("access", Access)
async def test_exceptions_arrive_as_exceptions(access: Access) -> None:
    """A unit's 02, and the gateway's 0A, 0B and 01; 06 and the rest follow below. Never 04."""
    cable = Cable()
    attach(cable, units(1))
    rules = (Rule(Matching(functions=frozenset((5,))), Action.DENY),)
    service = modbus(protocol=access, routing=RoutingSettings.whole("cable", rules=rules))
    quick = BusSettings(timeout=Timeout(0.1), retries=0)
    async with serving(plan("cable", service, bus=quick), cables=[cable]) as served, client(served, access) as to:
        assert (await to.read_holding_registers(9999, count=2)).exception_code == 2
        assert (await to.read_holding_registers(0, device_id=250)).exception_code == 0x0A
        assert (await to.read_holding_registers(0, device_id=2)).exception_code == 0x0B
        assert (await to.read_holding_registers(0, device_id=2)).exception_code == 0x0B  # at once: it is silent
        assert (await to.write_coil(0, True)).exception_code == 1
        assert (await to.read_holding_registers(0)).registers == holding(1, 0)
        cable.unplug()
        await until(lambda: served.line().state == "lost")
        assert (await to.read_holding_registers(0)).exception_code == 0x0A
        cable.plug()
        await until(lambda: served.line().state == "up")
        assert (await to.read_holding_registers(0)).registers == holding(1, 0)
        results = outcomes(served.bus())
        assert results == {"exception": 1, "no_answer": 1, "unreachable": 1, "answered": 2, "line_down": 1}
        assert served.service("modbus").refused == {"no_route": 1, "forbidden": 1}


async def test_a_broadcast_is_not_answered_and_obeyed() -> None:
    cable = Cable()
    attach(cable, units(1, 2))
    async with serving(plan("cable", modbus()), cables=[cable]) as served, client(served, Access.TCP) as to:
        assert await to.write_register(3, 4242, device_id=0, no_response_expected=True) is None
        for unit in (1, 2):
            assert (await to.read_holding_registers(3, device_id=unit)).registers == [4242]


@pytest.mark.parametrize("access", Access)
async def test_many_clients_at_once(access: Access) -> None:
    """Twelve of them on one line at 115200 baud: each its own registers, written and read back."""
    cable = Cable()
    line = LineSettings(115200)
    attach(cable, units(1, 2, 3, eager=False), line)
    async with serving(plan("cable", modbus(protocol=access), line=line), cables=[cable]) as served:

        async def work(number: int) -> None:
            async with client(served, access) as to:
                unit, base = 1 + number % 3, 100 * number
                for turn in range(4):
                    asked = await to.read_holding_registers(base + 10 + turn, count=5, device_id=unit)
                    assert asked.registers == holding(unit, base + 10 + turn, 5)
                    value = 1000 * number + turn
                    assert (await to.write_register(base, value, device_id=unit)).registers == [value]
                    assert (await to.read_holding_registers(base, device_id=unit)).registers == [value]
                    assert (await to.read_holding_registers(9999, count=2, device_id=unit)).exception_code == 2

        async with asyncio.TaskGroup() as tasks:
            for number in range(12):
                tasks.create_task(work(number))
        assert sum(outcomes(served.bus()).values()) == 12 * 4 * 4
        assert served.bus().retries == served.bus().late == served.bus().unfit == 0


@pytest.mark.parametrize(("queue", "outstanding", "answered"), [(8, 64, (8, 9)), (32, 6, (6,)), (32, 64, (20,))])
async def test_many_requests_in_one_segment(queue: int, outstanding: int, answered: tuple[int]) -> None:
    """pymodbus's own framer on a plain socket, as its client waits for each answer. What is too much is told: 06."""
    cable = Cable()
    attach(cable, units(1), LineSettings(115200))
    bus, service = BusSettings(queue=queue, share=False), modbus(outstanding=outstanding)
    async with serving(plan("cable", service, bus=bus), cables=[cable]) as served:
        framer = ModbusTcpClient("127.0.0.1").framer
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port("modbus"))
        try:
            requests = [Request(address=number, count=2, dev_id=1, transaction_id=number) for number in range(1, 21)]
            writer.write(b"".join(framer.buildFrame(request) for request in requests))
            heard, answers = b"", dict[int, Any]()
            async with asyncio.timeout(20):
                while len(answers) < 20:
                    heard += await reader.read(4096)
                    while (frame := framer.handleFrame(heard, 1, int.from_bytes(heard[:2])))[0]:
                        size, answer = frame
                        assert answer is not None
                        heard = heard[size:]
                        answers[answer.transaction_id] = answer
        finally:
            writer.close()
            await writer.wait_closed()
        good = sorted(number for number, answer in answers.items() if not answer.isError())
        assert good == list(range(1, len(good) + 1))
        assert len(good) in answered  # whether one went to the line at once and left its place depends on the moment
        for number in good:
            assert answers[number].registers == holding(1, number, 2)
        assert {answers[number].exception_code for number in answers if number not in good} <= {6}
        assert outcomes(served.bus())["answered"] == len(good)


@pytest.mark.parametrize("access", [Access.TCP, Access.UDP])
async def test_one_client_for_many_tasks(access: Access) -> None:
    cable = Cable()
    attach(cable, units(1, 2))
    async with serving(plan("cable", modbus(protocol=access)), cables=[cable]) as served, client(served, access) as to:
        asked = [to.read_holding_registers(at, count=3, device_id=1 + at % 2) for at in range(60)]
        for at, answer in enumerate(await asyncio.gather(*asked)):
            assert answer.registers == holding(1 + at % 2, at, 3)


class Moody:
    """Units that take their time for each third answer."""

    def __init__(self, bus: Bus, delay: float) -> None:
        self.bus = bus
        self.delay = delay
        self.asked = 0

    def feed(self, data: bytes, now: float) -> Sequence[Answer]:
        self.asked += 1
        slow = self.delay * (self.asked % 3 == 0)
        return [replace(answer, delay=slow) for answer in self.bus.feed(data, now)]

    def silence(self, now: float) -> Sequence[Answer]:
        return self.bus.silence(now)

    def counts(self) -> Mapping[str, int]:
        return self.bus.counts()


@pytest.mark.parametrize("access", Access)
async def test_a_client_that_waits_for_less_than_units_take(access: Access) -> None:
    """It asks for something else meanwhile, with the same length. No answer is given to another question."""
    cable = Cable()
    attach(cable, Moody(units(1), 0.6))  # nobody can tell answers apart that cross with the next question
    async with serving(plan("cable", modbus(protocol=access)), cables=[cable]) as served:
        async with client(served, access, timeout=0.15) as to:
            late = 0
            for address in range(15):
                try:
                    answer = await to.read_holding_registers(address, count=2)
                except ModbusIOException:
                    late += 1
                    if not to.connected:  # it gives a connection up after some
                        assert await to.connect()
                else:
                    assert answer.registers == holding(1, address, 2)
        assert 0 < late < 15


@pytest.mark.parametrize("access", [Access.TCP, Access.RTU])
async def test_it_comes_back_to_a_gateway_that_was_away(access: Access) -> None:
    cable = Cable()
    attach(cable, units(1))
    async with serving(plan("cable", modbus(protocol=access)), cables=[cable]) as served:
        port = served.port("modbus")
        async with client(served, access) as to:
            assert (await to.read_holding_registers(4)).registers == holding(1, 4)
            assert served.service("modbus").results == {"accepted": 1}
        await until(lambda: not served.service("modbus").clients)
        async with client(served, access) as to:
            assert (await to.read_holding_registers(4)).registers == holding(1, 4)
        assert port == served.port("modbus")

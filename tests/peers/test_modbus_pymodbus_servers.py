"""pymodbus's servers as what is asked: on a serial line in RTU and ASCII, and as Modbus TCP servers elsewhere."""

import asyncio
import shutil
from pathlib import Path

import pytest
from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient

from nportpy.modbus.settings import BusSettings, Framing, RoutingSettings, ServerSettings, Timeout
from nportpy.modes.modbus_base import MasterSettings
from nportpy.network.addresses import Endpoint
from nportpy.port.opening import open_port
from nportpy.port.tty import open_tty
from tests.support.free_ports import free_port
from tests.support.modbus_serving import (
    Asker,
    asker,
    holding,
    modbus,
    on_terminal,
    outcomes,
    route,
    router,
    units,
    write,
)
from tests.support.peers import null_modem, pymodbus_server
from tests.support.serving import plan, serving, until

pytestmark = [pytest.mark.peer, pytest.mark.real("uvloop")]  # its clients are there on both loops
socat = pytest.mark.skipif(not shutil.which("socat"), reason="no socat here")

QUICK = Timeout(0.3)


def elsewhere(port: int) -> ServerSettings:
    return ServerSettings(Endpoint("127.0.0.1", port), BusSettings(timeout=QUICK, retries=0))


@socat
@pytest.mark.parametrize("framing", Framing)
async def test_units_on_a_serial_line(tmp_path: Path, framing: Framing) -> None:
    """Three units, asked by five clients with many requests under way."""
    async with null_modem(tmp_path) as (near, far), pymodbus_server(str(framing), 1, 2, 30, device=far):
        bus = BusSettings(framing=framing, timeout=Timeout(1.0))
        async with serving(plan("cable", modbus(), device=near, bus=bus), opener=open_tty) as served:
            clients = [await asker(served) for _ in range(5)]

            async def work(client: Asker, number: int) -> None:
                for unit in (1, 2, 30):
                    asked = [client.read(base, 1 + base % 20, unit) for base in range(0, 180, 20)]
                    for base, answer in zip(range(0, 180, 20), await asyncio.gather(*asked), strict=True):
                        assert answer == holding(unit, base, 1 + base % 20)
                    assert await client.ask(write(190 + number, number), unit) == write(190 + number, number)
                    assert await client.read(190 + number, unit=unit) == [number]
                    assert await client.read(500, unit=unit) == 2
                    assert (await client.ask(b"\x01\x00\x00\x00\x08", unit))[2] == sum(
                        ((unit + bit) % 3 == 0) << bit for bit in range(8)
                    )

            await asyncio.gather(*(work(client, number) for number, client in enumerate(clients)))
            status = served.bus()
            results = outcomes(status)
            assert results == {"answered": 5 * 3 * 12, "exception": 5 * 3}
            assert (status.late, status.unfit, status.foreign, status.spoilt, status.junk) == (0, 0, 0, 0, 0)
            assert status.coalesced > 0


@socat
async def test_a_broadcast_reaches_all_of_them(tmp_path: Path) -> None:
    async with (
        null_modem(tmp_path) as (near, far),
        pymodbus_server("rtu", 1, 2, device=far),
        serving(plan("cable", modbus(), device=near), opener=open_tty) as served,
    ):
        client = await asker(served)
        nobody_answers = client.ask(write(7, 4711), 0)
        for unit in (1, 2):
            assert await client.read(7, unit=unit) == [4711]
        assert not nobody_answers.done()


@socat
async def test_a_router_over_two_lines_and_a_server_elsewhere(tmp_path: Path) -> None:
    """One line is pymodbus's, one is simulated; the server is asked as unit 1 whatever the client says."""
    async with (
        null_modem(tmp_path) as (near, far),
        pymodbus_server("rtu", 1, 2, device=far),
        pymodbus_server("socket", 1, 5) as port,
    ):
        with on_terminal(units(1, 2)) as device:
            plant = router(
                route(range(1, 32), "meters"),
                route(range(32, 64), "plc", offset=-31),
                route(100, elsewhere(port), unit=1),
                route(105, elsewhere(port), offset=-100),
            )
            plans = plan("meters", device=near), plan("plc", device=device)
            async with serving(*plans, routers=(plant,), opener=open_port) as served:
                await until(lambda: all(bus.up for bus in served.gateway.status().buses))
                client = await asker(served, "router", "plant")
                where = {1: 1, 2: 2, 32: 1, 33: 2, 100: 1, 105: 5}
                asked = [client.read(base, 3, unit) for base in range(0, 90, 10) for unit in where]
                expected = [holding(there, base, 3) for base in range(0, 90, 10) for there in where.values()]
                assert await asyncio.gather(*asked) == expected
                # What is written through one is not seen through another.
                for unit in where:
                    assert await client.ask(write(150, 1000 + unit), unit) == write(150, 1000 + unit)
                for unit in where:
                    assert await client.read(150, unit=unit) == [1000 + unit]
                assert await client.read(0, unit=64) == 0x0A
                names = {bus.name: outcomes(bus)["answered"] for bus in served.gateway.status().buses}
                assert names == {"meters": 22, "plc": 22, f"tcp://127.0.0.1:{port}": 22}


@socat
async def test_an_adapter_that_is_pulled_and_put_back(tmp_path: Path) -> None:
    """The device vanishes with a request under way, and comes back under the same name. A unit has a minute."""
    bus = BusSettings(timeout=Timeout(60.0))
    async with serving(
        plan("cable", modbus(), bus=bus, device=str(tmp_path / "line-a")), opener=open_tty, up=False
    ) as served:
        client = await asker(served)
        assert await client.read(0) == 0x0A
        for function in (2, 4):  # another one each time: the answer to the first may still come
            async with null_modem(tmp_path) as (_near, far):
                async with pymodbus_server("rtu", 1, device=far):
                    await until(lambda: served.line().state == "up")
                    assert await client.read(3, 4) == holding(1, 3, 4)
                before = served.line().sent
                unanswered = client.ask(bytes((function, 0, 5, 0, 1)))
                await until(lambda before=before: served.line().sent > before)  # type: ignore[misc]
            assert await unanswered == bytes((function | 0x80, 0x0A))
            assert await client.read(3, 4) == 0x0A


@pytest.mark.parametrize("framing", Framing)
async def test_a_serial_line_behind_another_device_server(framing: Framing) -> None:
    """The port's device is a connection that carries RTU or ASCII frames."""
    async with pymodbus_server(str(framing), 1, 2) as port:
        line = plan("cable", modbus(), device=f"socket://127.0.0.1:{port}", bus=BusSettings(framing=framing))
        async with serving(line, opener=open_port) as served:
            client = await asker(served)
            asked = [client.read(base, 7, unit) for base in range(0, 150, 10) for unit in (1, 2)]
            assert await asyncio.gather(*asked) == [
                holding(unit, base, 7) for base in range(0, 150, 10) for unit in (1, 2)
            ]
            assert await client.read(500) == 2


async def test_a_server_that_is_started_again() -> None:
    """0A while it is away, at once; served again when it is back. The client's connection is none of that."""
    port = free_port()
    plant = router(route(range(1, 248), elsewhere(port)))
    async with serving(routers=(plant,), opener=open_port) as served:
        client = await asker(served, "router", "plant")
        name = f"tcp://127.0.0.1:{port}"
        assert await client.read(0) == 0x0A
        for _ in range(2):
            async with pymodbus_server("socket", 1, port=port):
                await until(lambda: served.bus(name).up)
                assert await client.read(3, 4) == holding(1, 3, 4)
            await until(lambda: not served.bus(name).up)
            began = asyncio.get_running_loop().time()
            for _ in range(20):
                assert await client.read(3, 4) == 0x0A
            assert asyncio.get_running_loop().time() - began < 2
        assert not client.lost


async def test_many_requests_under_way_at_a_server() -> None:
    """More than one serial line ever had: one after another all the same, and each answer its own."""
    async with pymodbus_server("socket", 1, 2, 3) as port:
        plant = router(route(range(1, 248), elsewhere(port)))
        async with serving(routers=(plant,), opener=open_port) as served:
            await until(lambda: served.gateway.status().buses[0].up)
            clients = [await asker(served, "router", "plant") for _ in range(8)]
            asked = [
                client.read((7 * number + 3 * turn) % 150, 10, 1 + (number + turn) % 3)
                for turn in range(25)
                for number, client in enumerate(clients)
            ]
            expected = [
                holding(1 + (number + turn) % 3, (7 * number + 3 * turn) % 150, 10)
                for turn in range(25)
                for number in range(8)
            ]
            assert await asyncio.gather(*asked) == expected


@socat
@pytest.mark.parametrize("framing", Framing)
async def test_a_serial_master_whose_units_are_servers(tmp_path: Path, framing: Framing) -> None:
    """pymodbus's serial client on the line, pymodbus's TCP servers behind it."""
    async with (
        null_modem(tmp_path) as (near, far),
        pymodbus_server("socket", 1) as first,
        pymodbus_server("socket", 4) as second,
    ):
        routing = RoutingSettings((route(1, elsewhere(first)), route(20, elsewhere(second), unit=4)))
        master = MasterSettings(framing=framing, routing=routing)
        async with serving(plan("plc", master, device=near), opener=open_port) as served:
            await until(lambda: all(bus.up for bus in served.gateway.status().buses))
            client = AsyncModbusSerialClient(
                far, framer=FramerType(str(framing)), baudrate=115200, timeout=5, retries=0, reconnect_delay=0
            )
            try:
                assert await client.connect()
                for base in range(0, 150, 5):
                    for unit, there in ((1, 1), (20, 4)):
                        answer = await client.read_holding_registers(base, count=5, device_id=unit)
                        assert answer.registers == holding(there, base, 5)
                assert not (await client.write_register(5, 77, device_id=20)).isError()
                assert (await client.read_holding_registers(5, device_id=20)).registers == [77]
                assert (await client.read_holding_registers(999, device_id=1)).exception_code == 2
            finally:
                client.close()

"""minimalmodbus, a master that wants a serial port: through the raw and the RFC 2217 port of a line that Modbus TCP
clients poll at the same time, and on a line of its own whose units are elsewhere."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import minimalmodbus
import pytest
import serial

from nportpy.linesettings import LineSettings
from nportpy.modbus.settings import BusSettings, Framing, RoutingSettings, Timeout
from nportpy.modes.modbus_base import MasterSettings
from nportpy.port.loopback import Cable
from nportpy.port.tty import open_tty
from tests.support.modbus_serving import Asker, asker, attach, holding, modbus, outcomes, route, units, write
from tests.support.peers import null_modem
from tests.support.serving import Served, com, plan, raw, serving, until

pytestmark = [
    pytest.mark.peer,
    pytest.mark.real,
    pytest.mark.filterwarnings("ignore:set(Daemon|Name)"),  # pyserial 3.5 calls what Python has renamed
]
socat = pytest.mark.skipif(not shutil.which("socat"), reason="no socat here")

LINE = LineSettings(115200)


async def blocking(call: Callable[..., Any], *arguments: Any) -> Any:
    return await asyncio.to_thread(call, *arguments)


def work(port: serial.SerialBase, mode: str, turns: int) -> None:
    """What a program does with unit 1: every answer must be right."""
    instrument = minimalmodbus.Instrument(port, 1, mode)
    for turn in range(turns):
        base = 100 + 10 * turn
        assert instrument.read_registers(base, 10) == holding(1, base, 10)
        instrument.write_register(50, turn, functioncode=6)
        assert instrument.read_register(50) == turn
        instrument.write_registers(51, [turn, 1, 2])
        assert instrument.read_registers(50, 4) == [turn, turn, 1, 2]
        instrument.write_float(60, turn + 0.25)
        assert instrument.read_float(60) == turn + 0.25
        instrument.write_bit(3, turn % 2)
        assert instrument.read_bit(3, functioncode=1) == turn % 2
    port.timeout = 1  # it waits for as many bytes as a good answer has
    with pytest.raises(minimalmodbus.SlaveReportedException):
        instrument.read_registers(9999, 2)
    port.timeout = 10


async def poll(client: Asker, number: int, stop: asyncio.Event) -> int:
    """What a Modbus TCP client does meanwhile, with unit 1 and unit 2; how often it did."""
    turns = 0
    while not stop.is_set():
        turns += 1
        base = 1000 * number + 20 * (turns % 40)
        assert await client.read(base, 20) == holding(1, base, 20)
        assert await client.read(base, 5, unit=2) == holding(2, base, 5)
        assert await client.ask(write(900 + number, turns)) == write(900 + number, turns)
        assert await client.read(900 + number) == [turns]
        assert await client.read(9990, 100) == 2
    return turns


async def share(served: Served, url: str, mode: str, turns: int) -> list[int]:
    """Do both at once; how often each client came round."""
    clients = [await asker(served) for _ in range(3)]
    port = await blocking(lambda: serial.serial_for_url(url, baudrate=LINE.baudrate, timeout=10))
    stop = asyncio.Event()
    try:
        async with asyncio.TaskGroup() as tasks:
            polling = [tasks.create_task(poll(client, number, stop)) for number, client in enumerate(clients, 1)]
            try:
                await blocking(work, port, mode, turns)
            finally:
                stop.set()
    finally:
        await blocking(port.close)
    return [task.result() for task in polling]


@pytest.mark.parametrize(
    ("service", "framing"), [("raw", Framing.RTU), ("raw", Framing.ASCII), ("rfc2217", Framing.RTU)]
)
async def test_a_line_shared_with_modbus_tcp_clients(service: str, framing: Framing) -> None:
    """It purges before each request and waits for nobody; the others keep polling. Nothing of either goes astray."""
    cable = Cable()
    attach(cable, units(1, 2, framing=framing))
    services = modbus(), raw() if service == "raw" else com()
    bus = BusSettings(framing=framing)
    async with serving(plan("cable", *services, line=LINE, bus=bus), cables=[cable]) as served:
        scheme, turns = ("socket", 6) if service == "raw" else ("rfc2217", 2)  # where a purge takes pyserial 50 ms
        others = await share(served, f"{scheme}://127.0.0.1:{served.port(service)}", str(framing), turns)
        assert min(others) > 3
        status = served.bus()
        assert set(outcomes(status)) == {"answered", "exception"}
        assert (status.retries, status.late, status.unfit, status.spoilt) == (0, 0, 0, 0)
        assert served.line().unheard == 0


@socat
@pytest.mark.parametrize("framing", Framing)
async def test_a_master_whose_units_are_on_another_line(tmp_path: Path, framing: Framing) -> None:
    """RTU or ASCII on its line, RTU on theirs."""
    cable = Cable("units")
    attach(cable, units(1, 2))
    routing = RoutingSettings((route(1, "units"), route(7, "units", unit=2), route(9, "units")))
    quick = BusSettings(timeout=Timeout(0.1), retries=0)
    async with null_modem(tmp_path) as (near, far):
        master = MasterSettings(framing=framing, routing=routing)
        plans = plan("units", bus=quick), plan("plc", master, device=near)

        async def opener(settings: Any, receiver: Any) -> Any:
            return await (open_tty if settings.device == near else cable.opener)(settings, receiver)

        async with serving(*plans, opener=opener) as served:
            port = await blocking(lambda: serial.Serial(far, 115200, timeout=10))
            try:
                await blocking(work, port, str(framing), 5)
                port.timeout = 1
                seven = minimalmodbus.Instrument(port, 7, str(framing))
                assert await blocking(seven.read_registers, 10, 20) == holding(2, 10, 20)
                nine = minimalmodbus.Instrument(port, 9, str(framing))
                with pytest.raises(minimalmodbus.SlaveReportedException, match="gateway target"):
                    await blocking(nine.read_register, 0)
                cable.unplug()
                await until(lambda: served.line("units").state == "lost")
                with pytest.raises(minimalmodbus.SlaveReportedException, match="gateway path"):
                    await blocking(seven.read_register, 0)
                cable.plug()
                await until(lambda: served.line("units").state == "up")
                assert await blocking(seven.read_register, 0) == holding(2, 0)[0]
                port.timeout = 0.3
                nobody = minimalmodbus.Instrument(port, 33, str(framing))
                with pytest.raises(minimalmodbus.NoResponseError):
                    await blocking(nobody.read_register, 0)
            finally:
                await blocking(port.close)
            assert served.service("master", "plc").refused == {}

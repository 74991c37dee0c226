"""mbpoll, a client on libmodbus: what integrators have on their laptops."""

import re
import shutil
from pathlib import Path

import pytest

from nportpy.modbus.settings import BusSettings, Framing, Timeout
from nportpy.port.loopback import Cable
from nportpy.port.tty import open_tty
from tests.support.modbus_serving import attach, holding, modbus, on_terminal, outcomes, units
from tests.support.peers import null_modem, output_of, pymodbus_server
from tests.support.serving import Served, plan, serving, until

pytestmark = [
    pytest.mark.peer,
    pytest.mark.real,
    pytest.mark.skipif(not shutil.which("mbpoll"), reason="no mbpoll here"),
]
socat = pytest.mark.skipif(not shutil.which("socat"), reason="no socat here")


async def mbpoll(served: Served, *arguments: str, values: tuple[str, ...] = ()) -> tuple[int | None, str]:
    """Ask once, with addresses as in PDUs."""
    port, dashes = str(served.port("modbus")), ["--"] if values else []
    return await output_of("mbpoll", "-m", "tcp", "-p", port, "-0", "-1", *arguments, "127.0.0.1", *dashes, *values)


def values_in(output: str) -> list[str]:
    return re.findall(r"^\[\d+\]:\s+(\S+)", output, re.MULTILINE)


async def poll(served: Served, *arguments: str) -> list[str]:
    code, output = await mbpoll(served, *arguments)
    assert code == 0, output
    return values_in(output)


async def write(served: Served, *arguments: str, values: tuple[str, ...]) -> None:
    code, output = await mbpoll(served, *arguments, values=values)
    assert code == 0, output
    assert f"Written {len(values)} references" in output


async def ask_everything(served: Served, unit: int) -> None:
    """Registers, coils and floats, read and written."""
    at = ("-a", str(unit))
    assert [int(value) for value in await poll(served, *at, "-r", "10", "-c", "100")] == holding(unit, 10, 100)
    coils = [str(int((unit + address) % 3 == 0)) for address in range(30)]
    assert await poll(served, *at, "-t", "0", "-r", "0", "-c", "30") == coils
    await write(served, *at, "-r", "20", values=("1234",))
    await write(served, *at, "-r", "21", values=("1", "2", "65535"))
    assert await poll(served, *at, "-t", "4:hex", "-r", "20", "-c", "4") == ["0x04D2", "0x0001", "0x0002", "0xFFFF"]
    await write(served, *at, "-t", "0", "-r", "3", values=("1",))
    await write(served, *at, "-t", "0", "-r", "4", values=("0", "1", "1", "0", "1"))
    assert await poll(served, *at, "-t", "0", "-r", "3", "-c", "6") == ["1", "0", "1", "1", "0", "1"]
    await write(served, *at, "-t", "4:float", "-B", "-r", "30", values=("12345.5", "-0.25"))
    assert await poll(served, *at, "-t", "4:float", "-B", "-r", "30", "-c", "2") == ["12345.5", "-0.25"]
    await write(served, *at, "-t", "4:int", "-B", "-r", "40", values=("123456789",))
    assert await poll(served, *at, "-t", "4:int", "-B", "-r", "40") == ["123456789"]


async def test_a_simulated_unit() -> None:
    with on_terminal(units(7)) as device:
        async with serving(plan("cable", modbus(), device=device), opener=open_tty) as served:
            await ask_everything(served, 7)
            assert await poll(served, "-a", "7", "-t", "3", "-r", "0", "-c", "3") == ["34560", "34561", "34562"]
            assert outcomes(served.bus()) == {"answered": 13}


@socat
@pytest.mark.parametrize("framing", ["rtu", "ascii"])
async def test_a_unit_that_pymodbus_serves(tmp_path: Path, framing: str) -> None:
    """On one line with another, and libmodbus's way of asking several units in one run."""
    async with null_modem(tmp_path) as (near, far), pymodbus_server(framing, 1, 9, device=far):
        bus = BusSettings(framing=Framing(framing))
        async with serving(plan("cable", modbus(), bus=bus, device=near), opener=open_tty) as served:
            await ask_everything(served, 9)
            assert [float(value) for value in await poll(served, "-t", "4:float", "-B", "-r", "1000")] == [12345.7]
            both = await poll(served, "-a", "1,9", "-r", "50", "-c", "2")
            assert [int(value) for value in both] == holding(1, 50, 2) + holding(9, 50, 2)


async def test_exceptions_are_told_apart() -> None:
    """A unit's own refusal, a unit that is not there, and a line that is down."""
    cable = Cable()
    attach(cable, units(1))
    quick = BusSettings(timeout=Timeout(0.1), retries=0)
    async with serving(plan("cable", modbus(), bus=quick), cables=[cable]) as served:
        for arguments, reason in (
            (("-r", "9999", "-c", "2"), "Illegal data address"),
            (("-a", "2"), "Target device failed to respond"),
            (("-a", "255"), "Gateway path unavailable"),
        ):
            code, output = await mbpoll(served, *arguments)
            assert code == 1
            assert f"Read output (holding) register failed: {reason}" in output
        cable.unplug()
        await until(lambda: served.line().state == "lost")
        code, output = await mbpoll(served)
        assert code == 1
        assert "Gateway path unavailable" in output

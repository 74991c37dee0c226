"""pymodbus as the devices that `nportpy write` and `nportpy scan` ask: Modbus TCP, RTU over TCP, and a serial line."""

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.serving import until

pytest.importorskip("pymodbus", reason="no pymodbus here")

pytestmark = [pytest.mark.peer, pytest.mark.real("asyncio")]  # commands and devices are processes

SERVER = """
import asyncio, sys
from pymodbus import FramerType, ModbusDeviceIdentification
from pymodbus.exceptions import NoSuchIdException
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

# 3.16 looks for device 0 where there is none, and answers 04
class Devices(dict):
    def __missing__(self, unit):
        raise NoSuchIdException(unit)

identity = ModbusDeviceIdentification(info_name={
    "VendorName": "Acme " + "x" * 200, "ProductCode": "P7", "MajorMinorRevision": "1.2.3",
    "VendorUrl": "http://acme.example/", "ProductName": "Pump", "ModelName": "P", "UserApplicationName": "cellar",
})

def device(unit):
    tables = (
        [SimData(0, count=4, values=[True] * 16, datatype=DataType.BITS)],
        [SimData(0, values=[False] * 16, datatype=DataType.BITS)],
        [SimData(1000, values=[unit, 0, 0, 0], datatype=DataType.REGISTERS)],
        [SimData(0, values=[0], datatype=DataType.REGISTERS)],
    )
    return SimDevice(unit, simdata=tables)

async def main():
    kind, where = sys.argv[1:]
    devices = [device(1), device(7)]
    if kind == "serial":
        server = ModbusSerialServer(devices, identity=identity, port=where, ignore_missing_devices=True)
    else:
        server = ModbusTcpServer(devices, identity=identity, framer=FramerType(kind), address=("127.0.0.1", 0))
    server.context.devices = Devices(server.context.devices)
    await server.serve_forever(background=True)
    if kind != "serial":
        where = "127.0.0.1:%d" % server.transport.sockets[0].getsockname()[1]
    print(where, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@asynccontextmanager
async def running(*command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def server(kind: str, where: str = "") -> AsyncIterator[str]:
    async with running(sys.executable, "-c", SERVER, kind, where) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = await process.stdout.readline()
        assert line, await process.stderr.read()
        yield line.decode().strip()


@asynccontextmanager
async def devices(kind: str, folder: Path) -> AsyncIterator[str]:
    """pymodbus's two devices, units 1 and 7, as a target."""
    if kind != "serial":
        async with server(kind) as where:
            yield where if kind == "socket" else f"rtu+tcp://{where}"
        return
    if not shutil.which("socat"):
        pytest.skip("no socat here")
    ours, theirs = folder / "ours", folder / "theirs"
    async with running("socat", f"PTY,link={ours},raw,echo=0", f"PTY,link={theirs},raw,echo=0"):
        await until(lambda: ours.exists() and theirs.exists())
        async with server(kind, str(theirs)):
            yield str(ours)


async def nportpy(*arguments: str) -> tuple[int | None, str, str]:
    async with running(sys.executable, "-m", "nportpy", *arguments) as process:
        output, errors = await process.communicate()
        return process.returncode, output.decode(), errors.decode()


KINDS = pytest.mark.parametrize("kind", ["socket", "rtu", "serial"])


@KINDS
async def test_write(kind: str, tmp_path: Path) -> None:
    same = "written, and read back the same\n"
    async with devices(kind, tmp_path) as target:
        done = await nportpy("write", target, "41002=-7", "--type", "int16", "--unit", "7", "--yes")
        assert done == (0, f"41002  0 -> -7\n{same}", "")
        done = await nportpy("write", target, "41003=12345.681", "--type", "float32", "--order", "CDAB", "--yes")
        assert done == (0, f"41003  0.0 -> 12345.681\n{same}", "")
        assert (await nportpy("read", target, "41003-41004"))[1].split() == ["41003", "59065", "41004", "17984"]
        done = await nportpy("write", target, "41001=5", "--multiple", "--yes")
        assert done == (0, f"41001  1 -> 5\n{same}", "")
        done = await nportpy("write", target, "coil:3=off", "--yes")
        assert done == (0, f"coil:3  1 -> 0\n{same}", "")
        done = await nportpy("write", target, "coil:0-15=off", "--yes")
        assert done[0] == 0
        assert done[1].splitlines()[3] == "coil:3   0 -> 0"
        code, output, errors = await nportpy("write", target, "42001=5", "--yes")
        assert (code, output) == (1, "42001  (cannot be read) -> 5\n")
        assert "exception 2, illegal data address" in errors


@KINDS
async def test_scan(kind: str, tmp_path: Path) -> None:
    async with devices(kind, tmp_path) as target:
        settings = ("--baudrates", "19200", "--formats", "8N1") if kind == "serial" else ()
        code, output, errors = await nportpy(
            "scan", target, "--units", "1-2,7-8", "--json", "--timeout", "1s", *settings
        )
    assert errors == ""
    assert code == 0
    found = json.loads(output)
    assert [unit["unit"] for unit in found["units"]] == [1, 7]
    assert found["absent"] == {"silent" if kind == "serial" else "no answer": 2}
    for unit in found["units"]:
        assert unit["exception"] == 2  # there is no holding register 0
        assert unit["identification"] == {
            "vendor": "Acme " + "x" * 200,
            "product": "P7",
            "version": "1.2.3",
            "vendor url": "http://acme.example/",
            "product name": "Pump",
            "model": "P",
            "application": "cellar",
        }

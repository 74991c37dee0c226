"""pymodbus as the device that `nportpy read` asks, over Modbus TCP and over RTU over TCP."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

pytest.importorskip("pymodbus", reason="no pymodbus here")

pytestmark = [pytest.mark.peer, pytest.mark.real("uvloop")]

SERVER = """
import asyncio, sys
from pymodbus import FramerType
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

registers = SimData(1000, values=[0x4640, 0xE6B9, 0xE6B9, 0x4640, 0xFFFF, 0x5075, 0x6D70], datatype=DataType.REGISTERS)
device = SimDevice(1, simdata=[registers])

async def main():
    server = ModbusTcpServer(device, framer=FramerType(sys.argv[1]), address=("127.0.0.1", 0))
    await server.serve_forever(background=True)
    print(server.transport.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@asynccontextmanager
async def server(framer: str) -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVER, framer, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        line = await process.stdout.readline()
        assert line, await process.stderr.read()
        yield f"127.0.0.1:{int(line)}"
    finally:
        process.kill()
        await process.communicate()


async def read(*arguments: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "nportpy", "read", *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


@pytest.mark.parametrize(("framer", "scheme"), [("socket", ""), ("rtu", "rtu+tcp://")])
async def test_what_pymodbus_serves(framer: str, scheme: str) -> None:
    async with server(framer) as where:
        target = scheme + where
        assert await read(target, "41001", "--type", "float32") == (0, "41001  12345.681\n", "")
        assert await read(target, "41003", "--type", "float32", "--order", "CDAB") == (0, "41003  12345.681\n", "")
        assert await read(target, "holding:1004", "--type", "int16") == (0, "holding:1004  -1\n", "")
        assert await read(target, "401006", "--type", "string:4") == (0, "401006  Pump\n", "")
        code, output, errors = await read(target, "41999")
        assert (code, output) == (1, "")
        assert "exception 2, illegal data address" in errors

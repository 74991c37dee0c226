"""Programs that nobody here wrote, run beside a test: socat as a null-modem cable, pymodbus's servers as devices."""

import asyncio
import ctypes
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import PIPE

from tests.support.serving import until

_PYMODBUS = """
import asyncio, sys
from pymodbus import FramerType
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

kind, framer, where, *numbers = sys.argv[1:]

def device(unit):
    words = [(256 * unit + address) % 65536 for address in range(200)]
    meter = [0x4640, 0xE6B9] + [0] * 20
    tables = [SimData(0, values=words, datatype=DataType.REGISTERS),
              SimData(1000, values=meter, datatype=DataType.REGISTERS)]
    bits = [SimData(0, values=[(unit + address) % 3 == 0 for address in range(160)], datatype=DataType.BITS)]
    return SimDevice(unit, simdata=(bits, bits, tables, tables))

async def main():
    devices = [device(int(number)) for number in numbers]
    if kind == "serial":
        server = ModbusSerialServer(
            devices, framer=FramerType(framer), port=where, baudrate=115200,
            ignore_missing_devices=True, broadcast_enable=True,
        )
    else:
        server = ModbusTcpServer(devices, framer=FramerType(framer), address=("127.0.0.1", int(where)))
    await server.serve_forever(background=True)
    print(server.transport.sockets[0].getsockname()[1] if kind == "tcp" else 0, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""

_LIBMODBUS = """
import ctypes, random, sys
from ctypes import POINTER, c_int, c_ubyte, c_uint16, c_void_p

device, unit, most, loss = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])

class Mapping(ctypes.Structure):
    _fields_ = [(name, c_int) for name in "ab ab0 aib aib0 air air0 ar ar0".split()] + [
        ("bits", c_void_p), ("input_bits", c_void_p),
        ("input_registers", POINTER(c_uint16)), ("registers", POINTER(c_uint16)),
    ]

lib = ctypes.CDLL("libmodbus.so.5")
lib.modbus_new_rtu.restype = c_void_p
lib.modbus_new_rtu.argtypes = [ctypes.c_char_p, c_int, ctypes.c_char, c_int, c_int]
lib.modbus_mapping_new.restype = POINTER(Mapping)
lib.modbus_set_slave.argtypes = [c_void_p, c_int]
lib.modbus_connect.argtypes = [c_void_p]
lib.modbus_receive.argtypes = [c_void_p, c_void_p]
lib.modbus_reply.argtypes = [c_void_p, c_void_p, c_int, POINTER(Mapping)]
context = lib.modbus_new_rtu(device.encode(), 115200, b"N", 8, 1)
mapping = lib.modbus_mapping_new(160, 160, 200, 200)
for address in range(200):
    mapping.contents.registers[address] = mapping.contents.input_registers[address] = 256 * unit + address
lib.modbus_set_slave(context, unit)
if lib.modbus_connect(context):
    sys.exit("cannot connect")
print(0, flush=True)
query, chance = (c_ubyte * 260)(), random.Random(1)
while True:
    size = lib.modbus_receive(context, query)
    if size <= 0:
        continue
    long = query[1] <= 4 and query[4] << 8 | query[5]
    if long <= most and chance.random() >= loss:
        lib.modbus_reply(context, query, size, mapping)
"""


@asynccontextmanager
async def program(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A program, killed in the end."""
    process = await asyncio.create_subprocess_exec(*arguments, stdout=PIPE, stderr=PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


class Typing:
    """A program on a terminal of its own.

    Attributes:
        shown: what it has written there.
    """

    def __init__(self, descriptor: int) -> None:
        self.shown = bytearray()
        self._descriptor = descriptor

    def type(self, text: bytes) -> None:
        os.write(self._descriptor, text)

    def read(self) -> None:
        try:
            self.shown += os.read(self._descriptor, 4096)
        except OSError:  # it has ended
            asyncio.get_running_loop().remove_reader(self._descriptor)

    async def shows(self, text: bytes) -> None:
        """Wait for it, and forget it."""
        try:
            await until(lambda: text in self.shown, 20)
        except TimeoutError:
            raise AssertionError(f"it shows {bytes(self.shown)!r}, not {text!r}") from None
        self.shown.clear()


@asynccontextmanager
async def typing_to(*arguments: str) -> AsyncIterator[Typing]:
    """A program that a person uses, killed in the end."""
    ours, its = os.openpty()
    loop = asyncio.get_running_loop()
    typing = Typing(ours)
    environment = os.environ | {"TERM": "dumb"}
    process = await asyncio.create_subprocess_exec(
        *arguments, stdin=its, stdout=its, stderr=its, env=environment, start_new_session=True
    )
    os.close(its)
    loop.add_reader(ours, typing.read)
    try:
        yield typing
    finally:
        loop.remove_reader(ours)
        if process.returncode is None:
            process.kill()
        await process.wait()
        os.close(ours)


async def output_of(*arguments: str) -> tuple[int | None, str]:
    """What a program says, in both ways, and how it ends."""
    process = await asyncio.create_subprocess_exec(*arguments, stdout=PIPE, stderr=asyncio.subprocess.STDOUT)
    try:
        async with asyncio.timeout(60):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    return process.returncode, output.decode()


@asynccontextmanager
async def null_modem(folder: Path, name: str = "line") -> AsyncIterator[tuple[str, str]]:
    """Two pseudo-terminals that socat joins, as their paths."""
    ends = str(folder / f"{name}-a"), str(folder / f"{name}-b")
    async with program("socat", *(f"PTY,link={end},raw,echo=0" for end in ends)):
        await until(lambda: all(os.path.exists(end) for end in ends))
        yield ends


@asynccontextmanager
async def pymodbus_server(framer: str, *units: int, device: str = "", port: int = 0) -> AsyncIterator[int]:
    """A server of pymodbus, on a serial device or on a TCP port, as that port.

    Register A of unit U holds 256 U + A, 0 to 199; the float at 1000 is 12345.681. Bit A is set where U + A is a
    multiple of 3.
    """
    kind, where = ("serial", device) if device else ("tcp", str(port))
    async with program(sys.executable, "-c", _PYMODBUS, kind, framer, where, *map(str, units)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = await process.stdout.readline()
        assert line, (await process.stderr.read()).decode()
        yield int(line)


def has_libmodbus() -> bool:
    """Whether libmodbus is there, of Debian's package libmodbus5."""
    try:
        ctypes.CDLL("libmodbus.so.5")
    except OSError:
        return False
    return True


@asynccontextmanager
async def libmodbus_slave(device: str, unit: int = 1, *, longest: int = 125, loss: float = 0.0) -> AsyncIterator[None]:
    """A slave built on libmodbus. Holding register and input register A hold 256 unit + A, 0 to 199.

    Args:
        device: its end of the line.
        unit: its unit id.
        longest: it says nothing to reads of more registers, or bits.
        loss: the share of requests that it says nothing to.
    """
    async with program(sys.executable, "-c", _LIBMODBUS, device, str(unit), str(longest), str(loss)) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert await process.stdout.readline(), (await process.stderr.read()).decode()
        yield

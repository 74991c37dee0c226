"""A slave built on libmodbus, which passes over the frame after one for another unit (libmodbus_slave.c)."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from nportpy.modbus.settings import BusSettings
from nportpy.port.tty import open_tty
from nportpy.protocols.modbus.exchange import Echo
from tests.support.modbus_serving import asker, modbus, outcomes
from tests.support.peers import null_modem, program
from tests.support.serving import plan, serving

HEADER = "/usr/include/modbus/modbus.h"
pytestmark = [
    pytest.mark.peer,
    pytest.mark.real,
    pytest.mark.skipif(not os.path.exists(HEADER), reason="no libmodbus here"),
    pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc here"),
    pytest.mark.skipif(not shutil.which("socat"), reason="no socat here"),
]
COIL = b"\x05\x00\x01\xff\x00"
REGISTER = b"\x06\x00\x01\x00\x07"
MASK = b"\x16\x00\x01\xff\xff\x00\x00"


@pytest.fixture(scope="module")
def slave(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The program."""
    slave = str(tmp_path_factory.mktemp("libmodbus") / "slave")
    source = str(Path(__file__).with_name("libmodbus_slave.c"))
    flags = ("-Wall", "-Wextra", "-Werror", "-I", os.path.dirname(HEADER))
    built = subprocess.run(["gcc", *flags, "-o", slave, source, "-lmodbus"], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return slave


@pytest.mark.parametrize("first", [COIL, REGISTER, MASK], ids=["coil", "register", "mask"])
async def test_f3_the_first_writes_after_opening_are_obeyed(slave: str, tmp_path: Path, first: bytes) -> None:
    """No write is lost, and nothing is counted against the unit."""
    async with null_modem(tmp_path) as (near, far), program(slave, far, "19200", "3") as process:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
        bus = BusSettings(echo=Echo.AUTO)
        async with serving(plan("cable", modbus(), bus=bus, device=near), opener=open_tty) as served:
            client = await asker(served)
            assert await client.ask(first, 3) == first
            assert await client.ask(REGISTER, 3) == REGISTER
            assert await client.ask(b"\x06\x00\x02\x00\x08", 3) == b"\x06\x00\x02\x00\x08"
            assert await client.read(1, 2, 3) == [7, 8]
            assert outcomes(served.bus()) == {"answered": 4}
            (unit,) = served.bus().units
            assert (unit.silent, unit.unanswered) == (False, 0)

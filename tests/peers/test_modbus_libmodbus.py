"""Slaves built on libmodbus, through a whole gateway: sound, particular and flaky ones, beside bad clients."""

import asyncio
import shutil
from pathlib import Path

import pytest

from nportpy.modbus.settings import BusSettings, Timeout
from nportpy.port.tty import open_tty
from tests.support.modbus_serving import Asker, asker, holding, modbus
from tests.support.peers import has_libmodbus, libmodbus_slave, null_modem
from tests.support.serving import plan, serving

pytestmark = [
    pytest.mark.peer,
    pytest.mark.real,
    pytest.mark.skipif(not shutil.which("socat"), reason="no socat here"),
    pytest.mark.skipif(not has_libmodbus(), reason="no libmodbus here"),
]

BUS = BusSettings(timeout=Timeout(0.2))


async def test_a_slave_is_read(tmp_path: Path) -> None:
    async with (
        null_modem(tmp_path) as (near, far),
        libmodbus_slave(far, 7),
        serving(plan("cable", modbus(), device=near, bus=BUS), opener=open_tty) as served,
    ):
        client = await asker(served)
        for base in range(0, 150, 10):
            assert await client.read(base, 10, 7) == holding(7, base, 10)
        assert await client.read(500, 1, 7) == 2


async def test_f1_bad_reads_of_one_client_do_not_take_the_slave_from_another(tmp_path: Path) -> None:
    async with (
        null_modem(tmp_path) as (near, far),
        libmodbus_slave(far, 1, longest=10),
        serving(plan("cable", modbus(), device=near, bus=BUS), opener=open_tty) as served,
    ):
        bad, good = await asker(served), await asker(served)

        async def ask_badly() -> None:
            while True:
                await asyncio.gather(*(bad.read(20 * number, 20) for number in range(6)))
                await asyncio.sleep(0.2)

        answers = []
        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(ask_badly())
            for _ in range(12):
                answers.append(await good.read(7, 5))
                await asyncio.sleep(0.5)
            asking.cancel()
        assert answers.count(holding(1, 7, 5)) >= 11
        assert served.bus().busy < 0.5 * 12


async def test_f7_a_flaky_slave_is_read_as_often_as_its_retries_allow(tmp_path: Path) -> None:
    async with (
        null_modem(tmp_path) as (near, far),
        libmodbus_slave(far, 1, loss=0.35),
        serving(plan("cable", modbus(), device=near, bus=BUS), opener=open_tty) as served,
    ):
        client: Asker = await asker(served)
        answers = []
        for _ in range(60):
            answers.append(await client.read(7, 5))
            await asyncio.sleep(0.05)
        assert answers.count(holding(1, 7, 5)) >= 0.9 * (1 - 0.35**2) * 60 - 4  # chance may take a few

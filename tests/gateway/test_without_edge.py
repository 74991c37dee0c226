"""A gateway without stations pays nothing for those who have some."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.free_ports import free_port

pytestmark = pytest.mark.process

PROGRAM = """
import asyncio, sys
from nportpy.config import load
from nportpy.gateway.running import Gateway

async def main():
    gateway = Gateway(load(sys.argv[1]))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(gateway.run())
        await gateway.ready.wait()
        await asyncio.to_thread(int)
        gateway.stop()

asyncio.run(main())
parts = {name.partition(".")[0] for name in sys.modules}
print(sorted(name for name in sys.modules if name.startswith("nportpy.edge")))
meters = ("nportpy.meters", "nportpy.line.lease", "nportpy.protocols.dlms", "nportpy.protocols.iec")
parts &= {"sqlite3", "_sqlite3", "paho", "nats"}
print(sorted(parts | {name for name in sys.modules if name.startswith(meters)}))
"""

WORDS = {"nportpy.edge", "nportpy.edge.settings", "nportpy.edge.links", "nportpy.edge.links.base"}
"""What a file may say is known to whoever reads one; nothing of it does anything."""

EDGE = """
[station.emon]
target = "tcp://127.0.0.1:9"
every = "10s"
tags = [{ name = "a", at = "40001" }]
"""


def imported(folder: Path, text: str) -> list[str]:
    file = folder / "nportpy.toml"
    plain = f'[port.a]\ndevice = "{folder}/a"\n[[port.a.raw]]\nlisten = "127.0.0.1:{free_port()}"\n'
    file.write_text(f"{plain}[http]\nlisten = false\n{text}")
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(file)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_nothing_of_it_is_imported_where_nothing_is_read(tmp_path: Path) -> None:
    edge, parts = imported(tmp_path, "")
    assert set(ast.literal_eval(edge)) <= WORDS
    assert parts == "[]"


def test_where_a_station_is_read_it_is(tmp_path: Path) -> None:
    edge, parts = imported(tmp_path, f'[archive]\npath = "{tmp_path}/a.db"\n{EDGE}')
    assert "nportpy.edge.running" in edge
    assert "sqlite3" in parts


def test_who_reads_modbus_pays_nothing_for_other_meters(tmp_path: Path) -> None:
    _, parts = imported(tmp_path, f'[archive]\npath = "{tmp_path}/a.db"\n{EDGE}')
    assert "nportpy.meters" not in parts
    rtu = (
        EDGE.replace("tcp://127.0.0.1:9", f"{tmp_path}/a")
        .replace("40001", "1")
        .replace("every", 'protocol="iec101"\nevery')
    )
    _, parts = imported(tmp_path, f'[archive]\npath = "{tmp_path}/a.db"\n{rtu}')
    assert "nportpy.meters.iec101.client" in parts
    assert "nportpy.meters.iec62056" not in parts
    assert "nportpy.meters.dlms" not in parts

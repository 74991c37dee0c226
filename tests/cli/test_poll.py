"""`nportpy poll`: stations of a file, read without a gateway; what it prints, and its exit codes."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click.testing
import pytest

from nportpy.cli.poll import poll
from nportpy.linesettings import LineSettings
from nportpy.simulator.process import simulated_lines
from tests.support.modbus_server import counting, server

pytestmark = pytest.mark.process

COMMAND = [sys.executable, "-m", "nportpy", "poll"]

STATION = """
[station.{name}]
target = "tcp://{target}"
unit = {unit}
every = "1s"
tags = [
  {{ name = "power", at = "40008", unit = "kW", scale = 0.1 }},
  {{ name = "energy", at = "40011" }},
]
"""


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    with server(counting) as where:
        yield where


def written(folder: Path, *parts: str) -> str:
    path = folder / "nportpy.toml"
    path.write_text("".join(parts))
    return str(path)


def run(*arguments: str) -> click.testing.Result:
    return click.testing.CliRunner().invoke(poll, arguments, catch_exceptions=False)


def test_one_round_of_all_stations(tmp_path: Path, target: str) -> None:
    file = written(
        tmp_path,
        STATION.format(name="emon", target=target, unit=1),
        STATION.format(name="other", target=target, unit=1),
    )
    done = run("-c", file)
    assert done.exit_code == 0, done.output
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["emon/power", "0.7", "kW"],
        ["emon/energy", "10"],
        ["other/power", "0.7", "kW"],
        ["other/energy", "10"],
    ]
    assert [line.split()[0] for line in run("-c", file, "other").stdout.splitlines()] == ["other/power", "other/energy"]


def test_a_dead_station_is_an_exit_code_and_does_not_keep_the_others(tmp_path: Path, target: str) -> None:
    file = written(
        tmp_path, STATION.format(name="dead", target=target, unit=9), STATION.format(name="emon", target=target, unit=1)
    )
    done = run("-c", file)
    assert done.exit_code == 1
    assert "emon/power   0.7 kW\n" in done.stdout
    assert re.search(r"dead/power   -  bad: .*did not answer", done.stdout)
    assert done.stderr.startswith("dead: ")


def test_a_value_that_the_meter_refuses_is_an_exit_code(tmp_path: Path, target: str) -> None:
    file = written(tmp_path, STATION.format(name="emon", target=target, unit=1).replace("40011", "45001"))
    done = run("-c", file)
    assert done.exit_code == 1
    assert "emon/power   0.7 kW\n" in done.stdout
    assert re.search(r"emon/energy  -  bad: unit 1 answers exception 2", done.stdout)


def test_as_json_and_as_csv(tmp_path: Path, target: str) -> None:
    file = written(tmp_path, STATION.format(name="emon", target=target, unit=1))
    rows = [json.loads(line) for line in run("-c", file, "--json").stdout.splitlines()]
    assert [(row["station"], row["tag"], row["value"], row["unit"], row["quality"]) for row in rows] == [
        ("emon", "power", 0.7, "kW", "good"),
        ("emon", "energy", 10, "", "good"),
    ]
    found = list(csv.DictReader(io.StringIO(run("-c", file, "--csv").stdout)))
    assert [(row["tag"], row["value"]) for row in found] == [("power", "0.7"), ("energy", "10")]
    assert run("-c", file, "--json", "--csv").exit_code == 2


def test_again_and_again_until_control_c(tmp_path: Path, target: str) -> None:
    file = written(tmp_path, STATION.format(name="emon", target=target, unit=1))
    process = subprocess.Popen(
        [*COMMAND, "-c", file, "--every", "200ms", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(8)]
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert errors == ""
    times = sorted({json.loads(line)["time"] for line in lines})
    assert len(times) == 4


def test_whoever_reads_it_may_go(tmp_path: Path, target: str) -> None:
    file = written(tmp_path, STATION.format(name="emon", target=target, unit=1))
    process = subprocess.Popen(
        [*COMMAND, "-c", file, "--every", "100ms"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    errors = process.stderr.read()
    process.wait(30)
    process.stderr.close()
    assert "Traceback" not in errors


def test_what_is_wrong_with_the_file_or_the_names(tmp_path: Path, target: str) -> None:
    file = written(tmp_path, STATION.format(name="emon", target=target, unit=1))
    done = run("-c", file, "nobody")
    assert done.exit_code == 2
    assert "there is no station nobody; there are emon" in done.stderr
    done = run("-c", written(tmp_path, f'[port.a]\ndevice = "{tmp_path}/a"\n[[port.a.raw]]\nlisten = 4001\n'))
    assert done.exit_code == 1
    assert "has no [station.NAME]" in done.stderr
    done = run("-c", written(tmp_path, STATION.format(name="emon", target=target, unit=1).replace("40008", "4000x")))
    assert done.exit_code == 2
    assert "nportpy.toml:7" in done.stderr
    assert run("-c", str(tmp_path / "none.toml")).exit_code == 2
    assert run("-c", file, "--every", "10ms").exit_code == 2


def test_nobody_there(tmp_path: Path) -> None:
    began = time.monotonic()
    done = run("-c", written(tmp_path, STATION.format(name="emon", target="127.0.0.1:9", unit=1)))
    assert done.exit_code == 1
    assert "emon" in done.stderr
    assert time.monotonic() - began < 20


def test_a_station_on_a_port_with_its_profile(tmp_path: Path) -> None:
    link = str(tmp_path / "meter")
    with simulated_lines(LineSettings.parse(9600, "8E1"), meters=[link], unpaced=True):
        file = written(
            tmp_path,
            f'[port.meters]\ndevice = "{link}"\nbaudrate = 9600\nformat = "8E1"\n'
            '[station.emon]\nport = "meters"\nunit = 1\nevery = "10s"\nprofile = "emon-dmon-3400"\n',
        )
        done = run("-c", file)
    assert done.exit_code == 0, done.output
    assert re.search(r"emon/energy_delivered +12345\.\d+ kWh", done.stdout) or "12345." in done.stdout


def test_a_port_whose_device_is_away_or_taken_says_so(tmp_path: Path) -> None:
    file = written(
        tmp_path,
        f'[port.meters]\ndevice = "{tmp_path}/none"\n[station.emon]\nport = "meters"\nunit = 1\nevery = "10s"\n'
        'tags = [{ name = "a", at = "40001" }]\n',
    )
    done = run("-c", file)
    assert done.exit_code == 1
    assert "the line is down: " in done.stderr
    assert "none does not exist" in done.stderr


def test_it_leaves_no_archive_behind(tmp_path: Path, target: str) -> None:
    file = written(
        tmp_path, STATION.format(name="emon", target=target, unit=1), f'[archive]\npath = "{tmp_path}/a.db"\n'
    )
    assert run("-c", file).exit_code == 0
    assert sorted(os.listdir(tmp_path)) == ["nportpy.toml"]

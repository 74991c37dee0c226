"""The demo as people start it: a process, real time, real sockets."""

import os
import re
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO

import click.testing
import pytest

from nportpy.cli import main
from nportpy.linesettings import LineSettings
from nportpy.simulator.client import read_raw
from tests.support import brokers

pytestmark = [pytest.mark.process, pytest.mark.slow]

COMMAND = [sys.executable, "-m", "nportpy", "demo"]
READING = r"energy delivered 12345\.\d{3} kWh, currents (\d+\.\d\d A, ){2}\d+\.\d\d A"


BACK_FILLED = (
    r"back-filled \d\d:\d\d:\d\d-\d\d:\d\d:\d\d: (\d+) samples sent late, (\d+) of them the gap,"
    r" (\d+) known from before \(an overlap of 10 s\); stored (\d+) of (\d+)"
)


def check(*options: str, **environment: str) -> list[str]:
    """The lines of a --check that went well; those of the outage and the proof are judged here."""
    command = [*COMMAND, "--check", "--free-ports", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ | environment)
    assert done.stderr == ""
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    cut, whole, filled, proof = lines[-4:]
    assert cut == "the way to the upstream is cut for 3 s; the meter is read on"
    waiting = re.fullmatch(r"the way is whole again; (\d+) samples wait in the archive", whole)
    assert waiting
    assert int(waiting[1]) > 5
    found = re.fullmatch(BACK_FILLED, filled)
    assert found
    sent, gap, known, stored, produced = map(int, found.groups())
    assert sent == gap + known
    assert gap > 0  # of what waited, the newest of each tag is sent first and as live
    assert known > 0
    assert stored == produced
    proved = re.fullmatch(r"stored (\d+) of (\d+) produced: 0 missing, 0 not produced", proof)
    assert proved
    assert int(proved[1]) == int(proved[2]) >= produced
    return lines


def test_check_reads_the_meter_in_three_ways_and_loses_nothing_without_the_libraries_of_brokers(tmp_path: Path) -> None:
    for name in ("paho", "nats", "asyncpg"):
        (tmp_path / f"{name}.py").write_text("raise ModuleNotFoundError(name=__name__)\n")
    raw, rfc2217, modbus, polled, mains, feeder, archived, *_ = check(PYTHONPATH=str(tmp_path))
    assert re.fullmatch(rf"{READING} \(raw, TCP port \d+\)", raw)
    assert re.fullmatch(rf"{READING} \(rfc2217, TCP port \d+\)", rfc2217)
    assert re.fullmatch(rf"{READING} \(modbus, TCP port \d+\)", modbus)
    assert re.fullmatch(r"polled by the gateway: [\d.]+ kW  .* A  .* V  [\d.]+ Hz  12345\.\d{3} kWh", polled)
    cosem = r"(\d{3}\.\d ){3}V  77\d{3}\.\d{3} kWh  20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+0[12]:00"
    assert re.fullmatch(rf"polled by the gateway: mains  {cosem}", mains)
    assert re.fullmatch(rf"polled by the gateway: feeder {cosem}", feeder)
    assert re.fullmatch(r"archived \d+ samples since .*; upstream up since .*, backlog .*; stored \d+", archived)


@pytest.mark.peer
async def test_check_with_mosquitto(tmp_path: Path) -> None:
    async with brokers.mosquitto(tmp_path) as broker:
        check("--mqtt", broker.url)


@pytest.mark.peer
async def test_check_with_jetstream_twice_on_one_server(tmp_path: Path) -> None:
    async with brokers.nats(tmp_path) as broker:
        check("--nats", broker.url)
        check("--nats", broker.url)  # what the first has left there does not count


def test_a_broker_that_is_not_there_is_said() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"mqtt://127.0.0.1:{nobody.getsockname()[1]}"
        command = [*COMMAND, "--check", "--free-ports", "--outage", "1s", "--mqtt", url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "Error: not done in 31 s, waiting until samples are stored (" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--mqtt", "mqtt://a", "--nats", "nats://b"], "--mqtt and --nats exclude each other"),
        (["--mqtt", "nats://a"], "no URL of such a broker; allowed: mqtt://host:port, mqtts://host:port"),
        (["--nats", "nats://me:secret@a"], "has a user in it"),
        (["--outage", "30"], 'has no unit; allowed: "30s" or "30min"'),
    ],
)
def test_wrong_options_are_said(options: list[str], said: str) -> None:
    done = click.testing.CliRunner().invoke(main, ["demo", *options])
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())


def test_an_outage_is_told_in_lines_and_what_came_late_is_in_the_database() -> None:
    with demo("--outage", "8s") as process:
        assert process.stdout is not None
        lines: list[str] = []
        while not lines or "back-filled" not in lines[-1]:
            line = process.stdout.readline()
            assert line, process.stderr and process.stderr.read()
            lines.append(line.rstrip("\n"))
        text = "\n".join(lines)
        assert re.search(r"  emon, mains, feeder\n.*as stations.*\n.*sent to sqlite:/", text)
        assert re.search(
            r"\| upstream away since \d\d:\d\d:\d\d, backlog [1-9]\d*, sent \d+ live, 0 late; no sign", text
        )
        found = re.fullmatch(rf"\d\d:\d\d:\d\d  {BACK_FILLED}", lines[-1])
        assert found
        place = re.search(r"sqlite3 -readonly (\S+) ", text)
        assert place
        with closing(sqlite3.connect(f"file:{place[1]}?mode=ro", uri=True)) as database:
            late, gap = database.execute("SELECT count(*), max(at) - min(at) FROM readings WHERE late").fetchone()
        assert late == int(found[2])
        assert 5e6 < gap < 60e6
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
        assert process.wait(60) == 0


def test_who_does_not_read_holds_up_nothing() -> None:
    """Neither the gateway nor its end: lines that nobody reads are left out."""
    with demo() as process:
        time.sleep(15)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_a_busy_port_is_named() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            other.bind(("127.0.0.1", 4001))
            other.listen()
        except OSError:
            pass  # somebody else has it: as good
        done = subprocess.run(COMMAND, capture_output=True, text=True, timeout=90)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Error: cannot listen on 127.0.0.1:4001" in done.stderr
    assert "Traceback" not in done.stderr


@contextmanager
def demo(*options: str, stdout: int | IO[str] = subprocess.PIPE) -> Iterator["subprocess.Popen[str]"]:
    command = [*COMMAND, "--free-ports", *options]
    with subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_told_to_end(number: signal.Signals) -> None:
    with demo() as process:
        assert process.stdout is not None
        assert process.stderr is not None
        found: dict[str, int] = {}
        name = ""
        while len(found) < 2:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            if match := re.match(r"  (meter|echo) ", line):
                name = match[1]
            if match := re.search(r"raw TCP (\d+) ", line):
                found[name] = int(match[1])
        with socket.create_connection(("127.0.0.1", found["echo"]), 30) as echo:
            echo.sendall(b"hello")
            with echo.makefile("rb") as file:
                assert file.read(5) == b"hello"
        assert read_raw("127.0.0.1", found["meter"], LineSettings.parse(9600, "8E1"), 30).energy > 12345
        process.send_signal(number)
        assert process.wait(60) == 0
        assert process.stderr.read() == ""


def test_a_terminal_gets_a_live_status_line() -> None:
    ours, theirs = os.openpty()
    try:
        with demo(stdout=theirs) as process:
            shown = b""
            wanted = (
                b"echo up, clients 0, bytes out 0, in 0",
                b"emon up, ",
                b"mains  ",
                b"feeder ",
                b"archive ",
                b"upstream up since",
                b"stored 2",
            )
            while not all(each in shown for each in wanted):
                assert select.select([ours], [], [], 60)[0], shown
                shown += os.read(ours, 4096)
            process.send_signal(signal.SIGTERM)
            while process.poll() is None:  # it must not wait for room on the terminal
                if select.select([ours], [], [], 0.1)[0]:
                    os.read(ours, 4096)
            assert process.returncode == 0
    finally:
        os.close(ours)
        os.close(theirs)

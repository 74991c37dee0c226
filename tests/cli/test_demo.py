"""The demo as people start it: a process, real time, real sockets."""

import os
import re
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pytest

from nportpy.linesettings import LineSettings
from nportpy.simulator.client import read_raw

COMMAND = [sys.executable, "-m", "nportpy", "demo"]
READING = r"energy delivered 12345\.\d{3} kWh, currents (\d+\.\d\d A, ){2}\d+\.\d\d A"


def test_check_reads_the_meter_in_three_ways() -> None:
    done = subprocess.run([*COMMAND, "--check", "--free-ports"], capture_output=True, text=True, timeout=90)
    assert done.stderr == ""
    assert done.returncode == 0
    raw, rfc2217, modbus = done.stdout.splitlines()
    assert re.fullmatch(rf"{READING} \(raw, TCP port \d+\)", raw)
    assert re.fullmatch(rf"{READING} \(rfc2217, TCP port \d+\)", rfc2217)
    assert re.fullmatch(rf"{READING} \(modbus, TCP port \d+\)", modbus)


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
def demo(stdout: int | IO[str] = subprocess.PIPE) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen([*COMMAND, "--free-ports"], stdout=stdout, stderr=subprocess.PIPE, text=True) as process:
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
        with demo(theirs) as process:
            shown = b""
            while b"echo up, clients 0, bytes out 0, in 0" not in shown:
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

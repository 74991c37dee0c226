"""Lines with meters and outstations by hand: on pseudo-terminals and over TCP, in a process of their own."""

import os
import select
import socket
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nportpy.simulator.iec101.making import wires as outstation_wires
from nportpy.simulator.iec62056.making import meter
from nportpy.simulator.iec62056.making import wires as meter_wires
from nportpy.simulator.iec62056.messages import readout
from nportpy.simulator.spec import split
from tests.simulator.iec101.vectors import FRAMES
from tests.simulator.test_terminal import opened

TRANSPARENT = ("tcp://",)


@contextmanager
def running(*arguments: str) -> Iterator[list[str]]:
    """The lines; where each is."""
    command = [sys.executable, "-m", "nportpy.simulator", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield [process.stdout.readline().split()[2] for option in arguments if option.startswith("--iec")]


def speed(descriptor: int, speed: int) -> None:
    now = termios.tcgetattr(descriptor)
    now[4] = now[5] = getattr(termios, f"B{speed}")
    termios.tcsetattr(descriptor, termios.TCSADRAIN, now)


def read(descriptor: int, end: bytes) -> bytes:
    got = b""
    while not got.endswith(end):
        assert select.select([descriptor], [], [], 20)[0], f"only {got!r}"
        got += os.read(descriptor, 4096)
    return got


@pytest.mark.real
def test_on_a_pseudo_terminal_the_speed_counts(tmp_path: Path) -> None:
    link, lines = tmp_path / "meter", tmp_path / "lines"
    lines.write_text("1.8.0(000077.160*kWh)\n")
    with running(f"--iec62056={link},address=7,lines={lines},reaction=0.02"), opened(str(link)) as near:
        speed(near, 300)
        os.write(near, b"/?7!\r\n")
        assert read(near, b"\n") == b"/SIM54071\r\n"
        os.write(near, b"\x06050\r\n")
        assert not select.select([near], [], [], 0.15)[0]
        speed(near, 9600)
        message = readout(["1.8.0(000077.160*kWh)"])
        assert read(near, message[-5:]) == message


def say(path: str, data: bytes) -> bytes:
    """What a client of TCP hears first."""
    host, _, port = path.removeprefix("tcp://").rpartition(":")
    with socket.create_connection((host, int(port)), 20) as near:
        near.sendall(data)
        return near.recv(1)


@pytest.mark.real
def test_over_tcp_it_fits_always() -> None:
    with running("--iec62056=tcp://127.0.0.1:0,mode=A", "--iec101=tcp://127.0.0.1:0,stations=2") as (
        meter_at,
        station_at,
    ):
        assert say(meter_at, b"/?!\r\n") == b"/"
        for _ in range(2):
            assert say(station_at, FRAMES["F2"]) == b"\x10"


def test_specs() -> None:
    assert split("tcp://h:1,a=b,c-d=e=f") == ("tcp://h:1", {"a": "b", "c_d": "e=f"})
    made = meter({"mode": "B", "speed": "E", "wakes": "true", "inactivity": "12.5", "block_lines": "3", "odd": "true"})
    assert made.settings.wakes
    assert made.settings.inactivity == 12.5
    assert made.settings.block_lines == 3
    assert set(meter_wires(["a,address=1", "a,address=2,echo=true", "tcp://h:1"], transparent=TRANSPARENT)) == {
        "a",
        "tcp://h:1",
    }
    assert len(outstation_wires(["a,stations=3,sizes=2/2/2/3,single=quiet,events=1", "b"])) == 2


@pytest.mark.parametrize("text", ["a,b", "a,mode=X", "a,speed=9", "a,wakes=perhaps", "a,nothing=1", "a,inactivity=x"])
def test_wrong_meters(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        meter_wires([text])


@pytest.mark.parametrize(
    "texts", [["a,sizes=1/1/1"], ["a,sizes=1/1/1/9"], ["a,stations=x"], ["a", "a"], ["a,unreset=no"]]
)
def test_wrong_outstations(texts: list[str]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        outstation_wires(texts)

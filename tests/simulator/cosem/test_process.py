"""Meters from the command line: on a pseudo-terminal and on TCP."""

import os
import select
import socket
import subprocess
import sys
import time
import tty
from pathlib import Path

import pytest

from nportpy.linesettings import LineSettings
from nportpy.simulator.cosem.frames import Reader
from nportpy.simulator.cosem.wrapper import Wrapped
from nportpy.simulator.process import simulated_lines
from tests.simulator.cosem.asking import LN_PASSWORD
from tests.simulator.cosem.vectors import vector

pytestmark = pytest.mark.real

SNRM_59 = bytes.fromhex("7EA008027721933F847E")


def ask(port: int, data: bytes) -> bytes:
    """What comes to a frame within 5 s."""
    os.write(port, data)
    heard, until = b"", time.monotonic() + 5
    while not Reader().feed(heard) and select.select([port], [], [], max(0.0, until - time.monotonic()))[0]:
        heard += os.read(port, 4096)
    return heard


@pytest.mark.parametrize("unpaced", [False, True])
def test_two_meters_on_a_pseudo_terminal(tmp_path: Path, unpaced: bool) -> None:
    link = str(tmp_path / "line")
    with simulated_lines(LineSettings.parse(19200), zmds=[link], mt880s=[link], unpaced=unpaced) as lines:
        port = os.open(link, os.O_RDWR | os.O_NOCTTY)
        try:
            tty.setraw(port)
            assert ask(port, vector("H1")) == vector("H3")
            assert ask(port, SNRM_59)[4:7] == bytes.fromhex("027773")
        finally:
            os.close(port)
        (report,) = lines.report()
        assert (report.kind, report.counts["requests"], report.counts["answers"]) == ("dlms", 2, 2)


def test_a_script_that_is_wrong_is_told(tmp_path: Path) -> None:
    script = tmp_path / "script.toml"
    script.write_text('[[fault]]\nkind = "deaf"\nframes = "snrn"\n')
    command = [sys.executable, "-m", "nportpy.simulator", f"--zmd={tmp_path}/line", f"--dlms-script={script}"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 2
    assert "fault[0].frames 'snrn' is wrong" in ended.stderr


def test_a_meter_on_tcp() -> None:
    command = [sys.executable, "-m", "nportpy.simulator.cosem", "mt880", "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            host, _, port = process.stdout.readline().split()[-1].rpartition(":")
            with socket.create_connection((host, int(port)), timeout=5) as client:
                client.sendall(Wrapped(1, 1, LN_PASSWORD).encode())
                assert client.recv(100)[8] == 0x61
        finally:
            process.terminate()

"""Commands for meters against both simulated meters on lines without wire time: what a person sees, and why not."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nportpy.linesettings import LineSettings
from nportpy.simulator.process import simulated_lines

COMMAND = [sys.executable, "-m", "nportpy"]
SN = ("--referencing", "short")
LN = ("--server", "1/59", "--client", "1")
PASSWORD = "12345678"
pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Devices of a line with a ZMD and one with an MT880."""
    folder = tmp_path_factory.mktemp("lines")
    zmd, mt880 = str(folder / "zmd"), str(folder / "mt880")
    with simulated_lines(LineSettings.parse(9600, "8N1"), zmds=[zmd], mt880s=[mt880], unpaced=True):
        yield zmd, mt880


def run(*arguments: str, password: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NPORTPY_PASSWORD": password}
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=90, env=environment)


def test_reading_by_short_names(lines: tuple[str, str]) -> None:
    done = run("read", lines[0], "1.0.1.8.0.255", "32.7.0", "0xB8", "--protocol", "dlms", *SN)
    assert re.fullmatch(
        r"1\.0\.1\.8\.0\.255 +\d+ +Wh\n1\.0\.32\.7\.0\.255 +2\d\d\.\d+ +V\n0x00B8 +\d+.*\n", done.stdout
    )
    assert (done.stderr, done.returncode) == ("", 0)


def test_reading_by_logical_names_with_a_password(lines: tuple[str, str]) -> None:
    done = run("read", lines[1], "1.8.0", "1.0.99.99.0", "0.0.1.0.0.255", "--protocol", "dlms", *LN, password=PASSWORD)
    assert re.match(r"1\.0\.1\.8\.0\.255 +\d+ +Wh\n0\.0\.1\.0\.0\.255 +20\d\d-", done.stdout)
    assert "1.0.99.99.0.255" in done.stderr
    assert "object undefined" in done.stderr
    assert done.returncode == 1


def test_objects_of_both(lines: tuple[str, str]) -> None:
    for device, options, password in ((lines[0], SN, ""), (lines[1], LN, PASSWORD)):
        done = run("objects", device, *options, "--json", password=password)
        assert done.returncode == 0, done.stderr
        found = {each["obis"]: each for each in json.loads(done.stdout)}
        assert found["1.0.1.8.0.255"]["unit"] == "Wh"
        assert isinstance(found["1.0.1.8.0.255"]["value"], int)
        assert found["1.0.32.7.0.255"]["unit"] == "V"
        assert (found["1.0.1.8.0.255"]["short name"] is None) is (options is LN)


def test_the_load_profile_of_both(lines: tuple[str, str]) -> None:
    for device, options, password in ((lines[0], SN, ""), (lines[1], LN, PASSWORD)):
        done = run("profile", device, "1.0.99.1.0.255", *options, "--from", "2h", "--json", password=password)
        assert done.returncode == 0, done.stderr
        rows = json.loads(done.stdout)
        assert 7 <= len(rows) <= 9
        assert all(any(name.startswith("1.0.1.") for name in row) for row in rows)


def test_field_2_scan_finds_a_meter_and_says_the_next_command(lines: tuple[str, str]) -> None:
    done = run("scan", lines[0], "--protocol", "dlms", "--baudrates", "9600", "--timeout", "200ms")
    assert done.returncode == 0, done.stderr
    assert f"next: nportpy objects {lines[0]} --referencing short --server 1/0 --client 16" in done.stderr
    next_command = done.stderr.rsplit("next: nportpy ", 1)[1].split()
    assert run(*next_command, "--no-values").returncode == 0
    done = run("scan", lines[1], "--protocol", "dlms", "--servers", "1/58,1/59", "--baudrates", "9600", "--timeout",
               "200ms", "--json")  # fmt: skip
    assert {each["server"] for each in json.loads(done.stdout)} == {"1/59"}


def await_open(process: "subprocess.Popen[str]", device: str) -> None:
    """Wait until a program has opened a device."""
    path, descriptors = Path(device).resolve(), Path(f"/proc/{process.pid}/fd")
    while process.poll() is None:
        with contextlib.suppress(OSError):  # one that is closed meanwhile
            if any(each.resolve() == path for each in descriptors.iterdir()):
                return
        time.sleep(0.05)


def test_ctrl_c_ends_a_scan_in_order(lines: tuple[str, str]) -> None:
    process = subprocess.Popen(
        [*COMMAND, "scan", lines[1], "--protocol", "dlms", "--servers", "1/1,1/2,1/3", "--timeout", "2s"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    await_open(process, lines[1])
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert "interrupted" in said
    assert "Traceback" not in said
    assert process.returncode == 1


def test_a_wrong_password_and_a_wrong_address_say_so(lines: tuple[str, str]) -> None:
    done = run("read", lines[1], "1.8.0", "--protocol", "dlms", *LN, password="87654321")
    assert "password" in done.stderr
    assert "87654321" not in done.stderr
    assert done.returncode == 1
    done = run("objects", lines[1], "--server", "1/60", "--timeout", "100ms")
    assert "1/60" in done.stderr
    assert "nportpy scan" in done.stderr
    assert done.returncode == 1

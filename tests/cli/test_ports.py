import json
import subprocess
import sys
from pathlib import Path

import click.testing
import pytest

from nportpy.cli import ports as command
from tests.support.trees import Machine, raspberry_pi

pytestmark = pytest.mark.process


@pytest.fixture
def pi(tmp_path: Path) -> Machine:
    machine = raspberry_pi(tmp_path)
    machine.process(812, "ser2net -n", f"{machine.dev}/ttyUSB0")
    return machine


def run(machine: Machine, *arguments: str) -> click.testing.Result:
    return click.testing.CliRunner().invoke(command.ports, arguments, obj=machine.roots, catch_exceptions=False)


def test_a_pipe_gets_aligned_text(pi: Machine) -> None:
    result = run(pi)
    assert result.exit_code == 0
    head, *rows = result.stdout.splitlines()
    assert head.split() == ["device", "stable", "name", "driver", "description", "RS-485", "in", "use", "by"]
    column = head.index("in use by")
    assert [row[column:] for row in rows] == ["the console", "-", "ser2net -n (pid 812)", "-"]
    assert "on at boot" in rows[1]
    assert "\x1b" not in result.stdout


def test_what_cannot_be_seen_is_not_called_free(pi: Machine) -> None:
    (pi.proc / "1/fd").rmdir()
    assert run(pi).stdout.splitlines()[2].endswith("?")


def test_json_has_every_fact(pi: Machine) -> None:
    devices = json.loads(run(pi, "--json").stdout)
    assert [device["console"] for device in devices] == [True, False, False, False]
    assert devices[2]["usb_serial"] == "A50285BI"
    assert devices[2]["holders"] == [{"pid": 812, "command": "ser2net -n"}]
    assert devices[1]["rs485"] == "on at boot"


def test_a_machine_without_ports_says_so_on_stderr(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    assert run(machine).stdout == ""
    assert run(machine).stderr.startswith("no serial device here. Plug one in, or on a Raspberry Pi enable")
    assert json.loads(run(machine, "--json").stdout) == []


def test_a_terminal_gets_a_table_that_shows_names_as_they_are(
    pi: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pi.usb("ttyACM0", "1-1.4", "cdc_acm", idVendor="2341", idProduct="0043", product="[bold]x[/bold]")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    command.ports.main([], obj=pi.roots, standalone_mode=False)
    shown = capsys.readouterr().out
    assert "[bold]x[/bold]" in shown
    assert "ser2net -n (pid 812)" in shown


def test_rich_is_not_loaded_for_a_pipe() -> None:
    code = (
        "import sys; from nportpy.cli import main; main(['ports'], standalone_mode=False); print('rich' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "False"


def test_a_full_disk_under_standard_output_is_said_and_no_traceback() -> None:
    command = [sys.executable, "-m", "nportpy", "ports"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "Error: what is to be written has no room: No space left on device\n")

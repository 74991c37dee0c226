"""What TAB offers: by click's own machinery, and in the shells themselves."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

import nportpy.cli.init  # noqa: F401 - before the search for devices, which it takes by name, is replaced
from nportpy.cli import COMMANDS, completion, main
from nportpy.port.inventory import Rs485State, SerialDevice

BY_ID = "/dev/serial/by-id/usb-x"
CONFIG = """
[port.meters]
device = "/dev/ttyAMA0"
raw = { listen = 4001 }
rfc2217 = [{ listen = "127.0.0.1:5001" }, { listen = ["[::1]:5002", 5003] }]
modbus = { listen = 5020 }
[port.odd]
raw = "what"
[modbus.plant]
listen = 502
routes = [{ units = "1", to = "tcp://192.0.2.10:502" }, "what"]
[station.emon]
port = "meters"
[station.far]
target = "tcp://192.0.2.20"
[upstream.plant]
url = "mqtt://192.0.2.1"
"""


@pytest.fixture(autouse=True)
def _a_machine_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "nportpy.toml"
    file.write_text(CONFIG)
    monkeypatch.setattr(completion, "DEFAULT_PATH", str(file))
    device = SerialDevice("/dev/ttyUSB0", BY_ID, "", "an adapter", "", Rs485State.NONE, False, (), True)
    monkeypatch.setattr("nportpy.port.inventory.serial_devices", lambda: [device])


def offered(*words: str) -> list[str]:
    """What is offered for the last of the words."""
    complete = ShellComplete(main, {}, "nportpy", "_NPORTPY_COMPLETE")
    return [item.value for item in complete.get_completions(list(words[:-1]), words[-1])]


def test_commands_are_offered_without_loading_them() -> None:
    assert offered("") == list(COMMANDS)
    assert offered("s")[0] == "serve"
    assert "--version" in offered("--v")


@pytest.mark.parametrize("command", ["read", "write", "scan", "objects", "profile"])
def test_targets_are_services_here_servers_elsewhere_and_devices(command: str) -> None:
    assert offered(command, "") == [
        "localhost:5020",
        "rtu+tcp://localhost:4001",
        "rfc2217://localhost:5001",
        "rfc2217://localhost:5002",
        "rfc2217://localhost:5003",
        "localhost:502",
        "tcp://192.0.2.20",
        "tcp://192.0.2.10:502",
        BY_ID,
    ]
    assert offered(command, "tcp") == ["tcp://192.0.2.20", "tcp://192.0.2.10:502"]


def test_devices_stations_and_upstreams_are_offered_where_they_belong(tmp_path: Path) -> None:
    assert offered("serve", "/d") == [BY_ID]
    file = str(tmp_path / "nportpy.toml")
    assert offered("poll", "-c", file, "") == ["emon", "far"]
    assert offered("archive", "show", "-c", file, "e") == ["emon"]
    assert offered("archive", "send", "-c", file, "") == ["plant"]
    assert offered("attach", "ra") == ["raw://localhost:4001"]


def test_only_buses_are_offered_where_one_is_judged(tmp_path: Path) -> None:
    assert offered("status", "--bus", "") == ["meters", "tcp://192.0.2.10:502"]
    (tmp_path / "nportpy.toml").write_text(
        "port.a.raw.listen = 1\nport.b.raw.listen = 2\nport.c.modbus.listen = 3\nport.d.device = '/dev/ttyS9'\n"
        "port.e.modbus_master.x = 1\n"  # its units are elsewhere
        "station.b.port = 'b'\nmodbus.m.routes = [{ port = 'd' }]\n[station.a]\nport = 'a'\nprotocol = 'dlms'"
    )
    assert offered("status", "--bus", "") == ["b", "c", "d"]


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (("check", "-c"), "file"),
        (("init", "-o"), "file"),
        (("status", "--ca"), "file"),
        (("archive", "show", "-c"), "file"),
        (("import",), "file"),
    ],
)
def test_files_are_left_to_the_shell(words: tuple[str, ...], kind: str) -> None:
    complete = ShellComplete(main, {}, "nportpy", "_NPORTPY_COMPLETE")
    found = complete.get_completions(list(words), "/et")
    assert [(item.type, item.value) for item in found] == [(kind, "/et")]


def test_lines_and_devices_are_offered_to_those_who_look_and_begin() -> None:
    assert offered("monitor", "m") == offered("capture", "m") == offered("status", "--bus", "m") == ["meters"]
    assert offered("monitor", "") == ["meters", "odd", "plant"]
    assert offered("init", "/d") == [BY_ID]


@pytest.mark.parametrize("text", ["port = 1", "[port", "port = { x = 2 }", "modbus.a.routes = 1\nstation.b = 2"])
def test_a_file_that_is_wrong_offers_less_and_says_nothing(
    text: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "nportpy.toml").write_text(text)
    assert offered("read", "") == [BY_ID]
    (tmp_path / "nportpy.toml").unlink()
    assert offered("poll", "-c", str(tmp_path / "nportpy.toml"), "") == []
    assert capfd.readouterr() == ("", "")


def shell(program: str, script: str, folder: Path) -> list[str]:
    """The words that a shell prints, in which `nportpy` is this one and its completion lies in ./completion."""
    if shutil.which(program) is None:
        pytest.skip(f"no {program} here")
    place = folder / "nportpy"
    place.write_text(f"#!{sys.executable}\nfrom nportpy.cli import main\nmain(prog_name='nportpy')\n")
    place.chmod(0o755)
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", "HOME": str(folder), "LANG": "C.UTF-8"}
    environment["PYTHONPATH"] = str(Path(completion.__file__).parents[2])
    with (folder / "completion").open("w") as file:
        subprocess.run([place], env=environment | {"_NPORTPY_COMPLETE": f"{program}_source"}, stdout=file, check=True)
    command = [program, "--norc", "-c", script] if program == "bash" else [program, "-c", script]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, cwd=folder, timeout=60)
    return done.stdout.split()


BASH = """
source ./completion
COMP_LINE="$1"; COMP_POINT=${#COMP_LINE}
_nportpy_completion nportpy
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.peer
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("nportpy se", ["serve"]),
        ("nportpy serve --raw", ["--raw-port"]),
        ("nportpy  serve  --loop u", ["uvloop"]),
        ("nportpy read --baudrate 9600 localhost:5020 --csv --js", ["--json"]),
        ("nportpy serve --loop ", ["uvloop", "asyncio"]),
    ],
)
def test_bash_completes(line: str, expected: list[str], tmp_path: Path) -> None:
    assert shell("bash", f"set -- '{line}'\n{BASH}", tmp_path) == expected


@pytest.mark.peer
def test_bash_completes_what_has_a_colon(tmp_path: Path) -> None:
    # The configuration is the default one, so the far side of the program is replaced: a value with colons.
    (tmp_path / "env").write_text("#!/bin/sh\necho plain,rtu+tcp://localhost:4001\n")
    (tmp_path / "env").chmod(0o755)
    script = f"set -- 'nportpy read rtu+tcp://localhost:4'\n{BASH}"
    assert shell("bash", script, tmp_path) == ["4001"]
    assert shell("bash", f"COMP_WORDBREAKS=' '\n{script}", tmp_path) == ["rtu+tcp://localhost:4001"]


@pytest.mark.peer
def test_zsh_reads_the_completion(tmp_path: Path) -> None:
    script = "autoload -U compinit; compinit -u; source ./completion; print ${_comps[nportpy]}"
    assert shell("zsh", script, tmp_path) == ["_nportpy_completion"]


@pytest.mark.peer
def test_fish_completes(tmp_path: Path) -> None:
    script = "source ./completion; complete --do-complete 'nportpy serve --raw'"
    assert shell("fish", script, tmp_path)[0] == "--raw-port"  # what it is follows

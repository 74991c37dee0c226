"""`nportpy init`: asked for, from options, on invented machines and on pseudo-terminals."""

import os
import re
import select
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click.testing
import pytest

from nportpy.cli import main
from nportpy.cli.init_devices import who_may
from nportpy.cli.init_ports import Mode, Said, Taken, Wanted, with_defaults
from nportpy.config import load
from nportpy.protocols.modbus.rtu import Frame
from tests.support.free_ports import free_port
from tests.support.modbus_server import bus
from tests.support.trees import Machine, raspberry_pi

FTDI = "serial/by-id/usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0"
CH341 = "serial/by-path/platform-3f980000.usb-usb-0:1.3:1.0-port0"


@pytest.fixture(autouse=True)
def _this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """What else runs here, and how long a search takes, is nobody's business."""
    monkeypatch.setattr("nportpy.cli.init_ports.occupant", lambda *_, **__: None)
    monkeypatch.setattr("nportpy.cli.init.address_warnings", lambda _: ())
    monkeypatch.setattr("nportpy.cli.progress._FIRST_LINE", 1e9)


@pytest.fixture
def pi(tmp_path: Path) -> Machine:
    return raspberry_pi(tmp_path / "machine")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "etc" / "nportpy.toml"


@pytest.fixture
def terminal() -> Iterator[str]:
    """A pseudo-terminal in the place of a serial device: its path."""
    ours, theirs = os.openpty()
    yield os.ttyname(theirs)
    os.close(ours)
    os.close(theirs)


def run(*arguments: object, machine: Machine | None = None) -> click.testing.Result:
    """Nobody is there to answer."""
    words = ["init", *map(str, arguments)]
    roots = machine.roots if machine is not None else None
    return click.testing.CliRunner().invoke(main, words, obj=roots, catch_exceptions=False)


def answer(monkeypatch: pytest.MonkeyPatch, answers: str, *arguments: object, machine: Machine) -> click.testing.Result:
    """Somebody is there, and types these lines, an empty one for Enter."""
    monkeypatch.setattr("nportpy.cli.init._somebody_is_there", lambda: True)
    words = ["init", *map(str, arguments)]
    return click.testing.CliRunner().invoke(main, words, obj=machine.roots, input=answers, catch_exceptions=False)


def checked(path: Path) -> click.testing.Result:
    result = click.testing.CliRunner().invoke(main, ["check", "-c", str(path)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def test_enter_all_the_way(pi: Machine, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ttySC0, then two adapters, under the names that stay; the console is nobody's port."""
    result = answer(monkeypatch, "\n" * 100, "-o", target, machine=pi)
    assert result.exit_code == 0
    assert f"left out: {pi.dev}/ttyAMA0, the console" in result.stderr
    checked(target)
    settings = load(str(target))
    devices = [(port.name, port.port.device.removeprefix(f"{pi.dev}/")) for port in settings.ports]
    assert devices == [("port1", "ttySC0"), ("port2", FTDI), ("port3", CH341)]
    assert [port.raw[0].listen[0].port for port in settings.ports] == [4001, 4002, 4003]
    assert {str(port.port.line) for port in settings.ports} == {"9600 8N1"}
    assert f"nportpy serve -c {target}" in result.stdout
    assert "nc localhost 4001" in result.stdout
    assert f"nportpy status -c {target}" in result.stdout  # of this one, whatever /etc has


def test_every_answer_counts(pi: Machine, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [
        "n",  # ttySC0
        "y", "plc", "n", "19200", "8e1", "modbus, rfc2217", "5020", "5002",
        "y", "old", "n", "1200", "7E1", "realcom", "",
    ]  # fmt: skip
    result = answer(monkeypatch, "\n".join(answers) + "\n", "-o", target, machine=pi)
    assert result.exit_code == 0, result.output
    tables = tomllib.loads(target.read_text())["port"]
    assert tables == {
        "plc": {
            "device": f"{pi.dev}/{FTDI}",
            "baudrate": 19200,
            "format": "8E1",
            "modbus": {"listen": 5020},
            "rfc2217": {"listen": 5002},
        },
        "old": {
            "device": f"{pi.dev}/{CH341}",
            "baudrate": 1200,
            "format": "7E1",
            "realcom": {"data": 950, "command": 966},
        },
    }
    checked(target)


def test_what_makes_no_sense_is_asked_again(pi: Machine, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = ["y", "a b", "a", "n", "fast", "0", "9600", "9X1", "8E1", "tcp", "raw", "0", "70000", "9550", "4001"]
    answers += ["y", "a", "b", "n", "", "", "", "4001", "4002", "n"]
    result = answer(monkeypatch, "\n".join(answers) + "\n", "-o", target, machine=pi)
    assert result.exit_code == 0, result.output
    assert "TCP port 9550 belongs to [http] already" in result.stderr
    assert "TCP port 4001 belongs to raw of a already" in result.stderr
    assert "the name a is there already" in result.stderr
    assert "'tcp' is no mode; modes are raw, rfc2217, realcom, modbus" in result.stderr
    assert [(port.name, port.raw[0].listen[0].port) for port in load(str(target)).ports] == [("a", 4001), ("b", 4002)]


@pytest.mark.parametrize("answers", ["", "y\nmeters\n"], ids=["at once", "in the middle"])
def test_the_end_of_the_input_leaves_nothing(
    pi: Machine, target: Path, monkeypatch: pytest.MonkeyPatch, answers: str
) -> None:
    result = answer(monkeypatch, answers, "-o", target, machine=pi)
    assert result.exit_code == 1
    assert result.stderr.endswith("\nended; nothing was written\n")
    assert not target.parent.exists()


def test_no_device_is_wanted(pi: Machine, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = answer(monkeypatch, "n\nn\nn\n", "-o", target, machine=pi)
    assert (result.exit_code, target.exists()) == (1, False)
    assert "no device is to be served" in result.stderr


def test_nobody_is_there_and_nothing_is_said(pi: Machine, target: Path) -> None:
    result = run("-o", target, machine=pi)
    assert (result.exit_code, target.exists()) == (2, False)
    assert "nobody can be asked" in result.stderr
    assert "--yes" in result.stderr


def test_yes_takes_what_is_free(pi: Machine, target: Path) -> None:
    pi.process(812, "ser2net -n", f"{pi.dev}/ttyUSB0")
    result = run("--yes", "-o", target, "--baudrate", "19200", "--mode", "raw", "--mode", "rfc2217:6001", machine=pi)
    assert result.exit_code == 2  # one TCP port for two lines
    assert "TCP port 6001 belongs to rfc2217 of port1 already" in result.stderr
    assert not target.exists()
    result = run("--yes", "-o", target, "--baudrate", "19200", "--mode", "raw", "--mode", "rfc2217", machine=pi)
    assert result.exit_code == 0
    assert "is in use by ser2net -n (pid 812)" in result.stderr
    ports = load(str(target)).ports
    assert [port.port.device.removeprefix(f"{pi.dev}/") for port in ports] == ["ttySC0", CH341]
    assert [port.rfc2217[0].listen[0].port for port in ports] == [5001, 5002]


def test_a_gateway_that_runs_is_nobody_else(pi: Machine, target: Path) -> None:
    pi.process(900, "/usr/bin/python3 /usr/bin/nportpy serve -c x", f"{pi.dev}/ttySC0")
    assert "in use" not in run("--yes", "-o", target, machine=pi).stderr
    assert len(load(str(target)).ports) == 3


def test_no_device_here(tmp_path: Path, target: Path) -> None:
    result = run("--yes", "-o", target, machine=Machine(tmp_path / "machine"))
    assert (result.exit_code, target.exists()) == (1, False)
    assert "no serial device here. Plug one in" in result.stderr
    assert "nportpy init DEVICE" in result.stderr


def test_a_device_and_all_about_it(terminal: str, target: Path) -> None:
    result = run(f"meters={terminal},19200,8E1,raw:4801,modbus:5020", "-o", target, "--allow", "192.168.7.0/24")
    assert result.exit_code == 0
    (port,) = load(str(target)).ports
    assert (port.name, port.port.device, str(port.port.line)) == ("meters", terminal, "19200 8E1")
    assert (port.raw[0].listen[0].port, port.modbus[0].listen[0].port) == (4801, 5020)
    assert "192.168.7.0/24" in checked(target).stdout
    assert target.stat().st_mode & 0o777 == 0o644


def test_the_stable_name_is_written_whatever_was_said(pi: Machine, target: Path) -> None:
    assert run(f"{pi.dev}/ttyUSB0", "-o", target, machine=pi).exit_code == 0
    assert f'device = "{pi.dev}/{FTDI}"' in target.read_text()
    assert "# The serial device: FTDI FT232R USB UART A50285BI (ftdi_sio)." in target.read_text()


def test_the_file_explains_itself(pi: Machine, target: Path) -> None:
    run("--yes", "-o", target, *(f"--mode={mode}" for mode in Mode), machine=pi)
    text = target.read_text()
    assert f"#   nportpy check -c {target}" in text
    assert f"#   nportpy serve -c {target}" in text
    assert "#   nc localhost 4001" in text
    lines = text.splitlines()
    shown = [number for number, line in enumerate(lines) if re.match(r"[a-z0-9]+ =", line)]
    assert all(
        lines[number - 1].startswith(("#", "baudrate", "data")) for number in shown if lines[number - 1][:1] != "["
    )
    # What stands behind "#" is right as well.
    target.write_text(re.sub(r"^# (\w+ = .*)$", r"\1", text, flags=re.MULTILINE))
    checked(target)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["/dev/ttyUSB0,fast"], "'fast' is no mode; modes are raw, rfc2217, realcom, modbus"),
        (["/dev/ttyUSB0,9X1"], "'9X1' is no mode"),
        (["/dev/ttyUSB0,8X1"], "'8X1' is not a line format"),
        (["/dev/ttyUSB0,0"], "'0' is no speed"),
        (["/dev/ttyUSB0,raw:0"], "'0' is no TCP port"),
        (["/dev/ttyUSB0,raw:"], "'' is no TCP port"),
        (["/dev/ttyUSB0,raw:4001,modbus:4001"], "TCP port 4001 belongs to raw already"),
        (["/dev/ttyUSB0,realcom:65530"], "TCP port 65546, for Real COM's commands, is beyond 65535"),
        (["/dev/ttyUSB0,raw:9550"], "TCP port 9550 belongs to [http] already"),
        (["a=/dev/ttyUSB0", "a=/dev/ttyS1"], "the name a is there twice"),
        (["/dev/ttyUSB0,9600,19200"], "has two speeds: 9600 and 19200"),
        (["/dev/ttyUSB0,8N1,8E1"], "has two formats: 8N1 and 8E1"),
        (["/dev/ttyUSB0,raw:4001,raw:4002"], "raw is there twice"),
        (["/dev/ttyUSB0", "--mode", "raw", "--mode", "raw:4002"], "raw is there twice"),
        (["/dev/ttyUSB0", "ttyUSB0"], "is the same device as"),
        ([",9600"], "a device is missing"),
        (["/dev/ttyUSB0", "--allow", "192.168.7.1/24"], "has bits set behind its prefix"),
        (["/dev/ttyUSB0", "--baudrate", "x"], "'x' is no speed"),
        (["/dev/ttyUSB0", "--enable"], "--enable is for /etc/nportpy/nportpy.toml"),
    ],
)
def test_usage(words: list[str], message: str, target: Path) -> None:
    result = run(*words, "-o", target, "--force")
    assert message in result.stderr
    assert (result.exit_code, target.exists()) == (2, False)


def test_a_device_that_is_not_here(tmp_path: Path, target: Path) -> None:
    result = run(tmp_path / "ttyUSB7", "-o", target)
    assert (result.exit_code, target.exists()) == (1, False)
    assert "ttyUSB7 is not here; nportpy ports lists what is; --force writes it all the same" in result.stderr
    (tmp_path / "file").touch()
    assert "is no serial device" in run(tmp_path / "file", "-o", target).stderr
    assert run(tmp_path / "ttyUSB7", "-o", target, "--force").exit_code == 0
    assert run("rfc2217://192.0.2.1:5001", "-o", target, "--force").exit_code == 0


def test_a_device_in_use_or_of_another_group(pi: Machine, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pi.process(812, "ser2net -n", f"{pi.dev}/ttyUSB0")
    real = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: "ttyUSB" not in str(os.path.realpath(path)) and real(path, mode)
    )
    result = run(f"{pi.dev}/ttyUSB0", "-o", target, machine=pi)
    assert result.exit_code == 0
    assert "is in use by ser2net -n (pid 812): end that before nportpy starts" in result.stderr
    assert "you may not open" in result.stderr


@pytest.mark.parametrize(
    ("mode", "group", "words"),
    [
        (0o20660, 4711, "belongs to the group 4711: sudo usermod -aG 4711 $USER"),
        (0o20660, 0, "is root's alone"),
        (0o20600, 4711, "is root's alone"),
    ],
)
def test_nobody_is_told_to_join_roots_group(mode: int, group: int, words: str) -> None:
    found = who_may(os.stat_result((mode, 0, 0, 1, 0, group, 0, 0, 0, 0)))
    assert words in found
    assert ("usermod" in found) == ("belongs" in words)


def test_a_place_that_is_not_ours(terminal: str, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    result = run(terminal, "-o", target)
    assert (result.exit_code, target.exists()) == (1, False)
    assert "is not yours. Either sudo " in result.stderr
    assert "nportpy init -o ./nportpy.toml" in result.stderr


def test_places_that_are_none(terminal: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run(terminal, "-o", tmp_path / "file" / "nportpy.toml")
    assert result.exit_code == 1
    assert f"{tmp_path}/file is no directory" in result.stderr
    assert "is a directory" in run(terminal, "-o", tmp_path).stderr


def test_a_file_that_is_there_is_kept(terminal: str, target: Path) -> None:
    target.parent.mkdir()
    target.write_text("# mine\n")
    target.chmod(0o600)
    result = run(terminal, "-o", target)
    assert (result.exit_code, target.read_text()) == (2, "# mine\n")
    assert "is there already; --force writes over it" in result.stderr
    result = run(terminal, "-o", target, "--force")
    assert result.exit_code == 0
    assert f"the old one is {target}.bak" in result.stderr
    assert Path(f"{target}.bak").read_text() == "# mine\n"
    assert target.stat().st_mode & 0o777 == 0o600
    assert run(terminal, "-o", target, "--force").exit_code == 0
    assert Path(f"{target}.bak").read_text() == "# mine\n"  # not lost by a second time
    assert sorted(each.name for each in target.parent.iterdir()) == [
        "nportpy.toml",
        "nportpy.toml.bak",
        "nportpy.toml.bak2",
    ]


def test_a_file_that_says_nothing_is_replaced(terminal: str, target: Path) -> None:
    target.parent.mkdir()
    target.write_text("# nportpy's configuration, as the package brings it\n# [port.meters]\n")
    assert run(terminal, "-o", target).exit_code == 0
    assert "[port.port1]" in target.read_text()
    assert "package" in Path(f"{target}.bak").read_text()


@pytest.mark.parametrize("yes", [True, False])
def test_whoever_is_there_is_asked_first(pi: Machine, target: Path, monkeypatch: pytest.MonkeyPatch, yes: bool) -> None:
    target.parent.mkdir()
    target.write_text("# mine\n")
    result = answer(monkeypatch, "y" + "\n" * 50 if yes else "\n" * 50, "-o", target, machine=pi)
    assert result.exit_code == (0 if yes else 1)
    assert (target.read_text() == "# mine\n") is not yes
    assert Path(f"{target}.bak").exists() is yes


def test_a_link_stays_one(terminal: str, target: Path, tmp_path: Path) -> None:
    target.parent.mkdir()
    (tmp_path / "real.toml").write_text("# mine\n")
    target.symlink_to(tmp_path / "real.toml")
    assert run(terminal, "-o", target, "--force").exit_code == 0
    assert target.is_symlink()
    assert "[port.port1]" in (tmp_path / "real.toml").read_text()


def test_a_full_disk_leaves_the_old_file(terminal: str, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target.parent.mkdir()
    target.write_text("# mine\n")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    result = run(terminal, "-o", target, "--force")
    assert result.exit_code == 1
    assert f"{target} cannot be written: No space left on device" in result.stderr
    assert [(each.name, each.read_text()) for each in target.parent.iterdir()] == [("nportpy.toml", "# mine\n")]


def test_standard_output(terminal: str) -> None:
    result = run(terminal, "-o", "-")
    assert tomllib.loads(result.stdout)["port"]["port1"]["device"] == terminal
    assert "Next:" not in result.stderr


def units(speed: int, frame: Frame) -> bytes:
    """Units 1 and 3, at 19200 only; 3 says who it is."""
    if speed != 19200 or frame.unit not in (1, 3):
        return b""
    pdu = bytes((frame.pdu[0] | 0x80, 1))
    if frame.pdu[0] == 3:
        pdu = b"\3\2\0\7"
    elif frame.pdu[0] == 43 and frame.unit == 3:
        pdu = b"\x2b\x0e\1\1\0\0\2\0\4Acme\1\3X-1"
    return Frame(frame.unit, pdu).encode()


def test_a_search_finds_units_speed_and_format(target: Path) -> None:
    with bus(units) as device:
        result = run(f"{device},8E1", "--scan", "--units", "1-3", "-o", target)
    assert result.exit_code == 0, result.output
    assert "found at 19200 8E1: unit 1,3" in result.stderr
    text = target.read_text()
    assert "# Modbus units that answered a search at 19200 8E1: 1,3\n#   unit 3: Acme, X-1\n" in text
    tables = tomllib.loads(text)["port"]["port1"]
    assert (tables["baudrate"], tables["format"], tables["modbus"]) == (19200, "8E1", {"listen": 502})
    assert "nportpy read localhost:502 holding:0 --unit 1" in result.stdout


def test_a_search_that_was_asked_for(pi: Machine, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with bus(units) as device:
        answers = "meters\ny\n\n\n"  # its name, search, modbus, 502; the speed is known
        result = answer(monkeypatch, answers, f"{device},19200,8E1", "--units", "1", "-o", target, machine=pi)
    assert result.exit_code == 0, result.output
    assert tomllib.loads(target.read_text())["port"]["meters"]["modbus"] == {"listen": 502}


def test_ctrl_c_ends_a_search_alone(pi: Machine, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def tired(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nportpy.cli.init_questions.search", tired)
    result = answer(monkeypatch, "meters\ny\n\n\nraw\n4001\n", f"{pi.dev}/ttySC0", "-o", target, machine=pi)
    assert result.exit_code == 0, result.output
    assert "the search is ended" in result.stderr
    assert [port.name for port in load(str(target)).ports] == ["meters"]


def test_a_search_in_vain(terminal: str, target: Path) -> None:
    result = run(f"{terminal},19200,8E1", "--scan", "--units", "1", "-o", target)
    assert result.exit_code == 0
    assert "nobody answers at 19200 8E1" in result.stderr
    assert "raw" in tomllib.loads(target.read_text())["port"]["port1"]


def test_a_search_on_a_device_that_cannot_be_opened(tmp_path: Path, target: Path) -> None:
    result = run(tmp_path / "none", "--scan", "--force", "-o", target)
    assert (result.exit_code, target.exists()) == (1, False)
    assert "no search on" in result.stderr


class Systemd:
    """A machine with the unit, and a systemctl that writes down what it is told."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.told = folder / "told"
        self.config = folder / "etc" / "nportpy.toml"
        self.command = folder / "bin" / "systemctl"
        self.command.parent.mkdir()
        self.says(0)
        (folder / "units").mkdir()
        (folder / "units" / "nportpy.service").touch()
        monkeypatch.setenv("PATH", f"{folder}/bin:{os.environ['PATH']}")
        monkeypatch.setattr("nportpy.cli.init_service.DIRECTORIES", (str(folder / "units"),))
        monkeypatch.setattr("nportpy.cli.init_service.BOOTED", str(folder / "units"))
        monkeypatch.setattr("nportpy.cli.init.DEFAULT_PATH", str(self.config))

    def says(self, code: int) -> None:
        self.command.write_text(f'#!/bin/sh\necho "$@" >> {self.told}\necho "no way" >&2\nexit {code}\n')
        self.command.chmod(0o755)


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    return Systemd(tmp_path, monkeypatch)


def test_the_service_is_enabled_on_wish(systemd: Systemd, terminal: str) -> None:
    result = run(terminal, "-o", systemd.config, "--enable")
    assert result.exit_code == 0
    assert systemd.told.read_text() == "enable nportpy.service\nreload-or-restart nportpy.service\n"
    assert "sudo systemctl status nportpy" in result.stdout
    assert "#   sudo systemctl reload nportpy" in systemd.config.read_text()


@pytest.mark.parametrize("option", [[], ["--no-enable"]])
def test_and_not_without_a_word(systemd: Systemd, terminal: str, option: list[str]) -> None:
    result = run(terminal, "-o", systemd.config, *option)
    assert not systemd.told.exists()
    assert "nportpy is not started: sudo systemctl enable --now nportpy" in result.stderr


@pytest.mark.parametrize("yes", [True, False])
def test_whoever_is_there_is_asked_about_the_service(
    systemd: Systemd, pi: Machine, monkeypatch: pytest.MonkeyPatch, yes: bool
) -> None:
    answers = "m\nn\n9600\n8N1\nraw\n4001\n" + ("y\n" if yes else "n\n")
    result = answer(monkeypatch, answers, f"{pi.dev}/ttySC0", "-o", systemd.config, machine=pi)
    assert result.exit_code == 0, result.output
    assert systemd.told.exists() is yes


def test_a_service_that_does_not_start(systemd: Systemd, terminal: str) -> None:
    systemd.says(1)
    result = run(terminal, "-o", systemd.config, "--enable")
    assert result.exit_code == 1
    assert "systemctl enable nportpy.service failed: no way" in result.stderr
    assert "The configuration is written" in result.stderr
    assert systemd.config.exists()


def test_ports_that_are_taken_are_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other:
        is_gateway = False

    monkeypatch.setattr(
        "nportpy.cli.init_ports.occupant", lambda endpoint, **_: Other() if endpoint.port == 4001 else None
    )
    chosen = with_defaults(Said.parse("/dev/ttyS0,modbus:4002,raw,realcom"), "", (), Taken())
    assert chosen.services == (Wanted(Mode.MODBUS, 4002), Wanted(Mode.RAW, 4003), Wanted(Mode.REALCOM, 950))


@contextmanager
def on_a_terminal(*arguments: str) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """nportpy init in a process with a terminal of its own, and our end of that."""
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "nportpy", "init", *arguments]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as process:
        try:
            yield process, ours
        finally:
            process.kill()
            os.close(ours)
            os.close(theirs)


def said_until(words: bytes, descriptor: int) -> bytes:
    heard = b""
    while words not in heard:
        assert select.select([descriptor], [], [], 60)[0], heard
        heard += os.read(descriptor, 4096)
    return heard


@pytest.mark.long
def test_ctrl_c_leaves_nothing(terminal: str, target: Path) -> None:
    with on_a_terminal(terminal, "-o", str(target)) as (process, screen):
        said_until(b"Name of the port", screen)
        process.send_signal(signal.SIGINT)
        while not select.select([screen], [], [], 5)[0]:  # between a question and the reading of its answer one is lost
            process.send_signal(signal.SIGINT)
        assert b"nothing was written" in said_until(b"written", screen)
        assert process.wait(60) == 1
    assert not target.parent.exists()


@pytest.mark.long
def test_a_new_user_has_a_byte_in_the_end(target: Path) -> None:
    """init on a terminal, serve, and a byte each way, the line being a pseudo-terminal."""
    line, device = os.openpty()
    port = free_port()
    try:
        with on_a_terminal(os.ttyname(device), "-o", str(target)) as (process, screen):
            for question, reply in (
                (b"Name of the port", b"meters"), (b"Look for Modbus", b""), (b"Speed", b""), (b"Data bits", b""),
                (b"Mode, or", b""), (b"TCP port of raw", str(port).encode()),
            ):  # fmt: skip
                said_until(question, screen)
                os.write(screen, reply + b"\n")
            assert f"nc localhost {port}".encode() in said_until(b"nportpy status", screen)
            assert process.wait(60) == 0
        target.write_text(target.read_text().replace('# listen = "127.0.0.1:9550"', "listen = false"))
        command = [sys.executable, "-m", "nportpy", "serve", "-c", str(target)]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as gateway:
            try:
                assert gateway.stderr is not None
                while "serving" not in (line_said := gateway.stderr.readline()):
                    assert line_said
                with socket.create_connection(("localhost", port), 30) as client:
                    client.sendall(b"x")
                    assert os.read(line, 1) == b"x"
                    os.write(line, b"y")
                    assert client.recv(1) == b"y"
            finally:
                gateway.send_signal(signal.SIGTERM)
                gateway.communicate(timeout=60)
    finally:
        os.close(line)
        os.close(device)

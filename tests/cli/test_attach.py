"""`nportpy attach` as a process: exit codes, signals, what the supervisor hears, and what is left behind."""

import errno
import os
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click.testing
import pytest

from nportpy.cli import main

pytestmark = pytest.mark.process

PATIENCE = 20.0


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)


@contextmanager
def attach(*arguments: str, environ: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "nportpy", "attach", *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **(environ or {})})
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        yield listener


def address(server: socket.socket) -> str:
    return f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_bytes_pass_and_nothing_is_left_behind(tmp_path: Path, server: socket.socket, loop: str) -> None:
    link = tmp_path / "ttyV0"
    with attach("--loop", loop, "--mode", "0600", f"raw://{address(server)}", str(link)) as process:
        client, _ = server.accept()
        with client:
            client.settimeout(PATIENCE)
            assert link.stat().st_mode & 0o777 == 0o600
            fd = os.open(link, os.O_RDWR | os.O_NOCTTY)
            os.write(fd, b"question")
            assert client.recv(100) == b"question"
            client.sendall(b"answer")
            assert os.read(fd, 100) == b"answer"
            os.write(fd, b"last words")
            os.close(fd)
            process.send_signal(signal.SIGTERM)
            heard = b""
            while piece := client.recv(100):
                heard += piece
            assert heard == b"last words"
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, errors
    assert not link.is_symlink()
    assert "stopped" in errors


def test_a_speed_and_a_break_are_carried(tmp_path: Path, server: socket.socket) -> None:
    link = tmp_path / "ttyV0"
    with attach("--baudrate", "1200", "--format", "7E1", address(server), str(link)) as process:
        client, _ = server.accept()
        with client:
            client.settimeout(PATIENCE)
            client.sendall(b"\xff\xfb\x00\xff\xfd\x00\xff\xfd\x2c")
            heard = bytearray()

            def hears(wire: bytes) -> None:
                while wire not in heard:
                    heard.extend(client.recv(1000))

            hears(b"\xff\xfa\x2c\x01\x00\x00\x04\xb0\xff\xf0")
            for wire in (
                b"\xff\xfa\x2c\x02\x07\xff\xf0",
                b"\xff\xfa\x2c\x03\x03\xff\xf0",
                b"\xff\xfa\x2c\x04\x01\xff\xf0",
            ):
                hears(wire)
            fd = os.open(link, os.O_RDWR | os.O_NOCTTY)
            assert termios.tcgetattr(fd)[4] == termios.B1200
            os.close(fd)
            process.send_signal(signal.SIGUSR1)
            hears(b"\xff\xfa\x2c\x05\x05\xff\xf0")
            hears(b"\xff\xfa\x2c\x05\x06\xff\xf0")


def test_the_supervisor_hears_of_it(tmp_path: Path, server: socket.socket) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(path))
        supervisor.settimeout(PATIENCE)
        link = tmp_path / "ttyV0"
        with attach(f"raw://{address(server)}", str(link), environ={"NOTIFY_SOCKET": str(path)}) as process:
            heard = [supervisor.recv(1000)]
            assert heard[0].startswith(b"READY=1")
            assert link.is_symlink()
            while b"STATUS=connected" not in heard:
                heard.append(supervisor.recv(1000))
            process.send_signal(signal.SIGINT)
            while b"STOPPING=1" not in heard:
                heard.append(supervisor.recv(1000))
            assert process.wait(PATIENCE) == 0


def test_a_second_signal_ends_at_once(tmp_path: Path, server: socket.socket) -> None:
    place = address(server)
    server.close()
    link = tmp_path / "ttyV0"
    with attach("--drain", "10min", place, str(link)) as process:
        wait_for(link.is_symlink, "the link")
        fd = os.open(link, os.O_RDWR | os.O_NOCTTY)
        os.write(fd, b"nobody takes it")
        process.send_signal(signal.SIGTERM)
        wait_for(lambda: not link.is_symlink(), "the link's end")
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 1
        os.close(fd)


def test_a_link_that_is_taken(tmp_path: Path) -> None:
    (tmp_path / "ttyV0").write_text("precious")
    result = click.testing.CliRunner().invoke(main, ["attach", "127.0.0.1:1", str(tmp_path / "ttyV0")])
    assert result.exit_code == 1
    assert "is no link" in result.output
    result = click.testing.CliRunner().invoke(main, ["attach", "127.0.0.1:1", str(tmp_path / "none/ttyV0")])
    assert result.exit_code == 1
    assert "No such file" in result.output


def test_a21_who_may_not_make_the_link_is_told_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, link: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", path, None, link)

    monkeypatch.setattr("nportpy.attach.terminal.os.symlink", refuse)
    monkeypatch.setenv("HOME", "/home/ann")
    result = click.testing.CliRunner().invoke(main, ["attach", "gw:5001", "/dev/ttyV9"])
    assert result.exit_code == 1
    assert "/dev/ttyV9: Permission denied: /dev is not yours to write to" in result.output
    assert "\n  nportpy attach rfc2217://gw:5001 /home/ann/ttyV9\n" in result.output
    assert "\n  sudo nportpy attach rfc2217://gw:5001 /dev/ttyV9 --group dialout\n" in result.output


def test_a21_who_may_not_give_it_to_a_group_is_told_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("nportpy.attach.terminal.os.fchown", refuse)
    link = str(tmp_path / "ttyV0")
    result = click.testing.CliRunner().invoke(main, ["attach", "gw:5001", link, "--group", "dialout"])
    assert result.exit_code == 1
    assert f"group dialout: sudo nportpy attach rfc2217://gw:5001 {link} --group dialout" in result.output


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense", "/tmp/x"],
        ["realcom://gw:4001", "/tmp/x"],
        ["gw:1", "/tmp/x", "--mode", "0777"],
        ["gw:1", "/tmp/x", "--mode", "rw"],
        ["gw:1", "/tmp/x", "--group", "no such group"],
        ["gw:1", "/tmp/x", "--format", "9N1"],
        ["gw:1", "/tmp/x", "--drain", "long"],
        ["gw:1", "/tmp/x", "--baudrate", "0"],
    ],
)
def test_wrong_usage(arguments: list[str]) -> None:
    result = click.testing.CliRunner().invoke(main, ["attach", *arguments])
    assert result.exit_code == 2
    assert "Error: " in result.output

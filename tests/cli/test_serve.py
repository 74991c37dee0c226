"""`nportpy serve` as a process: exit codes, signals, what the supervisor hears, and a device that comes and goes."""

import os
import select
import signal
import socket
import subprocess
import sys
import time
import tty
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import click.testing
import pytest

from nportpy.cli import main
from nportpy.gateway.plans import GatewaySettings
from tests.support.free_ports import free_port

pytestmark = pytest.mark.process

PATIENCE = 20.0


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Half of the time at most goes into asking: what is waited for needs the processor, too."""
    deadline = time.monotonic() + PATIENCE
    asked = time.monotonic()
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(max(0.01, time.monotonic() - asked))
        asked = time.monotonic()


class Pty:
    """A pseudo-terminal behind a symbolic link, as a by-id path is to a device."""

    def __init__(self, link: Path) -> None:
        self.link = link
        self.master = -1
        self.plug()

    def plug(self) -> None:
        self.master, slave = os.openpty()
        tty.setraw(slave)
        name = os.ttyname(slave)
        os.close(slave)
        self._held = os.open(name, os.O_RDWR | os.O_NOCTTY)
        self.link.unlink(missing_ok=True)
        self.link.symlink_to(name)
        self.name = name

    def unplug(self) -> None:
        self.link.unlink(missing_ok=True)
        os.close(self.master)
        os.close(self._held)
        self.master = -1

    def read(self, size: int) -> bytes:
        data = b""
        deadline = time.monotonic() + PATIENCE
        while len(data) < size and time.monotonic() < deadline:
            if select.select([self.master], [], [], 0.1)[0]:
                data += os.read(self.master, size - len(data))
        return data

    def write(self, data: bytes) -> None:
        os.write(self.master, data)

    def close(self) -> None:
        if self.master >= 0:
            self.unplug()


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Pty]:
    device = Pty(tmp_path / "by-id")
    yield device
    device.close()


class Gateway:
    """A gateway that runs. `log` grows."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process = process
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text()

    def logs(self, text: str) -> None:
        wait_for(lambda: text in self.log or self.process.poll() is not None, f"{text!r} in {self.log}")
        assert text in self.log

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        return self.process.wait(PATIENCE)


@contextmanager
def serve(
    tmp_path: Path, *arguments: str, ready: bool = True, environment: Mapping[str, str] = {}
) -> Iterator[Gateway]:
    log = tmp_path / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "nportpy", "serve", *arguments],
            stderr=file,
            stdout=file,
            env={**os.environ, **environment},
        )
    gateway = Gateway(process, log)
    try:
        if ready:
            gateway.logs("serving")
            gateway.logs("line up")
        yield gateway
    finally:
        process.kill()
        process.wait()


def configuration(tmp_path: Path, device: Pty, port: int, *, more: str = "", top: str = "") -> Path:
    path = tmp_path / "nportpy.toml"
    path.write_text(
        f"{top}\n[http]\nlisten = false\n\n[port.line]\n"
        f'device = "{device.link}"\nbaudrate = 115200\n\n[port.line.raw]\nlisten = "127.0.0.1:{port}"\n{more}'
    )
    return path


def client(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def gone(sock: socket.socket) -> bool:
    """Whether the other end has ended the connection."""
    try:
        return sock.recv(100) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_it_serves_until_it_is_told_to_stop(tmp_path: Path, device: Pty, loop: str) -> None:
    port = free_port()
    path = configuration(tmp_path, device, port)
    with serve(tmp_path, "-c", str(path), "--loop", loop) as gateway, client(port) as sock:
        assert "anyone who reaches this machine may connect" not in gateway.log  # it listens on 127.0.0.1
        sock.sendall(b"request")
        assert device.read(7) == b"request"
        device.write(b"answer")
        assert sock.recv(100) == b"answer"
        gateway.signal(signal.SIGTERM if loop == "uvloop" else signal.SIGINT)
        assert gone(sock)
        assert gateway.end() == 0
        assert "Traceback" not in gateway.log


def test_services_for_anyone_are_warned_of(tmp_path: Path, device: Pty) -> None:
    path = configuration(tmp_path, device, free_port())
    path.write_text(path.read_text().replace("127.0.0.1:", "0.0.0.0:", 1))
    with serve(tmp_path, "-c", str(path)) as gateway:
        assert "anyone who reaches this machine may connect" in gateway.log
        gateway.signal(signal.SIGTERM)
        assert gateway.end() == 0


def test_stopping_drains_a_line_that_takes_its_time(tmp_path: Path, device: Pty) -> None:
    port = free_port()
    path = configuration(tmp_path, device, port, top='[gateway]\ndrain = "15s"')
    sent = os.urandom(40_000)  # ten times what a pseudo-terminal holds
    with serve(tmp_path, "-c", str(path)) as gateway, client(port) as sock:
        sock.sendall(sent)
        time.sleep(0.3)
        gateway.signal(signal.SIGTERM)
        heard = b""
        while len(heard) < len(sent):
            piece = device.read(min(2000, len(sent) - len(heard)))
            assert piece, "the rest was lost"
            heard += piece
            time.sleep(0.01)
        assert heard == sent
        assert gateway.end() == 0


def test_a_second_signal_ends_at_once(tmp_path: Path, device: Pty) -> None:
    port = free_port()
    path = configuration(tmp_path, device, port, top='[gateway]\ndrain = "1h"')
    with serve(tmp_path, "-c", str(path)) as gateway, client(port) as sock:
        sock.sendall(bytes(40_000))
        time.sleep(0.3)
        gateway.signal(signal.SIGTERM)
        gateway.logs("stopping")
        time.sleep(0.3)
        assert gateway.process.poll() is None
        gateway.signal(signal.SIGTERM)
        assert gateway.end() == 1
        assert "Traceback" not in gateway.log


def test_a4_with_a_file_an_address_in_use_is_waited_for(tmp_path: Path, device: Pty) -> None:
    heard: list[str] = []
    port, free = free_port(), free_port()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor, ExitStack() as other:
        supervisor.bind(str(tmp_path / "notify"))
        supervisor.settimeout(PATIENCE)

        def hears(text: str) -> None:
            while text not in (heard[-1] if heard else ""):
                heard.append(supervisor.recv(1000).decode())

        taken = other.enter_context(
            subprocess.Popen([sys.executable, "-c", _LISTEN, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        )
        assert taken.stdout is not None
        taken.stdout.readline()
        path = configuration(tmp_path, device, port, more=f'[port.line.rfc2217]\nlisten = "127.0.0.1:{free}"\n')
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        with serve(tmp_path, "-c", str(path), environment=environment) as gateway:
            gateway.logs("cannot be reached yet, trying on port=line service=raw")
            assert f"(pid {taken.pid})" in gateway.log  # root sees that
            number = path.read_text().splitlines().index(f'listen = "127.0.0.1:{port}"') + 1
            assert f"line={path}:{number}" in gateway.log
            hears("READY=1")
            hears("STATUS=1 of 1 lines up; not listening: line raw on 127.0.0.1:")
            with client(free):
                pass
            assert gateway.process.poll() is None
            taken.communicate()  # it ends
            gateway.logs("can be reached now")
            hears("STATUS=1 of 1 lines up")
            with client(port) as sock:
                sock.sendall(b"x")
                assert device.read(1) == b"x"
            gateway.signal(signal.SIGTERM)
            assert gateway.end() == 0
            assert "Traceback" not in gateway.log


_LISTEN = """
import socket, sys
sock = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("listening", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("option", ["--raw-port", "--rfc2217-port", "--http-port"])
def test_a4_without_a_file_an_address_in_use_is_a_message_and_exit_1(tmp_path: Path, device: Pty, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = {each: str(free_port()) for each in ("--raw-port", "--rfc2217-port", "--http-port")}
        ports[option] = str(taken.getsockname()[1])
        arguments = [text for pair in ports.items() for text in pair]
        with serve(tmp_path, str(device.link), "--listen", "127.0.0.1", *arguments, ready=False) as gateway:
            assert gateway.end() == 1
            assert f"Error: cannot listen on 127.0.0.1:{ports[option]}: the address is in use by " in gateway.log
            assert "--raw-port and the like choose others" in gateway.log
            assert "Traceback" not in gateway.log


def test_a1_the_status_line_is_never_stale(tmp_path: Path, device: Pty) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.bind(str(tmp_path / "notify"))
        supervisor.settimeout(PATIENCE)

        def hears(status: str, word: str = "") -> None:
            while True:
                lines = supervisor.recv(1000).decode().splitlines()
                if f"STATUS={status}" in lines and (not word or word in lines):
                    return

        path = configuration(tmp_path, device, free_port())
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        with serve(tmp_path, "-c", str(path), environment=environment) as gateway:
            hears("1 of 1 lines up")
            device.unplug()
            hears("0 of 1 lines up; away: line")
            device.plug()
            hears("1 of 1 lines up")
            other = f'[port.gone]\ndevice = "{tmp_path}/not-here"\n'
            path.write_text(other + path.read_text().replace("115200", "9600"))
            gateway.signal(signal.SIGHUP)
            hears("1 of 2 lines up; away: gone")
            gateway.signal(signal.SIGTERM)
            assert gateway.end() == 0


def test_a16_the_start_says_which_tcp_port_is_what(tmp_path: Path, device: Pty) -> None:
    raw, http = free_port(), free_port()
    path = configuration(tmp_path, device, raw)
    path.write_text(path.read_text().replace("listen = false", f'listen = "127.0.0.1:{http}"'))
    with serve(tmp_path, "-c", str(path)) as gateway:
        assert f"listening port=line service=raw listen=127.0.0.1:{raw}" in gateway.log
        assert f"listening service=http listen=127.0.0.1:{http}" in gateway.log
        assert gateway.log.index("listening port=line") < gateway.log.index("nportpy.serve: serving")


def test_a17_devices_can_leave_the_usual_tcp_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[GatewaySettings] = []
    monkeypatch.setattr("nportpy.cli.running.main", lambda settings, *_: served.append(settings))

    def run(*arguments: str) -> click.testing.Result:
        return click.testing.CliRunner().invoke(main, ["serve", "--listen", "::1", "ttyS0", "ttyS1", *arguments])

    ports = ("--raw-port", "7001", "--rfc2217-port", "7003", "--modbus-port", "5020", "--http-port", "0")
    assert run("--modbus", *ports).stderr.splitlines() == [
        "/dev/ttyS0 (9600 8N1): raw TCP on [::1]:7001, RFC 2217 on [::1]:7003, Modbus TCP on [::1]:5020",
        "/dev/ttyS1 (9600 8N1): raw TCP on [::1]:7002, RFC 2217 on [::1]:7004, Modbus TCP on [::1]:5021",
    ]
    assert served[0].http is None
    run("--http-port", "8080")
    assert served[1].http is not None
    assert served[1].http.listen == (("127.0.0.1", 8080),)
    for arguments, fault in {
        ("--raw-port", "65535"): "--raw-port = 65535: needs 2 TCP ports from there on (allowed: 1 to 65534)",
        ("--raw-port", "0"): "--raw-port = 0: needs 2 TCP ports from there on (allowed: 1 to 65534)",
        ("--raw-port", "5002"): "--rfc2217-port = 5001: 5001 to 5002 overlap 5002 to 5003 of --raw-port",
        ("--http-port", "4002"): "--raw-port = 4001: 4001 to 4002 overlap 4002 to 4002 of --http-port",
    }.items():
        result = run(*arguments)
        assert result.exit_code == 2
        assert fault in result.stderr


def test_bad_configurations_and_usage_are_exit_2(tmp_path: Path, device: Pty) -> None:
    path = configuration(tmp_path, device, free_port(), more="max_clinets = 3\n")
    with serve(tmp_path, "-c", str(path), ready=False) as gateway:
        assert gateway.end() == 2
        assert "Traceback" not in gateway.log
        assert "max_clinets" in gateway.log
    for arguments in (("-c", str(tmp_path / "absent.toml")), ("-c", str(path), "/dev/ttyS0")):
        assert click.testing.CliRunner().invoke(main, ["serve", *arguments], catch_exceptions=False).exit_code == 2


def test_hanging_up_reloads(tmp_path: Path, device: Pty) -> None:
    port, other = free_port(), free_port()
    path = configuration(tmp_path, device, port)
    with serve(tmp_path, "-c", str(path)) as gateway, client(port) as sock:
        second = f'\n[port.line.rfc2217]\nlisten = "127.0.0.1:{other}"\n'
        configuration(tmp_path, device, port, more=second)
        gateway.signal(signal.SIGHUP)
        gateway.logs("reloaded")
        with client(other) as telnet:
            assert telnet.recv(3) == b"\xff\xfb\x03"
        path.write_text("[port.line]\ndevice = 7\n")
        gateway.signal(signal.SIGHUP)
        gateway.logs("reload failed, nothing has changed")
        assert "configuration fault" in gateway.log
        device.write(b"still here")
        assert sock.recv(100) == b"still here"
        path.unlink()
        gateway.signal(signal.SIGHUP)
        wait_for(lambda: gateway.log.count("reload failed") == 2, "the second failure")
        device.write(b"still here")
        assert sock.recv(100) == b"still here"
        gateway.signal(signal.SIGTERM)
        assert gateway.end() == 0


def test_without_a_file_there_is_nothing_to_reload(tmp_path: Path, device: Pty) -> None:
    with suppress(AssertionError), serve(tmp_path, str(device.link), "--listen", "127.0.0.1") as gateway:
        if gateway.process.poll() is not None:
            pytest.skip("something else listens on 4001 or 5001 here")
        assert "raw TCP on 127.0.0.1:4001, RFC 2217 on 127.0.0.1:5001" in gateway.log
        gateway.signal(signal.SIGHUP)
        gateway.logs("nothing to reload")
        gateway.signal(signal.SIGTERM)
        assert gateway.end() == 0


def test_devices_have_modbus_on_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[GatewaySettings] = []
    monkeypatch.setattr("nportpy.cli.running.main", lambda settings, *_: served.append(settings))
    result = click.testing.CliRunner().invoke(main, ["serve", "--modbus", "--listen", "::1", "ttyS0", "ttyS1"])
    assert result.stderr.splitlines() == [
        "/dev/ttyS0 (9600 8N1): raw TCP on [::1]:4001, RFC 2217 on [::1]:5001, Modbus TCP on [::1]:502",
        "/dev/ttyS1 (9600 8N1): raw TCP on [::1]:4002, RFC 2217 on [::1]:5002, Modbus TCP on [::1]:503",
    ]
    assert [len(port.modbus) for port in served[0].ports] == [1, 1]


def test_in_a_file_modbus_is_no_option(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("nportpy.config.DEFAULT_PATH", str(tmp_path))  # it is there
    for arguments in (("-c", "x.toml"), ()):
        result = click.testing.CliRunner().invoke(main, ["serve", "--modbus", *arguments])
        assert result.exit_code == 2
        assert "it is a table, [port.NAME.modbus]" in result.stderr


def test_the_supervisor_is_told(tmp_path: Path, device: Pty) -> None:
    heard: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        address = tmp_path / "notify"
        supervisor.bind(str(address))
        supervisor.settimeout(PATIENCE)

        def hears(word: str) -> str:
            while True:
                heard.append(supervisor.recv(1000).decode())
                if word in heard[-1].splitlines():
                    return heard[-1]

        path = configuration(tmp_path, device, free_port())
        environment = {"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "200000"}
        with serve(tmp_path, "-c", str(path), environment=environment) as gateway:
            assert "STATUS=" in hears("READY=1")
            for _ in range(3):
                hears("WATCHDOG=1")
            gateway.signal(signal.SIGHUP)
            assert "MONOTONIC_USEC=" in hears("RELOADING=1")
            hears("READY=1")
            gateway.signal(signal.SIGTERM)
            hears("STOPPING=1")
            assert gateway.end() == 0


@pytest.mark.parametrize("when_down", ["close", "hold"])
def test_a_device_comes_back_under_another_number_under_traffic(tmp_path: Path, device: Pty, when_down: str) -> None:
    port = free_port()
    path = configuration(tmp_path, device, port, more=f'when_down = "{when_down}"\n')
    with serve(tmp_path, "-c", str(path)) as gateway, client(port) as sock:
        for count in range(1, 3):
            sock.sendall(b"before")
            assert device.read(6) == b"before"
            name = device.name
            device.unplug()
            blocker = os.openpty()  # so that the number is another one
            wait_for(lambda count=count: gateway.log.count("line lost") == count, "the loss")  # type: ignore[misc]
            with suppress(OSError):
                sock.sendall(b"x" * 10 if when_down == "close" else b"")
            device.plug()
            assert device.name != name or blocker
            wait_for(lambda count=count: gateway.log.count("line up") == count + 1, "the return")  # type: ignore[misc]
            if when_down == "close":
                assert gone(sock)
                sock.close()
                sock = client(port)
            sock.sendall(b"again")
            assert device.read(5) == b"again"
            device.write(b"after")  # not earlier: what comes before the first client is stale
            assert sock.recv(100) == b"after"
            for end in blocker:
                os.close(end)
        sock.close()
        gateway.signal(signal.SIGTERM)
        assert gateway.end() == 0
        assert "Traceback" not in gateway.log

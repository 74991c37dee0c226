"""ser2net's own files, served by ser2net and then, converted, by nportpy: the same clients, the same bytes."""

import fcntl
import os
import select
import shutil
import socket
import struct
import subprocess
import time
import tty
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Self

import pytest
import uvloop

from nportpy import config
from nportpy.gateway.running import Gateway
from nportpy.migration import convert
from nportpy.port.ioctls import TCGETS2
from tests.support.free_ports import free_ports

SER2NET = shutil.which("ser2net", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
PATIENCE = 10.0
BINARY = b"\xff\xfb\x00\xff\xfd\x00"  # telnet: both ways
ALL_BYTES = bytes(range(256))

pytestmark = [pytest.mark.peer, pytest.mark.skipif(SER2NET is None, reason="no ser2net here")]


class Far:
    """The far end of a pseudo-terminal: what a device would be."""

    def __init__(self) -> None:
        self.master, self.slave = os.openpty()
        tty.setraw(self.slave)
        self.path = os.ttyname(self.slave)

    def hears(self, size: int) -> bytes:
        return gathered(lambda: os.read(self.master, 65536), self.master, size)

    def says(self, data: bytes) -> None:
        os.write(self.master, data)

    def speed(self) -> int:
        """The speed the line was set to, whether by a constant or by its number (TCGETS2)."""
        state = fcntl.ioctl(self.slave, TCGETS2, bytes(44))
        return int(struct.unpack_from("=I", state, 40)[0])

    def close(self) -> None:
        os.close(self.master)
        os.close(self.slave)


def gathered(read: Callable[[], bytes], descriptor: int, size: int) -> bytes:
    """`size` bytes, or what came until it was over or patience ended."""
    found = b""
    deadline = time.monotonic() + PATIENCE
    while len(found) < size and time.monotonic() < deadline:
        if select.select([descriptor], [], [], 0.05)[0]:
            piece = read()
            if not piece:
                break
            found += piece
    return found


class Client:
    """A TCP client."""

    def __init__(self, port: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
            except ConnectionRefusedError:
                assert time.monotonic() < deadline, "nobody listens"
                time.sleep(0.05)
            else:
                return

    def hears(self, size: int) -> bytes:
        return gathered(lambda: self.socket.recv(65536), self.socket.fileno(), size)

    def hears_until(self, end: bytes, heard: bytes = b"") -> bytes:
        while end not in heard:
            piece = self.hears(1)
            assert piece, heard
            heard += piece
        return heard

    def is_closed(self) -> bool:
        """Whether the server ends the connection; what it says before is its own affair."""
        try:
            while self.socket.recv(1000):
                pass
        except ConnectionResetError:
            pass
        except TimeoutError:
            return False
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


@contextmanager
def running(path: Path, *command: str) -> Iterator[None]:
    log = path.with_suffix(".log")
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
    try:
        yield
        assert process.poll() is None, log.read_text()
    finally:
        process.terminate()
        process.wait(PATIENCE)


@contextmanager
def ser2net(path: Path) -> Iterator[None]:
    assert SER2NET is not None
    with running(path, SER2NET, "-n", "-u", "-c", str(path)):
        yield


@contextmanager
def nportpy(path: Path) -> Iterator[None]:
    """In a thread: a process for each test would take longer to start than the test does."""
    text = "[http]\nlisten = false\n\n" + convert(path.read_text(), str(path)).text
    gateway = Gateway(config.parse(text, f"{path}.toml"))
    loop = uvloop.new_event_loop()
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(loop.run_until_complete, gateway.run())
        try:
            yield
            assert not running.done(), running.exception()
        finally:
            loop.call_soon_threadsafe(gateway.stop)
            running.result(PATIENCE)
            loop.close()


@pytest.fixture
def far() -> Iterator[Far]:
    far = Far()
    yield far
    far.close()


SERVERS = pytest.mark.parametrize("server", [ser2net, nportpy])
Server = Callable[[Path], AbstractContextManager[None]]


def yaml(tmp_path: Path, *connections: str) -> Path:
    path = tmp_path / "ser2net.yaml"
    path.write_text("%YAML 1.1\n---\n" + "\n".join(connections))
    return path


def connection(name: str, accepter: str, device: str, *options: str, line: str = "9600n81,local") -> str:
    rows = [f"connection: &{name}", f"    accepter: {accepter}", "    connector: serialdev,", f"      {device},"]
    rows += [f"      {line}", *(["    options:"] if options else []), *(f"      {option}" for option in options)]
    return "\n".join(rows) + "\n"


def unescaped(heard: bytes) -> bytes:
    """The data in what a telnet server sends: its negotiation taken out, doubled FF single again."""
    data, rest = b"", heard
    while rest:
        before, iac, rest = rest.partition(b"\xff")
        data += before
        if not iac:
            break
        if rest[:1] == b"\xff":
            data, rest = data + b"\xff", rest[1:]
        elif rest[:1] == b"\xfa":
            rest = rest.partition(b"\xff\xf0")[2]
        else:
            rest = rest[2:]
    return data


@SERVERS
def test_raw_bytes_both_ways_for_two_clients(server: Server, tmp_path: Path, far: Far) -> None:
    [port] = free_ports(1)
    path = yaml(
        tmp_path, connection("m", f"tcp,localhost,{port}", far.path, "max-connections: 2", line="19200e71,local")
    )
    with server(path), Client(port) as first, Client(port) as second:
        first.socket.sendall(ALL_BYTES)
        assert far.hears(256) == ALL_BYTES
        second.socket.sendall(b"second")
        assert far.hears(6) == b"second"
        assert far.speed() == 19200
        far.says(ALL_BYTES[::-1])
        assert first.hears(256) == second.hears(256) == ALL_BYTES[::-1]
        with Client(port) as third:
            assert third.is_closed()  # the port is full


@SERVERS
def test_who_comes_takes_the_place(server: Server, tmp_path: Path, far: Far) -> None:
    [port] = free_ports(1)
    path = yaml(tmp_path, connection("m", f"tcp,127.0.0.1,{port}", far.path, "kickolduser: true"))
    with server(path), Client(port) as first:
        first.socket.sendall(b"1")
        assert far.hears(1) == b"1"
        with Client(port) as second:
            assert first.is_closed()
            second.socket.sendall(b"2")
            assert far.hears(1) == b"2"
            far.says(b"answer")
            assert second.hears(6) == b"answer"


@SERVERS
def test_the_speed_by_rfc_2217(server: Server, tmp_path: Path, far: Far) -> None:
    """Bytes as a client sends them: pyserial asks for DTR and RTS too, which ser2net finds on no pseudo-terminal."""
    [port] = free_ports(1)
    path = yaml(tmp_path, connection("m", f"telnet(rfc2217),tcp,127.0.0.1,{port}", far.path))
    with server(path), Client(port) as client:
        client.socket.sendall(b"\xff\xfb\x2c" + BINARY + b"\xff\xfa\x2c\x01" + struct.pack(">I", 38400) + b"\xff\xf0")
        heard = client.hears_until(b"\xff\xfa\x2c\x65" + struct.pack(">I", 38400) + b"\xff\xf0")
        client.socket.sendall(ALL_BYTES.replace(b"\xff", b"\xff\xff"))
        assert far.hears(256) == ALL_BYTES
        assert far.speed() == 38400
        far.says(ALL_BYTES)
        assert ALL_BYTES in unescaped(client.hears_until(b"\xfe\xff\xff", heard))


@SERVERS
def test_telnet_without_control(server: Server, tmp_path: Path, far: Far) -> None:
    [port] = free_ports(1)
    path = yaml(tmp_path, connection("m", f"telnet,tcp,127.0.0.1,{port}", far.path, line="4800n81,local"))
    with server(path), Client(port) as client:
        client.socket.sendall(BINARY)
        client.socket.sendall(ALL_BYTES.replace(b"\xff", b"\xff\xff"))
        assert far.hears(256) == ALL_BYTES
        assert far.speed() == 4800
        far.says(ALL_BYTES)
        assert unescaped(client.hears_until(b"\xfe\xff\xff")) == ALL_BYTES


@SERVERS
def test_the_old_form(server: Server, tmp_path: Path, far: Far) -> None:
    other = Far()
    raw, telnet = free_ports(2)
    path = tmp_path / "ser2net.conf"
    path.write_text(
        f"# two lines\nlocalhost,{raw}:raw:600:{far.path}:1200 EVEN 7DATABITS 1STOPBIT LOCAL -RTSCTS\n"
        f"localhost,{telnet}:telnet:0:{other.path}:2400 8DATABITS NONE 1STOPBIT remctl LOCAL\n"
    )
    with server(path), Client(raw) as first, Client(telnet) as second:
        first.socket.sendall(ALL_BYTES)
        assert far.hears(256) == ALL_BYTES
        far.says(ALL_BYTES)
        assert first.hears(256) == ALL_BYTES
        second.socket.sendall(b"hello")
        assert other.hears(5) == b"hello"
        assert (far.speed(), other.speed()) == (1200, 2400)
    other.close()


@pytest.mark.skipif(not shutil.which("socat"), reason="no socat here")
@SERVERS
def test_socats_virtual_port(server: Server, tmp_path: Path, far: Far) -> None:
    [port] = free_ports(1)
    link = tmp_path / "tty"
    path = yaml(tmp_path, connection("m", f"tcp(nodelay),127.0.0.1,{port}", far.path, "chardelay: false"))
    with (
        server(path),
        running(
            tmp_path / "socat", "socat", f"PTY,link={link},raw,echo=0", f"TCP:127.0.0.1:{port},retry=100,interval=0.1"
        ),
    ):
        deadline = time.monotonic() + PATIENCE
        while not link.exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        terminal = os.open(link, os.O_RDWR | os.O_NOCTTY)
        # The link is there before socat has connected, and a server may flush a device that it has just opened.
        while not select.select([far.master], [], [], 0.3)[0]:
            assert time.monotonic() < deadline
            os.write(terminal, b"?")
        while select.select([far.master], [], [], 0.5)[0]:
            assert set(os.read(far.master, 64)) == set(b"?")
        os.write(terminal, ALL_BYTES)
        assert far.hears(256) == ALL_BYTES
        far.says(ALL_BYTES)
        assert gathered(lambda: os.read(terminal, 4096), terminal, 256) == ALL_BYTES
        os.close(terminal)


@SERVERS
def test_datagrams(server: Server, tmp_path: Path, far: Far) -> None:
    [port] = free_ports(1)
    path = yaml(tmp_path, connection("m", f"udp,127.0.0.1,{port}", far.path))
    with server(path), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        assert sent_until_heard(sock, far)
        far.says(b"answer")
        heard = b""
        while len(heard) < 6:
            assert select.select([sock], [], [], PATIENCE)[0]
            heard += sock.recv(2000)
        assert heard == b"answer"


def sent_until_heard(sock: socket.socket, far: Far) -> bool:
    """A datagram until the server is there and the device has it."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            sock.send(b"question")
        except ConnectionRefusedError:  # of the one before: nobody was there yet
            continue
        if select.select([far.master], [], [], 0.2)[0]:
            return far.hears(8) == b"question"
    return False


@SERVERS
def test_a_host_that_is_called_when_the_line_speaks(server: Server, tmp_path: Path, far: Far) -> None:
    [port] = free_ports(1)
    with socket.create_server(("127.0.0.1", 0)) as host:
        called = f"connback: 'tcp,127.0.0.1,{host.getsockname()[1]}'"
        path = yaml(tmp_path, connection("m", f"tcp,127.0.0.1,{port}", far.path, called, "max-connections: 2"))
        with server(path), Client(port) as client:
            client.socket.sendall(b"ready")
            assert far.hears(5) == b"ready"
            far.says(b"the line speaks")
            host.settimeout(PATIENCE)
            link, _ = host.accept()
            with link:
                assert gathered(lambda: link.recv(1000), link.fileno(), 15) == b"the line speaks"
                link.sendall(b"heard")
                assert far.hears(5) == b"heard"


@SERVERS
def test_b5_one_device_at_two_speeds(server: Server, tmp_path: Path, far: Far) -> None:
    fast, slow = free_ports(2)
    path = yaml(
        tmp_path,
        connection("fast", f"tcp,127.0.0.1,{fast}", far.path, line="19200n81,local"),
        connection("slow", f"tcp,127.0.0.1,{slow}", far.path, line="300e71,local"),
    )
    with server(path):
        for port, speed, other in ((slow, 300, fast), (fast, 19200, slow)):
            with Client(port) as client:
                client.socket.sendall(b"hello")
                assert far.hears(5) == b"hello"
                assert far.speed() == speed
                if server is nportpy:  # and ser2net, where it may lock devices: -u forbids that here
                    with Client(other) as busy:
                        assert busy.is_closed()
                far.says(b"answer")
                assert client.hears(6) == b"answer"
            time.sleep(1.0)  # ser2net closes the device some time after its client has gone


@SERVERS
@pytest.mark.parametrize(
    "accepter",
    ["telnet(rfc2217),ipv4,tcp,{}", "telnet(rfc2217),tcp,ipv4,{}", "ipv4,tcp,127.0.0.1,{}", "ipv4,{}", "tcp,ipv4,{}"],
)
def test_b3_orders_of_words(server: Server, accepter: str, tmp_path: Path, far: Far) -> None:
    [port] = free_ports(1)
    path = yaml(tmp_path, connection("m", accepter.format(port), far.path, line="57600,EVEN,7DATABITS,local"))
    with server(path), Client(port) as client:
        client.socket.sendall(b"hello")
        assert far.hears(5) == b"hello"
        assert far.speed() == 57600

"""Who has a TCP or UDP port, from invented and from real /proc trees."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from nportpy.gateway.occupants import Sockets, occupant
from nportpy.network.addresses import Endpoint
from nportpy.port.holders import Roots

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
LISTENS, TALKS, BOUND = "0A", "01", "07"
SERVER = """
import socket, sys
kind = socket.SOCK_DGRAM if sys.argv[1] == "udp" else socket.SOCK_STREAM
sock = socket.socket(type=kind)
sock.bind(("127.0.0.1", 0))
if kind == socket.SOCK_STREAM:
    sock.listen()
print(sock.getsockname()[1], flush=True)
sys.stdin.read()
"""


def line(local: str, port: int, inode: int, state: str = LISTENS, uid: int = 0) -> str:
    return (
        f"   0: {local}:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  {uid}  0 {inode} 1\n"
    )


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    """Two programs, one of which cannot be looked into."""
    net = tmp_path / "net"
    net.mkdir()
    (net / "tcp").write_text(
        HEAD
        + line("0100007F", 80, 70)  # 127.0.0.1
        + line("00000000", 4001, 71)
        + line("0100007F", 5001, 72, TALKS)
        + line("0100007F", 5002, 73, uid=4_000_000_000)
    )
    (net / "tcp6").write_text(
        HEAD
        + line("0" * 32, 7001, 74)
        + line("00000000000000000000000001000000", 7002, 75)  # ::1
        + line("0000000000000000FFFF00000100007F", 7003, 76)  # ::ffff:127.0.0.1
    )
    (net / "udp").write_text(HEAD + line("00000000", 4800, 77, BOUND))
    fds = tmp_path / "812" / "fd"
    fds.mkdir(parents=True)
    (tmp_path / "812" / "cmdline").write_bytes(b"ser2net\0-c\0x\0")
    for number, inode in enumerate((70, 71, 72, 74, 75, 76, 77)):
        (fds / str(number)).symlink_to(f"socket:[{inode}]")
    return Roots(proc=str(tmp_path))


@pytest.mark.parametrize(
    ("host", "port", "udp", "found"),
    [
        ("127.0.0.1", 80, False, True),
        ("::", 80, False, True),
        ("0.0.0.0", 80, False, True),
        ("127.0.0.2", 80, False, False),
        ("::1", 80, False, False),
        ("192.0.2.1", 4001, False, True),
        ("::1", 4001, False, False),
        ("127.0.0.1", 5001, False, False),  # that is a connection
        ("192.0.2.1", 7001, False, True),
        ("::1", 7002, False, True),
        ("127.0.0.1", 7003, False, True),
        ("0.0.0.0", 4800, True, True),
        ("0.0.0.0", 4800, False, False),
    ],
)
def test_a4_who_is_there(roots: Roots, host: str, port: int, udp: bool, found: bool) -> None:
    there = occupant(Endpoint(host, port), udp=udp, roots=roots)
    assert (str(there) if there else "") == ("ser2net -c x (pid 812)" if found else "")
    assert there is None or not there.is_gateway


def test_a4_whose_it_is_where_programs_do_not_show(roots: Roots) -> None:
    there = occupant(Endpoint("127.0.0.1", 5002), udp=False, roots=roots)
    assert str(there) == "a program of the user number 4000000000"


def test_a4_a_gateway_is_known_as_one(roots: Roots) -> None:
    Path(roots.proc, "812", "cmdline").write_bytes(b"/opt/nportpy/bin/python\0/opt/nportpy/bin/nportpy\0serve\0")
    there = occupant(Endpoint("127.0.0.1", 80), udp=False, roots=roots)
    assert there is not None
    assert there.is_gateway


def test_a4_without_tables_nobody_is_seen(tmp_path: Path) -> None:
    assert occupant(Endpoint("127.0.0.1", 80), udp=False, roots=Roots(proc=str(tmp_path))) is None


def test_a4_many_places_are_asked_for_and_each_table_is_read_once(roots: Roots) -> None:
    sockets = Sockets(roots)
    assert sockets.occupant(Endpoint("127.0.0.1", 5002), udp=False) is not None
    (Path(roots.proc) / "net" / "tcp").unlink()
    assert sockets.occupant(Endpoint("127.0.0.1", 80), udp=False) is not None
    assert occupant(Endpoint("127.0.0.1", 80), udp=False, roots=roots) is None


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_a4_a_real_program(kind: str) -> None:
    command = [sys.executable, "-c", SERVER, kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        there = occupant(Endpoint("127.0.0.1", port), udp=kind == "udp")
        assert str(there).endswith(f"(pid {process.pid})")
        process.communicate()


def test_a4_this_process_is_nobody_else() -> None:
    with socket.create_server(("127.0.0.1", 0)) as own:
        assert occupant(Endpoint("127.0.0.1", own.getsockname()[1]), udp=False) is None

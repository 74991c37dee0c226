import asyncio
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nportpy.services.notify import Supervisor


@pytest.fixture(params=["path", "abstract"])
def heard(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """NOTIFY_SOCKET and the socket that hears what is sent there."""
    name = f"@nportpy-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
        sock.bind(f"\0{name[1:]}" if name.startswith("@") else name)
        yield name, sock


def test_a_life(heard: tuple[str, socket.socket]) -> None:
    name, sock = heard
    supervisor = Supervisor({"NOTIFY_SOCKET": name})
    supervisor.ready("2 lines up")
    supervisor.status("1 line lost: plc")
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    supervisor.reloading()
    supervisor.ready()
    supervisor.stopping("draining")
    assert sock.recv(4096) == b"READY=1\nSTATUS=2 lines up"
    assert sock.recv(4096) == b"STATUS=1 line lost: plc"
    reloading, _, stamp = sock.recv(4096).partition(b"\nMONOTONIC_USEC=")
    assert reloading == b"RELOADING=1"
    assert before <= int(stamp) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert sock.recv(4096) == b"READY=1"
    assert sock.recv(4096) == b"STOPPING=1\nSTATUS=draining"


def test_a_status_is_one_line(heard: tuple[str, socket.socket]) -> None:
    name, sock = heard
    Supervisor({"NOTIFY_SOCKET": name}).status("lost:\r\nMAINPID=1\n\x85WATCHDOG=trigger ü \udc80")
    assert sock.recv(4096) == "STATUS=lost: MAINPID=1 WATCHDOG=trigger ü ?".encode()


@pytest.mark.parametrize(
    "name", ["", "relative", "vsock:2:1234", "/nowhere/at/all", "@nobody-listens", "/" + "x" * 200, "/a\0b"]
)
def test_without_a_listener_nothing_happens(name: str) -> None:
    supervisor = Supervisor({"NOTIFY_SOCKET": name})
    supervisor.ready()
    supervisor.reloading()
    supervisor.stopping()


def test_a_full_queue_does_not_block(heard: tuple[str, socket.socket]) -> None:
    name, sock = heard
    supervisor = Supervisor({"NOTIFY_SOCKET": name})
    for _ in range(5000):
        supervisor.status("x" * 500)
    assert sock.recv(4096).startswith(b"STATUS=x")


async def test_the_watchdog_is_fed_at_half_its_time(heard: tuple[str, socket.socket]) -> None:
    name, sock = heard
    supervisor = Supervisor({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())})
    assert supervisor.watchdog == 30.0
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(supervisor.watch())
        await asyncio.sleep(100)
        watching.cancel()
    signs = 0
    while True:
        try:
            assert sock.recv(4096) == b"WATCHDOG=1"
        except BlockingIOError:
            break
        signs += 1
    assert signs == 7  # at 0, 15, ... 90 s


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "-5"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"},
    ],
)
async def test_no_watchdog(environ: dict[str, str], heard: tuple[str, socket.socket]) -> None:
    name, sock = heard
    await Supervisor({"NOTIFY_SOCKET": name} | environ).watch()
    with pytest.raises(BlockingIOError):
        sock.recv(4096)


async def test_no_socket_no_watchdog() -> None:
    await Supervisor({"WATCHDOG_USEC": "30000000"}).watch()

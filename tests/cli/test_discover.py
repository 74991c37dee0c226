"""`nportpy discover` against our own answers, and against devices that were seen in captures."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address

import pytest
from click.testing import CliRunner, Result

from nportpy.cli.discover import Search, discover
from nportpy.modes.discovery import Discovery
from nportpy.modes.discovery_base import DiscoverySettings
from nportpy.network.addresses import Endpoint, listen_datagrams
from nportpy.protocols import dsci
from nportpy.throttle import Throttle

pytestmark = pytest.mark.process

OURS, NPORT, NOBODY = "127.0.0.41", "127.0.0.42", "127.0.0.43"
MAC = bytes.fromhex("02 00 00 00 00 07")

# An NPort 5110A as captured, with another address and serial number.
ID = bytes.fromhex("00 51 01 80 1a 51 00 90 e8 01 02 03")
ADDRESS = bytes((192, 0, 2, 50))
ANSWERS = {
    0x01: ID + ADDRESS,
    0x10: ID + b"NP5110A[bold]\x1b[31m".ljust(40, b"\0"),
    0x16: ID + bytes.fromhex("00 31 01 01 01 00 02 00 39 30 00 00 00 00 03 01"),
    0x26: ID + bytes.fromhex("01 00 00 00 00 00 01 00") + ADDRESS + bytes((255, 255, 255, 0, 192, 0, 2, 1)),
    0x1D: ID + bytes.fromhex("01 00 00 00 c0 00 02 09 c0 00 02 32 7a 84 b6 03 01 04 01 00"),
}


@pytest.fixture(autouse=True)
def _port_is_free() -> None:
    """There is one such port on a machine: another run of these tests may have it for a moment."""
    deadline = time.monotonic() + 60
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            try:
                sock.bind(("0.0.0.0", dsci.PORT))
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            else:
                return


class Nport(threading.Thread):
    """A device that answers as above, after having missed the first search."""

    def __init__(self, *, garbage: bool = False) -> None:
        super().__init__()
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((NPORT, dsci.PORT))
        self.garbage = garbage
        self.asked: list[int] = []

    def run(self) -> None:
        while True:
            data, origin = self.sock.recvfrom(512)
            if data == b"end":
                return
            self.asked.append(data[0])
            if self.asked == [0x01]:
                continue
            if self.garbage:
                for junk in (b"", b"\x81", data, bytes(300), b"\x81\0\0\x18" + bytes(20)):
                    self.sock.sendto(junk, origin)
            body = ANSWERS.get(data[0])
            if body is None:
                self.sock.sendto(bytes((data[0] | 0x80, 4, 0, 20)) + data[4:8] + ID, origin)
            else:
                self.sock.sendto(bytes((data[0] | 0x80, 0, 0, 8 + len(body))) + data[4:8] + body, origin)

    def end(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"end", (NPORT, dsci.PORT))
        self.join()
        self.sock.close()


@contextmanager
def nport(*, garbage: bool = False) -> Iterator[Nport]:
    device = Nport(garbage=garbage)
    device.start()
    try:
        yield device
    finally:
        device.end()


@contextmanager
def ours(where: str = OURS) -> Iterator[None]:
    """nportpy, in a thread."""
    ready = threading.Event()

    async def serve() -> None:
        with listen_datagrams(Endpoint(where, dsci.PORT)) as sock:
            settings = DiscoverySettings(name="pi-07", mac=MAC, serial=7)
            entry = dsci.Entry(IPv4Address("127.0.0.1"), 40000, IPv4Address(OURS), 951, port=2)
            service = Discovery("gateway", "discovery", settings, [sock], lambda: [entry], Throttle())
            loop = asyncio.get_running_loop()
            stop.append(lambda: loop.call_soon_threadsafe(service.stop))
            loop.call_soon(ready.set)
            await service.run()

    stop: list = []  # type: ignore[type-arg]
    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(10)
    try:
        yield
    finally:
        stop[0]()
        thread.join()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(discover, arguments)


def test_a_table_of_what_was_found() -> None:
    with nport(garbage=True), ours():
        result = run("--address", NPORT, "--address", OURS, "--wait", "1s")
    assert result.exit_code == 0, result.output
    header, first, second = result.stdout.splitlines()
    assert header.split() == ["name", "model", "address", "MAC", "firmware", "serial", "no.", "ports", "in", "use"]
    assert first.split() == ["pi-07", "nportpy", OURS, "02:00:00:00:00:07", "0.1.0", "7", "951"]
    assert "NPort 5110A" in second
    assert f"192.0.2.50 (answers from {NPORT})" in second
    assert "00:90:e8:01:02:03" in second
    assert second.split()[-3:] == ["1.1.31", "12345", "950"]
    assert "\x1b" not in result.output


def test_json() -> None:
    with nport():
        result = run("--address", NPORT, "--wait", "1s", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == [
        {
            "name": "NP5110A[bold]\ufffd[31m",
            "model": "NPort 5110A",
            "address": "192.0.2.50",
            "answers_from": NPORT,
            "mac": "00:90:e8:01:02:03",
            "netmask": "255.255.255.0",
            "gateway": "192.0.2.1",
            "firmware": "1.1.31",
            "serial": 12345,
            "ports": [950],
        }
    ]


def test_what_is_lost_is_asked_again_and_what_was_answered_is_not() -> None:
    with nport() as device:
        (found,) = Search((), (NPORT,), 1.0).run()
    assert found.name.startswith("NP5110A")
    assert device.asked.count(0x16) == 1
    assert device.asked.count(0x14) <= 1
    assert device.asked.count(0x01) > 1


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_nobody(arguments: tuple[str, ...]) -> None:
    result = run("--address", NOBODY, "--wait", "300ms", *arguments)
    assert result.exit_code == 1
    assert result.stderr == "nobody answered\n"
    assert result.stdout == ("[]\n" if arguments else "")


def test_a_broadcast_reaches_who_listens_everywhere() -> None:
    with ours("0.0.0.0"):
        result = run("--interface", "lo", "--wait", "1s", "--json")
    assert [device["name"] for device in json.loads(result.stdout)] == ["pi-07"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--interface", "nosuch0"), "'nosuch0' is not up"),
        (("--address", "no.such.host.invalid"), "has no IPv4 address"),
        (("--wait", "soon"), "--wait"),
        (("--address", "::1"), "has no IPv4 address"),
    ],
)
def test_usage(arguments: tuple[str, ...], words: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr

"""A USB adapter that is pulled out while it is in use and comes back: the same settings, the same clients."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable

import pytest

from tests.pi.comport import ComPort
from tests.pi.gateway import HOLD, RAW, USB_LINK, Gateway, exactly
from tests.pi.guest import FarEnd, Guest, eventually

pytestmark = pytest.mark.pi


class Busy:
    """Bytes both ways, as fast as they go, until the connections break or the block ends."""

    def __init__(self, far: FarEnd, *clients: socket.socket) -> None:
        self._over = threading.Event()
        self._clients = clients
        jobs = [(self._send, far.send), *((self._send, client.sendall) for client in clients)]
        self._threads = [threading.Thread(target=job, args=(end,)) for job, end in jobs]
        self._threads += [threading.Thread(target=self._receive, args=(client,)) for client in clients]

    def _send(self, send: Callable[[bytes], None]) -> None:
        with contextlib.suppress(OSError):
            while not self._over.is_set():
                send(b"\x55" * 256)
                time.sleep(0.01)

    def _receive(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while not self._over.is_set() and client.recv(65536):
                pass

    def __enter__(self) -> None:
        for client in self._clients:
            client.settimeout(1)
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        for client in self._clients:
            client.settimeout(60)


def drained(client: socket.socket) -> None:
    """Read until nothing has come for half a second; the connection must stay."""
    client.settimeout(0.5)
    with contextlib.suppress(TimeoutError):
        while client.recv(65536):
            pass
        pytest.fail("the connection was closed")
    client.settimeout(60)


def descriptors(gateway: Gateway) -> int:
    return len(gateway.guest.run("ls", f"/proc/{gateway.pid}/fd").out.split())


def count(gateway: Gateway, name: str) -> int:
    return int(gateway.metric(f"nportpy_line_{name}_total", port="usb"))


def closed(client: socket.socket) -> bool:
    client.settimeout(60)
    try:
        while client.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return True


def test_it_hands_bytes_over_at_once(guest: Guest, gateway: Gateway) -> None:
    with guest.far_end("usb0"):
        assert gateway.wait_up("usb")["report"]["low_latency"] is True
        assert gateway.probe("usb")["low_latency"] is True
        assert guest.read("/sys/bus/usb-serial/devices/ttyUSB0/latency_timer").strip() == "1"  # 16 ms unasked
    for line in ("pl011", "uart"):
        assert gateway.line(line)["report"]["low_latency"] is True


def test_pulled_out_under_traffic_and_plugged_in_again(guest: Guest, gateway: Gateway) -> None:
    with guest.far_end("usb0") as far, gateway.com_port("usb") as settings:
        before = {name: count(gateway, name) for name in ("opens", "losses")}
        open_files = descriptors(gateway)
        assert settings.set_line(57600, "7E1") == (57600, "7E1")
        with gateway.raw(RAW["usb"]) as raw, gateway.raw(HOLD) as held:
            with Busy(far, raw, held):
                eventually("bytes both ways", lambda: count(gateway, "sent_bytes") and count(gateway, "received_bytes"))
                far.close()  # this pulls it out
                eventually("the loss is seen", lambda: gateway.line("usb")["state"] != "up")
            assert closed(raw)
            refused = gateway.metric("nportpy_connections_total", port="usb", service="raw", result="refused_down")
            with gateway.raw(RAW["usb"]) as early:  # it still listens, and says that nothing is there
                assert closed(early)
            with guest.far_end("usb0") as back:
                came_back(gateway, back, settings, held)
                counts = {name: count(gateway, name) for name in before}
                assert counts == {name: old + 1 for name, old in before.items()}
        again = gateway.metric("nportpy_connections_total", port="usb", service="raw", result="refused_down")
        assert again == refused + 1
        assert gateway.metric("nportpy_connections_ended_total", port="usb", service="raw", result="line_down") >= 1
    eventually("no descriptor stays", lambda: descriptors(gateway) <= open_files)


def came_back(gateway: Gateway, far: FarEnd, settings: ComPort, held: socket.socket) -> None:
    """The adapter works as it was set, for those who stayed and for those who come."""
    gateway.wait_up("usb")
    line = gateway.probe("usb")["line"]
    assert (line["baudrate"], line["format"]) == (57600, "7E1")
    assert gateway.guest.run("readlink", "-f", USB_LINK).out.strip() == "/dev/ttyUSB0"
    drained(held)
    far.settle()
    settings.settle()
    settings.data = b""
    far.send(b"here again")
    assert exactly(held, 10) == settings.read(10) == b"here again"
    settings.write(b"and back")
    assert far.read(8) == b"and back"
    with gateway.raw(RAW["usb"]) as new:
        new.sendall(b"newcomer")
        assert far.read(8) == b"newcomer"


def test_it_comes_back_under_another_number(guest: Guest, gateway: Gateway) -> None:
    with guest.far_end("usb0"):
        gateway.wait_up("usb")
        holder = guest.start("python3", "/opt/probe.py", "/dev/ttyUSB0", "hold")
        eventually("the number is held", lambda: "held" in holder.out)
    eventually("the loss is seen", lambda: gateway.line("usb")["state"] != "up")
    try:
        with guest.far_end("usb0") as far:
            eventually("another number", lambda: guest.run("test", "-e", "/dev/ttyUSB1").code == 0)
            guest.run("ln", "-sf", "/dev/ttyUSB1", USB_LINK)  # as udev does
            assert gateway.wait_up("usb")["report"]["driver"] == "ftdi_sio"
            with gateway.raw(RAW["usb"]) as client:
                client.sendall(b"moved")
                assert far.read(5) == b"moved"
    finally:
        guest.run("ln", "-sf", "/dev/ttyUSB0", USB_LINK)
        holder.close()
    eventually("the loss is seen", lambda: gateway.line("usb")["state"] != "up")


def test_it_comes_and_goes(guest: Guest, gateway: Gateway) -> None:
    with gateway.raw(HOLD) as client:
        for _ in range(5):
            with guest.far_end("usb0") as far:
                eventually("it is there", lambda: guest.run("test", "-e", "/dev/ttyUSB0").code == 0)
        with guest.far_end("usb0") as far:
            gateway.wait_up("usb")
            client.sendall(b"at last")
            assert far.read(7) == b"at last"
    assert gateway.running

"""`nportpy serve -c FILE` in the guest, as its clients, its operator and Prometheus see it."""

import json
import re
import signal
import socket
import time
import urllib.request
from typing import Any, Self

from tests.pi.comport import ComPort
from tests.pi.guest import LOCAL, Guest, GuestError, NotYet, eventually

CONFIG = "/root/nportpy.toml"
USB_LINK = "/dev/serial/by-id/usb-QEMU_USB_SERIAL-if00-port0"  # there is no udev: a test moves it by hand
HTTP = 9550
DEVICES = {"pl011": "/dev/ttyAMA0", "uart": "/dev/ttyS0", "usb": USB_LINK}
FAR_ENDS = {"pl011": "ama0", "uart": "s0", "usb": "usb0"}
RAW = {"pl011": 4001, "uart": 4002, "usb": 4003}
RFC2217 = {"pl011": 5001, "uart": 5002, "usb": 5003}
HOLD = 6003  # a raw listener on the adapter whose clients stay while it is away


def configuration(**extra: str) -> str:
    """All lines with raw TCP and RFC 2217; `extra` is what a port says beside that."""
    text = f'[gateway]\nname = "pi"\n[http]\nlisten = "0.0.0.0:{HTTP}"\n'
    for name, device in DEVICES.items():
        text += f'[port.{name}]\ndevice = "{device}"\n{extra.get(name, "")}\n'
        text += f"[[port.{name}.raw]]\nlisten = {RAW[name]}\n"
        text += f'[port.{name}.rfc2217]\nlisten = {RFC2217[name]}\nwhen_down = "hold"\n'
        if name == "usb":
            text += f'[[port.usb.raw]]\nlisten = {HOLD}\nwhen_down = "hold"\n'
    return text


class Gateway:
    """The gateway, running."""

    def __init__(self, guest: Guest, config: str) -> None:
        """Start it and wait until it listens."""
        self.guest = guest
        self._config = config
        self.mark = 0  # where in its log the test begins
        guest.write(CONFIG, config)
        started = time.monotonic()
        self._program = guest.start("python3", "-m", "nportpy", "serve", "-c", CONFIG)
        self.pid = self._program.pid
        eventually("the gateway listens", lambda: self.http("/readyz"), 180)
        self.start_time = time.monotonic() - started

    @property
    def running(self) -> bool:
        """Whether it is alive."""
        return self._program.code is None

    @property
    def log(self) -> str:
        """What it has said."""
        return self._program.out + self._program.err

    def reconfigure(self, config: str) -> None:
        """Have it read another configuration; a file that is the same changes nothing."""
        if config != self._config:
            before = self.metric("nportpy_reloads_total", result="done")
            self.guest.write(CONFIG, config)
            self._config = config
            self._program.signal(signal.SIGHUP)
            eventually("a reload", lambda: self.metric("nportpy_reloads_total", result="done") > before, 240)

    def stop(self) -> tuple[int, float]:
        """End it as a supervisor would; its exit code and how long it took."""
        started = time.monotonic()
        self._program.signal(signal.SIGTERM)
        return self._program.wait(90).code, time.monotonic() - started

    def close(self) -> None:
        """End it, whatever state it is in."""
        self._program.close()

    def http(self, path: str) -> str:
        """A page."""
        if not self.running:
            raise GuestError(f"the gateway has ended:\n{self.log}")
        try:
            with urllib.request.urlopen(f"http://{LOCAL}:{self.guest.forward(HTTP)}{path}", timeout=30) as page:
                return str(page.read().decode())
        except OSError as error:
            raise NotYet(f"{path}: {error}") from error

    def metric(self, name: str, **labels: str) -> float:
        """A sample of /metrics."""
        wanted = {f'{label}="{value}"' for label, value in labels.items()}
        for line in self.http("/metrics").splitlines():
            found = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
            if found and found[1] == name and wanted == set(filter(None, (found[2] or "").split(","))):
                return float(found[3])
        raise GuestError(f"no metric {name} with {labels}")

    def line(self, name: str) -> dict[str, Any]:
        """A line's status."""
        lines = json.loads(self.http("/api/v1/status"))["lines"]
        return dict(next(line for line in lines if line["name"] == name))

    def wait_up(self, name: str) -> dict[str, Any]:
        """Wait until the device is open, which may take its longest pause between two attempts."""
        eventually(f"{name} is up", lambda: self.line(name)["state"] == "up", 120)
        return self.line(name)

    def raw(self, port: int) -> socket.socket:
        """A client of a raw listener."""
        client = socket.create_connection((LOCAL, self.guest.forward(port)), 60)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return client

    def com_port(self, name: str) -> ComPort:
        """An RFC 2217 client of a line, which must be up."""
        self.wait_up(name)
        return ComPort(self.guest.forward(RFC2217[name]))

    def probe(self, name: str, *words: str) -> dict[str, Any]:
        """What the driver itself says of a line, after doing what `words` ask for; see probe.py."""
        result = self.guest.run("python3", "/opt/probe.py", DEVICES[name], *words)
        if result.code:
            raise GuestError(result.err)
        return dict(json.loads(result.out))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def exactly(end: socket.socket, size: int) -> bytes:
    """Receive that many bytes."""
    data = b""
    while len(data) < size:
        if not (more := end.recv(size - len(data))):
            raise GuestError(f"closed after {len(data)} of {size} bytes")
        data += more
    return data

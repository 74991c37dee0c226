"""The software Raspberry Pi: an aarch64 guest under QEMU, with Debian's kernel and the project installed.

Its serial devices are real drivers on emulated chips: /dev/ttyAMA0 a PL011 (as on the Pi itself), /dev/ttyS0 a
16550A, /dev/ttyUSB0 an FTDI adapter that is plugged in while somebody holds its far end. The far end of each line
is a socket here. What the wire cannot show, the chips' registers do: the monitor reads them.
"""

import contextlib
import json
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.pi import agent
from tests.pi.image import Image

LINES = ("ama0", "s0", "usb0")
LOCAL = "127.0.0.1"
BOOT_LIMIT = 240.0  # seconds; about 15 on an idle machine


class GuestError(Exception):
    """The guest did not do what a test needs of it."""


class NotYet(Exception):
    """What was asked for may come; see `eventually`."""


def eventually(what: str, probe: Callable[[], Any], timeout: float = 60.0, every: float = 0.1) -> Any:
    """Wait until `probe()` gives something true, and return it."""
    end = time.monotonic() + timeout
    while True:
        try:
            if found := probe():
                return found
            last: object = found
        except NotYet as error:
            last = error
        if time.monotonic() > end:
            raise GuestError(f"not within {timeout:g} s: {what} (last: {last})")
        time.sleep(every)


@dataclass(frozen=True, slots=True)
class Result:
    """What a program left behind."""

    code: int
    out: str
    err: str


class Program:
    """A program that runs in the guest as long as nobody closes this."""

    def __init__(self, port: int, argv: Sequence[str], text: str = "") -> None:
        """Start it through the agent behind `port`."""
        self._socket = socket.create_connection((LOCAL, port), timeout=60)
        self._file = self._socket.makefile("rb")
        self.argv = argv
        self.pid = 0
        self.out = ""
        self.err = ""
        self.code: int | None = None
        try:
            self._take(self._asked({"argv": list(argv), "input": text}))
        except BaseException:  # while the guest boots, it is asked again and again
            self._file.close()
            self._socket.close()
            raise
        self._socket.settimeout(None)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _asked(self, request: dict[str, Any]) -> Any:
        """The agent's first answer."""
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        first = self._file.readline()
        if not first:
            raise GuestError("the guest does not answer")
        return json.loads(first)

    def _listen(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            for line in self._file:
                self._take(json.loads(line))

    def _take(self, message: dict[str, Any]) -> None:
        self.pid = message.get("pid", self.pid)
        self.out += message.get("out", "")
        self.err += message.get("err", "")
        self.code = message.get("rc", self.code)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._socket.sendall(json.dumps({"signal": number}).encode() + b"\n")

    def wait(self, timeout: float) -> Result:
        """Wait for its end."""
        self._listener.join(timeout)
        if self.code is None:
            self.close()
            raise GuestError(f"{' '.join(self.argv)[:200]} did not end within {timeout:g} s:\n{self.out}{self.err}")
        self.close()
        return Result(self.code, self.out, self.err)

    def close(self) -> None:
        """Be done with it; it is killed if it still runs."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._listener.join(5)
        self._file.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class FarEnd:
    """The far end of a line. It is always read: QEMU stops the whole guest while a chip cannot get rid of a byte."""

    def __init__(self, path: Path, *, echo: bool) -> None:
        """Connect; `echo` sends back what comes."""
        self._echo = echo
        self._heard = bytearray()
        self._more = threading.Condition()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._socket.recv(65536):
                if self._echo:
                    self._socket.sendall(data)
                else:
                    with self._more:
                        self._heard += data
                        self._more.notify_all()

    def send(self, data: bytes) -> None:
        """Send bytes to the line."""
        self._socket.sendall(data)

    def read(self, size: int) -> bytes:
        """Wait for that many bytes of the line."""
        with self._more:
            if not self._more.wait_for(lambda: len(self._heard) >= size, 20):
                raise GuestError(f"{len(self._heard)} of {size} bytes came to the far end: {bytes(self._heard)[:80]!r}")
            data = bytes(self._heard[:size])
            del self._heard[:size]
        return data

    def settle(self, quiet: float = 0.5) -> None:
        """Forget what comes until nothing has come for a while."""
        with self._more:
            while True:
                self._heard.clear()
                if not self._more.wait_for(lambda: bool(self._heard), quiet):
                    return

    def close(self) -> None:
        """Disconnect; this pulls the adapter out."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._reader.join(5)
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Guest:
    """The guest, running."""

    def __init__(self, image: Image, memory: int = 1024) -> None:
        """Boot it with so many MiB, of which its files take theirs; `close()` ends it."""
        self._folder = Path(tempfile.mkdtemp(prefix="pi-"))  # a short path: socket addresses hold 108 bytes
        self._ports: dict[int, int] = {}
        self._monitor: socket.socket | None = None
        try:
            self._qemu = self._start(image, memory)
            self._connect_monitor()
            self._agent = self.forward(agent.PORT)
            self._wait_for_agent()
        except BaseException:
            self.close()
            raise

    def _start(self, image: Image, memory: int) -> subprocess.Popen[bytes]:
        initrd = self._folder / "initrd"
        with initrd.open("wb") as file:
            for archive in image.archives:
                with archive.open("rb") as part:
                    shutil.copyfileobj(part, file, 1 << 20)
        command = ["qemu-system-aarch64", "-nodefaults", "-no-reboot", "-display", "none"]
        command += ["-M", "virt", "-cpu", "cortex-a72", "-smp", "2", "-m", str(memory), "-accel", "tcg,thread=multi"]
        command += ["-kernel", str(image.kernel), "-initrd", "initrd", "-append", "console=hvc0 quiet panic=1"]
        for name in LINES:
            command += ["-chardev", f"socket,id={name},path={name}.sock,server=on,wait=off"]
        command += ["-serial", "chardev:ama0", "-device", "pci-serial,chardev=s0", "-device", "qemu-xhci"]
        command += ["-device", "usb-serial,chardev=usb0", "-device", "virtio-serial-pci"]
        command += ["-chardev", "file,id=console,path=console.log", "-device", "virtconsole,chardev=console"]
        command += ["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net"]
        command += ["-qmp", "unix:monitor.sock,server=on,wait=off"]
        # Whatever becomes of us, the guest must not stay: it would hold two processors for ever.
        fate = ["setpriv", "--pdeathsig", "KILL", "--"]
        with (self._folder / "qemu.log").open("wb") as log:
            return subprocess.Popen(fate + command, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _connect_monitor(self) -> None:
        path = self._folder / "monitor.sock"

        def connected() -> socket.socket | None:
            if self._qemu.poll() is not None:
                raise GuestError(f"QEMU ended at once:\n{self.log()}")
            monitor = socket.socket(socket.AF_UNIX)
            try:
                monitor.connect(str(path))
            except OSError:
                monitor.close()
                return None
            return monitor

        self._monitor = eventually("QEMU's monitor", connected, 20)
        self._monitor.settimeout(90)
        self._answers = self._monitor.makefile("rb")
        self._answers.readline()  # the greeting
        self.command("qmp_capabilities")

    def _wait_for_agent(self) -> None:
        def answers() -> bool:
            if self._qemu.poll() is not None:
                raise GuestError(f"QEMU ended while the guest came up:\n{self.log()}")
            try:
                return self.run("true").code == 0
            except (OSError, GuestError):
                return False

        try:
            eventually("the guest is up", answers, BOOT_LIMIT, 0.3)
        except GuestError as error:
            raise GuestError(f"{error}\n{self.log()}") from error

    def close(self) -> None:
        """End it and remove what it left."""
        if self._monitor is not None:
            self._answers.close()
            self._monitor.close()
            self._monitor = None
        if qemu := getattr(self, "_qemu", None):
            qemu.kill()
            qemu.wait(10)
        shutil.rmtree(self._folder, ignore_errors=True)

    def log(self, most: int = 8000) -> str:
        """What QEMU and the guest's console have said."""
        parts = [self._folder / "qemu.log", self._folder / "console.log"]
        return "".join(part.read_text(errors="replace") for part in parts if part.exists())[-most:]

    # Programs.

    def start(self, *argv: str, text: str = "") -> Program:
        """Start a program."""
        return Program(self._agent, argv, text)

    def run(self, *argv: str, text: str = "", timeout: float = 90) -> Result:
        """Run a program to its end."""
        return self.start(*argv, text=text).wait(timeout)

    def read(self, path: str) -> str:
        """A file's text."""
        result = self.run("cat", path)
        if result.code:
            raise GuestError(result.err)
        return result.out

    def write(self, path: str, text: str) -> None:
        """Write a file."""
        result = self.run("sh", "-c", 'cat >"$0"', path, text=text)
        if result.code:
            raise GuestError(result.err)

    def python(self, source: str, *args: str, timeout: float = 120) -> Any:
        """Run Python there; what it prints is JSON, and comes back as the value."""
        result = self.run("python3", "-c", source, *args, timeout=timeout)
        if result.code:
            raise GuestError(f"python in the guest ended with {result.code}:\n{result.out}{result.err}")
        return json.loads(result.out)

    # Lines and network.

    def far_end(self, line: str, *, echo: bool = False) -> FarEnd:
        """The far end of a line. Only one at a time; for usb0, connecting plugs the adapter in."""
        return FarEnd(self._folder / f"{line}.sock", echo=echo)

    def forward(self, port: int) -> int:
        """The port here that leads to `port` in the guest; the kernel chooses it."""
        if port not in self._ports:
            self.monitor(f"hostfwd_add net tcp:{LOCAL}:0-:{port}")
            table = self.monitor("info usernet")
            found = re.search(rf"HOST_FORWARD\].* {re.escape(LOCAL)} +(\d+) +\S+ +{port} ", table)
            if found is None:
                raise GuestError(f"no way to port {port}:\n{table}")
            self._ports[port] = int(found[1])
        return self._ports[port]

    # QEMU's monitor.

    def command(self, name: str, **arguments: Any) -> Any:
        """A QMP command's answer; events are passed over."""
        assert self._monitor is not None
        self._monitor.sendall(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
        while line := self._answers.readline():
            answer = json.loads(line)
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise GuestError(f"{name}: {answer['error']['desc']}")
        raise GuestError(f"QEMU has gone:\n{self.log()}")

    def monitor(self, line: str) -> str:
        """A command of the human monitor."""
        return str(self.command("human-monitor-command", **{"command-line": line}))

    def memory(self, address: int, size: int = 4) -> int:
        """A device register, read by its physical address."""
        unit = {1: "b", 2: "h", 4: "w"}[size]
        return int(self.monitor(f"xp /1x{unit} {address:#x}").split(":")[1], 16)

    def send_break(self, line: str) -> None:
        """Let the far end of a line send a break."""
        self.command("chardev-send-break", id=line)


@contextlib.contextmanager
def booted(image: Image, memory: int = 1024) -> Iterator[Guest]:
    """A guest that ends with the block."""
    guest = Guest(image, memory)
    try:
        yield guest
    finally:
        guest.close()

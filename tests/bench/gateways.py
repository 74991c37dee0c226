"""The programs that are measured, each set up for the same pseudo-terminals."""

import os
import re
import select
import shlex
import shutil
import socket
import struct
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.processes import BrokenError, cpu_seconds, program, tree
from tests.support.free_ports import free_ports

# How long a gateway may take until it accepts, and how long an answer may take.
PATIENCE = 30.0
# A connection that lives this long was not thrown out again.
_LIVES = 0.05
# A gateway that uses less than so many seconds of processor in so many seconds has settled.
_BUSY, _SETTLING = 0.001, 0.2


@dataclass(frozen=True, slots=True)
class Setup:
    """What a measurement has the lines set to, and what is offered on them.

    Attributes:
        service: what its clients use, raw or modbus; programs without it take no part.
        baudrate: of every line; always the same for raw, where a pseudo-terminal does not care.
        format: of every line; likewise.
        modbus: what else our table of the Modbus service, or of one by TLS, has in TOML.
        rules: likewise, of a second Modbus service beside the first.
    """

    service: str = "raw"
    baudrate: int = 115200
    format: str = "8N1"
    modbus: str = ""
    rules: str = ""


RAW = Setup()


class Running:
    """A gateway that runs: its processes, and connections to its lines."""

    def __init__(
        self, stack: ExitStack, processes: Sequence[subprocess.Popen[str]], ports: Mapping[str, Sequence[int]]
    ) -> None:
        """`ports` has for each service the ports of the lines, in order."""
        self._stack = stack
        self._processes = processes
        self._ports = ports
        self.connected_at = 0.0
        self.directory: Path | None = None

    def serves(self, service: str) -> bool:
        """Whether there is such a service here."""
        return bool(self._ports.get(service))

    def port(self, line: int, service: str) -> int:
        """The TCP port of a service of a line."""
        return self._ports[service][line]

    def connect(self, line: int = 0, service: str = "raw") -> int:
        """A descriptor of a new connection to a line, closed with the gateway; waits until the gateway accepts.

        A Modbus service accepts and answers whether its line is open or not.
        """
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                link = socket.create_connection(("127.0.0.1", self._ports[service][line]), 1)
            except ConnectionRefusedError:
                self.check()
                time.sleep(0.001)
                continue
            self.connected_at = time.monotonic()
            if service.startswith("modbus") or not _thrown_out(link):
                self._stack.callback(link.close)
                link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                link.setblocking(True)
                link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", int(PATIENCE), 0))
                return link.fileno()
            link.close()
        raise BrokenError(f"no connection to line {line} within {PATIENCE:.0f} s")

    def settle(self) -> None:
        """Wait until it has nothing left to do; a gateway may serve while it still loads what clients do not need."""
        pids = self.pids()
        deadline = time.monotonic() + PATIENCE
        before, now = -1.0, cpu_seconds(pids)
        while now - before > _BUSY and time.monotonic() < deadline:
            time.sleep(_SETTLING)
            before, now = now, cpu_seconds(pids)

    def pids(self) -> list[int]:
        """Its processes."""
        return [pid for process in self._processes for pid in tree(process.pid)]

    def last_words(self) -> str:
        """The end of its messages."""
        logs = sorted(self.directory.glob("*.log")) if self.directory else []
        return "".join(path.read_text()[-400:] for path in logs).strip()

    def check(self) -> None:
        """Raise BrokenError if one has died."""
        for process in self._processes:
            if process.poll() is not None:
                raise BrokenError(f"{process.args!s:.40} died with {process.returncode}")


class _Opened(Running):
    """No gateway at all: the pseudo-terminals opened here."""

    def __init__(self, stack: ExitStack, devices: Sequence[str]) -> None:
        super().__init__(stack, (), {})
        self._devices = devices

    def connect(self, line: int = 0, service: str = "raw") -> int:
        descriptor = os.open(self._devices[line], os.O_RDWR | os.O_NOCTTY)
        self._stack.callback(os.close, descriptor)
        return descriptor


class Subject(ABC):
    """A program to measure."""

    name: str
    services = frozenset(("raw",))
    process_rows = True  # whether rows about a process (memory, start, ...) have a figure for it

    @abstractmethod
    def version(self) -> str | None:
        """Its version; None: it is not installed here."""

    @contextmanager
    def running(self, devices: Sequence[str], setup: Setup = RAW) -> Iterator[Running]:
        """Start it on these devices; it ends with the block."""
        with ExitStack() as stack:
            directory = Path(stack.enter_context(TemporaryDirectory(prefix="bench-")))
            gateway = self.start(stack, directory, devices, setup)
            gateway.directory = directory
            yield gateway

    @abstractmethod
    def start(self, stack: ExitStack, directory: Path, devices: Sequence[str], setup: Setup) -> Running:
        """Start its processes in this stack; configuration and *.log files go into the directory."""


class Direct(Subject):
    """The pseudo-terminal itself: what no gateway can beat."""

    name = "pty alone"
    services = frozenset(("raw", "modbus"))
    process_rows = False

    def version(self) -> str | None:
        return "no gateway"

    def start(self, stack: ExitStack, directory: Path, devices: Sequence[str], setup: Setup) -> Running:
        return _Opened(stack, devices)


class Socat(Subject):
    """socat: a process for each line, and one more for each connection."""

    name = "socat"

    def version(self) -> str | None:
        return _version("socat", "-V", r"socat version (\S+)")

    def start(self, stack: ExitStack, directory: Path, devices: Sequence[str], setup: Setup) -> Running:
        ports = free_ports(len(devices))
        commands = (
            ["socat", f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr,nodelay", f"FILE:{device},raw,echo=0,b115200"]
            for port, device in zip(ports, devices, strict=True)
        )
        return Running(stack, _programs(stack, directory, commands), {"raw": ports})


class Ser2net(Subject):
    """ser2net without its wait for more characters; all else as it comes, so with buffers of 64 bytes."""

    name = "ser2net"
    services = frozenset(("raw", "tls"))
    options = "chardelay: false"

    def version(self) -> str | None:
        return _version("ser2net", "-v", r"version (\S+)")

    def start(self, stack: ExitStack, directory: Path, devices: Sequence[str], setup: Setup) -> Running:
        ports = free_ports(2 * len(devices))
        raw, telnet = ports[::2], ports[1::2]
        text, secure = "%YAML 1.1\n---\n", ""
        if setup.service == "tls":
            certificate, key = _certificate(directory)
            secure = f"ssl(key={key},cert={certificate}),"
        for number, device in enumerate(devices):
            accepters = (
                f"{secure}tcp(nodelay),127.0.0.1,{raw[number]}",
                f"telnet(rfc2217),tcp(nodelay),127.0.0.1,{telnet[number]}",
            )
            for kind, accepter in enumerate(accepters):
                text += (
                    f"connection: &line{number}x{kind}\n  accepter: {accepter}\n"
                    f"  connector: serialdev,{device},115200n81,local\n  options:\n    {self.options}\n"
                )
        file = directory / "ser2net.yaml"
        file.write_text(text)
        process = stack.enter_context(program(["ser2net", "-n", "-u", "-c", str(file)], directory / "ser2net.log"))
        return Running(stack, [process], {"tls" if secure else "raw": raw, "rfc2217": telnet})


class Ser2netTuned(Ser2net):
    """The same with large buffers, for whoever knows that its default is small."""

    name = "ser2net 64K"
    process_rows = False
    options = "chardelay: false\n    net-to-dev-bufsize: 65536\n    dev-to-net-bufsize: 65536"


class Nportpy(Subject):
    """nportpy as its user starts it: raw and RFC 2217 on every line, or Modbus; HTTP and metrics, uvloop."""

    name = "nportpy"
    services = frozenset(("raw", "modbus", "modbus-ruled", "tls", "modbus-tls"))

    def version(self) -> str | None:
        return metadata.version("nportpy")

    def start(self, stack: ExitStack, directory: Path, devices: Sequence[str], setup: Setup) -> Running:
        # Some beside the same without, to tell what it adds.
        beside = {"raw": ("raw", "rfc2217"), "tls": ("raw", "tls"), "modbus-ruled": ("modbus", "modbus-ruled")}
        offered = beside.get(setup.service, (setup.service,))
        http, *free = free_ports(1 + len(offered) * len(devices))
        ports = {service: free[number :: len(offered)] for number, service in enumerate(offered)}
        more = {"modbus": setup.modbus, "modbus-ruled": setup.rules}
        called = {"tls": "raw", "modbus-tls": "modbus", "modbus-ruled": "modbus"}
        text = f'[gateway]\nname = "bench"\nlisten = "127.0.0.1"\n\n[http]\nlisten = "127.0.0.1:{http}"\n'
        if setup.service in ("tls", "modbus-tls"):
            certificate, key = _certificate(directory)
            text += f'[tls.bench]\ncert_file = "{certificate}"\nkey_file = "{key}"\n'
            more |= dict.fromkeys(("tls", "modbus-tls"), f'tls = "bench"\n{setup.modbus}')
        for number, device in enumerate(devices):
            text += (
                f'\n[port.line{number}]\ndevice = "{device}"\nbaudrate = {setup.baudrate}\nformat = "{setup.format}"\n'
            )
            for service in offered:
                table = called.get(service, service)
                text += f"[[port.line{number}.{table}]]\nlisten = {ports[service][number]}\n{more.get(service, '')}\n"
        file = directory / "nportpy.toml"
        file.write_text(text)
        command = [sys.executable, "-m", "nportpy", "serve", "-c", str(file)]
        process = stack.enter_context(program(command, directory / "nportpy.log"))
        return Running(stack, [process], ports)


class ModbusPeer(Subject):
    """Another Modbus gateway, by the command that starts it for one line."""

    services = frozenset(("modbus",))

    def __init__(self, name: str, command: str) -> None:
        """A program called `name`; in its command {device}, {port}, {baudrate} and {format} are replaced.

        Raises:
            ValueError: there is no command, its quotes do not match, or it wants something else replaced.
        """
        self.name = name
        self._words = shlex.split(command)
        if not self._words:
            raise ValueError(f"{name}: no command")
        try:
            self._command("", 0, RAW)
        except (LookupError, ValueError) as error:
            raise ValueError(f"{name}: {error} cannot be replaced") from error

    def version(self) -> str | None:
        return "as given" if shutil.which(self._words[0]) else None

    def start(self, stack: ExitStack, directory: Path, devices: Sequence[str], setup: Setup) -> Running:
        ports = free_ports(len(devices))
        commands = (self._command(device, port, setup) for device, port in zip(devices, ports, strict=True))
        return Running(stack, _programs(stack, directory, commands), {"modbus": ports})

    def _command(self, device: str, port: int, setup: Setup) -> list[str]:
        words = {"device": device, "port": port, "baudrate": setup.baudrate, "format": setup.format}
        return [word.format_map(words) for word in self._words]


# In the order in which every round goes through them.
SUBJECTS: tuple[Subject, ...] = (Nportpy(), Socat(), Ser2net(), Ser2netTuned(), Direct())


def _programs(stack: ExitStack, directory: Path, commands: Iterable[Sequence[str]]) -> list[subprocess.Popen[str]]:
    """A process for each line."""
    return [stack.enter_context(program(c, directory / f"{i}.log")) for i, c in enumerate(commands)]


def _thrown_out(link: socket.socket) -> bool:
    """Whether a gateway that accepted closes again: its line is not open yet."""
    readable, _, _ = select.select([link], [], [], _LIVES)
    try:
        return bool(readable) and not link.recv(1, socket.MSG_PEEK)
    except ConnectionResetError:
        return True


def _certificate(directory: Path) -> tuple[str, str]:
    """A certificate and its key."""
    command = [sys.executable, "-m", "nportpy", "cert", "self", "localhost", "-o", str(directory)]
    subprocess.run(command, check=True, capture_output=True)
    return str(directory / "server.crt"), str(directory / "server.key")


def _version(name: str, option: str, pattern: str) -> str | None:
    path = shutil.which(name)
    if path is None:
        return None
    output = subprocess.run([path, option], capture_output=True, text=True, check=False)
    found = re.search(pattern, output.stdout + output.stderr)
    return found[1] if found else "?"

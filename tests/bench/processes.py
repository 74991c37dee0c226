"""Processes under measurement: starting them, ending them, and what /proc says of them."""

import ctypes
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
# With its bytecode kept, as after any installation: compiling it anew at each start would be measured otherwise.
_ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
_FAR_END = str(Path(__file__).with_name("farend.py"))


class BrokenError(Exception):
    """A byte was lost, a program died or stopped answering: no figure, and the run fails."""


class DeadlockError(Exception):
    """Both directions stand still while both ends would go on."""


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(3)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for stream in (process.stdin, process.stdout):
        if stream:
            stream.close()


@contextmanager
def program(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a program with its messages in a file; it ends with the block, or with us."""
    with log.open("w") as messages:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=messages,
            stderr=messages,
            env=_ENVIRONMENT,
            text=True,
            preexec_fn=_die_with_parent,  # safe: no threads here
        )
        try:
            yield process
        finally:
            _end(process)


class FarEnd:
    """One far end and its line's path."""

    def __init__(self, *command: str) -> None:
        """Start it: what the first line that it prints ends with is the path."""
        self._process = subprocess.Popen(
            command,
            env=_ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=_die_with_parent,  # safe: no threads here
        )
        self.device = ""

    def ready(self) -> None:
        """Wait for the pseudo-terminal."""
        self.device = self._line().split()[-1]

    def go(self) -> None:
        """Let a source or a paced end begin."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()

    def report(self) -> tuple[int, int]:
        """Bytes that came, and their CRC-32."""
        count, crc = self._line().split()
        return int(count), int(crc)

    def end(self) -> None:
        """End the process."""
        _end(self._process)

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            raise BrokenError("the far end died")
        return line


class SimulatedBus(FarEnd):
    """Modbus units on a simulated line (nportpy.simulator); register A of unit U holds 256 U + A."""

    def __init__(self, *options: str) -> None:
        """Start it."""
        self._directory = TemporaryDirectory(prefix="bench-")
        link = f"{self._directory.name}/bus"
        super().__init__(sys.executable, "-m", "nportpy.simulator", f"--bus={link}", *options)

    def counts(self) -> Mapping[str, float]:
        """What it has counted so far: requests, violations of the silence before them, and more."""
        self._process.send_signal(signal.SIGUSR1)
        (line,) = json.loads(self._line())["lines"]
        return {name: count for name, count in line.items() if isinstance(count, int | float)}

    def end(self) -> None:
        super().end()
        self._directory.cleanup()


def _far_end(kind: str, *arguments: object) -> FarEnd:
    words = map(str, arguments)
    if kind == "simulated":
        return SimulatedBus(*words)
    return FarEnd(sys.executable, "-I", "-S", _FAR_END, kind, *words)


@contextmanager
def far_ends(commands: Sequence[Sequence[Any]]) -> Iterator[list[FarEnd]]:
    """One far end per command, started side by side: those of farend.py, or `simulated` and options of a bus."""
    ends = [_far_end(*command) for command in commands]
    try:
        for end in ends:
            end.ready()
        yield ends
    finally:
        for end in ends:
            end.end()


def tree(pid: int) -> list[int]:
    """A process and all below it; socat has one for each connection."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += tree(int(child))
    return found


def cpu_seconds(pids: Sequence[int]) -> float:
    """Processor time used so far, to the nanosecond: the kernel's clock of each process."""
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)


def wakeups(pids: Sequence[int]) -> int:
    """How often their threads went to sleep of their own will, and so were woken."""
    total = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            total += _field(task / "status", "voluntary_ctxt_switches")
    return total


def megabytes(pids: Sequence[int], name: str) -> float:
    """Memory in MB: `Rss`, or `Pss`, which shares out what several processes map."""
    return sum(_field(Path(f"/proc/{pid}/smaps_rollup"), name) for pid in pids) * 1024 / 1e6


def _field(path: Path, name: str) -> int:
    for line in path.read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0])
    raise KeyError(f"{path}: {name}")


def machine() -> dict[str, str]:
    """What the figures depend on."""
    cpuinfo = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in cpuinfo if line.startswith("model name")), "")
    return {
        "processor": f"{os.cpu_count()} x {model or platform.machine()}",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "uvloop": metadata.version("uvloop"),
        "load before": f"{os.getloadavg()[0]:.2f}",
    }

"""Where the documents' commands run: simulated lines, a gateway, and a folder in the place of the machine's."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from nportpy.edge.collect.sqlite import SqliteStore
from tests.docs.documents import ROOT, Block
from tests.support.free_ports import free_port

_SERVED = """
[gateway]
listen = "127.0.0.1"
drain = "0s"
[http]
listen = "127.0.0.1:{http}"
[port.meters]
device = "{folder}/dev/ttyGateway"
baudrate = 115200
format = "8E1"
[port.meters.raw]
listen = {raw}
[port.meters.rfc2217]
listen = {rfc2217}
[port.meters.modbus]
listen = {modbus}
[port.meters.realcom]
data = {data}
command = {command}
[discovery]
listen = false
[station.emon]
port = "meters"
unit = 1
every = "1s"
profile = "emon-dmon-3400"
[archive]
path = "{folder}/var/lib/nportpy/archive.db"
commit = "100ms"
clock = "trusted"
[upstream.plant]
url = "sqlite:{folder}/var/lib/nportpy/collect.db"
"""

_OWN = """
[port.meters]
device = "{folder}/dev/ttyUSB0"
baudrate = 9600
format = "8E1"
[station.emon]
port = "meters"
unit = 1
every = "10s"
profile = "emon-dmon-3400"
"""

_COLLECT = """
[source.plant]
url = "mqtt://127.0.0.1:9"
[store]
path = "{folder}/var/lib/nportpy/other.db"
"""

# Where a command names no file, it means that of the gateway which runs, or one whose device is free.
_NPORTPY = """#!/bin/sh
file=
case "$1 $*" in
*" -c "*|*--help*) ;;
archive*|status*|monitor*|capture*) file={folder}/etc/nportpy/served.toml ;;
collect*) file={folder}/etc/nportpy/collect.toml ;;
check*|poll*) file={folder}/etc/nportpy/nportpy.toml ;;
esac
exec {python} -m nportpy "$@" ${{file:+-c $file}}
"""


@dataclass(frozen=True)
class Sandbox:
    """A folder with `dev`, `etc`, `var` and `tmp`, and what the documents' addresses are here."""

    folder: Path
    ports: dict[str, int]
    work: Path
    """Where commands are typed."""

    def within(self, block: Block) -> "Sandbox":
        """The same with a folder for this document, which has what a reader has by then: the project's etc/, a file."""
        work = self.folder / block.document.stem
        if not work.exists():
            work.mkdir()
            (work / "etc").symlink_to(ROOT / "etc")
            if "-o nportpy.toml" not in block.document.read_text():
                (work / "nportpy.toml").symlink_to(self.folder / "etc/nportpy/nportpy.toml")
        return replace(self, work=work)

    def translated(self, line: str) -> str:
        """A line of a document, with this sandbox's names and numbers."""
        if "nportpy.simulator" in line:
            line = re.sub(r"(--port |127\.0\.0\.1:)\d+", lambda found: f"{found[1]}{free_port()}", line)
            return line.replace("/tmp/", f"{self.folder}/tmp/")
        raw, rfc2217, modbus, http = (self.ports[name] for name in ("raw", "rfc2217", "modbus", "http"))
        real = f"{self.ports['data']},{self.ports['command']}"
        host = r"(?:192\.0\.2\.10|127\.0\.0\.1|localhost|gateway)"
        places = {
            r"\S*/bin/nportpy\b": "nportpy",
            rf"\b{host}([: ])4001\b": rf"127.0.0.1\g<1>{raw}",
            rf"\b{host}:5001\b": f"127.0.0.1:{rfc2217}",
            rf"\b{host}:502\b": f"127.0.0.1:{modbus}",
            rf"\b{host}:950\b": f"127.0.0.1:{real}",
            rf"\b{host}:9550\b": f"127.0.0.1:{http}",
            r"(?<![\w.])/(dev|etc|tmp|var)/(?!null)": rf"{self.folder}/\1/",
            r"~/": f"{self.folder}/",
            r"nportpy (monitor|capture) bus": r"nportpy \1 meters",
            r"^nc ": "nc -z ",  # whether there is a connection, which is what the documents say it shows
            r"nportpy serve (?!.*-c )": "nportpy serve --listen 127.0.0.1 "
            + " ".join(f"--{kind}-port {free_port()}" for kind in ("raw", "rfc2217", "modbus", "http"))
            + " ",
        }
        for pattern, here in places.items():
            line = re.sub(pattern, here, line)
        return line

    def run(self, line: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
            cwd=self.work, env=self._environ(), capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def start(self, line: str) -> "subprocess.Popen[str]":
        """What says something on either output can be read from `stdout`."""
        return subprocess.Popen(
            ["bash", "-c", f"exec {line}"],
            cwd=self.work, env=self._environ(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def _environ(self) -> dict[str, str]:
        path = f"{self.folder}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}"
        return os.environ | {
            "PATH": path,
            "STATE_DIRECTORY": f"{self.folder}/var/lib/nportpy",
            "COLUMNS": "160",
            "PYTHONPATH": str(ROOT),
        }


@contextmanager
def sandbox(folder: Path) -> Iterator[Sandbox]:
    """Simulated lines and a gateway on one of them, as long as the block lasts."""
    names = ("raw", "rfc2217", "modbus", "http", "data", "command")
    here = Sandbox(folder, {name: free_port() for name in names}, folder)
    for name in ("bin", "dev", "etc/nportpy", "tmp", "var/lib/nportpy"):
        (folder / name).mkdir(parents=True)
    for name, text in {"served.toml": _SERVED, "nportpy.toml": _OWN, "collect.toml": _COLLECT}.items():
        (folder / "etc/nportpy" / name).write_text(text.format(folder=folder, **here.ports))
    asyncio.run(_stored(str(folder / "var/lib/nportpy/other.db")))
    (folder / "bin/nportpy").write_text(_NPORTPY.format(folder=folder, python=sys.executable))
    (folder / "bin/nportpy").chmod(0o755)
    (folder / "etc/ser2net.yaml").write_text(
        "connection: &p1\n  accepter: tcp,4001\n  connector: serialdev,/dev/ttyUSB0,9600n81,local\n"
    )
    dev = folder / "dev"
    with ExitStack() as stack:
        lines = ["--bus", dev / "ttyGateway", "--bus", dev / "ttyUSB0", "--zmd", dev / "ttyAMA0"]
        simulator = [sys.executable, "-m", "nportpy.simulator", "--unpaced", "--meter-units", "1-8", *map(str, lines)]
        _begun(stack, simulator, "ttyAMA0")
        optical = [sys.executable, "-m", "nportpy.simulator", "--iec62056", f"{dev}/ttyUSB2,speed=0"]
        _begun(stack, optical, "ttyUSB2")
        gateway = [sys.executable, "-m", "nportpy", "serve", "-c", str(folder / "etc/nportpy/served.toml")]
        _begun(stack, gateway, "serving")
        with urllib.request.urlopen(f"http://127.0.0.1:{here.ports['http']}/healthz", timeout=10):
            yield here


async def _stored(path: str) -> None:
    """A collector's file, as one that has run leaves it."""
    store = SqliteStore(path)
    await store.open()
    await store.close()


def _begun(stack: ExitStack, command: list[str], word: str) -> None:
    """Start a program that ends with the stack, and wait until it has said a word."""
    process = stack.enter_context(
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    )
    stack.callback(process.send_signal, signal.SIGTERM)
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        if word in line:
            return
        said.append(line)
    raise AssertionError(f"{command} ends without a word of {word}: {said}")

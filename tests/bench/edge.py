"""What reading, keeping and sending cost: python -m tests.bench.edge

    lines      16 lines polled each second at 20 registers: processor and memory of the whole gateway
    jitter     1,000 tags in 50 stations each second: by what rounds are off their grid
    backlog    the same while a backlog drains to mosquitto
    restart    until the first poll, with an empty archive and with one of 200 MiB
    disk       bytes written for each sample at 3.1 samples/s and a commit each 2 s

The gateway is `nportpy serve` with a file, as installed; units are processes of their own. Figures are this machine's.
"""

import argparse
import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path

from nportpy.edge.archive import Archive
from nportpy.edge.clock import Clock
from nportpy.edge.sample import Quality, Reading
from nportpy.edge.settings import ArchiveSettings
from tests.bench.drain import fill, replace_queue
from tests.bench.processes import cpu_seconds, far_ends, megabytes, program
from tests.support.brokers import mosquitto
from tests.support.free_ports import free_port

# Registers that differ at every answer, so that every reading is a sample.
_SERVER = """
import asyncio, sys, time
first, count = 0.0, 0
async def serve(reader, writer):
    global first, count
    try:
        while True:
            head = await reader.readexactly(7)
            pdu = await reader.readexactly(int.from_bytes(head[4:6], "big") - 1)
            if not first:
                first = time.time()
                print(first, flush=True)
            count += 1
            size = int.from_bytes(pdu[3:5], "big")
            body = bytes((3, 2 * size)) + (count & 0xFFFF).to_bytes(2, "big") * size
            writer.write(head[:4] + (len(body) + 1).to_bytes(2, "big") + head[6:7] + body)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
async def main():
    async with await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1])) as server:
        await server.serve_forever()
asyncio.run(main())
"""


def station(name: str, way: str, unit: int, registers: int = 20) -> str:
    tags = ", ".join(f'{{ name = "v{number}", at = "{40001 + number}" }}' for number in range(registers))
    return f'[station.{name}]\n{way}\nunit = {unit}\nevery = "1s"\ntags = [{tags}]\n'


@contextmanager
def gateway(folder: Path, text: str) -> Iterator[tuple[int, int]]:
    """Its process id and its HTTP port."""
    port = free_port()
    file = folder / "nportpy.toml"
    head = f'[http]\nlisten = "127.0.0.1:{port}"\n[archive]\npath = "{folder}/archive.db"\nclock = "trusted"\n'
    file.write_text(head + text)
    with program([sys.executable, "-m", "nportpy", "serve", "-c", str(file)], folder / "log") as process:
        yield process.pid, port


def asked(port: int, page: str) -> object:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{page}", timeout=30) as answer:
        return json.load(answer)


def until(condition: Callable[[], object], limit: float = 60.0) -> None:
    deadline = time.monotonic() + limit
    while True:
        try:
            if condition():
                return
        except OSError:  # it does not listen yet
            pass
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.02)


def lines(seconds: float) -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-edge-")))
        ends = stack.enter_context(far_ends([["simulated", "--baudrate", 19200, "--units", "1"]] * 16))
        text = "".join(
            f'[port.p{number}]\ndevice = "{end.device}"\nbaudrate = 19200\nformat = "8E1"\n'
            + station(f"s{number}", f'port = "p{number}"', 1)
            for number, end in enumerate(ends)
        )
        pid, port = stack.enter_context(gateway(folder, text))
        until(lambda: all(each["up"] for each in asked(port, "/api/v1/stations")))  # type: ignore[attr-defined]
        time.sleep(3.0)
        used, began = cpu_seconds([pid]), time.monotonic()
        time.sleep(seconds)
        used = (cpu_seconds([pid]) - used) / (time.monotonic() - began) * 100
        rss = megabytes([pid], "Rss")
        failed = sum(each["polls"]["failed"] for each in asked(port, "/api/v1/stations"))  # type: ignore[attr-defined]
    print(f"lines     16 at 20 registers each second: {used:.1f} % of a core, RSS {rss:.1f} MB, {failed} failed rounds")


def jitter(seconds: float, backlog: int) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-edge-") as name:
        folder, port = Path(name), free_port()
        text = "".join(station(f"s{number}", f'target = "tcp://127.0.0.1:{port}"', number + 1) for number in range(50))
        with subprocess.Popen([sys.executable, "-c", _SERVER, str(port)], stdout=subprocess.DEVNULL) as server:
            try:
                if backlog:
                    asyncio.run(_beside_backlog(folder, text, seconds, backlog))
                else:
                    _run(folder, text, seconds, "jitter ")
            finally:
                server.terminate()


async def _beside_backlog(folder: Path, text: str, seconds: float, backlog: int) -> None:
    async with mosquitto(folder / "broker", "max_inflight_messages 0\n") as broker:
        archive = Archive(ArchiveSettings(str(folder / "archive.db")), Clock(trusted=lambda: True))
        await archive.open()
        await fill(replace_queue(archive), backlog)
        await archive.close()
        text += f'[upstream.plant]\nurl = "{broker.url}"\n'
        await asyncio.to_thread(_run, folder, text, seconds, "backlog")


def _run(folder: Path, text: str, seconds: float, what: str) -> None:
    with gateway(folder, text) as (pid, port):
        until(lambda: all(each["up"] for each in asked(port, "/api/v1/stations")))  # type: ignore[attr-defined]
        time.sleep(2.0)
        began, used = time.time(), cpu_seconds([pid])
        sent = _late(port)
        time.sleep(seconds)
        used, ended = (cpu_seconds([pid]) - used) / seconds * 100, time.time()
        late, rss = (_late(port) - sent) / seconds, megabytes([pid], "Rss")
        time.sleep(2.5)
    off = sorted(offsets(folder / "archive.db", began, ended))
    at = [f"{off[int(share * (len(off) - 1))] * 1000:.1f}" for share in (0.5, 0.99, 1.0)]
    more = f", {late:.0f} late samples/s meanwhile" if late else ""
    print(
        f"{what}   1,000 tags in 50 stations each second: p50 {at[0]}, p99 {at[1]}, longest {at[2]} ms of {len(off)};"
        f" {used:.1f} % of a core, RSS {rss:.1f} MB{more}"
    )


def _late(port: int) -> int:
    upstreams = asked(port, "/api/v1/archive")["upstreams"]  # type: ignore[index]
    return sum(int(each["sent_late"]) for each in upstreams)


def offsets(path: Path, began: float, ended: float) -> Iterator[float]:
    """By what the time between two rounds of a station differs from a second, by the stamps in the archive."""
    rounds: dict[int, list[int]] = defaultdict(list)
    with sqlite3.connect(path) as db:
        (offset,) = db.execute("SELECT offset FROM epoch ORDER BY first DESC LIMIT 1").fetchone()
        tags = {number for (number,) in db.execute("SELECT id FROM tag WHERE name = 'v0' AND station LIKE 's%'")}
        for tag, monotonic in db.execute("SELECT tag, monotonic FROM sample ORDER BY seq DESC LIMIT 200000"):
            if tag in tags and began * 1e6 <= monotonic + offset <= ended * 1e6:
                rounds[tag].append(monotonic)
    db.close()
    for stamps in rounds.values():
        yield from (abs(later - before - 1_000_000) / 1e6 for before, later in pairwise(sorted(stamps)))


def restart(size: int) -> None:
    """Seconds from the start of the process to the first request at the meter."""
    with tempfile.TemporaryDirectory(prefix="bench-edge-") as name:
        folder = Path(name)
        took = {}
        for what in ("empty", "full"):
            if what == "full":
                asyncio.run(_filled(folder / "archive.db", size))
            port = free_port()
            with subprocess.Popen(
                [sys.executable, "-c", _SERVER, str(port)], stdout=subprocess.PIPE, text=True
            ) as server:
                assert server.stdout is not None
                time.sleep(0.5)
                began = time.time()
                with gateway(folder, station("s", f'target = "tcp://127.0.0.1:{port}"', 1)):
                    took[what] = float(server.stdout.readline()) - began
                server.terminate()
        held = os.stat(folder / "archive.db").st_size / 2**20
    print(f"restart   first poll after {took['empty']:.2f} s, with an archive of {held:.0f} MiB {took['full']:.2f} s")


async def _filled(path: Path, size: int) -> None:
    archive = Archive(ArchiveSettings(str(path)), Clock(trusted=lambda: True))
    await archive.open()
    await fill(replace_queue(archive), 100_000)
    await archive.close()
    with sqlite3.connect(path) as db:  # the same rows again: by way of the archive it would take minutes
        while os.stat(path).st_size < size:
            db.execute("INSERT INTO sample SELECT NULL, tag, monotonic, value, state, at FROM sample LIMIT 100000")
            db.commit()
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def disk(samples: int) -> None:
    """By the kernel's count of what this process has written; time does not matter to bytes, so it does not pass."""
    asyncio.run(_disk(samples))


async def _disk(samples: int) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-edge-", dir=".") as name:
        archive = Archive(ArchiveSettings(f"{name}/archive.db"), Clock(trusted=lambda: True))
        await archive.open()
        tags = [archive.register("emon", f"v{number}", "V", "float32") for number in range(10)]
        before = _written()
        given = 0.0
        for number in range(samples):
            archive.add([Reading(tags[number % 10].id, 230.0 + number % 97 / 10, Quality.GOOD, archive.clock.now())])
            if number + 1 >= given + 6.2:
                given += 6.2
                await archive.flush()
        await archive.flush()
        took = _written() - before
        await archive.close()
    print(f"disk      {took / samples:.0f} bytes written a sample, {took / samples * 3.1 * 86400 / 1e6:.0f} MB a day")


def _written() -> int:
    for line in Path("/proc/self/io").read_text().splitlines():
        if line.startswith("write_bytes:"):
            return int(line.split()[1])
    raise KeyError("write_bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("what", nargs="*", default=["lines", "jitter", "backlog", "restart", "disk"])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--backlog", type=int, default=1_000_000, help="samples")
    parser.add_argument("--size", type=int, default=190, help="MiB of the archive at the restart")
    options = parser.parse_args()
    benches: dict[str, Callable[[], None]] = {
        "lines": lambda: lines(options.seconds),
        "jitter": lambda: jitter(options.seconds, 0),
        "backlog": lambda: jitter(options.seconds, options.backlog),
        "restart": lambda: restart(options.size << 20),
        "disk": lambda: disk(4000),
    }
    for what in options.what:
        benches[what]()


if __name__ == "__main__":
    main()

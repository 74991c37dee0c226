"""A fleet against real servers: simulated nodes, a JetStream of three nodes (R=3), two collectors, PostgreSQL.

    python -m tests.bench.fleet --nodes 200 --rate 50 --seconds 60

On the way one node of NATS is killed and started again, and one collector is killed. In the end what is stored must be
what was produced, row by row; otherwise the exit code is 1. All of it runs on this machine, on loopback, the load
included, and is bounded in count and time.
"""

import argparse
import asyncio
import contextlib
import os
import resource
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import uvloop

from nportpy.edge import links
from nportpy.edge.links.base import Link, LinkError, Message, RefusedError
from nportpy.edge.settings import UpstreamSettings
from tests.support import brokers
from tests.support.collecting import CollectorProcess, Key, Node, complete, written_config

WINDOW = 4  # batches of a node on their way at once
PERIOD = 2.0  # seconds between two batches of a node, as an archive commits


@dataclass
class Fleet:
    """What the nodes have seen."""

    samples: int = 0
    batches: int = 0
    payload: int = 0
    again: int = 0
    delays: list[float] = field(default_factory=list)


class Sender:
    """One node: makes samples at its rate and sends each batch until it is acknowledged."""

    def __init__(self, node: Node, urls: str, fleet: Fleet) -> None:
        self.node, self.fleet = node, fleet
        self._url = urls
        self._settings = UpstreamSettings("plant", (urls,), site=node.site, node=node.name, keepalive=10.0)
        self._link: Link | None = None
        self._lock = asyncio.Lock()

    async def run(self, rate: int, seconds: float, phase: float) -> None:
        window = asyncio.Semaphore(WINDOW)
        await asyncio.sleep(phase * PERIOD)
        loop = asyncio.get_running_loop()
        due, end = loop.time(), loop.time() + seconds
        async with asyncio.TaskGroup() as tasks:
            while loop.time() < end:
                due += PERIOD
                await asyncio.sleep(max(0.0, due - loop.time()))
                await window.acquire()
                task = tasks.create_task(self._send(round(rate * PERIOD)))
                task.add_done_callback(lambda _: window.release())
        await self._publish(Message("state", self.node.state()[1], retain=True))

    async def _send(self, count: int) -> None:
        topic, payload, name = self.node.batch(self.node.samples(count, step=round(PERIOD * 1e6 / count)))
        began = time.perf_counter()
        await self._publish(Message(topic.rpartition("/")[2], payload, id=name))
        self.fleet.samples += count
        self.fleet.batches += 1
        self.fleet.payload += len(payload)
        self.fleet.delays.append(time.perf_counter() - began)

    async def _publish(self, message: Message) -> None:
        while True:
            link: Link | None = None
            try:
                link = await self._connected()
                async with asyncio.timeout(10.0):
                    return await link.publish(message)
            except (LinkError, RefusedError, TimeoutError):
                self.fleet.again += 1
                if link is not None and self._link is link:
                    self._link = None
                    with contextlib.suppress(LinkError):
                        await link.close()
                await asyncio.sleep(0.5)

    async def _connected(self) -> Link:
        async with self._lock:
            if self._link is None:
                will = Message("state", b"", retain=True)
                link = await links.connect(self._url, self._settings, lambda _kind, _payload: None, will)
                await link.publish(Message("meta", self.node.table()[1], retain=True))
                await link.publish(Message("state", self.node.state()[1], retain=True))
                self._link = link
            return self._link

    async def close(self) -> None:
        if self._link is not None:
            await self._link.close()


async def main(nodes: int, rate: int, seconds: float, *, kills: bool) -> bool:
    """Run it, and say what came of it; whether nothing was lost."""
    folder = Path(tempfile.mkdtemp(prefix="nportpy-fleet-"))
    try:
        async with (
            brokers.nats_cluster(folder / "nats") as cluster,
            brokers.postgres("shared_buffers = 256MB\nmax_wal_size = 2GB") as database,
        ):
            urls = ",".join(server.url for server in cluster)
            return await _run(folder, cluster, database, urls, (nodes, rate, seconds), kills=kills)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _run(
    folder: Path,
    cluster: list[brokers.Server],
    database: brokers.Postgres,
    urls: str,
    size: tuple[int, int, float],
    *,
    kills: bool,
) -> bool:
    nodes, rate, seconds = size
    collectors = [CollectorProcess(written_config(folder, urls, database.url, name)) for name in ("one", "two")]
    fleet = Fleet()
    senders = [Sender(Node(f"node-{number:04}"), urls, fleet) for number in range(nodes)]
    try:
        for each in collectors:
            await each.start()
        began = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for place, sender in enumerate(senders):
                tasks.create_task(sender.run(rate, seconds, place / nodes))
            if kills:
                tasks.create_task(_trouble(cluster, collectors, seconds))
        sent = time.perf_counter() - began
        found = await complete(collectors[0].config, *(each.node for each in senders), limit=300)
        whole = time.perf_counter() - began
        processor = {
            "NATS, three nodes": sum(_processor(each.pid) for each in cluster),
            "collectors": sum(_processor(each.pid) for each in collectors if each.pid),
            "PostgreSQL": _processor(database.pid, children=True),
        }
    finally:
        for sender in senders:
            await sender.close()
        for each in collectors:
            with contextlib.suppress(TimeoutError):
                await each.end()
    produced = set().union(*(sender.node.produced for sender in senders))
    stored, sizes = await _stored(database.url)
    _say(fleet, sizes, len(produced), stored, (sent, whole))
    for name, spent in processor.items():
        print(f"{f'microseconds a sample, {name}':<42} {1e6 * spent / len(stored):>12.1f}", flush=True)
    return found["complete"] and len(stored) == len(set(stored)) and set(stored) == produced


async def _trouble(cluster: list[brokers.Server], collectors: list[CollectorProcess], seconds: float) -> None:
    await asyncio.sleep(seconds / 3)
    print("kill -9: one node of NATS", flush=True)
    await cluster[1].kill()
    await asyncio.sleep(seconds / 6)
    print("kill -9: one collector", flush=True)
    await collectors[1].kill()
    await asyncio.sleep(seconds / 6)
    print("the node of NATS is started again", flush=True)
    await cluster[1].start()


def _processor(pid: int, *, children: bool = False) -> float:
    """Seconds of a processor that a process has had since it was started; of a killed one nobody knows."""
    pids = [pid]
    if children:
        pids += [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    ticks = 0
    for each in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15] if each == pid else fields[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


async def _stored(url: str) -> tuple[list[Key], dict[str, int]]:
    connection = await asyncpg.connect(url)
    try:
        rows = [tuple(row) for row in await connection.fetch("SELECT node, boot, seq FROM samples")]
        sizes = {
            name: await connection.fetchval(f"SELECT {what}('samples')")
            for name, what in (("table", "pg_table_size"), ("indexes", "pg_indexes_size"))
        }
    finally:
        await connection.close()
    return rows, sizes


def _say(fleet: Fleet, sizes: dict[str, int], produced: int, stored: list[Key], took: tuple[float, float]) -> None:
    sent, whole = took
    delays = sorted(fleet.delays)
    own = resource.getrusage(resource.RUSAGE_SELF)
    lines = {
        "produced": produced,
        "stored": len(stored),
        "stored twice": len(stored) - len(set(stored)),
        "batches": fleet.batches,
        "bytes of a batch": round(fleet.payload / fleet.batches),
        "bytes of a sample in its batch": round(fleet.payload / fleet.samples, 1),
        "sent again": fleet.again,
        "seconds of sending": round(sent, 1),
        "seconds until all was stored": round(whole, 1),
        "samples stored a second": round(len(stored) / whole),
        "acknowledged by JetStream, p50 ms": round(1000 * delays[len(delays) // 2]),
        "acknowledged by JetStream, p99 ms": round(1000 * delays[len(delays) * 99 // 100]),
        "acknowledged by JetStream, longest s": round(delays[-1], 1),
        "bytes of a row, table": round(sizes["table"] / len(stored)),
        "bytes of a row, indexes": round(sizes["indexes"] / len(stored)),
        "processor seconds of the simulated nodes": round(own.ru_utime + own.ru_stime),
    }
    for name, value in lines.items():
        print(f"{name:<42} {value:>12}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--nodes", type=int, default=200, choices=range(1, 1001), metavar="N")
    parser.add_argument("--rate", type=int, default=50, choices=range(1, 101), metavar="PER_SECOND")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--no-kills", action="store_true")
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        done = runner.run(main(options.nodes, options.rate, min(options.seconds, 600.0), kills=not options.no_kills))
    print("nothing is lost" if done else "SOMETHING IS LOST")
    sys.exit(0 if done else 1)

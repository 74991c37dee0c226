"""How fast a backlog drains to a local broker, and whether live samples wait for it: python -m tests.bench.drain

An archive of a million samples (COUNT), mosquitto on loopback, a paho client in a process of its own that counts what
arrives; live samples come all the while. Rates are this machine's; the requirement is 20,000 samples/s (E10).
"""

import argparse
import asyncio
import json
import logging
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from subprocess import PIPE

import uvloop

from nportpy.edge.archive import Archive
from nportpy.edge.clock import Clock
from nportpy.edge.sample import Quality, Reading
from nportpy.edge.settings import ArchiveSettings, UpstreamSettings
from nportpy.edge.upstream import Upstream
from tests.support.brokers import mosquitto

TAGS = 1000

_SUBSCRIBER = """
import json, sys, time
from paho.mqtt.client import Client, CallbackAPIVersion
counts = {"live": 0, "late": 0}
delays, first, last = [], 0.0, 0.0
def heard(client, _, message):
    global first, last
    now = time.time()
    kind = message.topic.rpartition("/")[2]
    payload = message.payload
    count = int(payload[payload.index(b'"n":') + 4 : payload.index(b',"meta"')])
    counts[kind] += count
    if kind == "late":
        first, last = first or now, now
    else:
        batch = json.loads(payload)
        delays.extend(now - (batch["t0"] + row[1]) / 1e6 for row in batch["rows"])
client = Client(CallbackAPIVersion.VERSION2)
client.on_message = heard
client.on_subscribe = lambda *_: print("ready", flush=True)
client.on_connect = lambda client, *_: client.subscribe([("nportpy/v1/+/+/live", 1), ("nportpy/v1/+/+/late", 1)])
client.connect("127.0.0.1", int(sys.argv[1]))
client.loop_start()
sys.stdin.readline()
delays.sort()
at = lambda share: delays[int(share * (len(delays) - 1))] if delays else None
print(json.dumps({**counts, "seconds": last - first, "p50": at(0.5), "p99": at(0.99), "max": at(1.0)}), flush=True)
client.disconnect()
"""


COMMIT = ArchiveSettings("").commit


async def fill(archive: Archive, count: int) -> None:
    tags = [archive.register(f"meter{number // 20}", f"value{number % 20}", "V", "float32") for number in range(TAGS)]
    now = archive.clock.now() - count * 1000
    for start in range(0, count, 10_000):
        archive.add(
            Reading(tags[number % TAGS].id, 230.0 + number % 977 / 10, Quality.GOOD, now + number * 1000)
            for number in range(start, min(count, start + 10_000))
        )
        await archive.flush()


async def feed(archive: Archive, rate: float) -> None:
    tag = archive.register("live", "power", "kW", "float32")
    number = 0
    while True:
        archive.add([Reading(tag.id, float(number), Quality.GOOD, archive.clock.now())])
        number += 1
        await asyncio.sleep(1 / rate)


async def drain(archive: Archive, upstream: Upstream, rate: float, limit: float) -> float:
    """Processor seconds of this process while the backlog drains."""
    began = time.process_time()
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(each) for each in (archive.run(), upstream.run(), feed(archive, rate))]
        deadline = time.monotonic() + limit
        while upstream.status().backlog > 2 * rate or not upstream.status().sent_late:
            await asyncio.sleep(0.05)
            if time.monotonic() > deadline:
                print("not drained in time:", upstream.status())
                break
        used = time.process_time() - began
        await asyncio.sleep(COMMIT + 1.0)  # live samples are sent once they are committed
        for task in running:
            task.cancel()
    return used


async def run(count: int, max_rate: float, live: float, limit: float) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="nportpy-drain-") as folder:
        async with mosquitto(Path(folder) / "broker", "max_inflight_messages 0\n") as broker:
            archive = Archive(ArchiveSettings(os.path.join(folder, "archive.db")), Clock(trusted=lambda: True))
            await archive.open()
            try:
                await fill(replace_queue(archive), count)
                settings = UpstreamSettings("bench", (broker.url,), node="pi", max_rate=max_rate)
                listener = await asyncio.create_subprocess_exec(
                    sys.executable, "-c", _SUBSCRIBER, str(broker.port), stdin=PIPE, stdout=PIPE
                )
                assert listener.stdout is not None
                await listener.stdout.readline()
                used = await drain(archive, Upstream(settings, archive, archive.clock), live, limit)
                output, _ = await listener.communicate(b"\n")
            finally:
                await archive.close()
    figures: dict[str, float] = json.loads(output)
    return figures | {"rate": figures["late"] / max(figures["seconds"], 1e-3), "processor": used}


def replace_queue(archive: Archive) -> Archive:
    """So that filling needs no pauses."""
    archive._settings = replace(archive._settings, queue=1 << 20)
    return archive


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--max-rate", type=float, default=0.0, help="0: no limit")
    parser.add_argument("--live", type=float, default=100.0, help="samples a second meanwhile")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(run(options.count, options.max_rate, options.live, options.limit))
    print(f"late      {figures['late']:>9.0f} samples in {figures['seconds']:.1f} s: {figures['rate']:.0f} /s")
    print(
        f"live      {figures['live']:>9.0f} samples, p50 {figures['p50']:.2f} s, p99 {figures['p99']:.2f} s,"
        f" longest {figures['max']:.2f} s"
    )
    print(f"processor {figures['processor']:>9.1f} s here")


if __name__ == "__main__":
    main()

"""The other end on mosquitto: what nodes have sent is in the database, once, whatever is killed on the way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support import brokers
from tests.support.collecting import (
    CollectorProcess,
    Node,
    Publishing,
    collector_process,
    complete,
    keys,
    publishing,
    written_config,
)
from tests.support.free_ports import free_port
from tests.support.serving import until

# Collectors are processes: the loop of this one does not matter. They wait for minutes, beside all others.
pytestmark = [pytest.mark.peer, pytest.mark.real("asyncio"), pytest.mark.slow]


@asynccontextmanager
async def plant(folder: Path, *nodes: Node) -> AsyncIterator[tuple[brokers.Server, CollectorProcess, Publishing]]:
    """A broker that has everything on its disk at once, a collector, and nodes."""
    async with brokers.mosquitto(
        folder / "broker", "autosave_on_changes true\nautosave_interval 1\nmax_inflight_messages 0"
    ) as broker:
        config = written_config(folder, broker.url)
        async with collector_process(config) as collector:
            await until(lambda: "collecting" in collector.output, 20)
            async with publishing(broker.url, *nodes) as sending:
                yield broker, collector, sending


async def test_a_killed_collector_loses_nothing_and_stores_nothing_twice(tmp_path: Path) -> None:
    nodes = [Node(f"n{number}") for number in range(4)]
    async with plant(tmp_path, *nodes) as (_, collector, sending):
        for round_ in range(40):
            await asyncio.gather(*(sending.send(node, 20, late=round_ % 3 == 0) for node in nodes))
            if round_ % 10 == 5:
                await collector.kill()
            if round_ % 10 == 7:
                await collector.start()
        for node in nodes:
            await sending.say(node)
        found = await complete(collector.config, *nodes)
        assert [each["stored"] for each in found["nodes"]] == [800] * 4
        assert found["dead_letters"] == 0
        await until(lambda: sending.acks == {node.name: 800 for node in nodes}, 20)
        assert await collector.end() == 0
    stored = keys(tmp_path)
    assert set(stored) == set().union(*(node.produced for node in nodes))
    assert len(stored) == len(set(stored))


async def test_a_broker_that_is_killed_is_just_an_outage(tmp_path: Path) -> None:
    """PUBACK is no proof of storage: what the broker forgets is sent again up to the watermark (`confirm = "host"`)."""
    node = Node()
    async with plant(tmp_path, node) as (broker, collector, sending):
        sent = []
        for round_ in range(30):
            samples = node.samples(20)
            sent.append(samples)
            if round_ == 15:
                await broker.kill()
                await broker.start()
            await sending.resend(node, samples)
        await sending.say(node)
        await asyncio.sleep(2.0)
        for samples in sent:  # as an upstream does from the watermark on
            if samples[-1].seq > sending.acks.get(node.name, 0):
                await sending.resend(node, samples, late=True)
        found = await complete(collector.config, node)
        assert found["nodes"][0]["stored"] == 600
    assert set(keys(tmp_path)) == node.produced


async def test_collectors_of_one_group_share_the_batches(tmp_path: Path) -> None:
    nodes = [Node(f"n{number}") for number in range(6)]
    async with brokers.postgres() as database, plant_of_two(tmp_path, database.url) as (broker, first, second):
        async with publishing(broker.url, *nodes) as sending:
            for _ in range(20):
                await asyncio.gather(*(sending.send(node, 10) for node in nodes))
            for node in nodes:
                await sending.say(node)
            found = await complete(first.config, *nodes)
            assert [each["stored"] for each in found["nodes"]] == [200] * 6
        rows = [await scraped(each) for each in (first, second)]
        assert sum(rows) == 1200
        assert all(rows)


@asynccontextmanager
async def plant_of_two(
    folder: Path, store: str
) -> AsyncIterator[tuple[brokers.Server, CollectorProcess, CollectorProcess]]:
    ports = [free_port(), free_port()]
    async with brokers.mosquitto(folder / "broker", "max_inflight_messages 0") as broker:
        configs = [
            written_config(folder, broker.url, store, f"c{port}", f'[http]\nlisten = "127.0.0.1:{port}"')
            for port in ports
        ]
        async with collector_process(configs[0]) as first, collector_process(configs[1]) as second:
            await until(lambda: "collecting" in first.output and "collecting" in second.output, 30)
            yield broker, first, second


async def scraped(collector: CollectorProcess) -> int:
    """Rows stored, as its metrics have it."""
    port = int(collector.config.stem[1:])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /metrics HTTP/1.0\r\n\r\n")
    text = (await reader.read()).decode()
    writer.close()
    (line,) = [line for line in text.splitlines() if line.startswith("nportpy_collect_rows_total ")]
    return int(float(line.split()[1]))

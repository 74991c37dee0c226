"""The other end on NATS JetStream and PostgreSQL: the stored set is the produced set, whatever is killed on the way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import asyncpg
import nats
import pytest
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from nportpy.edge.links.base import Message
from nportpy.edge.links.jetstream import SAMPLES, STATES, make_streams
from tests.support import brokers
from tests.support.collecting import (
    CollectorProcess,
    Key,
    Node,
    Publishing,
    collector_process,
    complete,
    keys,
    publishing,
    verified,
    written_config,
)
from tests.support.serving import until

# Collectors are processes: the loop of this one does not matter. They wait for minutes, beside all others.
pytestmark = [pytest.mark.peer, pytest.mark.real("asyncio"), pytest.mark.slow]


async def stored(url: str) -> list[Key]:
    """Every row's key."""
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch("SELECT node, boot, seq FROM samples")]
    finally:
        await connection.close()


@asynccontextmanager
async def two_collectors(
    folder: Path, url: str, store: str
) -> AsyncIterator[tuple[CollectorProcess, CollectorProcess]]:
    configs = [written_config(folder, url, store, name) for name in ("one", "two")]
    async with collector_process(configs[0]) as first, collector_process(configs[1]) as second:
        await until(lambda: "collecting" in first.output and "collecting" in second.output, 30)
        yield first, second


def produced(nodes: list[Node]) -> set[Key]:
    return set().union(*(node.produced for node in nodes))


async def told(config: Path, node: Node) -> None:
    """Until the node's last state is stored."""
    async with asyncio.timeout(30):
        while True:
            _, found = await verified(config)
            if [each["newest"] for each in found.get("nodes", ())] == [node.newest]:
                return
            await asyncio.sleep(0.3)


@asynccontextmanager
async def impatient_nats(folder: Path) -> AsyncIterator[brokers.Server]:
    """One node, whose consumers deliver again after 3 s: what a killed collector had fetched comes soon."""
    async with brokers.nats(folder / "nats") as broker:
        client = await nats.connect(broker.url)
        stream = client.jetstream()
        await make_streams(stream, 1)
        for name, begin in ((SAMPLES, DeliverPolicy.ALL), (STATES, DeliverPolicy.LAST_PER_SUBJECT)):
            await stream.add_consumer(
                name,
                ConsumerConfig(
                    durable_name="nportpy-collect",
                    deliver_policy=begin,
                    ack_policy=AckPolicy.EXPLICIT,
                    ack_wait=3.0,
                    max_ack_pending=10_000,
                    filter_subject=None if begin is DeliverPolicy.ALL else ">",
                ),
            )
        await client.close()
        yield broker


async def send_rounds(sending: Publishing, nodes: list[Node], rounds: int, size: int = 20) -> None:
    for round_ in range(rounds):
        await asyncio.gather(*(sending.send(node, size, late=round_ % 3 == 0) for node in nodes))


async def test_into_sqlite_with_kills_of_the_collector(tmp_path: Path) -> None:
    nodes = [Node(f"n{number}") for number in range(4)]
    async with impatient_nats(tmp_path) as broker:
        config = written_config(tmp_path, broker.url)
        async with collector_process(config) as collector, publishing(broker.url, *nodes) as sending:
            for _ in range(3):
                await send_rounds(sending, nodes, 10)
                await collector.kill()
                await send_rounds(sending, nodes, 5)
                await collector.start()
            for node in nodes:
                await sending.say(node)
            found = await complete(config, *nodes, limit=100)
            assert [each["stored"] for each in found["nodes"]] == [900] * 4
            await until(lambda: sending.acks == {node.name: 900 for node in nodes}, 20)
    assert sorted(keys(tmp_path)) == sorted(produced(nodes))


async def test_two_collectors_one_killed(tmp_path: Path) -> None:
    nodes = [Node(f"n{number}") for number in range(8)]
    async with impatient_nats(tmp_path) as broker, brokers.postgres() as database:
        async with (
            two_collectors(tmp_path, broker.url, database.url) as (first, second),
            publishing(broker.url, *nodes) as sending,
        ):
            await send_rounds(sending, nodes, 20)
            await second.kill()
            await send_rounds(sending, nodes, 20)
            for node in nodes:
                await sending.say(node)
            await complete(first.config, *nodes, limit=100)
            await until(lambda: sending.acks == {node.name: 800 for node in nodes}, 20)
        found = await stored(database.url)
        assert sorted(found) == sorted(produced(nodes))


async def test_postgresql_is_killed_and_comes_back(tmp_path: Path) -> None:
    nodes = [Node(f"n{number}") for number in range(4)]
    async with brokers.nats(tmp_path / "nats") as broker, brokers.postgres() as database:
        async with (
            two_collectors(tmp_path, broker.url, database.url) as (first, _),
            publishing(broker.url, *nodes) as sending,
        ):
            for _ in range(3):
                await send_rounds(sending, nodes, 10)
                await database.kill()
                await send_rounds(sending, nodes, 10)
                await database.start()
            for node in nodes:
                await sending.say(node)
            await complete(first.config, *nodes, limit=100)
            assert "the database is away" in first.output
        assert sorted(await stored(database.url)) == sorted(produced(nodes))


async def test_the_broker_is_killed_and_comes_back(tmp_path: Path) -> None:
    nodes = [Node(f"n{number}") for number in range(4)]
    async with brokers.nats(tmp_path / "nats") as broker, brokers.postgres() as database:
        async with (
            two_collectors(tmp_path, broker.url, database.url) as (first, _),
            publishing(broker.url, *nodes) as sending,
        ):
            for _ in range(3):
                await send_rounds(sending, nodes, 10)
                await broker.kill()
                await broker.start()
            await send_rounds(sending, nodes, 10)
            for node in nodes:
                await sending.say(node)
            await complete(first.config, *nodes, limit=100)
        assert sorted(await stored(database.url)) == sorted(produced(nodes))


async def test_a_hole_is_found_and_a_message_that_is_none_blocks_nobody(tmp_path: Path) -> None:
    node = Node()
    async with brokers.nats(tmp_path / "nats") as broker, brokers.postgres() as database:
        config = written_config(tmp_path, broker.url, database.url)
        async with collector_process(config) as collector, publishing(broker.url, node) as sending:
            await sending.send(node)
            node.samples(7)  # nobody ever sends these
            await sending._publish(node, Message("live", b"{no json", id="x"))
            await sending._publish(node, Message("live", Node("other").more()[1], id="y"))
            await sending.send(node)
            await sending.say(node)
            await told(config, node)
            code, found = await verified(config)
            assert code == 1
            assert found["nodes"][0]["holes"] == [[11, 17]]
            assert (found["nodes"][0]["stored_upto"], found["dead_letters"]) == (10, 2)
            assert await collector.end() == 0


async def test_names_values_and_moments_in_postgresql(tmp_path: Path) -> None:
    node = Node()
    async with brokers.nats(tmp_path / "nats") as broker, brokers.postgres() as database:
        config = written_config(tmp_path, broker.url, database.url)
        async with collector_process(config) as collector, publishing(broker.url, node) as sending:
            for value in (1.5, 2**63 + 1, "open", True, 10**400):
                await sending.resend(node, node.samples(1, value))
            for at in (-(2**62), 2**62):  # a meter's stamp, without sense
                await sending.resend(node, [replace(each, at=at) for each in node.samples(1, 2.5)])
            await sending._publish(node, Message("state", node.state(at=2**62)[1]))
            await told(config, node)
            assert await collector.end() == 0
        connection = await asyncpg.connect(database.url)
        rows = await connection.fetch(
            "SELECT station, value, text, quality, late, extract(year FROM time)::int FROM readings ORDER BY seq"
        )
        await connection.close()
        assert [tuple(row)[1:4] for row in rows] == [
            (1.5, None, 192),
            (2.0**63, str(2**63 + 1), 192),
            (None, "open", 192),
            (1.0, None, 192),
            (None, str(10**400), 192),
            (2.5, None, 64),
            (2.5, None, 64),
        ]
        assert [row[5] for row in rows][-2:] == [1, 9999]
        assert {row[0] for row in rows} == {"emon"}

"""Upstreams and nats-server: JetStream on one node and on three, its MQTT listener, consumed by nats-py."""

import asyncio
import contextlib
from pathlib import Path

import nats
import nats.errors
import pytest
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig

from nportpy.edge.links.jetstream import SAMPLES
from nportpy.edge.messages import decode_state
from nportpy.edge.wire import decode_batch
from tests.support.brokers import Server, nats_cluster, nats_server
from tests.support.brokers import nats as nats_node
from tests.support.free_ports import free_port
from tests.support.holes import Hole
from tests.support.serving import until
from tests.support.subscribers import paho
from tests.support.upstreams import Key, Sending, sending_to

pytestmark = [pytest.mark.peer, pytest.mark.real]


async def says(at: Sending, *words: str) -> None:
    await until(lambda: all(word in at.upstream.status().reason for word in words), 40.0)


async def stored(url: str) -> list[Key]:
    """Every sample in the stream, in its order, by a consumer of nats-py."""
    client = await nats.connect(url.split(","))
    try:
        async with asyncio.timeout(45.0):
            while True:
                with contextlib.suppress(nats.errors.TimeoutError):  # the cluster has no leader yet for what is asked
                    return await _read_all(client)
                await asyncio.sleep(2.0)
    finally:
        await client.close()


async def _read_all(client: Client) -> list[Key]:
    stream = client.jetstream()
    count = (await stream.stream_info(SAMPLES)).state.messages
    puller = await stream.pull_subscribe(
        "nportpy.v1.*.*.*", stream=SAMPLES, config=ConsumerConfig(ack_policy=AckPolicy.NONE)
    )
    keys: list[Key] = []
    while count:
        for message in await puller.fetch(min(count, 100), timeout=5):
            batch = decode_batch(message.data, (message.headers or {}).get("Content-Type", ""))
            keys += [(batch.boot, batch.seq + place) for place in range(len(batch.rows))]
            count -= 1
    return keys


async def test_e9_a_server_that_is_killed_and_comes_back(tmp_path: Path) -> None:
    async with nats_node(tmp_path / "nats") as server, sending_to(tmp_path, server.url) as at:
        await at.feed(1.0, 100.0)
        await at.settle()
        await server.kill()
        await at.feed(1.0, 100.0)
        await until(lambda: not at.upstream.status().up)
        assert at.upstream.status().reason
        await server.start()
        await at.feed(1.0, 100.0)
        await at.settle()
        assert set(await stored(server.url)) == at.all


async def test_a_batch_that_is_sent_twice_is_stored_once(tmp_path: Path) -> None:
    """Batches of an overlap are cut anew, so that not all are known; what is asked for twice in the same cut is."""
    async with nats_node(tmp_path / "nats") as server, sending_to(tmp_path, server.url) as at:
        await at.feed(0.5, 100.0)
        await at.settle()
        for _ in range(2):
            at.upstream.send_interval(0, at.clock.wall())
            before = at.upstream.status().sent_late
            await until(lambda: at.upstream.status().sent_late == before + at.produced)  # noqa: B023 - awaited here
        keys = await stored(server.url)
        assert set(keys) == at.all
        assert len(keys) <= 2 * at.produced  # live, and one of the two


async def test_e9_the_leader_of_three_is_killed(tmp_path: Path) -> None:
    async with nats_cluster(tmp_path / "nats") as servers:
        urls = ",".join(server.url for server in servers)
        async with sending_to(tmp_path, urls) as at:
            await at.feed(1.0, 100.0)
            await at.settle()
            leader = await leader_of(servers)
            await leader.kill()
            await at.feed(5.0, 200.0)
            await at.settle(60.0)
            alive = ",".join(server.url for server in servers if server is not leader)
            assert set(await stored(alive)) == at.all
            assert at.upstream.status().lost == 0


async def leader_of(servers: list[Server]) -> Server:
    client = await nats.connect([server.url for server in servers])
    try:
        info = await client.jetstream().stream_info(SAMPLES)
        assert info.config.num_replicas == 3
        assert info.cluster is not None
        name = info.cluster.leader
    finally:
        await client.close()
    [leader] = [server for server in servers if server.name == name]
    return leader


async def test_a_password_that_is_wrong_and_is_put_right(tmp_path: Path) -> None:
    word = tmp_path / "password"
    word.write_text("wrong")
    config = 'authorization { users: [ { user: "pi", password: "secret" } ] }'
    async with (
        nats_node(tmp_path / "nats", config) as server,
        sending_to(tmp_path, server.url, user="pi", password_file=str(word)) as at,
    ):
        await at.feed(0.5, 100.0)
        await says(at, "Authorization Violation")
        word.write_text("secret\n")
        await at.settle()
        assert set(await stored(server.url.replace("//", "//pi:secret@"))) == at.all


async def test_a_server_without_jetstream_is_no_upstream(tmp_path: Path) -> None:
    server = nats_server(tmp_path / "nats")
    file = tmp_path / "nats" / "n1.conf"
    file.write_text("\n".join(line for line in file.read_text().splitlines() if not line.startswith("jetstream")))
    await server.start()
    try:
        async with sending_to(tmp_path, server.url) as at:
            await at.feed(0.5, 100.0)
            await says(at, "nats")
            assert not at.upstream.status().up
            assert at.upstream.status().backlog > 0
    finally:
        await server.stop()


async def test_e9_packets_that_vanish_silently(tmp_path: Path) -> None:
    async with (
        nats_node(tmp_path / "nats") as server,
        Hole(server.port).running() as way,
        sending_to(tmp_path, f"nats://127.0.0.1:{way.port}", keepalive=2.0) as at,
    ):
        await at.feed(1.0, 100.0)
        await at.settle()
        way.open = True
        await at.feed(8.0, 100.0)
        assert not at.upstream.status().up
        way.open = False
        await at.settle()
        assert set(await stored(server.url)) == at.all


async def test_an_upstream_ends_in_time_beside_a_server_that_does_not_read(tmp_path: Path) -> None:
    async with nats_node(tmp_path / "nats") as server:
        async with sending_to(tmp_path, server.url, keepalive=3600.0) as at:
            await at.feed(0.5, 100.0)
            await at.settle()
            server.pause()
            for _ in range(10):
                await at.feed(0.1, 2000.0)
        server.resume()


async def test_its_mqtt_listener_speaks_3_1_1_and_the_upstream_falls_back(tmp_path: Path) -> None:
    port = free_port()
    async with nats_node(tmp_path / "nats", f'mqtt {{ listen: "127.0.0.1:{port}" }}') as server:
        async with paho(port, version=4) as heard, sending_to(tmp_path, f"mqtt://127.0.0.1:{port}") as at:
            await at.feed(1.0, 100.0)
            await at.settle()
            assert "3.1.1" in at.upstream.status().url
            await until(lambda: set(heard.received()) == at.all)
            await until(lambda: "nportpy/v1/here/pi/state" in heard.retained)
            assert decode_state(heard.retained["nportpy/v1/here/pi/state"]).online
        assert "JetStream" in server.output

"""From a queue to SQLite: nothing lost, nothing twice, nothing acknowledged before it is stored."""

import asyncio
import logging
from pathlib import Path

import pytest

from nportpy.edge.collect.arrivals import Work
from nportpy.edge.collect.sqlite import SqliteStore
from nportpy.edge.collect.stores import StoreError, StoreRefused, Written
from nportpy.edge.messages import decode_acknowledgement
from nportpy.edge.topics import Kind
from tests.support.collecting import KEPT, MemoryQueue, Node, collected, fetched, keys


async def test_samples_get_their_names_and_times(tmp_path: Path) -> None:
    node = Node()
    async with collected(tmp_path) as (queue, collector):
        queue.send(node.table(), node.state(), node.more(3), node.more(2, late=True))
        await queue.empty()
        assert (collector.counts.rows, collector.counts.duplicates, collector.counts.messages) == (5, 0, 4)
    rows = fetched(
        tmp_path, "SELECT site, node, boot, seq, station, tag, unit, value, quality, late FROM readings ORDER BY seq"
    )
    assert rows[0] == ("here", "pi", "a1", 1, "emon", "energy", "kWh", 0.25, 192, 0)
    assert [row[-1] for row in rows] == [0, 0, 0, 1, 1]


async def test_names_may_come_after_the_samples(tmp_path: Path) -> None:
    node = Node()
    async with collected(tmp_path) as (queue, _):
        queue.send(node.more(4))
        await queue.empty()
        queue.send(node.table())
        await queue.empty()
    assert fetched(tmp_path, "SELECT DISTINCT station, tag FROM readings ORDER BY tag") == [
        ("emon", "energy"),
        ("emon", "power"),
    ]


async def test_twice_is_once_and_the_first_stays(tmp_path: Path) -> None:
    node = Node()
    samples = node.samples(5)
    async with collected(tmp_path) as (queue, collector):
        queue.send(node.batch(samples)[:2], node.batch(samples, late=True)[:2], node.batch(samples[1:3], late=True)[:2])
        await queue.empty()
        assert (collector.counts.rows, collector.counts.duplicates) == (5, 7)
    assert fetched(tmp_path, "SELECT count(*), sum(late) FROM samples") == [(5, 0)]


async def test_every_kind_of_value(tmp_path: Path) -> None:
    node = Node()
    values = [1.5, 3, True, "open", None, 2**63 + 1, 2**200, -(2**53) - 1, 10**400]
    async with collected(tmp_path) as (queue, collector):
        queue.send(*(node.batch(node.samples(1, value))[:2] for value in values if value is not None))
        await queue.empty()
        assert collector.counts.bad == 0
    assert fetched(tmp_path, "SELECT value, text FROM samples ORDER BY seq") == [
        (1.5, None),
        (3.0, None),
        (1.0, None),
        (None, "open"),
        (2.0**63, str(2**63 + 1)),
        (2.0**200, None),
        (-(2.0**53), str(-(2**53) - 1)),
        (None, str(10**400)),
    ]


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("nportpy/v1/here/pi/live", b"\xff\x00{"),
        ("nportpy/v1/here/pi/live", b""),
        ("nportpy/v1/here/pi/late", b'{"v":1,"node":"pi"}'),
        ("nportpy/v1/here/pi/live", b'{"v":2}'),
        ("nportpy/v1/here/pi/state", b"[]"),
        ("nportpy/v1/here/pi/meta", b'{"v":1,"node":"pi","meta":"000000000000","tags":[]}'),
        ("nportpy/v1/here/pi/cmd", b'{"v":1,"id":"1","do":"depth"}'),
        ("other/topic", b"hello"),
        ("", b""),
        (Node(name="mallory").topic(Kind.LIVE), Node(name="pi").more()[1]),
    ],
)
async def test_poison_is_kept_counted_and_blocks_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, topic: str, payload: bytes
) -> None:
    node = Node()
    with caplog.at_level(logging.WARNING):
        async with collected(tmp_path) as (queue, collector):
            queue.send(*[(topic, payload)] * 20, node.more())
            await queue.empty()
            assert (collector.counts.bad, collector.counts.rows) == (20, 10)
    assert [record.getMessage() for record in caplog.records] == [
        "a message that cannot be stored; kept as a dead letter"
    ]
    assert fetched(tmp_path, "SELECT DISTINCT topic, payload FROM dead_letters") == [(topic, payload)]


async def test_dead_letters_are_bounded(tmp_path: Path) -> None:
    async with collected(tmp_path) as (queue, collector):
        queue.send(*[("other", b"x" * 10_000)] * 1500)
        await queue.empty()
        assert collector.counts.bad == 1500
    assert fetched(tmp_path, "SELECT count(*), max(id), max(length(payload)), max(size) FROM dead_letters") == [
        (1000, 1500, 4096, 10_000)
    ]


class Failing(SqliteStore):
    """A database that is away for a while, or refuses the batch with number `poison`."""

    fails = 0
    poison = 0

    async def write(self, work: Work) -> Written:
        if self.fails:
            self.fails -= 1
            raise StoreError("the disk is full")
        if any(each.batch.seq == self.poison for each in work.batches):
            raise StoreRefused("never")
        return await super().write(work)


async def test_a_store_that_is_away_costs_nothing(tmp_path: Path) -> None:
    node, store, queue = Node(), Failing(str(tmp_path / KEPT)), MemoryQueue()
    store.fails = 7
    async with collected(tmp_path, queue, store) as (queue, collector):
        queue.send(*(node.more() for _ in range(50)))
        await asyncio.sleep(3.0)
        assert len(queue.waiting) == 50  # nothing was acknowledged
        assert not collector.store_up
        await queue.empty(600)
        assert collector.counts.failures == 7
        assert collector.store_up
    assert set(keys(tmp_path)) == node.produced


@pytest.mark.long
async def test_what_waits_is_bounded_while_the_store_is_away(tmp_path: Path) -> None:
    node, store, queue = Node(), Failing(str(tmp_path / KEPT)), MemoryQueue()
    store.fails = 20
    async with collected(tmp_path, queue, store) as (queue, collector):
        queue.send(*(node.more(1) for _ in range(6000)))
        await asyncio.sleep(5.0)
        assert collector.waiting == 4096
        await queue.empty(600)
    assert len(keys(tmp_path)) == 6000


async def test_of_what_the_store_refuses_only_the_one_is_left_out(tmp_path: Path) -> None:
    node, store, queue = Node(), Failing(str(tmp_path / KEPT)), MemoryQueue()
    store.poison = 101
    queue.send(*(node.more() for _ in range(30)))
    async with collected(tmp_path, queue, store) as (queue, collector):
        await queue.empty()
        assert (collector.counts.bad, collector.counts.rows) == (1, 290)
    assert {seq for _, _, seq in node.produced} - {seq for _, _, seq in keys(tmp_path)} == set(range(101, 111))


async def test_a_lost_connection_delivers_again(tmp_path: Path) -> None:
    node = Node()
    async with collected(tmp_path) as (queue, collector):
        for _ in range(10):
            queue.send(*(node.more() for _ in range(20)))
            await asyncio.sleep(0.03)
            queue.drop()
            await asyncio.sleep(1.0)
        await queue.empty(600)
        assert collector.states["plant"].connects > 1
    assert len(keys(tmp_path)) == len(node.produced)
    assert set(keys(tmp_path)) == node.produced


async def test_watermarks_follow_what_is_contiguous(tmp_path: Path) -> None:
    node = Node()
    first, second, third = (node.batch(node.samples(10))[:2] for _ in range(3))
    async with collected(tmp_path) as (queue, _):
        queue.send(node.state(), first, third)
        await queue.empty()
        await asyncio.sleep(1.5)
        topic, payload = queue.told[-1]
        assert topic == node.topic(Kind.ACKNOWLEDGEMENT)
        assert decode_acknowledgement(payload).seq == 10
        queue.send(second)
        await queue.empty()
        await asyncio.sleep(1.5)
        ack = decode_acknowledgement(queue.told[-1][1])
        assert (ack.node, ack.boot, ack.seq) == ("pi", "a1", 30)
        queue.told.clear()
        queue.send(node.state())  # the node has just come: it is told again
        await asyncio.sleep(1.5)
        assert decode_acknowledgement(queue.told[-1][1]).seq == 30


async def test_what_is_evicted_counts_as_gone(tmp_path: Path) -> None:
    node = Node(newest=500, oldest=501)
    async with collected(tmp_path) as (queue, _):
        queue.send(node.more(), node.state())
        await queue.empty()
        await asyncio.sleep(1.5)
        assert decode_acknowledgement(queue.told[-1][1]).seq == 510


@pytest.mark.long
async def test_stopping_finishes_the_commit_and_gives_the_rest_back(tmp_path: Path) -> None:
    node, queue = Node(), MemoryQueue()
    async with collected(tmp_path, queue):
        await asyncio.sleep(0.1)
        queue.send(*(node.more(1) for _ in range(3000)))
        await asyncio.sleep(0.05)
    stored = len(keys(tmp_path))
    assert stored == 3000 - len(queue.waiting)
    assert queue.given_back == len(queue.waiting)


async def test_a_second_collector_is_kept_from_the_file(tmp_path: Path) -> None:
    async with collected(tmp_path):
        other = SqliteStore(str(tmp_path / KEPT))
        await asyncio.sleep(0.1)
        with pytest.raises(StoreError, match="another collector has it") as caught:
            await other.open()
        assert caught.value.final
        await other.close()


async def test_a_file_of_another_program_is_not_touched(tmp_path: Path) -> None:
    import sqlite3

    with sqlite3.connect(tmp_path / KEPT) as database:
        database.execute("CREATE TABLE mine (a)")
    database.close()
    store = SqliteStore(str(tmp_path / KEPT))
    with pytest.raises(StoreError, match="another program's"):
        await store.open()
    await store.close()

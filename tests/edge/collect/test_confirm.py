"""A gateway with `confirm = "host"` and a collector: its cursor moves when the database has it, and not before."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nportpy.edge.links.base import Message
from nportpy.edge.settings import Confirm
from tests.edge.collect.test_collector import Failing
from tests.support.collecting import KEPT, MemoryQueue, collected, keys
from tests.support.upstreams import Broker, Sending, sending


class Between(Broker):
    """A broker that hands on to collectors, forgets batches while `forgetful`, and brings their word back."""

    def __init__(self, queue: MemoryQueue) -> None:
        super().__init__()
        self.queue = queue
        self.forgetful = False

    def take(self, message: Message) -> None:
        super().take(message)
        if not (self.forgetful and message.topic in ("live", "late")):
            self.queue.send((f"nportpy/v1/here/pi/{message.topic}", message.payload))

    def told(self, topic: str, payload: bytes) -> None:
        if self.link is not None and not self.link.lost.done():
            self.link.heard(topic.rpartition("/")[2], payload)


@contextmanager
def joined(queue: MemoryQueue, broker: Between) -> Iterator[None]:
    class Told(list[tuple[str, bytes]]):
        def append(self, each: tuple[str, bytes]) -> None:
            super().append(each)
            broker.told(*each)

    queue.told = Told()
    yield


async def confirmed(at: Sending, limit: float = 300.0) -> None:
    async with asyncio.timeout(limit):
        while at.upstream.status().acknowledged < at.archive.newest:  # noqa: ASYNC110
            await asyncio.sleep(0.5)


async def test_what_a_broker_forgets_is_sent_again(tmp_path: Path) -> None:
    queue = MemoryQueue()
    broker = Between(queue)
    with joined(queue, broker):
        async with collected(tmp_path, queue), sending(tmp_path, broker, confirm=Confirm.HOST) as at:
            await at.feed(30.0)
            broker.forgetful = True  # it acknowledges, and dies before it has written
            await at.feed(30.0)
            broker.forgetful = False
            broker.drop()
            await at.feed(30.0)
            await confirmed(at)
            wanted = {("pi", boot, seq) for boot, seq in at.all}
    stored = keys(tmp_path)
    assert set(stored) == wanted
    assert len(stored) == len(wanted)


async def test_the_cursor_waits_for_the_database(tmp_path: Path) -> None:
    queue = MemoryQueue()
    broker, store = Between(queue), Failing(str(tmp_path / KEPT))
    store.fails = 10**9
    with joined(queue, broker):
        async with collected(tmp_path, queue, store), sending(tmp_path, broker, confirm=Confirm.HOST) as at:
            await at.feed(20.0)
            assert at.upstream.status().acknowledged == 0
            store.fails = 0
            await confirmed(at)


async def test_a_new_card_under_an_old_name_loses_nothing(tmp_path: Path) -> None:
    queue = MemoryQueue()
    broker = Between(queue)
    wanted: set[tuple[str, str, int]] = set()
    with joined(queue, broker):
        async with collected(tmp_path, queue):
            for card, seconds in (("first", 60.0), ("second", 20.0), ("third", 90.0)):
                folder = tmp_path / card
                folder.mkdir()
                broker.up = card != "third"  # this one is full before anybody hears of it
                async with sending(folder, broker, confirm=Confirm.HOST) as at:
                    await at.feed(seconds)
                    broker.up = True
                    broker.drop()
                    await at.feed(5.0)
                    await confirmed(at)
                    wanted |= {("pi", boot, seq) for boot, seq in at.all}
    assert set(keys(tmp_path)) == wanted

"""What the tap tells of Modbus requests: who asked, why they waited, and what became of them."""

import asyncio
import gc
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from nportpy.line.arbiter import Line
from nportpy.line.tap import DEFAULT_LIMIT
from nportpy.line.watcher import Watcher
from nportpy.modbus.bus import Bus
from nportpy.modbus.question import Question
from nportpy.modbus.settings import BusSettings, Timeout
from nportpy.port.loopback import Cable
from nportpy.protocols.capture.records import Asked, Discards, Ended, Hidden, Kind, Record, Unsent
from nportpy.protocols.modbus.rtu import Frame
from tests.support.asking import Client, read, registers, write
from tests.support.bus import Units, reply
from tests.support.lines import running

QUICK = BusSettings(timeout=Timeout(0.1), retries=1)
SLOW = 0.02


def slowly(data: bytes) -> list[tuple[float, bytes]]:
    return [(SLOW, reply(data))]


@asynccontextmanager
async def watched(
    answers: Callable[[bytes], list[tuple[float, bytes]]] = slowly,
    settings: BusSettings = QUICK,
    cable: Cable | None = None,
) -> AsyncIterator[tuple[Bus, Watcher]]:
    """A bus whose units answer so, and somebody who watches its line."""
    cable = cable or Cable()
    Units(cable, answers)
    async with running(cable) as line:
        bus = Bus(line, settings)
        async with line.tap().watch("test") as watcher:
            yield bus, watcher


def abouts(records: list[Record], kind: Kind) -> list[Any]:
    return [record.about for record in records if record.kind is kind]


async def test_c12_a_request_its_frame_its_answer() -> None:
    async with watched() as (bus, watcher):
        client = Client(bus)
        client.ask(read(1000, 2), unit=7)
        await client.ended()
        _, records = watcher.take()
    assert [record.kind for record in records] == [Kind.TX, Kind.RX, Kind.ANSWER]
    asked, ended = records[0].about, records[2].about
    assert isinstance(asked, Asked)
    assert isinstance(ended, Ended)
    assert (asked.request, asked.unit, asked.pdu, asked.attempt, asked.probe) == (1, 7, read(1000, 2), 1, False)
    assert (ended.request, ended.unit, ended.pdu, ended.outcome, ended.attempts) == (1, 7, read(1000, 2), "answered", 1)
    assert records[0].data == Frame(7, read(1000, 2)).encode()
    assert records[1].data == Frame(7, registers(1000, 2)).encode()
    assert records[2].data == registers(1000, 2)
    assert ended.took == pytest.approx(SLOW)


async def test_c17_who_asks_on_has_its_answer_before_it_is_recorded_and_the_order_stays() -> None:
    async with watched() as (bus, watcher):
        client, there = Client(bus), []
        told = client.done

        def done(question: Question, answer: bytes) -> None:
            there.append(watcher.tap.next_number)
            told(question, answer)
            if len(there) < 3:
                client.ask(read(1000, 2), unit=7)

        client.done = done  # type: ignore[method-assign]
        client.ask(read(1000, 2), unit=7)
        while len(there) < 3:  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(SLOW)
        _, records = watcher.take()
    assert [record.kind for record in records] == [Kind.TX, Kind.RX, Kind.ANSWER] * 3
    assert there == [1, 4, 7]
    assert [each.request for each in abouts(records, Kind.TX)] == [1, 2, 3]
    assert [each.request for each in abouts(records, Kind.ANSWER)] == [1, 2, 3]


async def test_c12_those_who_share_an_answer_are_named_and_who_waits_is_told_how_long() -> None:
    async with watched() as (bus, watcher):
        clients = [Client(bus) for _ in range(4)]
        for client in clients[:3]:
            client.ask(read(1000, 2))
        clients[3].ask(read(1, 2))
        for client in clients:
            await client.ended()
        _, records = watcher.take()
    first, second = abouts(records, Kind.ANSWER)
    assert [len(first.clients), len(second.clients)] == [3, 1]
    assert abouts(records, Kind.TX)[1].waited >= SLOW


async def test_c12_what_is_sent_again_and_what_never_is() -> None:
    cable = Cable()
    units = Units(cable, lambda _: [])
    async with running(cable) as line:
        bus = Bus(line, QUICK)
        async with line.tap().watch("test") as watcher:
            client = Client(bus)
            client.ask(read(1000, 2), unit=7)
            await client.ended()
            client.ask(read(1000, 2), unit=7)
            await client.ended()
            _, records = watcher.take()
    assert [asked.attempt for asked in abouts(records, Kind.TX)[:2]] == [1, 2]
    assert len(units.heard) == len(abouts(records, Kind.TX))
    ended = abouts(records, Kind.ANSWER)[0]
    assert (ended.outcome, ended.attempts) == ("no_answer", 2)
    if unsent := abouts(records, Kind.UNSENT):
        assert unsent == [Unsent(7, read(1000, 2), "Client", "unreachable")]


async def test_c12_answers_from_the_cache_and_refusals_are_told() -> None:
    async with watched(settings=BusSettings(timeout=Timeout(0.1), cache=10.0)) as (bus, watcher):
        client = Client(bus)
        for _ in range(2):
            client.ask(read(1000, 2), unit=7)
            await client.ended()
        _, records = watcher.take()
    assert [record.kind for record in records] == [Kind.TX, Kind.RX, Kind.ANSWER, Kind.UNSENT]
    assert abouts(records, Kind.UNSENT) == [Unsent(7, read(1000, 2), "Client", "cache")]
    assert records[-1].data == registers(1000, 2)


async def test_c12_a_wrong_check_sum_is_told_before_what_came_of_it() -> None:
    async with watched(
        lambda data: [(SLOW, reply(data)[:-1] + b"\x00")], BusSettings(timeout=Timeout(0.1), retries=0)
    ) as (bus, watcher):
        client = Client(bus)
        client.ask(read(1000, 2), unit=7)
        await client.ended()
        _, records = watcher.take()
    assert [record.kind for record in records][:3] == [Kind.TX, Kind.RX, Kind.DISCARDED]
    assert abouts(records, Kind.DISCARDED)[0] == Discards(0, 1, 0, 0, 0, 0)


async def test_c12_a_broadcast_and_a_line_that_goes_meanwhile() -> None:
    cable = Cable()
    async with watched(lambda _: [], cable=cable) as (bus, watcher):
        client = Client(bus)
        client.ask(write(1, 2), unit=0)
        await client.ended()
        client.ask(read(1, 2), unit=3)
        await asyncio.sleep(0.01)
        cable.unplug()
        await client.ended()
        client.ask(read(1, 2), unit=3)
        await client.ended()
        _, records = watcher.take()
    assert [ended.outcome for ended in abouts(records, Kind.ANSWER)] == ["sent", "line_down"]
    assert [unsent.why for unsent in abouts(records, Kind.UNSENT)] == ["line_down"]


async def test_c16_a_bus_off_the_tap_is_as_before() -> None:
    cable = Cable()
    Units(cable, slowly)
    async with running(cable) as line:
        bus = Bus(line, QUICK)
        bare = hearing(line)
        async with line.tap().watch("test"):
            assert hearing(line) != bare
        assert hearing(line) == bare
        client = Client(bus)
        client.ask(read(1000, 2), unit=7)
        await client.ended()
        assert not line.tap().snapshot()


def hearing(line: Line) -> tuple[object, object]:
    return line._hear, line._write


@pytest.mark.long
async def test_c18_what_a_ring_takes_is_what_it_says() -> None:
    cable = Cable()
    units = Units(cable, slowly)
    async with running(cable) as line:
        bus = Bus(line, QUICK)
        client = Client(bus)

        async def ask(count: int) -> None:
            for number in range(count):
                client.ask(read(number % 50, 2), unit=7)
                await client.ended()
                client.ends.clear()
                client.asked = 0
                client._ended.clear()
            units.heard.clear()
            units.quiet.clear()

        await ask(100)
        gc.collect()
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            async with line.tap().watch("test"):
                await ask(1000)
                gc.collect()
                taken = tracemalloc.get_traced_memory()[0] - before
                assert line.tap().lost > 100
                assert taken < 1.25 * DEFAULT_LIMIT
                assert taken > 0.5 * line.tap().size
        finally:
            tracemalloc.stop()


async def test_c12_a_request_whose_client_has_gone_is_told_of_those_who_still_wait() -> None:
    async with watched() as (bus, watcher):
        clients = [Named(bus, name) for name in ("anna", "bert")]
        for client in clients:
            client.ask(read(1000, 2), unit=7)
        await asyncio.sleep(SLOW / 2)
        bus.leave(clients[0])
        await clients[1].ended()
        _, records = watcher.take()
    (asked,), (ended,) = abouts(records, Kind.TX), abouts(records, Kind.ANSWER)
    assert (asked.client, ended.clients) == ("anna", ("bert",))
    assert (ended.request, ended.outcome, ended.attempts) == (asked.request, "answered", 1)


class Named(Client):
    """A client with an address."""

    def __init__(self, bus: Bus, name: str) -> None:
        super().__init__(bus)
        self.peer = name


async def test_c12_a_request_with_the_bytes_of_a_password_is_none() -> None:
    async with watched() as (bus, watcher):
        client = Client(bus)
        client.ask(write(0x0150, 0x0150), unit=1)
        await client.ended()
        _, records = watcher.take()
    assert not [record for record in records if isinstance(record.about, Hidden)]
    probe, asked = abouts(records, Kind.TX)
    (ended,) = abouts(records, Kind.ANSWER)
    assert (probe.probe, asked.probe) == (True, False)
    assert (probe.request, asked.request, ended.request) == (1, 1, 1)
    assert (asked.attempt, ended.attempts, ended.outcome) == (1, 1, "answered")
    assert probe.waited >= 0
    assert b"\x01P" in records[2].data


async def test_c12_times_of_what_is_told_of_a_request_are_in_order_and_its_own() -> None:
    async with watched() as (bus, watcher):
        client = Client(bus)
        clock = asyncio.get_running_loop().time
        for _ in range(3):
            began = clock()
            client.ask(read(1000, 2), unit=7)
            await client.ended()
            sent, heard, ended = watcher.take()[1]
            times = [
                round(began * 1e6) - 1,
                *(each.time // 1000 for each in (sent, heard, ended)),
                round(clock() * 1e6) + 1,
            ]
            assert times == sorted(times)
            assert (ended.time - sent.time) / 1e9 == pytest.approx(SLOW, rel=0.1)
            await asyncio.sleep(1)


async def test_c12_a_line_that_is_watched_already_when_requests_come_to_it() -> None:
    cable = Cable()
    Units(cable, slowly)
    async with running(cable) as line, line.tap().watch("test") as watcher:
        bus = Bus(line, QUICK)
        client = Client(bus)
        client.ask(read(1000, 2), unit=7)
        await client.ended()
        _, records = watcher.take()
    (asked,), (ended,) = abouts(records, Kind.TX), abouts(records, Kind.ANSWER)
    assert (asked.request, ended.request, ended.outcome) == (1, 1, "answered")

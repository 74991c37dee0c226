"""What the console shows and does while the line is at work: for others, or not at all."""

import asyncio
import json
import logging
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from nportpy.port.loopback import Cable
from nportpy.services.recent import BYTES, RECORDS, Recent
from tests.console.test_api import BUS, HTTP, At, consoled
from tests.support.bus import Units, reply
from tests.support.http_streams import asking
from tests.support.modbus_serving import asker, modbus
from tests.support.serving import plan, raw, serving, until

SLOW = 0.05


@asynccontextmanager
async def mastered() -> AsyncIterator[tuple[At, Units]]:
    """A console on a bus that masters ask over TCP; its units take their time."""
    cable = Cable()
    units = Units(cable, lambda data: [(SLOW, reply(data))] if data[0] < 10 else [])
    async with serving(plan("cable", raw(), modbus(), bus=BUS), cables=[cable], http=HTTP) as served:
        yield At(served, cable), units


async def test_c7_five_masters_poll_meanwhile_and_none_gets_a_foreign_answer() -> None:
    async with mastered() as (at, _), asyncio.TaskGroup() as tasks:
        masters = [await asker(at.served) for _ in range(5)]
        answered = [0] * 5

        async def poll(number: int) -> None:
            while True:
                assert await masters[number].read(100 * number, 2, unit=1) == [100 * number, 100 * number + 1]
                answered[number] += 1

        polling = [tasks.create_task(poll(number)) for number in range(5)]
        await until(lambda: min(answered) > 1)
        wanted = {"bus": "cable", "unit": 1}
        for number in range(10):
            register = f"{41001 + number}"
            values = (await at.call("/api/v1/modbus/read", wanted | {"read": register})).json()["values"]
            assert [each["value"] for each in values] == [1000 + number]
            answer = (await at.call("/api/v1/modbus/ask", wanted | {"pdu": f"03 {1000 + number:04x} 0001"})).json()
            assert answer["answer"] == f"0302{1000 + number:04x}"
            assert (await at.call("/api/v1/lines/cable/send", {"hex": "ff ff"})).status == 200
        body = {"bus": "cable", "first": 1, "last": 9}
        scan = await at.call("/api/v1/modbus/scan", body, Accept="application/x-ndjson")
        assert [json.loads(row).get("found") for row in scan.body.splitlines()] == [True] * 9 + [None]
        before = list(answered)
        await until(lambda: all(now > then for now, then in zip(answered, before, strict=True)))
        results = {(function, end) for (_, function, end), _ in at.served.bus().requests.items()}
        assert {end for function, end in results if function == "3"} == {"answered"}
        for task in polling:
            task.cancel()


async def test_c7_bytes_that_are_sent_wait_for_the_request_on_the_line() -> None:
    async with mastered() as (at, units):
        master = await asker(at.served)
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(master.read(5, 1, unit=1))
            await until(lambda: units.heard)
            sent = await at.call("/api/v1/lines/cable/send", {"text": "hello"})
            assert sent.json()["bytes"] == 5
            assert await asked == [5]
        await until(lambda: len(units.heard) == 2)
        (began, _), (then, data) = units.heard
        assert data == b"hello"
        assert then - began >= SLOW


async def test_c3_a_device_that_is_pulled_is_told_with_reason_and_time_within_a_second() -> None:
    async with consoled() as at, asking(at.port, "/api/v1/events", Accept="application/x-ndjson") as answer:
        while (row := await answer.row())["event"] != "status":
            pass
        shown = row["status"]
        assert (shown["lines"][0]["state"], shown["faults"]) == ("up", [])
        clock = asyncio.get_running_loop().time
        at.cable.unplug()
        pulled = clock()
        while not shown["faults"] or shown["lines"][0]["state"] == "up":
            for path, value in (await answer.row()).get("changes", ()):
                place = shown
                for key in path[:-1]:
                    place = place[key]
                place[path[-1]] = value
        assert clock() - pulled <= 1
        line = shown["lines"][0]
        assert line["state"] != "up"
        assert line["error"]
        assert line["since"]
        (fault,) = shown["faults"]
        assert fault["where"] == "cable"
        assert fault["since"] == line["since"]


@pytest.mark.parametrize("size", [20, 2_000, 1_000_000])
@pytest.mark.long
def test_c9_a_flood_of_any_lines_does_not_grow_it(size: int) -> None:
    kept = Recent()
    count = 8 if size > BYTES else 5 * RECORDS

    def flood(number: int) -> None:
        for _ in range(number):
            kept.emit(logging.LogRecord("nportpy.test", logging.WARNING, "", 0, "x" * size, None, None))

    flood(count)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        flood(count)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 2 * BYTES
    records = kept.since(0)
    assert 1 <= len(records) <= RECORDS
    assert sum(len(json.dumps(record)) for record in records) < 1.5 * BYTES
    assert records[-1]["number"] == kept.newest == 2 * count

"""Who is to blame: a dead, a slow and a noisy unit, and five clients of which one polls too much."""

import asyncio
import time

import pytest

from nportpy.services.faults import faults
from nportpy.services.verdict import Ill, Verdict, verdict
from nportpy.simulator.faults import BadCheck, Cut, Delay, Junk, Missing, Place, Rule
from tests.support.culprits import DEAD, GOOD, NOISY, SLOW, culprits, five_clients, poll, spoilt
from tests.support.modbus_serving import Asker, asker
from tests.support.serving import Served


def judged(served: Served) -> Verdict:
    status = served.gateway.status()
    return verdict(status, status.buses[0], time.time())


def ills(found: Verdict) -> dict[int, Ill]:
    return {each.unit: each.ill for each in found.units}


@pytest.mark.long
async def test_the_words_name_the_right_ones() -> None:
    async with culprits() as served, five_clients(served) as hog:
        await asyncio.sleep(60)
        found = judged(served)
        assert found.hogs == (hog,)
        assert ills(found) == {DEAD: Ill.DEAD, SLOW: Ill.SLOW, NOISY: Ill.NOISY}
        assert found.innocent is True
        assert found.sentences[1].startswith(f"{hog} hogs the bus")
        assert found.sentences[-1].startswith("The gateway is innocent")
        told = {fault.what for fault in faults(served.gateway.status(), time.time())}
        assert told == {
            "unit 9 is dead", "unit 4 is slow", "unit 5 is noisy", f"{hog} has too much of the bus"
        }  # fmt: skip


@pytest.mark.parametrize(
    ("rules", "ill"),
    [
        ([spoilt(NOISY, Cut(1), 0.3)], Ill.NOISY),
        ([spoilt(NOISY, Junk(Place.INSIDE, b"\xff"), 0.3)], Ill.NOISY),
        ([spoilt(NOISY, BadCheck())], Ill.NOISY),  # never a good one
        ([spoilt(NOISY, Missing(), 0.3)], Ill.FLAKY),
    ],
    ids=["cut", "junk inside", "all spoilt", "lost now and then"],
)
async def test_how_a_unit_is_bad(rules: list[Rule], ill: Ill) -> None:
    async with culprits(*rules) as served, asyncio.TaskGroup() as tasks:
        client = await asker(served)
        running = tasks.create_task(poll(client, 0.2, NOISY, GOOD))
        await asyncio.sleep(60)
        running.cancel()
        assert ills(judged(served)) == {NOISY: ill}


async def test_late_answers_mean_a_timeout_that_is_too_short() -> None:
    rules = [spoilt(NOISY, Delay(1.2), 0.3)]
    async with culprits(*rules, wire=None) as served, asyncio.TaskGroup() as tasks:
        running = tasks.create_task(poll(await asker(served), 0.2, NOISY, GOOD))
        await asyncio.sleep(60)
        running.cancel()
        assert ills(judged(served)) == {NOISY: Ill.LATE}


@pytest.mark.long
async def test_a_master_that_connects_anew_for_each_request_is_one_culprit() -> None:
    async with culprits(spoilt(SLOW, Delay(0.0))) as served, asyncio.TaskGroup() as tasks:
        others = [await asker(served, source=f"127.0.0.{number}") for number in (2, 3, 4)]
        running = [tasks.create_task(poll(client, 2.0, GOOD)) for client in others]

        async def come_and_go() -> None:
            while True:
                client: Asker = await asker(served, source="127.0.0.9")
                await client.read(0, 4, 2)
                await client.close()

        running.append(tasks.create_task(come_and_go()))
        await asyncio.sleep(10)
        for task in running:
            task.cancel()
        (culprit,) = (each for each in served.bus().clients if each.client.startswith("127.0.0.9") and each.left)
        assert culprit.client == "127.0.0.9"
        assert culprit.connections > 100
        assert culprit.requests == culprit.connections
        name, _, connections = judged(served).sentences[1].partition(" (")
        assert name == "127.0.0.9"
        assert f"{culprit.connections} connections" in connections


@pytest.mark.long
async def test_who_asks_little_of_a_slow_unit_does_not_poll_too_much() -> None:
    async with culprits(spoilt(SLOW, Delay(0.4))) as served, asyncio.TaskGroup() as tasks:
        clients = [await asker(served) for _ in range(4)]
        running = [tasks.create_task(poll(client, 0.5, GOOD, start=n * 9)) for n, client in enumerate(clients[1:])]
        running.append(tasks.create_task(poll(clients[0], 0.1, SLOW)))
        await asyncio.sleep(60)
        for task in running:
            task.cancel()
        words = judged(served).sentences[1]
        assert "not by asking often" in words
        assert words.endswith("last unit 4, which is slow.")

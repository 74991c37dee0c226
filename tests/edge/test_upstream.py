"""Live and late, over losses, refusals, holes in the network and restarts."""

import asyncio
import itertools
import logging
from pathlib import Path

import pytest

from nportpy.edge.links.base import Message, RefusedError
from nportpy.edge.messages import (
    Acknowledgement,
    Depth,
    Send,
    decode_answer,
    decode_state,
    encode_acknowledgement,
    encode_command,
)
from nportpy.edge.sample import Sample
from nportpy.edge.settings import Backfill, Confirm
from nportpy.edge.wire import decode_meta
from nportpy.errors import ArchiveError
from tests.support.upstreams import Broker, Sending, sending


async def test_what_is_read_arrives_live_and_once(tmp_path: Path) -> None:
    async with sending(tmp_path) as at:
        await asyncio.sleep(1.0)
        await at.feed(60.0)
        await at.settle()
        assert decode_state(at.broker.retained["state"]).online
    assert at.broker.received() == sorted(at.all)
    assert at.broker.received(late=True) == []
    assert decode_meta(at.broker.retained["meta"]).tags == (at.tag,)
    assert not decode_state(at.broker.retained["state"]).online  # it has left in order, so that no will speaks for it


@pytest.mark.parametrize("steps", range(8))
async def test_it_ends_although_its_link_was_lost_just_before(tmp_path: Path, steps: int) -> None:
    async with sending(tmp_path) as at:
        await at.feed(1.0)
        at.broker.drop()
        for _ in range(steps):
            await asyncio.sleep(0)


@pytest.mark.long
async def test_e3_latency_does_not_touch_what_is_live(tmp_path: Path) -> None:
    async with sending(tmp_path) as at:
        at.broker.delay = 0.3
        await asyncio.sleep(1.0)
        await at.feed(60.0, 100.0)
        await at.settle()
        delays = sorted(
            arrived - 1000.0 - (row.at / 1e6 - 1_750_000_000.0)
            for arrived, batch in at.broker.batches
            for row in batch.rows
        )
    assert delays[int(0.95 * len(delays))] < 0.6 + 1.0
    assert set(at.broker.received()) == at.all


@pytest.mark.long
async def test_e7_e8_e9_a_loss_is_back_filled_late_with_an_overlap(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "nportpy.edge")
    async with sending(tmp_path, keepalive=30.0) as at:
        await asyncio.sleep(1.0)
        await at.feed(200.0, 3.1)
        at.broker.hole = True
        at.broker.up = False
        await at.feed(45.0, 3.1)  # packets vanish; only then the loss is noticed
        at.broker.drop("keepalive")
        at.broker.hole = False
        await at.feed(376.0, 3.1)
        at.broker.up = True
        await at.feed(120.0, 3.1)
        await at.settle()
        late = at.broker.received(late=True)
        assert set(at.broker.received()) == at.all  # E9: union received = produced
        assert len(at.broker.received()) > len(at.all)  # duplicates, known by their key
        assert late == sorted(late)  # E11
        assert 421.0 + 55.0 < len(late) / 3.1 < 421.0 + 60.0 + 60.0  # the overlap, and until it was tried again
        newest = 0
        for _, batch in at.broker.batches:  # E8: a live subscriber sees nothing older than what it has seen
            if not batch.late:
                assert all(row.at > newest for row in batch.rows)
                newest = batch.rows[-1].at
        assert at.upstream.status().lost == 0
    [record] = [record for record in caplog.records if record.message == "back-filled"]  # E14
    assert record.samples == len(late)  # type: ignore[attr-defined]  # extra
    assert record.evicted == 0  # type: ignore[attr-defined]


async def test_e7_a_restart_inside_the_outage_still_back_fills(tmp_path: Path) -> None:
    broker = Broker()
    async with sending(tmp_path, broker) as first:
        await asyncio.sleep(1.0)
        await first.feed(30.0)
        broker.up = False
        broker.drop()
        await first.feed(30.0)
    boot, before = first.archive.boot, first.archive.newest
    async with sending(tmp_path, broker) as second:
        await second.feed(30.0)
        broker.up = True
        await second.feed(90.0)
        await second.settle()
    numbers = {number for _, number in broker.received()}
    assert numbers >= set(range(1, before + 1))
    assert {number for start, number in broker.received() if start == boot} == set(range(1, before + 1))
    assert len({number for start, number in broker.received() if start != boot}) == second.produced


async def test_e4_it_starts_without_a_broker_and_tries_again_with_pauses_that_grow(tmp_path: Path) -> None:
    broker = Broker()
    broker.up = False
    async with sending(tmp_path, broker) as at:
        await at.feed(300.0, 1.0)
        broker.up = True
        await at.feed(60.0, 1.0)
        await at.settle()
    pauses = [later - before for before, later in itertools.pairwise(broker.attempts)]
    assert pauses == pytest.approx([0.75, 1.5, 3.0, 6.0, 12.0, 24.0, 45.0, 45.0, 45.0, 45.0, 45.0, 45.0][: len(pauses)])
    assert set(broker.received()) == at.all


@pytest.mark.long
async def test_e6_what_was_evicted_is_what_the_receiver_misses(tmp_path: Path) -> None:
    broker = Broker()
    broker.up = False
    async with sending(tmp_path, broker, {"max_size": 200 * 1024}) as at:
        for _ in range(40):
            await at.feed(1.0, 500.0)
        broker.up = True
        await at.feed(90.0, 1.0)
        await at.settle()
        evicted = at.archive.status().evicted
        assert evicted > 0
        missing = at.all - set(broker.received())
        assert at.upstream.status().lost == len(missing) == evicted
        assert missing == {(at.archive.boot, number) for number in range(1, evicted + 1)}


@pytest.mark.long
async def test_e10_the_rate_of_late_samples_holds_and_live_does_not_wait(tmp_path: Path) -> None:
    broker = Broker()
    broker.up = False
    async with sending(tmp_path, broker, max_rate=100.0) as at:
        for _ in range(30):
            await at.feed(1.0, 200.0)
        broker.up = True
        start = at.produced
        await at.feed(90.0, 10.0)
        await at.settle()
        assert start >= 6000
    times = [when for when, batch in broker.batches if batch.late for _ in batch.rows]
    assert (len(times) - 100) / (times[-1] - times[0]) == pytest.approx(100.0, rel=0.1)
    assert max(broker.delays()) < 3.0


def quota(_message: Message) -> RefusedError | None:
    return RefusedError("Quota exceeded", passing=True)


async def test_a_broker_that_refuses_for_now_loses_nothing(tmp_path: Path) -> None:
    async with sending(tmp_path) as at:
        await asyncio.sleep(1.0)
        await at.feed(20.0)
        at.broker.refuses = quota
        await at.feed(60.0)
        assert at.upstream.status().backlog > 500
        assert "Quota" in at.upstream.status().reason
        at.broker.refuses = lambda _: None
        await at.feed(20.0)
        await at.settle()
        assert at.upstream.status().reason == ""
        assert at.upstream.status().connects == 1
    assert set(at.broker.received()) == at.all


async def test_a_sample_that_will_never_be_taken_is_found_counted_and_passed_over(tmp_path: Path) -> None:
    def refuses(message: Message) -> RefusedError | None:
        poisoned = message.topic in ("live", "late") and b",77.0,192]" in message.payload
        return RefusedError("Payload format invalid", passing=False) if poisoned else None

    async with sending(tmp_path) as at:
        at.broker.refuses = refuses
        await asyncio.sleep(1.0)
        await at.feed(30.0)
        await at.settle()
        assert at.upstream.status().refused == 1
        assert len(at.all - set(at.broker.received())) == 1


async def test_confirm_by_the_host_moves_the_cursor_and_the_brokers_word_does_not(tmp_path: Path) -> None:
    async with sending(tmp_path, confirm=Confirm.HOST) as at:
        await asyncio.sleep(1.0)
        await at.feed(20.0)
        await asyncio.sleep(5.0)
        assert at.upstream.status().acknowledged == 0
        assert at.broker.link is not None
        at.broker.link.heard("ack", encode_acknowledgement(Acknowledgement("pi", at.archive.boot, 150)))
        assert at.upstream.status().acknowledged == 150
        at.broker.link.heard("ack", encode_acknowledgement(Acknowledgement("other", at.archive.boot, 200)))
        at.broker.link.heard("ack", b"rubbish")
        assert at.upstream.status().acknowledged == 150
        at.broker.drop()
        await at.feed(10.0)
        await asyncio.sleep(5.0)
        assert set(range(151, 201)) <= {number for _, number in at.broker.received(late=True)}


async def test_e7_depth_and_an_interval_can_be_asked_for(tmp_path: Path) -> None:
    async with sending(tmp_path) as at:
        await asyncio.sleep(1.0)
        await at.feed(60.0)
        await at.settle()
        link = at.broker.link
        assert link is not None
        link.heard("cmd", encode_command(Depth("a")))
        start = at.broker.batches[0][1].rows[0].at
        link.heard("cmd", encode_command(Send("b", start + 10_000_000, start + 20_000_000)))
        await asyncio.sleep(5.0)
        answers = [decode_answer(each.payload) for each in at.broker.messages if each.topic == "answer"]
        assert [(each.id, each.done) for each in answers] == [("a", True), ("b", True)]
        assert answers[0].numbers["waiting"] == 0
        assert len(at.broker.received(late=True)) == 100


async def test_back_fill_on_request_sends_nothing_of_the_gap_by_itself(tmp_path: Path) -> None:
    broker = Broker()
    broker.up = False
    async with sending(tmp_path, broker, backfill=Backfill.REQUEST) as at:
        await at.feed(60.0)
        broker.up = True
        await at.feed(60.0)
        await at.settle()
        assert broker.received(late=True) == []
        assert 0 < len(broker.received()) < at.produced
        at.upstream.send_interval(0, at.clock.wall())
        await asyncio.sleep(5.0)
        assert set(broker.received()) == at.all


@pytest.mark.long
async def test_live_that_falls_behind_goes_on_from_now(tmp_path: Path) -> None:
    async with sending(tmp_path, max_rate=1000.0) as at:
        await asyncio.sleep(1.0)
        at.broker.delay = 20.0
        for _ in range(60):
            await at.feed(1.0, 500.0)
        at.broker.delay = 0.0
        await at.feed(60.0, 10.0)
        await at.settle(3600.0)
    assert set(at.broker.received()) == at.all


async def stay(at: Sending, seconds: float) -> None:
    await at.feed(seconds)


async def test_a_link_that_flaps_loses_nothing(tmp_path: Path) -> None:
    async with sending(tmp_path) as at:
        for number in range(20):
            await stay(at, 3.0 + number % 5)
            at.broker.drop()
        await at.feed(30.0)
        await at.settle()
    assert set(at.broker.received()) == at.all


async def test_what_is_asked_for_is_bounded(tmp_path: Path) -> None:
    async with sending(tmp_path) as at:
        await asyncio.sleep(1.0)
        await at.feed(5.0)
        at.broker.delay = 5.0
        assert [at.upstream.send_interval(0, at.clock.wall()) for _ in range(101)] == [True] * 100 + [False]
        link = at.broker.link
        assert link is not None
        link.heard("cmd", encode_command(Send("one-too-many", 0, 1)))
        await asyncio.sleep(30.0)
        answers = [decode_answer(each.payload) for each in at.broker.messages if each.topic == "answer"]
        assert [(each.id, each.done) for each in answers] == [("one-too-many", False)]


async def test_a_command_that_is_retained_is_not_done_at_each_connection(tmp_path: Path) -> None:
    async with sending(tmp_path) as at:
        at.upstream._heard("cmd", encode_command(Send("again", 0, 1)))  # while it connects
        await asyncio.sleep(5.0)
        assert not [each for each in at.broker.messages if each.topic == "answer"]


async def test_an_archive_that_cannot_be_read_for_a_while_stops_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sending(tmp_path) as at:
        await at.feed(5.0)
        read = at.archive.read

        async def fails(_after: int, _limit: int = 0) -> list[Sample]:
            raise ArchiveError("the disk fails")

        monkeypatch.setattr(at.archive, "read", fails)
        await at.feed(5.0)
        assert "disk" in at.upstream.status().reason
        monkeypatch.setattr(at.archive, "read", read)
        await at.settle()
    assert set(at.broker.received()) == at.all


async def test_a_broker_that_says_nothing_to_the_tag_table_is_left(tmp_path: Path) -> None:
    async with sending(tmp_path, keepalive=5.0) as at:
        at.broker.hole = True  # it answers to a connection, and to nothing on it
        await asyncio.sleep(15.0)
        assert "meta was not acknowledged" in at.upstream.status().reason or "no answer" in at.upstream.status().reason
        at.broker.hole = False
        await at.feed(20.0)
        await at.settle()
    assert set(at.broker.received()) == at.all

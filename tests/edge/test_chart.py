"""Charts of the archive: what SQLite adds up is what is there, whatever the slices; gaps, lateness, and who waits."""

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from nportpy.edge import chart
from nportpy.edge.archive import Archive
from nportpy.edge.chart import How, drawn
from nportpy.edge.sample import Quality, Reading, Value
from tests.edge.support import START, FakeClock, running

BEGAN = START // 1000  # microseconds


async def fill(archive: Archive, clock: FakeClock, values: list[tuple[float, str, Value]]) -> None:
    """Readings of tags, each so many seconds after the one before."""
    for pause, name, value in values:
        clock.pass_time(pause)
        tag = archive.register("s", name, "kW", "float32")
        quality = Quality.BAD if value is None else Quality.GOOD
        archive.add([Reading(tag.id, value, quality, clock.now())])
    assert await archive.flush()


def tag_id(archive: Archive, name: str) -> int:
    return next(each.id for each in archive.tags if each.name == name)


@pytest.mark.parametrize("size", [1, 7, 100_000])
async def test_buckets_are_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(chart, "SLICE", size)
    monkeypatch.setattr(chart, "_SMALLEST", 1)
    monkeypatch.setattr(chart, "_LARGEST", size)
    rng, clock = random.Random(7), FakeClock()
    values: list[tuple[float, str, Value]] = [
        (rng.uniform(0.1, 3), rng.choice("abc"), rng.choice([None, rng.gauss(0, 9), 5])) for _ in range(400)
    ]
    async with running(tmp_path, clock) as archive:
        await fill(archive, clock, values)
        width = 10_000_000
        start, end = BEGAN + 30_000_000, BEGAN + 500_000_000
        found = await archive.buckets([tag_id(archive, "a"), tag_id(archive, "b")], start, end, width)
        samples = [each for portion in [s async for s in archive.between(start, end)] for each in portion]
        for name in "ab":
            expected: dict[int, list[float]] = {}
            counts: dict[int, int] = {}
            for each in samples:
                if each.tag.name == name:
                    number = (each.at - start) // width
                    counts[number] = counts.get(number, 0) + 1
                    if isinstance(each.value, int | float):
                        expected.setdefault(number, []).append(each.value)
            mine = found[tag_id(archive, name)]
            assert {number: each.count for number, each in mine.items()} == counts
            lows = {number: (each.low, each.high) for number, each in mine.items() if each.low is not None}
            assert lows == {number: (min(of), max(of)) for number, of in expected.items()}
        assert tag_id(archive, "c") not in found


async def test_a_bad_sample_begins_a_gap_and_a_pause_does_not(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(tmp_path, clock) as archive:
        await fill(archive, clock, [(1, "a", 1.0), (600, "a", 2.0), (10, "a", None), (300, "a", 3.0)])
        buckets = await archive.buckets([tag_id(archive, "a")], BEGAN, BEGAN + 10**9, 1_000_000)
        found = drawn("a", "V", buckets[tag_id(archive, "a")], [], None)
    assert found.low == [1.0, 2.0, None, 3.0]
    assert [round(at - START / 1e9) for at in found.times] == [1, 601, 611, 911]
    assert found.samples == 4


async def test_the_end_of_a_run_begins_a_gap(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(tmp_path, clock) as archive:
        await fill(archive, clock, [(1, "a", 1.0), (1, "a", 2.0)])
    async with running(tmp_path, clock) as archive:
        await fill(archive, clock, [(100, "a", 3.0)])
        buckets = await archive.buckets([tag_id(archive, "a")], BEGAN, BEGAN + 10**9, 1_000_000)
        assert drawn("a", "V", buckets[tag_id(archive, "a")], [], None).low == [1.0, 2.0, None, 3.0]


async def test_what_was_late_and_what_waits_is_told(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(tmp_path, clock) as archive:
        await fill(archive, clock, [(10, "a", float(number)) for number in range(1, 7)])
        buckets = (await archive.buckets([tag_id(archive, "a")], BEGAN, BEGAN + 10**9, 1_000_000))[1]
        assert drawn("a", "V", buckets, [(2, 3)], 4).how == [0, How.LATE, How.LATE, 0, How.WAITING, How.WAITING]
        assert drawn("a", "V", buckets, [], None).how == [0] * 6


async def test_what_a_device_had_kept_is_late(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(tmp_path, clock) as archive:
        await fill(archive, clock, [(500, "a", 1.0)])
        tag = tag_id(archive, "a")
        archive.add([Reading(tag, 7.0, Quality.GOOD, clock.now(), BEGAN + 100_000_000, history=True)])
        assert await archive.flush()
        buckets = (await archive.buckets([tag], BEGAN, BEGAN + 10**9, 1_000_000))[tag]
        found = drawn("a", "V", buckets, [], None)
    assert (found.low, found.how) == ([7.0, 1.0], [How.LATE, 0])


async def test_text_has_no_curve(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(tmp_path, clock) as archive:
        await fill(archive, clock, [(1, "a", "on"), (1, "b", True), (1, "a", "off")])
        buckets = await archive.buckets([1, 2], BEGAN, BEGAN + 10**9, 1_000_000)
        assert drawn("a", "V", buckets[1], [], None).low == []
        assert drawn("a", "V", buckets[2], [], None).low == [1]


async def test_a_slice_that_took_long_makes_the_next_one_shorter() -> None:
    from nportpy.edge.epochs import Epoch

    slicing = chart.Slicing([(1, 100_000, Epoch(1, "b", "k", 0, trusted=True))])
    sizes = []
    for number, each in enumerate(slicing):
        sizes.append(each.last - each.first + 1)
        slicing.took(0.1 if number < 3 else 0.001)
    assert sizes[:5] == [2000, 1000, 500, 500, 1000]
    assert sum(sizes) == 100_000


async def test_the_archive_commits_between_two_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for more than a slice: what is added while a chart is made is committed before it is done."""
    monkeypatch.setattr(chart, "SLICE", 10)
    monkeypatch.setattr(chart, "_LARGEST", 10)
    clock = FakeClock()
    async with running(tmp_path, clock) as archive:
        await fill(archive, clock, [(1, "a", float(number)) for number in range(900)])
        looking = asyncio.ensure_future(archive.buckets([1], BEGAN, BEGAN + 10**10, 10**6))  # noqa: TID251
        await asyncio.sleep(0)
        archive.add([Reading(1, 5.0, Quality.GOOD, clock.now())])
        assert await archive.flush()
        assert not looking.done()
        assert len((await looking)[1]) >= 900


@pytest.mark.parametrize("asked", [1, 4])
async def test_a_slice_is_bounded_in_work_and_walks_its_rows_once(tmp_path: Path, asked: int) -> None:
    """In steps of SQLite's machine, which are the same everywhere: what a slice costs, and what all of them do."""
    clock, names = FakeClock(), "abcdefgh"
    async with running(tmp_path, clock) as archive:
        await fill(archive, clock, [(1, names[number % 8], float(number % 97)) for number in range(8000)])
        statements, steps = list[str](), list[int]()
        look = archive._look

        def counted(*arguments: Any) -> Any:
            db = archive._writer.store._connection()
            count = 0

            def step() -> int:
                nonlocal count
                count += 1
                return 0

            db.set_progress_handler(step, 100)
            db.set_trace_callback(statements.append)
            try:
                return look(*arguments)
            finally:
                db.set_progress_handler(None, 0)
                db.set_trace_callback(None)
                steps.append(100 * count)

        archive._look = counted  # type: ignore[method-assign, assignment]
        ids = [tag_id(archive, name) for name in names[:asked]]
        found = await archive.buckets(ids, BEGAN, BEGAN + 10**10, 10_000_000)
    assert sum(each.count for buckets in found.values() for each in buckets.values()) == 1000 * asked
    assert len(statements) == len(steps), "each slice is one walk"
    assert steps[0] < chart.SLICE * (12 + 100 * asked / 8)
    assert sum(steps) < 8000 * (12 + 100 * asked / 8)

import asyncio
import os
import sqlite3
import time
from pathlib import Path

import pytest

from nportpy.edge.archive import BATCH, Archive
from nportpy.edge.sample import Quality, Reading
from nportpy.errors import ArchiveError, MisuseError
from tests.edge.support import FakeClock, readings, running, settings


async def test_what_is_added_is_read_after_a_commit(tmp_path: Path) -> None:
    async with running(tmp_path) as archive:
        loop = asyncio.get_running_loop()
        added = readings(archive, [1, 2.5, "on", True, False, None, 2**64 - 1, -(2**70), ""])
        archive.add(added)
        assert await archive.read(0) == []
        began = loop.time()
        assert await archive.grown(0) == 9
        assert loop.time() - began == pytest.approx(2.0, abs=0.1)
        found = await archive.read(0)
        assert [(each.value, type(each.value)) for each in found] == [(each.value, type(each.value)) for each in added]
        assert [each.seq for each in found] == list(range(1, 10))
        assert found[0].tag.path == "mains/energy"
        assert found[0].tag.unit == "kWh"
        assert found[0].quality is Quality.GOOD
        assert found[0].boot == archive.boot
        assert found[0].at == archive.clock.wall()
        assert found[1].monotonic == added[1].monotonic


async def test_many_are_committed_before_their_time(tmp_path: Path) -> None:
    async with running(tmp_path) as archive:
        began = asyncio.get_running_loop().time()
        archive.add(readings(archive, list(range(BATCH))))
        await archive.grown(0)
        assert asyncio.get_running_loop().time() - began < 0.5
        for _ in range(20):
            archive.add(readings(archive, list(range(BATCH))))
            await asyncio.sleep(0.05)
        await archive.grown(20 * BATCH)
        assert archive.status().commits <= 7  # not one for each


async def test_a_float_that_is_no_number_is_bad(tmp_path: Path) -> None:
    async with running(tmp_path) as archive:
        archive.add(readings(archive, [float("nan"), float("inf"), "\ud800x\0", "y" * 2000, 2**300]))
        await archive.flush()
        nan, infinite, text, long, large = await archive.read(0)
        assert (nan.value, nan.quality) == (infinite.value, infinite.quality) == (None, Quality.BAD)
        assert text.value == "\ufffdx\ufffd"
        assert (long.value, long.quality) == ("y" * 1024, Quality.UNCERTAIN)
        assert (large.value, large.quality) == (None, Quality.BAD)


async def test_what_is_no_reading_is_refused_and_stops_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as archive:
        (good,) = readings(archive, [1])
        for bad in (
            Reading(99, 1, Quality.GOOD, 0),
            Reading(good.tag, b"x", Quality.GOOD, 0),  # type: ignore[arg-type]
            Reading(good.tag, 1, Quality.GOOD, 2**63),
            Reading(good.tag, 1, Quality.GOOD, -1),
            Reading(good.tag, 1, Quality.GOOD, 0, 2**63),
        ):
            with pytest.raises(MisuseError):
                archive.add([good, bad])
        archive.add([good])
        assert await archive.flush()
        assert archive.newest == 1


async def test_a_restart_goes_on_with_numbers_tags_and_cursors(tmp_path: Path) -> None:
    async with running(tmp_path) as archive:
        archive.add(readings(archive, list(range(100))))
        await archive.flush()
        assert archive.cursor("plant") == 0
        archive.acknowledge("plant", 60)
        archive.acknowledge("plant", 50)
        archive.acknowledge("ahead", 1000)
        first = archive.boot
        tag = archive.register("mains", "energy", "kWh", "float32")
    async with running(tmp_path) as archive:
        assert archive.tags == (tag,)
        assert archive.cursor("plant") == 60
        assert archive.cursor("ahead") == 100
        backlog = await archive.backlog("plant")
        assert (backlog.waiting, backlog.lost, backlog.acknowledged) == (40, 0, 60)
        assert backlog.oldest_at == archive.clock.wall() + 60
        other = archive.register("mains", "power", "kW")
        assert (other.id, archive.register("mains", "energy", "kWh", "float32")) == (2, tag)
        assert archive.register("mains", "energy", "MWh", "float32").id == 3  # old samples keep their unit
        archive.add(readings(archive, [7]))
        await archive.flush()
        (new,) = await archive.read(100)
        assert (new.seq, new.value) == (101, 7)
        assert new.boot == archive.boot != first
        assert {each.boot for each in await archive.read(0, 100)} == {first}


async def test_cursors_are_written_now_and_then_and_at_the_end(tmp_path: Path) -> None:
    async with running(tmp_path) as archive:
        archive.add(readings(archive, [1, 2, 3]))
        await archive.flush()
        archive.acknowledge("plant", 2)
        archive.acknowledge("gone", 2)
        archive.forget_others(["plant"])
        await asyncio.sleep(61)
        assert archive._writer._written_cursors == {"plant": 2}
        archive.acknowledge("plant", 3)
    async with running(tmp_path) as archive:
        assert archive.cursor("plant") == 3
        archive.forget_others([])
    async with running(tmp_path) as archive:
        assert archive.cursor("plant") == 0  # it is new


async def test_an_interval_is_found_without_reading_everything(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(tmp_path, clock) as archive:
        tag = archive.register("mains", "energy").id
        for minute in range(200):
            archive.add([Reading(tag, minute * 50 + n, Quality.GOOD, clock.now()) for n in range(50)])
            await archive.flush()
            clock.pass_time(60)
        begin = clock.wall() - 100 * 60_000_000
        lists = [found async for found in archive.between(begin, begin + 30 * 60_000_000)]
        assert [each.value for found in lists for each in found] == list(range(5000, 6500))
        assert max(map(len, lists)) <= 1000
        ranges = archive._writer.read
        spans = await archive._call(ranges, lambda store: store.ranges(begin, begin + 30 * 60_000_000))
        assert sum(last - first + 1 for first, last in spans) < 1800
        assert [found async for found in archive.between(0, 1000)] == []
        assert [found async for found in archive.between(begin, begin)] == []


async def test_a_devices_own_stamps_are_found_by_their_time(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(tmp_path, clock) as archive:
        day = 86_400_000_000
        tag = archive.register("mains", "profile").id
        archive.add(readings(archive, list(range(2000))))
        await archive.flush()
        clock.pass_time(86400)
        archive.add([Reading(tag, n, Quality.GOOD, clock.now(), clock.wall() - day // 2 + n) for n in range(10)])
        archive.add(readings(archive, list(range(2000))))
        await archive.flush()
        begin = clock.wall() - day // 2
        found = [each async for samples in archive.between(begin, begin + 1000) for each in samples]
        assert [each.value for each in found] == list(range(10))
        assert all(each.tag.name == "profile" for each in found)


async def test_readers_wait_for_growth(tmp_path: Path) -> None:
    async with running(tmp_path) as archive, asyncio.TaskGroup() as group:
        waiting = [group.create_task(archive.grown(after)) for after in (0, 1, 2)]
        for _ in range(3):
            archive.add(readings(archive, [1]))
            await asyncio.sleep(3)
        assert [task.result() for task in waiting] == [1, 2, 3]


async def test_only_one_may_have_the_file(tmp_path: Path) -> None:
    async with running(tmp_path):
        second = Archive(settings(tmp_path))
        with pytest.raises(ArchiveError, match="in use by another nportpy"):
            await second.open()
    assert not [name for name in os.listdir(tmp_path) if "damaged" in name]


@pytest.mark.parametrize("name", ["", "missing/archive.db", "folder"])
async def test_a_path_that_cannot_be_opened_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    archive = Archive(settings(tmp_path, path=str(tmp_path / name)))
    with pytest.raises(ArchiveError, match="cannot be opened"):
        await archive.open()


async def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "archive.db")
    other.execute("CREATE TABLE theirs(x)")
    other.close()
    archive = Archive(settings(tmp_path))
    with pytest.raises(ArchiveError, match="another program's"):
        await archive.open()
    assert os.listdir(tmp_path) == ["archive.db"]


@pytest.mark.real
async def test_a_full_archive_opens_at_once(tmp_path: Path) -> None:
    async with running(tmp_path, commit=0.01) as archive:
        for _ in range(10):
            archive.add(readings(archive, [float(n) for n in range(10_000)]))
            await archive.flush()
        assert archive.newest == 100_000
    began = time.monotonic()
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    async with running(tmp_path) as archive:
        assert archive.status().samples == 100_000
        assert archive.waiting("new") == 100_000
        await archive._call(lambda: archive._writer.store._connection().set_progress_handler(count, 1000))
        await archive.backlog("new")
        assert archive.status().bytes > 2_000_000
    assert steps <= 2  # thousands of SQLite's steps: nothing was scanned
    assert time.monotonic() - began < 5

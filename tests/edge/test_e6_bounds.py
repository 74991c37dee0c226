"""E6: bounded by size and age, the oldest goes first and is counted; and no disk can hold the event loop up."""

import asyncio
import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nportpy.edge.database import NoRoom
from nportpy.edge.sample import Quality, Reading
from nportpy.edge.store import Store
from tests.edge.support import FakeClock, everything, readings, running


@pytest.mark.long
async def test_e6_the_oldest_go_when_the_size_is_reached(tmp_path: Path) -> None:
    limit = 1 << 20
    async with running(tmp_path, max_size=limit) as archive:
        archive.cursor("plant")
        for start in range(1, 60_001, 500):
            archive.add(readings(archive, [float(start + n) for n in range(500)]))
            await archive.flush()
            assert sum(os.stat(tmp_path / name).st_size for name in os.listdir(tmp_path)) <= limit + 10_000
        status = archive.status()
        samples = await everything(archive)
        assert [each.value for each in samples] == [float(n) for n in range(archive.oldest, 60_001)]
        assert status.evicted == 60_000 - len(samples) == samples[0].seq - 1
        assert status.samples == len(samples) > 5000
        assert (await archive.backlog("plant")).lost == status.evicted
        assert archive.waiting("plant") == len(samples)
        assert status.failures == 0
        assert status.oldest_at == samples[0].at / 1e6
    async with running(tmp_path, max_size=limit) as archive:
        assert archive.status().evicted == status.evicted


@pytest.mark.long
async def test_e6_a_smaller_size_is_reached_by_and_by(tmp_path: Path) -> None:
    async with running(tmp_path, max_size=8 << 20, queue=50_000) as archive:
        archive.add(readings(archive, [float(n) for n in range(40_000)]))
        await archive.flush()
    async with running(tmp_path, max_size=1 << 20) as archive:
        archive.add(readings(archive, ["newest"]))
        await archive.grown(40_000)
        await asyncio.sleep(10)
        assert archive.status().samples < 32_000
        assert archive.status().evicted == 40_001 - archive.status().samples
        assert (await everything(archive))[-1].value == "newest"


@pytest.mark.long
async def test_e6_large_readings_do_not_empty_a_small_archive(tmp_path: Path) -> None:
    async with running(tmp_path, max_size=1 << 20) as archive:
        for _ in range(20):
            archive.add(readings(archive, ["\N{EURO SIGN}" * 1024] * 100))
            assert await archive.flush()
        assert archive.newest == 2000
        assert archive.status().samples > 20
        assert archive.status().evicted == archive.oldest - 1


async def test_e6_the_oldest_go_when_they_are_too_old(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(tmp_path, clock, max_age=3600.0) as archive:
        for minute in range(120):
            archive.add(readings(archive, [minute] * 100))
            await archive.flush()
            while archive._writer.store.excess:
                await archive._call(archive._writer.trim)
            age = clock.wall() / 1e6 - (archive.status().oldest_at or 0)
            assert age <= 3600
            assert age >= 3540 - 36 or minute < 59
            clock.pass_time(60)
        assert archive.status().evicted == archive.oldest - 1 > 5000
        clock.pass_time(7200)
        await asyncio.sleep(100)  # nothing is read any more
        assert archive.status().samples == 0
        assert archive.status().evicted == archive.newest == 12_000


async def test_e6_a_clock_that_is_not_trusted_lets_nothing_go(tmp_path: Path) -> None:
    clock = FakeClock(wall=0, trusted=False)
    async with running(tmp_path, clock, max_age=3600.0) as archive:
        archive.add(readings(archive, list(range(2000))))
        await archive.flush()
        clock.step(10**9)
        archive.add(readings(archive, [1]))
        await asyncio.sleep(100)
        assert archive.status().samples == 2001
    clock = FakeClock(boot="next")
    async with running(tmp_path, clock, max_age=3600.0) as archive:
        archive.add(readings(archive, [2]))
        await asyncio.sleep(100)
        assert archive.status().samples == 2002  # they say 1970, and that is wrong
        clock.pass_time(3599)
        await asyncio.sleep(100)
        assert archive.status().samples == 2002
        clock.pass_time(2)
        archive.add(readings(archive, [3]))
        await asyncio.sleep(100)
        assert [each.value for each in await archive.read(0)] == [3]  # older than what is too old


async def test_e6_a_disk_that_is_full_for_a_while_costs_the_oldest_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_arguments: object, **_others: object) -> None:
        raise NoRoom("database or disk is full")

    async with running(tmp_path, queue=1000) as archive:
        archive.add(readings(archive, [0]))
        await archive.flush()
        with monkeypatch.context() as patch:
            patch.setattr(Store, "write", full)
            patch.setattr(Store, "trim", full)
            for n in range(1, 3001):
                archive.add(readings(archive, [n]))
                if n % 10 == 0:
                    await asyncio.sleep(1)
            status = archive.status()
            assert status.error == "database or disk is full"
            assert status.queued == 1000
            assert status.dropped == 2000
            assert status.failures > 50
            assert len([each for each in caplog.records if "cannot be written" in each.message]) <= 6
        await asyncio.sleep(5)
        status = archive.status()
        assert (status.error, status.queued, status.dropped) == ("", 0, 2000)
        values = [each.value for each in await everything(archive)]
        assert values[0] == 0
        assert values[-500:] == list(range(2501, 3001))
        assert len(values) == 1001
        assert values == sorted(values)  # type: ignore[type-var]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2M", "nportpy-test", str(folder)]
    if os.getuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.long
async def test_e6_a_small_disk_is_full(small_disk: Path) -> None:
    async with running(small_disk) as archive:
        for start in range(0, 60_000, 500):
            archive.add(readings(archive, [float(start + n) for n in range(500)]))
            await archive.flush()
        status = archive.status()
        samples = await everything(archive)
        assert samples[-1].value == 59_999.0
        assert status.newest == 60_000
        assert status.evicted == status.oldest - 1 > 0
        assert (status.dropped, status.queued) == (0, 0)
        assert status.samples > 2_000
        hog = small_disk / "hog"
        with contextlib.suppress(OSError), open(hog, "wb", buffering=0) as file:  # noqa: ASYNC230  # memory
            while file.write(b"x" * 4096):
                pass
        for start in range(60_000, 100_000, 500):  # now others have the rest
            archive.add(readings(archive, [float(start + n) for n in range(500)]))
            await archive.flush()
        assert archive.newest + archive.status().queued + archive.status().dropped == 100_000
        os.remove(hog)
        await asyncio.sleep(10)
        samples = await everything(archive)
        assert samples[-1].value == 99_999.0
        assert archive.status().queued == 0


@pytest.mark.real
async def test_e6_a_slow_card_does_not_hold_the_loop_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Store.write

    def slow(store: Store, *arguments: object) -> None:
        time.sleep(0.5)
        write(store, *arguments)  # type: ignore[arg-type]

    async with running(tmp_path, commit=0.01, queue=50) as archive:
        monkeypatch.setattr(Store, "write", slow)
        tag = archive.register("mains", "energy").id
        longest, added = 0.0, 0
        while archive.status().commits < 3:
            began = time.perf_counter()
            archive.add([Reading(tag, added, Quality.GOOD, added)])
            added += 1
            longest = max(longest, time.perf_counter() - began)
            assert archive.status().queued <= 50
            await asyncio.sleep(0.002)
        monkeypatch.setattr(Store, "write", write)
        await archive.flush()
        assert longest < 0.4  # it never waited for the card
        assert archive.status().dropped > 0
        assert archive.newest + archive.status().dropped == added
        values = [each.value for each in await everything(archive)]
        assert values == sorted(values)  # type: ignore[type-var]
        assert values[-1] == added - 1  # the newest is never what is dropped


@pytest.mark.real
async def test_e6_cancelled_in_the_middle_of_a_commit_nothing_is_written_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Store.write

    def slow(store: Store, *arguments: object) -> None:
        time.sleep(0.1)
        write(store, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Store, "write", slow)
    async with running(tmp_path, commit=0.001) as archive:
        archive.add(readings(archive, [1, 2, 3]))
        await asyncio.sleep(0.05)
    async with running(tmp_path) as archive:
        assert [each.value for each in await everything(archive)] == [1, 2, 3]

"""E17: the clock is not trusted until it is synchronised, and samples are put right afterwards."""

import asyncio
from pathlib import Path

import pytest

from nportpy import wallclock as module
from nportpy.edge.clock import STEP, Clock, ClockState
from nportpy.edge.epochs import Epoch, advanced, corrected, index_of, without
from nportpy.edge.sample import Quality, Reading
from nportpy.wallclock import synchronised
from tests.edge.support import START, FakeClock, everything, readings, running

RIGHT = START // 1000


@pytest.mark.parametrize("wrong", [-(30 * 365 * 86400), -7200, 7200, 10**9])
async def test_e17_samples_of_an_unsynchronised_clock_are_put_right(tmp_path: Path, wrong: int) -> None:
    clock = FakeClock(wall=START + wrong * 10**9, trusted=False)
    async with running(tmp_path, clock) as archive:
        archive.add(readings(archive, [1], Quality.GOOD) + readings(archive, [None], Quality.BAD))
        await archive.flush()
        good, bad = await archive.read(0)
        assert (good.quality, bad.quality) == (Quality.UNCERTAIN, Quality.BAD)
        assert good.at == RIGHT + wrong * 10**6
        assert not archive.status().trusted
        clock.pass_time(10)
        archive.add(readings(archive, [2]))
        clock.step(-wrong)
        clock.is_trusted = True
        await archive.flush()
        assert [(each.at, each.quality) for each in await archive.read(0)] == [
            (RIGHT, Quality.GOOD),
            (RIGHT, Quality.BAD),
            (RIGHT + 10_000_000, Quality.GOOD),
        ]
        assert archive.status().trusted
        assert archive.status().oldest_at == RIGHT / 1e6
        found = [each async for samples in archive.between(RIGHT, RIGHT + 10_000_001) for each in samples]
        assert len(found) == 3
    async with running(tmp_path, FakeClock(boot="next")) as archive:
        assert [each.at for each in await archive.read(0)] == [RIGHT, RIGHT, RIGHT + 10_000_000]


async def test_e17_without_a_reading_the_clock_is_looked_at_too(tmp_path: Path) -> None:
    clock = FakeClock(wall=0, trusted=False)
    async with running(tmp_path, clock) as archive:
        archive.add(readings(archive, [1]))
        await archive.flush()
        clock.wall_ns, clock.is_trusted = START, True
        await asyncio.sleep(61)
        (sample,) = await archive.read(0)
        assert (sample.at, sample.quality) == (RIGHT, Quality.GOOD)


async def test_e17_a_restart_before_the_clock_is_right_is_put_right_with_the_rest(tmp_path: Path) -> None:
    clock = FakeClock(wall=0, trusted=False)
    for value in (1, 2):
        async with running(tmp_path, clock) as archive:
            archive.add(readings(archive, [value]))
        clock.pass_time(5)
    clock.wall_ns, clock.is_trusted = START, True
    async with running(tmp_path, clock) as archive:
        archive.add(readings(archive, [3]))
        await archive.flush()
        samples = await archive.read(0)
        assert [each.at for each in samples] == [RIGHT - 10_000_000, RIGHT - 5_000_000, RIGHT]
        assert {each.quality for each in samples} == {Quality.GOOD}
        assert len({each.boot for each in samples}) == 3


async def test_e17_another_run_of_the_kernel_stays_uncertain(tmp_path: Path) -> None:
    async with running(tmp_path, FakeClock(wall=0, trusted=False, boot="first")) as archive:
        archive.add(readings(archive, [1]))
        boot = archive.boot
    async with running(tmp_path, FakeClock(boot="second")) as archive:
        archive.add(readings(archive, [2]))
        await archive.flush()
        old, new = await archive.read(0)
        assert (old.at, old.quality) == (0, Quality.UNCERTAIN)
        assert (new.at, new.quality) == (RIGHT, Quality.GOOD)
        await archive.correct(boot, 1_000_000_000)  # somebody knows
        old, new = await archive.read(0)
        assert (old.at, old.quality) == (1_000_000_000 + 1_000_000, Quality.GOOD)
        assert new.at == RIGHT


@pytest.mark.parametrize("step", [-3600, 3600])
async def test_e17_a_step_of_a_trusted_clock_leaves_the_older_samples(tmp_path: Path, step: int) -> None:
    clock = FakeClock()
    async with running(tmp_path, clock) as archive:
        archive.add(readings(archive, [1]))
        await archive.flush()
        clock.pass_time(1)
        clock.step(step)
        archive.add(readings(archive, [2]))
        await archive.flush()
        clock.pass_time(1)
        archive.add(readings(archive, [3]))
        await archive.flush()
        assert [each.at - RIGHT for each in await archive.read(0)] == [0, (step + 1) * 10**6, (step + 2) * 10**6]
        begin = RIGHT + step * 10**6
        found = [each async for samples in archive.between(begin, begin + 10**7) for each in samples]
        assert [each.value for each in found] == [2, 3]


async def test_e17_a_devices_own_stamp_is_never_moved(tmp_path: Path) -> None:
    clock = FakeClock(wall=0, trusted=False)
    async with running(tmp_path, clock) as archive:
        tag = archive.register("mains", "profile").id
        archive.add([Reading(tag, 1, Quality.GOOD, clock.now(), 123)])
        await archive.flush()
        (before,) = await archive.read(0)
        clock.wall_ns, clock.is_trusted = START, True
        await archive.flush()
        assert await archive.read(0) == [before]
        assert (before.at, before.quality) == (123, Quality.GOOD)


async def test_e17_jitter_between_two_clocks_is_no_step(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(tmp_path, clock) as archive:
        for jitter in (0.01, -0.02, 0.04, -0.03) * 5:
            clock.step(jitter)
            archive.add(readings(archive, [1]))
            await archive.flush()
            clock.step(-jitter)
        assert len(archive._writer.store.epochs) == 1


@pytest.mark.long
async def test_e17_epochs_go_with_their_samples(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(tmp_path, clock, max_size=1 << 20) as archive:
        for _ in range(90):
            clock.step(100)
            archive.add(readings(archive, [1.0] * 500))
            await archive.flush()
        assert len(archive._writer.store.epochs) <= archive.status().samples // 500 + 2
        assert [each.seq for each in await everything(archive)] == list(range(archive.oldest, archive.newest + 1))


def test_e17_epochs_by_their_rules() -> None:
    first = Epoch(1, "a", "k", 100, False)
    assert advanced([], ClockState(100, False), "a", "k", 1) == [first]
    assert advanced([first], ClockState(100 + STEP, False), "a", "k", 5) == [first]
    wrong = ClockState(101 + STEP, False)
    assert advanced([first], wrong, "a", "k", 5) == [first, Epoch(5, "a", "k", 101 + STEP, False)]
    assert advanced([first], wrong, "a", "k", 1) == [Epoch(1, "a", "k", 101 + STEP, False)]  # it held nothing
    assert advanced([first], ClockState(7, True), "a", "k", 5) == [Epoch(1, "a", "k", 7, True)]
    assert advanced([first], ClockState(7, True), "b", "other", 5) == [first, Epoch(5, "b", "other", 7, True)]
    trusted = Epoch(1, "a", "k", 7, True)
    assert advanced([trusted], ClockState(7, False), "a", "k", 5) == [trusted]  # it does not lose what it knows
    assert advanced([Epoch(1, "a", "", 7, False)], ClockState(9, True), "b", "", 1) == [Epoch(1, "b", "", 9, True)]
    both = [first, Epoch(5, "b", "k", 0, True)]
    assert corrected(both, "a", 3) == [Epoch(1, "a", "k", 3, True), both[1]]
    assert [index_of(both, seq) for seq in (0, 1, 4, 5, 99)] == [0, 0, 0, 1, 1]
    assert without(both, 4) == both
    assert without(both, 5) == without(both, 50) == both[1:]
    assert without([], 5) == []


def test_e17_the_real_clock() -> None:
    clock = Clock()
    state = clock.state()
    assert abs(clock.now() + state.offset - clock.wall()) < 1_000_000
    assert isinstance(synchronised(), bool)
    assert Clock().boot == clock.boot
    assert Clock(boot="x").boot == "x"


def test_e17_a_clock_before_this_program_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_from_battery", lambda: True)
    assert synchronised()
    monkeypatch.setattr("time.time", lambda: 10**9)
    assert not synchronised()

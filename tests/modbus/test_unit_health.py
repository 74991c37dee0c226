"""What clients get of units with faults, over mixes of both, beside a bare master with the same retries."""

from collections.abc import Callable

import pytest

from tests.support.asking import read
from tests.support.health import (
    Fault,
    Habit,
    alive,
    away,
    bare,
    bursts,
    dead,
    ever_new,
    flaky,
    particular,
    play,
    turning,
    unfit,
    writes,
)

SIX_BAD = turning(*(read(100 * number, 20) for number in range(6)))
GOOD = Habit(turning(read(7, 5)), 5.0)

BAD: dict[str, list[Habit]] = {
    "nobody": [],
    "six reads each second": [Habit(SIX_BAD, 1 / 6)],
    "six reads at once": [Habit(SIX_BAD, 1.0, pipelined=6)],
    "one, without a pause": [Habit(turning(read(0, 20)), 0.05)],
    "ever new lengths": [Habit(ever_new(), 0.05)],
    "ever new functions": [Habit(ever_new(4, 1), 0.1)],
    "bad addresses": [Habit(turning(*(read(6000 + n) for n in range(40))), 0.2)],
    "alternating": [Habit(turning(read(0, 20), read(3)), 0.3)],
    "writes nowhere": [Habit(turning(b"\x06\x20\x00\x00\x01", b"\x10\x00\x07\x00\x01\x02\x00\x01"), 0.5)],
    "one that holds the good one": [Habit(turning(read(0, 20)), 0.7)],
    "five of all kinds": [
        Habit(SIX_BAD, 0.5),
        Habit(ever_new(), 0.05),
        Habit(ever_new(4, 1), 0.3),
        Habit(turning(read(0, 20), read(3)), 1.0),
        Habit(turning(read(6000)), 2.0),
    ],
    "a new connection each time": [Habit(SIX_BAD, 0.5, anew=True)],
    "scan of all units": [Habit(turning(read(0)), 0.0, tuple(range(1, 248)))],
}

GOOD_ONES: dict[str, Habit] = {
    "slow": GOOD,
    "fast": Habit(turning(read(7, 5), read(30)), 0.25),
    "later": Habit(turning(read(7, 5)), 5.0, begins=31.3),
    "writes": Habit(writes, 5.0),
    "many": Habit(turning(*(read(10 * n, 3) for n in range(40))), 1.0),
    "anew": Habit(turning(read(7, 5)), 5.0, begins=12.1, anew=True),
    "hourly": Habit(turning(read(7, 5)), 47.0),
}


# Of the second, which asks seven times in all, one may be lost in the crowd of the first seconds.
MIXES = [(bad, good) for bad in BAD for good in GOOD_ONES if (bad, good) != ("five of all kinds", "hourly")]


@pytest.mark.parametrize(("bad", "good"), MIXES)
@pytest.mark.sample(3)
@pytest.mark.long
async def test_f1_no_client_takes_a_unit_from_another(bad: str, good: str) -> None:
    seconds = 600.0 if len(BAD[bad]) > 2 else 300.0
    played = await play({1: particular}, [*BAD[bad], GOOD_ONES[good]], seconds)
    assert played.clients[-1].share() >= 0.9 * await bare(particular, GOOD_ONES[good])
    assert played.kept[1] <= 0.2 * played.seconds  # and what they ask in vain costs no more than a dead unit


@pytest.mark.parametrize("good", GOOD_ONES)
@pytest.mark.parametrize("bad", ["six reads at once", "alternating", "writes nowhere"])
@pytest.mark.sample(2)
@pytest.mark.long
async def test_f2_a_unit_that_answers_with_another_length_is_nobodys_loss(bad: str, good: str) -> None:
    played = await play({1: unfit}, [*BAD[bad], GOOD_ONES[good]])
    assert played.clients[-1].share() >= 0.9


@pytest.mark.long
@pytest.mark.parametrize("bad", ["six reads each second", "five of all kinds"])
async def test_f1_nor_a_flaky_unit(bad: str) -> None:
    habit = Habit(turning(read(7, 5)), 5.0)
    played = await play({1: flaky(0.35)}, [*BAD[bad], habit], 900.0)
    assert played.clients[-1].share() >= 0.85 * await bare(flaky(0.35), habit, 900.0)


FAULTS: dict[str, Callable[[], Fault]] = {
    "10 %": lambda: flaky(0.1),
    "35 %": lambda: flaky(0.35),
    "50 %": lambda: flaky(0.5),
    "70 %": lambda: flaky(0.7),
    "bursts of 1 s": lambda: bursts(10, 1),
    "bursts of 2 s": lambda: bursts(20, 2),
    "bursts of 5 s": lambda: bursts(30, 5),
    "comes back": lambda: away((60, 100)),
    "comes back twice": lambda: away((60, 90), (150, 180)),
}
POLLERS = {
    "1 s": Habit(turning(read(7, 5)), 1.0),
    "5 s": Habit(turning(read(7, 5)), 5.0),
    "ten reads": Habit(turning(*(read(10 * number, 3) for number in range(10))), 1.0),
    "writes": Habit(writes, 1.0),
}


@pytest.mark.parametrize("poller", POLLERS)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.sample(3)
@pytest.mark.long
async def test_f7_a_flaky_unit_is_served_as_well_as_by_a_bare_master(fault: str, poller: str) -> None:
    """On average over some units: each has its own bad luck."""
    habit, share, wanted = POLLERS[poller], 0.0, 0.0
    for seed in range(4):
        share += (await play({1: FAULTS[fault]()}, [habit], 600.0, seed)).clients[0].share()
        wanted += await bare(FAULTS[fault](), habit, 600.0, seed)
    assert share >= 0.9 * wanted


async def test_f7_without_isolation_it_is_a_bare_master() -> None:
    habit = Habit(turning(read(7, 5)), 1.0)
    played = await play({1: flaky(0.7)}, [habit], 600.0, isolate=False)
    assert played.clients[0].share() == pytest.approx(await bare(flaky(0.7), habit, 600.0), abs=0.05)


@pytest.mark.long
@pytest.mark.sample(2)
@pytest.mark.parametrize("wait", [0.3, 1.0, 3.0])
@pytest.mark.parametrize(
    "habits",
    [
        [Habit(turning(read(7, 5)), 0.25)],
        [Habit(turning(*(read(10 * number, 3) for number in range(10))), 0.5)],
        [Habit(turning(read(7, 5)), 1.0, anew=True)],
        [Habit(ever_new(3, 5), 0.2)] * 3,
        [Habit(ever_new(3, 5), 0.2, anew=True)],
        [Habit(writes, 0.5)],
    ],
)
async def test_f7_a_dead_unit_costs_its_bus_less_than_a_fifth(habits: list[Habit], wait: float) -> None:
    living = Habit(turning(read(1)), 0.5, (2,))
    played = await play({1: dead, 2: alive}, [*habits, living], 450.0, wait=wait)
    assert played.kept[1] < 0.2 * played.seconds
    assert played.clients[-1].share(2) > 0.99


async def test_f7_a_sound_unit_that_dies_does_too() -> None:
    habits = [Habit(turning(read(7, 5)), 0.25), Habit(turning(read(1)), 0.5, (2,))]
    played = await play({1: away((60, 1000)), 2: alive}, habits, 180.0)
    assert played.kept[1] < 0.2 * 120
    assert played.clients[-1].share(2) == 1.0

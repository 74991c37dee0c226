"""Schedules on a fixed grid."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from nportpy.edge.schedule import Rounds, phase
from tests.edge.test_conversion import TAG

ENERGY = replace(TAG, name="energy", always_at=900.0)
SLOW = replace(TAG, name="slow", every=60.0)


def test_rounds_lie_on_a_grid_whatever_a_round_takes() -> None:
    rounds = Rounds([TAG], 10.0, 1003.0, 0.0)
    begun, now = [], 1000.0
    for took in (0.5, 9.0, 3.0, 0.0, 9.9):
        now += max(0.0, rounds.wait(now, 0.0))
        assert rounds.due(now, 0.0).tags == [TAG]
        begun.append(now)
        now += took
    assert begun == [1003.0, 1013.0, 1023.0, 1033.0, 1043.0]
    assert rounds.overruns == 0


def test_what_is_overrun_is_skipped_and_counted_never_queued() -> None:
    rounds = Rounds([TAG], 10.0, 1000.0, 0.0)
    assert rounds.due(1000.0, 0.0).tags
    assert rounds.due(1035.0, 0.0).tags  # the round took 35 s: those of 1010 and 1020 are gone
    assert rounds.overruns == 2
    assert not rounds.due(1035.0, 0.0).tags
    assert rounds.wait(1035.0, 0.0) == 5.0


def test_tags_have_intervals_of_their_own() -> None:
    rounds = Rounds([TAG, SLOW], 10.0, 0.0, 0.0)
    names = [[tag.name for tag in rounds.due(float(now), 0.0).tags] for now in range(0, 70, 10)]
    assert names == [["power", "slow"], *[["power"]] * 5, ["power", "slow"]]


def test_always_at_is_the_clocks_quarter_of_an_hour() -> None:
    wall = 1_750_000_123.0
    rounds = Rounds([TAG, ENERGY], 600.0, 0.0, wall)
    due = rounds.due(0.0, wall)
    assert [tag.name for tag in due.tags] == ["power", "energy"]
    assert due.always == set()
    wait = rounds.wait(0.0, wall)
    assert (wall + wait) % 900.0 == 0.0
    due = rounds.due(wait, wall + wait)
    assert ([tag.name for tag in due.tags], due.always) == (["energy"], {"energy"})


def test_e17_a_clock_that_steps_back_gives_no_quarter_twice_and_one_that_steps_on_gives_one() -> None:
    rounds = Rounds([ENERGY], 1e6, 0.0, 9000.0)
    rounds.due(0.0, 9000.0)
    assert rounds.due(1.0, 9901.0).always == {"energy"}
    assert rounds.due(2.0, 5000.0).always == set()
    assert rounds.due(3.0, 90_000.0).always == {"energy"}


def test_a_pause_is_no_overrun_and_everything_is_due_after_it() -> None:
    rounds = Rounds([TAG, SLOW], 10.0, 0.0, 0.0)
    rounds.due(0.0, 0.0)
    rounds.paused(64.0)
    assert [tag.name for tag in rounds.due(64.0, 0.0).tags] == ["power", "slow"]
    assert rounds.overruns == 0
    assert rounds.wait(64.0, 0.0) == 6.0  # still on the grid


def test_phases_are_spread_evenly() -> None:
    assert [phase(place, 4, 10.0) for place in range(4)] == [0.0, 2.5, 5.0, 7.5]
    assert phase(0, 0, 10.0) == 0.0


@given(st.floats(0.5, 100.0), st.lists(st.floats(0.0, 500.0), max_size=30))
def test_rounds_and_skipped_ones_add_up_to_the_grid(every: float, took: list[float]) -> None:
    rounds = Rounds([TAG], every, 0.0, 0.0)
    now, begun = 0.0, 0
    for each in took:
        now += max(0.0, rounds.wait(now, 0.0))
        begun += bool(rounds.due(now, 0.0).tags)
        now += each
    assert begun == len(took)
    assert rounds.wait(0.0, 0.0) == (begun + rounds.overruns) * every or abs(
        rounds.wait(0.0, 0.0) - (begun + rounds.overruns) * every
    ) < 1e-6 * every * (begun + rounds.overruns)

"""What was delivered, and how fast (E9, E10)."""

from hypothesis import given
from hypothesis import strategies as st

from nportpy.edge.delivery import Allowance, Delivered, pause_before

RUNS = st.lists(st.tuples(st.integers(1, 200), st.integers(0, 30)), max_size=60)


def test_e9_a_live_batch_beyond_a_gap_does_not_move_the_cursor() -> None:
    delivered = Delivered(100)
    assert delivered.add(151, 160) == 100
    assert delivered.missing(160) == [(101, 150)]
    assert delivered.add(101, 149) == 149
    assert delivered.add(150, 150) == 160
    assert delivered.missing(160) == []


def test_what_was_evicted_holds_nobody_up() -> None:
    delivered = Delivered(10)
    delivered.add(50, 60)
    assert delivered.skip_to(40) == 39
    assert delivered.missing(60) == [(40, 49)]
    assert delivered.skip_to(20) == 39


@given(st.integers(0, 50), RUNS)
def test_e9_the_cursor_is_where_everything_before_has_arrived(cursor: int, runs: list[tuple[int, int]]) -> None:
    delivered, arrived = Delivered(cursor), set(range(1, cursor + 1))
    for first, more in runs:
        arrived |= set(range(first, first + more + 1))
        end = 0
        while end + 1 in arrived:
            end += 1
        assert delivered.add(first, first + more) == end == delivered.cursor
        missing = {number for low, high in delivered.missing(250) for number in range(low, high + 1)}
        assert missing == set(range(1, 251)) - arrived


@given(st.lists(st.tuples(st.integers(1, 400), st.floats(0.0, 0.5)), min_size=50, max_size=200))
def test_e10_the_rate_holds(batches: list[tuple[int, float]]) -> None:
    allowance, now, sent = Allowance(1000.0, 0.0), 0.0, 0
    for size, later in batches:
        now += later
        now += allowance.take(size, now)
        sent += size
        assert sent <= 1000.0 * (now + 1.0) + 1e-6


def test_e10_a_full_backlog_is_sent_at_the_rate() -> None:
    allowance, now, sent = Allowance(2000.0, 0.0), 0.0, 0
    while now < 60.0:
        now += allowance.take(250, now)
        sent += 250
    assert abs(sent / 60.0 - 2000.0) < 100.0


def test_no_rate_is_no_limit() -> None:
    assert Allowance(0.0, 0.0).take(10**9, 0.0) == 0.0


@given(st.integers(0, 10**6), st.floats(0.0, 1.0, exclude_max=True))
def test_pauses_grow_to_a_minute_and_are_spread(attempt: int, chance: float) -> None:
    assert 0.5 <= pause_before(attempt, chance) <= 60.0
    assert pause_before(9, 0.0) == 30.0

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from nportpy.throttle import Throttle


def test_the_first_at_once_then_one_a_minute_with_the_count() -> None:
    throttle = Throttle()
    assert throttle.allow("192.0.2.7", 100.0) == 0
    assert [throttle.allow("192.0.2.7", 100.0 + second) for second in (0, 1, 30, 59.9)] == [None] * 4
    assert throttle.allow("192.0.2.7", 160.0) == 4
    assert throttle.allow("192.0.2.7", 161.0) is None
    assert throttle.allow("192.0.2.7", 10_000.0) == 1


def test_keys_do_not_share_until_there_is_no_room() -> None:
    throttle = Throttle(interval=60, limit=2)
    assert throttle.allow("a", 0) == 0
    assert throttle.allow("b", 1) == 0
    assert throttle.allow("c", 2) == 0  # the shared one
    assert throttle.allow("d", 3) is None
    assert throttle.allow("e", 4) is None
    assert throttle.allow("a", 5) is None
    assert throttle.allow("f", 60) == 0  # a's place, which was the oldest
    assert throttle.allow("g", 61) == 0  # b's
    assert throttle.allow("h", 62) == 2  # d and e


def test_a_key_that_was_let_through_again_is_not_the_oldest() -> None:
    throttle = Throttle(interval=60, limit=2)
    throttle.allow("a", 0)
    throttle.allow("b", 10)
    throttle.allow("a", 60)
    assert throttle.allow("c", 71) == 0  # b's place
    assert throttle.allow("a", 72) is None


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 30)), max_size=300))
def test_no_event_is_lost_from_the_count_and_lines_are_bounded(events: list[tuple[int, float]]) -> None:
    throttle = Throttle(interval=10, limit=20)
    now, lines, seen = 0.0, dict[int, list[float]](), dict[int, int]()
    for key, pause in events:
        now += pause
        seen[key] = seen.get(key, 0) + 1
        held = throttle.allow(key, now)
        if held is not None:
            assert seen[key] == held + 1
            seen[key] = 0
            lines.setdefault(key, []).append(now)
    for times in lines.values():
        assert all(later - earlier >= 10 for earlier, later in pairwise(times))


@given(st.lists(st.tuples(st.integers(), st.floats(0, 1)), max_size=300))
def test_any_number_of_keys_makes_few_lines(events: list[tuple[int, float]]) -> None:
    throttle = Throttle(interval=60, limit=5)
    now, lines = 0.0, list[float]()
    for key, pause in events:
        now += pause
        if throttle.allow(key, now) is not None:
            lines.append(now)
    assert all(sum(start <= line < start + 60 for line in lines) <= 2 * (5 + 1) for start in lines)

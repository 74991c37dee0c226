"""Counts that stay bounded."""

from nportpy.modbus.tally import MOST_COUNTS, End, Tally
from nportpy.status import DURATIONS


def test_requests_are_counted_by_unit_function_and_end() -> None:
    tally = Tally()
    tally.count(7, 3, End.ANSWERED)
    tally.count(7, 3, End.ANSWERED)
    tally.count(7, 65, End.EXCEPTION)
    tally.count(0, 6, End.SENT)
    assert tally.requests() == {
        ("7", "3", "answered"): 2,
        ("7", "other", "exception"): 1,
        ("0", "6", "sent"): 1,
    }


def test_the_number_of_counts_is_bounded_and_nothing_is_lost() -> None:
    tally = Tally()
    for unit in range(256):
        for function in range(1, 128):
            for end in (End.NO_ANSWER, End.UNREACHABLE):
                tally.count(unit, function, end)
    requests = tally.requests()
    assert len(requests) <= MOST_COUNTS + len(End)
    assert sum(requests.values()) == 256 * 127 * 2
    assert requests["other", "other", "no_answer"] > 0


def test_durations_fall_into_their_buckets() -> None:
    tally = Tally()
    for seconds in (0.0, 0.001, 0.0011, 10.0, 11.0):
        tally.transaction(seconds)
    assert tally.durations[:2] == [2, 1]
    assert tally.durations[-2:] == [1, 1]
    assert len(tally.durations) == len(DURATIONS) + 1

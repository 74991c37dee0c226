"""Watermarks: what is stored of a node, through restarts, evictions and a second life."""

from hypothesis import given, settings
from hypothesis import strategies as st

from nportpy.edge.collect.ledger import Ledger
from nportpy.edge.messages import State


def state(boot: str, oldest: int, newest: int, at: int = 0, *, online: bool = True) -> State:
    return State("pi", boot, online, at, oldest=oldest, newest=newest)


def seq_of(ledger: Ledger) -> tuple[str, int]:
    ack = ledger.acknowledgement("pi")
    assert ack is not None
    return ack.boot, ack.seq


def test_numbers_go_on_over_the_runs_of_a_node() -> None:
    ledger = Ledger()
    ledger.heard(state("a", 1, 0))
    assert ledger.acknowledgement("pi") is None
    ledger.stored("a", 1, 100)
    ledger.heard(state("b", 1, 100, 1))
    ledger.stored("b", 131, 150)
    assert seq_of(ledger) == ("a", 100)
    ledger.stored("b", 101, 130)
    assert seq_of(ledger) == ("b", 150)
    assert len(ledger.numberings) == 1


def test_a_run_that_was_never_heard_of_fills_its_hole() -> None:
    ledger = Ledger()
    ledger.heard(state("c", 1, 300))
    ledger.stored("c", 201, 300)
    ledger.stored("b", 101, 200)  # the collector was away in that run
    ledger.stored("a", 1, 100)
    assert seq_of(ledger) == ("c", 300)
    assert not ledger.holes()


def test_what_is_evicted_is_gone_and_counted_once() -> None:
    ledger = Ledger()
    ledger.stored("a", 1, 10)
    ledger.stored("a", 51, 60)
    ledger.heard(state("a", 41, 60, 1))
    assert (ledger.numbering.gone, ledger.upto) == (30, 40)
    assert ledger.holes() == [(41, 50)]
    ledger.heard(state("a", 51, 60, 2))
    assert (ledger.numbering.gone, ledger.upto, ledger.holes()) == (40, 60, [])


def test_an_archive_that_begins_again_has_a_watermark_of_its_own() -> None:
    ledger = Ledger()
    ledger.heard(state("a", 1, 0, 1))
    ledger.stored("a", 1, 5000)
    ledger.stored("b", 1, 20)  # its batch comes before its state
    assert seq_of(ledger) == ("a", 5000)
    ledger.heard(state("b", 1, 40, 2))
    assert seq_of(ledger) == ("b", 20)
    assert ledger.holes() == [(21, 40)]
    ledger.stored("b", 21, 40)
    assert seq_of(ledger) == ("b", 40)


def test_it_shows_by_its_state_alone() -> None:
    ledger = Ledger()
    ledger.heard(state("a", 1, 0, 5))
    ledger.stored("a", 1, 5000)
    ledger.heard(state("b", 1, 0, 1))  # without a clock of its own the new one believes that it is earlier
    assert ledger.acknowledgement("pi") is None
    ledger.stored("b", 1, 3)
    assert seq_of(ledger) == ("b", 3)


def test_one_that_was_offline_for_long_shows_by_its_oldest_number() -> None:
    ledger = Ledger()
    ledger.heard(state("a", 3000, 5000, 1))
    ledger.stored("a", 3000, 5000)
    ledger.stored("b", 6001, 6010)  # live, before its state
    ledger.heard(state("b", 1, 6010, 2))
    assert ledger.upto == 0
    ledger.stored("b", 1, 6010)
    assert seq_of(ledger) == ("b", 6010)


def test_old_states_change_nothing() -> None:
    ledger = Ledger()
    ledger.heard(state("a", 1, 0, 1))
    ledger.stored("a", 1, 500)
    ledger.heard(state("a", 100, 500, 2))
    kept = ledger.dumped()
    ledger.heard(state("a", 1, 0, 1))
    assert ledger.dumped() == kept


def test_a_clock_that_steps_back_does_not_stop_it() -> None:
    ledger = Ledger()
    ledger.heard(state("a", 1, 10, 10**15))
    ledger.stored("a", 1, 20)
    ledger.heard(state("a", 1, 25, 10))
    assert (ledger.newest, ledger.holes()) == (25, [(21, 25)])


def test_a_last_will_knows_no_numbers() -> None:
    ledger = Ledger()
    ledger.heard(state("a", 1, 100, 1))
    ledger.stored("a", 1, 100)
    ledger.heard(State("pi", "a", False, 0))
    assert (ledger.online, ledger.newest, seq_of(ledger)) == (False, 100, ("a", 100))


def test_an_evicted_run_that_comes_after_all_does_no_harm() -> None:
    ledger = Ledger()
    ledger.heard(state("c", 501, 600, 1))
    ledger.stored("c", 501, 600)
    ledger.stored("a", 1, 100)
    assert seq_of(ledger) == ("c", 600)
    ledger.heard(state("c", 501, 700, 2))
    ledger.stored("d", 701, 710)
    ledger.heard(state("d", 501, 710, 3))
    assert ledger.holes() == [(601, 700)]
    ledger.stored("c", 601, 700)
    assert seq_of(ledger) == ("d", 710)


def test_it_is_bounded() -> None:
    ledger = Ledger()
    ledger.heard(state("f", 10**6, 10**6 + 5, 1))
    for number in range(3000):
        ledger.stored(f"b{number}", 1 + number, 1 + number)
        ledger.stored("f", 10**6 + 2 * number, 10**6 + 2 * number)
    assert len(ledger.numberings) <= 8
    assert all(len(each.boots) <= 1000 for each in ledger.numberings)
    assert ledger.numbering.boots["f"][0] == 10**6


@settings(max_examples=60, deadline=None)
@given(st.permutations([(first, first + 9) for first in range(1, 200, 10)]), st.integers(0, 200))
def test_any_order_ends_the_same(batches: list[tuple[int, int]], evicted: int) -> None:
    ledger = Ledger()
    for place, (first, last) in enumerate(batches):
        ledger.stored("a", first, last)
        if place == 10:
            ledger.heard(state("a", evicted + 1, 200, 1))
        ledger = Ledger.loaded(ledger.dumped())
    ledger.heard(state("a", evicted + 1, 200, 2))
    assert (ledger.upto, ledger.holes()) == (200, [])

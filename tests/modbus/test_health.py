"""Silent units and learned timeouts, on invented time."""

import pytest

from nportpy.modbus.health import FIRST_REST, LONGEST_REST, MOST_KNOWN, STRANGE, Unit
from nportpy.modbus.settings import Timeout

FIXED = Timeout(1.0)
AUTO = Timeout(None, 0.05, 3.0)
READ, OTHER = b"\x03\x00\x00\x00\x01", b"\x41\x01"


def test_a_unit_that_never_answered_is_silent_after_one_request() -> None:
    unit = Unit(7, FIXED, 1)
    assert unit.unheard(READ, 10.0, 2.0)
    assert unit.silent


def test_a_unit_that_has_answered_is_forgiven_once_but_gets_no_retry() -> None:
    unit = Unit(7, FIXED, 1)
    unit.heard(READ)
    assert unit.tries(READ) == 1
    assert not unit.unheard(READ, 10.0, 2.0)
    assert not unit.silent
    assert unit.tries(READ) == 0
    assert unit.unheard(READ, 13.0, 1.0)
    assert unit.silent


def test_a_silent_unit_is_tried_by_one_request_at_a_time() -> None:
    unit = Unit(7, FIXED, 1)
    unit.unheard(READ, 0.0, 0.1)
    assert not unit.may_be_asked(READ, FIRST_REST - 0.01)
    assert unit.may_be_asked(READ, FIRST_REST)
    assert not unit.may_be_asked(READ, FIRST_REST + 5)
    unit.not_asked()
    assert unit.may_be_asked(READ, FIRST_REST + 5)


def test_each_try_in_vain_doubles_the_rest_up_to_ten_seconds() -> None:
    unit, now, rests = Unit(7, FIXED, 1), 0.0, []
    for _ in range(7):
        unit.unheard(READ, now, 0.01)
        rest = 0.0
        while not unit.may_be_asked(READ, now + rest):
            rest += 0.5
        rests.append(rest)
        now += rest
    assert rests == [0.5, 1.0, 2.0, 4.0, 8.0, LONGEST_REST, LONGEST_REST]


def test_the_rest_is_five_times_what_the_try_cost() -> None:
    unit = Unit(7, FIXED, 0)
    unit.unheard(READ, 0.0, 1.0)
    assert not unit.may_be_asked(READ, 4.99)
    assert unit.may_be_asked(READ, 5.0)


def test_an_answer_makes_it_a_unit_like_the_others() -> None:
    unit = Unit(7, FIXED, 1)
    unit.unheard(READ, 0.0, 0.1)
    assert unit.may_be_asked(READ, 1.0)
    unit.heard(READ)
    assert not unit.silent
    assert unit.tries(READ) == 1
    unit.unheard(READ, 2.0, 0.1)
    unit.unheard(READ, 3.0, 0.1)
    assert unit.silent
    assert not unit.may_be_asked(READ, 3.0 + FIRST_REST - 0.01)
    assert unit.may_be_asked(READ, 3.0 + FIRST_REST)


def test_a_fixed_timeout_stays() -> None:
    unit = Unit(7, FIXED, 1)
    unit.heard(READ)
    unit.unheard(READ, 0, 1)
    assert unit.timeout == 1.0


def test_a_timeout_is_learned_from_answers() -> None:
    unit = Unit(7, AUTO, 1)
    assert unit.timeout == 3.0
    unit.took(0.1)
    assert unit.timeout == pytest.approx(0.3)  # RFC 6298, 2.2: SRTT + 4 * SRTT / 2
    for _ in range(100):
        unit.took(0.1)
    assert unit.timeout == pytest.approx(0.11, abs=0.002)


def test_a_learned_timeout_follows_a_unit_that_gets_slower() -> None:
    unit = Unit(7, AUTO, 1)
    for _ in range(50):
        unit.took(0.1)
    unit.took(0.105)
    for _ in range(10):
        unit.took(0.3)
    assert unit.timeout > 0.3


def test_a_learned_timeout_keeps_to_its_limits() -> None:
    unit = Unit(7, AUTO, 1)
    for _ in range(50):
        unit.took(0.0001)
    assert unit.timeout == 0.05
    for _ in range(50):
        unit.took(9.0)
    assert unit.timeout == 3.0


def test_each_request_in_vain_doubles_a_learned_timeout_until_an_answer() -> None:
    unit = Unit(7, AUTO, 1)
    for _ in range(200):
        unit.took(0.1)
    learned = unit.timeout
    unit.heard(READ)
    unit.unheard(READ, 0.0, 1.0)
    assert unit.timeout == pytest.approx(2 * learned)
    unit.unheard(READ, 5.0, 1.0)
    assert unit.timeout == pytest.approx(4 * learned)
    unit.heard(READ)
    assert unit.timeout == pytest.approx(learned)


def test_what_it_never_answered_rests_and_the_unit_is_asked_on() -> None:
    unit = Unit(7, FIXED, 1)
    unit.heard(READ)
    assert not unit.unheard(OTHER, 10.0, 0.05)
    assert not unit.silent
    assert not unit.may_be_asked(OTHER, 10.49)
    assert unit.may_be_asked(READ, 10.49)
    assert unit.may_be_asked(OTHER, 10.5)
    assert unit.tries(OTHER) == 0
    assert unit.tries(READ) == 1
    unit.unheard(OTHER, 11.0, 0.05)
    assert not unit.may_be_asked(OTHER, 11.99)
    unit.heard(OTHER)
    assert unit.may_be_asked(OTHER, 12.0)


def test_nonsense_between_good_requests_never_makes_a_unit_silent() -> None:
    unit = Unit(7, FIXED, 1)
    for number in range(2 * MOST_KNOWN):
        unit.heard(READ)
        for strange in range(STRANGE - 1):
            unit.unheard(bytes((0x41, number % 256, strange)), float(number), 0.1)
    assert not unit.silent
    assert unit.unanswered == 2 * MOST_KNOWN * (STRANGE - 1)


def test_many_strange_requests_in_a_row_make_it_silent() -> None:
    unit = Unit(7, FIXED, 1)
    unit.heard(READ)
    became = [unit.unheard(bytes((0x41, strange)), float(strange), 0.1) for strange in range(STRANGE)]
    assert became == [False] * (STRANGE - 1) + [True]

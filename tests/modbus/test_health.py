"""Silent units and learned timeouts, on invented time."""

import pytest

from nportpy.modbus.health import FIRST_REST, LONGEST_REST, Unit
from nportpy.modbus.settings import Timeout

FIXED = Timeout(1.0)
AUTO = Timeout(None, 0.05, 3.0)


def test_a_unit_that_never_answered_is_silent_after_one_request() -> None:
    unit = Unit(7, FIXED, 1)
    assert unit.unheard(10.0, 2.0)
    assert unit.silent


def test_a_unit_that_has_answered_is_forgiven_once_but_gets_no_retry() -> None:
    unit = Unit(7, FIXED, 1)
    unit.heard()
    assert unit.tries == 1
    assert not unit.unheard(10.0, 2.0)
    assert not unit.silent
    assert unit.tries == 0
    assert unit.unheard(13.0, 1.0)
    assert unit.silent


def test_a_silent_unit_is_tried_by_one_request_at_a_time() -> None:
    unit = Unit(7, FIXED, 1)
    unit.unheard(0.0, 0.1)
    assert not unit.may_try(FIRST_REST - 0.01)
    assert unit.may_try(FIRST_REST)
    assert not unit.may_try(FIRST_REST + 5)
    unit.not_asked()
    assert unit.may_try(FIRST_REST + 5)


def test_each_try_in_vain_doubles_the_rest_up_to_ten_seconds() -> None:
    unit, now, rests = Unit(7, FIXED, 1), 0.0, []
    for _ in range(7):
        unit.unheard(now, 0.01)
        rest = 0.0
        while not unit.may_try(now + rest):
            rest += 0.5
        rests.append(rest)
        now += rest
    assert rests == [0.5, 1.0, 2.0, 4.0, 8.0, LONGEST_REST, LONGEST_REST]


def test_the_rest_is_five_times_what_the_try_cost() -> None:
    unit = Unit(7, FIXED, 0)
    unit.unheard(0.0, 1.0)
    assert not unit.may_try(4.99)
    assert unit.may_try(5.0)


def test_an_answer_makes_it_a_unit_like_the_others() -> None:
    unit = Unit(7, FIXED, 1)
    unit.unheard(0.0, 0.1)
    assert unit.may_try(1.0)
    unit.heard()
    assert not unit.silent
    assert unit.tries == 1
    unit.unheard(2.0, 0.1)
    unit.unheard(3.0, 0.1)
    assert unit.silent
    assert not unit.may_try(3.0 + FIRST_REST - 0.01)
    assert unit.may_try(3.0 + FIRST_REST)


def test_a_fixed_timeout_stays() -> None:
    unit = Unit(7, FIXED, 1)
    unit.heard()
    unit.unheard(0, 1)
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
    unit.heard()
    unit.unheard(0.0, 1.0)
    assert unit.timeout == pytest.approx(2 * learned)
    unit.unheard(5.0, 1.0)
    assert unit.timeout == pytest.approx(4 * learned)
    unit.heard()
    assert unit.timeout == pytest.approx(learned)

"""Dead, flaky and particular units, and learned timeouts, on invented time."""

import random

import pytest

from nportpy.modbus.health import MANY, MOST_KNOWN, STRANGE, YOUNG, Unit
from nportpy.modbus.settings import Timeout
from nportpy.modbus.trial import FIRST_REST, LONGEST_REST, REST

FIXED = Timeout(1.0)
AUTO = Timeout(None, 0.05, 3.0)
READ, OTHER = b"\x03\x00\x00\x00\x01", b"\x41\x01"
A, B = "one client", "another"


def sound(retries: int = 1, timeout: Timeout = FIXED) -> Unit:
    """A unit that has answered often and lost nothing."""
    unit = Unit(7, timeout, retries)
    for _ in range(YOUNG):
        unit.heard(READ)
    return unit


def answers(unit: Unit, pdu: bytes = READ, now: float = 0.0, lost: int = 0, client: str = A) -> None:
    """As the bus says it."""
    if unit.troubled or lost:
        unit.came_back(client, pdu, lost, now)
    unit.heard(pdu)


def test_a_unit_that_never_answered_is_silent_after_one_request() -> None:
    unit = Unit(7, FIXED, 1)
    assert unit.unheard(A, READ, 10.0, 2.0, 2)
    assert unit.silent


def test_a_sound_unit_is_forgiven_once_but_gets_no_retry() -> None:
    unit = sound()
    assert unit.tries(READ, 9.0) == 1
    assert not unit.unheard(A, READ, 10.0, 2.0, 2)
    assert not unit.silent
    assert unit.tries(READ, 10.0) == 0
    assert unit.unheard(A, READ, 13.0, 1.0)
    assert unit.silent


def test_f7_a_young_unit_gets_more_patience() -> None:
    unit = Unit(7, FIXED, 1)
    unit.heard(READ)
    assert [unit.unheard(A, READ, now, 2.0, 2) for now in (2.0, 4.0, 6.0, 8.0)] == [False, False, False, True]


def test_f7_a_unit_that_loses_some_keeps_its_retries_and_is_not_taken_for_dead() -> None:
    for share in (0.1, 0.35, 0.5, 0.7):
        became = 0
        for seed in range(20):
            chance, unit, now = random.Random(seed), Unit(7, FIXED, 1), 0.0
            unit.heard(READ)
            for number in range(500):
                lost = next((n for n in range(2) if chance.random() >= share), 2)
                now += 1.0
                if lost == 2:
                    became += unit.unheard(A, READ, now, 2.0, 2)
                else:
                    answers(unit, now=now, lost=lost)
                assert number < 50 or unit.silent or unit.tries(READ, now) == 1 or share < 0.3
        assert became <= 20 * (1 if share < 0.6 else 2)


def test_f7_and_when_it_dies_that_is_noticed() -> None:
    chance, unit, now = random.Random(7), Unit(7, FIXED, 1), 0.0
    for _ in range(200):
        now += 1.0
        lost = next((n for n in range(20) if chance.random() >= 0.5), 20)
        answers(unit, now=now, lost=lost)
    frames = 0
    while not unit.silent:
        now += 2.0
        unit.unheard(A, READ, now, 2.0, 2)
        frames += 2
    assert 6 <= frames <= 26


def test_f7_a_burst_that_it_came_back_after_teaches_patience() -> None:
    unit = sound(retries=0)
    for number in range(6):
        unit.unheard(A, READ, 100.0 + number, 1.0)
    assert unit.silent
    answers(unit, now=110.0)
    for number in range(11):
        assert not unit.unheard(A, READ, 120.0 + number, 1.0)
    answers(unit, now=140.0)
    for _ in range(100):
        answers(unit, now=4000.0)
    unit.unheard(A, READ, 4001.0, 1.0)
    assert unit.unheard(A, READ, 4002.0, 1.0)  # an hour later that is forgotten


def test_f7_isolation_can_be_switched_off() -> None:
    unit = Unit(7, FIXED, 2, isolate=False)
    for number in range(30):
        assert unit.may_be_asked(A, READ, float(number))
        assert unit.tries(READ, float(number)) == 2
        unit.unheard(A, READ, float(number), 1.0, 3)
    assert unit.silent  # that is still told


def test_a_silent_unit_is_tried_by_one_request_at_a_time() -> None:
    unit = Unit(7, FIXED, 1)
    unit.unheard(A, READ, 0.0, 0.1)
    assert not unit.may_be_asked(A, READ, FIRST_REST - 0.01)
    assert unit.may_be_asked(A, READ, FIRST_REST)
    assert not unit.may_be_asked(A, READ, FIRST_REST + 5)
    unit.not_asked(A, trial=True)
    assert unit.may_be_asked(A, READ, FIRST_REST + 5)


def test_a_rest_grows_with_the_silence_up_to_ten_seconds() -> None:
    unit, now, rests = Unit(7, FIXED, 1), 0.0, []
    while now < 60:
        unit.unheard(A, READ, now, 0.01)
        rest = 0.0
        while not unit.may_be_asked(A, READ, now + rest):
            rest += 0.05
        rests.append(rest)
        now += rest
    assert [round(rest, 1) for rest in rests[1:]] == sorted(round(rest, 1) for rest in rests[1:])
    assert rests[0] == pytest.approx(FIRST_REST, abs=0.06)
    assert max(rests) == pytest.approx(LONGEST_REST, abs=0.06)


@pytest.mark.parametrize("took", [0.2, 1.0, 3.0, 5.0])
def test_the_rest_is_five_times_what_the_try_cost(took: float) -> None:
    unit = Unit(7, FIXED, 0)
    unit.unheard(A, READ, 0.0, took)
    assert not unit.may_be_asked(A, READ, REST * took - 0.01)
    assert unit.may_be_asked(A, READ, REST * took)


def test_an_answer_makes_it_a_unit_like_the_others() -> None:
    unit = Unit(7, FIXED, 1)
    unit.unheard(A, READ, 0.0, 0.1)
    assert unit.may_be_asked(A, READ, 1.0)
    answers(unit, now=1.0)
    assert not unit.silent
    assert not unit.troubled
    assert unit.tries(READ, 1.0) == 1


def test_f1_a_client_that_has_not_failed_tries_a_silent_unit_once() -> None:
    unit = Unit(7, FIXED, 1)
    unit.unheard(A, OTHER, 0.0, 1.0)
    assert not unit.may_be_asked(A, OTHER, 1.0)
    assert unit.may_be_asked(B, READ, 1.0)
    assert not unit.may_be_asked(B, READ, 2.0)
    answers(unit, now=2.0, client=B)
    assert unit.may_be_asked(B, READ, 3.0)


def test_f1_those_with_a_new_connection_each_time_have_a_budget() -> None:
    unit, tries = Unit(7, FIXED, 0), 0
    unit.unheard(A, READ, 0.0, 1.0)
    for number in range(6000):
        now = 1.0 + number / 10
        if unit.may_be_asked(f"connection {number}", bytes((3, 0, number % 256, 0, 1 + number // 256)), now):
            unit.unheard(f"connection {number}", bytes((3, 0, number % 256, 0, 1 + number // 256)), now, 1.0)
            tries += 1
    assert tries < 0.2 * 600


def test_f1_who_failed_more_often_lets_others_go_first() -> None:
    unit = Unit(7, FIXED, 0)
    unit.unheard(A, READ, 0.0, 1.0)
    unit.unheard(A, READ, 0.0, 1.0)
    unit.unheard(B, OTHER, 0.0, 1.0)
    assert not unit.may_be_asked(B, OTHER, 1.0)
    assert not unit.may_be_asked(A, READ, 16.0)
    assert unit.may_be_asked(B, OTHER, 16.1)


def test_a_fixed_timeout_stays() -> None:
    unit = sound()
    unit.unheard(A, READ, 0, 1)
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
    unit = sound(timeout=AUTO)
    for _ in range(200):
        unit.took(0.1)
    learned = unit.timeout
    unit.unheard(A, READ, 0.0, 1.0)
    assert unit.timeout == pytest.approx(2 * learned)
    unit.unheard(A, READ, 5.0, 1.0)
    assert unit.timeout == pytest.approx(4 * learned)
    answers(unit, now=6.0)
    assert unit.timeout == pytest.approx(learned)


def test_what_it_never_answered_rests_and_the_unit_is_asked_on() -> None:
    unit = sound()
    assert not unit.unheard(A, OTHER, 10.0, 0.05)
    assert not unit.silent
    assert not unit.may_be_asked(A, OTHER, 10.49)
    assert not unit.may_be_asked(B, OTHER, 10.49)
    assert unit.may_be_asked(A, READ, 10.49)
    assert unit.may_be_asked(A, OTHER, 10.5)
    assert unit.tries(OTHER, 10.5) == 0
    assert unit.tries(READ, 10.5) == 1
    unit.unheard(A, OTHER, 20.0, 0.05)
    assert not unit.may_be_asked(A, OTHER, 22.49)
    answers(unit, OTHER, 22.5)
    assert unit.may_be_asked(A, OTHER, 22.5)


def test_f1_unknown_requests_take_turns_once_some_were_not_answered() -> None:
    unit = sound()
    for number in range(STRANGE):
        unit.unheard(A, bytes((0x41, number)), 10.0, 1.0)
    assert not unit.may_be_asked(A, b"\x42", 11.0)
    assert unit.may_be_asked(A, READ, 11.0)
    assert unit.may_be_asked(B, b"\x43", 11.0)  # that one has not failed yet
    answers(unit, b"\x43", 11.0, client=B)
    assert unit.may_be_asked(B, b"\x44", 11.0)
    assert unit.may_be_asked(A, b"\x42", 15.0)
    assert not unit.may_be_asked(A, b"\x45", 15.0)


def test_f1_a_known_request_that_goes_unanswered_alone_is_unknown_again() -> None:
    unit = sound()
    answers(unit, OTHER)
    for number in range(30):
        unit.unheard(A, OTHER, float(number), 0.1)
        answers(unit, now=number + 0.5, client=B)
        assert unit.may_be_asked(B, READ, number + 0.5)
    assert not unit.silent
    assert not unit.has_answered(OTHER)


def test_nonsense_between_good_requests_never_makes_a_unit_silent() -> None:
    unit = sound()
    for number in range(2 * MOST_KNOWN):
        answers(unit, now=float(number))
        for strange in range(MANY - 1):
            unit.unheard(A, bytes((0x41, number % 256, strange)), float(number), 0.1)
    assert not unit.silent
    assert unit.unanswered == 2 * MOST_KNOWN * (MANY - 1)


def test_many_strange_requests_in_a_row_make_it_silent() -> None:
    unit = sound()
    became = [unit.unheard(A, bytes((0x41, strange)), float(strange), 0.1) for strange in range(MANY)]
    assert became == [False] * (MANY - 1) + [True]


def test_f1_writes_are_told_apart_by_what_they_write_to() -> None:
    unit = sound()
    answers(unit, b"\x06\x00\x07\x00\x01")
    assert unit.has_answered(b"\x06\x00\x07\x12\x34")
    assert not unit.has_answered(b"\x06\x00\x08\x00\x01")
    answers(unit, b"\x10\x00\x07\x00\x01\x02\x00\x01")
    assert unit.has_answered(b"\x10\x00\x07\x00\x01\x02\x12\x34")


def test_f1_many_good_requests_do_not_push_out_those_that_are_asked_again() -> None:
    unit = sound()
    for number in range(10 * MOST_KNOWN):
        answers(unit, b"\x03" + number.to_bytes(2) + b"\x00\x01")
        if not number % 100:
            answers(unit, OTHER)
    assert unit.has_answered(OTHER)


def test_f2_an_answer_that_does_not_fit_is_a_sign_of_life() -> None:
    unit = sound()
    unit.unheard(A, READ, 0.0, 1.0)
    unit.unheard(A, READ, 1.0, 1.0)
    assert unit.silent
    for number in range(2 * MANY):
        unit.answered_unfit(A, 10.0 + number)
        assert not unit.silent
        assert unit.may_be_asked(A, OTHER, 10.0 + number)


def test_f2_so_is_any_good_frame_of_it() -> None:
    unit = Unit(7, FIXED, 1)
    for number in range(MANY - 1):
        unit.unheard(A, READ, float(number), 1.0, 2, alive=True)
        assert not unit.silent

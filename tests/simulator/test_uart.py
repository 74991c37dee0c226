"""What characters become at another speed or in another format."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.linesettings import LineSettings
from nportpy.simulator.uart import received

SEVEN = LineSettings.parse(300, "7E1")
EIGHT = LineSettings.parse(300, "8N1")
SIGN_ON = b"/?!\r\n"


@given(st.binary(max_size=40), st.sampled_from(["8N1", "8E1", "8O1", "8N2", "8M1", "8S1"]))
def test_the_same_settings_change_nothing(data: bytes, format_: str) -> None:
    settings = LineSettings.parse(9600, format_)
    assert received(data, settings, settings) == (data, frozenset())


def test_parity_by_software_is_parity() -> None:
    assert received(bytes.fromhex("AF3F218D0A"), EIGHT, SEVEN) == (SIGN_ON, frozenset())
    assert received(SIGN_ON, SEVEN, EIGHT) == (bytes.fromhex("AF3F218D0A"), frozenset())


def test_no_parity_is_noticed_where_it_is_wrong() -> None:
    heard, wrong = received(SIGN_ON, EIGHT, SEVEN)
    assert heard == SIGN_ON
    assert wrong == {0, 3}


def test_odd_instead_of_even_is_wrong_everywhere() -> None:
    assert received(SIGN_ON, LineSettings.parse(300, "7O1"), SEVEN) == (SIGN_ON, frozenset(range(5)))


@pytest.mark.parametrize("speed", [600, 1200, 2400, 4800, 9600, 19200, 115200])
def test_another_speed_is_rubbish_both_ways(speed: int) -> None:
    other = LineSettings.parse(speed, "7E1")
    slow_heard, wrong = received(SIGN_ON, SEVEN, other)
    assert SIGN_ON not in slow_heard
    assert len(slow_heard) > len(SIGN_ON)
    assert wrong
    fast_heard, _ = received(SIGN_ON, other, SEVEN)
    assert SIGN_ON not in fast_heard
    assert len(fast_heard) < len(SIGN_ON)


def test_two_percent_beside_is_near_enough() -> None:
    assert received(SIGN_ON, LineSettings.parse(9600, "7E1"), LineSettings.parse(9800, "7E1"))[0] == SIGN_ON


@given(st.binary(max_size=30), st.integers(50, 230400), st.integers(50, 230400))
def test_it_always_ends(data: bytes, sent: int, at: int) -> None:
    heard, wrong = received(data, LineSettings.parse(sent, "7E1"), LineSettings.parse(at, "8N1"))
    assert all(place < len(heard) for place in wrong)
    assert len(heard) <= len(data) * 10 * max(1.0, at / sent) + 1

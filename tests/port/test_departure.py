"""When bytes have left a UART that nobody can ask, in plain numbers."""

import pytest

from nportpy.port.departure import FIFO, Departure

SLOW = 10 / 300  # a character at 300 baud


def test_b7_bytes_take_their_time_once_the_kernel_is_rid_of_them() -> None:
    departure = Departure()
    assert departure.left_at(0, SLOW, 5.0) <= 5.0
    departure.wrote(6, SLOW, 10.0)
    assert departure.left_at(0, SLOW, 10.0004) == pytest.approx(10.2)
    departure.wrote(3, SLOW, 10.1)  # behind them
    assert departure.left_at(0, SLOW, 10.15) == pytest.approx(10.3)
    departure.wrote(3, SLOW, 20.0)
    assert departure.left_at(0, SLOW, 20.0) == pytest.approx(20.1)


def test_b7_no_longer_than_an_adapter_can_hold_back() -> None:
    departure = Departure()
    departure.wrote(10 * FIFO, SLOW, 0.0)
    assert departure.left_at(9 * FIFO, SLOW, 1.0) == pytest.approx(10 * FIFO * SLOW)
    assert departure.left_at(0, SLOW, 1.0) == pytest.approx(1.0 + FIFO * SLOW)
    assert departure.left_at(0, SLOW, 9.0) == pytest.approx(1.0 + FIFO * SLOW)


@pytest.mark.parametrize(("written", "queued", "left"), [(3000, 1000, 2024), (1200, 1000, 1200), (1000, 1000, 1000)])
def test_b7_an_adapter_that_flow_control_has_stopped_is_full(written: int, queued: int, left: int) -> None:
    departure = Departure()
    departure.wrote(written, 0.001, 0.0)
    assert departure.left_at(queued, 0.001, 100.0) == pytest.approx(100.0 + 0.001 * left)


def test_b7_what_is_purged_need_not_leave() -> None:
    departure = Departure()
    departure.wrote(100, 0.01, 0.0)
    departure.purged(60, 0.01)
    assert departure.left_at(0, 0.01, 0.1) == pytest.approx(0.4)

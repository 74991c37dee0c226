"""A line that hardware flow control has stopped: clients are heard, stopping takes no longer, nothing stays behind.

The 16550A in loopback drives its own CTS with RTS: with RTS down it may not send.
"""

from collections.abc import Iterator

import pytest

from tests.pi.comport import FLOW_HARDWARE, PURGE_DATA, RTS_OFF, SET_BAUDRATE, SET_CONTROL, ComPort
from tests.pi.gateway import Gateway
from tests.pi.guest import eventually

pytestmark = pytest.mark.pi

PURGE_TRANSMIT = 2
DATA = bytes(range(250)) * 4


@pytest.fixture
def stopped(gateway: Gateway) -> Iterator[ComPort]:
    """A client whose bytes the line does not take."""
    gateway.wait_up("uart")
    gateway.probe("uart", "modem", "loop")
    with gateway.com_port("uart") as client:
        assert client.ask(SET_CONTROL, RTS_OFF) == RTS_OFF
        assert client.ask(SET_CONTROL, FLOW_HARDWARE) == FLOW_HARDWARE
        client.write(DATA)
        eventually("bytes wait", lambda: gateway.line("uart")["unsent"] > len(DATA) // 2)
        yield client
    gateway.probe("uart", "modem", "-loop", "rts", "dtr")


def test_a_purge_throws_away_what_waits(gateway: Gateway, stopped: ComPort) -> None:
    waiting, purged = gateway.line("uart")["unsent"], gateway.line("uart")["purged"]
    assert stopped.ask(PURGE_DATA, PURGE_TRANSMIT) == PURGE_TRANSMIT
    assert gateway.line("uart")["unsent"] == 0
    assert gateway.line("uart")["purged"] == purged + waiting


def test_a_change_of_speed_is_answered_all_the_same(gateway: Gateway, stopped: ComPort) -> None:
    assert stopped.ask(SET_BAUDRATE, 19200) == 19200


def test_what_the_line_does_not_take_goes_with_its_client(gateway: Gateway, stopped: ComPort) -> None:
    stopped.close()
    eventually("the line is free", lambda: gateway.line("uart")["unsent"] == 0)
    eventually("the configured settings", lambda: gateway.line("uart")["settings"]["flow"] == "none")
    assert gateway.line("uart")["purged"] > 0


def test_the_gateway_ends_in_time(gateway: Gateway, stopped: ComPort) -> None:
    code, seconds = gateway.stop()
    assert code == 0
    assert seconds < 10  # the kernel would wait 30 s for the line

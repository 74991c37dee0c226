"""Modem lines of a 16550A: what a client sets reaches the chip, and what the chip shows reaches the client.

Nothing at QEMU's far end can move the inputs (a socket has no modem lines: they show CTS, DSR and CD), but the chip
itself can: in loopback, which the driver sets for TIOCM_LOOP, DTR drives DSR, RTS drives CTS, OUT1 drives RI and
OUT2 drives CD. The bytes come back as well.
"""

from collections.abc import Iterator

import pytest
import serial

from tests.pi.comport import DTR_OFF, DTR_ON, NOTIFY_MODEMSTATE, RTS_OFF, RTS_ON, SET_CONTROL
from tests.pi.gateway import RFC2217, Gateway
from tests.pi.guest import LOCAL, Guest, eventually
from tests.pi.registers import uart_modem_lines

pytestmark = pytest.mark.pi

CD, RI, DSR, CTS = 128, 64, 32, 16
DELTA_CD, FELL_RI, DELTA_DSR, DELTA_CTS = 8, 4, 2, 1
REQUEST_DTR, REQUEST_RTS = 7, 10


@pytest.fixture
def _loopback(gateway: Gateway) -> Iterator[None]:
    gateway.wait_up("uart")
    gateway.probe("uart", "modem", "loop", "-out1", "-out2")
    yield
    gateway.probe("uart", "modem", "-loop", "-out1", "out2", "dtr", "rts")


def test_a_line_with_a_device_shows_it_ready(gateway: Gateway) -> None:
    with gateway.com_port("uart") as client:
        assert client.told(NOTIFY_MODEMSTATE) == CD | DSR | CTS


def test_what_a_client_sets_reaches_the_chip(guest: Guest, gateway: Gateway) -> None:
    with gateway.com_port("uart") as client:
        for control, line, up in (
            (DTR_OFF, "dtr", False),
            (RTS_OFF, "rts", False),
            (DTR_ON, "dtr", True),
            (RTS_ON, "rts", True),
        ):
            assert client.ask(SET_CONTROL, control) == control
            assert (line in uart_modem_lines(guest)) is up
            assert client.ask(SET_CONTROL, REQUEST_DTR if line == "dtr" else REQUEST_RTS) == control


@pytest.mark.usefixtures("_loopback")
def test_what_the_chip_shows_reaches_a_client(gateway: Gateway) -> None:
    with gateway.com_port("uart") as client:
        for control in (DTR_OFF, RTS_OFF):
            client.ask(SET_CONTROL, control)
        client.settle()
        assert client.ask(SET_CONTROL, DTR_ON) == DTR_ON
        assert client.told(NOTIFY_MODEMSTATE) == DSR | DELTA_DSR
        assert client.ask(SET_CONTROL, RTS_ON) == RTS_ON
        assert client.told(NOTIFY_MODEMSTATE) == DSR | CTS | DELTA_CTS
        gateway.probe("uart", "modem", "out2")
        assert client.told(NOTIFY_MODEMSTATE) == CD | DSR | CTS | DELTA_CD
        gateway.probe("uart", "modem", "out1")
        assert client.told(NOTIFY_MODEMSTATE) == CD | RI | DSR | CTS  # RI tells of its fall alone
        gateway.probe("uart", "modem", "-out1")
        assert client.told(NOTIFY_MODEMSTATE) == CD | DSR | CTS | FELL_RI
        assert client.ask(SET_CONTROL, DTR_OFF) == DTR_OFF
        assert client.told(NOTIFY_MODEMSTATE) == CD | CTS | DELTA_DSR
        client.write(b"back again")
        assert client.read(10) == b"back again"


@pytest.mark.filterwarnings("ignore::DeprecationWarning:serial")
@pytest.mark.usefixtures("_loopback")
def test_pyserial_sees_its_own_lines_come_back(guest: Guest, gateway: Gateway) -> None:
    url = f"rfc2217://{LOCAL}:{guest.forward(RFC2217['uart'])}?timeout=20"
    with serial.serial_for_url(url, 9600) as port:
        for level in (False, True, False):
            port.dtr = port.rts = level
            eventually(f"DSR and CTS are {level}", lambda: {port.dsr, port.cts} == {port.dtr})
        port.timeout = 20
        port.write(b"round")
        assert port.read(5) == b"round"


def test_connecting_moves_nothing(guest: Guest, gateway: Gateway) -> None:
    with gateway.com_port("uart") as client:
        for control in (DTR_OFF, RTS_OFF):
            assert client.ask(SET_CONTROL, control) == control
    with gateway.com_port("uart") as client:
        assert client.ask(SET_CONTROL, REQUEST_DTR) == DTR_OFF
        assert not uart_modem_lines(guest)
        for control in (DTR_ON, RTS_ON):
            client.ask(SET_CONTROL, control)

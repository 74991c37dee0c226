"""Speeds and formats as real drivers take them: what is answered is what is in effect, in the chip too."""

import pytest
import serial

from tests.pi.comport import SET_BAUDRATE, SET_DATASIZE
from tests.pi.gateway import FAR_ENDS, RFC2217, Gateway
from tests.pi.guest import LOCAL, Guest, eventually
from tests.pi.registers import pl011_format, pl011_speed

pytestmark = pytest.mark.pi

FORMATS = [f"{size}{parity}{stop}" for size in "5678" for parity in "NEOMS" for stop in "12"]
ODD_SPEEDS = (110, 3840, 10400, 12345, 57601)
FAST_SPEEDS = (128000, 250000, 460800, 921600, 1000000)


@pytest.mark.parametrize(
    ("line", "speeds"), [("pl011", ODD_SPEEDS + FAST_SPEEDS), ("uart", ODD_SPEEDS), ("usb", ODD_SPEEDS + FAST_SPEEDS)]
)
def test_speeds_that_no_table_has(guest: Guest, gateway: Gateway, line: str, speeds: tuple[int, ...]) -> None:
    with guest.far_end(FAR_ENDS[line]), gateway.com_port(line) as client:
        for speed in speeds:
            assert client.ask(SET_BAUDRATE, speed) == speed
            assert client.ask(SET_BAUDRATE, 0) == speed
            if line == "pl011":
                assert pl011_speed(guest) == pytest.approx(speed, rel=0.01)
        assert gateway.probe(line)["line"]["baudrate"] == speeds[-1]
        assert gateway.line(line)["settings"]["baudrate"] == speeds[-1]


@pytest.mark.parametrize(("line", "too_fast"), [("pl011", 3_000_000), ("uart", 250_000), ("usb", 4_000_000)])
def test_a_speed_that_the_chip_cannot_do_is_answered_with_the_one_in_effect(
    guest: Guest, gateway: Gateway, line: str, too_fast: int
) -> None:
    with guest.far_end(FAR_ENDS[line]) as far, gateway.com_port(line) as client:
        assert client.ask(SET_BAUDRATE, 19200) == 19200
        answer = client.ask(SET_BAUDRATE, too_fast)
        assert answer != too_fast
        assert answer == client.ask(SET_BAUDRATE, 0) == gateway.probe(line)["line"]["baudrate"]
        client.write(b"still here")
        assert far.read(10) == b"still here"


@pytest.mark.parametrize("line", ["pl011", "uart"])
def test_every_format(guest: Guest, gateway: Gateway, line: str) -> None:
    with guest.far_end(FAR_ENDS[line]), gateway.com_port(line) as client:
        for wanted in FORMATS:
            if wanted[0] == "5" and wanted[2] == "2":
                continue  # a UART makes one and a half of it, and that is asked for below
            assert client.set_line(9600, wanted) == (9600, wanted)
            if line == "pl011":
                assert pl011_format(guest) == wanted
        assert client.set_line(9600, "5N1.5") == (9600, "5N1.5")
        assert gateway.probe(line)["line"]["format"] == "5N2"  # one and the same bit
        assert client.set_line(9600, "8N1") == (9600, "8N1")


def test_a_format_that_the_driver_refuses_is_answered_with_the_one_in_effect(guest: Guest, gateway: Gateway) -> None:
    with guest.far_end("usb0") as far, gateway.com_port("usb") as client:
        assert client.set_line(9600, "7E1") == (9600, "7E1")
        assert client.ask(SET_DATASIZE, 6) == 7  # no FTDI chip has six
        assert client.ask(SET_DATASIZE, 0) == 7
        assert gateway.probe("usb")["line"]["format"] == "7E1"
        client.write(b"still here")
        assert far.read(10) == b"still here"


def test_settings_go_back_when_the_client_has_gone(gateway: Gateway) -> None:
    with gateway.com_port("pl011") as client:
        assert client.set_line(3840, "7O2") == (3840, "7O2")
        assert gateway.probe("pl011")["line"]["format"] == "7O2"
    configured = {"baudrate": 9600, "format": "8N1", "rtscts": False, "xon": False}
    eventually("the configured settings", lambda: gateway.probe("pl011")["line"] == configured)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:serial")
def test_pyserial_sets_a_real_port(guest: Guest, gateway: Gateway) -> None:
    gateway.wait_up("pl011")
    url = f"rfc2217://{LOCAL}:{guest.forward(RFC2217['pl011'])}?timeout=20"
    far = guest.far_end("ama0")
    with far, serial.serial_for_url(url, 3840, serial.SEVENBITS, serial.PARITY_MARK, serial.STOPBITS_TWO) as port:
        port.timeout = 20
        assert pl011_format(guest) == "7M2"
        assert pl011_speed(guest) == pytest.approx(3840, rel=0.01)
        port.write(b"to the line \xff\x00")
        assert far.read(14) == b"to the line \xff\x00"
        far.send(b"from it \xff\x00\r\n")
        assert port.read(12) == b"from it \xff\x00\r\n"
        port.baudrate = 250000
        assert pl011_speed(guest) == pytest.approx(250000, rel=0.01)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:serial")
def test_pyserial_comes_back_at_once_with_other_settings(guest: Guest, gateway: Gateway) -> None:
    gateway.wait_up("pl011")
    url = f"rfc2217://{LOCAL}:{guest.forward(RFC2217['pl011'])}?timeout=20"
    for speed in (3840, 19200, 12345):
        with serial.serial_for_url(url, speed):
            assert pl011_speed(guest) == pytest.approx(speed, rel=0.01)

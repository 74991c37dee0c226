"""Breaks, both ways, and the drivers' error counters. A socket carries no break: QEMU injects those that come, and
those that go are seen in the chip's line control register.

Not with the FTDI adapter: QEMU reports a break in a packet without data, whose line status Linux does not look at.
"""

import time

import pytest

from tests.pi.comport import (
    BREAK_OFF,
    BREAK_ON,
    NOTIFY_LINESTATE,
    SET_BAUDRATE,
    SET_CONTROL,
    SET_LINESTATE_MASK,
)
from tests.pi.gateway import DEVICES, FAR_ENDS, RAW, Gateway, exactly
from tests.pi.guest import Guest, eventually
from tests.pi.registers import breaking

pytestmark = pytest.mark.pi

BREAK_DETECT = 16
REQUEST_BREAK = 4
TELNET_BREAK = 0.25


def breaks(gateway: Gateway, line: str) -> int:
    return int(gateway.metric("nportpy_line_uart_errors_total", port=line, kind="break"))


@pytest.mark.parametrize("line", ["pl011", "uart"])
def test_a_break_that_comes_is_counted_and_told(guest: Guest, gateway: Gateway, line: str) -> None:
    with guest.far_end(FAR_ENDS[line]) as far, gateway.com_port(line) as client, gateway.raw(RAW[line]) as raw:
        before, driver = breaks(gateway, line), gateway.probe(line)["counts"]["break"]
        assert client.ask(SET_LINESTATE_MASK, BREAK_DETECT) == BREAK_DETECT
        for count in (1, 2, 3):
            guest.send_break(FAR_ENDS[line])
            assert client.told(NOTIFY_LINESTATE) & BREAK_DETECT
            assert breaks(gateway, line) == before + count
        assert gateway.probe(line)["counts"]["break"] == driver + 3
        far.send(b"data")
        assert exactly(raw, 4) == client.read(4) == b"data"  # and a break is not a byte


@pytest.mark.parametrize("line", ["pl011", "uart"])
def test_a_client_sends_a_break(guest: Guest, gateway: Gateway, line: str) -> None:
    with guest.far_end(FAR_ENDS[line]) as far, gateway.com_port(line) as client:
        assert not breaking(guest, line)
        for control in (BREAK_ON, BREAK_OFF, BREAK_ON):
            assert client.ask(SET_CONTROL, control) == control
            assert client.ask(SET_CONTROL, REQUEST_BREAK) == control
            assert breaking(guest, line) is (control == BREAK_ON)
        client.write(b"after")
        assert far.read(5) == b"after"
    eventually("the break ends with its client", lambda: not breaking(guest, line))


def test_a_telnet_break_has_a_length(guest: Guest, gateway: Gateway) -> None:
    with gateway.com_port("pl011") as client:
        client.send_break()
        eventually("the break", lambda: breaking(guest, "pl011"), every=0.01)
        began = time.monotonic()
        assert client.ask(SET_BAUDRATE, 4800) == 4800  # comes after the break
        assert not breaking(guest, "pl011")
        assert time.monotonic() - began > TELNET_BREAK / 2


def test_an_adapter_answers_for_a_break_too(guest: Guest, gateway: Gateway) -> None:
    with guest.far_end("usb0"), gateway.com_port("usb") as client:
        for control in (BREAK_ON, BREAK_OFF):
            assert client.ask(SET_CONTROL, control) == control


def test_every_driver_counts(guest: Guest, gateway: Gateway) -> None:
    with guest.far_end("usb0"):
        gateway.wait_up("usb")
        for line in DEVICES:
            for kind in ("frame", "overrun", "parity", "break", "buffer_overrun"):
                assert gateway.metric("nportpy_line_uart_errors_total", port=line, kind=kind) >= 0

"""RS-485 mode of real drivers: kept, read back, set, and refused in words that help."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.pi.gateway import RAW, Gateway, configuration, exactly
from tests.pi.guest import Guest, eventually

pytestmark = pytest.mark.pi

ENABLED, RTS_ON_SEND, RTS_AFTER_SEND, RX_DURING_TX = 1, 2, 4, 16
PL011_CONTROL = 0x09000030
PL011_RTS = 1 << 11


@pytest.fixture(autouse=True)
def _off_afterwards(gateway: Gateway) -> Iterator[None]:
    """The driver keeps its mode when the device is closed."""
    yield
    gateway.probe("pl011", "rs485", "0", "0", "0")


def opened(gateway: Gateway, line: str, lines: str) -> dict[str, Any]:
    """Have a line opened with `lines` in its table; its status once that was tried."""
    gateway.reconfigure(configuration(**{line: lines}))
    eventually("the device was tried", lambda: gateway.line(line)["opens"] + gateway.line(line)["attempts"], 30)
    return gateway.line(line)


def test_kept_and_read_back(gateway: Gateway) -> None:
    gateway.probe("pl011", "rs485", str(ENABLED | RTS_AFTER_SEND), "5", "7")
    status = opened(gateway, "pl011", 'baudrate = 19200\nrs485 = "keep"')
    assert gateway.probe("pl011")["rs485"] == [ENABLED | RTS_AFTER_SEND, 5, 7]
    assert status["report"]["rs485"] == {
        "mode": "on",
        "delay_before": 0.005,
        "delay_after": 0.007,
        "rts_on_send": False,
        "rx_during_tx": False,
        "termination": False,
    }


def test_set_and_switched_off(guest: Guest, gateway: Gateway) -> None:
    table = 'rs485 = { delay_before = "2ms", delay_after = "3ms", rx_during_tx = true }'
    status = opened(gateway, "pl011", table)
    assert gateway.probe("pl011")["rs485"] == [ENABLED | RTS_ON_SEND | RX_DURING_TX, 2, 3]
    assert (status["report"]["rs485"]["mode"], status["report"]["rs485"]["delay_after"]) == ("on", 0.003)
    opened(gateway, "pl011", 'rs485 = "off"')
    assert gateway.probe("pl011")["rs485"][0] & ENABLED == 0


@pytest.mark.parametrize("rts_on_send", [True, False])
def test_the_transmitter_is_released_after_sending(guest: Guest, gateway: Gateway, rts_on_send: bool) -> None:
    opened(gateway, "pl011", f"rs485 = {{ rts_on_send = {str(rts_on_send).lower()} }}")
    with guest.far_end("ama0") as far, gateway.raw(RAW["pl011"]) as client:
        for question in (b"\x01\x03\x00\x00", b"\x01\x03\x00\x01"):
            client.sendall(question)
            assert exactly(far, 4) == question
            eventually(
                "the bus is free", lambda: bool(guest.memory(PL011_CONTROL) & PL011_RTS) is not rts_on_send, every=0.02
            )
            far.sendall(b"answer")
            assert exactly(client, 6) == b"answer"


def test_delays_that_the_driver_cuts_are_told(gateway: Gateway) -> None:
    status = opened(gateway, "pl011", 'rs485 = { delay_before = "500ms" }')
    assert gateway.probe("pl011")["rs485"] == [ENABLED | RTS_ON_SEND, 100, 0]  # the kernel's limit
    assert status["report"]["rs485"]["delay_before"] == 0.1
    assert "delay_before" in gateway.log


@pytest.mark.parametrize(("line", "driver"), [("uart", "serial"), ("usb", "ftdi_sio")])
def test_a_driver_without_it_is_named_with_the_way_out(
    guest: Guest, gateway: Gateway, line: str, driver: str
) -> None:
    with guest.far_end("usb0"):
        gateway.wait_up("usb")
        status = opened(gateway, line, 'rs485 = "on"')
        assert status["state"] != "up"
        assert f"driver {driver} has no RS-485 mode" in status["error"]
        assert 'rs485 = "keep"' in status["error"]
        assert status["error"] in gateway.log.replace('\\"', '"')
        assert gateway.line("pl011")["state"] == "up"


@pytest.mark.parametrize("line", ["uart", "usb"])
def test_off_is_fine_where_there_is_none(guest: Guest, gateway: Gateway, line: str) -> None:
    with guest.far_end("usb0"):
        gateway.wait_up("usb")
        status = opened(gateway, line, 'rs485 = "off"')
        assert (status["state"], status["error"]) == ("up", "")

"""RS-485 mode of real drivers: kept, read back, set, and refused in words that help."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.pi.gateway import DEVICES, RAW, Gateway, configuration, exactly
from tests.pi.guest import Guest, eventually
from tests.pi.registers import pl011_rts_low

pytestmark = pytest.mark.pi

ENABLED, RTS_ON_SEND, RTS_AFTER_SEND, RX_DURING_TX = 1, 2, 4, 16


@pytest.fixture(autouse=True)
def _off_afterwards(any_gateway: Gateway) -> Iterator[None]:
    """The driver keeps its mode when the device is closed."""
    yield
    any_gateway.probe("pl011", "rs485", "0", "0", "0")


def opened(gateway: Gateway, **lines: str) -> dict[str, dict[str, Any]]:
    """Have the lines opened with these lines in their tables; what became of it."""
    gateway.reconfigure(configuration(**lines))

    def tried() -> dict[str, dict[str, Any]]:
        found = {name: gateway.line(name) for name in lines}
        return found if all(line["opens"] or line["attempts"] for line in found.values()) else {}

    return dict(eventually("all were tried", tried))


def exchange(guest: Guest, gateway: Gateway) -> None:
    """A question and an answer over the PL011."""
    with guest.far_end("ama0") as far, gateway.raw(RAW["pl011"]) as client:
        client.sendall(b"question")
        assert far.read(8) == b"question"
        far.send(b"answer")
        assert exactly(client, 6) == b"answer"


def test_set_and_refused(guest: Guest, any_gateway: Gateway) -> None:
    with guest.far_end("usb0"):
        any_gateway.wait_up("usb")
        table = 'rs485 = { delay_before = "2ms", delay_after = "3ms", rx_during_tx = true, termination = true }'
        lines = opened(any_gateway, pl011=table, uart='rs485 = "on"', usb='rs485 = "on"')
    assert any_gateway.probe("pl011")["rs485"] == [ENABLED | RTS_ON_SEND | RX_DURING_TX, 2, 3]
    assert lines["pl011"]["report"]["rs485"] == {
        "mode": "on",
        "delay_before": 0.002,
        "delay_after": 0.003,
        "rts_on_send": True,
        "rx_during_tx": True,
        "termination": False,  # this driver has none
    }
    exchange(guest, any_gateway)
    eventually("the bus is free", lambda: pl011_rts_low(guest))
    for name, driver in (("uart", "serial"), ("usb", "ftdi_sio")):
        error = lines[name]["error"]
        assert lines[name]["state"] != "up"
        assert f"{DEVICES[name]}: the driver {driver} has no RS-485 mode" in error
        assert 'rs485 = "keep"' in error
        assert error in any_gateway.log.replace('\\"', '"')


def test_the_other_polarity(guest: Guest, any_gateway: Gateway) -> None:
    opened(any_gateway, pl011="rs485 = { rts_on_send = false }")
    assert any_gateway.probe("pl011")["rs485"] == [ENABLED | RTS_AFTER_SEND, 0, 0]
    exchange(guest, any_gateway)
    eventually("the bus is free", lambda: not pl011_rts_low(guest))


def test_kept_and_read_back(guest: Guest, any_gateway: Gateway) -> None:
    any_gateway.probe("pl011", "rs485", str(ENABLED | RTS_AFTER_SEND), "5", "7")
    lines = opened(any_gateway, pl011='baudrate = 19200\nrs485 = "keep"')
    assert any_gateway.probe("pl011")["rs485"] == [ENABLED | RTS_AFTER_SEND, 5, 7]
    assert lines["pl011"]["report"]["rs485"] == {
        "mode": "on",
        "delay_before": 0.005,
        "delay_after": 0.007,
        "rts_on_send": False,
        "rx_during_tx": False,
        "termination": False,
    }
    exchange(guest, any_gateway)


def test_off_is_fine_everywhere(guest: Guest, any_gateway: Gateway) -> None:
    any_gateway.probe("pl011", "rs485", str(ENABLED | RTS_ON_SEND), "0", "0")
    with guest.far_end("usb0"):
        eventually("the adapter", lambda: guest.run("test", "-e", "/dev/ttyUSB0").code == 0)
        lines = opened(any_gateway, pl011='rs485 = "off"', uart='rs485 = "off"', usb='rs485 = "off"')
        assert {name: (line["state"], line["error"]) for name, line in lines.items()} == dict.fromkeys(
            lines, ("up", "")
        )
    assert any_gateway.probe("pl011")["rs485"][0] & ENABLED == 0

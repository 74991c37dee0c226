"""What goes wrong with a meter of IEC 62056-21, by script, and several on one line."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from nportpy.errors import ConfigError
from nportpy.linesettings import LineSettings
from nportpy.protocols.modbus.rtu import Frame
from nportpy.simulator.bus import Bus
from nportpy.simulator.iec62056.contents import LINES
from nportpy.simulator.iec62056.messages import SPEEDS, bcc, readout
from nportpy.simulator.iec62056.meter import Meter
from nportpy.simulator.iec62056.script import parse
from nportpy.simulator.iec62056.settings import MeterSettings
from nportpy.simulator.multidrop import Fixed, MultiDrop
from nportpy.simulator.store import Store
from nportpy.simulator.wire import PacedWire
from tests.simulator.tool import Tool

W1 = b"/?!\r\n"
REST = LineSettings.parse(300, "7E1")
GOOD = readout(LINES)
SETTINGS = MeterSettings()


def tool(script: str, settings: MeterSettings = SETTINGS) -> tuple[Tool, Meter]:
    meter = Meter(settings, spoils=parse(script.encode()))
    return Tool(PacedWire(meter, REST, watched=False), REST), meter


def read(near: Tool, speed: str = "5") -> bytes:
    near.ask(W1)
    near.say(f"\x060{speed}0\r\n".encode(), wait=0.3)
    near.tune(SPEEDS[speed])
    return near.hear(5.0)


def fault(kind: str, more: str = "", limit: int = 1) -> str:
    return f'[[fault]]\nkind = "{kind}"\nlimit = {limit}\n{more}\n'


def on_readout(kind: str, more: str = "") -> str:
    return fault(kind, f'messages = "readout"\n{more}')


@pytest.mark.parametrize(
    ("kind", "more", "message"),
    [
        ("bad-bcc", "", GOOD[:-1] + bytes((GOOD[-1] ^ 0x55,))),
        ("no-stx", "", GOOD[1:-2]),
        ("lost-start", "", GOOD[1:]),
        ("bare-end", "", GOOD.replace(b"!\r\n", b"!")),
        ("missing", "", b""),
        ("cut", "drop = 10", GOOD[:-10]),
        ("junk", 'data = "7F 00"', b"\x7f\x00" + GOOD),
        ("wrong-parity", "", GOOD),
    ],
)
def test_a_spoilt_readout_and_the_repeat_is_good(kind: str, more: str, message: bytes) -> None:
    near, meter = tool(on_readout(kind, more))
    assert read(near) == message
    assert meter.counts()["struck"] == 1
    if kind == "wrong-parity":
        assert near.wire.spoilt == len(GOOD)
    if message:
        assert near.ask(b"\x15", wait=0.3) == GOOD


def test_decimal_commas_have_a_check_that_is_right() -> None:
    near, _ = tool(on_readout("comma"))
    message = read(near)
    assert b"1.8.0(000077,160*kWh)" in message
    assert b"\r\n32.7(230,6*V)" in message
    assert bcc(message[1:]) == 0


def test_a_flipped_bit() -> None:
    near, _ = tool(on_readout("flipped-bit"))
    message = read(near)
    assert len(message) == len(GOOD)
    assert sum(one != other for one, other in zip(message, GOOD, strict=True)) == 1
    assert near.wire.spoilt == 1


def test_it_stays_at_300_though_it_has_acknowledged() -> None:
    near, _ = tool(fault("stays"))
    assert read(near) != GOOD
    near, _ = tool(fault("stays"))
    near.ask(W1)
    near.say(b"\x06050\r\n", wait=0.3)
    assert near.hear(5.0) == GOOD


def test_it_offers_what_it_cannot_do() -> None:
    near, _ = tool(fault("overstates", limit=9), replace(SETTINGS, speed="4"))
    assert near.ask(W1) == b"/SIM64071\r\n"
    near.say(b"\x06060\r\n", wait=0.3)
    near.tune(19200)
    assert near.hear(5.0) != GOOD
    near.pass_(5.0)
    near.tune(300)
    assert read(near, "4") == GOOD


def test_deaf_once() -> None:
    near, _ = tool(fault("deaf"))
    assert near.ask(W1) == b""
    assert near.ask(W1) == b"/SIM54071\r\n"


def test_a_slow_identification() -> None:
    near, _ = tool(fault("delay", 'delay = "2s"\nmessages = "identification"'))
    end = near.say(W1)
    assert near.hear(5.0) == b"/SIM54071\r\n"
    assert near.now - end > 2.2


@pytest.mark.parametrize(
    "text",
    ['kind = "no"', 'kind = "comma"\nmessages = "all"', 'kind = "overstates"\noffered = "9"', 'kind = "cut"\ndrop = 0'],
)
def test_scripts_that_are_wrong(text: str) -> None:
    with pytest.raises(ConfigError):
        parse(f"[[fault]]\n{text}\n".encode())


def line(*settings: MeterSettings) -> Tool:
    return Tool(PacedWire(MultiDrop([Meter(one) for one in settings]), REST, watched=False), REST)


def two() -> Sequence[MeterSettings]:
    return replace(SETTINGS, address="1", text="ONE"), replace(SETTINGS, address="2", text="TWO")


def test_two_meters_by_address_and_both_at_once_without() -> None:
    near = line(*two())
    assert near.ask(b"/?2!\r\n") == b"/SIM5TWO\r\n"
    near.pass_(60.0)
    assert near.ask(b"/?1!\r\n") == b"/SIM5ONE\r\n"
    near.pass_(60.0)
    heard = near.ask(W1)
    assert b"ONE" not in heard
    assert near.wire.collisions


def test_two_meters_at_two_speeds_do_not_disturb_each_other() -> None:
    near = line(*two())
    near.ask(b"/?1!\r\n")
    near.say(b"\x06050\r\n", wait=0.3)
    near.tune(9600)
    assert near.hear(5.0) == GOOD
    near.say(b"\x06", wait=0.3)
    near.tune(300)
    assert near.ask(b"/?2!\r\n", wait=0.3) == b"/SIM5TWO\r\n"


def test_a_modbus_unit_beside_a_meter() -> None:
    line = LineSettings.parse(9600, "8E1")
    devices = MultiDrop([Meter(), Fixed(Bus({7: Store(7)}), line)])
    near = Tool(PacedWire(devices, line, watched=False), line)
    asked = Frame(7, bytes.fromhex("03 0000 0001")).encode()
    assert len(near.ask(asked)) == 7
    near.tune(300)
    assert near.ask(W1, wait=2.0) == b"/SIM54071\r\n"
    near.pass_(60.0)
    near.tune(9600, "8E1")
    assert len(near.ask(asked)) == 7

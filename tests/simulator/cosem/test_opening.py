"""Mode E: a sign-on by text, then HDLC at another speed, on a wire that knows speed and format of both ends."""

import pytest

from nportpy.linesettings import LineSettings
from nportpy.simulator.cosem.frames import Address
from nportpy.simulator.cosem.line import MeterLine
from nportpy.simulator.cosem.mt880 import mt880
from nportpy.simulator.cosem.opening import (
    MT880_IDENTIFICATION,
    SIGN_ON,
    ZMD_IDENTIFICATION,
    Confirms,
    ModeE,
    OpeningSettings,
    TunedModeE,
)
from nportpy.simulator.cosem.zmd import zmd
from nportpy.simulator.wire import PacedWire
from tests.simulator.cosem.vectors import vector

FAST = LineSettings.parse(4800, "8N1")
CHOICE = bytes.fromhex("063234320D0A")


class Port:
    """A client's UART at one end of the wire."""

    def __init__(self, **opening: object) -> None:
        character = FAST.character_time
        self.device = TunedModeE(MeterLine([zmd()], character=character), OpeningSettings(**opening))  # type: ignore[arg-type]
        self.wire = PacedWire(self.device, SIGN_ON, watched=False)
        self.now = 10.0

    def ask(self, data: bytes, settings: LineSettings) -> bytes:
        self.wire.configure(settings, self.now)
        heard = b""
        while data:
            room = self.wire.room(self.now)
            self.wire.send(data[:room], self.now)
            data = data[room:]
            while (due := self.wire.deadline()) is not None:
                self.now = max(self.now, due)
                heard += self.wire.receive(self.now)
                if data:
                    break
        return heard


def test_a_sign_on_and_hdlc_behind_it() -> None:
    port = Port()
    assert port.ask(b"/?!\r\n", SIGN_ON) == b"/LGZ4\\2ZMD4054407.B31\r\n"
    began = port.now
    assert port.ask(CHOICE, SIGN_ON) == b""
    assert port.now - began == pytest.approx(6 * SIGN_ON.character_time)
    port.now += 0.3
    assert port.ask(vector("H1"), FAST) == vector("H3")
    assert port.ask(vector("H5"), FAST) == bytes.fromhex("7EA00721037301407E")
    assert port.ask(b"/?!\r\n", SIGN_ON) == ZMD_IDENTIFICATION


def test_disc_first_does_not_end_what_has_not_begun() -> None:
    port = Port()
    port.ask(b"/?!\r\n", SIGN_ON)
    port.ask(CHOICE, SIGN_ON)
    assert port.ask(vector("H5"), FAST) == vector("H6")
    assert port.ask(vector("H1"), FAST) == vector("H3")


def test_hdlc_without_a_sign_on_is_not_heard() -> None:
    port = Port()
    assert port.ask(vector("H1"), LineSettings.parse(9600)) == b""
    assert port.ask(b"/?!\r\n", SIGN_ON) == ZMD_IDENTIFICATION


@pytest.mark.parametrize("wrong", ["300 8N1", "300 7O1", "600 7E1"])
def test_a_sign_on_with_other_settings_is_not_heard(wrong: str) -> None:
    speed, form = wrong.split()
    assert Port().ask(b"/?!\r\n", LineSettings.parse(int(speed), form)) == b""


def test_what_it_says_to_the_choice() -> None:
    slow, fast = Port(confirms=Confirms.SLOW), Port(confirms=Confirms.FAST)
    for port in (slow, fast):
        port.ask(b"/?!\r\n", SIGN_ON)
    assert slow.ask(CHOICE, SIGN_ON) == CHOICE
    assert fast.ask(CHOICE, SIGN_ON) != CHOICE
    for port in (slow, fast):
        port.now += 0.3
        assert port.ask(vector("H1"), FAST) == vector("H3")


def test_after_the_inactivity_time_it_waits_for_a_sign_on() -> None:
    port = Port()
    port.ask(b"/?!\r\n", SIGN_ON)
    port.ask(CHOICE, SIGN_ON)
    port.now += 100.0
    assert port.ask(vector("H1"), FAST) == vector("H3")
    port.now += 121.0
    assert port.ask(b"/?!\r\n", SIGN_ON) == ZMD_IDENTIFICATION


@pytest.mark.parametrize("choice", ["063034300D0A", "063239320D0A", "063234300D0A"])
def test_a_choice_that_is_not_hdlc_is_none(choice: str) -> None:
    port = Port()
    port.ask(b"/?!\r\n", SIGN_ON)
    assert port.ask(bytes.fromhex(choice), SIGN_ON) == b""
    assert port.ask(vector("H1"), FAST) == b""


def test_a_choice_that_comes_late_is_none() -> None:
    port = Port()
    port.ask(b"/?!\r\n", SIGN_ON)
    port.now += 3.0
    port.ask(CHOICE, SIGN_ON)
    assert port.ask(vector("H1"), FAST) == b""


def test_a_device_address() -> None:
    port = Port(device_address=b"0094407512")
    assert port.ask(b"/?94407512!\r\n", SIGN_ON) == ZMD_IDENTIFICATION
    assert port.ask(b"/?94407513!\r\n", SIGN_ON) == b""
    assert port.ask(b"rubbish\r\n/?!\r\n", SIGN_ON) == ZMD_IDENTIFICATION


def test_where_nobody_knows_the_speed_parity_may_be_in_the_eighth_bit() -> None:
    device = ModeE(MeterLine([mt880()]), OpeningSettings(MT880_IDENTIFICATION))
    (told,) = device.feed(bytes.fromhex("AF3F218D0A"), 1.0)
    assert (told.data, told.settings) == (MT880_IDENTIFICATION, None)
    device.feed(bytes.fromhex("063235320D0A"), 2.0)
    (ua,) = device.feed(bytes.fromhex("7EA008027721933F847E"), 3.0)
    assert ua.data[5:7] == Address(1, 59).encode()[1:] + b"\x73"
    assert device.counts()["requests"] == 1
    assert not device.silence(4.0)

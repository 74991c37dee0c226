"""Meters on a line: whose frame it is, and pauses within one; and on a wire with its time."""

import pytest

from nportpy.linesettings import LineSettings
from nportpy.simulator.cosem.frames import Address, Control, Frame
from nportpy.simulator.cosem.line import MeterLine
from nportpy.simulator.cosem.making import meters
from nportpy.simulator.cosem.meter import Meter, MeterSettings
from nportpy.simulator.cosem.mt880 import Mt880Settings, mt880
from nportpy.simulator.cosem.zmd import ZmdSettings, zmd
from nportpy.simulator.lines import MetersWanted, meters_by_link
from nportpy.simulator.wire import PacedWire
from tests.simulator.cosem.asking import LN_ASSOCIATE, SN_ASSOCIATE, Client, heard
from tests.simulator.cosem.vectors import vector

SERIAL = LineSettings.parse(9600, "8N1")
ENERGY = bytes.fromhex("C001C100030100010800FF0200")
SNRM_59 = bytes.fromhex("7EA008027721933F847E")  # another program's: 72211943 is 59


def four_bytes_only(lower: int) -> Meter:
    return mt880(Mt880Settings(meter=MeterSettings(Address(1, lower, 4), narrow=False)))


def test_two_meters_on_one_line_answer_for_themselves() -> None:
    line = MeterLine(meters(MetersWanted(1, 2), MeterSettings(Address(1))))
    first = Client(line, b"\x03")
    others = [Client(line, Address(1, lower).encode()) for lower in (59, 60)]
    first.connect()
    for asking in others:
        asking.connect()
    assert first.ask(SN_ASSOCIATE)[0] == 0x61
    names = []
    for asking in others:
        asking.ask(LN_ASSOCIATE)
        names.append(asking.ask(bytes.fromhex("C001C100010000600100FF0200"))[6:])
    assert names == [b"72211943", b"72211944"]
    assert first.ask(bytes.fromhex("05010200B8"))[:3] == b"\x0c\x01\x00"  # the others did not disturb it


def test_the_lower_address_is_16_and_the_last_two_digits() -> None:
    assert [frame.control for frame in heard(MeterLine([mt880()]), SNRM_59)] == [Control.UA]


def test_two_meters_of_one_address_cannot_be() -> None:
    with pytest.raises(ValueError, match="1/59"):
        MeterLine([mt880(), mt880()])


@pytest.mark.parametrize(
    ("meter", "answered"),
    [
        (zmd(), [True, True, True]),
        (zmd(ZmdSettings(meter=MeterSettings(Address(1, 17)))), [False, True, True]),
        (four_bytes_only(17), [False, False, True]),
        (zmd(ZmdSettings(meter=MeterSettings(Address(1, 17, 2), narrow=False))), [False, True, False]),
    ],
    ids=["alone", "17", "4 bytes only", "2 bytes only"],
)
def test_forms_of_the_address(meter: Meter, answered: list[bool]) -> None:
    ours = meter.settings.address
    forms = [Address(1, 0, 1), Address(1, ours.lower, 2), Address(1, ours.lower, 4)]
    line = MeterLine([meter])
    assert [bool(heard(line, Frame(form.encode(), b"\x21", Control.SNRM).encode())) for form in forms] == answered


@pytest.mark.parametrize("address", [Address(2, 59), Address(1, 58), Address(0x7F, 0x7F), Address(1, 0x7E)], ids=repr)
def test_field_2_who_is_not_meant_is_silent(address: Address) -> None:
    assert heard(MeterLine([mt880()]), Frame(address.encode(), b"\x21", Control.SNRM).encode()) == []


def test_an_unknown_client_gets_silence() -> None:
    assert heard(MeterLine([mt880()]), Frame(Address(1, 59).encode(), b"\x41", Control.SNRM).encode()) == []


def test_a_pause_within_a_frame_ends_it() -> None:
    line = MeterLine([mt880()], character=SERIAL.character_time)
    half = len(SNRM_59) // 2
    assert not line.feed(SNRM_59[:half], 1.0)
    assert line.feed(SNRM_59[half:], 1.0 + half * SERIAL.character_time + 0.02)
    assert not line.feed(SNRM_59[:half], 2.0)
    assert not line.feed(SNRM_59[half:], 2.0 + half * SERIAL.character_time + 0.03)
    assert line.feed(SNRM_59, 3.0)
    assert line.counts()["spoilt"] >= 1


def test_noise_is_not_answered_and_does_no_harm() -> None:
    line = MeterLine([mt880()])
    assert not line.feed(b"\xff" * 40 + b"\x7e\xa7\xff", 1.0)  # a length of 2047 that never comes
    assert line.feed(SNRM_59, 2.0)


def test_an_echo_of_its_own_answer_is_nothing_to_it() -> None:
    line = MeterLine([mt880()])
    (answer,) = line.feed(SNRM_59, 1.0)
    assert not line.feed(answer.data, 1.1)


def test_the_wire_takes_its_time_and_the_meter_its_own() -> None:
    wire = PacedWire(MeterLine([zmd()], character=SERIAL.character_time), SERIAL, watched=False)
    wire.send(vector("H1"), 10.0)
    heard, at = b"", 10.0
    while (due := wire.deadline()) is not None:
        at = due
        heard += wire.receive(at)
    assert heard == vector("H3")
    expected = (len(vector("H1")) + len(vector("H3"))) * SERIAL.character_time + 0.02
    assert at - 10.0 == pytest.approx(expected, abs=0.005)  # the silence after it is looked at, too
    assert wire.counts()["answers"] == 1


def test_links_that_are_named_again_are_one_line() -> None:
    wanted = {"a": MetersWanted(1, 0), "b": MetersWanted(1, 2), "c": MetersWanted(0, 1)}
    assert meters_by_link(["a", "b"], ["b", "b", "c"]) == wanted

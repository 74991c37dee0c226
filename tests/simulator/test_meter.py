import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.config.profiles import profile
from nportpy.protocols.modbus.rtu import Frame
from nportpy.simulator.meter import CURRENTS, ENERGY, FACTOR, FREQUENCY, POWER, VOLTAGES, Meter

READ_ENERGY = bytes.fromhex("01 03 03E8 0002 447B")
# 12345.678 as a big-endian float32.
ENERGY_ANSWER = bytes.fromhex("01 03 04 4640E6B6 2579")


def ask(meter: Meter, wire: bytes, now: float = 0.0) -> bytes:
    assert not meter.feed(wire, now)
    return b"".join(answer.data for answer in meter.silence(now))


def ask_pdu(pdu: str) -> str:
    answer = ask(Meter(), Frame(1, bytes.fromhex(pdu)).encode())
    return Frame.parse(answer).pdu.hex()


def test_energy_to_the_byte() -> None:
    assert ask(Meter(), READ_ENERGY) == ENERGY_ANSWER


def test_any_split_is_the_same() -> None:
    for cut in range(1, len(READ_ENERGY)):
        meter = Meter()
        assert not meter.feed(READ_ENERGY[:cut], 0.0)
        assert ask(meter, READ_ENERGY[cut:]) == ENERGY_ANSWER


def test_trailing_bytes_spoil_one_frame_and_no_more() -> None:
    meter = Meter()
    assert ask(meter, READ_ENERGY + b"\x55") == b""
    assert ask(meter, READ_ENERGY) == ENERGY_ANSWER


def test_currents() -> None:
    answer = Frame.parse(ask(Meter(), Frame(1, bytes.fromhex("03 041C 0006")).encode()))
    assert struct.unpack(">fff", answer.pdu[2:]) == pytest.approx((14.2, 11.8, 16.9))


def test_input_registers_are_the_same() -> None:
    assert ask_pdu("04 03E8 0002") == "04044640e6b6"


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        ("01 0000 0001", "8101"),  # coils: it has none
        ("06 03E8 0001", "8601"),  # nothing can be written
        ("10 03E8 0001 02 0000", "9001"),
        ("03 0000 0001", "8302"),
        ("03 03E7 0002", "8302"),  # one before the block
        ("03 0467 0002", "8302"),  # one beyond it
        ("03 FFFF 0002", "8302"),
        ("03 03E8 0000", "8303"),
        ("03 03E8 007E", "8303"),  # 126 registers
        ("03 03E8", "8303"),
        ("04 03E8 0001 00", "8403"),
    ],
)
def test_exceptions(request_: str, answer: str) -> None:
    assert ask_pdu(request_) == answer


def test_the_longest_read() -> None:
    assert len(bytes.fromhex(ask_pdu("03 03E8 007D"))) == 2 + 250


@pytest.mark.parametrize(
    "wire",
    [
        READ_ENERGY[:-1] + b"\x7c",
        READ_ENERGY[:-1],
        Frame(2, READ_ENERGY[1:-2]).encode(),
        Frame(0, READ_ENERGY[1:-2]).encode(),  # broadcast: nobody answers
        bytes(10_000),
    ],
    ids=["wrong CRC", "cut short", "another unit", "broadcast", "junk"],
)
def test_silent(wire: bytes) -> None:
    meter = Meter()
    assert ask(meter, wire) == b""
    assert ask(meter, READ_ENERGY) == ENERGY_ANSWER


@given(st.lists(st.binary(min_size=1, max_size=400), max_size=4))
def test_junk_is_never_answered_and_forgotten_at_the_next_silence(junk: list[bytes]) -> None:
    meter = Meter(unit=247)
    for piece in junk:
        assert not meter.feed(b"\x01" + piece, 0.0)
    assert not meter.silence(0.0)
    assert ask(meter, Frame(247, READ_ENERGY[1:-2]).encode()) == Frame(247, ENERGY_ANSWER[1:-2]).encode()


def test_eager_answers_without_silence() -> None:
    meter = Meter(eager=True)
    assert not meter.feed(READ_ENERGY[:5], 0.0)
    assert [answer.data for answer in meter.feed(READ_ENERGY[5:], 0.0)] == [ENERGY_ANSWER]
    assert not meter.feed(Frame(2, b"\x03").encode(), 0.0)
    assert [answer.data for answer in meter.feed(READ_ENERGY, 0.0)] == [ENERGY_ANSWER]


def test_delay() -> None:
    meter = Meter(delay=0.02)
    meter.feed(READ_ENERGY, 0.0)
    assert [answer.delay for answer in meter.silence(0.0)] == [0.02]


def test_energy_is_the_integral_of_the_power() -> None:
    meter = Meter(started=1000.0)
    step = 1.0
    watts = (1000 * meter.readings(1000 + step * n)[POWER] for n in range(3600))
    counted = meter.readings(1000 + 3600.0)[ENERGY] - meter.readings(1000.0)[ENERGY]
    assert counted == pytest.approx(sum(watts) * step / 3.6e6, rel=1e-3)
    assert 5 < counted < 15  # kWh in an hour: a small workshop


def test_power_is_what_currents_and_voltages_make() -> None:
    meter = Meter()
    powers = set()
    for second in range(200):
        readings = meter.readings(float(second))
        pairs = zip(CURRENTS, VOLTAGES, strict=True)
        apparent = sum(readings[current] * readings[voltage] for current, voltage in pairs)
        assert readings[POWER] == pytest.approx(apparent * readings[FACTOR] / 100 / 1000)
        assert all(225 < readings[voltage] < 235 for voltage in VOLTAGES)
        assert 49.9 < readings[FREQUENCY] < 50.1
        powers.add(round(readings[POWER], 2))
    assert len(powers) > 50  # a chart of it moves


def test_what_the_profile_of_this_meter_names_is_there() -> None:
    tags = {tag.name: int(str(tag.at)) - 40001 for tag in profile("emon-dmon-3400").tags}
    assert set(tags.values()) - {tags["energy_received"]} == set(Meter().readings(0.0))


def test_energy_never_falls() -> None:
    meter = Meter()
    energies = [meter.readings(float(second))[ENERGY] for second in range(1000)]
    assert energies == sorted(set(energies))


def test_it_measures_once_a_second() -> None:
    meter = Meter(started=1000.25)
    first = ask(meter, READ_ENERGY, 1001.25)
    assert ask(meter, READ_ENERGY, 1002.24) == first
    assert ask(meter, READ_ENERGY, 1002.26) != first

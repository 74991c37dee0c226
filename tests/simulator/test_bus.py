"""Units on a bus: what they hold, what they say of themselves, who answers, and what an eager bus remembers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.modbus.settings import Framing
from nportpy.protocols.modbus import ascii  # noqa: A004 - the standard's word
from nportpy.protocols.modbus.functions import expected_answer, is_answer
from nportpy.protocols.modbus.rtu import Frame
from nportpy.simulator.bus import MAX_KNOWN, Bus
from nportpy.simulator.meter import ENERGY, Measurements
from nportpy.simulator.store import SIZE, Store


def a_bus(*numbers: int, framing: Framing = Framing.RTU, eager: bool = False) -> Bus:
    return Bus({number: Store(number) for number in numbers}, framing=framing, eager=eager)


def ask(bus: Bus, unit: int, pdu: str, now: float = 0.0) -> str:
    """The answer's PDU, of an RTU bus."""
    assert not bus.feed(Frame(unit, bytes.fromhex(pdu)).encode(), now)
    answers = bus.silence(now)
    if not answers:
        return ""
    (answer,) = answers
    frame = Frame.parse(answer.data)
    assert frame.unit == unit == answer.sender
    return frame.pdu.hex()


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        ("03 0000 0002", "030403000301"),  # 256 U + A
        ("04 0000 0001", "04028300"),
        ("01 0000 0003", "010101"),  # U + A divides by 3: the first of three
        ("02 0000 0003", "020106"),
        ("01 0000 0009", "01024900"),
        ("05 0001 FF00", "050001ff00"),
        ("06 0010 1234", "0600101234"),
        ("0F 0000 0003 01 05", "0f00000003"),
        ("10 0000 0001 02 ABCD", "1000000001"),
        ("16 0000 F0F0 0505", "160000f0f00505"),
        ("17 0000 0001 0000 0001 02 BEEF", "1702beef"),  # written before it is read
        ("07", "0703"),
        ("08 0000 A537", "080000a537"),
        ("08 0000 A537 1122", "080000a5371122"),
        ("08 0002 0000", "0800020000"),
        ("0B", "0b00000000"),
        ("11", "111203ff" + b"simulated unit 3".hex()),
    ],
)
def test_every_function(request_: str, answer: str) -> None:
    assert ask(a_bus(3), 3, request_) == answer


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        ("0C", "8c01"),
        ("18 0000", "9801"),
        ("41 00", "c101"),
        ("2B 0D 00", "ab01"),
        ("08 0005 0000", "8801"),
        ("03 270F 0002", "8302"),
        ("01 270F 0002", "8102"),
        ("06 2710 0001", "8602"),
        ("17 0000 0001 270F 0002 04 00000000", "9702"),
        ("03 0000 0000", "8303"),
        ("03 0000 007E", "8303"),
        ("05 0000 1234", "8503"),
        ("0F 0000 0009 01 05", "8f03"),
        ("10 0000 0001 04 ABCD 0000", "9003"),
        ("06 0000", "8603"),
        ("2B 0E 05 00", "ab03"),
        ("2B 0E 04 63", "ab02"),
    ],
)
def test_refusals(request_: str, answer: str) -> None:
    assert ask(a_bus(3), 3, request_) == answer


def test_what_is_written_is_read_back() -> None:
    bus = a_bus(1)
    ask(bus, 1, "10 0064 0002 04 1234 5678")
    ask(bus, 1, "16 0064 FF00 00AB")
    assert ask(bus, 1, "03 0064 0002") == "030412ab5678"
    ask(bus, 1, "0F 0003 000A 02 55 03")
    ask(bus, 1, "05 0004 FF00")
    assert ask(bus, 1, "01 0003 000A") == "01025703"
    ask(bus, 1, "05 0004 0000")
    assert ask(bus, 1, "01 0003 000A") == "01025503"


def test_a_refused_write_changes_nothing() -> None:
    bus = a_bus(1)
    before = ask(bus, 1, "03 270F 0001")
    assert ask(bus, 1, "10 270F 0002 04 1234 5678") == "9002"
    assert ask(bus, 1, "03 270F 0001") == before


@pytest.mark.parametrize("number", [1, 31, 247])
def test_no_two_units_hold_the_same(number: int) -> None:
    word = (256 * number + SIZE - 1) % 65536
    assert ask(a_bus(number), number, "03 270F 0001") == f"0302{word:04x}"
    word = (word + 0x8000) % 65536
    assert ask(a_bus(number), number, "04 270F 0001") == f"0402{word:04x}"


def test_units_are_separate_and_nobody_answers_for_another() -> None:
    bus = a_bus(1, 2)
    ask(bus, 1, "06 0000 AAAA")
    assert ask(bus, 2, "03 0000 0001") == "03020200"
    assert ask(bus, 1, "03 0000 0001") == "0302aaaa"
    assert ask(bus, 3, "03 0000 0001") == ""


def test_a_broadcast_is_obeyed_by_all_and_answered_by_none() -> None:
    bus = a_bus(1, 2)
    assert ask(bus, 0, "06 0000 AAAA") == ""
    assert [ask(bus, unit, "03 0000 0001") for unit in (1, 2)] == ["0302aaaa"] * 2
    assert bus.counts() == {"requests": 3, "broadcasts": 1, "answers": 2, "spoilt": 0}


@pytest.mark.parametrize("code", [1, 2, 3])
def test_device_identification(code: int) -> None:
    answer = bytes.fromhex(ask(a_bus(1), 1, f"2B 0E {code:02X} 00"))
    assert answer[:7] == bytes((0x2B, 0x0E, code, 0x82, 0, 0, 3 if code == 1 else 5))
    assert answer[7:16] == b"\x00\x07nportpy"
    assert is_answer(bytes((0x2B, 0x0E, code, 0)), answer)


def test_identification_from_an_object_on_and_of_one() -> None:
    assert ask(a_bus(1), 1, "2B 0E 01 02") == "2b0e018200000102" + "03" + b"1.0".hex()
    assert ask(a_bus(1), 1, "2B 0E 04 01") == "2b0e048200000101" + "03" + b"SIM".hex()
    assert ask(a_bus(1), 1, "2B 0E 01 63") == ask(a_bus(1), 1, "2B 0E 01 00")  # 6.21: as if from the first


def test_diagnostic_counters() -> None:
    bus = a_bus(1, 2)
    ask(bus, 1, "03 0000 0001")
    ask(bus, 1, "03 FFFF 0001")
    ask(bus, 2, "03 0000 0001")
    ask(bus, 0, "06 0000 0001")
    bus.feed(b"\x01\x03\x00", 0.0)
    assert not bus.silence(0.0)
    counted = {sub: int(ask(bus, 1, f"08 {sub:04X} 0000")[-4:], 16) for sub in (11, 12, 13, 14, 15)}
    # The requests for the counters before it, and itself, are messages as well.
    assert counted == {11: 4 + 1, 12: 1, 13: 1, 14: 3 + 4, 15: 0}
    assert ask(bus, 1, "0B") == f"0b0000{2 + 5:04x}"
    ask(bus, 1, "08 000A 0000")
    assert ask(bus, 1, "08 000E 0000") == "08000e0001"


def test_listen_only_mode() -> None:
    bus = a_bus(1)
    assert ask(bus, 1, "08 0004 0000") == ""
    assert ask(bus, 1, "03 0000 0001") == ""
    assert ask(bus, 1, "08 0001 0000") == ""  # the restart that ends it is not answered
    assert ask(bus, 1, "03 0000 0001") == "03020100"
    assert ask(bus, 1, "08 0001 0000") == "0800010000"


def test_ascii() -> None:
    bus = a_bus(1, framing=Framing.ASCII)
    wire = ascii.encode(1, bytes.fromhex("03 0000 0001"))
    assert not bus.feed(wire[:-1], 0.0)
    assert not bus.silence(0.1)  # a silence ends no line
    (answer,) = bus.feed(wire[-1:], 0.9)
    assert answer.data == b":0103020100F9\r\n"
    assert not bus.feed(b":010300000001FF\r\n", 1.0)
    assert bus.counts() == {"requests": 1, "broadcasts": 0, "answers": 1, "spoilt": 1}


def test_ascii_drops_a_line_that_pauses_for_a_second() -> None:
    bus = a_bus(1, framing=Framing.ASCII)
    wire = ascii.encode(1, bytes.fromhex("03 0000 0001"))
    bus.feed(wire[:7], 0.0)
    assert not bus.feed(wire[7:], 1.1)


def test_a_unit_id_that_is_none() -> None:
    with pytest.raises(ValueError, match="248"):
        a_bus(1, 248)


EAGER_READ = Frame(1, bytes.fromhex("03 0000 0001")).encode()


def answered(bus: Bus, wire: bytes, now: float = 0.0) -> list[str]:
    return [Frame.parse(answer.data).pdu.hex() for answer in bus.feed(wire, now)]


def test_an_eager_bus_remembers_until_something_is_written() -> None:
    bus = a_bus(1, 2, eager=True)
    assert answered(bus, EAGER_READ) == answered(bus, EAGER_READ) == ["03020100"]
    for unit, value in ((0, "AAAA"), (1, "BBBB")):
        bus.feed(Frame(unit, bytes.fromhex(f"06 0000 {value}")).encode(), 0.0)
        assert answered(bus, EAGER_READ) == answered(bus, EAGER_READ) == [f"0302{value.lower()}"]


def test_an_eager_bus_remembers_a_meter_for_its_second() -> None:
    bus = Bus({1: Measurements(started=0.25), 2: Store(2)}, eager=True)
    wire = Frame(1, bytes((3, *ENERGY.to_bytes(2), 0, 2))).encode()
    bus.feed(Frame(2, bytes.fromhex("03 0000 0001")).encode(), 0.3)
    first = answered(bus, wire, 0.3)
    assert answered(bus, wire, 1.2) == first
    assert answered(bus, wire, 1.3) != first


def test_what_is_answered_from_memory_is_counted() -> None:
    bus = a_bus(1, eager=True)
    refused = Frame(1, bytes.fromhex("03 FFFF 0001")).encode()
    for _ in range(5):
        bus.feed(EAGER_READ, 0.0)
        assert answered(bus, refused) == ["8302"]
    assert bus.counts() == {"requests": 10, "broadcasts": 0, "answers": 10, "spoilt": 0}
    assert answered(bus, Frame(1, bytes.fromhex("08 000D 0000")).encode()) == ["08000d0005"]
    assert answered(bus, Frame(1, b"\x0b").encode()) == ["0b00000006"]
    assert bus.counts() == {"requests": 12, "broadcasts": 0, "answers": 12, "spoilt": 0}


def test_memory_does_not_hide_half_a_frame_before_a_request() -> None:
    bus = a_bus(1, eager=True)
    bus.feed(EAGER_READ, 0.0)
    bus.feed(b"\x01\x03", 0.0)
    assert not bus.feed(EAGER_READ, 0.0)  # a strict receiver hears one spoilt frame
    assert not bus.silence(0.1)
    assert answered(bus, EAGER_READ) == ["03020100"]


def test_memory_is_bounded() -> None:
    bus = a_bus(1, eager=True)
    for address in range(MAX_KNOWN + 10):
        bus.feed(Frame(1, bytes((3, *address.to_bytes(2), 0, 1))).encode(), 0.0)
    assert len(bus._known) == 10
    assert bus.counts()["requests"] == MAX_KNOWN + 10


READS = st.builds(
    lambda function, address, count: bytes((function, *address.to_bytes(2), *count.to_bytes(2))),
    st.integers(1, 4),
    st.integers(0, 65535),
    st.integers(1, 125),
)


@given(st.lists(st.one_of(READS, st.binary(min_size=1, max_size=253)), max_size=20), st.booleans())
def test_whatever_is_asked_the_answer_is_one_to_it(requests: list[bytes], eager: bool) -> None:
    bus, slow = a_bus(7, eager=eager), a_bus(7)
    for pdu in requests:
        wire = Frame(7, pdu).encode()
        answers = [*bus.feed(wire, 0.0), *bus.silence(0.0)]
        assert [answer.data for answer in answers] == [
            answer.data for answer in (*slow.feed(wire, 0.0), *slow.silence(0.0))
        ]
        for answer in answers:
            reply = Frame.parse(answer.data).pdu
            assert is_answer(pdu, reply)
            assert reply[0] & 0x80 or reply.startswith(expected_answer(pdu).prefix)

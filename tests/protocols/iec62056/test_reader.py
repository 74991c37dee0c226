"""What meters send: all vectors, whole, cut at every byte and among rubbish; limits; bytes that nobody sends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.protocols.iec62056.characters import block_check, with_parity
from nportpy.protocols.iec62056.datasets import DataSet, Line, Unreadable, parse
from nportpy.protocols.iec62056.identification import Identification
from nportpy.protocols.iec62056.reader import (
    LARGEST_MESSAGE,
    LONGEST_LINE,
    MOST_SETS,
    Acknowledged,
    Break,
    Check,
    ErrorText,
    Event,
    Identified,
    Malformed,
    MessageEnd,
    NotAcknowledged,
    Overheard,
    PasswordRequest,
    Reader,
)
from tests.protocols.iec62056.vectors import WIRE

GOOD = MessageEnd(Check.GOOD)
ENERGY = DataSet("1.8.0", "000077.160", "kWh")
PROFILE = ("1261121000000", "00000000", "15", "2", "1.5", "kW", "2.5", "kvar")
EVENTS: dict[str, list[Event]] = {
    "W1": [],  # our own sign-on, from an optical head
    "W1a": [],
    "W2": [
        Line((DataSet("0.0.0", "12345678"),)),
        Line((ENERGY,)),
        Line((DataSet("32.7", "230.6", "V"),)),
        GOOD,
    ],
    "W2a": [Identified(Identification("LGZ", "4", "2", "ZMD4054407.B31"))],
    "W2b": [Identified(Identification("ISK", "5", "2", "MT880-123"))],
    "W3": [Overheard("R1")],
    "W4": [Break(), GOOD],
    "W9": [PasswordRequest("12345678"), GOOD],
    "W10": [Overheard("P1")],
    "W11": [Overheard("P2")],
    "W12": [
        Line(tuple(DataSet("P.01", each, repeated=bool(index)) for index, each in enumerate(PROFILE))),
        Line((DataSet("P.01", "0.123", repeated=True), DataSet("P.01", "0.045", repeated=True))),
        MessageEnd(Check.GOOD, more=True),
    ],
    "W13": [Overheard("W5")],
    "error": [ErrorText("ER01"), GOOD],
    "answer": [Line((DataSet("", "000077.160", "kWh", repeated=True),)), GOOD],
    "answer with its address": [Line((ENERGY,)), GOOD],
    "profile": [Overheard("R5")],
}


def framed(text: str, end: bytes = b"\x03") -> bytes:
    body = text.encode("ascii") + end
    return b"\x02" + body + bytes((block_check(body),))


@pytest.mark.parametrize("name", EVENTS)
def test_vectors_whole(name: str) -> None:
    assert Reader().feed(WIRE[name]) == EVENTS[name]


@pytest.mark.parametrize("name", EVENTS)
def test_vectors_cut_at_every_byte(name: str) -> None:
    wire = WIRE[name]
    for cut in range(len(wire) + 1):
        reader = Reader()
        assert reader.feed(wire[:cut]) + reader.feed(wire[cut:]) == EVENTS[name]
    reader = Reader()
    assert [event for byte in wire for event in reader.feed(bytes((byte,)))] == EVENTS[name]


@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize("rubbish", [b"\0\0\0", b"\xff\xff", b"x!)(\r\n", b"/!\x7f", b"\x03\x04 ", b"/AB"])
def test_vectors_among_rubbish(name: str, rubbish: bytes) -> None:
    reader = Reader()
    found = reader.feed(rubbish + WIRE[name]) + reader.feed(rubbish) + reader.silence()
    assert found == EVENTS[name] + [each for each in found if isinstance(each, Malformed)]
    assert reader.dropped


@pytest.mark.parametrize("name", EVENTS)
def test_vectors_with_software_parity(name: str) -> None:
    reader = Reader(parity=True)
    assert reader.feed(with_parity(WIRE[name])) == EVENTS[name]
    assert not reader.parity_errors


def test_parity_errors_alone_are_counted_and_the_check_decides() -> None:
    reader = Reader(parity=True)
    wire = bytearray(with_parity(WIRE["W2"]))
    wire[20] ^= 0x80
    assert reader.feed(bytes(wire)) == EVENTS["W2"]
    assert reader.parity_errors == 1


@pytest.mark.parametrize("name", ["W2", "W9", "W12", "error", "answer"])
def test_every_flipped_bit_is_noticed(name: str) -> None:
    for at in range(1, len(WIRE[name])):
        for bit in range(7):
            wire = bytearray(WIRE[name])
            wire[at] ^= 1 << bit
            reader = Reader()
            found = reader.feed(bytes(wire)) + reader.silence()
            assert MessageEnd(Check.GOOD) not in found
            assert MessageEnd(Check.GOOD, more=True) not in found


def test_acknowledgements() -> None:
    assert Reader().feed(b"\x06\x15") == [Acknowledged(), NotAcknowledged()]


@pytest.mark.parametrize("name", ["A", "B"])
def test_old_meters_without_stx_and_check(name: str) -> None:
    wire = b"/ABCZold\r\n1.8.0(1*kWh)(2)\r\n\r\n32.7(230)\r\n!\r\n"
    expected = [
        Identified(Identification("ABC", "Z", "", "old")),
        Line((DataSet("1.8.0", "1", "kWh"), DataSet("1.8.0", "2", repeated=True))),
        Line((DataSet("32.7", "230"),)),
        MessageEnd(Check.ABSENT),
    ]
    for cut in range(len(wire) + 1):
        reader = Reader()
        assert reader.feed(wire[:cut]) + reader.feed(wire[cut:]) == expected


def test_lines_without_an_identification_are_nothing() -> None:
    reader = Reader()
    assert reader.feed(b"1.8.0(1*kWh)\r\n!\r\n") == []
    assert reader.dropped == 17


def test_field_piggymeter_4_an_end_without_line_end() -> None:
    assert Reader().feed(framed("1.8.0(1)\r\n!"))[-1] == GOOD


def test_silence_ends_what_has_no_end() -> None:
    reader = Reader()
    assert reader.feed(b"\x021.8.0(1)\r\n!\r\n") == [Line((DataSet("1.8.0", "1"),))]
    assert reader.silence() == [MessageEnd(Check.ABSENT)]
    assert reader.feed(b"\x021.8.0(1)\r\n!\r\n\x03")[-1:] == [Line((DataSet("1.8.0", "1"),))]
    assert reader.silence() == [MessageEnd(Check.ABSENT)]
    assert reader.feed(b"\x021.8.0(1)\r\n1.8.") == [Line((DataSet("1.8.0", "1"),))]
    assert reader.silence() == [Malformed("it broke off")]
    assert reader.silence() == []


def test_an_identification_that_ends_with_cr_alone() -> None:
    reader = Reader()
    assert reader.feed(b"/ABC5x\r") == []
    assert reader.silence() == [Identified(Identification("ABC", "5", "", "x"))]
    assert Reader().feed(b"/ABC5x\r\x021(2)\x03")[0] == Identified(Identification("ABC", "5", "", "x"))


def test_a_part_goes_on_where_the_last_one_stopped() -> None:
    reader = Reader()
    reader.feed(WIRE["W12"])
    assert reader.feed(framed("(1)(2)"))[0] == Line(
        (DataSet("P.01", "1", repeated=True), DataSet("P.01", "2", repeated=True))
    )


def test_a_message_that_begins_in_another() -> None:
    assert Reader().feed(b"\x021.8.0(1" + WIRE["W2"]) == [Malformed("another one began in it"), *EVENTS["W2"]]


def test_one_bad_line_is_no_reason_to_drop_the_others() -> None:
    found = Reader().feed(framed("rubbish\r\n1.8.0(1) 2\r\n32.7(3)\r\n!\r\n"))
    assert found == [
        Unreadable("rubbish"),
        Line((DataSet("1.8.0", "1"),)),
        Unreadable("2"),
        Line((DataSet("32.7", "3"),)),
        GOOD,
    ]


def test_limits() -> None:
    assert Malformed(f"it has a line of more than {LONGEST_LINE} characters") in Reader().feed(b"\x02" + b"1" * 300)
    many = "\r\n".join(f"{each}(1)(2)(3)(4)" for each in range(MOST_SETS // 4))
    assert Reader().feed(framed(many))[-1] == GOOD
    assert Malformed(f"it has more than {MOST_SETS} data sets") in Reader().feed(framed(many + "\r\n1(2)"))
    endless = Reader()
    found = endless.feed(b"\x02" + b"x\r\n" * (LARGEST_MESSAGE // 3 + 2))
    assert Malformed(f"it is longer than {LARGEST_MESSAGE} bytes") in found


@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from(list(WIRE.values()))), max_size=12), st.data())
def test_bytes_that_nobody_sends_cut_anywhere(parts: list[bytes], data: st.DataObject) -> None:
    wire = b"".join(parts)
    whole, cut = Reader(), Reader()
    expected = whole.feed(wire)
    found: list[Event] = []
    while wire:
        count = data.draw(st.integers(1, len(wire)))
        found += cut.feed(wire[:count])
        wire = wire[count:]
    assert found == expected
    assert cut.dropped == whole.dropped
    assert len(cut._line) <= LONGEST_LINE + 1
    cut.silence()
    assert cut.feed(b"\r\n\x00" + WIRE["W2"])[-4:] == EVENTS["W2"]


@given(st.binary(max_size=3000), st.booleans())
def test_fuzz_never_raises_nor_grows(rubbish: bytes, parity: bool) -> None:
    reader = Reader(parity=parity)
    events = reader.feed(b"/ABC5x\r\n" + rubbish) + reader.silence()
    assert len(events) <= len(rubbish) + 3
    assert len(reader._line) <= LONGEST_LINE + 1


_PRINTABLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="()/!*"), max_size=16)
_SETS = st.builds(DataSet, _PRINTABLE.filter(bool), _PRINTABLE, _PRINTABLE)


@given(st.lists(st.lists(_SETS, min_size=1, max_size=4), max_size=10))
def test_what_is_written_is_read(lines: list[list[DataSet]]) -> None:
    text = "".join(
        "".join(f"{each.address}({each.value}{'*' * bool(each.unit)}{each.unit})" for each in line) + "\r\n"
        for line in lines
    )
    assert Reader().feed(framed(text + "!\r\n")) == [*(Line(tuple(line)) for line in lines), GOOD]


def test_the_grammar_of_lines() -> None:
    sets, rest = parse("1.6.1(0012.3*kW)(2611210945)1.8.0*03(1,5)()")
    assert [(each.address, each.value, each.unit, each.repeated) for each in sets] == [
        ("1.6.1", "0012.3", "kW", False),
        ("1.6.1", "2611210945", "", True),
        ("1.8.0*03", "1,5", "", False),
        ("1.8.0*03", "", "", True),
    ]
    assert not rest
    assert parse("(5)", "1.8.0")[0] == (DataSet("1.8.0", "5", repeated=True),)
    assert parse("1.8.0(5")[1] == "1.8.0(5"

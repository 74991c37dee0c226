import math
import struct

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nportpy.protocols.modbus.values import Kind, Order, Value, ValueType, decode, encode, parse_value, show

NUMBERS = [kind for kind in Kind if kind not in (Kind.STRING, Kind.BIT)]


def vt(text: str) -> ValueType:
    return ValueType.parse(text)


@pytest.mark.parametrize(
    ("kind", "data", "value"),
    [
        ("int16", "FFFF", -1),
        ("uint16", "FFFF", 65535),
        ("int32", "FFFFFFFE", -2),
        ("uint32", "00010000", 65536),
        ("int64", "FFFFFFFFFFFFFFFF", -1),
        ("uint64", "0000000000000100", 256),
        ("float32", "3F800000", 1.0),
        ("float32", "4640E6B9", 12345.681),
        ("float32", "7F7FFFFF", 3.4028235e38),
        ("float32", "00000001", 1e-45),
        ("float32", "80000000", -0.0),
        ("float32", "7F800000", math.inf),
        ("float64", "3FF0000000000000", 1.0),
        ("string:4", "41424344", "ABCD"),
        ("string:3", "41424300", "ABC"),
        ("string:6", "41422020 0000", "AB"),
        ("string:2", "B043", "°C"),
    ],
)
def test_values(kind: str, data: str, value: Value) -> None:
    registers = bytes.fromhex(data)
    assert decode(registers, vt(kind)) == value
    assert repr(decode(registers, vt(kind))) == repr(value)


def test_bits() -> None:
    assert decode(b"\x01", vt("bit")) is True
    assert decode(b"\x00", vt("bit")) is False
    assert encode(True, vt("bit")) == b"\x01"
    assert vt("bit").width == 1


@pytest.mark.parametrize(
    ("order", "two", "four", "eight"),
    [
        ("ABCD", "0102", "01020304", "0102030405060708"),
        ("CDAB", "0102", "03040102", "0708050603040102"),
        ("BADC", "0201", "02010403", "0201040306050807"),
        ("DCBA", "0201", "04030201", "0807060504030201"),
    ],
)
def test_orders(order: str, two: str, four: str, eight: str) -> None:
    values = (("uint16", two, 0x0102), ("uint32", four, 0x01020304), ("uint64", eight, 0x0102030405060708))
    for kind, data, value in values:
        assert decode(bytes.fromhex(data), vt(kind), Order(order)) == value
        assert encode(value, vt(kind), Order(order)) == bytes.fromhex(data)


@pytest.mark.parametrize(
    ("order", "data"), [("ABCD", b"Pump"), ("CDAB", b"Pump"), ("BADC", b"uPpm"), ("DCBA", b"uPpm")]
)
def test_registers_of_a_text_stay_in_place(order: str, data: bytes) -> None:
    assert decode(data, vt("string:4"), Order(order)) == "Pump"
    assert encode("Pump", vt("string:4"), Order(order)) == data


@given(st.sampled_from(NUMBERS), st.sampled_from(Order), st.binary(min_size=8, max_size=8))
def test_numbers_round_trip(kind: Kind, order: Order, data: bytes) -> None:
    registers = data[: 2 * ValueType(kind).width]
    value = decode(registers, ValueType(kind), order)
    assume(not (isinstance(value, float) and math.isnan(value)))
    assert encode(value, ValueType(kind), order) == registers


@given(st.integers(1, 250), st.sampled_from(Order), st.data())
def test_texts_round_trip(length: int, order: Order, data: st.DataObject) -> None:
    characters = st.characters(min_codepoint=1, max_codepoint=255)
    text = data.draw(st.text(characters, max_size=length).filter(lambda text: not text.endswith(" ")))
    kind = ValueType(Kind.STRING, length)
    registers = encode(text, kind, order)
    assert len(registers) == 2 * kind.width
    assert decode(registers, kind, order) == text


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float32_has_no_digit_too_many(exact: float) -> None:
    value = decode(struct.pack(">f", exact), vt("float32"))
    assert isinstance(value, float)
    assert struct.pack(">f", value) == struct.pack(">f", exact)
    assert len(repr(value)) <= len(repr(exact))


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("int16", 32768, "beyond int16, -32768 to 32767"),
        ("uint16", -1, "beyond uint16, 0 to 65535"),
        ("uint64", 1 << 64, "beyond uint64, 0 to 18446744073709551615"),
        ("float32", 1e39, "beyond float32"),
        ("uint16", 1.5, "no whole number"),
        ("uint16", "7", "no number"),
        ("uint16", True, "no number"),
        ("bit", 2, "no bit"),
        ("string:2", 7, "no text"),
        ("string:2", "abc", "3 characters, and string:2 holds 2"),
        ("string:2", "€", "one byte"),
    ],
)
def test_what_a_type_cannot_hold(kind: str, value: Value, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encode(value, vt(kind))


@pytest.mark.parametrize(
    ("kind", "data"), [("uint16", b"\0"), ("float32", b"\0\0"), ("bit", b""), ("string:3", b"abc")]
)
def test_data_of_another_size(kind: str, data: bytes) -> None:
    with pytest.raises(ValueError, match=r"takes|comes in"):
        decode(data, vt(kind))


@pytest.mark.parametrize("text", ["", "string", "string:0", "string:-1", "string:251", "float", "int8", "bit:3"])
def test_no_type(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no type|at most 250"):
        ValueType.parse(text)


def test_types_by_name() -> None:
    assert str(vt("String:16")) == "string:16"
    assert [ValueType(kind).width for kind in NUMBERS] == [1, 1, 2, 2, 4, 4, 2, 4]
    assert vt("string:5").width == 3


def test_nothing_that_a_terminal_takes_for_a_command() -> None:
    assert show("a\x1b[2Jb\x9b") == "a\\x1b[2Jb\\x9b"
    assert show(True) == "1"
    assert show(12345.681) == "12345.681"


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("uint16", "7", 7),
        ("int16", "-7", -7),
        ("uint16", " 0x1F ", 31),
        ("int16", "-0x1", -1),
        ("float32", "1.5", 1.5),
        ("float32", "-.5e-3", -0.0005),
        ("float64", "3", 3),
        ("float32", "inf", math.inf),
        ("string:8", " Pump 1", " Pump 1"),
        ("bit", "on", True),
        ("bit", "False", False),
        ("bit", "1", True),
    ],
)
def test_values_as_people_write_them(kind: str, text: str, value: Value) -> None:
    assert parse_value(text, vt(kind)) == value


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("uint16", "1.5", "'1.5' is no whole number, as uint16 needs"),
        ("uint16", "on", "no whole number"),
        ("uint16", "", "no whole number"),
        ("uint16", "1_000", "no whole number"),
        ("int32", "٣", "no whole number"),
        ("float32", "1,5", "'1,5' is no number, as float32 needs"),
        ("bit", "2", "no bit: 1, 0, on, off, true, false"),
    ],
)
def test_what_no_person_should_write(kind: str, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_value(text, vt(kind))

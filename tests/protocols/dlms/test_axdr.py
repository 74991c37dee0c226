"""Data: every type there and back, the limits, and that nothing but our errors comes out of rubbish."""

import contextlib
import math
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.errors import ProtocolError
from nportpy.protocols.dlms import axdr
from nportpy.protocols.dlms.axdr import DONT_CARE, MAX_DEPTH, BitString, Tag, Value
from nportpy.protocols.dlms.clock import Date, DateTime, Time

WIDTHS = {
    Tag.INTEGER: (-128, 127),
    Tag.UNSIGNED: (0, 255),
    Tag.ENUM: (0, 255),
    Tag.LONG: (-(1 << 15), (1 << 15) - 1),
    Tag.LONG_UNSIGNED: (0, (1 << 16) - 1),
    Tag.DOUBLE_LONG: (-(1 << 31), (1 << 31) - 1),
    Tag.DOUBLE_LONG_UNSIGNED: (0, (1 << 32) - 1),
    Tag.LONG64: (-(1 << 63), (1 << 63) - 1),
    Tag.LONG64_UNSIGNED: (0, (1 << 64) - 1),
    Tag.BCD: (0, 99),
}
BYTE = st.integers(0, 255)
SIMPLE: dict[Tag, st.SearchStrategy[Value]] = {
    Tag.NULL: st.none(),
    Tag.DONT_CARE: st.just(DONT_CARE),
    Tag.BOOLEAN: st.booleans(),
    **{tag: st.integers(*width) for tag, width in WIDTHS.items()},
    Tag.FLOAT32: st.floats(width=32, allow_nan=False),
    Tag.FLOAT64: st.floats(allow_nan=False),
    Tag.OCTET_STRING: st.binary(max_size=300),
    Tag.FLOATING_POINT: st.binary(max_size=8),
    Tag.VISIBLE_STRING: st.text(st.characters(max_codepoint=255), max_size=40),
    Tag.UTF8_STRING: st.text(st.characters(codec="utf-8"), max_size=40),
    Tag.BIT_STRING: st.text("01", max_size=300).map(BitString.of),
    Tag.DATE_TIME: st.binary(min_size=12, max_size=12).map(DateTime.parse),
    Tag.DATE: st.binary(min_size=5, max_size=5).map(Date.parse),
    Tag.TIME: st.binary(min_size=4, max_size=4).map(Time.parse),
}
simple = st.sampled_from(list(SIMPLE)).flatmap(lambda tag: SIMPLE[tag].map(lambda value: (tag, value)))
Coded = tuple[bytes, Value]
coded = simple.map(lambda pair: (axdr.encode(*pair), pair[1]))


def _array(parts: list[Coded]) -> Coded:
    return axdr.array(*(part[0] for part in parts)), [part[1] for part in parts]


def _structure(parts: list[Coded]) -> Coded:
    return axdr.structure(*(part[0] for part in parts)), tuple(part[1] for part in parts)


trees = st.recursive(coded, lambda inner: st.lists(inner, max_size=5).flatmap(
    lambda parts: st.sampled_from([_array(parts), _structure(parts)])), max_leaves=20)  # fmt: skip


@given(trees)
@pytest.mark.long
def test_everything_survives_the_wire(tree: Coded) -> None:
    wire, value = tree
    assert axdr.decode(wire) == value
    for size in range(len(wire)):
        with pytest.raises(ProtocolError):
            axdr.decode(wire[:size])
    with pytest.raises(ProtocolError):
        axdr.decode(wire + b"\0")


@given(st.binary(max_size=200))
def test_rubbish_raises_nothing_but_our_errors(wire: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        axdr.decode(wire)


@given(trees, st.data())
def test_a_mutated_tree_raises_nothing_but_our_errors(tree: Coded, data: st.DataObject) -> None:
    wire = bytearray(tree[0])
    for _ in range(data.draw(st.integers(1, 4))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(BYTE)
    with contextlib.suppress(ProtocolError):
        axdr.decode(bytes(wire))


@pytest.mark.parametrize(
    ("wire", "value"),
    [
        ("00", None),
        ("0300", False),
        ("03FF", True),
        ("0404A0", BitString.of("1010")),
        ("0D42", 42),
        ("0D4A", b"\x4a"),  # no decimal digits: as it is
        ("0FFF", -1),
        ("1700000000", 0.0),
        ("1743676666", pytest.approx(231.4, rel=1e-6)),
        ("0A03414243", "ABC"),
        ("0C02C3A4", "ä"),
        ("0A02C3A4", "Ã¤"),
        ("0C01C3", "\ufffd"),
        ("FF", DONT_CARE),
        ("09820003010203", b"\1\2\3"),
        ("098103010203", b"\1\2\3"),
        ("0984000000021122", b"\x11\x22"),
        ("0202090C07EA0B1506123A0FFFFFC40006000003E8", (bytes.fromhex("07EA0B1506123A0FFFFFC400"), 1000)),
        ("1907EA0B1506123A0FFFFFC400", DateTime(2026, 11, 21, 6, 18, 58, 15, 255, -60, 0)),
    ],
)
def test_values(wire: str, value: Value) -> None:
    assert axdr.decode(bytes.fromhex(wire)) == value


def test_the_bits_of_a_bit_string_come_in_order() -> None:
    assert str(BitString.of("1010")) == "1010"
    assert str(BitString(b"\xa0\xc0", 10)) == "1010000011"
    assert BitString.of("1010").data == b"\xa0"


def test_not_a_number_is_a_float() -> None:
    value = axdr.decode(bytes.fromhex("177FC00000"))
    assert isinstance(value, float)
    assert math.isnan(value)


@pytest.mark.parametrize("tag", sorted(set(range(256)) - {int(tag) for tag in Tag}))
def test_an_unknown_type_is_malformed(tag: int) -> None:
    with pytest.raises(ProtocolError, match="no data type"):
        axdr.decode(bytes((tag, 1, 2, 3)))


@pytest.mark.parametrize("wire", ["01820FFF", "0182FFFF0000", "0184FFFFFFFF00", "02FF00", "0985000000000100", "0980"])
def test_counts_and_lengths_beyond_what_is_there(wire: str) -> None:
    with pytest.raises(ProtocolError):
        axdr.decode(bytes.fromhex(wire))


def test_an_array_of_65535_in_20_bytes() -> None:
    with pytest.raises(ProtocolError, match="65535 elements in"):
        axdr.decode(b"\x01\x82\xff\xff" + bytes(16))


def test_an_array_of_65535_nulls_is_one() -> None:
    assert axdr.decode(b"\x01\x82\xff\xff" + bytes(65535)) == [None] * 65535


def test_nesting_is_bounded() -> None:
    deepest = b"\x01\x01" * MAX_DEPTH + b"\0"
    axdr.decode(deepest)
    for inside in (b"\x01\x01", b"\x02\x01", b"\x13"):
        with pytest.raises(ProtocolError, match="nested"):
            axdr.decode(b"\x01\x01" * MAX_DEPTH + inside + b"\0\0")
    with pytest.raises(ProtocolError, match="nested"):
        axdr.decode(b"\x02\x01" * 100 + b"\0")
    with pytest.raises(ProtocolError, match="nested"):
        axdr.decode(b"\x13" + b"\x02\x01" * 100 + b"\x11\x01\x05")


COMPACT = bytes.fromhex("13 02 02 06 12 0C 000003E8 00E6 000003F4 00E7")


def test_a_compact_array() -> None:
    assert axdr.decode(COMPACT) == [(1000, 230), (1012, 231)]
    for size in range(len(COMPACT)):
        with pytest.raises(ProtocolError):
            axdr.decode(COMPACT[:size])
    for rubbish in (b"\0", b"\xff" * 5):
        with pytest.raises(ProtocolError):
            axdr.decode(COMPACT + rubbish)
        with pytest.raises(ProtocolError):
            axdr.decode(rubbish + COMPACT)


@pytest.mark.parametrize(
    ("wire", "value"),
    [
        ("13 11 00", []),
        ("13 00 00", []),
        ("13 11 03 010203", [1, 2, 3]),
        ("13 09 05 02 4142 01 43", [b"AB", b"C"]),
        ("13 04 02 04 A0", [BitString.of("1010")]),
        ("13 01 0002 12 08 0001 0002 0003 0004", [[1, 2], [3, 4]]),
        ("13 02 03 00 11 03 04 05 01 06 00", [(None, 5, True), (None, 6, False)]),
        ("13 02 02 01 0002 11 02 01 0F 03 01 02 FF", [([1, 2], (-1,))]),
        ("02 02 13 11 01 07 11 08", ([7], 8)),
    ],
)
def test_compact_arrays(wire: str, value: Value) -> None:
    data = bytes.fromhex(wire)
    assert axdr.decode(data) == value
    for size in range(len(data)):
        with pytest.raises(ProtocolError):
            axdr.decode(data[:size])


@pytest.mark.parametrize(
    "wire",
    [
        "13 00 02 0000",  # null has no contents
        "13 12 03 000100",  # half an element
        "13 13 11 02 0101",  # no compact array in another
        "13 02 02 01 FFFF 01 FFFF 00 11 02 0505",  # four milliards of nulls for each byte
        "13 01 FFFF 11 02 0505",  # 65535 elements in two bytes
        "13 02 00 01 05",  # structures of nothing
    ],
)
def test_compact_arrays_that_are_none(wire: str) -> None:
    with pytest.raises(ProtocolError):
        axdr.decode(bytes.fromhex(wire))


def test_few_bytes_do_not_make_millions_of_values() -> None:
    many = bytes.fromhex("13 02 02 01 FFFF 00 11 01 05") * 200
    wire = b"\x01\x81\xc8" + many
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError, match="too many values"):
            axdr.decode(wire)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=60))
def test_rubbish_in_a_compact_array(contents: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        axdr.decode(b"\x13" + contents)


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        (Tag.INTEGER, 128),
        (Tag.UNSIGNED, -1),
        (Tag.UNSIGNED, 1.5),
        (Tag.OCTET_STRING, 5),
        (Tag.VISIBLE_STRING, "€"),
        (Tag.ARRAY, []),
        (Tag.DATE, None),
        (Tag.BCD, 1000),
        (Tag.FLOAT32, 1e300),
    ],
)
def test_what_a_type_cannot_hold(tag: Tag, value: Value) -> None:
    with pytest.raises(ProtocolError):
        axdr.encode(tag, value)


@given(st.integers(0, 0xFFFF))
def test_lengths_survive_the_wire(size: int) -> None:
    wire = axdr.encode_length(size)
    assert axdr.length(wire, 0) == (size, len(wire))
    for cut in range(len(wire)):
        with pytest.raises(ProtocolError):
            axdr.length(wire[:cut], 0)

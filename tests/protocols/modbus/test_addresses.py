import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.protocols.modbus.addresses import Address, Numbering, parse, parse_range
from nportpy.protocols.modbus.functions import Span, Table

COILS, DISCRETE, INPUT, HOLDING = Table
ADDRESSES = st.builds(Address, st.sampled_from(Table), st.integers(0, 0xFFFF))


@pytest.mark.parametrize(
    ("text", "table", "number"),
    [
        ("41001", HOLDING, 1000),
        ("401001", HOLDING, 1000),
        ("4x1001", HOLDING, 1000),
        ("4X01001", HOLDING, 1000),
        ("40001", HOLDING, 0),
        ("49999", HOLDING, 9998),
        ("410000", HOLDING, 9999),
        ("465536", HOLDING, 65535),
        ("30001", INPUT, 0),
        ("10001", DISCRETE, 0),
        ("100001", DISCRETE, 0),
        ("00001", COILS, 0),
        ("000001", COILS, 0),
        ("065536", COILS, 65535),
        ("holding:1000", HOLDING, 1000),
        ("holding:0x3E8", HOLDING, 1000),
        ("Input:0", INPUT, 0),
        ("coil:7", COILS, 7),
        ("discrete:65535", DISCRETE, 65535),
        (" 41001 ", HOLDING, 1000),
    ],
)
def test_modicon(text: str, table: Table, number: int) -> None:
    assert parse(text) == Address(table, number)


@pytest.mark.parametrize(
    ("text", "numbering", "expected"),
    [
        ("1000", Numbering.PDU, "holding:1000"),
        ("0x3e8", Numbering.PDU, "holding:1000"),
        ("41001", Numbering.PDU, "holding:41001"),
        ("input:5", Numbering.PDU, "input:5"),
        ("4x1001", Numbering.PDU, "holding:1000"),
        ("1001", Numbering.ONE_BASED, "holding:1000"),
        ("0x3E8", Numbering.ONE_BASED, "holding:1000"),
        ("holding:1000", Numbering.ONE_BASED, "holding:1000"),
    ],
)
def test_other_numberings(text: str, numbering: Numbering, expected: str) -> None:
    assert str(parse(text, numbering)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1001", "holding register 1001 counted from 1 is 41001, PDU address 1001 is holding:1001"),
        ("0", "manuals' numbers have 5 or 6 digits"),
        ("4100100", "manuals' numbers have 5 or 6 digits"),
        ("40000", "the first holding register is 40001; PDU address 0 is holding:0"),
        ("30000", "the first input register is 30001"),
        ("21001", "no table begins with 2"),
        ("9x1", "no table begins with 9"),
        ("465537", "the last holding register is 465536"),
        ("0x3E8", "of which table.*holding:0x3e8"),
        ("register:5", "'register' is no table; tables are coil, discrete, input, holding"),
        ("holding:65536", "PDU addresses end at 65535"),
        ("holding:401001", "the manual's 401001 is holding:1000"),
        ("holding:", "neither a decimal number"),
        ("holding:-1", "neither a decimal number"),
        ("", "is no address"),
        ("energy", "'energy' is no address"),
        ("٤١٠٠١", "is no address"),
    ],
)
def test_what_was_meant(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(text)


@pytest.mark.parametrize(
    ("text", "numbering", "message"),
    [
        ("65536", Numbering.PDU, "end at 65535"),
        ("401001", Numbering.PDU, "the manual's 401001 is holding:1000"),
        ("0", Numbering.ONE_BASED, "begin with 1"),
        ("x", Numbering.ONE_BASED, "is no address"),
    ],
)
def test_what_was_meant_in_other_numberings(text: str, numbering: Numbering, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(text, numbering)


@given(ADDRESSES, st.sampled_from([5, 6]), st.sampled_from(Numbering))
def test_every_address_is_found_again(address: Address, digits: int, numbering: Numbering) -> None:
    assert parse(address.modicon(digits)) == address
    assert parse(str(address), numbering) == address


@given(st.text(alphabet="0134x:-holding ", max_size=12), st.sampled_from(Numbering))
def test_anything_else_is_a_value_error(text: str, numbering: Numbering) -> None:
    try:
        found = parse_range(text, numbering)
    except ValueError:
        return
    assert 0 <= found.first.number <= 0xFFFF


def names(text: str, width: int, numbering: Numbering = Numbering.MODICON) -> list[str]:
    return [name for name, _ in parse_range(text, numbering).split(width)]


def test_one_address_is_one_value() -> None:
    assert parse_range("41001").split(2) == [("41001", Span(HOLDING, 1000, 2))]


def test_a_range_has_its_end() -> None:
    assert parse_range("41053-41058").split(2) == [
        ("41053", Span(HOLDING, 1052, 2)),
        ("41055", Span(HOLDING, 1054, 2)),
        ("41057", Span(HOLDING, 1056, 2)),
    ]
    assert names("401001-401002", 1) == ["401001", "401002"]
    assert names("holding:8-0xA", 1) == ["holding:8", "holding:9", "holding:10"]
    assert names("coil:8-coil:9", 1) == ["coil:8", "coil:9"]
    assert names("8-9", 1, Numbering.PDU) == ["holding:8", "holding:9"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("41010-41001", "ends before it begins"),
        ("31001-41001", "begins among input and ends among holding"),
        ("41001-", "is no address"),
        ("41001-41002-41003", "is no address"),
    ],
)
def test_no_range(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_range(text)


def test_a_range_of_whole_values() -> None:
    with pytest.raises(ValueError, match="3 addresses, and a value has 2"):
        parse_range("41001-41003").split(2)
    with pytest.raises(ValueError, match="beyond the last address"):
        parse_range("465536").split(2)

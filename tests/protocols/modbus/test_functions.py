import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.errors import ProtocolError
from nportpy.protocols.modbus.functions import (
    NEED_MORE,
    UNKNOWN,
    Span,
    Table,
    answer_length,
    check_request,
    expected_answer,
    is_answer,
    is_repeatable,
    may_broadcast,
    never_answered,
    read_span,
    request_length,
    write_span,
)
from tests.protocols.modbus.vectors import PAIRS, VENDOR

KNOWN = [pair for pair in PAIRS if pair != VENDOR]
COUNTED_SIZES = {1: 2000, 2: 2000, 3: 125, 4: 125}


@pytest.mark.parametrize(("request_", "answer"), PAIRS)
def test_the_examples_of_the_standard(request_: bytes, answer: bytes) -> None:
    check_request(request_)
    assert is_answer(request_, answer)
    assert is_answer(request_, bytes((request_[0] | 0x80, 2)))
    assert not is_answer(request_, bytes((request_[0] | 0x80, 2, 0)))
    assert not is_answer(request_, b"")


@pytest.mark.parametrize(("request_", "answer"), KNOWN)
def test_lengths_are_told_as_soon_as_the_bytes_say_so_and_never_wrong(request_: bytes, answer: bytes) -> None:
    for data, length_of in ((request_, request_length), (answer, answer_length)):
        told = [length_of(data[:size]) for size in range(len(data) + 1)]
        assert set(told) <= {NEED_MORE, len(data)}
        assert told[-1] == len(data)
        assert told == sorted(told)
        assert length_of(b"\xaa" + data, 1) == length_of(data + b"\x55") == len(data)


@pytest.mark.parametrize(("request_", "answer"), KNOWN)
def test_an_answer_of_another_length_or_function_is_none(request_: bytes, answer: bytes) -> None:
    assert not is_answer(request_, answer[:-1])
    assert not is_answer(request_, answer + b"\x00")
    assert not is_answer(request_, bytes((answer[0] + 1,)) + answer[1:])
    prefix, length = expected_answer(request_)
    assert answer.startswith(prefix)
    assert length in (len(answer), NEED_MORE)


@pytest.mark.parametrize(
    "pdu",
    ["05 00AC FF00", "06 0001 0003", "08 0000 A537", "08 0000 A537 0102", "15 09 06 0004 0007 0001 0102",
     "16 0004 00F2 0025", "41 01 02"],
)  # fmt: skip
def test_answers_that_may_equal_the_request(pdu: str) -> None:
    assert is_answer(bytes.fromhex(pdu), bytes.fromhex(pdu))


def test_a_read_may_be_its_own_answer_by_chance() -> None:
    assert is_answer(bytes.fromhex("01 0312 0018"), bytes.fromhex("01 0312 0018"))
    assert not is_answer(bytes.fromhex("01 0412 0018"), bytes.fromhex("01 0412 0018"))


@pytest.mark.parametrize(
    "pdu",
    [
        "",
        "00",
        "80",
        "83 02",
        "03 0000 00",
        "03 0000 0001 00",
        "01 0000 0000",
        "01 0000 07D1",
        "03 0000 0000",
        "03 0000 007E",
        "04 0000 FFFF",
        "07 00",
        "08 00",
        "08 0001 00",
        "08 0000 0001 02",
        "0F 0013 000A 01 CD",
        "0F 0013 0000 00",
        "10 0001 0002 03 000A 01",
        "10 0001 0000 00",
        "10 0001 007C F8" + 248 * "00",
        "14 06 060004 0001 00",
        "14 00",
        "14 FC" + 252 * "00",
        "15 02 0600",
        "16 0004 00F2",
        "17 0003 007E 000E 0001 02 0000",
        "17 0003 0001 000E 0000 00",
        "17 0003 0001 000E 0001 03 000000",
        "18 04",
        "2B 0E 01",
        "41" + 253 * "00",
    ],
)
def test_requests_that_a_server_would_refuse(pdu: str) -> None:
    with pytest.raises(ProtocolError):
        check_request(bytes.fromhex(pdu))


@pytest.mark.parametrize("pdu", ["05 0001 5500", "2B 0D 01 02", "41", "7F 01", "08 0000 0102 0304", "63 00"])
def test_what_vendors_do_passes(pdu: str) -> None:
    check_request(bytes.fromhex(pdu))


@pytest.mark.parametrize(("function", "most"), COUNTED_SIZES.items())
def test_the_largest_answers_fit_a_frame(function: int, most: int) -> None:
    request = bytes((function, 0, 0)) + most.to_bytes(2, "big")
    check_request(request)
    assert expected_answer(request).length <= 253


def test_what_a_request_touches() -> None:
    pdus = [bytes.fromhex(pdu) for pdu in (
            "01 0013 0013", "03 006B 0003", "05 00AC FF00", "0F 0013 000A 02 CD01",
            "10 0001 0002 04 000A 0102", "16 0004 00F2 0025", "17 0003 0006 000E 0003 06 00FF00FF00FF", "07",
    )]  # fmt: skip
    assert [read_span(pdu) for pdu in pdus] == [
        Span(Table.COILS, 0x13, 19),
        Span(Table.HOLDING_REGISTERS, 0x6B, 3),
        None,
        None,
        None,
        None,
        Span(Table.HOLDING_REGISTERS, 3, 6),
        None,
    ]
    assert [write_span(pdu) for pdu in pdus] == [
        None,
        None,
        Span(Table.COILS, 0xAC, 1),
        Span(Table.COILS, 0x13, 10),
        Span(Table.HOLDING_REGISTERS, 1, 2),
        Span(Table.HOLDING_REGISTERS, 4, 1),
        Span(Table.HOLDING_REGISTERS, 14, 3),
        None,
    ]


def test_single_register_writes_touch_one() -> None:
    assert write_span(bytes.fromhex("06 0001 0003")) == Span(Table.HOLDING_REGISTERS, 1, 1)
    assert read_span(bytes.fromhex("02 00C4 0016")) == Span(Table.DISCRETE_INPUTS, 0xC4, 22)
    assert read_span(bytes.fromhex("04 0008 0001")) == Span(Table.INPUT_REGISTERS, 8, 1)


@pytest.mark.parametrize(
    ("pdu", "repeatable", "broadcast"),
    [
        ("01 0000 0001", True, False),
        ("04 0000 0001", True, False),
        ("05 0000 FF00", False, True),
        ("06 0000 0001", False, True),
        ("07", True, False),
        ("08 0000 0001", True, False),
        ("08 0001 0000", False, True),
        ("08 000A 0000", False, True),
        ("08 000B 0000", True, False),
        ("08 0004 0000", False, True),
        ("0B", True, False),
        ("10 0000 0001 02 0000", False, True),
        ("11", True, False),
        ("17 0000 0001 0000 0001 02 0000", False, False),
        ("18 04DE", True, False),
        ("2B 0E 01 00", True, False),
        ("2B 0D 01 00", False, True),
        ("41 00", False, True),
    ],
)
def test_what_may_be_repeated_and_what_broadcast(pdu: str, repeatable: bool, broadcast: bool) -> None:
    assert is_repeatable(bytes.fromhex(pdu)) is repeatable
    assert may_broadcast(bytes.fromhex(pdu)) is broadcast


def test_force_listen_only_is_never_answered() -> None:
    assert never_answered(bytes.fromhex("08 0004 0000"))
    assert not never_answered(bytes.fromhex("08 0000 0004"))


@pytest.mark.parametrize("pdu", ["18 0003 00", "18 0044 0000", "2B 0D 00", "2B 0E 01 01 00 00 FF", "41 00", "14 FF"])
def test_answers_that_never_tell_their_length(pdu: str) -> None:
    data = bytes.fromhex(pdu) + (b"\x00\xff" * 200 if pdu.startswith("2B 0E") else b"")
    assert answer_length(data) == UNKNOWN


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_no_bytes_raise_anything_else(data: bytes, other: bytes) -> None:
    for length in (request_length(data), answer_length(data)):
        assert length in (UNKNOWN, NEED_MORE) or 1 <= length <= 253
    is_answer(data, other)
    expected_answer(data)
    if data:
        is_repeatable(data)
        may_broadcast(data)
    try:
        check_request(data)
    except ProtocolError:
        return
    read_span(data)
    write_span(data)
    assert request_length(data) in (len(data), UNKNOWN)

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.errors import ProtocolError
from nportpy.protocols.modbus.pdu import (
    READS_REGISTERS,
    FunctionCode,
    ReadRegisters,
    Refusal,
    Registers,
    parse_answer,
)

# MODBUS Application Protocol V1.1b3, 6.3 and 6.4: the examples of the standard.
HOLDING = ReadRegisters(FunctionCode.READ_HOLDING_REGISTERS, 107, 3)
HOLDING_REQUEST = bytes.fromhex("03 006B 0003")
HOLDING_ANSWER = bytes.fromhex("03 06 022B 0000 0064")
INPUT = ReadRegisters(FunctionCode.READ_INPUT_REGISTERS, 8, 1)
INPUT_REQUEST = bytes.fromhex("04 0008 0001")
INPUT_ANSWER = bytes.fromhex("04 02 000A")


@pytest.mark.parametrize(("request_", "wire"), [(HOLDING, HOLDING_REQUEST), (INPUT, INPUT_REQUEST)])
def test_requests_of_the_standard(request_: ReadRegisters, wire: bytes) -> None:
    assert request_.encode() == wire
    assert ReadRegisters.parse(wire) == request_


@pytest.mark.parametrize(("request_", "wire"), [(HOLDING, HOLDING_ANSWER), (INPUT, INPUT_ANSWER)])
def test_answers_of_the_standard(request_: ReadRegisters, wire: bytes) -> None:
    answer = parse_answer(request_, wire)
    assert answer == Registers(request_.function, wire[2:])
    assert answer.encode() == wire


def test_exception() -> None:
    answer = parse_answer(HOLDING, b"\x83\x02")
    assert answer == Refusal(3, 2)
    assert answer.encode() == b"\x83\x02"


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        b"\x03",
        b"\x83",
        b"\x83\x02\x00",
        b"\x84\x02",
        INPUT_ANSWER,
        HOLDING_ANSWER[:-1],
        HOLDING_ANSWER + b"\x00",
        b"\x03\x04" + HOLDING_ANSWER[2:],
    ],
)
def test_what_answers_something_else_is_malformed(wire: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_answer(HOLDING, wire)


@pytest.mark.parametrize("wire", [b"", HOLDING_REQUEST[:-1], HOLDING_REQUEST + b"\x00", b"\x06" + HOLDING_REQUEST[1:]])
def test_what_is_no_read_request_is_malformed(wire: bytes) -> None:
    with pytest.raises(ProtocolError):
        ReadRegisters.parse(wire)


@given(st.sampled_from(sorted(READS_REGISTERS)), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_requests_survive_the_wire(function: FunctionCode, address: int, count: int) -> None:
    request = ReadRegisters(function, address, count)
    assert ReadRegisters.parse(request.encode()) == request


@given(st.binary(max_size=300))
def test_answers_never_raise_anything_else(wire: bytes) -> None:
    try:
        answer = parse_answer(HOLDING, wire)
    except ProtocolError:
        return
    assert answer.encode() == wire

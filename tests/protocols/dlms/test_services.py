"""What services say beyond the vectors: long answers, odd ones, and rubbish."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.errors import ProtocolError
from nportpy.protocols.dlms import apdu, axdr, short
from nportpy.protocols.dlms.apdu import Notification
from nportpy.protocols.dlms.axdr import Tag
from nportpy.protocols.dlms.blocks import Blocks, GeneralBlock, GeneralTransfer
from nportpy.protocols.dlms.logical import Acted, AttributeDescriptor, Got, GotBlock, get
from nportpy.protocols.dlms.obis import Obis
from nportpy.protocols.dlms.results import ExceptionResponse, Refused, ServiceError
from nportpy.protocols.dlms.short import ReadAnswer, Variable, Written
from tests.protocols.dlms.vectors import APDUS

NUMBER = axdr.encode(Tag.DOUBLE_LONG_UNSIGNED, 77160)


@given(st.sampled_from(sorted(APDUS)), st.data())
def test_mutated_answers_raise_nothing_but_our_errors(name: str, data: st.DataObject) -> None:
    wire = bytearray(APDUS[name])
    for _ in range(data.draw(st.integers(1, 4))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ProtocolError):
        apdu.parse(bytes(wire))


@given(st.sampled_from([0x0C, 0x0D, 0x0E, 0x0F, 0x18, 0xC2, 0xC4, 0xC7, 0xD8, 0xE0, 0x61]), st.binary(max_size=60))
def test_rubbish_raises_nothing_but_our_errors(tag: int, rest: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        apdu.parse(bytes((tag,)) + rest)


def test_no_answer_at_all() -> None:
    with pytest.raises(ProtocolError):
        apdu.parse(b"")


def test_only_the_low_bits_of_the_invoke_id_are_compared() -> None:
    for invoke in (0x01, 0x41, 0xC1):
        assert apdu.parse(bytes((0xC4, 1, invoke, 0)) + NUMBER) == Got(1, 77160)
    assert get(15, AttributeDescriptor(1, Obis.parse("0.0.42.0.0.255")))[2] == 0xCF


@pytest.mark.parametrize("tag", [0x0F, 0xC2, 0x18])
def test_what_meters_say_by_themselves_is_no_answer(tag: int) -> None:
    assert apdu.parse(bytes((tag, 0, 0, 0, 1, 0)) + NUMBER) == Notification(tag, b"\0\0\0\1\0" + NUMBER)


def test_a_block_may_be_a_refusal() -> None:
    assert apdu.parse(bytes.fromhex("C402C1010000000201 13")) == GotBlock(1, last=True, number=2, raw=Refused(19))


def test_actions() -> None:
    assert apdu.parse(bytes.fromhex("C701C100")) == Acted(1, 0)
    assert apdu.parse(bytes.fromhex("C701C10000")) == Acted(1, 0)
    assert apdu.parse(bytes.fromhex("C701C103 01 01 04")) == Acted(1, 3, Refused(4))
    with pytest.raises(ProtocolError):
        apdu.parse(bytes.fromhex("C701C100 02"))


def test_writes() -> None:
    assert apdu.parse(bytes.fromhex("0D0100")) == Written((None,))
    assert apdu.parse(bytes.fromhex("0D0200010D")) == Written((None, Refused(13)))
    for wire in ("0D", "0D01", "0D0101", "0D010000", "0D0102", "0DFF00"):
        with pytest.raises(ProtocolError):
            apdu.parse(bytes.fromhex(wire))


def test_a_read_may_mix_values_and_refusals() -> None:
    wire = b"\x0c\x03\x00" + NUMBER + b"\x01\x0b\x00\x00"
    assert apdu.parse(wire) == ReadAnswer((77160, Refused(11), None))


def test_a_number_of_a_block_that_was_never_written() -> None:
    with pytest.raises(ProtocolError):
        apdu.parse(bytes.fromhex("0C01030001"))


def test_short_names() -> None:
    assert short.attribute_name(0xB0, 2) == 0xB8
    assert short.attribute_name(-0x600, 2) == 0xFA08  # base names come signed
    assert short.method_name(0xFA00, 12, 8) == 0xFA58
    assert short.method_name(0x1380, 7, 1) == 0x13D8
    with pytest.raises(ProtocolError, match="class 99"):
        short.method_name(0xB0, 99, 1)
    assert short.read([Variable(0xB8)] * 130)[:3] == bytes.fromhex("058182")


def test_the_parts_of_a_single_read_are_data_or_a_list_of_one() -> None:
    row = axdr.array(axdr.structure(NUMBER))
    assert short.joined(row, 1) == ([(77160,)],)
    assert short.joined(b"\x01\x00" + row, 1) == ([(77160,)],)
    assert short.joined(b"\x01\x01\x0d", 1) == (Refused(13),)
    assert short.joined(b"\x02\x00" + NUMBER + b"\x01\x04", 2) == (77160, Refused(4))
    for raw, count in ((b"\x02\x00" + NUMBER + b"\x01\x04", 3), (NUMBER, 2), (b"", 1), (b"", 2)):
        with pytest.raises(ProtocolError):
            short.joined(raw, count)


def test_blocks_come_in_order() -> None:
    blocks = Blocks(10)
    blocks.add(1, b"abcd")
    blocks.add(1, b"abcd")  # its acknowledgement was lost: sent again
    with pytest.raises(ProtocolError, match="block 3 instead of block 2"):
        blocks.add(3, b"")
    blocks.add(2, b"efghij")
    assert blocks.joined() == b"abcdefghij"
    with pytest.raises(ProtocolError, match="more than 10 bytes"):
        blocks.add(3, b"k")
    with pytest.raises(ProtocolError):
        Blocks().add(0, b"")


def test_a_list_may_end_anywhere_in_a_block() -> None:
    whole = b"\x02\x00" + NUMBER + b"\x00" + NUMBER
    for cut in range(len(whole) + 1):
        blocks = Blocks()
        blocks.add(1, whole[:cut])
        blocks.add(2, whole[cut:])
        assert short.joined(blocks.joined(), 2) == (77160, 77160)


def test_general_blocks_are_acknowledged_and_joined() -> None:
    transfer = GeneralTransfer()
    whole = APDUS["L2"]
    assert (
        transfer.add(GeneralBlock(last=False, streaming=False, window=1, number=1, acknowledged=1, data=whole[:5]))
        is None
    )
    assert transfer.acknowledge() == bytes.fromhex("E0 81 0001 0001 00")
    # One is lost: the next one changes nothing, and the same is asked for again.
    assert transfer.add(GeneralBlock(last=True, streaming=False, window=1, number=3, acknowledged=1, data=b"x")) is None
    assert transfer.acknowledge() == bytes.fromhex("E0 81 0002 0001 00")
    last = GeneralBlock(last=True, streaming=False, window=1, number=2, acknowledged=1, data=whole[5:])
    assert transfer.add(last) == whole
    with pytest.raises(ProtocolError, match="more than 3 bytes"):
        GeneralTransfer(3).add(last.__class__(True, False, 1, 1, 0, b"four"))


@given(
    st.booleans(),
    st.booleans(),
    st.integers(0, 63),
    st.integers(0, 65535),
    st.integers(0, 65535),
    st.binary(max_size=300),
)
def test_general_blocks_survive_the_wire(
    last: bool, streaming: bool, window: int, number: int, acknowledged: int, data: bytes
) -> None:
    block = GeneralBlock(last, streaming, window, number, acknowledged, data)
    assert GeneralBlock.parse(block.encode()) == block


@pytest.mark.parametrize(("code", "permanent"), [(1, False), (2, False), (250, False), (3, True), (4, True), (9, True),
                                                 (11, True), (13, True), (77, False)])  # fmt: skip
def test_results_say_which(code: int, permanent: bool) -> None:
    refused = Refused(code)
    assert refused.permanent is permanent
    assert f"result {code}" in str(refused)


def test_field_5_an_exception_may_mean_that_the_association_is_gone() -> None:
    answer = apdu.parse(bytes.fromhex("D80101"))
    assert isinstance(answer, ExceptionResponse)
    assert answer.dissociated
    assert "not allowed" in str(answer)
    assert not ExceptionResponse(1, 2).dissociated
    assert apdu.parse(bytes.fromhex("D802060000002A")) == ExceptionResponse(2, 6, 42)
    assert str(ExceptionResponse(9, 9))
    for wire in ("D8", "D801", "D8010100", "D802060000"):
        with pytest.raises(ProtocolError):
            apdu.parse(bytes.fromhex(wire))


def test_service_errors_say_which() -> None:
    assert str(ServiceError(1, 6, 1)) == "initiate failed: initiate, DLMS version too low"
    assert "scope of access violated" in str(ServiceError(5, 5, 1))
    assert str(ServiceError(99, 99, 99))

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.errors import ProtocolError
from nportpy.protocols.modbus.functions import Span, Table, check_request, read_span
from nportpy.protocols.modbus.reads import cut, group, longest_read, request

SPANS = st.lists(
    st.tuples(st.sampled_from(Table), st.integers(0, 400), st.integers(1, 125)).map(lambda span: Span(*span)),
    max_size=30,
)


def holding(address: int, quantity: int) -> Span:
    return Span(Table.HOLDING_REGISTERS, address, quantity)


def test_neighbours_share_a_read() -> None:
    assert group([holding(1002, 2), holding(1000, 2)]) == [holding(1000, 4)]
    assert group([holding(1000, 2), holding(1004, 2)]) == [holding(1000, 2), holding(1004, 2)]
    assert group([holding(1000, 2), holding(1004, 2)], gap=2) == [holding(1000, 6)]
    assert group([holding(1000, 4), holding(1001, 1)]) == [holding(1000, 4)]
    assert group([holding(0, 124), holding(124, 2)]) == [holding(0, 124), holding(124, 2)]
    assert group([holding(0, 1), Span(Table.INPUT_REGISTERS, 1, 1)]) == [
        Span(Table.INPUT_REGISTERS, 1, 1),
        holding(0, 1),
    ]


@given(SPANS, st.integers(0, 20))
def test_every_span_lies_in_a_read_that_a_device_takes(spans: list[Span], gap: int) -> None:
    reads = group(spans, gap)
    for read in reads:
        assert read.quantity <= longest_read(read.table)
        check_request(request(read))
        assert read_span(request(read)) == read
    for span in spans:
        assert any(
            read.table == span.table
            and read.address <= span.address
            and span.address + span.quantity <= read.address + read.quantity
            for read in reads
        )


def test_cut_registers() -> None:
    answer = bytes.fromhex("03 06 0001 0203 0405")
    assert cut(holding(1000, 3), answer, holding(1000, 3)) == answer[2:]
    assert cut(holding(1000, 3), answer, holding(1001, 1)) == b"\x02\x03"


def test_cut_bits() -> None:
    # the example of 6.1: coils 20 to 38
    read = Span(Table.COILS, 19, 19)
    answer = bytes.fromhex("01 03 CD 6B 05")
    assert cut(read, answer, Span(Table.COILS, 19, 8)) == bytes((1, 0, 1, 1, 0, 0, 1, 1))
    assert cut(read, answer, Span(Table.COILS, 36, 2)) == b"\0\1"


@pytest.mark.parametrize("answer", ["83 02", "04 02 0001", "03 04 0001 0002", "03 02 00"])
def test_no_answer(answer: str) -> None:
    with pytest.raises(ProtocolError):
        cut(holding(0, 1), bytes.fromhex(answer), holding(0, 1))

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.protocols.modbus.functions import Span, Table, check_request, write_span
from nportpy.protocols.modbus.writes import Write, join, longest_write, request, split


def holding(address: int, data: str) -> Write:
    registers = bytes.fromhex(data)
    return Write(Span(Table.HOLDING_REGISTERS, address, len(registers) // 2), registers)


def coils(address: int, bits: str) -> Write:
    return Write(Span(Table.COILS, address, len(bits)), bytes(map(int, bits)))


@pytest.mark.parametrize(
    ("write", "multiple", "pdu"),
    [  # the examples of 6.5, 6.6, 6.11 and 6.12
        (coils(172, "1"), False, "05 00AC FF00"),
        (coils(172, "0"), False, "05 00AC 0000"),
        (holding(1, "0003"), False, "06 0001 0003"),
        (coils(19, "1011001110"), True, "0F 0013 000A 02 CD01"),
        (holding(1, "000A0102"), True, "10 0001 0002 04 000A 0102"),
        (holding(1, "0003"), True, "10 0001 0001 02 0003"),
        (coils(172, "1"), True, "0F 00AC 0001 01 01"),
    ],
)
def test_requests(write: Write, multiple: bool, pdu: str) -> None:
    assert request(write, multiple=multiple) == bytes.fromhex(pdu)


def test_what_follows_goes_with_it() -> None:
    assert join([holding(1, "0001"), holding(2, "0002 0003")]) == [holding(1, "0001 0002 0003")]
    apart = [holding(2, "0002"), holding(1, "0001")]  # the order is the user's
    assert join(apart) == apart
    assert join([coils(1, "1"), holding(2, "0002")]) == [coils(1, "1"), holding(2, "0002")]
    assert join([holding(1, "0001"), holding(3, "0003")]) == [holding(1, "0001"), holding(3, "0003")]


def test_one_at_a_time() -> None:
    assert split(holding(1, "0001 0002")) == [holding(1, "0001"), holding(2, "0002")]
    assert split(coils(7, "10")) == [coils(7, "1"), coils(8, "0")]


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 60), st.integers(1, 123)).map(
            lambda w: coils(w[1], "1" * w[2]) if w[0] else holding(w[1], "abcd" * w[2])
        )
    ),
    st.data(),
)
def test_the_same_bytes_reach_the_same_places_in_the_same_order(writes: list[Write], data: st.DataObject) -> None:
    def places(writes: list[Write]) -> list[tuple[Table, int, bytes]]:
        return [(one.span.table, one.span.address, one.data) for write in writes for one in split(write)]

    # some that follow on the one before
    for at in range(1, len(writes)):
        before = writes[at - 1].span
        if data.draw(st.booleans()) and before.table == writes[at].span.table:
            writes[at] = Write(writes[at].span._replace(address=before.address + before.quantity), writes[at].data)
    joined = join(writes)
    assert places(joined) == places(writes)
    for write in joined:
        assert write.span.quantity <= longest_write(write.span.table)
        pdu = request(write, multiple=True)
        check_request(pdu)
        assert write_span(pdu) == write.span

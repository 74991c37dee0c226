"""Reading what lies in the four tables: which requests to send, and what of an answer is whose.

Source: MODBUS Application Protocol V1.1b3, 6.1 to 6.4.
"""

import struct
from collections.abc import Iterable

from nportpy.errors import ProtocolError
from nportpy.protocols.modbus.functions import Span, Table, is_answer
from nportpy.protocols.modbus.pdu import EXCEPTION_BIT, MAX_READ_BITS, MAX_READ_REGISTERS, FunctionCode

_FUNCTIONS = {
    Table.COILS: FunctionCode.READ_COILS,
    Table.DISCRETE_INPUTS: FunctionCode.READ_DISCRETE_INPUTS,
    Table.INPUT_REGISTERS: FunctionCode.READ_INPUT_REGISTERS,
    Table.HOLDING_REGISTERS: FunctionCode.READ_HOLDING_REGISTERS,
}
_BITS = frozenset((Table.COILS, Table.DISCRETE_INPUTS))


def holds_bits(table: Table) -> bool:
    """Whether the table has bits, not registers."""
    return table in _BITS


def longest_read(table: Table) -> int:
    """How many bits or registers one answer can carry."""
    return MAX_READ_BITS if holds_bits(table) else MAX_READ_REGISTERS


def group(spans: Iterable[Span], gap: int = 0) -> list[Span]:
    """The reads that fetch all of `spans`, in the order of tables and addresses.

    Neighbours share a read as long as one answer can carry it. A span is never split: none is longer than
    `longest_read`.

    Args:
        spans: what is wanted, in any order; they may overlap.
        gap: how many registers or bits that nobody wants may lie between two that share a read. Some devices refuse
            to read what their manual does not list.
    """
    reads: list[Span] = []
    for span in sorted(spans):
        if reads:
            last = reads[-1]
            end = max(last.address + last.quantity, span.address + span.quantity)
            near = span.address <= last.address + last.quantity + gap
            if span.table == last.table and near and end - last.address <= longest_read(span.table):
                reads[-1] = last._replace(quantity=end - last.address)
                continue
        reads.append(span)
    return reads


def request(span: Span) -> bytes:
    """The PDU that reads `span`."""
    return struct.pack(">BHH", _FUNCTIONS[span.table], span.address, span.quantity)


def cut(read: Span, answer: bytes, part: Span) -> bytes:
    """What lies in `part`, which is inside `read`.

    Args:
        read: what was read.
        answer: the PDU that came back.
        part: what is wanted of it.

    Returns:
        Of registers two bytes each, the high one first; of bits one byte each, 0 or 1.

    Raises:
        ProtocolError: `answer` does not carry `read`: another function, another length, or an exception.
    """
    if not is_answer(request(read), answer) or answer[0] & EXCEPTION_BIT:
        raise ProtocolError(f"not an answer with {read.quantity} values: {answer[:16].hex(' ')}")
    first = part.address - read.address
    data = answer[2:]
    if holds_bits(read.table):  # the first is the lowest bit of the first byte (6.1)
        return bytes(data[at // 8] >> at % 8 & 1 for at in range(first, first + part.quantity))
    return data[2 * first : 2 * (first + part.quantity)]

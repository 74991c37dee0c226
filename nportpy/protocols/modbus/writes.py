"""Writing to the two tables that can be written: which requests to send.

Source: MODBUS Application Protocol V1.1b3, 6.5, 6.6, 6.11 and 6.12.
"""

import struct
from collections.abc import Iterable
from typing import NamedTuple

from nportpy.protocols.modbus.functions import Span, Table
from nportpy.protocols.modbus.pdu import MAX_WRITE_BITS, MAX_WRITE_REGISTERS, FunctionCode

_ON = 0xFF00  # of a single coil (6.5); off is 0

WRITABLE = (Table.COILS, Table.HOLDING_REGISTERS)
"""The tables that can be written (4.3)."""


class Write(NamedTuple):
    """What to write where: of registers two bytes each, the high one first; of coils one byte each, 0 or 1."""

    span: Span
    data: bytes


def longest_write(table: Table) -> int:
    """How many coils or registers one request can carry."""
    return MAX_WRITE_BITS if table is Table.COILS else MAX_WRITE_REGISTERS


def join(writes: Iterable[Write]) -> list[Write]:
    """The same in fewer writes, in the same order.

    One that begins where the one before it ends goes with it, as long as a request can carry both. None is split.
    """
    joined: list[Write] = []
    for write in writes:
        if joined:
            (table, address, quantity), data = joined[-1]
            span = Span(table, address, quantity + write.span.quantity)
            follows = write.span.table == table and write.span.address == address + quantity
            if follows and span.quantity <= longest_write(table):
                joined[-1] = Write(span, data + write.data)
                continue
        joined.append(write)
    return joined


def split(write: Write) -> list[Write]:
    """The same in writes of one coil or register each."""
    table, address, quantity = write.span
    size = len(write.data) // quantity
    return [Write(Span(table, address + at, 1), write.data[size * at : size * (at + 1)]) for at in range(quantity)]


def request(write: Write, *, multiple: bool) -> bytes:
    """The PDU that writes it.

    Args:
        write: to coils or holding registers.
        multiple: use the function for several, 15 or 16, even for one: some devices have no other. Several need it.
    """
    table, address, quantity = write.span
    data = write.data
    if table is Table.COILS:
        if not multiple:
            return struct.pack(">BHH", FunctionCode.WRITE_SINGLE_COIL, address, _ON * data[0])
        size = (quantity + 7) // 8
        bits = sum(bit << at for at, bit in enumerate(data))  # the first is the lowest bit of the first byte
        head = struct.pack(">BHHB", FunctionCode.WRITE_MULTIPLE_COILS, address, quantity, size)
        return head + bits.to_bytes(size, "little")
    if not multiple:
        return struct.pack(">BH", FunctionCode.WRITE_SINGLE_REGISTER, address) + data
    return struct.pack(">BHHB", FunctionCode.WRITE_MULTIPLE_REGISTERS, address, quantity, len(data)) + data

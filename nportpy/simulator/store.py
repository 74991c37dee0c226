"""What an ordinary unit holds: coils, inputs and registers that can be read, and written where the standard lets one.

Source: MODBUS Application Protocol Specification V1.1b3, 4.3 and section 6.
"""

import struct
from functools import cache
from typing import Final

from nportpy.protocols.modbus.functions import Span, Table, read_span, write_span
from nportpy.protocols.modbus.pdu import ExceptionCode
from nportpy.simulator.unit import refusal

SIZE: Final = 10_000
"""Addresses of each table: 0 to 9999."""

_FUNCTIONS: Final = frozenset((1, 2, 3, 4, 5, 6, 15, 16, 22, 23))
_ON, _OFF = b"\xff\x00", b"\x00\x00"
_INPUTS_FROM = 0x8000


class Store:
    """The four tables of one unit.

    From the start each place tells whose it is: holding register A of unit U holds 256 U + A and input register A
    that and 32768, both modulo 65536; coil A is on where U + A is a multiple of 3, and input A where coil A is off.
    """

    def __init__(self, number: int = 1) -> None:
        """The tables of unit `number`."""
        self.functions: frozenset[int] = _FUNCTIONS
        first, phase = 256 * number, number % 3
        # Registers lie there as they are sent, bits as digits with the first one first.
        self._registers = {
            Table.HOLDING_REGISTERS: _counting(first),
            Table.INPUT_REGISTERS: _counting(first + _INPUTS_FROM),
        }
        self._bits = {
            Table.COILS: bytearray((b"100" * SIZE)[phase : phase + SIZE]),
            Table.DISCRETE_INPUTS: bytearray((b"011" * SIZE)[phase : phase + SIZE]),
        }

    def steady_until(self, now: float) -> float:  # noqa: ARG002
        """For ever: nothing changes here by itself."""
        return float("inf")

    def reply(self, pdu: bytes, now: float) -> bytes:  # noqa: ARG002
        """Write what is to be written, then read what is to be read."""
        read, write = read_span(pdu), write_span(pdu)
        for span in (read, write):
            if span and span.address + span.quantity > SIZE:
                return refusal(pdu[0], ExceptionCode.ILLEGAL_DATA_ADDRESS)
        if write:
            code = self._write(pdu, write)
            if code:
                return refusal(pdu[0], code)
        if read:
            data = self._read(read)
            return bytes((pdu[0], len(data))) + data
        return pdu[:5] if pdu[0] in (15, 16) else pdu

    def _read(self, span: Span) -> bytes:
        table, first, quantity = span
        if table in self._registers:
            return bytes(self._registers[table][2 * first : 2 * (first + quantity)])
        digits = self._bits[table][first : first + quantity]
        return int(digits[::-1], 2).to_bytes((quantity + 7) // 8, "little")

    def _write(self, pdu: bytes, span: Span) -> ExceptionCode | None:
        """Write; why not, if it cannot be."""
        table, first, quantity = span
        match pdu[0]:
            case 5 if pdu[3:5] not in (_ON, _OFF):
                return ExceptionCode.ILLEGAL_DATA_VALUE
            case 5:
                self._bits[table][first] = ord("1" if pdu[3:5] == _ON else "0")
            case 15:
                digits = f"{int.from_bytes(pdu[6:], 'little'):0{8 * len(pdu[6:])}b}".encode()
                self._bits[table][first : first + quantity] = digits[::-1][:quantity]
            case 22:  # 6.16: (content and AND mask) or (OR mask and not AND mask)
                content = self._registers[table][2 * first : 2 * first + 2]
                (old, keep, set_) = struct.unpack(">HHH", content + pdu[3:7])
                self._registers[table][2 * first : 2 * first + 2] = ((old & keep) | (set_ & ~keep)).to_bytes(2)
            case function:
                data = pdu[{6: 3, 16: 6, 23: 10}[function] :]
                self._registers[table][2 * first : 2 * (first + quantity)] = data
        return None


@cache
def _all_words() -> bytes:
    return struct.pack(">65536H", *range(65536)) * 2


def _counting(first: int) -> bytearray:
    """A table of words that count up from `first`, modulo 65536."""
    start = 2 * (first % 65536)
    return bytearray(_all_words()[start : start + 2 * SIZE])

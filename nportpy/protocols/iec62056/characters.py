"""Characters on the wire: 7 data bits with even parity, control characters, the block check character.

Clauses are those of IEC 62056-21:2002. A port that can do nothing but 8 data bits without parity carries the same
characters with the parity bit computed here (`with_parity`) and masked on receipt (`without_parity`).
"""

from functools import reduce
from operator import xor
from typing import Final

SOH: Final = 0x01
STX: Final = 0x02
ETX: Final = 0x03
EOT: Final = 0x04
ACK: Final = 0x06
NAK: Final = 0x15

_EVEN: Final = bytes(each & 0x7F | (each & 0x7F).bit_count() % 2 << 7 for each in range(256))
_MASKED: Final = bytes(each & 0x7F for each in range(256))


def with_parity(data: bytes) -> bytes:
    """`data` with even parity in bit 7 of each character (clause 5.2)."""
    return data.translate(_EVEN)


def without_parity(data: bytes) -> bytes:
    """`data` with bit 7 of each character cleared."""
    return data.translate(_MASKED)


def parity_errors(data: bytes) -> int:
    """How many characters have a bit 7 that is not their even parity."""
    return sum(each != _EVEN[each] for each in data)


def block_check(data: bytes) -> int:
    """The block check character: longitudinal parity of 7-bit characters (clause 6.3.2, ISO 1155).

    `data` is what stands after the first SOH or STX up to and including ETX or EOT.
    """
    return reduce(xor, data, 0) & 0x7F

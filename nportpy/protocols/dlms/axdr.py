"""Data as meters send it: A-XDR (IEC 61334-6; DLMS UA 1000-2, clause 9.5). simple.py says what becomes of each type.

What is decoded is bounded by what was received: every element has a byte at least, and nesting ends at `MAX_DEPTH`.
"""

import struct
from typing import Any

from nportpy.errors import ProtocolError
from nportpy.protocols.dlms.compact import MAX_DEPTH, take_compact
from nportpy.protocols.dlms.simple import (
    DONT_CARE,
    UNPACK,
    BitString,
    Tag,
    Value,
    cut_off,
    encode,
    encode_length,
    length,
    octets,
    untagged,
)

__all__ = [
    "DONT_CARE",
    "MAX_DEPTH",
    "BitString",
    "Tag",
    "Value",
    "array",
    "decode",
    "encode",
    "encode_length",
    "length",
    "octets",
    "structure",
    "take",
]


def decode(data: bytes) -> Value:
    """The value that `data` is, whole.

    Raises:
        ProtocolError: it is cut, has more behind it, or is no data.
    """
    value, end = take(data, 0)
    if end != len(data):
        raise ProtocolError(f"{len(data) - end} bytes too many behind a value: {data[end : end + 8].hex(' ')}")
    return value


def take(data: bytes, at: int) -> tuple[Value, int]:
    """The value that begins at `at`, and where it ends.

    Raises:
        ProtocolError: it is cut, or is no data.
    """
    try:
        return _take(data, at, MAX_DEPTH)
    except (IndexError, struct.error):
        raise cut_off(data) from None


def _take(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    tag = data[at]
    at += 1
    if (number := UNPACK.get(tag)) is not None:
        unpack, size = number
        return unpack(data, at)[0], at + size
    if tag <= Tag.STRUCTURE and tag:
        return _elements(data, at, tag, depth)
    if tag == Tag.COMPACT_ARRAY:
        return take_compact(data, at, depth)
    return untagged(tag, data, at)


def _elements(data: bytes, at: int, tag: int, depth: int) -> tuple[Any, int]:
    if not depth:
        raise ProtocolError(f"data is nested deeper than {MAX_DEPTH}")
    depth -= 1
    count = data[at]
    at += 1
    if count > 0x7F:
        count, at = length(data, at - 1)
    if count > len(data) - at:
        raise ProtocolError(f"{count} elements in {len(data) - at} bytes")
    found: list[Any] = []
    add = found.append
    for _ in range(count):
        value, at = _take(data, at, depth)
        add(value)
    return (found if tag == Tag.ARRAY else tuple(found)), at


def structure(*parts: bytes) -> bytes:
    """A structure of encoded values."""
    return b"\x02" + encode_length(len(parts)) + b"".join(parts)


def array(*parts: bytes) -> bytes:
    """An array of encoded values."""
    return b"\x01" + encode_length(len(parts)) + b"".join(parts)

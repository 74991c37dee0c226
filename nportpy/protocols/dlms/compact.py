"""Compact arrays: the type of all elements once, then their contents without tags (DLMS UA 1000-2, 9.5; type 13).

    13 | type | length | contents        type = tag | 01 count(2) type | 02 count type...

The contents hold as many elements as fit. Strings keep their lengths, so elements may differ in size.
"""

import struct
from dataclasses import dataclass
from typing import Any, Final

from nportpy.errors import ProtocolError
from nportpy.protocols.dlms.simple import SIZES, Tag, Value, cut_off, length, octets, untagged

MAX_DEPTH: Final = 16
"""Structures and arrays inside each other."""

_SWELLS: Final = 16  # values out of a byte: nulls in a compact array take none, so few bytes could make millions


@dataclass(frozen=True, slots=True)
class _Type:
    """What an element is.

    Attributes:
        tag: its type.
        parts: of a structure, its members; of an array, its element.
        count: elements of an array.
        size: bytes at least.
        values: simple values in it; and itself, where it holds others.
    """

    tag: int
    parts: tuple["_Type", ...] = ()
    count: int = 0
    size: int = 0
    values: int = 1


def take_compact(data: bytes, at: int, depth: int = MAX_DEPTH) -> tuple[list[Value], int]:
    """The elements of the compact array whose type description begins at `at`, and where it ends.

    Raises:
        ProtocolError: it is cut, its contents are no whole number of elements, or would swell beyond all measure.
    """
    if not depth:
        raise ProtocolError(f"data is nested deeper than {MAX_DEPTH}")
    start = at
    try:
        kind, at = _type(data, at, depth - 1)
    except IndexError:
        raise cut_off(data) from None
    contents, end = octets(data, at)
    if not contents:
        return [], end
    if not kind.size:
        raise ProtocolError(f"a compact array of nothing has {len(contents)} bytes")
    if len(contents) // kind.size * kind.values > _SWELLS * (end - start):
        raise ProtocolError(f"a compact array of {len(contents)} bytes holds too many values")
    found: list[Value] = []
    at = 0
    try:
        while at < len(contents):
            value, at = _element(kind, contents, at)
            found.append(value)
    except (IndexError, struct.error):
        raise cut_off(contents) from None
    return found, end


def _type(data: bytes, at: int, depth: int) -> tuple[_Type, int]:
    tag = data[at]
    at += 1
    if tag not in (Tag.ARRAY, Tag.STRUCTURE):
        return _Type(tag, size=SIZES.get(tag, 1)), at
    if not depth:
        raise ProtocolError(f"data is nested deeper than {MAX_DEPTH}")
    if tag == Tag.ARRAY:
        count = data[at] << 8 | data[at + 1]
        part, at = _type(data, at + 2, depth - 1)
        return _Type(tag, (part,), count, count * part.size, 1 + count * part.values), at
    count, at = length(data, at)
    if count > len(data) - at:
        raise ProtocolError(f"{count} members in {len(data) - at} bytes")
    parts = []
    for _ in range(count):
        part, at = _type(data, at, depth - 1)
        parts.append(part)
    return _Type(tag, tuple(parts), 0, sum(part.size for part in parts), 1 + sum(part.values for part in parts)), at


def _element(kind: _Type, data: bytes, at: int) -> tuple[Any, int]:
    if kind.tag == Tag.ARRAY:
        part = kind.parts[0]
        elements = []
        for _ in range(kind.count):
            value, at = _element(part, data, at)
            elements.append(value)
        return elements, at
    if kind.tag == Tag.STRUCTURE:
        members = []
        for part in kind.parts:
            value, at = _element(part, data, at)
            members.append(value)
        return tuple(members), at
    return untagged(kind.tag, data, at)

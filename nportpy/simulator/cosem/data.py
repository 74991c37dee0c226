"""COSEM data and their coding by A-XDR (Green Book 9.5, IEC 61334-6; types: Blue Book 4.1.5)."""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

MAX_DEPTH = 16
"""Arrays and structures within each other that are taken from a client."""


class Tag(IntEnum):
    """The types, by their tags."""

    NULL = 0
    ARRAY = 1
    STRUCTURE = 2
    BOOLEAN = 3
    BIT_STRING = 4
    DOUBLE_LONG = 5
    DOUBLE_LONG_UNSIGNED = 6
    OCTET_STRING = 9
    VISIBLE_STRING = 10
    UTF8_STRING = 12
    BCD = 13
    INTEGER = 15
    LONG = 16
    UNSIGNED = 17
    LONG_UNSIGNED = 18
    COMPACT_ARRAY = 19
    LONG64 = 20
    LONG64_UNSIGNED = 21
    ENUM = 22
    FLOAT32 = 23
    FLOAT64 = 24
    DATE_TIME = 25
    DATE = 26
    TIME = 27


_NUMBERS = {
    Tag.BOOLEAN: ">?",
    Tag.DOUBLE_LONG: ">i",
    Tag.DOUBLE_LONG_UNSIGNED: ">I",
    Tag.BCD: ">b",
    Tag.INTEGER: ">b",
    Tag.LONG: ">h",
    Tag.UNSIGNED: ">B",
    Tag.LONG_UNSIGNED: ">H",
    Tag.LONG64: ">q",
    Tag.LONG64_UNSIGNED: ">Q",
    Tag.ENUM: ">B",
    Tag.FLOAT32: ">f",
    Tag.FLOAT64: ">d",
}
_STRINGS = frozenset((Tag.OCTET_STRING, Tag.VISIBLE_STRING, Tag.UTF8_STRING))
_FIXED = {Tag.DATE_TIME: 12, Tag.DATE: 5, Tag.TIME: 4}
_NESTED = frozenset((Tag.ARRAY, Tag.STRUCTURE))


class MalformedError(Exception):
    """What a client sent is none of what it may send."""


@dataclass(frozen=True, slots=True)
class Data:
    """A value with its type.

    Attributes:
        tag: the type.
        value: None; a number; bytes; for arrays and structures a tuple of `Data`; for bit strings a text of 0 and 1.
    """

    tag: Tag
    value: Any = None


NULL = Data(Tag.NULL)


def array(*elements: Data) -> Data:
    """Elements of one type."""
    return Data(Tag.ARRAY, elements)


def structure(*elements: Data) -> Data:
    """Elements of several types."""
    return Data(Tag.STRUCTURE, elements)


def integer(value: int) -> Data:
    """8 bits with a sign."""
    return Data(Tag.INTEGER, value)


def unsigned(value: int) -> Data:
    """8 bits."""
    return Data(Tag.UNSIGNED, value)


def long(value: int) -> Data:
    """16 bits with a sign."""
    return Data(Tag.LONG, value)


def long_unsigned(value: int) -> Data:
    """16 bits."""
    return Data(Tag.LONG_UNSIGNED, value)


def double_long(value: int) -> Data:
    """32 bits with a sign."""
    return Data(Tag.DOUBLE_LONG, value)


def double_long_unsigned(value: int) -> Data:
    """32 bits."""
    return Data(Tag.DOUBLE_LONG_UNSIGNED, value)


def enum(value: int) -> Data:
    """One of a list."""
    return Data(Tag.ENUM, value)


def octets(value: bytes) -> Data:
    """Bytes."""
    return Data(Tag.OCTET_STRING, value)


def length(size: int) -> bytes:
    """A length or a count, as BER and A-XDR write it."""
    if size < 0x80:
        return bytes((size,))
    if size < 0x100:
        return bytes((0x81, size))
    return b"\x82" + size.to_bytes(2, "big")


def encode(data: Data) -> bytes:
    """The value with its tag."""
    return bytes((data.tag,)) + _contents(data)


def _contents(data: Data) -> bytes:
    tag, value = data.tag, data.value
    if tag in _NUMBERS:
        return struct.pack(_NUMBERS[tag], value)
    if tag in _STRINGS:
        return length(len(value)) + bytes(value)
    if tag in _NESTED:
        return length(len(value)) + b"".join(map(encode, value))
    if tag is Tag.BIT_STRING:
        padded = value.ljust(-(-len(value) // 8) * 8, "0")
        return length(len(value)) + bytes(int(padded[at : at + 8], 2) for at in range(0, len(padded), 8))
    return bytes(value or b"")


def encode_compact(rows: Data) -> bytes:
    """An array of values of one shape as a compact array: the type once, then the contents without tags (9.5)."""
    contents = b"".join(_untagged(row) for row in rows.value)
    return bytes((Tag.COMPACT_ARRAY,)) + _description(rows.value[0]) + length(len(contents)) + contents


def _description(data: Data) -> bytes:
    if data.tag is Tag.STRUCTURE:
        return bytes((data.tag,)) + length(len(data.value)) + b"".join(map(_description, data.value))
    if data.tag is Tag.ARRAY:
        return bytes((data.tag,)) + len(data.value).to_bytes(2, "big") + _description(data.value[0])
    return bytes((data.tag,))


def _untagged(data: Data) -> bytes:
    return b"".join(map(_untagged, data.value)) if data.tag in _NESTED else _contents(data)


class Source:
    """Bytes from a client, taken from their beginning."""

    def __init__(self, data: bytes) -> None:
        """All of `data` is there."""
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        """How many bytes there still are."""
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        """The next so many bytes.

        Raises:
            MalformedError: there are fewer.
        """
        if count > self.left:
            raise MalformedError(f"{count} bytes wanted, {self.left} there")
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, size: int = 1) -> int:
        """The next bytes as a number without a sign."""
        return int.from_bytes(self.take(size), "big")

    def length(self) -> int:
        """The next length or count."""
        first = self.number()
        if first < 0x80:
            return first
        if first not in (0x81, 0x82, 0x84):
            raise MalformedError(f"a length cannot begin with {first:#x}")
        return self.number(first & 0x7F)

    def string(self) -> bytes:
        """The next bytes that have their length before them."""
        return self.take(self.length())

    def data(self, depth: int = 0) -> Data:
        """The next value.

        Raises:
            MalformedError: its type is not known, it is not whole, or too deep.
        """
        try:
            tag = Tag(self.number())
        except ValueError as error:
            raise MalformedError(str(error)) from error
        if tag in _NUMBERS:
            kind = _NUMBERS[tag]
            return Data(tag, struct.unpack(kind, self.take(struct.calcsize(kind)))[0])
        if tag in _STRINGS:
            return Data(tag, self.string())
        if tag in _FIXED:
            return Data(tag, self.take(_FIXED[tag]))
        if tag is Tag.BIT_STRING:
            bits = self.length()
            taken = self.take(-(-bits // 8))
            return Data(tag, "".join(f"{byte:08b}" for byte in taken)[:bits])
        if tag in _NESTED:
            count = self.length()
            if depth >= MAX_DEPTH or count > self.left:
                raise MalformedError("too many values, or too deep")
            return Data(tag, tuple(self.data(depth + 1) for _ in range(count)))
        if tag is Tag.NULL:
            return NULL
        raise MalformedError(f"{tag.name} is not taken from a client")

    def end(self) -> None:
        """Nothing may be left.

        Raises:
            MalformedError: something is.
        """
        if self.left:
            raise MalformedError(f"{self.left} bytes too many")


def decode(data: bytes) -> Data:
    """The one value in `data`.

    Raises:
        MalformedError: see `Source.data`, or something follows it.
    """
    source = Source(data)
    value = source.data()
    source.end()
    return value

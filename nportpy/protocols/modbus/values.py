"""What registers mean: numbers and texts in the types and orders that devices use.

The standard knows registers of 16 bits, the high byte first (MODBUS Application Protocol V1.1b3, 4.2), and nothing
larger. Devices put larger values into several registers, in an order of their own. With A for the highest byte:

    order   32 bits     64 bits                  16 bits   text
    ABCD    AB CD       AB CD EF GH              AB        as it is
    CDAB    CD AB       GH EF CD AB              AB        as it is
    BADC    BA DC       BA DC FE HG              BA        bytes of each register swapped
    DCBA    DC BA       HG FE DC BA              BA        bytes of each register swapped

So CDAB turns the order of the registers round, BADC swaps the two bytes of each, and DCBA does both. A text is a
sequence of characters, not a number: its registers stay in place.

Registers are bytes here, as an answer carries them: two for each, the high one first.
"""

import re
import struct
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from nportpy.protocols.float32 import shortest

Value = int | float | str | bool
"""A decoded value: of an integer type, a float type, a string, or a bit."""

MAX_STRING: Final = 250
"""Characters of the longest string: what one answer carries."""

_STRING = re.compile(r"string:([1-9][0-9]{0,2})")
_WHOLE = re.compile(r"[+-]?[0-9]{1,30}")
_HEXADECIMAL = re.compile(r"[+-]?0x[0-9a-f]{1,30}")
_DECIMAL = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]{1,4})?|nan|inf)")
_BITS = {"1": True, "0": False, "on": True, "off": False, "true": True, "false": False}


class Kind(StrEnum):
    """The types, by the names that people give; a string's length follows its name."""

    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    INT64 = "int64"
    UINT64 = "uint64"
    FLOAT32 = "float32"
    FLOAT64 = "float64"
    STRING = "string"
    BIT = "bit"


_FORMATS = {
    Kind.INT16: ">h",
    Kind.UINT16: ">H",
    Kind.INT32: ">i",
    Kind.UINT32: ">I",
    Kind.INT64: ">q",
    Kind.UINT64: ">Q",
    Kind.FLOAT32: ">f",
    Kind.FLOAT64: ">d",
}
_FLOATS = frozenset((Kind.FLOAT32, Kind.FLOAT64))

TYPES: Final = (*_FORMATS, "string:N", Kind.BIT)
"""The types as one writes them, for messages."""


class Order(StrEnum):
    """In which order a value's bytes stand; see above."""

    ABCD = "ABCD"
    CDAB = "CDAB"
    BADC = "BADC"
    DCBA = "DCBA"


@dataclass(frozen=True, slots=True)
class ValueType:
    """A type: `length` is the number of characters of a string, and 0 for all else."""

    kind: Kind
    length: int = 0

    @property
    def width(self) -> int:
        """How many registers a value takes; of `bit`, how many bits: 1."""
        if self.kind is Kind.BIT:
            return 1
        if self.kind is Kind.STRING:
            return (self.length + 1) // 2
        return struct.calcsize(_FORMATS[self.kind]) // 2

    @classmethod
    def parse(cls, text: str) -> "ValueType":
        """The type that `text` names, such as `float32` or `string:16`.

        Raises:
            ValueError: it names none.
        """
        word = text.strip().lower()
        if match := _STRING.fullmatch(word):
            if int(match[1]) > MAX_STRING:
                raise ValueError(f"{text}: a string has at most {MAX_STRING} characters")
            return cls(Kind.STRING, int(match[1]))
        if word == Kind.STRING or word not in set(Kind):
            raise ValueError(f"{text!r} is no type; types are {', '.join(TYPES)}, where N is a number of characters")
        return cls(Kind(word))

    def __str__(self) -> str:
        return f"{self.kind}:{self.length}" if self.kind is Kind.STRING else str(self.kind)


def decode(data: bytes, kind: ValueType, order: Order = Order.ABCD) -> Value:
    """The value in `data`.

    A float32 becomes the float with the fewest digits that is still it: 12345.681, not 12345.6806640625. A string
    ends before its first zero byte, spaces at its end are dropped, and bytes are characters of ISO 8859-1.

    Args:
        data: `kind.width` registers; of `bit`, one byte.
        kind: their type.
        order: their order.

    Raises:
        ValueError: `data` has another size.
    """
    if kind.kind is Kind.BIT:
        if len(data) != 1:
            raise ValueError(f"a bit comes in one byte, not {len(data)}")
        return data[0] != 0
    if len(data) != 2 * kind.width:
        raise ValueError(f"{kind} takes {2 * kind.width} bytes, not {len(data)}")
    ordered = _arrange(data, kind, order)
    if kind.kind is Kind.STRING:
        return ordered[: kind.length].partition(b"\0")[0].decode("latin-1").rstrip(" ")
    (value,) = struct.unpack(_FORMATS[kind.kind], ordered)
    return shortest(value) if kind.kind is Kind.FLOAT32 else int(value) if kind.kind not in _FLOATS else float(value)


def encode(value: Value, kind: ValueType, order: Order = Order.ABCD) -> bytes:
    """The registers, or the byte of a bit, that hold `value`: `decode` makes it of them again.

    A string that is shorter than its type is filled with zero bytes.

    Raises:
        ValueError: the type cannot hold the value.
    """
    if kind.kind is Kind.BIT:
        if not isinstance(value, int) or value not in (0, 1):
            raise ValueError(f"{value!r} is no bit: 0 or 1")
        return bytes((value,))
    if kind.kind is Kind.STRING:
        return _arrange(_characters(value, kind), kind, order)
    if isinstance(value, str | bool):
        raise ValueError(f"{value!r} is no number")  # noqa: TRY004 - it comes from a person, as what is out of range
    if kind.kind not in _FLOATS and not isinstance(value, int):
        raise ValueError(f"{value!r} is no whole number, as {kind} needs")
    try:
        return _arrange(struct.pack(_FORMATS[kind.kind], value), kind, order)
    except (struct.error, OverflowError):
        raise ValueError(f"{value!r} is beyond {kind}{_limits(kind)}") from None


def parse_value(text: str, kind: ValueType) -> Value:
    """The value of type `kind` that a person writes: 7, -7, 0x1F, 1.5, 1e-3, nan; on, off, true, false; or a text.

    Whether the type can hold it is for `encode` to say.

    Raises:
        ValueError: it is none of that type.
    """
    if kind.kind is Kind.STRING:
        return text
    word = text.strip().lower()
    if kind.kind is Kind.BIT:
        if word not in _BITS:
            raise ValueError(f"{text!r} is no bit: {', '.join(_BITS)}")
        return _BITS[word]
    if _WHOLE.fullmatch(word):
        return int(word)
    if _HEXADECIMAL.fullmatch(word):
        return int(word, 16)
    if kind.kind in _FLOATS and _DECIMAL.fullmatch(word):
        return float(word)
    raise ValueError(f"{text!r} is no {'number' if kind.kind in _FLOATS else 'whole number'}, as {kind} needs")


def scaled(number: float, scale: float, offset: float = 0.0) -> float:
    """A raw number scaled, then moved; without what binary makes of that in the 16th digit: 7 x 0.1 is 0.7."""
    return float(f"{number * scale + offset:.15g}")


def show(value: Value) -> str:
    """The value for a person: bits as 0 and 1, and nothing in a string that a terminal could take for a command."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, str):
        return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in value)
    return repr(value)


def _arrange(data: bytes, kind: ValueType, order: Order) -> bytes:
    """From the order `order` to ABCD, and back: it is the same."""
    if order in (Order.BADC, Order.DCBA):
        data = b"".join(data[at : at + 2][::-1] for at in range(0, len(data), 2))
    if order in (Order.CDAB, Order.DCBA) and kind.kind is not Kind.STRING:
        data = b"".join(data[at : at + 2] for at in range(len(data) - 2, -2, -2))
    return data


def _characters(value: Value, kind: ValueType) -> bytes:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")  # noqa: TRY004 - as above
    try:
        data = value.encode("latin-1")
    except UnicodeEncodeError as error:
        raise ValueError(f"{value!r} has characters that one byte does not hold") from error
    if len(data) > kind.length:
        raise ValueError(f"{value!r} has {len(data)} characters, and {kind} holds {kind.length}")
    return data.ljust(2 * kind.width, b"\0")


def _limits(kind: ValueType) -> str:
    if kind.kind in _FLOATS:
        return ""
    bits = 16 * kind.width
    signed = _FORMATS[kind.kind][1].islower()
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return f", {low} to {high}"

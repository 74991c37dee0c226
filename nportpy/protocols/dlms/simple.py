"""The simple types of COSEM data and how each is coded (DLMS UA 1000-1, 4.1.5; A-XDR, IEC 61334-6).

Values are plain Python, for who shows or computes them needs no more:

    00 null None              04 bit-string BitString        09 octet-string bytes      19 date-time DateTime
    01 array list             05 06 0F-12 14-16 int          0A 0C strings str          1A date Date
    02 structure tuple        0D BCD int                     17 18 float                1B time Time
    03 boolean bool           07 octets of old bytes         13 compact array list      FF don't care DONT_CARE

Nothing else is data: an unknown tag makes the rest unreadable. axdr.py has what is made of these.
"""

import struct
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Any, Final, TypeAlias

from nportpy.errors import ProtocolError
from nportpy.protocols.dlms.clock import DATE_SIZE, DATE_TIME_SIZE, TIME_SIZE, Date, DateTime, Time


class Tag(IntEnum):
    """What a value is."""

    NULL = 0x00
    ARRAY = 0x01
    STRUCTURE = 0x02
    BOOLEAN = 0x03
    BIT_STRING = 0x04
    DOUBLE_LONG = 0x05
    DOUBLE_LONG_UNSIGNED = 0x06
    FLOATING_POINT = 0x07
    OCTET_STRING = 0x09
    VISIBLE_STRING = 0x0A
    UTF8_STRING = 0x0C
    BCD = 0x0D
    INTEGER = 0x0F
    LONG = 0x10
    UNSIGNED = 0x11
    LONG_UNSIGNED = 0x12
    COMPACT_ARRAY = 0x13
    LONG64 = 0x14
    LONG64_UNSIGNED = 0x15
    ENUM = 0x16
    FLOAT32 = 0x17
    FLOAT64 = 0x18
    DATE_TIME = 0x19
    DATE = 0x1A
    TIME = 0x1B
    DONT_CARE = 0xFF


class DontCare(Enum):
    """What the meter says in place of a value that does not matter."""

    DONT_CARE = "don't care"


DONT_CARE: Final = DontCare.DONT_CARE


@dataclass(frozen=True, slots=True)
class BitString:
    """Bits, the first one first: `size` of them in `data`, from the highest bit of each byte on."""

    data: bytes
    size: int

    def __str__(self) -> str:
        """Zeros and ones."""
        return "".join(f"{byte:08b}" for byte in self.data)[: self.size]

    @classmethod
    def of(cls, bits: str) -> "BitString":
        """The bits that these zeros and ones are."""
        padded = bits + "0" * (-len(bits) % 8)
        return cls(bytes(int(padded[at : at + 8], 2) for at in range(0, len(padded), 8)), len(bits))


Value: TypeAlias = (
    bool | int | float | bytes | str | BitString | DateTime | Date | Time | DontCare
    | list["Value"] | tuple["Value", ...] | None
)  # fmt: skip
"""Decoded data."""

NUMBERS: Final = {
    tag: struct.Struct(form)
    for tag, form in {
        Tag.DOUBLE_LONG: ">i",
        Tag.DOUBLE_LONG_UNSIGNED: ">I",
        Tag.INTEGER: ">b",
        Tag.LONG: ">h",
        Tag.UNSIGNED: ">B",
        Tag.LONG_UNSIGNED: ">H",
        Tag.LONG64: ">q",
        Tag.LONG64_UNSIGNED: ">Q",
        Tag.ENUM: ">B",
        Tag.FLOAT32: ">f",
        Tag.FLOAT64: ">d",
    }.items()
}
"""How the numbers are coded."""

UNPACK: Final = {int(tag): (form.unpack_from, form.size) for tag, form in NUMBERS.items()}
"""What takes a number, and its bytes, by its tag."""

SIZES: Final = {
    **{int(tag): form.size for tag, form in NUMBERS.items()},
    int(Tag.NULL): 0,
    int(Tag.DONT_CARE): 0,
    int(Tag.BOOLEAN): 1,
    int(Tag.BCD): 1,
    int(Tag.DATE_TIME): DATE_TIME_SIZE,
    int(Tag.DATE): DATE_SIZE,
    int(Tag.TIME): TIME_SIZE,
}
"""Bytes of the types that always have as many."""

_OCTETS: Final = frozenset((Tag.OCTET_STRING, Tag.FLOATING_POINT))
_TEXTS: Final = frozenset((Tag.VISIBLE_STRING, Tag.UTF8_STRING))


def untagged(tag: int, data: bytes, at: int) -> tuple[Value, int]:
    """The value of a simple type whose tag stands elsewhere, and where it ends; as in a compact array.

    Raises:
        IndexError, struct.error: it is cut.
        ProtocolError: the same, or there is no such type.
    """
    if (number := UNPACK.get(tag)) is not None:
        unpack, size = number
        return unpack(data, at)[0], at + size
    if tag in _OCTETS:
        return octets(data, at)
    if tag == Tag.NULL:
        return None, at
    if tag in _TEXTS:
        text, at = octets(data, at)
        return text.decode("utf-8" if tag == Tag.UTF8_STRING else "latin-1", "replace"), at
    if tag == Tag.BOOLEAN:
        return data[at] != 0, at + 1
    if tag == Tag.BIT_STRING:
        bits, at = length(data, at)
        end = at + (bits + 7) // 8
        if end > len(data):
            raise cut_off(data)
        return BitString(data[at:end], bits), end
    if tag == Tag.DONT_CARE:
        return DONT_CARE, at
    size = SIZES.get(tag, 0)
    if not size:
        raise ProtocolError(f"no data type has the tag {tag:02X}")
    part, at = data[at : at + size], at + size
    if len(part) < size:
        raise cut_off(data)
    if tag == Tag.DATE_TIME:
        return DateTime.parse(part), at
    if tag == Tag.DATE:
        return Date.parse(part), at
    if tag == Tag.TIME:
        return Time.parse(part), at
    return _bcd(part), at


def length(data: bytes, at: int) -> tuple[int, int]:
    """The length or count that stands at `at`, and where it ends: 00 to 7F, 81 and one byte, 82 and two, ...

    Raises:
        ProtocolError: it is cut, or longer than four bytes.
    """
    try:
        first = data[at]
    except IndexError:
        raise cut_off(data) from None
    if first < 0x80:
        return first, at + 1
    end = at + 1 + (first & 0x7F)
    if not 0x81 <= first <= 0x84:
        raise ProtocolError(f"a length does not begin with {first:02X}")
    if end > len(data):
        raise cut_off(data)
    return int.from_bytes(data[at + 1 : end], "big"), end


def octets(data: bytes, at: int) -> tuple[bytes, int]:
    """The bytes behind a length, and where they end.

    Raises:
        ProtocolError: they are cut.
    """
    size, at = length(data, at)
    if size > len(data) - at:
        raise ProtocolError(f"{size} bytes announced, {len(data) - at} there")
    return data[at : at + size], at + size


def cut_off(data: bytes) -> ProtocolError:
    """The error for what ends too early."""
    return ProtocolError(f"cut after {len(data)} bytes: ... {data[-8:].hex(' ')}")


def _bcd(part: bytes) -> int | bytes:
    """Two decimal digits; as they are where they are none."""
    high, low = divmod(part[0], 16)
    return 10 * high + low if high < 10 and low < 10 else part


def encode_length(size: int) -> bytes:
    """See `length`."""
    if size < 0x80:
        return bytes((size,))
    return bytes((0x81, size)) if size < 0x100 else b"\x82" + size.to_bytes(2, "big")


def encode(tag: Tag, value: Value) -> bytes:
    """A value of a simple type, with its tag.

    Raises:
        ProtocolError: the type cannot hold it, or is none of the simple ones.
    """
    try:
        return bytes((tag,)) + _encoded(tag, value)
    except (struct.error, OverflowError, UnicodeEncodeError, ValueError, AttributeError, TypeError):
        raise ProtocolError(f"{value!r} is no {tag.name.lower().replace('_', '-')}") from None


def _encoded(tag: Tag, value: Any) -> bytes:
    if (number := NUMBERS.get(tag)) is not None:
        return number.pack(value)
    match tag:
        case Tag.NULL | Tag.DONT_CARE:
            return b""
        case Tag.BOOLEAN:
            return b"\x01" if value else b"\x00"
        case Tag.OCTET_STRING | Tag.FLOATING_POINT:
            return encode_length(len(value)) + bytes(value)
        case Tag.VISIBLE_STRING | Tag.UTF8_STRING:
            text = value.encode("utf-8" if tag is Tag.UTF8_STRING else "latin-1")
            return encode_length(len(text)) + bytes(text)
        case Tag.BIT_STRING:
            return encode_length(value.size) + bytes(value.data)
        case Tag.BCD:
            return bytes((int(str(value), 16),)) if 0 <= value < 100 else bytes((value,))
        case Tag.DATE_TIME | Tag.DATE | Tag.TIME:
            return bytes(value.encode())
        case _:
            raise ValueError(tag)

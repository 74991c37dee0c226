"""What the objects of each type hold (IEC 60870-5-101, 7.2.6 and 7.3).

One table says it all: the element's parts by type, and the time tag behind them. Values stay what the wire says: a
normalised value is between -1 and 1, and what that stands for is configuration.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntFlag
from typing import Final, NamedTuple

from nportpy.protocols.float32 import shortest
from nportpy.protocols.iec101.times import SIZE_24, SIZE_56, Time, decode_24, decode_56

Value = bool | int | float | bytes
"""Of a single point a bool; of all that count or have states an int; of measured values a float or, scaled, an int;
of bitstrings the octets in their order."""


class Flags(IntFlag):
    """The bits of quality descriptors (7.2.6.1 to 4)."""

    OVERFLOW = 0x01
    ELAPSED_INVALID = 0x08
    BLOCKED = 0x10
    SUBSTITUTED = 0x20
    NOT_TOPICAL = 0x40
    INVALID = 0x80


NONE: Final = Flags(0)
"""No flag: good."""

_STATE = 0xF0  # BL SB NT IV: beside a single or double point
_MEASURED = 0xF1  # OV as well
_PROTECTED = 0xF8  # EI instead


@dataclass(frozen=True, slots=True)
class Object:
    """One information object.

    Attributes:
        address: its address (IOA).
        value: what it holds; None: nothing but its address.
        flags: its quality.
        time: its time tag.
        elapsed: milliseconds that a protection event lasted, or a delay.
        extra: what else the type has: of a step position 1 if transient; of a counter its last byte (sequence number
            0 to 31, 32 carry, 64 adjusted); of packed points which of them changed; of commands, set points and
            parameters their qualifier; of a command 128: it only selects.
    """

    address: int
    value: Value | None = None
    flags: Flags = NONE
    time: Time | None = None
    elapsed: int | None = None
    extra: int = 0


class _Element(NamedTuple):
    value: Value | None = None
    flags: int = 0
    elapsed: int | None = None
    extra: int = 0


@dataclass(frozen=True, slots=True)
class Type:
    """One type of ASDU.

    Attributes:
        number: its number.
        name: by the standard.
        element: bytes of the element without time tag.
        tag: bytes of the time tag: 0, 3 or 7.
        read: makes the element's parts of its bytes.
    """

    number: int
    name: str
    element: int
    tag: int
    read: Callable[[bytes], _Element]

    @property
    def size(self) -> int:
        """Bytes of an object behind its address."""
        return self.element + self.tag

    @property
    def monitors(self) -> bool:
        """Whether it carries process information towards this side."""
        return self.number <= 40

    @property
    def doubles(self) -> bool:
        """Whether its values have two bits: 1 off, 2 on, 0 and 3 neither of them."""
        return self.number in (3, 4, 17, 31, 38)

    def decode(self, address: int, data: bytes) -> Object:
        """The object at `address` whose `size` bytes are `data`."""
        value, flags, elapsed, extra = self.read(data)
        time: Time | None = None
        if self.tag == SIZE_56:
            time = decode_56(data[self.element :])
        elif self.tag == SIZE_24:
            time = decode_24(data[self.element :])
        return Object(address, value, Flags(flags), time, elapsed, extra)


def _single(data: bytes) -> _Element:
    return _Element(bool(data[0] & 1), data[0] & _STATE)


def _double(data: bytes) -> _Element:
    return _Element(data[0] & 3, data[0] & _STATE)


def _step(data: bytes) -> _Element:
    position = data[0] & 0x7F
    return _Element(position - (position & 0x40) * 2, data[1] & _MEASURED, extra=data[0] >> 7)


def _bitstring(data: bytes) -> _Element:
    return _Element(data[:4], data[4] & _MEASURED)


def _normalised(data: bytes) -> _Element:
    return _Element(_int16(data) / 32768, data[2] & _MEASURED)


def _normalised_alone(data: bytes) -> _Element:
    return _Element(_int16(data) / 32768)


def _scaled(data: bytes) -> _Element:
    return _Element(_int16(data), data[2] & _MEASURED)


def _float(data: bytes) -> _Element:
    return _Element(_float32(data), data[4] & _MEASURED)


def _counter(data: bytes) -> _Element:
    return _Element(int.from_bytes(data[:4], "little", signed=True), data[4] & 0x80, extra=data[4] & 0x7F)


def _protection(data: bytes) -> _Element:
    return _Element(data[0] & 3, data[0] & _PROTECTED, _uint16(data, 1))


def _protection_start(data: bytes) -> _Element:
    return _Element(data[0] & 0x3F, data[1] & _PROTECTED, _uint16(data, 2))


def _protection_output(data: bytes) -> _Element:
    return _Element(data[0] & 0x0F, data[1] & _PROTECTED, _uint16(data, 2))


def _packed(data: bytes) -> _Element:
    return _Element(_uint16(data), data[4] & _MEASURED, extra=_uint16(data, 2))


def _single_command(data: bytes) -> _Element:
    return _Element(bool(data[0] & 1), extra=data[0] & 0xFC)


def _double_command(data: bytes) -> _Element:
    return _Element(data[0] & 3, extra=data[0] & 0xFC)


def _normalised_qualified(data: bytes) -> _Element:
    return _Element(_int16(data) / 32768, extra=data[2])


def _scaled_qualified(data: bytes) -> _Element:
    return _Element(_int16(data), extra=data[2])


def _float_qualified(data: bytes) -> _Element:
    return _Element(_float32(data), extra=data[4])


def _four(data: bytes) -> _Element:
    return _Element(data[:4])


def _octet(data: bytes) -> _Element:
    return _Element(data[0])


def _two(data: bytes) -> _Element:
    return _Element(data[:2])


def _nothing(_data: bytes) -> _Element:
    return _Element()


def _elapsed(data: bytes) -> _Element:
    return _Element(elapsed=_uint16(data))


def _int16(data: bytes) -> int:
    return int.from_bytes(data[:2], "little", signed=True)


def _uint16(data: bytes, at: int = 0) -> int:
    return data[at] | data[at + 1] << 8


def _float32(data: bytes) -> float:
    (value,) = struct.unpack("<f", data[:4])
    return shortest(value)


def _table() -> dict[int, Type]:
    types: list[Type] = []

    def add(number: int, name: str, size: int, read: Callable[[bytes], _Element], tag: int = 0) -> None:
        types.append(Type(number, name, size, tag, read))

    monitored = (
        (1, 30, "M_SP", 1, _single), (3, 31, "M_DP", 1, _double), (5, 32, "M_ST", 2, _step),
        (7, 33, "M_BO", 5, _bitstring), (9, 34, "M_ME", 3, _normalised), (11, 35, "M_ME", 3, _scaled),
        (13, 36, "M_ME", 5, _float), (15, 37, "M_IT", 5, _counter),
    )  # fmt: skip
    letters = {9: "NA TA TD", 11: "NB TB TE", 13: "NC TC TF"}
    for number, tagged, name, size, read in monitored:
        plain, short, full = letters.get(number, "NA TA TB").split()
        add(number, f"{name}_{plain}_1", size, read)
        add(number + 1, f"{name}_{short}_1", size, read, SIZE_24)
        add(tagged, f"{name}_{full}_1", size, read, SIZE_56)
    protections = (
        (17, 38, "AD", 3, _protection), (18, 39, "BE", 4, _protection_start), (19, 40, "CF", 4, _protection_output),
    )  # fmt: skip
    for number, tagged, which, size, read in protections:
        add(number, f"M_EP_T{which[0]}_1", size, read, SIZE_24)
        add(tagged, f"M_EP_T{which[1]}_1", size, read, SIZE_56)
    add(20, "M_PS_NA_1", 5, _packed)
    add(21, "M_ME_ND_1", 2, _normalised_alone)
    commands = (
        ("SC_?A", 1, _single_command), ("DC_?A", 1, _double_command), ("RC_?A", 1, _double_command),
        ("SE_?A", 3, _normalised_qualified), ("SE_?B", 3, _scaled_qualified), ("SE_?C", 5, _float_qualified),
        ("BO_?A", 4, _four),
    )  # fmt: skip
    for offset, (name, size, read) in enumerate(commands):
        add(45 + offset, f"C_{name.replace('?', 'N')}_1", size, read)
        add(58 + offset, f"C_{name.replace('?', 'T')}_1", size, read, SIZE_56)
    add(70, "M_EI_NA_1", 1, _octet)
    add(100, "C_IC_NA_1", 1, _octet)
    add(101, "C_CI_NA_1", 1, _octet)
    add(102, "C_RD_NA_1", 0, _nothing)
    add(103, "C_CS_NA_1", 0, _nothing, SIZE_56)
    add(104, "C_TS_NA_1", 2, _two)
    add(105, "C_RP_NA_1", 1, _octet)
    add(106, "C_CD_NA_1", 2, _elapsed)
    add(107, "C_TS_TA_1", 2, _two, SIZE_56)
    add(110, "P_ME_NA_1", 3, _normalised_qualified)
    add(111, "P_ME_NB_1", 3, _scaled_qualified)
    add(112, "P_ME_NC_1", 5, _float_qualified)
    add(113, "P_AC_NA_1", 1, _octet)
    return {each.number: each for each in types}


TYPES: Final = _table()
"""All types that are known, by number."""

"""ASDUs: what a frame carries. Type, cause of transmission, common address, and objects (IEC 60870-5-101, 7.2).

    type | VSQ | cause (1, 2) | common address (1, 2) | objects

VSQ holds the number of objects and SQ: whether each has an address of its own, or one address stands for all, which
follow each other. How many bytes cause and addresses take is agreed by hand and not to be seen: hints.py guesses.

All types are read. What is written is what asks: interrogations, reading, test, delay, and the clock. Commands (45 to
51, 58 to 64), parameters and resets are known here and never sent: nportpy acquires, it does not control.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from nportpy.errors import ProtocolError
from nportpy.protocols.iec101.elements import TYPES, Object, Type
from nportpy.protocols.iec101.times import Time56

STATION: Final = 20
"""Qualifier and cause of the interrogation of a whole station; 20 + n: of group n."""

ALL_COUNTERS: Final = 5
"""Qualifier of the interrogation of all counters; 1 to 4: of a group."""

FREEZE: Final = 0x40
"""Added to that: freeze them instead of sending them."""

TEST_PATTERN: Final = b"\xaa\x55"
"""What a test carries, there and back."""

_TEST: Final = 0x80
_NEGATIVE: Final = 0x40
_SEQUENCE: Final = 0x80


class Cause(IntEnum):
    """Why an ASDU is sent (7.2.3)."""

    CYCLIC = 1
    BACKGROUND = 2
    SPONTANEOUS = 3
    INITIALISED = 4
    REQUEST = 5
    ACTIVATION = 6
    ACTIVATION_CONFIRMATION = 7
    DEACTIVATION = 8
    DEACTIVATION_CONFIRMATION = 9
    ACTIVATION_TERMINATION = 10
    REMOTE_RETURN = 11
    LOCAL_RETURN = 12
    FILE = 13
    INTERROGATED = 20  # to 36: by group 1 to 16
    COUNTERS_REQUESTED = 37  # to 41: by group 1 to 4
    UNKNOWN_TYPE = 44
    UNKNOWN_CAUSE = 45
    UNKNOWN_COMMON_ADDRESS = 46
    UNKNOWN_OBJECT_ADDRESS = 47


KNOWN_CAUSES: Final = frozenset((*range(1, 14), *range(20, 42), *range(44, 48)))
"""The causes that the standard knows."""

REFUSALS: Final[dict[int, str]] = {
    Cause.UNKNOWN_TYPE: "it does not know this type",
    Cause.UNKNOWN_CAUSE: "it does not know this cause of transmission",
    Cause.UNKNOWN_COMMON_ADDRESS: "it has another common address",
    Cause.UNKNOWN_OBJECT_ADDRESS: "it has no such object",
}
"""What the causes of refusal mean."""


class UnknownType(ProtocolError):
    """An ASDU of a type that is not known here: how long its objects are, nobody can tell."""

    def __init__(self, number: int) -> None:
        """`number` is the type's."""
        super().__init__(f"ASDU of unknown type {number}")
        self.number = number


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many bytes the fields of an ASDU take, as the system agreed.

    Attributes:
        cause: 1, or 2 with an originator address.
        common_address: 1 or 2.
        object_address: 1, 2 or 3.
    """

    cause: int = 1
    common_address: int = 1
    object_address: int = 2

    def __post_init__(self) -> None:
        """Refuse other sizes.

        Raises:
            ValueError: a size is none of the standard's.
        """
        if self.cause not in (1, 2) or self.common_address not in (1, 2) or self.object_address not in (1, 2, 3):
            raise ValueError(f"sizes {self}: cause 1 or 2, common address 1 or 2, object address 1, 2 or 3 bytes")

    def __str__(self) -> str:
        return f"{self.cause}/{self.common_address}/{self.object_address}"

    @property
    def header(self) -> int:
        """Bytes before the objects."""
        return 2 + self.cause + self.common_address

    @property
    def everyone(self) -> int:
        """The common address that means all."""
        return (1 << 8 * self.common_address) - 1


@dataclass(frozen=True, slots=True)
class Asdu:
    """One ASDU.

    Attributes:
        type: its number.
        cause: why it is sent.
        common_address: whose data it is.
        objects: what it carries.
        negative: the confirmation says no (P/N).
        test: it is a test and no data.
        originator: who asked, where the cause has two bytes.
        sequence: the objects follow each other (SQ).
    """

    type: int
    cause: int
    common_address: int
    objects: tuple[Object, ...]
    negative: bool = False
    test: bool = False
    originator: int = 0
    sequence: bool = False

    @property
    def kind(self) -> Type:
        """What its type is."""
        return TYPES[self.type]


def decode(data: bytes, sizes: Sizes) -> Asdu:
    """The ASDU that `data` is, whole.

    Raises:
        UnknownType: its type is not known.
        ProtocolError: it is too short or too long for what it says.
    """
    if len(data) < sizes.header:
        raise ProtocolError(f"ASDU of {len(data)} bytes: too short for sizes {sizes}")
    kind = TYPES.get(data[0])
    if kind is None:
        raise UnknownType(data[0])
    count, sequence = data[1] & 0x7F, bool(data[1] & _SEQUENCE)
    element, step = kind.size, kind.size + sizes.object_address
    wanted = sizes.object_address * bool(count) + element * count if sequence else step * count
    if len(data) - sizes.header != wanted:
        raise ProtocolError(
            f"ASDU of type {data[0]} with {count} objects: {len(data)} bytes and not {sizes.header + wanted} "
            f"(sizes {sizes})"
        )
    at = 2 + sizes.cause
    common_address = int.from_bytes(data[at : sizes.header], "little")
    return Asdu(
        type=data[0],
        cause=data[2] & 0x3F,
        common_address=common_address,
        objects=_objects(kind, data, sizes, sequence),
        negative=bool(data[2] & _NEGATIVE),
        test=bool(data[2] & _TEST),
        originator=data[3] if sizes.cause == 2 else 0,
        sequence=sequence,
    )


def _objects(kind: Type, data: bytes, sizes: Sizes, sequence: bool) -> tuple[Object, ...]:
    at, end, width = sizes.header, len(data), sizes.object_address
    objects: list[Object] = []
    address = 0
    while at < end:
        if sequence and objects:
            address += 1
        else:
            address = int.from_bytes(data[at : at + width], "little")
            at += width
        objects.append(kind.decode(address, data[at : at + kind.size]))
        at += kind.size
    return tuple(objects)


def interrogation(sizes: Sizes, common_address: int, qualifier: int = STATION) -> bytes:
    """Ask for all values of a station, or of group n with qualifier 20 + n (C_IC_NA_1, 7.3.4.1)."""
    return _asking(sizes, 100, Cause.ACTIVATION, common_address, 0, bytes((qualifier,)))


def counter_interrogation(sizes: Sizes, common_address: int, qualifier: int = ALL_COUNTERS) -> bytes:
    """Ask for integrated totals, or freeze them (C_CI_NA_1, 7.3.4.2)."""
    return _asking(sizes, 101, Cause.ACTIVATION, common_address, 0, bytes((qualifier,)))


def read(sizes: Sizes, common_address: int, address: int) -> bytes:
    """Ask for one object (C_RD_NA_1, 7.3.4.3)."""
    return _asking(sizes, 102, Cause.REQUEST, common_address, address, b"")


def clock_synchronisation(sizes: Sizes, common_address: int, time: Time56) -> bytes:
    """Set the clock to what `time` shows as the frame's first bit leaves (C_CS_NA_1, 7.3.4.4)."""
    return _asking(sizes, 103, Cause.ACTIVATION, common_address, 0, time.encode())


def test(sizes: Sizes, common_address: int) -> bytes:
    """Ask for the test pattern back (C_TS_NA_1, 7.3.4.5)."""
    return _asking(sizes, 104, Cause.ACTIVATION, common_address, 0, TEST_PATTERN)


def delay_acquisition(sizes: Sizes, common_address: int, milliseconds: int) -> bytes:
    """Measure how long a frame takes to get there (C_CD_NA_1, 7.3.4.7)."""
    return _asking(sizes, 106, Cause.ACTIVATION, common_address, 0, milliseconds.to_bytes(2, "little"))


def _asking(sizes: Sizes, number: int, cause: Cause, common_address: int, address: int, element: bytes) -> bytes:
    return (
        bytes((number, 1, cause, 0)[: 2 + sizes.cause])
        + common_address.to_bytes(sizes.common_address, "little")
        + address.to_bytes(sizes.object_address, "little")
        + element
    )

"""What an outstation measures and reports: information objects. Source: IEC 60870-5-101:2003, 7.2.6 and 7.3.1."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import groupby

from nportpy.simulator.iec101.asdu import MAX_OBJECTS, Asdu, Sizes
from nportpy.simulator.iec101.clock import Stamp
from nportpy.simulator.iec101.frames import MAX_LENGTH


class Kind(Enum):
    """What a point is, with its types: without time, with CP24, with CP56. 0: there is none."""

    SINGLE = (1, 2, 30)
    DOUBLE = (3, 4, 31)
    STEP = (5, 6, 32)
    BITS = (7, 8, 33)
    NORMALISED = (9, 10, 34)
    SCALED = (11, 12, 35)
    FLOAT = (13, 14, 36)
    COUNTER = (15, 16, 37)
    PACKED = (20, 0, 0)
    BARE = (21, 0, 0)  # normalised, without quality


CYCLIC = frozenset((Kind.NORMALISED, Kind.SCALED, Kind.FLOAT, Kind.BARE))
"""What is sent as class 2 with cause 1."""


class Quality:
    """Bits of a quality descriptor, and those of a counter's last byte."""

    OVERFLOW = 0x01
    BLOCKED = 0x10
    SUBSTITUTED = 0x20
    NOT_TOPICAL = 0x40
    INVALID = 0x80
    CARRY = 0x20
    ADJUSTED = 0x40


@dataclass(slots=True)
class Point:
    """One.

    Attributes:
        address: its information object address.
        kind: what it is.
        value: 0 or 1 of a single point, 0 to 3 of a double one, -64 to 63 of a step, -1 to 1 normalised; of packed
            ones the states in the low 16 bits, the changes in the high ones.
        quality: bits of its descriptor; of a counter those and its sequence number.
        group: 1 to 16, or 1 to 4 of a counter; 0: none, the station's interrogation alone has it.
        transient: of a step position.
    """

    address: int
    kind: Kind
    value: float
    quality: int = 0
    group: int = 0
    transient: bool = False

    def element(self) -> bytes:
        """Its bytes, without address and time."""
        whole, quality = int(self.value), bytes((self.quality,))
        match self.kind:
            case Kind.SINGLE | Kind.DOUBLE:
                return bytes((whole | self.quality,))
            case Kind.STEP:
                return bytes((whole & 0x7F | 0x80 * self.transient,)) + quality
            case Kind.NORMALISED:
                return _normalised(self.value) + quality
            case Kind.BARE:
                return _normalised(self.value)
            case Kind.SCALED:
                return struct.pack("<h", whole) + quality
            case Kind.FLOAT:
                return struct.pack("<f", self.value) + quality
            case Kind.COUNTER:
                return struct.pack("<i", whole) + quality
            case Kind.BITS | Kind.PACKED:
                return struct.pack("<I", whole) + quality

    def timed(self, stamp: Stamp, *, short: bool) -> tuple[int, bytes]:
        """Its type with a time, and the bytes; where there is no such type, those without."""
        kind = self.kind.value[1 if short else 2]
        if not kind:
            return self.kind.value[0], self.element()
        return kind, self.element() + (stamp.cp24() if short else stamp.cp56())


def _normalised(value: float) -> bytes:
    return struct.pack("<h", min(max(round(value * 32768), -32768), 32767))


def reports(points: Sequence[Point], cause: int, common: int, sizes: Sizes, *, sequences: bool) -> Iterator[Asdu]:
    """ASDUs without time that hold these points: as many in each as fit, of one kind.

    Args:
        points: in the order in which they are sent.
        cause: theirs.
        common: common address.
        sizes: of the fields.
        sequences: send neighbours of one kind under one address (SQ = 1).
    """
    for kind, group in groupby(points, key=lambda point: point.kind):
        left = list(group)
        while left:
            length = _neighbours(left) if sequences else 1
            element = len(left[0].element())
            room = MAX_LENGTH - 1 - sizes.link - sizes.head
            if length > 1:
                length = min(length, (room - sizes.ioa) // element, MAX_OBJECTS)
                objects = left[0].address.to_bytes(sizes.ioa, "little")
                objects += b"".join(point.element() for point in left[:length])
                yield Asdu(kind.value[0], cause, common, objects, length, sequence=True)
            else:
                alone = len(left) if not sequences else _apart(left)
                length = min(alone, room // (element + sizes.ioa), MAX_OBJECTS)
                pieces = (point.address.to_bytes(sizes.ioa, "little") + point.element() for point in left[:length])
                yield Asdu(kind.value[0], cause, common, b"".join(pieces), length)
            del left[:length]


def _neighbours(points: Sequence[Point]) -> int:
    """How many of the first ones have addresses that follow each other."""
    first = points[0].address
    return next((n for n, point in enumerate(points) if point.address != first + n), len(points))


def _apart(points: Sequence[Point]) -> int:
    """How many of the first ones have no neighbour."""
    return next(
        (n for n in range(1, len(points) - 1) if _neighbours(points[n:]) > 1),
        len(points),
    )

"""Application service data units. Source: IEC 60870-5-3 and IEC 60870-5-101:2003, 7.1 and 7.2."""

from dataclasses import dataclass
from enum import IntEnum

NEGATIVE = 0x40
TEST = 0x80
SEQUENCE = 0x80
MAX_OBJECTS = 127


class Cause(IntEnum):
    """Causes of transmission."""

    CYCLIC = 1
    BACKGROUND = 2
    SPONTANEOUS = 3
    INITIALISED = 4
    REQUEST = 5
    ACTIVATION = 6
    CONFIRMATION = 7
    TERMINATION = 10
    STATION = 20
    COUNTERS = 37
    UNKNOWN_TYPE = 44
    UNKNOWN_CAUSE = 45
    UNKNOWN_COMMON = 46
    UNKNOWN_OBJECT = 47


class Type(IntEnum):
    """Types of what an outstation is told, and of the end of initialisation."""

    END_OF_INIT = 70
    INTERROGATION = 100
    COUNTERS = 101
    READ = 102
    CLOCK = 103
    TEST = 104
    RESET = 105
    DELAY = 106


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of the fields that are agreed for each system.

    Attributes:
        link: of the link address, 0, 1 or 2.
        cause: of the cause, 1 or 2; the second is the originator.
        common: of the common address, 1 or 2.
        ioa: of an information object's address, 1, 2 or 3.
    """

    link: int = 1
    cause: int = 1
    common: int = 1
    ioa: int = 2

    def __post_init__(self) -> None:
        """Refuse other sizes.

        Raises:
            ValueError: a size is none.
        """
        allowed = {"link": (0, 1, 2), "cause": (1, 2), "common": (1, 2), "ioa": (1, 2, 3)}
        for name, sizes in allowed.items():
            if getattr(self, name) not in sizes:
                raise ValueError(f"{name} address or cause of {getattr(self, name)} bytes: {name} has one of {sizes}")

    @property
    def everybody(self) -> int:
        """The common address that all have."""
        return (1 << 8 * self.common) - 1

    @property
    def all_links(self) -> int:
        """The link address that all have."""
        return (1 << 8 * self.link) - 1 if self.link else -1

    @property
    def head(self) -> int:
        """Bytes before the first object."""
        return 2 + self.cause + self.common


@dataclass(frozen=True, slots=True)
class Asdu:
    """One.

    Attributes:
        type: type identification.
        cause: with the bits for negative and test.
        common: common address.
        objects: all that follows, with addresses.
        count: number of objects.
        sequence: one address, then elements.
        originator: second byte of the cause.
    """

    type: int
    cause: int
    common: int
    objects: bytes
    count: int = 1
    sequence: bool = False
    originator: int = 0

    def encode(self, sizes: Sizes) -> bytes:
        """Its bytes."""
        cause = bytes((self.cause, self.originator))[: sizes.cause]
        return (
            bytes((self.type, self.count | SEQUENCE * self.sequence))
            + cause
            + self.common.to_bytes(sizes.common, "little")
            + self.objects
        )


def parse(data: bytes, sizes: Sizes) -> Asdu:
    """The ASDU in these bytes.

    Raises:
        ValueError: there are too few for one with an object.
    """
    if len(data) < sizes.head + sizes.ioa:
        raise ValueError(f"{len(data)} bytes are too few for an ASDU")
    originator = data[3] if sizes.cause == 2 else 0
    common = int.from_bytes(data[2 + sizes.cause : sizes.head], "little")
    return Asdu(data[0], data[2], common, data[sizes.head :], data[1] & 0x7F, bool(data[1] & SEQUENCE), originator)

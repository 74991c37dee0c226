"""Frames of FT1.2, seen from an outstation. Source: IEC 60870-5-1, 6.2.4.2, and -5-2, 6.1."""

from dataclasses import dataclass
from enum import IntEnum

SINGLE = b"\xe5"
FIXED, VARIABLE, END = 0x10, 0x68, 0x16
MAX_LENGTH = 255

PRIMARY = 0x40
FCB = 0x20
FCV = 0x10
ACD = 0x20
DFC = 0x10


class Asks(IntEnum):
    """Functions of the primary station."""

    RESET = 0
    RESET_PROCESS = 1
    DATA = 3
    DATA_UNANSWERED = 4
    ACCESS = 8
    STATUS = 9
    CLASS_1 = 10
    CLASS_2 = 11


class Says(IntEnum):
    """Functions of the secondary station."""

    ACK = 0
    NACK = 1
    DATA = 8
    NO_DATA = 9
    STATUS = 11
    NOT_FUNCTIONING = 14
    NOT_IMPLEMENTED = 15


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame with `data`, or a fixed one without.

    Attributes:
        control: the control byte.
        address: the link address; 0 where there is none.
        data: the ASDU.
    """

    control: int
    address: int
    data: bytes = b""

    @property
    def function(self) -> int:
        """The function code."""
        return self.control & 0x0F

    def encode(self, size: int) -> bytes:
        """The frame with a link address of so many bytes."""
        address = self.address.to_bytes(size, "little") if size else b""
        body = bytes((self.control,)) + address + self.data
        tail = bytes((sum(body) & 0xFF, END))
        if not self.data:
            return bytes((FIXED,)) + body + tail
        return bytes((VARIABLE, len(body), len(body), VARIABLE)) + body + tail


class Reader:
    """Finds frames among characters.

    Attributes:
        spoilt: how often something began like a frame and was none.
    """

    def __init__(self, size: int) -> None:
        """Link addresses have `size` bytes."""
        self.spoilt = 0
        self._size = size
        self._data = bytearray()

    @property
    def started(self) -> bool:
        """Whether something has begun that is not whole."""
        return bool(self._data)

    def reset(self) -> None:
        """Forget what has begun."""
        self.spoilt += bool(self._data)
        self._data.clear()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes."""
        self._data += data
        frames: list[Frame] = []
        while self._data:
            length = self._length()
            if length is None or 0 < len(self._data) < length:
                break
            frame = self._frame(length) if length else None
            if frame:
                frames.append(frame)
                del self._data[:length]
            else:
                self.spoilt += bool(length) or self._data[0] in (FIXED, VARIABLE)
                del self._data[:1]
        return frames

    def _length(self) -> int | None:
        """Characters of the frame that begins here; 0: none does; None: too few to say."""
        data = self._data
        if data[0] == FIXED:
            return 4 + self._size
        if data[0] != VARIABLE:
            return 0
        if len(data) < 4:
            return None
        right = data[1] == data[2] and data[3] == VARIABLE and data[1] >= 1 + self._size
        return data[1] + 6 if right else 0

    def _frame(self, length: int) -> Frame | None:
        head = 1 if self._data[0] == FIXED else 4
        body = bytes(self._data[head : length - 2])
        if self._data[length - 1] != END or self._data[length - 2] != sum(body) & 0xFF:
            return None
        rest = 1 + self._size
        return Frame(body[0], int.from_bytes(body[1:rest], "little"), body[rest:])

"""FT1.2 frames: what IEC 60870-5-101 puts around its data on the line.

Source: IEC 60870-5-1, 6.2.4.2 (format class FT1.2), and IEC 60870-5-2 for the control byte. Numbers of several bytes
stand low byte first.

    fixed      10 C A CS 16
    variable   68 L L 68 C A data CS 16     L: bytes from C to the end of the data
    single     E5                           stands for a positive answer without data

A is the link address, of 0, 1 or 2 bytes as the system agreed; CS the sum of the bytes from C to the last before it.
"""

from dataclasses import dataclass
from typing import Final

from nportpy.errors import ProtocolError

SINGLE: Final = 0xE5
"""The single character."""

MAX_FRAME: Final = 261
"""The longest frame, in bytes: L is 255."""

PRIMARY: Final = 0x40
"""PRM: the frame comes from the side that asks."""

_REMEMBERED: Final = 32  # bytes
_FIXED: Final = 0x10
_VARIABLE: Final = 0x68
_END: Final = 0x16


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame. The single character is a frame without control byte and address: see `is_single`.

    Attributes:
        control: the control byte; -1: the single character.
        address: the link address; 0 where it has no bytes.
        data: the ASDU; empty: a frame of fixed length.
    """

    control: int
    address: int = 0
    data: bytes = b""

    @property
    def is_single(self) -> bool:
        """Whether it is the single character E5."""
        return self.control < 0

    @property
    def from_primary(self) -> bool:
        """Whether the side that asks has sent it (PRM)."""
        return not self.is_single and bool(self.control & PRIMARY)

    @property
    def function(self) -> int:
        """The function code of the control byte."""
        return self.control & 0x0F

    def encode(self, address_size: int) -> bytes:
        """The bytes on the wire.

        Raises:
            ValueError: the address or the data does not fit.
        """
        if self.is_single:
            return bytes((SINGLE,))
        try:
            body = bytes((self.control,)) + self.address.to_bytes(address_size, "little") + self.data
        except OverflowError:
            raise ValueError(f"link address {self.address} does not fit into {address_size} bytes") from None
        if len(body) > 255:
            raise ValueError(f"{len(self.data)} bytes of data do not fit into a frame")
        end = bytes((sum(body) & 0xFF, _END))
        if not self.data:
            return bytes((_FIXED,)) + body + end
        return bytes((_VARIABLE, len(body), len(body), _VARIABLE)) + body + end


SINGLE_CHARACTER: Final = Frame(-1)
"""E5."""


@dataclass(slots=True)
class FrameCounts:
    """Numbers since the start.

    Attributes:
        frames: whole frames, the single character among them.
        checksum: frames whose checksum was wrong.
        malformed: what began as a frame and went on as none.
        dropped: bytes that belong to no frame.
    """

    frames: int = 0
    checksum: int = 0
    malformed: int = 0
    dropped: int = 0


class FrameFinder:
    """Finds frames in what comes. One request at a time: `begin` says that one was sent.

    A beginning that turns out to be none costs one byte: the search goes on behind it. So a frame is found whatever
    stands around it. E5 is a single bit's luck among rubbish, so it is an answer only if nothing but whole frames of
    the asking side (an echo) came since the request, and `silence` follows it. A request that was repeated may have
    more than one answer, and the late one may come right before the other.

    Attributes:
        silence: seconds after which a lone E5 is an answer.
        counts: what it has seen.
        heard: the first bytes since the request, whatever they are: for a hint, see hints.py.
    """

    __slots__ = ("_address_size", "_clean", "_data", "_gap", "_last", "_singles", "counts", "heard", "silence")

    def __init__(self, address_size: int, silence: float, gap: float) -> None:
        """Nothing was heard yet.

        Args:
            address_size: bytes of the link address.
            silence: seconds after which a lone E5 is an answer: some three characters.
            gap: seconds of silence inside a frame after which the rest does not come any more.
        """
        self._address_size = address_size
        self.silence = silence
        self._gap = gap
        self._data = bytearray()
        self._clean = True
        self._singles = 1
        self._last = 0.0
        self.counts = FrameCounts()
        self.heard = b""

    def begin(self, sent: int = 1) -> None:
        """A request was sent, for the so-manieth time: what came before is no answer to it."""
        self.counts.dropped += len(self._data)
        self._singles = sent
        self._data.clear()
        self._clean = True
        self.heard = b""

    def feed(self, data: bytes, now: float) -> list[Frame]:
        """The frames that are complete with `data`, which came at `now`."""
        self._data += data
        self._last = now
        if len(self.heard) < _REMEMBERED:
            self.heard += data[:_REMEMBERED]
        return self._find()

    def deadline(self) -> float | None:
        """When silence will mean something: call `expire` then. None: it does not."""
        if not self._data:
            return None
        return self._last + (self.silence if self._lone() else self._gap)

    def expire(self, now: float) -> list[Frame]:
        """The frames in what silence has ended; nothing is left to come after it."""
        if not self._data or now < self._last:
            return []
        if self._lone():
            singles = len(self._data)
            self._data.clear()
            self.counts.frames += singles
            return [SINGLE_CHARACTER] * singles
        frames: list[Frame] = []
        while self._data:
            self.counts.malformed += self._data[0] in (_FIXED, _VARIABLE)
            self._drop()
            frames += self._find()
        return frames

    def _lone(self) -> bool:
        data = self._data
        return self._clean and data[0] == SINGLE and len(data) <= self._singles and data.count(SINGLE) == len(data)

    def _find(self) -> list[Frame]:
        frames: list[Frame] = []
        while self._data and not self._lone():
            size = self._size()
            if not size:
                self._drop()
                continue
            if len(self._data) < size:
                break
            frame = self._frame(size)
            if frame is None:
                self._drop()
                continue
            del self._data[:size]
            self._clean = self._clean and frame.from_primary
            self.counts.frames += 1
            frames.append(frame)
        return frames

    def _size(self) -> int:
        """Bytes of the frame that may begin here, as far as one can tell; 0: none begins here."""
        data = self._data
        if data[0] == _FIXED:
            return 4 + self._address_size
        if data[0] != _VARIABLE:
            return 0
        if len(data) < 2:
            return 6
        length = data[1]
        if (
            length < 1 + self._address_size
            or (len(data) > 2 and data[2] != length)
            or (len(data) > 3 and data[3] != _VARIABLE)
        ):
            self.counts.malformed += 1
            return 0
        return length + 6

    def _frame(self, size: int) -> Frame | None:
        start = 1 if self._data[0] == _FIXED else 4
        body, end = bytes(self._data[start : size - 2]), self._data[size - 2 : size]
        if end[1] != _END:
            self.counts.malformed += 1
            return None
        if sum(body) & 0xFF != end[0]:
            self.counts.checksum += 1
            return None
        behind = 1 + self._address_size
        return Frame(body[0], int.from_bytes(body[1:behind], "little"), body[behind:])

    def _drop(self) -> None:
        del self._data[0]
        self._clean = False
        self.counts.dropped += 1


def parse(wire: bytes, address_size: int) -> Frame:
    """The frame that `wire` is, whole.

    Raises:
        ProtocolError: it is none, or more than one.
    """
    finder = FrameFinder(address_size, 0.0, 0.0)
    frames = finder.feed(wire, 0.0) + finder.expire(0.0)
    if len(frames) != 1 or finder.counts.dropped:
        raise ProtocolError(f"not one FT1.2 frame: {wire[:16].hex(' ')}")
    return frames[0]

"""HDLC frames of type 3, as COSEM uses them (IEC 62056-46, clause 6.4; Green Book 8.4)."""

from dataclasses import dataclass
from enum import IntEnum

FLAG = 0x7E
MAX_LENGTH = 2047
"""Bytes between the flags: the format field has 11 bits for them."""

_TYPE_3 = 0xA0
_SEGMENTED = 0x08
_MIN_LENGTH = 7  # format, two addresses of a byte, control, FCS
_ADDRESS_SIZES = (1, 2, 4)


class Control(IntEnum):
    """Control fields without sequence numbers, P/F set (6.4.3)."""

    SNRM = 0x93
    DISC = 0x53
    UA = 0x73
    DM = 0x1F
    FRMR = 0x97
    UI = 0x13


POLL = 0x10
"""P in what a client sends, F in what a meter sends."""

_RR, _RNR = 0x01, 0x05


def information(send: int, receive: int, final: bool = True) -> int:
    """The control field of an I frame with N(S) and N(R)."""
    return receive << 5 | final * POLL | send << 1


def receive_ready(receive: int) -> int:
    """The control field of RR with N(R)."""
    return receive << 5 | POLL | _RR


def receive_not_ready(receive: int) -> int:
    """The control field of RNR with N(R)."""
    return receive << 5 | POLL | _RNR


def _table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x8408 if byte & 1 else 0)  # noqa: PLW2901
        table.append(byte)
    return tuple(table)


_CRC = _table()


def check(data: bytes) -> bytes:
    """HCS or FCS: CRC-16/X-25, its low byte first."""
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    return (crc ^ 0xFFFF).to_bytes(2, "little")


@dataclass(frozen=True, slots=True)
class Address:
    """A server's address.

    Attributes:
        upper: the logical device.
        lower: the physical device; 0: none.
        size: bytes that it takes, 1, 2 or 4.
    """

    upper: int
    lower: int = 0
    size: int = 2

    def encode(self) -> bytes:
        """Seven bits a byte, the last byte marked (8.4.2.2)."""
        parts: tuple[int, ...]
        match self.size:
            case 1:
                parts = (self.upper,)
            case 2:
                parts = (self.upper, self.lower)
            case _:
                parts = (self.upper >> 7, self.upper & 0x7F, self.lower >> 7, self.lower & 0x7F)
        return bytes(part << 1 for part in parts[:-1]) + bytes((parts[-1] << 1 | 1,))

    @classmethod
    def decode(cls, data: bytes) -> "Address":
        """The address in its bytes."""
        parts = [byte >> 1 for byte in data]
        match len(parts):
            case 1:
                return cls(parts[0], 0, 1)
            case 2:
                return cls(parts[0], parts[1], 2)
            case _:
                return cls(parts[0] << 7 | parts[1], parts[2] << 7 | parts[3], 4)


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame.

    Attributes:
        destination: the address's bytes.
        source: the same.
        control: the control field.
        information: what it carries; empty: no information field.
        segmented: more of the same follows in the next frame.
    """

    destination: bytes
    source: bytes
    control: int
    information: bytes = b""
    segmented: bool = False

    def encode(self) -> bytes:
        """The frame with its flags."""
        body = self.destination + self.source + bytes((self.control,))
        length = 2 + len(body) + (2 + len(self.information) if self.information else 0) + 2
        head = bytes((_TYPE_3 | self.segmented * _SEGMENTED | length >> 8, length & 0xFF)) + body
        if self.information:
            head += check(head) + self.information
        return bytes((FLAG,)) + head + check(head) + bytes((FLAG,))

    @property
    def client(self) -> int:
        """The client's address in a frame from one."""
        return self.source[0] >> 1


def parse(body: bytes) -> Frame | None:
    """The frame between two flags; None: it is none, or damaged."""
    if len(body) < _MIN_LENGTH or check(body[:-2]) != body[-2:]:
        return None
    at, addresses = 2, []
    for _ in range(2):
        end = next((end for end in range(at, min(at + 4, len(body))) if body[end] & 1), None)
        if end is None or end + 1 - at not in _ADDRESS_SIZES:
            return None
        addresses.append(body[at : end + 1])
        at = end + 1
    head = body[: at + 1]
    rest = body[at + 1 : -2]
    if len(head) <= at or (rest and (len(rest) < 3 or check(head) != rest[:2])):
        return None
    return Frame(addresses[0], addresses[1], body[at], rest[2:], bool(body[0] & _SEGMENTED))


class Reader:
    """Finds frames in what passes over a line.

    Attributes:
        good: frames found.
        spoilt: flags after which there was none.
    """

    def __init__(self) -> None:
        """It has heard nothing."""
        self.good = 0
        self.spoilt = 0
        self._heard = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes."""
        self._heard += data
        frames: list[Frame] = []
        while True:
            start = self._heard.find(FLAG)
            if start < 0:
                self._heard.clear()
                return frames
            del self._heard[:start]
            if len(self._heard) < 3:
                return frames
            length = (self._heard[1] & 7) << 8 | self._heard[2]
            if self._heard[1] == FLAG:  # one frame's last flag and the next one's first, or fill
                del self._heard[0]
                continue
            if self._heard[1] & 0xF0 == _TYPE_3 and length >= _MIN_LENGTH:
                if len(self._heard) < length + 2:
                    return frames
                frame = parse(bytes(self._heard[1 : length + 1])) if self._heard[length + 1] == FLAG else None
                if frame:
                    self.good += 1
                    frames.append(frame)
                    del self._heard[: length + 1]  # its last flag may be the next one's first
                    continue
            self.spoilt += 1
            del self._heard[0]

    def reset(self) -> None:
        """Forget what has begun: the pause in it was too long for a frame."""
        if len(self._heard) > 1:
            self.spoilt += 1
        self._heard.clear()

"""Modbus RTU: a unit id before the PDU, a CRC-16 behind it, silence around both.

Source: MODBUS over Serial Line Specification and Implementation Guide V1.02; clauses are given beside the code.
What finds frames in a stream of bytes is in rtu_reply.py and rtu_request.py.
"""

from dataclasses import dataclass
from typing import Final

from fastcrc import crc16

from nportpy.errors import ProtocolError
from nportpy.linesettings import LineSettings

MIN_FRAME: Final = 4
"""Unit id, function code and CRC: the shortest frame there is, in bytes."""

MAX_FRAME: Final = 256
"""The longest frame, in bytes (2.5.1)."""

BROADCAST: Final = 0
"""The unit id that means every unit; none of them answers (2.2)."""

FIXED_SILENCE: Final = 0.00175
"""Seconds of silence between frames above 19200 baud (2.5.1.1)."""

FIXED_GAP: Final = 0.00075
"""Seconds that may pass inside a frame above 19200 baud (2.5.1.1)."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One RTU frame without its CRC: which unit it is for or from, and the PDU."""

    unit: int
    pdu: bytes

    def encode(self) -> bytes:
        """The bytes on the wire."""
        return encode(self.unit, self.pdu)

    @classmethod
    def parse(cls, wire: bytes) -> "Frame":
        """The frame that `wire`, all bytes between two silences, is.

        Raises:
            ProtocolError: too short, too long, or the CRC is wrong.
        """
        if not MIN_FRAME <= len(wire) <= MAX_FRAME:
            raise ProtocolError(f"an RTU frame has {MIN_FRAME} to {MAX_FRAME} bytes, not {len(wire)}")
        if crc16.modbus(wire[:-2]) != int.from_bytes(wire[-2:], "little"):
            raise ProtocolError(f"wrong CRC: {wire[:16].hex(' ')}")
        return cls(wire[0], wire[1:-2])


def encode(unit: int, pdu: bytes) -> bytes:
    """The bytes on the wire of one frame; the CRC goes low byte first (2.5.1.2)."""
    body = bytes((unit,)) + pdu
    return body + crc16.modbus(body).to_bytes(2, "little")


def longest_frame(data: bytes, start: int) -> int:
    """Bytes of the frame at `data[start]` whose length nothing tells but its CRC; 0 if there is none.

    Looks at 256 bytes at most and takes the longest that fits: a shorter one fits by chance once in 65536 lengths.

    Zeros behind a frame leave its CRC right. Some devices send a few, so of three lengths and more that differ by
    zeros only, the first is taken. Of two the second: one frame in 256 has a CRC that ends in zero, and that is more
    than there are lines with a single zero after each frame.
    """
    first = last = 0
    remainder = crc16.modbus(data[start : start + 2])
    for at in range(start + 2, min(start + MAX_FRAME, len(data))):
        remainder = crc16.modbus(data[at : at + 1], remainder)
        if remainder == 0:  # as of a frame with its CRC behind it
            size = at + 1 - start
            if size != last + 1:
                first = size
            last = size
    if last < MIN_FRAME:
        return 0
    return last if last == first + 1 else max(first, MIN_FRAME)


def silent_interval(settings: LineSettings, fixed: float | None = FIXED_SILENCE) -> float:
    """Seconds of silence that stand between frames, t3.5 (2.5.1.1).

    Args:
        settings: of the line.
        fixed: above 19200 baud, this many seconds; None for 3.5 characters at every speed, which is less than the
            standard demands and more than many devices need.
    """
    return 3.5 * settings.character_time if fixed is None or settings.baudrate <= 19200 else fixed


def character_gap(settings: LineSettings, fixed: float | None = FIXED_GAP) -> float:
    """Seconds of silence inside a frame from which on a strict receiver drops it, t1.5 (2.5.1.1).

    Args:
        settings: of the line.
        fixed: above 19200 baud, this many seconds; None for 1.5 characters at every speed.
    """
    return 1.5 * settings.character_time if fixed is None or settings.baudrate <= 19200 else fixed

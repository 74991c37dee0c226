"""Modbus RTU: a unit id before the PDU, a CRC-16 behind it, silence around both.

Source: MODBUS over Serial Line Specification and Implementation Guide V1.02; clauses are given beside the code.
"""

from dataclasses import dataclass

from fastcrc import crc16

from nportpy.errors import ProtocolError
from nportpy.linesettings import LineSettings

MIN_FRAME = 4
"""Unit id, function code and CRC: the shortest frame there is, in bytes."""

MAX_FRAME = 256
"""The longest frame, in bytes (2.5.1)."""

BROADCAST = 0
"""The unit id that means every unit; none of them answers (2.2)."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One RTU frame without its CRC: which unit it is for or from, and the PDU."""

    unit: int
    pdu: bytes

    def encode(self) -> bytes:
        """The bytes on the wire; the CRC goes low byte first (2.5.1.2)."""
        body = bytes((self.unit,)) + self.pdu
        return body + crc16.modbus(body).to_bytes(2, "little")

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


def silent_interval(settings: LineSettings) -> float:
    """Seconds of silence that end a frame: 3.5 characters, and 1.75 ms above 19200 baud (2.5.1.1)."""
    return 3.5 * settings.character_time if settings.baudrate <= 19200 else 0.00175

"""Long answers: block by block (DLMS UA 1000-2, 9.3.6 and 9.3.14), or by general block transfer (9.4.6.11).

A block ends anywhere, also inside a number: nothing is decoded before the last one is there.
"""

from dataclasses import dataclass
from typing import Final

from nportpy.errors import ProtocolError
from nportpy.protocols.dlms import axdr

MAX_ANSWER: Final = 1 << 20
"""Bytes of the longest answer in blocks, unless somebody sets another limit."""

GENERAL: Final = 0xE0

_LAST, _STREAMING, _WINDOW = 0x80, 0x40, 0x3F


class Blocks:
    """Puts the numbered parts of one answer together.

    Attributes:
        received: number of the last part that is in; 0: none yet.
    """

    __slots__ = ("_limit", "_parts", "_size", "received")

    def __init__(self, limit: int = MAX_ANSWER) -> None:
        """Nothing is in. An answer has at most `limit` bytes."""
        self.received = 0
        self._limit = limit
        self._size = 0
        self._parts: list[bytes] = []

    def add(self, number: int, raw: bytes) -> None:
        """The next part. One that is in already, sent again, changes nothing.

        Raises:
            ProtocolError: it is not the next one, or the answer grows beyond all measure.
        """
        if number == self.received and number:
            return
        if number != self.received + 1:
            raise ProtocolError(f"block {number} instead of block {self.received + 1}")
        self._size += len(raw)
        if self._size > self._limit:
            raise ProtocolError(f"an answer of more than {self._limit} bytes")
        self.received = number
        self._parts.append(raw)

    def joined(self) -> bytes:
        """Everything that is in."""
        return b"".join(self._parts)


@dataclass(frozen=True, slots=True)
class GeneralBlock:
    """A part of any APDU (E0).

    Attributes:
        last: whether it is the last one.
        streaming: whether more follow before the other side is to acknowledge.
        window: how many in a row its sender takes.
        number: of this part, from 1.
        acknowledged: the last part that its sender has received.
        data: the part; empty where it only acknowledges.
    """

    last: bool
    streaming: bool
    window: int
    number: int
    acknowledged: int
    data: bytes = b""

    def encode(self) -> bytes:
        """The APDU."""
        control = self.last * _LAST | self.streaming * _STREAMING | self.window & _WINDOW
        head = bytes((GENERAL, control)) + self.number.to_bytes(2, "big") + self.acknowledged.to_bytes(2, "big")
        return head + axdr.encode_length(len(self.data)) + self.data

    @classmethod
    def parse(cls, apdu: bytes) -> "GeneralBlock":
        """The block that an APDU is.

        Raises:
            ProtocolError: it is cut, has too much, or is none.
        """
        if len(apdu) < 7 or apdu[0] != GENERAL:
            raise ProtocolError(f"no general block: {apdu[:8].hex(' ')}")
        data, end = axdr.octets(apdu, 6)
        if end != len(apdu):
            raise ProtocolError(f"{len(apdu) - end} bytes too many behind a general block")
        control = apdu[1]
        return cls(
            bool(control & _LAST),
            bool(control & _STREAMING),
            control & _WINDOW,
            int.from_bytes(apdu[2:4], "big"),
            int.from_bytes(apdu[4:6], "big"),
            data,
        )


class GeneralTransfer:
    """Receives one APDU in general blocks."""

    __slots__ = ("_blocks", "_said")

    def __init__(self, limit: int = MAX_ANSWER) -> None:
        """Nothing is in. An APDU has at most `limit` bytes."""
        self._blocks = Blocks(limit)
        self._said = 0

    def add(self, block: GeneralBlock) -> bytes | None:
        """The whole APDU with its last block; None as long as some are missing.

        One that is not the next is left: what `acknowledge` says makes the meter send from there again.

        Raises:
            ProtocolError: the APDU grows beyond all measure.
        """
        if block.number == self._blocks.received + 1:
            self._blocks.add(block.number, block.data)
            if block.last:
                return self._blocks.joined()
        return None

    def acknowledge(self, window: int = 1) -> bytes:
        """What to say to a block that is not the last one and does not stream: go on after what is in."""
        self._said += 1
        return GeneralBlock(True, False, window, self._said, self._blocks.received).encode()

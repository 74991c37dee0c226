"""How a device on a simulated bus finds requests among the characters that it hears, and frames its answers.

These are strict receivers, as the standard wants them (MODBUS over Serial Line V1.02, 2.5): whoever talks to them
has to keep to it. The gateway's own finders forgive much more.
"""

from typing import Protocol

from nportpy.errors import ProtocolError
from nportpy.modbus.settings import Framing
from nportpy.protocols.modbus import ascii, rtu  # noqa: A004 - the standard's word
from nportpy.protocols.modbus.rtu import Frame


class Receiver(Protocol):
    """The receiver of one bus.

    Attributes:
        good: frames with a right check sum so far.
        spoilt: what was heard and was no such frame: once for each silence in RTU, for each wrong line in ASCII.
    """

    good: int

    @property
    def spoilt(self) -> int:
        """See above."""

    @property
    def waiting(self) -> bool:
        """Whether something was heard that is no whole frame yet."""

    def feed(self, data: bytes, now: float) -> list[Frame]:
        """The frames that `data` completes."""

    def silence(self, now: float) -> list[Frame]:
        """The frames that a silence completes."""

    def encode(self, frame: Frame) -> bytes:
        """The characters of a frame."""

    def spoil(self, wire: bytes) -> bytes:
        """The same characters with a wrong check sum."""


class RtuReceiver:
    """Takes for a frame what comes between two silences, if its CRC is right (2.5.1)."""

    def __init__(self, *, eager: bool = False) -> None:
        """Nothing was heard yet; an `eager` one takes a frame as soon as it is whole, without silence."""
        self.good = 0
        self.spoilt = 0
        self._eager = eager
        self._heard = bytearray()

    @property
    def waiting(self) -> bool:
        """Whether a frame has begun."""
        return bool(self._heard)

    def feed(self, data: bytes, now: float) -> list[Frame]:  # noqa: ARG002 - time is told by `silence`
        """Keep what might be a frame; what is longer than any is kept just long enough to be refused."""
        self._heard += data[: rtu.MAX_FRAME + 1 - len(self._heard)]
        return self._judge() if self._eager else []

    def silence(self, now: float) -> list[Frame]:  # noqa: ARG002
        """Judge what was heard, and forget it."""
        frames = self._judge()
        self.spoilt += bool(self._heard)
        self._heard.clear()
        return frames

    def encode(self, frame: Frame) -> bytes:
        """The characters of a frame."""
        return frame.encode()

    def spoil(self, wire: bytes) -> bytes:
        """The same characters with a wrong CRC."""
        return wire[:-1] + bytes((wire[-1] ^ 0x55,))

    def _judge(self) -> list[Frame]:
        try:
            frame = Frame.parse(bytes(self._heard))
        except ProtocolError:
            return []
        self._heard.clear()
        self.good += 1
        return [frame]


class AsciiReceiver:
    """Takes lines from a colon to CR LF, if their LRC is right; a second's pause drops one (2.5.2)."""

    def __init__(self) -> None:
        """Nothing was heard yet."""
        self.good = 0
        self._reader = ascii.Reader()

    @property
    def spoilt(self) -> int:
        """Lines with a wrong LRC, or that are none."""
        return self._reader.counts.spoilt

    @property
    def waiting(self) -> bool:
        """Whether a line has begun."""
        return self._reader.deadline() is not None

    def feed(self, data: bytes, now: float) -> list[Frame]:
        """The frames of the lines that `data` ends."""
        self._reader.expire(now)
        frames = self._reader.feed(data, now)
        self.good += len(frames)
        return frames

    def silence(self, now: float) -> list[Frame]:  # noqa: ARG002 - a short silence means nothing in ASCII
        """None."""
        return []

    def encode(self, frame: Frame) -> bytes:
        """The characters of a line."""
        return ascii.encode(frame.unit, frame.pdu)

    def spoil(self, wire: bytes) -> bytes:
        """The same line with a wrong LRC."""
        return wire[:-3] + (b"1" if wire[-3:-2] == b"0" else b"0") + wire[-2:]


def receiver(framing: Framing, *, eager: bool = False) -> Receiver:
    """A receiver of that framing."""
    return AsciiReceiver() if framing is Framing.ASCII else RtuReceiver(eager=eager)

"""Modbus ASCII: a colon, unit id, PDU and LRC as hexadecimal digits, CR LF.

Source: MODBUS over Serial Line Specification and Implementation Guide V1.02, 2.5.2. A colon always begins a frame
anew. The digits are upper-case; lower-case ones are taken too. The LF may be another character: diagnostic 8/3
changes it (MODBUS Application Protocol V1.1b3, 6.8).

What no receiver can survive: what looks like a good frame and is none; bytes lost or added inside a frame. At most
`MAX_FRAME` bytes are kept, and `feed` looks at those again in C.
"""

from binascii import Error as NotHexadecimal
from binascii import unhexlify
from typing import Final

from nportpy.protocols.modbus.exchange import Counts, Echo, EchoSense, Exchange
from nportpy.protocols.modbus.functions import is_answer, request_length
from nportpy.protocols.modbus.rtu import Frame

MAX_FRAME: Final = 513
"""The longest frame in bytes, from the colon to the LF (2.5.2.1)."""

CHARACTER_TIMEOUT: Final = 1.0
"""Seconds that may pass inside a frame (2.5.2.1); over slow networks more is in use."""

LF: Final = b"\n"
"""What usually ends a frame, after a CR."""


def encode(unit: int, pdu: bytes, delimiter: bytes = LF) -> bytes:
    """The bytes on the wire of one frame, ending in `delimiter`, one byte."""
    body = bytes((unit,)) + pdu
    return b":%b%02X\r%b" % (body.hex().upper().encode(), lrc(body), delimiter)


def lrc(body: bytes) -> int:
    """The check sum: the two's complement of the sum of all bytes (2.5.2.2)."""
    return -sum(body) & 0xFF


class Reader:
    """Takes frames, of requests or of answers, from a stream of characters.

    Attributes:
        delimiter: the byte that ends a frame, after a CR; it may be changed at any time.
        counts: `junk` and `spoilt` are counted here; spoilt is also what holds no digits, or too few.
    """

    __slots__ = ("_heard_at", "_rest", "_searched", "_timeout", "counts", "delimiter")

    def __init__(self, timeout: float = CHARACTER_TIMEOUT, delimiter: bytes = LF) -> None:
        """Nothing was heard yet; a frame that pauses for `timeout` seconds is dropped."""
        self.delimiter = delimiter
        self.counts = Counts()
        self._timeout = timeout
        self._rest = b""  # empty, or a frame so far: a colon and what followed
        self._searched = 0  # no end of a frame lies before this place
        self._heard_at = 0.0

    def feed(self, data: bytes, now: float) -> list[Frame]:
        """The good frames that `data` completes, in order."""
        frames: list[Frame] = []
        if not data:
            return frames
        rest = self._rest + data
        self._heard_at = now
        end_mark = b"\r" + self.delimiter
        start = 0
        while (end := rest.find(end_mark, max(start, self._searched))) >= 0:
            colon = rest.rfind(b":", start, end)
            size = end + 2 - colon
            if colon >= 0 and size <= MAX_FRAME:
                self.counts.junk += colon - start
                frame = self._decode(rest[colon + 1 : end])
                if frame:
                    frames.append(frame)
            else:
                self.counts.junk += end + 2 - start
            start = end + 2
            self._searched = 0
        colon = rest.rfind(b":", start)
        # Too long already, so that not even the next bytes can end it.
        keep = colon if colon >= 0 and len(rest) - colon < MAX_FRAME else len(rest)
        self.counts.junk += keep - start
        self._rest = rest[keep:]
        self._searched = max(len(self._rest) - 1, 0)
        return frames

    def deadline(self) -> float | None:
        """When to call `expire` unless something is heard before; None while no frame has begun."""
        return self._heard_at + self._timeout if self._rest else None

    def expire(self, now: float) -> list[Frame]:
        """Drop a frame that has paused for too long. It never yields any, as frames delimit themselves."""
        if self._rest and now >= self._heard_at + self._timeout:
            self.restart()
        return []

    def restart(self) -> None:
        """Drop a frame that has begun."""
        self.counts.junk += len(self._rest)
        self._rest = b""
        self._searched = 0

    def _decode(self, digits: bytes) -> Frame | None:
        try:
            body = unhexlify(digits)
        except NotHexadecimal:
            body = b""
        # A frame with its LRC adds up to 0; unit, function and LRC are the least.
        if len(body) < 3 or sum(body) & 0xFF:
            self.counts.spoilt += 1
            return None
        return Frame(body[0], body[1:-1])


class RequestFinder(Reader):
    """Finds ASCII requests: the server's side."""

    __slots__ = ("_echo", "_sent")

    def __init__(self, timeout: float = CHARACTER_TIMEOUT, delimiter: bytes = LF, echo: Echo = Echo.NO) -> None:
        """Nothing was heard yet.

        Args:
            timeout: seconds that may pass inside a frame.
            delimiter: the byte that ends a frame, after a CR.
            echo: as for `rtu_request.RequestFinder`.
        """
        super().__init__(timeout, delimiter)
        self._echo = EchoSense(echo)
        self._sent: Frame | None = None

    def answer(self, unit: int, pdu: bytes) -> bytes:
        """What to write to the line as an answer; its echo is no request."""
        if self._echo.present is not False:
            self._sent = Frame(unit, pdu)
        return encode(unit, pdu, self.delimiter)

    def feed(self, data: bytes, now: float) -> list[Frame]:
        """The requests that `data` completes, in order."""
        frames = super().feed(data, now)
        if self._sent is None or not frames:
            return frames
        sent, self._sent = self._sent, None
        if frames[0] != sent:
            self._echo.missed()
            return frames
        self.counts.echoes += 1
        # The copy of an answer to a write could as well be the master's next write.
        if request_length(sent.pdu) != len(sent.pdu):
            self._echo.heard()
        return frames[1:]


class ReplyFinder(Exchange):
    """Finds ASCII answers. Frames delimit themselves here, so silence means nothing but that one was broken off.

    Attributes:
        reader: takes the frames; its `delimiter` may be changed.
    """

    __slots__ = ("_junk_before", "_total_before", "reader")

    def __init__(self, echo: Echo = Echo.AUTO, timeout: float = CHARACTER_TIMEOUT, delimiter: bytes = LF) -> None:
        """Nothing is awaited yet.

        Args:
            echo: what is known of the line's echo.
            timeout: seconds that may pass inside a frame.
            delimiter: the byte that ends a frame, after a CR.
        """
        super().__init__(echo)
        self.reader = Reader(timeout, delimiter)
        self.reader.counts = self.counts
        self._junk_before = self._total_before = 0  # of the counts, when the exchange began

    def begin(self, unit: int, pdu: bytes) -> bytes:
        """Wait for the answer of `unit`; see `Exchange.begin`. What came before, half a frame too, is dropped."""
        self.settle()
        wire = encode(unit, pdu, self.reader.delimiter)
        self._remember(unit, pdu, wire, is_answer(pdu, pdu))
        self._junk_before, self._total_before = self.counts.junk, self.counts.total()
        return wire

    def feed(self, data: bytes, now: float) -> bytes | None:
        """Hear `data`; see `Exchange.feed`."""
        answer, unfit, spoilt = None, False, self.counts.spoilt
        frames = self.reader.feed(data, now)
        if self._awaiting and self.counts.spoilt != spoilt:
            self.counts.spoilt_from(self._unit, self.counts.spoilt - spoilt)
        for frame in frames:
            if not self._awaiting:
                self._count_frame(frame.unit, frame.pdu)
            elif self._swallow and frame.unit == self._unit and frame.pdu == self._pdu:
                self._swallow_echo()
            elif frame.unit == self._unit and is_answer(self._pdu, frame.pdu):
                self._awaiting = False
                noise, total = self.counts.junk - self._junk_before, self.counts.total() - self._total_before
                self._learn(noise if noise == total else len(self._wire))
                answer = frame.pdu
            else:
                unfit = self._count_frame(frame.unit, frame.pdu) or unfit
        self._heard_any = self._heard_any or bool(data)
        if unfit and self._awaiting:
            self._awaiting = False
            return b""
        return answer

    def deadline(self) -> float | None:
        """When a frame that has begun is given up; see `Exchange.deadline`."""
        return self.reader.deadline()

    def expire(self, now: float) -> bytes | None:
        """Give up a frame that was broken off; see `Exchange.expire`. It never yields an answer."""
        self.reader.expire(now)
        return None

    def settle(self) -> None:
        """Drop half a frame; whole ones are counted as they come. See `Exchange.settle`."""
        self.reader.restart()

"""Finds requests in a stream of bytes: Modbus RTU, the server's side, on a serial line or over TCP.

A request's function and counts tell its length, and its CRC decides, so requests are taken with their last byte and
may follow each other without silence, as they do over TCP. The stream is tried place by place:

    length known, whole, CRC right     a request
    length known, whole, CRC wrong     on to the next place
    length known, not whole            waits, and so does what follows
    no function code                   on to the next place
    length unknown                     at the start of a burst: waits for silence, or for 256 bytes, and then its CRC
                                       is looked for; elsewhere: on to the next place

What stands between two silences, or between a request and silence, and is a frame as a whole by its CRC, is a request
too, whatever its function says of its length: whoever sent it deserves to hear that it contradicts itself.

Otherwise a byte of junk that looks like a vendor's function would hold up every request, and a vendor's request could
be searched for others inside. Silence takes nothing away, as adapters and networks may only be slow: it lets what
waits behind an unfinished place be judged.

Any cut of the same bytes gives the same requests, as long as `expire` comes at the same places between them. What is
lost: a request whose first bytes make a frame with a right CRC together with junk before them (1 in 65536 for each
place where a known function seems to begin).

Cost: each place costs at most one CRC of 256 bytes, in C, and once more when silence falls. Less than `MAX_FRAME`
bytes are kept twice.
"""

from typing import Final

from fastcrc import crc16

from nportpy.protocols.modbus.exchange import Counts, Echo, EchoSense
from nportpy.protocols.modbus.functions import NEED_MORE, answer_length, request_length
from nportpy.protocols.modbus.rtu import FIXED_SILENCE, MAX_FRAME, MIN_FRAME, Frame, encode, longest_frame

BURSTS: Final = 8
"""How many beginnings of bursts are remembered while nothing is made of them."""

_OVERHEAD = 3  # unit and CRC
_ECHO_DIAGNOSTIC = b"\x08\x00\x00"
_ECHO_DIAGNOSTIC_SIZE = 8  # with one data word, as nearly always

# What a place can be besides a request, whose size is positive.
_PENDING = 0
_REFUTED = -1


class RequestFinder:
    """Finds RTU requests.

    Attributes:
        counts: `junk`, bytes that belong to no request, and `echoes`, own answers heard back.
    """

    __slots__ = (
        "_alone",
        "_burst",
        "_bursts",
        "_echo",
        "_heard_at",
        "_quiet",
        "_rest",
        "_sent",
        "_silence_known",
        "counts",
    )

    def __init__(self, quiet: float = FIXED_SILENCE, echo: Echo = Echo.NO, *, alone: bool = False) -> None:
        """Nothing was heard yet.

        Args:
            quiet: seconds without a byte that mean silence: t3.5, or the adapter's read latency if that is more.
            echo: whether the line hears what is sent; over TCP it never does. With `AUTO` the first copy of an
                answer to a write is dropped until answers to reads have shown whether there is an echo.
            alone: nothing but requests can come: no other unit's answers, which may look like requests cut short.
        """
        self.counts = Counts()
        self._quiet = quiet
        self._echo = EchoSense(echo)
        self._sent = b""
        self._rest = b""
        self._alone = alone
        self._burst = b""  # what came since silence, or since a request
        self._heard_at = 0.0
        self._bursts = [0]  # where in the rest bursts began
        self._silence_known = True

    def answer(self, unit: int, pdu: bytes) -> bytes:
        """What to write to the line as an answer; its echo is no request."""
        wire = encode(unit, pdu)
        if self._echo.present is not False:
            self._sent = wire
        return wire

    def feed(self, data: bytes, now: float) -> list[Frame]:
        """The requests that `data` completes, in order."""
        if not data:
            return []
        if now >= self._heard_at + self._quiet:
            self._bursts.append(len(self._rest))
        self._rest += data
        self._burst = (self._burst + data)[: MAX_FRAME + 1]
        self._heard_at = now
        self._silence_known = False
        return self._search(silent=False)

    def deadline(self) -> float | None:
        """When to call `expire` unless something is heard before; None while silence would mean nothing."""
        return None if self._silence_known or not (self._rest or self._burst) else self._heard_at + self._quiet

    def expire(self, now: float) -> list[Frame]:
        """The requests that the silence since the last byte makes certain."""
        if self._silence_known or now < self._heard_at + self._quiet:
            return []
        self._silence_known = True
        frames = self._search(silent=True)
        if not frames and self._is_frame(self._burst):
            frames = [self._take_burst()]
        self._burst = b""
        return frames

    def _is_frame(self, data: bytes) -> bool:
        """Whether a request stands here whose length contradicts its function."""
        if not MIN_FRAME <= len(data) <= MAX_FRAME or not 1 <= data[1] <= 127 or crc16.modbus(data):
            return False
        return self._alone or answer_length(data, 1) != len(data) - _OVERHEAD

    def _take_burst(self) -> Frame:
        kept = len(self._rest) - len(self._burst)
        if kept < 0:  # it was taken for junk so far
            self.counts.junk += kept
        self._rest = self._rest[: max(kept, 0)]
        self._missed_echo()
        return Frame(self._burst[0], self._burst[1:-2])

    def _search(self, silent: bool) -> list[Frame]:
        frames: list[Frame] = []
        rest = self._rest
        at = taken = 0
        waiting = -1
        while at < len(rest):
            own = self._echo_size(at, silent) if self._sent else _REFUTED
            size = self._judge(at, silent) if own == _REFUTED else own
            if size > 0:
                if own == _REFUTED:
                    frames.append(Frame(rest[at], rest[at + 1 : at + size - 2]))
                    self._missed_echo()
                self.counts.junk += at - taken
                at = taken = at + size
                self._bursts.append(at)
                waiting = -1
                continue
            if size == _PENDING:
                waiting = at if waiting < 0 else waiting
                if not silent:
                    break
            at += 1
        keep = len(rest) if waiting < 0 else waiting
        self.counts.junk += keep - taken
        self._rest = rest[keep:]
        if taken:
            self._burst = rest[taken:]
        self._bursts = [burst - keep for burst in self._bursts if burst >= keep][-BURSTS:]
        return frames

    def _judge(self, at: int, silent: bool) -> int:
        """What stands at `at`: the size of a request, or one of the verdicts above."""
        rest = self._rest
        have = len(rest) - at
        if have < 2:
            return _PENDING
        if not 1 <= rest[at + 1] <= 127:
            return _REFUTED
        length = request_length(rest, at + 1)
        if length == NEED_MORE:
            return _PENDING
        size = length + _OVERHEAD if length > 0 else 0
        if not size and rest.startswith(_ECHO_DIAGNOSTIC, at + 1):
            if have < _ECHO_DIAGNOSTIC_SIZE:
                return _PENDING
            if crc16.modbus(rest[at : at + _ECHO_DIAGNOSTIC_SIZE]) == 0:
                return _ECHO_DIAGNOSTIC_SIZE
        if not size:
            return self._judge_unknown(at, silent)
        if size > have:
            return _PENDING
        return size if crc16.modbus(rest[at : at + size]) == 0 else _REFUTED

    def _judge_unknown(self, at: int, silent: bool) -> int:
        if at not in self._bursts:
            return _REFUTED
        full = len(self._rest) - at >= MAX_FRAME
        if not silent and not full:
            return _PENDING
        return longest_frame(self._rest, at) or (_REFUTED if full else _PENDING)

    def _echo_size(self, at: int, silent: bool) -> int:
        """Bytes of the echo at `at`, or one of the verdicts above."""
        rest, sent = self._rest, self._sent
        if rest.startswith(sent, at):
            self.counts.echoes += 1
            # The copy of an answer to a write could as well be the master's next write.
            if request_length(sent, 1) != len(sent) - _OVERHEAD:
                self._echo.heard()
            self._sent = b""
            return len(sent)
        return _REFUTED if silent or not sent.startswith(rest[at : at + len(sent)]) else _PENDING

    def _missed_echo(self) -> None:
        """Draw conclusions from a request that came where an echo could have come."""
        if self._sent:
            self._echo.missed()
            self._sent = b""

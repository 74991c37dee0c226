"""Finds the awaited answer in what a line is heard to say: Modbus RTU, the client's side.

A frame on a serial line carries no length of its own, and silence, which the standard puts around it, is long gone
when bytes come through a USB adapter. But the request settles nearly everything: where a unit's answer can begin
(its id, the function, mostly the byte count) and how long it is. So a place where it can begin is a candidate; once
its predicted bytes are there, its CRC decides. An answer is taken with its last byte, and an exception too.

    candidate whole, CRC right     the answer
    candidate whole, CRC wrong     refuted; on to the next place
    candidate not whole            waits for more bytes, and later candidates wait with it: they may lie inside it

Silence takes nothing away, as an adapter may only be slow. It lets candidates be judged that wait behind one that is
not whole, and it ends the answer to a function that is not public, whose length only its CRC shows. A whole frame of
the unit and function that does not fit the request, with another byte count for instance, ends the exchange when
silence follows it: until then the awaited one may yet come.

What no receiver can survive: junk that is a right answer itself; junk whose last bytes and the first of the answer
make a frame with a right CRC (1 in 65536 for a false beginning); bytes lost or added inside; with an echo, junk that
equals a mirrored request (exchange.py).

Cost: each byte is passed over once by a search in C, and each place where an answer can begin costs one CRC of at
most 256 bytes, also in C. `expire` goes over at most 256 bytes again. Of the functions that are not public, `SCANS`
places are tried for each request. Memory: `KEPT` bytes before the search and as many beside it.
"""

from functools import lru_cache
from typing import Final

from fastcrc import crc16

from nportpy.protocols.modbus.exchange import Echo, Exchange
from nportpy.protocols.modbus.functions import (
    NEED_MORE,
    UNKNOWN,
    answer_length,
    expected_answer,
    is_answer,
    request_length,
)
from nportpy.protocols.modbus.pdu import EXCEPTION_BIT
from nportpy.protocols.modbus.rtu import FIXED_SILENCE, MAX_FRAME, encode, longest_frame

KEPT: Final = 1024
"""How many bytes of what is not an answer are kept until they are sorted; more are counted as junk unseen."""

SCANS: Final = 64
"""How often, for one request, a frame is looked for by its CRC alone."""

_REFUSAL_SIZE = 5
_OVERHEAD = 3  # unit and CRC

# What a candidate can be besides an answer, whose size is positive.
_PENDING = 0
_REFUTED = -1
_ECHO = -2


# Pollers ask the same few questions for ever.
@lru_cache(maxsize=1024)
def _asked(unit: int, pdu: bytes) -> tuple[bytes, bytes, bytes, int, bool]:
    """A request's frame, what its answer and an exception begin with, the answer's size, whether it may be a mirror."""
    prefix, length = expected_answer(pdu)
    return (
        encode(unit, pdu),
        bytes((unit,)) + prefix,
        bytes((unit, pdu[0] | EXCEPTION_BIT)),
        length + _OVERHEAD if length > 0 else length,
        # The prefix alone tells that most requests are not mirrored.
        pdu.startswith(prefix) and is_answer(pdu, pdu),
    )


class ReplyFinder(Exchange):
    """Finds RTU answers."""

    __slots__ = (
        "_aside",
        "_at",
        "_blamed",
        "_doubt",
        "_head",
        "_heard",
        "_heard_at",
        "_misfit",
        "_quiet",
        "_refusal",
        "_scans",
        "_size",
        "_unjudged",
    )

    def __init__(self, echo: Echo = Echo.AUTO, quiet: float = FIXED_SILENCE) -> None:
        """Nothing is awaited yet.

        Args:
            echo: what is known of the line's echo.
            quiet: seconds without a byte that mean silence: t3.5, or the adapter's read latency if that is more.
        """
        super().__init__(echo)
        self._quiet = quiet
        self._blamed = False  # a spoilt answer is on its unit's account already
        self._head = b""  # what the answer begins with, from the unit id on
        self._refusal = b""  # what an exception begins with
        self._size = UNKNOWN  # of the frame, or NEED_MORE or UNKNOWN as for lengths
        self._heard = b""
        self._heard_at = 0.0
        self._at = 0  # what was heard before this place is decided
        self._aside = b""  # heard before an echo, or before the answer
        self._doubt = False  # whether silence could tell more
        self._misfit = False  # whether something began as an answer and was none of this request
        self._unjudged = False  # whether something came since silence was asked what that is
        self._scans = 0

    def begin(self, unit: int, pdu: bytes) -> bytes:
        """Wait for the answer of `unit`; see `Exchange.begin`."""
        if self._heard or self._aside:
            self.settle()
        wire, self._head, self._refusal, self._size, mirrored = _asked(unit, pdu)
        self._doubt = self._misfit = self._unjudged = False
        self._scans = SCANS
        self._remember(unit, pdu, wire, mirrored)
        return wire

    def feed(self, data: bytes, now: float) -> bytes | None:
        """Hear `data`; see `Exchange.feed`."""
        if (
            # The whole answer and nothing else, as it mostly comes; what follows below finds the same.
            self._awaiting
            and not self._heard
            and not self._aside
            and len(data) == self._size
            and data.startswith(self._head)
            and not (self._swallow and self._wire.startswith(data))
            and crc16.modbus(data) == 0
        ):
            self._awaiting = False
            self._learn(len(self._wire) if self._heard_any else 0)
            return data[1:-2]
        if not data:
            return None
        self._heard_any = True
        self._heard += data
        self._heard_at = now
        answer = self._search(silent=False) if self._awaiting else None
        self._unjudged = self._misfit
        self._trim()
        return answer

    def deadline(self) -> float | None:
        """When silence would tell more; see `Exchange.deadline`."""
        waits = (self._doubt or self._unjudged) if self._awaiting else self._heard or self._aside
        return self._heard_at + self._quiet if waits else None

    def expire(self, now: float) -> bytes | None:
        """Judge by silence, if there was enough of it; see `Exchange.expire`."""
        if now < self._heard_at + self._quiet:
            return None
        if not self._awaiting:
            self.settle()
            return None
        answer = self._search(silent=True) if self._doubt else None
        if answer is None and self._unjudged and self._ends_unfit():
            answer = b""
        self._doubt = self._unjudged = False
        return answer

    def abandon(self, until: float) -> None:
        """Nobody waits any more; see `Exchange.abandon`. Half an answer of the unit is a spoilt one of it."""
        if self._awaiting and not self._blamed:
            at = self._heard.find(self._head[:2])
            if at >= 0 and not self._wire.startswith(self._heard[at : at + len(self._wire)]):
                self.counts.spoilt_from(self._unit)
        self._blamed = False
        super().abandon(until)

    def settle(self) -> None:
        """Sort and count what was heard beside the answer; see `Exchange.settle`."""
        for data in (self._aside, self._heard):
            self._sort(data)
        self._aside = self._heard = b""
        self._at = 0

    def _search(self, silent: bool) -> bytes | None:
        heard, at = self._heard, self._at
        end = len(heard)
        head, refusal = self._head[:2], self._refusal
        head_at = refusal_at = -1
        waiting = -1
        while True:
            # Each of the two searches goes on where it stood, or this would not be linear.
            if head_at < at and (head_at := heard.find(head, at)) < 0:
                head_at = end
            if refusal_at < at and (refusal_at := heard.find(refusal, at)) < 0:
                refusal_at = end
            at = min(head_at, refusal_at)
            if at >= end:
                break
            size = self._judge(at, silent)
            if size > 0:
                return self._accept(at, size)
            if size == _ECHO:
                self._drop_echo(at)
                return self._search(silent)  # once: there is one echo
            if size == _PENDING and not silent:
                waiting = at
                self._doubt = self._worth_silence(at)
                break
            if size == _PENDING and waiting < 0:
                waiting = at
            self._misfit = self._misfit or size == _REFUTED
            at += 1
        if waiting >= 0:
            self._at = waiting
        else:
            # A candidate may begin with the very last byte.
            self._at = end - 1 if heard.endswith(head[:1]) else end
            self._doubt = False
        return None

    def _judge(self, at: int, silent: bool) -> int:
        """What the candidate at `at` is: the size of an answer, or one of the verdicts above."""
        heard, wire = self._heard, self._wire
        have = len(heard) - at
        if self._swallow:
            if heard.startswith(wire, at):
                if not self._mirrored or not self._echo_before(at):
                    return _ECHO
                self._swallow_echo()
            elif not silent and have < len(wire) and wire.startswith(heard[at:]):
                return _PENDING
        size = self._size
        if heard[at + 1] & EXCEPTION_BIT:
            size = _REFUSAL_SIZE
        elif not heard.startswith(self._head, at):
            return _PENDING if have < len(self._head) and self._head.startswith(heard[at:]) else _REFUTED
        elif size == NEED_MORE:
            length = answer_length(heard, at + 1)
            if length <= 0:
                return _PENDING if length == NEED_MORE else _REFUTED
            size = length + _OVERHEAD
        elif size == UNKNOWN:
            return self._judge_unknown(at, silent)
        if size > have:
            return _PENDING
        if crc16.modbus(heard[at : at + size]) == 0:
            return size
        if not silent:  # after silence it may be judged again
            self.counts.spoilt += 1
            self.counts.spoilt_from(self._unit)
            self._blamed = True
        return _REFUTED

    def _judge_unknown(self, at: int, silent: bool) -> int:
        full = len(self._heard) - at >= MAX_FRAME
        if not silent and not full:
            return _PENDING
        size = 0
        if self._scans:
            self._scans -= 1
            size = longest_frame(self._heard, at)
        return size or (_REFUTED if full else _PENDING)

    def _ends_unfit(self) -> bool:
        """Whether a whole frame of the unit and function is there that does not fit the request: sort it, and end."""
        at = -1
        while (at := self._heard.find(self._head[:2], at + 1)) >= 0:
            size = answer_length(self._heard, at + 1) + _OVERHEAD
            if size <= _OVERHEAD or at + size > len(self._heard) or self._heard.startswith(self._wire, at):
                continue
            frame = self._heard[at : at + size]
            if crc16.modbus(frame):
                continue
            self._put_aside(at)
            self._heard = self._heard[at + size :]
            self._at = 0
            if self._count_frame(frame[0], frame[1:-2]):
                self._awaiting = False
                return True
            at = -1  # a late one
        return False

    def _echo_before(self, at: int) -> bool:
        """Whether the echo came before `at` and lost its first or its last byte, as adapters that switch late do."""
        return self._heard.find(self._wire[1:-1], 0, at) >= 0

    def _worth_silence(self, at: int) -> bool:
        """Whether more than the candidate at `at`, which is not whole, could be found without it."""
        heard = self._heard
        return (
            self._size == UNKNOWN
            or (self._swallow and self._wire.startswith(heard[at:]))
            or heard.find(self._head[:2], at + 1) >= 0
            or heard.find(self._refusal, at + 1) >= 0
        )

    def _drop_echo(self, at: int) -> None:
        self._swallow_echo()
        self._put_aside(at)
        self._heard = self._heard[at + len(self._wire) :]
        self._at = 0

    def _accept(self, at: int, size: int) -> bytes:
        answer = self._heard[at + 1 : at + size - 2]
        self._awaiting = False
        self._learn(at + len(self._aside))
        self._put_aside(at)
        self._heard = self._heard[at + size :]
        self._at = 0
        return answer

    def _put_aside(self, end: int) -> None:
        aside = self._aside + self._heard[:end]
        if len(aside) > KEPT:
            self.counts.junk += len(aside) - KEPT
        self._aside = aside[-KEPT:]

    def _trim(self) -> None:
        excess = len(self._heard) - KEPT
        if excess > 0:
            # While an answer is awaited less than a frame is undecided, and stays.
            excess = self._at if self._awaiting else excess
            self._put_aside(excess)
            self._heard = self._heard[excess:]
            self._at = 0

    def _sort(self, data: bytes) -> None:
        core = self._wire[1:-1]
        # A spoilt echo. Of a mirrored request it could as well be a spoilt answer.
        if not self._echoed and not self._mirrored and core and (at := data.find(core)) >= 0:
            self._echoed = True
            self.echo.heard()
            self.counts.echoes += 1
            data = data[:at] + data[at + len(core) :]
        at = 0
        while at < len(data):
            size = _frame_size(data, at)
            if size:
                self._count_frame(data[at], data[at + 1 : at + size - 2])
            else:
                self.counts.junk += 1
            at += size or 1


def _frame_size(data: bytes, at: int) -> int:
    """Bytes of the whole frame at `data[at]`, an answer's or a request's; 0 if there is none."""
    for length in (answer_length(data, at + 1), request_length(data, at + 1)):
        size = length + _OVERHEAD
        if length > 0 and at + size <= len(data) and crc16.modbus(data[at : at + size]) == 0:
            return size
    return 0

"""What streams write on a line that requests use too, on its way to the line.

Bytes that have been handed to the port stand before every request, so no more are handed over than the line sends
within a bound: when less than `AHEAD` is left of what was, the next piece. A piece is what a client wrote at once, or,
if that takes longer on the wire than a request waits, a small part of it.

Transactions (transaction.py) says when streams may send, and until when.
"""

import math
from collections import deque
from typing import Final

from nportpy.line.quiet import Quiet
from nportpy.line.stream import Stream
from nportpy.line.transaction_base import Wire

AHEAD: Final = 0.05
"""Seconds of streams' bytes that are with the port when more are handed to it: the line does not run dry."""

_UNCHECKED: Final = 4096  # bytes between two looks at whether the port is rid of them: flow control may stop it


class StreamOutput:
    """The bytes of one line's streams that wait for their turn.

    Attributes:
        size: how many there are.
    """

    __slots__ = ("_begun", "_kept", "_quiet", "_stream", "_unchecked", "_wire", "size")

    def __init__(self, wire: Wire, stream: Stream, quiet: Quiet) -> None:
        """None."""
        self.size = 0
        self._wire = wire
        self._stream = stream
        self._quiet = quiet
        self._kept: deque[bytes] = deque()
        self._begun = 0  # bytes of the first that have been handed over
        self._unchecked = 0

    def keep(self, data: bytes) -> None:
        """Let them wait, and their clients with them."""
        self._kept.append(data)
        self.size += len(data)
        self._stream.wait_for_turn()

    def passed(self, data: bytes, now: float) -> bool:
        """Hand them to the port as they are, where nothing else is in the way; False if they have to wait."""
        quiet, size = self._quiet, len(data)
        if self.size or quiet.last > now + AHEAD or size > quiet.whole or self._unchecked > _UNCHECKED:
            return False
        self._unchecked += size
        quiet.sent(now, size)
        quiet.talked()
        self._wire.put(data)
        return True

    def put(self, data: bytes, now: float) -> None:
        """Hand them to the port."""
        self._quiet.sent(now, len(data))
        self._quiet.talked()
        self._wire.put(data)

    def send(self, now: float, until: float, *, one: bool) -> float | None:
        """Hand to the port what may go now.

        Args:
            now: the time.
            until: when the last of it has to have left.
            one: whether one piece may go whatever `until` says.

        Returns:
            When to go on, infinity if nothing is left; None if nothing more goes before `until`.
        """
        quiet = self._quiet
        while self._kept:
            quiet.measure()
            if quiet.last > now + AHEAD and self._wire.left():
                quiet.last = now  # the device is faster than the line that it stands for
            size = len(self._kept[0]) - self._begun
            if self._begun or size > quiet.whole:
                size = min(size, quiet.part(AHEAD))
            if not one and max(quiet.last, now) + quiet.takes(size) > until:
                return None
            again = quiet.last - AHEAD
            if again <= now and quiet.takes(self._wire.unsent() - self.size) > 2 * AHEAD:
                again = now + AHEAD  # it is slower: flow control
            if again > now:
                return again if again <= until else None
            self._unchecked = 0
            self.put(self._take(size), now)
            one = False
        self._stream.turn_came()
        return math.inf

    def release(self, now: float) -> None:
        """Hand all of them over, as the line keeps them while the device is gone."""
        while self._kept:
            self.put(self._take(len(self._kept[0]) - self._begun), now)
        self._stream.turn_came()

    def clear(self) -> int:
        """Throw them away; how many there were."""
        size, self.size = self.size, 0
        self._kept.clear()
        self._begun = 0
        self._stream.turn_came()
        return size

    def _take(self, size: int) -> bytes:
        """The next so many bytes, at most what is left of the first write."""
        begun, self._begun = self._begun, self._begun + size
        piece = self._kept[0][begun : self._begun]
        if self._begun == len(self._kept[0]):
            self._kept.popleft()
            self._begun = 0
        self.size -= size
        return piece

"""What a tap remembers: records in the order in which they came, bounded in bytes; the oldest go first.

The byte path adds to it without a call of a method, which would cost as much as all the rest:

    append = ring.records.append
    append((clock(), RX, data))
    ring.fill += len(data) + OVERHEAD
    if ring.fill > ring.mark:
        turn()
"""

from collections import deque
from typing import Any, Final

OVERHEAD: Final = 160
"""Bytes that a record takes beside its data: a tuple, a number, the head of the bytes and its place."""

MORE: Final = 240
"""And of one that is about something: another tuple, and what is in it."""

Raw = tuple[Any, ...]
"""A record as it is kept: time, kind, data, and what it is about or the fields of that."""

_PARTS: Final = 16
"""Dropping one record at a time would cost more than adding them: what goes is a part of the ring."""


class Ring:
    """Records of one line.

    Attributes:
        records: those that are there, oldest first. Only `turn` and `clear` remove any.
        first: number of the oldest.
        lost: how many were dropped to make room since it was begun.
        fill: bytes that were added since the last part was full.
        mark: how many of them ask for a `turn`; negative: any.
    """

    __slots__ = ("_full", "_limit", "_part", "_parted", "_parts", "fill", "first", "lost", "mark", "records")

    def __init__(self, limit: int) -> None:
        """Empty, for so many bytes."""
        self.records: list[Raw] = []
        self.first = 0
        self.lost = 0
        self.fill = 0
        self._parts: deque[tuple[int, int]] = deque()  # records and bytes of each
        self._parted = 0  # records in them
        self._full = 0  # bytes in them
        self.limit = limit

    @property
    def limit(self) -> int:
        """Bytes that it takes at most; what does not fit goes with the next `turn`."""
        return self._limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self._limit = limit
        self.mark = self._part = limit // _PARTS

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        return self._full + self.fill

    @property
    def end(self) -> int:
        """Number of the record that comes next."""
        return self.first + len(self.records)

    def turn(self) -> list[Raw]:
        """Begin another part if the last one is full, and drop the oldest where there is no room: those."""
        self.mark = self._part
        if self.fill > self._part:
            count = len(self.records) - self._parted
            self._parts.append((count, self.fill))
            self._parted += count
            self._full += self.fill
            self.fill = 0
        gone = 0
        while self._full > self._limit - self._part and len(self._parts) > 1:
            count, size = self._parts.popleft()
            self._full -= size
            gone += count
        dropped = self.records[:gone]
        if gone:
            del self.records[:gone]
            self._parted -= gone
            self.first += gone
            self.lost += gone
        return dropped

    def clear(self) -> list[Raw]:
        """Forget all of it, and tell what it was; the numbers go on."""
        dropped = self.records[:]
        self.first = self.end
        self.records.clear()
        self._parts.clear()
        self._parted = self._full = self.fill = 0
        return dropped

"""When bytes have left a UART that nobody can ask, reckoned from the time that they take on the wire.

Most drivers of USB adapters (CP210x, CH340, PL2303) tell how many bytes the kernel holds (TIOCOUTQ), and not whether
the adapter is rid of those that it was given (TIOCSERGETLSR).
"""

from typing import Final

FIFO: Final = 1024
"""Bytes that an adapter takes ahead, at most: 576 to 640 in a CP2102, half that or less in others."""


class Departure:
    """The bytes of one device. Times are in seconds, of one clock."""

    __slots__ = ("_leaves", "_size")

    def __init__(self) -> None:
        """Nothing was written yet."""
        self._leaves = 0.0  # when the last byte has left
        self._size = 0  # bytes since all had left

    def wrote(self, size: int, character: float, now: float) -> None:
        """So many bytes were written, which take `character` seconds each."""
        if self._leaves <= now:
            self._leaves = now
            self._size = 0
        self._leaves += size * character
        self._size += size

    def purged(self, size: int, character: float) -> None:
        """So many of the last were thrown away."""
        self._leaves -= size * character
        self._size = max(self._size - size, 0)

    def left_at(self, queued: int, character: float, now: float) -> float:
        """When all will have left, if nothing stops them; `queued` are still in the kernel, or before it."""
        if not queued:
            self._leaves = min(self._leaves, now + FIFO * character)
        elif self._leaves < now + queued * character:  # flow control has stopped them, and the adapter is full
            self._leaves = now + max(queued, min(queued + FIFO, self._size)) * character
        return self._leaves

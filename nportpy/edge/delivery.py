"""What an upstream has, and how fast it is given more: pure.

Samples have numbers without holes (but for what was evicted), so what was delivered is a set of runs of numbers. The
cursor is the end of the run that everything before has arrived in: a live batch beyond a gap does not move it.
"""

import bisect
from collections.abc import Sequence
from typing import Final

_MOST_RUNS: Final = 10_000


class Delivered:
    """Numbers that were acknowledged, as runs.

    Attributes:
        cursor: everything up to this number was, or is no more.
    """

    __slots__ = ("_ends", "_starts", "cursor")

    def __init__(self, cursor: int, runs: Sequence[tuple[int, int]] = ()) -> None:
        """Everything up to `cursor` has arrived before, and `runs` beyond it, as the attribute had them."""
        self.cursor = cursor
        self._starts = [first for first, _ in runs]
        self._ends = [last for _, last in runs]  # inclusive

    @property
    def runs(self) -> list[tuple[int, int]]:
        """What has arrived beyond the cursor: first and last number of each run."""
        return list(zip(self._starts, self._ends, strict=True))

    def add(self, first: int, last: int) -> int:
        """The samples `first` to `last` have arrived; the cursor afterwards."""
        if last <= self.cursor:
            return self.cursor
        first = max(first, self.cursor + 1)
        low = bisect.bisect_left(self._ends, first - 1)
        high = bisect.bisect_right(self._starts, last + 1)
        if low < high:
            first, last = min(first, self._starts[low]), max(last, self._ends[high - 1])
        self._starts[low:high], self._ends[low:high] = [first], [last]
        if self._starts[0] <= self.cursor + 1:
            self.cursor = self._ends[0]
            del self._starts[0], self._ends[0]
        elif len(self._starts) > _MOST_RUNS:  # bounded whatever happens; what is forgotten is sent again
            del self._starts[-1], self._ends[-1]
        return self.cursor

    def skip_to(self, oldest: int) -> int:
        """What lies before `oldest` is no more: it was evicted."""
        return self.add(self.cursor + 1, oldest - 1) if oldest - 1 > self.cursor else self.cursor

    def missing(self, last: int) -> list[tuple[int, int]]:
        """The runs up to `last`, both ends included, that have not arrived."""
        gaps, at = [], self.cursor + 1
        for start, end in zip(self._starts, self._ends, strict=True):
            if start > last:
                break
            if start > at:
                gaps.append((at, start - 1))
            at = end + 1
        return [*gaps, (at, last)] if at <= last else gaps


class Allowance:
    """So many samples a second: a bucket that holds one second's worth. Rate 0: no limit."""

    __slots__ = ("_at", "_left", "_rate")

    def __init__(self, rate: float, now: float) -> None:
        """Full."""
        self._rate = rate
        self._left = rate
        self._at = now

    def take(self, count: int, now: float) -> float:
        """Take `count` samples' worth; seconds to wait before they may be sent."""
        if not self._rate:
            return 0.0
        self._left = min(self._rate, self._left + (now - self._at) * self._rate) - count
        self._at = now
        return max(0.0, -self._left / self._rate)


def pause_before(attempt: int, chance: float) -> float:
    """Seconds before the attempt after so many that failed: 1, 2, 4 ... 60, of which a random part is left out.

    A thousand gateways that lost the same broker must not come back in the same second. `chance` is in [0, 1).
    """
    longest = min(60.0, 2.0 ** min(attempt, 6))
    return longest * (0.5 + 0.5 * chance)

"""Samples of many days as the few points that a picture has: least and greatest value of each stretch of time.

SQLite does the adding up, a slice of rows at a time: between two slices the archive's one thread commits and serves
others, and a slice is made shorter when it took long.
"""

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from nportpy.edge.epochs import Epoch
from nportpy.services.archived import Curve

SLICE: Final = 2000
"""Rows that the first slice looks at: on the slowest machine they take no longer than a slice may."""

LONGEST_SLICE: Final = 0.02
"""Seconds that a slice should take at most: half of what nobody may be kept waiting."""

_SMALLEST, _LARGEST = 500, 64_000

# Quality and kinds are bits of `state`: see rows.py. 2 is bad, 1 uncertain, 16 is history. One walk over the rows: with
# many tags, most of the time goes into those that are not asked for.
_STRETCHES: Final = """
SELECT tag, (t - :start) / :width, min(value), max(value), min(t), max(t), min(seq), max(seq),
    max(CASE WHEN state & 2 THEN t END), max(state & 1), max(state & 16), count(*)
FROM (SELECT tag, seq, state, value, coalesce(at, monotonic + :offset) AS t
    FROM sample WHERE seq BETWEEN :first AND :last AND tag IN ({tags}))
WHERE t >= :start AND t < :end GROUP BY 1, 2
"""


class How(IntEnum):
    """How a point came to be known upstream."""

    LIVE = 0
    LATE = 1  # sent later than it could have been, or kept by the device
    WAITING = 2  # an upstream has not got it yet


@dataclass(slots=True)
class Bucket:
    """What is known of one stretch. Times are microseconds since the epoch.

    Attributes:
        low, high: least and greatest number; None: there was none.
        begins, ends: when its first and its last sample were taken.
        first, last: least and greatest number of its samples.
        bad_at: when the last bad one was taken; None: there was none.
        uncertain: there is an uncertain one.
        history: a device had kept one.
        count: how many samples there are.
        boot: the run that took them.
    """

    low: float | None
    high: float | None
    begins: int
    ends: int
    first: int
    last: int
    bad_at: int | None
    uncertain: bool
    history: bool
    count: int
    boot: str

    def take_in(self, other: "Bucket") -> None:
        """What another slice has of the same stretch."""
        self.low = _least(self.low, other.low)
        self.high = None if (found := _least(_minus(self.high), _minus(other.high))) is None else -found
        self.begins, self.ends = min(self.begins, other.begins), max(self.ends, other.ends)
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)
        self.bad_at = max((each for each in (self.bad_at, other.bad_at) if each is not None), default=None)
        self.uncertain, self.history = self.uncertain or other.uncertain, self.history or other.history
        self.count += other.count
        self.boot = other.boot

    @property
    def ends_badly(self) -> bool:
        """Whether there is no value after it until the next one."""
        return self.bad_at == self.ends


Buckets = dict[int, dict[int, Bucket]]
"""By tag, then by the number of the stretch."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows of one epoch to be looked at."""

    first: int
    last: int
    epoch: Epoch


class Slicing:
    """Cuts ranges of numbers into slices that take about as long as they may."""

    def __init__(self, ranges: Iterable[tuple[int, int, Epoch]]) -> None:
        """`ranges` are first and last number, both included."""
        self._ranges = list(ranges)
        self._size = SLICE

    def __iter__(self) -> Iterator[Slice]:
        """Each slice once."""
        for first, last, epoch in self._ranges:
            low = first
            while low <= last:
                high = min(last, low + self._size - 1)
                yield Slice(low, high, epoch)
                low = high + 1

    def took(self, seconds: float) -> None:
        """What the last slice took."""
        if seconds > LONGEST_SLICE:
            self._size = max(_SMALLEST, self._size // 2)
        elif seconds < LONGEST_SLICE / 4:
            self._size = min(_LARGEST, self._size * 2)


def look(db: sqlite3.Connection, rows: Slice, tags: Collection[int], start: int, end: int, width: int) -> Buckets:
    """The buckets of one slice.

    Args:
        db: the archive.
        rows: where to look.
        tags: of which tags.
        start: of the interval, in microseconds since the epoch.
        end: of it; not in it.
        width: of a stretch, in microseconds.
    """
    names = ",".join(str(int(tag)) for tag in tags)
    values = {"start": start, "end": end, "width": width, "offset": rows.epoch.offset}
    values |= {"first": rows.first, "last": rows.last}
    found: Buckets = {}
    for tag, number, low, high, begins, ends, first, last, bad_at, uncertain, history, count in db.execute(
        _STRETCHES.format(tags=names), values
    ):
        if isinstance(high, str):  # as numbers come before text, there may be some; but there is no curve
            low = high = None  # noqa: PLW2901
        doubtful = bool(uncertain) or not rows.epoch.trusted
        found.setdefault(tag, {})[number] = Bucket(
            *(low, high, begins, ends, first, last, bad_at, doubtful),
            *(bool(history), count, rows.epoch.boot),
        )
    return found


def merge(into: Buckets, more: Buckets) -> None:
    """Take in what another slice has."""
    for tag, buckets in more.items():
        known = into.setdefault(tag, {})
        for number, bucket in buckets.items():
            if number in known:
                known[number].take_in(bucket)
            else:
                known[number] = bucket


def drawn(
    tag: str, unit: str, buckets: dict[int, Bucket], lates: Sequence[tuple[int, int]], acknowledged: int | None
) -> Curve:
    """A tag's buckets as points; where nothing is known between two of them stands a point without a value.

    Readings that do not change are not archived, so a pause is no gap by itself: a gap begins with a bad sample, or
    with the end of a run of the gateway.

    Args:
        tag: its path.
        unit: of its values.
        buckets: by number.
        lates: runs of numbers that were sent late.
        acknowledged: the number up to which every upstream has everything; None: there is no upstream.
    """
    found = Curve(tag, unit, [], [], [], [], [], sum(each.count for each in buckets.values()))
    before: Bucket | None = None
    for _, bucket in sorted(buckets.items()):
        if before is not None and before.boot != bucket.boot and not before.ends_badly and not bucket.history:
            _gap(found, before.ends)
        if bucket.low is not None:
            _point(found, (bucket.begins + bucket.ends) / 2e6, bucket, _how(bucket, lates, acknowledged))
        if bucket.ends_badly:
            assert bucket.bad_at is not None  # that is how it ends
            _gap(found, bucket.bad_at)
        before = bucket
    return found


def _point(found: Curve, at: float, bucket: Bucket, how: How) -> None:
    found.times.append(at)
    found.low.append(bucket.low)
    found.high.append(bucket.high)
    found.how.append(how)
    found.uncertain.append(int(bucket.uncertain))


def _gap(found: Curve, at: int) -> None:
    found.times.append(max(at / 1e6, found.times[-1] if found.times else 0.0))
    found.low.append(None)
    found.high.append(None)
    found.how.append(How.LIVE)
    found.uncertain.append(0)


def _how(bucket: Bucket, lates: Sequence[tuple[int, int]], acknowledged: int | None) -> How:
    if acknowledged is not None and bucket.last > acknowledged:
        return How.WAITING
    late = bucket.history or any(first <= bucket.last and bucket.first <= last for first, last in lates)
    return How.LATE if late else How.LIVE


def _least(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)


def _minus(value: float | None) -> float | None:
    return None if value is None else -value

"""What one upstream has: the archive is told how far it came, and what is missing for good is counted."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from nportpy.edge.archive import Archive
from nportpy.edge.delivery import Delivered
from nportpy.edge.parcels import Parcel
from nportpy.edge.sample import Sample

_LATE_KNOWN: Final = 256


@dataclass(slots=True)
class Counts:
    """Numbers since the start.

    Attributes:
        live, late: samples that were acknowledged.
        refused: samples that the other side will never take.
        lost: samples that were evicted before they were sent.
        connects: connections that came about.
    """

    live: int = 0
    late: int = 0
    refused: int = 0
    lost: int = 0
    connects: int = 0


class Ledger:
    """The account of one upstream.

    Attributes:
        counts: numbers since the start.
    """

    def __init__(self, archive: Archive, upstream: str) -> None:
        """As the archive knows it."""
        self.counts = Counts()
        self._archive = archive
        self._upstream = upstream
        self._delivered = Delivered(archive.cursor(upstream))
        self._late: deque[tuple[int, int]] = deque(maxlen=_LATE_KNOWN)  # runs of numbers

    @property
    def cursor(self) -> int:
        """Everything up to this number has arrived, or is no more."""
        return self._delivered.cursor

    @property
    def backlog(self) -> int:
        """Samples behind the cursor."""
        return max(0, self._archive.newest - max(self.cursor, self._archive.oldest - 1))

    def arrived(self, first: int, last: int) -> None:
        """The samples `first` to `last` need no sending any more."""
        self._archive.acknowledge(self._upstream, self._delivered.add(first, last))

    def acknowledged(self, parcel: Parcel, *, late: bool) -> None:
        """The other side has said that it has a parcel."""
        if not late:
            self.counts.live += len(parcel.samples)
            return
        self.counts.late += len(parcel.samples)
        if self._late and self._late[-1][1] + 1 == parcel.first:
            self._late[-1] = self._late[-1][0], parcel.last
        else:
            self._late.append((parcel.first, parcel.last))

    def was_late(self, number: int) -> bool:
        """Whether a sample was sent late, as far as this run knows."""
        return any(first <= number <= last for first, last in self._late)

    @property
    def lates(self) -> Sequence[tuple[int, int]]:
        """Runs of numbers that were sent late, as far as this run knows."""
        return tuple(self._late)

    def pass_over(self, after: int, samples: Sequence[Sample]) -> None:
        """Numbers between `after` and `samples` that no sample has (any more) hold nobody up."""
        if samples[-1].seq - after == len(samples):
            return
        for sample in samples:
            if sample.seq > after + 1:
                self.gone(after + 1, sample.seq - 1)
            after = sample.seq

    def gone(self, first: int, last: int) -> None:
        """The samples `first` to `last` were evicted; those that had not arrived are lost."""
        if last > self.cursor:
            self.counts.lost += last - max(first, self.cursor + 1) + 1
            self.arrived(first, last)

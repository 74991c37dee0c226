"""What is to be sent late: gaps after a loss, what was refused for a while, intervals that somebody asks for."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from nportpy.edge.archive import Archive
from nportpy.edge.ledger import Ledger
from nportpy.edge.sample import Sample

READ: Final = 1000
"""Samples from the archive at once."""

MOST_ASKED: Final = 100
"""Intervals that may wait; whoever asks for more is told to come later."""


@dataclass(slots=True)
class Errand:
    """Samples that are to be sent late.

    Attributes:
        first, last: their numbers, both included; what is missing there is passed over.
        interval: only those taken in these microseconds; None: all.
        what: for the log; empty: it is told elsewhere.
    """

    first: int
    last: int
    interval: tuple[int, int] | None = None
    what: str = "back-filled"


class Errands:
    """The errands of one upstream, in their order."""

    def __init__(self, archive: Archive, ledger: Ledger) -> None:
        """None yet."""
        self._archive = archive
        self._ledger = ledger
        self._waiting: deque[Errand] = deque()
        self._came = asyncio.Event()

    def add(self, errand: Errand) -> bool:
        """One more at the end; False: too many intervals were asked for already.

        A broker may refuse for days: neighbouring errands become one, the first excepted, which is under way.
        """
        if errand.interval is not None and sum(each.interval is not None for each in self._waiting) >= MOST_ASKED:
            return False
        last = self._waiting[-1] if len(self._waiting) > 1 else None
        if last is not None and last.interval is errand.interval is None and errand.first == last.last + 1:
            last.last = errand.last
        else:
            self._waiting.append(errand)
        self._came.set()
        return True

    def owe(self, gap: Errand) -> None:
        """A gap that goes before everything else, and that the parts of it which wait are in."""
        self._waiting = deque(each for each in self._waiting if each.interval is not None)
        self._waiting.appendleft(gap)
        self._came.set()

    async def first(self) -> Errand:
        """The one that is next; it stays until it is `done`, so that another connection begins it anew."""
        while not self._waiting:
            self._came.clear()
            await self._came.wait()
        return self._waiting[0]

    def done(self, errand: Errand) -> None:
        """It need not be done again."""
        if self._waiting and self._waiting[0] is errand:
            self._waiting.popleft()

    async def due(self, errand: Errand, portion: int = READ) -> AsyncIterator[Sequence[Sample]]:
        """The samples of an errand, in portions of so many at most (an interval's: READ)."""
        if errand.interval is not None:
            async for samples in self._archive.between(*errand.interval):
                yield samples
            return
        after = errand.first - 1
        while after < errand.last:
            found = await self._archive.read(after, min(portion, errand.last - after))
            samples = [sample for sample in found if sample.seq <= errand.last]
            if not samples:
                self._ledger.gone(after + 1, errand.last)
                return
            self._ledger.pass_over(after, samples)
            yield samples
            after = samples[-1].seq

"""Somebody who watches a line: reads its tap's records at its own pace, and is told what it has lost."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from nportpy.protocols.capture.records import Record

if TYPE_CHECKING:
    from nportpy.line.tap import Tap

GATHERED: Final = 0.05
"""Seconds in which records are gathered for a watcher that follows: waking for each would cost more than they do."""

MOST_AT_ONCE: Final = 1000
"""Records of one portion."""

_SET: Final = 10_000_000  # nanoseconds by which the time of day is set; less is two looks at two clocks


@dataclass(slots=True, eq=False)
class Watcher:
    """Somebody who reads a tap's records, at its own pace. An async context; leaving it ends it.

    Attributes:
        tap: whose.
        who: for others to see.
        since: when it came, on the tap's clock.
        place: number of the record that it reads next.
        lost: records that were gone before it could read them.
        over: it may not watch any more.
    """

    tap: "Tap"
    who: str
    since: int
    place: int = 0
    lost: int = 0
    over: bool = False
    _offset: int = 0

    @property
    def missed(self) -> int:
        """What it has lost, with what it would be told of now: who has stopped reading never asks."""
        return self.lost + max(self.tap.first_number - self.place, 0)

    def take(self, most: int = MOST_AT_ONCE) -> tuple[int, list[Record]]:
        """What came since the last call: how many records were lost before these, and these."""
        lost = max(self.tap.first_number - self.place, 0)
        records = self.tap.since(self.place, most)
        self.place += lost + len(records)
        self.lost += lost
        return lost, records

    def skip(self) -> int:
        """Go over what is there; how much of it there was, and was lost before it."""
        skipped = self.tap.next_number - self.place
        self.place = self.tap.next_number
        self.lost += skipped
        return skipped

    async def follow(self, within: float = 1.0) -> AsyncIterator[tuple[int, list[Record]]]:
        """Portions as they come, until the line is no more or it may not watch.

        Args:
            within: seconds; where nothing came for as long, there is an empty one.
        """
        while not self.over and (not self.tap.closed or self.place < self.tap.next_number):
            if await self.tap.another(self.place, within) and self.tap.next_number - self.place < MOST_AT_ONCE:
                await asyncio.sleep(GATHERED)
            yield self.take()

    def wall(self, at: int) -> int:
        """Nanoseconds since the epoch of a record's time.

        By the time of day as it is now: who boots without a clock and gets the time later has right times in what was
        recorded before. The difference of two records stays what it is unless the time of day is set by 10 ms or more.
        """
        offset = time.time_ns() - self.tap.clock()
        if abs(offset - self._offset) > _SET:
            self._offset = offset
        return at + self._offset

    def now(self) -> int:
        """The time now, as `wall` would have told it of the last record: whatever the time of day is set to since."""
        return self.tap.clock() + self._offset

    def close(self) -> None:
        """Watch no more."""
        self.tap.leave(self)

    async def __aenter__(self) -> Self:
        """Itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """See `close`."""
        self.close()

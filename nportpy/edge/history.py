"""Gaps of a station, filled from the record that its device keeps by itself.

    archive's mark -> gaps -> driver, a portion at a time -> what the archive has not yet -> archive

A station is complete until its mark. A gap is longer than the device's own period; it is read in portions, between two
rounds, the oldest first, and each portion is on the disk before the mark moves. So what ends the gateway in the middle
costs that a portion is read again, and what the archive has already is left out.

While the wall clock is not believed there are no gaps: nobody knows how long it was.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from nportpy.edge.archive import Archive
from nportpy.edge.clock import Clock
from nportpy.edge.driver import Historian, RawReading, StationSilent
from nportpy.edge.sample import Reading
from nportpy.edge.settings import StationSettings
from nportpy.errors import ArchiveError, ProtocolError

_SHORTEST: Final = 60_000_000  # microseconds without a reading that are no gap, whatever the period
_FIRST: Final = 6 * 3600 * 1_000_000  # microseconds of the first portion
_SMALLEST: Final = 900 * 1_000_000
_LARGEST: Final = 7 * 86400 * 1_000_000
_QUICK, _SLOW = 1.0, 5.0  # seconds that a portion takes: below it the next one is larger, above it smaller
_PATIENCE: Final = 5  # attempts of one portion, after which the gap is left as it is

log = logging.getLogger(__name__)

Judge = Callable[[RawReading], Reading | None]
"""What a kept reading is worth; None: it is of no tag."""


class History:
    """Knows the gaps of one station, and fills them.

    Attributes:
        takes: seconds that a portion takes, by the last one.
    """

    def __init__(
        self, station: StationSettings, driver: Historian, archive: Archive, ids: Mapping[str, int], clock: Clock
    ) -> None:
        """As the archive knows it.

        Args:
            station: with `history`.
            driver: gives the record.
            archive: what it is filled into.
            ids: the archive's number of each tag, by its name.
            clock: tells when a reading is of now.
        """
        assert station.history is not None
        self._station = station
        self._driver = driver
        self._archive = archive
        self._ids = ids
        self._clock = clock
        self.takes = 0.0
        self._depth = round(station.history.depth * 1e6)
        self._period = 0
        self._portion = _FIRST
        self._complete = archive.mark(station.name)  # until when nothing is missing but the gaps
        self._gaps: list[tuple[int, int]] = []
        self._failures = 0
        self._filled = 0
        self._began: int | None = None
        self._ready = False  # the station has answered since the last attempt that failed

    @property
    def owes(self) -> bool:
        """Whether there is a gap that can be filled now."""
        return bool(self._gaps) and self._ready

    def answered(self) -> None:
        """The station has just answered: what lies between this and the last time is a gap, if it is long enough."""
        self._ready = True
        if not self._archive.status().trusted and not self._clock.state().trusted:
            return
        now = self._clock.wall()
        since = now - self._depth if self._complete is None else max(self._complete, now - self._depth)
        threshold = max(self._period, _SHORTEST, round(3e6 * self._station.every))
        if now - since > threshold:
            self._gaps.append((since, now))
        self._complete = now
        self._archive.set_mark(self._station.name, self._gaps[0][0] if self._gaps else now)

    async def fill(self, judge: Judge) -> None:
        """Read one portion of the oldest gap, and archive what is new of it."""
        start, end = self._gaps[0]
        until = min(end, start + self._portion)
        self._began = start if self._began is None else self._began
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            record = await self._driver.history(self._station.tags, start, until)
        except StationSilent as error:
            self._failed(str(error))
            return
        except ProtocolError as error:
            self._given_up(str(error))
            return
        finally:
            self.takes = loop.time() - began
        self._period = record.period
        try:
            filled = await self._archived(record.readings, start, until, judge)
        except ArchiveError as error:
            self._failed(str(error))
            return
        self._failures = 0
        self._filled += filled
        self._adapt(self.takes)
        if until < end:
            self._gaps[0] = (until, end)
        else:
            self._done(end)
        assert self._complete is not None  # there was a gap
        self._archive.set_mark(self._station.name, self._gaps[0][0] if self._gaps else self._complete)

    async def _archived(self, kept: Sequence[RawReading], start: int, end: int, judge: Judge) -> int:
        """Archive what it has not yet; how many that is."""
        known = await self._archive.kept(frozenset(self._ids.values()), start, end + 1)
        found = [reading for each in kept if (reading := judge(each)) is not None and reading.at is not None]
        new = {(each.tag, each.at): each for each in found if (each.tag, each.at) not in known}
        if new:
            self._archive.add(new.values())
            if not await self._archive.flush():
                raise ArchiveError("the archive cannot be written")
        return len(new)

    def _adapt(self, seconds: float) -> None:
        if seconds < _QUICK:
            self._portion = min(2 * self._portion, _LARGEST)
        elif seconds > _SLOW:
            self._portion = max(self._portion // 2, _SMALLEST, self._period)

    def _failed(self, reason: str) -> None:
        self._ready = False
        self._portion = max(self._portion // 2, _SMALLEST, self._period)
        self._failures += 1
        if self._failures >= _PATIENCE:
            self._given_up(reason)

    def _given_up(self, reason: str) -> None:
        start, end = self._gaps.pop(0)
        extra = {"station": self._station.name, "from": _utc(start), "to": _utc(end), "reason": reason}
        log.warning("a gap stays: the device's own record cannot be read", extra=extra)
        self._failures, self._filled, self._began = 0, 0, None
        assert self._complete is not None
        self._archive.set_mark(self._station.name, self._gaps[0][0] if self._gaps else self._complete)

    def _done(self, end: int) -> None:
        assert self._began is not None
        self._gaps.pop(0)
        extra = {"station": self._station.name, "from": _utc(self._began), "to": _utc(end), "samples": self._filled}
        log.info("a gap was filled from the device's own record", extra=extra)
        self._filled, self._began = 0, None


def _utc(microseconds: int) -> str:
    return datetime.fromtimestamp(microseconds / 1e6, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

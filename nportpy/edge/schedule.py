"""When a station is read: on a fixed grid, with a phase of its own so that stations do not all ask at once.

    polls         start + phase + k * every, on a clock that only goes forward
    the clock's   multiples of `always_at` in UTC: a meter's quarter of an hour is everybody's

A grid does not drift with the time that reading takes. What is overrun is skipped and counted, never queued. Pure:
time is an argument.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from nportpy.edge.settings import TagSettings

_EARLY: Final = 1e-6  # a timer that wakes so little early is on time


def phase(place: int, stations: int, every: float) -> float:
    """Where in its interval the station at `place` of so many is read: they are spread evenly."""
    return every * place / max(stations, 1)


class Due(NamedTuple):
    """What is to be read.

    Attributes:
        tags: these.
        always: names of those that are to be kept whatever they say.
    """

    tags: list[TagSettings]
    always: set[str]


@dataclass(slots=True)
class Grid:
    """Times `origin + k * every`.

    Attributes:
        every: seconds between two.
        next: the next one.
    """

    every: float
    next: float

    def pass_by(self, now: float) -> int:
        """How many of its times have come; the next one is then the first that is yet to come."""
        if now + _EARLY < self.next:
            return 0
        passed = math.floor((now + _EARLY - self.next) / self.every) + 1
        self.next += passed * self.every
        return passed


@dataclass(slots=True)
class ClockGrid:
    """Multiples of `every` on the wall clock, which may step.

    Attributes:
        every: seconds between two.
        last: the number of the last multiple that was seen; None before the first look.
    """

    every: float
    last: int | None = field(default=None)

    def due(self, wall: float) -> bool:
        """Whether a multiple has passed since the last look. The first look and a clock that goes back only set it."""
        number = math.floor((wall + _EARLY) / self.every)
        before, self.last = self.last, number
        return before is not None and number > before

    def wait(self, wall: float) -> float:
        """Seconds until the next multiple."""
        return (math.floor((wall + _EARLY) / self.every) + 1) * self.every - wall


class Rounds:
    """When which tags of one station are read.

    Attributes:
        overruns: rounds that were skipped because the one before took too long.
        lag: seconds by which the last round began late.
    """

    def __init__(self, tags: Sequence[TagSettings], every: float, start: float, wall: float) -> None:
        """The first round is at `start`; `every` is for tags that have none of their own."""
        self.overruns = 0
        self.lag = 0.0
        by_every: dict[float, list[TagSettings]] = {}
        by_clock: dict[float, list[TagSettings]] = {}
        for tag in tags:
            by_every.setdefault(tag.every or every, []).append(tag)
            if tag.always_at:
                by_clock.setdefault(tag.always_at, []).append(tag)
        self._grids = [(Grid(interval, start), chosen) for interval, chosen in by_every.items()]
        self._clocks = [(ClockGrid(interval), chosen) for interval, chosen in by_clock.items()]
        for clock, _ in self._clocks:
            clock.due(wall)

    def wait(self, now: float, wall: float) -> float:
        """Seconds until something is due; at most 0: something is."""
        return min([grid.next - now for grid, _ in self._grids] + [clock.wait(wall) for clock, _ in self._clocks])

    def due(self, now: float, wall: float) -> Due:
        """What is due, each tag once."""
        tags: dict[str, TagSettings] = {}
        always: set[str] = set()
        for grid, chosen in self._grids:
            planned = grid.next
            if passed := grid.pass_by(now):
                self.lag = now - planned
                self.overruns += passed - 1
                tags |= {tag.name: tag for tag in chosen}
        for clock, chosen in self._clocks:
            if clock.due(wall):
                tags |= {tag.name: tag for tag in chosen}
                always |= {tag.name for tag in chosen}
        return Due(list(tags.values()), always)

    def finished(self, now: float) -> None:
        """A round is over: those whose time came meanwhile are skipped, so that every round lies on the grid."""
        for grid, _ in self._grids:
            self.overruns += grid.pass_by(now - 2 * _EARLY)

    def paused(self, now: float) -> None:
        """A pause is over: everything is due, and what it has passed over was not overrun."""
        for grid, _ in self._grids:
            if grid.pass_by(now):
                grid.next -= grid.every

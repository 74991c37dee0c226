"""Which rows of a profile are still wanted, and what they are to the tags that lie in it. Pure.

A meter's load profile is the past that the meter has kept: its rows enter the archive with their own time, also those
of the time in which the gateway was off. Asked is from the newest row that is known on, a day at a time, so that the
line is never held for long; who was away for a month has caught up after thirty rounds.

Each row of a tag that lies in a profile is a sample, and the newest one is the present.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from nportpy.edge.settings import TagSettings
from nportpy.meters.dlms.objects import Attribute, Column, Profile, Row

DEPTH: Final = 31 * 86_400.0
"""Seconds that are looked back at most; older rows are left to who asks for them (`nportpy profile`)."""

CHUNK: Final = 86_400_000_000
"""Microseconds of one question."""

BY_EVENT: Final = 900_000_000
"""Microseconds between two questions where rows come by event, not by period."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def moment_of(at: datetime) -> int:
    """Microseconds UTC."""
    return (at - _EPOCH) // _MICROSECOND


@dataclass(frozen=True, slots=True)
class Span:
    """What is asked for.

    Attributes:
        start: microseconds UTC; within.
        end: the same.
        last: it ends at the present.
    """

    start: int
    end: int
    last: bool

    @property
    def bounds(self) -> tuple[datetime, datetime]:
        """Start and end as the client takes them."""
        return _EPOCH + self.start * _MICROSECOND, _EPOCH + self.end * _MICROSECOND


class Known:
    """What is known of one profile: up to when its rows are, for each tag.

    Attributes:
        period: microseconds after which there can be a new row; 0: nothing was read yet.
    """

    def __init__(self, newest: Callable[[TagSettings], int | None]) -> None:
        """`newest` tells the newest row of a tag that the archive has."""
        self.period = 0
        self._newest = newest
        self._known: dict[str, int] = {}

    def span(self, tags: Sequence[TagSettings], now: int) -> Span | None:
        """What to ask for at `now` (microseconds UTC); None: there can be nothing new yet."""
        start = min(self._of(tag, now) for tag in tags)
        end = min(start + CHUNK, now)
        return Span(start, end, end == now) if end >= start + max(self.period, 1) else None

    def fresh(self, tag: TagSettings, rows: Iterable[Row], span: Span) -> list[Row]:
        """The rows that are new to a tag, the oldest first; from now on they are known."""
        before = self._known[tag.name]
        found = {moment_of(row.at): row for row in rows if row.at is not None and moment_of(row.at) > before}
        # A part of the past that had no rows is done with; at the present they may only be late.
        self._known[tag.name] = max(found, default=before) if span.last else max(before, span.end, *found)
        return [found[at] for at in sorted(found)]

    def learn(self, profile: Profile) -> None:
        """Keep what is the same of every answer."""
        self.period = min(profile.period * 1_000_000 or BY_EVENT, CHUNK)

    def _of(self, tag: TagSettings, now: int) -> int:
        if tag.name not in self._known:
            self._known[tag.name] = self._newest(tag) or 0
        self._known[tag.name] = known = max(self._known[tag.name], now - round(DEPTH * 1e6))
        return min(known, now)


def column_of(columns: Sequence[Column], attribute: Attribute) -> int | None:
    """Where an attribute stands in the rows; None: nowhere."""
    for number, column in enumerate(columns):
        if column.obis == attribute.obis and column.attribute in (0, attribute.attribute):
            return number
    return None

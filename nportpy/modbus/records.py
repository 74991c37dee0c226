"""What is on record of a bus: its requests, its units and who asks them, since the start and in the last minutes."""

import time
from collections import deque
from collections.abc import Collection, Iterable
from typing import Final

from nportpy.line.transaction_base import TransactionStatus
from nportpy.modbus.clients import Clients
from nportpy.modbus.health import Unit
from nportpy.modbus.recent import MARKS, Figures, Marks
from nportpy.modbus.tally import End, Tally
from nportpy.protocols.modbus.exchange import Counts
from nportpy.status import BusClientStatus, BusCounts, UnitCounts, UnitStatus

_SPOILT, _LATE = 3, 4  # in a unit's figures
_NOTHING: Final = UnitCounts()


class Records:
    """The records of one bus.

    Attributes:
        tally: what became of its requests.
        clients: who asks.
    """

    def __init__(self, counts: Counts) -> None:
        """Nothing was asked yet; `counts` are those of its line."""
        self.tally = Tally()
        self.clients = Clients()
        self._counts = counts
        self._marks = Marks()
        self._marked: deque[float] = deque(maxlen=MARKS)  # when

    @property
    def marked(self) -> bool:
        """Whether `mark` was ever called."""
        return bool(self._marked)

    def took(self, unit: Unit, took: float, retries: int) -> None:
        """A request was on the line for so long and sent again so often; how fast its unit answers it does not say."""
        evidence = unit.evidence
        evidence.retries += retries
        evidence.other_seconds += took
        self.tally.transaction(took)

    def mark(self, line: TransactionStatus, units: Collection[Unit], now: float) -> None:
        """Remember how far all counts have come."""
        for unit in units:
            unit.evidence.marks.mark(figures(unit, self._counts))
        self.clients.mark(now)
        self._marks.mark(self._figures(line, sum(self.durations(units))))
        self._marked.append(now)

    def durations(self, units: Iterable[Unit]) -> tuple[int, ...]:
        """All transactions by their time."""
        times = (unit.evidence.answer_times for unit in units)
        return tuple(map(sum, zip(self.tally.durations, *times, strict=True)))

    def recent(self, line: TransactionStatus, sent: int, now: float) -> BusCounts:
        """What the bus did in the last minutes; `sent` are all requests that were sent."""
        sent, busy, waited, own, sampled, *results = self._marks.recent(self._figures(line, sent), len(self._marks))
        seconds = max(0.0, now - self._marked[0]) if self._marked else 0.0
        named = {end.name.lower(): count for end, count in zip(End, results, strict=True)}
        return BusCounts(seconds, sent, busy, waited, own, sampled, named)

    def who_asks(self, now: float) -> tuple[BusClientStatus, ...]:
        """Its clients."""
        return self.clients.status(now, len(self._marks))

    def unit(self, unit: Unit, now: float) -> UnitStatus:
        """One of its units."""
        evidence = unit.evidence
        found = figures(unit, self._counts)
        recent = evidence.marks.recent(found, len(self._marks))
        return UnitStatus(
            unit.unit,
            unit.silent,
            unit.timeout,
            time.time() - (now - unit.silent_since) if unit.silent else None,
            unit_counts(recent) if any(recent) else _NOTHING,
            answered=unit.answered,
            unanswered=unit.unanswered,
            retries=evidence.retries,
            spoilt=found[_SPOILT],
            late=found[_LATE],
            busy=evidence.other_seconds + evidence.answer_seconds,
            answer_times=tuple(evidence.answer_times),
            answer_seconds=evidence.answer_seconds,
            wire_seconds=evidence.wire_seconds,
        )

    def _figures(self, line: TransactionStatus, sent: int) -> Figures:
        return sent, line.busy, line.waited, line.own, line.sampled, *self.tally.results().values()


def vanished(units: Iterable[Unit], under_way: Collection[int], now: float) -> list[int]:
    """Which units never answered and are not asked any more."""
    return [unit.unit for unit in units if unit.unit not in under_way and unit.is_forgotten(now)]


def figures(unit: Unit, counts: Counts) -> Figures:
    """All counts of `unit`, in the order that `unit_counts` takes them; `counts` are those of its line."""
    evidence, number = unit.evidence, unit.unit
    return (
        unit.answered,
        unit.unanswered,
        evidence.retries,
        counts.spoilt_of.get(number, 0),
        counts.late_of.get(number, 0),
        evidence.other_seconds,
        evidence.answer_seconds,
        evidence.wire_seconds,
        *evidence.answer_times,
    )


def unit_counts(figures: Figures) -> UnitCounts:
    """What `figures` are, or a difference of two."""
    answered, unanswered, retries, spoilt, late, other_seconds, answer_seconds, wire_seconds, *times = figures
    return UnitCounts(
        answered=answered,
        unanswered=unanswered,
        retries=retries,
        spoilt=spoilt,
        late=late,
        busy=other_seconds + answer_seconds,
        answer_times=tuple(times),
        answer_seconds=answer_seconds,
        wire_seconds=wire_seconds,
    )

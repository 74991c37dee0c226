"""What is on record of a bus: its requests, its units and who asks them, since the start and in the last minutes."""

import time
from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import fields

from nportpy.line.transaction_base import TransactionStatus
from nportpy.modbus.clients import Clients
from nportpy.modbus.evidence import Evidence, unit_counts
from nportpy.modbus.health import Unit
from nportpy.modbus.recent import MARKS, Figures, Marks
from nportpy.modbus.tally import End, Tally
from nportpy.protocols.modbus.exchange import Counts
from nportpy.status import BusClientStatus, BusCounts, UnitStatus


class Records:
    """The records of one bus.

    Attributes:
        tally: what became of its requests.
        units: what each of its units has cost.
        clients: who asks.
    """

    def __init__(self, counts: Counts) -> None:
        """Nothing was asked yet; `counts` are those of its line."""
        self.tally = Tally()
        self.units: dict[int, Evidence] = {}
        self.clients = Clients()
        self._counts = counts
        self._marks = Marks()
        self._marked: deque[float] = deque(maxlen=MARKS)  # when

    @property
    def marked(self) -> bool:
        """Whether `mark` was ever called."""
        return bool(self._marked)

    def took(self, unit: int, took: float, retries: int) -> None:
        """A request was on the line for so long and sent again so often; how fast its unit answers it does not say."""
        evidence = self.units[unit]
        evidence.retries += retries
        evidence.other_seconds += took
        self.tally.transaction(took)

    def forget(self, unit: int) -> None:
        """It never answered, and nobody asks it any more."""
        del self.units[unit]
        self.tally.forget(unit)
        self._counts.forget(unit)

    def mark(self, line: TransactionStatus, units: Iterable[Unit], now: float) -> None:
        """Remember how far all counts have come."""
        for unit in units:
            evidence = self.units[unit.unit]
            evidence.marks.mark(evidence.figures(unit, self._counts))
        self.clients.mark(now)
        self._marks.mark(self._figures(line))
        self._marked.append(now)

    def durations(self) -> tuple[int, ...]:
        """All transactions by their time."""
        return tuple(
            map(sum, zip(self.tally.durations, *(each.answer_times for each in self.units.values()), strict=True))
        )

    def recent(self, line: TransactionStatus, now: float) -> BusCounts:
        """What the bus did in the last minutes."""
        sent, busy, waited, own, *results = self._marks.recent(self._figures(line), len(self._marks))
        seconds = now - self._marked[0] if self._marked else 0.0
        named = {end.name.lower(): int(count) for end, count in zip(End, results, strict=True)}
        return BusCounts(seconds, int(sent), busy, waited, own, named)

    def who_asks(self, now: float) -> tuple[BusClientStatus, ...]:
        """Its clients."""
        return self.clients.status(now, len(self._marks))

    def unit(self, unit: Unit, now: float) -> UnitStatus:
        """One of its units."""
        evidence = self.units[unit.unit]
        figures = evidence.figures(unit, self._counts)
        counts = unit_counts(figures)
        return UnitStatus(
            **{each.name: getattr(counts, each.name) for each in fields(counts)},
            unit=unit.unit,
            silent=unit.silent,
            timeout=unit.timeout,
            silent_since=time.time() - (now - unit.silent_since) if unit.silent else None,
            recent=unit_counts(evidence.marks.recent(figures, len(self._marks))),
        )

    def _figures(self, line: TransactionStatus) -> Figures:
        return sum(self.durations()), line.busy, line.waited, line.own, *self.tally.results().values()


def vanished(units: Iterable[Unit], under_way: Collection[int], now: float) -> list[int]:
    """Which units never answered and are not asked any more."""
    return [unit.unit for unit in units if unit.unit not in under_way and unit.is_forgotten(now)]

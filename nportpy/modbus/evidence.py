"""What a unit's requests cost, and how long its answers take: counted beside what is known of its health."""

from bisect import bisect_left

from nportpy.modbus.health import Unit
from nportpy.modbus.recent import Figures, Marks
from nportpy.protocols.modbus.exchange import Counts
from nportpy.status import DURATIONS, UnitCounts


class Evidence:
    """Counts of one unit since it was first asked. See `UnitCounts`.

    Attributes:
        retries: frames that were sent again.
        answer_times: its answers by their time.
        answer_seconds: those times, all added up.
        wire_seconds: what of that was spent on the wire.
        other_seconds: in which requests had the bus that were not answered, or only when they were sent again.
        marks: how far this had come before.
    """

    __slots__ = ("answer_seconds", "answer_times", "marks", "other_seconds", "retries", "wire_seconds")

    def __init__(self) -> None:
        """Nothing was asked yet."""
        self.retries = 0
        self.answer_times = [0] * (len(DURATIONS) + 1)
        self.answer_seconds = self.wire_seconds = self.other_seconds = 0.0
        self.marks = Marks()

    def answered(self, took: float, wire: float) -> None:
        """A request that was sent once was answered after `took` seconds, `wire` of them on the wire."""
        self.answer_times[bisect_left(DURATIONS, took)] += 1
        self.answer_seconds += took
        self.wire_seconds += wire

    def figures(self, unit: Unit, counts: Counts) -> Figures:
        """All counts of `unit`, in the order that `unit_counts` takes them; `counts` are those of its line."""
        number = unit.unit
        return (
            unit.answered,
            unit.unanswered,
            self.retries,
            counts.spoilt_of.get(number, 0),
            counts.late_of.get(number, 0),
            self.other_seconds,
            self.answer_seconds,
            self.wire_seconds,
            *self.answer_times,
        )


def unit_counts(figures: Figures) -> UnitCounts:
    """What `Evidence.figures` are, or a difference of two."""
    answered, unanswered, retries, spoilt, late, other_seconds, answer_seconds, wire_seconds, *times = figures
    return UnitCounts(
        answered=int(answered),
        unanswered=int(unanswered),
        retries=int(retries),
        spoilt=int(spoilt),
        late=int(late),
        busy=other_seconds + answer_seconds,
        answer_times=tuple(map(int, times)),
        answer_seconds=answer_seconds,
        wire_seconds=wire_seconds,
    )

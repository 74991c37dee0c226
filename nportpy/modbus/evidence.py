"""What a unit's requests cost, and how long its answers take: counted beside what is known of its health."""

from nportpy.modbus.recent import Marks
from nportpy.status import DURATIONS


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

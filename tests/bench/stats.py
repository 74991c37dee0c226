"""The few statistics that a table of measurements needs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0 to 1) of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1]


@dataclass(frozen=True, slots=True)
class Spread:
    """How a figure varied over the rounds."""

    low: float
    middle: float
    high: float

    @classmethod
    def over(cls, values: Sequence[float]) -> "Spread":
        """The spread of at least one value; with an even number, the middle is between the middle two."""
        ordered = sorted(values)
        half = len(ordered) // 2
        middle = ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
        return cls(ordered[0], middle, ordered[-1])

    def text(self, digits: int) -> str:
        """Lowest / median / highest."""
        return " / ".join(f"{value:.{digits}f}" for value in (self.low, self.middle, self.high))

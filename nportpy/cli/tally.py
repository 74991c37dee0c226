"""What a series of rounds comes to: smallest, largest and mean of each value, and how often there was none."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

HEAD: Final = ("min", "max", "mean")
_DIGITS: Final = 7  # of a mean
_LARGE: Final = 10**_DIGITS


class Figures:
    """The figures of one value.

    Attributes:
        read: how often it was there.
        failed: how often it was not.
    """

    def __init__(self) -> None:
        """Nothing was read yet."""
        self.read = 0
        self.failed = 0
        self._low = self._high = 0.0
        self._total = 0.0
        self._count = 0

    def take(self, value: object) -> None:
        """One round's value; None: it was not there. What is no number, a text or NaN, counts as read alone."""
        if value is None:
            self.failed += 1
            return
        self.read += 1
        number = number_of(value)
        if number is None:
            return
        self._low, self._high = (min(self._low, number), max(self._high, number)) if self._count else (number, number)
        self._total += number
        self._count += 1

    def texts(self) -> tuple[str, str, str]:
        """Smallest, largest and mean, in the order of `HEAD`; "-" where there was no number."""
        if not self._count:
            return ("-", "-", "-")
        return (plain(self._low), plain(self._high), plain(_rounded(self._total / self._count)))


@dataclass(frozen=True, slots=True)
class Tally:
    """The figures of several values, each under its name; and of how many rounds."""

    names: Sequence[str]
    figures: Sequence[Figures]

    @classmethod
    def of(cls, names: Sequence[str]) -> "Tally":
        """Figures for these."""
        return cls(names, [Figures() for _ in names])

    def take(self, values: Iterable[object]) -> None:
        """One round, in the order of the names."""
        for figures, value in zip(self.figures, values, strict=True):
            figures.take(value)

    @property
    def counts(self) -> str:
        """How many values were read, and how many were not, in how many rounds."""
        read, failed = (sum(getattr(each, key) for each in self.figures) for key in ("read", "failed"))
        rounds = self.rounds
        return f"{read} value{'s' * (read != 1)} read, {failed} failed, in {rounds} round{'s' * (rounds != 1)}"

    @property
    def rounds(self) -> int:
        """How many there were."""
        return max((each.read + each.failed for each in self.figures), default=0)

    def lines(self) -> list[str]:
        """A summary for people."""
        head = ("", *HEAD, "read", "failed")
        rows = [
            (name, *each.texts(), str(each.read), str(each.failed))
            for name, each in zip(self.names, self.figures, strict=True)
        ]
        widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        return [
            "  ".join(f"{cell:{'>' if at else '<'}{widths[at]}}" for at, cell in enumerate(row)).rstrip()
            for row in (head, *rows)
        ] + [self.counts]


def number_of(value: object) -> float | None:
    """A value as a number that can be counted with; None: it is none."""
    if isinstance(value, (bool, int, float, Decimal)) and math.isfinite(value):
        return float(value)
    return None


def plain(number: float) -> str:
    """A number without an exponent as long as that is short, and without a point that says nothing."""
    return str(int(number)) if number.is_integer() and abs(number) < 1e16 else repr(number)


def _rounded(mean: float) -> float:
    return round(mean, 1) if abs(mean) >= _LARGE else float(f"{mean:.{_DIGITS}g}")

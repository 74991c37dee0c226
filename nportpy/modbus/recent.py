"""Counts of the last minutes, out of counts since the start.

Once a minute whoever counts marks how far it has come. What is new since the oldest of the marks is recent. Nothing of
this is on a request's way.
"""

from collections import deque
from collections.abc import Sequence
from operator import add, sub
from typing import Any, Final

MARKS: Final = 6
"""How many are kept, one for each minute: what is recent is five to six minutes old at most."""

Figures = tuple[Any, ...]
"""Counts, as integers, and seconds."""


class Marks:
    """How far some counts had come, minute by minute. All of one bus are marked at the same moments."""

    __slots__ = ("_marks",)

    def __init__(self) -> None:
        """None was set: all of the counts is recent, as whoever counts was not there before."""
        self._marks: deque[Figures] = deque(maxlen=MARKS)

    def __len__(self) -> int:
        return len(self._marks)

    def mark(self, figures: Figures) -> None:
        """They have come so far."""
        self._marks.append(figures)

    def recent(self, figures: Figures, marks: int) -> Figures:
        """What is new of them.

        Args:
            figures: how far they have come now.
            marks: how many of the bus's marks are kept. With fewer of its own it was not there at the oldest.
        """
        if not marks or len(self._marks) < marks:
            return figures
        return tuple(map(sub, figures, self._marks[0]))

    def join(self, other: "Marks") -> None:
        """The other's counts are added to these."""
        mine, its = tuple(self._marks), tuple(other._marks)  # noqa: SLF001 - of the same class
        size = max(len(mine), len(its))
        self._marks.clear()
        self._marks.extend(map(_sum, _filled(mine, its, size), _filled(its, mine, size)))


def _filled(marks: Sequence[Figures], others: Sequence[Figures], size: int) -> list[Figures]:
    """As many marks as `size`: before the first there was nothing."""
    nothing = (0,) * len((marks or others)[0]) if size else ()
    return [nothing] * (size - len(marks)) + list(marks)


def _sum(one: Figures, other: Figures) -> Figures:
    return tuple(map(add, one, other))

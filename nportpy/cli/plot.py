"""Values over time as lines on a terminal, by plotille: pure Python, and an extra."""

import sys
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import click

from nportpy.cli.tally import number_of, plain

MOST: Final = 600
"""Points that are kept: more than a terminal has columns, at two each, and so few that they are drawn at once."""

_COLOURS: Final = ("blue", "red", "green", "magenta", "cyan", "yellow")
_STROKE: Final = "⠤⠤"  # of the legend, from the characters that the lines are made of
_MARKERS: Final = "123456789abcdefghijklmnopqrstuvwxyz"
_LEFT: Final = 16  # columns that the axis takes
_GROUP: Final = 4  # points of which two are made
_SHORTEST: Final = timedelta(seconds=1)


_Round = tuple[datetime, list[float | None]]
"""When, and the numbers in the order of their names; None where there was none."""


class Plot:
    """Lines for some values, from the first round to the last; a gap in the values is one in its line.

    Where there are more rounds than points, two stand for a few: the smallest and the largest of each value.
    """

    def __init__(self, names: Sequence[str]) -> None:
        """Lines for `names`.

        Raises:
            click.ClickException: the library is not there, or standard output has no characters for lines.
        """
        try:
            import plotille  # an extra
        except ImportError:
            reason = "--plot needs the package plotille, which is not installed: pip install 'nportpy[plot]'"
            raise click.ClickException(reason) from None
        try:
            _STROKE.encode(sys.stdout.encoding)
        except UnicodeEncodeError:
            reason = f"--plot needs Unicode, and standard output is {sys.stdout.encoding}: set LANG=C.UTF-8"
            raise click.ClickException(reason) from None
        self._library: Any = plotille
        self._names = names
        self._rounds: list[_Round] = []
        self._waiting: list[_Round] = []  # until there are enough to be thinned
        self._each = 1  # rounds that are thinned together

    def take(self, when: datetime, values: Sequence[object]) -> None:
        """One round, in the order of the names."""
        self._waiting.append((when, [number_of(value) for value in values]))
        if len(self._waiting) == self._each:
            self._rounds += _thinned(self._waiting)
            self._waiting.clear()
        if len(self._rounds) > MOST:
            groups = (self._rounds[at : at + _GROUP] for at in range(0, len(self._rounds), _GROUP))
            self._rounds = [point for group in groups for point in _thinned(group)]
            self._each = max(_GROUP, 2 * self._each)

    @property
    def empty(self) -> bool:
        """Whether there was no number yet."""
        return all(number is None for _, numbers in self._all() for number in numbers)

    def _all(self) -> list[_Round]:
        return self._rounds + self._waiting

    def text(self, width: int, height: int, *, colours: bool) -> str:
        """The lines, with axes, and a legend below; nothing as long as there is no number."""
        if self.empty:
            return ""
        figure = self._library.Figure()
        figure.width, figure.height = max(width - _LEFT, 10), max(height, 3)
        figure.origin, figure.with_colors, figure.color_mode = False, colours, "names"
        figure.x_label, figure.y_label = "time", ""
        figure.register_label_formatter(datetime, lambda value, *_, **__: f"{value:%H:%M:%S}")
        figure.register_label_formatter(float, lambda value, *_, **__: f"{plain(float(f'{value:.6g}')):>10}")
        rounds = self._all()
        first, last = rounds[0][0], rounds[-1][0]
        figure.set_x_limits(min_=first, max_=max(last, first + _SHORTEST))
        for at in range(len(self._names)):
            for times, numbers in _runs(rounds, at):
                figure.plot(times, numbers, lc=_colour(at, colours), marker=self._marker(at, colours))
        return "\n".join([figure.show(), *self._legend(colours)])

    def _legend(self, colours: bool) -> Iterator[str]:
        for at, name in enumerate(self._names):
            stroke = self._library.color(_STROKE, fg=_colour(at, colours), mode="names", no_color=not colours)
            yield f"{self._marker(at, colours) or stroke} {name}"

    def _marker(self, at: int, colours: bool) -> str | None:
        """What tells a line from others where colours do not."""
        return None if colours or len(self._names) == 1 else _MARKERS[at % len(_MARKERS)]


def _colour(at: int, colours: bool) -> str | None:
    return _COLOURS[at % len(_COLOURS)] if colours else None


def _runs(rounds: Sequence[_Round], at: int) -> Iterator[tuple[list[datetime], list[float]]]:
    """What follows on one another without a gap, of one value."""
    times: list[datetime] = []
    numbers: list[float] = []
    for when, values in rounds:
        number = values[at]
        if number is not None:
            times.append(when)
            numbers.append(number)
        elif times:
            yield times, numbers
            times, numbers = [], []
    if times:
        yield times, numbers


def _thinned(group: Sequence[_Round]) -> list[_Round]:
    """Two points for a few: of each value the smallest and the largest, in their order; a gap if most are missing."""
    if len(group) < _GROUP:
        return list(group)
    pairs = [_extremes([numbers[at] for _, numbers in group]) for at in range(len(group[0][1]))]
    return [(group[0][0], [first for first, _ in pairs]), (group[len(group) // 2][0], [last for _, last in pairs])]


def _extremes(numbers: Sequence[float | None]) -> tuple[float | None, float | None]:
    there = [number for number in numbers if number is not None]
    if 2 * len(there) <= len(numbers):
        return (there[0] if there else None, None)
    low, high = min(there), max(there)
    return (low, high) if there.index(low) < there.index(high) else (high, low)

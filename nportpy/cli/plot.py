"""Values over time as lines on a terminal, by plotille: pure Python, and an extra."""

import sys
from collections import deque
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import click

from nportpy.cli.tally import number_of, plain

POINTS: Final = 2000
"""How many rounds are kept: more than a terminal has columns, at two points each."""

_COLOURS: Final = ("blue", "red", "green", "magenta", "cyan", "yellow")
_STROKE: Final = "⠤⠤"  # of the legend, from the characters that the lines are made of
_MARKERS: Final = "123456789abcdefghijklmnopqrstuvwxyz"
_LEFT: Final = 16  # columns that the axis takes
_SHORTEST: Final = timedelta(seconds=1)


class Plot:
    """Lines for some values, the newest rounds of each; a gap in the values is one in its line."""

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
        self._rounds: deque[tuple[datetime, list[float | None]]] = deque(maxlen=POINTS)

    def take(self, when: datetime, values: Sequence[object]) -> None:
        """One round, in the order of the names."""
        self._rounds.append((when, [number_of(value) for value in values]))

    @property
    def empty(self) -> bool:
        """Whether there was no number yet."""
        return all(number is None for _, numbers in self._rounds for number in numbers)

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
        first, last = self._rounds[0][0], self._rounds[-1][0]
        figure.set_x_limits(min_=first, max_=max(last, first + _SHORTEST))
        for at in range(len(self._names)):
            for times, numbers in self._runs(at):
                figure.plot(times, numbers, lc=_colour(at, colours), marker=self._marker(at, colours))
        return "\n".join([figure.show(), *self._legend(colours)])

    def _runs(self, at: int) -> Iterator[tuple[list[datetime], list[float]]]:
        """What follows on one another without a gap."""
        times: list[datetime] = []
        numbers: list[float] = []
        for when, values in self._rounds:
            number = values[at]
            if number is not None:
                times.append(when)
                numbers.append(number)
            elif times:
                yield times, numbers
                times, numbers = [], []
        if times:
            yield times, numbers

    def _legend(self, colours: bool) -> Iterator[str]:
        for at, name in enumerate(self._names):
            stroke = self._library.color(_STROKE, fg=_colour(at, colours), mode="names", no_color=not colours)
            yield f"{self._marker(at, colours) or stroke} {name}"

    def _marker(self, at: int, colours: bool) -> str | None:
        """What tells a line from others where colours do not."""
        return None if colours or len(self._names) == 1 else _MARKERS[at % len(_MARKERS)]


def _colour(at: int, colours: bool) -> str | None:
    return _COLOURS[at % len(_COLOURS)] if colours else None

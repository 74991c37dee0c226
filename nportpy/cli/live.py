"""The table of `nportpy read --every` that lives on a terminal, with figures, and lines over time on wish."""

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from nportpy.cli.plot import Plot
from nportpy.cli.tally import HEAD, Tally

_RIGHT: Final = ("value", "unit", *HEAD)
_LINES: Final = 16  # of a plot, at most
_SPARE: Final = 10
_AROUND: Final = 6  # lines beside the rows and the plot's own


class LiveTable:
    """A table that every round replaces; it stays as it is when the command ends."""

    def __init__(self, tally: Tally, plot: Plot | None, *, more: Sequence[str] = ()) -> None:
        """Show the figures of `tally` and the lines of `plot`, which have taken a round before it is shown here.

        Args:
            tally: the figures.
            plot: the lines, if they are wanted.
            more: heads of further columns.
        """
        self._console = Console()
        self._live = Live(console=self._console, auto_refresh=False)
        self._tally = tally
        self._plot = plot
        self._more = more
        self._parts: list[Table | Text] = []
        self._rows = 0  # lines that they take, about
        self._drawn: list[Text] = []
        self._due = 0.0  # when lines are drawn again

    def show(self, when: datetime, rows: Sequence[tuple[str | None, *tuple[str, ...]]], notes: Sequence[str]) -> None:
        """One round: for each value its text, None if it could not be read, and its further cells; and what to say."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("name", "value", *self._more, *HEAD):
            table.add_column(column, justify="right" if column in _RIGHT else "left")
        for name, figures, (value, *more) in zip(self._tally.names, self._tally.figures, rows, strict=True):
            # Text, not markup: a device's string may hold square brackets
            cells = [name, "-" if value is None else value, *more, *figures.texts()]
            table.add_row(*map(Text, cells), style="red" if value is None else None)
        said = Text("\n".join([f"{when:%H:%M:%S}  {self._tally.counts}", *notes]), style="dim")
        self._parts = [table, said]
        self._rows = 2 * len(rows) + len(notes)
        if not self._live.is_started:
            self._live.start()
        self._update(drawn_anew=time.monotonic() >= self._due)

    def _update(self, *, drawn_anew: bool) -> None:
        """Show what there is; drawing lines costs more than reading, so it gets a tenth of the time."""
        if self._plot is not None and drawn_anew and not self._plot.empty:
            began = time.monotonic()
            height = min(_LINES, self._console.height - self._rows - _AROUND)
            lines = self._plot.text(self._console.width, height, colours=not self._console.no_color)
            self._drawn = [Text.from_ansi(lines, no_wrap=True)]
            self._due = began + _SPARE * (time.monotonic() - began)
        self._live.update(Group(*self._parts, *self._drawn), refresh=True)

    def stop(self) -> None:
        """Let it stand as it is: what is said from now on comes below it."""
        if self._live.is_started:
            self._update(drawn_anew=True)
        self._live.stop()

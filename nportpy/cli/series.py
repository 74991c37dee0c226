"""Rounds of values, one or many: how often, how many, where they go, and what they come to in the end.

`nportpy read` has this in common for all protocols.
"""

import asyncio
import contextlib
import functools
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TextIO, TypeVar

import click

from nportpy.cli.options import parsed
from nportpy.cli.shown import Shape, Write
from nportpy.cli.tally import Tally
from nportpy.config.values import duration

if TYPE_CHECKING:
    from nportpy.cli.live import LiveTable
    from nportpy.cli.plot import Plot

_USUAL: Final = 1.0  # seconds between rounds where only their number was said
_PLOT_LINES: Final = 16
_SUFFIXES: Final = {".json": Shape.JSON, ".jsonl": Shape.JSON, ".ndjson": Shape.JSON}
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Series:
    """What is wanted of some rounds.

    Attributes:
        every: seconds between their beginnings; None: there is one only.
        count: how many; None: until Ctrl-C.
        shape: how they are written on standard output.
        output: a file that they are written to as well.
        output_shape: how they are written there.
        force: write over a file that is there.
        plot: draw them as lines.
    """

    every: float | None
    count: int | None
    shape: Shape
    output: str | None
    output_shape: Shape
    force: bool
    plot: bool

    @property
    def once(self) -> bool:
        """Whether there is one round only, as a whole."""
        return self.every is None

    @property
    def live(self) -> bool:
        """Whether somebody looks at a terminal while rounds come."""
        return not self.once and self.shape is Shape.TEXT and sys.stdout.isatty()

    async def beats(self) -> AsyncIterator[None]:
        """Comes round whenever a round is due; one that took longer than `every` costs those that it overlapped."""
        loop = asyncio.get_running_loop()
        due, done = loop.time(), 0
        while True:
            yield
            done += 1
            if self.every is None or done == self.count:
                return
            due += self.every * max(1, -(-(loop.time() - due) // self.every))
            await asyncio.sleep(due - loop.time())

    @contextlib.contextmanager
    def written(self) -> Iterator[Write | None]:
        """What takes lines for the file, if there is to be one; each is there at once, whatever comes next.

        Raises:
            click.UsageError: the file is there already.
            click.ClickException: it cannot be written, now or later.
        """
        if self.output is None:
            yield None
            return
        path = self.output
        with _opened(path, self.force) as file:

            def write(line: str) -> None:
                try:
                    file.write(f"{line}\n")
                    file.flush()
                except OSError as error:
                    raise _unwritable(path, error) from None

            try:
                yield write
            finally:
                with contextlib.suppress(OSError):  # what could not be written was said when it was to be
                    file.close()


def _opened(path: str, force: bool) -> TextIO:
    ordinary = os.path.isfile(path) or not os.path.exists(path)  # not a pipe, not /dev/null
    try:
        return open(path, "x" if ordinary and not force else "w", encoding="utf-8", newline="")
    except FileExistsError:
        raise click.UsageError(f"{path} is there already; --force writes over it") from None
    except OSError as error:
        raise _unwritable(path, error) from None


def _unwritable(path: str, error: OSError) -> click.ClickException:
    return click.ClickException(f"{path} cannot be written: {error.strerror}")


def series_options(shortest: str) -> Callable[[Callable[..., _T]], Callable[..., _T]]:
    """Give a command the options for rounds, as `series`; `shortest` is the least time between two."""
    options = (
        click.option(
            "--every", metavar="TIME", callback=parsed(lambda text: duration(text, shortest, "7d")),
            help='Read again and again, as in "2s", until Ctrl-C or --count.',
        ),
        click.option(
            "--count", metavar="N", type=click.IntRange(1),
            help="End after so many rounds, one a second without --every.",
        ),
        click.option("--json", "as_json", is_flag=True, help="A list of objects; with --every, one a line."),
        click.option("--csv", "as_csv", is_flag=True, help="Comma-separated values, with a head line: a row a value."),
        click.option("--wide", is_flag=True, help="CSV with a row a round, and a column a value."),
        click.option(
            "--output", metavar="FILE",
            help="Write to FILE as well, as --csv, --wide or --json say, else as its suffix does: .json or .csv.",
        ),
        click.option("--force", is_flag=True, help="Write over an --output that is there."),
        click.option("--plot", is_flag=True, help="Draw the values over time. Needs pip install 'nportpy[plot]'."),
    )  # fmt: skip

    def with_options(command: Callable[..., _T]) -> Callable[..., _T]:
        @functools.wraps(command)
        def with_series(**keys: Any) -> _T:
            names = ("every", "count", "as_json", "as_csv", "wide", "output", "force", "plot")
            return command(series=_series(**{name: keys.pop(name) for name in names}), **keys)

        for option in reversed(options):
            with_series = option(with_series)
        return with_series

    return with_options


def _series(
    *, every: float | None, count: int | None, as_json: bool, as_csv: bool, wide: bool, output: str | None, force: bool,
    plot: bool,
) -> Series:  # fmt: skip
    if as_json and (as_csv or wide):
        raise click.UsageError(f"--json and {'--csv' if as_csv else '--wide'} exclude each other")
    if every is None and count is not None:
        every = _USUAL
    asked = Shape.JSON if as_json else Shape.WIDE if wide else Shape.CSV if as_csv else None
    if plot and every is None:
        raise click.UsageError("--plot draws values over time: say --every TIME or --count N as well")
    if plot and asked is not None and output is None:
        raise click.UsageError("--plot and values for programs do not go to one place: give them a file with --output")
    by_suffix = _SUFFIXES.get(os.path.splitext(output or "")[1].lower(), Shape.CSV)
    shape = asked if asked is not None and output is None else Shape.TEXT
    return Series(every, count, shape, output, asked or by_suffix, force, plot)


def _plot(names: Sequence[str]) -> "Plot":
    from nportpy.cli.plot import Plot  # an extra, and slow to load

    return Plot(names)


def _live(tally: Tally, plot: "Plot | None", more: Sequence[str]) -> "LiveTable":
    from nportpy.cli.live import LiveTable  # only a terminal pays for it

    return LiveTable(tally, plot, more=more)


class Account:
    """What rounds come to: figures and lines, on a live terminal meanwhile, else in the end."""

    def __init__(self, series: Series, names: Sequence[str], *, more: Sequence[str] = ()) -> None:
        """Account for values of these names; `more` are heads of further columns of a live table.

        Raises:
            click.ClickException: lines are wanted, and cannot be drawn here.
        """
        self._tally = Tally.of(names)
        self._plot = _plot(names) if series.plot else None
        self._live = _live(self._tally, self._plot, more) if series.live else None
        self._summary = not series.once

    @property
    def good(self) -> bool:
        """Whether every value was there in every round, and there is something to draw if that was wanted."""
        read = self._tally.figures
        return all(each.read and not each.failed for each in read) and not self.nothing_drawn

    @property
    def nothing_drawn(self) -> bool:
        """Whether lines were wanted, and there was no number."""
        return self._plot is not None and self._plot.empty

    def take(
        self, when: datetime, values: Sequence[object], rows: Sequence[tuple[str | None, *tuple[str, ...]]],
        notes: Sequence[str],
    ) -> None:  # fmt: skip
        """One round: its values, None for what could not be read; and what a live table shows of it."""
        self._tally.take(values)
        if self._plot is not None:
            self._plot.take(when, values)
        if self._live is not None:
            self._live.show(when, rows, notes)

    def __enter__(self) -> Self:
        """It closes with the context."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Say in the end what a live table has not said, whatever ended it."""
        if self._live is not None:
            self._live.stop()
        if self.nothing_drawn:
            click.echo("nothing to plot: no number was read", err=True)
        if self._live is not None or isinstance(error, BrokenPipeError):
            return
        if self._plot is not None and not self._plot.empty:
            width = shutil.get_terminal_size().columns
            click.echo(self._plot.text(width, _PLOT_LINES, colours=sys.stdout.isatty()))
        if self._summary and self._tally.rounds:
            click.echo("\n".join(self._tally.lines()), err=True)

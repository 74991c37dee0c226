"""Rounds of a meter's values: written, shown and counted alike whatever the meter speaks."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

import click

from nportpy.cli.cells import Row, cell_text, csv_lines, json_of, table_lines
from nportpy.cli.options import named
from nportpy.cli.series import Account, Series
from nportpy.cli.shown import Shape, Write, csv_line

_HEAD: Final = ("time", "name", "address", "value", "unit", "error")

_Printer = Callable[[list[Row]], None]


class MeterRounds:
    """Takes rounds of a meter's values to all who want them.

    Attributes:
        series: what is wanted of them.
    """

    def __init__(self, series: Series, account: Account | None, printers: Sequence[_Printer]) -> None:
        """Take rounds to `printers`, and to `account` where it is known beforehand what every round has."""
        self.series = series
        self._account = account
        self._printers = printers
        self._good = True
        self._rounds = 0

    def take(self, rows: Sequence[Row]) -> None:
        """A round that is just over: `name`, `address`, `value`, `unit` and `error` of each value."""
        when = datetime.now(UTC).astimezone()
        timed: list[Row] = [{"time": when.isoformat(timespec="milliseconds"), **row} for row in rows]
        for put in self._printers:
            put(timed)
        self._rounds += 1
        self._good &= bool(rows) and not any(row["value"] is None for row in rows)
        if self._account is not None:
            shown = [(None if row["value"] is None else cell_text(row["value"]), str(row["unit"])) for row in rows]
            notes = [f"{', '.join(names)}: {reason}" for reason, names in _reasons(rows).items()]
            self._account.take(when, [row["value"] for row in rows], shown, notes)

    @property
    def nothing_drawn(self) -> bool:
        """Whether lines were wanted, and there was no number."""
        return self._account is not None and self._account.nothing_drawn

    @property
    def good(self) -> bool:
        """Whether every value was there in every round, and there is something to draw if that was wanted."""
        return self._good and self._rounds > 0 and not self.nothing_drawn


@contextmanager
def meter_rounds(series: Series, wanted: Sequence[tuple[str, str]]) -> Iterator[MeterRounds]:
    """Where rounds of `wanted` go, names and addresses; nothing: whatever the meter has, of which no figures are kept.

    Raises:
        click.UsageError: two columns would have one name, or nobody knows which there are.
        click.ClickException: a file cannot be written, or lines cannot be drawn here.
    """
    names = [name for name, _ in wanted]
    if series.output_shape is Shape.WIDE and len(set(names)) < len(names):
        raise click.UsageError("--wide: two columns would have one name; name them, as in NAME=CODE")
    if not names and (series.plot or series.output_shape is Shape.WIDE):
        raise click.UsageError(f"{'--plot' if series.plot else '--wide'} is for values that are named beforehand")
    labelled = any(name != address for name, address in wanted)
    if not names:
        with series.written() as write:
            yield MeterRounds(series, None, _printers(series, names, write, labelled=labelled, live=False))
        return
    account = Account(series, names, more=("unit",))
    with series.written() as write, account:
        yield MeterRounds(series, account, _printers(series, names, write, labelled=labelled, live=series.live))


def names_and_codes(words: Sequence[str]) -> list[tuple[str, str]]:
    """NAME=CODE, or a code alone, as names, empty without one, and codes.

    Raises:
        ValueError: a name makes no sense, or is there twice.
    """
    found = [named(word) for word in words]
    labels = [label for label, _ in found if label]
    twice = next((label for at, label in enumerate(labels) if label in labels[:at]), "")
    if twice:
        raise ValueError(f"the name {twice} is there twice")
    return found


def _printers(
    series: Series, names: Sequence[str], write: Write | None, *, labelled: bool, live: bool
) -> list[_Printer]:
    printers = []
    if write is not None:
        printers.append(_printer(series.output_shape, names, write, labelled=labelled, once=series.once))
    if not live:
        printers.append(_printer(series.shape, names, click.echo, labelled=labelled, once=series.once))
        printers.append(_complaining(once=series.once))
    return printers


def _printer(shape: Shape, names: Sequence[str], write: Write, *, labelled: bool, once: bool) -> _Printer:
    """What writes one round after another."""
    keys = [key for key in _HEAD if key != "name" or labelled]
    if shape is Shape.WIDE:
        write(csv_line(["time", *names]))
        return lambda rows: write(csv_line([str(rows[0]["time"]), *(cell_text(row["value"]) for row in rows)]))
    if shape is Shape.CSV:
        write(csv_line(keys))

    def put(rows: list[Row]) -> None:
        if shape is Shape.JSON:
            objects = [json_of({key: row[key] for key in keys}) for row in rows]
            lines = [json.dumps(objects, indent=2)] if once else [json.dumps(each) for each in objects]
        elif shape is Shape.CSV:
            lines = csv_lines(rows, keys, headed=False)
        else:
            head = ("name", "value", "unit") if once else ("time", "name", "value", "unit")
            lines = table_lines([row for row in rows if row["value"] is not None], head, right=("value",))[1:]
        for line in lines:
            write(line)

    return put


def _complaining(*, once: bool) -> _Printer:
    """What says why values are missing, or in doubt."""

    def put(rows: list[Row]) -> None:
        for reason, names in _reasons(rows).items():
            alone = len(names) < len(rows) or once
            click.echo(f"Error: {', '.join(names)}: {reason}" if alone else f"Error: {reason}", err=True)

    return put


def _reasons(rows: Sequence[Row]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in rows:
        if row["error"]:
            found.setdefault(str(row["error"]), []).append(str(row["name"]))
    return found

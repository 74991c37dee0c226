"""What commands about meters print: aligned columns, JSON or CSV."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import click

from nportpy.meters.dlms.values import Shown, plain

Cell = Shown | None
Row = Mapping[str, Cell]


def json_of(row: Row) -> dict[str, object]:
    """A row as JSON has it."""
    return {key: None if value is None else plain(value) for key, value in row.items()}


def csv_lines(rows: Iterable[Row], head: Sequence[str], *, headed: bool = True) -> list[str]:
    """Rows as comma-separated values; numbers with the digits that they have."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if headed:
        writer.writerow(head)
    writer.writerows([cell_text(row.get(key)) for key in head] for row in rows)
    return text.getvalue().splitlines()


def table_lines(rows: Iterable[Row], head: Sequence[str], *, right: Sequence[str] = ()) -> list[str]:
    """Rows in aligned columns, those named in `right` to the right; columns that are empty are left out."""
    cells = [[cell_text(row.get(key)) for key in head] for row in rows]
    kept = [number for number in range(len(head)) if any(line[number] for line in cells)]
    lines = [[line[number] for number in kept] for line in ([*head], *cells)]
    widths = [max(len(line[number]) for line in lines) for number in range(len(kept))]
    sides = [">" if head[number] in right else "<" for number in kept]
    return [
        "  ".join(f"{cell:{side}{width}}" for cell, side, width in zip(line, sides, widths, strict=True)).rstrip()
        for line in lines
    ]


def print_rows(
    rows: Sequence[Row], head: Sequence[str], *, as_json: bool, as_csv: bool, right: Sequence[str] = ()
) -> None:
    """Print rows in one of the three ways."""
    if as_json:
        click.echo(json.dumps([json_of(row) for row in rows], indent=2))
        return
    for line in csv_lines(rows, head) if as_csv else table_lines(rows, head, right=right):
        click.echo(line)


def cell_text(value: Cell) -> str:
    """A value as people and CSV have it; nothing where there is none."""
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return f"{value:f}"
    return str(value).lower() if isinstance(value, bool) else str(value)

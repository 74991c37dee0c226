"""How `nportpy read` shows what it read: text, JSON or CSV, and for whom lines are written, by whoever prints.

Reasons why values are missing go to standard error.
"""

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from enum import StrEnum

import click

from nportpy.client.readings import Reading, Wanted, reasons
from nportpy.protocols.modbus.addresses import Address
from nportpy.protocols.modbus.values import Kind, Value, show

Printer = Callable[[datetime, list[Reading], str], None]
"""Takes one round: when it was, its readings, and, if there are no values in them for one reason, that."""

Write = Callable[[str], None]
"""Takes a line."""


class Shape(StrEnum):
    """How rounds are written down.

    Attributes:
        TEXT: for people.
        JSON: an object a value.
        CSV: a row a value.
        WIDE: CSV with a row a round, and a column a value.
    """

    TEXT = "text"
    JSON = "json"
    CSV = "csv"
    WIDE = "wide"


def printer(shape: Shape, wanted: Sequence[Wanted], write: Write, *, raw: bool, once: bool) -> Printer:
    """What writes one round after another.

    Args:
        shape: how.
        wanted: what every round is to have, in its order.
        write: where.
        raw: the registers too.
        once: there is one round only.
    """
    if shape is Shape.JSON:
        return _json_printer(write, once)
    if shape is Shape.CSV:
        return _csv_printer(write, wanted, raw)
    if shape is Shape.WIDE:
        return _wide_printer(write, wanted)
    return _text_printer(write, wanted, raw, timed=not once)


def _text_printer(write: Write, wanted: Sequence[Wanted], raw: bool, *, timed: bool) -> Printer:
    width = max(len(value.called) for value in wanted)

    def put(when: datetime, readings: list[Reading], _: str) -> None:
        for reading in readings:
            if not reading.fault:
                cells = [reading.wanted.called.ljust(width), text_of(reading)]
                cells = [_time(when), *cells] if timed else cells
                write("  ".join([*cells, hex_of(reading)] if raw else cells))

    return put


def _csv_printer(write: Write, wanted: Sequence[Wanted], raw: bool) -> Printer:
    named = any(value.label for value in wanted)
    write(csv_line(["time", *["name"] * named, "address", "value", *["raw"] * raw]))

    def put(when: datetime, readings: list[Reading], _: str) -> None:
        for reading in readings:  # what could not be read is there, and empty: a gap that nobody sees is no gap
            names = [*[reading.wanted.called] * named, reading.wanted.name]
            write(csv_line([_time(when), *names, text_of(reading), *[hex_of(reading)] * raw]))

    return put


def _wide_printer(write: Write, wanted: Sequence[Wanted]) -> Printer:
    write(csv_line(["time", *(value.called for value in wanted)]))

    def put(when: datetime, readings: list[Reading], _: str) -> None:
        write(csv_line([_time(when), *map(text_of, readings)]))

    return put


def csv_line(cells: Iterable[str]) -> str:
    """Cells as a line of comma-separated values."""
    with io.StringIO() as text:
        csv.writer(text, lineterminator="").writerow(cells)
        return text.getvalue()


def _json_printer(write: Write, once: bool) -> Printer:
    def put(when: datetime, readings: list[Reading], _: str) -> None:
        objects = [_object(when, reading) for reading in readings]
        if once:
            write(json.dumps(objects, indent=2))
        else:
            for item in objects:
                write(json.dumps(item))

    return put


def _object(when: datetime, reading: Reading) -> dict[str, object]:
    """Every fact of a reading. What JSON has no number for, NaN and the infinities, has a null for its value."""
    table, address, _ = reading.wanted.span
    return {
        "time": _time(when),
        **({"name": reading.wanted.label} if reading.wanted.label else {}),
        "address": reading.wanted.name,
        "pdu_address": str(Address(table, address)),
        "type": str(reading.wanted.kind),
        "value": number(reading.value),
        "raw": hex_of(reading),
        "error": reading.fault or None,
    }


def number(value: Value | None) -> Value | None:
    """A value as JSON has it: NaN and the infinities are null there."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def complain(_: datetime, readings: list[Reading], reason: str) -> None:
    """A printer that says why values are missing, each reason once, on standard error."""
    for line in [reason] if reason else reasons(readings):
        click.echo(f"Error: {line}", err=True)


def _time(when: datetime) -> str:
    return when.isoformat(timespec="milliseconds")


def text_of(reading: Reading) -> str:
    """A value for people; nothing where there is none."""
    return "" if reading.value is None else show(reading.value)


def hex_of(reading: Reading) -> str:
    """Registers of four digits each; a bit as 0 or 1."""
    return str(reading.data[0]) if reading.data and reading.wanted.kind.kind is Kind.BIT else reading.data.hex(" ", -2)

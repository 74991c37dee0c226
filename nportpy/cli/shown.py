"""How `nportpy read` shows what it read: text, JSON, CSV, or a table that lives on a terminal.

Results go to standard output, reasons why there are none to standard error.
"""

import csv
import io
import json
import math
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum

import click

from nportpy.client.readings import Reading, Wanted, reasons
from nportpy.protocols.modbus.addresses import Address
from nportpy.protocols.modbus.values import Kind, Value, show

Printer = Callable[[datetime, list[Reading], str], None]
"""Takes one round: when it was, its readings, and, if there are no values in them for one reason, that."""


class Shape(StrEnum):
    """A form for programs."""

    JSON = "json"
    CSV = "csv"


def printer(shape: Shape | None, wanted: Sequence[Wanted], raw: bool, every: float | None) -> Printer:
    """What shows one round after another.

    Args:
        shape: None for people.
        wanted: what every round is to have, in its order.
        raw: show the registers too.
        every: seconds between rounds; None if there is only one.
    """
    if shape is Shape.JSON:
        return _json_printer(every is None)
    if shape is Shape.CSV:
        return _csv_printer(raw)
    if every is not None and sys.stdout.isatty():
        return _live_printer(raw)
    return _text_printer(wanted, raw, timed=every is not None)


def _text_printer(wanted: Sequence[Wanted], raw: bool, *, timed: bool) -> Printer:
    width = max(len(value.name) for value in wanted)

    def put(when: datetime, readings: list[Reading], reason: str) -> None:
        for reading in readings:
            if not reading.fault:
                cells = [reading.wanted.name.ljust(width), _text(reading)]
                cells = [_time(when), *cells] if timed else cells
                click.echo("  ".join([*cells, _hex(reading)] if raw else cells))
        _complain(readings, reason)

    return put


def _csv_printer(raw: bool) -> Printer:
    def line(cells: Sequence[str]) -> None:
        with io.StringIO() as text:
            csv.writer(text, lineterminator="").writerow(cells)
            click.echo(text.getvalue())

    head = ["time", "address", "value", *["raw"] * raw]

    def put(when: datetime, readings: list[Reading], reason: str) -> None:
        if head:
            line(head)
            head.clear()
        for reading in readings:  # what could not be read is there, and empty: a gap that nobody sees is no gap
            line([_time(when), reading.wanted.name, _text(reading), *[_hex(reading)] * raw])
        _complain(readings, reason)

    return put


def _json_printer(once: bool) -> Printer:
    def put(when: datetime, readings: list[Reading], reason: str) -> None:
        objects = [_object(when, reading) for reading in readings]
        if once:
            click.echo(json.dumps(objects, indent=2))
        else:
            for item in objects:
                click.echo(json.dumps(item))
        _complain(readings, reason)

    return put


def _object(when: datetime, reading: Reading) -> dict[str, object]:
    """Every fact of a reading. What JSON has no number for, NaN and the infinities, has a null for its value."""
    table, address, _ = reading.wanted.span
    return {
        "time": _time(when),
        "address": reading.wanted.name,
        "pdu_address": str(Address(table, address)),
        "type": str(reading.wanted.kind),
        "value": number(reading.value),
        "raw": _hex(reading),
        "error": reading.fault or None,
    }


def number(value: Value | None) -> Value | None:
    """A value as JSON has it: NaN and the infinities are null there."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _live_printer(raw: bool) -> Printer:
    from rich.console import Console, Group  # only a terminal pays for it
    from rich.live import Live
    from rich.table import Table
    from rich.text import Text

    live = Live(console=Console(), auto_refresh=False)
    good = bad = rounds = 0

    def put(when: datetime, readings: list[Reading], reason: str) -> None:
        nonlocal good, bad, rounds
        failed = sum(bool(reading.fault) for reading in readings)
        good, bad, rounds = good + len(readings) - failed, bad + failed, rounds + 1
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in ("address", "value", *["registers"] * raw):
            table.add_column(column, justify="right" if column == "value" else "left")
        for reading in readings:
            # Text, not markup: a device's string may hold square brackets
            cells = [reading.wanted.name, "-" if reading.fault else _text(reading), *[_hex(reading)] * raw]
            table.add_row(*map(Text, cells), style="red" if reading.fault else None)
        counts = f"{good} value{'s' * (good != 1)} read, {bad} failed, in {rounds} round{'s' * (rounds != 1)}"
        notes = [f"{when:%H:%M:%S}  {counts}", *([reason] if reason else reasons(readings))]
        if not live.is_started:
            live.start()
            click.get_current_context().call_on_close(live.stop)
        live.update(Group(table, Text("\n".join(notes), style="dim")), refresh=True)

    return put


def _complain(readings: Sequence[Reading], reason: str) -> None:
    """Say why values are missing, each reason once."""
    for line in [reason] if reason else reasons(readings):
        click.echo(f"Error: {line}", err=True)


def _time(when: datetime) -> str:
    return when.isoformat(timespec="milliseconds")


def _text(reading: Reading) -> str:
    return "" if reading.value is None else show(reading.value)


def _hex(reading: Reading) -> str:
    """Registers of four digits each; a bit as 0 or 1."""
    return str(reading.data[0]) if reading.data and reading.wanted.kind.kind is Kind.BIT else reading.data.hex(" ", -2)

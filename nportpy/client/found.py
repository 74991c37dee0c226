"""How `nportpy scan` shows what it found: a table or JSON on standard output, remarks on standard error."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import click

from nportpy.client.scanning import Absence, Found, Scan, Search
from nportpy.linesettings import LineSettings
from nportpy.protocols.modbus.addresses import Address
from nportpy.protocols.modbus.identification import OBJECTS, text
from nportpy.protocols.modbus.values import show

COLUMNS: Final = ("unit", "line", "answer", "vendor", "product", "version", "besides")
_BASIC = 3  # objects with a column
_MANY = 10  # units that are hardly all there
_FEW = 4  # speeds and formats that a sentence can name


def print_table(search: Search, found: Sequence[Found]) -> None:
    """The units, without the columns in which nobody has anything; nothing if there are none."""
    rows = [_row(search, unit) for unit in found]
    filled = [at for at in range(len(COLUMNS)) if any(row[at] for row in rows)]
    head = [str(Address(*search.place[:2])) if COLUMNS[at] == "answer" else COLUMNS[at] for at in filled]
    shown = [[row[at] for at in filled] for row in rows]
    if not shown:
        return
    if sys.stdout.isatty():
        _print_rich(head, shown)
        return
    widths = [max(map(len, column)) for column in zip(head, *shown, strict=True)]
    for line in (head, *shown):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def print_json(search: Search, scan: Scan, cut_short: str) -> None:
    """Everything that is known, for programs."""
    everything = {
        "target": str(search.target),
        "complete": not cut_short,
        "asked": scan.done,
        "units": [_object(search, found) for found in scan.found],
        "noise": [
            {"unit": unit, **_settings(search, line), "bytes": size} for (line, unit), size in scan.noise.items()
        ],
        "absent": {str(why): count for why, count in scan.absent.items()},
        "late": scan.late,
        "left_out": scan.refused,
        "error": cut_short or None,
    }
    click.echo(json.dumps(everything, indent=2))


def remarks(search: Search, scan: Scan, cut_short: str) -> Iterator[str]:
    """What there is to say about the search as a whole."""
    for reason in scan.refused:
        yield f"left out: {reason}"
    noisy: dict[LineSettings, list[int]] = {}
    for line, unit in scan.noise:
        noisy.setdefault(line, []).append(unit)
    for line, units in noisy.items():
        at = f"at {line}, " if search.target.sets_line else ""
        yield (
            f"{at}when asking unit {ranges(units)}: bytes came that are no frame. Somebody is there, with another "
            "speed or format, or two talk at once"
        )
    if any(found.late for found in scan.found):
        yield "late or wrong: they were heard, but too late or not with what was asked for; try a longer --timeout"
    if scan.late:
        yield f"answers that came too late to tell whose they are: {scan.late}; try a longer --timeout"
    if not search.target.rtu and len(scan.found) == scan.done >= _MANY:
        yield "all units that were asked are there: one device, probably, that does not look at the unit id"
    if not cut_short:
        yield from _absence(search, scan)
    else:
        yield f"Error: cut short after {scan.done} of {scan.total} questions: {cut_short}"


def _absence(search: Search, scan: Scan) -> Iterator[str]:
    """What a gateway, or the connection, says about those who are not there."""
    absent = scan.absent
    if not scan.found and scan.done:
        if absent[Absence.NO_PATH] == scan.done:
            yield "Error: the gateway has no way to any of these units (exception 10): its line is down, or no route"
            return
        if absent[Absence.NO_ANSWER] == scan.done:
            yield "Error: the gateway is there, but none of these units answers it (exception 11)"
            return
        lines = [str(line) for line in search.lines]
        if not search.target.sets_line:
            at = ""
        elif len(lines) <= _FEW:
            at = f" at {', '.join(lines)}"
        else:
            at = f" at any of {len(lines)} speeds and formats"
        yield f"Error: nobody answers{at}: {_units(len(search.units))} asked, {ranges(search.units)}"
        if not search.target.rtu and absent[Absence.SILENT] == scan.done and not scan.late:
            yield f"nothing at all came from {search.target}. A raw port? Then write rtu+tcp://{search.target}"
    if count := absent[Absence.NO_PATH]:
        yield f"the gateway has no way to {_units(count)} (exception 10)"
    if count := absent[Absence.CLOSED]:
        yield f"the connection was closed when asking {_units(count)}"


def _units(count: int) -> str:
    return f"{count} unit{'s' * (count != 1)}"


def ranges(units: Iterable[int]) -> str:
    """As in 1-3,5."""
    spans: list[list[int]] = []
    for unit in sorted(units):
        if spans and unit == spans[-1][1] + 1:
            spans[-1][1] = unit
        else:
            spans.append([unit, unit])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)


def _row(search: Search, found: Found) -> tuple[str, ...]:
    """The cells of a unit, in the order of `COLUMNS`; what devices say may hold anything."""
    objects = {number: show(text(data)) for number, data in found.identity.objects.items()}
    besides = [f"{_name(number)} {words}" for number, words in objects.items() if number >= _BASIC and words]
    if found.identity.server is not None:
        besides.append(f"server id {show(str(found.identity.server))}")
    line = str(found.line) if search.target.sets_line else ""
    basic = [objects.get(number, "") for number in range(_BASIC)]
    return (str(found.unit), line, _answer(found), *basic, ", ".join(besides))


def _answer(found: Found) -> str:
    if found.late:
        return "late or wrong"
    if found.exception:
        return f"exception {found.exception}"
    return str(int.from_bytes(found.data, "big"))


def _object(search: Search, found: Found) -> dict[str, object]:
    server = found.identity.server
    return {
        "unit": found.unit,
        **_settings(search, found.line),
        "value": int.from_bytes(found.data, "big") if found.data else None,
        "exception": found.exception or None,
        "identification": {_name(number): text(data) for number, data in found.identity.objects.items()},
        "server_id": None if server is None else {"text": str(server), "raw": server.data.hex()},
    }


def _settings(search: Search, line: LineSettings) -> dict[str, object]:
    """Where they are ours to set."""
    return {"baudrate": line.baudrate, "format": line.format} if search.target.sets_line else {}


def _name(number: int) -> str:
    """Of an object; those without a name have their id."""
    return OBJECTS[number] if number < len(OBJECTS) else f"0x{number:02x}"


def _print_rich(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich.console import Console  # only a terminal pays for it
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in head:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))  # not markup: a vendor's name may hold square brackets
    Console().print(table)

"""`nportpy profile`: the rows of a meter's load profile, by their times."""

import sys
from datetime import datetime
from decimal import Decimal

import click

from nportpy.cli.cells import Row, print_rows
from nportpy.cli.meters import TARGET, MeterTarget, meter_options, reached, run
from nportpy.cli.options import parsed
from nportpy.cli.progress import shown_progress
from nportpy.cli.times import moment
from nportpy.meters.dlms.objects import Attribute, Column, Profile
from nportpy.meters.dlms.places import name_of, parse
from nportpy.meters.dlms.settings import DlmsSettings
from nportpy.meters.dlms.values import is_time_of, meaning
from nportpy.protocols.dlms.classes import CLOCK
from nportpy.protocols.dlms.units import unit_name

_TIME, _DOUBT = "time", "doubt"


def _obis(text: str) -> bytes:
    """The profile's logical name.

    Raises:
        ValueError: it is none.
    """
    attribute = parse(text)
    if not attribute.obis or attribute.attribute != 2:
        raise ValueError(f"{text!r} names no profile; write its OBIS code, as in 1.0.99.1.0.255")
    return attribute.obis


@click.command()
@TARGET
@click.argument("obis", callback=parsed(_obis))
@meter_options
@click.option("--from", "start", metavar="TIME", default="1d", show_default=True, callback=parsed(moment),
              help="As in 2026-11-29T12:00, 12:00 (today) or 2h (ago).")  # fmt: skip
@click.option("--to", "end", metavar="TIME", default="now", show_default=True, callback=parsed(moment))
@click.option("--json", "as_json", is_flag=True, help="A list of objects.")
@click.option("--csv", "as_csv", is_flag=True, help="Comma-separated values, with a head line.")
def profile(
    target: MeterTarget, obis: bytes, settings: DlmsSettings, start: datetime, end: datetime, as_json: bool,
    as_csv: bool,
) -> None:  # fmt: skip
    """Show the rows of a load profile of a DLMS/COSEM meter, from one time to another.

    TARGET is as for `nportpy objects`, which shows the profiles of a meter: 1.0.99.1.0.255 is load profile 1, mostly.
    Times of rows are shown in the zone of --zone.

    \b
        nportpy profile /dev/ttySC0 1.0.99.1.0.255 --server 1/17 --from 6h
        nportpy profile 192.0.2.7 1.0.99.1.0.255 --from 2026-11-01 --to 2026-12-01 --csv
    """  # noqa: D301 - click wants the character
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    if start >= end:
        raise click.UsageError(f"--from {start:%Y-%m-%dT%H:%M} is not before --to {end:%Y-%m-%dT%H:%M}")
    with shown_progress() as progress:
        progress("reading the profile", 0, 0)
        found = run(_ask(target, settings, obis, start, end), target)
    names = _names(found)
    rows = _rows(found, settings, names)
    print_rows(rows, (_TIME, *names.values(), _DOUBT), as_json=as_json, as_csv=as_csv, right=tuple(names.values()))
    if not rows:
        click.echo("the profile has no rows in this time", err=True)
    sys.exit(0 if rows else 1)


async def _ask(target: MeterTarget, settings: DlmsSettings, obis: bytes, start: datetime, end: datetime) -> Profile:
    async with reached(target, settings, "profile") as client:
        return await client.profile(obis, start, end)


def _names(found: Profile) -> dict[int, str]:
    """Heads of the columns, each once, by their numbers; the clock's is the time of the row."""
    names: dict[int, str] = {}
    for number, column in enumerate(found.columns):
        if column.class_id == CLOCK and column.attribute == 2:
            continue
        name = name_of(Attribute(column.obis, column.attribute)) + _unit(column)
        names[number] = name if name not in names.values() else f"{name} #{number + 1}"
    return names


def _unit(column: Column) -> str:
    name = "" if column.unit is None else unit_name(column.unit)
    return f" [{name}]" if name else ""


def _rows(found: Profile, settings: DlmsSettings, names: dict[int, str]) -> list[Row]:
    rows: list[Row] = []
    for row in found.rows:
        when = None if row.at is None else row.at.astimezone(settings.zone).isoformat(timespec="seconds")
        doubt = "the meter's clock doubts it" if row.doubtful else None
        cells: dict[str, bool | int | float | str | Decimal | None] = {_TIME: when, _DOUBT: doubt}
        for number, name in names.items():
            column = found.columns[number]
            time = is_time_of(column.class_id, column.attribute, column.obis)
            meant = meaning(row.values[number], settings, scaler=column.scaler, unit=column.unit, time=time)
            cells[name] = meant.value
        rows.append(cells)
    return rows

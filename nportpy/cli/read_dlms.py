"""`nportpy read --protocol dlms`: values of a meter by their OBIS codes."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

import click

from nportpy.cli.by_protocol import protocol_option
from nportpy.cli.cells import Row, cell_text, csv_lines, json_of, table_lines
from nportpy.cli.meters import TARGET, MeterTarget, meter_options, reached, run
from nportpy.cli.options import named
from nportpy.cli.series import Account, Series, series_options
from nportpy.cli.shown import Shape, Write, csv_line
from nportpy.errors import NportpyError
from nportpy.meters.dlms.client import DlmsClient
from nportpy.meters.dlms.errors import AuthenticationRefused
from nportpy.meters.dlms.objects import Attribute, Result
from nportpy.meters.dlms.places import name_of, parse
from nportpy.meters.dlms.settings import DlmsSettings
from nportpy.meters.dlms.values import is_time_of, meaning
from nportpy.protocols.dlms.results import Refused

_HEAD: Final = ("time", "name", "address", "value", "unit", "error")

_Printer = Callable[[list[Row]], None]
"""Takes one round."""


def row_of(result: Result, settings: DlmsSettings) -> Row:
    """What a result is to people."""
    asked = result.asked
    if result.reason or result.code:
        return {"value": None, "unit": "", "error": result.reason or str(Refused(result.code))}
    time = is_time_of(result.class_id or asked.class_id, asked.attribute, asked.obis)
    meant = meaning(result.value, settings, scaler=result.scaler, unit=result.unit, time=time)
    return {"value": meant.value, "unit": meant.unit, "error": meant.reason or meant.doubt}


@click.command()
@TARGET
@click.argument("addresses", metavar="OBIS...", nargs=-1, required=True)
@protocol_option("modbus", "dlms", "iec62056-21")
@meter_options
@series_options("100ms")
def read(target: MeterTarget, addresses: tuple[str, ...], settings: DlmsSettings, series: Series) -> None:
    """Read values of a DLMS/COSEM meter.

    TARGET is HOST:PORT (DLMS over TCP), raw://HOST:PORT (its line behind a raw port), rfc2217://HOST:PORT, or a
    device such as /dev/ttyUSB0.

    OBIS is a code as in 1.0.1.8.0.255, 1-0:1.8.0*255 or 1.8.0; with another attribute 1.8.0/3; or a short name, as in
    0x00B8. What a meter has, `nportpy objects` shows. NAME=OBIS gives a value a name.

    \b
        nportpy read /dev/ttyAMA0 1.0.1.8.0.255 --protocol dlms --referencing short
        nportpy read raw://192.0.2.10:4001 1.8.0 32.7.0 52.7.0 72.7.0 --protocol dlms --server 1/17 --every 10s
        nportpy read /dev/ttyAMA0 L1=32.7.0 L2=52.7.0 --protocol dlms --every 10s --wide --output volts.csv --plot
    """  # noqa: D301 - click wants the character
    try:
        wanted = list(_wanted(addresses))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    names = [called for called, _ in wanted]
    if series.output_shape is Shape.WIDE and len(set(names)) < len(names):
        raise click.UsageError("--wide: two columns would have one name; name them, as in NAME=OBIS")
    account = Account(series, names, more=("unit",))
    with series.written() as write, account:
        printers = [] if write is None else [_printer(series.output_shape, wanted, write, once=series.once)]
        if not series.live:
            printers += [_printer(series.shape, wanted, click.echo, once=series.once), _complaining(once=series.once)]
        try:
            run(_read_on(target, settings, wanted, series, account, printers), target)
            good = account.good
        except KeyboardInterrupt:
            if series.once:
                raise
            good = not account.nothing_drawn
    sys.exit(0 if good else 1)


def _wanted(addresses: Sequence[str]) -> Iterator[tuple[str, Attribute]]:
    """What to read, and how it is called.

    Raises:
        ValueError: an address or a name makes no sense.
    """
    labels: set[str] = set()
    for text in addresses:
        label, address = named(text)
        if label in labels:
            raise ValueError(f"the name {label} is there twice")
        labels |= {label} - {""}
        attribute = parse(address)
        yield label or name_of(attribute), attribute


async def _read_on(
    target: MeterTarget, settings: DlmsSettings, wanted: Sequence[tuple[str, Attribute]], series: Series,
    account: Account, printers: Sequence[_Printer],
) -> None:  # fmt: skip
    """Read once, or again and again."""
    async with reached(target, settings, "read") as client:
        async for _ in series.beats():
            when, rows = await _round(client, settings, wanted, last=series.once)
            for put in printers:
                put(rows)
            values = [row["value"] for row in rows]
            shown = [(None if row["value"] is None else cell_text(row["value"]), str(row["unit"])) for row in rows]
            account.take(when, values, shown, [f"{', '.join(names)}: {why}" for why, names in _reasons(rows).items()])


async def _round(
    client: DlmsClient, settings: DlmsSettings, wanted: Sequence[tuple[str, Attribute]], *, last: bool
) -> tuple[datetime, list[Row]]:
    attributes = [attribute for _, attribute in wanted]
    try:
        results = await client.read(attributes)
    except AuthenticationRefused:
        raise  # never again by itself: meters lock their port
    except (OSError, NportpyError) as error:
        if last:
            raise
        results = [Result(each, reason=str(error)) for each in attributes]
    when = datetime.now(UTC).astimezone()
    time = when.isoformat(timespec="milliseconds")
    return when, [
        {"time": time, "name": called, "address": name_of(each), **row_of(result, settings)}
        for (called, each), result in zip(wanted, results, strict=True)
    ]


def _printer(shape: Shape, wanted: Sequence[tuple[str, Attribute]], write: Write, *, once: bool) -> _Printer:
    """What writes one round after another."""
    labelled = any(called != name_of(attribute) for called, attribute in wanted)
    keys = [key for key in _HEAD if key != "name" or labelled]
    if shape is Shape.WIDE:
        write(csv_line(["time", *(called for called, _ in wanted)]))
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
            named_alone = len(names) < len(rows) or once
            click.echo(f"Error: {', '.join(names)}: {reason}" if named_alone else f"Error: {reason}", err=True)

    return put


def _reasons(rows: Sequence[Row]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in rows:
        if row["error"]:
            found.setdefault(str(row["error"]), []).append(str(row["name"]))
    return found

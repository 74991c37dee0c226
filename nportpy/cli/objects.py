"""`nportpy objects`: what a DLMS meter holds."""

import sys
from typing import Final

import click

from nportpy.cli.cells import Row, print_rows
from nportpy.cli.meters import TARGET, MeterTarget, meter_options, reached, run
from nportpy.cli.progress import Progress, shown_progress
from nportpy.cli.read_dlms import row_of
from nportpy.meters.dlms.objects import Attribute, CosemObject
from nportpy.meters.dlms.settings import DlmsSettings
from nportpy.protocols.dlms import classes
from nportpy.protocols.dlms.obis import Obis

_HEAD: Final = ("obis", "class", "version", "short name", "value", "unit", "error")
_SHOWN: Final = frozenset(
    (classes.DATA, classes.REGISTER, classes.EXTENDED_REGISTER, classes.DEMAND_REGISTER, classes.CLOCK)
)
"""Classes whose attribute 2 is one value."""

_AT_ONCE: Final = 8


@click.command()
@TARGET
@meter_options
@click.option("--no-values", is_flag=True, help="Only the list: values take a request each, or a few of them one.")
@click.option("--json", "as_json", is_flag=True, help="A list of objects.")
@click.option("--csv", "as_csv", is_flag=True, help="Comma-separated values, with a head line.")
def objects(target: MeterTarget, settings: DlmsSettings, no_values: bool, as_json: bool, as_csv: bool) -> None:
    """Show what a DLMS/COSEM meter holds: OBIS code, class, short name, and value with its unit.

    TARGET is HOST:PORT (DLMS over TCP), raw://HOST:PORT (its line behind a raw port), rfc2217://HOST:PORT, or a
    device such as /dev/ttyUSB0. What is shown is what the client may see: client 16 often sees less than others.

    \b
        nportpy objects /dev/ttyAMA0 --referencing short
        nportpy objects raw://192.0.2.10:4001 --server 1/17 --csv
        nportpy objects 192.0.2.7 --client 1 --password-file /etc/nportpy/meter.password
    """  # noqa: D301 - click wants the character
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    found: list[CosemObject] = []
    values: dict[CosemObject, Row] = {}
    why = ""
    with shown_progress() as progress:
        try:
            run(_ask(target, settings, progress, found, None if no_values else values), target)
        except KeyboardInterrupt:
            why = "interrupted"
        except click.ClickException as error:
            if not found:
                raise
            why = error.message
    rows = [_row(each, values.get(each)) for each in found]
    print_rows(rows, _HEAD, as_json=as_json, as_csv=as_csv, right=("value",))
    if why:
        click.echo(f"Error: {why}", err=True)
    sys.exit(1 if why else 0)


async def _ask(
    target: MeterTarget,
    settings: DlmsSettings,
    progress: Progress,
    found: list[CosemObject],
    values: dict[CosemObject, Row] | None,
) -> None:
    """Fill `found`, then `values`, so that what was read before an end counts."""
    async with reached(target, settings, "objects") as client:
        progress("the object list", 0, 0)
        found += await client.objects()
        if values is None:
            return
        wanted = [each for each in found if each.class_id in _SHOWN]
        for start in range(0, len(wanted), _AT_ONCE):
            part = wanted[start : start + _AT_ONCE]
            progress(str(Obis(part[0].obis)), start, len(wanted))
            results = await client.read([Attribute(each.obis, classes.VALUE, each.class_id) for each in part])
            values |= {each: row_of(result, settings) for each, result in zip(part, results, strict=True)}


def _row(listed: CosemObject, value: Row | None) -> Row:
    return {
        "obis": str(Obis(listed.obis)),
        "class": classes.class_name(listed.class_id),
        "version": listed.version,
        "short name": None if listed.base_name is None else f"0x{listed.base_name:04X}",
        "value": None,
        "unit": None,
        "error": None,
        **(value or {}),
    }

"""`nportpy read --protocol dlms`: values of a meter by their OBIS codes."""

import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

import click

from nportpy.cli.by_protocol import protocol_option
from nportpy.cli.cells import Row, print_round
from nportpy.cli.meters import TARGET, MeterTarget, meter_options, reached, run
from nportpy.cli.options import parsed
from nportpy.config.values import duration
from nportpy.errors import NportpyError
from nportpy.meters.dlms.client import DlmsClient
from nportpy.meters.dlms.errors import AuthenticationRefused
from nportpy.meters.dlms.objects import Attribute, Result
from nportpy.meters.dlms.places import name_of, parse
from nportpy.meters.dlms.settings import DlmsSettings
from nportpy.meters.dlms.values import is_time_of, meaning
from nportpy.protocols.dlms.results import Refused


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
@click.option("--json", "as_json", is_flag=True, help="A list of objects; with --every, one a line.")
@click.option("--csv", "as_csv", is_flag=True, help="Comma-separated values, with a head line.")
@click.option(
    "--every", metavar="TIME", callback=parsed(lambda text: duration(text, "100ms", "7d")),
    help='Read again and again, as in "10s", until Ctrl-C.',
)  # fmt: skip
def read(
    target: MeterTarget, addresses: tuple[str, ...], settings: DlmsSettings, as_json: bool, as_csv: bool,
    every: float | None,
) -> None:  # fmt: skip
    """Read values of a DLMS/COSEM meter.

    TARGET is HOST:PORT (DLMS over TCP), raw://HOST:PORT (its line behind a raw port), rfc2217://HOST:PORT, or a
    device such as /dev/ttyUSB0.

    OBIS is a code as in 1.0.1.8.0.255, 1-0:1.8.0*255 or 1.8.0; with another attribute 1.8.0/3; or a short name, as in
    0x00B8. What a meter has, `nportpy objects` shows.

    \b
        nportpy read /dev/ttyAMA0 1.0.1.8.0.255 --protocol dlms --referencing short
        nportpy read raw://192.0.2.10:4001 1.8.0 32.7.0 52.7.0 72.7.0 --protocol dlms --server 1/17 --every 10s
    """  # noqa: D301 - click wants the character
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    try:
        wanted = [parse(text) for text in addresses]
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    shape = "json" if as_json else "csv" if as_csv else "text"
    try:
        good = run(_read_on(target, settings, wanted, shape, every), target)
    except KeyboardInterrupt:
        if every is None:
            raise
        good = True
    sys.exit(0 if good else 1)


async def _read_on(
    target: MeterTarget, settings: DlmsSettings, wanted: Sequence[Attribute], shape: str, every: float | None
) -> bool:
    """Read once, or again and again; whether everything was there the last time."""
    loop = asyncio.get_running_loop()
    due, first = loop.time(), True
    async with reached(target, settings, "read") as client:
        while True:
            rows = await _round(client, settings, wanted, last=every is None)
            print_round(rows, shape, first=first, last=every is None)
            if every is None:
                return not any(row["value"] is None for row in rows)
            first = False
            due += every * max(1, -(-(loop.time() - due) // every))
            await asyncio.sleep(due - loop.time())


async def _round(client: DlmsClient, settings: DlmsSettings, wanted: Sequence[Attribute], *, last: bool) -> list[Row]:
    try:
        results = await client.read(wanted)
    except AuthenticationRefused:
        raise  # never again by itself: meters lock their port
    except (OSError, NportpyError) as error:
        if last:
            raise
        results = [Result(each, reason=str(error)) for each in wanted]
    when = datetime.now(UTC).astimezone().isoformat(timespec="milliseconds")
    return [
        {"time": when, "address": name_of(each), **row_of(result, settings)}
        for each, result in zip(wanted, results, strict=True)
    ]

"""`nportpy read --protocol dlms`: values of a meter by their OBIS codes."""

import sys
from collections.abc import Sequence

import click

from nportpy.cli.by_protocol import protocol_option
from nportpy.cli.cells import Row
from nportpy.cli.meter_rounds import MeterRounds, meter_rounds, names_and_codes
from nportpy.cli.meters import TARGET, MeterTarget, meter_options, reached, run
from nportpy.cli.series import Series, series_options
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
        wanted = [(label, parse(code)) for label, code in names_and_codes(addresses)]
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    names = [(label or name_of(attribute), name_of(attribute)) for label, attribute in wanted]
    with meter_rounds(series, names) as rounds:
        try:
            run(_read_on(target, settings, [attribute for _, attribute in wanted], names, rounds), target)
            good = rounds.good
        except KeyboardInterrupt:
            if series.once:
                raise
            good = not rounds.nothing_drawn
    sys.exit(0 if good else 1)


async def _read_on(
    target: MeterTarget, settings: DlmsSettings, wanted: Sequence[Attribute], names: Sequence[tuple[str, str]],
    rounds: MeterRounds,
) -> None:  # fmt: skip
    """Read once, or again and again."""
    async with reached(target, settings, "read") as client:
        async for _ in rounds.series.beats():
            results = await _round(client, wanted, last=rounds.series.once)
            rounds.take(
                [
                    {"name": name, "address": address, **row_of(result, settings)}
                    for (name, address), result in zip(names, results, strict=True)
                ]
            )


async def _round(client: DlmsClient, wanted: Sequence[Attribute], *, last: bool) -> list[Result]:
    try:
        return await client.read(wanted)
    except AuthenticationRefused:
        raise  # never again by itself: meters lock their port
    except (OSError, NportpyError) as error:
        if last:
            raise
        return [Result(each, reason=str(error)) for each in wanted]

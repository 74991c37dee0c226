"""`nportpy read`: values of a Modbus device, by the addresses of its manual."""

import asyncio
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import click

from nportpy.cli import completion
from nportpy.cli.by_protocol import ByProtocol, protocol_option
from nportpy.cli.options import NUMBERING, ORDER, TIMEOUT, TYPE, named, parsed, parsed_each, timeout_for
from nportpy.cli.series import Account, Series, series_options
from nportpy.cli.shown import Printer, Shape, Write, complain, hex_of, printer, text_of
from nportpy.cli.tls_options import believed, tls_options
from nportpy.client.connection import Client, connect
from nportpy.client.readings import Reading, Wanted, reasons, take, wanted_values
from nportpy.client.target import BY_TLS, Target
from nportpy.errors import NportpyError
from nportpy.linesettings import LineSettings
from nportpy.network.tls_settings import TlsSettings
from nportpy.protocols.modbus.addresses import Numbering, parse_range
from nportpy.protocols.modbus.functions import Table
from nportpy.protocols.modbus.reads import longest_read
from nportpy.protocols.modbus.values import Kind, Order, ValueType


@dataclass(frozen=True, slots=True)
class _Plan:
    """What to ask whom."""

    target: Target
    line: LineSettings
    timeout: float
    unit: int
    wanted: list[Wanted]
    order: Order
    gap: int


def _scale(text: str) -> tuple[str, float]:
    """A name, empty for every value, and a factor.

    Raises:
        ValueError: the factor is none.
    """
    name, _, factor = text.rpartition("=")
    try:
        number = float(factor)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or not number:
        raise ValueError(f"{text!r}: {factor!r} is no factor; write it as 0.1, or as L1=0.1 for one value")
    return name, number


@click.command(
    cls=ByProtocol, others={"dlms": "nportpy.cli.read_dlms:read", "iec62056-21": "nportpy.cli.read_iec62056:read"}
)
@click.argument("target", callback=parsed(Target.parse), shell_complete=completion.targets)
@click.argument("addresses", metavar="ADDRESS...", nargs=-1, required=True)
@protocol_option("modbus", "dlms", "iec62056-21")
@click.option("--unit", type=click.IntRange(0, 255), default=1, show_default=True, help="Unit id.")
@TYPE
@ORDER
@NUMBERING
@click.option(
    "--gap", type=click.IntRange(0, longest_read(Table.HOLDING_REGISTERS)), default=0, show_default=True,
    help="Read over so many unwanted registers to save a request.",
)  # fmt: skip
@click.option("--raw", is_flag=True, help="Show the registers as well, in hexadecimal, as they were sent.")
@click.option(
    "--scale", "scales", metavar="[NAME=]FACTOR", multiple=True, callback=parsed_each(_scale),
    help="Multiply the value of that name, or every one, by this.",
)  # fmt: skip
@series_options("10ms")
@TIMEOUT
@tls_options
@click.option("--baudrate", type=int, default=9600, show_default=True, help="Speed of a serial device.")
@click.option("--format", "line_format", default="8N1", show_default=True, help="Format of a serial device.")
def read(
    target: Target, addresses: tuple[str, ...], unit: int, kind: ValueType | None, order: str, numbering: str,
    gap: int, raw: bool, scales: tuple[tuple[str, float], ...], series: Series, timeout: float | None, baudrate: int,
    line_format: str, tls: TlsSettings | None,
) -> None:  # fmt: skip
    """Read values of a Modbus device, or with --protocol dlms or iec62056-21 of a meter.

    TARGET is HOST:PORT (Modbus TCP), rtu+tcp://HOST:PORT (RTU over TCP, such as a raw port), rfc2217://HOST:PORT, or
    a device such as /dev/ttyUSB0; by TLS tls://HOST (MODBUS/TCP Security), raws://HOST:PORT or rfc2217s://HOST:PORT.

    ADDRESS is a number of the manual, 41001 or 401001, or a table and an address that counts from 0: holding:1000,
    input:0x3E8, coil:7, discrete:0. A range includes its end: 41001-41010. NAME=ADDRESS gives a value a name.

    \b
        nportpy read 192.0.2.10:502 41001 --type float32
        nportpy read rtu+tcp://192.0.2.10:4001 41053-41058 --type float32 --every 2s
        nportpy read /dev/ttyUSB0 --baudrate 19200 --format 8E1 --unit 7 input:0-9 --json
        nportpy read 192.0.2.10:502 L1=41053 L2=41055 --type float32 --every 2s --output volts.csv --wide --plot
    """  # noqa: D301 - click wants the character
    target = replace(target, tls=believed(target.tls, tls, BY_TLS))
    if unit == 0 and target.rtu:
        raise click.BadParameter("unit 0 is all units at once, and none of them answers", param_hint="--unit")
    if raw and series.output_shape is Shape.WIDE:
        raise click.UsageError("--raw and --wide exclude each other")
    try:
        line = LineSettings.parse(baudrate, line_format)
        wanted = list(_wanted(addresses, Numbering(numbering), kind, scales))
        _check(wanted, series)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    plan = _Plan(target, line, timeout_for(target, timeout), unit, wanted, Order(order), gap)
    account = Account(series, [value.called for value in wanted], more=["registers"] * raw)
    with series.written() as write, account:
        printers = _printers(series, wanted, write, raw=raw)
        try:
            asyncio.run(_read_on(plan, series, account, printers, raw=raw))
            good = account.good
        except KeyboardInterrupt:
            if series.once:
                raise
            good = not account.nothing_drawn
    sys.exit(0 if good else 1)


def _wanted(
    addresses: Iterable[str], numbering: Numbering, kind: ValueType | None, scales: Sequence[tuple[str, float]]
) -> Iterator[Wanted]:
    """The values, with their names and scales.

    Raises:
        ValueError: an address, a name or a scale makes no sense.
    """
    values: list[Wanted] = []
    for text in addresses:
        label, address = named(text)
        found = wanted_values([parse_range(address, numbering)], kind)
        if label and len(found) > 1:
            raise ValueError(f"{text}: a name is for one value, and {address} has {len(found)}; name each of them")
        values += [replace(value, label=label) for value in found]
    twice = next((value.label for at, value in enumerate(values) if value.label in _names(values[:at])), "")
    if twice:
        raise ValueError(f"the name {twice} is there twice")
    unknown = next((name for name, _ in scales if name and name not in _names(values)), "")
    if unknown:
        raise ValueError(f"--scale: no value is called {unknown}; there are {', '.join(_names(values))}")
    numbers = [value for value in values if value.kind.kind not in (Kind.STRING, Kind.BIT)]
    for value in values:
        own, of_all = ([factor for name, factor in scales if name == each] for each in (value.called, ""))
        if value in numbers:
            yield replace(value, scale=[1.0, *of_all, *own][-1])
        elif own or (of_all and not numbers):
            raise ValueError(f"--scale: {value.called} is a {value.kind.kind} and no number")
        else:
            yield value


def _names(values: Iterable[Wanted]) -> list[str]:
    return [value.called for value in values]


def _check(wanted: Sequence[Wanted], series: Series) -> None:
    """Refuse what would come to nothing.

    Raises:
        ValueError: two columns have one name, or there is nothing to draw.
    """
    names = _names(wanted)
    if series.output_shape is Shape.WIDE and len(set(names)) < len(names):
        twice = next(name for at, name in enumerate(names) if name in names[:at])
        raise ValueError(f"--wide: there would be two columns {twice}; name them, as in NAME={twice}")
    if series.plot and all(value.kind.kind is Kind.STRING for value in wanted):
        raise ValueError(f"--plot draws numbers, and {wanted[0].kind} is none")


def _printers(series: Series, wanted: Sequence[Wanted], write: Write | None, *, raw: bool) -> list[Printer]:
    """Who takes each round beside the account."""
    printers: list[Printer] = []
    if write is not None:
        printers.append(printer(series.output_shape, wanted, write, raw=raw, once=series.once))
    if not series.live:
        printers += [printer(series.shape, wanted, click.echo, raw=raw, once=series.once), complain]
    return printers


async def _read_on(plan: _Plan, series: Series, account: Account, printers: Sequence[Printer], *, raw: bool) -> None:
    """Read once, or again and again."""
    client: Client | None = None
    try:
        async for _ in series.beats():
            reason = ""
            try:
                if client is None:
                    client = await connect(plan.target, plan.line, plan.timeout)
                readings = await take(client, plan.unit, plan.wanted, plan.order, plan.gap)
            except (OSError, NportpyError) as error:  # a TimeoutError is an OSError
                reason = str(error)
                readings = [Reading(value, fault=reason) for value in plan.wanted]
            when = datetime.now(UTC).astimezone()
            for put in printers:
                put(when, readings, reason)
            account.take(
                when,
                [reading.value for reading in readings],
                [(None if each.fault else text_of(each), *[hex_of(each)] * raw) for each in readings],
                [reason] if reason else [*reasons(readings)],
            )
            if client is not None and client.lost:
                await client.close()
                client = None
    finally:
        if client is not None:
            await client.close()

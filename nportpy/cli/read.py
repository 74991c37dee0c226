"""`nportpy read`: values of a Modbus device, by the addresses of its manual."""

import asyncio
import sys
from dataclasses import dataclass
from datetime import UTC, datetime

import click

from nportpy.cli import completion
from nportpy.cli.by_protocol import ByProtocol, protocol_option
from nportpy.cli.options import NUMBERING, ORDER, TIMEOUT, TYPE, parsed, timeout_for
from nportpy.cli.shown import Printer, Shape, printer
from nportpy.client.readings import Reading, Wanted, take, wanted_values
from nportpy.client.target import Client, Target, connect
from nportpy.config.values import duration
from nportpy.errors import NportpyError
from nportpy.linesettings import LineSettings
from nportpy.protocols.modbus.addresses import Numbering, parse_range
from nportpy.protocols.modbus.functions import Table
from nportpy.protocols.modbus.reads import longest_read
from nportpy.protocols.modbus.values import Order, ValueType


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


@click.command(cls=ByProtocol, others={"dlms": "nportpy.cli.read_dlms:read"})
@click.argument("target", callback=parsed(Target.parse), shell_complete=completion.targets)
@click.argument("addresses", metavar="ADDRESS...", nargs=-1, required=True)
@protocol_option("modbus", "dlms")
@click.option("--unit", type=click.IntRange(0, 255), default=1, show_default=True, help="Unit id.")
@TYPE
@ORDER
@NUMBERING
@click.option(
    "--gap", type=click.IntRange(0, longest_read(Table.HOLDING_REGISTERS)), default=0, show_default=True,
    help="Read over so many unwanted registers to save a request.",
)  # fmt: skip
@click.option("--raw", is_flag=True, help="Show the registers as well, in hexadecimal, as they were sent.")
@click.option("--json", "as_json", is_flag=True, help="A list of objects; with --every, one a line.")
@click.option("--csv", "as_csv", is_flag=True, help="Comma-separated values, with a head line.")
@click.option(
    "--every", metavar="TIME", callback=parsed(lambda text: duration(text, "10ms", "7d")),
    help='Read again and again, as in "2s", until Ctrl-C.',
)  # fmt: skip
@TIMEOUT
@click.option("--baudrate", type=int, default=9600, show_default=True, help="Speed of a serial device.")
@click.option("--format", "line_format", default="8N1", show_default=True, help="Format of a serial device.")
def read(
    target: Target, addresses: tuple[str, ...], unit: int, kind: ValueType | None, order: str, numbering: str,
    gap: int, raw: bool, as_json: bool, as_csv: bool, every: float | None, timeout: float | None, baudrate: int,
    line_format: str,
) -> None:  # fmt: skip
    """Read values of a Modbus device, or with --protocol dlms of a meter.

    TARGET is HOST:PORT (Modbus TCP), rtu+tcp://HOST:PORT (RTU over TCP, such as a raw port), rfc2217://HOST:PORT, or
    a device such as /dev/ttyUSB0.

    ADDRESS is a number of the manual, 41001 or 401001, or a table and an address that counts from 0: holding:1000,
    input:0x3E8, coil:7, discrete:0. A range includes its end: 41001-41010.

    \b
        nportpy read 192.0.2.10:502 41001 --type float32
        nportpy read rtu+tcp://192.0.2.10:4001 41053-41058 --type float32 --every 2s
        nportpy read /dev/ttyUSB0 --baudrate 19200 --format 8E1 --unit 7 input:0-9 --json
    """  # noqa: D301 - click wants the character
    if unit == 0 and target.rtu:
        raise click.BadParameter("unit 0 is all units at once, and none of them answers", param_hint="--unit")
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    shape = Shape.JSON if as_json else Shape.CSV if as_csv else None
    try:
        line = LineSettings.parse(baudrate, line_format)
        wanted = wanted_values((parse_range(text, Numbering(numbering)) for text in addresses), kind)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    plan = _Plan(target, line, timeout_for(target, timeout), unit, wanted, Order(order), gap)
    try:
        good = asyncio.run(_read_on(plan, printer(shape, wanted, raw, every), every))
    except KeyboardInterrupt:
        if every is None:
            raise
        good = True
    sys.exit(0 if good else 1)


async def _read_on(plan: _Plan, show: Printer, every: float | None) -> bool:
    """Read once, or again and again; whether everything was there the last time."""
    loop = asyncio.get_running_loop()
    client: Client | None = None
    due = loop.time()
    try:
        while True:
            readings: list[Reading] = []
            reason = ""
            try:
                if client is None:
                    client = await connect(plan.target, plan.line, plan.timeout)
                readings = await take(client, plan.unit, plan.wanted, plan.order, plan.gap)
            except (OSError, NportpyError) as error:  # a TimeoutError is an OSError
                reason = str(error)
                readings = [Reading(value, fault=reason) for value in plan.wanted]
            show(datetime.now(UTC).astimezone(), readings, reason)
            if client is not None and client.lost:
                await client.close()
                client = None
            if every is None:
                return bool(readings) and not any(reading.fault for reading in readings)
            # A round that took longer than `every` costs the rounds that it overlapped.
            due += every * max(1, -(-(loop.time() - due) // every))
            await asyncio.sleep(due - loop.time())
    finally:
        if client is not None:
            await client.close()

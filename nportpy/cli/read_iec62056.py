"""`nportpy read --protocol iec62056-21`: a meter's readout, or values of it by their codes."""

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import click

from nportpy.cli.by_protocol import protocol_option
from nportpy.cli.cells import Row
from nportpy.cli.meter_rounds import MeterRounds, meter_rounds, names_and_codes
from nportpy.cli.meters import LONGEST_HOLD, PASSWORD_VARIABLE, MeterTarget, opened, password_of
from nportpy.cli.options import parsed, patience
from nportpy.cli.series import Series, series_options
from nportpy.config.edge_access import meter_address
from nportpy.config.values import duration
from nportpy.errors import NportpyError
from nportpy.line.arbiter import Line
from nportpy.linesettings import LineSettings
from nportpy.meters.iec62056.client import Iec62056Client
from nportpy.meters.iec62056.errors import MeterSilent, PasswordRefused
from nportpy.meters.iec62056.settings import Iec62056Settings, Reading
from nportpy.network.addresses import Endpoint
from nportpy.port.base import PortSettings
from nportpy.protocols.iec62056.codes import find, is_text
from nportpy.protocols.iec62056.datasets import DataSet
from nportpy.protocols.iec62056.messages import Command, command
from nportpy.protocols.iec62056.values import number

_DEFAULTS: Final = Iec62056Settings()
_TARGETS: Final = "raw://HOST:PORT, rfc2217://HOST:PORT or a device such as /dev/ttyUSB0"


@dataclass(frozen=True, slots=True)
class _Plan:
    """What to ask whom; no codes: all that a readout has."""

    target: MeterTarget
    settings: Iec62056Settings
    codes: tuple[str, ...]


def _target(text: str) -> MeterTarget:
    target = MeterTarget.parse(text)
    over_tcp = isinstance(target.place, Endpoint)
    if over_tcp:
        raise ValueError(f"{text!r}: IEC 62056-21 is spoken on serial lines; a target is {_TARGETS}")
    return target


_OPTIONS: Final = (
    click.option("--reading", type=click.Choice(["readout", "programming"]), default="readout", show_default=True,
                 help="All at once, or each register by itself (R1), where the readout lacks it."),
    click.option("--device-address", metavar="ADDRESS", callback=parsed(meter_address),
                 help="Which meter, where there are several on the line; often its serial number.  [default: any]"),
    click.option("--password-file", metavar="FILE", type=click.Path(exists=True, dir_okay=False),
                 help=f"With --reading programming: its first line, else the variable {PASSWORD_VARIABLE}."),
    click.option("--sign-on-baudrate", type=click.IntRange(300), default=300, show_default=True,
                 help="The speed at which it begins."),
    click.option("--highest-baudrate", type=click.IntRange(300),
                 help="The highest speed to go to.  [default: the meter's; for raw:// the one at which it begins]"),
    click.option("--software-parity", is_flag=True, help="The line is fixed at 8N1: the parity is computed here."),
    click.option("--wake-up", is_flag=True, help="The meter runs on a battery."),
    click.option("--delay-after", metavar="TIME", callback=parsed(lambda text: duration(text, "0ms", "5s")),
                 help="A pause before the change of speed, for adapters that hold bytes back."),
    click.option("--timeout", metavar="TIME", callback=parsed(patience),
                 help="How long the meter may take until an answer begins.  [default: 2.5s]"),
)  # fmt: skip


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command()
@click.argument("target", callback=parsed(_target))
@click.argument("codes", metavar="[CODE]...", nargs=-1)
@protocol_option("modbus", "dlms", "iec62056-21")
@_options
@series_options("1s")
def read(target: MeterTarget, codes: tuple[str, ...], series: Series, **options: Any) -> None:
    """Read a meter that speaks IEC 62056-21 (IEC 1107): all that its readout has, or some of it.

    TARGET is a device such as /dev/ttyUSB0, rfc2217://HOST:PORT, or raw://HOST:PORT, which leaves speed and format to
    whoever serves that port: 300 7E1.

    CODE is a code as the meter prints it, or in another form: 1.8.0, 1-0:1.8.0*255, 1.8.0*03, F.F. NAME=CODE gives a
    value a name.

    \b
        nportpy read /dev/ttyUSB0 --protocol iec62056-21
        nportpy read /dev/ttyUSB0 1.8.0 2.8.0 --protocol iec62056-21 --csv
        nportpy read /dev/ttyUSB0 in=1.8.0 out=2.8.0 --protocol iec62056-21 --every 15min --wide --output energy.csv
        nportpy read /dev/ttyUSB0 1.8.0 --protocol iec62056-21 --reading programming --password-file meter.password
    """  # noqa: D301 - click wants the character
    try:
        wanted = names_and_codes(codes)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    plain = tuple(code for _, code in wanted)
    settings = _settings(target, plain, **options)
    with meter_rounds(series, [(label or code, code) for label, code in wanted]) as rounds:
        try:
            asyncio.run(_read_on(_Plan(target, settings, plain), [label for label, _ in wanted], rounds))
            good = rounds.good
        except MeterSilent as error:
            raise click.ClickException(f"{error}\n{_hint(settings)}") from None
        except (OSError, NportpyError) as error:
            raise click.ClickException(str(error)) from None
        except KeyboardInterrupt:
            if series.once:
                raise
            good = not rounds.nothing_drawn
    sys.exit(0 if good else 1)


def _settings(
    target: MeterTarget, codes: Sequence[str], *, reading: str, device_address: str | None, password_file: str | None,
    sign_on_baudrate: int, highest_baudrate: int | None, software_parity: bool, wake_up: bool,
    delay_after: float | None, timeout: float | None,
) -> Iec62056Settings:  # fmt: skip
    programming = reading == Reading.PROGRAMMING
    if programming and not codes:
        raise click.UsageError("--reading programming asks for each register by itself: name some, as in 1.8.0")
    if password_file is not None and not programming:
        raise click.UsageError("a readout needs no password; --reading programming beside --password-file")
    highest = highest_baudrate or (_DEFAULTS.highest if target.sets_line else sign_on_baudrate)
    try:
        for code in codes:
            command(Command.READ, code)
        return Iec62056Settings(
            device=device_address or "",
            reading=Reading(reading),
            baudrate=sign_on_baudrate,
            highest=highest,
            software_parity=software_parity,
            password=password_of(password_file).decode("latin-1") if programming else "",
            wake_up=wake_up,
            delay_after=delay_after or 0.0,
            response=timeout or _DEFAULTS.response,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _hint(settings: Iec62056Settings) -> str:
    """What to look at where nothing answers."""
    whom = f"--device-address {settings.device}" if settings.device else "--device-address, if there are several"
    battery = "" if settings.wake_up else ", --wake-up for one on a battery"
    return (
        f"look at the optical head or the wiring, {whom}{battery}; "
        "a meter that somebody has just read may need two minutes to forget that"
    )


async def _read_on(plan: _Plan, labels: Sequence[str], rounds: MeterRounds) -> None:
    """Read once, or again and again."""
    port = PortSettings(str(plan.target.place), LineSettings(plan.settings.first_baudrate))
    async with opened(str(plan.target), port) as line:
        client = Iec62056Client(plan.settings, lambda what: click.echo(what, err=True))
        async for _ in rounds.series.beats():
            rows = await _round(client, line, plan, last=rounds.series.once)
            called = labels or [""] * len(rows)
            rounds.take([{"name": name or row["address"], **row} for name, row in zip(called, rows, strict=True)])


async def _round(client: Iec62056Client, line: Line, plan: _Plan, *, last: bool) -> list[Row]:
    try:
        async with line.lease("read", limit=LONGEST_HOLD) as leased:
            if plan.settings.reading is Reading.PROGRAMMING:
                registers = await client.registers(leased, plan.codes)
                sent = "" if plan.settings.password else "; no password was sent (--password-file)"
                return [
                    _row(each.address, each.sets[0] if each.sets else None, f"{each.reason}{sent}")
                    for each in registers
                ]
            sets = (await client.readout(leased)).sets
    except PasswordRefused:
        raise  # never again by itself: meters lock themselves
    except (OSError, NportpyError) as error:
        if last:
            raise
        return [_row(code, None, str(error)) for code in plan.codes or ("the readout",)]
    if not plan.codes:
        return [_row(each.address, each, "") for each in sets]
    addresses = [each.address for each in sets]
    places = [find(code, addresses) for code in plan.codes]
    return [
        _row(code, None if place is None else sets[place], f"the meter's readout has no {code}")
        for code, place in zip(plan.codes, places, strict=True)
    ]


def _row(address: str, found: DataSet | None, reason: str) -> Row:
    if found is None:
        return {"address": address, "value": None, "unit": "", "error": reason}
    value = number(found.value) if found.unit or not is_text(found.address) else None
    return {"address": address, "value": found.value if value is None else value, "unit": found.unit, "error": ""}

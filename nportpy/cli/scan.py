"""`nportpy scan`: which units are on a line, at which speed and format, and who made them."""

import asyncio
import re
import sys
from dataclasses import replace
from typing import Final

import click

from nportpy.cli import completion
from nportpy.cli.by_protocol import ByProtocol, protocol_option
from nportpy.cli.options import NUMBERING, parsed, patience
from nportpy.cli.progress import shown_progress
from nportpy.cli.tls_options import believed, tls_options
from nportpy.client.found import print_json, print_table, remarks
from nportpy.client.scanning import Scan, Search
from nportpy.client.target import BY_TLS, Target
from nportpy.errors import NportpyError
from nportpy.linesettings import LineSettings
from nportpy.network.tls_settings import TlsSettings
from nportpy.protocols.modbus.addresses import Numbering, parse
from nportpy.protocols.modbus.functions import Span

BAUDRATES: Final = (9600, 19200, 38400, 115200, 57600, 4800, 2400, 1200)
FORMATS: Final = ("8N1", "8E1", "8O1", "8N2")
"""What is tried, the commonest first."""

LINE_TIMEOUT: Final = 0.2
TCP_TIMEOUT: Final = 3.0
"""Seconds that an answer may take: of a unit on a line, and of a gateway that itself waits for a unit."""

_RANGE = re.compile(r"([0-9]{1,3})(?:-([0-9]{1,3}))?")


def units_of(words: str) -> tuple[int, ...]:
    """The units in `words`, in ascending order.

    Raises:
        ValueError: there is something else.
    """
    units: set[int] = set()
    for word in words.split(","):
        match = _RANGE.fullmatch(word.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
        if not first <= last <= 255:
            raise ValueError(f"{word!r} is no unit and no range of units; they are as in 1-10,20")
        units.update(range(first, last + 1))
    return tuple(sorted(units))


def _baudrates(words: str) -> tuple[int, ...]:
    """The speeds in `words`, each once.

    Raises:
        ValueError: there is something else.
    """
    rates = [word.strip() for word in words.split(",")]
    if not all(rate.isascii() and rate.isdigit() for rate in rates):
        raise ValueError(f"{words!r} are no speeds; speeds are as in 9600,19200")
    return tuple(dict.fromkeys(int(rate[:10]) for rate in rates))


@click.command(cls=ByProtocol, others={"dlms": "nportpy.cli.scan_dlms:scan"})
@click.argument("target", callback=parsed(Target.parse), shell_complete=completion.targets)
@protocol_option("modbus", "dlms")
@click.option(
    "--units", metavar="LIST", default="1-247", show_default=True, callback=parsed(units_of),
    help="Whom to look for, as in 1-10,20.",
)  # fmt: skip
@click.option(
    "--baudrates", metavar="LIST", callback=parsed(_baudrates),
    help=f"Speeds to try on a serial device, in this order.  [default: {','.join(map(str, BAUDRATES))}]",
)  # fmt: skip
@click.option(
    "--formats", metavar="LIST", callback=parsed(lambda words: tuple(words.split(","))),
    help=f"Formats to try at each of these speeds.  [default: {','.join(FORMATS)}]",
)  # fmt: skip
@click.option("--all", "thorough", is_flag=True, help="Go on after the first speed and format at which a unit answers.")
@click.option("--ask", metavar="ADDRESS", default="holding:0", show_default=True, help="What every unit is asked for.")
@NUMBERING
@click.option(
    "--timeout", metavar="TIME", callback=parsed(patience),
    help=f"How long an answer may take, besides its time on the wire.  [default: {1000 * LINE_TIMEOUT:g}ms; "
    f"{TCP_TIMEOUT:g}s over Modbus TCP, where a gateway waits for the unit itself]",
)  # fmt: skip
@tls_options
@click.option("--json", "as_json", is_flag=True, help="An object with everything instead of a table.")
def scan(
    target: Target, units: tuple[int, ...], baudrates: tuple[int, ...] | None, formats: tuple[str, ...] | None,
    thorough: bool, ask: str, numbering: str, timeout: float | None, as_json: bool,
    tls: TlsSettings | None,
) -> None:  # fmt: skip
    """Look for the units of a Modbus line, or with --protocol dlms for a DLMS meter.

    TARGET is as for `nportpy read`. On a device such as /dev/ttyUSB0 or rfc2217://HOST:PORT all speeds and formats
    are tried until at one of them a unit answers; over Modbus TCP and RTU over TCP they are not ours to set, and only
    the units are looked for.

    Each unit is asked for one register, and those that answer for who made them. Nothing is ever written. Any answer
    counts, an exception too. Ctrl-C ends it and shows what was found so far.

    \b
        nportpy scan 192.0.2.10:502
        nportpy scan /dev/ttyUSB0 --units 1-20
        nportpy scan /dev/ttyUSB0 --baudrates 9600,19200 --formats 8E1,8N1 --all
    """  # noqa: D301 - click wants the character
    target = replace(target, tls=believed(target.tls, tls, BY_TLS))
    beyond = [unit for unit in units if not 1 <= unit <= 247]
    if beyond and target.rtu:
        raise click.BadParameter(f"{beyond[0]}: the units of a line are 1 to 247", param_hint="--units")
    try:
        lines = _lines(target, baudrates, formats)
        table, number = parse(ask, Numbering(numbering))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    timeout = timeout or (LINE_TIMEOUT if target.rtu else TCP_TIMEOUT)
    search = Search(target, lines, units, timeout, Span(table, number, 1), thorough)
    with shown_progress() as progress:
        found = Scan(search, progress)
        cut_short = _run(found)
    if as_json:
        print_json(search, found, cut_short)
    else:
        print_table(search, found.found)
    for remark in remarks(search, found, cut_short):
        click.echo(remark, err=True)
    sys.exit(0 if found.found and not cut_short else 1)


def _lines(
    target: Target, baudrates: tuple[int, ...] | None, formats: tuple[str, ...] | None
) -> tuple[LineSettings, ...]:
    """The settings to try; of RTU over TCP the one that the line is taken to have.

    Raises:
        ValueError: there is nothing to try, or what there is, is no speed or no format.
    """
    if not target.rtu and (baudrates or formats):
        raise ValueError("Modbus TCP has no speed and no format")
    if not target.sets_line:
        if len(baudrates or ()) > 1 or len(formats or ()) > 1:
            raise ValueError("the line's speed and format are not ours to set over TCP; name the one that it has")
        baudrates, formats = baudrates or (9600,), formats or ("8N1",)
    settings = [
        LineSettings.parse(rate, form.strip()) for rate in baudrates or BAUDRATES for form in formats or FORMATS
    ]
    return tuple(dict.fromkeys(settings))


def _run(found: Scan) -> str:
    """Search to the end; else why it was cut short."""
    try:
        asyncio.run(found.run())
    except KeyboardInterrupt:
        return "interrupted"
    except (OSError, NportpyError) as error:
        return str(error)
    return ""

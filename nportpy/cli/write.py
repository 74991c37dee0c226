"""`nportpy write`: values into a Modbus device, by the addresses of its manual.

It shows what is there and what will be, asks, writes, and reads back. Nothing is written twice: whether a request that
was not answered has been obeyed, nobody knows.
"""

import asyncio
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import click

from nportpy.cli import completion
from nportpy.cli.options import NUMBERING, ORDER, TIMEOUT, TYPE, parsed, timeout_for
from nportpy.cli.shown import number
from nportpy.cli.tls_options import believed, tls_options
from nportpy.client.connection import Client, connect
from nportpy.client.readings import MEANINGS, Reading, Wanted, names, take, wanted_values
from nportpy.client.target import BY_TLS, Target
from nportpy.errors import NportpyError
from nportpy.linesettings import LineSettings
from nportpy.network.tls_settings import TlsSettings
from nportpy.protocols.modbus.addresses import Address, Numbering, parse_range
from nportpy.protocols.modbus.functions import Span, Table
from nportpy.protocols.modbus.pdu import EXCEPTION_BIT, ExceptionCode
from nportpy.protocols.modbus.values import Order, ValueType, decode, encode, parse_value, show
from nportpy.protocols.modbus.writes import WRITABLE, Write, join, longest_write, request, split

_TABLES = {Table.DISCRETE_INPUTS: "discrete inputs", Table.INPUT_REGISTERS: "input registers"}


@dataclass(frozen=True, slots=True)
class _Change:
    """A value to write, and its bytes as `Write` has them."""

    wanted: Wanted
    data: bytes


@dataclass(frozen=True, slots=True)
class _Plan:
    """What to write where. `multiple` is whether one register or coil, too, goes by the function for several."""

    target: Target
    line: LineSettings
    timeout: float
    unit: int
    order: Order
    changes: list[_Change]
    writes: list[Write]
    multiple: bool


@dataclass(slots=True)
class _Done:
    """What came of it.

    Attributes:
        before: what was there; empty if it was not looked at.
        written: names of what was written for certain.
        after: what was read back; empty if it was not.
        faults: what went wrong.
    """

    before: list[Reading] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    after: list[Reading] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


@click.command()
@click.argument("target", callback=parsed(Target.parse), shell_complete=completion.targets)
@click.argument("assignments", metavar="ADDRESS=VALUE...", nargs=-1, required=True)
@click.option("--unit", type=click.IntRange(0, 255), default=1, show_default=True, help="Unit id.")
@TYPE
@ORDER
@NUMBERING
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--no-verify", is_flag=True, help="Do not read back what was written.")
@click.option("--single", is_flag=True, help="One register or coil a request: functions 6 and 5 only.")
@click.option("--multiple", is_flag=True, help="Functions 16 and 15 even for one register or coil.")
@TIMEOUT
@tls_options
@click.option("--json", "as_json", is_flag=True, help="An object with everything on standard output, for programs.")
@click.option("--baudrate", type=int, default=9600, show_default=True, help="Speed of a serial device.")
@click.option("--format", "line_format", default="8N1", show_default=True, help="Format of a serial device.")
def write(
    target: Target, assignments: tuple[str, ...], unit: int, kind: ValueType | None, order: str, numbering: str,
    yes: bool, no_verify: bool, single: bool, multiple: bool, timeout: float | None, as_json: bool, baudrate: int,
    line_format: str, tls: TlsSettings | None,
) -> None:  # fmt: skip
    """Write values into a Modbus device.

    TARGET and ADDRESS are as for `nportpy read`. Only holding registers (4...) and coils (0...) can be written. VALUE
    is a number (7, -7, 0x1F, 1.5, 1e-3), a text for --type string:N, or on, off, true, false, 1, 0 for a coil. A range
    gets the same value everywhere: coil:0-7=off.

    Shows each value as it is and as it will be, and asks. Values that follow on one another go in one request. What
    was written is read back; if it is not there, that is an error. No request is sent twice.

    \b
        nportpy write 192.0.2.10:502 41001=50
        nportpy write /dev/ttyUSB0 --format 8E1 --unit 7 41001=21.5 --type float32 --order CDAB
        nportpy write rtu+tcp://192.0.2.10:4001 coil:3=on --yes
    """  # noqa: D301 - click wants the character
    target = replace(target, tls=believed(target.tls, tls, BY_TLS))
    if unit == 0 and target.rtu:
        raise click.BadParameter("unit 0 is all units at once, and none of them answers", param_hint="--unit")
    if single and multiple:
        raise click.UsageError("--single and --multiple exclude each other")
    try:
        line = LineSettings.parse(baudrate, line_format)
        changes = _changes(assignments, Numbering(numbering), kind, Order(order))
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("nobody is there to ask: standard input is no terminal; --yes writes without asking")
    writes = join(Write(change.wanted.span, change.data) for change in changes)
    if single:
        writes = [one for several in writes for one in split(several)]
    plan = _Plan(target, line, timeout_for(target, timeout), unit, Order(order), changes, writes, multiple)
    done = _Done()
    try:
        _run(plan, done, ask=not yes, verify=not no_verify, quiet=as_json)
    except click.ClickException as error:
        if not as_json:
            raise
        done.faults.append(error.message)
    if as_json:
        click.echo(json.dumps(_object(plan, done), indent=2))
    for fault in done.faults:
        click.echo(f"Error: {fault}", err=True)
    sys.exit(1 if done.faults else 0)


def _changes(assignments: Sequence[str], numbering: Numbering, kind: ValueType | None, order: Order) -> list[_Change]:
    """What the assignments say, in their order.

    Raises:
        ValueError: one of them makes no sense.
    """
    changes: list[_Change] = []
    taken: dict[tuple[Table, int], str] = {}
    for text in assignments:
        where, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"{text!r} is no assignment; an assignment is ADDRESS=VALUE, as in 41001=50")
        asked = parse_range(where, numbering)
        if asked.first.table not in WRITABLE:
            raise ValueError(
                f"{where}: {_TABLES[asked.first.table]} cannot be written; holding registers and coils can"
            )
        for wanted in wanted_values([asked], kind):
            table, first, quantity = wanted.span
            if quantity > longest_write(table):
                raise ValueError(
                    f"{where}: {wanted.kind} takes {quantity} registers, a request carries {longest_write(table)}"
                )
            for address in range(first, first + quantity):
                if (other := taken.setdefault((table, address), text)) is not text:
                    raise ValueError(f"{other} and {text} both write {Address(table, address)}")
            try:
                changes.append(_Change(wanted, encode(parse_value(value, wanted.kind), wanted.kind, order)))
            except ValueError as error:
                raise ValueError(f"{wanted.name}: {error}") from None
    return changes


def _run(plan: _Plan, done: _Done, *, ask: bool, verify: bool, quiet: bool) -> None:
    """Do it, and put into `done` what came of it; `quiet` keeps standard output for something else.

    The loop stands still while the user is asked, so that Ctrl-C ends the question.

    Raises:
        click.ClickException: there was a reason not to go on.
    """
    wanted = [change.wanted for change in plan.changes]
    with asyncio.Runner() as runner:
        try:
            client = runner.run(connect(plan.target, plan.line, plan.timeout))
        except (OSError, NportpyError) as error:
            raise click.ClickException(str(error)) from None
        try:
            try:
                done.before = runner.run(take(client, plan.unit, wanted, plan.order, 0))
            except (OSError, NportpyError) as error:
                raise click.ClickException(f"nothing was written: {error}") from None
            if ask or not quiet:
                _show(plan, done.before, err=quiet)
            if ask and not click.confirm(f"Write this to unit {plan.unit} of {plan.target}?", err=True):
                raise click.ClickException("nothing was written")
            try:
                runner.run(_write(plan, client, done))
            except KeyboardInterrupt:
                raise click.ClickException("interrupted; what was written is not known") from None
            if not verify:
                click.echo("written", err=quiet)
                return
            try:
                done.after = runner.run(take(client, plan.unit, wanted, plan.order, 0))
            except (OSError, NportpyError) as error:
                raise click.ClickException(f"written, but not read back: {error}") from None
            done.faults += _differences(plan, done.after)
            if not done.faults:
                click.echo("written, and read back the same", err=quiet)
        finally:
            runner.run(client.close())


def _show(plan: _Plan, before: Sequence[Reading], *, err: bool) -> None:
    """Each value as it is and as it will be."""
    width = max(len(change.wanted.name) for change in plan.changes)
    for change, reading in zip(plan.changes, before, strict=True):
        old = "(cannot be read)" if reading.value is None else show(reading.value)
        click.echo(f"{change.wanted.name.ljust(width)}  {old} -> {_text(plan, change)}", err=err)


def _text(plan: _Plan, change: _Change) -> str:
    return show(decode(change.data, change.wanted.kind, plan.order))


async def _write(plan: _Plan, client: Client, done: _Done) -> None:
    """Write, one request after another.

    Raises:
        click.ClickException: one was refused, or not answered; the later ones were not sent.
    """
    written: list[Wanted] = []
    for write in plan.writes:
        values = _values(plan, write.span)
        several = plan.multiple or write.span.quantity > 1
        try:
            answer = await client.ask(plan.unit, request(write, multiple=several))
        except (OSError, NportpyError) as error:
            reason = f"{error}; whether it was written is not known"
        else:
            if not answer[0] & EXCEPTION_BIT:
                written += [value for value in values if value not in written]
                done.written = [value.name for value in written]
                continue
            reason = f"unit {plan.unit} refuses: {_refusal(answer[1], several=several, by_gateway=client.by_gateway)}"
        # With --single a part of a value may have been written.
        before = f"; written before it: {names(written)}" if written else ""
        raise click.ClickException(f"{names(values)}: {reason}{before}")


def _values(plan: _Plan, span: Span) -> list[Wanted]:
    """The values that lie in what a request writes, or that it is a part of."""
    return [
        change.wanted
        for change in plan.changes
        if change.wanted.span.table == span.table
        and change.wanted.span.address < span.address + span.quantity
        and span.address < change.wanted.span.address + change.wanted.span.quantity
    ]


def _refusal(code: int, *, several: bool, by_gateway: bool) -> str:
    """What an exception means; `several`: of a function for several registers or coils."""
    try:
        known = ExceptionCode(code)
    except ValueError:
        return f"exception {code}, which the standard does not know"
    meaning = MEANINGS[known]
    if known is ExceptionCode.ILLEGAL_FUNCTION:
        other = "--single" if several else "--multiple"
        rule = "a rule of the gateway forbids it (rules in its configuration), or " if by_gateway else ""
        meaning = f"{rule}it does not know this function: try {other}"
    return f"exception {code}, {known.name.replace('_', ' ').lower()}: {meaning}"


def _differences(plan: _Plan, after: Sequence[Reading]) -> Iterator[str]:
    """What is not as it was written."""
    for change, reading in zip(plan.changes, after, strict=True):
        name, text = change.wanted.name, _text(plan, change)
        if reading.value is None:
            yield f"{name}: written, but it cannot be read back: {reading.fault}"
        # Of texts the value counts, as devices fill them up in their own way; of NaN the bytes.
        elif reading.data != change.data and show(reading.value) != text:
            yield f"{name}: {text} was written, but {show(reading.value)} is read back"


def _object(plan: _Plan, done: _Done) -> dict[str, object]:
    """Everything; values that are not known, and numbers that JSON has not, are null."""
    nothing = [None] * len(plan.changes)
    return {
        "target": str(plan.target),
        "unit": plan.unit,
        "ok": not done.faults,
        "values": [
            {
                "address": change.wanted.name,
                "pdu_address": str(Address(*change.wanted.span[:2])),
                "type": str(change.wanted.kind),
                "before": None if before is None else number(before.value),
                "value": number(decode(change.data, change.wanted.kind, plan.order)),
                "written": change.wanted.name in done.written,
                "after": None if after is None else number(after.value),
            }
            for change, before, after in zip(plan.changes, done.before or nothing, done.after or nothing, strict=True)
        ],
        "errors": done.faults,
    }

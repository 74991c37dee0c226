"""`nportpy monitor`: what is on a line of a running gateway, in the terminal."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

import click

from nportpy.cli import completion
from nportpy.cli.options import parsed
from nportpy.cli.tls_options import https_context, tls_options
from nportpy.cli.tokens import token_file
from nportpy.cli.watching import NotThere, one_port, parted, pieces, ports, stream, why_ended
from nportpy.config.values import duration, duration_text
from nportpy.network.tls_settings import TlsSettings
from nportpy.protocols.capture.filters import MOST_ROWS, Filter

_SIGNS: Final = {"tx": ">", "rx": "<", "answer": "=", "unsent": "x"}
_COLOURS: Final = {"tx": "cyan", "rx": "green", "answer": "white", "unsent": "bright_black"}
_WIDTH: Final = 16
_ROWS = click.IntRange(0, MOST_ROWS)


@click.command()
@click.argument("words", nargs=-1, metavar="[URL] [PORT] [FILTER]...", shell_complete=completion.lines)
@click.option("--trigger", metavar="FILTER", help="Show nothing before a row that this matches, then stop.")
@click.option("--count", metavar="FILTER", help="Mark what this matches, and say how often it came.")
@click.option("--before", type=_ROWS, default=20, show_default=True, help="Rows before that one.")
@click.option("--after", type=_ROWS, default=10, show_default=True, help="Rows after it.")
@click.option(
    "--for", "seconds", metavar="TIME", callback=parsed(lambda text: duration(text, "1s", "7d")),
    help='Stop after so long, as in "60s"; without, at Ctrl-C.',
)  # fmt: skip
@click.option("--history", is_flag=True, help="Begin with what the flight recorder has.")
@click.option("--kept", is_flag=True, help="Only that, and stop.")
@click.option("--frozen", type=click.IntRange(0), metavar="NUMBER", help="A moment that was frozen.")
@click.option("--moments", is_flag=True, help="List the moments that were frozen, and who watches.")
@tls_options
@click.option("--json", "as_json", is_flag=True, help="An object a line, for programs.")
@token_file
def monitor(
    words: tuple[str, ...], trigger: str | None, count: str | None, before: int, after: int,
    seconds: float | None, history: bool, kept: bool, frozen: int | None, moments: bool, as_json: bool,
    tls: TlsSettings | None,
) -> None:  # fmt: skip
    """Show what is on a line of a running gateway: > sent, < received, = how a request ended, x never on the line.

    URL is that of the gateway's [http], http://127.0.0.1:9550 if it is left out; PORT is the name in [port.PORT].

    \b
        nportpy monitor bus
        nportpy monitor bus unit:5 fault:any
        nportpy monitor bus --trigger "exception:2 unit:5" --before 20 --after 5
        nportpy monitor bus --count fault:crc --for 1h
        nportpy monitor --moments

    Filters: unit:1,5-7  function:3,16  register:41001-41010  dir:rx  kind:modem  client:192.0.2.7  text:"line down"
    fault:any  fault:crc,late  exception:2  gap:100ms  hex:0103??10; not:unit:5 shows all other rows.
    """  # noqa: D301 - click wants the character
    url, rest = parted(words)
    context = https_context(url, tls)
    try:
        if moments:
            _show_moments(ports(url, tls=context), as_json)
            return
        port = one_port(url, rest, context)
        query = _query(rest[1:], trigger, count, before, after)
        query["live"] = "0" if kept else "1"
        if history:
            query["history"] = "1"
        if seconds:
            query["for"] = duration_text(seconds)
        if frozen is not None:
            query["frozen"] = str(frozen)
        with stream(url, port, "monitor", query, context) as answer:
            if not as_json and sys.stderr.isatty():
                click.echo(f"watching {port} at {url}; Ctrl-C ends it", err=True)
            with _counted(count) as look:
                for line in _lines(pieces(answer)):
                    row = json.loads(line)
                    look(row)
                    click.echo(line if as_json else shown(row))
        if not (kept or seconds or trigger or frozen is not None):
            click.echo(why_ended(url, port, "monitor", context), err=True)
    except NotThere as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:
        return


@contextmanager
def _counted(what: str | None) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Say in the end, whatever ends it, how often it came."""
    counted = 0

    def look(row: dict[str, Any]) -> None:
        nonlocal counted
        counted = row.get("count", counted)

    try:
        yield look
    finally:
        if what:
            click.echo(f"{what}: {counted} times", err=True)


def _query(terms: list[str], trigger: str | None, count: str | None, before: int, after: int) -> dict[str, str]:
    """Filters, tried here first: the message is the same, and names the parameter."""
    text = " ".join(_quoted(term) for term in terms)
    for hint, each in (("FILTER", text), ("--trigger", trigger or ""), ("--count", count or "")):
        try:
            Filter(each)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint=hint) from None
    query = {"filter": text} if text else {}
    query |= {"count": count} if count else {}
    if trigger:
        query |= {"trigger": trigger, "before": str(before), "after": str(after)}
    return query


def _quoted(term: str) -> str:
    """A term as the shell gave it, without its quotes."""
    return json.dumps(term, ensure_ascii=False) if " " in term and '"' not in term else term


def _lines(found: Iterator[bytes]) -> Iterator[str]:
    rest = b""
    for piece in found:
        *lines, rest = (rest + piece).split(b"\n")
        yield from (line.decode(errors="replace") for line in lines if line)


def shown(row: dict[str, Any]) -> str:
    """A row as lines: time, sign, silence before it, bytes beside their characters, what they mean."""
    kind = row["kind"]
    at = datetime.fromisoformat(row["time"]).astimezone()
    gap = f"{_time(row['gap_ms'] / 1000)} {_characters(row.get('gap_characters'))}" if "gap_ms" in row else ""
    head = f"{at:%H:%M:%S.%f} {_SIGNS.get(kind, '!')} {gap:>18}  "
    notes = [_printable(row["text"])] if row.get("text") else []
    notes += [f"unit {row['unit']}"] if kind in ("answer", "unsent", "tx") and "unit" in row else []
    notes += (
        [f"[{', '.join(map(_printable, row['clients']))}]"] if kind in ("tx", "unsent") and row.get("clients") else []
    )
    notes += [f"({row['count']})"] if row.get("count") else []
    notes += ["!! " + ", ".join(row["faults"])] if row.get("faults") else []
    if row.get("lost"):
        notes.insert(0, f"{row['lost']} records were lost before this")
    data = bytes.fromhex(row.get("hex", "")) if kind in ("rx", "tx") else b""
    lines = list(_beside(data, "  ".join(notes))) or ["  ".join(notes)]
    text = head + f"\n{'':{len(head)}}".join(lines)
    colour = "red" if row.get("faults") else _COLOURS.get(kind, "yellow")
    return click.style(text, fg=colour, bold=bool(row.get("marked")))


def _beside(data: bytes, notes: str) -> Iterator[str]:
    for at in range(0, len(data), _WIDTH):
        part = data[at : at + _WIDTH]
        ascii_text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in part)
        yield f"{part.hex(' '):<{3 * _WIDTH - 1}}  {ascii_text:<{_WIDTH}}  {notes if not at else ''}".rstrip()


def _time(seconds: float) -> str:
    return f"+{seconds * 1000:.1f}ms" if seconds < 1 else f"+{seconds:.2f}s"


def _characters(count: float | None) -> str:
    return "" if count is None else f"{count:.1f}ch" if count < 1000 else f"{count:.0f}ch"


def _printable(text: str) -> str:
    """What another machine sent must not move the cursor."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def _show_moments(found: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for each in found:
        if not each["monitor"]:
            click.echo(f"{each['port']:<16} may not be watched")
            continue
        click.echo(f"{each['port']:<16} {each['settings']}, {each['records']} records in {each['bytes']} bytes")
        for watcher in each["watchers"]:
            click.echo(
                f"  watched by {_printable(watcher['who'])} for {watcher['for_s']:.0f} s, lost {watcher['lost']}"
            )
        for moment in each["frozen"]:
            at = datetime.fromtimestamp(moment["time"]).astimezone()
            click.echo(f"  frozen {moment['number']:>8}  {at:%Y-%m-%d %H:%M:%S}  {moment['cause']}")
        if each["recording"] is not None:
            error = each["recording"]["error"]
            state = f"not recorded: {error}" if error else "recorded to files"
            click.echo(f"  {state}, lost {each['recording']['lost']}")

"""`nportpy archive`: what the gateway has kept, and sending some of it again.

A running gateway is asked over its own HTTP service, since only one program may have the archive's file. Where none
runs the file is read here.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from http.client import HTTPException
from typing import IO, Any, Final

import click

from nportpy.cli import completion
from nportpy.cli.asking import Unreachable, opened, place_of
from nportpy.cli.options import parsed
from nportpy.cli.times import moment
from nportpy.cli.tokens import token_file
from nportpy.config import DEFAULT_PATH, fault_lines, load
from nportpy.config.values import duration_text
from nportpy.errors import ArchiveError, ConfigError
from nportpy.gateway.plans import GatewaySettings
from nportpy.services.archived import ShownSample, csv_head, csv_lines

_WIDE: Final = 500  # columns of a table: a terminal wraps, and a pipe has no width
_LAST: Final = "1h"  # what is shown where nothing is said

CONFIG = click.option(
    "-c", "--config", "path", default=DEFAULT_PATH, show_default=True, metavar="FILE", help="The configuration file."
)
FROM = click.option(
    "--from", "start", metavar="TIME", callback=parsed(moment), help="From when: 2026-11-29T12:00, 12:00, 2h (ago)."
)
TO = click.option("--to", "end", metavar="TIME", callback=parsed(moment), help="Until when, not included.")


@click.group()
def archive() -> None:
    """What the gateway has kept, and sending some of it again.

    \b
        nportpy archive status
        nportpy archive show emon/power --from 2h
        nportpy archive export --from 2026-11-01 -o november.csv
        nportpy archive send plant --from 12:10 --to 12:25
    """  # noqa: D301 - click wants the character


@archive.command()
@CONFIG
@click.option("--json", "as_json", is_flag=True, help="An object, for programs.")
@token_file
def status(path: str, as_json: bool) -> None:
    """How much is kept, and what each upstream has of it."""
    settings = _settings(path)
    try:
        found = json.loads(_ask(settings, "/api/v1/archive"))
    except Unreachable:
        found = asyncio.run(_status_of_file(settings))
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for line in _status_lines(found):
        click.echo(line)


@archive.command()
@click.argument("tag", default="", metavar="[STATION[/TAG]]", shell_complete=completion.stations)
@FROM
@TO
@CONFIG
@click.option("--json", "as_json", is_flag=True, help="An object a line.")
@click.option("--csv", "as_csv", is_flag=True, help="Comma-separated values, with a head line.")
def show(tag: str, start: datetime | None, end: datetime | None, path: str, as_json: bool, as_csv: bool) -> None:
    """Show samples; without --from those of the last hour. `late` are those that were sent later than they came."""
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    start = start or moment(_LAST)
    portions = _samples(_settings(path), start, end, tag)
    if as_csv:
        _write_csv(portions, sys.stdout)
    elif as_json:
        for sample in (each for portion in portions for each in portion):
            click.echo(json.dumps(asdict(sample)))
    else:
        _table(portions)


@archive.command()
@click.argument("tag", default="", metavar="[STATION[/TAG]]", shell_complete=completion.stations)
@click.option("-o", "--output", "target", type=click.File("w", lazy=True), default="-", help="Where to; else stdout.")
@FROM
@TO
@CONFIG
def export(tag: str, target: IO[str], start: datetime | None, end: datetime | None, path: str) -> None:
    """Write samples as CSV; without --from and --to everything that is kept."""
    settings = _settings(path)
    portions = _samples(settings, start, end, tag)
    if target.name not in ("-", "<stdout>") and sys.stderr.isatty():
        portions = _with_progress(portions, start, end)
    count = _write_csv(portions, target)
    click.echo(f"{count} samples", err=True)


@archive.command()
@click.argument("upstream", default="", metavar="[UPSTREAM]", shell_complete=completion.upstreams)
@click.option("--from", "start", metavar="TIME", callback=parsed(moment), required=True, help="From when.")
@TO
@CONFIG
@token_file
def send(upstream: str, start: datetime, end: datetime | None, path: str) -> None:
    """Send an interval again, marked late, to one upstream or to all of them."""
    query = {"upstream": upstream} | _interval(start, end or moment("now"))
    try:
        found = json.loads(_ask(_settings(path), "/api/v1/archive/send", query, post=True))
    except Unreachable as error:
        raise click.ClickException(f"{error}; a running gateway sends: nportpy serve") from None
    click.echo(f"on its way to {', '.join(found['upstreams']) or 'nobody: there is no upstream'}")


def _settings(path: str) -> GatewaySettings:
    try:
        settings = load(path)
    except ConfigError as error:
        for line in fault_lines(error):
            click.echo(line, err=True)
        sys.exit(2)
    if settings.edge is None:
        raise click.ClickException(f"{path} has no [station.NAME], so nothing is archived")
    return settings


# A running gateway.


def _open(settings: GatewaySettings, page: str, query: dict[str, str], *, post: bool = False) -> Any:
    """The answer of a running gateway.

    Raises:
        Unreachable: none answers.
        click.ClickException: it refuses.
    """
    return opened(place_of(settings.http, settings.tls), page, query, post=post)


def _ask(settings: GatewaySettings, page: str, query: dict[str, str] | None = None, *, post: bool = False) -> str:
    with _open(settings, page, query or {}, post=post) as answer:
        text: str = answer.read().decode()
    return text


def _interval(start: datetime | None, end: datetime | None) -> dict[str, str]:
    return {name: when.isoformat() for name, when in (("from", start), ("to", end)) if when is not None}


def _samples(
    settings: GatewaySettings, start: datetime | None, end: datetime | None, tag: str
) -> Iterator[list[ShownSample]]:
    """The samples of a running gateway, else of its file."""
    query = _interval(start, end) | {"format": "ndjson", "tag": tag}
    try:
        answer = _open(settings, "/api/v1/archive/samples", query)
    except Unreachable:
        yield from _samples_of_file(settings, start, end, tag)
        return
    with answer:
        portion: list[ShownSample] = []
        for line in _whole(answer):
            portion.append(ShownSample(**json.loads(line)))
            if len(portion) == 1000:
                yield portion
                portion = []
        yield portion


def _whole(answer: Any) -> Iterator[bytes]:
    """The lines of an answer; an error where it ends before its end."""
    try:
        yield from answer
    except (OSError, HTTPException) as error:
        raise click.ClickException(f"the gateway stopped in the middle: what came is not all ({error})") from None


# Without one.


def _samples_of_file(
    settings: GatewaySettings, start: datetime | None, end: datetime | None, tag: str
) -> Iterator[list[ShownSample]]:
    first = round(start.timestamp() * 1e6) if start else -(1 << 62)
    last = round(end.timestamp() * 1e6) if end else 1 << 62

    async def portions() -> AsyncIterator[list[ShownSample]]:
        from nportpy.edge.running import check_known, is_of, shown_of

        async with _file(settings) as kept:
            try:
                check_known(kept, tag)
            except LookupError as error:
                raise click.ClickException(error.args[0]) from None
            async for portion in kept.between(first, last):
                yield [shown_of(each, late=False) for each in portion if is_of(each, tag)]

    with asyncio.Runner() as runner:
        found = portions()
        while True:
            try:
                yield runner.run(anext(found))  # type: ignore[arg-type]  # an awaitable that is a coroutine
            except StopAsyncIteration:
                return


async def _status_of_file(settings: GatewaySettings) -> dict[str, Any]:
    from nportpy.services import report

    names = [each.name for each in settings.edge.upstreams] if settings.edge else []
    async with _file(settings) as kept:
        away = {"up": False, "reason": "no gateway runs"}
        waiting = [{"name": name, "backlog": kept.waiting(name)} | away for name in names]
        return {"archive": report.plain(kept.status()), "upstreams": waiting, "error": ""}


class _file:  # noqa: N801 - used as a function
    """The archive's file, opened here."""

    def __init__(self, settings: GatewaySettings) -> None:
        from nportpy.edge.archive import Archive

        assert settings.edge is not None  # `_settings` has seen to that
        self._path = settings.edge.archive.path
        self._archive = Archive(settings.edge.archive)

    async def __aenter__(self) -> Any:
        try:
            os.stat(self._path)  # to look makes no archive, least of all one that is root's
            await self._archive.open()
        except FileNotFoundError:
            raise click.ClickException(f"there is no archive yet: {self._path}") from None
        except OSError as error:
            raise click.ClickException(f"{self._path}: {error.strerror}") from None
        except ArchiveError as error:
            raise click.ClickException(str(error)) from None
        return self._archive

    async def __aexit__(self, *_: object) -> None:
        await self._archive.close()


# On the screen.


def _status_lines(found: dict[str, Any] | None) -> Iterator[str]:
    if found is None or found["archive"] is None:
        yield f"no archive: {found['error'] if found else 'nothing is archived'}"
        return
    kept = found["archive"]
    yield f"archive           {kept['path']}"
    yield f"  samples         {kept['samples']}, numbers {kept['oldest']} to {kept['newest']}"
    yield f"  since           {kept['oldest_at'] or 'nothing yet'}"
    yield f"  on the disk     {kept['bytes'] / 1e6:.1f} MB"
    yield f"  evicted         {kept['evicted']}"
    if kept["queued"] or kept["dropped"]:
        yield f"  waiting         {kept['queued']} for the disk, {kept['dropped']} dropped"
    if kept["recovered"]:
        yield f"  damaged         {kept['recovered']} times; set aside as {kept['path']}.damaged-*"
    if kept["error"]:
        yield f"  cannot write    {kept['error']}"
    if not kept["trusted"]:
        yield "  clock           not synchronised: samples are uncertain until it is"
    for each in found["upstreams"]:
        yield f"upstream {each['name']}"
        age = f" for {duration_text(_age(each['since']))}" if each.get("since") else ""
        yield f"  {'connected' if each['up'] else 'away':<16}{age.strip()} {each.get('url', '')}".rstrip()
        if each["reason"]:
            yield f"  reason          {each['reason']}"
        yield f"  backlog         {each['backlog']} samples"
        if "sent_live" in each:
            yield f"  sent            {each['sent_live']} live, {each['sent_late']} late"
            if each["lost"] or each["refused"]:
                yield f"  lost            {each['lost']} evicted before they were sent, {each['refused']} refused"


def _age(since: str) -> float:
    return float(max(0, round((datetime.now(UTC) - datetime.fromisoformat(since)).total_seconds())))


def _table(portions: Iterator[list[ShownSample]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("time", "tag", "value", "unit", "quality", "late"):
        table.add_column(name, justify="right" if name == "value" else "left", no_wrap=True)
    count = 0
    for sample in (each for portion in portions for each in portion):
        when = datetime.fromisoformat(sample.time).astimezone()
        value = "-" if sample.value is None else str(sample.value)
        late = "late" if sample.late else ""
        cells = (
            f"{when:%Y-%m-%d %H:%M:%S}",
            f"{sample.station}/{sample.tag}",
            value,
            sample.unit,
            sample.quality,
            late,
        )
        table.add_row(*cells)
        count += 1
    if count:
        Console(width=max(Console().width, _WIDE)).print(table)
    click.echo(f"{count} samples", err=True)


def _write_csv(portions: Iterator[list[ShownSample]], target: IO[str]) -> int:
    target.write(csv_head())
    count = 0
    for portion in portions:
        target.write(csv_lines(portion))
        count += len(portion)
    return count


def _with_progress(
    portions: Iterator[list[ShownSample]], start: datetime | None, end: datetime | None
) -> Iterator[list[ShownSample]]:
    """The same, with a bar that goes by the time of the samples."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    last = (end or moment("now")).timestamp()
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[count]}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task, count = progress.add_task("export", total=None, count=""), 0
        first = start.timestamp() if start is not None else None
        for portion in portions:
            yield portion
            if portion:
                at = datetime.fromisoformat(portion[-1].time).timestamp()
                first = first if first is not None else datetime.fromisoformat(portion[0].time).timestamp()
                count += len(portion)
                progress.update(task, total=max(last - first, 1.0), completed=at - first, count=f"{count} samples")

"""`nportpy poll`: the stations of a configuration, read once or again and again; no gateway is needed."""

import asyncio
import csv
import io
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from nportpy.cli import completion
from nportpy.cli.options import parsed
from nportpy.config import DEFAULT_PATH, fault_lines, load
from nportpy.config.values import duration
from nportpy.errors import ConfigError, LineError

if TYPE_CHECKING:
    from nportpy.edge.settings import StationSettings
    from nportpy.edge.station import Station
    from nportpy.gateway.plans import GatewaySettings

    _Show = Callable[[list[Station], datetime], list[str]]

_HEAD = ("time", "station", "tag", "value", "unit", "quality", "reason")


@click.command()
@click.argument("names", metavar="[STATION...]", nargs=-1, shell_complete=completion.stations)
@click.option(
    "-c", "--config", "path", default=DEFAULT_PATH, show_default=True, metavar="FILE", help="The configuration file."
)
@click.option(
    "--every", metavar="TIME", callback=parsed(lambda text: duration(text, "100ms", "7d")),
    help='Read again and again, as in "10s", until Ctrl-C.',
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="An object a line.")
@click.option("--csv", "as_csv", is_flag=True, help="Comma-separated values, with a head line.")
def poll(names: tuple[str, ...], path: str, every: float | None, as_json: bool, as_csv: bool) -> None:
    """Read the stations of the configuration, and print what they say. Nothing is archived or sent.

    A station on a port of the gateway is read through the port's device, which must be free: while the gateway runs,
    its own values are at /readings and in `nportpy archive show`.

    \b
        nportpy poll
        nportpy poll emon --every 10s
        nportpy poll --json -c ./nportpy.toml
    """  # noqa: D301 - click wants the character
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    try:
        settings = load(path)
    except ConfigError as error:
        for line in fault_lines(error):
            click.echo(line, err=True)
        sys.exit(2)
    chosen = _chosen(settings, names, path)
    show: _Show = _json_lines if as_json else _csv_lines if as_csv else _text_lines
    if as_csv:
        click.echo(",".join(_HEAD))
    try:
        good = asyncio.run(_read(settings, chosen, every, show))
    except KeyboardInterrupt:
        good = True
    sys.exit(0 if good else 1)


def _chosen(settings: "GatewaySettings", names: tuple[str, ...], path: str) -> "list[StationSettings]":
    known = {each.name: each for each in settings.edge.stations} if settings.edge is not None else {}
    if not known:
        raise click.ClickException(f"{path} has no [station.NAME]")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise click.UsageError(f"there is no station {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in names or known]


async def _read(
    settings: "GatewaySettings", chosen: "list[StationSettings]", every: float | None, show: "_Show"
) -> bool:
    from nportpy.gateway.polling import read, stations

    loop = asyncio.get_running_loop()
    try:
        async with stations(settings, chosen) as found:
            due = loop.time()
            while True:
                await asyncio.gather(*(read(each) for each in found))
                try:
                    _tell(found, show)
                except BrokenPipeError as error:  # who read it has gone: click ends in order
                    gone = error
                    break
                if every is None:
                    return all(state.value is not None for each in found for state in each.tags.values())
                due += every * max(1, -(-(loop.time() - due) // every))
                await asyncio.sleep(due - loop.time())
        raise gone
    except LineError as error:
        raise click.ClickException(str(error)) from None


def _tell(stations: "list[Station]", show: "_Show") -> None:
    for line in show(stations, datetime.now(UTC).astimezone()):
        click.echo(line)
    for each in stations:
        if each.up is False:
            click.echo(f"{each.settings.name}: {each.reason}", err=True)


def _rows(stations: "list[Station]", now: datetime) -> list[dict[str, object]]:
    return [
        {
            "time": now.isoformat(timespec="milliseconds"),
            "station": station.settings.name,
            "tag": name,
            "value": state.value,
            "unit": state.tag.unit,
            "quality": state.quality.name.lower(),
            "reason": state.reason,
        }
        for station in stations
        for name, state in station.tags.items()
    ]


def _json_lines(stations: "list[Station]", now: datetime) -> list[str]:
    return [json.dumps(row) for row in _rows(stations, now)]


def _csv_lines(stations: "list[Station]", now: datetime) -> list[str]:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows(["" if row[key] is None else row[key] for key in _HEAD] for row in _rows(stations, now))
    return text.getvalue().splitlines()


def _text_lines(stations: "list[Station]", now: datetime) -> list[str]:
    rows = _rows(stations, now)
    names = [f"{row['station']}/{row['tag']}" for row in rows]
    width = max(map(len, names))
    lines = []
    for name, row in zip(names, rows, strict=True):
        value = "-" if row["value"] is None else f"{row['value']} {row['unit']}".rstrip()
        why = "" if row["quality"] == "good" else f"  {row['quality']}: {row['reason']}"
        lines.append(f"{name:<{width}}  {value}{why}")
    return lines

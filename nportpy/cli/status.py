"""`nportpy status`: one screen that says what is and what is wrong, asked of the running gateway."""

import json
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import click

from nportpy.cli import completion
from nportpy.cli.asking import Place, Unreachable, told
from nportpy.cli.options import parsed
from nportpy.cli.status_screen import bus_names, screen, sentences
from nportpy.cli.where import Where, gateway_options
from nportpy.config.values import duration

_ALL: Final = "*"


def _every(text: str) -> float:
    return duration(text, "100ms", "1h")


@click.command()
@gateway_options
@click.option(
    "--bus",
    metavar="NAME",
    shell_complete=completion.buses,
    help="In words: who hogs this bus, and which of its units are bad; * for all.",
)
@click.option("--watch", is_flag=True, help="Again and again, until Ctrl-C.")
@click.option("--every", metavar="TIME", default="2s", show_default=True, callback=parsed(_every), help="How often.")
@click.option("--json", "as_json", is_flag=True, help="The whole status, for programs; with --bus the verdict.")
def status(where: Where, bus: str | None, watch: bool, every: float, as_json: bool) -> None:
    """Show what a running gateway does, and what is wrong with it.

    Faults and since when, lines, services and their TCP ports, clients, who asks and which units are busy. Shares and
    rates are those of the last five minutes.

    \b
        nportpy status
        nportpy status --watch
        nportpy status --bus meters
        nportpy status --url http://192.0.2.10:9550

    The exit code is 1 if there is no gateway, and 0 whatever is wrong with it: /readyz is for programs that want to
    know that.
    """  # noqa: D301 - click wants the character
    base = where.place()
    ask = _verdicts(base, bus, as_json=as_json) if bus is not None else _status(base, as_json=as_json)
    with where.asking():
        if watch:
            _watch(ask, every, as_json=as_json)
        else:
            click.echo("\n".join(ask()))


def _status(base: Place, *, as_json: bool) -> Callable[[], list[str]]:
    def ask() -> list[str]:
        document = told(base, "/api/v1/status")
        return [json.dumps(document)] if as_json else screen(document)

    return ask


def _verdicts(base: Place, bus: str, *, as_json: bool) -> Callable[[], list[str]]:
    def ask() -> list[str]:
        query = {} if bus == _ALL else {"bus": bus}
        try:
            found: list[Any] = told(base, "/api/v1/verdict", query)
        except click.ClickException:
            document = told(base, "/api/v1/status")
            if bus in bus_names(document):
                raise
            raise click.BadParameter(_no_bus(document, bus), param_hint="--bus") from None
        return [json.dumps(found)] if as_json else list(sentences(found))

    return ask


def _no_bus(document: dict[str, Any], name: str) -> str:
    """Why nothing can be said of what somebody takes for a bus."""
    names = bus_names(document)
    there = f"there are: {', '.join(names)}" if names else "this gateway has none: nothing speaks Modbus"
    if any(line["name"] == name for line in document["lines"]):
        return f"{name} is a line without a Modbus service: whom its clients ask, nobody knows; of buses {there}"
    return f"no bus is called {name!r}; {there}"


def _watch(ask: Callable[[], list[str]], every: float, *, as_json: bool) -> None:
    """Show it until Ctrl-C; a gateway that goes away may come back."""
    show = _show_live() if sys.stdout.isatty() and not as_json else _show_below
    ask()  # if there is no gateway at first, that is the answer
    try:
        while True:
            try:
                lines = ask()
            except Unreachable as error:
                lines = [] if as_json else [f"{error}; trying on"]
            show(lines)
            time.sleep(every)
    except KeyboardInterrupt:
        pass


def _show_below(lines: list[str]) -> None:
    click.echo("\n".join(lines))
    if len(lines) > 1:
        click.echo()


def _show_live() -> Callable[[list[str]], None]:
    from rich.console import Console  # only a terminal pays for it
    from rich.live import Live
    from rich.text import Text

    live = Live(console=Console(), auto_refresh=False, screen=True, vertical_overflow="ellipsis")

    def show(lines: list[str]) -> None:
        if not live.is_started:
            live.start()
            click.get_current_context().call_on_close(live.stop)
        # Text, not markup: what a device is called may hold square brackets
        live.update(Text("\n".join(lines), no_wrap=True, overflow="ellipsis"), refresh=True)

    return show

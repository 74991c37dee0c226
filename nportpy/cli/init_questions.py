"""What `nportpy init` asks where somebody is there to answer, on standard error: a file may go to standard output."""

from collections.abc import Callable, Mapping
from typing import Any

import click

from nportpy.cli.init_devices import Candidate, search
from nportpy.cli.init_ports import (
    MEANINGS,
    Chosen,
    Mode,
    Said,
    Taken,
    Wanted,
    baudrate,
    claims,
    each_once,
    format_of,
    name_of,
    tcp_port,
)
from nportpy.client.scanning import Found
from nportpy.linesettings import LineSettings

_MODE_WIDTH = max(map(len, Mode)) + 2


def explain() -> None:
    """What is about to be asked."""
    click.echo("Ctrl-C at any question ends this, and nothing is written. Enter takes what is in brackets.", err=True)
    click.echo("Modes of a port:", err=True)
    for mode, meaning in MEANINGS.items():
        click.echo(f"  {mode:<{_MODE_WIDTH}}{meaning}", err=True)


def ask(candidate: Candidate, taken: Taken, *, scan: bool, units: tuple[int, ...]) -> Chosen | None:
    """How a line is served; None: not at all.

    Args:
        candidate: the line, and what was said of it already: that is not asked.
        taken: names and TCP ports that are gone.
        scan: look for Modbus units without asking whether.
        units: whom to look for.
    """
    said = candidate.said
    click.echo(f"\n{said.device}  {candidate.description}".rstrip(), err=True)
    obstacles = [candidate.missing] if candidate.missing else candidate.obstacles
    for obstacle in obstacles:
        click.echo(click.style("warning: ", fg="yellow") + obstacle, err=True)
    if (obstacles or not candidate.named) and not click.confirm("Serve it?", default=not obstacles, err=True):
        return None
    name = _free_name(said, taken)
    found: list[Found] = []
    if not candidate.missing and (
        scan or click.confirm("Look for Modbus units, which finds speed and format, too?", default=False, err=True)
    ):
        found = _searched(said, units)
    line = found[0].line if found else LineSettings()
    line = LineSettings.parse(
        said.baudrate or _prompt("Speed in baud", line.baudrate, baudrate),
        said.format or _prompt("Data bits, parity, stop bits", line.format, format_of),
    )
    services = said.services or _prompt("Mode, or several with commas", Mode.MODBUS if found else Mode.RAW, _modes)
    return Chosen(name, said.device, candidate.description, line, _ports(services, taken), tuple(found))


def _prompt(question: str, default: object, parse: Callable[[str], Any]) -> Any:
    """The answer, once it makes sense."""

    def value(text: object) -> object:
        try:
            return parse(str(text))
        except ValueError as error:
            raise click.UsageError(str(error)) from None

    return click.prompt(question, default=str(default), value_proc=value, err=True)


def _free_name(said: Said, taken: Taken) -> str:
    def free(text: str) -> str:
        name = name_of(text)
        if name in taken.names:
            raise ValueError(f"the name {name} is there already")
        return name

    if said.name and said.name not in taken.names:
        return said.name
    return str(_prompt("Name of the port", taken.next_name(), free))


def _searched(said: Said, units: tuple[int, ...]) -> list[Found]:
    click.echo("Ctrl-C ends the search and goes on without it.", err=True)
    try:
        return search(said.device, said, units)
    except KeyboardInterrupt:
        click.echo("the search is ended", err=True)
    except click.ClickException as error:
        error.show()
    return []


def _modes(text: str) -> tuple[Wanted, ...]:
    """Modes with commas between.

    Raises:
        ValueError: something else is there, or one of them with two TCP ports.
    """
    return each_once(Wanted.parse(word) for word in text.split(","))


def _ports(services: tuple[Wanted, ...], taken: Taken) -> tuple[Wanted, ...]:
    """The services with their TCP ports."""
    own: dict[int, str] = {}
    done: list[Wanted] = []
    for service in services:
        done.append(_port(service, taken, own))
        own |= dict.fromkeys(claims(done[-1]), str(service.mode))
    return tuple(done)


def _port(service: Wanted, taken: Taken, own: Mapping[int, str]) -> Wanted:
    """A service with a TCP port that it can have."""

    def fitting(text: str) -> Wanted:
        wanted = Wanted(service.mode, tcp_port(text))
        if clash := taken.clash(wanted, own):
            raise ValueError(clash)
        return wanted

    if service.tcp_port:
        if not (clash := taken.clash(service, own)):
            return service
        click.echo(f"Error: {clash}", err=True)
    found: Wanted = _prompt(f"TCP port of {service.mode}", taken.next_port(service.mode, own), fitting)
    return found

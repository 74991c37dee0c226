"""`nportpy init`: a first configuration for the serial devices of this machine, and the service that uses it."""

import os
import shlex
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final, cast

import click

from nportpy.cli import completion, init_service
from nportpy.cli.check import warnings
from nportpy.cli.check_addresses import address_warnings
from nportpy.cli.init_devices import Candidate, search
from nportpy.cli.init_file import TITLE, configuration, put
from nportpy.cli.init_ports import Chosen, Mode, Said, Taken, Wanted, baudrate, each_once, format_of, with_defaults
from nportpy.cli.init_questions import ask, explain
from nportpy.cli.options import parsed, parsed_each
from nportpy.cli.ports import NONE_HERE
from nportpy.cli.scan import units_of
from nportpy.config import DEFAULT_PATH, fault_lines, parse, read
from nportpy.config.values import device_identity, network
from nportpy.errors import ConfigError
from nportpy.port.holders import HERE, Roots
from nportpy.port.inventory import SerialDevice, serial_devices

_ON_PATH: Final = ("/usr/bin", "/usr/local/bin", "/bin")  # where sudo looks


def _each_mode(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[Wanted, ...]:
    found = parsed_each(Wanted.parse)(ctx, param, values)
    try:
        return each_once(cast(tuple[Wanted, ...], found))
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


@click.command()
@click.argument(
    "devices", metavar="[DEVICE]...", nargs=-1, callback=parsed_each(Said.parse), shell_complete=completion.devices
)
@click.option(
    "-o", "--output", "path", metavar="FILE", default=DEFAULT_PATH, show_default=True,
    help="Where to write; - is standard output.",
)  # fmt: skip
@click.option("--baudrate", metavar="N", callback=parsed(baudrate), help="Speed of every DEVICE that has none.")
@click.option("--format", "line_format", metavar="8N1", callback=parsed(format_of), help="Format of every such DEVICE.")
@click.option(
    "--mode", "modes", metavar="MODE[:PORT]", multiple=True, callback=_each_mode,
    help=f"How every DEVICE that says nothing else is served: {', '.join(Mode)}; several times for several.",
)  # fmt: skip
@click.option(
    "--allow", metavar="NETWORK", multiple=True, callback=parsed_each(lambda text: str(network(text))),
    help="Who may connect, as in 192.168.0.0/16; several times for several. Without it, anyone.",
)  # fmt: skip
@click.option("--scan", is_flag=True, help="Look for Modbus units on every DEVICE, which finds speed and format, too.")
@click.option(
    "--units", metavar="LIST", default="1-10", show_default=True, callback=parsed(units_of),
    help="Whom to look for, as in 1-10,20.",
)  # fmt: skip
@click.option("--yes", is_flag=True, help="Do not ask: take the usual for what is not said, and every free device.")
@click.option("--force", is_flag=True, help="Write over a file that is there, and for devices that are not.")
@click.option("--enable/--no-enable", default=None, help="Start the service nportpy, now and at every boot, or do not.")
@click.pass_obj
def init(
    roots: Roots | None, devices: tuple[Said, ...], path: str, baudrate: int | None, line_format: str | None,
    modes: tuple[Wanted, ...], allow: tuple[str, ...], scan: bool, units: tuple[int, ...], yes: bool, force: bool,
    enable: bool | None,
) -> None:  # fmt: skip
    """Set up the serial devices of this machine: ask, write the configuration, start the service.

    DEVICE is [NAME=]DEVICE[,BAUDRATE][,FORMAT][,MODE[:PORT]]...; without one, every serial device found is asked
    about. What is said is not asked; with --yes, or where standard input is no terminal, nothing is. A configuration
    that is there is never written over without a yes or --force, and is kept as FILE.bak.

    \b
        sudo nportpy init
        sudo nportpy init meters=/dev/ttyUSB0,9600,8E1,raw:4001 --enable
        sudo nportpy init /dev/ttyAMA0,modbus:502 --scan --units 1-5 --yes
        nportpy init /dev/ttyUSB0 --yes -o ./nportpy.toml
    """  # noqa: D301 - click wants the character
    asking = not yes and _somebody_is_there()
    if not devices and not asking and not yes:
        raise click.UsageError(
            "standard input is no terminal, so nobody can be asked. Name the devices, as in nportpy init "
            "/dev/ttyUSB0,9600,8E1,raw:4001, or take every free device with the usual settings: --yes"
        )
    if enable and path != DEFAULT_PATH:
        raise click.UsageError(f"--enable is for {DEFAULT_PATH}, which is what the service reads")
    try:
        if path != "-":
            _check_place(path, asking=asking, force=force)
        candidates = _candidates(devices, Said("", "", baudrate, line_format, modes), roots or HERE, asking=asking)
        ports = list(_chosen(candidates, asking=asking, scan=scan, units=units, force=force))
        if not ports:
            raise click.ClickException("no device is to be served, so nothing is written")
        _write(path, ports, allow)
    except (KeyboardInterrupt, click.Abort):
        click.echo("\nended; nothing was written", err=True)
        sys.exit(1)
    if path != "-":
        _start(path, ports, asking=asking, enable=enable)


def _somebody_is_there() -> bool:
    return sys.stdin.isatty()


def _check_place(path: str, *, asking: bool, force: bool) -> None:
    """Say now, and not after all questions, why the file cannot be written."""
    if os.path.isdir(path):
        raise click.UsageError(f"{path} is a directory; -o names the file")
    folder = os.path.dirname(os.path.realpath(path))
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    if not os.path.isdir(folder):
        raise click.ClickException(f"{path} cannot be written: {folder} is no directory")
    if not os.access(folder, os.W_OK | os.X_OK):
        itself = os.path.abspath(sys.argv[0])
        command = "nportpy" if os.path.dirname(itself) in _ON_PATH else shlex.quote(itself)
        raise click.ClickException(
            f"{path} cannot be written: {folder} is not yours. Either sudo {command} init, or a file of your own: "
            "nportpy init -o ./nportpy.toml"
        )
    if not os.path.exists(path) or force or _says_nothing(path):
        return
    if not asking:
        raise click.UsageError(f"{path} is there already; --force writes over it, and keeps the old one as {path}.bak")
    question = f"{path} is there already. Write a new one in the end, and keep the old one as {path}.bak?"
    if not click.confirm(question, default=False, err=True):
        raise click.Abort


def _says_nothing(path: str) -> bool:
    """Whether a file is the one that a package brings: ours by its first line, without a single table or key."""
    try:
        text = read(path)
        return text.startswith(TITLE) and not tomllib.loads(text)
    except (ConfigError, ValueError):
        return False


def _candidates(named: Sequence[Said], usual: Said, roots: Roots, *, asking: bool) -> list[Candidate]:
    """The lines that may be served: those that were named, else every one that is here.

    Raises:
        click.ClickException: there is none.
        click.UsageError: one is there twice.
    """
    here = serial_devices(roots)
    if not named:
        return list(_found(here, usual, asking=asking))
    found = [Candidate.of(_completed(said, usual), here) for said in named]
    devices = [device_identity(each.said.device) for each in found]
    for place, device in enumerate(devices):
        if device is not None and device in devices[:place]:
            raise click.UsageError(f"{named[place].device} is the same device as {named[devices.index(device)].device}")
    return found


def _completed(said: Said, usual: Said) -> Said:
    """What was said of a device, and for the rest of every device."""
    return replace(
        said,
        baudrate=said.baudrate or usual.baudrate,
        format=said.format or usual.format,
        services=said.services or usual.services,
    )


def _found(here: Sequence[SerialDevice], usual: Said, *, asking: bool) -> Iterator[Candidate]:
    consoles = [each.path for each in here if each.console]
    if consoles:
        click.echo(f"left out: {', '.join(consoles)}, the console", err=True)
    free = 0
    for each in here:
        candidate = Candidate(replace(usual, device=each.stable), each, named=False)
        if each.console:
            continue
        if candidate.others and not asking:
            click.echo(f"left out: {candidate.obstacles[0]}", err=True)
            continue
        free += 1
        yield candidate
    if not free:
        but = " but what is left out" if here else ""
        raise click.ClickException(
            f"no serial device here{but}. {NONE_HERE}; nportpy ports shows what is here. A device that it does not "
            "show can be named: nportpy init DEVICE"
        )


def _chosen(
    candidates: Sequence[Candidate], *, asking: bool, scan: bool, units: tuple[int, ...], force: bool
) -> Iterator[Chosen]:
    """The ports, asked for or not."""
    taken = Taken()
    if asking:
        explain()
    for candidate in candidates:
        if asking:
            port = ask(candidate, taken, scan=scan, units=units)
        else:
            port = _unasked(candidate, taken, scan=scan, units=units, force=force)
        if port is not None:
            taken.take(port)
            yield port


def _unasked(candidate: Candidate, taken: Taken, *, scan: bool, units: tuple[int, ...], force: bool) -> Chosen:
    if candidate.missing and not force:
        raise click.ClickException(f"{candidate.missing}; --force writes it all the same")
    for obstacle in candidate.obstacles:
        click.echo(click.style("warning: ", fg="yellow") + obstacle, err=True)
    found = search(candidate.said.device, candidate.said, units) if scan else []
    try:
        return with_defaults(candidate.said, candidate.description, found, taken)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _write(path: str, ports: Sequence[Chosen], allow: Sequence[str]) -> None:
    """Write the file, and say what it may not be meant to say."""
    text = configuration(ports, allow, [*_checks(path), *_next(path, ports)])
    try:
        settings = parse(text, path)
    except ConfigError as error:
        for line in fault_lines(error):
            click.echo(line, err=True)
        raise click.UsageError("that makes no configuration, so nothing is written") from None
    if path == "-":
        click.echo(text, nl=False)
    else:
        try:
            kept = put(path, text)
        except OSError as error:
            raise click.ClickException(f"{path} cannot be written: {error.strerror}") from None
        click.echo(f"\n{path} is written" + (f"; the old one is {kept}" if kept else ""), err=True)
    for warning in [*warnings(settings), *address_warnings(settings)]:
        click.echo(click.style("warning: ", fg="yellow") + warning, err=True)


def _start(path: str, ports: Sequence[Chosen], *, asking: bool, enable: bool | None) -> None:
    """Have the service run if that is wanted, and say what to type next."""
    if path == DEFAULT_PATH and init_service.has_unit():
        if enable is None and asking:
            enable = click.confirm("Run nportpy now, and after every boot?", default=True, err=True)
        if enable:
            click.echo(init_service.enable(), err=True)
        else:
            click.echo("nportpy is not started: sudo systemctl enable --now nportpy", err=True)
    elif enable:
        raise click.ClickException(f"there is no unit {init_service.UNIT} here; the configuration is written")
    click.echo("\nNext:")
    commands = list(_next(path, ports))
    width = max(len(command) for command, _ in commands)
    for command, purpose in commands:
        click.echo(f"  {command:<{width}}  {purpose}")


def _checks(path: str) -> Iterator[tuple[str, str]]:
    yield f"nportpy check{_option(path)}", "after each change: every fault at once, with its line"
    if path == DEFAULT_PATH and init_service.has_unit():
        yield "sudo systemctl reload nportpy", "use what has changed; clients of the rest stay"


def _next(path: str, ports: Sequence[Chosen]) -> Iterator[tuple[str, str]]:
    """What to type once the file is written, and what it is for."""
    if path == DEFAULT_PATH and init_service.has_unit():
        yield "sudo systemctl status nportpy", "does it run?"
    else:
        yield f"nportpy serve{_option(path)}", "run it here; Ctrl-C ends it"
    for port in ports:
        for service in port.services:
            yield _trial(port, service)
    yield f"nportpy status{_option(path)}", "lines, clients and faults at a glance"


def _trial(port: Chosen, service: Wanted) -> tuple[str, str]:
    match service.mode:
        case Mode.RAW:
            return (
                f"nc localhost {service.tcp_port}",
                f"the bytes of {port.name}; from elsewhere: its address",
            )
        case Mode.RFC2217:
            return f"sudo nportpy attach localhost:{service.tcp_port} /dev/ttyV0", f"{port.name} as a virtual COM port"
        case Mode.REALCOM:
            place = f"realcom://localhost:{service.tcp_port}"
            return f"sudo nportpy attach {place} /dev/ttyV0", f"{port.name} as a virtual COM port"
        case Mode.MODBUS if port.units:
            unit = port.units[0].unit
            return f"nportpy read localhost:{service.tcp_port} holding:0 --unit {unit}", f"a register of {port.name}"
        case Mode.MODBUS:
            return f"nportpy scan localhost:{service.tcp_port}", f"which units answer on {port.name}"


def _option(path: str) -> str:
    return "" if path == DEFAULT_PATH else f" -c {shlex.quote(path)}" if path != "-" else " -c FILE"

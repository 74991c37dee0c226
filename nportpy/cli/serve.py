"""`nportpy serve`: run the gateway.

What it runs is imported inside, not at the top: another process reads the configuration meanwhile.
"""

import os
import sys
from typing import TYPE_CHECKING

import click

from nportpy import config
from nportpy.cli import completion
from nportpy.errors import ConfigError, ListenError

if TYPE_CHECKING:
    from nportpy.gateway.plans import GatewaySettings


@click.command()
@click.argument("devices", metavar="[DEVICE]...", nargs=-1, shell_complete=completion.devices)
@click.option("-c", "--config", "path", metavar="FILE", help=f"Configuration file; default: {config.DEFAULT_PATH}.")
@click.option("--baudrate", type=int, default=9600, show_default=True, help="Speed of every DEVICE.")
@click.option("--format", "line_format", default="8N1", show_default=True, help="Format of every DEVICE.")
@click.option("--listen", metavar="ADDR", default="::", show_default=True, help="Address to listen on for DEVICEs.")
@click.option("--modbus", is_flag=True, help="Modbus TCP for every DEVICE, too.")
@click.option("--raw-port", type=int, default=4001, show_default=True, help="TCP port of the first DEVICE, raw.")
@click.option("--rfc2217-port", type=int, default=5001, show_default=True, help="TCP port of the first one, RFC 2217.")
@click.option("--modbus-port", type=int, default=502, show_default=True, help="TCP port of the first one, Modbus.")
@click.option("--http-port", type=int, default=9550, show_default=True, help="TCP port of HTTP with DEVICEs; 0: none.")
@click.option(
    "--loop", type=click.Choice(["uvloop", "asyncio"]), default="uvloop", show_default=True, help="Event loop."
)
def serve(
    devices: tuple[str, ...],
    path: str | None,
    baudrate: int,
    line_format: str,
    listen: str,
    modbus: bool,
    raw_port: int,
    rfc2217_port: int,
    modbus_port: int,
    http_port: int,
    loop: str,
) -> None:
    """Serve serial lines on TCP.

    With DEVICEs and no file, each gets raw TCP on 4001, 4002, ... and RFC 2217 on 5001, 5002, ... in that order, and
    with --modbus Modbus TCP on 502, 503, ... as well; --raw-port and the like have them begin elsewhere. Without
    either, the default configuration file is used if it is there, else every serial port found, the console excepted.

    With a file, an address that cannot be had is tried again for ever while the rest is served. Without one it is an
    error, and the exit code is 1.

    SIGHUP reads the configuration file again: what did not change keeps its clients. SIGTERM and SIGINT stop
    accepting, write out what clients have sent, and end; a second one ends at once, with exit code 1.
    """
    if devices and path:
        raise click.UsageError("either DEVICEs or a configuration file, not both")
    if path is None and not devices and os.path.exists(config.DEFAULT_PATH):
        path = config.DEFAULT_PATH
    if path is not None and modbus:
        raise click.UsageError(f"--modbus is for DEVICEs; in {path} it is a table, [port.NAME.modbus]")
    ports = (raw_port, rfc2217_port, modbus_port, http_port)
    loading = config.start_loading(path) if path is not None else None
    from nportpy.cli import running

    try:
        if loading is not None:
            settings = loading()
        else:
            settings = _without_file(devices, baudrate, line_format, listen, modbus=modbus, ports=ports)
            _say_what_is_where(settings)
        running.main(settings, path, loop)
    except ConfigError as error:
        for line in config.fault_lines(error):
            click.echo(line, err=True)
        sys.exit(2)
    except ListenError as error:
        other = "; --raw-port and the like choose others" if path is None else ""
        raise click.ClickException(f"{error}{other}") from None


def _without_file(
    devices: tuple[str, ...],
    baudrate: int,
    line_format: str,
    listen: str,
    *,
    modbus: bool,
    ports: tuple[int, int, int, int],
) -> "GatewaySettings":
    from nportpy.config.devices import FirstPorts, for_devices
    from nportpy.port.inventory import serve_candidates

    found = devices or tuple(device.stable for device in serve_candidates())
    if not found:
        raise click.ClickException(
            "no serial port here, and no configuration file; see nportpy ports, and sudo nportpy init"
        )
    firsts = FirstPorts(*ports)
    return for_devices(found, baudrate=baudrate, format=line_format, listen=listen, modbus=modbus, ports=firsts)


def _say_what_is_where(settings: "GatewaySettings") -> None:
    for plan in settings.ports:
        services = [("raw TCP", plan.raw), ("RFC 2217", plan.rfc2217), ("Modbus TCP", plan.modbus)]
        where = ", ".join(f"{name} on {service.listen[0]}" for name, found in services for service in found)
        click.echo(f"{plan.port.device} ({plan.port.line}): {where}", err=True)

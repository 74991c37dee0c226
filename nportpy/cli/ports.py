"""`nportpy ports`: which serial devices are here."""

import json
import sys
from dataclasses import asdict
from typing import Final

import click

from nportpy.port.holders import HERE, Roots
from nportpy.port.inventory import SerialDevice, serial_devices

NONE_HERE: Final = (
    "Plug one in, or on a Raspberry Pi enable the serial port (raspi-config, Interface Options, Serial Port: no login "
    "shell, hardware enabled)"
)
"""What to do where there is no serial device."""

COLUMNS = ("device", "stable name", "driver", "description", "RS-485", "in use by")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="A list of objects instead of a table.")
@click.option(
    "--probe", is_flag=True, help="Open the devices that nobody uses and ask for their RS-485 mode; moves DTR and RTS."
)
@click.pass_obj
def ports(roots: Roots | None, as_json: bool, probe: bool) -> None:
    """List the serial devices of this machine: stable name, driver, RS-485 mode, in use by whom.

    No device is opened unless you say --probe, because opening moves DTR and RTS. The stable name is the one to
    write into a configuration. "?" means that it cannot be told: run as root to see every process.
    """
    devices = serial_devices(roots or HERE, probe=probe)
    if as_json:
        click.echo(json.dumps([asdict(device) for device in devices], indent=2))
    elif not devices:
        click.echo(f"no serial device here. {NONE_HERE}", err=True)
    elif sys.stdout.isatty():
        _print_table(devices)
    else:
        _print_aligned(devices)


def _row(device: SerialDevice) -> tuple[str, ...]:
    users = [str(holder) for holder in device.holders]
    if device.console:
        users.insert(0, "the console")
    free = "-" if device.holders_certain else "?"
    return (
        device.path,
        device.stable,
        device.driver or "?",
        device.description or "-",
        str(device.rs485),
        ", ".join(users) or free,
    )


def _print_aligned(devices: list[SerialDevice]) -> None:
    rows = [COLUMNS, *map(_row, devices)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _print_table(devices: list[SerialDevice]) -> None:
    from rich.console import Console  # only a terminal pays for it
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in COLUMNS:
        table.add_column(column, overflow="fold")
    for device in devices:
        # Text, not markup: a USB adapter's name may hold square brackets
        table.add_row(*map(Text, _row(device)), style="dim" if device.console else None)
    Console().print(table)

"""The serial devices that `nportpy init` has to do with: which they are, and what stands in the way."""

import asyncio
import grp
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, replace

import click

from nportpy.cli.init_file import described
from nportpy.cli.init_ports import Said
from nportpy.cli.progress import shown_progress
from nportpy.cli.scan import BAUDRATES, FORMATS, LINE_TIMEOUT
from nportpy.client.found import ranges, remarks
from nportpy.client.scanning import Found, Scan, Search
from nportpy.client.target import Target
from nportpy.errors import NportpyError
from nportpy.linesettings import LineSettings
from nportpy.port.holders import Holder
from nportpy.port.inventory import SerialDevice
from nportpy.protocols.modbus.functions import Span, Table


@dataclass(frozen=True, slots=True)
class Candidate:
    """A line that may be served.

    Attributes:
        said: what was said of it; its device is the stable name.
        found: what this machine knows of the device; None: nothing.
        named: somebody named it, so it is wanted.
    """

    said: Said
    found: SerialDevice | None
    named: bool = True

    @classmethod
    def of(cls, said: Said, here: Sequence[SerialDevice]) -> "Candidate":
        """What was said, with what is known of the device, under its stable name."""
        same = [each for each in here if os.path.realpath(each.path) == os.path.realpath(said.device)]
        if not same or "://" in said.device:
            return cls(said, None)
        return cls(replace(said, device=same[0].stable), same[0])

    @property
    def description(self) -> str:
        """What the device is; may be empty."""
        if self.found is None:
            return ""
        driver = f"({self.found.driver})" if self.found.driver else ""
        return " ".join(filter(None, (self.found.description, driver)))

    @property
    def others(self) -> list[Holder]:
        """Programs that have it open, but for a gateway: that will read the new file."""
        holders = self.found.holders if self.found is not None else ()
        return [each for each in holders if "nportpy serve" not in each.command]

    @property
    def missing(self) -> str:
        """Why it cannot be served as things are; empty: it can."""
        device = self.said.device
        if self.found is not None or "://" in device:
            return ""
        if not os.path.exists(device):
            return f"{device} is not here; nportpy ports lists what is"
        if not stat.S_ISCHR(os.stat(device).st_mode):
            return f"{device} is no serial device"
        return ""

    @property
    def obstacles(self) -> list[str]:
        """What will keep a gateway from it unless somebody does something."""
        device = self.said.device
        found = []
        if self.found is not None and self.found.console:
            found.append(f"{device} is the console: the kernel's messages and a login go there")
        if self.others:
            found.append(f"{device} is in use by {', '.join(map(str, self.others))}: end that before nportpy starts")
        if os.path.exists(device) and not os.access(device, os.R_OK | os.W_OK):
            found.append(f"you may not open {device}, which {who_may(os.stat(device))}")
        return found


def who_may(device: os.stat_result) -> str:
    """Whose a device is, and what to do about it. Nobody is told to join root's group, nor one that may not either."""
    number = device.st_gid
    if number == 0 or not device.st_mode & stat.S_IWGRP:
        return "is root's alone: a udev rule gives it to a group, as etc/70-nportpy.rules does"
    try:
        group = grp.getgrgid(number).gr_name
    except KeyError:
        group = str(number)
    return (
        f"belongs to the group {group}: sudo usermod -aG {group} $USER, and log in again (the service of the package "
        "may open it already)"
    )


def search(device: str, said: Said, units: tuple[int, ...]) -> list[Found]:
    """Look for Modbus units on a device, at what was said of its line, else at every usual speed and format.

    Raises:
        KeyboardInterrupt: somebody is tired of waiting.
        click.ClickException: the device cannot be opened, or is lost.
    """
    rates = BAUDRATES if said.baudrate is None else (said.baudrate,)
    formats = FORMATS if said.format is None else (said.format,)
    lines = tuple(LineSettings.parse(rate, form) for rate in rates for form in formats)
    asked = Span(Table.HOLDING_REGISTERS, 0, 1)
    wanted = Search(Target(device, rtu=True), lines, units, LINE_TIMEOUT, asked, thorough=False)
    with shown_progress() as progress:
        scan = Scan(wanted, progress)
        try:
            asyncio.run(scan.run())
        except (OSError, NportpyError) as error:
            raise click.ClickException(f"no search on {device}: {error}") from None
    if scan.found:
        there = ranges(each.unit for each in scan.found)
        click.echo(f"{device}: found at {scan.found[0].line}: unit {there}", err=True)
        for line in filter(None, map(described, scan.found)):
            click.echo(f"  {line}", err=True)
    for remark in remarks(wanted, scan, ""):
        click.echo(remark.removeprefix("Error: "), err=True)
    return scan.found

"""`nportpy discover`: which NPorts and nportpys are on the network."""

import contextlib
import json
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Final

import click

from nportpy.cli.options import parsed, patience
from nportpy.errors import ProtocolError
from nportpy.network.interfaces import interfaces
from nportpy.protocols import dsci

COLUMNS: Final = ("name", "model", "address", "MAC", "firmware", "serial no.", "ports in use")
_EVERYBODY: Final = "255.255.255.255"
_IP_PKTINFO: Final = 8  # linux/in.h
_PKTINFO: Final = struct.Struct("=I4x4x")  # struct in_pktinfo: the interface, and two addresses that stay open
_AGAIN: Final = 0.3  # seconds until who has not answered is asked again: datagrams get lost
_LARGEST: Final = 4096
_MOST: Final = 4096  # devices; beyond that somebody plays tricks
_DETAILS: Final = (
    dsci.Function.KERNEL,
    dsci.Function.NAME,
    dsci.Function.NETWORK,
    dsci.Function.NETSTAT_EXTENDED,
    dsci.Function.NETSTAT,
)


@dataclass(slots=True)
class Device:
    """What has answered, and what it has told.

    Attributes:
        asked_at: where it is asked for more.
        id: its device id.
        address: where it says it is; None: it does not.
        name: of the server.
        firmware: its version.
        serial: its serial number.
        netmask: of its network.
        gateway: of its network.
        ports: TCP ports of its serial ports that somebody is connected to, as far as it tells us.
        told: what it has answered or refused.
    """

    asked_at: tuple[str, int]
    id: dsci.DeviceId
    address: IPv4Address | None
    name: str = ""
    firmware: str = ""
    serial: int | None = None
    netmask: IPv4Address | None = None
    gateway: IPv4Address | None = None
    ports: list[int] = field(default_factory=list)
    told: set[int] = field(default_factory=set)

    def take(self, reply: dsci.Reply) -> None:
        """It has told something."""
        match reply:
            case dsci.Name(name=name):
                self.name = name
                self.told.add(dsci.Function.NAME)
            case dsci.Kernel(serial=serial):
                self.firmware, self.serial = reply.firmware_text, serial
                self.told.add(dsci.Function.KERNEL)
            case dsci.NetworkParameters(network=network):
                self.netmask, self.gateway = network.netmask, network.gateway
                self.told.add(dsci.Function.NETWORK)
            case dsci.Netstat(entries=entries):
                self.ports = sorted({entry.local_port for entry in entries if entry.port != 0xFF})
                self.told |= {dsci.Function.NETSTAT, dsci.Function.NETSTAT_EXTENDED}
            case dsci.Refused(function=function):
                self.told.add(function)
            case _:
                pass

    @property
    def where(self) -> str:
        """Its address, and the one it answers from if that is another."""
        at = self.asked_at[0]
        return at if self.address is None or str(self.address) == at else f"{self.address} (answers from {at})"

    @property
    def mac(self) -> str:
        """As people write it."""
        return self.id.mac.hex(":")


@dataclass(frozen=True, slots=True)
class Search:
    """What is asked, and where.

    Attributes:
        indexes: network interfaces to broadcast on, by the kernel's numbers.
        addresses: who is asked beside that.
        port: the port that is asked; another than `dsci.PORT` is for tests.
        wait: seconds to wait for answers.
    """

    indexes: Sequence[int]
    addresses: Sequence[str]
    wait: float
    port: int = dsci.PORT

    def run(self) -> list[Device]:
        """Search; the devices by their addresses."""
        found: dict[tuple[str, dsci.DeviceId], Device] = {}
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            end = time.monotonic() + self.wait
            while (now := time.monotonic()) < end:
                self._ask_everybody(sock)
                for device in found.values():
                    _ask_for_more(sock, device)
                until = min(now + _AGAIN, end)
                while (left := until - time.monotonic()) > 0 and select.select([sock], [], [], left)[0]:
                    self._hear(sock, found)
        return sorted(found.values(), key=lambda device: (IPv4Address(device.asked_at[0]), device.id.mac))

    def _ask_everybody(self, sock: socket.socket) -> None:
        for index in self.indexes:
            with contextlib.suppress(OSError):  # an interface that just went, or has no way out
                way = [(socket.IPPROTO_IP, _IP_PKTINFO, _PKTINFO.pack(index))]
                sock.sendmsg((dsci.search(),), way, 0, (_EVERYBODY, self.port))
        for address in self.addresses:
            with contextlib.suppress(OSError):
                sock.sendto(dsci.search(), (address, self.port))

    def _hear(self, sock: socket.socket, found: dict[tuple[str, dsci.DeviceId], Device]) -> None:
        try:
            data, origin = sock.recvfrom(_LARGEST)
            reply = dsci.parse_reply(data)
        except (OSError, ProtocolError):  # nobody is there (ICMP), or somebody talks nonsense
            return
        if isinstance(reply, dsci.Refused):
            for device in found.values():
                if device.asked_at == origin:
                    device.take(reply)
            return
        key = (origin[0], reply.device)
        if isinstance(reply, dsci.Found) and key not in found and len(found) < _MOST:
            found[key] = Device(origin, reply.device, reply.address)
            _ask_for_more(sock, found[key])
        elif key in found:
            found[key].take(reply)


def _ask_for_more(sock: socket.socket, device: Device) -> None:
    for number, function in enumerate(_DETAILS, 1):
        if function not in device.told:
            with contextlib.suppress(OSError):
                sock.sendto(dsci.ask(function, device.id, number), device.asked_at)


def _host(text: str) -> str:
    """The IPv4 address of a host.

    Raises:
        ValueError: it has none.
    """
    try:
        return str(socket.getaddrinfo(text, None, socket.AF_INET)[0][4][0])
    except OSError as error:
        raise ValueError(f"{text!r} has no IPv4 address: {error.strerror}") from None


@click.command()
@click.option("--interface", "names", metavar="NAME", multiple=True, help="Search there, and not on all interfaces.")
@click.option(
    "--address", "addresses", metavar="HOST", multiple=True, callback=lambda _c, _p, value: _each(value),
    help="Ask this host, and broadcast only where --interface says so.",
)  # fmt: skip
@click.option(
    "--wait", metavar="TIME", default="2s", show_default=True, callback=parsed(patience), help="How long to listen."
)
@click.option("--json", "as_json", is_flag=True, help="A list of objects instead of a table.")
def discover(names: tuple[str, ...], addresses: tuple[str, ...], wait: float, as_json: bool) -> None:
    """Find the NPorts and nportpys on the network.

    The search that NPorts answer (UDP port 4800) is broadcast on all network interfaces. nportpy answers it where
    Real COM is on or [discovery] is configured. Ports in use are those of connections from this machine, unless a
    device tells of others.

    \b
        nportpy discover
        nportpy discover --interface eth0 --wait 5s
        nportpy discover --address 192.0.2.7
    """  # noqa: D301 - click wants the character
    devices = Search(tuple(_indexes(names, bool(addresses))), addresses, wait).run()
    if as_json:
        click.echo(json.dumps([_object(device) for device in devices], indent=2))
    elif devices:
        _print_table(devices)
    if not devices:
        click.echo("nobody answered", err=True)
        sys.exit(1)


def _each(hosts: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return tuple(_host(host) for host in hosts)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _indexes(names: tuple[str, ...], only_named: bool) -> Iterator[int]:
    here = {each.name: each for each in interfaces()}
    for name in names:
        if name not in here:
            known = ", ".join(here) or "none"
            raise click.BadParameter(f"{name!r} is not up, or has no IPv4 address; there are: {known}")
        yield here[name].index
    if not names and not only_named:
        yield from (each.index for each in here.values() if not each.loopback)


def _object(device: Device) -> dict[str, object]:
    return {
        "name": device.name,
        "model": device.id.model,
        "address": None if device.address is None else str(device.address),
        "answers_from": device.asked_at[0],
        "mac": device.mac,
        "netmask": None if device.netmask is None else str(device.netmask),
        "gateway": None if device.gateway is None else str(device.gateway),
        "firmware": device.firmware,
        "serial": device.serial,
        "ports": device.ports,
    }


def _row(device: Device) -> tuple[str, ...]:
    ports = " ".join(map(str, device.ports))
    serial = "-" if device.serial is None else str(device.serial)
    return (device.name or "-", device.id.model, device.where, device.mac, device.firmware or "-", serial, ports or "-")


def _print_table(devices: list[Device]) -> None:
    rows = [_row(device) for device in devices]
    if not sys.stdout.isatty():
        widths = [max(map(len, column)) for column in zip(COLUMNS, *rows, strict=True)]
        for row in (COLUMNS, *rows):
            click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        return
    from rich.console import Console  # only a terminal pays for it
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in COLUMNS:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))  # Text, not markup: a name may hold square brackets
    Console().print(table)

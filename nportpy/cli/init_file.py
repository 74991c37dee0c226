"""The file that `nportpy init` writes: a configuration that explains itself, put in its place whole or not at all."""

import os
import shutil
from collections.abc import Iterator, Sequence
from typing import Final

from nportpy import __version__
from nportpy.atomicfile import Owner, Prepared
from nportpy.cli.init_ports import COMMAND_BEHIND, Chosen, Mode, Wanted
from nportpy.client.found import ranges
from nportpy.client.scanning import Found
from nportpy.config.toml import toml_text
from nportpy.protocols.modbus.identification import text as words
from nportpy.protocols.modbus.values import show

TITLE: Final = "# nportpy's configuration"
"""How every file of ours begins, those of packages too."""

_LONGEST: Final = 1 << 16
_MODE: Final = 0o644

_LINE_KEYS: Final = """
# Flow control: "none", "xonxoff", "rtscts" or "dsrdtr".
# flow = "none"

# RS-485 direction control by the kernel driver: "keep" as the device tree has it, "off", or "on". Adapters that do it
# themselves, as most USB adapters do, want "keep".
# rs485 = "keep"

# Who may connect to this port. Without this line, whoever [gateway] lets in.
# allow = ["192.168.7.0/24"]
"""

_SERVICES: Final = {
    Mode.RAW: (
        "Raw TCP: the line's bytes and nothing else, as an NPort's TCP server has it.",
        "How many clients at once; one more is refused.\n# max_clients = 4",
    ),
    Mode.RFC2217: (
        "RFC 2217: the line for virtual COM ports and pyserial's rfc2217://, with its settings and modem lines.",
        "How many clients at once; one more is refused.\n# max_clients = 4",
    ),
    Mode.REALCOM: (
        "Real COM: virtual COM ports by the drivers that come with NPorts, which find the port by these two TCP ports.",
        "How many clients at once.\n# max_clients = 1",
    ),
    Mode.MODBUS: (
        "Modbus TCP for the units on the line, which speak Modbus RTU.",
        'How long a unit gets for its answer, and how often a read is sent again.\n# timeout = "1s"\n# retries = 1',
    ),
}

_REST: Final = """
# ---------------------------------------------------------------------------------------------------------------------
# What holds for everything.

[gateway]
# Its name; without this line, the host name.
# name = "pi-07"

# The address of every service that names none: "::" is every address, IPv6 and IPv4.
# listen = "::"

# Who may connect at all. Without this line, anyone who reaches this machine.
{allow}

# /metrics for Prometheus, /healthz, and what `nportpy status` shows; for this machine alone unless changed.
[http]
# listen = "127.0.0.1:9550"
"""


def configuration(ports: Sequence[Chosen], allow: Sequence[str], commands: Sequence[tuple[str, str]]) -> str:
    """The file's text.

    Args:
        ports: the lines, in order.
        allow: networks that may connect; none: anyone.
        commands: what to type next, and what it is for.
    """
    pages = ["".join(_head(commands)), *("".join(_port(port)) for port in ports)]
    networks = f"allow = {toml_text([*allow], _LONGEST)}" if allow else '# allow = ["192.168.0.0/16"]'
    return "\n".join(pages) + _REST.format(allow=networks)


def _head(commands: Sequence[tuple[str, str]]) -> Iterator[str]:
    yield f"{TITLE}: which serial line is which TCP port. Written by nportpy {__version__} init.\n#\n"
    yield "# Next:\n"
    width = max(len(command) for command, _ in commands)
    for command, purpose in commands:
        yield f"#   {command:<{width}}  {purpose}\n"
    yield "#\n"
    yield '# A key behind "#" shows its default or an example; remove the "#" to change it. nportpy.toml(5)\n'
    yield "# and etc/nportpy.toml, which come with nportpy, explain every key that there is.\n"


def _port(port: Chosen) -> Iterator[str]:
    yield f"[port.{_key(port.name)}]\n"
    yield "# The serial device"
    yield f": {port.description}.\n" if port.description else ".\n"
    if "/serial/by-" in port.device or "/nportpy/" in port.device:
        yield "# This name stays the same whatever is plugged in beside it.\n"
    yield f"device = {toml_text(port.device, _LONGEST)}\n\n"
    yield "# Speed in baud and format, as the devices on the line have them: data bits 5-8; parity N(one) E(ven)\n"
    yield "# O(dd) M(ark) S(pace); stop bits 1, 1.5 or 2.\n"
    yield f'baudrate = {port.line.baudrate}\nformat = "{port.line.format}"\n'
    if port.units:
        yield f"\n# Modbus units that answered a search at {port.line}: {ranges(each.unit for each in port.units)}\n"
        yield from (f"#   {line}\n" for line in map(described, port.units) if line)
    yield _LINE_KEYS
    for service in port.services:
        yield from _service(port, service)


def _service(port: Chosen, service: Wanted) -> Iterator[str]:
    title, more = _SERVICES[service.mode]
    yield f"\n# {title}\n[port.{_key(port.name)}.{service.mode}]\n"
    if service.mode is Mode.REALCOM:
        yield f"data = {service.tcp_port}\ncommand = {service.tcp_port + COMMAND_BEHIND}\n"
    else:
        yield f'# A TCP port, or "address:port" to listen on one address alone.\nlisten = {service.tcp_port}\n'
    yield f"\n# {more}\n"


def _key(name: str) -> str:
    """A port's name as a key: a point would part it."""
    return toml_text(name, _LONGEST) if "." in name else name


def described(found: Found) -> str:
    """A unit that says who it is, in a line; else nothing."""
    says = [show(words(data)) for _, data in sorted(found.identity.objects.items())]
    return f"unit {found.unit}: {', '.join(filter(None, says))}" if any(says) else ""


def put(path: str, text: str) -> str:
    """Write a file whole, or leave things as they were; where the old one is kept now, empty if there was none.

    Folders that are missing are made. Where `path` is a link, what it leads to is replaced.

    Raises:
        OSError: it cannot be written.
    """
    path = os.path.realpath(path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    prepared = Prepared(path, text.encode(), _MODE, owner=Owner.KEPT_IF_ALLOWED)
    try:
        kept = _keep(path) if os.path.exists(path) else ""
        prepared.commit()
    finally:
        prepared.abandon()
    return kept


def _keep(path: str) -> str:
    """Copy the old file to a name that nobody has: an earlier copy may be all that is left of somebody's work."""
    number = 1
    while os.path.lexists(name := f"{path}.bak" if number == 1 else f"{path}.bak{number}"):
        number += 1
    shutil.copy2(path, name)
    return name

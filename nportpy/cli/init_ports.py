"""What `nportpy init` is told of a serial line, and what it makes of that.

[NAME=]DEVICE[,BAUDRATE][,FORMAT][,MODE[:PORT]]...       meters=/dev/ttyUSB0,19200,8E1,modbus:502,raw
"""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from nportpy.client.scanning import Found
from nportpy.config import values
from nportpy.config.values import ValueFault
from nportpy.gateway.occupants import occupant
from nportpy.linesettings import LineSettings
from nportpy.network.addresses import Endpoint
from nportpy.services.http_base import HttpSettings

COMMAND_BEHIND: Final = 16
"""How far Real COM's command connection is behind its data connection: drivers expect 950 and 966."""

_NAMED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)=(.+)")
_MOST_SPEED: Final = (1 << 31) - 1
_LAST_PORT: Final = 65535


class Mode(StrEnum):
    """The operation modes that a first set-up offers; the rest are in the commented configuration."""

    RAW = "raw"
    RFC2217 = "rfc2217"
    REALCOM = "realcom"
    MODBUS = "modbus"


FIRST_PORTS: Final = {Mode.RAW: 4001, Mode.RFC2217: 5001, Mode.REALCOM: 950, Mode.MODBUS: 502}
MEANINGS: Final = {
    Mode.RAW: "the line's bytes on a TCP port, an NPort's TCP server",
    Mode.RFC2217: "virtual COM ports, which set speed and modem lines too",
    Mode.REALCOM: "virtual COM ports by the drivers that come with NPorts",
    Mode.MODBUS: "Modbus TCP for the Modbus RTU units on the line",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A mode and its TCP port; 0: the next that is free."""

    mode: Mode
    tcp_port: int = 0

    @classmethod
    def parse(cls, text: str) -> "Wanted":
        """MODE or MODE:PORT.

        Raises:
            ValueError: it is neither.
        """
        word, colon, number = text.strip().lower().partition(":")
        if word not in set(Mode):
            raise ValueError(f"{text!r} is no mode; modes are {', '.join(Mode)}, as in raw or raw:4001")
        return cls(Mode(word), tcp_port(number) if colon else 0)


def each_once(services: Iterable[Wanted]) -> tuple[Wanted, ...]:
    """The services without those that are there again.

    Raises:
        ValueError: a mode has two TCP ports. The file may have that, but not as this command writes it.
    """
    once = dict.fromkeys(services)
    modes = [service.mode for service in once]
    for mode in modes:
        if modes.count(mode) > 1:
            raise ValueError(f"{mode} is there twice; one is written, and etc/nportpy.toml shows how to add another")
    return tuple(once)


@dataclass(frozen=True, slots=True)
class Said:
    """What has been said of a line; what was not said is empty, or None.

    Attributes:
        device: its path, or a pyserial URL.
        name: of the port.
        baudrate: of the line.
        format: of the line, as 8N1.
        services: how it is served.
    """

    device: str
    name: str = ""
    baudrate: int | None = None
    format: str | None = None
    services: tuple[Wanted, ...] = ()

    @classmethod
    def parse(cls, word: str) -> "Said":
        """What a word of the command line says.

        Raises:
            ValueError: something in it is wrong.
        """
        named = _NAMED.fullmatch(word)
        name, rest = (named[1], named[2]) if named else ("", word)
        device, *settings = rest.split(",")
        speed: int | None = None
        line_format: str | None = None
        services: list[Wanted] = []
        for setting in settings:
            if setting.isascii() and setting.isdigit():
                if speed is not None:
                    raise ValueError(f"{word!r} has two speeds: {speed} and {setting}; a TCP port is as in raw:4001")
                speed = baudrate(setting)
            elif re.match("[5-8]", setting):
                if line_format is not None:
                    raise ValueError(f"{word!r} has two formats: {line_format} and {setting}")
                line_format = format_of(setting)
            else:
                services.append(Wanted.parse(setting))
        return cls(device_of(device), name and name_of(name), speed, line_format, each_once(services))


@dataclass(frozen=True, slots=True)
class Chosen:
    """A port as it will be written.

    Attributes:
        name: of the port.
        device: its path, or a pyserial URL.
        description: what the device is; may be empty.
        line: speed and format.
        services: modes and their TCP ports.
        units: Modbus units that answered.
    """

    name: str
    device: str
    description: str
    line: LineSettings
    services: tuple[Wanted, ...]
    units: tuple[Found, ...] = ()


@dataclass(slots=True)
class Taken:
    """Names and TCP ports that are gone.

    Attributes:
        names: of ports.
        tcp_ports: and whose they are.
    """

    names: set[str] = field(default_factory=set)
    tcp_ports: dict[int, str] = field(default_factory=lambda: {port: "[http]" for _, port in HttpSettings().listen})

    def next_name(self) -> str:
        """A name that no port has."""
        number = 1
        while f"port{number}" in self.names:
            number += 1
        return f"port{number}"

    def next_port(self, mode: Mode, besides: Iterable[int] = ()) -> int:
        """A TCP port that no service has, and no other program of this machine now; the mode's usual ones first."""
        gone = {*self.tcp_ports, *besides}
        port = FIRST_PORTS[mode]
        while not gone.isdisjoint(claims(Wanted(mode, port))) or _in_use(port):
            port += 1
        return port

    def clash(self, wanted: Wanted, own: Mapping[int, str]) -> str:
        """Why a service cannot have its port; empty: it can. `own` are those of the same line's other services."""
        gone = {**self.tcp_ports, **own}
        for port in claims(wanted):
            if port > _LAST_PORT:
                return f"TCP port {port}, for Real COM's commands, is beyond {_LAST_PORT}"
            if port in gone:
                return f"TCP port {port} belongs to {gone[port]} already"
        return ""

    def take(self, port: Chosen) -> None:
        """What a port has is gone."""
        self.names.add(port.name)
        for service in port.services:
            self.tcp_ports.update((number, f"{service.mode} of {port.name}") for number in claims(service))


def claims(service: Wanted) -> tuple[int, ...]:
    """The TCP ports of a service."""
    behind = (service.tcp_port + COMMAND_BEHIND,) if service.mode is Mode.REALCOM else ()
    return (service.tcp_port, *behind)


def _in_use(port: int) -> bool:
    """Whether another program listens there; a gateway that runs will have read the new file by then."""
    found = occupant(Endpoint("::", port), udp=False)
    return found is not None and not found.is_gateway


def with_defaults(said: Said, description: str, units: Sequence[Found], taken: Taken) -> Chosen:
    """A port where nobody is asked: what was said, what was found, else the usual.

    Raises:
        ValueError: a name or a TCP port is gone.
    """
    found = units[0].line if units else LineSettings()
    line = LineSettings.parse(said.baudrate or found.baudrate, said.format or found.format)
    name = said.name or taken.next_name()
    if name in taken.names:
        raise ValueError(f"the name {name} is there twice")
    usual = Wanted(Mode.MODBUS if units else Mode.RAW)
    services: list[Wanted] = []
    own: dict[int, str] = {}
    for wanted in said.services or (usual,):
        service = Wanted(wanted.mode, wanted.tcp_port or taken.next_port(wanted.mode, own))
        clash = taken.clash(service, own)
        if clash:
            raise ValueError(f"{name}: {clash}")
        own |= dict.fromkeys(claims(service), str(service.mode))
        services.append(service)
    return Chosen(name, said.device, description, line, tuple(services), tuple(units))


def device_of(text: str) -> str:
    """A device as the file has it: a URL, or an absolute path; ttyUSB0 is /dev/ttyUSB0.

    Raises:
        ValueError: it is none.
    """
    path = text.strip()
    if not path:
        raise ValueError("a device is missing; it is a path such as /dev/ttyUSB0")
    if "://" not in path:
        path = os.path.abspath(path) if "/" in path else f"/dev/{path}"
    return _fitting(values.device, path)


def name_of(text: str) -> str:
    """A port's name.

    Raises:
        ValueError: it is none.
    """
    return _fitting(values.port_name, text.strip())


def baudrate(text: str) -> int:
    """A line's speed.

    Raises:
        ValueError: it is none.
    """
    word = text.strip()
    if not (word.isascii() and word.isdigit() and 1 <= int(word[:11]) <= _MOST_SPEED):
        raise ValueError(f"{text!r} is no speed; a speed is as in 9600")
    return int(word)


def format_of(text: str) -> str:
    """A line's format, as 8N1.

    Raises:
        ValueError: it is none.
    """
    return _fitting(values.line_format, text.strip())


def tcp_port(text: str) -> int:
    """A TCP port.

    Raises:
        ValueError: it is none.
    """
    word = text.strip()
    if not (word.isascii() and word.isdigit() and 1 <= int(word[:6]) <= _LAST_PORT):
        raise ValueError(f"{text!r} is no TCP port; TCP ports are 1 to {_LAST_PORT}")
    return int(word)


def _fitting(parse: Callable[[object], str], text: str) -> str:
    try:
        return parse(text)
    except ValueFault as fault:
        allowed = f"; allowed: {fault.allowed}" if fault.allowed else ""
        raise ValueError(f"{text!r} {fault.reason}{allowed}") from None

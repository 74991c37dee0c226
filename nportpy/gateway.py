"""The composition: builds lines and services, runs them in one task group, reloads and drains them."""

from dataclasses import dataclass, field

from nportpy.line.port import PortSettings
from nportpy.line.stream import StreamSettings
from nportpy.modes.base import DoorSettings
from nportpy.modes.raw import RawSettings
from nportpy.modes.rfc2217 import Rfc2217Settings
from nportpy.services.http import HttpSettings
from nportpy.services.logs import LogSettings


@dataclass(frozen=True, slots=True)
class PortPlan:
    """One `[port.NAME]` with its services.

    Attributes:
        name: its name: a letter or digit, then letters, digits, `-`, `_` and `.`.
        port: how to open the device.
        stream: how streams share the line.
        trace: log what goes over the line in hexadecimal.
        raw: its raw TCP listeners.
        rfc2217: its RFC 2217 listeners.
    """

    name: str
    port: PortSettings
    stream: StreamSettings = field(default_factory=StreamSettings)
    trace: bool = False
    raw: tuple[RawSettings, ...] = ()
    rfc2217: tuple[Rfc2217Settings, ...] = ()


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Everything that a configuration file says.

    Attributes:
        name: the gateway's name.
        ports: the lines and their services, in the file's order.
        door: limits over all services.
        drain: seconds that stopping may take to write out what clients have sent.
        http: the HTTP service; None: off.
        log: logging.
    """

    name: str
    ports: tuple[PortPlan, ...]
    door: DoorSettings = field(default_factory=DoorSettings)
    drain: float = 5.0
    http: HttpSettings | None = field(default_factory=HttpSettings)
    log: LogSettings = field(default_factory=LogSettings)

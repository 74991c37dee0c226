"""What a virtual COM port is to be, and what it counts."""

from dataclasses import dataclass
from enum import StrEnum

from nportpy.attach.target import Target
from nportpy.attach.wish import Wish


class Connect(StrEnum):
    """When there is a connection."""

    ALWAYS = "always"
    OPEN = "open"  # while a program has the port open


class WhileAway(StrEnum):
    """What becomes of what programs write while there is no connection."""

    HOLD = "hold"  # the kernel keeps 22 KB, then they have to wait
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class AttachSettings:
    """A virtual COM port.

    Attributes:
        target: what is behind it.
        link: its name, a link to a pseudo-terminal.
        mode: the device's access mode.
        group: the device's group, a number; -1: as the kernel sets it.
        wish: speed and format to begin with; None: as the server has them.
        fixed: data bits, parity and stop bits of `wish` stay, whatever programs set.
        modem: DTR and RTS are up while a program has the port open.
        connect: when there is a connection.
        while_away: what becomes of what is written while there is none.
        drain: seconds without progress that `stop` gives what was written to arrive.
    """

    target: Target
    link: str
    mode: int = 0o660
    group: int = -1
    wish: Wish | None = None
    fixed: bool = False
    modem: bool = True
    connect: Connect = Connect.ALWAYS
    while_away: WhileAway = WhileAway.HOLD
    drain: float = 5.0


@dataclass(slots=True)
class Counts:
    """What has passed since the start, in bytes, and how often there was a connection."""

    sent: int = 0
    received: int = 0
    dropped: int = 0  # written while there was no connection, and thrown away
    connections: int = 0

"""TCP client: the gateway calls the host, as an NPort's mode of that name does; up to four hosts hear the line.

A connection is a raw session whose socket was connected instead of accepted, so bytes, back-pressure and ends are as
in raw.py.
"""

from dataclasses import dataclass
from enum import StrEnum

from nportpy.modes.base import WhenDown

MOST_DESTINATIONS = 4
"""Hosts that an NPort calls at most."""


class ConnectOn(StrEnum):
    """When hosts are called."""

    STARTUP = "startup"  # at once, and again whenever a connection has ended
    ANY_CHARACTER = "any_character"  # when the line says something
    DSR = "dsr"  # while the device holds DSR
    DCD = "dcd"  # while the device holds DCD


class DisconnectOn(StrEnum):
    """When we end a connection that the host keeps."""

    NEVER = "never"
    INACTIVITY = "inactivity"
    DSR = "dsr"  # when DSR drops
    DCD = "dcd"  # when DCD drops


class IdleLevels(StrEnum):
    """What DTR and RTS are while nobody is connected."""

    KEEP = "keep"  # as they are
    HIGH = "high"
    LOW = "low"


COMBINATIONS = frozenset(
    (
        (ConnectOn.STARTUP, DisconnectOn.NEVER),
        (ConnectOn.ANY_CHARACTER, DisconnectOn.NEVER),
        (ConnectOn.ANY_CHARACTER, DisconnectOn.INACTIVITY),
        (ConnectOn.DSR, DisconnectOn.NEVER),
        (ConnectOn.DSR, DisconnectOn.DSR),
        (ConnectOn.DCD, DisconnectOn.NEVER),
        (ConnectOn.DCD, DisconnectOn.DCD),
    )
)
"""What makes sense together, and what an NPort offers (NPort 6000 manual, TCP Client, Connection Control)."""


@dataclass(frozen=True, slots=True)
class Destination:
    """A host to call.

    Attributes:
        host: its name, looked up before each attempt, or its address.
        port: its TCP port.
        local_port: the port that we call from; 0: any. A host that sees a connection from a fixed port end may refuse
            the next one from there for a minute (TIME_WAIT), and so may our own kernel.
    """

    host: str
    port: int
    local_port: int = 0

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TcpClientSettings:
    """Whom to call, and when. Times are seconds, 0 switches a limit off; sizes are bytes.

    Attributes:
        destinations: one to four hosts; each hears all of the line, and each may write to it.
        connect: when they are called.
        disconnect: when we end a connection; `COMBINATIONS` says what goes with what.
        inactivity: with `disconnect = inactivity`: after so long without serial data in either direction. It must be
            given there, and means nothing elsewhere.
        connect_timeout: what an attempt may take, looking the name up included.
        retry_at_most: attempts that fail are repeated for ever, after 0.1 s at first and twice as long each time up
            to this.
        alive_check: a host that does not answer for so long, or fetches nothing of what waits for it, is gone.
        half_close: after a host's FIN it still hears the line until the line was silent for so long; by default a FIN
            is the end.
        when_down: what happens to connections while the device is away. Closed ones are made again when it is back;
            nobody is called before.
        allowance: what may wait for a slow host while others listen; beyond it the host is dropped, and called again.
        keep: with `connect = any_character`: how much of what the line says before anybody is connected is kept for
            the first who is. Beyond it the oldest goes.
        idle_levels: what DTR and RTS are while nobody is connected. Unless they are kept as they are, both are high
            while somebody is.
    """

    destinations: tuple[Destination, ...]
    connect: ConnectOn = ConnectOn.STARTUP
    disconnect: DisconnectOn = DisconnectOn.NEVER
    inactivity: float = 0.0
    connect_timeout: float = 10.0
    retry_at_most: float = 5.0
    alive_check: float = 420.0
    half_close: float = 0.0
    when_down: WhenDown = WhenDown.CLOSE
    allowance: int = 256 * 1024
    keep: int = 4096
    idle_levels: IdleLevels = IdleLevels.KEEP

"""What all listening modes share: addresses, who may come in, how long a connection lives."""

from dataclasses import dataclass, field
from enum import StrEnum

from nportpy.linesettings import LineSettings
from nportpy.network.addresses import Endpoint, Rings
from nportpy.protocols.packing import PackingSettings


class WhenFull(StrEnum):
    """What happens to a client that comes when `max_clients` are there."""

    REFUSE = "refuse"
    KICK_OLDEST = "kick_oldest"
    KICK_IDLE = "kick_idle"


class WhenDown(StrEnum):
    """What happens to clients while the device is away."""

    CLOSE = "close"
    HOLD = "hold"


class WhenBusy(StrEnum):
    """What happens to a client that comes while others have the line at other settings than it wants."""

    REFUSE = "refuse"
    WAIT = "wait"  # it is not read until they have gone
    KICK = "kick"  # they are sent away
    SHARE = "share"  # the line is set for it; they stay, hear what is said, and what they write leaves as it is set


class WhenJammed(StrEnum):
    """What happens to a client for which more waits than its allowance, while others listen."""

    DROP = "drop"  # it is sent away
    SKIP = "skip"  # it misses what the line says until it has fetched what waits: an NPort's "ignore jammed IP"
    WAIT = "wait"  # the line is not read, and everybody waits for it, as with that switched off


class Direction(StrEnum):
    """Which way bytes go through a service."""

    BOTH = "both"
    TO_NETWORK = "to_network"  # what clients send is thrown away
    TO_LINE = "to_line"  # clients hear nothing of the line


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """One listener of one port. Times are seconds, 0 switches a limit off; sizes are bytes.

    Attributes:
        listen: where it listens.
        allow: who may connect: rings of networks (gateway, port, service); an address must be in one network
            of every ring. No ring: anyone.
        max_clients: how many at once.
        when_full: what happens to one more.
        idle_after: how long a client must have sent nothing for `kick_idle` to choose it.
        takeover: a newcomer from the address of a dead session gets its place.
        alive_check: a peer that does not answer for so long, or fetches nothing of what waits for it, is gone
            (keepalive and TCP_USER_TIMEOUT).
        inactivity: a client is closed after so long without serial data in either direction.
        half_close: after a client's FIN it still hears the line until the line was silent for so long.
        when_down: what happens to clients while the device is away.
        allowance: what may wait for a slow client while others listen.
        when_jammed: what happens to it beyond that. With Modbus on the same line nobody can wait for it: then `wait`
            means `drop`.
        packing: which bytes of the line go to a client together. Of stream modes only, as is what follows.
        direction: which way bytes go. RFC 2217 requests are obeyed and answered either way.
        line: speed, format and flow control while a client of this service is there; None: the port's.
        when_busy: what happens to a client that comes while others have the line at other settings.
        tls: the name of the table with its certificates; empty: it is spoken plainly.
    """

    listen: tuple[Endpoint, ...]
    allow: Rings = ()
    max_clients: int = 4
    when_full: WhenFull = WhenFull.REFUSE
    idle_after: float = 30.0
    takeover: bool = True
    alive_check: float = 420.0
    inactivity: float = 0.0
    half_close: float = 2.0
    when_down: WhenDown = WhenDown.CLOSE
    allowance: int = 256 * 1024
    when_jammed: WhenJammed = WhenJammed.DROP
    packing: PackingSettings = field(default_factory=PackingSettings)
    direction: Direction = Direction.BOTH
    line: LineSettings | None = None
    when_busy: WhenBusy = WhenBusy.REFUSE
    tls: str = ""


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """Limits that hold for all services together.

    Attributes:
        max_connections: connections at once.
        max_per_address: connections at once from one address.
    """

    max_connections: int = 512
    max_per_address: int = 64

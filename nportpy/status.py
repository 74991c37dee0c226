"""What the gateway looks like at one moment: frozen values, pulled by /metrics, /readyz and the status page.

The gateway fills them; nothing here asks anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from nportpy.linesettings import LineSettings, ModemLines, PortReport, UartCounters


@dataclass(frozen=True, slots=True)
class LineStatus:
    """One line. Times are seconds since the epoch, counts are totals since the start.

    Attributes:
        name: the port's name in the configuration.
        device: path or URL.
        state: closed, opening, up or lost.
        since: when it came into that state.
        error: why it is not up; empty if it is.
        settings: speed, format and flow control in effect, or wished for while it is not up.
        report: what the driver says of itself; None while it is not up.
        modem_lines: the modem lines now; None where there are none or the line is not up.
        received: bytes from the line.
        sent: bytes handed to the line.
        unheard: bytes from the line while no client was there.
        purged: bytes thrown away unsent (client's purge, linger over, device lost).
        opens: how often the device was opened.
        losses: how often it was lost.
        attempts: how often opening failed.
        uart: the driver's error counters, added up over reopenings; None where it has none.
        unsent: bytes that wait for the line now.
    """

    name: str
    device: str
    state: str
    since: float
    error: str
    settings: LineSettings
    report: PortReport | None
    modem_lines: ModemLines | None
    received: int
    sent: int
    unheard: int
    purged: int
    opens: int
    losses: int
    attempts: int
    uart: UartCounters | None
    unsent: int


class End(StrEnum):
    """How an accepted connection ended."""

    CLOSED = "closed"  # by the client
    KICKED = "kicked"  # for another client
    TAKEN_OVER = "taken_over"  # dead, and its address came again
    INACTIVE = "inactive"
    SLOW = "slow"
    LINE_DOWN = "line_down"
    DEAD = "dead"  # the alive check had no answer
    ERROR = "error"
    SHUTDOWN = "shutdown"


@dataclass(frozen=True, slots=True)
class ClientStatus:
    """One connection. `state` is open, half-closed, suspended or stalled."""

    address: str
    port: int
    since: float
    state: str
    received: int  # bytes of the line's data that came from this client
    sent: int  # bytes of the line's data that went to this client
    waiting: int  # bytes that wait for this client
    controls: bool  # may change the line's settings


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One service of one port.

    Attributes:
        port: the port's name.
        service: raw, rfc2217; with a number where a port has several of a kind (raw, raw-2).
        listen: the addresses it listens on, as text, with the port numbers the kernel gave.
        clients: who is connected.
        results: connections by result since the start: accepted, refused_allow, refused_limit, refused_full,
            refused_down, and how they ended: closed, kicked, taken_over, inactive, slow, line_down, dead,
            error, shutdown.
        dropped: bytes that waited for clients dropped as too slow.
    """

    port: str
    service: str
    listen: tuple[str, ...]
    clients: tuple[ClientStatus, ...]
    results: Mapping[str, int]
    dropped: int


@dataclass(frozen=True, slots=True)
class GatewayStatus:
    """The whole gateway."""

    name: str
    started: float
    ready: bool  # every service listens
    reloads: int
    reloads_failed: int
    lines: tuple[LineStatus, ...]
    services: tuple[ServiceStatus, ...]

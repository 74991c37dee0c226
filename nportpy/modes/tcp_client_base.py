"""What a TCP client is told, apart from what calls."""

from dataclasses import dataclass, field
from enum import StrEnum

from nportpy.linesettings import LineSettings
from nportpy.network.addresses import Destination
from nportpy.network.service import Direction, WhenBusy, WhenDown, WhenJammed
from nportpy.protocols.packing import PackingSettings

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
        allowance: what may wait for a slow host while others listen.
        when_jammed: what happens to it beyond that; one that is dropped is called again.
        packing: which bytes of the line go to a host together.
        direction: which way bytes go.
        keep: with `connect = any_character`: how much of what the line says before anybody is connected is kept for
            those who answer the call. Then the line is not read, if nobody else listens; else what is beyond is lost.
        line: speed, format and flow control while a host is connected; None: the port's. Not with `any_character`:
            the line would have to be heard before at settings that it does not have.
        when_busy: what happens while others have the line at other settings: with `refuse` and `wait` nobody is
            called until they have gone.
        tls: the name of the table by which hosts are believed; empty: it is spoken plainly.
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
    when_jammed: WhenJammed = WhenJammed.DROP
    packing: PackingSettings = field(default_factory=PackingSettings)
    direction: Direction = Direction.BOTH
    keep: int = 4096
    line: LineSettings | None = None
    when_busy: WhenBusy = WhenBusy.REFUSE
    tls: str = ""

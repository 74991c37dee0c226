"""What a pair connection is told, apart from what keeps it."""

from dataclasses import dataclass, field
from enum import StrEnum

from nportpy.network.addresses import Destination
from nportpy.protocols.packing import PackingSettings


class Push(StrEnum):
    """Whether the far end's line is set to what this end's is."""

    PUSH = "push"  # at each connection, and whenever this line's settings change
    NONE = "none"  # the far end's configuration rules there


class WhileAway(StrEnum):
    """What happens to what the line says while the far end cannot be reached."""

    HOLD = "hold"  # the line is not read: flow control holds the device back; without it the kernel keeps 4 KiB
    DROP = "drop"  # nobody listens: it is thrown away, or the port's buffer keeps it


class DtrFrom(StrEnum):
    """Which input of one end raises DTR at the other."""

    DSR = "dsr"  # as in a null-modem cable: a device that has DTR is at the input
    DCD = "dcd"  # the input is a modem's, whose carrier is what matters


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSettings:
    """The other end of the cable, and what is carried. Times are seconds, sizes are bytes.

    Attributes:
        to: the RFC 2217 service of the far end.
        modem_lines: carry modem lines both ways: DSR (or DCD) here is DTR there, CTS here is RTS there. A line that
            flow control uses at this end (RTS and CTS, or DTR and DSR) is not carried. RI has no output to play it.
            While there is no far end DTR and RTS are low: nothing is plugged into the cable's other end.
        dtr_from: which input raises DTR at the other end, for both.
        break_time: how long a break is that the other end heard. How long it was there nobody knows: a UART only
            says that there was one.
        settings: whether the far end's line is set to what this one is.
        while_away: what happens to what the line says while there is no far end.
        connect_timeout: what an attempt may take, looking the name up included.
        retry_at_most: attempts are repeated for ever, after 0.1 s at first and twice as long each time up to this.
        alive_check: a far end that does not answer for so long, or fetches nothing of what waits for it, is gone.
        allowance: what may wait for a slow far end while others listen to this line too; beyond it the connection
            is made anew, without what waited.
        packing: which bytes of the line go to the far end together.
        tls: the name of the table by which the far end is believed; empty: it is spoken plainly.
    """

    to: Destination
    modem_lines: bool = True
    dtr_from: DtrFrom = DtrFrom.DSR
    break_time: float = 0.25
    settings: Push = Push.PUSH
    while_away: WhileAway = WhileAway.HOLD
    connect_timeout: float = 10.0
    retry_at_most: float = 5.0
    alive_check: float = 420.0
    allowance: int = 256 * 1024
    packing: PackingSettings = field(default_factory=PackingSettings)
    tls: str = ""

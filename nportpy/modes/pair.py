"""Pair connection: two gateways as one serial cable, as an NPort's mode of that name.

One side is an RFC 2217 service and needs no more than that. This is the other side: an RFC 2217 client of it, or of
any other RFC 2217 server (ser2net, an NPort). It calls the far end as caller.py does.

What is sent and is still on its way when a connection breaks is lost, as in a cable that is pulled.
"""

import socket
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from nportpy.line.arbiter import Line
from nportpy.linesettings import ModemLines
from nportpy.modes.caller import Called, Caller
from nportpy.modes.far_end import Carried, FarEnd, show_outputs
from nportpy.modes.host import Kept
from nportpy.network.calling import Destination
from nportpy.network.service import ServiceSettings, WhenDown
from nportpy.protocols.packing import PackingSettings
from nportpy.throttle import Throttle

if TYPE_CHECKING:  # a gateway without TLS need not import what it takes
    from nportpy.network.tls_contexts import Table


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


class Pair(Caller[PairSettings, FarEnd]):
    """Keeps a line joined to its far end. See `Caller`; `error` if the far end turned out not to speak RFC 2217."""

    what = "far end"

    def __init__(
        self, line: Line, service: str, settings: PairSettings, throttle: Throttle, table: "Table | None" = None
    ) -> None:
        """Nobody is called before `run`. `table`: by which certificates the far end is believed, if TLS is spoken."""
        kept = Kept(line.stream, settings.allowance, lambda: None, settings.packing)
        super().__init__(line, service, settings, (Called(settings.to),), kept, throttle, table)
        self._carried = Carried(
            modem_lines=settings.modem_lines,
            dtr_from=ModemLines.CD if settings.dtr_from is DtrFrom.DCD else ModemLines.DSR,
            break_time=settings.break_time,
            settings=settings.settings is Push.PUSH,
        )

    @staticmethod
    def _of_sessions(settings: PairSettings) -> ServiceSettings:
        return ServiceSettings(
            listen=(),
            alive_check=settings.alive_check,
            half_close=0.0,
            when_down=WhenDown.HOLD,
            allowance=settings.allowance,
            packing=settings.packing,
        )

    async def run(self) -> None:
        """Serve until `stop`, and until the connection has ended."""
        await super().run()
        self._show(plugged=True)

    def _begin(self) -> None:
        self._part()

    def _session(self, called: Called, sock: socket.socket) -> FarEnd:  # noqa: ARG002 - there is one
        return FarEnd(self.line, self._session_settings, self._carried, sock, self._meet, self._part, self._throttle)

    # With a far end and without.

    def _meet(self, session: FarEnd) -> None:
        """The far end listens now."""
        for segment in self._kept.segments:
            session.line_data(segment)
        self._kept.end()

    def _part(self) -> None:
        """There is none."""
        if self._hushed:
            return
        if self.settings.while_away is WhileAway.HOLD:
            self._kept.listen()
            self.line.stream.hold(self._kept)
        self._show(plugged=False)

    def _show(self, *, plugged: bool) -> None:
        """Set our outputs, while no far end does."""
        if self.settings.modem_lines:
            show_outputs(self.line, dtr=plugged, rts=plugged)

"""Pair connection: two gateways as one serial cable, as an NPort's mode of that name.

One side is an RFC 2217 service and needs no more than that. This is the other side: an RFC 2217 client of it, or of
any other RFC 2217 server (ser2net, an NPort). It calls the far end as caller.py does.

What is sent and is still on its way when a connection breaks is lost, as in a cable that is pulled.
"""

import socket
from typing import TYPE_CHECKING

from nportpy.line.arbiter import Line
from nportpy.linesettings import ModemLines
from nportpy.modes.caller import Called, Caller
from nportpy.modes.far_end import Carried, FarEnd, show_outputs
from nportpy.modes.host import Kept
from nportpy.modes.pair_base import DtrFrom, PairSettings, Push, WhileAway
from nportpy.network.service import ServiceSettings, WhenDown
from nportpy.throttle import Throttle

if TYPE_CHECKING:  # a gateway without TLS need not import what it takes
    from nportpy.network.tls_contexts import Table


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

"""TCP client: the gateway calls the host, as an NPort's mode of that name does; up to four hosts hear the line.

A connection is a raw session whose socket was connected instead of accepted, so bytes, back-pressure and ends are
as there (raw.py); the calls are those of caller.py.

With `any_character` it is the line that calls: somebody must hear it while nobody is connected. What it says then is
kept (host.py) for every host that answers the call.
"""

import asyncio
import socket
from typing import TYPE_CHECKING

from nportpy.line.arbiter import Line
from nportpy.line.watch import INTERVAL
from nportpy.linesettings import ModemLines
from nportpy.modes.caller import Called, Caller, Reached
from nportpy.modes.host import HostSession, Kept
from nportpy.modes.tcp_client_base import ConnectOn, DisconnectOn, TcpClientSettings
from nportpy.network.admission import Admission, Guest
from nportpy.network.service import Direction, ServiceSettings, WhenDown
from nportpy.status import End
from nportpy.throttle import Throttle

if TYPE_CHECKING:  # a gateway without TLS need not import what it takes
    from nportpy.network.tls_contexts import Table

_LOOK_AGAIN = 0.1  # whether the device is back


class TcpClient(Caller[TcpClientSettings, HostSession]):
    """Calls the hosts of one service. See `Caller`."""

    what = "host"

    def __init__(
        self,
        line: Line,
        service: str,
        settings: TcpClientSettings,
        throttle: Throttle,
        table: "Table | None" = None,
    ) -> None:
        """Nobody is called before `run`. `table`: by which certificates hosts are believed, if TLS is spoken."""
        self._wanted = asyncio.Event()  # connections are
        kept = Kept(line.stream, settings.keep, self._wanted.set, settings.packing)
        hosts = tuple(Called(destination) for destination in settings.destinations)
        super().__init__(line, service, settings, hosts, kept, throttle, table)
        self._listening: dict[HostSession, None] = {}  # to the line
        self._owed: set[Called] = set()  # those who are told what is kept, once they answer
        self._guests: dict[Called, Guest] = {}
        self._admission = Admission(line.control, settings.line, settings.when_busy, line.name, takeover=False)

    def configure(self, settings: TcpClientSettings) -> None:
        super().configure(settings)
        self._admission.configure(settings.when_busy, takeover=False)

    @staticmethod
    def _of_sessions(settings: TcpClientSettings) -> ServiceSettings:
        """What a session need know of them."""
        return ServiceSettings(
            listen=(),
            alive_check=settings.alive_check,
            inactivity=settings.inactivity if settings.disconnect is DisconnectOn.INACTIVITY else 0.0,
            half_close=settings.half_close,
            when_down=settings.when_down,
            allowance=settings.allowance,
            when_jammed=settings.when_jammed,
            packing=settings.packing,
            direction=settings.direction,
        )

    # When hosts are called.

    def _begin(self) -> None:
        match self.settings.connect:
            case ConnectOn.STARTUP:
                self._wanted.set()
            case ConnectOn.ANY_CHARACTER:
                self._keep()

    async def _watch(self) -> None:
        match self.settings.connect:
            case ConnectOn.DSR:
                await self._heed(ModemLines.DSR)
            case ConnectOn.DCD:
                await self._heed(ModemLines.CD)

    async def _until_wanted(self) -> None:
        while True:
            if (not self.line.up and self.settings.when_down is WhenDown.CLOSE) or self._admission.busy:
                await asyncio.sleep(_LOOK_AGAIN)
            elif not self._wanted.is_set():
                await self._wanted.wait()
            else:
                return

    async def _heed(self, modem_line: ModemLines) -> None:
        """Want connections while the device holds a modem line.

        A `Watch` tells of changes, but not of what a device shows that has just come back.
        """
        while True:
            if self.line.modem_lines() & modem_line:
                self._wanted.set()
            elif self._wanted.is_set():
                self._wanted.clear()
                for session in tuple(self.sessions):
                    self._check(session)
            await asyncio.sleep(INTERVAL)

    def _check(self, session: HostSession) -> None:
        """End a connection that the modem lines do not allow."""
        if self.settings.disconnect in (DisconnectOn.DSR, DisconnectOn.DCD) and not self._wanted.is_set():
            session.finish(End.LINE_DOWN)

    def _was_good(self, session: HostSession) -> bool:
        served = self.settings.connect is ConnectOn.ANY_CHARACTER and session.hung_up and session.sent > 0
        return served or super()._was_good(session)

    # Who listens to the line.

    async def _converse(self, called: Called, reached: Reached) -> bool:
        guest = self._guests[called] = Guest(self.service, None, reached.socket, secured=reached.secured)
        called.answered = True
        try:
            refusal = await self._admission.admit(guest, lambda: self._hushed or self._stopping.is_set())
            if not refusal:
                return await super()._converse(called, reached)
            self.results[refusal] += 1
            return False
        finally:
            called.answered = False
            del self._guests[called]
            self._admission.leave(guest)
            if guest.session is None:
                reached.turn_away()

    def _session(self, called: Called, sock: socket.socket) -> HostSession:
        def came(session: HostSession) -> None:
            self._came(called, session)

        session = HostSession(self.line, self._session_settings, sock, came, self._went)
        self._guests[called].session = session
        return session

    def _unanswered(self, called: Called) -> None:
        if self._listening:  # others have answered, and this one has had its chance
            self._settle(called)

    def _came(self, host: Called, session: HostSession) -> None:
        self._listening[session] = None
        if host in self._owed and self.settings.direction is not Direction.TO_LINE:
            for segment in self._kept.segments:
                session.line_data(segment)
        self._settle(host)

    def _settle(self, host: Called) -> None:
        """The host need not be told any more what was kept; nobody keeps for nobody."""
        self._owed.discard(host)
        if not self._owed:
            self._kept.end()

    def _went(self, session: HostSession) -> None:
        del self._listening[session]
        if not self._listening and not self._hushed and self.settings.connect is ConnectOn.ANY_CHARACTER:
            self._wanted.clear()
            self._kept.end()
            self._keep()

    def _keep(self) -> None:
        self._owed = set(self._called)
        self._kept.listen()

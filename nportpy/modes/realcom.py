"""Real COM: a line for the drivers of NPorts, by a data and a command port; protocols/realcom/ has what is said there.

Two listeners, one for each kind of connection, and the pairing between them. Data connections take the places
(`max_clients`) and all that is set for clients holds for them; a command connection lives with its data connection.
"""

import asyncio
import logging
import socket
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

from nportpy.line.arbiter import Line
from nportpy.modes.realcom_base import RealComSettings
from nportpy.modes.realcom_pair import CommandConnection, DataConnection, Pairing
from nportpy.network.access import AccessLimits
from nportpy.network.addresses import Address, Endpoint, address_of
from nportpy.network.admission import Admission
from nportpy.network.connection import Connection
from nportpy.network.listener import Listener
from nportpy.network.service import WhenFull
from nportpy.protocols import dsci
from nportpy.status import End, ServiceStatus
from nportpy.throttle import Throttle

_SPARE = 4  # command connections without a data connection yet, or still

log = logging.getLogger(__name__)


class _DataListener(Listener):
    """Tells the pairing of those who were refused."""

    pairing: Pairing

    def _say_refused(self, peer: Endpoint, address: Address, result: str) -> None:
        super()._say_refused(peer, address, result)
        self.pairing.turn_away(address)


class _CommandListener(Listener):
    """Lets in who may find a place, and speaks only of those who did: a driver without one comes again each second."""

    pairing: Pairing

    async def _make_room(self, address: Address) -> bool:
        return self.pairing.expects(address) and await super()._make_room(address)

    def _greet(self, session: Connection) -> None:
        assert isinstance(session, CommandConnection)
        session.when_paired(partial(super()._greet, session))

    def _account(self, session: Connection, peer: Endpoint) -> None:
        assert isinstance(session, CommandConnection)
        if session.paired:
            super()._account(session, peer)
            return
        end = session.end or End.ERROR
        self.results[end] += 1
        now = asyncio.get_running_loop().time()
        if (more := self._throttle.allow(("no data connection", session.address), now)) is not None:
            extra = self._extra() | {"client": str(peer), "result": str(end)}
            log.info("no data connection came", extra=extra | ({"more": more} if more else {}))


class RealCom:
    """Serves the drivers of one service until it is told to stop. The gateway treats it as a `Listener`.

    Attributes:
        service: its name in metrics and logs.
        endpoints: where data connections come in, then where command connections do.
    """

    def __init__(
        self,
        line: Line,
        label: str,
        settings: RealComSettings,
        data_sockets: Sequence[socket.socket],
        command_sockets: Sequence[socket.socket],
        access: AccessLimits,
        throttle: Throttle,
    ) -> None:
        """Nobody is let in before `run`. The sockets listen already, and stay the caller's."""
        self.service = label
        self._settings = settings
        pairing = Pairing(self._room, single=settings.max_clients == 1)
        make_data = partial(DataConnection, line, settings, pairing)
        admission = Admission(line.control, settings.line, settings.when_busy, line.name, takeover=settings.takeover)
        self._data = _DataListener(
            line, label, settings, make_data, data_sockets, access, throttle, admission=admission
        )
        self._data.pairing = pairing

        def make_command(sock: socket.socket, peer: Endpoint, address: Address) -> CommandConnection:
            return CommandConnection(line, self._settings, pairing, sock, peer, address)

        commands, limits = f"{label} commands", _of_commands(settings)
        self._commands = _CommandListener(line, commands, limits, make_command, command_sockets, access, throttle)
        self._commands.pairing = pairing
        self.endpoints: tuple[Endpoint, ...] = (*self._data.endpoints, *self._commands.endpoints)

    async def run(self) -> None:
        """Serve until `stop`, and until the last client has gone."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._data.run(), name=f"{self.service} data")
            tasks.create_task(self._commands.run(), name=f"{self.service} commands")

    def hush(self) -> None:
        """Accept nobody and take nothing more from the clients; what they have sent goes on to the line."""
        self._data.hush()
        self._commands.hush()

    def accepted(self) -> int:
        """How much of what clients sent has been taken in and is not yet on its way to the line."""
        return self._data.accepted()

    def stop(self, end: End = End.SHUTDOWN) -> None:
        """Accept nobody from now on and end the clients; `run` returns when they have ended."""
        self._data.stop(end)
        self._commands.stop(end)

    def configure(self, settings: RealComSettings) -> None:
        """Other limits and lists from now on. Who is there keeps the control of the line that it has."""
        self._settings = settings
        self._data.pairing.single = settings.max_clients == 1
        self._data.configure(settings)
        self._commands.configure(_of_commands(settings))

    @property
    def sessions(self) -> list[Connection]:
        """The clients, by their data connections."""
        return self._data.sessions

    def status(self) -> ServiceStatus:
        """A snapshot. Connections are data connections."""
        return replace(self._data.status(), listen=tuple(map(str, self.endpoints)))

    def connections(self) -> Iterator[dsci.Entry]:
        """The connections of the clients, as discovery lists them."""
        for data in self.sessions:
            if isinstance(data, DataConnection) and data.partner is not None:
                for half in (data, data.partner):
                    entry = self._entry(half)
                    if entry is not None:
                        yield entry

    def _entry(self, half: Connection) -> dsci.Entry | None:
        try:
            host, port = half.socket.getsockname()[:2]
        except OSError:
            return None
        local, remote = address_of(host), half.address
        return dsci.Entry(remote, half.peer.port, local, port, port=self._settings.number or 0xFF)

    def _room(self, address: Address) -> bool:
        """Whether a client from there may find a place: a free one, or one of a session that may have to go."""
        settings = self._settings
        there = [session for session in self.sessions if session.end is None and not session.half_closed]
        if len(there) < settings.max_clients or settings.when_full is not WhenFull.REFUSE:
            return True
        return settings.takeover and any(session.address == address for session in there)


def _of_commands(settings: RealComSettings) -> RealComSettings:
    """The limits of command connections: they live with their data connections, and come before them."""
    return replace(
        settings,
        max_clients=settings.max_clients + _SPARE,
        when_full=WhenFull.REFUSE,
        takeover=False,
        inactivity=0.0,
    )

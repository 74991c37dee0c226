"""TCP client: the gateway calls the host, as an NPort's mode of that name does; up to four hosts hear the line.

A connection is a raw session whose socket was connected instead of accepted, so bytes, back-pressure and ends are
as there (raw.py). Each host has a task that calls it, waits for the end and calls again.

With `any_character` it is the line that calls: somebody must hear it while nobody is connected. What it says then is
kept (host.py) for every host that answers the call.
"""

import asyncio
import logging
import socket
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from nportpy.line.arbiter import Line
from nportpy.line.watch import INTERVAL
from nportpy.linesettings import ModemLines
from nportpy.modes.host import HostSession, Kept
from nportpy.network.addresses import Endpoint
from nportpy.network.calling import call, outcome, reason
from nportpy.network.connection import Stop
from nportpy.network.listener import first_opening
from nportpy.network.service import Direction, ServiceSettings, WhenDown, WhenJammed
from nportpy.protocols.packing import PackingSettings
from nportpy.status import End, ServiceStatus
from nportpy.throttle import Throttle

_FIRST_PAUSE = 0.1  # after an attempt that failed, or a connection that did not last
_STABLE = 5.0  # a connection that has lasted so long was a good one
_LOOK_AGAIN = 0.1  # whether the device is back

log = logging.getLogger(__name__)

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
        allowance: what may wait for a slow host while others listen.
        when_jammed: what happens to it beyond that; one that is dropped is called again.
        packing: which bytes of the line go to a host together.
        direction: which way bytes go.
        keep: with `connect = any_character`: how much of what the line says before anybody is connected is kept for
            those who answer the call. Then the line is not read, if nobody else listens; else what is beyond is lost.
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


@dataclass(slots=True, eq=False)
class _Host:
    """A destination, and how it goes with it."""

    destination: Destination
    answered: bool = False  # there is a connection
    failure: str = ""  # why the last attempt failed, as logged
    task: asyncio.Task[None] | None = None


class TcpClient:
    """Calls the hosts of one service until it is told to stop. The gateway treats it as a `Listener` without sockets.

    Attributes:
        line: what the hosts hear, and write to.
        service: its name in metrics and logs.
        sessions: the hosts that are connected, in order.
        results: attempts by how they turned out (connected, refused, timeout, unreachable, no_address, failed), and
            connections by how they ended.
        dropped: bytes that waited for hosts dropped as too slow, or were more than could be kept for those called.
    """

    endpoints: tuple[Endpoint, ...] = ()

    def __init__(self, line: Line, service: str, settings: TcpClientSettings, throttle: Throttle) -> None:
        """Nobody is called before `run`."""
        self.line = line
        self.service = service
        self.settings = settings
        self.sessions: list[HostSession] = []
        self.results: Counter[str] = Counter()
        self._dropped = 0
        self._throttle = throttle
        self._session_settings = _of_sessions(settings)
        self._hosts = tuple(_Host(destination) for destination in settings.destinations)
        self._listening: dict[HostSession, None] = {}  # to the line
        self._wanted = asyncio.Event()  # connections are
        self._kept = Kept(line.stream, settings.keep, self._wanted.set, settings.packing)
        self._owed: set[_Host] = set()  # those who are told what is kept, once they answer
        self._hushed = False
        self._ending = End.SHUTDOWN
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Serve until `stop`, and until the last connection has ended."""
        async with asyncio.TaskGroup() as tasks:
            modem: asyncio.Task[None] | None = None
            try:
                await first_opening(self.line, self._stopping)
                if not self._hushed:
                    modem = self._begin(tasks)
                await self._stopping.wait()
            finally:
                self.hush()
                self._kept.end()
                if modem is not None:
                    modem.cancel()
                for session in tuple(self.sessions):
                    session.finish(self._ending)

    def _begin(self, tasks: asyncio.TaskGroup) -> asyncio.Task[None] | None:
        """Begin to call; the task that watches modem lines, if they matter."""
        for host in self._hosts:
            host.task = tasks.create_task(self._keep_calling(host), name=f"{self.service} {host.destination}")
        match self.settings.connect:
            case ConnectOn.STARTUP:
                self._wanted.set()
            case ConnectOn.ANY_CHARACTER:
                self._keep()
            case ConnectOn.DSR:
                return tasks.create_task(self._heed(ModemLines.DSR), name=f"{self.service} DSR")
            case ConnectOn.DCD:
                return tasks.create_task(self._heed(ModemLines.CD), name=f"{self.service} DCD")
        return None

    def hush(self) -> None:
        """Call nobody and take nothing more from the hosts; what they have sent goes on to the line."""
        self._hushed = True
        for host in self._hosts:
            if host.task is not None and not host.answered:
                host.task.cancel()
        for session in self.sessions:
            session.stop(Stop.ENDING)

    def configure(self, settings: TcpClientSettings) -> None:
        """Other limits from now on; connections stay."""
        self.settings, self._session_settings = settings, _of_sessions(settings)
        for session in self.sessions:
            session.configure(self._session_settings)

    def accepted(self) -> int:
        """What hosts send is on its way to the line at once."""
        return 0

    def stop(self, end: End = End.SHUTDOWN) -> None:
        """End the connections and make no more; `run` returns when they have ended."""
        self._ending = end
        self._stopping.set()

    @property
    def dropped(self) -> int:
        """Bytes lost to hosts that do not keep up, or were not there."""
        return self._dropped + self._kept.lost

    def status(self) -> ServiceStatus:
        """A snapshot."""
        return ServiceStatus(
            port=self.line.name,
            service=self.service,
            listen=(),
            clients=tuple(session.status() for session in self.sessions),
            results=dict(self.results),
            dropped=self.dropped,
        )

    # When hosts are called.

    async def _until_wanted(self) -> None:
        while True:
            if not self.line.up and self.settings.when_down is WhenDown.CLOSE:
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

    # Calling.

    async def _keep_calling(self, host: _Host) -> None:
        pause = _FIRST_PAUSE
        while not self._hushed:
            await self._until_wanted()
            sock = await self._call(host)
            if sock is not None and await self._converse(host, sock):
                pause = _FIRST_PAUSE
            if not self._hushed:
                await asyncio.sleep(pause)
            pause = min(pause * 2, self.settings.retry_at_most)

    async def _call(self, host: _Host) -> socket.socket | None:
        place, settings = host.destination, self.settings
        try:
            return await call(place.host, place.port, place.local_port, settings.connect_timeout, settings.alive_check)
        except OSError as error:
            self._failed(host, error)
            return None

    def _failed(self, host: _Host, error: OSError) -> None:
        self.results[outcome(error)] += 1
        if self._listening:  # others have answered, and this one has had its chance
            self._settle(host)
        before, host.failure = host.failure, reason(error)
        key = ("call", self.line.name, self.service, host.destination, host.failure)
        if host.failure != before and self._throttle.allow(key, asyncio.get_running_loop().time()) is not None:
            log.warning("host cannot be reached, trying on", extra=self._extra(host) | {"reason": host.failure})

    async def _converse(self, host: _Host, sock: socket.socket) -> bool:
        """Serve a host until the connection has ended; whether it was a good one."""

        def came(session: HostSession) -> None:
            self._came(host, session)

        loop = asyncio.get_running_loop()
        host.answered = True
        try:
            session = HostSession(self.line, self._session_settings, sock, came, self._went)
            await loop.create_connection(lambda: session, sock=sock)
        except OSError as error:  # gone at once
            sock.close()
            self._failed(host, error)
            host.answered = False
            return False
        self.results["connected"] += 1
        host.failure = ""
        log.info("host connected", extra=self._extra(host) | {"client": str(session.peer)})
        self.sessions.append(session)
        try:
            await self._attend(session)
        finally:
            if not session.ended.done():
                session.finish(End.SHUTDOWN, at_once=True)
            self.sessions.remove(session)
            host.answered = False
            self._account(host, session)
        served = self.settings.connect is ConnectOn.ANY_CHARACTER and session.hung_up and session.sent > 0
        return served or loop.time() - session.started >= _STABLE

    async def _attend(self, session: HostSession) -> None:
        """Much may have changed since it was called."""
        if self._stopping.is_set():
            session.finish(self._ending)
        elif self._hushed:
            session.stop(Stop.ENDING)
        if not self.line.up:
            session.line_down()
        self._check(session)
        await session.ended

    def _account(self, host: _Host, session: HostSession) -> None:
        end = session.end or End.ERROR
        self.results[end] += 1
        self._dropped += session.dropped
        seconds = round(max(0.0, asyncio.get_running_loop().time() - session.started), 1)
        facts = {"result": str(end), "seconds": seconds, "received": session.received, "sent": session.sent}
        log.info("host gone", extra=self._extra(host) | {"client": str(session.peer)} | facts)

    # Who listens to the line.

    def _came(self, host: _Host, session: HostSession) -> None:
        self._listening[session] = None
        if host in self._owed and self.settings.direction is not Direction.TO_LINE:
            for segment in self._kept.segments:
                session.line_data(segment)
        self._settle(host)

    def _settle(self, host: _Host) -> None:
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
        self._owed = set(self._hosts)
        self._kept.listen()

    def _extra(self, host: _Host) -> dict[str, object]:
        return {"port": self.line.name, "service": self.service, "destination": str(host.destination)}


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

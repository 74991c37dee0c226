"""Pair connection: two gateways as one serial cable, as an NPort's mode of that name.

One side is an RFC 2217 service and needs no more than that. This is the other side: an RFC 2217 client of it, or of
any other RFC 2217 server (ser2net, an NPort). It calls the far end, and again whenever the connection has ended.

What is sent and is still on its way when a connection breaks is lost, as in a cable that is pulled.
"""

import asyncio
import logging
import socket
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from nportpy.line.arbiter import Line
from nportpy.linesettings import ModemLines
from nportpy.modes.far_end import Carried, FarEnd, show_outputs
from nportpy.modes.host import Kept
from nportpy.modes.tcp_client import Destination
from nportpy.network.addresses import Endpoint
from nportpy.network.calling import call, outcome, reason
from nportpy.network.connection import Stop
from nportpy.network.listener import first_opening
from nportpy.network.service import ServiceSettings, WhenDown
from nportpy.protocols.packing import PackingSettings
from nportpy.status import End, ServiceStatus
from nportpy.throttle import Throttle

_FIRST_PAUSE = 0.1  # after an attempt that failed, or a connection that did not last
_STABLE = 5.0  # a connection that has lasted so long was a good one

log = logging.getLogger(__name__)


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


class Pair:
    """Keeps a line joined to its far end until it is told to stop.

    Attributes:
        line: this end.
        service: its name in metrics and logs.
        sessions: the connection, if there is one.
        results: attempts by how they turned out (connected, refused, timeout, unreachable, no_address, failed), and
            connections by how they ended; `error` if the far end turned out not to speak RFC 2217.
    """

    endpoints: tuple[Endpoint, ...] = ()

    def __init__(self, line: Line, service: str, settings: PairSettings, throttle: Throttle) -> None:
        """Nobody is called before `run`."""
        self.line = line
        self.service = service
        self.settings = settings
        self.sessions: list[FarEnd] = []
        self.results: Counter[str] = Counter()
        self._dropped = 0
        self._throttle = throttle
        self._carried = Carried(
            modem_lines=settings.modem_lines,
            dtr_from=ModemLines.CD if settings.dtr_from is DtrFrom.DCD else ModemLines.DSR,
            break_time=settings.break_time,
            settings=settings.settings is Push.PUSH,
        )
        self._session_settings = _of_sessions(settings)
        self._kept = Kept(line.stream, settings.allowance, lambda: None, settings.packing)
        self._failure = ""  # why the last attempt failed, as logged
        self._calling: asyncio.Task[None] | None = None
        self._answered = False  # there is a connection
        self._hushed = False
        self._ending = End.SHUTDOWN
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Serve until `stop`, and until the connection has ended."""
        async with asyncio.TaskGroup() as tasks:
            try:
                await first_opening(self.line, self._stopping)
                if not self._hushed:
                    self._part()
                    self._calling = tasks.create_task(self._keep_calling(), name=f"{self.service} {self.settings.to}")
                await self._stopping.wait()
            finally:
                self.hush()
                self._kept.end()
                for session in tuple(self.sessions):
                    session.finish(self._ending)
        self._show(plugged=True)

    def hush(self) -> None:
        """Call no more and take nothing more from the far end; what it has sent goes on to the line."""
        self._hushed = True
        if self._calling is not None and not self._answered:
            self._calling.cancel()
        for session in self.sessions:
            session.stop(Stop.ENDING)

    def configure(self, settings: PairSettings) -> None:
        """Other limits from now on; the connection stays."""
        self.settings, self._session_settings = settings, _of_sessions(settings)
        for session in self.sessions:
            session.configure(self._session_settings)

    def accepted(self) -> int:
        """What the far end sends is on its way to the line at once."""
        return 0

    def stop(self, end: End = End.SHUTDOWN) -> None:
        """End the connection and make no more; `run` returns when it has ended."""
        self._ending = end
        self._stopping.set()

    @property
    def dropped(self) -> int:
        """Bytes lost to a far end that was too slow, or away for too long."""
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

    # Calling.

    async def _keep_calling(self) -> None:
        loop, pause = asyncio.get_running_loop(), _FIRST_PAUSE
        while not self._hushed:
            began = loop.time()
            if (sock := await self._call()) is not None:
                self._answered = True
                await self._converse(sock)
                self._answered = False
                if loop.time() - began >= _STABLE:
                    pause = _FIRST_PAUSE
            if not self._hushed:
                await asyncio.sleep(pause)
            pause = min(pause * 2, self.settings.retry_at_most)

    async def _call(self) -> socket.socket | None:
        to, settings = self.settings.to, self.settings
        try:
            return await call(to.host, to.port, to.local_port, settings.connect_timeout, settings.alive_check)
        except OSError as error:
            self._failed(error)
            return None

    def _failed(self, error: OSError) -> None:
        self.results[outcome(error)] += 1
        before, self._failure = self._failure, reason(error)
        key = ("call", self.line.name, self.service, self._failure)
        if self._failure != before and self._throttle.allow(key, asyncio.get_running_loop().time()) is not None:
            log.warning("the far end cannot be reached, trying on", extra=self._extra() | {"reason": self._failure})

    async def _converse(self, sock: socket.socket) -> None:
        """Be joined until the connection has ended."""
        try:
            session = FarEnd(
                self.line, self._session_settings, self._carried, sock, self._meet, self._part, self._throttle
            )
            await asyncio.get_running_loop().create_connection(lambda: session, sock=sock)
        except OSError as error:  # gone at once
            sock.close()
            self._failed(error)
            return
        self.results["connected"] += 1
        self._failure = ""
        log.info("far end connected", extra=self._extra())
        self.sessions.append(session)
        try:
            if self._stopping.is_set():
                session.finish(self._ending)
            elif self._hushed:
                session.stop(Stop.ENDING)
            if not self.line.up:
                session.line_down()
            await session.ended
        finally:
            if not session.ended.done():
                session.finish(End.SHUTDOWN, at_once=True)
            self.sessions.remove(session)
            self._account(session)

    def _account(self, session: FarEnd) -> None:
        end = session.end or End.ERROR
        self.results[end] += 1
        self._dropped += session.dropped
        seconds = round(max(0.0, asyncio.get_running_loop().time() - session.started), 1)
        facts = {"result": str(end), "seconds": seconds, "received": session.received, "sent": session.sent}
        log.info("far end gone", extra=self._extra() | facts)

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

    def _extra(self) -> dict[str, object]:
        return {"port": self.line.name, "service": self.service, "destination": str(self.settings.to)}


def _of_sessions(settings: PairSettings) -> ServiceSettings:
    """What the connection need know of them."""
    return ServiceSettings(
        listen=(),
        alive_check=settings.alive_check,
        half_close=0.0,
        when_down=WhenDown.HOLD,
        allowance=settings.allowance,
        packing=settings.packing,
    )

"""A service that calls, as TCP client and pair connection do: it waits until a connection has ended and calls again.

What a connection means is its session's; whom to call, when, and what is kept meanwhile is the mode's.
"""

import asyncio
import logging
import socket
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Generic, Protocol, TypeVar

from nportpy.line.arbiter import Line
from nportpy.modes.host import Kept
from nportpy.modes.session import Session
from nportpy.network.addresses import Destination, Endpoint
from nportpy.network.calling import call, outcome, reason
from nportpy.network.connection import Stop
from nportpy.network.listener import first_opening
from nportpy.network.service import ServiceSettings
from nportpy.status import End, ServiceStatus
from nportpy.throttle import Throttle

if TYPE_CHECKING:  # a gateway without TLS need not import what it takes
    from nportpy.network.tls_contexts import Table
    from nportpy.network.tls_transport import TlsTransport

_FIRST_PAUSE: Final = 0.1  # after an attempt that failed, or a connection that did not last
_STABLE: Final = 5.0  # a connection that has lasted so long was a good one

log = logging.getLogger(__name__)


class CallSettings(Protocol):
    """How a service calls. Times are seconds.

    Attributes:
        connect_timeout: what an attempt may take, looking the name up included.
        retry_at_most: attempts are repeated for ever, after 0.1 s at first and twice as long each time up to this.
        alive_check: a peer that does not answer for so long, or fetches nothing of what waits for it, is gone.
    """

    @property
    def connect_timeout(self) -> float: ...
    @property
    def retry_at_most(self) -> float: ...
    @property
    def alive_check(self) -> float: ...


@dataclass(slots=True, eq=False)
class Called:
    """Somebody to call, and how it goes with it.

    Attributes:
        destination: where it is.
        answered: there is a connection.
        failure: why the last attempt failed, as logged.
        task: calls it.
    """

    destination: Destination
    answered: bool = False
    failure: str = ""
    task: asyncio.Task[None] | None = None


@dataclass(frozen=True, slots=True)
class Reached:
    """A connection to somebody called; `secured` where TLS is spoken on it."""

    socket: socket.socket
    secured: "TlsTransport | None" = None

    def turn_away(self) -> None:
        """End it before anybody talks with those called."""
        if self.secured is not None:
            self.secured.close()
        else:
            self.socket.close()


C = TypeVar("C", bound=CallSettings)
S = TypeVar("S", bound=Session)


class Caller(ABC, Generic[C, S]):
    """Calls until it is told to stop. The gateway treats it as a `Listener` without sockets.

    Attributes:
        line: what those called hear, and write to.
        service: its name in metrics and logs.
        sessions: the connections, in order.
        results: attempts by how they turned out (connected, refused, timeout, unreachable, no_address, tls_failed,
            failed), and connections by how they ended.
    """

    endpoints: tuple[Endpoint, ...] = ()
    what: ClassVar[str]
    """What log lines call whom it calls."""

    def __init__(
        self,
        line: Line,
        service: str,
        settings: C,
        called: tuple[Called, ...],
        kept: Kept,
        throttle: Throttle,
        table: "Table | None" = None,
    ) -> None:
        """Nobody is called before `run`.

        Args:
            line: what those called hear.
            service: its name in metrics and logs.
            settings: how it calls.
            called: whom.
            kept: what the line says before somebody hears it.
            throttle: for log lines of which there could be many.
            table: the certificates by which those called are believed; None: TLS is not spoken.
        """
        self.line = line
        self.service = service
        self.sessions: list[S] = []
        self.results: Counter[str] = Counter()
        self.settings = settings
        self._session_settings = self._of_sessions(settings)
        self._called = called
        self._kept = kept
        self._throttle = throttle
        self._table = table
        self._dropped = 0
        self._hushed = False
        self._ending = End.SHUTDOWN
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Serve until `stop`, and until the last connection has ended."""
        async with asyncio.TaskGroup() as tasks:
            watch: asyncio.Task[None] | None = None
            try:
                await first_opening(self.line, self._stopping)
                if not self._hushed:
                    self._begin()
                    watch = tasks.create_task(self._watch(), name=f"{self.service} watch")
                    for one in self._called:
                        one.task = tasks.create_task(self._keep_calling(one), name=f"{self.service} {one.destination}")
                await self._stopping.wait()
            finally:
                self.hush()
                self._kept.end()
                if watch is not None:
                    watch.cancel()
                for session in tuple(self.sessions):
                    session.finish(self._ending)

    def hush(self) -> None:
        """Call nobody and take nothing more from those called; what they have sent goes on to the line."""
        self._hushed = True
        for one in self._called:
            if one.task is not None and not one.answered:
                one.task.cancel()
        for session in self.sessions:
            session.stop(Stop.ENDING)

    def configure(self, settings: C) -> None:
        """Other limits from now on; connections stay."""
        self.settings, self._session_settings = settings, self._of_sessions(settings)
        for session in self.sessions:
            session.configure(self._session_settings)

    def accepted(self) -> int:
        """What those called send is on its way to the line at once."""
        return 0

    def stop(self, end: End = End.SHUTDOWN) -> None:
        """End the connections and make no more; `run` returns when they have ended."""
        self._ending = end
        self._stopping.set()

    @property
    def dropped(self) -> int:
        """Bytes lost to those who do not keep up, or were not there."""
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

    # What a mode adds.

    @staticmethod
    @abstractmethod
    def _of_sessions(settings: C) -> ServiceSettings:
        """What a session need know of them."""

    @abstractmethod
    def _begin(self) -> None:
        """The calls begin."""

    @abstractmethod
    def _session(self, called: Called, sock: socket.socket) -> S:
        """What treats a connection. An OSError says that it is gone already."""

    async def _watch(self) -> None:
        """Runs beside the calls."""

    async def _until_wanted(self) -> None:
        """Wait until a connection is wanted."""

    def _unanswered(self, called: Called) -> None:
        """An attempt has failed."""

    def _check(self, session: S) -> None:
        """End a connection that is not wanted any more; called as it begins."""

    def _was_good(self, session: S) -> bool:
        """Whether to call again soon."""
        return asyncio.get_running_loop().time() - session.started >= _STABLE

    # Calling.

    async def _keep_calling(self, called: Called) -> None:
        pause = _FIRST_PAUSE
        while not self._hushed:
            await self._until_wanted()
            reached = await self._call(called)
            if reached is not None and await self._converse(called, reached):
                pause = _FIRST_PAUSE
            if not self._hushed:
                await asyncio.sleep(pause)
            pause = min(pause * 2, self.settings.retry_at_most)

    async def _call(self, called: Called) -> Reached | None:
        to, settings = called.destination, self.settings
        try:
            sock = await call(to.host, to.port, to.local_port, settings.connect_timeout, settings.alive_check)
        except OSError as error:
            self._failed(called, outcome(error), reason(error))
            return None
        return Reached(sock) if self._table is None else await self._shake_hands(self._table, called, sock)

    async def _shake_hands(self, table: "Table", called: Called, sock: socket.socket) -> Reached | None:
        from nportpy.network.tls_transport import shake_hands, why

        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.settings.connect_timeout):
                return Reached(
                    sock,
                    await shake_hands(
                        lambda make: loop.create_connection(make, sock=sock),
                        table.client,
                        table.server_name or called.destination.host,
                    ),
                )
        except OSError as error:
            sock.close()
            self._failed(called, "tls_failed", why(error))
            return None
        except BaseException:
            sock.close()
            raise

    def _failed(self, called: Called, result: str, why: str) -> None:
        self.results[result] += 1
        self._unanswered(called)
        before, called.failure = called.failure, why
        key = ("call", self.line.name, self.service, called.destination, called.failure)
        if called.failure != before and self._throttle.allow(key, asyncio.get_running_loop().time()) is not None:
            extra = self._extra(called) | {"reason": called.failure}
            log.warning(f"{self.what} cannot be reached, trying on", extra=extra)

    async def _converse(self, called: Called, reached: Reached) -> bool:
        """Serve a connection until it has ended; whether it was a good one."""
        called.answered = True
        try:
            session = self._session(called, reached.socket)
            if reached.secured is None:
                await asyncio.get_running_loop().create_connection(lambda: session, sock=reached.socket)
            else:
                if reached.secured.identity is not None:
                    session.identified(reached.secured.identity)
                reached.secured.hand_over(session)
        except OSError as error:  # gone at once
            reached.turn_away()
            self._failed(called, outcome(error), reason(error))
            called.answered = False
            return False
        self.results["connected"] += 1
        called.failure = ""
        log.info(f"{self.what} connected", extra=self._extra(called) | {"client": str(session.peer)})
        self.sessions.append(session)
        try:
            await self._attend(session)
        finally:
            if not session.ended.done():
                session.finish(End.SHUTDOWN, at_once=True)
            self.sessions.remove(session)
            called.answered = False
            self._account(called, session)
        return self._was_good(session)

    async def _attend(self, session: S) -> None:
        """Much may have changed since it was called."""
        if self._stopping.is_set():
            session.finish(self._ending)
        elif self._hushed:
            session.stop(Stop.ENDING)
        if not self.line.up:
            session.line_down()
        self._check(session)
        await session.ended

    def _account(self, called: Called, session: S) -> None:
        end = session.end or End.ERROR
        self.results[end] += 1
        self._dropped += session.dropped
        seconds = round(max(0.0, asyncio.get_running_loop().time() - session.started), 1)
        facts = {"result": str(end), "seconds": seconds, "received": session.received, "sent": session.sent}
        log.info(f"{self.what} gone", extra=self._extra(called) | {"client": str(session.peer)} | facts)

    def _extra(self, called: Called) -> dict[str, object]:
        return {"port": self.line.name, "service": self.service, "destination": str(called.destination)}

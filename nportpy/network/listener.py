"""One service of one port or router: its sockets, who gets in, and the sessions inside."""

import asyncio
import contextlib
import logging
import math
import socket
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from nportpy.network import tcp
from nportpy.network.accepting import Accepting
from nportpy.network.access import AccessLimits
from nportpy.network.addresses import Address, Endpoint, address_of, allowed, barred_by, local_endpoint, peer_of
from nportpy.network.admission import Admission, Guest
from nportpy.network.connection import Connection, Stop
from nportpy.network.service import ServiceSettings, WhenDown, WhenFull
from nportpy.status import End, ServiceStatus
from nportpy.throttle import Throttle

if TYPE_CHECKING:  # a gateway without TLS need not import what it takes
    from nportpy.network.tls_door import Door

_FIRST_OPENING = 2.0  # clients wait so long for it to be known whether the device is there
_SIGN_OF_LIFE = 3.0  # what a session has to answer when its address comes again
_LOOK_AGAIN = 0.1  # for that sign

ConnectionMaker = Callable[[socket.socket, Endpoint, Address], Connection]

log = logging.getLogger(__name__)


class Backend(Protocol):
    """What a service is there for: a line, or whoever answers in its place."""

    @property
    def name(self) -> str:
        """Of the port or router, in metrics and logs."""

    @property
    def up(self) -> bool:
        """Whether clients can be served now."""

    @property
    def tried(self) -> asyncio.Event:
        """Set once it is known for the first time whether they can be: nobody is accepted before."""


def _set() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass(frozen=True, slots=True)
class AlwaysUp:
    """The backend of those who answer while the device is away, too.

    Attributes:
        name: of the port or router.
        tried: a line's whose first opening they wait for all the same; by default there is nothing to wait for.
    """

    name: str
    tried: asyncio.Event = field(default_factory=_set)
    up: bool = field(default=True, init=False)


async def first_opening(backend: Backend, stopping: asyncio.Event) -> None:
    """Let clients wait in the kernel's queue while the device is opened for the first time."""
    if backend.tried.is_set():
        return
    async with asyncio.TaskGroup() as tasks:
        both = [tasks.create_task(event.wait()) for event in (backend.tried, stopping)]
        await asyncio.wait(both, timeout=_FIRST_OPENING, return_when=asyncio.FIRST_COMPLETED)
        for task in both:
            task.cancel()


class Listener:
    """Accepts clients for one service until it is told to stop; its sockets stay the caller's.

    Attributes:
        backend: what it is there for.
        endpoints: where it listens.
        sessions: who is there, in order of arrival.
        results: connections by how they turned out and how they ended; as many ended as were accepted and are gone.
        dropped: bytes that waited for clients dropped as too slow.
    """

    def __init__(
        self,
        backend: Backend,
        service: str,
        settings: ServiceSettings,
        make_session: ConnectionMaker,
        sockets: Sequence[socket.socket],
        access: AccessLimits,
        throttle: Throttle,
        refused: Mapping[str, int] | None = None,
        refused_by: Mapping[tuple[int, str], int] | None = None,
        admission: Admission | None = None,
        door: "Door | None" = None,
    ) -> None:
        """Nobody is let in before `run`.

        Args:
            backend: what it is there for.
            service: its name in metrics and logs: raw, rfc2217, raw-2.
            settings: who may come in, and how many.
            make_session: makes what a client that was let in talks to.
            sockets: they listen already.
            access: limits over all services.
            throttle: for log lines of which there could be many.
            refused: requests refused, by reason: counted elsewhere, shown with this service.
            refused_by: the same by rule and role.
            admission: sees to it that the line is set as this service wants it; None: that is nothing to it.
            door: shakes hands with those who come; None: TLS is not spoken.
        """
        self.backend = backend
        self.service = service
        self.settings = settings
        self.endpoints = tuple(local_endpoint(sock) for sock in sockets)
        self.sessions: list[Connection] = []
        self.results: Counter[str] = Counter()
        self.dropped = 0
        self._make_session = make_session
        self._sockets = list(sockets)
        self._access = access
        self._throttle = throttle
        self._refused = {} if refused is None else refused
        self._refused_by = {} if refused_by is None else refused_by
        self._admission = admission
        self._door = door
        self._accepting = Accepting(self._came, self._cannot_accept)
        self._hushed = False
        self._ending = End.SHUTDOWN
        self._stopping = asyncio.Event()
        self._entering: set[asyncio.Task[None]] = set()  # connections on their way to their session
        self._at_door: set[asyncio.Task[None]] = set()  # connections that shake hands, and are no clients yet
        self._probing: set[Connection] = set()
        self._tasks: asyncio.TaskGroup  # while it runs

    async def run(self) -> None:
        """Serve until `stop`, and until the last session has ended."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                await first_opening(self.backend, self._stopping)
                if not self._hushed:
                    self._accepting.begin(self._sockets)
                await self._stopping.wait()
            finally:
                self._accepting.end()
                for newcomer in self._at_door:
                    newcomer.cancel()
                for session in tuple(self.sessions):
                    session.finish(self._ending)

    def hush(self) -> None:
        """Accept nobody and take nothing more from the clients; what they have sent goes on to the line."""
        self._hushed = True
        self._accepting.end()
        for session in tuple(self.sessions):
            session.stop(Stop.ENDING)

    def configure(self, settings: ServiceSettings) -> None:
        """Other limits and lists from now on, for those who are there, too; where it listens stays.

        Who is not allowed any more goes. Nobody goes because there are more than `max_clients` now.
        """
        self.settings = settings
        if self._admission is not None:
            self._admission.configure(settings.when_busy, takeover=settings.takeover)
        for session in tuple(self.sessions):
            if allowed(session.address, settings.allow):
                session.configure(settings)
            else:
                session.finish(End.NOT_ALLOWED)

    def certificates_changed(self) -> None:
        """Who would not be let in any more goes: revoked clients, and those without a certificate that now need one."""
        for session in tuple(self.sessions):
            if self._door is not None and not self._door.admits(session.identity):
                session.finish(End.NOT_ALLOWED, at_once=True)

    @property
    def trouble(self) -> str:
        """Why nobody can come in although it listens; empty: they can."""
        return "" if self._door is None else self._door.trouble

    def add(self, sock: socket.socket) -> None:
        """Listen there, too."""
        self._sockets.append(sock)
        self.endpoints = (*self.endpoints, local_endpoint(sock))
        self._accepting.add(sock)

    def accepted(self) -> int:
        """How much of what clients sent has been taken in and is not yet on its way to the line; 0 if none."""
        return sum(session.accepted() for session in self.sessions)

    def stop(self, end: End = End.SHUTDOWN) -> None:
        """Accept nobody from now on and end the sessions; `run` returns when they have ended."""
        self._ending = end
        self._stopping.set()

    def status(self) -> ServiceStatus:
        """A snapshot."""
        return ServiceStatus(
            port=self.backend.name,
            service=self.service,
            listen=tuple(str(endpoint) for endpoint in self.endpoints),
            clients=tuple(session.status() for session in self.sessions),
            results=dict(self.results),
            dropped=self.dropped,
            refused=dict(self._refused),
            refused_by=dict(self._refused_by),
            waiting=self._admission.waiting if self._admission is not None else 0,
        )

    def _came(self, sock: socket.socket, name: Any) -> None:
        peer, address = peer_of(name), address_of(name[0])
        refusal = self._refusal(address)
        if refusal:
            sock.close()
            self._say_refused(peer, address, refusal)
        else:
            task = self._tasks.create_task(self._serve(sock, peer, address), name=f"{self.service} {peer}")
            (self._entering if self._door is None else self._at_door).add(task)
            task.add_done_callback(partial(self._gone, sock, address))  # of a task that never ran, too

    def _gone(self, sock: socket.socket, address: Address, task: asyncio.Task[None]) -> None:
        self._entering.discard(task)
        self._at_door.discard(task)
        sock.close()
        self._access.leave(address)

    def _cannot_accept(self, error: OSError) -> None:
        if self._throttle.allow(("accept", self.service), asyncio.get_running_loop().time()) is not None:
            log.error("cannot accept", extra=self._extra() | {"reason": error.strerror})

    def _refusal(self, address: Address) -> str:
        if not allowed(address, self.settings.allow):
            return "refused_allow"
        if not self.backend.up and self.settings.when_down is WhenDown.CLOSE:
            return "refused_down"
        if not self._access.enter(address):
            return "refused_limit"
        return ""

    def _say_refused(self, peer: Endpoint, address: Address, result: str) -> None:
        self.results[result] += 1
        more = self._throttle.allow(address, asyncio.get_running_loop().time())
        if more is not None:
            extra = self._extra() | {"client": str(peer), "result": result}
            if barring := barred_by(address, self.settings.allow):
                extra["list"] = barring
            log.warning("client refused", extra=extra | ({"more": more} if more else {}))

    async def _serve(self, sock: socket.socket, peer: Endpoint, address: Address) -> None:
        """One connection, from its coming to its end. A bug here ends it, and nothing else."""
        guest = Guest(self.service, address, sock)
        try:
            if self._door is not None and not await self._shake_hands(self._door, guest, peer, address):
                return
            session = await self._let_in(guest, peer, address)
            if session is not None:
                await self._attend(session, peer, guest.ended)
        except Exception as error:
            log.error("a connection failed", exc_info=error, extra=self._extra() | {"client": str(peer)})
        finally:
            if guest.secured is not None and guest.session is None and not guest.secured.is_closing():
                guest.secured.abort()
            if self._admission is not None:
                self._admission.leave(guest)

    async def _shake_hands(self, door: "Door", guest: Guest, peer: Endpoint, address: Address) -> bool:
        """Whether the newcomer is who may come; only then it takes anybody's place."""
        task = asyncio.current_task()
        assert task is not None
        try:
            guest.secured = await door.enter(guest.socket, address)
        except OSError as error:
            self._say_failed(peer, address, error)
            return False
        self._at_door.discard(task)
        if self._stopping.is_set():
            return False
        self._entering.add(task)
        return True

    def _say_failed(self, peer: Endpoint, address: Address, error: OSError) -> None:
        from nportpy.network.tls_transport import why  # loaded by the door

        self.results["tls_failed"] += 1
        more = self._throttle.allow(("tls", address), asyncio.get_running_loop().time())
        if more is not None:
            extra = self._extra() | {"client": str(peer), "result": "tls_failed", "reason": why(error)}
            log.warning("no TLS with a client", extra=extra | ({"more": more} if more else {}))

    async def _attend(self, session: Connection, peer: Endpoint, sent_away: End | None) -> None:
        self.sessions.append(session)
        try:
            if sent_away is not None:
                session.finish(sent_away, at_once=True)
            elif self._stopping.is_set():
                session.finish(self._ending)
            elif not allowed(address_of(peer.host), self.settings.allow):  # a reload came between
                session.finish(End.NOT_ALLOWED)
            elif self._hushed:
                session.stop(Stop.ENDING)
            if not self.backend.up:  # the line may have gone meanwhile; and uvloop reads as soon as it has a connection
                session.line_down()
            await session.ended
        finally:
            if not session.ended.done():
                session.finish(End.SHUTDOWN, at_once=True)
            self.sessions.remove(session)
            self._account(session, peer)

    async def _let_in(self, guest: Guest, peer: Endpoint, address: Address) -> Connection | None:
        """A session on the socket, or None: refused, or gone before it was there."""
        task = asyncio.current_task()
        assert task is not None
        sock = guest.socket
        try:
            if not await self._make_room(address):
                guest.turn_away()
                self._say_refused(peer, address, "refused_full")
                return None
            if self._admission is not None:
                refusal = await self._admission.admit(guest, self._closing, self._dead_one)
                if refusal:
                    guest.turn_away()
                    self._say_refused(peer, address, refusal)
                    return None
            session = guest.session = self._make_session(sock, peer, address)
            session.settings = self.settings  # they may have changed since that was made
            tcp.set_up(sock, self.settings.alive_check)
            if guest.secured is None:
                await asyncio.get_running_loop().connect_accepted_socket(partial(_same, session), sock)
            else:
                if guest.secured.identity is not None:
                    session.identified(guest.secured.identity)
                guest.secured.hand_over(session)
        except OSError as error:
            self.results["accepted"] += 1
            self.results[End.ERROR] += 1
            log.info("client gone at once", extra=self._extra() | {"client": str(peer), "reason": str(error)})
            return None
        else:
            self.results["accepted"] += 1
            self._greet(session)
            return session
        finally:
            self._entering.discard(task)

    def _greet(self, session: Connection) -> None:
        """It is there."""
        facts = {"client": str(session.peer)} | _known(session)
        log.info("client connected", extra=self._extra() | facts)

    def _account(self, session: Connection, peer: Endpoint) -> None:
        end = session.end or End.ERROR
        self.results[end] += 1
        self.dropped += session.dropped
        seconds = round(max(0.0, asyncio.get_running_loop().time() - session.started), 1)
        facts = {"client": str(peer), "result": str(end), "seconds": seconds, "received": session.received}
        facts |= _known(session)
        log.info("client gone", extra=self._extra() | facts | {"sent": session.sent})

    @property
    def _full(self) -> bool:
        # The newcomer is one of those entering.
        return len(self.sessions) + len(self._entering) > self.settings.max_clients

    async def _make_room(self, address: Address) -> bool:
        """Find a place for one more; False if the rules leave none."""
        probed = not self.settings.takeover
        while self._full:
            if self._stopping.is_set():
                return False
            # Who has gone or said that it will send no more gives way to anybody.
            victim, end = next((session for session in self.sessions if _over(session)), None), End.CLOSED
            if victim is None and not probed:
                probed, end = True, End.TAKEN_OVER
                victim = await self._dead_one(address, self.sessions)
                if victim is None:
                    continue
            if victim is None:
                victim, end = self._by_policy(), End.KICKED
            if victim is None:
                return False
            victim.finish(end, at_once=True)
            await victim.ended
            await asyncio.sleep(0)  # lets its task take it off the list
        return True

    def _by_policy(self) -> Connection | None:
        match self.settings.when_full:
            case WhenFull.REFUSE:
                return None
            case WhenFull.KICK_OLDEST:
                return self.sessions[0] if self.sessions else None
            case WhenFull.KICK_IDLE if not self.sessions:
                return None
            case WhenFull.KICK_IDLE:
                idle, session = max(((_idle(session), session) for session in self.sessions), key=lambda pair: pair[0])
                return session if idle >= self.settings.idle_after else None

    def _closing(self) -> bool:
        """Whether nobody is let in any more."""
        return self._hushed or self._stopping.is_set()

    async def _dead_one(self, address: Address, sessions: Sequence[Connection]) -> Connection | None:
        """A session of the same address that does not answer a probe.

        A machine that was switched off and came back answers the probe of its old connection with a reset, one
        that is gone does not answer; a living program on the same machine does, and keeps its place.
        """
        suspects = [session for session in sessions if session.address == address and session not in self._probing]
        self._probing.update(suspects)
        try:
            for session in suspects:
                tcp.probe_now(session.socket)
            return await self._wait_for_signs(suspects)
        finally:
            self._probing.difference_update(suspects)
            for session in suspects:
                with contextlib.suppress(OSError):
                    tcp.set_up(session.socket, session.settings.alive_check)

    async def _wait_for_signs(self, suspects: list[Connection]) -> Connection | None:
        """The first that shows none in time; None if all live, or as soon as one has ended by itself."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while suspects and not self._stopping.is_set():
            if any(session.ended.done() for session in suspects):
                await asyncio.sleep(0)  # lets its task take it off the list
                return None
            await asyncio.sleep(_LOOK_AGAIN)
            probed = loop.time() - began
            suspects = [session for session in suspects if not _lives(session, probed)]
            if probed >= _SIGN_OF_LIFE:
                return next((session for session in suspects if _mute(session)), None)
        return None

    def _extra(self) -> dict[str, object]:
        return {"port": self.backend.name, "service": self.service}


def _known(session: Connection) -> dict[str, object]:
    return {} if session.identity is None else {"identity": str(session.identity)}


def _same(session: Connection) -> Connection:
    return session


def _over(session: Connection) -> bool:
    return session.half_closed or tcp.peer_silence(session.socket) is None


def _lives(session: Connection, since: float) -> bool:
    """Whether the peer has answered within the last `since` seconds."""
    silence = tcp.peer_silence(session.socket)
    return silence is not None and silence.ack < since


def _mute(session: Connection) -> bool:
    """Whether the peer owes an answer."""
    silence = tcp.peer_silence(session.socket)
    return silence is None or silence.unanswered > 0


def _idle(session: Connection) -> float:
    """Seconds since the client last sent something."""
    silence = tcp.peer_silence(session.socket)
    return math.inf if silence is None else silence.data

"""Who may come to a line whose services do not all want it at the same settings.

A line has one speed at a time. Clients that want the same settings share it; what becomes of one that wants others
while they are there is its service's `when_busy`. Whoever has gone without a word, or has said that it will send no
more, keeps nobody out.
"""

import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from nportpy.linesettings import LineSettings
from nportpy.network import tcp
from nportpy.network.addresses import Address
from nportpy.network.connection import Connection
from nportpy.network.service import WhenBusy
from nportpy.status import End

if TYPE_CHECKING:  # a gateway without TLS need not import what it takes
    from nportpy.network.tls_transport import TlsTransport

_LOOK_AGAIN = 0.1  # whether a client that waits is still there, and whether we are to stop

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Guest:
    """A client from the moment it was accepted until it is gone.

    Attributes:
        service: what it came to, as in the status.
        address: where it came from; None: we called it.
        socket: its connection.
        session: who talks with it, once somebody does.
        ended: why it must go, if that was decided before.
        secured: its connection, where TLS is spoken and hands were shaken.
    """

    service: str
    address: Address | None
    socket: socket.socket
    session: Connection | None = None
    ended: End | None = None
    secured: "TlsTransport | None" = None

    def send_away(self, end: End) -> None:
        """It has to go."""
        if self.session is None:
            self.ended = end
        else:
            self.session.finish(end, at_once=True)

    def turn_away(self) -> None:
        """End its connection before anybody talks with it."""
        if self.secured is not None:
            self.secured.close()
        else:
            self.socket.close()

    def talks_with(self, session: object) -> bool:
        """Whether that is its session."""
        return self.session is session

    @property
    def over(self) -> bool:
        """Whether it is gone, or has said that it will send no more, and all of what it sent before was read."""
        half_closed = self.session is not None and self.session.half_closed
        return half_closed or tcp.peer_silence(self.socket) is None or (self.session is None and self._hung_up())

    def _hung_up(self) -> bool:
        """Whether the client has closed and left nothing unread."""
        try:
            if self.secured is not None and self.secured.lost is not None:
                return True
            return not self.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True


class Place(Protocol):
    """The line, as far as it can be at one setting only: see `Control` (line/control.py)."""

    @property
    def settled(self) -> bool:
        """Whether it is at the settings of those who came last."""

    def refuses(self, guest: Guest) -> bool:
        """Whether the driver does not take what this one wants."""

    def others(self, settings: LineSettings | None) -> list[Guest]:
        """Who is there that wants other settings; None: the configured ones."""

    def queue(self, guest: Guest, settings: LineSettings | None) -> None:
        """Wait for one's turn."""

    def is_next(self, guest: Guest) -> bool:
        """Whether nobody waits before it that wants other settings than it does."""

    def come(self, guest: Guest, settings: LineSettings | None) -> None:
        """Come in: the line goes over to these settings as soon as what others wrote has left."""

    def go(self, guest: Guest) -> None:
        """Be gone, or wait no longer."""

    async def next_change(self, limit: float) -> None:
        """Wait until somebody came or went, or for so many seconds."""


FindDead = Callable[[Address, Sequence[Connection]], Awaitable[Connection | None]]
"""Which of some sessions of this address does not answer a probe; None: none."""


class Admission:
    """The way of one service's clients to the line.

    Attributes:
        waiting: clients that wait for their turn.
    """

    def __init__(
        self, place: Place, settings: LineSettings | None, when_busy: WhenBusy, name: str, *, takeover: bool
    ) -> None:
        """`settings` of its own; None: the line's. `name` is the port's; `takeover`: dead sessions are looked for."""
        self.waiting = 0
        self._place = place
        self._settings = settings
        self._when_busy = when_busy
        self._name = name
        self._takeover = takeover

    def configure(self, when_busy: WhenBusy, *, takeover: bool) -> None:
        """Another policy from now on; who waits already goes on waiting."""
        self._when_busy = when_busy
        self._takeover = takeover

    @property
    def busy(self) -> bool:
        """Whether somebody is in the way of one who may not send others away."""
        return self._when_busy in (WhenBusy.REFUSE, WhenBusy.WAIT) and bool(self._place.others(self._settings))

    def leave(self, guest: Guest) -> None:
        """It is gone, whether it came in or not."""
        self._place.go(guest)

    async def admit(self, guest: Guest, stopping: Callable[[], bool], dead: FindDead | None = None) -> str:
        """Have the line set as the client's service wants it.

        Args:
            guest: who wants to. It is `leave` that ends this, whatever the answer.
            stopping: whether nobody is let in any more.
            dead: finds sessions that have gone without a word.

        Returns:
            Nothing if it may come in; else why it may not, as a result of connections.
        """
        if not await self._find_room(guest, stopping, dead):
            return "refused_busy"
        self._place.come(guest, self._settings)
        while not self._place.settled:
            if stopping() or guest.ended is not None:
                return "refused_busy"
            await self._place.next_change(_LOOK_AGAIN)
        return "refused_settings" if self._place.refuses(guest) else ""

    async def _find_room(self, guest: Guest, stopping: Callable[[], bool], dead: FindDead | None) -> bool:
        probed = dead is None or not self._takeover
        if self._when_busy is WhenBusy.WAIT:
            return await self._wait(guest, stopping, None if probed else dead)
        while self._when_busy is not WhenBusy.SHARE and (others := self._place.others(self._settings)):
            victim, end = next((other for other in others if other.over), None), End.CLOSED
            if victim is None and not probed and dead is not None:
                probed, end = True, End.TAKEN_OVER
                victim = await _dead(guest, others, dead)
                if victim is None:
                    continue
            if victim is None and self._when_busy is WhenBusy.KICK:
                victim, end = others[0], End.KICKED
            if victim is None or stopping():
                return False
            victim.send_away(end)
            while victim in self._place.others(self._settings) and not stopping():
                await self._place.next_change(_LOOK_AGAIN)
        return True

    async def _wait(self, guest: Guest, stopping: Callable[[], bool], dead: FindDead | None) -> bool:
        """Wait until its turn has come; False if it has gone, or is to."""
        self._place.queue(guest, self._settings)
        told = False
        self.waiting += 1
        try:
            while (others := self._place.others(self._settings)) or not self._place.is_next(guest):
                if not told:
                    told = True
                    extra = {"port": self._name, "service": guest.service, "client": str(guest.address)}
                    log.info("client waits for the line", extra=extra)
                if stopping() or guest.over:
                    return False
                if dead is not None:
                    victim, dead = await _dead(guest, others, dead), None
                    if victim is not None:
                        victim.send_away(End.TAKEN_OVER)
                        continue
                await self._place.next_change(_LOOK_AGAIN)
            return True
        finally:
            self.waiting -= 1


async def _dead(guest: Guest, others: Sequence[Guest], find: FindDead) -> Guest | None:
    """One of the same address that has gone without a word."""
    if guest.address is None:
        return None
    sessions = [other.session for other in others if other.session is not None]
    found = await find(guest.address, sessions)
    return next((other for other in others if found is not None and other.session is found), None)

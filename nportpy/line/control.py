"""At which settings a line is, and who may change them.

A service may want the line at settings of its own while it has a client. Those who want the same settings have a
`_Hold` together, and the hold that was entered last is the one that counts; without any, it is the configured settings
that hold. Holds follow each other when everything written before has left at its own settings, or does not move. A
client that controls (RFC 2217, Real COM) changes its hold; when it was the last one to control it, the hold's own
settings come back in the same way.

Modbus requests are made for the configured settings: while others hold, none is sent (arbiter.py).
"""

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from typing import Protocol

from nportpy.line.stream import Change, Stream, StreamClient
from nportpy.linesettings import LineSettings
from nportpy.network.admission import Guest

log = logging.getLogger(__name__)


class Controlled(Protocol):
    """What is controlled: a line."""

    name: str
    settings: LineSettings

    @property
    def stream(self) -> Stream:
        """Whose clients are told who controls."""

    @property
    def lent(self) -> bool:
        """Whether a lease has the wire: what waits then is not stuck."""

    @property
    def linger(self) -> float:
        """Seconds that a line which takes nothing holds up what clients have left behind."""

    def configure(self, wish: LineSettings) -> LineSettings:
        """Change the settings."""

    def go_over(self, wish: LineSettings, *, requests: bool) -> bool:
        """Change the settings for others, who have requests sent or not; whether the driver took any of it."""

    def set_break(self, on: bool) -> None:
        """Start or end a break."""

    def unsent(self) -> int:
        """Bytes that wait to be sent."""

    def purge_unsent(self) -> None:
        """Throw them away."""

    def all_sent(self) -> bool:
        """Whether the line may be changed."""

    def time_to_send(self) -> float:
        """Seconds after which it is worth looking again."""


@dataclass(slots=True, eq=False)
class _Hold:
    """Clients that want the line at the same settings.

    Attributes:
        settings: those.
        wish: the same, or what those who control have made of them.
        guests: who is there, if that was told: it matters only where services want different settings.
        controllers: who would control the line, in order of arrival: the first one does.
        listening_on: asked for the settings in effect, and will ask no more.
        refused: the driver does not take the settings.
    """

    settings: LineSettings
    wish: LineSettings
    refused: bool = False
    guests: list[Guest] = field(default_factory=list)
    controllers: list[StreamClient] = field(default_factory=list)
    listening_on: set[StreamClient] = field(default_factory=set)

    @property
    def controlled(self) -> bool:
        """Whether somebody relies on what was asked for."""
        return bool(self.controllers or self.listening_on)

    def is_left_behind(self) -> bool:
        """Whether something that clients who have gone had asked for is yet to be done."""
        return not all(any(guest.talks_with(client) for guest in self.guests) for client in self.controllers)


class Control:
    """The settings of one line."""

    def __init__(self, line: Controlled, configured: LineSettings) -> None:
        """Nobody is there, and the line is as it is `configured`."""
        self.changeovers = 0
        self._line = line
        self._configured = _Hold(configured, configured)
        self._holds = [self._configured]  # the last one is to hold
        self._effective = self._configured  # the one that does
        self._waiting: list[tuple[Guest, LineSettings]] = []
        self._settling: asyncio.TimerHandle | None = None
        self._change: asyncio.Event | None = None

    # Those who control.

    def enter(self, client: StreamClient) -> None:
        """Stand in line for control of the settings."""
        self._hold_of(client).controllers.append(client)

    def give_way(self, client: StreamClient) -> None:
        """Let the next one control the line, but keep it as it is: this client asks no more and still listens."""
        hold = self._hold_of(client)
        if client in hold.controllers:
            self._stand_back(client, hold)
            hold.listening_on.add(client)

    def leave(self, client: StreamClient) -> None:
        """Give control up. When nobody is left, the line goes back to what it is to be without them."""
        hold = self._hold_of(client)
        if client in hold.controllers:
            self._stand_back(client, hold)
        elif client in hold.listening_on:
            hold.listening_on.remove(client)
        else:
            return
        if not hold.controlled:
            hold.wish = hold.settings
            if hold is self._effective:
                self._line.set_break(False)
                self._settle_from_now()
            self._tidy(hold)

    def belongs_to(self, client: StreamClient) -> bool:
        """Whether the client came first of those who would control the line as it is now."""
        controllers = self._effective.controllers
        return bool(controllers) and controllers[0] is client

    def heeds(self, client: StreamClient) -> bool:
        """Whether what this client asks for can count: not while the line is at the settings of others."""
        return self._hold_of(client) is self._effective

    def was_set(self) -> None:
        """Somebody whom it heeds has changed the settings."""
        self._effective.wish = self._line.settings

    def _hold_of(self, client: StreamClient) -> _Hold:
        """Where a client is. One that was never announced is at the configured settings."""
        if len(self._holds) > 1:
            for hold in self._holds:
                known = client in hold.controllers or client in hold.listening_on
                if known or any(guest.talks_with(client) for guest in hold.guests):
                    return hold
        return self._configured

    def _stand_back(self, client: StreamClient, hold: _Hold) -> None:
        first = hold.controllers[0] is client
        hold.controllers.remove(client)
        if first and hold.controllers:
            self._line.stream.changed(Change.CONTROLLER, client)

    # Those who come; see `Place` (network/admission.py).

    @property
    def settled(self) -> bool:
        """Whether the line is at the settings of those who came last."""
        return self._effective is self._holds[-1]

    @property
    def held_by(self) -> tuple[str, ...]:
        """The services whose own settings hold; none where the configured ones do."""
        hold = self._effective
        services = () if hold is self._configured else (guest.service for guest in hold.guests)
        return tuple(dict.fromkeys(services))

    def refuses(self, guest: Guest) -> bool:
        """Whether the driver does not take what this one wants."""
        return any(hold.refused and hold is not self._configured for hold in self._holds if guest in hold.guests)

    def others(self, settings: LineSettings | None) -> list[Guest]:
        """Who is there that wants other settings; None: the configured ones."""
        wanted = settings or self._configured.settings
        return [guest for hold in self._holds if hold.settings != wanted for guest in hold.guests]

    def queue(self, guest: Guest, settings: LineSettings | None) -> None:
        """Wait for one's turn."""
        self._waiting.append((guest, settings or self._configured.settings))

    def is_next(self, guest: Guest) -> bool:
        """Whether nobody waits before it that wants other settings than it does."""
        wanted = next(wish for waiting, wish in self._waiting if waiting is guest)
        return next((waiting for waiting, wish in self._waiting if wish != wanted or waiting is guest)) is guest

    def come(self, guest: Guest, settings: LineSettings | None) -> None:
        """Come in: the line goes over to these settings as soon as what others wrote has left."""
        self._forget(guest)
        wanted = settings or self._configured.settings
        hold = next((hold for hold in self._holds if hold.settings == wanted), None) or _Hold(wanted, wanted)
        hold.guests.append(guest)
        if hold is not self._holds[-1]:
            self._holds = [*(each for each in self._holds if each is not hold), hold]
            self._settle_from_now()

    def go(self, guest: Guest) -> None:
        """Be gone, or wait no longer."""
        self._forget(guest)
        for hold in self._holds:
            if guest in hold.guests:
                hold.guests.remove(guest)
                self._tidy(hold)
                return

    async def next_change(self, limit: float) -> None:
        """Wait until somebody came or went, or for so many seconds."""
        if self._change is None:
            self._change = asyncio.Event()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await self._change.wait()

    def _forget(self, guest: Guest) -> None:
        self._waiting = [(waiting, wish) for waiting, wish in self._waiting if waiting is not guest]
        self._tell()

    def _tell(self) -> None:
        if self._change is not None:
            self._change.set()
            self._change = None

    # The settings follow.

    def _tidy(self, hold: _Hold) -> None:
        """Somebody has left a hold: one that nobody has any more is over, and the configured one waits below others."""
        if not hold.guests and not hold.controlled and len(self._holds) > 1:
            rest = [each for each in self._holds if each is not hold]
            self._holds = [hold, *rest] if hold is self._configured else rest
        if not self.settled and self._settling is None:
            self._settle_from_now()

    def _settle_from_now(self) -> None:
        self._settle(self._line.unsent(), asyncio.get_running_loop().time())

    def _settle(self, unsent: int, since: float) -> None:
        """Set the line as it is to be, once the bytes written before have left at its old settings, or do not move.

        `unsent` bytes have been waiting since `since`.
        """
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None
        line, hold = self._line, self._holds[-1]
        stays = hold is self._effective
        if stays and (hold.controlled or line.settings == hold.settings):
            return
        loop = asyncio.get_running_loop()
        if line.unsent() != unsent or line.lent:
            unsent, since = line.unsent(), loop.time()
        stuck = loop.time() - since >= line.linger
        if not stuck and (not line.all_sent() or (not stays and self._effective.is_left_behind())):
            self._settling = loop.call_later(line.time_to_send(), self._settle, unsent, since)
        elif stays:
            line.configure(hold.settings)
        else:
            if not line.all_sent():  # they would leave at settings that they were not written for
                line.purge_unsent()
            self._go_over(hold)

    def _go_over(self, hold: _Hold) -> None:
        self._effective = hold
        self.changeovers += 1
        services = ", ".join(self.held_by) or "the port"
        log.info("line goes over", extra={"port": self._line.name, "to": services, "settings": str(hold.wish)})
        hold.refused = not self._line.go_over(hold.wish, requests=hold is self._configured)
        self._tell()

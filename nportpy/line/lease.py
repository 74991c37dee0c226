"""The lease: the line alone, for several exchanges, with settings of its own that are put back whatever happens.

    wanted -> its turn among leases -> who waits already goes first -> others are held up -> quiet -> the lease has it
                                               ^                                                      |
                                               +------------------- gives way ------------------------+
    over (given back, its time is up, the device went) -> what it wrote leaves -> settings back -> others go on

Held up means: what streams write is kept, and their clients are told to stop, as when the port's buffer is full;
requests wait in their queue, where they expire as always. Nothing is dropped. What comes from the device is the
holder's alone.

Bounds. Those who wait when a lease is wanted have `LONGEST_TURN` before it begins to take the wire, and as long as the
lease had it, a second at most, each time it gives way. Then the request on the line ends, and what the port has leaves;
a conversation of streams gets `PATIENCE` to fall silent, and within it a device `ANSWER` for what they have asked. A
line that has moved nothing for a second is not to be had: the lease is refused. A lease ends after its limit, whatever
its holder does.

Settings. `Line.settings` are those for the clients all the time. What they change while a lease has the wire (speed,
DTR, RTS, break) is put off: they hear what will be in effect for their bytes, and bytes that were written before such a
change still leave at the settings they were written for.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Final

from nportpy.errors import LeaseEnded, LeaseRefused, LineDown, LineError, LineUnsupported
from nportpy.line.lease_base import Leased, Lender
from nportpy.linesettings import LineSettings
from nportpy.protocols.capture.records import Kind
from nportpy.status import LeaseStatus

__all__ = ["Leased", "Leases", "Lender"]

log = logging.getLogger(__name__)

LONGEST_TURN: Final = 1.0
"""Seconds that those who wait for the line get before a lease, or in its midst."""

SHORTEST_TURN: Final = 0.05

PATIENCE: Final = 1.0
"""Seconds that streams' talk may hold up a lease once nothing more is sent."""

IDLE_GAP: Final = 0.05
"""Seconds without a byte after which talk is over; on slow lines the time of some characters, if that is longer."""

ANSWER: Final = 0.3
"""Seconds that a device has for its answer to what a stream has sent, before a lease takes the wire from under it."""

MAX_HOLDERS: Final = 64
"""Holders that are told apart in numbers."""

MAX_UNREAD: Final = 65536
"""Bytes that are kept for a holder that does not read: the newest."""

_GAP_CHARACTERS: Final = 5
_STUCK: Final = 1.0  # seconds in which a line that is not stopped moves something
_FIFO: Final = 64
_SHORTEST_LOOK: Final = 0.001
_LONGEST_LOOK: Final = 0.01


class Outcome(StrEnum):
    """How a lease ended; see `LeaseStatus`."""

    RETURNED = "returned"
    LIMIT = "limit"
    LINE_DOWN = "line_down"
    UNSUPPORTED = "unsupported"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


class _Account:
    """What one holder has had."""

    def __init__(self) -> None:
        self.outcomes = dict.fromkeys(map(str, Outcome), 0)
        self.seconds = 0.0
        self.waited = 0.0
        self.ways_given = 0


class _Lease:
    """One lease: see `Leased`.

    Attributes:
        holder: who has it.
        obtained: whether it ever had it as it wants it.
        error: why it is over.
        has_wire: whether it has the wire: not while it gives way.
        since: when it got the wire last.
        over: set when it is over and the line is as it was.
    """

    def __init__(self, leases: "Leases", holder: str, wish: LineSettings | None, line: Lender) -> None:
        self.holder = holder
        self.obtained = False
        self.error: LineError | None = None
        self.has_wire = False
        self.since = 0.0
        self.over = asyncio.Event()
        self._leases = leases
        self._line = line
        self._settings = wish  # None: those of the line
        self._heard = bytearray()
        self._reader: asyncio.Future[None] | None = None

    @property
    def settings(self) -> LineSettings:
        return self._settings or self._line.settings

    async def configure(self, wish: LineSettings) -> None:
        await self.sent()
        self._settings = self._line.set_device(wish)
        log.debug("lease sets line", extra={"port": self._line.name, "settings": str(self._settings)})

    def write(self, data: bytes, *, secret: bool = False) -> None:
        self.check()
        self._line.keep_secret(secret)
        self._line.put(data)

    async def sent(self) -> None:
        self.check()
        while not self._line.left():
            await self._leases.look_again()
            self.check()

    async def read(self, within: float) -> bytes:
        self.check()
        if not self._heard and within > 0:
            loop = asyncio.get_running_loop()
            self._reader = loop.create_future()
            timer = loop.call_later(within, self._wake)
            try:
                await self._reader
            finally:
                timer.cancel()
                self._reader = None
            if not self._heard:
                self.check()
        data = bytes(self._heard)
        self._heard.clear()
        return data

    def discard(self) -> None:
        self._heard.clear()

    async def give_way(self) -> None:
        self.check()
        if self._leases.others_wait():
            await self.sent()
            await self._leases.give_way(self)

    # `Leases` calls these.

    def check(self) -> None:
        """Raise what ended it, if it is over."""
        if self.error is not None:
            raise self.error

    def hear(self, data: bytes) -> None:
        """Bytes from the device."""
        self._heard += data
        if len(self._heard) > MAX_UNREAD:
            del self._heard[:-MAX_UNREAD]
        self._wake()

    def set_up(self) -> None:
        """It has the wire: set the device as it wants it."""
        self.since = asyncio.get_running_loop().time()
        if self._settings is not None:
            self._settings = self._line.set_device(self._settings)
        self.obtained = True

    def end(self, error: LineError) -> None:
        """It is over, for that reason."""
        self.error = error
        self._wake()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


class Leases:
    """The leases of one line, one at a time."""

    def __init__(self, line: Lender) -> None:
        """Nobody wants it."""
        self._line = line
        self._loop = asyncio.get_running_loop()
        self._turn = asyncio.Lock()  # those who wait for it are served in order
        self._lease: _Lease | None = None  # whose turn it is
        self._kept: deque[tuple[LineSettings, bytes]] = deque()  # from streams, and the settings they are for
        self._kept_size = 0
        self._sent = 0  # by the line, when the wire came home
        self._holding_up = False
        self._homing: asyncio.TimerHandle | None = None
        self._home = asyncio.Event()
        self._obstacle = ""
        self._accounts: dict[str, _Account] = {}

    @property
    def kept(self) -> int:
        """Bytes that streams wrote and that wait for a lease."""
        return self._kept_size

    def purge(self) -> int:
        """Throw those away; how many there were."""
        size, self._kept_size = self._kept_size, 0
        self._kept.clear()
        return size

    def status(self) -> tuple[LeaseStatus, ...]:
        """A snapshot."""
        now, lease = self._loop.time(), self._lease
        held = None if lease is None or not lease.since or lease.over.is_set() else self._account(lease.holder)
        running = now - lease.since if lease is not None and lease.has_wire else 0.0
        return tuple(
            LeaseStatus(
                holder=holder,
                held=account is held,
                outcomes=dict(account.outcomes),
                seconds=account.seconds + (running if account is held else 0.0),
                waited=account.waited,
                ways_given=account.ways_given,
            )
            for holder, account in self._accounts.items()
        )

    def _account(self, holder: str) -> _Account:
        if holder not in self._accounts and len(self._accounts) >= MAX_HOLDERS:
            holder = "other"
        return self._accounts.setdefault(holder, _Account())

    # From wanting it to giving it back.

    @asynccontextmanager
    async def hold(
        self, holder: str, settings: LineSettings | None, limit: float, patience: float
    ) -> AsyncIterator[Leased]:
        """See `Line.lease`."""
        lease = await self._obtain(holder, settings, patience)
        timer = self._loop.call_later(limit, self._run_out, lease, limit)
        try:
            yield lease
        finally:
            timer.cancel()
            self._end(lease, LeaseEnded(f"{self._line.name}: the lease was given back"), Outcome.RETURNED)
            await lease.over.wait()

    async def _obtain(self, holder: str, settings: LineSettings | None, patience: float) -> _Lease:
        account, wanted = self._account(holder), self._loop.time()
        outcome: Outcome | None = Outcome.WITHDRAWN
        try:
            async with asyncio.timeout(patience):
                lease = await self._begin(holder, settings)
            outcome = None
        except TimeoutError:
            outcome = Outcome.REFUSED
            who = self._obstacle if self._lease is None else f"{self._lease.holder} has it"
            raise LeaseRefused(f"{self._line.name} was not to be had within {patience:g} s: {who}") from None
        except LeaseRefused:
            outcome = Outcome.REFUSED
            raise
        except LineDown:
            outcome = Outcome.LINE_DOWN
            raise
        except LineUnsupported:
            outcome = Outcome.UNSUPPORTED
            raise
        finally:
            account.waited += self._loop.time() - wanted
            if outcome is not None:
                account.outcomes[outcome] += 1
        return lease

    async def _begin(self, holder: str, settings: LineSettings | None) -> _Lease:
        self._check_up()
        await self._turn.acquire()
        lease = self._lease = _Lease(self, holder, settings, self._line)
        try:
            await self._have_wire(lease, LONGEST_TURN)
            lease.set_up()
        except BaseException:
            self._end(lease, LineDown(f"{self._line.name}: not held"), Outcome.WITHDRAWN)
            raise
        return lease

    def _run_out(self, lease: _Lease, limit: float) -> None:
        log.warning("lease took too long", extra={"port": self._line.name, "holder": lease.holder, "limit": limit})
        self._end(
            lease, LeaseEnded(f"{self._line.name}: {lease.holder} had it for {limit:g} s, no longer"), Outcome.LIMIT
        )

    def _end(self, lease: _Lease, error: LineError, outcome: Outcome) -> None:
        """It is over; the wire comes home, unless it is there already."""
        if lease.error is None:
            lease.end(error)
            if lease.obtained:
                self._account(lease.holder).outcomes[outcome] += 1
        if lease.over.is_set() or self._homing is not None:
            return
        if lease.has_wire:
            self._bring_home(lease)
        else:
            self._finish(lease)

    def _finish(self, lease: _Lease) -> None:
        if not lease.over.is_set():
            lease.over.set()
            self._lease = None
            self._let_go()
            self._turn.release()

    def device_gone(self) -> None:
        """The device has gone. So has the lease; what was kept is the line's to keep."""
        if self._homing is not None:
            self._homing.cancel()
            self._homing = None
        lease = self._lease
        if lease is not None:
            self._lost_wire(lease)
            self._let_go()
            self._end(lease, LineDown(f"{self._line.name}: the device has gone"), Outcome.LINE_DOWN)
        self._home.set()

    def _lost_wire(self, lease: _Lease) -> None:
        if lease.has_wire:
            lease.has_wire = False
            self._account(lease.holder).seconds += self._loop.time() - lease.since

    def _check_up(self) -> None:
        if not self._line.up:
            raise LineDown(f"{self._line.name}: the device is not there")

    # Getting the wire.

    async def _have_wire(self, lease: _Lease, turn: float) -> None:
        """Let those who wait go first, hold up all others, and have the wire when it is quiet."""
        until = self._loop.time() + turn
        while self.others_wait() and self._loop.time() < until:
            await self._look_for(lease)
        self._hold_up()
        try:
            await self._quiet(lease)
        except BaseException:
            if self._lease is lease:
                self._let_go()
            raise
        self._line.lend(lease.hear)
        lease.has_wire = True
        self._line.note(Kind.HOLDER, lease.holder)

    async def _look_for(self, lease: _Lease) -> None:
        await self.look_again()
        lease.check()
        self._check_up()

    async def look_again(self) -> None:
        """Wait for as long as nothing can have changed."""
        await asyncio.sleep(min(max(self._line.settings.character_time, _SHORTEST_LOOK), _LONGEST_LOOK))

    def others_wait(self) -> bool:
        """Whether streams or requests want the wire."""
        bus = self._line.transactions
        return self._kept_size > 0 or (bus is not None and (bus.waiting or bus.busy))

    async def _quiet(self, lease: _Lease) -> None:
        """Wait until nobody is on the line."""
        line, bus = self._line, self._line.transactions
        line.listen(True)
        began = moved = self._loop.time()
        talk, unsent = (line.received, line.sent), -1
        cleared = None
        character = line.settings.character_time
        gap = max(IDLE_GAP, _GAP_CHARACTERS * character) if line.stream.clients else 0.0
        # When what streams have sent is answered, or will not be: nobody knows when they did since the last lease.
        unknown = line.sent - self._sent
        answered = began + min(unknown * character, PATIENCE) + ANSWER if gap and unknown else began
        while True:
            self._check_up()
            now = self._loop.time()
            over = bus.hold(streams=cleared is not None or now >= began + PATIENCE) if bus is not None else now
            if (line.received, line.sent) != talk:
                heard, sent = line.received - talk[0], line.sent - talk[1]
                talk, moved = (line.received, line.sent), now
                # Adapters say too early that it has left.
                answered = now if heard or not gap else now + sent * character + ANSWER
            busy = bus is not None and bus.busy
            waits = bus is not None and bus.kept() and now < began + PATIENCE
            if not busy and not waits and line.left():
                cleared = now if cleared is None else cleared
                over = over if bus is not None else moved + gap
                if now >= min(max(over, answered), cleared + PATIENCE):
                    return
            elif not busy and self._in_port() == unsent and now > moved + self._stuck_after():
                raise LeaseRefused(f"{line.name}: what was written before does not leave (flow control?)")
            if busy or self._in_port() != unsent:
                unsent, moved = self._in_port(), now
            self._obstacle = "a request is on it" if busy else "what streams have written is on its way"
            await self._look_for(lease)

    def _in_port(self) -> int:
        """Bytes that have been handed to the port and have not left."""
        bus = self._line.transactions
        return self._line.unsent() - self._kept_size - (bus.kept() if bus is not None else 0)

    def _stuck_after(self) -> float:
        return _STUCK + _FIFO * self._line.settings.character_time

    def _hold_up(self) -> None:
        self._holding_up = True
        self._line.stream.detain(self._keep)
        if self._line.transactions is not None:
            self._line.transactions.hold()

    def _keep(self, data: bytes) -> None:
        self._kept.append((self._line.settings, data))
        self._kept_size += len(data)
        self._line.stream.wait_for_turn()

    def _let_go(self) -> None:
        if self._holding_up:
            self._holding_up = False
            self._line.listen(False)
            if self._line.transactions is not None:
                self._line.transactions.free()
            self._sent = self._line.sent
            kept = [data for _, data in self._kept]
            self.purge()
            self._line.stream.let_go(kept)

    # Giving it away.

    async def give_way(self, lease: _Lease) -> None:
        """Let others have the wire, and have it again."""
        turn = min(max(self._loop.time() - lease.since, SHORTEST_TURN), LONGEST_TURN)
        self._account(lease.holder).ways_given += 1
        self._home.clear()
        self._bring_home(lease)
        await self._home.wait()
        lease.check()
        try:
            await self._have_wire(lease, turn)
            lease.set_up()
        except (LeaseRefused, LineUnsupported) as error:
            self._end(lease, LeaseEnded(str(error)), Outcome.LIMIT)
            lease.check()

    def _bring_home(self, lease: _Lease, since: float | None = None, unsent: int = -1) -> None:
        """Put the line back once what was written on lease has left, or does not leave.

        Before that, what streams have written for other settings than they want now leaves at those.
        """
        self._homing = None
        line, now = self._line, self._loop.time()
        if since is None or self._in_port() != unsent:
            since, unsent = now, self._in_port()
        if not line.left():
            if now <= since + _STUCK + _FIFO * lease.settings.character_time:
                self._come_again(lease, since, unsent)
                return
            taken = line.take_back()
            log.warning("unsent bytes purged", extra={"port": line.name, "bytes": taken})
        if self._kept and self._kept[0][0] != line.settings:
            try:
                self._send_first_kept()
            except LineDown:
                pass  # `reclaim` meets the same
            else:
                self._come_again(lease, None, -1)
                return
        self._lost_wire(lease)
        line.reclaim()
        line.note(Kind.HOLDER, "")
        self._let_go()
        self._home.set()
        if lease.error is not None:
            self._finish(lease)

    def _send_first_kept(self) -> None:
        """At the settings that it is for; where the driver refuses them, as it can."""
        settings, data = self._kept[0]
        try:
            self._line.set_device(settings)
        except LineUnsupported as error:
            log.warning("settings refused", extra={"port": self._line.name, "reason": str(error)})
        self._kept.popleft()
        self._kept_size -= len(data)
        self._line.put(data)

    def _come_again(self, lease: _Lease, since: float | None, unsent: int) -> None:
        look = min(max(lease.settings.character_time, _SHORTEST_LOOK), _LONGEST_LOOK)
        self._homing = self._loop.call_later(look, self._bring_home, lease, since, unsent)

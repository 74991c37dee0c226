"""The tap of a line: everything that happens on it, in one ring of records for all who watch.

    port -> Line.data_received -> tap -> discipline           the ring <- watchers, each with a place of its own
    discipline -> Line.put -> tap -> port                              <- the flight recorder, frozen by what happens

Off, it is not there: `Line._hear` and `Line._write` are the bare callables. On, it costs an entry in the ring for each
chunk. Nobody is waited for: whoever reads more slowly than records come is told how many it has lost. The ring is
bounded in bytes, with what Python takes for each record counted.

    async with line.tap().watch("10.0.0.9") as watcher:
        async for lost, records in watcher.follow():
            ...

What was written with a password in it (`Leased.write`, or as protocols/capture/passwords.py recognises it) is not kept,
nor is what was heard until the next write: only how much there was.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol, Self

import uvloop

from nportpy.line.watch import INTERVAL, Watch
from nportpy.linesettings import LineSettings, ModemLines, UartCounters
from nportpy.protocols.capture.passwords import has_password
from nportpy.protocols.capture.records import (
    ANSWER,
    RX,
    TX,
    UNSENT,
    Asked,
    Client,
    Discards,
    Ended,
    Hidden,
    Kind,
    Record,
    Unsent,
)
from nportpy.protocols.modbus.pdu import EXCEPTION_BIT

if TYPE_CHECKING:
    from nportpy.line.transaction import Transactions
    from nportpy.line.turns import Request, Result

DEFAULT_LIMIT: Final = 256 * 1024
"""Bytes of a ring, unless the flight recorder is to keep more."""

OVERHEAD: Final = 160
"""Bytes that a record takes beside its data: a tuple, a number, the head of the bytes and its place."""

MORE: Final = 240
"""And of one that is about something: another tuple, and what is in it."""

GATHERED: Final = 0.05
"""Seconds in which records are gathered for a watcher that follows: waking for each would cost more than they do."""

UNWATCHED: Final = 1.0
"""Seconds between two looks at modem lines and error counters while the flight recorder alone is on: with some USB
adapters a look is a request on the bus."""

MOST_AT_ONCE: Final = 1000
"""Records of one portion."""

_RAW = tuple[int, Kind, bytes, object]


_AT_ONCE: Final = 8
"""The part of the ring that is dropped when it is full: one record at a time would cost more."""


class Asker(Protocol):
    """Who is served by a request."""

    client: Hashable


class Tapped(Protocol):
    """What a tap needs from its line."""

    name: str
    secret: bool
    watch: Watch
    transactions: "Transactions | None"

    @property
    def settings(self) -> LineSettings:
        """Those in effect."""

    def set_tapped(self, on: bool) -> None:
        """Have the tap hear and see everything, or nothing."""

    def modem_lines(self) -> ModemLines:
        """The modem lines now."""


class Tap:
    """The records of one line.

    Attributes:
        name: the line's.
        lost: records that were dropped from the ring to make room, since it was switched on.
        closed: nothing will come any more.
        watchers: who watches, in order of arrival.
    """

    def __init__(self, line: Tapped) -> None:
        """Off."""
        loop = asyncio.get_running_loop()
        own = type(loop).time not in (asyncio.BaseEventLoop.time, uvloop.Loop.time)
        self.clock: Callable[[], int] = (lambda: round(loop.time() * 1e9)) if own else time.monotonic_ns
        self.name = line.name
        self.lost = 0
        self.closed = False
        self.watchers: list[Watcher] = []
        self._line = line
        self._records: deque[_RAW] = deque()
        self._first = 0  # number of the oldest record in the ring
        self._size = 0
        self._limit = DEFAULT_LIMIT
        self._mark = DEFAULT_LIMIT  # the size at which something is to be done; -1 while somebody sleeps
        self._sleepers: list[asyncio.Future[None]] = []
        self._kept = 0
        self._on = False
        self._hides = False  # what is heard: a password was written, and the line may have an echo
        self._request: Request | None = None  # whose frame was written last
        self._attempt = 0
        self._requests = 0
        self._discards = Discards(0, 0, 0, 0, 0, 0)
        self._discarded = 0
        self._modem = ModemLines(0)
        self.noticed: Callable[[Record], None] | None = None  # the flight recorder's: hears of all but bytes

    # Those who watch.

    @property
    def on(self) -> bool:
        """Whether anything is recorded."""
        return self._on

    @property
    def settings(self) -> LineSettings:
        """Of the line, now."""
        return self._line.settings

    @property
    def size(self) -> int:
        """Bytes that the ring takes."""
        return self._size

    @property
    def next_number(self) -> int:
        """Number of the record that comes next."""
        return self._first + len(self._records)

    @property
    def first_number(self) -> int:
        """Number of the oldest record that is there."""
        return self._first

    def keep(self, size: int) -> None:
        """Record at all times, so many bytes of it; 0: only while somebody watches."""
        self._kept = size
        self._limit = max(size, DEFAULT_LIMIT)
        self._look_at_size()
        self._switch()

    def watch(self, who: str, *, history: bool = False) -> "Watcher":
        """Watch from now on.

        Args:
            who: shown to others.
            history: begin with the oldest record that is there.
        """
        watcher = Watcher(self, who, self.clock())
        self.watchers.append(watcher)
        self._switch()
        watcher.place = self._first if history else self.next_number
        return watcher

    def close(self) -> None:
        """The line is no more: who follows is told so."""
        self.closed = True
        self.wake()

    def dismiss(self) -> None:
        """Nobody may watch any more."""
        for watcher in self.watchers:
            watcher.over = True
        self.wake()

    def wake(self) -> None:
        """Have those who follow look at what there is: their end has come, perhaps."""
        self._look_at_size()

    def leave(self, watcher: "Watcher") -> None:
        """Watch no more. May be called twice."""
        if watcher in self.watchers:
            self.watchers.remove(watcher)
            self._switch()

    def snapshot(self) -> tuple[Record, ...]:
        """All that is in the ring."""
        return tuple(self._numbered(self._first, len(self._records)))

    def _switch(self) -> None:
        on = bool(self.watchers) or self._kept > 0
        if on != self._on:
            self._on = on
            if on:
                self.lost = 0
                self._modem = self._line.modem_lines()
                if self._line.transactions is not None:
                    self._discarded = self._line.transactions.counts.total()
                    self._discards = _discards(self._line.transactions)
            self._line.set_tapped(on)
            if not on:
                self._first += len(self._records)
                self._records.clear()
                self._size = 0
                self._request = None
        if on:
            self._line.watch.add(self, INTERVAL if self.watchers else UNWATCHED)
        else:
            self._line.watch.remove(self)

    # The ring.

    def since(self, number: int, most: int) -> list[Record]:
        """Records from `number` on, `most` of them at most; those that are gone are left out."""
        return list(self._numbered(max(number, self._first), most))

    def _numbered(self, number: int, most: int) -> Iterator[Record]:
        """From the nearer end: a deque is walked, and a watcher mostly wants the newest few."""
        records, length = self._records, len(self._records)
        skipped = number - self._first
        count = min(length - skipped, most)
        if count <= 0:
            return
        if skipped > length // 2:
            found = list(islice(reversed(records), length - skipped - count, length - skipped))
            found.reverse()
        else:
            found = list(islice(records, skipped, skipped + count))
        for each, (at, kind, data, about) in enumerate(found, number):
            yield Record(each, at, kind, data, _whole(kind, about))

    def _add(self, kind: Kind, data: bytes, about: object) -> None:
        self._records.append((self.clock(), kind, data, about))
        self._size += len(data) + OVERHEAD + MORE
        if self._size > self._mark:
            self._look_at_size()

    def note(self, kind: Kind, about: object, data: bytes = b"") -> None:
        """Something happened that is no byte."""
        self._add(kind, data, about)
        if self.noticed is not None:
            self.noticed(Record(self.next_number - 1, self._records[-1][0], kind, data, about))

    def _look_at_size(self) -> None:
        records = self._records
        if self._size > self._limit:
            before, enough = len(records), self._limit - self._limit // _AT_ONCE
            while self._size > enough and len(records) > 1:
                _, _, data, about = records.popleft()
                self._size -= len(data) + (OVERHEAD if about is None else OVERHEAD + MORE)
            self._first += before - len(records)
            self.lost += before - len(records)
        self._mark = self._limit
        sleepers, self._sleepers = self._sleepers, []
        for sleeper in sleepers:
            if not sleeper.done():
                sleeper.set_result(None)

    async def another(self, number: int, within: float) -> bool:
        """Wait until there is a record `number`, `within` seconds at most; whether there is."""
        if self.next_number <= number and not self.closed:
            sleeper = asyncio.get_running_loop().create_future()
            self._sleepers.append(sleeper)
            self._mark = -1
            try:
                async with asyncio.timeout(within):
                    await sleeper
            except TimeoutError:
                pass
            finally:
                if sleeper in self._sleepers:
                    self._sleepers.remove(sleeper)
        return self.next_number > number

    # The byte path: closures, as a call of a method more would cost as much as the entry.

    def hearing(self, hear: Callable[[bytes], None]) -> Callable[[bytes], None]:
        """`hear`, with the bytes recorded before."""
        line, append, clock, tap = self._line, self._records.append, self.clock, self
        bus = line.transactions
        counts = bus.counts if bus is not None else None

        def heard(data: bytes) -> None:
            if line.secret or tap._hides:
                append((clock(), RX, b"", Hidden(len(data))))
                tap._size += OVERHEAD + MORE
            else:
                append((clock(), RX, data, None))
                tap._size += len(data) + OVERHEAD
            if tap._size > tap._mark:
                tap._look_at_size()
            hear(data)

        def heard_beside_requests(data: bytes) -> None:
            heard(data)
            if counts is not None and counts.total() != tap._discarded:
                tap._note_discards()

        return heard if bus is None else heard_beside_requests

    def writing(self, write: Callable[[bytes], None]) -> Callable[[bytes], None]:
        """`write`, with the bytes recorded before."""
        line, append, clock, tap = self._line, self._records.append, self.clock, self

        def written(data: bytes) -> None:
            bus = line.transactions
            tap._hides = has_password(data)
            if line.secret or tap._hides:
                append((clock(), TX, b"", Hidden(len(data))))
                tap._size += OVERHEAD + MORE
            elif bus is None or bus.request is None:
                append((clock(), TX, data if type(data) is bytes else bytes(data), None))
                tap._size += len(data) + OVERHEAD
            else:
                append((clock(), TX, data, tap._asked(bus.request, bus)))
                tap._size += len(data) + OVERHEAD + MORE
            if tap._size > tap._mark:
                tap._look_at_size()
            write(data)

        return written

    # Requests.

    def _asked(self, request: "Request", bus: "Transactions") -> tuple[object, ...]:
        """The fields of `Asked`: whoever reads it makes the named tuple, which takes longer than all the rest."""
        probes = bus.probing
        if request is self._request:
            self._attempt += not probes
        else:
            self._request, self._attempt = request, 1
            self._requests += 1
        return (
            self._requests,
            request.unit,
            request.pdu,
            who(request.client),
            request.sent_at - request.queued_at,
            self._attempt,
            probes,
            request.timeout if request.awaited else 0.0,
        )

    def ended(self, request: "Request", result: "Result", asks: Sequence[Asker]) -> None:
        """A request has ended; `asks` are those whom it served."""
        outcome, answer, waited, took = result
        clients = (who(request.client),) if len(asks) < 2 else tuple([who(ask.client) for ask in asks])
        if request.waits:
            for client in clients:
                self.note(UNSENT, Unsent(request.unit, request.pdu, client, str(outcome)), answer)
            return
        mine = request is self._request
        self._request = None
        about = (
            self._requests if mine else 0,
            request.unit,
            request.pdu,
            outcome,
            clients,
            waited,
            took,
            self._attempt if mine else 1,
        )
        if answer and answer[0] < EXCEPTION_BIT:
            self._add(ANSWER, answer, about)
        else:  # whoever waits for what goes wrong hears of it
            self._note_discards()
            self.note(ANSWER, Ended(*about), answer)

    def unsent(self, unit: int, pdu: bytes, client: Hashable, why: str, answer: bytes = b"") -> None:
        """A request was answered without the line."""
        self.note(UNSENT, Unsent(unit, pdu, who(client), why), answer)

    def _note_discards(self) -> None:
        bus = self._line.transactions
        if bus is None or (total := bus.counts.total()) == self._discarded:
            return
        self._discarded = total
        before, self._discards = self._discards, _discards(bus)
        self.note(Kind.DISCARDED, Discards(*(now - then for now, then in zip(self._discards, before, strict=True))))

    # As a client of the line's `Watch`.

    def line_state(self, modem: ModemLines, errors: UartCounters) -> None:
        """Modem lines changed, or the driver counted errors."""
        if errors != _NO_ERRORS:
            self.note(Kind.ERRORS, errors)
        if modem != self._modem:
            self._modem = modem
            self.note(Kind.MODEM, modem)


@dataclass(slots=True, eq=False)
class Watcher:
    """Somebody who reads a tap's records, at its own pace. An async context; leaving it ends it.

    Attributes:
        tap: whose.
        who: for others to see.
        since: when it came, on the tap's clock.
        place: number of the record that it reads next.
        lost: records that were gone before it could read them.
        over: it may not watch any more.
    """

    tap: Tap
    who: str
    since: int
    place: int = 0
    lost: int = 0
    over: bool = False
    _offset: int = 0

    def take(self, most: int = MOST_AT_ONCE) -> tuple[int, list[Record]]:
        """What came since the last call: how many records were lost before these, and these."""
        lost = max(self.tap.first_number - self.place, 0)
        records = self.tap.since(self.place, most)
        self.place += lost + len(records)
        self.lost += lost
        return lost, records

    def skip(self) -> int:
        """Go over what is there; how much of it there was, and was lost before it."""
        skipped = self.tap.next_number - self.place
        self.place = self.tap.next_number
        self.lost += skipped
        return skipped

    async def follow(self, within: float = 1.0) -> AsyncIterator[tuple[int, list[Record]]]:
        """Portions as they come, until the line is no more or it may not watch.

        Args:
            within: seconds; where nothing came for as long, there is an empty one.
        """
        while not self.over and (not self.tap.closed or self.place < self.tap.next_number):
            if await self.tap.another(self.place, within) and self.tap.next_number - self.place < MOST_AT_ONCE:
                await asyncio.sleep(GATHERED)
            yield self.take()

    def wall(self, at: int) -> int:
        """Nanoseconds since the epoch of a record's time.

        By the time of day as it is now: who boots without a clock and gets the time later has right times in what was
        recorded before. The difference of two records stays what it is unless the time of day is set by 10 ms or more.
        """
        offset = time.time_ns() - self.tap.clock()
        if abs(offset - self._offset) > _SET:
            self._offset = offset
        return at + self._offset

    def close(self) -> None:
        """Watch no more."""
        self.tap.leave(self)

    async def __aenter__(self) -> Self:
        """Itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """See `close`."""
        self.close()


def who(client: Hashable) -> Client:
    """How a client of the line is called: by its address and certificate, or by a name of its own."""
    found: Client | None = (
        getattr(client, "called", None) or getattr(client, "peer", None) or getattr(client, "label", None)
    )
    return type(client).__name__ if found is None else found


def _whole(kind: Kind, about: object) -> object:
    """What a record is about, as `Kind` says; of requests the ring has the bare fields."""
    if type(about) is tuple:
        return Asked(*about) if kind is TX else Ended(*about)
    return about


def _discards(bus: "Transactions") -> Discards:
    counts = bus.counts
    return Discards(counts.junk, counts.spoilt, counts.foreign, counts.unfit, counts.late, counts.echoes)


_NO_ERRORS = UartCounters()
_SET = 10_000_000

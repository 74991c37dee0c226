"""The tap of a line: everything that happens on it, in one ring of records for all who watch.

    port -> Line.data_received -> tap -> discipline           the ring <- watchers, each with a place of its own
    discipline -> Line.put -> tap -> port                              <- the flight recorder, frozen by what happens

Off, it is not there: `Line._hear` and `Line._write` are the bare callables. On, it costs an entry in the ring for each
chunk. Nobody is waited for: whoever reads more slowly than records come is told how many it has lost. The ring is
bounded in bytes, with what Python takes for each record counted.

    async with line.tap().watch("10.0.0.9") as watcher:
        async for lost, records in watcher.follow():
            ...

What was written with a password in it is told by its length only, and so is what was heard until the next write: it may
be an echo. A lease says so itself (`Leased.write`); of what others write protocols/capture/passwords.py recognises it,
when somebody reads the records.
"""

import asyncio
import time
from collections.abc import Callable, Hashable, Sequence
from itertools import count
from typing import TYPE_CHECKING, Final, Protocol

import uvloop

from nportpy.line.entries import ANSWERED, NUMBER, WHO, attempt_of, echo_until, records_of
from nportpy.line.ring import MORE, OVERHEAD, Raw, Ring
from nportpy.line.watch import INTERVAL, Watch
from nportpy.line.watcher import Watcher
from nportpy.linesettings import LineSettings, ModemLines, UartCounters
from nportpy.protocols.capture.records import (
    ANSWER,
    RX,
    TX,
    UNSENT,
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

UNWATCHED: Final = 1.0
"""Seconds between two looks at modem lines and error counters while the flight recorder alone is on: with some USB
adapters a look is a request on the bus."""


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
        closed: nothing will come any more.
        watchers: who watches, in order of arrival.
    """

    def __init__(self, line: Tapped) -> None:
        """Off."""
        loop = asyncio.get_running_loop()
        own = type(loop).time not in (asyncio.BaseEventLoop.time, uvloop.Loop.time)
        self.clock: Callable[[], int] = (lambda: round(loop.time() * 1e9)) if own else time.monotonic_ns
        self.name = line.name
        self.closed = False
        self.watchers: list[Watcher] = []
        self._line = line
        self._ring = Ring(DEFAULT_LIMIT)
        self._sleepers: list[asyncio.Future[None]] = []
        self._kept = 0
        self._on = False
        self._echo_until = 0  # of what was dropped from the ring and had a password in it
        self._request: Request | None = None  # whose frame was written last
        self._asked: Raw = ()  # that record
        self._number = count(1).__next__  # of requests
        self._heard: Raw | None = None  # what is being heard, and is recorded when who hears it is through
        self._answer: Raw | None = None  # the answer that was found in it
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
    def settings(self) -> LineSettings | None:
        """Of the line, now; None: it is a connection to a Modbus TCP server."""
        bus = self._line.transactions
        return self._line.settings if bus is None or bus.serial else None

    @property
    def size(self) -> int:
        """Bytes that the ring takes."""
        return self._ring.size

    @property
    def lost(self) -> int:
        """Records that were dropped from the ring to make room, since it was switched on."""
        return self._ring.lost

    @property
    def next_number(self) -> int:
        """Number of the record that comes next."""
        return self._ring.end

    @property
    def first_number(self) -> int:
        """Number of the oldest record that is there."""
        return self._ring.first

    def keep(self, size: int) -> None:
        """Record at all times, so many bytes of it; 0: only while somebody watches."""
        self._kept = size
        self._ring.limit = max(size, DEFAULT_LIMIT)
        self._turn()
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
        watcher.place = self.first_number if history else self.next_number
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
        self._turn()

    def leave(self, watcher: "Watcher") -> None:
        """Watch no more. May be called twice."""
        if watcher in self.watchers:
            self.watchers.remove(watcher)
            self._switch()

    def snapshot(self) -> tuple[Record, ...]:
        """All that is in the ring."""
        return tuple(self.since(0, len(self._ring.records)))

    def _switch(self) -> None:
        on = bool(self.watchers) or self._kept > 0
        if on != self._on:
            self._on = on
            if on:
                self._ring.lost = 0
                self._modem = self._line.modem_lines()
                if self._line.transactions is not None:
                    self._discarded = self._line.transactions.counts.changes
                    self._discards = _discards(self._line.transactions)
            self._line.set_tapped(on)
            if not on:
                self._drop(self._ring.clear())
                self._request = self._heard = self._answer = None
        if on:
            self._line.watch.add(self, INTERVAL if self.watchers else UNWATCHED)
        else:
            self._line.watch.remove(self)

    # The ring.

    def since(self, number: int, most: int) -> list[Record]:
        """Records from `number` on, `most` of them at most; those that are gone are left out."""
        entries, number = self._ring.records, max(number, self._ring.first)
        at = number - self._ring.first
        return records_of(entries[at : at + most], number, echo_until(entries, at, self._echo_until))

    def _settle(self) -> None:
        """Record what is being heard, as something else is to come after it."""
        ring, heard, answer = self._ring, self._heard, self._answer
        if heard is not None:
            self._heard = None
            ring.records.append(heard)
            ring.fill += len(heard[2]) + OVERHEAD
        if answer is not None:
            self._answer = None
            ring.records.append(answer)
            ring.fill += len(answer[2]) + _REQUEST
        if ring.fill > ring.mark:
            self._turn()

    def _add(self, kind: Kind, data: bytes, about: object) -> None:
        if self._heard is not None:
            self._settle()
        ring = self._ring
        ring.records.append((self.clock(), kind, data, about))
        ring.fill += len(data) + OVERHEAD + MORE
        if ring.fill > ring.mark:
            self._turn()

    def note(self, kind: Kind, about: object, data: bytes = b"") -> None:
        """Something happened that is no byte."""
        self._add(kind, data, about)
        if self.noticed is not None:
            self.noticed(Record(self.next_number - 1, self._ring.records[-1][0], kind, data, about))

    def _turn(self) -> None:
        """What is to be done now and then: make room, and wake those who wait."""
        self._drop(self._ring.turn())
        sleepers, self._sleepers = self._sleepers, []
        for sleeper in sleepers:
            if not sleeper.done():
                sleeper.set_result(None)

    def _drop(self, records: list[Raw]) -> None:
        """They are gone; an echo of what they wrote may still come."""
        self._echo_until = echo_until(records, len(records), self._echo_until)

    async def another(self, number: int, within: float) -> bool:
        """Wait until there is a record `number`, `within` seconds at most; whether there is."""
        if self.next_number <= number and not self.closed:
            sleeper = asyncio.get_running_loop().create_future()
            self._sleepers.append(sleeper)
            self._ring.mark = -1
            try:
                async with asyncio.timeout(within):
                    await sleeper
            except TimeoutError:
                pass
            finally:
                if sleeper in self._sleepers:
                    self._sleepers.remove(sleeper)
        return self.next_number > number

    # The byte path: closures, as a call of a method more would cost as much as the entry. What is rare is not asked for
    # here: while a password may be heard, other closures hear and write. The bytes go first, and are recorded, at the
    # time at which they came, when they are on their way; whatever else is recorded meanwhile comes after them.

    def hearing(self, hear: Callable[[bytes], None]) -> Callable[[bytes], None]:
        """`hear`, with the bytes recorded."""
        ring, clock, turn, tap = self._ring, self.clock, self._turn, self
        append = ring.records.append

        def heard(data: bytes) -> None:
            tap._heard = entry = (clock(), RX, data)
            try:
                hear(data)
            finally:
                if tap._heard is entry:
                    tap._heard = None
                    append(entry)
                    ring.fill = fill = ring.fill + len(data) + OVERHEAD
                    if fill > ring.mark:
                        turn()

        def heard_in_secret(data: bytes) -> None:
            tap._add(RX, b"", Hidden(len(data)))
            hear(data)

        bus = self._line.transactions
        if self._line.secret:
            heard = heard_in_secret
        if bus is None:
            return heard
        counts = bus.counts

        def heard_beside_requests(data: bytes) -> None:
            tap._heard = (clock(), RX, data)
            try:
                hear(data)
            finally:
                tap._settle()
            if counts.changes != tap._discarded:
                tap._note_discards()

        def heard_in_secret_beside_requests(data: bytes) -> None:
            heard_in_secret(data)
            tap._note_discards()

        return heard_in_secret_beside_requests if heard is heard_in_secret else heard_beside_requests

    def writing(self, write: Callable[[bytes], None]) -> Callable[[bytes], None]:
        """`write`, with the bytes recorded."""
        ring, clock, turn, tap = self._ring, self.clock, self._turn, self
        append, bus = ring.records.append, self._line.transactions

        def written(data: bytes) -> None:
            data = data if type(data) is bytes else bytes(data)
            write(data)
            if tap._heard is not None:
                tap._settle()
            append((clock(), TX, data))
            ring.fill = fill = ring.fill + len(data) + OVERHEAD
            if fill > ring.mark:
                turn()

        def written_in_secret(data: bytes) -> None:
            write(data)
            tap._add(TX, b"", Hidden(len(data)))

        own = written_in_secret if self._line.secret else written
        return own if bus is None else self._writing_requests(bus, write, own)

    def _writing_requests(
        self, bus: "Transactions", write: Callable[[bytes], None], written: Callable[[bytes], None]
    ) -> Callable[[bytes], None]:
        """The same for a line with requests: `written` for what streams write, `write` after what is recorded here."""
        clock, append, number, tap = self.clock, self._ring.records.append, self._number, self

        def written_beside_streams(data: bytes) -> None:
            request = bus.request
            if request is None:
                written(data)
                return
            write(data)
            if tap._heard is not None:
                tap._settle()
            if request is tap._request or request.probed:
                append(tap._again(request, data))
            else:
                tap._request = request
                tap._asked = (
                    clock(),
                    TX,
                    data,
                    number(),
                    request.unit,
                    request.pdu,
                    getattr(request.client, "called", None) or who(request.client),
                    request.sent_at,
                    request.queued_at,
                    request.timeout if request.awaited else 0.0,
                )
                append(tap._asked)  # what it takes is counted when the request ends

        return written_beside_streams

    # Requests. The ring has bare fields: whoever reads it makes the named tuples, which takes longer than all the rest.

    def _again(self, request: "Request", data: bytes) -> Raw:
        """Another frame for the same request, or one to find out about the echo before its own."""
        assert self._line.transactions is not None  # it is one of theirs
        probes = self._line.transactions.probing
        sent_at = self._line.transactions.clock() if request.waits else request.sent_at
        if request is self._request:
            number, attempt = self._asked[NUMBER], attempt_of(self._asked)
            self._count(self._asked)
        else:
            number, attempt = self._number(), 0
            self._request = request
        timeout = request.timeout if request.awaited else 0.0
        self._asked = (
            *(self.clock(), TX, data, number, request.unit, request.pdu, who(request.client)),
            *(sent_at, request.queued_at, timeout, attempt + (not probes), probes),
        )
        return self._asked

    def taken_over(self, request: "Request") -> None:
        """Whoever had the turn has gone, and the request goes on for another."""
        if request is self._request:
            self._asked = (*self._asked[:WHO], who(request.client), *self._asked[WHO + 1 :])

    def _count(self, asked: Raw) -> None:
        self._ring.fill += len(asked[2]) + OVERHEAD + MORE

    def ended(self, request: "Request", result: "Result", asks: Sequence[Asker]) -> None:
        """A request has ended; `asks` are those whom it served."""
        mine = request is self._request
        if mine and result[0] is ANSWERED and len(asks) == 1 and (answer := result[1]) and answer[0] < EXCEPTION_BIT:
            self._request = None
            self._answer = (result[3], ANSWER, answer, self._asked)
            if self._heard is None:
                self._settle()
            return
        outcome, answer, waited, took = result
        good = outcome is ANSWERED and len(answer) > 0 and answer[0] < EXCEPTION_BIT
        clients = (who(request.client),) if len(asks) < 2 else tuple([who(ask.client) for ask in asks])
        if request.waits:
            for client in clients:
                self.note(UNSENT, Unsent(request.unit, request.pdu, client, str(outcome)), answer)
            return
        number, attempts = 0, 1
        if mine:
            number, attempts = self._asked[NUMBER], max(attempt_of(self._asked), 1)
            self._request = None
            self._count(self._asked)
        about = Ended(number, request.unit, request.pdu, outcome, clients, waited, took, attempts)
        if good:
            self._add(ANSWER, answer, about)
        else:  # whoever waits for what goes wrong hears of it
            self._note_discards()
            self.note(ANSWER, about, answer)

    def unsent(self, unit: int, pdu: bytes, client: Hashable, why: str, answer: bytes = b"") -> None:
        """A request was answered without the line."""
        self.note(UNSENT, Unsent(unit, pdu, who(client), why), answer)

    def _note_discards(self) -> None:
        bus = self._line.transactions
        if bus is None or (changes := bus.counts.changes) == self._discarded:
            return
        self._discarded = changes
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


def who(client: Hashable) -> Client:
    """How a client of the line is called: by its address and certificate, or by a name of its own."""
    found: Client | None = (
        getattr(client, "called", None) or getattr(client, "peer", None) or getattr(client, "label", None)
    )
    return type(client).__name__ if found is None else found


_REQUEST: Final = 2 * (OVERHEAD + MORE) + 8  # what a frame and its answer take, most of their bytes apart


def _discards(bus: "Transactions") -> Discards:
    counts = bus.counts
    return Discards(counts.junk, counts.spoilt, counts.foreign, counts.unfit, counts.late, counts.echoes)


_NO_ERRORS = UartCounters()

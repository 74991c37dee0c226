"""Who asks the units of a bus, and what of the bus each has had: kept for an hour after it has left.

A client that has left is shown under its address alone, together with others of that address and service: a master
that connects anew for each request is one culprit and not a thousand.
"""

import time
from collections.abc import Hashable, Iterator
from typing import Final, Protocol

from nportpy.modbus.recent import Figures, Marks
from nportpy.status import BusClientCounts, BusClientStatus

KEPT: Final = 3600.0
"""Seconds for which those are shown that have left."""

MOST_GONE: Final = 256
"""How many of them; beyond, who left first is forgotten."""

_WITH_ADDRESS: Final = frozenset((1, 2, 3, 4, 5, 6, 15, 16, 22, 23, 24))


class Asked(Protocol):
    """What was asked."""

    @property
    def unit(self) -> int:
        """Whom, as the line knows it."""

    @property
    def pdu(self) -> bytes:
        """What."""


class Asker:
    """One client of a router.

    Attributes:
        name: what it is called while it is there.
        host: what it is called once it has left; the same where it may come back as itself.
        service: through which service it asks.
        refused: requests of it that came to no bus.
    """

    __slots__ = ("host", "name", "refused", "service")

    def __init__(self, name: str, host: str, service: str) -> None:
        """It has asked nothing yet."""
        self.name = name
        self.host = host
        self.service = service
        self.refused = 0


class Use:
    """What a client has had of one bus.

    Attributes:
        asker: who.
        since: when it came, in seconds since the epoch.
        connections: how many connections this is.
        requests: that it asked.
        busy: seconds that the bus was busy for it.
        last: what it asked last, as long as it is here.
        asked: the same without anything of it that is not to be kept; None: it asked nothing.
        marks: how far this had come before.
    """

    __slots__ = ("_refused", "asked", "asker", "busy", "connections", "last", "marks", "requests", "since")

    def __init__(self, asker: Asker, since: float) -> None:
        """It has come."""
        self.asker = asker
        self.since = since
        self.connections = 1
        self.requests = 0
        self.busy = 0.0
        self.last: Asked | None = None
        self.asked: tuple[int, bytes] | None = None
        self.marks = Marks()
        self._refused = 0  # of those that were here before

    @property
    def refused(self) -> int:
        """Requests of it that came to no bus."""
        return self._refused + self.asker.refused

    def asked_last(self) -> tuple[int, bytes] | None:
        """Unit and PDU."""
        return self.asked if self.last is None else (self.last.unit, self.last.pdu)

    def figures(self) -> Figures:
        """Its counts."""
        return self.requests, self.busy

    def go_on(self, asker: Asker) -> None:
        """It is here again."""
        self._refused += self.asker.refused
        self.asker = asker

    def join(self, other: "Use") -> None:
        """What the other has had is added to this; it came later."""
        self.since = min(self.since, other.since)
        self.connections += other.connections
        self.requests += other.requests
        self.busy += other.busy
        self._refused += other.refused
        self.asked = other.asked or self.asked
        self.marks.join(other.marks)


class Clients:
    """Those of one bus."""

    def __init__(self) -> None:
        """Nobody asks."""
        self._here: dict[Hashable, Use] = {}
        self._gone: dict[tuple[str, str], tuple[Use, float, float]] = {}  # and when, on both clocks; the first first

    def enter(self, client: Hashable, asker: Asker) -> Use:
        """A client will ask; counts go on where it was here before under the same name."""
        found = self._gone.pop(_place(asker), None) if asker.host == asker.name else None
        if found is None:
            use = Use(asker, time.time())
        else:
            use = found[0]
            use.go_on(asker)
        self._here[client] = use
        return use

    def leave(self, client: Hashable, now: float) -> tuple[Use, Use] | None:
        """It has left: its counts, and where they are kept from now on. None: it was not here."""
        use = self._here.pop(client, None)
        if use is None:
            return None
        use.asked, use.last = use.asked_last(), None  # what it asked knows the connection
        kept = use
        place = _place(use.asker)
        if (found := self._gone.pop(place, None)) is not None:
            kept = found[0]
            kept.join(use)
        self._gone[place] = kept, now, time.time()
        while len(self._gone) > MOST_GONE:
            del self._gone[next(iter(self._gone))]
        return use, kept

    def mark(self, now: float) -> None:
        """Remember how far all have come, and forget who left long ago."""
        for place, (_, left, _) in tuple(self._gone.items()):
            if now - left < KEPT:
                break
            del self._gone[place]
        for use in self._all():
            use.marks.mark(use.figures())

    def status(self, now: float, marks: int) -> tuple[BusClientStatus, ...]:
        """A snapshot; for `marks` see `Marks.recent`."""
        here = [_status(use, use.asker.name, None, marks) for use in self._here.values()]
        gone = [
            _status(use, use.asker.host, wall, marks) for use, left, wall in self._gone.values() if now - left < KEPT
        ]
        return (*here, *gone)

    def _all(self) -> Iterator[Use]:
        yield from self._here.values()
        yield from (use for use, _, _ in self._gone.values())


def _place(asker: Asker) -> tuple[str, str]:
    return asker.service, asker.host


def _status(use: Use, name: str, left: float | None, marks: int) -> BusClientStatus:
    requests, busy = use.marks.recent(use.figures(), marks)
    unit, pdu = use.asked_last() or (None, b"")
    function = pdu[0] if pdu else None
    return BusClientStatus(
        requests=use.requests,
        busy=use.busy,
        client=name,
        service=use.asker.service,
        since=use.since,
        left=left,
        connections=use.connections,
        refused=use.refused,
        unit=unit,
        function=function,
        address=pdu[1] << 8 | pdu[2] if function in _WITH_ADDRESS and len(pdu) > 2 else None,
        recent=BusClientCounts(requests=requests, busy=busy),
    )

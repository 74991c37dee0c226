"""What the requests of a line cannot be sure of: whose a late answer would be, and whether the line has an echo.

The discipline that asks is transaction.py, whose top says why late answers matter; exchange.py says it of the echo.
"""

import math
from typing import Final

from nportpy.line.turns import Request, Turns
from nportpy.protocols.modbus.exchange import Exchange, probe_of

_PROBES: Final = 2


class Doubts:
    """The doubts of one line.

    Attributes:
        until: units and functions of which an answer may still come that nobody waits for any more, and until when.
        clears: none of those is over before this time.
        probes: requests sent to find out about the echo.
    """

    __slots__ = ("_exchange", "clears", "probes", "until")

    def __init__(self, exchange: Exchange) -> None:
        """There are none."""
        self.until: dict[tuple[int, int], float] = {}
        self.clears = math.inf
        self.probes = 0
        self._exchange = exchange

    def unanswered(self, request: Request, due: float) -> None:
        """What waited for its answer until `due` got none: it may come until it has been waited for twice as long."""
        if request.awaited and self._exchange.serial:
            self.add(request.unit, request.pdu[0], due + request.timeout)

    def answered(self, request: Request, due: float) -> None:
        """An answer came. If it was asked twice, the other one may come too."""
        if (request.unit, request.pdu[0]) in self.until:
            self.unanswered(request, due)

    def add(self, unit: int, function: int, until: float) -> None:
        """An answer may come until then."""
        self.until[unit, function] = until
        self.clears = min(self.clears, until)

    def look(self, now: float) -> None:
        """Forget those that are over."""
        if self.clears <= now:
            self.until = {kind: until for kind, until in self.until.items() if until > now}
            self.clears = min(self.until.values(), default=math.inf)

    def first(self, turns: Turns, now: float) -> Request | None:
        """Whose turn it is, those apart whose answer could be taken for a late one: see `clears`."""
        if not self.until:
            return turns.first()
        self.look(now)
        return turns.first(self.until)

    def probe(self, request: Request) -> bytes | None:
        """What to ask its unit before a request to find out about the echo.

        Once, and once more where noise before the answer left it open.
        """
        if request.probed >= _PROBES or not self._exchange.wants_probe(request.pdu):
            return None
        request.probed += 1
        self.probes += 1
        return probe_of(request.pdu)

    def probe_unanswered(self, request: Request, due: float) -> None:
        """What was asked before a request got no answer until `due`; it may come late, as others."""
        request.probed = _PROBES
        self.add(request.unit, probe_of(request.pdu)[0], due + request.timeout)

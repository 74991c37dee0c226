"""When what failed is tried again, and who tries it: a silent unit, or requests that it was never known to answer.

Rests. What was not answered is left alone for `REST` times what trying it cost or for a quarter of the time since when
it is so, whichever is more: so trying costs a sixth of the bus at most. Those who ask meanwhile are told at once.

Turns. What is left alone, a dead unit or unknown requests, is tried by one request at a time: whoever failed more often
lets others go first, and unknown requests let known ones go. A request that has not failed lately, of a client that has
not, goes without a rest: so none can take a unit from another, and a budget bounds it.
"""

import math
from collections.abc import Hashable
from typing import Final

FIRST_REST: Final = 0.5
LONGEST_REST: Final = 10.0
"""Seconds for which something is left alone, at least and at most; more only where a try costs more than 2 s."""

REST: Final = 5.0
"""For how many times the time of a try it is: so that trying takes a sixth of the bus at most."""

GROWTH: Final = 0.25
"""For how much of the time since when it is so: so a long silence is noticed to be over a quarter of it later."""

FRESH: Final = 30.0
"""Seconds after which a client, or a request, that failed once counts as one that has not; twice if it failed twice."""

FORGIVEN: Final = 600.0
"""Seconds after which nothing that failed counts any more."""

FREE_KNOWN: Final = 5
FREE: Final = 2
"""How many requests that have not failed yet, of clients that have not, may try at once what is left alone."""


class Trial:
    """Something that is left alone after it failed, and tried again now and then.

    Attributes:
        requests: that failed, in a row.
        lost: frames that were.
        since: when the first of them was given up.
        last: when the last of them was.
        until: it is left alone until then.
        rest: for so long.
        trying: it is being tried.
    """

    __slots__ = (
        "_clients",
        "_free",
        "_tried",
        "_trier",
        "_waits",
        "last",
        "lost",
        "requests",
        "rest",
        "since",
        "trying",
        "until",
    )

    def __init__(self) -> None:
        """Nothing failed."""
        self.requests = self.lost = 0
        self.since = self.last = self.until = self.rest = 0.0
        self.trying = False
        self._tried = b""  # the request that tried last, and whose it was
        self._trier: Hashable = None
        self._waits = -math.inf  # the best rank of those that were refused since
        self._clients: dict[Hashable, Trial] = {}  # whose requests failed
        self._free = 0.0  # until when tries without a rest are paid for

    def failed(self, now: float, frames: int) -> None:
        """One more."""
        if now - self.last > FORGIVEN:
            self.requests = self.lost = 0
            self.until = 0.0
        if not self.requests:
            self.since = now
        self.requests += 1
        self.lost += frames
        self.last = now

    def failed_for(self, client: Hashable, now: float) -> None:
        """It was this client's."""
        self._clients.setdefault(client, Trial()).failed(now, 0)

    def leave(self, client: Hashable) -> None:
        """Hold nothing against a client."""
        self._clients.pop(client, None)
        self.ended(client)

    def ended(self, client: Hashable) -> None:
        """What this client was let try with is over."""
        if client == self._trier:
            self.trying = False

    def let_rest(self, now: float, took: float) -> None:
        """Leave it alone; longer if it was tried before the last rest was over."""
        rest = max(FIRST_REST, REST * took, min(GROWTH * (now - self.since), LONGEST_REST))
        self.until = max(self.until, now) + rest
        self.rest = rest
        self.trying = False

    def may_try(self, client: Hashable, request: bytes, before: "Trial | None", known: bool, now: float) -> bool:
        """Whether this request is the next to try it.

        Args:
            client: who asks.
            request: what.
            before: what is known of the request if it was not answered.
            known: whether the unit has answered it.
            now: the time.
        """
        fails = 0
        for one in (self._clients.get(client), before):
            if not fails and one is not None and now - one.last < FRESH * one.requests:
                fails = one.requests
        if not fails:
            cost = self.rest * (REST + 1) / REST
            if self._free <= now + (FREE_KNOWN if known else FREE) * cost:
                self._free = max(self._free, now) + cost
                self.failed_for(client, now)
                return True
        rank = 2 * known - 4 * fails - (request == self._tried)
        if self.trying or now < self.until or (rank < self._waits and now < self.until + self.rest):
            self._waits = max(self._waits, rank)
            return False
        self.trying = True
        self._tried, self._trier = request, client
        self._waits = -math.inf
        return True

    def answered(self, client: Hashable, *, for_all: bool) -> None:
        """It is not so for this client, or for nobody."""
        if for_all:
            self.requests = self.lost = 0
            self.until = 0.0
            self._clients.clear()
        self._free = 0.0
        self.leave(client)

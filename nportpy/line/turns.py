"""Requests that wait for a line, and whose turn it is.

    class of priority     the more urgent first
    within a class        writes first, if that is wished; then clients take turns, one request each
    one client's          in the order in which it asked

Every client has room for a number of requests, so that nobody's flood costs others more than a turn.
"""

import math
from collections import OrderedDict, deque
from collections.abc import Callable, Container, Hashable
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple

_NO_TIME: Final = -1.0


class Priority(IntEnum):
    """How urgent a request is."""

    HIGH = 0
    NORMAL = 1
    LOW = 2


class Outcome(StrEnum):
    """What became of a request."""

    ANSWERED = "answered"
    SENT = "sent"  # nobody answers it, and those it is for have had their time
    NO_ANSWER = "no_answer"
    EXPIRED = "expired"  # its deadline passed before its turn came: it was never sent
    QUEUE_FULL = "queue_full"
    LINE_DOWN = "line_down"
    GONE = "gone"  # its client left before its turn came


class Result(NamedTuple):
    """How a request ended.

    Attributes:
        outcome: what became of it.
        answer: the PDU that answers it; empty unless it was answered.
        waited: seconds until it was first sent, or until it ended unsent.
        took: seconds from then to the end.
    """

    outcome: Outcome
    answer: bytes
    waited: float
    took: float


@dataclass(slots=True, eq=False)
class Request:
    """Something to ask on a line. Use it once.

    While it waits, and `waits` tells that, its `pdu` may be exchanged, for one that reads more for instance. Nothing
    else may change: its place in the queue and its deadline are reckoned with.

    Attributes:
        client: who asks; takes turns with the others.
        unit: whom it is for.
        pdu: what is asked; not empty.
        done: called exactly once with this request and its result, perhaps before `submit` returns. Must not raise.
        priority: how urgent it is.
        write: whether it goes ahead of those that do not write, where that is wished.
        awaited: whether an answer may come: not after a broadcast.
        timeout: seconds from the moment it has left until it counts as not answered.
        deadline: when it is too late to send it, on the clock of `Transactions`.
        pause: seconds of silence that must be before it, if that is more than the line's.
        retries: how often it may be sent again when no answer came.
    """

    client: Hashable
    unit: int
    pdu: bytes
    done: Callable[["Request", Result], None]
    priority: Priority = Priority.NORMAL
    write: bool = False
    awaited: bool = True
    timeout: float = 1.0
    deadline: float = math.inf
    pause: float = 0.0
    retries: int = 0

    # What `Transactions` remembers of it.
    queued_at: float = field(default=0.0, init=False)
    sent_at: float = field(default=_NO_TIME, init=False)
    probed: int = field(default=0, init=False)  # how often the echo was asked about before it
    left: bool = field(default=False, init=False)

    @property
    def waits(self) -> bool:
        """Whether nothing of it has been sent, once it was submitted; it may have ended."""
        return self.sent_at < 0

    def result(self, outcome: Outcome, answer: bytes, now: float) -> Result:
        """How it ended, just `now`."""
        sent_at = self.sent_at
        if sent_at < 0:
            return Result(outcome, answer, now - self.queued_at, 0.0)
        return Result(outcome, answer, sent_at - self.queued_at, now - sent_at)


class Turns:
    """The queue.

    Attributes:
        earliest: no request in it expires before this time.
    """

    def __init__(self, limit: int, writes_first: bool = False) -> None:
        """Empty; each client may have `limit` requests in it."""
        self.earliest = math.inf
        self._limit = limit
        self._writes_first = writes_first
        # For each rank, from the first to be served, the clients in the order of their turns.
        self._ranks: tuple[OrderedDict[Hashable, deque[Request]], ...] = tuple(OrderedDict() for _ in range(6))
        self._counts: dict[Hashable, int] = {}
        self._size = 0

    def __len__(self) -> int:
        """How many requests wait."""
        return self._size

    def add(self, request: Request) -> bool:
        """Let a request wait for its turn; False if its client has no room for it."""
        client = request.client
        count = self._counts.get(client, 0)
        if count >= self._limit:
            return False
        self._counts[client] = count + 1
        self._size += 1
        self._ranks[self._rank(request)].setdefault(client, deque()).append(request)
        self.earliest = min(self.earliest, request.deadline)
        return True

    def first(self, held: Container[tuple[int, int]] = ()) -> Request | None:
        """Whose turn it is. A client whose first request has a unit and function that are `held` is passed over.

        It keeps its place.
        """
        for rank in self._ranks:
            for queue in rank.values():
                request = queue[0]
                if not held or (request.unit, request.pdu[0]) not in held:
                    return request
        return None

    def take(self, request: Request) -> None:
        """Its turn has come: remove it, and let its client stand at the end. It is the first of its client's."""
        rank = self._ranks[self._rank(request)]
        queue = rank[request.client]
        queue.popleft()
        if queue:
            rank.move_to_end(request.client)
        else:
            del rank[request.client]
        self._forget(request)

    def withdraw(self, goes: Callable[[Request], bool]) -> list[Request]:
        """Remove, and return, all for which `goes` holds."""
        return self._remove(goes) if self._size else []

    def leave(self, client: Hashable) -> list[Request]:
        """Remove, and return, all that a client has in it."""
        return self._remove(lambda request: request.client == client) if client in self._counts else []

    def expire(self, now: float) -> list[Request]:
        """Remove, and return, all whose deadline has passed."""
        return self._remove(lambda request: request.deadline <= now)

    def clear(self) -> list[Request]:
        """Remove, and return, everything."""
        return self._remove(lambda _: True)

    def _rank(self, request: Request) -> int:
        return 2 * request.priority + (not request.write if self._writes_first else 0)

    def _forget(self, request: Request) -> None:
        self._size -= 1
        count = self._counts[request.client] - 1
        if count:
            self._counts[request.client] = count
        else:
            del self._counts[request.client]
        if not self._size:
            self.earliest = math.inf

    def _remove(self, goes: Callable[[Request], bool]) -> list[Request]:
        gone: list[Request] = []
        earliest = math.inf
        for rank in self._ranks:
            for client, queue in tuple(rank.items()):
                stay: deque[Request] = deque()
                for request in queue:
                    (gone if goes(request) else stay).append(request)
                if stay:
                    rank[client] = stay
                    earliest = min(earliest, *(request.deadline for request in stay))
                else:
                    del rank[client]
        for request in gone:
            self._forget(request)
        self.earliest = earliest
        return gone

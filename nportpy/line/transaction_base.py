"""What requests on a line are told and what they tell: settings, counts, and the wire that they need.

The discipline itself is transaction.py.
"""

from dataclasses import dataclass
from typing import Protocol

from nportpy.line.turns import Outcome
from nportpy.linesettings import LineSettings
from nportpy.status import TransactionCounts


@dataclass(frozen=True, slots=True)
class TransactionSettings:
    """How requests share a line.

    Attributes:
        silence: seconds of quiet before each frame; None for what the standard demands at the line's speed (t3.5), on
            a connection none.
        rest: seconds that a device needs between its coming and the first request.
        turnaround: seconds that units get to obey a request that nobody answers (MODBUS over Serial Line, 2.4.1).
        queue: requests of one client that may wait.
        patience: seconds that noise, or streams, may hold up a request.
        idle_gap: seconds without a byte after which a stream's conversation is over.
        writes_first: within a class of priority, requests that write go ahead of the others.
    """

    silence: float | None = None
    rest: float = 0.0
    turnaround: float = 0.1
    queue: int = 32
    patience: float = 1.0
    idle_gap: float = 0.05
    writes_first: bool = False


@dataclass(frozen=True, slots=True)
class TransactionStatus(TransactionCounts):
    """Numbers since the start, but for `queued`.

    Attributes:
        requests: requests submitted.
        outcomes: how they ended.
        withdrawn: requests that were taken back by who submitted them.
        queued: requests that wait now.
        waited: seconds that requests waited until they were first sent, all added up.
        busy: seconds in which a request was on the line.
        own: seconds that were spent here on requests that were sampled; see `BusStatus`.
        sampled: how many those were.
    """

    requests: int
    outcomes: dict[Outcome, int]
    withdrawn: int
    queued: int
    waited: float
    busy: float
    own: float
    sampled: int


class Wire(Protocol):
    """What the discipline needs from the line that owns the wire."""

    @property
    def up(self) -> bool:
        """Whether the device is there."""

    @property
    def settings(self) -> LineSettings:
        """In effect; an equal object as long as nothing changes."""

    def put(self, data: bytes) -> None:
        """Send `data`."""

    def unsent(self) -> int:
        """Bytes that have not left the port, and those that `Transactions.kept` counts."""

    def left(self) -> bool:
        """Whether all that was put has left the UART."""

    def give_up(self, reason: str) -> None:
        """Open the device anew: it is of no use as it is. As if it had been lost."""

    def take_back(self) -> int:
        """Throw away what has not left the port; how many bytes that was."""

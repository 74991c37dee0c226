"""What became of the requests of a bus, in a bounded number of counts."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from nportpy.protocols.modbus.pdu import FunctionCode
from nportpy.status import DURATIONS

MOST_COUNTS: Final = 2048
"""Counts by unit, function and result; what comes beyond is counted for no unit in particular."""

_OTHER: Final = 0
_PUBLIC = frozenset(int(function) for function in FunctionCode)
_FUNCTIONS = tuple(function if function in _PUBLIC else _OTHER for function in range(256))


class End(StrEnum):
    """What became of a request."""

    ANSWERED = "answered"
    EXCEPTION = "exception"  # by the unit
    SENT = "sent"  # a broadcast, or what nobody answers
    NO_ANSWER = "no_answer"
    UNREACHABLE = "unreachable"  # not sent, as the unit was silent before
    EXPIRED = "expired"
    QUEUE_FULL = "queue_full"
    LINE_DOWN = "line_down"
    GONE = "gone"


class Tally:
    """Counts.

    Attributes:
        durations: transactions by their time, see BusStatus.
        sent: requests that were sent.
    """

    __slots__ = ("_requests", "durations", "sent")

    def __init__(self) -> None:
        """Nothing was counted yet."""
        self.durations = [0] * (len(DURATIONS) + 1)
        self.sent = 0
        self._requests: Counter[tuple[int, int, End]] = Counter()

    def count(self, unit: int, function: int, end: End) -> None:
        """A request has ended."""
        key = (unit, _FUNCTIONS[function], end)
        if key not in self._requests and len(self._requests) >= MOST_COUNTS:
            key = (_OTHER, _OTHER, end)
        self._requests[key] += 1

    def transaction(self, seconds: float) -> None:
        """A request was on the line for so long, retries counted."""
        self.sent += 1
        self.durations[bisect_left(DURATIONS, seconds)] += 1

    def requests(self) -> Mapping[tuple[str, str, str], int]:
        """As BusStatus has them. Unit 0 are broadcasts."""
        found: Counter[tuple[str, str, str]] = Counter()
        for (unit, function, end), count in self._requests.items():
            overflow = unit == _OTHER and function == _OTHER and len(self._requests) >= MOST_COUNTS
            found["other" if overflow else str(unit), str(function) if function else "other", end] += count
        return found

"""What became of the requests of a bus, in a bounded number of counts."""

from bisect import bisect_left
from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from nportpy.protocols.modbus.pdu import FunctionCode
from nportpy.status import DURATIONS

MOST_COUNTS: Final = 2048
"""Counts by unit, function and result; what comes beyond is counted for no unit in particular."""

_OTHER: Final = 0
_NO_UNIT: Final = 256 << 16
_PUBLIC = frozenset(int(function) for function in FunctionCode)
_FUNCTIONS = tuple(function if function in _PUBLIC else _OTHER for function in range(256))


class End(IntEnum):
    """What became of a request. Its name in small letters is what metrics and status call it."""

    ANSWERED = 0
    EXCEPTION = 1  # by the unit
    SENT = 2  # a broadcast, or what nobody answers
    NO_ANSWER = 3
    UNREACHABLE = 4  # not sent, as the unit was silent before
    EXPIRED = 5
    QUEUE_FULL = 6
    LINE_DOWN = 7
    GONE = 8


_NAMES = tuple(end.name.lower() for end in End)


class Tally:
    """Counts.

    Attributes:
        durations: transactions by their time, see BusStatus; those that its unit's evidence has are not among them.
    """

    __slots__ = ("_requests", "durations")

    def __init__(self) -> None:
        """Nothing was counted yet."""
        self.durations = [0] * (len(DURATIONS) + 1)
        self._requests: dict[int, int] = {}  # by unit << 16 | function << 8 | end: cheaper than a tuple

    def count(self, unit: int, function: int, end: End) -> None:
        """A request has ended."""
        key = unit << 16 | _FUNCTIONS[function] << 8 | end
        try:
            self._requests[key] += 1
        except KeyError:
            if len(self._requests) >= MOST_COUNTS:
                key = _NO_UNIT | end
            self._requests[key] = self._requests.get(key, 0) + 1

    def transaction(self, seconds: float) -> None:
        """A request was on the line for so long, retries counted."""
        self.durations[bisect_left(DURATIONS, seconds)] += 1

    def forget(self, unit: int) -> None:
        """A unit is not there after all: nothing is to be said of it."""
        for key in [key for key in self._requests if key >> 16 == unit]:
            del self._requests[key]

    def results(self) -> dict[str, int]:
        """All requests by result."""
        found = dict.fromkeys(_NAMES, 0)
        for key, count in self._requests.items():
            found[_NAMES[key & 255]] += count
        return found

    def requests(self) -> Mapping[tuple[str, str, str], int]:
        """As BusStatus has them. Unit 0 are broadcasts."""
        found: dict[tuple[str, str, str], int] = {}
        for key, count in self._requests.items():
            unit, function, end = key >> 16, key >> 8 & 255, _NAMES[key & 255]
            unit_text = "other" if key >= _NO_UNIT else str(unit)
            found[unit_text, str(function) if function else "other", end] = count
        return found

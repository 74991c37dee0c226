"""One read for many: which requests under way others may join, what of an answer is whose, and what is kept of it.

    the same read, or a part of it, waits or is on the line      it is joined: its answer serves both
    a read of neighbouring registers waits                       it is widened, where `merge` allows it
    the same read was answered a moment ago                      its answer serves again, where `cache` allows it

Nothing of that goes across a write: while a request that may change something is under way for a unit, its reads are
neither joined nor kept, so nobody gets what was read before a write that was asked before.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from nportpy.line.turns import Request
from nportpy.modbus.clients import Use
from nportpy.modbus.question import Question
from nportpy.protocols.modbus.pdu import MAX_READ_BITS, MAX_READ_REGISTERS

MOST_KEPT: Final = 256
"""Answers of one bus that are kept for those who ask again."""

MOST_REFUSED: Final = 64
"""Merged reads of one unit and function that were refused; when there are so many, nothing is merged there."""

_READS = 4  # functions 1 to 4 read tables, and nothing but those


@dataclass(slots=True, eq=False)
class Flight(Request):
    """A request on its way, and all whom its answer serves.

    Attributes:
        asks: who asked; the first is the one whose turn it takes.
        start: the first register or bit that it reads, and `end` the one after the last; 0 for what reads no table.
        merged: it is wider than what any of them asked.
        trial: it was let through to a silent unit, and stays whatever comes of others.
        attempts: how often it could be sent again at first.
        use: whom its time is charged to, as far as those who ask now do not share it.
    """

    asks: list[Question] = field(default_factory=list)
    attempts: int = 0
    use: Use | None = None
    start: int = 0
    end: int = 0
    merged: bool = False
    trial: bool = False

    @property
    def waits(self) -> bool:
        """Whether it has never been on the line."""
        return self.sent_at < 0


def part(flight_pdu: bytes, start: int, answer: bytes, pdu: bytes) -> bytes:
    """The answer to `pdu`, cut out of the answer to a read of the same table that contains it.

    Args:
        flight_pdu: what was read.
        start: its first address.
        answer: what came back; no exception.
        pdu: what is wanted: a read of 1 to 4.
    """
    if pdu == flight_pdu:
        return answer
    offset = (pdu[1] << 8 | pdu[2]) - start
    quantity = pdu[3] << 8 | pdu[4]
    if pdu[0] > 2:
        data = answer[2 + 2 * offset : 2 + 2 * (offset + quantity)]
    else:  # bits: the first is the lowest of the first byte (V1.1b3, 6.1)
        bits = int.from_bytes(answer[2:], "little") >> offset & (1 << quantity) - 1
        data = bits.to_bytes((quantity + 7) // 8, "little")
    return bytes((pdu[0], len(data))) + data


class Joinable:
    """The requests under way that others may join.

    Attributes:
        merge: how many registers or bits may lie between reads that become one; None: none become one.
    """

    def __init__(self, merge: int | None) -> None:
        """There are none."""
        self.merge = merge
        self._last: Flight | None = None  # not indexed yet: mostly nobody looks for it before it is gone again
        self._same: dict[tuple[int, bytes], Flight] = {}
        self._tables: dict[tuple[int, int], list[Flight]] = {}  # by unit and function 1 to 4
        self._refused: dict[tuple[int, int], list[tuple[int, int]]] = {}

    def add(self, flight: Flight) -> None:
        """Others may join it from now on."""
        if self._last is not None:
            self._index(self._last)
        self._last = flight

    def _index(self, flight: Flight) -> None:
        self._last = None
        self._same[flight.unit, flight.pdu] = flight
        function = flight.pdu[0]
        if function <= _READS:
            flight.start = flight.pdu[1] << 8 | flight.pdu[2]
            flight.end = flight.start + (flight.pdu[3] << 8 | flight.pdu[4])
            key = (flight.unit, function)
            flights = self._tables.get(key)
            if flights is None:
                self._tables[key] = [flight]
            else:
                flights.append(flight)

    def _index_last(self) -> None:
        if self._last is not None:
            self._index(self._last)

    def remove(self, flight: Flight) -> None:
        """Nobody may join it any more; does nothing if that was so before."""
        if flight is self._last:
            self._last = None
            return
        key = (flight.unit, flight.pdu)
        if self._same.get(key) is flight:
            del self._same[key]
        flights = self._tables.get((flight.unit, flight.pdu[0]))
        if flights is not None and flight in flights:
            flights.remove(flight)  # the list stays for the next one: units and functions are few

    def close(self, unit: int | None) -> None:
        """Nobody may join what is under way for a unit; for all of them if it is None."""
        self._index_last()
        for flight in [flight for flight in self._same.values() if unit is None or flight.unit == unit]:
            self.remove(flight)

    def find(self, question: Question) -> Flight | None:
        """What reads all that is asked. What is less urgent and still waits is passed over."""
        self._index_last()
        flight = self._same.get((question.unit, question.pdu))
        if flight is not None and (flight.priority <= question.priority or not flight.waits):
            return flight
        pdu = question.pdu
        flights = self._tables.get((question.unit, pdu[0]))
        if not flights:
            return None
        start = pdu[1] << 8 | pdu[2]
        end = start + (pdu[3] << 8 | pdu[4])
        for flight in flights:
            within = flight.start <= start and end <= flight.end
            if within and (flight.priority <= question.priority or not flight.waits):
                return flight
        return None

    def widen(self, question: Question) -> Flight | None:
        """Make a read that waits so wide that it reads what is asked; None where none may be."""
        self._index_last()
        pdu = question.pdu
        flights = self._tables.get((question.unit, pdu[0]))
        if not flights or self.merge is None:
            return None
        start = pdu[1] << 8 | pdu[2]
        end = start + (pdu[3] << 8 | pdu[4])
        limit = MAX_READ_BITS if pdu[0] <= 2 else MAX_READ_REGISTERS
        for flight in flights:
            low, high = min(start, flight.start), max(end, flight.end)
            near = start <= flight.end + self.merge and flight.start <= end + self.merge
            fits = near and high - low <= limit and flight.waits and flight.priority == question.priority
            if fits and not self._is_refused(question.unit, pdu[0], low, high):
                self.remove(flight)
                flight.pdu = bytes((pdu[0], low >> 8, low & 255, high - low >> 8, high - low & 255))
                flight.merged = True
                self._index(flight)
                return flight
        return None

    def refused(self, flight: Flight) -> None:
        """A merged read was refused: what contains it is not merged again."""
        refused = self._refused.setdefault((flight.unit, flight.pdu[0]), [])
        if len(refused) < MOST_REFUSED:
            refused.append((flight.start, flight.end))

    def _is_refused(self, unit: int, function: int, low: int, high: int) -> bool:
        refused = self._refused.get((unit, function), ())
        return len(refused) >= MOST_REFUSED or any(low <= start and end <= high for start, end in refused)


class Kept:
    """Answers to reads, for as long as they may serve again."""

    def __init__(self, lifetime: float) -> None:
        """Empty; answers serve for `lifetime` seconds."""
        self._lifetime = lifetime
        self._answers: OrderedDict[tuple[int, bytes], tuple[float, int, bytes]] = OrderedDict()

    def put(self, unit: int, pdu: bytes, answer: bytes, now: float) -> None:
        """Keep an answer that is no exception."""
        key = (unit, pdu)
        self._answers[key] = (now + self._lifetime, pdu[1] << 8 | pdu[2] if pdu[0] <= _READS else 0, answer)
        self._answers.move_to_end(key)
        if len(self._answers) > MOST_KEPT:
            self._answers.popitem(last=False)

    def get(self, unit: int, pdu: bytes, now: float) -> bytes | None:
        """The answer to a read, or to a part of one, that is young enough."""
        found = self._answers.get((unit, pdu))
        if found is not None:
            if found[0] > now:
                return found[2]
            del self._answers[unit, pdu]
        if pdu[0] > _READS:
            return None
        start = pdu[1] << 8 | pdu[2]
        end = start + (pdu[3] << 8 | pdu[4])
        for (other, read), (until, first, answer) in self._answers.items():
            if other != unit or read[0] != pdu[0] or until <= now:
                continue
            if first <= start and end <= first + (read[3] << 8 | read[4]):
                return part(read, first, answer, pdu)
        return None

    def forget(self, unit: int | None) -> None:
        """Something of a unit may have changed; of all units if it is None."""
        if unit is None:
            self._answers.clear()
        else:
            for key in [key for key in self._answers if key[0] == unit]:
                del self._answers[key]

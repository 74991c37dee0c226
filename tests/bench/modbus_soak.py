"""Long runs, on demand: is every answer the one to its own question, and does every client have its turns?"""

import asyncio
import random
import struct
from collections.abc import Iterator, Sequence

from tests.bench.farend import REGISTERS, register
from tests.bench.gateways import Running, Setup
from tests.bench.modbusclients import Client, Pair, adu, await_line, reads, run
from tests.bench.processes import BrokenError, FarEnd
from tests.bench.report import Bench, Figure, Goal, Rounds, Scale
from tests.support.bus import late_answers
from tests.support.clock import VirtualLoop

_CLIENTS, _UNITS = 10, 8
_BLOCK = 100  # registers of each unit that one client writes, and nobody else
_COMMON = _BLOCK * _CLIENTS  # from here on nobody writes
_MOST = 20  # registers in one request


def _words(unit: int, address: int, quantity: int) -> bytes:
    return b"".join(register(unit, address + index) for index in range(quantity))


class _Asked:
    """What one client asks, at random but each time the same: it knows what must be answered, as it knows its writes.

    All do as much of each kind, so that nobody's turns cost more than another's.
    """

    def __init__(self, number: int) -> None:
        self._chance = random.Random(number)
        self._first = _BLOCK * number
        self._held = {unit: bytearray(_words(unit, self._first, _BLOCK)) for unit in range(1, _UNITS + 1)}

    def __iter__(self) -> Iterator[Pair]:
        kinds = (self._own, self._own, self._common, self._common, self._one, self._many, self._beyond)
        while True:
            unit = self._chance.randint(1, _UNITS)
            request, answer = self._chance.choice(kinds)(unit)
            transaction = self._chance.randrange(65536)
            yield Pair(adu(transaction, unit, request), adu(transaction, unit, answer))

    def _span(self) -> tuple[int, int]:
        """A place in its own registers, and how many of them."""
        quantity = self._chance.randint(1, _MOST)
        return self._chance.randrange(_BLOCK - quantity), quantity

    def _own(self, unit: int) -> tuple[bytes, bytes]:
        at, quantity = self._span()
        held = bytes(self._held[unit][2 * at : 2 * (at + quantity)])
        return struct.pack(">BHH", 3, self._first + at, quantity), bytes((3, len(held))) + held

    def _common(self, unit: int) -> tuple[bytes, bytes]:
        """Many ask this at the same time: one answer may serve several."""
        at, quantity = _COMMON + self._chance.randrange(4), self._chance.randint(1, _MOST)
        words = _words(unit, at, quantity)
        return struct.pack(">BHH", 3, at, quantity), bytes((3, len(words))) + words

    def _one(self, unit: int) -> tuple[bytes, bytes]:
        at = self._chance.randrange(_BLOCK)
        word = self._chance.randbytes(2)
        self._held[unit][2 * at : 2 * at + 2] = word
        request = struct.pack(">BH", 6, self._first + at) + word
        return request, request

    def _many(self, unit: int) -> tuple[bytes, bytes]:
        at, quantity = self._span()
        words = self._chance.randbytes(2 * quantity)
        self._held[unit][2 * at : 2 * (at + quantity)] = words
        head = struct.pack(">BHH", 16, self._first + at, quantity)
        return head + bytes((len(words),)) + words, head

    def _beyond(self, _unit: int) -> tuple[bytes, bytes]:
        return struct.pack(">BHH", 3, REGISTERS, self._chance.randint(1, _MOST)), b"\x83\x02"


def _soak(gateway: Running, ends: Sequence[FarEnd], scale: Scale, started: float) -> Rounds:
    descriptors = [gateway.connect(service="modbus") for _ in range(_CLIENTS)]
    await_line(descriptors[0], reads(1, [0])[0])
    gateway.settle()
    clients = [Client(descriptor, iter(_Asked(number))) for number, descriptor in enumerate(descriptors)]
    run(clients, scale.soak_seconds)
    counts = [len(client.took) for client in clients]
    yield {
        "soak_rate": sum(counts) / scale.soak_seconds,
        "soak_spread": (max(counts) - min(counts)) / (sum(counts) / len(counts)) * 100,
        "soak_answers": sum(counts),
        "soak_wrong": 0,  # the first wrong one ends the run
    }


def _late(gateway: Running, ends: Sequence[FarEnd], scale: Scale, started: float) -> Rounds:
    """The line's discipline alone, in this process and on virtual time: in real time this would take hours."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        try:
            status = runner.run(late_answers(scale.late_trials))
        except AssertionError as error:
            raise BrokenError(f"a stale answer: {error}") from error
    yield {"late_trials": status.requests, "late_late": status.late, "late_stale": 0}


SOAK = Bench(
    name="soak",
    figures=(
        Figure("soak_rate", f"Modbus, {_CLIENTS} clients on mixed reads and writes", "1/s", 0),
        Figure("soak_answers", "the same, answers", "", 0),
        Figure("soak_wrong", "the same, answers to another question", "", 0),
        Figure("soak_spread", "the same, most minus fewest turns", "% of a client's"),
    ),
    goals=(Goal("soak_wrong", 0, always=True), Goal("soak_spread", 10, always=True)),
    far_ends=lambda _: [["simulated", "--unpaced", f"--units=1-{_UNITS}"]],
    measure=_soak,
    process_rows=True,
    fresh=True,
    setup=Setup("modbus", 115200, "8E1", 'silence = "0ms"'),
    on_demand=True,
    weight=0.2,
)

LATE = Bench(
    name="late",
    figures=(
        Figure("late_trials", "requests to units that mostly answer too late", "", 0),
        Figure("late_late", "the same, late answers", "", 0),
        Figure("late_stale", "the same, late answers given to another request", "", 0),
    ),
    goals=(Goal("late_stale", 0, always=True),),
    far_ends=lambda _: [["modbus"]],
    measure=_late,
    process_rows=True,
    fresh=True,
    setup=Setup("modbus"),
    ours_only=True,
    on_demand=True,
    weight=0.2,
)

"""Clients that ask a bus in any order, of units that fail in any way, on a line that comes and goes, against a model.

Every value that is written is written once, so an answer tells which write it comes from.
"""

import asyncio
import math
import random
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nportpy.line.turns import Priority
from nportpy.modbus.bus import Bus
from nportpy.modbus.question import Question
from nportpy.modbus.settings import Timeout
from nportpy.port.loopback import Cable
from nportpy.protocols.modbus.rtu import Frame
from tests.support.asking import a_modbus, read, write
from tests.support.bus import Units
from tests.support.clock import VirtualLoop

TIMEOUT = 0.1
DEADLINE = 0.7
TURNAROUND = 0.02
UNITS = (1, 2, 3)
REGISTERS = 12
HOLE = 6  # a register that can only be read alone
LATE = (0.101, 0.13, 0.19)  # before the time is over for which such answers are expected


@dataclass(eq=False)
class Device:
    """Units with registers. Each value is kept in `history`, whose last one counts."""

    history: dict[tuple[int, int], list[int]] = field(
        default_factory=lambda: {(unit, address): [0] for unit in UNITS for address in range(REGISTERS)}
    )
    delays: dict[int, float | None] = field(default_factory=lambda: dict.fromkeys(UNITS, 0.005))
    executed: list[int] = field(default_factory=list)
    coming: list[tuple[int, float]] = field(default_factory=list)  # whose answers, when
    waited_until: float = 0.0

    def hear(self, frame: bytes) -> list[tuple[float, bytes]]:
        now = asyncio.get_running_loop().time()
        assert now >= self.waited_until - 1e-6, "two requests on the line"
        unit, pdu = frame[0], frame[1:-2]
        self.waited_until = now + (TIMEOUT if unit else TURNAROUND)
        if unit == 0:
            for each in UNITS:
                self._write(each, pdu)
            self.executed.append(int.from_bytes(pdu[3:5]))
            return []
        answer = self._do(unit, pdu)
        delay = self.delays[unit]
        self.coming = [(each, when) for each, when in self.coming if when > now]
        if delay is not None:
            self.coming.append((unit, now + delay))
        # The late answer to a request ends what it was asked for the second time.
        self.waited_until = min(self.waited_until, *(when for each, when in self.coming if each == unit), math.inf)
        return [] if delay is None else [(delay, Frame(unit, answer).encode())]

    def _do(self, unit: int, pdu: bytes) -> bytes:
        address, value = int.from_bytes(pdu[1:3]), int.from_bytes(pdu[3:5])
        if pdu[0] == 6:
            if self.delays[unit] is not None:
                self._write(unit, pdu)
                self.executed.append(value)
            return pdu
        if address <= HOLE < address + value and value > 1:
            return b"\x83\x02"
        data = b"".join(self.history[unit, address + index][-1].to_bytes(2) for index in range(value))
        return bytes((3, len(data))) + data

    def _write(self, unit: int, pdu: bytes) -> None:
        self.history[unit, int.from_bytes(pdu[1:3])].append(int.from_bytes(pdu[3:5]))


@dataclass(eq=False)
class Asked:
    """A question, and what its answer must not be older than."""

    question: Question
    at: float
    floors: dict[tuple[int, int], int]
    answers: list[bytes] = field(default_factory=list)


class Model:
    """Asks, and judges the answers."""

    def __init__(self, bus: Bus, device: Device) -> None:
        self.bus = bus
        self.device = device
        self.clients = [object() for _ in range(4)]
        self.asked: dict[Question, Asked] = {}
        self.floors = dict.fromkeys(device.history, 0)  # places in the histories that no answer may be before
        self.written = 0
        self.order: dict[tuple[Hashable, Priority], list[int]] = {}
        self.gone: set[Hashable] = set()
        self.loop = asyncio.get_running_loop()

    def ask(self, client: int, unit: int, pdu: bytes, priority: Priority) -> None:
        who = self.clients[client]
        question = Question(who, unit, pdu, self.done, priority)
        self.asked[question] = Asked(question, self.loop.time(), dict(self.floors))
        if pdu[0] == 6:
            self.order.setdefault((who, priority), []).append(int.from_bytes(pdu[3:5]))
        self.bus.ask(question)

    def read(self, client: int, unit: int, address: int, count: int, priority: Priority) -> None:
        self.ask(client, unit, read(address, min(count, REGISTERS - address)), priority)

    def write(self, client: int, unit: int, address: int, priority: Priority) -> None:
        self.written += 1
        self.ask(client, unit, write(address, self.written), priority)

    def leave(self, client: int) -> None:
        who, self.clients[client] = self.clients[client], object()
        self.gone.add(who)
        self.bus.leave(who)

    def done(self, question: Question, answer: bytes) -> None:
        asked = self.asked[question]
        asked.answers.append(answer)
        assert len(asked.answers) == 1, "answered twice"
        assert self.loop.time() - asked.at <= DEADLINE + 5 * TIMEOUT, "too late"
        pdu, unit = question.pdu, question.unit
        if question.client in self.gone:
            return
        if answer[:1] in (b"\x83", b"\x86"):
            assert answer[1] in (0x0A, 0x0B, 0x06) or pdu[4] > 1, "an exception to another's request"
            return
        if pdu[0] == 6:
            assert answer == (pdu if unit else b"")
            value, address = int.from_bytes(pdu[3:5]), int.from_bytes(pdu[1:3])
            for each in (unit,) if unit else UNITS:
                place = self.device.history[each, address].index(value)
                self.floors[each, address] = max(self.floors[each, address], place)
            return
        address, count = int.from_bytes(pdu[1:3]), int.from_bytes(pdu[3:5])
        assert answer[:2] == bytes((3, 2 * count))
        for index in range(count):
            key = unit, address + index
            value = int.from_bytes(answer[2 + 2 * index : 4 + 2 * index])
            assert value in self.device.history[key], "another's answer"
            assert self.device.history[key].index(value) >= asked.floors[key], "a stale answer"

    def check_idle(self) -> None:
        bus, device = self.bus, self.device
        assert all(len(asked.answers) == 1 for asked in self.asked.values()), "a question without answer"
        assert not bus._flights
        assert bus._broadcasts == 0
        bus._joinable._index_last()
        assert not bus._joinable._same
        assert not any(bus._joinable._tables.values())
        assert all(unit.writes == 0 and not unit.being_tried for unit in bus._units.values())
        assert len(bus._transactions._turns) == 0
        status = bus.status()
        assert status.queued == 0
        assert sum(status.requests.values()) == len(self.asked)
        assert sum(status.durations) == status.sent
        assert sum(unit.answered + unit.unanswered for unit in status.units) <= status.sent
        assert len(device.executed) == len(set(device.executed)), "a write that was sent twice"
        for values in self.order.values():
            mine = set(values)
            ours = [value for value in device.executed if value in mine]
            assert ours == sorted(ours), "a client's writes out of order"


KINDS = {"read": 60, "write": 10, "wait": 25, "behave": 5, "leave": 2, "plug": 5, "unplug": 0.2}
STEPS = 250


def a_story(chance: random.Random) -> Iterator[tuple[Any, ...]]:
    """What happens: dense enough for questions to meet, which lists of hypothesis's are not."""
    delays = (0.005, 0.005, 0.005, 0.099, *LATE, None, None, None)
    for kind in chance.choices(tuple(KINDS), tuple(KINDS.values()), k=STEPS):
        client, unit, address = chance.randrange(4), chance.choice((1, 1, 2, 3)), chance.choice((0, 2, HOLE, 7))
        priority = chance.choice((Priority.NORMAL, Priority.NORMAL, Priority.NORMAL, Priority.HIGH, Priority.LOW))
        if kind == "read":
            yield kind, client, unit, address, chance.choice((1, 1, 2, 4)), priority
        elif kind == "write":
            yield kind, client, chance.choice((unit, unit, unit, unit, 0)), address, priority
        elif kind == "wait":
            yield kind, chance.choice((0.0, 0.006, 0.006, 0.02, 0.02, 0.05, 0.3, 1.0))
        elif kind == "behave":
            yield kind, unit, chance.choice(delays)
        else:
            yield (kind, client) if kind == "leave" else (kind,)


BUSES = st.fixed_dictionaries(
    {
        "merge": st.sampled_from((None, 2)),
        "cache": st.sampled_from((0.0, 0.2)),
        "writes_first": st.booleans(),
        "share": st.sampled_from((True, True, True, False)),
        "retries": st.integers(0, 1),
        "queue": st.sampled_from((2, 32)),
    }
)


async def play(steps: Iterable[tuple[Any, ...]], fields: dict[str, Any]) -> None:
    cable, device = Cable(), Device()
    Units(cable, device.hear)
    fields |= {"timeout": Timeout(TIMEOUT), "deadline": DEADLINE, "turnaround": TURNAROUND}
    loop, faults = asyncio.get_running_loop(), list[Any]()
    loop.set_exception_handler(lambda _, context: faults.append(context.get("exception", context)))
    async with a_modbus(cable, **fields) as bus:
        model = Model(bus, device)
        acts: dict[str, Callable[..., None]] = {
            "read": model.read,
            "write": model.write,
            "leave": model.leave,
            "behave": device.delays.__setitem__,
            "plug": cable.plug,
            "unplug": cable.unplug,
        }
        for name, *values in steps:
            if name == "wait":
                await asyncio.sleep(values[0])
            else:
                acts[name](*values)
        await asyncio.sleep(3)
        assert not faults
        model.check_idle()


@given(st.integers(0, 2**32), BUSES)
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.long
def test_whatever_happens_answers_are_true_and_nothing_is_left(seed: int, fields: dict[str, Any]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(play(a_story(random.Random(seed)), fields))

"""Units with faults and clients with habits on one bus, and a bare master with the same retries on the same unit.

All on virtual time and without wire time, so what is measured is what the gateway decides. A unit's faults depend on
its own random numbers and on the time, not on who asks.
"""

import asyncio
import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from nportpy.modbus.bus import Bus
from nportpy.modbus.question import Question
from nportpy.modbus.settings import Timeout
from nportpy.port.loopback import Cable
from nportpy.protocols.modbus.rtu import Frame
from tests.support.asking import a_modbus, read, write
from tests.support.bus import Units, reply

TIMEOUT = 1.0
RETRIES = 1
ANSWERS_AFTER = 0.02
LONGEST = 10
"""Reads of more registers than this are those that a particular unit says nothing to."""

BAD_ADDRESS = 5000
"""From here on it says nothing either, nor to functions but 3 and 6."""

Fault = Callable[[random.Random, float, bytes], bytes | None]
"""What a unit does with a request frame at a time: its answer; None: nothing."""


def knows(pdu: bytes) -> bool:
    """Whether a particular unit answers this."""
    address, count = int.from_bytes(pdu[1:3]), int.from_bytes(pdu[3:5])
    return pdu[0] in (3, 6) and address < BAD_ADDRESS and (pdu[0] == 6 or count <= LONGEST)


def alive(_chance: random.Random, _now: float, frame: bytes) -> bytes | None:
    return reply(frame)


def dead(_chance: random.Random, _now: float, _frame: bytes) -> bytes | None:
    return None


def particular(_chance: random.Random, _now: float, frame: bytes) -> bytes | None:
    return reply(frame) if knows(frame[1:-2]) else None


def unfit(_chance: random.Random, _now: float, frame: bytes) -> bytes | None:
    """It has never more than ten registers to say."""
    pdu = frame[1:-2]
    short = pdu[0] == 3 and pdu[4] > LONGEST
    return reply(Frame(frame[0], pdu[:4] + bytes((LONGEST,))).encode()) if short else particular(_chance, _now, frame)


def flaky(share: float, within: Fault = particular) -> Fault:
    """It loses this share of all requests."""
    return lambda chance, now, frame: None if chance.random() < share else within(chance, now, frame)


def bursts(good: float, bad: float, within: Fault = particular) -> Fault:
    """It loses all for `bad` seconds, `good` seconds apart, both on average."""
    changes, ill, until = [0.0], [True], [0.0]

    def fault(chance: random.Random, now: float, frame: bytes) -> bytes | None:
        if now < changes[0]:
            changes[0], ill[0], until[0] = now, True, now
        while now >= until[0]:
            ill[0] = not ill[0]
            until[0] += chance.expovariate(1 / (bad if ill[0] else good))
        changes[0] = now
        return None if ill[0] else within(chance, now, frame)

    return fault


def away(*times: tuple[float, float], within: Fault = particular) -> Fault:
    """It is dead between these times, in seconds since the start."""
    return lambda chance, now, frame: (
        None if any(start <= now - 1000 < end for start, end in times) else within(chance, now, frame)
    )


@dataclass
class Habit:
    """What a client does.

    Attributes:
        pdus: what it asks, for ever.
        every: seconds between its requests; 0: as soon as it was answered.
        units: whom, in turn.
        begins: when.
        anew: it comes with a new connection each time.
        pipelined: it asks so many at once.
    """

    pdus: Callable[[], Iterator[bytes]]
    every: float = 1.0
    units: tuple[int, ...] = (1,)
    begins: float = 0.0
    anew: bool = False
    pipelined: int = 1


def turning(*pdus: bytes) -> Callable[[], Iterator[bytes]]:
    """These, one after the other."""

    def ask() -> Iterator[bytes]:
        while True:
            yield from pdus

    return ask


def ever_new(function: int = 3, count: int = 20) -> Callable[[], Iterator[bytes]]:
    """Never the same twice."""

    def ask() -> Iterator[bytes]:
        address = 0
        while True:
            yield read(address % 4000, count, function)
            address += 1

    return ask


def writes() -> Iterator[bytes]:
    """One register, never the same value twice."""
    value = 0
    while True:
        value = (value + 1) % 65536
        yield write(7, value)


@dataclass
class Tally:
    """What became of a client's requests that a particular unit knows.

    Attributes:
        asked: how many there were, by unit.
        answered: how many of them were answered.
    """

    asked: Counter[int] = field(default_factory=Counter)
    answered: Counter[int] = field(default_factory=Counter)

    def share(self, unit: int = 1) -> float:
        return self.answered[unit] / self.asked[unit] if self.asked[unit] else math.nan


class Player:
    """A client that follows its habit."""

    def __init__(self, bus: Bus, habit: Habit) -> None:
        self.bus = bus
        self.habit = habit
        self.tally = Tally()

    async def run(self, until: float) -> None:
        loop, habit = asyncio.get_running_loop(), self.habit
        await asyncio.sleep(habit.begins)
        pdus, turn, client = habit.pdus(), 0, object()
        due = loop.time()
        while loop.time() < until:
            ends = []
            for _ in range(habit.pipelined):
                unit = habit.units[turn % len(habit.units)]
                ends.append(self._ask(client, unit, next(pdus)))
                turn += 1
            await asyncio.gather(*ends)
            if habit.anew:
                self.bus.leave(client)
                client = object()
            # One that was kept waiting does not catch up.
            due = max(due + habit.every, loop.time() + (0 if habit.every else 0.001))
            await asyncio.sleep(due - loop.time())

    def _ask(self, client: object, unit: int, pdu: bytes) -> "asyncio.Future[bytes]":
        ended: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def done(_question: Question, answer: bytes) -> None:
            if knows(pdu):
                self.tally.asked[unit] += 1
                self.tally.answered[unit] += bool(answer) and answer[0] == pdu[0]
            if not ended.done():
                ended.set_result(answer)

        self.bus.ask(Question(client, unit, pdu, done))
        return ended


@dataclass
class Played:
    """What came of it.

    Attributes:
        clients: by client.
        kept: seconds for which each unit kept the bus without answering.
        seconds: for how long it all went.
    """

    clients: list[Tally]
    kept: dict[int, float]
    seconds: float


async def play(
    units: dict[int, Fault],
    habits: list[Habit],
    seconds: float = 300.0,
    seed: int = 1,
    *,
    wait: float = TIMEOUT,
    retries: int = RETRIES,
    isolate: bool = True,
    slow: float = ANSWERS_AFTER,
) -> Played:
    """Let clients ask units for a while. Who is not in `units` is dead."""
    cable, chance = Cable(), random.Random(seed)
    loop = asyncio.get_running_loop()
    kept: dict[int, float] = defaultdict(float)

    def answer(frame: bytes) -> list[tuple[float, bytes]]:
        said = units.get(frame[0], dead)(chance, loop.time(), frame)
        if said is None:
            kept[frame[0]] += wait
        return [] if said is None else [(slow, said)]

    Units(cable, answer)
    async with a_modbus(cable, timeout=Timeout(wait), retries=retries, isolate=isolate) as bus:
        players = [Player(bus, habit) for habit in habits]
        until = loop.time() + seconds
        async with asyncio.TaskGroup() as tasks:
            for player in players:
                tasks.create_task(player.run(until))
        return Played([player.tally for player in players], kept, seconds)


async def bare(
    fault: Fault,
    habit: Habit,
    seconds: float = 300.0,
    seed: int = 1,
    *,
    wait: float = TIMEOUT,
    retries: int = RETRIES,
) -> float:
    """The share of its good requests that a master gets which has the unit for itself, and nothing but retries."""
    loop, chance, tally = asyncio.get_running_loop(), random.Random(seed), Tally()
    pdus, until = habit.pdus(), loop.time() + seconds
    await asyncio.sleep(habit.begins)
    due = loop.time()
    while loop.time() < until:
        pdu = next(pdus)
        said = None
        for _ in range(1 + (retries if pdu[0] <= 4 else 0)):
            said = fault(chance, loop.time(), Frame(1, pdu).encode())
            await asyncio.sleep(ANSWERS_AFTER if said else wait)
            if said:
                break
        if knows(pdu):
            tally.asked[1] += 1
            tally.answered[1] += said is not None
        due = max(due + habit.every, loop.time())
        await asyncio.sleep(due - loop.time())
    return tally.share()

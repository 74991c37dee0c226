"""The gateway's discipline against buses on which things go wrong, on virtual time and a wire with its true time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from nportpy.line.transaction import TransactionSettings
from nportpy.line.turns import Outcome
from nportpy.linesettings import LineSettings
from nportpy.port.base import PortSettings
from nportpy.port.loopback import Cable, LoopbackPort
from nportpy.protocols.modbus.exchange import Echo
from nportpy.simulator.bus import Bus
from nportpy.simulator.delivery import LatencyTimer
from nportpy.simulator.faults import (
    AnswerBroadcast,
    BadCheck,
    Cut,
    Delay,
    Fault,
    Faulty,
    Junk,
    Missing,
    Place,
    Refuse,
    Rule,
    Script,
    Twice,
    Where,
    WrongCount,
    WrongUnit,
)
from nportpy.simulator.memory import MemoryLine
from nportpy.simulator.store import Store
from nportpy.simulator.wire import PacedWire
from tests.support.bus import Asker, a_bus

SERIAL = LineSettings.parse(19200, "8E1")
HARMLESS = [
    Junk(Place.BEFORE, b"\x00"),
    Junk(Place.BEFORE, b"\x01\x03"),
    Junk(Place.BEFORE, random=20),
    Junk(Place.AFTER, b"\x00", times=3),
    Junk(Place.AFTER, b"\xff", gap=0.001),
    Delay(0.05, jitter=0.2),
]
# The gateway cannot know that somebody is about to speak once more, so it may talk into that.
SPEAKS_AGAIN = [Twice(), Delay(0.7)]


@asynccontextmanager
async def asking(wire: PacedWire, echo: Echo = Echo.NO) -> AsyncIterator[Asker]:
    cable = Cable()
    far = MemoryLine(wire)
    cable.far = LoopbackPort(cable, PortSettings(cable.name), far)
    far.attach(cable.far)
    async with a_bus(cable, TransactionSettings(), SERIAL, echo) as (_, bus):
        yield Asker(bus)


def bus(*rules: Fault | Rule) -> Faulty:
    script = Script(tuple(rule if isinstance(rule, Rule) else Rule(rule) for rule in rules))
    return Faulty(Bus({1: Store(1), 2: Store(2)}), script)


def read(address: int) -> bytes:
    return b"\x03" + address.to_bytes(2) + b"\x00\x01"


def right(asker: Asker) -> list[bool]:
    """Of each request whether it was answered with what the unit holds there."""
    return [
        result.outcome is Outcome.ANSWERED
        and result.answer == b"\x03\x02" + (256 * request.unit + int.from_bytes(request.pdu[1:3])).to_bytes(2)
        for request, result in asker.ends
    ]


async def ask_many(asker: Asker, count: int = 30) -> None:
    for number in range(count):
        asker.ask(1 + number % 2, read(number), timeout=0.5, retries=1)
        await asker.ended()


@pytest.mark.parametrize("fault", HARMLESS, ids=repr)
async def test_what_does_no_harm(fault: Fault) -> None:
    wire = PacedWire(bus(fault), SERIAL)
    async with asking(wire) as asker:
        await ask_many(asker)
        assert right(asker) == [True] * 30
    assert wire.counts()["violations"] == 0


@pytest.mark.parametrize(
    "fault",
    [BadCheck(), Cut(1), Missing(), WrongUnit(), WrongUnit(99), WrongCount(2), WrongCount(2, data=True), *SPEAKS_AGAIN],
    ids=repr,
)
async def test_one_in_seven_is_spoilt_and_the_retry_is_right(fault: Fault) -> None:
    wire = PacedWire(bus(Rule(fault, Where(every=7))), SERIAL)
    async with asking(wire) as asker:
        await ask_many(asker, 40)
        assert right(asker) == [True] * 40
    assert wire.counts()["collisions"] == 0 or fault in SPEAKS_AGAIN


async def test_a_refusal_is_handed_on() -> None:
    async with asking(PacedWire(bus(Refuse(6)), SERIAL)) as asker:
        asker.ask(1, read(0))
        await asker.ended()
        assert asker.ends[0][1].answer == b"\x83\x06"


async def test_an_answered_broadcast_is_no_answer_to_the_next() -> None:
    wire = PacedWire(bus(Rule(AnswerBroadcast(), Where(units=(range(1, 2),)))), SERIAL)
    async with asking(wire) as asker:
        asker.ask(0, b"\x06\x00\x63\x00\x00")
        asker.ask(1, read(0))
        await asker.ended()
        assert asker.outcomes[1] is Outcome.ANSWERED
        assert asker.ends[1][1].answer == b"\x03\x02\x01\x00"


@pytest.mark.parametrize("echo", [Echo.YES, Echo.AUTO])
async def test_an_adapter_that_echoes_and_hands_over_every_16_ms(echo: Echo) -> None:
    wire = PacedWire(bus(), SERIAL, delivery=LatencyTimer(), local_echo=True)
    async with asking(wire, echo) as asker:
        await ask_many(asker)
        assert right(asker) == [True] * 30
    assert wire.counts().items() >= {"violations": 0, "collisions": 0, "answers": 30}.items()


async def test_the_watch_sees_a_gateway_that_does_not_keep_the_silence() -> None:
    wire = PacedWire(bus(), SERIAL)
    cable, far = Cable(), MemoryLine(wire)
    cable.far = LoopbackPort(cable, PortSettings(cable.name), far)
    far.attach(cable.far)
    async with a_bus(cable, TransactionSettings(silence=0.001), SERIAL) as (_, hurried):
        asker = Asker(hurried)
        for number in range(10):
            asker.ask(1, read(number))
        await asker.ended()
        await asyncio.sleep(1)
    violations = wire.counts()["violations"]
    assert violations is not None
    assert violations >= 9

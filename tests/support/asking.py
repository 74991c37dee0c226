"""A bus of Modbus units on a cable, and clients that ask it and keep what they are told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from nportpy.line.turns import Priority
from nportpy.linesettings import LineSettings
from nportpy.modbus.bus import Bus
from nportpy.modbus.question import Question
from nportpy.modbus.settings import BusSettings
from nportpy.port.loopback import Cable
from nportpy.protocols.modbus.exchange import Echo
from tests.support.lines import running


class Client:
    """Somebody who asks.

    Attributes:
        ends: unit, request and answer of each question, in the order in which they ended.
    """

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.asked = 0
        self.ends: list[tuple[Question, bytes]] = []
        self._ended: set[Question] = set()
        self._another = asyncio.Event()

    def ask(self, pdu: bytes, unit: int = 1, priority: Priority = Priority.NORMAL) -> Question:
        question = Question(self, unit, pdu, self.done, priority)
        self.asked += 1
        self.bus.ask(question)
        return question

    def done(self, question: Question, answer: bytes) -> None:
        assert question not in self._ended, "ended twice"
        self._ended.add(question)
        self.ends.append((question, answer))
        self._another.set()

    @property
    def answers(self) -> list[bytes]:
        return [answer for _, answer in self.ends]

    def answer(self, question: Question) -> bytes | None:
        return next((answer for ended, answer in self.ends if ended is question), None)

    async def ended(self, count: int | None = None) -> None:
        async with asyncio.timeout(3600):
            while len(self.ends) < (self.asked if count is None else count):
                self._another.clear()
                await self._another.wait()


@asynccontextmanager
async def a_modbus(cable: Cable, line: LineSettings | None = None, **settings: Any) -> AsyncIterator[Bus]:
    """A bus whose line is up; without echo and silence unless `settings` say otherwise."""
    fields: dict[str, Any] = {"echo": Echo.NO, "silence": 0.0}
    made = BusSettings(**(fields | settings))
    async with running(cable, line or LineSettings(115200)) as owner:
        bus = Bus(owner, made)
        await asyncio.sleep(0.01)
        yield bus


def read(address: int, count: int = 1, function: int = 3) -> bytes:
    """A request to read."""
    return bytes((function,)) + address.to_bytes(2) + count.to_bytes(2)


def registers(address: int, count: int = 1, function: int = 3) -> bytes:
    """The answer of a unit whose registers hold their addresses."""
    data = b"".join((address + index).to_bytes(2) for index in range(count))
    return bytes((function, len(data))) + data


def write(address: int, value: int) -> bytes:
    """A request to write one register, and its answer."""
    return b"\x06" + address.to_bytes(2) + value.to_bytes(2)

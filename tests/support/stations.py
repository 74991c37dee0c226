"""Stations for tests: clocks on the loop's time, a driver by script, a unit with registers behind a router."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from nportpy.edge.clock import Clock
from nportpy.edge.driver import RawReading, StationSilent
from nportpy.edge.sample import Reading
from nportpy.edge.settings import ModbusPlace, StationSettings, TagSettings
from nportpy.edge.station import Station
from nportpy.modbus.question import Question
from nportpy.protocols.modbus.addresses import parse
from nportpy.protocols.modbus.functions import Span
from nportpy.protocols.modbus.values import Order, Value, ValueType

START = 1_750_000_000.0
"""The wall clock's time when the loop's is 1000, as virtual time begins."""


class LoopClock(Clock):
    """Both clocks follow the loop's time. `step` sets the wall clock forward, or back."""

    def __init__(self) -> None:
        self.stepped = 0.0
        loop = asyncio.get_running_loop()
        super().__init__(
            monotonic=lambda: int(loop.time() * 1e9),
            wall=lambda: int((loop.time() - 1000.0 + START + self.stepped) * 1e9),
            trusted=lambda: True,
            boot="test",
        )

    def step(self, seconds: float) -> None:
        self.stepped += seconds


def tag(name: str, at: str, kind: str = "uint16", order: Order = Order.ABCD, **keys: Any) -> TagSettings:
    """A tag by its manual's address."""
    value_type = ValueType.parse(kind)
    table, number = parse(at)
    return TagSettings(name, at, ModbusPlace(Span(table, number, value_type.width), value_type, order), **keys)


def station_of(*tags: TagSettings, **keys: Any) -> StationSettings:
    fields: dict[str, Any] = {"name": "emon", "to": "meters", "unit": 1, "every": 10.0, "tags": tags}
    return StationSettings(**(fields | keys))


class ScriptedDriver:
    """Says what `values` says of each tag; a text is a reason, and None for all is silence.

    Attributes:
        reads: when it was asked for what.
        takes: seconds that reading takes.
    """

    def __init__(self, clock: Clock, values: Callable[[float], dict[str, Value] | None]) -> None:
        self.reads: list[tuple[float, list[str]]] = []
        self.takes = 0.05
        self.closed = False
        self._clock = clock
        self._values = values

    async def read(self, tags: Sequence[TagSettings]) -> list[RawReading]:
        now = asyncio.get_running_loop().time() - 1000.0
        self.reads.append((round(now, 6), [each.name for each in tags]))
        await asyncio.sleep(self.takes)
        found = self._values(now)
        if found is None:
            raise StationSilent("nothing came")
        return [RawReading(each, self._clock.now(), found[each.name]) for each in tags]

    async def close(self) -> None:
        self.closed = True


class Kept:
    """A station, and the samples that it gave away."""

    def __init__(self, settings: StationSettings, values: Callable[[float], dict[str, Value] | None]) -> None:
        self.clock = LoopClock()
        self.driver = ScriptedDriver(self.clock, values)
        self.samples: list[Reading] = []
        ids = {each.name: number for number, each in enumerate(settings.tags, 1)}
        self.station = Station(settings, self.driver, self.samples.extend, self.clock, ids)

    async def run(self, seconds: float) -> None:
        """Let it read for so long."""
        task = asyncio.get_running_loop().create_task(self.station.run())
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.wait([task])
        assert self.driver.closed

    def of(self, number: int) -> list[tuple[float, Value | None, int]]:
        """Samples of one tag: when, in seconds from the start, what, how good."""
        return [
            (round(each.monotonic / 1e6 - 1000.0, 3), each.value, int(each.quality))
            for each in self.samples
            if each.tag == number
        ]


def registers(question: Question, holds: Callable[[int], int] = lambda address: address & 0xFFFF) -> bytes:
    """What a good unit answers to a read of registers."""
    address, count = int.from_bytes(question.pdu[1:3]), int.from_bytes(question.pdu[3:5])
    data = b"".join(holds(address + index).to_bytes(2) for index in range(count))
    return bytes((question.pdu[0], len(data))) + data


def exception(question: Question, code: int) -> bytes:
    return bytes((question.pdu[0] | 0x80, code))


def span_of(question: Question) -> tuple[int, int]:
    """Address and quantity of a read."""
    return int.from_bytes(question.pdu[1:3]), int.from_bytes(question.pdu[3:5])


def renamed(each: TagSettings, name: str) -> TagSettings:
    return replace(each, name=name)

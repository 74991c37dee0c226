"""Modbus units as stations: which requests are sent, what becomes of refusals and silence."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.edge.driver import RawReading, StationSilent
from nportpy.edge.drivers.blocks import Blocks, within
from nportpy.edge.drivers.modbus import ModbusDriver
from nportpy.line.turns import Priority
from nportpy.modbus.question import Question
from nportpy.protocols.modbus.functions import Span, Table
from tests.support.routers import Scripted
from tests.support.stations import LoopClock, exception, registers, span_of, station_of, tag

TAGS = (tag("a", "40001"), tag("b", "40002"), tag("c", "40010"), tag("far", "41001", "float32"))


class Unit:
    """A driver, and the unit that it reads."""

    def __init__(self, answer: Callable[[Question], bytes | None] = registers, gap: int = 16) -> None:
        self.router = Scripted(answer)
        station = station_of(*TAGS, gap=gap)
        self.driver = ModbusDriver(station, self.router, LoopClock())

    async def read(self) -> dict[str, RawReading]:
        before = len(self.router.asked)
        readings = await self.driver.read(TAGS)
        self.reads = [span_of(each) for each in self.router.asked[before:]]
        assert sorted(each.tag.name for each in readings) == sorted(each.name for each in TAGS)
        return {each.tag.name: each for each in readings}


async def test_neighbours_share_a_read_over_a_hole_that_costs_less_than_a_request() -> None:
    unit = Unit()
    found = await unit.read()
    assert unit.reads == [(0, 10), (1000, 2)]
    assert [found[name].raw for name in ("a", "b", "c")] == [0, 1, 9]
    assert unit.router.asked[0].priority is Priority.LOW
    narrow = Unit(gap=0)
    await narrow.read()
    assert narrow.reads == [(0, 2), (9, 1), (1000, 2)]


async def test_a_refused_block_is_split_at_its_holes_and_that_is_remembered() -> None:
    def answer(question: Question) -> bytes:
        address, count = span_of(question)
        return exception(question, 2) if address <= 5 < address + count else registers(question)

    unit = Unit(answer)
    found = await unit.read()
    assert unit.reads == [(0, 10), (0, 2), (9, 1), (1000, 2)]
    assert all(reading.raw is not None for reading in found.values())
    await unit.read()
    assert unit.reads == [(0, 2), (9, 1), (1000, 2)]


async def test_a_block_without_holes_is_halved_until_the_one_at_fault_is_found() -> None:
    def answer(question: Question) -> bytes:
        address, count = span_of(question)
        return exception(question, 2) if address <= 1 < address + count else registers(question)

    unit = Unit(answer)
    found = await unit.read()
    assert found["a"].raw == 0
    assert found["c"].raw == 9
    assert found["b"].raw is None
    assert "exception 2" in found["b"].reason
    await unit.read()
    assert unit.reads == [(0, 1), (1, 1), (9, 1), (1000, 2)]


async def test_silence_at_the_first_block_ends_the_round_and_costs_one_timeout() -> None:
    unit = Unit(lambda question: exception(question, 11))
    with pytest.raises(StationSilent, match="did not answer"):
        await unit.read()
    assert len(unit.router.asked) == 1


async def test_a_unit_that_is_silent_to_one_block_is_still_read() -> None:
    """It says nothing to what it does not have, as many do: the round after begins with another block."""

    def answer(question: Question) -> bytes:
        return exception(question, 11) if span_of(question)[0] == 0 else registers(question)

    unit = Unit(answer)
    with pytest.raises(StationSilent):
        await unit.read()
    found = await unit.read()
    assert found["far"].raw is not None
    assert found["c"].raw == 9
    assert found["a"].raw is None
    assert "did not answer" in found["a"].reason


async def test_a_line_that_is_down_and_a_rule_that_ignores_are_silence() -> None:
    with pytest.raises(StationSilent, match="line is down"):
        await Unit(lambda question: exception(question, 10)).read()
    with pytest.raises(StationSilent):
        await Unit(lambda _: b"").read()


async def test_an_answer_that_does_not_fit_is_a_reason_and_no_value() -> None:
    unit = Unit(lambda question: b"\x03\x02\x00\x01")
    found = await unit.read()
    assert {reading.raw for reading in found.values()} == {None}
    assert "not an answer" in found["a"].reason


async def test_a_cancelled_round_takes_no_later_answer_for_its_own() -> None:
    held: list[Question] = []

    def answer(question: Question) -> bytes | None:
        held.append(question)
        return None if len(held) == 1 else registers(question)

    unit = Unit(answer)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0):
            await unit.read()
    held[0].done(held[0], exception(held[0], 2))
    assert (await unit.read())["a"].raw == 0
    await unit.driver.close()
    assert unit.router.guests[0].left


SPANS = st.lists(st.builds(Span, st.sampled_from(Table), st.integers(0, 300), st.integers(1, 4)), min_size=1)


@given(SPANS, st.integers(0, 60), st.lists(st.integers(0, 50), max_size=8))
def test_blocks_hold_every_span_whole_whatever_was_parted(spans: list[Span], gap: int, refused: list[int]) -> None:
    blocks = Blocks(gap)
    for number in refused:
        reads = blocks.reads(spans)
        assert all(any(within(span, read) for read in reads) for span in spans)
        blocks.part(reads[number % len(reads)], spans)
    blocks.forget()
    assert blocks.reads(spans) == Blocks(gap).reads(spans)


@given(SPANS)
def test_parting_ends_with_single_values(spans: list[Span]) -> None:
    blocks = Blocks(16)
    for _ in range(200):
        parted = [blocks.part(read, spans) for read in blocks.reads(spans)]
        if not any(parted):
            break
    else:
        raise AssertionError("parting does not end")

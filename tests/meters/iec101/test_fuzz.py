"""Bad lines and devices gone mad: no event lost or doubled by single faults, and nothing but our errors by any."""

import asyncio
import contextlib
import random
from dataclasses import replace

import pytest

from nportpy.errors import LineError
from nportpy.meters.iec101.client import Iec101Client, Report
from nportpy.meters.iec101.settings import Iec101Settings
from nportpy.protocols.iec101.ft12 import MAX_FRAME
from tests.meters.iec101.support import Station, Wire, hexed, variable
from tests.protocols.iec101.vectors import WIRE

EVENT = hexed("1E 01 03 01 0A 00 01 92 3B 3A 12 D5 0B 1A")


@pytest.mark.parametrize("seed", range(6))
async def test_a_bad_line_neither_loses_nor_doubles_events(seed: int) -> None:
    chance, station = random.Random(seed), Station()
    one = Iec101Client("rtu", Iec101Settings(interrogate=False, retries=12), lambda: 0)

    def worsened(request: bytes) -> bytes:
        fate = chance.random()
        if fate < 0.1:
            return b""  # the request was not heard
        answer = station(request)
        if fate < 0.2:
            return b""
        if fate < 0.3 and answer:
            at = chance.randrange(len(answer))
            return answer[:at] + bytes((answer[at] ^ 1 << chance.randrange(8),)) + answer[at + 1 :]
        if fate < 0.4:
            return b"\x00\xff" + answer
        return answer[: -chance.randrange(1, 5)] if 0.4 < fate < 0.5 else answer

    wire = Wire(worsened)
    for number in range(60):
        (station.class_1 if number % 2 else station.class_2).append(EVENT[:4] + bytes((number, 0)) + EVENT[6:])
        await one.poll(wire)
    for _ in range(5):
        await one.poll(wire)
    came = [each.asdu.objects[0].address for each in one.take() if isinstance(each, Report)]
    assert sorted(came) == list(range(60))


@pytest.mark.parametrize("seed", range(10))
async def test_whatever_comes_a_round_ends_with_our_errors_at_most(seed: int) -> None:
    chance, station = random.Random(seed), Station(image=[EVENT])
    one = Iec101Client("rtu", replace(Iec101Settings(), retries=1, patience=2.0), lambda: 0)

    def mad(request: bytes) -> bytes:
        fate = chance.random()
        if fate < 0.5:
            return station(request)
        if fate < 0.65:
            return chance.randbytes(chance.randrange(600))
        if fate < 0.8:
            return chance.choice(list(WIRE.values()))
        return variable(chance.randrange(256), chance.randbytes(chance.randrange(1, 60)))

    wire, loop = Wire(mad), asyncio.get_running_loop()
    for _ in range(40):
        began = loop.time()
        with contextlib.suppress(LineError):
            await one.poll(wire)
        assert loop.time() - began < 60
        assert len(one.exchange.finder._data) <= MAX_FRAME
        assert len(one._waiting) <= 1
        one.take()
    assert len(one._told) < 300

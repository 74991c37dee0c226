"""Whatever a line or a meter says, a call ends in bounded time, with our errors or with what is true."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nportpy.errors import NportpyError
from nportpy.linesettings import LineSettings
from nportpy.meters.dlms.client import DlmsClient
from nportpy.meters.dlms.places import parse
from nportpy.meters.dlms.settings import DlmsSettings
from nportpy.meters.dlms.transport import OverLine
from nportpy.protocols.dlms.hdlc import Frame, FrameFinder
from nportpy.simulator.cosem.line import MeterLine
from nportpy.simulator.cosem.meter import START
from nportpy.simulator.device import Answer
from tests.meters.dlms.support import LN, SN, mt880, zmd
from tests.meters.iec62056.meter import run
from tests.support.wired import WiredLine

LOAD = bytes((1, 0, 99, 1, 0, 255))
LONGEST = 3600.0
"""Seconds of virtual time after which a call would hang."""


class Says:
    """A device that answers whatever a function makes of the frame that it heard and of the meter's own answer."""

    def __init__(self, line: MeterLine, spoil: "Spoil") -> None:
        self._line = line
        self._spoil = spoil

    def feed(self, data: bytes, now: float) -> Sequence[Answer]:
        return [replace(each, data=self._spoil(each.data)) for each in self._line.feed(data, now)]

    def silence(self, now: float) -> Sequence[Answer]:
        return self._line.silence(now)

    def counts(self) -> Mapping[str, int]:
        return {}


class Spoil:
    """Changes the information of the meter's frames at random; checksums are right again afterwards."""

    def __init__(self, seed: int, share: float) -> None:
        self._dice = Random(seed)
        self._share = share

    def __call__(self, data: bytes) -> bytes:
        frames = FrameFinder().feed(data)
        if not frames or self._dice.random() > self._share:
            return data
        return b"".join(self._changed(each).encode() for each in frames)

    def _changed(self, frame: Frame) -> Frame:
        dice, body = self._dice, bytearray(frame.information)
        for _ in range(dice.randint(0, 4)):
            match dice.randint(0, 3):
                case 0 if body:
                    body[dice.randrange(len(body))] = dice.randrange(256)
                case 1:
                    body.insert(dice.randint(0, len(body)), dice.randrange(256))
                case 2 if body:
                    del body[dice.randrange(len(body)) :]
                case _ if body:
                    del body[dice.randrange(len(body))]
        control = frame.control if dice.random() > 0.2 else dice.randrange(256)
        return frame._replace(information=bytes(body[:1000]), control=control)


async def everything(line: WiredLine, how: DlmsSettings) -> None:
    """Each call ends, and fails by our errors only."""
    client = DlmsClient(how, OverLine(line.lease), "meter")
    calls = (
        lambda: client.read([parse("1.8.0"), parse("32.7.0"), parse("0.0.1.0.0.255")]),
        lambda: client.objects(fresh=True),
        lambda: client.profile(LOAD, START - timedelta(hours=1), START),
    )
    async with asyncio.timeout(LONGEST):
        for call in calls:
            with contextlib.suppress(NportpyError):
                await call()
        await client.close()


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("short_names", [False, True])
def test_changed_answers(seed: int, short_names: bool) -> None:
    meter, how = (zmd(), SN) if short_names else (mt880(), LN)
    device = Says(MeterLine([meter]), Spoil(seed, 0.3))
    run(lambda: everything(WiredLine(device, LineSettings(9600)), replace(how, response=0.2, long_response=0.3)))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.binary(max_size=60), min_size=1, max_size=6))
def test_rubbish(said: list[bytes]) -> None:
    answers = list(said)

    class Rubbish:
        def feed(self, data: bytes, now: float) -> Sequence[Answer]:
            answers.append(answers.pop(0))
            return [Answer(answers[-1])] if answers[-1] else []

        def silence(self, now: float) -> Sequence[Answer]:
            return ()

        def counts(self) -> Mapping[str, int]:
            return {}

    run(lambda: everything(WiredLine(Rubbish(), LineSettings(9600)), replace(LN, response=0.2, long_response=0.3)))

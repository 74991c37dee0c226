"""What asking a DLMS meter costs beside the wire: 50 attributes of a simulated meter at 9600, as a station reads them.

100 % is the time of the same frames on the wire, and of the meter's own thinking. The association is there already.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace

from nportpy.cli.meters import MeterTarget, way_to
from nportpy.line.arbiter import Line
from nportpy.linesettings import LineSettings
from nportpy.meters.dlms.objects import Attribute
from nportpy.meters.dlms.settings import DlmsSettings
from nportpy.protocols.dlms.obis import Obis
from nportpy.simulator.cosem.meter import THINKS
from nportpy.simulator.process import simulated_lines
from tests.bench.gateways import Running
from tests.bench.processes import BrokenError, FarEnd
from tests.bench.report import Bench, Figure, Goal, Rounds, Scale

_LINE = LineSettings(9600)
_NAMES = ("1.8", "2.8", "3.8", "32.7", "52.7", "72.7", "31.7", "51.7", "71.7", "1.7", "14.7", "13.7", "1.6")
_WANTED = [
    Attribute(Obis.parse(f"1.0.{name}.0.255").code, number, 4 if name == "1.6" else 3)
    for name in _NAMES
    for number in (2, 3, 1, 2)
][:50]
_METER = DlmsSettings(lower=59, line=_LINE)


class _Wire:
    """Counts frames, and finds the line's counters of bytes."""

    def __init__(self) -> None:
        self.frames = 0
        self.line: Line | None = None

    def bytes(self) -> int:
        assert self.line is not None
        return self.line.sent + self.line.received


async def _share(device: str, lists: bool) -> float:
    """Per cent."""
    wire = _Wire()
    lease = Line.lease

    def counted(line: Line, *arguments: object, **keys: object) -> object:
        wire.line = line
        return lease(line, *arguments, **keys)  # type: ignore[arg-type]

    put = Line.put

    def counting(line: Line, data: bytes) -> None:
        wire.frames += 1
        put(line, data)

    Line.lease, Line.put = counted, counting  # type: ignore[assignment, method-assign]
    try:
        async with way_to(MeterTarget.parse(device), _LINE, "bench") as client_for:
            client = client_for(replace(_METER, lists=lists))
            await client.read(_WANTED[:1])
            frames, size, start = wire.frames, wire.bytes(), time.perf_counter()
            results = await client.read(_WANTED, scaled=False)
            took = time.perf_counter() - start
            frames, size = wire.frames - frames, wire.bytes() - size
            await client.close()
    finally:
        Line.lease, Line.put = lease, put  # type: ignore[method-assign]
    if any(each.reason for each in results):
        raise BrokenError(f"the meter refuses: {next(each.reason for each in results if each.reason)}")
    return 100 * took / (size * _LINE.character_time + frames * THINKS)


def _measure(_: Running, __: Sequence[FarEnd], ___: Scale, ____: float) -> Rounds:
    with tempfile.TemporaryDirectory() as folder:
        device = os.path.join(folder, "meter")
        with simulated_lines(_LINE, mt880s=[device]):
            while True:
                yield {
                    "dlms_lists": asyncio.run(_share(device, True)),
                    "dlms_singles": asyncio.run(_share(device, False)),
                }


DLMS_LINE = Bench(
    name="dlms_line",
    figures=(
        Figure("dlms_lists", "DLMS: 50 attributes at 9600 in lists, of their time on the wire", "%"),
        Figure("dlms_singles", "DLMS: the same one by one", "%"),
    ),
    goals=(Goal("dlms_lists", 115.0), Goal("dlms_singles", 115.0)),
    far_ends=lambda _: [["echo"]],
    measure=_measure,
    weight=0.2,
    ours_only=True,
)
"""The rows of a meter's line."""

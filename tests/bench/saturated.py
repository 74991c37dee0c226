"""Sixteen lines at 115200 baud, full in both directions: 64 bytes every 5.6 ms, as a UART's FIFO hands them over."""

import os
import time
import zlib
from collections.abc import Sequence
from contextlib import suppress

from tests.bench.farend import PATIENCE, payload
from tests.bench.gateways import Running
from tests.bench.processes import BrokenError, FarEnd, cpu_seconds
from tests.bench.report import Bench, Figure, Goal, Rounds, Scale

_BYTES_PER_SECOND = 11520  # 115200 baud, 8N1
_CHUNK = 64
_PERIOD = _CHUNK / _BYTES_PER_SECOND


class _Line:
    """The network side of one line: sends a chunk at each tick and takes what has come."""

    def __init__(self, descriptor: int, number: int, size: int, start: float) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._outgoing = payload(_seed(number, from_line=False), size)
        self._sent = 0
        self.received = bytearray()
        self.due = start

    def tick(self) -> None:
        # What cannot be done now waits for the next tick.
        with suppress(BlockingIOError):
            self.received += os.read(self._descriptor, 65536)
        with suppress(BlockingIOError):
            self._sent += os.write(self._descriptor, self._outgoing[self._sent : self._sent + _CHUNK])
        self.due += _PERIOD

    def done(self) -> bool:
        return self._sent == len(self._outgoing) and len(self.received) >= len(self._outgoing)


def _seed(number: int, *, from_line: bool) -> int:
    return 2 * number + from_line


def _size(scale: Scale) -> int:
    return int(scale.paced_seconds * _BYTES_PER_SECOND)


def _measure(gateway: Running, ends: Sequence[FarEnd], scale: Scale, started: float) -> Rounds:
    size = _size(scale)
    descriptors = [gateway.connect(number) for number in range(len(ends))]
    gateway.settle()
    start = time.monotonic() + 0.05
    # The lines' ticks are spread over the period, as lines that know nothing of each other would be.
    lines = [_Line(d, n, size, start + n * _PERIOD / len(ends)) for n, d in enumerate(descriptors)]
    pids = gateway.pids()
    before, began = cpu_seconds(pids), time.monotonic()
    for end in ends:
        end.go()
    _run(lines, start + scale.paced_seconds)
    used = (cpu_seconds(pids) - before) / (time.monotonic() - began)
    _finish(lines)
    _verify(lines, ends, size)
    yield {"paced_cpu": used * 100}


def _run(lines: Sequence[_Line], until: float) -> None:
    """Every line's ticks in turn; they all have the same period, so the order stays."""
    while True:
        for line in lines:
            wait = line.due - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            line.tick()
        if lines[0].due >= until:
            return


def _finish(lines: Sequence[_Line]) -> None:
    """Take what is still on its way."""
    deadline = time.monotonic() + PATIENCE
    while not all(line.done() for line in lines) and time.monotonic() < deadline:
        for line in lines:
            line.tick()
        time.sleep(_PERIOD)


def _verify(lines: Sequence[_Line], ends: Sequence[FarEnd], size: int) -> None:
    for number, (line, end) in enumerate(zip(lines, ends, strict=True)):
        if line.received != payload(_seed(number, from_line=True), size):
            raise BrokenError(f"line {number} sent {size} bytes, {len(line.received)} came, or others")
        count, crc = end.report()
        if (count, crc) != (size, zlib.crc32(payload(_seed(number, from_line=False), size))):
            raise BrokenError(f"line {number} was sent {size} bytes, {count} came, or others")


SATURATED = Bench(
    name="saturated",
    figures=(Figure("paced_cpu", "16 lines full at 115200 both ways, 64-byte chunks", "% of a core"),),
    goals=(Goal("paced_cpu", 40),),
    far_ends=lambda scale: [
        ["paced", _seed(number, from_line=True), _size(scale), _CHUNK, _PERIOD] for number in range(scale.lines)
    ],
    measure=_measure,
    process_rows=True,
    fresh=True,
    weight=0.4,
)

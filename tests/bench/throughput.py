"""A line that sends as fast as it can, and one that echoes while both directions are full."""

import time
from collections.abc import Callable, Sequence

from tests.bench.clients import both_ways, sink
from tests.bench.farend import payload
from tests.bench.gateways import Running
from tests.bench.processes import BrokenError, FarEnd
from tests.bench.report import Bench, Figure, Goal, Rounds, Scale

_SEED = 7
_BLOCK = 65536


def _megabytes_per_second(sent: bytes, receive: Callable[[bytearray], None]) -> float:
    """Time until as much has come as was sent; then compare every byte."""
    received = bytearray(b"\xaa") * len(sent)  # written to, so that no page fault falls into the measured time
    start = time.perf_counter()
    receive(received)
    took = time.perf_counter() - start
    if received != sent:
        place = next(i for i, (a, b) in enumerate(zip(received, sent, strict=True)) if a != b)
        raise BrokenError(f"wrong byte at {place} of {len(sent)}")
    return len(sent) / took / 1e6


def _from_line(gateway: Running, ends: Sequence[FarEnd], scale: Scale, started: float) -> Rounds:
    sent = payload(_SEED, scale.bulk)
    descriptor = gateway.connect()
    gateway.settle()

    def receive(into: bytearray) -> None:
        ends[0].go()
        sink(descriptor, into)

    while True:
        yield {"from_line": _megabytes_per_second(sent, receive)}


def _echoed(gateway: Running, ends: Sequence[FarEnd], scale: Scale, started: float) -> Rounds:
    sent = payload(_SEED, scale.echoed)
    descriptor = gateway.connect()
    gateway.settle()
    while True:
        yield {"echoed": _megabytes_per_second(sent, lambda into: both_ways(descriptor, sent, into))}


FROM_LINE = Bench(
    name="from-line",
    figures=(Figure("from_line", "line to TCP, flat out", "MB/s"),),
    goals=(Goal("from_line", 10, least=True, times="from_line", of="ser2net"),),
    far_ends=lambda scale: [["source", _SEED, scale.bulk, _BLOCK]],
    measure=_from_line,
)

BOTH_WAYS = Bench(
    name="both-ways",
    figures=(Figure("echoed", "sent and echoed at once", "MB/s"),),
    goals=(Goal("echoed", 10, least=True, times="echoed", of="ser2net"),),
    far_ends=lambda _: [["echo"]],
    measure=_echoed,
)

"""Sixteen open lines with one client each and nothing to do: processor, wake-ups and memory."""

import time
from collections.abc import Sequence

from tests.bench.gateways import Running
from tests.bench.processes import FarEnd, cpu_seconds, megabytes, wakeups
from tests.bench.report import Bench, Figure, Goal, Rounds, Scale


def _measure(gateway: Running, ends: Sequence[FarEnd], scale: Scale, started: float) -> Rounds:
    for number in range(len(ends)):
        gateway.connect(number)
    gateway.settle()
    pids = gateway.pids()
    cpu, woken, began = cpu_seconds(pids), wakeups(pids), time.monotonic()
    time.sleep(scale.idle_seconds)
    lasted = time.monotonic() - began
    yield {
        "idle_cpu": (cpu_seconds(pids) - cpu) / lasted * 100,
        "idle_wakeups": (wakeups(pids) - woken) / lasted,
        "rss": megabytes(pids, "Rss"),
        "pss": megabytes(pids, "Pss"),
    }


IDLE = Bench(
    name="idle",
    figures=(
        Figure("idle_cpu", "16 lines idle, processor", "% of a core", 3),
        Figure("idle_wakeups", "16 lines idle, wake-ups", "1/s", 2),
        Figure("rss", "16 lines, RSS of all processes", "MB"),
        Figure("pss", "16 lines, PSS of all processes", "MB"),
    ),
    goals=(Goal("idle_cpu", 0.1), Goal("rss", 55)),
    far_ends=lambda scale: [["echo"]] * scale.lines,
    measure=_measure,
    process_rows=True,
    fresh=True,
    weight=0.4,
)

"""From the start of the process with sixteen lines to a connection that stays and answers."""

from collections.abc import Sequence

from tests.bench.clients import exchange
from tests.bench.gateways import Running
from tests.bench.processes import FarEnd
from tests.bench.report import Bench, Figure, Goal, Rounds, Scale


def _measure(gateway: Running, ends: Sequence[FarEnd], scale: Scale, started: float) -> Rounds:
    descriptor = gateway.connect()
    exchange(descriptor, 1)
    yield {"start": gateway.connected_at - started}


STARTUP = Bench(
    name="startup",
    figures=(Figure("start", "16 lines, start to first connection", "s", 3),),
    goals=(Goal("start", 0.7),),
    far_ends=lambda scale: [["echo"]] * scale.lines,
    measure=_measure,
    process_rows=True,
    fresh=True,
)

"""Modbus TCP to a line that takes no time: what the gateway itself costs."""

import time
from collections.abc import Sequence
from itertools import cycle

from tests.bench.farend import REGISTERS
from tests.bench.gateways import Running, Setup
from tests.bench.modbusclients import QUANTITY, Client, Pair, ask_ahead, await_line, exchange, reads, run
from tests.bench.processes import FarEnd, cpu_seconds
from tests.bench.report import Bench, Figure, Goal, Rounds, Scale
from tests.bench.stats import percentile

_UNIT = 1
_WARM_UP = 500
_CLIENTS, _AHEAD = 32, 4
# Nobody asks what another asks, so that no answer can serve two.
_OWN = QUANTITY * 16
_REFUSED_SECONDS = 1.0
_MANY_SECONDS = 0.25  # for each thousand exchanges of a round


def _refused(descriptor: int, pairs: Sequence[Pair], count: int) -> list[float]:
    """As `exchange`, but not for long: gateways are known that take half a second for an exception."""
    took: list[float] = []
    until = time.monotonic() + _REFUSED_SECONDS
    while not took or (len(took) < count and time.monotonic() < until):
        took += exchange(descriptor, pairs, 1)
    return took


def _measure(gateway: Running, ends: Sequence[FarEnd], scale: Scale, started: float) -> Rounds:
    descriptors = [gateway.connect(service="modbus") for _ in range(_CLIENTS)]
    own = [reads(_UNIT, range(_OWN * number, _OWN * (number + 1), QUANTITY)) for number in range(_CLIENTS)]
    beyond = reads(_UNIT, range(REGISTERS, REGISTERS + _OWN, QUANTITY))
    one, pairs = descriptors[0], own[0]
    await_line(one, pairs[0])
    gateway.settle()
    exchange(one, pairs, _WARM_UP)
    pids = gateway.pids()
    count = scale.exchanges
    while True:
        cpu = cpu_seconds(pids)
        took = exchange(one, pairs, count)
        cpu = cpu_seconds(pids) - cpu
        refused = _refused(one, beyond, count // 2)
        ahead = ask_ahead(one, pairs, _AHEAD, count)
        clients = [Client(d, cycle(p)) for d, p in zip(descriptors, own, strict=True)]
        run(clients, _MANY_SECONDS * count / 1000)
        waits = [wait * 1e6 for client in clients for wait in client.took]
        answers = sorted(at for client in clients for at in client.at)
        yield {
            "modbus_rate": count / sum(took) * 1e6,
            "modbus_cpu": cpu / count * 1e6,
            "modbus_p50": percentile(took, 0.5),
            "modbus_p99": percentile(took, 0.99),
            "modbus_refused": percentile(refused, 0.5),
            "modbus_ahead": count / ahead,
            "modbus_many": (len(answers) - 1) / (answers[-1] - answers[0]),
            "modbus_many_p50": percentile(waits, 0.5),
            "modbus_many_p99": percentile(waits, 0.99),
        }


MODBUS = Bench(
    name="modbus",
    figures=(
        Figure("modbus_rate", "Modbus, line without wire time, FC3 x 10: one client", "1/s", 0),
        Figure("modbus_cpu", "Modbus, one client: gateway's processor", "us"),
        Figure("modbus_p50", "Modbus, one client: p50", "us"),
        Figure("modbus_p99", "Modbus, one client: p99", "us"),
        Figure("modbus_refused", "Modbus, one client: exception, p50", "us"),
        Figure("modbus_ahead", f"Modbus, one client with {_AHEAD} requests under way", "1/s", 0),
        Figure("modbus_many", f"Modbus, {_CLIENTS} clients, each its own registers", "1/s", 0),
        Figure("modbus_many_p50", f"Modbus, {_CLIENTS} clients: p50", "us"),
        Figure("modbus_many_p99", f"Modbus, {_CLIENTS} clients: p99", "us"),
    ),
    goals=(
        Goal("modbus_rate", 16_000, least=True),
        Goal("modbus_cpu", 60),
        Goal("modbus_p99", 10, times="modbus_p50"),
        Goal("modbus_refused", 1.2, times="modbus_p50"),
        Goal("modbus_many", 0.8, least=True, times="modbus_rate"),
        Goal("modbus_many_p99", 10, times="modbus_many_p50"),
    ),
    rivalry=(
        Goal("modbus_rate", 20, least=True, times="modbus_rate"),
        Goal("modbus_cpu", 0.33, times="modbus_cpu"),
    ),
    far_ends=lambda _: [["modbus"]],
    measure=_measure,
    process_rows=True,
    setup=Setup("modbus", 115200, "8E1", 'silence = "0ms"\nmax_clients = 64'),
    weight=4.0,
)

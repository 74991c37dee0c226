"""What rules with roles cost each request (S13): the same client at two services of one line, without and with them."""

from collections.abc import Sequence

from tests.bench.gateways import Running, Setup
from tests.bench.modbusclients import QUANTITY, await_line, exchange, reads
from tests.bench.processes import FarEnd
from tests.bench.report import Bench, Figure, Goal, Rounds, Scale

_UNIT = 1
_WARM_UP = 500
_RULES = """rules = [
  { action = "read-write", roles = ["Engineer"] },
  { action = "read-write", roles = ["Operator"], registers = "41001-41010" },
  { action = "read-only", clients = ["192.0.2.0/24"], units = "1-5" },
  { action = "deny", functions = [5, 6, 15, 16] },
  { action = "read-only", units = "1-8" },
  { action = "deny" },
]
priorities = [{ priority = "high", roles = ["Operator"] }]"""


def _measure(gateway: Running, ends: Sequence[FarEnd], scale: Scale, started: float) -> Rounds:
    free, ruled = gateway.connect(service="modbus"), gateway.connect(service="modbus-ruled")
    pairs = reads(_UNIT, range(0, QUANTITY * 16, QUANTITY))
    for each in (free, ruled):
        await_line(each, pairs[0])
        exchange(each, pairs, _WARM_UP)
    gateway.settle()
    parts = 10
    while True:
        took = {free: 0.0, ruled: 0.0}
        for part in range(2 * parts):  # in turns, so that a disturbance meets both
            each = (free, ruled)[part % 2]
            took[each] += sum(exchange(each, pairs, scale.exchanges // parts))
        yield {"modbus_ruled": took[free] / took[ruled] * 100}


RULES = Bench(
    name="modbus-rules",
    figures=(Figure("modbus_ruled", "Modbus with rules and roles: rate", "% of it without"),),
    goals=(Goal("modbus_ruled", 98, least=True),),
    far_ends=lambda _: [["modbus"]],
    measure=_measure,
    setup=Setup("modbus-ruled", 115200, "8E1", 'silence = "0ms"', _RULES),
)

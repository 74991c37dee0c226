"""Round trip of 8 bytes through a line that echoes: raw TCP, and RFC 2217 beside it."""

from collections.abc import Sequence

from tests.bench.clients import exchange, negotiate
from tests.bench.gateways import Running
from tests.bench.processes import FarEnd, cpu_seconds
from tests.bench.report import Bench, Figure, Goal, Rounds, Scale
from tests.bench.stats import percentile

# Exchanges before those that count: caches, branch predictors and the interpreter's specialisation.
_WARM_UP = 500


def _measure(gateway: Running, ends: Sequence[FarEnd], scale: Scale, started: float) -> Rounds:
    raw = gateway.connect(0)
    gateway.settle()
    exchange(raw, _WARM_UP)
    telnet = None
    if gateway.serves("rfc2217"):
        telnet = gateway.connect(1, "rfc2217")
        negotiate(telnet)
        exchange(telnet, _WARM_UP)
    pids = gateway.pids()
    while True:
        before = cpu_seconds(pids)
        took = exchange(raw, scale.exchanges)
        figures = {"rtt_p50": percentile(took, 0.5), "rtt_p99": percentile(took, 0.99)}
        if pids:
            figures["rtt_cpu"] = (cpu_seconds(pids) - before) / scale.exchanges * 1e6
        if telnet is not None:
            took = exchange(telnet, scale.exchanges)
            figures |= {"rtt2217_p50": percentile(took, 0.5), "rtt2217_p99": percentile(took, 0.99)}
        yield figures


LATENCY = Bench(
    name="latency",
    figures=(
        Figure("rtt_p50", "8-byte round trip, p50", "us"),
        Figure("rtt_p99", "8-byte round trip, p99", "us"),
        Figure("rtt_cpu", "8-byte round trip, gateway's processor", "us"),
        Figure("rtt2217_p50", "the same in RFC 2217, p50", "us"),
        Figure("rtt2217_p99", "the same in RFC 2217, p99", "us"),
    ),
    goals=(
        Goal("rtt_p50", 1.0, times="rtt_p50", of="socat"),
        Goal("rtt_p50", 0.5, times="rtt_p50", of="ser2net"),
        Goal("rtt_p99", 3.0, times="rtt_p50"),
        Goal("rtt2217_p50", 1.5, times="rtt_p50"),
    ),
    far_ends=lambda _: [["echo"], ["echo"]],
    measure=_measure,
    weight=6.0,
)

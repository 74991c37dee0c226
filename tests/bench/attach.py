"""What a virtual COM port adds: 8 bytes through `nportpy attach` and a server's RFC 2217, beside RFC 2217 alone."""

import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.bench.clients import exchange, negotiate
from tests.bench.gateways import PATIENCE, Running
from tests.bench.processes import BrokenError, FarEnd, program
from tests.bench.report import Bench, Figure, Goal, Rounds, Scale
from tests.bench.stats import percentile

_WARM_UP = 500


def _attached(stack: ExitStack, directory: Path, port: int) -> int:
    """A descriptor of a virtual COM port of its own process."""
    link = directory / "ttyV0"
    command = [sys.executable, "-m", "nportpy", "attach", f"127.0.0.1:{port}", str(link)]
    process = stack.enter_context(program(command, directory / "attach.log"))
    deadline = time.monotonic() + PATIENCE
    while not link.is_symlink() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    try:
        descriptor = os.open(link, os.O_RDWR | os.O_NOCTTY)
    except OSError as error:
        raise BrokenError("nportpy attach makes no port") from error
    stack.callback(os.close, descriptor)
    return descriptor


def _measure(gateway: Running, ends: Sequence[FarEnd], scale: Scale, started: float) -> Rounds:
    while not gateway.serves("rfc2217") or gateway.directory is None:
        yield {}
    direct = gateway.connect(1, "rfc2217")
    gateway.settle()
    negotiate(direct)
    exchange(direct, _WARM_UP)
    with ExitStack() as stack:
        terminal = _attached(stack, gateway.directory, gateway.port(0, "rfc2217"))
        exchange(terminal, _WARM_UP)
        while True:
            alone = exchange(direct, scale.exchanges)
            took = exchange(terminal, scale.exchanges)
            yield {
                "attach_p50": percentile(took, 0.5),
                "attach_p99": percentile(took, 0.99),
                "attach_adds": percentile(took, 0.5) - percentile(alone, 0.5),
            }


ATTACH = Bench(
    name="attach",
    figures=(
        Figure("attach_p50", "8-byte round trip, nportpy attach and RFC 2217, p50", "us"),
        Figure("attach_p99", "the same, p99", "us"),
        Figure("attach_adds", "what attach adds to RFC 2217 alone, p50", "us"),
    ),
    goals=(Goal("attach_adds", 100.0),),
    far_ends=lambda _: [["echo"], ["echo"]],
    measure=_measure,
    process_rows=True,
    weight=2.0,
)

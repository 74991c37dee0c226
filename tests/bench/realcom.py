"""Real COM beside raw: the same round trip on the data connection, and a command's own.

Both lines belong to one gateway, and their exchanges take turns, so that what else the machine does hurts both alike.
"""

import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.bench.clients import exchange
from tests.bench.gateways import Nportpy, Running, Setup
from tests.bench.processes import BrokenError, FarEnd, cpu_seconds, program
from tests.bench.report import Bench, Figure, Goal, Rounds, Scale
from tests.bench.stats import percentile
from tests.support.free_ports import free_ports

_WARM_UP = 500
_TURNS = 10  # of each in a round
_INIT = bytes.fromhex("2c 08 0a 03 01 01 00 00 00 00")
_STATUS_AND_NOTICE = 5 + 4  # bytes; modem lines that are up are news to a client
_LEVELS = bytes.fromhex("12 02 01 01")
_OK = b"\x12OK"


class NportpyRealCom(Nportpy):
    """nportpy with raw on the first line and Real COM on the second."""

    services = frozenset(("realcom",))

    def start(self, stack: ExitStack, directory: Path, devices: Sequence[str], setup: Setup) -> Running:
        raw, data, command = free_ports(3)
        text = (
            '[gateway]\nname = "bench"\nlisten = "127.0.0.1"\n\n[http]\nlisten = false\n\n[discovery]\nlisten = false\n'
            f'\n[port.raw]\ndevice = "{devices[0]}"\nbaudrate = {setup.baudrate}\n[port.raw.raw]\nlisten = {raw}\n'
            f'\n[port.realcom]\ndevice = "{devices[1]}"\nbaudrate = {setup.baudrate}\n'
            f"[port.realcom.realcom]\ndata = {data}\ncommand = {command}\n"
        )
        file = directory / "nportpy.toml"
        file.write_text(text)
        process = stack.enter_context(
            program([sys.executable, "-m", "nportpy", "serve", "-c", str(file)], directory / "nportpy.log")
        )
        return Running(stack, [process], {"raw": (raw,), "command": (command,), "data": (data,)})


def _measure(gateway: Running, ends: Sequence[FarEnd], scale: Scale, started: float) -> Rounds:
    raw, command, data = (gateway.connect(0, service) for service in ("raw", "command", "data"))
    _ask(command, _INIT, _STATUS_AND_NOTICE)
    gateway.settle()
    for descriptor in (raw, data):
        exchange(descriptor, _WARM_UP)
    pids = gateway.pids()
    while True:
        took: dict[str, list[float]] = {"raw": [], "realcom": []}
        cpu = dict.fromkeys(took, 0.0)
        for _ in range(_TURNS):
            for name, descriptor in (("raw", raw), ("realcom", data)):
                before = cpu_seconds(pids)
                took[name] += exchange(descriptor, scale.exchanges // _TURNS)
                cpu[name] += cpu_seconds(pids) - before
        figures = {f"{name}_com_p50": percentile(took[name], 0.5) for name in took}
        figures["realcom_p99"] = percentile(took["realcom"], 0.99)
        figures["realcom_cpu"] = cpu["realcom"] / len(took["realcom"]) * 1e6
        figures["realcom_command"] = percentile([_command(command) for _ in range(scale.exchanges)], 0.5)
        yield figures


def _command(descriptor: int) -> float:
    """Microseconds until a command is answered."""
    start = time.perf_counter_ns()
    if _ask(descriptor, _LEVELS, len(_OK)) != _OK:
        raise BrokenError("the command was not acknowledged")
    return (time.perf_counter_ns() - start) / 1000


def _ask(descriptor: int, command: bytes, size: int) -> bytes:
    os.write(descriptor, command)
    answer = b""
    while len(answer) < size and (more := os.read(descriptor, size - len(answer))):
        answer += more
    return answer


REALCOM = Bench(
    name="realcom",
    figures=(
        Figure("raw_com_p50", "raw beside Real COM: 8-byte round trip, p50", "us"),
        Figure("realcom_com_p50", "Real COM: 8-byte round trip, p50", "us"),
        Figure("realcom_p99", "Real COM: 8-byte round trip, p99", "us"),
        Figure("realcom_cpu", "Real COM: 8-byte round trip, gateway's processor", "us"),
        Figure("realcom_command", "Real COM: a command and its answer, p50", "us"),
    ),
    goals=(Goal("realcom_com_p50", 1.2, times="raw_com_p50"),),
    far_ends=lambda _: [["echo"], ["echo"]],
    measure=_measure,
    process_rows=True,
    setup=Setup("realcom"),
    weight=2.0,
    ours_only=True,
)

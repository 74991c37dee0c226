"""Packing and command by command beside plain raw: what it costs where no silence has to be waited for.

Each way has a line that echoes and one that sends flat out. What is sent are Modbus RTU frames, or texts that end with
a carriage return, so each echo is a segment or an answer. Flat out come random bytes, among which there are carriage
returns and no frames: for `rtu` that is the worst there is.
"""

import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.bench.clients import sink
from tests.bench.farend import framed, payload
from tests.bench.gateways import Nportpy, Running, Setup
from tests.bench.processes import BrokenError, FarEnd, cpu_seconds, program
from tests.bench.report import Bench, Figure, Goal, Rounds, Scale
from tests.bench.stats import percentile
from tests.support.free_ports import free_ports

_FRAMES = tuple(framed(1, b"\x03" + number.to_bytes(2, "big") + b"\0\x01") for number in range(256))
_TEXTS = tuple(b"%07d\r" % number for number in range(256))
# What a raw service is told, and what is said on its line.
_WAYS = {
    "immediate": ('packing = "immediate"', _FRAMES),
    "rtu": ('packing = "rtu"', _FRAMES),
    "delimiter": ('packing = { delimiters = "0D", force_transmit = "10ms" }', _TEXTS),
    "commands": ('commands = { answers = { delimiters = "0D" } }', _TEXTS),
}
_PACKED = ("immediate", "rtu", "delimiter")  # ways that have a line flat out: nobody commands that one
_WARM_UP = 500
_SEED, _BLOCK = 11, 65536
_BULK = 8  # a part of the bulk is enough
_SPEED = 921600


class NportpyPacking(Nportpy):
    """nportpy with another packing on each line, in turn."""

    services = frozenset(("packing",))

    def start(self, stack: ExitStack, directory: Path, devices: Sequence[str], setup: Setup) -> Running:
        ports = free_ports(len(devices))
        text = '[gateway]\nname = "bench"\nlisten = "127.0.0.1"\n\n[http]\nlisten = false\n'
        for number, (device, port, way) in enumerate(zip(devices, ports, (*_WAYS, *_PACKED), strict=True)):
            text += f'\n[port.line{number}]\ndevice = "{device}"\nbaudrate = {setup.baudrate}\n'
            text += f"[port.line{number}.raw]\nlisten = {port}\n{_WAYS[way][0]}\n"
        file = directory / "nportpy.toml"
        file.write_text(text)
        command = [sys.executable, "-m", "nportpy", "serve", "-c", str(file)]
        return Running(stack, [stack.enter_context(program(command, directory / "nportpy.log"))], {"raw": ports})


def _exchange(descriptor: int, said: Sequence[bytes], count: int) -> list[float]:
    """Say one thing after the other; microseconds until each has come back, in one piece."""
    took = []
    for number in range(count):
        message = said[number & 255]
        start = time.perf_counter_ns()
        os.write(descriptor, message)
        reply = os.read(descriptor, 256)
        took.append((time.perf_counter_ns() - start) / 1000)
        if reply != message:
            raise BrokenError(f"sent {message.hex()}, got {reply.hex()}")
    return took


def _measure(gateway: Running, ends: Sequence[FarEnd], scale: Scale, started: float) -> Rounds:
    descriptors = [gateway.connect(line) for line in range(len(_WAYS) + len(_PACKED))]
    gateway.settle()
    echoing, sending = descriptors[: len(_WAYS)], descriptors[len(_WAYS) :]
    for descriptor, (_, said) in zip(echoing, _WAYS.values(), strict=True):
        _exchange(descriptor, said, _WARM_UP)
    pids = gateway.pids()
    size = scale.bulk // _BULK
    sent = payload(_SEED, size)
    while True:
        figures: dict[str, float] = {}
        for way, descriptor in zip(_WAYS, echoing, strict=True):
            before = cpu_seconds(pids)
            took = _exchange(descriptor, _WAYS[way][1], scale.exchanges)
            figures[f"{way}_rtt_p50"] = percentile(took, 0.5)
            figures[f"{way}_rtt_cpu"] = (cpu_seconds(pids) - before) / scale.exchanges * 1e6
        for way, descriptor, end in zip(_PACKED, sending, ends[len(_WAYS) :], strict=True):
            received = bytearray(b"\xaa") * size
            start = time.perf_counter()
            end.go()
            sink(descriptor, received)
            figures[f"{way}_bulk"] = size / (time.perf_counter() - start) / 1e6
            if received != sent:
                raise BrokenError(f"{way}: wrong bytes")
        yield figures


PACKING = Bench(
    name="packing",
    figures=(
        *(Figure(f"{way}_rtt_p50", f"{way}: 8-byte round trip, p50", "us") for way in _WAYS),
        *(Figure(f"{way}_rtt_cpu", f"{way}: 8-byte round trip, gateway's processor", "us") for way in _WAYS),
        *(Figure(f"{way}_bulk", f"{way}: line to network, flat out", "MB/s") for way in _PACKED),
    ),
    goals=(
        Goal("rtu_rtt_p50", 2.0, times="immediate_rtt_p50"),
        Goal("delimiter_rtt_p50", 1.5, times="immediate_rtt_p50"),
        Goal("commands_rtt_p50", 2.0, times="immediate_rtt_p50"),
        Goal("rtu_bulk", 0.28, least=True),  # three times what a line at 921600 says
    ),
    far_ends=lambda scale: [
        *(["echo"] for _ in _WAYS),
        *(["source", _SEED, scale.bulk // _BULK, _BLOCK] for _ in _PACKED),
    ],
    measure=_measure,
    process_rows=True,
    setup=Setup("packing", baudrate=_SPEED),
    weight=2.0,
    ours_only=True,
)

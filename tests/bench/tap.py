"""The tap: lines whose flight recorder is on, beside lines that nobody may watch, in one gateway, in turn."""

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.bench import saturated
from tests.bench.clients import exchange
from tests.bench.gateways import Nportpy, Running, Setup
from tests.bench.modbusclients import QUANTITY, await_line, reads
from tests.bench.modbusclients import exchange as ask
from tests.bench.processes import FarEnd, cpu_seconds, program
from tests.bench.report import Bench, Figure, Goal, Rounds, Scale
from tests.bench.stats import percentile
from tests.support.free_ports import free_ports

_WARM_UP = 500
_UNIT = 1
_TURNS = 8
"""Parts of a round: the lines take turns, so that a machine that is busy for a while is so for both."""


class NportpyTap(Nportpy):
    """nportpy with the flight recorder on; `tap`: on every second line, raw and Modbus; `tapped`: on all, raw."""

    services = frozenset(("tap", "tapped"))

    def start(self, stack: ExitStack, directory: Path, devices: Sequence[str], setup: Setup) -> Running:
        ports = free_ports(len(devices))
        text = '[gateway]\nname = "bench"\nlisten = "127.0.0.1"\n[http]\nlisten = false\n[capture]\nkeep = "256KiB"\n'
        for number, (device, port) in enumerate(zip(devices, ports, strict=True)):
            off, modbus = (not number % 2, number > 1) if setup.service == "tap" else (False, False)
            text += f'\n[port.line{number}]\ndevice = "{device}"\nbaudrate = {setup.baudrate}\n'
            text += "monitor = false\n" if off else ""
            text += f"[port.line{number}.{'modbus' if modbus else 'raw'}]\nlisten = {port}\n"
            text += 'silence = "0ms"\n' if modbus else ""
        file = directory / "nportpy.toml"
        file.write_text(text)
        command = [sys.executable, "-m", "nportpy", "serve", "-c", str(file)]
        process = stack.enter_context(program(command, directory / "nportpy.log"))
        return Running(stack, [process], {"raw": ports, "modbus": ports})


def _measure(gateway: Running, ends: Sequence[FarEnd], scale: Scale, started: float) -> Rounds:
    raw = {"off": gateway.connect(0), "on": gateway.connect(1)}
    modbus = {"off": gateway.connect(2, "modbus"), "on": gateway.connect(3, "modbus")}
    pairs = reads(_UNIT, range(0, 16 * QUANTITY, QUANTITY))
    for way in ("off", "on"):
        await_line(modbus[way], pairs[0])
        exchange(raw[way], _WARM_UP)
        ask(modbus[way], pairs, _WARM_UP)
    gateway.settle()
    pids = gateway.pids()
    count = max(scale.exchanges // _TURNS, 1)
    while True:
        took: dict[str, list[float]] = {"raw_off": [], "raw_on": [], "modbus_off": [], "modbus_on": []}
        cpu = dict.fromkeys(took, 0.0)
        for _ in range(_TURNS):
            for way in ("off", "on"):
                before = cpu_seconds(pids)
                took[f"raw_{way}"] += exchange(raw[way], count)
                between = cpu_seconds(pids)
                took[f"modbus_{way}"] += ask(modbus[way], pairs, count)
                cpu[f"raw_{way}"] += between - before
                cpu[f"modbus_{way}"] += cpu_seconds(pids) - between
        p50 = {way: percentile(each, 0.5) for way, each in took.items()}
        yield {
            "tap_off_rtt": p50["raw_off"],
            "tap_on_rtt": p50["raw_on"],
            "tap_rtt_more": p50["raw_on"] - p50["raw_off"],
            "tap_rtt_cpu_more": (cpu["raw_on"] - cpu["raw_off"]) / (_TURNS * count) * 1e6,
            "tap_modbus": p50["modbus_off"] / p50["modbus_on"] * 100,
            "tap_modbus_cpu_more": (cpu["modbus_on"] - cpu["modbus_off"]) / (_TURNS * count) * 1e6,
        }


def _full(gateway: Running, ends: Sequence[FarEnd], scale: Scale, started: float) -> Rounds:
    for figures in saturated.SATURATED.measure(gateway, ends, scale, started):
        yield {"tap_paced_cpu": figures["paced_cpu"]}


TAP = Bench(
    name="tap",
    figures=(
        Figure("tap_off_rtt", "tap off: 8-byte round trip, p50", "us"),
        Figure("tap_on_rtt", "tap on: 8-byte round trip, p50", "us"),
        Figure("tap_rtt_more", "tap on: more for an 8-byte round trip, p50", "us", 2),
        Figure("tap_rtt_cpu_more", "tap on: more processor for an 8-byte round trip", "us", 2),
        Figure("tap_modbus", "tap on: Modbus without wire time, of that off", "%"),
        Figure("tap_modbus_cpu_more", "tap on: more processor for a Modbus request", "us", 2),
    ),
    goals=(Goal("tap_rtt_more", 1.0), Goal("tap_modbus", 97, least=True)),
    far_ends=lambda _: [["echo"], ["echo"], ["modbus"], ["modbus"]],
    measure=_measure,
    process_rows=True,
    setup=Setup("tap"),
    weight=2.0,
    ours_only=True,
)

TAP_SATURATED = Bench(
    name="tap-saturated",
    figures=(Figure("tap_paced_cpu", "16 lines full at 115200 both ways, tap on", "% of a core"),),
    goals=(Goal("tap_paced_cpu", 41),),  # a hundredth of a core more than without: see `saturated`
    far_ends=saturated.SATURATED.far_ends,
    measure=_full,
    process_rows=True,
    setup=Setup("tapped"),
    fresh=True,
    weight=0.4,
    ours_only=True,
)

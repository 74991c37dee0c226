"""`python -m nportpy.simulator`: simulated lines in a process of their own."""

import os
import signal
import stat
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType

import click

from nportpy.errors import ConfigError
from nportpy.linesettings import LineSettings
from nportpy.modbus.settings import Framing
from nportpy.simulator.bus import Bus
from nportpy.simulator.delivery import LatencyTimer
from nportpy.simulator.device import Device
from nportpy.simulator.echo import Echo
from nportpy.simulator.lines import (
    BusOptions,
    DlmsOptions,
    LineCounts,
    MetersWanted,
    duration,
    meters_by_link,
    ranges,
    to_json,
)
from nportpy.simulator.listening import SCHEME, ListeningLine
from nportpy.simulator.meter import Measurements, Meter
from nportpy.simulator.store import Store
from nportpy.simulator.terminal import RunningLine, TerminalLine, run_lines, run_unpaced_line
from nportpy.simulator.unit import Contents
from nportpy.simulator.unpaced import UnpacedWire
from nportpy.simulator.wire import PacedWire, Wire

_DEFAULTS = BusOptions()


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the command line asks for."""

    settings: LineSettings
    unpaced: bool
    delay: float
    bus: BusOptions
    dlms: DlmsOptions
    meters: Mapping[str, MetersWanted]

    def wire(self, kind: str, link: str) -> Wire:
        """A wire with a device of that kind on it."""
        if kind == "dlms":
            return _dlms_wire(self.dlms, self.meters[link], self.unpaced)
        device, options = self._device(kind), self.bus if kind == "bus" else BusOptions()
        if self.unpaced:
            return UnpacedWire(device, local_echo=options.local_echo)
        return PacedWire(
            device,
            self.settings,
            shared_pair=kind != "echo",
            delivery=LatencyTimer(options.latency) if options.latency else None,
            local_echo=options.local_echo,
            watched=kind != "echo" and options.framing is Framing.RTU,
        )

    def _device(self, kind: str) -> Device:
        if kind == "echo":
            return Echo()
        if kind == "meter":
            return Meter(started=time.monotonic(), delay=self.delay, eager=self.unpaced)
        bus = Bus(self._contents(), framing=self.bus.framing, delay=self.delay, eager=self.unpaced)
        return _spoilt(bus, self.bus.script) if self.bus.script else bus

    def _contents(self) -> dict[int, Contents]:
        contents: dict[int, Contents] = {number: Store(number) for number in _units(self.bus.units)}
        return contents | {number: Measurements(time.monotonic()) for number in _units(self.bus.meters)}


def _dlms_wire(options: DlmsOptions, wanted: MetersWanted, unpaced: bool) -> Wire:
    from nportpy.simulator.cosem.making import wire  # few have such a line: as below

    return wire(options, wanted, unpaced)


def _spoilt(bus: Bus, script: str) -> Device:
    # Few lines have a script, and these imports would take a tenth of every start.
    from nportpy.simulator.faults import Faulty
    from nportpy.simulator.script import load

    return Faulty(bus, load(script))


def _units(text: str) -> list[int]:
    return [number for part in ranges(text, 1, 247) for number in part] if text else []


def _duration(context: click.Context, parameter: click.Parameter, value: str) -> float:  # noqa: ARG001 - click's
    try:
        return duration(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not {error}") from error


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--bus", "buses", metavar="LINK", multiple=True, help="A line with Modbus units.")
@click.option("--meter", "meters", metavar="LINK", multiple=True, help="A line with a Modbus RTU meter, unit 1.")
@click.option("--echo", "echoes", metavar="LINK", multiple=True, help="A line that sends everything back.")
@click.option("--zmd", "zmds", metavar="LINK", multiple=True, help="A line with a DLMS meter by short names.")
@click.option(
    "--mt880", "mt880s", metavar="LINK", multiple=True, help="One by logical names. A LINK named again: more."
)
@click.option("--iec62056", "iec62056s", metavar="SPEC", multiple=True, help="A meter: LINK,mode=C,address=1,...")
@click.option("--iec101", "iec101s", metavar="SPEC", multiple=True, help="A line with outstations: LINK,stations=3,...")
@click.option("--baudrate", metavar="N", default=9600, show_default=True, help="Speed of every line.")
@click.option("--format", "format_", metavar="F", default="8E1", show_default=True, help="Its format; DLMS has 8N1.")
@click.option("--unpaced", is_flag=True, help="Characters take no time.")
@click.option("--delay", metavar="SECONDS", default=0.0, show_default=True, help="What a unit takes for an answer.")
@click.option("--units", metavar="IDS", default=_DEFAULTS.units, show_default=True, help="Units of every bus.")
@click.option("--meter-units", metavar="IDS", default=_DEFAULTS.meters, help="Units of every bus that are meters.")
@click.option(
    "--framing", type=click.Choice([framing.value for framing in Framing]), default="rtu", help="Of every bus."
)
@click.option("--script", metavar="FILE", default="", help="What goes wrong on a bus: nportpy/simulator/script.py.")
@click.option("--dlms-script", metavar="FILE", default="", help="The same of DLMS meters: simulator/cosem/script.py.")
@click.option("--mode-e", is_flag=True, help="DLMS meters wait for a sign-on by IEC 62056-21.")
@click.option(
    "--latency",
    metavar="TIME",
    default="0ms",
    callback=_duration,
    help="A bus is behind a USB adapter that hands over what has come every so often, as in 16ms.",
)
@click.option("--local-echo", is_flag=True, help="On a bus the gateway hears what it sends.")
@click.option("--report", metavar="FILE", default="", help="Where reports go; standard output if not given.")
def main(
    buses: tuple[str, ...],
    meters: tuple[str, ...],
    echoes: tuple[str, ...],
    zmds: tuple[str, ...],
    mt880s: tuple[str, ...],
    iec62056s: tuple[str, ...],
    iec101s: tuple[str, ...],
    baudrate: int,
    format_: str,
    unpaced: bool,
    delay: float,
    units: str,
    meter_units: str,
    framing: str,
    script: str,
    dlms_script: str,
    mode_e: bool,
    latency: float,
    local_echo: bool,
    report: str,
) -> None:
    """Simulated serial lines with true wire time.

    Each is a pseudo-terminal; LINK becomes a symbolic link to it. Lines of --iec62056 and --iec101 may listen instead:
    their LINK may be tcp://HOST:PORT. What else a SPEC may say is in nportpy/simulator/iec62056/making.py and
    nportpy/simulator/iec101/making.py; such lines have a speed of their own.

    When all are there, a line on standard output tells each one's kind, link and device. They end with SIGTERM, or when
    standard input, if it is a pipe, ends.

    At the end and with each SIGUSR1 a line of JSON reports what each has counted: requests and answers, frames and
    violations of the silence before them, collisions.
    """
    if latency and unpaced:
        raise click.UsageError("--latency needs characters that take time: not with --unpaced")
    if unpaced and (iec62056s or iec101s):
        raise click.UsageError("--iec62056 and --iec101 need characters that take time: not with --unpaced")
    options = BusOptions(units, meter_units, Framing(framing), script, latency, local_echo)
    try:
        dlms, wanted = DlmsOptions(baudrate, delay, dlms_script, local_echo, mode_e), meters_by_link(zmds, mt880s)
        plan = _Plan(LineSettings.parse(baudrate, format_), unpaced, delay, options, dlms, wanted)
        links = [*_wanted(buses, meters, echoes), *(("dlms", link) for link in wanted)]
        wires = [(kind, link, plan.wire(kind, link)) for kind, link in links]
        wires += _tuned_wires(iec62056s, iec101s)
    except ConfigError as error:
        reasons = (f"{fault.key} {fault.value} {fault.reason}; {fault.allowed}" for fault in error.faults)
        raise click.UsageError("\n".join((str(error), *reasons))) from error
    except (ValueError, OSError) as error:
        raise click.UsageError(str(error)) from error
    _run(wires, unpaced, report)


def _wanted(buses: tuple[str, ...], meters: tuple[str, ...], echoes: tuple[str, ...]) -> list[tuple[str, str]]:
    kinds = (("bus", buses), ("meter", meters), ("echo", echoes))
    return [(kind, link) for kind, links in kinds for link in links]


def _tuned_wires(iec62056s: tuple[str, ...], iec101s: tuple[str, ...]) -> list[tuple[str, str, Wire]]:
    wires: list[tuple[str, str, Wire]] = []
    # As with scripts: few lines are such.
    if iec62056s:
        from nportpy.simulator.iec62056 import making as meters

        found = meters.wires(iec62056s, transparent=(SCHEME,))
        wires += [("iec62056", link, wire) for link, wire in found.items()]
    if iec101s:
        from nportpy.simulator.iec101 import making as outstations

        found = outstations.wires(iec101s, transparent=(SCHEME,))
        wires += [("iec101", link, wire) for link, wire in found.items()]
    return wires


def _run(wires: list[tuple[str, str, Wire]], unpaced: bool, report: str) -> None:
    lines: list[RunningLine] = []

    def tell(*_: object) -> None:
        counted = [LineCounts(kind, link, wire.counts()) for kind, link, wire in wires]
        _write(report, to_json(counted) + "\n")

    try:
        for _, link, wire in wires:
            lines.append(ListeningLine(wire, link) if link.startswith(SCHEME) else TerminalLine(wire, link))
        with suppress(KeyboardInterrupt):
            signal.signal(signal.SIGTERM, _end)
            signal.signal(signal.SIGUSR1, tell)
            for (kind, link, _), line in zip(wires, lines, strict=True):
                click.echo(f"{kind} {link} {line.path if link.startswith(SCHEME) else os.readlink(link)}")
            if unpaced and len(lines) == 1 and isinstance(lines[0], TerminalLine):
                run_unpaced_line(lines[0], _owner())
            else:
                run_lines(lines, _owner())
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is ending already
        tell()
    except KeyboardInterrupt:
        pass
    except OSError as error:
        raise click.ClickException(str(error)) from error
    finally:
        for line in lines:
            line.close()


def _write(path: str, text: str) -> None:
    """Add a line to the file, or to standard output, which nobody may be reading any more."""
    if path:
        with open(path, "a") as file:
            file.write(text)
    else:
        with suppress(BrokenPipeError):
            os.write(1, text.encode())


def _owner() -> int:
    """A descriptor that ends with whoever started this; one that never does where that cannot be known.

    A shell gives /dev/null to what it starts in the background: that is at its end from the beginning.
    """
    mode = os.fstat(0).st_mode
    return 0 if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else os.pipe()[0]


def _end(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001 - what the signal module calls it with
    raise KeyboardInterrupt


if __name__ == "__main__":
    main(prog_name="python -m nportpy.simulator")

"""`python -m nportpy.simulator`: simulated lines in a process of their own."""

import os
import signal
import stat
import time
from types import FrameType

import click

from nportpy.linesettings import LineSettings
from nportpy.simulator.device import Device
from nportpy.simulator.echo import Echo
from nportpy.simulator.meter import Meter
from nportpy.simulator.terminal import TerminalLine, run_lines, run_unpaced_lines
from nportpy.simulator.unpaced import UnpacedWire
from nportpy.simulator.wire import PacedWire, Wire


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--meter", "meters", metavar="LINK", multiple=True, help="A line with a Modbus RTU meter, unit 1.")
@click.option("--echo", "echoes", metavar="LINK", multiple=True, help="A line that sends everything back.")
@click.option("--baudrate", metavar="N", default=9600, show_default=True, help="Speed of every line.")
@click.option("--format", "format_", metavar="F", default="8E1", show_default=True, help="Format of every line.")
@click.option("--unpaced", is_flag=True, help="Characters take no time.")
@click.option("--delay", metavar="SECONDS", default=0.0, show_default=True, help="What a meter takes for an answer.")
def main(
    meters: tuple[str, ...], echoes: tuple[str, ...], baudrate: int, format_: str, unpaced: bool, delay: float
) -> None:
    """Simulated serial lines with true wire time.

    Each is a pseudo-terminal; LINK becomes a symbolic link to it. When all are there, a line on standard output
    tells each one's kind, link and device. They end with SIGTERM, or when standard input, if it is a pipe, ends.
    """
    try:
        settings = LineSettings.parse(baudrate, format_)
    except ValueError as error:
        raise click.UsageError(str(error)) from error

    def wire(device: Device, *, shared_pair: bool) -> Wire:
        return UnpacedWire(device) if unpaced else PacedWire(device, settings, shared_pair=shared_pair)

    def meter() -> Wire:
        return wire(Meter(started=time.monotonic(), delay=delay, eager=unpaced), shared_pair=True)

    def echo() -> Wire:
        return wire(Echo(), shared_pair=False)

    wanted = [("meter", link, meter) for link in meters] + [("echo", link, echo) for link in echoes]
    lines: list[TerminalLine] = []
    try:
        for _, link, device in wanted:
            lines.append(TerminalLine(device(), link))
        signal.signal(signal.SIGTERM, _end)
        for kind, link, _ in wanted:
            click.echo(f"{kind} {link} {os.readlink(link)}")
        (run_unpaced_lines if unpaced else run_lines)(lines, _owner())
    except KeyboardInterrupt:
        pass
    except OSError as error:
        raise click.ClickException(str(error)) from error
    finally:
        for line in lines:
            line.close()


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

"""Simulated lines in a process of their own, from `with` to its end."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from nportpy.errors import LineError
from nportpy.linesettings import LineSettings
from nportpy.simulator.lines import BusOptions, LineCounts, from_json


class SimulatedLines:
    """Lines that are running.

    Attributes:
        process: the process that they are in.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        """Lines in `process`, which has said where they are."""
        self.process = process

    def report(self) -> list[LineCounts]:
        """What each line has counted so far: buses, then meters, then echoes, then those with DLMS meters.

        Raises:
            LineError: the process is gone.
        """
        assert self.process.stdout is not None
        self.process.send_signal(signal.SIGUSR1)
        text = self.process.stdout.readline()
        if not text:
            raise LineError("the simulated lines are gone")
        return from_json(text)


@contextmanager
def simulated_lines(
    settings: LineSettings,
    *,
    meters: Sequence[str] = (),
    echoes: Sequence[str] = (),
    buses: Sequence[str] = (),
    zmds: Sequence[str] = (),
    mt880s: Sequence[str] = (),
    bus: BusOptions | None = None,
    delay: float = 0.0,
    unpaced: bool = False,
) -> Iterator[SimulatedLines]:
    """Run `python -m nportpy.simulator`; inside, the lines are there.

    Args:
        settings: speed and format of every line.
        meters: links to lines with a Modbus meter.
        echoes: links to lines that send everything back.
        buses: links to lines with several units.
        zmds: links to lines with a DLMS meter by short names.
        mt880s: the same by logical names; a link that is named several times, here too, has as many meters.
        bus: what the buses are like.
        delay: seconds that every unit and meter takes for an answer.
        unpaced: characters take no time.

    Raises:
        LineError: the lines could not be made; standard error has the reason.
    """
    bus = bus or BusOptions()
    command = [sys.executable, "-m", "nportpy.simulator", f"--delay={delay}", *["--unpaced"] * unpaced]
    command += [f"--baudrate={settings.baudrate}", f"--format={settings.format}"]
    command += [f"--units={bus.units}", f"--meter-units={bus.meters}", f"--framing={bus.framing}"]
    command += [f"--script={bus.script}", f"--latency={bus.latency * 1000:.3f}ms", *["--local-echo"] * bus.local_echo]
    links = (("bus", buses), ("meter", meters), ("echo", echoes), ("zmd", zmds), ("mt880", mt880s))
    command += [f"--{kind}={link}" for kind, paths in links for link in paths]
    # In a session of its own Ctrl-C does not reach it: it ends when its input does, after the gateway or with it.
    with subprocess.Popen(  # noqa: S603 - our own interpreter and module
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True, text=True
    ) as process:
        assert process.stdout is not None
        for _ in (*buses, *meters, *echoes, *dict.fromkeys((*zmds, *mt880s))):
            if not process.stdout.readline():
                raise LineError("the simulated lines did not start")
        yield SimulatedLines(process)

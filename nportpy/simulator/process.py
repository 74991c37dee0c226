"""Simulated lines in a process of their own, from `with` to its end."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from nportpy.errors import LineError
from nportpy.linesettings import LineSettings


@contextmanager
def simulated_lines(
    settings: LineSettings, *, meters: Sequence[str] = (), echoes: Sequence[str] = (), unpaced: bool = False
) -> Iterator[None]:
    """Run `python -m nportpy.simulator`; inside, the lines are there.

    Args:
        settings: speed and format of every line.
        meters: links to lines with a Modbus meter.
        echoes: links to lines that send everything back.
        unpaced: characters take no time.

    Raises:
        LineError: the lines could not be made; standard error has the reason.
    """
    command = [sys.executable, "-m", "nportpy.simulator"]
    command += [f"--baudrate={settings.baudrate}", f"--format={settings.format}", *["--unpaced"] * unpaced]
    command += [f"--meter={link}" for link in meters] + [f"--echo={link}" for link in echoes]
    # In a session of its own Ctrl-C does not reach it: it ends when its input does, after the gateway or with it.
    with subprocess.Popen(  # noqa: S603 - our own interpreter and module
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        for _ in (*meters, *echoes):
            if not process.stdout.readline():
                raise LineError("the simulated lines did not start")
        yield

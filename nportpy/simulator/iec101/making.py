"""Lines with outstations, from what a command line says of them.

    LINK,stations=3,link=1,common=1,sizes=1/1/1/2,events=10,baudrate=9600,format=8E1,script=FILE

Keys are those of `OutstationSettings`; besides, `stations` is how many there are (their addresses follow each other),
`sizes` are the bytes of link address, cause, common address and object address, `echo` true for an adapter that
hears what it sends.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from nportpy.linesettings import LineSettings
from nportpy.simulator import spec
from nportpy.simulator.iec101.asdu import Sizes
from nportpy.simulator.iec101.line import OutstationLine
from nportpy.simulator.iec101.outstation import Outstation, alike
from nportpy.simulator.iec101.script import load
from nportpy.simulator.iec101.settings import OutstationSettings
from nportpy.simulator.wire import PacedWire, Wire


def wires(texts: Sequence[str], *, transparent: Sequence[str] = ()) -> dict[str, Wire]:
    """A wire for each link, with its outstations; their clocks are right, in the zone of this machine.

    Args:
        texts: one of each line.
        transparent: beginnings of links that carry no settings.

    Raises:
        ValueError: a setting is wrong.
        OSError: a script cannot be read.
        ConfigError: it is wrong.
    """
    found: dict[str, Wire] = {}
    for text in texts:
        link, given = spec.split(text)
        if link in found:
            raise ValueError(f"{link} is named twice: give it stations=2")
        found[link] = _wire(given, link.startswith(tuple(transparent)))
    return found


def _wire(given: dict[str, str], transparent: bool) -> Wire:
    script, echo = given.pop("script", ""), given.pop("echo", "false")
    line = LineSettings.parse(_number(given.pop("baudrate", "9600")), given.pop("format", "8E1"))
    stations, sizes = _number(given.pop("stations", "1")), _sizes(given.pop("sizes", "1/1/1/2"))
    start = datetime.now(UTC).astimezone().replace(tzinfo=None)
    first = replace(spec.settings(OutstationSettings, given), sizes=sizes, start=start)
    started = time.monotonic()
    outstations = [Outstation(settings, started=started) for settings in alike(first, stations)]
    device = OutstationLine(outstations, line, spoils=load(script) if script else None)
    return PacedWire(device, line, watched=False, local_echo=echo == "true", transparent=transparent)


def _number(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"{text!r} is no number")
    return int(text)


def _sizes(text: str) -> Sizes:
    parts = text.split("/")
    if len(parts) != 4:
        raise ValueError(f"sizes={text} is not such as 1/1/1/2: link address, cause, common address, object address")
    return Sizes(*map(_number, parts))

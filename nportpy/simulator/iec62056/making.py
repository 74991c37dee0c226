"""Lines with such meters, from what a command line says of them.

    LINK,mode=C,speed=5,address=12345678,echo=true,script=FILE

LINK named again puts another meter on the same line. Keys are those of `MeterSettings`; besides, `script` is what goes
wrong (script.py), `lines` a file with the lines of the readout, `odd` true for values that are hard to read, `echo`
true for an optical head that echoes.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from nportpy.linesettings import LineSettings
from nportpy.simulator import spec
from nportpy.simulator.iec62056.contents import LINES, ODD_LINES
from nportpy.simulator.iec62056.meter import Meter
from nportpy.simulator.iec62056.script import load
from nportpy.simulator.iec62056.settings import MeterSettings
from nportpy.simulator.multidrop import MultiDrop
from nportpy.simulator.wire import PacedWire, Wire


def wires(texts: Sequence[str], *, transparent: Sequence[str] = ()) -> dict[str, Wire]:
    """A wire for each link, with the meters that are on it.

    Args:
        texts: one of each meter.
        transparent: beginnings of links that carry no settings.

    Raises:
        ValueError: a setting is wrong.
        OSError: a file cannot be read.
        ConfigError: a script is wrong.
    """
    meters: dict[str, list[Meter]] = {}
    echoes: dict[str, bool] = {}
    for text in texts:
        link, given = spec.split(text)
        echoes[link] = given.pop("echo", "false") == "true" or echoes.get(link, False)
        meters.setdefault(link, []).append(meter(given))
    return {
        link: PacedWire(
            MultiDrop(found) if len(found) > 1 else found[0],
            LineSettings.parse(300, "7E1"),
            watched=False,
            local_echo=echoes[link],
            transparent=link.startswith(tuple(transparent)),
        )
        for link, found in meters.items()
    }


def meter(given: Mapping[str, str]) -> Meter:
    """The meter with those settings."""
    rest = dict(given)
    script, path = rest.pop("script", ""), rest.pop("lines", "")
    lines: Sequence[str] = ODD_LINES if rest.pop("odd", "false") == "true" else LINES
    if path:
        lines = Path(path).read_text("ascii").splitlines()
    spoils = load(script) if script else None
    return Meter(spec.settings(MeterSettings, rest), lines=lines, spoils=spoils, started=time.monotonic())

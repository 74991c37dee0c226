"""What simulated lines are to be, and what they have counted: the same for the command and for whoever starts it."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nportpy.modbus.settings import Framing

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(us|ms|s)")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_RANGE = re.compile(r"([0-9]{1,5})(?:\s*-\s*([0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class BusOptions:
    """Every bus of one process.

    Attributes:
        units: unit ids with a `Store`, as in "1-8,20"; empty: none.
        meters: unit ids with a meter, likewise; they may be among `units`.
        framing: RTU or ASCII.
        script: path of the script of what goes wrong; empty: nothing.
        latency: seconds of a USB adapter's timer; 0: a UART.
        local_echo: the gateway hears what it sends.
    """

    units: str = "1-8"
    meters: str = ""
    framing: Framing = Framing.RTU
    script: str = ""
    latency: float = 0.0
    local_echo: bool = False


@dataclass(frozen=True, slots=True)
class DlmsOptions:
    """Every line with DLMS meters of one process.

    Attributes:
        baudrate: of every line; its format is 8N1.
        delay: seconds that a meter takes for an answer beyond what it needs.
        script: path of the script of what goes wrong; empty: nothing.
        local_echo: the client hears what it sends.
        mode_e: the meters wait for a sign-on; characters take the same time before and after it.
    """

    baudrate: int = 9600
    delay: float = 0.0
    script: str = ""
    local_echo: bool = False
    mode_e: bool = False


@dataclass(frozen=True, slots=True)
class MetersWanted:
    """The DLMS meters of one line: how many of each kind.

    Attributes:
        zmds: by short names.
        mt880s: by logical names.
    """

    zmds: int = 0
    mt880s: int = 0


@dataclass(frozen=True, slots=True)
class LineCounts:
    """What one line has counted.

    Attributes:
        kind: "bus", "meter", "echo" or "dlms".
        link: the link to its device.
        counts: figures by name, of those in `Bus.counts`, `Faulty.counts` and `PacedWire.counts` that it has.
    """

    kind: str
    link: str
    counts: Mapping[str, float | None]


def meters_by_link(zmds: Sequence[str], mt880s: Sequence[str]) -> dict[str, MetersWanted]:
    """The meters of each line, where a link that is named several times is one line with as many meters."""
    links = dict.fromkeys((*zmds, *mt880s))
    return {link: MetersWanted(zmds.count(link), mt880s.count(link)) for link in links}


def to_json(lines: list[LineCounts]) -> str:
    """A report as one line of JSON."""
    return json.dumps({"lines": [{"kind": line.kind, "link": line.link, **line.counts} for line in lines]})


def from_json(text: str) -> list[LineCounts]:
    """A report from `to_json`."""
    return [LineCounts(line.pop("kind"), line.pop("link"), line) for line in json.loads(text)["lines"]]


def duration(value: object) -> float:
    """Seconds from a text such as "20ms".

    Raises:
        ValueError: it is none; the message says what would be right.
    """
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if not match:
        raise ValueError('a duration such as "20ms" or "1.5s"')
    return float(match[1]) * _SECONDS[match[2]]


def ranges(value: object, low: int, high: int) -> tuple[range, ...]:
    """Numbers and ranges of them from a text such as "3,5-9", or one integer.

    Raises:
        ValueError: it is none, or not within `low` and `high`; the message says what would be right.
    """
    allowed = f'numbers and ranges from {low} to {high}, as in "3,5-9"'
    found = []
    for part in str(value).split(","):
        match = _RANGE.fullmatch(part.strip())
        if not match or isinstance(value, bool) or not isinstance(value, (str, int)):
            raise ValueError(allowed)
        first, last = int(match[1]), int(match[2] or match[1])
        if not low <= first <= last <= high:
            raise ValueError(allowed)
        found.append(range(first, last + 1))
    return tuple(found)

"""What simulated lines are to be, and what they have counted: the same for the command and for whoever starts it."""

import json
import re
from collections.abc import Mapping
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

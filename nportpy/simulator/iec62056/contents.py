"""What a meter holds: the lines of its readout, and a load profile."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from nportpy.simulator.iec62056.profile import Interval, Profile

_SET = re.compile(r"([^()/!]*)(\(.*\))")

LINES = (
    "F.F(00)",
    "0.0.0(12345678)",
    "0.9.1(185815)",
    "0.9.2(261121)",
    "1.8.0(000077.160*kWh)",
    "1.8.1(000051.040*kWh)",
    "1.8.2(000026.120*kWh)",
    "1.6.1(0012.3*kW)(2611210945)",
    "1.8.0*03(000061.500*kWh)",
    "1.8.0&02(000048.000*kWh)",
    "2.8.0(000000.000*kWh)",
    "32.7(230.6*V)",
    "52.7(229.9*V)",
    "72.7(231.4*V)",
    "C.1.0(SIM4071)",
)

ODD_LINES = (
    "0.0.0(12345678)",
    "20(0077160)(kWh)",
    "1.8.0(000077,160*kWh)",
    "1.8.0(000078.000*kWh)",
    "8.1(0051040)",
    "0.2.0(VDEW/SIM V1)",
    "16.7(012.3-)",
    "C.7.0()",
    "32.7(----*V)",
    "1.8.1(1*kWh)(2*kWh)",
    "(3*kWh)",
)
"""What occurs, and is hard to read: comma decimals, a code twice, text, trailing signs, nothing, no code."""


def quarters(first_end: datetime, count: int, season: int = 0) -> tuple[Interval, ...]:
    """Intervals of a quarter of an hour, one after the other, with a load that rises and falls."""
    return tuple(
        Interval(
            first_end + timedelta(minutes=15 * number),
            (f"{0.123 + number % 8 * 0.05:.3f}", f"{0.045 + number % 4 * 0.01:.3f}"),
            season,
        )
        for number in range(count)
    )


PROFILE = Profile((("1.5", "kW"), ("2.5", "kvar")), quarters(datetime.fromisoformat("2026-11-21"), 96, season=1))


class Registers:
    """The values behind the lines, for reading and writing one of them."""

    def __init__(self, lines: Sequence[str]) -> None:
        """Those lines, in order; a code may stand in several."""
        self.lines = list(lines)

    def read(self, code: str) -> str | None:
        """The values of a code with their brackets; None: it is not there."""
        found = (match for match in map(_SET.fullmatch, self.lines) if match and match[1] == code)
        return next((match[2] for match in found), None)

    def write(self, code: str, values: str) -> bool:
        """Put other values there; whether the code is there."""
        for number, line in enumerate(self.lines):
            match = _SET.fullmatch(line)
            if match and match[1] == code:
                self.lines[number] = code + values
                return True
        return False

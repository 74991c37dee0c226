"""Lines with meters, from what a command line says of them."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from nportpy.linesettings import LineSettings
from nportpy.simulator.cosem import mt880, zmd
from nportpy.simulator.cosem.frames import Address
from nportpy.simulator.cosem.line import MeterLine
from nportpy.simulator.cosem.meter import THINKS, Meter, MeterSettings
from nportpy.simulator.cosem.script import load
from nportpy.simulator.unpaced import UnpacedWire
from nportpy.simulator.wire import PacedWire, Wire

FIRST_LOWER = 17
"""The lower address of the second ZMD on a line; those after it follow."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The meters of one line: how many of each kind."""

    zmds: int = 0
    mt880s: int = 0


def meters(wanted: Wanted, common: MeterSettings) -> list[Meter]:
    """Those meters, with serial numbers and addresses that differ.

    Args:
        wanted: how many.
        common: what all have, except the address.
    """
    made = [
        zmd.zmd(
            zmd.ZmdSettings(
                serial=str(int(zmd.SERIAL) + number),
                meter=replace(common, address=Address(1, number and FIRST_LOWER + number - 1)),
            )
        )
        for number in range(wanted.zmds)
    ]
    return made + [
        mt880.mt880(
            mt880.Mt880Settings(
                serial=str(int(mt880.SERIAL) + number),
                meter=replace(common, address=Address(1, 0)),  # the serial number's
            )
        )
        for number in range(wanted.mt880s)
    ]


def by_link(zmds: Sequence[str], mt880s: Sequence[str]) -> dict[str, Wanted]:
    """The meters of each line, where a link that is named several times is one line with as many meters."""
    links = dict.fromkeys((*zmds, *mt880s))
    return {link: Wanted(zmds.count(link), mt880s.count(link)) for link in links}


@dataclass(frozen=True, slots=True)
class DlmsLines:
    """What a command line says of lines with such meters.

    Attributes:
        wanted: the meters of each, by the link to it.
        baudrate: of every line; its format is 8N1.
        delay: seconds that a meter takes for an answer beyond what it needs.
        script: path of the script of what goes wrong; empty: nothing.
        local_echo: the client hears what it sends.
    """

    wanted: Mapping[str, Wanted]
    baudrate: int = 9600
    delay: float = 0.0
    script: str = ""
    local_echo: bool = False

    def wire(self, link: str, unpaced: bool) -> Wire:
        """One of the lines: its meters start now, and their clocks are right."""
        settings = LineSettings.parse(self.baudrate, "8N1")
        common = MeterSettings(Address(1), start=datetime.now(UTC), started=time.monotonic(), delay=THINKS + self.delay)
        spoils = load(self.script) if self.script else None
        line = MeterLine(meters(self.wanted[link], common), character=settings.character_time, spoils=spoils)
        if unpaced:
            return UnpacedWire(line, local_echo=self.local_echo)
        return PacedWire(line, settings, watched=False, local_echo=self.local_echo)

"""Lines with meters, from what a command line says of them."""

import time
from dataclasses import replace
from datetime import UTC, datetime

from nportpy.linesettings import LineSettings
from nportpy.simulator.cosem import mt880, zmd
from nportpy.simulator.cosem.frames import Address
from nportpy.simulator.cosem.line import MeterLine
from nportpy.simulator.cosem.meter import THINKS, Meter, MeterSettings
from nportpy.simulator.cosem.opening import MT880_IDENTIFICATION, ZMD_IDENTIFICATION, ModeE, OpeningSettings
from nportpy.simulator.cosem.script import load
from nportpy.simulator.device import Device
from nportpy.simulator.lines import DlmsOptions, MetersWanted
from nportpy.simulator.unpaced import UnpacedWire
from nportpy.simulator.wire import PacedWire, Wire

FIRST_LOWER = 17
"""The lower address of the second ZMD on a line; those after it follow."""


def meters(wanted: MetersWanted, common: MeterSettings) -> list[Meter]:
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


def wire(options: DlmsOptions, wanted: MetersWanted, unpaced: bool) -> Wire:
    """A line with those meters, which start now; their clocks are right."""
    settings = LineSettings.parse(options.baudrate, "8N1")
    common = MeterSettings(Address(1), start=datetime.now(UTC), started=time.monotonic(), delay=THINKS + options.delay)
    spoils = load(options.script) if options.script else None
    line = MeterLine(meters(wanted, common), character=settings.character_time, spoils=spoils)
    device: Device = line
    if options.mode_e:
        identification = ZMD_IDENTIFICATION if wanted.zmds else MT880_IDENTIFICATION
        device = ModeE(line, OpeningSettings(identification))
    if unpaced:
        return UnpacedWire(device, local_echo=options.local_echo)
    return PacedWire(device, settings, watched=False, local_echo=options.local_echo)

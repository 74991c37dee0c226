"""Frames of IEC 60870-5-101, each dissected by a program that nobody here wrote; sizes as the simulator has them."""

from nportpy.simulator.iec101.asdu import Sizes
from tests.protocols.iec101.vectors import WIDE, WIRE

FRAMES = {name: frame for name, frame in WIRE.items() if name != "F6"}
"""Without the single character, which has no sizes."""


def sizes_of(name: str) -> Sizes:
    return Sizes(2, 2, 2, 3) if name in WIDE else Sizes()

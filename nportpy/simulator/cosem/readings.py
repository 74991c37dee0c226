"""What there is to measure: three phases with loads that swing, and the energies that are their integrals.

Everything is a function of time, before the meter's start, too: its load profile reaches back, and two simulated
meters that are asked at one time say the same.
"""

import math
from collections.abc import Callable

from nportpy.simulator.cosem.data import Data, double_long_unsigned, long_unsigned
from nportpy.simulator.cosem.objects import Moment
from nportpy.simulator.meter import LOADS, POWER_FACTOR

REACTIVE_FACTOR = math.sqrt(1 - POWER_FACTOR**2)
EXPORTED = 0.02
"""The part of the energy that goes the other way."""


class Readings:
    """A meter's readings.

    Attributes:
        base: watt-hours that it had counted at its start.
    """

    def __init__(self, base: float = 77_160_000.0, phase: float = 0.0) -> None:
        """It had counted `base` Wh at its start; `phase` seconds set its swings apart from another meter's."""
        self.base = base
        self._phase = phase

    def voltage(self, line: int, elapsed: float) -> float:
        """Volt of phase 1 to 3."""
        return LOADS[line - 1].voltage(elapsed + self._phase)

    def current(self, line: int, elapsed: float) -> float:
        """Ampere of phase 1 to 3."""
        return LOADS[line - 1].current(elapsed + self._phase)

    def power(self, elapsed: float) -> float:
        """Watt of all phases."""
        return POWER_FACTOR * sum(load.volt_amperes(elapsed + self._phase) for load in LOADS)

    def energy(self, elapsed: float) -> float:
        """Watt-hours delivered so far."""
        return self.base + self._used(elapsed)

    def reactive(self, elapsed: float) -> float:
        """Var-hours so far."""
        return self.energy(elapsed) * REACTIVE_FACTOR

    def exported(self, elapsed: float) -> float:
        """Watt-hours that went the other way so far."""
        return self.energy(elapsed) * EXPORTED

    def _used(self, elapsed: float) -> float:
        begin, end = self._phase, self._phase + elapsed
        used = (load.volt_ampere_seconds(end) - load.volt_ampere_seconds(begin) for load in LOADS)
        return POWER_FACTOR * sum(used) / 3600


def counted(value: float) -> Data:
    """A counter of 32 bits, which begins anew after its last value."""
    return double_long_unsigned(int(value) % (1 << 32))


def counter(reading: Callable[[float], float]) -> Callable[[Moment], Data]:
    """What a register counts, in whole units."""
    return lambda moment: counted(reading(moment.elapsed))


def share(reading: Callable[[float], float], tariff: int) -> Callable[[Moment], Data]:
    """What has been counted in one of four tariffs: the higher its number, the less."""
    return lambda moment: counted(reading(moment.elapsed) * (5 - tariff) / 10)


def voltage(readings: Readings, line: int) -> Callable[[Moment], Data]:
    """A phase's voltage in tenths of a volt."""
    return lambda moment: long_unsigned(round(10 * readings.voltage(line, moment.elapsed)))


def current(readings: Readings, line: int) -> Callable[[Moment], Data]:
    """A phase's current in milliamperes."""
    return lambda moment: double_long_unsigned(round(1000 * readings.current(line, moment.elapsed)))

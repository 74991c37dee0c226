"""A three-phase electricity meter that speaks Modbus, after the E-Mon D-Mon class 3400.

Its readings are big-endian IEEE 754 floats in two registers each, the high word first:

    manual   PDU address   reading
    41001    1000          energy delivered, kWh
    41009    1008          power, kW
    41015    1014          power factor, %
    41025    1024          frequency, Hz
    41053    1052          current of phase A, A
    41055    1054          current of phase B, A
    41057    1056          current of phase C, A
    41059    1058          voltage of phase A, V
    41061    1060          voltage of phase B, V
    41063    1062          voltage of phase C, V

They agree with each other: voltages sag as currents rise, the power is that of all phases, the energy its integral.
They lie in a block of 128 registers from 41001 on; the registers between them read as zero here (41003, the energy
received, too). Holding and input registers are the same. Everything outside the block is refused, and so is writing:
what it says besides is what every unit says of itself (unit.py). It measures once a second, as meters do.
"""

import math
import struct
from dataclasses import dataclass

from nportpy.modbus.settings import Framing
from nportpy.protocols.modbus.pdu import READS_REGISTERS, ExceptionCode, ReadRegisters, Registers
from nportpy.simulator.bus import Bus
from nportpy.simulator.unit import refusal

ENERGY = 1000
"""PDU address of the energy delivered, in kWh."""

POWER = 1008
"""PDU address of the power of all phases, in kW."""

FACTOR = 1014
"""PDU address of the power factor, in percent."""

FREQUENCY = 1024
"""PDU address of the frequency, in hertz."""

CURRENTS = (1052, 1054, 1056)
"""PDU addresses of the currents of phases A, B and C, in ampere."""

VOLTAGES = (1058, 1060, 1062)
"""PDU addresses of the voltages of phases A, B and C, in volts."""

BLOCK_START = 1000
BLOCK_SIZE = 128

VOLTAGE = 230.0
POWER_FACTOR = 0.93
RESISTANCE = 0.8
"""Of the supply, in ohm: by so much a phase's voltage sags with each ampere above its mean."""


@dataclass(frozen=True, slots=True)
class Load:
    """What hangs on one phase: a current that swings about its mean, and the voltage that is left.

    Attributes:
        mean: ampere.
        swing: amplitude in ampere; smaller than `mean`, as current is only delivered.
        period: seconds.
    """

    mean: float
    swing: float
    period: float

    def current(self, elapsed: float) -> float:
        """Ampere at `elapsed` seconds after the start."""
        return self.mean + self.swing * math.sin(2 * math.pi * elapsed / self.period)

    def voltage(self, elapsed: float) -> float:
        """Volt at `elapsed` seconds after the start."""
        return VOLTAGE - RESISTANCE * (self.current(elapsed) - self.mean)

    def volt_amperes(self, elapsed: float) -> float:
        """Volt times ampere at `elapsed` seconds after the start."""
        return self.voltage(elapsed) * self.current(elapsed)

    def volt_ampere_seconds(self, elapsed: float) -> float:
        """From the start to `elapsed` seconds: the integral of `volt_amperes`."""
        turn = 2 * math.pi / self.period
        sine = (1 - math.cos(turn * elapsed)) / turn  # the integral of the sine, and of its square
        square = elapsed / 2 - math.sin(2 * turn * elapsed) / (4 * turn)
        swung = (VOLTAGE - RESISTANCE * self.mean) * self.swing * sine
        return VOLTAGE * self.mean * elapsed + swung - RESISTANCE * self.swing**2 * square


LOADS = (Load(14.2, 2.5, 97.0), Load(11.8, 1.9, 61.0), Load(16.9, 3.1, 149.0))


class Measurements:
    """What the meter holds: its readings, measured once a second."""

    def __init__(self, started: float = 0.0, energy: float = 12345.678) -> None:
        """It had counted `energy` kWh at the time `started`."""
        self.functions: frozenset[int] = READS_REGISTERS
        self._started = started
        self._energy = energy
        self._measured: int | None = None  # the second since the start at which it filled the block
        self._block = bytearray(2 * BLOCK_SIZE)

    def readings(self, now: float) -> dict[int, float]:
        """What there is to measure, by PDU address."""
        elapsed = now - self._started
        watts = POWER_FACTOR * sum(load.volt_amperes(elapsed) for load in LOADS)
        watt_seconds = POWER_FACTOR * sum(load.volt_ampere_seconds(elapsed) for load in LOADS)
        return {
            ENERGY: self._energy + watt_seconds / 3.6e6,
            POWER: watts / 1000,
            FACTOR: 100 * POWER_FACTOR,
            FREQUENCY: 50 + 0.02 * math.sin(2 * math.pi * elapsed / 43.0),
            **{address: load.current(elapsed) for address, load in zip(CURRENTS, LOADS, strict=True)},
            **{address: load.voltage(elapsed) for address, load in zip(VOLTAGES, LOADS, strict=True)},
        }

    def steady_until(self, now: float) -> float:
        """The next second."""
        return self._started + int(now - self._started) + 1

    def reply(self, pdu: bytes, now: float) -> bytes:
        """The registers asked for."""
        request = ReadRegisters.parse(pdu)
        first = request.address - BLOCK_START
        if first < 0 or first + request.count > BLOCK_SIZE:
            return refusal(pdu[0], ExceptionCode.ILLEGAL_DATA_ADDRESS)
        self._measure(now)
        return Registers(request.function, bytes(self._block[2 * first : 2 * (first + request.count)])).encode()

    def _measure(self, now: float) -> None:
        second = int(now - self._started)
        if second != self._measured:
            self._measured = second
            for address, value in self.readings(self._started + second).items():
                struct.pack_into(">f", self._block, 2 * (address - BLOCK_START), value)


class Meter(Bus):
    """A bus with one meter on it."""

    def __init__(
        self,
        unit: int = 1,
        *,
        started: float = 0.0,
        energy: float = 12345.678,
        delay: float = 0.0,
        eager: bool = False,
        framing: Framing = Framing.RTU,
    ) -> None:
        """Settings of the meter.

        Args:
            unit: its unit id, 1 to 247.
            started: the time at which it had counted `energy`.
            energy: kWh delivered until then.
            delay: seconds that it thinks before an answer.
            eager: as for `Bus`.
            framing: as for `Bus`.
        """
        self._measurements = Measurements(started, energy)
        super().__init__({unit: self._measurements}, framing=framing, delay=delay, eager=eager)

    def readings(self, now: float) -> dict[int, float]:
        """What there is to measure, by PDU address."""
        return self._measurements.readings(now)

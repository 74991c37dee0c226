"""A three-phase electricity meter that speaks Modbus RTU, after the E-Mon D-Mon class 3400.

Its readings are big-endian IEEE 754 floats in two registers each, the high word first:

    manual   PDU address   reading
    41001    1000          energy delivered, kWh
    41053    1052          current of phase A, A
    41055    1054          current of phase B, A
    41057    1056          current of phase C, A

They lie in a block of 128 registers from 41001 on; the registers between them read as zero here. Holding and input
registers are the same. Everything outside the block is refused, and so is writing. It measures once a second, as
meters do.
"""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from nportpy.errors import ProtocolError
from nportpy.protocols.modbus.pdu import (
    MAX_READ_REGISTERS,
    READS_REGISTERS,
    ExceptionCode,
    ReadRegisters,
    Refusal,
    Registers,
)
from nportpy.protocols.modbus.rtu import MAX_FRAME, Frame
from nportpy.simulator.device import Answer

ENERGY = 1000
"""PDU address of the energy delivered, in kWh."""

CURRENTS = (1052, 1054, 1056)
"""PDU addresses of the currents of phases A, B and C, in ampere."""

BLOCK_START = 1000
BLOCK_SIZE = 128

VOLTAGE = 230.0
POWER_FACTOR = 0.93


@dataclass(frozen=True, slots=True)
class Load:
    """What hangs on one phase: a current that swings about its mean.

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

    def charge(self, elapsed: float) -> float:
        """Ampere seconds from the start to `elapsed` seconds: the integral of `current`."""
        phase = 2 * math.pi * elapsed / self.period
        return self.mean * elapsed + self.swing * self.period / (2 * math.pi) * (1 - math.cos(phase))


LOADS = (Load(14.2, 2.5, 97.0), Load(11.8, 1.9, 61.0), Load(16.9, 3.1, 149.0))


class Meter:
    """The meter. It answers what comes between two silences and is addressed to it, if the CRC is right."""

    def __init__(
        self, unit: int = 1, *, started: float = 0.0, energy: float = 12345.678, delay: float = 0.0, eager: bool = False
    ) -> None:
        """Settings of the meter.

        Args:
            unit: its unit id, 1 to 247.
            started: the time at which it had counted `energy`.
            energy: kWh delivered until then.
            delay: seconds that it thinks before an answer.
            eager: answer as soon as a request is whole, not only after the silence: for wires without time.
        """
        self._unit = unit
        self._started = started
        self._energy = energy
        self._delay = delay
        self._eager = eager
        self._heard = bytearray()
        self._measured: int | None = None  # the second since the start at which it filled the block
        self._block = bytearray(2 * BLOCK_SIZE)

    def feed(self, data: bytes, now: float) -> Sequence[Answer]:
        """Keep what might be a request; what is longer than any frame is kept just long enough to be refused."""
        self._heard += data[: MAX_FRAME + 1 - len(self._heard)]
        return self._judge(now) if self._eager else ()

    def silence(self, now: float) -> Sequence[Answer]:
        """Judge what was heard."""
        answers = self._judge(now)
        self._heard.clear()
        return answers

    def readings(self, now: float) -> dict[int, float]:
        """What there is to measure, by PDU address."""
        elapsed = now - self._started
        watt_seconds = VOLTAGE * POWER_FACTOR * sum(load.charge(elapsed) for load in LOADS)
        currents = (load.current(elapsed) for load in LOADS)
        return {ENERGY: self._energy + watt_seconds / 3.6e6, **dict(zip(CURRENTS, currents, strict=True))}

    def _judge(self, now: float) -> Sequence[Answer]:
        try:
            frame = Frame.parse(bytes(self._heard))
        except ProtocolError:
            return ()
        self._heard.clear()
        if frame.unit != self._unit:
            return ()
        return (Answer(Frame(self._unit, self._reply(frame.pdu, now).encode()).encode(), self._delay),)

    def _reply(self, pdu: bytes, now: float) -> Registers | Refusal:
        """The checks of MODBUS Application Protocol V1.1b3, 6.3, in its order."""
        if pdu[0] not in READS_REGISTERS:
            return Refusal(pdu[0], ExceptionCode.ILLEGAL_FUNCTION)
        try:
            request = ReadRegisters.parse(pdu)
        except ProtocolError:
            return Refusal(pdu[0], ExceptionCode.ILLEGAL_DATA_VALUE)
        if not 1 <= request.count <= MAX_READ_REGISTERS:
            return Refusal(pdu[0], ExceptionCode.ILLEGAL_DATA_VALUE)
        first = request.address - BLOCK_START
        if first < 0 or first + request.count > BLOCK_SIZE:
            return Refusal(pdu[0], ExceptionCode.ILLEGAL_DATA_ADDRESS)
        self._measure(now)
        return Registers(request.function, bytes(self._block[2 * first : 2 * (first + request.count)]))

    def _measure(self, now: float) -> None:
        second = int(now - self._started)
        if second != self._measured:
            self._measured = second
            for address, value in self.readings(self._started + second).items():
                struct.pack_into(">f", self._block, 2 * (address - BLOCK_START), value)

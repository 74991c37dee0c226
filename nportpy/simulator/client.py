"""What a client of the simulated meter does.

It has the means that other people's clients have: a TCP connection, or pyserial's RFC 2217 port.
"""

import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import serial

from nportpy.errors import ProtocolError
from nportpy.linesettings import LineSettings
from nportpy.protocols.modbus.pdu import FunctionCode, ReadRegisters, Registers, parse_answer
from nportpy.protocols.modbus.rtu import MIN_FRAME, Frame, silent_interval
from nportpy.simulator.meter import CURRENTS, ENERGY

UNIT = 1
_PATIENCE = 5.0  # seconds for each step
_SHORTEST_ANSWER = MIN_FRAME + 1  # an exception; a byte count or code is in every answer


@dataclass(frozen=True, slots=True)
class Reading:
    """What the meter said.

    Attributes:
        energy: delivered so far, in kWh.
        currents: of phases A, B and C, in ampere.
    """

    energy: float
    currents: tuple[float, ...]

    def __str__(self) -> str:
        currents = ", ".join(f"{current:.2f} A" for current in self.currents)
        return f"energy delivered {self.energy:.3f} kWh, currents {currents}"


def read_raw(host: str, port: int, settings: LineSettings, timeout: float = _PATIENCE) -> Reading:
    """Read the meter over a raw TCP connection. Blocks.

    Args:
        host: where the gateway is.
        port: the raw service's.
        settings: of the line, for the silence between frames.
        timeout: seconds that each step may take.

    Raises:
        OSError: no connection, or no answer in time.
        ProtocolError: the answer is wrong, or an exception.
    """
    with socket.create_connection((host, port), timeout) as connection:

        def receive(size: int) -> bytes:
            data = b""
            while len(data) < size:
                try:
                    piece = connection.recv(size - len(data))
                except TimeoutError:
                    reason = f"{host}:{port}: {len(data)} of {size} bytes in {timeout:g} s"
                    raise TimeoutError(reason) from None
                if not piece:
                    raise ConnectionError(f"{host}:{port}: closed after {len(data)} of {size} bytes")
                data += piece
            return data

        return _read(connection.sendall, receive, silent_interval(settings))


def read_rfc2217(host: str, port: int, settings: LineSettings, timeout: float = _PATIENCE) -> Reading:
    """Read the meter over pyserial's RFC 2217 client, which sets the line to `settings`. Blocks.

    Raises:
        OSError: no connection, settings refused, or no answer in time.
        ProtocolError: the answer is wrong, or an exception.
    """
    with serial.serial_for_url(
        f"rfc2217://{host}:{port}",
        baudrate=settings.baudrate,
        bytesize=settings.data_bits,
        parity=str(settings.parity),
        stopbits=float(settings.stop_bits),
        timeout=timeout,
    ) as line:

        def receive(size: int) -> bytes:
            data: bytes = line.read(size)
            if len(data) < size:
                raise TimeoutError(f"rfc2217://{host}:{port}: {len(data)} of {size} bytes in {timeout:g} s")
            return data

        return _read(line.write, receive, silent_interval(settings))


def _read(send: Callable[[bytes], Any], receive: Callable[[int], bytes], silence: float) -> Reading:
    (energy,) = _floats(send, receive, ENERGY, 1)
    time.sleep(silence)
    return Reading(energy, _floats(send, receive, CURRENTS[0], len(CURRENTS)))


def _floats(
    send: Callable[[bytes], Any], receive: Callable[[int], bytes], address: int, count: int
) -> tuple[float, ...]:
    request = ReadRegisters(FunctionCode.READ_HOLDING_REGISTERS, address, 2 * count)
    send(Frame(UNIT, request.encode()).encode())
    wire = receive(_SHORTEST_ANSWER)
    if wire[1] == request.function:
        wire += receive(4 * count)
    frame = Frame.parse(wire)
    answer = parse_answer(request, frame.pdu)
    if frame.unit != UNIT or not isinstance(answer, Registers):
        raise ProtocolError(f"the meter refuses: {wire.hex(' ')}")
    return struct.unpack(f">{count}f", answer.data)

"""The far end of a line, as a process of its own: it makes a pseudo-terminal and plays the device behind it.

    farend.py echo                           give back every byte, one read and one write at a time
    farend.py source SEED SIZE BLOCK         after each line on stdin: send SIZE bytes as fast as they go
    farend.py paced SEED SIZE CHUNK PERIOD   after a line on stdin: send CHUNK bytes every PERIOD seconds and take
                                             what comes; then report how many bytes came and their CRC-32
    dial echo | dial source SEED SIZE BLOCK  the same behind a modem: after a line on stdin call number 1 first
    modbus                                   answer Modbus RTU requests to read holding registers, at once: register
                                             A of unit U holds 256 U + A modulo 65536, and there are `REGISTERS`

The first line on stdout is the path that the gateway opens. Without site packages it starts in some 20 ms.
"""

import os
import random
import struct
import sys
import time
import tty
import zlib
from contextlib import suppress

# How long a paced end waits for bytes after the last one came.
PATIENCE = 10.0
# Registers of each unit; beyond them it answers with exception 02.
REGISTERS = 10_000


def payload(seed: int, size: int) -> bytes:
    """Bytes that both ends can make: a line that loses, doubles or mixes up some cannot hide it."""
    block = random.Random(seed).randbytes(min(size, 1 << 20))
    return (block * (size // len(block) + 1))[:size]


def _open() -> int:
    """Make the pseudo-terminal and name it; the other end stays open here, so that no hang-up comes between."""
    master, slave = os.openpty()
    tty.setraw(slave)
    print(os.ttyname(slave), flush=True)
    return master


def _dial() -> int:
    """A line to a modem, with a call; one byte at a time, since what follows CONNECT is data."""
    line = _open()
    sys.stdin.readline()
    os.write(line, b"ATD1\r")
    heard = b""
    while b"CONNECT" not in heard or not heard.endswith(b"\n"):
        heard += os.read(line, 1)
    return line


def _echo(line: int) -> None:
    while True:
        data = os.read(line, 65536)
        done = os.write(line, data)
        while done < len(data):
            done += os.write(line, data[done:])


def _source(line: int, seed: int, size: int, block: int) -> None:
    data = memoryview(payload(seed, size))
    while sys.stdin.readline():
        sent = 0
        while sent < size:
            sent += os.write(line, data[sent : sent + block])


def _paced(seed: int, size: int, chunk: int, period: float) -> None:
    """Both directions at the speed of a real line; reading at the same ticks leaves the processor to the gateway."""
    data = payload(seed, size)
    line = _open()
    os.set_blocking(line, False)
    sys.stdin.readline()
    sent = received = crc = 0
    due = heard = time.monotonic()
    while (sent < size or received < size) and time.monotonic() < max(due, heard + PATIENCE):
        # What cannot be done now waits for the next tick.
        with suppress(BlockingIOError):
            got = os.read(line, 65536)
            received += len(got)
            crc = zlib.crc32(got, crc)
            heard = time.monotonic()
        if sent < size:
            with suppress(BlockingIOError):
                sent += os.write(line, data[sent : sent + chunk])
            due += period
            time.sleep(max(0.0, due - time.monotonic()))
        else:
            time.sleep(period)
    print(received, crc, flush=True)
    sys.stdin.readline()


def register(unit: int, address: int) -> bytes:
    """What a register holds: whose it is."""
    return (256 * unit + address & 0xFFFF).to_bytes(2, "big")


def reading(unit: int, address: int, quantity: int) -> bytes:
    """The PDU that answers a read of holding registers (V1.1b3, 6.3)."""
    if address + quantity > REGISTERS:
        return b"\x83\x02"
    return bytes((3, 2 * quantity)) + b"".join(register(unit, address + i) for i in range(quantity))


def framed(unit: int, pdu: bytes) -> bytes:
    """A whole RTU frame."""
    return bytes((unit,)) + pdu + _crc(bytes((unit,)) + pdu)


def _crc(data: bytes) -> bytes:
    """CRC-16 of Modbus, low byte first (MODBUS over Serial Line V1.02, 6.2.2)."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc.to_bytes(2, "little")


def _modbus() -> None:
    """Every answer is reckoned once: whoever measures asks the same again."""
    line = _open()
    answers: dict[bytes, bytes] = {}
    heard = b""
    while True:
        heard = heard + os.read(line, 4096) if heard else os.read(line, 4096)
        answer = answers.get(heard)
        if answer is None:
            if len(heard) < 8:
                continue
            if heard[1] != 3 or heard[6:] != _crc(heard[:6]):
                sys.exit(f"heard no request to read: {heard.hex()}")
            pdu = reading(heard[0], *struct.unpack(">HH", heard[2:6]))
            answer = answers[heard] = framed(heard[0], pdu)
        heard = b""
        os.write(line, answer)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["echo"]:
            _echo(_open())
        case ["source", seed, size, block]:
            _source(_open(), int(seed), int(size), int(block))
        case ["dial", "echo"]:
            _echo(_dial())
        case ["dial", "source", seed, size, block]:
            _source(_dial(), int(seed), int(size), int(block))
        case ["paced", seed, size, chunk, period]:
            _paced(int(seed), int(size), int(chunk), float(period))
        case ["modbus"]:
            _modbus()
        case _:
            sys.exit(__doc__)

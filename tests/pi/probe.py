"""Asks a serial driver in the guest, beside whatever has the device open: this file is copied there.

usage: probe.py DEVICE                     what it is set to and what it has counted
       probe.py DEVICE rs485 FLAGS BEFORE AFTER   switch its RS-485 mode (linux/serial.h, struct serial_rs485)
       probe.py DEVICE modem LINE... -LINE...     raise and drop lines: loop (the chip's own loopback), out1, out2
       probe.py DEVICE hold                keep it open until killed

Prints JSON. Nothing of nportpy is used: this is the second opinion. What a driver does not know is null.
"""

import array
import fcntl
import json
import os
import signal
import struct
import sys
import termios
from collections.abc import Callable
from typing import Any

TCGETS2 = 0x802C542A
TIOCGRS485 = 0x542E
TIOCSRS485 = 0x542F
TIOCGICOUNT = 0x545D
CMSPAR = 0o10000000000
ASYNC_LOW_LATENCY = 0x2000
MODEM = {
    "dtr": 0x002,
    "rts": 0x004,
    "cts": 0x020,
    "cd": 0x040,
    "ri": 0x080,
    "dsr": 0x100,
    "out1": 0x2000,
    "out2": 0x4000,
    "loop": 0x8000,
}
SIZES = {termios.CS5: 5, termios.CS6: 6, termios.CS7: 7, termios.CS8: 8}


def line(fd: int) -> dict[str, Any]:
    """Speed, format and flow control."""
    buffer = bytearray(44)
    fcntl.ioctl(fd, TCGETS2, buffer)
    iflag, _, cflag, *_, speed = struct.unpack("=4I20s2I", buffer)
    parity = "N"
    if cflag & termios.PARENB:
        odd = bool(cflag & termios.PARODD)
        parity = "SM"[odd] if cflag & CMSPAR else "EO"[odd]
    return {
        "baudrate": speed,
        "format": f"{SIZES[cflag & termios.CSIZE]}{parity}{2 if cflag & termios.CSTOPB else 1}",
        "rtscts": bool(cflag & termios.CRTSCTS),
        "xon": bool(iflag & termios.IXON),
    }


def modem(fd: int) -> list[str]:
    """The modem lines that are up."""
    buffer = bytearray(4)
    fcntl.ioctl(fd, termios.TIOCMGET, buffer)
    bits = int.from_bytes(buffer, "little")
    return [name for name, bit in MODEM.items() if bits & bit]


def rs485(fd: int) -> list[int]:
    """Flags, delay before and delay after."""
    buffer = bytearray(32)
    fcntl.ioctl(fd, TIOCGRS485, buffer)
    return list(struct.unpack("=8I", buffer)[:3])


def counts(fd: int) -> dict[str, int]:
    """What the driver has counted since it was loaded."""
    numbers = array.array("I", bytes(80))
    fcntl.ioctl(fd, TIOCGICOUNT, numbers)
    names = ("cts", "dsr", "ri", "cd", "received", "sent", "frame", "overrun", "parity", "break", "buffer_overrun")
    return dict(zip(names, numbers, strict=False))


def low_latency(fd: int) -> bool:
    """Whether the driver hands received bytes over at once."""
    numbers = array.array("i", bytes(128))
    fcntl.ioctl(fd, termios.TIOCGSERIAL, numbers)
    return bool(numbers[4] & ASYNC_LOW_LATENCY)


def asked(fd: int, question: Callable[[int], Any]) -> Any:
    """The answer, or None where the driver has none."""
    try:
        return question(fd)
    except OSError:
        return None


def move(fd: int, names: list[str]) -> None:
    """Raise modem lines, and drop those with a minus before them."""
    for name in names:
        request = termios.TIOCMBIC if name.startswith("-") else termios.TIOCMBIS
        fcntl.ioctl(fd, request, MODEM[name.lstrip("-")].to_bytes(4, "little"))


def main(device: str, verb: str = "", *words: str) -> None:
    """Do what the top of this file says."""
    fd = os.open(device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    if verb == "hold":
        print("held", flush=True)
        signal.pause()
    elif verb == "rs485":
        fcntl.ioctl(fd, TIOCSRS485, struct.pack("=8I", *map(int, words), 0, 0, 0, 0, 0))
    elif verb == "modem":
        move(fd, list(words))
    questions = (line, modem, rs485, counts, low_latency)
    print(json.dumps({question.__name__: asked(fd, question) for question in questions}))


if __name__ == "__main__":
    main(*sys.argv[1:])

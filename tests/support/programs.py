"""What a program does with a serial device: the other side of a virtual COM port."""

import asyncio
import contextlib
import os
import termios

from tests.support.serving import until


def set_speed(fd: int, speed: int, **more: int) -> None:
    """Set it as programs do; `iflag` and `cflag` are added, `lflag` replaces."""
    settings = termios.tcgetattr(fd)
    settings[4] = settings[5] = speed
    settings[0] |= more.get("iflag", 0)
    settings[2] |= more.get("cflag", 0)
    settings[3] = more.get("lflag", settings[3])
    termios.tcsetattr(fd, termios.TCSANOW, settings)


async def write(fd: int, data: bytes) -> None:
    """All of it, at the pace at which the other side reads."""
    while data:
        with contextlib.suppress(BlockingIOError):
            data = data[os.write(fd, data[:4096]) :]
        await asyncio.sleep(0.001)


async def read(fd: int, size: int, within: float = 10.0) -> bytes:
    """So many bytes at least, as they come."""
    got = bytearray()

    def more() -> bool:
        with contextlib.suppress(BlockingIOError):
            got.extend(os.read(fd, 65536))
        return len(got) >= size

    await until(more, within)
    return bytes(got)

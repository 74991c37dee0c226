"""Slaves built on libmodbus (through 3.1.x), as far as a master meets what is particular about them.

One frame for another unit lets such a slave take the next frame for that unit's answer, which it passes over, unless
half a second (its response timeout) goes by first.
"""

import asyncio

from tests.support.bus import reply

IGNORES_FOR = 0.5


class LibmodbusSlave:
    """What `tests.support.bus.Units` asks for answers: one slave, with all registers there are.

    Attributes:
        ignored: frames for it that it passed over.
    """

    def __init__(self, unit: int = 1, delay: float = 0.005, *, echo: bool = False) -> None:
        self.unit = unit
        self.delay = delay
        self.echo = echo
        self.ignored: list[bytes] = []
        self._ignores_until = 0.0

    def __call__(self, frame: bytes) -> list[tuple[float, bytes]]:
        now = asyncio.get_running_loop().time()
        echo = [(0.0, frame)] * self.echo
        if now < self._ignores_until:
            self._ignores_until = 0.0
            if frame[0] == self.unit:
                self.ignored.append(frame)
        elif frame[0] == self.unit:
            return [*echo, (self.delay, reply(frame))]
        elif frame[0]:
            self._ignores_until = now + IGNORES_FOR
        return echo

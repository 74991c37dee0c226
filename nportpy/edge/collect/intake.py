"""What has come and is not stored yet: bounded, since the brokers keep the rest."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

from nportpy.edge.collect.arrivals import Arrival

MAX_BYTES: Final = 16 << 20
MAX_ARRIVALS: Final = 4096
"""What may wait, of either."""

_AT_ONCE_BYTES: Final = 256 << 10
_AT_ONCE: Final = 512
"""What one commit takes: some 8000 samples."""


class Intake:
    """Arrivals in their order."""

    def __init__(self) -> None:
        """Empty."""
        self._waiting: deque[Arrival] = deque()
        self._bytes = 0
        self._came = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """Nothing more should come for now."""
        return self._bytes >= MAX_BYTES or len(self._waiting) >= MAX_ARRIVALS

    @property
    def flooded(self) -> bool:
        """Far more has come than should: somebody does not wait for `room`."""
        return self._bytes >= 2 * MAX_BYTES or len(self._waiting) >= 2 * MAX_ARRIVALS

    async def room(self) -> None:
        """Wait until something may come."""
        await self._room.wait()

    def put(self, arrival: Arrival) -> None:
        """Take one. Whoever cannot wait for `room` has to see to `flooded`."""
        self._waiting.append(arrival)
        self._bytes += len(arrival.payload)
        self._came.set()
        if self.full:
            self._room.clear()

    async def take(self, linger: float) -> Sequence[Arrival]:
        """What is to be stored next: as much as one commit takes, or what has come within `linger` seconds."""
        await self._came.wait()
        if self._bytes < _AT_ONCE_BYTES and len(self._waiting) < _AT_ONCE:
            await asyncio.sleep(linger)
        taken: list[Arrival] = []
        size = 0
        while self._waiting and len(taken) < _AT_ONCE and size < _AT_ONCE_BYTES:
            taken.append(self._waiting.popleft())
            size += len(taken[-1].payload)
        self._bytes -= size
        if not self._waiting:
            self._came.clear()
        if not self.full:
            self._room.set()
        return taken

    def rest(self) -> Sequence[Arrival]:
        """Everything that waits; nothing does afterwards."""
        taken = list(self._waiting)
        self._waiting.clear()
        self._bytes = 0
        self._came.clear()
        self._room.set()
        return taken

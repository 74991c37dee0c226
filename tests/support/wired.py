"""A simulated wire, with its time, as whoever holds a line sees it: `Leased` in front of any simulated device."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nportpy.errors import LeaseEnded, LineDown, LineError
from nportpy.linesettings import LineSettings
from nportpy.simulator.wire import PacedWire


class WiredLine:
    """A line with a lease; one holder after another has the same wire.

    Attributes:
        settings: the UART's.
        sent_frames: what was written, piece by piece.
        secrets: of those, what was said to be secret.
        ways_given: how often a holder gave way.
        wire_time: seconds that characters of both directions took.
    """

    def __init__(self, device: object, settings: LineSettings | None = None, *, echo: bool = False) -> None:
        self.settings = settings or LineSettings(9600)
        self.home = self.settings
        self.sent_frames: list[bytes] = []
        self.secrets: list[bytes] = []
        self.ways_given = 0
        self.wire_time = 0.0
        self.leases = 0
        self.error: LineError | None = None
        self._wire = PacedWire(device, self.settings, watched=False, local_echo=echo)  # type: ignore[arg-type]
        self._waits = bytearray()
        self._came = bytearray()
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def lease(self) -> AsyncIterator["WiredLine"]:
        """See `Line.lease`."""
        if self.error is not None:
            raise self.error
        async with self._turn:
            self.leases += 1
            try:
                yield self
            finally:
                self.settings = self.home
                self._wire.configure(self.home, self._now())

    def lose(self) -> None:
        """The device is gone."""
        self.error = LineDown("cable: unplugged")

    def run_out(self) -> None:
        """The time of the lease is over."""
        self.error = LeaseEnded("cable: the lease is over")

    # What a holder sees.

    async def configure(self, wish: LineSettings) -> None:
        await self.sent()
        self.settings = wish
        self._wire.configure(wish, self._now())

    def write(self, data: bytes, *, secret: bool = False) -> None:
        self._check()
        self.sent_frames.append(data)
        if secret:
            self.secrets.append(data)
        self._waits += data
        self.wire_time += len(data) * self.settings.character_time
        self._push()

    async def sent(self) -> None:
        while self._waits or self._wire._out_end > self._now():
            await self._step(self._now() + 1.0)

    async def read(self, within: float) -> bytes:
        end = self._now() + within
        while not self._came and self._now() < end:
            await self._step(end)
        data = bytes(self._came)
        self._came.clear()
        return data

    def discard(self) -> None:
        self._came += self._wire.receive(self._now())
        self._came.clear()

    async def give_way(self) -> None:
        self._check()
        self.ways_given += 1

    def _check(self) -> None:
        if self.error is not None:
            raise self.error

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _push(self) -> None:
        while self._waits and (room := self._wire.room(self._now())):
            self._wire.send(bytes(self._waits[:room]), self._now())
            del self._waits[:room]

    async def _step(self, until: float) -> None:
        self._check()
        times = [until, *(each for each in (self._wire.deadline(),) if each is not None)]
        if self._wire._out_end > self._now():
            times.append(self._wire._out_end)
        await asyncio.sleep(max(0.0, min(times) - self._now()))
        came = self._wire.receive(self._now())
        self._push()
        self.wire_time += len(came) * self.settings.character_time
        self._came += came

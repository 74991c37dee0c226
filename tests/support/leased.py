"""A `Leased` in memory, for those who talk to a device through one: the far end is a script, time is virtual."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from nportpy.errors import LeaseEnded, LeaseRefused, LineDown, LineError, LineUnsupported
from nportpy.linesettings import LineSettings

Answers = Iterable[tuple[float, bytes]]
FarEnd = Callable[[bytes, LineSettings], Answers]
"""What the far end says to each write that has arrived, at the settings at which it was sent: seconds of thought after
the one before has left, and bytes. It may be a generator, and is told each write whole."""


class HeldLine:
    """The wire of a held line. Every character takes its time, both ways, and there is no other traffic.

    Attributes:
        written: what was written, when, and at which settings.
        configured: settings, as they were asked for.
        ways_given: how often the holder gave way.
        refused_baudrates: speeds that the driver does not take.
        in_the_way: seconds that others need at each `give_way`.
    """

    def __init__(self, far: FarEnd, settings: LineSettings | None = None, *, echo: bool = False) -> None:
        """`far` answers; with `echo` what is sent is heard as well, as through an optical head."""
        self.written: list[tuple[float, LineSettings, bytes]] = []
        self.configured: list[LineSettings] = []
        self.ways_given = 0
        self.refused_baudrates: set[int] = set()
        self.in_the_way = 0.0
        self._far = far
        self._settings = settings or LineSettings()
        self._echo = echo
        self._busy_until = 0.0
        self._heard = bytearray()
        self._came = asyncio.Event()
        self._error: LineError | None = None

    # What a holder sees: see `Leased`.

    @property
    def settings(self) -> LineSettings:
        return self._settings

    async def configure(self, wish: LineSettings) -> None:
        await self.sent()
        if wish.baudrate in self.refused_baudrates:
            raise LineUnsupported(f"the driver refused {wish}")
        if wish != self._settings:
            self.configured.append(wish)
            self._settings = wish

    def write(self, data: bytes, *, secret: bool = False) -> None:
        self._check()
        loop = asyncio.get_running_loop()
        self.written.append((loop.time(), self._settings, data))
        begins = max(self._busy_until, loop.time())
        self._busy_until = begins + len(data) * self._settings.character_time
        if self._echo:
            self._say(begins, data)
        loop.call_at(self._busy_until, self._arrived, data, self._settings)

    async def sent(self) -> None:
        self._check()
        await asyncio.sleep(max(self._busy_until - asyncio.get_running_loop().time(), 0.0))
        self._check()

    async def read(self, within: float) -> bytes:
        self._check()
        if not self._heard:
            self._came.clear()
            try:
                async with asyncio.timeout(within):
                    await self._came.wait()
            except TimeoutError:
                return b""
            self._check()
        data = bytes(self._heard)
        self._heard.clear()
        return data

    def discard(self) -> None:
        self._heard.clear()

    async def give_way(self) -> None:
        self._check()
        self.ways_given += 1
        await asyncio.sleep(self.in_the_way)
        self._check()

    # What a test does.

    def say(self, data: bytes, after: float = 0.0) -> None:
        """The device speaks of its own accord."""
        self._say(asyncio.get_running_loop().time() + after, data)

    def lose(self) -> None:
        """The device is gone."""
        self._end(LineDown("cable: unplugged"))

    def run_out(self) -> None:
        """The time of the lease is over."""
        self._end(LeaseEnded("cable: the lease is over"))

    @property
    def sent_bytes(self) -> bytes:
        """All that was written."""
        return b"".join(data for _, _, data in self.written)

    def _arrived(self, data: bytes, settings: LineSettings) -> None:
        at = asyncio.get_running_loop().time()
        for delay, answer in self._far(data, settings):
            at = self._say(at + delay, answer)

    def _say(self, at: float, data: bytes) -> float:
        """Heard byte by byte, each at the end of its time; when the last one was."""
        loop, time = asyncio.get_running_loop(), self._settings.character_time
        for index in range(len(data)):
            loop.call_at(at + (index + 1) * time, self._hear, data[index : index + 1])
        return at + len(data) * time

    def _hear(self, data: bytes) -> None:
        self._heard += data
        self._came.set()

    def _end(self, error: LineError) -> None:
        self._error = self._error or error
        self._came.set()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error


class LineToLease:
    """What has a `lease`, as a `Line`: it gives the same `HeldLine` to one holder after another.

    Attributes:
        wire: that.
        up: whether the device is there.
        leases: who held it, and for how long at most; those who were refused are not among them.
        refuses: refuse the next ones, for this reason; empty: do not.
        held: whether somebody holds it.
    """

    def __init__(self, wire: HeldLine, name: str = "cable") -> None:
        """Nobody holds it."""
        self.name = name
        self.wire = wire
        self.up = True
        self.leases: list[tuple[str, float]] = []
        self.refuses = ""
        self.held = False
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def lease(
        self, holder: str, settings: LineSettings | None = None, *, limit: float, patience: float = 60.0
    ) -> AsyncIterator[HeldLine]:
        """See `Line.lease`."""
        if not self.up:
            raise LineDown(f"{self.name} is not there")
        if self.refuses:
            raise LeaseRefused(f"{self.name}: {self.refuses}")
        try:
            async with asyncio.timeout(patience):
                await self._turn.acquire()
        except TimeoutError:
            raise LeaseRefused(f"{self.name}: another lease holds it") from None
        before = self.wire.settings
        ends = asyncio.get_running_loop().call_later(limit, self.wire.run_out)
        self.leases.append((holder, limit))
        self.held = True
        try:
            if settings is not None:
                await self.wire.configure(settings)
            self.wire.discard()
            yield self.wire
        finally:
            ends.cancel()
            self.held = False
            self.wire._settings = before
            self._turn.release()

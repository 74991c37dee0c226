"""Messages over a leased line: characters with parity, the echo of optical heads, reaction times.

Sent bytes that come back are skipped, exactly and no more: what begins like them and goes on otherwise was the meter's.
"""

import asyncio
from collections import deque
from typing import Final

from nportpy.errors import LineUnsupported
from nportpy.line.lease_base import Leased
from nportpy.linesettings import LineSettings, Parity
from nportpy.meters.iec62056.settings import Iec62056Settings
from nportpy.protocols.iec62056.characters import with_parity, without_parity
from nportpy.protocols.iec62056.reader import Event, Reader, State

RUBBISH: Final = 32
"""Bytes that belong to nothing, after which a line is taken to be at a wrong speed."""

_REACTION: Final = 0.2  # seconds, of a meter that has not said better


class Echo:
    """Skips what was sent where it comes back."""

    def __init__(self) -> None:
        """Nothing was sent."""
        self._sent = b""
        self._matched = b""  # as it came

    def expect(self, sent: bytes) -> None:
        """These may come back."""
        self._sent, self._matched = without_parity(sent), b""

    def take(self, data: bytes) -> bytes:
        """What of `data` is no echo."""
        left = self._sent[len(self._matched) :]
        seen = without_parity(data)
        count = next((at for at, pair in enumerate(zip(seen, left, strict=False)) if pair[0] != pair[1]), None)
        if count is None:
            count = min(len(seen), len(left))
            self._matched += data[:count]
            if count == len(left):
                self._sent = self._matched = b""
            return data[count:]
        return self.silence() + data

    def silence(self) -> bytes:
        """Nothing more comes: what began like an echo was none."""
        matched, self._sent, self._matched = self._matched, b"", b""
        return matched


class Link:
    """One meter on a leased line.

    Attributes:
        leased: the line.
        reader: understands what comes.
        reaction: seconds that the meter needs before it hears the next message.
    """

    def __init__(self, leased: Leased, settings: Iec62056Settings) -> None:
        """Nothing was said yet."""
        self.leased = leased
        self.reaction = settings.reaction or _REACTION
        self._software = settings.software_parity
        self.reader = Reader(parity=self._software)
        self._echo = Echo()
        self._events: deque[Event] = deque()
        self._heard = 0.0  # when the last byte came
        self._dropped = 0  # by the reader, before what is waited for

    async def configure(self, baudrate: int, *, bare: bool = False) -> None:
        """Go to a speed, once what was sent has left; where the port has no parity, it is computed here.

        Args:
            baudrate: the speed.
            bare: a readout without STX may follow (mode B of old meters).

        Raises:
            LineUnsupported: the port does not have the speed.
            LineDown: it is gone.
        """
        if not self._software:
            try:
                await self.leased.configure(LineSettings(baudrate, 7, Parity.EVEN))
            except LineUnsupported:
                self._software = True
        if self._software:
            await self.leased.configure(LineSettings(baudrate))
        self.forget(bare=bare)

    def forget(self, *, bare: bool = False) -> None:
        """What has come so far counts no more."""
        self.leased.discard()
        self._events.clear()
        self.reader = Reader(parity=self._software, bare=bare)
        self._dropped = 0

    async def send(self, message: bytes, *, secret: bool = False) -> None:
        """Send a message after the reaction time, and wait until it has left.

        Args:
            message: 7-bit characters.
            secret: there is a password in it: no trace shows it.

        Raises:
            LineDown: the port is gone.
        """
        wait = self._heard + self.reaction - asyncio.get_running_loop().time()
        if wait > 0:
            await asyncio.sleep(wait)
        self._events.clear()
        self.leased.discard()
        wire = with_parity(message) if self._software else message
        self._echo.expect(wire)
        self._dropped = self.reader.dropped
        await self.write(wire, secret=secret)

    async def write(self, wire: bytes, *, secret: bool = False) -> None:
        """Write characters as they are, and wait until they have left.

        A UART says when that is. A pseudo-terminal, some adapters and all that is behind a network say so at once:
        they are believed no sooner than the wire needs, as the next step may be another speed.

        Raises:
            LineDown: the port is gone.
        """
        loop = asyncio.get_running_loop()
        leaves = loop.time() + len(wire) * self.leased.settings.character_time
        self.leased.write(wire, secret=secret)
        await self.leased.sent()
        if (early := leaves - loop.time()) > 0:
            await asyncio.sleep(early)

    async def event(self, within: float) -> Event | None:
        """The next that the meter says; None: nothing for `within` seconds, or nothing but rubbish.

        Raises:
            LineDown: the port is gone.
        """
        while not self._events:
            data = await self.leased.read(within)
            if not data:
                self._events += self.reader.feed(self._echo.silence())
                self._events += self.reader.silence()
                if not self._events:
                    return None
                break
            self._heard = asyncio.get_running_loop().time()
            self._events += self.reader.feed(self._echo.take(data))
            if not self._events and self.rubbish >= RUBBISH and self.reader.state is State.SEEKING:
                return None
        return self._events.popleft()

    @property
    def rubbish(self) -> int:
        """Bytes that belonged to nothing, since the last message of ours or change of speed."""
        return self.reader.dropped - self._dropped

    def overlook_rubbish(self) -> None:
        """What has come so far is no sign of a wrong speed."""
        self._dropped = self.reader.dropped

    async def text(self, within: float) -> bytes:
        """What comes now, without a meaning, parity removed; empty: nothing did.

        Raises:
            LineDown: the port is gone.
        """
        data = await self.leased.read(within)
        if data:
            self._heard = asyncio.get_running_loop().time()
        return without_parity(data)

    async def pause(self, seconds: float) -> None:
        """Between two sessions: let others have the line.

        Raises:
            LineDown: the port is gone.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while (left := end - loop.time()) > 0:
            await asyncio.sleep(min(left, 0.1))
            await self.leased.give_way()

"""HDLC on a leased line: when to write, how long to wait, and which form of address and SNRM a meter takes.

The line is held for one call of the client; the connection lives on between the calls. Before each frame of ours the
lease gives way to others that wait: a meter speaks only when it is polled, so nothing of it is lost.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

from nportpy.errors import MisuseError
from nportpy.line.lease_base import Leased
from nportpy.linesettings import LineSettings
from nportpy.meters.dlms import opening
from nportpy.meters.dlms.errors import AnswerTooLong, AssociationRefused, ConnectionLost, MeterSilent
from nportpy.meters.dlms.settings import DlmsSettings, Opening
from nportpy.protocols.dlms.hdlc import Address, Parameters
from nportpy.protocols.dlms.link import Busy, Connected, Disconnected, Event, Link, Loss, Lost, Received

BUSY: Final = 0.1
"""Seconds after which a busy meter is asked again."""

MAX_RUBBISH: Final = 8192
"""Bytes that belong to no frame, after which a line is given up: nobody speaks HDLC there, at this speed and parity."""

_DISCONNECT: Final = 1.0  # seconds for the answer to DISC, which many meters do not give
_KEPT: Final = 0.9  # of its inactivity time, within which a meter is sure to remember


class HdlcChannel:
    """See `Channel`."""

    def __init__(
        self, lease: Callable[[], AbstractAsyncContextManager[Leased]], settings: DlmsSettings, name: str
    ) -> None:
        """Nothing is open. `name` is for messages."""
        self._lease = lease
        self._settings = settings
        self._server = Address(settings.upper, settings.lower)
        self.whom = f"{name or 'meter'} (server {self._server}, client {settings.client})"
        self._leased_now: Leased | None = None
        self._width = settings.width  # 0: not known yet
        self._bare = False  # the meter takes SNRM without parameters only
        self._link = self._made(4)
        self._line: LineSettings | None = None  # that mode E led to
        self._connected = False
        self._used = self._heard = 0.0  # when the meter was asked, and heard, last
        self._refusal: Lost | None = None  # what was said to SNRM other than UA

    @property
    def connected(self) -> bool:
        """See `Channel`."""
        inactivity = self._settings.inactivity
        quiet = asyncio.get_running_loop().time() - self._used
        return self._connected and (not inactivity or quiet < _KEPT * inactivity)

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """See `Channel`."""
        async with self._lease() as leased:
            self._leased_now = leased
            try:
                if self._connected and self._line is not None:
                    await leased.configure(self._line)
                yield
            finally:
                self._leased_now = None

    async def connect(self) -> None:
        """See `Channel`.

        DISC goes first, as a meter that a crash left in a connection may ignore another one, and its answer tells the
        width of the address. Then comes SNRM, `tries` times in each width that is possible; every second time without
        parameters, where there are any. What is tried once only (a scan) does without DISC, and so does a meter that
        has just been signed on to: after DISC some wait for the next sign-on.
        """
        self._connected = False
        self._refusal = None
        opened = self._settings.opening is Opening.MODE_E
        if opened:
            # A meter that was left in HDLC does not hear a sign-on.
            if self._line is not None:
                await self._leased.configure(self._line)
                if await self._attempts(1, farewell=True):
                    return
            self._line = await opening.sign_on(self._leased, self._settings)
        if not await self._attempts(self._settings.tries, farewell=self._settings.tries > 1 and not opened):
            raise self._failure()

    async def exchange(self, apdu: bytes, within: float, *, secret: bool = False) -> bytes:
        """See `Channel`."""
        self._leased.discard()
        self._link.request(apdu)
        return await self._answer(within, secret=secret)

    async def another(self, within: float) -> bytes:
        """See `Channel`."""
        self._link.await_another()
        return await self._answer(within)

    def abandon(self) -> None:
        """See `Channel`."""
        self._connected = False

    async def disconnect(self) -> None:
        """See `Channel`."""
        self.abandon()
        self._link.disconnect()
        await self._run(min(self._settings.response, _DISCONNECT))

    @property
    def _leased(self) -> Leased:
        if self._leased_now is None:
            raise MisuseError("the line is not held")
        return self._leased_now

    def _made(self, width: int) -> Link:
        settings = self._settings
        return Link(settings.client, self._server, width, tries=settings.tries, max_size=settings.max_size)

    async def _attempts(self, rounds: int, *, farewell: bool) -> bool:
        """Whether there is a connection after so many rounds through what is possible; DISC first, with `farewell`."""
        settings = self._settings
        ours = Parameters(settings.information, settings.information, settings.window, settings.window)
        proposed = None if ours == Parameters() else ours
        known = self._width
        for number in range(rounds):
            for width in (self._width,) if self._width else self._widths():
                self._link = self._made(width)
                if farewell and not number:
                    self._link.disconnect()
                    if isinstance(await self._run(min(settings.response, _DISCONNECT)), Disconnected):
                        self._width = width
                bare = self._bare or number % 2 == 1
                self._link.connect(None if bare else proposed)
                event = await self._run(settings.response)
                if isinstance(event, Connected):
                    self._connected, self._width, self._bare = True, width, bare and proposed is not None
                    return True
                if isinstance(event, Lost) and event.loss is not Loss.SILENCE:
                    self._width, self._refusal = width, event
                if self._width:
                    break
        # What worked once may have been changed; next time everything is tried again.
        if known or self._refusal is None:
            self._width, self._bare = settings.width, False
        return False

    def _widths(self) -> tuple[int, ...]:
        if max(self._server) > 127:
            return (4,)
        return (2, 4) if self._server.lower else (2, 4, 1)

    async def _answer(self, within: float, *, secret: bool = False) -> bytes:
        try:
            event = await self._run(within, secret=secret)
        except BaseException:  # also when cancelled: the answer may still come
            self._connected = False
            raise
        if isinstance(event, Received):
            return event.apdu
        self._connected = False
        if isinstance(event, Lost) and event.loss is Loss.TOO_LONG:
            raise AnswerTooLong(f"{self.whom}: {event}")
        raise ConnectionLost(f"{self.whom}: {event}")

    async def _run(self, within: float, *, secret: bool = False) -> Event:
        """Write what the link has, and hear, until something has become of it."""
        loop, link, leased = asyncio.get_running_loop(), self._link, self._leased
        gap, rubbish = self._settings.gap, link.rejected
        ends = 0.0
        while True:
            if output := link.take_output():
                await self._write(output, secret=secret)
                ends = loop.time() + within
            data = await leased.read(gap if link.pending else max(ends - loop.time(), 0.0))
            if data:
                self._heard = self._used = loop.time()
                heard = link.heard
                events = link.feed(data)
                if link.pending or link.heard != heard:
                    # The meter speaks: a pause inside what it says is no silence.
                    ends = max(ends, loop.time() + within)
            else:
                events = link.gap() if link.pending else []
            if not events and not link.pending and loop.time() >= ends:
                events = link.expire()
            for event in events:
                if not isinstance(event, Busy):
                    return event
                await asyncio.sleep(BUSY)
                if lost := link.poll():
                    return lost[0]
            if link.rejected > rubbish + MAX_RUBBISH:
                raise self._failure()

    async def _write(self, output: bytes, *, secret: bool) -> None:
        """Write, once nobody else waits for the line, and wait until it has left."""
        loop, leased = asyncio.get_running_loop(), self._leased
        await leased.give_way()
        wait = self._heard + self._settings.turnaround - loop.time()
        if wait > 0:
            await asyncio.sleep(wait)
        leased.write(output, secret=secret)
        await leased.sent()
        self._used = loop.time()

    def _failure(self) -> MeterSilent | AssociationRefused:
        """Why there is no connection, as far as can be told."""
        link = self._link
        if self._refusal is not None:
            hint = "it does not know this client, or another one is connected"
            return AssociationRefused(f"{self.whom} refuses a connection: {self._refusal}; {hint}")
        if link.rejected:
            what = (
                f"{link.rejected} bytes came that are no frames: speed or parity are wrong, or others talk on the line"
            )
        elif link.foreign:
            what = "frames came, all for others: address or client are wrong"
        elif link.echoes:
            what = "nothing but the echo of what was sent came back"
        else:
            what = "nothing came"
        return MeterSilent(f"{self.whom} does not answer: {what}")

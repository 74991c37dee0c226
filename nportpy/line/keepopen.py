"""Keeps a device open: the life of a line.

    closed --open--> opening --opened--> up --lost--> lost --retry--> opening
                        |                                               |
                        +--------------------failed---------------------+--> lost

From everywhere `close` leads to closed. Reopening backs off from 0.1 s to 5 s and never gives up; the pause starts
over once a device has stayed up for 5 s, so that one that comes and goes does not churn. A reason is logged when
it is new, not at every attempt.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from enum import StrEnum, auto

from nportpy.errors import LineError, MisuseError
from nportpy.port.base import Opener, Port, PortReceiver, PortSettings

FIRST_PAUSE = 0.1
LAST_PAUSE = 5.0
STABLE = 5.0

log = logging.getLogger(__name__)


class LineState(StrEnum):
    """Where a line is in its life."""

    CLOSED = "closed"
    OPENING = "opening"
    UP = "up"
    LOST = "lost"


class _Event(StrEnum):
    OPEN = auto()
    OPENED = auto()
    FAILED = auto()
    LOST = auto()
    RETRY = auto()
    CLOSE = auto()


_MOVES: dict[LineState, dict[_Event, LineState]] = {
    LineState.CLOSED: {_Event.OPEN: LineState.OPENING, _Event.CLOSE: LineState.CLOSED},
    LineState.OPENING: {
        _Event.OPENED: LineState.UP,
        _Event.FAILED: LineState.LOST,
        _Event.CLOSE: LineState.CLOSED,
    },
    LineState.UP: {_Event.LOST: LineState.LOST, _Event.CLOSE: LineState.CLOSED},
    LineState.LOST: {_Event.RETRY: LineState.OPENING, _Event.CLOSE: LineState.CLOSED},
}


class KeepOpen:
    """One device, kept open.

    Attributes:
        state: where it is in its life.
        since: when it came up, or ceased to be, in seconds since the epoch: trying again is no change.
        error: why it is not up; empty if it is, or if nothing has failed yet.
        opens: how often it was opened.
        losses: how often it was lost.
        attempts: how often opening failed.
        tried: set once the first attempt to open has succeeded or failed.
    """

    def __init__(
        self,
        name: str,
        opener: Opener,
        receiver: PortReceiver,
        *,
        wish: Callable[[], PortSettings],
        up: Callable[[Port], None],
        down: Callable[[LineError], None],
        moved: Callable[[], None] = lambda: None,
    ) -> None:
        """Nothing is opened before `run`.

        Args:
            name: of the line, in logs.
            opener: opens the device.
            receiver: hears of it.
            wish: says how to open it each time.
            up: called when it came.
            down: called when it went.
            moved: called after each change of `state`, for who shows it.
        """
        self.state = LineState.CLOSED
        self.since = time.time()
        self.error = ""
        self.opens = 0
        self.losses = 0
        self.attempts = 0
        self.tried = asyncio.Event()
        self._name = name
        self._opener = opener
        self._receiver = receiver
        self._wish = wish
        self._up = up
        self._down = down
        self._moved = moved
        self._loss: asyncio.Future[LineError] | None = None

    def port_lost(self, error: LineError) -> None:
        """The port said that it is gone."""
        if self._loss is not None and not self._loss.done():
            self._loss.set_result(error)
            self._move(_Event.LOST)
            self.losses += 1
            self.error = str(error)
            log.error("line lost", extra={"port": self._name, "reason": self.error})
            self._down(error)

    async def run(self, closing: Callable[[Port], None]) -> None:
        """Open, hold and reopen until cancelled; `closing` is called before an open port is closed then."""
        loop = asyncio.get_running_loop()
        pause = FIRST_PAUSE
        self._move(_Event.OPEN)
        try:
            while True:
                port = await self._try_to_open()
                if port is not None:
                    opened = loop.time()
                    try:
                        await self._hold(port, closing)
                        if loop.time() - opened >= STABLE:
                            pause = FIRST_PAUSE
                    finally:
                        await port.close()
                await asyncio.sleep(pause)
                pause = min(pause * 2, LAST_PAUSE)
                self._move(_Event.RETRY)
        finally:
            self._move(_Event.CLOSE)

    async def _try_to_open(self) -> Port | None:
        settings = self._wish()
        self._loss = asyncio.get_running_loop().create_future()
        try:
            return await self._opener(settings, self._receiver)
        except LineError as error:
            self.attempts += 1
            if str(error) != self.error:
                log.error("line cannot be opened, trying on", extra={"port": self._name, "reason": str(error)})
            self.error = str(error)
            self._move(_Event.FAILED)
            return None

    async def _hold(self, port: Port, closing: Callable[[Port], None]) -> None:
        assert self._loss is not None  # set before the port could be opened
        self.opens += 1
        self.error = ""
        self._move(_Event.OPENED)
        self._up(port)
        try:
            await self._loss
        except asyncio.CancelledError:
            if not self._loss.done() or self._loss.cancelled():
                closing(port)
            raise

    def _move(self, event: _Event) -> None:
        try:
            self.state = _MOVES[self.state][event]
        except KeyError:
            raise MisuseError(f"line {self._name}: {event} in state {self.state}") from None
        if event not in (_Event.RETRY, _Event.FAILED):  # it is as it was: away
            self.since = time.time()
        self._moved()
        if event in (_Event.OPENED, _Event.FAILED):
            self.tried.set()

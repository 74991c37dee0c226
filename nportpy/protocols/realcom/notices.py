"""What a Real COM server says by itself: notifications of the line's news, and polls of a silent client."""

from typing import Final

from nportpy.linesettings import Flow, LineSettings, ModemLines, UartCounters
from nportpy.protocols.realcom import values
from nportpy.protocols.realcom.messages import Event, Hold, Notify, Poll

NOTIFY_INTERVAL: Final = 0.1
"""Between notifications: a Linux client reads 84 bytes at a time and loses what goes over that. In seconds."""

POLL_REPEAT: Final = 3.0
"""Seconds that a poll waits for its answer."""

MAX_POLLS: Final = 4
"""A client that leaves so many polls unanswered is dead."""


class Notices:
    """What the client has not been told of yet, merged.

    Attributes:
        on: notifications are wanted.
    """

    __slots__ = ("_changed", "_errors", "_lines", "_next_at", "_told", "on")

    def __init__(self, now: float) -> None:
        """A client believes all lines to be low until it is told of them."""
        self.on = False
        self._lines = self._told = self._changed = ModemLines(0)
        self._errors = Event(0)
        self._next_at = now

    def lines_are(self, lines: ModemLines) -> None:
        """The modem lines were looked at."""
        lines &= ModemLines.INPUTS
        if self.on:
            self._changed |= lines ^ self._lines
        self._lines = lines

    def went_wrong(self, counted: UartCounters) -> None:
        """Errors were counted. Nobody hears of those from before he wanted to."""
        if self.on:
            self._errors |= values.errors(counted)

    def deadline(self) -> float | None:
        """When there is something to say; None if there is not."""
        news = self.on and (self._errors or self._changed or self._lines != self._told)
        return self._next_at if news else None

    def notification(self, now: float, settings: LineSettings, *, held: bool) -> Notify | None:
        """What to say, if it is time for that; `held`: the client told us to stop sending."""
        due = self.deadline()
        if due is None or now < due:
            return None
        changed = self._changed | (self._lines ^ self._told)
        events = self._errors | (Event.MODEM if changed else Event(0))
        hold = Hold.ALWAYS | (Hold.XOFF if held else Hold(0))
        if settings.flow is Flow.RTSCTS and not self._lines & ModemLines.CTS:
            hold |= Hold.CTS
        if settings.flow is Flow.DSRDTR and not self._lines & ModemLines.DSR:
            hold |= Hold.DSR
        self._told = self._lines
        self._changed = ModemLines(0)
        self._errors = Event(0)
        self._next_at = now + NOTIFY_INTERVAL
        return Notify(events, values.modem(self._lines, changed), hold)


class Liveness:
    """Whether the client is still there."""

    __slots__ = ("_alive", "_heard_at", "_id", "_polled_at", "_polls")

    def __init__(self, alive: float, now: float) -> None:
        """`alive`: seconds without a sign of life after which it is polled; 0: never."""
        self._alive = alive
        self._heard_at = self._polled_at = now
        self._polls = 0
        self._id = 0

    def heard(self, now: float) -> None:
        """A sign of life: any byte on either connection."""
        self._heard_at = now
        self._polls = 0

    @property
    def dead(self) -> bool:
        """Whether it was polled often enough."""
        return self._polls > MAX_POLLS

    def deadline(self) -> float | None:
        """When to poll next."""
        if not self._alive or self.dead:
            return None
        return self._polled_at + POLL_REPEAT if self._polls else self._heard_at + self._alive

    def poll(self, now: float) -> Poll | None:
        """What to ask, if it is time for that."""
        due = self.deadline()
        if due is None or now < due:
            return None
        self._polls += 1
        if self._polls == 1:
            self._id = self._id % 0xFF + 1  # 0 is left out
        self._polled_at = now
        return None if self.dead else Poll(self._id)

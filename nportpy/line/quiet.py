"""How quiet a line is, for the next request and for the streams beside it.

The discipline that asks is transaction.py, whose top says what the rules are.
"""

import math
from typing import Final

from nportpy.line.transaction_base import TransactionSettings, Wire
from nportpy.linesettings import LineSettings
from nportpy.protocols.modbus.rtu import silent_interval

_GAP_CHARACTERS: Final = 5
"""A conversation goes on over a gap of this many characters, however slow the line."""

_FEW: Final = 16


class Quiet:
    """When a line was used last, and when it may be used again. Times are those of the discipline's clock.

    Attributes:
        silence: seconds that must be before a frame at the line's settings.
        last: when the last byte was heard, or will have left.
        talk: when the streams' conversation is over.
        tail: when streams may write after a request.
        rested: when the device has had its rest.
        whole: bytes that a stream sends without a break in which a request could go.
    """

    __slots__ = (
        "_character",
        "_held",
        "_measured",
        "_ready",
        "_serial",
        "_settings",
        "_wire",
        "last",
        "rested",
        "silence",
        "tail",
        "talk",
        "whole",
    )

    def __init__(self, wire: Wire, settings: TransactionSettings, *, serial: bool) -> None:
        """Nothing was heard yet; `serial`: bytes take their time on this wire, and silence means something."""
        self.silence = self.last = self.talk = self.tail = self.rested = 0.0
        self._wire = wire
        self._settings = settings
        self._serial = serial
        self._held = False  # for a lease
        self._ready = 0.0  # what `rested` is without it
        self._measured: LineSettings | None = None  # the settings that these follow from
        self._character = 0.0
        self.whole: float = math.inf

    def measure(self) -> None:
        """Go by the line's settings as they are now."""
        settings = self._wire.settings
        if settings is self._measured:
            return
        self._measured = settings
        fixed = self._settings.silence
        self._character = settings.character_time if self._serial else 0.0
        needed = silent_interval(settings) if self._serial else 0.0
        self.silence = needed if fixed is None else fixed
        self.whole = self._settings.patience / self._character if self._character else math.inf

    def takes(self, size: int) -> float:
        """Seconds that so many bytes need on the wire."""
        return size * self._character

    def part(self, seconds: float) -> int:
        """How many bytes need so long; a few more on slow lines, but no more than `whole`. Of a longer write only."""
        return max(1, int(min(self.whole, max(_FEW, seconds / self._character))))

    def ready_at(self, pause: float) -> float:
        """When a request that needs so much silence may be sent, if the line stays quiet."""
        ready = self.silent_at(pause)
        if ready < self.talk:
            ready = self.talk
        return ready

    def silent_at(self, pause: float) -> float:
        """The same for one that need not wait for the streams' conversation, a break apart."""
        if self._wire.settings is not self._measured:
            self.measure()
        # Comparing takes a third of the time of max().
        ready = self.last + self.silence
        if pause > self.silence:
            ready = self.last + pause
        if ready < self.rested:
            ready = self.rested
        if self.talk == math.inf:
            ready = self.talk
        return ready

    def opened(self, now: float) -> None:
        """The device is there. Nobody knows what was said before."""
        self.measure()
        self.last = now
        self._ready = self.rested = now + self._settings.rest
        if self._held:
            self.rested = math.inf

    def closed(self, now: float) -> None:
        """It has gone."""
        self.last = self.talk = self.tail = now

    def heard(self, now: float) -> None:
        """A byte came. What was sent may still be on its way, if patience ended."""
        self.last = max(self.last, now)

    def sent(self, now: float, size: int) -> None:
        """So many bytes leave from now on, or when those before them have."""
        if self.last < now:
            self.last = now
        self.last += size * self._character

    def talked(self) -> None:
        """What was just heard or sent belongs to a stream's conversation."""
        self.measure()
        self.talk = self.last + self._gap()

    def request_over(self, now: float) -> None:
        """Streams have their turn after the silence."""
        self.tail = max(self.last, now) + self.silence

    def give_way(self) -> None:
        """The next request waits for the streams as for a conversation."""
        self.talk = max(self.talk, self.tail + self._gap())

    def over(self) -> float:
        """When what is said now is over: the silence after it, and the streams' conversation."""
        return max(self.last + self.silence, self.talk, self._ready)

    def hold(self, *, streams: bool) -> None:
        """A lease wants the line, and no request is sent; nor do streams write any more, if `streams`."""
        self._held = True
        self.rested = math.inf
        if streams:
            self.tail = math.inf

    def free(self, now: float) -> None:
        """No lease wants it any more; one may have been here until now."""
        self._held = False
        self.last = max(self.last, now)
        self.rested = self._ready
        self.tail = self.last + self.silence

    def changed(self, now: float, *, breaking: bool) -> None:
        """The line has other settings, or a break has begun (`breaking`) or ended."""
        self.heard(now)
        self.talked()
        if breaking:
            self.talk = math.inf

    def _gap(self) -> float:
        return max(self._settings.idle_gap, _GAP_CHARACTERS * self._character)

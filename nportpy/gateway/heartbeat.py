"""The gateway's pulse: how late the event loop comes to what is to be done, and a mark a minute in what buses count.

A sample is how late a timer fires that is right to some 50 us (line/timer.py). What keeps the loop busy when a sample
is due shows up in it, as it would in a request's way; one wake-up a second is what that costs.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from nportpy.line.timer import Timer, open_timer
from nportpy.status import DURATIONS, LoopStatus

if TYPE_CHECKING:  # a gateway without Modbus need not import what it takes
    from nportpy.modbus.bus import Bus

SAMPLED_EVERY: Final = 1.0
"""Seconds between two samples."""

_MINUTE: Final = 60.0


class Heartbeat:
    """It, from `start` to `stop`."""

    def __init__(self, buses: Callable[[], Iterable["Bus"]], each_beat: Callable[[], None] = lambda: None) -> None:
        """`buses` are those that exist when a minute is over; `each_beat` is called each second."""
        self._buses = buses
        self._each_beat = each_beat
        self._timer: Timer | None = None
        self._due = self._minute_ends = 0.0
        self._lags = [0] * (len(DURATIONS) + 1)
        self._seconds = 0.0
        self._worst = self._worst_before = 0.0  # of this minute, and of the one before

    def start(self) -> None:
        """Needs a running event loop; the first minute begins."""
        self._timer = open_timer(self._beat)
        now = self._timer.clock()
        self._minute_ends = now + _MINUTE
        self._mark(now, all_of_them=True)
        self._arm(now)

    def stop(self) -> None:
        """It beats no more."""
        if self._timer is not None:
            self._timer.close()
            self._timer = None

    def status(self) -> LoopStatus:
        """A snapshot."""
        return LoopStatus(tuple(self._lags), self._seconds, max(self._worst, self._worst_before))

    def _arm(self, now: float) -> None:
        self._due = now + SAMPLED_EVERY
        if self._timer is not None:
            self._timer.arm(self._due)

    def _beat(self) -> None:
        assert self._timer is not None  # it has fired
        now = self._timer.clock()
        lag = max(0.0, now - self._due)
        self._lags[bisect_left(DURATIONS, lag)] += 1
        self._seconds += lag
        self._worst = max(self._worst, lag)
        over = now >= self._minute_ends
        if over:
            self._minute_ends = now + _MINUTE
            self._worst, self._worst_before = 0.0, self._worst
        self._mark(now, all_of_them=over)
        self._each_beat()
        self._arm(now)

    def _mark(self, now: float, *, all_of_them: bool) -> None:
        for bus in self._buses():
            if all_of_them or not bus.marked:  # a new one
                bus.mark(now)

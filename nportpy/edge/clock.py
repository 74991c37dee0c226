"""Which time it is, and whether that can be believed: a Raspberry Pi without RTC starts with a wrong clock.

Two clocks: one never steps and counts from the kernel's start, suspended time included (CLOCK_BOOTTIME); the wall
clock is what the first shows plus an offset that is constant until somebody sets the wall clock. NTP's slewing moves
both. So a sample is stamped by the first, and the offset may be learned later.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from nportpy.wallclock import synchronised

STEP = 50_000
"""Microseconds from which a change of the offset is a step; below, it is the jitter of reading two clocks."""


@dataclass(frozen=True, slots=True)
class ClockState:
    """What the clocks say at one moment.

    Attributes:
        offset: wall clock minus monotonic clock, in microseconds.
        trusted: the wall clock is synchronised, or was set from a battery-backed clock.
    """

    offset: int
    trusted: bool


def kernel_boot() -> str:
    """Name of this run of the kernel: samples that share it share one monotonic clock. Empty where it has none."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return ""


class Clock:
    """The two clocks; tests bring their own."""

    def __init__(
        self,
        monotonic: Callable[[], int] = lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME),
        wall: Callable[[], int] = time.time_ns,
        trusted: Callable[[], bool] = synchronised,
        boot: str | None = None,
    ) -> None:
        """`monotonic` and `wall` give nanoseconds; `boot` names the monotonic clock (default: this kernel)."""
        self._monotonic = monotonic
        self._wall = wall
        self._trusted = trusted
        self.boot = kernel_boot() if boot is None else boot

    def now(self) -> int:
        """The monotonic clock, in microseconds: what readings are stamped with."""
        return self._monotonic() // 1000

    def wall(self) -> int:
        """The wall clock, in microseconds since the epoch."""
        return self._wall() // 1000

    def state(self) -> ClockState:
        """Compare both clocks. Of three looks the one counts that took the shortest time."""
        looks = []
        for _ in range(3):
            before = self._monotonic()
            wall = self._wall()
            after = self._monotonic()
            looks.append((after - before, wall - (before + after) // 2))
        return ClockState(min(looks)[1] // 1000, self._trusted())

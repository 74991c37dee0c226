"""A one-shot timer that is right to some 50 us: the silence between two frames is 1.75 ms at most speeds.

The loops' own timers count milliseconds, and so does uvloop's clock. A timerfd (timerfd_create(2)) is a descriptor
that becomes readable at a time in nanoseconds, so both loops wake for it as for any other input. Python knows it
from 3.13 on; before that libc is called.

On a loop with a clock of its own, as tests have it, only that loop can say what time it is, and its timers serve.
"""

import asyncio
import ctypes
import logging
import os
import sys
import time
from collections.abc import Callable
from typing import Final, Protocol

import uvloop

log = logging.getLogger(__name__)

LEAD: Final = 120e-6
"""Seconds that a process takes to wake and to have its next frame ready: 30 to 100 us on PCs."""

_EARLY: Final = 1e-6  # a timer that fires earlier by no more than this has fired on time


class Timer(Protocol):
    """Calls back once after each `arm`.

    Attributes:
        clock: the time that `arm` is given, in seconds.
        lead: seconds by which whoever must not be late asks to be called earlier, and looks at `clock` for what is
            left; 0 where the clock stands still meanwhile.
    """

    clock: Callable[[], float]
    lead: float

    def arm(self, when: float) -> None:
        """Call back at `when` instead of whatever was wanted before; at once if that has passed."""

    def close(self) -> None:
        """Call back no more. May be called twice."""


def open_timer(call: Callable[[], None]) -> Timer:
    """The best timer for the running loop; `call` is what it calls."""
    loop = asyncio.get_running_loop()
    if type(loop).time not in (asyncio.BaseEventLoop.time, uvloop.Loop.time):
        return LoopTimer(loop, call, loop.time)
    try:
        return DescriptorTimer(loop, call)
    except OSError as error:  # out of descriptors: silences get longer, nothing else
        log.warning("timers are coarse", extra={"reason": str(error)})
        return LoopTimer(loop, call, time.monotonic)


class LoopTimer:
    """A timer of the loop. See `Timer`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, call: Callable[[], None], clock: Callable[[], float]) -> None:
        """Not armed. `clock` may be finer than the loop's."""
        self.clock = clock
        self.lead = 0.0
        self._loop = loop
        self._call = call
        self._when = 0.0
        self._handle: asyncio.TimerHandle | None = None

    def arm(self, when: float) -> None:
        """See `Timer`."""
        self.close()
        self._when = when
        self._handle = self._loop.call_later(max(when - self.clock(), 0.0), self._fire)

    def close(self) -> None:
        """See `Timer`."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _fire(self) -> None:
        self._handle = None
        if self.clock() < self._when - _EARLY:
            self.arm(self._when)
        else:
            self._call()


class DescriptorTimer:
    """A timerfd. See `Timer`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
        """Not armed.

        Raises:
            OSError: no descriptor is to be had.
        """
        self.clock = time.monotonic
        self.lead = LEAD
        self._loop = loop
        self._call = call
        self._fd = _create()
        loop.add_reader(self._fd, self._fire)

    def arm(self, when: float) -> None:
        """See `Timer`."""
        if self._fd >= 0:
            _set(self._fd, when)

    def close(self) -> None:
        """See `Timer`. The descriptor leaves the loop first: uvloop aborts the process otherwise."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _fire(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:  # armed anew since it became readable
            return
        self._call()


if sys.version_info >= (3, 13):

    def _create() -> int:
        return os.timerfd_create(time.CLOCK_MONOTONIC, flags=os.TFD_NONBLOCK | os.TFD_CLOEXEC)

    def _set(fd: int, when: float) -> None:
        os.timerfd_settime(fd, flags=os.TFD_TIMER_ABSTIME, initial=max(when, 1e-9))

else:
    _TFD_TIMER_ABSTIME: Final = 1
    # struct itimerspec: seconds and nanoseconds of the interval, which stays 0, and of the time.
    _Spec = ctypes.c_long * 4
    _libc = ctypes.CDLL(None, use_errno=True)
    _settime = _libc.timerfd_settime
    _settime.argtypes = (ctypes.c_int, ctypes.c_int, _Spec, ctypes.c_void_p)

    def _create() -> int:
        fd: int = _libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if fd < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return fd

    def _set(fd: int, when: float) -> None:
        seconds, nanoseconds = divmod(max(int(when * 1e9), 1), 1_000_000_000)  # 0 would disarm it
        _settime(fd, _TFD_TIMER_ABSTIME, _Spec(0, 0, seconds, nanoseconds), None)

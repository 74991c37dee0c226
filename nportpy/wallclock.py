"""Whether the wall clock can be believed: a Raspberry Pi without a battery starts with a wrong one."""

import ctypes
import glob
import os
import time
from typing import Final

RELEASED: Final = 1_767_225_600
"""2026-01-01, in seconds since the epoch: no clock that shows an earlier time is right."""

_STA_UNSYNC: Final = 0x0040  # include/uapi/linux/timex.h
_TIMESYNCD: Final = "/run/systemd/timesync"  # systemd-timesyncd.service(8)
_LIFETIME: Final = 25 * 365 * 86400  # seconds: longer than any device serves


class _Timex(ctypes.Structure):
    """The head of struct timex, adjtimex(2); the room behind it is larger than any platform's rest."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 512),
    )


def synchronised() -> bool:
    """Whether the clock is right as far as anybody here can tell.

    Where nobody can (a sandbox that forbids adjtimex, and no timesyncd), it is believed.
    """
    return time.time() >= RELEASED and disciplined() is not False


def known(newest: float = 0.0) -> bool:
    """Whether the clock shows a time by which dates can be judged: somebody vouches for it, or it is `plausible`."""
    return (time.time() >= RELEASED and disciplined() is True) or plausible(newest)


def disciplined() -> bool | None:
    """Whether something keeps the kernel's clock right (chrony, ntpd, timesyncd, PTP), or it came from a battery's.

    None: nobody can tell. A unit with ProtectClock= may not ask the kernel; timesyncd then tells by a file.
    """
    timex = _Timex()
    try:
        answered = ctypes.CDLL(None).adjtimex(ctypes.byref(timex)) >= 0
    except (OSError, AttributeError):
        answered = False
    if (answered and not timex.status & _STA_UNSYNC) or _from_battery():
        return True
    if answered:
        return False
    return os.path.exists(f"{_TIMESYNCD}/synchronized") if os.path.isdir(_TIMESYNCD) else None


def _from_battery() -> bool:
    """Whether the kernel set its clock from an RTC when it started (Documentation/admin-guide/rtc.rst, hctosys)."""
    for path in glob.glob("/sys/class/rtc/rtc*/hctosys"):
        try:
            with open(path) as file:
                if file.read().strip() == "1":
                    return True
        except OSError:
            continue
    return False


def plausible(newest: float = 0.0) -> bool:
    """Whether the clock shows a time that can be: later than the newest thing known, and not by a device's lifetime.

    Where no network gives the time, a clock that somebody has set by hand is all there is.

    Args:
        newest: when something was made that is here, in seconds since the epoch: a file, a certificate.
    """
    first = max(newest, RELEASED)
    return first <= time.time() <= first + _LIFETIME


def judged(newest: float = 0.0) -> float:
    """By which time, in seconds since the epoch, it can be judged whether something has ended.

    That is now; as long as the clock is not known, the time at which something here was made for the last time. What
    had ended by then stays ended, and of the rest nobody can tell.

    Args:
        newest: that time; one that cannot be says nothing.
    """
    newest = newest if RELEASED <= newest <= RELEASED + _LIFETIME else RELEASED
    return time.time() if known(newest) else newest

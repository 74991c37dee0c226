"""One log line per key and minute, however often something happens.

Pure: time is an argument, in seconds of any clock that does not jump back.
"""

from collections.abc import Hashable
from dataclasses import dataclass


@dataclass(slots=True)
class _Window:
    """When the key was last let through, and how often it was held back since."""

    since: float
    held: int = 0


class Throttle:
    """Lets an event of a key through once per interval and counts the others.

    With `refused = Throttle()`:

        if (held := refused.allow(address, loop.time())) is not None:
            log.warning("refused %s (%d more since the last such line)", address, held)

    At most `limit` keys are remembered. While all of these are younger than the interval, keys beyond them share
    one, so no number of keys makes more than `limit + 1` lines per interval, nor takes more memory.
    """

    def __init__(self, interval: float = 60.0, limit: int = 64) -> None:
        """`interval` is in seconds."""
        self._interval = interval
        self._limit = limit
        self._windows: dict[object, _Window] = {}  # in the order of `since`
        self._others = _Window(float("-inf"))

    def allow(self, key: Hashable, now: float) -> int | None:
        """Say whether the event may be logged.

        Returns:
            None: hold it back. Otherwise: how many of this key were held back since it was last let through.
        """
        window = self._windows.get(key)
        if window is None:
            if not self._make_room(now):
                return self._admit_other(now)
            held = 0
        elif now - window.since < self._interval:
            window.held += 1
            return None
        else:
            del self._windows[key]  # to the end of the order
            held = window.held
        self._windows[key] = _Window(now)
        return held

    def _make_room(self, now: float) -> bool:
        if len(self._windows) < self._limit:
            return True
        oldest = next(iter(self._windows))
        if now - self._windows[oldest].since < self._interval:
            return False
        del self._windows[oldest]
        return True

    def _admit_other(self, now: float) -> int | None:
        if now - self._others.since < self._interval:
            self._others.held += 1
            return None
        held = self._others.held
        self._others = _Window(now)
        return held

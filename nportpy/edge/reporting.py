"""Report by exception: which readings of a tag become samples.

    the first one; any change of quality; a change beyond the deadband, against the last *reported* value; after
    `max_silence` without a sample; and at each multiple of `always_at` on the clock

Against the last reported value, not the last read one: a value that creeps would never be reported otherwise.
Pure: time is an argument.
"""

from typing import Final

from nportpy.edge.conversion import Converted
from nportpy.edge.settings import TagSettings

_ROUNDING: Final = 1e-12


class Reporter:
    """Judges the readings of one tag."""

    __slots__ = ("_at", "_deadband", "_last", "_max_silence")

    def __init__(self, tag: TagSettings) -> None:
        """Nothing was reported yet."""
        self._deadband = tag.deadband
        self._max_silence = tag.max_silence
        self._last: Converted | None = None
        self._at = 0.0

    @property
    def last(self) -> Converted | None:
        """What was reported last."""
        return self._last

    def reports(self, found: Converted, now: float, *, always: bool = False) -> bool:
        """Whether a reading is to be a sample; it counts as reported then.

        Args:
            found: the reading.
            now: seconds on a clock that only goes forward.
            always: whatever it says, as it stands on the clock's grid.
        """
        if not (always or self._differs(found) or (self._max_silence and now - self._at >= self._max_silence)):
            return False
        self._last, self._at = found, now
        return True

    def silent(self, found: Converted, now: float) -> bool:
        """The same for a station that does not answer: just one sample, however long that lasts."""
        if not self._differs(found):
            return False
        self._last, self._at = found, now
        return True

    def _differs(self, found: Converted) -> bool:
        last = self._last
        if last is None or last.quality is not found.quality:
            return True
        was, value = last.value, found.value
        if isinstance(was, int | float) and isinstance(value, int | float) and not isinstance(value, bool):
            if not self._deadband:
                return value != was
            # 230.3 is further from 230.1 than 0.2, as doubles are: nobody means that.
            return abs(value - was) - self._deadband > _ROUNDING * max(abs(value), abs(was))
        return value != was

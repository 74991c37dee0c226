"""Whether the gateway keeps the silence before each of its frames, by what passes on the wire.

Source: MODBUS over Serial Line V1.02, 2.5.1.1: at least t3.5 between frames, at most t1.5 inside one.
"""

from collections.abc import Mapping

from fastcrc import crc16

from nportpy.linesettings import LineSettings
from nportpy.protocols.modbus.rtu import MAX_FRAME, MIN_FRAME, character_gap, silent_interval

ROUNDING = 1e-6
"""Seconds that a silence may lack: what adding up times loses."""


class SilenceWatch:
    """Watches the gateway's RTU frames.

    A frame begins with the first characters after somebody else's, after a whole frame, or after more than t1.5.
    So both a silence that is too short and a pause inside a frame that is too long are violations.

    Attributes:
        frames: that the gateway sent.
        violations: frames with less than t3.5 of silence before them.
        silent: seconds of silence before all frames but the first. What is more than t3.5 for each is what the gateway
            and the way to it took.
        shortest: the shortest silence before a frame in seconds, 0 if it began while somebody else was sending; None
            before the second frame.
    """

    def __init__(self, settings: LineSettings) -> None:
        """Nothing has passed yet."""
        self.frames = 0
        self.violations = 0
        self.silent = 0.0
        self.shortest: float | None = None
        self._silence = silent_interval(settings)
        self._gap = character_gap(settings)
        self._frame = b""
        self._end: float | None = None  # of the gateway's last character

    def sent(self, data: bytes, start: float, end: float, heard: float | None) -> None:
        """The gateway's `data` passes from `start` to `end`.

        Until `heard` somebody else was sending; None: nobody was yet.
        """
        before = max((time for time in (self._end, heard) if time is not None), default=None)
        self._end = end
        if before is None:
            self._begin(data)
            return
        silence = max(0.0, start - before)
        answered = before == heard
        if not answered and silence <= self._gap + ROUNDING and not _is_frame(self._frame):
            self._frame += data[: MAX_FRAME + 1 - len(self._frame)]
            return
        self._begin(data)
        self.violations += silence < self._silence - ROUNDING
        self.silent += silence
        self.shortest = silence if self.shortest is None else min(silence, self.shortest)

    def counts(self) -> Mapping[str, float | None]:
        """The figures."""
        return {
            "frames": self.frames,
            "violations": self.violations,
            "silence": self.silent,
            "shortest_silence": self.shortest,
        }

    def _begin(self, data: bytes) -> None:
        self.frames += 1
        self._frame = data[: MAX_FRAME + 1]


def _is_frame(data: bytes) -> bool:
    return MIN_FRAME <= len(data) <= MAX_FRAME and crc16.modbus(data) == 0

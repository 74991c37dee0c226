"""Clients of a stream that hear the line in segments (protocols/packing.py): worked out once for all that agree.

A stream hands its bytes to a `Packed` as to any client, and each segment goes to the clients in one call. It costs a
descriptor for the timer: the silences that end segments are shorter than a loop can count.
"""

import math
from collections.abc import Callable
from copy import copy

from nportpy.line.stream_base import Hearer, packs
from nportpy.line.timer import Timer, open_timer
from nportpy.protocols.packing import PackingSettings, packer

__all__ = ["Packed", "packs"]


class Packed:
    """Those who hear the same segments.

    Attributes:
        settings: how these are made.
        hearers: who hears them; the stream's to exchange, never to change.
    """

    def __init__(self, settings: PackingSettings, character_time: float) -> None:
        """Nothing was heard. Needs a running loop."""
        self.settings = settings
        self.hearers: list[Hearer] = []
        self._packer = packer(settings, character_time)
        timer = open_timer(self._woken)
        self._clock: Callable[[], float] = timer.clock
        self._timer: Timer | None = timer
        self._armed = math.inf

    def line_data(self, data: bytes) -> None:
        """Bytes came from the line."""
        self._tell(self._packer.feed(data, self._clock()))
        self._listen()

    def finish(self) -> None:
        """What comes now does not belong to what came: tell what was kept."""
        self._tell(self._packer.finish())

    def forget(self) -> None:
        """Throw away what was kept."""
        self._packer.finish()

    def tell_rest(self, hearer: Hearer) -> None:
        """Somebody leaves: what was kept goes to it now. The others get it when it is whole."""
        for segment in copy(self._packer).finish():
            hearer.line_data(segment)

    def set_character_time(self, seconds: float) -> None:
        """The line has another speed or format."""
        self._packer.set_character_time(seconds)
        self._listen()

    def close(self) -> None:
        """Nobody hears any more."""
        self.hearers = []
        if self._timer is not None:
            self._timer.close()
            self._timer = None

    def _tell(self, segments: list[bytes]) -> None:
        for segment in segments:
            for hearer in self.hearers:
                hearer.line_data(segment)

    def _listen(self) -> None:
        """Look again at the deadline, or earlier. The timer is not set back: waking once too often costs less."""
        deadline = self._packer.deadline()
        if deadline is not None and deadline < self._armed and self._timer is not None:
            self._armed = deadline
            self._timer.arm(deadline)

    def _woken(self) -> None:
        now = max(self._clock(), self._armed)  # a rounding error early is on time
        self._armed = math.inf
        self._tell(self._packer.expire(now))
        self._listen()

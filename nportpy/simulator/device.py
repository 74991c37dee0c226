"""What a device on a simulated line is. Devices are pure: time is an argument, in seconds of any one clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Answer:
    """What a device sends.

    Attributes:
        data: the characters, sent back to back.
        delay: seconds that the device takes before the first of them, from the call that it answers.
    """

    data: bytes
    delay: float = 0.0


class Device(Protocol):
    """Something that listens on a line and may answer."""

    def feed(self, data: bytes, now: float) -> Sequence[Answer]:
        """Characters arrived; the last of them was complete at `now`. Never empty."""

    def silence(self, now: float) -> Sequence[Answer]:
        """The line has been silent long enough to end a frame; called once after the last character."""

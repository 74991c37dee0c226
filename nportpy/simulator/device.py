"""What a device on a simulated line is. Devices are pure: time is an argument, in seconds of any one clock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from nportpy.linesettings import LineSettings


@dataclass(frozen=True, slots=True)
class Answer:
    """What a device sends.

    Attributes:
        data: the characters, sent back to back.
        delay: seconds before the first of them: from the call that it answers, or from the end of the answer before
            it in the same call.
        sender: who of several on the line sends it. One sender's characters wait for each other; those of two meet.
        settings: speed and format in which it is sent; None: as the gateway's are.
    """

    data: bytes
    delay: float = 0.0
    sender: int = 0
    settings: LineSettings | None = None


class Device(Protocol):
    """Something that listens on a line and may answer."""

    def feed(self, data: bytes, now: float) -> Sequence[Answer]:
        """Characters arrived; the last of them was complete at `now`. Never empty."""

    def silence(self, now: float) -> Sequence[Answer]:
        """The line has been silent long enough to end a frame; called once after the last character."""

    def counts(self) -> Mapping[str, int]:
        """What it has counted so far, by name, for a report."""


@runtime_checkable
class TunedDevice(Device, Protocol):
    """A device with a UART of its own: it has a speed and format, which may change, and a clock that wakes it.

    A wire with wire time asks `hear` instead of `feed`, and never tells it of silence.
    """

    def hear(self, data: bytes, sent: LineSettings, now: float) -> Sequence[Answer]:
        """Characters passed, sent with those settings; the last of them was complete at `now`. Never empty."""

    def deadline(self) -> float | None:
        """When it wants to be woken; None: not before it hears something."""

    def expire(self, now: float) -> Sequence[Answer]:
        """Its deadline has come."""

"""A wire on which nothing takes time: for measuring everything but the wire."""

from collections.abc import Mapping, Sequence

from nportpy.simulator.device import Answer, Device

UNPACED_CAPACITY = 4096
"""Bytes taken at once: a pseudo-terminal has no more to give."""

UNPACED_SILENCE = 0.005
"""Seconds of quiet that end a frame."""


class UnpacedWire:
    """A wire whose characters take no time.

    The device hears what was sent in one piece, and its answer arrives at once, or after the delay that it asks for.
    Silence is told to a device only where it has not answered what it heard last.
    """

    def __init__(self, device: Device, *, local_echo: bool = False) -> None:
        """A wire with `device` on it; with `local_echo` the gateway hears what it sends."""
        self._device = device
        self._local_echo = local_echo
        self._arrived = b""
        self._delayed: list[tuple[float, bytes]] = []  # by time
        self._silent_at: float | None = None

    def room(self, now: float) -> int:  # noqa: ARG002 - always the same
        """How many bytes the wire takes."""
        return UNPACED_CAPACITY

    def send(self, data: bytes, now: float) -> None:
        """Let the device hear `data`."""
        if self._local_echo:
            self._arrived += data
        answers = self._device.feed(data, now)
        if answers:
            self._silent_at = None
            self._answer(answers, now)
        else:
            self._silent_at = now + UNPACED_SILENCE

    def receive(self, now: float) -> bytes:
        """What has arrived at the gateway since the last call."""
        if self._silent_at is not None and now >= self._silent_at:
            silent_at, self._silent_at = self._silent_at, None
            self._answer(self._device.silence(silent_at), silent_at)
        while self._delayed and self._delayed[0][0] <= now:
            self._arrived += self._delayed.pop(0)[1]
        arrived, self._arrived = self._arrived, b""
        return arrived

    def deadline(self) -> float | None:
        """When a delayed answer arrives or the silence is long enough; None: nothing is under way."""
        if not self._delayed:
            return self._silent_at
        times = [when for when, _ in self._delayed[:1]]
        if self._silent_at is not None:
            times.append(self._silent_at)
        return min(times, default=None)

    def counts(self) -> Mapping[str, float | None]:
        """The device's figures."""
        return self._device.counts()

    def _answer(self, answers: Sequence[Answer], now: float) -> None:
        when = now
        for answer in answers:
            when += answer.delay
            if when > now or self._delayed:
                self._delayed.append((when, answer.data))
                self._delayed.sort(key=lambda delayed: delayed[0])  # stable: equal times stay in order
            else:
                self._arrived += answer.data

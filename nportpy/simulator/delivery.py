"""How the gateway's receiver hands over what arrives: as a UART's FIFO does it, or as a USB adapter."""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

CHUNK = 8
"""Characters that a UART collects before it hands them over: half of a 16-byte FIFO."""

PACKET = 62
"""Characters that a full-speed FTDI adapter sends at once: a USB packet of 64 bytes has two of status."""

_ROUNDING = 1e-6


@dataclass(slots=True)
class Burst:
    """Characters back to back, from one sender.

    Attributes:
        start: when the first of them begins.
        data: the characters.
        character: seconds that each takes.
        sender: who sends it, as in `Answer`.
        heard: it is the gateway's own, heard back.
        passed: how many of them have been handed over.
        spoiled: which of them met another on the pair.
        tuned: what a receiver makes of them that is set to something else; None: what they are.
    """

    start: float
    data: bytearray
    character: float
    sender: int = 0
    heard: bool = False
    passed: int = 0
    spoiled: set[int] = field(default_factory=set)
    tuned: Callable[[bytes], bytes] | None = None

    def time_of(self, count: int) -> float:
        """When so many of its characters have ended."""
        return self.start + count * self.character

    @property
    def next(self) -> float:
        """When the next character begins that has not been handed over."""
        return self.time_of(self.passed)

    @property
    def end(self) -> float:
        """When the last character ends."""
        return self.time_of(len(self.data))

    def take(self, count: int) -> bytes:
        """Hand over up to `count` characters more."""
        data = bytes(self.data[self.passed : self.passed + count])
        self.passed += len(data)
        return data if self.tuned is None else self.tuned(data)


class Delivery(Protocol):
    """When a receiver hands over what. `bursts` are in order and have characters left."""

    def due(self, bursts: deque[Burst]) -> float | None:
        """When the next characters will be handed over; None while none are coming."""

    def take(self, bursts: deque[Burst], due: float) -> bytes:
        """Hand over what is due; bursts without characters left are removed."""


class Fifo:
    """A UART: each so many characters, and a burst's last ones as they end."""

    def __init__(self, chunk: int = CHUNK) -> None:
        """It hands over `chunk` characters together."""
        self._chunk = chunk

    def due(self, bursts: deque[Burst]) -> float | None:
        """When the next chunk ends."""
        if not bursts:
            return None
        burst = bursts[0]
        return burst.time_of(min(burst.passed + self._chunk, len(burst.data)))

    def take(self, bursts: deque[Burst], due: float) -> bytes:  # noqa: ARG002 - a chunk is whole at its time
        """The chunk."""
        data = bursts[0].take(self._chunk)
        if bursts[0].passed == len(bursts[0].data):
            bursts.popleft()
        return data


class LatencyTimer:
    """A USB adapter: everything that has come, each time a timer ends, and a full packet at once.

    The timer runs all the time and starts over with each packet that it did not wait for.
    """

    def __init__(self, latency: float = 0.016, packet: int = PACKET) -> None:
        """The timer's seconds, and how many characters fill a packet."""
        self._latency = latency
        self._packet = packet
        self._started = 0.0

    def due(self, bursts: deque[Burst]) -> float | None:
        """When the timer ends next with something to hand over, or a packet is full."""
        if not bursts:
            return None
        first = bursts[0].time_of(bursts[0].passed + 1)
        rounds = math.ceil((first - self._started) / self._latency - _ROUNDING)
        tick = self._started + rounds * self._latency
        wanted = self._packet
        for burst in bursts:
            left = len(burst.data) - burst.passed
            if wanted <= left:
                return min(tick, burst.time_of(burst.passed + wanted))
            wanted -= left
        return tick

    def take(self, bursts: deque[Burst], due: float) -> bytes:
        """What has ended by `due`, a packet at most."""
        self._started = due
        data = b""
        while bursts and len(data) < self._packet:
            burst = bursts[0]
            ended = int((due - burst.start) / burst.character + _ROUNDING) - burst.passed
            # The first character has ended by then, whatever was lost in adding up times.
            data += burst.take(min(max(ended, 0 if data else 1), self._packet - len(data)))
            if burst.passed < len(burst.data):
                break
            bursts.popleft()
        return data

"""The wire between a gateway and a device: when each character has passed over it.

A wire is pure: time is an argument, in seconds of any one clock, and never goes back. Whoever drives it

    wire.send(data, now)        # what the gateway sends; at most wire.room(now) bytes
    data = wire.receive(now)    # what has reached the gateway by now; after each send() and at each deadline
    when = wire.deadline()      # call receive() again then, or earlier; None: nothing is under way

A driver that wakes late delays nothing but that delivery: everything on the wire happens at its own exact time.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from nportpy.linesettings import LineSettings
from nportpy.protocols.modbus.rtu import silent_interval
from nportpy.simulator.device import Answer, Device

CHUNK = 8
"""Characters that a UART collects before it hands them over: half of a 16-byte FIFO."""

MIN_CAPACITY = 64
CAPACITY_TIME = 0.01
"""What a wire takes from the gateway in advance: as many characters as pass in this time, in seconds, but at least
MIN_CAPACITY. So a driver that wakes a few milliseconds late leaves no gap between characters."""

UNPACED_CAPACITY = 65536
UNPACED_SILENCE = 0.005
"""Where characters take no time: bytes taken at once, and the seconds of quiet that end a frame."""


class Wire(Protocol):
    """A line with a device on it, seen from the gateway's end."""

    def room(self, now: float) -> int:
        """How many bytes the wire takes now. While it is 0, `deadline` says when there will be room."""

    def send(self, data: bytes, now: float) -> None:
        """Put bytes on the wire, behind those that are still on it; at most `room(now)`."""

    def receive(self, now: float) -> bytes:
        """What has arrived at the gateway since the last call."""

    def deadline(self) -> float | None:
        """When something will have arrived, or the wire needs to be looked at; None: not before the next `send`."""


@dataclass(slots=True)
class _Burst:
    """Characters back to back, in one direction.

    Attributes:
        start: when the first of them begins.
        data: the characters.
        passed: how many of them have been handed over.
        spoiled: which of them met another on the pair.
    """

    start: float
    data: bytearray
    passed: int = 0
    spoiled: set[int] = field(default_factory=set)


class PacedWire:
    """A wire on which each character takes its time.

    Characters go back to back while there are any. The device hears them, and the gateway gets them, in chunks as a
    UART's FIFO hands them over, each chunk as its last character ends. After the silence that ends a Modbus RTU
    frame the device is told so.

    Attributes:
        collisions: how often both ends talked at once on a shared pair. Each character that met another arrives as
            its complement, so that no collision goes unnoticed.
    """

    def __init__(self, device: Device, settings: LineSettings, *, shared_pair: bool = True, chunk: int = CHUNK) -> None:
        """A wire with a device on it.

        Args:
            device: who listens.
            settings: speed and format; flow control has no part here.
            shared_pair: both directions share one pair of wires, as RS-485 mostly does; else each has its own.
            chunk: characters that are handed over together.
        """
        self.collisions = 0
        self._device = device
        self._shared = shared_pair
        self._chunk = chunk
        self._character = settings.character_time
        self._silence = silent_interval(settings)
        self._capacity = max(MIN_CAPACITY, int(CAPACITY_TIME / self._character))
        self._out: deque[_Burst] = deque()  # to the device
        self._in: deque[_Burst] = deque()  # to the gateway
        self._out_end = 0.0  # when the last character of either direction ends
        self._in_end = 0.0
        self._heard_end: float | None = None  # since when the device waits for more; None once it has been told
        self._full = False
        self._arrived = bytearray()

    def room(self, now: float) -> int:
        """How many bytes the wire takes: none from being full until half of that has passed, as a driver does it."""
        if now < self._room_time():
            return 0
        waiting = max(0.0, self._out_end - now) / self._character
        return self._capacity - int(waiting) - 1

    def send(self, data: bytes, now: float) -> None:
        """Put bytes on the wire: they pass from `now` on, or behind those that are still on it."""
        self._run(now)
        start = max(now, self._out_end)
        self._out_end = start + len(data) * self._character
        self._full = self._out_end - now > self._capacity / 2 * self._character
        self._add(_Burst(start, bytearray(data)), self._out, self._in)

    def receive(self, now: float) -> bytes:
        """What has arrived at the gateway since the last call."""
        self._run(now)
        arrived = bytes(self._arrived)
        self._arrived.clear()
        return arrived

    def deadline(self) -> float | None:
        """When the next chunk ends, a silence is long enough, or a full wire has room again."""
        times = [time for time in (self._hear_time(), self._silence_time(), self._arrive_time()) if time is not None]
        if self._full:
            times.append(self._room_time())
        return min(times, default=None)

    def _run(self, now: float) -> None:
        """Let everything happen that is due, in order."""
        while True:
            heard, silent, arrives = self._hear_time(), self._silence_time(), self._arrive_time()
            due = min((time for time in (heard, silent, arrives) if time is not None), default=None)
            if due is None or due > now:
                break
            if due == heard:
                self._heard_end = due
                self._answer(self._device.feed(self._take(self._out), due), due)
            elif due == silent:
                self._heard_end = None
                self._answer(self._device.silence(due), due)
            else:
                self._arrived += self._take(self._in)
        if now >= self._room_time():
            self._full = False

    def _room_time(self) -> float:
        return self._out_end - self._capacity / 2 * self._character if self._full else 0.0

    def _hear_time(self) -> float | None:
        return self._chunk_end(self._out[0]) if self._out else None

    def _arrive_time(self) -> float | None:
        return self._chunk_end(self._in[0]) if self._in else None

    def _silence_time(self) -> float | None:
        if self._heard_end is None:
            return None
        time = self._heard_end + self._silence
        # A character that begins in time keeps the frame open, though it is heard later.
        return None if self._out and self._character_start(self._out[0]) < time else time

    def _character_start(self, burst: _Burst) -> float:
        return burst.start + burst.passed * self._character

    def _chunk_end(self, burst: _Burst) -> float:
        return burst.start + min(burst.passed + self._chunk, len(burst.data)) * self._character

    def _take(self, bursts: deque[_Burst]) -> bytes:
        burst = bursts[0]
        data = bytes(burst.data[burst.passed : burst.passed + self._chunk])
        burst.passed += len(data)
        if burst.passed == len(burst.data):
            bursts.popleft()
        return data

    def _answer(self, answers: Sequence[Answer], now: float) -> None:
        for answer in answers:
            if answer.data:
                start = max(now + answer.delay, self._in_end)
                self._in_end = start + len(answer.data) * self._character
                self._add(_Burst(start, bytearray(answer.data)), self._in, self._out)

    def _add(self, burst: _Burst, bursts: deque[_Burst], others: Iterable[_Burst]) -> None:
        if burst.data:
            bursts.append(burst)
        if self._shared:
            for other in others:
                self._collide(burst, other)

    def _collide(self, one: _Burst, other: _Burst) -> None:
        begin = max(one.start, other.start)
        end = min(one.start + len(one.data) * self._character, other.start + len(other.data) * self._character)
        touch = self._character * 1e-6  # ends that only meet, give or take rounding
        if end - begin <= touch:
            return
        self.collisions += 1
        for burst in (one, other):
            first = int((begin + touch - burst.start) / self._character)
            last = int((end - touch - burst.start) / self._character)
            met = set(range(first, last + 1)) - burst.spoiled
            burst.spoiled |= met
            for index in met:
                burst.data[index] ^= 0xFF


class UnpacedWire:
    """A wire on which nothing takes time: for measuring everything but the wire.

    The device hears what was sent in one piece and its answer arrives at once, whatever delay it asks for.
    """

    def __init__(self, device: Device) -> None:
        """A wire with `device` on it."""
        self._device = device
        self._arrived = bytearray()
        self._silent_at: float | None = None

    def room(self, now: float) -> int:  # noqa: ARG002 - always the same
        """How many bytes the wire takes."""
        return UNPACED_CAPACITY

    def send(self, data: bytes, now: float) -> None:
        """Let the device hear `data`."""
        self._silent_at = now + UNPACED_SILENCE
        for answer in self._device.feed(data, now):
            self._arrived += answer.data

    def receive(self, now: float) -> bytes:
        """What has arrived at the gateway since the last call."""
        if self._silent_at is not None and now >= self._silent_at:
            self._silent_at = None
            for answer in self._device.silence(now):
                self._arrived += answer.data
        arrived = bytes(self._arrived)
        self._arrived.clear()
        return arrived

    def deadline(self) -> float | None:
        """When the silence is long enough; None: nothing was sent."""
        return self._silent_at

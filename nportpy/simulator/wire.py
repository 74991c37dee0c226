"""The wire between a gateway and a device: when each character has passed over it.

A wire is pure: time is an argument, in seconds of any one clock, and never goes back. Whoever drives it

    wire.send(data, now)        # what the gateway sends; at most wire.room(now) bytes
    data = wire.receive(now)    # what has reached the gateway by now; after each send() and at each deadline
    when = wire.deadline()      # call receive() again then, or earlier; None: nothing is under way

A driver that wakes late delays nothing but that delivery: everything on the wire happens at its own exact time.
"""

from bisect import insort
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Protocol

from nportpy.linesettings import LineSettings
from nportpy.protocols.modbus.rtu import silent_interval
from nportpy.simulator.delivery import Burst, Delivery, Fifo
from nportpy.simulator.device import Answer, Device, TunedDevice
from nportpy.simulator.uart import received
from nportpy.simulator.watch import SilenceWatch

MIN_CAPACITY = 64
CAPACITY_TIME = 0.01
"""What a wire takes from the gateway in advance: as many characters as pass in this time, in seconds, but at least
MIN_CAPACITY. So a driver that wakes a few milliseconds late leaves no gap between characters."""


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

    def counts(self) -> Mapping[str, float | None]:
        """What the wire and its device have counted, by name."""


class PacedWire:
    """A wire on which each character takes its time.

    Characters go back to back while there are any. The device hears them in chunks as a UART's FIFO hands them over,
    each chunk as its last character ends; the gateway gets them so, or as another receiver does it. After the silence
    that ends a Modbus RTU frame the device is told so.

    A `TunedDevice` has a speed and format of its own. What the gateway sends keeps those that it had then; what it
    hears, it hears with those that it has when the characters end.

    Attributes:
        collisions: how often two talked at once on one pair. Each character that met another arrives as its
            complement, so that no collision goes unnoticed.
        spoilt: characters that the gateway received with a wrong parity or stop bit, of a `TunedDevice`.
        hasty: how often the gateway changed its settings while what it had sent was still on the wire.
    """

    def __init__(
        self,
        device: Device,
        settings: LineSettings,
        *,
        shared_pair: bool = True,
        delivery: Delivery | None = None,
        local_echo: bool = False,
        watched: bool = True,
        transparent: bool = False,
    ) -> None:
        """A wire with a device on it.

        Args:
            device: who listens.
            settings: speed and format; flow control has no part here.
            shared_pair: both directions share one pair of wires, as RS-485 mostly does; else each has its own.
            delivery: how the gateway's receiver hands over what arrives; a UART's FIFO if not given.
            local_echo: the gateway hears what it sends, as adapters do whose receiver is always on.
            watched: the gateway speaks Modbus RTU, so the silence before its frames is looked at.
            transparent: nobody says what the gateway is set to, so it always fits a `TunedDevice`.
        """
        self.collisions = 0
        self.spoilt = 0
        self.hasty = 0
        self._settings = settings
        self._transparent = transparent
        self._tuned = device if isinstance(device, TunedDevice) else None
        self._watch = SilenceWatch(settings) if watched else None
        self._device = device
        self._shared = shared_pair
        self._local_echo = local_echo
        self._hearing: Delivery = Fifo()
        self._delivery = delivery or Fifo()
        self._character = settings.character_time
        self._silence = silent_interval(settings)
        self._capacity = max(MIN_CAPACITY, int(CAPACITY_TIME / self._character))
        self._out: deque[Burst] = deque()  # to the device
        self._sent_with: deque[LineSettings] = deque()  # how each of those was sent, if the device is tuned
        self._in: deque[Burst] = deque()  # to the gateway, by their starts
        self._out_end = 0.0  # when the gateway's last character ends
        self._in_ends: dict[int, float] = {}  # when each sender's last one does
        self._in_passed: float | None = None  # when the last burst ended that has been handed over
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
        if not data:
            return
        if self._watch:
            self._watch.sent(data, start, self._out_end, self._heard_until(start))
        burst = Burst(start, bytearray(data), self._character)
        self._out.append(burst)
        if self._tuned:
            self._sent_with.append(self._settings)
        if self._shared:
            self._collide(burst, (other for other in self._in if not other.heard))
        if self._local_echo:
            # The same characters, so what spoils them spoils the echo.
            tuned = partial(self._received, self._settings) if self._tuned else None
            self._insert(Burst(start, burst.data, self._character, heard=True, tuned=tuned))

    def configure(self, settings: LineSettings, now: float) -> None:
        """The gateway's speed and format from now on. What it has sent passes as it was."""
        self._run(now)
        if settings != self._settings:
            self.hasty += self._out_end > now
            self._settings = settings
            self._character = settings.character_time
            self._capacity = max(MIN_CAPACITY, int(CAPACITY_TIME / self._character))

    @property
    def settings(self) -> LineSettings | None:
        """The gateway's, where they matter: a device with a UART of its own hears nothing else."""
        return self._settings if self._tuned and not self._transparent else None

    @property
    def sent_until(self) -> float:
        """When the last character of the gateway ends."""
        return self._out_end

    def receive(self, now: float) -> bytes:
        """What has arrived at the gateway since the last call."""
        self._run(now)
        arrived = bytes(self._arrived)
        self._arrived.clear()
        return arrived

    def deadline(self) -> float | None:
        """When the next chunk ends, a silence is long enough, or a full wire has room again."""
        coming = (self._hearing.due(self._out), self._silence_time(), self._delivery.due(self._in), self._woken())
        times = [time for time in coming if time is not None]
        if self._full:
            times.append(self._room_time())
        return min(times, default=None)

    def counts(self) -> Mapping[str, float | None]:
        """The device's figures, the watch's and collisions."""
        watched = self._watch.counts() if self._watch else {}
        tuned = {"spoilt_characters": self.spoilt, "hasty": self.hasty} if self._tuned else {}
        return {**self._device.counts(), **watched, **tuned, "collisions": self.collisions}

    def _run(self, now: float) -> None:
        """Let everything happen that is due, in order."""
        while True:
            heard, silent, arrives = self._hearing.due(self._out), self._silence_time(), self._delivery.due(self._in)
            woken = self._woken()
            due = min((time for time in (heard, silent, arrives, woken) if time is not None), default=None)
            if due is None or due > now:
                break
            if due == heard:
                self._hear(due)
            elif due == woken and self._tuned:
                self._answer(self._tuned.expire(due), due)
            elif due == silent:
                self._heard_end = None
                self._answer(self._device.silence(due), due)
            else:
                self._hand_over(due)
        if now >= self._room_time():
            self._full = False

    def _hear(self, due: float) -> None:
        """Let the device hear what is due."""
        if self._tuned is None:
            self._heard_end = due
            self._answer(self._device.feed(self._hearing.take(self._out, due), due), due)
            return
        left, sent = len(self._out), self._sent_with[0]
        data = self._hearing.take(self._out, due)
        if len(self._out) < left:
            self._sent_with.popleft()
        tuned = self._tuned
        self._answer(tuned.feed(data, due) if self._transparent else tuned.hear(data, sent, due), due)

    def _woken(self) -> float | None:
        return self._tuned.deadline() if self._tuned else None

    def _received(self, sent: LineSettings, data: bytes) -> bytes:
        """What the gateway makes of characters that were sent so."""
        if self._transparent:
            self._settings, self._character = sent, sent.character_time
            return data
        heard, wrong = received(data, sent, self._settings)
        self.spoilt += len(wrong)
        return heard

    def _hand_over(self, due: float) -> None:
        last = max((burst.end for burst in self._in if not burst.heard and burst.start < due), default=None)
        self._arrived += self._delivery.take(self._in, due)
        if last is not None:
            self._in_passed = last if self._in_passed is None else max(last, self._in_passed)

    def _heard_until(self, start: float) -> float | None:
        """Until when, before `start`, somebody else was sending."""
        ends = [burst.end for burst in self._in if not burst.heard and burst.start < start]
        if self._in_passed is not None:
            ends.append(self._in_passed)
        return min(start, max(ends)) if ends else None

    def _room_time(self) -> float:
        return self._out_end - self._capacity / 2 * self._character if self._full else 0.0

    def _silence_time(self) -> float | None:
        if self._heard_end is None:
            return None
        time = self._heard_end + self._silence
        # A character that begins in time keeps the frame open, though it is heard later.
        return None if self._out and self._out[0].next < time else time

    def _answer(self, answers: Sequence[Answer], now: float) -> None:
        for answer in answers:
            sent = answer.settings
            character = sent.character_time if sent else self._character
            start = max(now + answer.delay, self._in_ends.get(answer.sender, 0.0))
            now = self._in_ends[answer.sender] = start + len(answer.data) * character
            if not answer.data:
                continue
            tuned = partial(self._received, sent) if sent else None
            burst = Burst(start, bytearray(answer.data), character, answer.sender, tuned=tuned)
            self._collide(burst, [other for other in self._in if other.sender != answer.sender and not other.heard])
            if self._shared:
                self._collide(burst, self._out)
            self._insert(burst)

    def _insert(self, burst: Burst) -> None:
        if self._in and burst.start < self._in[-1].start:
            insort(self._in, burst, key=lambda other: other.start)
        else:
            self._in.append(burst)

    def _collide(self, one: Burst, others: Iterable[Burst]) -> None:
        """Spoil what meets in `one` and the others."""
        touch = self._character * 1e-6  # ends that only meet, give or take rounding
        for other in others:
            begin, end = max(one.start, other.start), min(one.end, other.end)
            if end - begin <= touch:
                continue
            self.collisions += 1
            for burst in (one, other):
                first = int((begin + touch - burst.start) / burst.character)
                last = int((end - touch - burst.start) / burst.character)
                met = set(range(first, last + 1)) - burst.spoiled
                burst.spoiled |= met
                for index in met:
                    burst.data[index] ^= 0xFF

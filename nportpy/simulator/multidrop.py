"""Several devices on one line, each with a speed and format of its own."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from nportpy.linesettings import LineSettings
from nportpy.protocols.modbus.rtu import silent_interval
from nportpy.simulator.delivery import CHUNK
from nportpy.simulator.device import Answer, Device, TunedDevice
from nportpy.simulator.uart import received

_SENDERS = 1 << 20
"""Sender numbers that each device on a line has for itself."""


class Fixed:
    """A `TunedDevice` made of a device that has always the same settings."""

    def __init__(self, device: Device, settings: LineSettings) -> None:
        """`device`, set to `settings`."""
        self._device = device
        self._settings = settings
        # What comes next is known when a chunk of it has come, so a silence is told that much later than it began.
        self._silence = silent_interval(settings) + CHUNK * settings.character_time
        self._deadline: float | None = None

    def feed(self, data: bytes, now: float) -> Sequence[Answer]:
        """Characters at its own speed."""
        self._deadline = now + self._silence
        return [replace(answer, settings=self._settings) for answer in self._device.feed(data, now)]

    def hear(self, data: bytes, sent: LineSettings, now: float) -> Sequence[Answer]:
        """Characters, as it hears them."""
        heard, _ = received(data, sent, self._settings)
        return self.feed(heard, now) if heard else ()

    def silence(self, now: float) -> Sequence[Answer]:
        """A frame has ended."""
        return [replace(answer, settings=self._settings) for answer in self._device.silence(now)]

    def deadline(self) -> float | None:
        """When the silence is long enough."""
        return self._deadline

    def expire(self, now: float) -> Sequence[Answer]:
        """It is."""
        self._deadline = None
        return self.silence(now)

    def counts(self) -> Mapping[str, int]:
        """The device's figures."""
        return self._device.counts()


class MultiDrop:
    """A `TunedDevice`: several that hear the same. They do not hear each other."""

    def __init__(self, devices: Sequence[TunedDevice]) -> None:
        """All of those."""
        self._devices = tuple(devices)

    def feed(self, data: bytes, now: float) -> Sequence[Answer]:
        """Characters at everybody's own speed."""
        return self._gathered([device.feed(data, now) for device in self._devices])

    def hear(self, data: bytes, sent: LineSettings, now: float) -> Sequence[Answer]:
        """Characters, as each hears them."""
        return self._gathered([device.hear(data, sent, now) for device in self._devices])

    def silence(self, now: float) -> Sequence[Answer]:
        """A frame has ended."""
        return self._gathered([device.silence(now) for device in self._devices])

    def deadline(self) -> float | None:
        """The earliest one."""
        return min((time for device in self._devices if (time := device.deadline()) is not None), default=None)

    def expire(self, now: float) -> Sequence[Answer]:
        """Those whose time has come."""
        due = [(device.deadline(), device) for device in self._devices]
        return self._gathered([() if when is None or when > now else device.expire(now) for when, device in due])

    def counts(self) -> Mapping[str, int]:
        """What all have counted, by name."""
        total: Counter[str] = Counter()
        for device in self._devices:
            total.update(device.counts())
        return total

    def _gathered(self, answers: Sequence[Sequence[Answer]]) -> list[Answer]:
        """Their answers. A delay counts from the end of the one before, which is nothing to another device."""
        said = [(number, said) for number, said in enumerate(answers) if said]
        if len(said) > 1:
            return _at_once(said)
        return [replace(answer, sender=number * _SENDERS + answer.sender) for number, own in said for answer in own]


def _at_once(said: Sequence[tuple[int, Sequence[Answer]]]) -> list[Answer]:
    """Answers of several devices, each of which counts its delays from now."""
    gathered: list[Answer] = []
    passed = 0.0
    for number, own in said:
        time = 0.0
        for answer in own:
            begin = time + answer.delay
            gathered.append(replace(answer, sender=number * _SENDERS + answer.sender, delay=begin - passed))
            character = answer.settings.character_time if answer.settings else 0.0
            time = passed = begin + len(answer.data) * character
    return gathered

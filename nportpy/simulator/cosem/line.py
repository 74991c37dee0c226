"""Meters on a line: each hears everything, and answers what is addressed to it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Protocol

from nportpy.simulator.cosem.frames import Frame, Reader
from nportpy.simulator.cosem.meter import Meter
from nportpy.simulator.device import Answer


class Spoils(Protocol):
    """What goes wrong on the line; `faults.py` has one."""

    @property
    def struck(self) -> int:
        """How often anything has."""

    def attach(self, meter: Meter) -> None:
        """Let things go wrong in a meter's services, too."""

    def answers(self, meter: Meter, frame: Frame, now: float) -> list[Answer]:
        """What is sent instead of the meter's answer to a frame."""


def answer(meter: Meter, frames: Sequence[Frame], sender: int) -> list[Answer]:
    """Frames as the meter sends them: the first after it has thought, the others behind it."""
    encoded = [Answer(frame.encode(), sender=sender) for frame in frames]
    return [replace(encoded[0], delay=meter.settings.delay), *encoded[1:]] if encoded else []


class MeterLine:
    """A `Device`: meters on one line.

    Attributes:
        meters: those on it.
    """

    def __init__(self, meters: Sequence[Meter], *, character: float = 0.0, spoils: Spoils | None = None) -> None:
        """A line on which a character takes `character` seconds, for the pause that ends a frame.

        Raises:
            ValueError: two meters have one address.
        """
        addresses = sorted((meter.settings.address.upper, meter.settings.address.lower) for meter in meters)
        for one, other in pairwise(addresses):
            if one == other:
                raise ValueError(f"two meters have the address {one[0]}/{one[1]}")
        self.meters = tuple(meters)
        self._reader = Reader()
        self._character = character
        self._spoils = spoils
        self._gap = max(meter.settings.gap for meter in meters)
        self._heard = 0.0
        self._answers = 0
        self._requests = 0
        if spoils:
            for meter in meters:
                spoils.attach(meter)

    def feed(self, data: bytes, now: float) -> Sequence[Answer]:
        """Let the meters hear."""
        if now - len(data) * self._character - self._heard > self._gap:
            self._reader.reset()
        self._heard = now
        answers: list[Answer] = []
        for frame in self._reader.feed(data):
            for number, meter in enumerate(self.meters):
                if meter.is_for(frame):
                    self._requests += 1
                    answers += self._answer(meter, number, frame, now)
        return answers

    def silence(self, now: float) -> Sequence[Answer]:  # noqa: ARG002 - frames end by their length
        """Nothing."""
        return ()

    def counts(self) -> Mapping[str, int]:
        """Frames for a meter, answers, associations refused, flags that began no frame, faults that struck."""
        return {
            "requests": self._requests,
            "answers": self._answers,
            "refused": sum(meter.server.refused for meter in self.meters),
            "spoilt": self._reader.spoilt,
            **({"struck": self._spoils.struck} if self._spoils else {}),
        }

    def _answer(self, meter: Meter, number: int, frame: Frame, now: float) -> list[Answer]:
        if self._spoils:
            answers = self._spoils.answers(meter, frame, now)
        else:
            answers = answer(meter, meter.link.hear(frame, now), number)
        self._answers += bool(answers)
        return [replace(piece, sender=number) for piece in answers]

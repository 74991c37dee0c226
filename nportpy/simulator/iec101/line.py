"""Outstations on a line: each hears everything, and answers what is addressed to it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from nportpy.linesettings import LineSettings
from nportpy.simulator.device import Answer
from nportpy.simulator.iec101.frames import PRIMARY, Frame, Reader
from nportpy.simulator.iec101.outstation import Outstation
from nportpy.simulator.uart import received

GAP = 0.5
"""Seconds without a character that end a frame: gateways and radio links leave gaps inside frames."""


class Spoils(Protocol):
    """What goes wrong on the line; `faults.py` has one."""

    @property
    def struck(self) -> int:
        """How often anything has."""

    def answers(self, outstation: Outstation, frame: Frame, now: float) -> list[Answer]:
        """What is sent to a frame for that outstation."""


def answer(outstation: Outstation, frame: Frame, now: float) -> list[Answer]:
    """What an outstation sends by itself."""
    said = outstation.hear(frame, now)
    return [Answer(said, outstation.settings.delay)] if said else []


class OutstationLine:
    """A `TunedDevice`: outstations on one line.

    Attributes:
        outstations: those on it, by link address.
        settings: speed and format of the line.
    """

    def __init__(
        self,
        outstations: Sequence[Outstation],
        settings: LineSettings | None = None,
        *,
        spoils: Spoils | None = None,
    ) -> None:
        """Outstations with different link addresses and the same sizes; 9600 8E1 if nothing else is said.

        Raises:
            ValueError: there is none, two have one link address, or they disagree on sizes.
        """
        if not outstations:
            raise ValueError("a line without outstations")
        self._sizes = outstations[0].settings.sizes
        self.outstations = {0 if not self._sizes.link else one.settings.link: one for one in outstations}
        if len(self.outstations) < len(outstations):
            raise ValueError("two outstations have one link address")
        if any(one.settings.sizes != self._sizes for one in outstations):
            raise ValueError("outstations on one line have different sizes")
        self.settings = settings or LineSettings.parse(9600, "8E1")
        self._reader = Reader(self._sizes.link)
        self._spoils = spoils
        self._heard_until = float("-inf")
        self._counted: Counter[str] = Counter()

    def feed(self, data: bytes, now: float) -> Sequence[Answer]:
        """Characters at the line's own speed."""
        return self.hear(data, self.settings, now)

    def hear(self, data: bytes, sent: LineSettings, now: float) -> Sequence[Answer]:
        """Characters that were sent so. One with a wrong parity spoils the frame that it is in."""
        if now - len(data) * sent.character_time - self._heard_until > GAP:
            self._reader.reset()
        self._heard_until = now
        heard, wrong = received(data, sent, self.settings)
        if wrong:
            self._counted["spoilt_characters"] += len(wrong)
            self._reader.reset()
            heard = heard[max(wrong) + 1 :]
        return [answer for frame in self._reader.feed(heard) for answer in self._answers(frame, now)]

    def silence(self, now: float) -> Sequence[Answer]:  # noqa: ARG002 - frames end by their length
        """Nothing."""
        return ()

    def deadline(self) -> float | None:
        """None: no outstation says anything unasked."""
        return None

    def expire(self, now: float) -> Sequence[Answer]:  # noqa: ARG002
        """Nothing."""
        return ()

    def counts(self) -> Mapping[str, int]:
        """What all of them have counted, and what was no frame."""
        total = Counter(self._counted)
        for outstation in self.outstations.values():
            total.update(outstation.counts())
        total["spoilt"] += self._reader.spoilt
        if self._spoils:
            total["struck"] += self._spoils.struck
        return total

    def _answers(self, frame: Frame, now: float) -> list[Answer]:
        if frame.address == self._sizes.all_links:
            self._counted["broadcasts"] += bool(frame.control & PRIMARY)
            for outstation in self.outstations.values():
                outstation.hear(frame, now, broadcast=True)
            return []
        asked = self.outstations.get(frame.address)
        if asked is None:
            return []
        said = self._spoils.answers(asked, frame, now) if self._spoils else answer(asked, frame, now)
        return [replace(piece, sender=frame.address, settings=piece.settings or self.settings) for piece in said]

"""What commands.py is told, and what it tells of itself."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from nportpy.protocols.packing import Packing, PackingSettings


class Unrequested(StrEnum):
    """Who gets what the line says while no answer is awaited."""

    DISCARD = "discard"  # nobody
    LAST = "last"  # who asked last, if it is still there
    ALL = "all"


SILENCE: Final = PackingSettings(Packing.GAP, gap=4.0, latency=0.02)
"""What ends an answer unless something else is said: four characters of silence, and 20 ms at least."""


@dataclass(frozen=True, slots=True)
class CommandSettings:
    """How the clients of a raw port take turns. Times are seconds.

    Attributes:
        response_timeout: how long the line may be silent while an answer is awaited, counted from the moment the
            request has left, until it is the next one's turn; 0: for ever, or for a second if its client has gone.
        requests: what ends a request. By default it is what came in one read, up to `packing.BUFFER` bytes. A gap is
            counted in characters of the line; `latency` is what the network may add to it.
        answers: what ends an answer: silence (a gap in characters, or force transmit as a time), a delimiter, a packing
            length, or a Modbus RTU frame. The first segment that this packing makes is the answer; what the timeout
            finds unfinished goes to the client as it is.
        pause: silence between an answer and the next request. With `answers` by RTU frames it is t3.5 at least.
        unrequested: who gets what nobody asked for.
        queue: requests of one client that may wait. A client that sends more is not read until there is room.
    """

    response_timeout: float = 1.0
    requests: PackingSettings = field(default_factory=PackingSettings)
    answers: PackingSettings = SILENCE
    pause: float = 0.0
    unrequested: Unrequested = Unrequested.DISCARD
    queue: int = 32

    def __post_init__(self) -> None:
        """Refuse what would end no answer.

        Raises:
            ValueError: `answers` names no end.
        """
        if self.answers == PackingSettings(latency=self.answers.latency, gap=self.answers.gap):
            raise ValueError("nothing would end an answer: give silence, a delimiter, a length or RTU frames")


@dataclass(frozen=True, slots=True)
class CommandStatus:
    """Numbers since the start, but for `queued`.

    Attributes:
        sent: requests sent.
        answered: of those, answered in time.
        timeouts: of those, not answered, or not to the end.
        unsent: requests that were forgotten, as their client went, or the line.
        queued: requests that wait.
        unrequested: bytes that nobody asked for.
    """

    sent: int
    answered: int
    timeouts: int
    unsent: int
    queued: int
    unrequested: int

"""What goes wrong on a simulated bus: a device round a `Bus` that spoils its answers as a script says.

One request may be struck by several faults. Those that change what the answer says come first, then those that change
its characters, both in the script's order. What can be wrong with a line as a whole is the wire's: its adapter's
latency, and an echo of everything that the gateway sends.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from random import Random
from typing import Generic, Protocol, TypeVar

from nportpy.errors import ProtocolError
from nportpy.protocols.modbus.functions import check_request, read_span, write_span
from nportpy.protocols.modbus.pdu import ExceptionCode, Refusal
from nportpy.protocols.modbus.rtu import BROADCAST, Frame
from nportpy.simulator.bus import Bus
from nportpy.simulator.device import Answer

_COUNTED = frozenset((1, 2, 3, 4, 12, 17, 20, 21, 23))
"""Functions whose answers have a byte count after the function code."""


@dataclass(frozen=True, slots=True)
class Where:
    """Which requests a fault strikes.

    Attributes:
        units: unit ids; None: all. Of a broadcast it is who would answer.
        functions: function codes; None: all.
        addresses: PDU addresses, one of which the request reads or writes; None: all, and requests without any.
        every: each so many of the requests that all this is true of; the first one struck is the so-manieth.
        share: the part of them that is struck, 0 to 1, by dice that fall alike each time.
        limit: strike no more often than this; None: for ever.
    """

    units: tuple[range, ...] | None = None
    functions: tuple[range, ...] | None = None
    addresses: tuple[range, ...] | None = None
    every: int = 1
    share: float = 1.0
    limit: int | None = None

    def holds(self, unit: int, pdu: bytes) -> bool:
        """Whether unit, function and addresses are those."""
        return (
            (self.units is None or any(unit in part for part in self.units))
            and (self.functions is None or any(pdu[0] in part for part in self.functions))
            and (self.addresses is None or any(_touches(pdu, part) for part in self.addresses))
        )


def _touches(pdu: bytes, addresses: range) -> bool:
    try:
        check_request(pdu)
    except ProtocolError:
        return False
    spans = (read_span(pdu), write_span(pdu))
    return any(
        span.address < addresses.stop and addresses.start < span.address + span.quantity for span in spans if span
    )


class Framed(Protocol):
    """What knows the framing."""

    def spoil(self, wire: bytes) -> bytes:
        """A frame with a wrong check sum."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What there is to spoil an answer with.

    Attributes:
        unit: whose it is.
        asked: the request's characters.
        receiver: knows the framing.
        dice: for what is left to chance.
    """

    unit: int
    asked: bytes
    receiver: Framed
    dice: Random


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that may happen to an answer. This one is none."""

    def frame(self, answer: Frame) -> Frame:
        """What it makes of what the answer says."""
        return answer

    def characters(self, answer: list[Answer], scene: Scene) -> list[Answer]:  # noqa: ARG002
        """What it makes of its characters."""
        return answer


@dataclass(frozen=True, slots=True)
class Delay(Fault):
    """The answer comes `delay` seconds later, and up to `jitter` more. Longer than a timeout it is a late answer."""

    delay: float
    jitter: float = 0.0

    def characters(self, answer: list[Answer], scene: Scene) -> list[Answer]:
        """All of it, later."""
        if not answer:
            return answer
        later = self.delay + scene.dice.random() * self.jitter
        return [replace(answer[0], delay=answer[0].delay + later), *answer[1:]]


@dataclass(frozen=True, slots=True)
class Refuse(Fault):
    """The request is not obeyed but answered with the exception `code`."""

    code: int = ExceptionCode.SERVER_DEVICE_FAILURE


@dataclass(frozen=True, slots=True)
class WrongUnit(Fault):
    """The answer names another unit: `unit`, or the next one if that is None."""

    unit: int | None = None

    def frame(self, answer: Frame) -> Frame:
        """The same from another unit."""
        return Frame((answer.unit + 1) % 256 if self.unit is None else self.unit, answer.pdu)


@dataclass(frozen=True, slots=True)
class WrongCount(Fault):
    """The byte count says `add` more than was asked for; with `data` that many zeros are there, or are missing.

    Answers without a byte count stay as they are.
    """

    add: int = 1
    data: bool = False

    def frame(self, answer: Frame) -> Frame:
        """With another count."""
        pdu = answer.pdu
        if pdu[0] not in _COUNTED:
            return answer
        count = min(max(pdu[1] + self.add, 0), 251 if self.data else 255)
        body = pdu[2:].ljust(count, b"\0")[:count] if self.data else pdu[2:]
        return Frame(answer.unit, bytes((pdu[0], count)) + body)


@dataclass(frozen=True, slots=True)
class BadCheck(Fault):
    """The CRC or LRC is wrong."""

    def characters(self, answer: list[Answer], scene: Scene) -> list[Answer]:
        """With a wrong check sum behind each piece that has one."""
        return [replace(piece, data=scene.receiver.spoil(piece.data)) if piece.data else piece for piece in answer]


@dataclass(frozen=True, slots=True)
class Missing(Fault):
    """The request is obeyed and its answer lost."""

    def characters(self, answer: list[Answer], scene: Scene) -> list[Answer]:  # noqa: ARG002
        """Nothing."""
        return []


@dataclass(frozen=True, slots=True)
class Twice(Fault):
    """The answer comes again, after `gap` seconds."""

    gap: float = 0.0

    def characters(self, answer: list[Answer], scene: Scene) -> list[Answer]:  # noqa: ARG002
        """All of it, twice."""
        return [*answer, replace(answer[0], delay=self.gap), *answer[1:]] if answer else answer


@dataclass(frozen=True, slots=True)
class Cut(Fault):
    """The last `drop` characters are missing."""

    drop: int = 1

    def characters(self, answer: list[Answer], scene: Scene) -> list[Answer]:  # noqa: ARG002
        """All but those."""
        return [*answer[:-1], replace(answer[-1], data=answer[-1].data[: -self.drop])] if answer else answer


@dataclass(frozen=True, slots=True)
class EchoBefore(Fault):
    """The request comes back before the answer, without its last `drop` characters, or without the answer if lost."""

    drop: int = 0

    def characters(self, answer: list[Answer], scene: Scene) -> list[Answer]:
        """The request, then the answer."""
        echo = scene.asked[: len(scene.asked) - self.drop]
        return [Answer(echo, sender=scene.unit), *answer]


class Place(StrEnum):
    """Where junk lies."""

    BEFORE = "before"
    AFTER = "after"
    INSIDE = "inside"


@dataclass(frozen=True, slots=True)
class Junk(Fault):
    """Characters that belong to no frame.

    Attributes:
        place: before, after or in the middle of the answer.
        data: the characters.
        times: how often they come.
        random: so many characters of chance instead of `data`; 0: none.
        gap: seconds between them and the answer.
    """

    place: Place = Place.BEFORE
    data: bytes = b"\x00"
    times: int = 1
    random: int = 0
    gap: float = 0.0

    def characters(self, answer: list[Answer], scene: Scene) -> list[Answer]:
        """The answer with junk."""
        if not answer:
            return answer
        junk = scene.dice.randbytes(self.random) if self.random else self.data * self.times
        first, last = answer[0], answer[-1]
        match self.place:
            case Place.BEFORE:
                return [replace(first, data=junk), replace(first, delay=self.gap), *answer[1:]]
            case Place.AFTER:
                return [*answer, replace(last, data=junk, delay=self.gap)]
            case Place.INSIDE:
                half = len(last.data) // 2
                around = (last.data[:half], 0.0), (junk, self.gap), (last.data[half:], self.gap)
                pieces = [replace(last, data=data, delay=delay) for data, delay in around]
                return [*answer[:-1], replace(pieces[0], delay=last.delay), *pieces[1:]]


@dataclass(frozen=True, slots=True)
class Pause(Fault):
    """After its first `after` characters the answer pauses for `pause` seconds."""

    pause: float
    after: int = 3

    def characters(self, answer: list[Answer], scene: Scene) -> list[Answer]:  # noqa: ARG002
        """In two pieces."""
        if not answer:
            return answer
        first = answer[0]
        head, tail = first.data[: self.after], first.data[self.after :]
        return [replace(first, data=head), replace(first, data=tail, delay=self.pause), *answer[1:]]


@dataclass(frozen=True, slots=True)
class AnswerBroadcast(Fault):
    """A broadcast is answered."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A fault and where it strikes."""

    fault: Fault
    where: Where = Where()


@dataclass(frozen=True, slots=True)
class Script:
    """Everything that goes wrong. The same script and seed strike the same requests each time."""

    rules: tuple[Rule, ...] = ()
    seed: int = 0


class Chance(Protocol):
    """How often a fault strikes of what it could: see `Where`."""

    @property
    def every(self) -> int: ...  # noqa: D102
    @property
    def share(self) -> float: ...  # noqa: D102
    @property
    def limit(self) -> int | None: ...  # noqa: D102


W = TypeVar("W", bound=Chance)


class Dice(Generic[W]):
    """Which rules strike, the same each time."""

    def __init__(self, chances: Sequence[W], seed: int) -> None:
        """Rules with these chances, and the seed of their dice."""
        self._chances = [
            (chance, Random(f"{seed} {number}"))  # noqa: S311 - it has to be the same each time
            for number, chance in enumerate(chances)
        ]
        self._matched: Counter[int] = Counter()  # by the rule's number
        self._struck: Counter[int] = Counter()

    @property
    def total(self) -> int:
        """How often any has struck."""
        return self._struck.total()

    def throw(self, holds: Callable[[W], bool]) -> list[tuple[int, Random]]:
        """The numbers of those that strike, of those for which `holds`, and their dice."""
        struck = []
        for number, (chance, dice) in enumerate(self._chances):
            if not holds(chance):
                continue
            self._matched[number] += 1
            falls = chance.share >= 1.0 or dice.random() < chance.share
            left = chance.limit is None or self._struck[number] < chance.limit
            if falls and left and self._matched[number] % chance.every == 0:
                self._struck[number] += 1
                struck.append((number, dice))
        return struck


class Faulty:
    """A bus on which things go wrong."""

    def __init__(self, bus: Bus, script: Script) -> None:
        """Round `bus`, which is to be asked through this device alone."""
        self._bus = bus
        self._rules = script.rules
        self._dice = Dice([rule.where for rule in script.rules], script.seed)

    def feed(self, data: bytes, now: float) -> Sequence[Answer]:
        """Let the bus hear, and spoil its answers."""
        return self._answer(self._bus.receiver.feed(data, now), now)

    def silence(self, now: float) -> Sequence[Answer]:
        """The same after a silence."""
        return self._answer(self._bus.receiver.silence(now), now)

    def counts(self) -> Mapping[str, int]:
        """The bus's figures, and how often a fault struck."""
        return {**self._bus.counts(), "struck": self._dice.total}

    def _answer(self, frames: Sequence[Frame], now: float) -> list[Answer]:
        answers: list[Answer] = []
        for request in frames:
            broadcast = request.unit == BROADCAST
            asked = self._bus.units.keys() if broadcast else {request.unit} & self._bus.units.keys()
            struck = {unit: self._strike(unit, request.pdu) for unit in asked}
            for unit, reply in self._replies(request, struck, now):
                faults = [rule.fault for rule, _ in struck[unit]]
                if not broadcast or any(isinstance(fault, AnswerBroadcast) for fault in faults):
                    answers += self._spoil(unit, reply, request, struck[unit])
        return answers

    def _replies(
        self, request: Frame, struck: Mapping[int, Sequence[tuple[Rule, Random]]], now: float
    ) -> list[tuple[int, Frame]]:
        """What each unit says by itself, or is made to refuse."""
        faults = [rule.fault for rule, _ in struck.get(request.unit, ())]
        refusal = next((fault for fault in faults if isinstance(fault, Refuse)), None)
        if refusal:
            return [(request.unit, Frame(request.unit, Refusal(request.pdu[0], refusal.code).encode()))]
        return [(reply.unit, reply) for reply in self._bus.obey(request, now)]

    def _strike(self, unit: int, pdu: bytes) -> list[tuple[Rule, Random]]:
        """The rules that strike this request."""
        return [(self._rules[number], dice) for number, dice in self._dice.throw(lambda where: where.holds(unit, pdu))]

    def _spoil(self, unit: int, reply: Frame, request: Frame, struck: Sequence[tuple[Rule, Random]]) -> list[Answer]:
        receiver = self._bus.receiver
        for rule, _ in struck:
            reply = rule.fault.frame(reply)
        pieces = [replace(self._bus.answer(reply), sender=unit)]
        for rule, dice in struck:
            pieces = rule.fault.characters(pieces, Scene(unit, receiver.encode(request), receiver, dice))
        return pieces

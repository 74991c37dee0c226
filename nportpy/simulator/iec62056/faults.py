"""What goes wrong with a meter of IEC 62056-21, by script.

What can happen to the characters of any answer (late, lost, cut, doubled, with noise, a pause, a wrong check) is in
nportpy/simulator/faults.py and holds here too. What is odd in values is the contents': `contents.ODD_LINES`. An echo of
everything, as optical heads have it, is the wire's.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from nportpy.linesettings import LineSettings, Parity
from nportpy.simulator.device import Answer
from nportpy.simulator.faults import Dice, Fault, Scene
from nportpy.simulator.iec62056.messages import ETX, SOH, SPEEDS, STX, bcc
from nportpy.simulator.iec62056.meter import Kind
from nportpy.simulator.iec62056.settings import MeterSettings

_DECIMAL = re.compile(rb"(?<=[0-9])\.(?=[0-9]+[*)])")


@dataclass(frozen=True, slots=True)
class Where:
    """Which messages of the meter a fault strikes.

    Attributes:
        messages: identification, readout, operand, answer; None: all.
        every, share, limit: see `nportpy.simulator.faults.Where`.
    """

    messages: frozenset[str] | None = None
    every: int = 1
    share: float = 1.0
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Text(Fault):
    """Changes what a message says."""

    def text(self, data: bytes) -> bytes:
        """The message then."""
        return data

    def characters(self, answer: list[Answer], scene: Scene) -> list[Answer]:  # noqa: ARG002
        """Each piece that says something else."""
        return [replace(piece, data=self.text(piece.data)) for piece in answer]


@dataclass(frozen=True, slots=True)
class NoStx(Text):
    """STX is missing, and with it ETX and the check: as old meters of modes A and B have it."""

    def text(self, data: bytes) -> bytes:
        """From behind STX to before ETX."""
        return data[1:-2] if data[:1] == bytes((STX,)) else data


@dataclass(frozen=True, slots=True)
class LostStart(Text):
    """Only STX is lost."""

    def text(self, data: bytes) -> bytes:
        """All but the first character."""
        return data[1:]


@dataclass(frozen=True, slots=True)
class BareEnd(Text):
    """The `!` at the end comes without CR LF; the check is as if they were there, so it never matches."""

    def text(self, data: bytes) -> bytes:
        """Without them."""
        return data.replace(b"!\r\n", b"!")


@dataclass(frozen=True, slots=True)
class Comma(Text):
    """Decimal commas, with a check that is right."""

    def text(self, data: bytes) -> bytes:
        """With commas."""
        return _checked(_DECIMAL.sub(b",", data))


@dataclass(frozen=True, slots=True)
class FlippedBit(Fault):
    """One bit of a character by chance is wrong, and so is its parity."""

    def characters(self, answer: list[Answer], scene: Scene) -> list[Answer]:
        """In three pieces, of which the second is that character."""
        if not answer or not answer[0].data:
            return answer
        first = answer[0]
        place = scene.dice.randrange(len(first.data))
        wrong = bytes((first.data[place] ^ 1 << scene.dice.randrange(7),))
        odd = replace(first.settings or LineSettings.parse(300, "7E1"), parity=Parity.ODD)
        return [
            replace(first, data=first.data[:place]),
            replace(first, data=wrong, delay=0.0, settings=odd),
            replace(first, data=first.data[place + 1 :], delay=0.0),
            *answer[1:],
        ]


@dataclass(frozen=True, slots=True)
class WrongParity(Fault):
    """Every character has odd parity; what they say is right."""

    def characters(self, answer: list[Answer], scene: Scene) -> list[Answer]:  # noqa: ARG002
        """With odd parity."""
        return [
            replace(piece, settings=replace(piece.settings, parity=Parity.ODD)) if piece.settings else piece
            for piece in answer
        ]


@dataclass(frozen=True, slots=True)
class Overstates(Fault):
    """Its identification offers the speed `offered`; what is above its own is acknowledged and not done."""

    offered: str = "6"

    def characters(self, answer: list[Answer], scene: Scene) -> list[Answer]:  # noqa: ARG002
        """With another speed."""
        return [replace(piece, data=piece.data[:4] + self.offered.encode() + piece.data[5:]) for piece in answer]


@dataclass(frozen=True, slots=True)
class Stays(Fault):
    """It stays at 300 baud, whatever it has acknowledged."""


@dataclass(frozen=True, slots=True)
class Deaf(Fault):
    """It does not hear a message."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A fault and where it strikes."""

    fault: Fault
    where: Where = Where()

    @property
    def every(self) -> int:
        """See `Where`."""
        return self.where.every

    @property
    def share(self) -> float:
        """See `Where`."""
        return self.where.share

    @property
    def limit(self) -> int | None:
        """See `Where`."""
        return self.where.limit

    def is_of(self, kind: Kind) -> bool:
        """Whether it strikes such messages of the meter."""
        if isinstance(self.fault, (Stays, Deaf)):
            return False
        if isinstance(self.fault, Overstates):
            return kind is Kind.IDENTIFICATION
        return self.where.messages is None or kind.value in self.where.messages


class _Checks:
    """Knows where the check is."""

    def spoil(self, wire: bytes) -> bytes:
        """With another check; an identification has none."""
        if wire[:1] in (bytes((STX,)), bytes((SOH,))):
            return wire[:-1] + bytes((wire[-1] ^ 0x55,))
        return wire


class MeterFaults:
    """The faults of one meter, which is to be made with them."""

    def __init__(self, rules: Sequence[Rule] = (), seed: int = 0) -> None:
        """Those faults, and the seed of the dice."""
        self._rules = rules
        self._dice = Dice(rules, seed)
        self._checks = _Checks()
        self._offered = max((rule.fault.offered for rule in rules if isinstance(rule.fault, Overstates)), default="")

    @property
    def struck(self) -> int:
        """How often anything has."""
        return self._dice.total

    def deaf(self) -> bool:
        """Whether it hears nothing of a message."""
        return self._strike(Deaf)

    def speed(self, settings: MeterSettings, chosen: str) -> int | None:
        """The speed after an acknowledgement of `chosen`, where it is another one."""
        if self._strike(Stays):
            return 300
        if self._offered and settings.speed < chosen <= self._offered:
            return SPEEDS[settings.speed]
        return None

    def answers(self, kind: Kind, answer: Answer) -> list[Answer]:
        """What becomes of an answer."""
        pieces = [answer]
        for number, dice in self._dice.throw(lambda rule: rule.is_of(kind)):
            pieces = self._rules[number].fault.characters(pieces, Scene(0, b"", self._checks, dice))
        return pieces

    def _strike(self, wanted: type[Fault]) -> bool:
        return bool(self._dice.throw(lambda rule: isinstance(rule.fault, wanted)))


def _checked(data: bytes) -> bytes:
    """With the check that it should have."""
    if data[:1] != bytes((STX,)) or data[-2] != ETX:
        return data
    return data[:-1] + bytes((bcc(data[1:-1]),))

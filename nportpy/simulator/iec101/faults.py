"""What goes wrong with outstations of IEC 60870-5-101, by script.

What can happen to the characters of any answer (late, lost, cut, doubled, with an echo, noise, a pause, a wrong check)
is in nportpy/simulator/faults.py and holds here too.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nportpy.simulator.device import Answer
from nportpy.simulator.faults import Dice, Fault, Scene
from nportpy.simulator.iec101.frames import FIXED, SINGLE, VARIABLE, Asks, Frame, Says
from nportpy.simulator.iec101.line import answer
from nportpy.simulator.iec101.outstation import Outstation

REQUESTS = {
    "reset": Asks.RESET,
    "data": Asks.DATA,
    "access": Asks.ACCESS,
    "status": Asks.STATUS,
    "class-1": Asks.CLASS_1,
    "class-2": Asks.CLASS_2,
}


@dataclass(frozen=True, slots=True)
class Where:
    """Which requests a fault strikes; None is all.

    Attributes:
        stations: link addresses.
        requests: reset, data, access, status, class-1, class-2.
        every, share, limit: see `nportpy.simulator.faults.Where`.
    """

    stations: tuple[range, ...] | None = None
    requests: frozenset[str] | None = None
    every: int = 1
    share: float = 1.0
    limit: int | None = None

    def holds(self, station: int, function: int) -> bool:
        """Whether it is such a request, to such a station."""
        return (self.stations is None or any(station in part for part in self.stations)) and (
            self.requests is None or any(REQUESTS[name] == function for name in self.requests)
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """A fault and where it strikes."""

    fault: Fault
    where: Where = Where()


@dataclass(frozen=True, slots=True)
class WrongAddress(Fault):
    """The answer has another link address: `add` more."""

    add: int = 1

    def characters(self, answer: list[Answer], scene: Scene) -> list[Answer]:
        """With that address and a check that is right."""
        checks = scene.receiver
        assert isinstance(checks, Checks)
        return [replace(piece, data=checks.readdressed(piece.data, self.add)) for piece in answer]


@dataclass(frozen=True, slots=True)
class StuckAcd(Fault):
    """The answer says that there is class 1 data, whatever there is."""


@dataclass(frozen=True, slots=True)
class Busy(Fault):
    """The answer has DFC, and user data is refused."""


@dataclass(frozen=True, slots=True)
class Nack(Fault):
    """The request is not obeyed and answered with NACK. That is an answer: the next request has the other FCB."""


@dataclass(frozen=True, slots=True)
class NotFunctioning(Fault):
    """The request is not obeyed: the link service does not function, or is not implemented."""

    implemented: bool = True


@dataclass(frozen=True, slots=True)
class Deaf(Fault):
    """The request is not heard."""


@dataclass(frozen=True, slots=True)
class Restart(Fault):
    """The outstation restarts instead of hearing the request; if `warns`, it will tell the end of initialisation."""

    warns: bool = False


class Checks:
    """Knows where address and check are."""

    def __init__(self, size: int) -> None:
        """Of frames with link addresses of so many bytes."""
        self._size = size

    def spoil(self, wire: bytes) -> bytes:
        """With another check; a single character has none."""
        if len(wire) < 4:
            return wire
        return wire[:-2] + bytes((wire[-2] ^ 0x55,)) + wire[-1:]

    def readdressed(self, wire: bytes, add: int) -> bytes:
        """With another address."""
        if wire == SINGLE or not wire or wire[0] not in (FIXED, VARIABLE) or not self._size:
            return wire
        head = 1 if wire[0] == FIXED else 4
        rest = head + 1 + self._size
        address = int.from_bytes(wire[head + 1 : rest], "little") + add
        return Frame(wire[head], address % (1 << 8 * self._size), wire[rest:-2]).encode(self._size)


class LineFaults:
    """The faults of one line, which is to be made with them."""

    def __init__(self, rules: Sequence[Rule] = (), seed: int = 0) -> None:
        """Those faults, and the seed of the dice."""
        self._rules = rules
        self._dice = Dice([rule.where for rule in rules], seed)

    @property
    def struck(self) -> int:
        """How often anything has."""
        return self._dice.total

    def answers(self, outstation: Outstation, frame: Frame, now: float) -> list[Answer]:
        """What is sent to a frame for that outstation."""
        station, size = outstation.settings.link, outstation.settings.sizes.link
        thrown = self._dice.throw(lambda where: where.holds(frame.address, frame.function))
        struck = [(self._rules[number].fault, dice) for number, dice in thrown]
        pieces = self._said(outstation, frame, now, [fault for fault, _ in struck])
        for fault, dice in struck:
            pieces = fault.characters(pieces, Scene(station, frame.encode(size), Checks(size), dice))
        return pieces

    def _said(self, outstation: Outstation, frame: Frame, now: float, faults: Sequence[Fault]) -> list[Answer]:
        """What it says, or is made to say."""
        outstation.refuses = None
        for fault in faults:
            match fault:
                case Deaf():
                    return []
                case Restart(warns):
                    outstation.restart(now, warns=warns)
                    return []
                case Nack():
                    outstation.refuses = Says.NACK
                case NotFunctioning(implemented):
                    outstation.refuses = Says.NOT_FUNCTIONING if implemented else Says.NOT_IMPLEMENTED
        outstation.stuck_acd = any(isinstance(fault, StuckAcd) for fault in faults)
        outstation.busy = any(isinstance(fault, Busy) for fault in faults)
        return answer(outstation, frame, now)

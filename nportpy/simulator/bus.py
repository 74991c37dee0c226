"""A bus with several units on it, in RTU or ASCII, as it should be: what misbehaves is in faults.py.

Source: MODBUS over Serial Line V1.02, 2.2 to 2.5.
"""

from collections.abc import Mapping, Sequence

from nportpy.modbus.settings import UNITS, Framing
from nportpy.protocols.modbus.pdu import EXCEPTION_BIT, FunctionCode
from nportpy.protocols.modbus.rtu import BROADCAST, Frame
from nportpy.simulator.device import Answer
from nportpy.simulator.receiver import receiver
from nportpy.simulator.unit import Contents, Unit

MAX_KNOWN = 4096
"""Requests whose answers an eager bus remembers."""

_NEVER = float("-inf")
_READS = frozenset(
    (
        FunctionCode.READ_COILS,
        FunctionCode.READ_DISCRETE_INPUTS,
        FunctionCode.READ_HOLDING_REGISTERS,
        FunctionCode.READ_INPUT_REGISTERS,
    )
)


class _Known:
    """What an eager bus remembers of a request: its answer, whose it is, and how often it was asked meanwhile."""

    __slots__ = ("answers", "hits", "refused", "unit")

    def __init__(self, answers: Sequence[Answer], unit: Unit, refused: bool) -> None:
        self.answers = answers
        self.unit = unit
        self.refused = refused
        self.hits = 0


class Bus:
    """Units on a line. They answer what is addressed to them, obey broadcasts, and keep silent otherwise.

    Attributes:
        receiver: what finds the requests.
        units: by unit id.
    """

    def __init__(
        self,
        contents: Mapping[int, Contents],
        *,
        framing: Framing = Framing.RTU,
        delay: float = 0.0,
        eager: bool = False,
    ) -> None:
        """A bus.

        Args:
            contents: what each unit holds, by unit id, 1 to 247.
            framing: of requests and answers.
            delay: seconds that every unit thinks before an answer.
            eager: answer as soon as a request is whole, not only after the silence, and remember answers until they
                could change: for wires without time.

        Raises:
            ValueError: a unit id is none.
        """
        wrong = sorted(number for number in contents if number not in UNITS)
        if wrong:
            raise ValueError(f"{wrong[0]} is not a unit id from 1 to 247")
        self.receiver = receiver(framing, eager=eager)
        self.units = {number: Unit(number, held, self.receiver) for number, held in contents.items()}
        self._delay = delay
        self._eager = eager
        self._answers = 0
        self._broadcasts = 0
        self._known: dict[bytes, _Known] = {}
        self._known_until = _NEVER

    def feed(self, data: bytes, now: float) -> Sequence[Answer]:
        """Answer the requests that `data` completes, where silence need not be awaited."""
        if now < self._known_until and not self.receiver.waiting:
            known = self._known.get(data)
            if known is not None:
                known.hits += 1
                return known.answers
        alone = not self.receiver.waiting
        frames = self.receiver.feed(data, now)
        replies = self._replies(frames, now)
        answers = [self.answer(reply) for reply in replies]
        if self._eager and alone and len(frames) == len(replies) == 1 and not self.receiver.waiting:
            self._remember(data, replies[0], answers, now)
        return answers

    def silence(self, now: float) -> Sequence[Answer]:
        """Answer the request that ends with this silence."""
        return [self.answer(reply) for reply in self._replies(self.receiver.silence(now), now)]

    def obey(self, frame: Frame, now: float) -> list[Frame]:
        """Do what a request says; every unit's answer, those to a broadcast too, which nobody should send."""
        if frame.pdu[0] not in _READS:
            self._forget()
        if frame.unit == BROADCAST:
            self._broadcasts += 1
            asked = list(self.units.items())
        else:
            asked = [(frame.unit, self.units[frame.unit])] if frame.unit in self.units else []
        replies = [(number, unit.reply(frame.pdu, now)) for number, unit in asked]
        return [Frame(number, reply) for number, reply in replies if reply is not None]

    def answer(self, frame: Frame) -> Answer:
        """A frame as an answer of the unit that it is from."""
        self._answers += 1
        return Answer(self.receiver.encode(frame), self._delay, frame.unit)

    def counts(self) -> Mapping[str, int]:
        """Requests heard, broadcasts among them, answers to them, and frames that were none."""
        hits = sum(known.hits for known in self._known.values())
        return {
            "requests": self.receiver.good + hits,
            "broadcasts": self._broadcasts,
            "answers": self._answers + hits,
            "spoilt": self.receiver.spoilt,
        }

    def _replies(self, frames: Sequence[Frame], now: float) -> list[Frame]:
        """What is answered to these requests."""
        return [reply for frame in frames for reply in self.obey(frame, now) if frame.unit != BROADCAST]

    def _remember(self, data: bytes, reply: Frame, answers: Sequence[Answer], now: float) -> None:
        """Keep the answers to the request `data`, if it only reads."""
        if reply.pdu[0] & ~EXCEPTION_BIT not in _READS:
            return
        if now >= self._known_until or len(self._known) >= MAX_KNOWN:
            self._forget()
        unit = self.units[reply.unit]
        steady = unit.contents.steady_until(now)
        self._known_until = min(self._known_until, steady) if self._known else steady
        self._known[data] = _Known(answers, unit, bool(reply.pdu[0] & EXCEPTION_BIT))

    def _forget(self) -> None:
        """Count what was answered from memory, and forget it."""
        for known in self._known.values():
            self.receiver.good += known.hits
            self._answers += known.hits
            known.unit.messages += known.hits
            if known.refused:
                known.unit.exceptions += known.hits
            else:
                known.unit.events += known.hits
        self._known.clear()
        self._known_until = _NEVER

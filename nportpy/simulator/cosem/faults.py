"""What goes wrong with meters on a line, by script: on the link, in the services, and in what values say.

What can happen to the characters of any answer (lost, late, cut, doubled, with noise or a pause) is in
nportpy/simulator/faults.py and holds here too. An echo of everything that the client sends is the wire's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from nportpy.simulator.cosem import logical, short
from nportpy.simulator.cosem.acse import AARQ, RLRQ
from nportpy.simulator.cosem.data import integer, structure
from nportpy.simulator.cosem.frames import POLL, Control, Frame
from nportpy.simulator.cosem.line import answer
from nportpy.simulator.cosem.logical import Got
from nportpy.simulator.cosem.meter import Meter
from nportpy.simulator.cosem.objects import CosemObject
from nportpy.simulator.device import Answer
from nportpy.simulator.faults import Dice, Fault, Scene

_SERVICES = {
    AARQ: "associate",
    RLRQ: "release",
    logical.GET_REQUEST: "get",
    logical.SET_REQUEST: "set",
    logical.ACTION_REQUEST: "action",
    short.READ_REQUEST: "read",
    short.WRITE_REQUEST: "write",
}
SERVICES = frozenset(_SERVICES.values())
FRAMES = frozenset(("snrm", "disc", "i", "rr", "rnr", "other"))
_SCALER_ATTRIBUTES = {3: 3, 4: 3, 5: 4}
"""Where scaler and unit are, by class."""


def frame_kind(control: int) -> str:
    """The name of a client's frame."""
    match control | POLL:
        case Control.SNRM:
            return "snrm"
        case Control.DISC:
            return "disc"
    if not control & 1:
        return "i"
    return {0x01: "rr", 0x05: "rnr"}.get(control & 0x0F, "other")


@dataclass(frozen=True, slots=True)
class Where:
    """What a fault strikes; None is everything.

    Attributes:
        meters: lower addresses.
        clients: client addresses.
        frames: kinds of the client's frames: snrm, disc, i, rr, rnr, other; for what happens on the link.
        services: associate, release, get, set, action, read, write; for what happens in a service.
        names: OBIS codes; for what happens to values.
        attributes: of those.
        every, share, limit: see `nportpy.simulator.faults.Where`.
    """

    meters: tuple[range, ...] | None = None
    clients: tuple[range, ...] | None = None
    frames: frozenset[str] | None = None
    services: frozenset[str] | None = None
    names: frozenset[bytes] | None = None
    attributes: tuple[range, ...] | None = None
    every: int = 1
    share: float = 1.0
    limit: int | None = None

    def holds_frame(self, lower: int, frame: Frame) -> bool:
        """Whether it is such a frame, to such a meter."""
        return (
            _among(self.meters, lower)
            and _among(self.clients, frame.client)
            and (self.frames is None or frame_kind(frame.control) in self.frames)
        )

    def holds_service(self, lower: int, client: int, apdu: bytes) -> bool:
        """Whether it is such a service."""
        return (
            _among(self.meters, lower)
            and _among(self.clients, client)
            and (self.services is None or _SERVICES.get(apdu[0]) in self.services)
        )

    def holds_value(self, lower: int, held: CosemObject, attribute: int) -> bool:
        """Whether it is such a value."""
        return (
            _among(self.meters, lower)
            and (self.names is None or held.obis in self.names)
            and _among(self.attributes, attribute)
        )


def _among(ranges: tuple[range, ...] | None, number: int) -> bool:
    return ranges is None or any(number in part for part in ranges)


@dataclass(frozen=True, slots=True)
class LinkFault(Fault):
    """Something that may happen on the link. This one is none."""

    def before(self, meter: Meter, frame: Frame) -> list[Frame] | None:  # noqa: ARG002
        """What the meter does instead of hearing the frame; None: it hears it."""
        return None

    def frames(self, frames: list[Frame]) -> list[Frame]:
        """What it makes of the answer's frames."""
        return frames


@dataclass(frozen=True, slots=True)
class Deaf(LinkFault):
    """The frame is not heard: it was lost on its way, or the meter is off."""

    def before(self, meter: Meter, frame: Frame) -> list[Frame]:  # noqa: ARG002
        """Nothing."""
        return []


@dataclass(frozen=True, slots=True)
class Busy(LinkFault):
    """The meter is busy: RNR, `times` before its answer."""

    times: int = 3

    def before(self, meter: Meter, frame: Frame) -> list[Frame] | None:  # noqa: ARG002
        """Hold the answer back."""
        meter.link.hold(self.times)
        return None


@dataclass(frozen=True, slots=True)
class Reboot(LinkFault):
    """The meter has started anew and knows of no connection: DM."""

    def before(self, meter: Meter, frame: Frame) -> list[Frame] | None:  # noqa: ARG002
        """Forget the connection."""
        meter.link.drop()
        return None


@dataclass(frozen=True, slots=True)
class RejectFrame(LinkFault):
    """FRMR, until the client connects anew."""

    reason: int = 0x01

    def before(self, meter: Meter, frame: Frame) -> list[Frame] | None:
        """Refuse the frame, where there is a connection."""
        if meter.link.client is None:
            return None
        return meter.link.reject(frame.control, self.reason)


@dataclass(frozen=True, slots=True)
class WrongSequence(LinkFault):
    """The answer's I frames have another N(S): a late answer to what was asked before."""

    add: int = -1

    def frames(self, frames: list[Frame]) -> list[Frame]:
        """With `add` to N(S)."""
        return [frame if frame.control & 1 else replace(frame, control=self._moved(frame.control)) for frame in frames]

    def _moved(self, control: int) -> int:
        return (control & ~0x0E) | ((control >> 1) + self.add & 7) << 1


@dataclass(frozen=True, slots=True)
class Push(LinkFault):
    """A UI frame with `data` comes before the answer: a notification that nobody asked for."""

    data: bytes = bytes.fromhex("E6E7000F00000001000206")

    def frames(self, frames: list[Frame]) -> list[Frame]:
        """With that frame before them."""
        if not frames:
            return frames
        return [replace(frames[0], control=Control.UI & ~POLL, information=self.data, segmented=False), *frames]


@dataclass(frozen=True, slots=True)
class WrongLength(LinkFault):
    """The length in the answer's first frame is wrong by `add`, and so its check sums."""

    add: int = 1000

    def characters(self, answer: list[Answer], scene: Scene) -> list[Answer]:  # noqa: ARG002
        """With another length."""
        if not answer or len(answer[0].data) < 3:
            return answer
        data = answer[0].data
        length = (data[2] | (data[1] & 7) << 8) + self.add & 0x7FF
        wrong = bytes((data[0], data[1] & 0xF8 | length >> 8, length & 0xFF)) + data[3:]
        return [replace(answer[0], data=wrong), *answer[1:]]


@dataclass(frozen=True, slots=True)
class ServiceFault(Fault):
    """Something that may happen in a service. This one is none."""

    def service(self, apdu: bytes) -> bytes | None:  # noqa: ARG002
        """What is answered instead; None: the service is done."""
        return None

    def block(self, number: int) -> int:
        """The number that a block is given."""
        return number


@dataclass(frozen=True, slots=True)
class RefuseService(ServiceFault):
    """An exception instead of the answer; by short names a ConfirmedServiceError."""

    state: int = 1
    error: int = 1

    def service(self, apdu: bytes) -> bytes:
        """D8, or 0E."""
        if apdu[0] in (short.READ_REQUEST, short.WRITE_REQUEST):
            return short.service_error(apdu[0], self.state, self.error)
        return bytes((logical.EXCEPTION, self.state, self.error))


@dataclass(frozen=True, slots=True)
class BlockJump(ServiceFault):
    """The numbers of blocks jump by `add`."""

    add: int = 1

    def block(self, number: int) -> int:
        """Another number."""
        return number + self.add


@dataclass(frozen=True, slots=True)
class ValueFault(Fault):
    """Something that may happen to a value. This one is nothing."""

    def value(self, held: CosemObject, attribute: int, got: Got) -> Got:  # noqa: ARG002
        """What is given for it."""
        return got


@dataclass(frozen=True, slots=True)
class RefuseValue(ValueFault):
    """A result instead of the value: 4 undefined, 13 no rights, 2 temporary."""

    result: int = 4

    def value(self, held: CosemObject, attribute: int, got: Got) -> Got:  # noqa: ARG002
        """The result."""
        return self.result


@dataclass(frozen=True, slots=True)
class WrongScaler(ValueFault):
    """A register says another scaler than its value has."""

    add: int = 1

    def value(self, held: CosemObject, attribute: int, got: Got) -> Got:
        """With `add` to the scaler."""
        if isinstance(got, int) or _SCALER_ATTRIBUTES.get(held.class_id) != attribute:
            return got
        scaler, unit = got.value
        return structure(integer(scaler.value + self.add), unit)


@dataclass(frozen=True, slots=True)
class Rule:
    """A fault and where it strikes."""

    fault: Fault
    where: Where = Where()


class _Frames:
    """Knows frames well enough to spoil one."""

    def spoil(self, wire: bytes) -> bytes:
        """The same with a wrong FCS."""
        return wire[:-2] + bytes((wire[-2] ^ 0x55,)) + wire[-1:]


class _MeterSpoiler:
    """What goes wrong in one meter's services."""

    def __init__(self, faults: "MeterFaults", meter: Meter) -> None:
        self._faults = faults
        self._meter = meter
        self._lower = meter.settings.address.lower
        self._now: list[ServiceFault] = []  # those that strike the service under way

    def service(self, apdu: bytes) -> bytes | None:
        client = self._meter.link.client or 0
        self._now = [
            fault
            for fault in self._faults.services.throw(lambda where: where.holds_service(self._lower, client, apdu))
            if isinstance(fault, ServiceFault)
        ]
        answers = (fault.service(apdu) for fault in self._now)
        return next((instead for instead in answers if instead is not None), None)

    def value(self, held: CosemObject, attribute: int, got: Got) -> Got:
        for fault in self._faults.values.throw(lambda where: where.holds_value(self._lower, held, attribute)):
            assert isinstance(fault, ValueFault)
            got = fault.value(held, attribute, got)
        return got

    def block(self, number: int) -> int:
        for fault in self._now:
            number = fault.block(number)
        return number


class MeterFaults:
    """A `Spoils`: everything that goes wrong with the meters of a line. The same script does the same each time."""

    def __init__(self, rules: Sequence[Rule], seed: int = 0) -> None:
        """By these rules."""
        self.services = _Kind([rule for rule in rules if isinstance(rule.fault, ServiceFault)], seed)
        self.values = _Kind([rule for rule in rules if isinstance(rule.fault, ValueFault)], seed)
        others = [rule for rule in rules if not isinstance(rule.fault, (ServiceFault, ValueFault))]
        self.link = _Kind(others, seed)

    @property
    def struck(self) -> int:
        """How often any has struck."""
        return self.link.total + self.services.total + self.values.total

    def attach(self, meter: Meter) -> None:
        """Let things go wrong in a meter's services, too."""
        meter.server.spoiler = _MeterSpoiler(self, meter)

    def answers(self, meter: Meter, frame: Frame, now: float) -> list[Answer]:
        """What is sent instead of the meter's answer to a frame."""
        lower = meter.settings.address.lower
        struck = self.link.struck(lambda where: where.holds_frame(lower, frame))
        frames: list[Frame] | None = None
        for fault, _ in struck:
            if isinstance(fault, LinkFault) and frames is None:
                frames = fault.before(meter, frame)
        if frames is None:
            frames = meter.link.hear(frame, now)
        for fault, _ in struck:
            if isinstance(fault, LinkFault):
                frames = fault.frames(frames)
        pieces = answer(meter, frames, lower)
        for fault, dice in struck:
            pieces = fault.characters(pieces, Scene(lower, frame.encode(), _Frames(), dice))
        return pieces


class _Kind:
    """Rules of one kind, and which of them strike."""

    def __init__(self, rules: Sequence[Rule], seed: int) -> None:
        self._rules = rules
        self._dice = Dice([rule.where for rule in rules], seed)

    @property
    def total(self) -> int:
        return self._dice.total

    def struck(self, holds: Callable[[Where], bool]) -> list[tuple[Fault, Random]]:
        return [(self._rules[number].fault, dice) for number, dice in self._dice.throw(holds)]

    def throw(self, holds: Callable[[Where], bool]) -> list[Fault]:
        return [fault for fault, _ in self.struck(holds)]

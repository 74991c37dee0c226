"""The link to one outstation, from the side that asks: requests, answers, and the bit that tells repeats.

Unbalanced transmission (IEC 60870-5-2, 5; IEC 60870-5-101, 6.1.2): an outstation speaks only when asked. It keeps its
last answer; a request with the same frame count bit (FCB) as the one before is a repeat, and gets that answer again
instead of new data. So a request is repeated identically, and the bit is turned only after an answer: nothing is lost
and nothing comes twice.

An answer carries no such bit. When one comes after a repeat, the other may only be late, and would pass for the answer
to the next request: it may be equal to a true one ("no data" is always the same), so its looks do not tell. Its place
does: an outstation answers in the order in which it was asked. Therefore the link's status is asked for first, which
needs no bit and changes nothing; whatever comes before the status is late, and behind it nothing late can come.

Sans I/O: times and tries are the caller's.
"""

from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Final

from nportpy.protocols.iec101.ft12 import PRIMARY, Frame

FCB: Final = 0x20
FCV: Final = 0x10
ACD: Final = 0x20
DFC: Final = 0x10


class Function(IntEnum):
    """What the asking side wants (IEC 60870-5-2, table 3)."""

    RESET = 0
    TEST = 2
    SEND_CONFIRMED = 3
    SEND = 4
    STATUS = 9
    CLASS_1 = 10
    CLASS_2 = 11


class Answered(Enum):
    """What an outstation answers (IEC 60870-5-2, table 4)."""

    ACK = 0
    NACK = 1
    DATA = 8
    NO_DATA = 9
    STATUS = 11
    NOT_FUNCTIONING = 14
    NOT_IMPLEMENTED = 15


_CONFIRMS: Final = frozenset((Answered.ACK, Answered.NACK))
_RESPONDS: Final = frozenset((Answered.DATA, Answered.NO_DATA, Answered.NACK))
_FITTING: Final = {
    Function.RESET: _CONFIRMS,
    Function.SEND_CONFIRMED: _CONFIRMS,
    Function.STATUS: frozenset((Answered.STATUS, Answered.NACK)),
    Function.CLASS_1: _RESPONDS,
    Function.CLASS_2: _RESPONDS,
}
_ALWAYS: Final = frozenset((Answered.NOT_FUNCTIONING, Answered.NOT_IMPLEMENTED))
_CODES: Final = {each.value: each for each in Answered}


@dataclass(frozen=True, slots=True)
class Answer:
    """What an outstation has answered.

    Attributes:
        what: it says.
        to: which request.
        more: it has class 1 data waiting (ACD).
        full: it takes no more data for now (DFC).
        silent: it said so by E5, which carries neither.
        data: an ASDU.
    """

    what: Answered
    to: Function
    more: bool = False
    full: bool = False
    silent: bool = False
    data: bytes = b""


@dataclass(slots=True)
class LinkCounts:
    """Numbers since the start.

    Attributes:
        requests: new ones.
        repeats: of them.
        echoes: of our own requests, dropped.
        primaries: frames of another asking side, dropped.
        strangers: answers from another address, dropped.
        unfit: answers that do not fit the request, dropped.
        duplicates: answers that came once more after a repeat, dropped while the status was waited for.
    """

    requests: int = 0
    repeats: int = 0
    echoes: int = 0
    primaries: int = 0
    strangers: int = 0
    unfit: int = 0
    duplicates: int = 0


@dataclass(slots=True)
class _Request:
    """What was asked last.

    Attributes:
        function: of it.
        frame: it.
        sent: how often.
        echoed: it came back since it was sent last.
    """

    function: Function
    frame: Frame
    sent: int = 1
    echoed: bool = False


@dataclass(slots=True)
class Link:
    """One outstation's link. Methods that ask return what is to be sent.

    Attributes:
        address: the link address.
        address_size: bytes of it.
        counts: what happened.
        up: it was reset, and answers.
        owed: so many answers may still come to what is answered already. Ask for the status before anything else.
        stranger: the last answer that came from another address; None: there was none.
        balanced: a frame came that only the balanced mode's other side sends.
    """

    address: int
    address_size: int
    counts: LinkCounts = field(default_factory=LinkCounts)
    up: bool = False
    owed: int = 0
    stranger: Frame | None = None
    balanced: bool = False
    _bit: bool = True
    _request: _Request | None = None
    _last: Frame | None = None

    @property
    def pending(self) -> bool:
        """A request with an FCB was sent and not answered: it is to be repeated, or its answer is lost."""
        return self._request is not None and bool(self._request.frame.control & FCV)

    def request_status(self) -> bytes:
        """Ask how the link is."""
        return self._ask(Function.STATUS)

    def reset(self) -> bytes:
        """Let both sides start over: the first request after it has FCB 1."""
        self._bit = True
        return self._ask(Function.RESET)

    def request_class(self, number: int) -> bytes:
        """Ask for data of class 1 (events) or 2 (the rest)."""
        return self._ask(Function.CLASS_1 if number == 1 else Function.CLASS_2)

    def send(self, data: bytes) -> bytes:
        """Send an ASDU that is confirmed."""
        return self._ask(Function.SEND_CONFIRMED, data)

    def broadcast(self, data: bytes) -> bytes:
        """Send an ASDU to all; nobody answers."""
        everyone = (1 << 8 * self.address_size) - 1
        return Frame(PRIMARY | Function.SEND, everyone, data).encode(self.address_size)

    def repeat(self, data: bytes | None = None) -> bytes:
        """The request that was not answered, once more.

        `data` goes instead of its ASDU: a time that was right when it was sent first is not right any more, and an
        outstation that has heard the first looks at no more than the FCB.
        """
        request = self._request
        assert request is not None, "nothing was asked"
        if data is not None and request.function is Function.SEND_CONFIRMED:
            request.frame = Frame(request.frame.control, self.address, data)
        request.sent += 1
        request.echoed = False
        self.counts.repeats += 1
        return request.frame.encode(self.address_size)

    def down(self) -> None:
        """The outstation does not answer: what was asked is forgotten, and the link is to be reset."""
        self.up = False
        self._request = self._last = None
        self.owed = 0

    def settled(self) -> None:
        """The status was asked for and did not come for as long as anything late could have: nothing will."""
        self._request = None
        self.owed = 0

    def hear(self, frame: Frame) -> Answer | None:
        """What a frame answers to the request; None: it is no answer to it, so wait on."""
        request = self._request
        if frame.from_primary:
            self._echo(frame, request)
            return None
        if request is None:
            self.counts.unfit += 1
            return None
        if not frame.is_single and frame.address != self.address:
            self.counts.strangers += 1
            self.stranger = frame
            return None
        answer = self._answer(frame, request.function)
        asks_status = request.function is Function.STATUS
        if self.owed and asks_status and (answer is None or frame == self._last):
            self.owed -= 1
            self.counts.duplicates += 1
            return None
        if answer is None:
            self.counts.unfit += 1
            return None
        # A status that comes once more is no harm: it fits no other request, and asking for one needs no order.
        self.owed, self._last = 0 if asks_status else request.sent - 1, frame
        if request.frame.control & FCV:
            self._bit = not self._bit
        self._request = None
        if request.function is Function.RESET:
            self.up = answer.what is Answered.ACK
        return answer

    def _ask(self, function: Function, data: bytes = b"") -> bytes:
        control = PRIMARY | function
        if function in (Function.SEND_CONFIRMED, Function.CLASS_1, Function.CLASS_2):
            control |= FCV | (FCB if self._bit else 0)
        frame = Frame(control, self.address, data)
        self._request = _Request(function, frame)
        self.counts.requests += 1
        return frame.encode(self.address_size)

    def _echo(self, frame: Frame, request: _Request | None) -> None:
        if request is not None and frame == request.frame and not request.echoed:
            request.echoed = True
            self.counts.echoes += 1
            return
        self.counts.primaries += 1
        # Data of an outstation, or a test of the link, is what an asking side of the unbalanced mode never sends.
        self.balanced = self.balanced or frame.function == Function.TEST or (bool(frame.data) and frame.data[0] <= 40)

    @staticmethod
    def _answer(frame: Frame, function: Function) -> Answer | None:
        fitting = _FITTING[function]
        if frame.is_single:
            what = Answered.ACK if Answered.ACK in fitting else Answered.NO_DATA
            return Answer(what, function, silent=True) if what in fitting else None
        found = _CODES.get(frame.function)
        if found is None or found not in fitting | _ALWAYS or (bool(frame.data) and found is not Answered.DATA):
            return None
        if found is Answered.DATA and not frame.data:
            found = Answered.NO_DATA
        return Answer(found, function, bool(frame.control & ACD), bool(frame.control & DFC), data=frame.data)

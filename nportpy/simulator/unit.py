"""One unit on a simulated bus: it answers what every unit is asked about itself, and lets its contents answer the rest.

Source: MODBUS Application Protocol Specification V1.1b3; clauses stand beside the code.
"""

from collections.abc import Callable
from typing import ClassVar, Final, Protocol

from nportpy.errors import ProtocolError
from nportpy.protocols.modbus.functions import check_request
from nportpy.protocols.modbus.pdu import (
    EXCEPTION_BIT,
    READ_DEVICE_IDENTIFICATION,
    ExceptionCode,
    FunctionCode,
    Refusal,
)
from nportpy.simulator.receiver import Receiver

OBJECTS: Final = {0: b"nportpy", 1: b"SIM", 2: b"1.0", 3: b"https://example.com/", 4: b"Simulated unit"}
"""Its device identification (6.21): vendor, product code, revision, then the regular ones."""

_BASIC = 3  # objects 0 to 2
_CONFORMITY = 0x82  # basic and regular objects, as a stream and one by one
_RUNNING = b"\xff"
_RESTART = b"\x08\x00\x01"
_LISTEN_ONLY = b"\x08\x00\x04"


class Contents(Protocol):
    """What a unit holds, and the functions that read and write it."""

    @property
    def functions(self) -> frozenset[int]:
        """The function codes that it answers; the unit refuses the others."""

    def reply(self, pdu: bytes, now: float) -> bytes:
        """The answer's PDU to a request of one of these functions that has passed `check_request`."""

    def steady_until(self, now: float) -> float:
        """Until when functions 1 to 4 will answer the same again unless something is written."""


class Unit:
    """A unit with its diagnostic counters.

    Attributes:
        contents: what it holds.
        messages: requests to it, broadcasts included (8/14).
        events: those that it obeyed (11).
        exceptions: those that it refused (8/13).
        unanswered: those without an answer (8/15).
    """

    def __init__(self, number: int, contents: Contents, receiver: Receiver) -> None:
        """A unit with the id `number`, 1 to 247, that hears through `receiver`."""
        self.contents = contents
        self._number = number
        self._receiver = receiver
        self._listens_only = False
        self._clear()

    def reply(self, pdu: bytes, now: float) -> bytes | None:
        """The answer's PDU; None where it says nothing. Whoever calls keeps back what answers a broadcast."""
        self.messages += 1
        if self._listens_only:  # 6.8, 8/4: nothing but a restart ends it, and that is not answered
            self._listens_only = not pdu.startswith(_RESTART)
            answer = None
        elif pdu.startswith(_LISTEN_ONLY):
            self._listens_only = True
            answer = None
        else:
            answer = self._answer(pdu, now)
        if answer is None:
            self.unanswered += 1
        elif answer[0] & EXCEPTION_BIT:
            self.exceptions += 1
        elif pdu[0] != FunctionCode.GET_COMM_EVENT_COUNTER:  # 6.9: asking for the count does not count
            self.events += 1
        return answer

    def _answer(self, pdu: bytes, now: float) -> bytes:
        """The checks in the order of section 6's state diagrams: function, then quantities; addresses come later."""
        function = pdu[0]
        own = self._OWN.get(function)
        if own is None and function not in self.contents.functions:
            return refusal(function, ExceptionCode.ILLEGAL_FUNCTION)
        try:
            check_request(pdu)
        except ProtocolError:
            return refusal(function, ExceptionCode.ILLEGAL_DATA_VALUE)
        return own(self, pdu) if own else self.contents.reply(pdu, now)

    def _exception_status(self, pdu: bytes) -> bytes:
        """6.7: eight outputs; here they show who answered."""
        return bytes((pdu[0], self._number))

    def _diagnostics(self, pdu: bytes) -> bytes:
        """6.8."""
        subfunction = int.from_bytes(pdu[1:3])
        if subfunction == 0:
            return pdu
        if len(pdu) != 5:
            return refusal(pdu[0], ExceptionCode.ILLEGAL_DATA_VALUE)
        if subfunction in (1, 10):  # restart communications, clear counters
            self._clear()
            return pdu
        if subfunction == 2:  # the diagnostic register
            return pdu[:3] + bytes(2)
        counters = {
            11: self._receiver.good - self._good_before,
            12: self._receiver.spoilt - self._spoilt_before,
            13: self.exceptions,
            14: self.messages,
            15: self.unanswered,
            16: 0,
            17: 0,
            18: 0,
        }
        if subfunction not in counters:
            return refusal(pdu[0], ExceptionCode.ILLEGAL_FUNCTION)
        return pdu[:3] + (counters[subfunction] & 0xFFFF).to_bytes(2)

    def _event_counter(self, pdu: bytes) -> bytes:
        """6.9: it is never in the middle of something, so its status is 0."""
        return pdu + bytes(2) + (self.events & 0xFFFF).to_bytes(2)

    def _server_id(self, pdu: bytes) -> bytes:
        """6.13."""
        data = bytes((self._number,)) + _RUNNING + b"simulated unit %d" % self._number
        return bytes((pdu[0], len(data))) + data

    def _identification(self, pdu: bytes) -> bytes:
        """6.21. Everything fits into one answer, so nothing ever follows."""
        if pdu[1] != READ_DEVICE_IDENTIFICATION:
            return refusal(pdu[0], ExceptionCode.ILLEGAL_FUNCTION)
        code, first = pdu[2], pdu[3]
        if code == 4:  # one object
            if first not in OBJECTS:
                return refusal(pdu[0], ExceptionCode.ILLEGAL_DATA_ADDRESS)
            wanted = [first]
        elif 1 <= code <= 3:  # a stream: basic, regular, and extended ones, of which there are none
            known = [number for number in OBJECTS if code > 1 or number < _BASIC]
            wanted = [number for number in known if number >= first] if first in known else known
        else:
            return refusal(pdu[0], ExceptionCode.ILLEGAL_DATA_VALUE)
        objects = b"".join(bytes((number, len(OBJECTS[number]))) + OBJECTS[number] for number in wanted)
        return pdu[:3] + bytes((_CONFORMITY, 0, 0, len(wanted))) + objects

    def _clear(self) -> None:
        self.messages = self.events = self.exceptions = self.unanswered = 0
        self._good_before = self._receiver.good
        self._spoilt_before = self._receiver.spoilt

    _OWN: ClassVar[dict[int, Callable[["Unit", bytes], bytes]]] = {
        FunctionCode.READ_EXCEPTION_STATUS: _exception_status,
        FunctionCode.DIAGNOSTICS: _diagnostics,
        FunctionCode.GET_COMM_EVENT_COUNTER: _event_counter,
        FunctionCode.REPORT_SERVER_ID: _server_id,
        FunctionCode.ENCAPSULATED_INTERFACE_TRANSPORT: _identification,
    }


def refusal(function: int, code: ExceptionCode) -> bytes:
    """An exception answer's PDU."""
    return Refusal(function, code).encode()

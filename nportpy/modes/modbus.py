"""Modbus over TCP connections: Modbus TCP itself, and RTU or ASCII frames as a serial line would carry them.

A connection hands on what it is asked and writes what is answered; who may ask what, and where it goes, is the
router's matter (nportpy/modbus/routing.py). Sources: MODBUS Messaging on TCP/IP Implementation Guide V1.0b, and for
the frames of a serial line MODBUS over Serial Line V1.02.

Modbus TCP answers carry the transaction ids of their requests and leave as they come (4.3 of the guide). Frames of a
serial line have none, so there the answers leave in the order of the requests; see `SerialSession`.
"""

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from nportpy.errors import ProtocolError
from nportpy.line.turns import Priority
from nportpy.modbus.question import Question
from nportpy.modbus.routing import Router
from nportpy.modes.modbus_base import Access, ModbusSettings
from nportpy.network.addresses import Address, Endpoint
from nportpy.network.connection import Connection, Stop, contained
from nportpy.network.tls_settings import Identity
from nportpy.protocols.modbus import ascii, mbap, rtu, rtu_request  # noqa: A004 - the standard's name
from nportpy.protocols.modbus.pdu import EXCEPTION_BIT, ExceptionCode
from nportpy.status import End
from nportpy.throttle import Throttle

PORTION = 4096
"""Bytes of one client that are worked off before others have their turn: 512 requests at most, 2 ms or so."""

QUIET = 0.01
"""Seconds without a byte that mean silence in RTU over TCP. Only frames of unknown functions wait for it."""

PAUSE = 5.0
"""Seconds that an ASCII frame may pause: what is in use over slow networks."""

GIVEN_UP = 0.1
"""Seconds without a byte either way after which a client that asks anew has given up what it asked before."""

_HANDSHAKE = b"\x16\x03"
"""How TLS begins (RFC 8446, 5.1)."""

_NORMAL = Priority.NORMAL  # looking it up in the class takes 0.25 us, with Python 3.11

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Asked(Question):
    """A request as it came in.

    Attributes:
        transaction: its transaction id, if it has one.
        written: the unit id as the client wrote it.
        answer: the PDU of its answer, where that has to wait for its turn.
    """

    transaction: int = 0
    written: int = 0
    answer: bytes | None = None


def busy(pdu: bytes) -> bytes:
    """The answer to a request when too many are under way."""
    return bytes((pdu[0] | EXCEPTION_BIT, ExceptionCode.SERVER_DEVICE_BUSY))


def complain(throttle: Throttle, name: str, client: Endpoint, address: Address, data: bytes, reason: str) -> None:
    """Log what is no Modbus frame, or none of the expected kind; one line for each address and minute."""
    more = throttle.allow(("malformed", address), asyncio.get_running_loop().time())
    if more is not None:
        kind = kind_of(data)
        extra = {"port": name, "client": str(client), "reason": f"{reason}: {data[:16].hex(' ')}"}
        extra |= {"looks_like": kind} if kind else {}
        log.warning("not the Modbus that is spoken here", extra=extra | ({"more": more} if more else {}))


def kind_of(data: bytes) -> str:
    """What a segment is if it is one frame of some kind: most that is sent in vain is sent to the wrong service."""
    try:
        rtu.Frame.parse(data)
    except ProtocolError:
        pass
    else:
        return "RTU"
    try:
        mbap.parse_datagram(data)
    except ProtocolError:
        if data.startswith(_HANDSHAKE):
            return "TLS"
        return "ASCII" if data.startswith(b":") and data.endswith(b"\r\n") else ""
    return "Modbus TCP"


class ModbusSession(Connection):
    """A client that sends requests. How they are framed is for a subclass to say."""

    settings: ModbusSettings

    def __init__(
        self,
        router: Router,
        settings: ModbusSettings,
        throttle: Throttle,
        sock: socket.socket,
        peer: Endpoint,
        address: Address,
    ) -> None:
        """`connection_made` brings the rest."""
        super().__init__(router.name, settings, sock, peer, address)
        self._throttle = throttle
        self._router = router
        self._visitor = router.visitor(self, address, str(peer))
        self._under_way = 0
        self._input = bytearray()  # of a flood: what has not had its turn yet
        self._turn: asyncio.Handle | None = None

    def identified(self, identity: Identity) -> None:
        super().identified(identity)
        self._visitor.has_role(identity.role)

    # From the client.

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        try:
            if len(data) <= PORTION and not self._input:
                self._take(data)
            else:
                self._input += data
                if self._turn is None:
                    self._take_turn()
        except Exception as error:
            self.fail(error)

    @contained
    def _take_turn(self) -> None:
        self._turn = None
        if not self._held:
            portion = bytes(self._input[:PORTION])
            del self._input[:PORTION]
            self._take(portion)
        if self._input:
            self.stop(Stop.BUSY)
            if not self._held:  # else `resume_writing` goes on
                self._turn = asyncio.get_running_loop().call_soon(self._take_turn)
        else:
            self.go(Stop.BUSY)
            self._perhaps_over()

    def _take(self, data: bytes) -> None:
        """Ask what `data` completes."""
        raise NotImplementedError

    def _ask(self, question: Asked) -> None:
        self._under_way += 1
        if self._under_way > self.settings.outstanding:
            self._visitor.refused("queue_full")
            self._answered(question, busy(question.pdu))
        else:
            self._visitor.ask(question)

    def _malformed(self, data: bytes, reason: str, count: int = 1) -> None:
        self._visitor.refused("malformed", count)
        complain(self._throttle, self.name, self.peer, self.address, data, reason)

    def eof_received(self) -> bool:
        stay = super().eof_received()
        self._perhaps_over()
        return stay

    # To the client.

    def _answered(self, question: Question, pdu: bytes) -> None:
        raise NotImplementedError

    def _perhaps_over(self) -> None:
        """A client that has said that it sends no more has all answers."""
        if self.half_closed and not self._under_way and not self._input:
            self.finish(End.CLOSED)

    def pause_writing(self) -> None:
        if self._joined:
            self._held = True
            self.stop(Stop.UNREAD)
            self._weigh()

    def resume_writing(self) -> None:
        self._held = False
        self.go(Stop.UNREAD)
        if self._input and self._turn is None:
            self._take_turn()

    def _weigh(self) -> None:
        if (waiting := self.waiting()) > self.settings.allowance:
            self.drop(waiting)

    def accepted(self) -> int:
        return self._under_way + len(self._input)

    def left(self) -> None:
        self._input.clear()
        if self._turn is not None:
            self._turn.cancel()
        self._visitor.leave()


class TcpSession(ModbusSession):
    """A Modbus TCP client: transaction ids, a length, and any number of requests under way."""

    def opened(self) -> None:
        self._reader = mbap.Reader()
        self._discarded = 0

    def _take(self, data: bytes) -> None:
        for adu in self._reader.feed(data):
            if not self._joined:
                return
            if isinstance(adu, mbap.Malformed):
                self._malformed(data, adu.reason)
                self.finish(End.ERROR)
                return
            transaction, unit, pdu = adu
            self._ask(Asked(self, unit, pdu, self._answered, _NORMAL, transaction, unit))
        if self._reader.discarded != self._discarded:
            discarded, self._discarded = self._reader.discarded - self._discarded, self._reader.discarded
            self._malformed(data, "another protocol", discarded)

    def _answered(self, question: Question, pdu: bytes) -> None:
        assert isinstance(question, Asked)
        self._under_way -= 1
        if not self._joined:
            return
        try:
            if pdu:
                data = mbap.encode(question.transaction, question.written, pdu)
                self.sent += len(data)
                self.transport.write(data)
                if self._held:
                    self._weigh()
            if self.half_closed:
                self._perhaps_over()
        except Exception as error:
            self.fail(error)


class SerialSession(ModbusSession):
    """A client that sends RTU or ASCII frames.

    Nothing but their order tells it which request an answer belongs to. So answers leave in the order of the
    requests, however they come; and where a client that has heard nothing for a while asks anew, the answers to what
    it asked before are dropped, as it would take them for the new one's.
    """

    def opened(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._finder: rtu_request.RequestFinder | ascii.RequestFinder
        if self.settings.protocol is Access.ASCII:
            self._finder = ascii.RequestFinder(PAUSE)
        else:
            self._finder = rtu_request.RequestFinder(QUIET, alone=True)
        self._junk = 0
        self._queue: deque[Asked] = deque()
        self._moved_at = 0.0  # when a request came or an answer left
        self._timer: asyncio.TimerHandle | None = None

    def _take(self, data: bytes) -> None:
        now = self._loop.time()
        if frames := self._finder.feed(data, now):
            self._junk = self._finder.counts.junk
            self._ask_all(frames, now)
        elif self._finder.counts.junk != self._junk:
            self._junk = self._finder.counts.junk
            self._malformed(data, "no frame")
        if self._timer is None:
            self._wait_for_silence()

    def _wait_for_silence(self) -> None:
        when = self._finder.deadline()
        self._timer = None if when is None else self._loop.call_at(when, self._silence)

    @contained
    def _silence(self) -> None:
        now = self._loop.time()
        if frames := self._finder.expire(now):
            self._ask_all(frames, now)
        if self._joined:
            self._wait_for_silence()

    def _ask_all(self, frames: Iterable[rtu.Frame], now: float) -> None:
        if self._queue and now - self._moved_at >= GIVEN_UP:
            self._queue.clear()
        for frame in frames:
            if not self._joined:
                return
            self._moved_at = now
            question = Asked(self, frame.unit, frame.pdu, self._answered, written=frame.unit)
            if frame.unit != rtu.BROADCAST or self._router.plan.settings.unit0 is not None:
                self._queue.append(question)  # else nobody answers, and the gateway does not in their place
            self._ask(question)

    def _answered(self, question: Question, pdu: bytes) -> None:
        assert isinstance(question, Asked)
        self._under_way -= 1
        if not self._joined:
            return
        question.answer = pdu
        try:
            queue = self._queue
            while queue and (answer := queue[0].answer) is not None:
                asked = queue.popleft()
                if answer:
                    self._write(self._finder.answer(asked.written, answer))
            if self.half_closed:
                self._perhaps_over()
        except Exception as error:
            self.fail(error)

    def _write(self, data: bytes) -> None:
        self._moved_at = self._loop.time()
        self.sent += len(data)
        self.transport.write(data)
        if self._held:
            self._weigh()

    def eof_received(self) -> bool:
        if self._joined and (when := self._finder.deadline()) is not None and (frames := self._finder.expire(when)):
            self._ask_all(frames, self._loop.time())  # nothing will ever follow
        return super().eof_received()

    def left(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._queue.clear()
        super().left()


SESSIONS: Mapping[Access, type[ModbusSession]] = {
    Access.TCP: TcpSession,
    Access.RTU: SerialSession,
    Access.ASCII: SerialSession,
}
"""What a client talks to, by how its requests come in. UDP has no connections: nportpy/modes/modbus_udp.py."""

"""Modbus TCP: a PDU behind the MBAP header, both ends.

Source: MODBUS Messaging on TCP/IP Implementation Guide V1.0b; clauses are given beside the code. The header has
transaction id, protocol id, length (all of two bytes, high byte first) and unit id; the length counts the unit id and
the PDU.

A stream that lost its place cannot find it again, as any two bytes could be a length. So a length that cannot be ends
the connection; a frame of another protocol is passed over by its length, as 4.2 of the guide demands. Nothing is
copied or searched twice, and less than a frame is kept.
"""

from struct import Struct
from typing import Final, NamedTuple

from nportpy.errors import MisuseError, ProtocolError
from nportpy.protocols.modbus.functions import is_answer

PORT: Final = 502
"""TCP port; IANA has it as mbap."""

SECURITY_PORT: Final = 802
"""The same for MODBUS/TCP Security; mbap-s."""

HEADER_SIZE: Final = 7
"""Bytes before the PDU, the unit id among them (3.1.3)."""

MAX_ADU: Final = 260
"""The longest frame in bytes (3.1.3)."""

MIN_LENGTH: Final = 2
MAX_LENGTH: Final = 254
"""What the length field may say: unit id, and a PDU of 1 to 253 bytes."""

MAX_OUTSTANDING: Final = 256
"""How many requests a client may have under way by default."""

_HEADER = Struct(">HHHB")
_PREFIX = Struct(">HHH")  # up to and with the length
_PREFIX_SIZE = _PREFIX.size


# Named tuples, not dataclasses: one is made for every request, and they take a third of the time.
class Adu(NamedTuple):
    """One frame: its transaction id, which an answer copies, its unit id and its PDU."""

    transaction: int
    unit: int
    pdu: bytes


class Malformed(NamedTuple):
    """The stream cannot go on: close the connection. Nothing comes after it."""

    reason: str


def encode(transaction: int, unit: int, pdu: bytes) -> bytes:
    """The bytes on the wire of one frame, in one piece: answers in two segments confuse some clients."""
    return _HEADER.pack(transaction, 0, len(pdu) + 1, unit) + pdu


def parse_datagram(data: bytes) -> Adu:
    """The frame that a datagram is (Modbus over UDP).

    Raises:
        ProtocolError: it is not exactly one frame.
    """
    if len(data) < HEADER_SIZE + 1:
        raise ProtocolError(f"a frame has at least {HEADER_SIZE + 1} bytes, not {len(data)}")
    transaction, protocol, length, unit = _HEADER.unpack_from(data)
    if protocol or not MIN_LENGTH <= length <= MAX_LENGTH or len(data) != _PREFIX_SIZE + length:
        raise ProtocolError(f"not a Modbus frame: {data[:16].hex(' ')}")
    return Adu(transaction, unit, data[HEADER_SIZE:])


class Reader:
    """Takes frames from a connection, requests on the server's side, answers on the client's.

    Attributes:
        discarded: frames of other protocols that were passed over.
    """

    __slots__ = ("_broken", "_rest", "discarded")

    def __init__(self) -> None:
        self.discarded = 0
        self._rest = b""
        self._broken = False

    def feed(self, data: bytes) -> list[Adu | Malformed]:
        """The frames that `data` completes, in order; `Malformed` is the last thing that ever comes."""
        size = len(data)
        if size > HEADER_SIZE and not self._rest and not self._broken:
            # One whole frame, as it mostly comes; what follows below finds the same.
            transaction, protocol, length, unit = _HEADER.unpack_from(data)
            if not protocol and length == size - _PREFIX_SIZE and length <= MAX_LENGTH:
                return [Adu(transaction, unit, data[HEADER_SIZE:])]
        events: list[Adu | Malformed] = []
        if self._broken:
            return events
        if self._rest:
            data = self._rest + data
        start, size = 0, len(data)
        while size - start >= _PREFIX_SIZE:
            transaction, protocol, length = _PREFIX.unpack_from(data, start)
            if not MIN_LENGTH <= length <= MAX_LENGTH:
                self._broken = True
                self._rest = b""
                events.append(Malformed(f"a length of {length} in {data[start : start + _PREFIX_SIZE].hex(' ')}"))
                return events
            end = start + _PREFIX_SIZE + length
            if end > size:
                break
            if protocol:
                self.discarded += 1
            else:
                events.append(Adu(transaction, data[start + _PREFIX_SIZE], data[start + HEADER_SIZE : end]))
            start = end
        self._rest = data[start:] if start else data
        return events


class Client:
    """The client's side of a connection: tells which request an answer belongs to.

    Attributes:
        unmatched: answers that belong to no request under way, or do not fit it: late ones, mostly.
    """

    __slots__ = ("_limit", "_next", "_outstanding", "_reader", "unmatched")

    def __init__(self, limit: int = MAX_OUTSTANDING) -> None:
        """At most `limit` requests are under way at a time, 65535 at most."""
        self.unmatched = 0
        self._limit = min(limit, 0xFFFF)
        self._next = 0
        self._outstanding: dict[int, tuple[int, bytes]] = {}
        self._reader = Reader()

    @property
    def discarded(self) -> int:
        """Frames of other protocols that were passed over."""
        return self._reader.discarded

    def request(self, unit: int, pdu: bytes) -> tuple[int, bytes]:
        """Begin a request.

        Returns:
            Its transaction id, and what to send.

        Raises:
            MisuseError: too many are under way.
        """
        if len(self._outstanding) >= self._limit:
            raise MisuseError(f"{self._limit} requests are under way already")
        transaction = self._next
        # After 65536 requests one of the first may still be under way.
        while transaction in self._outstanding:
            transaction = (transaction + 1) & 0xFFFF
        self._next = (transaction + 1) & 0xFFFF
        self._outstanding[transaction] = (unit, pdu)
        return transaction, encode(transaction, unit, pdu)

    def forget(self, transaction: int) -> None:
        """Wait no longer for an answer: one that comes later is dropped (4.3)."""
        self._outstanding.pop(transaction, None)

    def feed(self, data: bytes) -> list[Adu | Malformed]:
        """The answers that `data` completes, each to a request under way, which it ends.

        An answer whose unit, function, byte count or echo does not fit its request is not one: the request goes on.
        """
        answers: list[Adu | Malformed] = []
        for event in self._reader.feed(data):
            if isinstance(event, Adu):
                asked = self._outstanding.get(event.transaction)
                if asked is None or asked[0] != event.unit or not is_answer(asked[1], event.pdu):
                    self.unmatched += 1
                    continue
                del self._outstanding[event.transaction]
            answers.append(event)
        return answers

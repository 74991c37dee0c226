"""Finds the awaited answer in what a Modbus TCP server sends: the client's side, one request at a time.

Source: MODBUS Messaging on TCP/IP Implementation Guide V1.0b, 4.3. An answer has the transaction id and the unit id of
its request. Some servers answer with a transaction id of their own; they are not believed, as nothing else tells a
late answer from the awaited one.

The transaction id pairs, so some servers do not mind the unit id: they answer as 255 or 0, which mean the device at
the connection itself (4.4.2.1), or as themselves where those were asked. That is believed. Not so an answer as another
single unit: gateways send that which mistake one unit's answer for another's. `foreign_unit` tells both.

What has the right transaction id ends the exchange, whether it fits or not: nothing else will come.

Frames delimit themselves, so silence means nothing, and an answer can be cut in pieces as the network likes. A stream
that lost its place (mbap.py) cannot be understood any more: `broken` says so, and `restart` begins with a new one.
"""

from collections import deque
from typing import ClassVar, Final

from nportpy.protocols.modbus.exchange import Echo, Exchange
from nportpy.protocols.modbus.functions import is_answer
from nportpy.protocols.modbus.mbap import Malformed, Reader, encode

MAX_LATE: Final = 64
"""How many abandoned requests are remembered, to count their answers as late."""

_DEVICE_ITSELF = frozenset((0, 255))


class ReplyFinder(Exchange):
    """Finds MBAP answers."""

    serial: ClassVar[bool] = False

    __slots__ = ("_discarded", "_late", "_reader", "_transaction")

    def __init__(self) -> None:
        """Nothing is awaited yet. A connection has no echo."""
        super().__init__(Echo.NO)
        self._transaction = 0
        self._reader = Reader()
        self._discarded = 0  # frames of other protocols, as far as they were counted
        self._late: deque[int] = deque(maxlen=MAX_LATE)  # ids of abandoned requests

    def begin(self, unit: int, pdu: bytes) -> bytes:
        """Wait for the answer of `unit`; see `Exchange.begin`."""
        self._transaction = (self._transaction + 1) & 0xFFFF
        wire = encode(self._transaction, unit, pdu)
        self._remember(unit, pdu, wire, mirrored=False)
        return wire

    def feed(self, data: bytes, now: float) -> bytes | None:  # noqa: ARG002 - silence means nothing here
        """Hear `data`; see `Exchange.feed`."""
        answer = None
        for event in self._reader.feed(data):
            if isinstance(event, Malformed):
                self.broken = event.reason
            elif self._awaiting and event.transaction == self._transaction:
                self._awaiting = False
                if self._is_from(event.unit) and is_answer(self._pdu, event.pdu):
                    answer = event.pdu
                else:
                    self.counts.unfit += 1
                    answer = b""
            elif event.transaction in self._late:
                self._late.remove(event.transaction)
                self.counts.late_from(event.unit)
            else:
                self.counts.foreign += 1
        if self._reader.discarded != self._discarded:
            self.counts.foreign += self._reader.discarded - self._discarded
            self._discarded = self._reader.discarded
        return answer

    def _is_from(self, unit: int) -> bool:
        """Whether what has this unit id can be the asked unit's answer."""
        if unit == self._unit:
            return True
        self.foreign_unit = unit
        return unit in _DEVICE_ITSELF or self._unit in _DEVICE_ITSELF

    def deadline(self) -> float | None:
        """Silence means nothing; see `Exchange.deadline`."""
        return None

    def expire(self, now: float) -> bytes | None:  # noqa: ARG002 - as for `feed`
        """See `deadline`."""
        return None

    def settle(self) -> None:
        """Nothing is kept that would not go on; see `Exchange.settle`."""

    def restart(self) -> None:
        """See `Exchange.restart`."""
        super().restart()
        self.broken = ""
        self._reader = Reader()
        self._discarded = 0
        self._late.clear()

    def abandon(self, until: float) -> None:  # noqa: ARG002 - however late an answer comes, its id tells
        """See `Exchange.abandon`."""
        if self._awaiting:
            self._awaiting = False
            self._late.append(self._transaction)

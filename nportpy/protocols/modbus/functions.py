"""What the request and the answer of each function look like: lengths, what must agree, what is read or written.

Source: MODBUS Application Protocol Specification V1.1b3, section 6; the clause stands beside the table entry. A PDU
is plain bytes here, function code first, as a gateway hands them on: nothing is decoded that need not be.

Where a length is asked of bytes that are still coming in, `NEED_MORE` says that it cannot be told yet and `UNKNOWN`
that it never can: a function that is not public, or bytes that contradict themselves.
"""

from enum import IntEnum
from functools import lru_cache
from typing import Final, NamedTuple

from nportpy.errors import ProtocolError
from nportpy.protocols.modbus.pdu import (
    EXCEPTION_BIT,
    MAX_PDU,
    MAX_READ_BITS,
    MAX_READ_REGISTERS,
    MAX_WRITE_BITS,
    MAX_WRITE_REGISTERS,
    READ_DEVICE_IDENTIFICATION,
)

NEED_MORE: Final = 0
"""A length that more bytes will tell."""

UNKNOWN: Final = -1
"""A length that no byte will tell."""


class Table(IntEnum):
    """The four tables of the data model (4.3)."""

    COILS = 0
    DISCRETE_INPUTS = 1
    INPUT_REGISTERS = 3
    HOLDING_REGISTERS = 4


# Named tuples, not dataclasses: one or two are made for every transaction, and they take a third of the time.
class Span(NamedTuple):
    """`quantity` bits or registers of `table` from PDU address `address` (from 0) on."""

    table: Table
    address: int
    quantity: int


class Expected(NamedTuple):
    """What the answer to a request must be, exceptions apart.

    Attributes:
        prefix: the bytes that its PDU begins with: the function, and what else the request settles.
        length: bytes of its PDU; `NEED_MORE` where `answer_length` tells once it comes, `UNKNOWN` where nothing does.
    """

    prefix: bytes
    length: int


_READ_TABLES = {
    1: Table.COILS,  # 6.1
    2: Table.DISCRETE_INPUTS,  # 6.2
    3: Table.HOLDING_REGISTERS,  # 6.3
    4: Table.INPUT_REGISTERS,  # 6.4
}

_REQUEST_LENGTHS = {1: 5, 2: 5, 3: 5, 4: 5, 5: 5, 6: 5, 7: 1, 11: 1, 12: 1, 17: 1, 22: 7, 24: 3}

# Requests with a byte count: where it stands. That many bytes follow it.
_REQUEST_COUNTS = {15: 5, 16: 5, 20: 1, 21: 1, 23: 9}

_ANSWER_LENGTHS = {5: 5, 6: 5, 7: 2, 8: 5, 11: 5, 15: 5, 16: 5, 22: 7}

# Answers whose second byte counts those that follow.
_COUNTED_ANSWERS = frozenset((1, 2, 3, 4, 12, 17, 20, 21, 23))

# Answers that the request settles as far as the function only, and that tell their own length.
_SELF_TOLD = frozenset((12, 17, 20, 24))

# Bytes of requests to write before the values.
_KINDS = {5: 3, 6: 3, 15: 5, 16: 5, 22: 3, 23: 9}

_REPEATABLE = frozenset((1, 2, 3, 4, 7, 11, 12, 17, 20, 24))

# Subfunctions of 8 that change nothing: echo, diagnostic register, counters (6.8).
_REPEATABLE_DIAGNOSTICS = frozenset((0, 2, 11, 12, 13, 14, 15, 16, 17, 18))

_FORCE_LISTEN_ONLY = b"\x08\x00\x04"
_ECHO = b"\x08\x00\x00"


def request_length(data: bytes, start: int = 0) -> int:
    """Bytes of the request PDU that begins at `data[start]`, from the bytes so far; or `NEED_MORE` or `UNKNOWN`.

    The echo diagnostic (8/0) may carry any number of words and is unknown.
    """
    have = len(data) - start
    if have < 1:
        return NEED_MORE
    function = data[start]
    length = _REQUEST_LENGTHS.get(function)
    if length is not None:
        return length
    at = _REQUEST_COUNTS.get(function)
    if at is not None:
        if have <= at:
            return NEED_MORE
        length = at + 1 + data[start + at]
        return length if length <= MAX_PDU and _counts_agree(data, start, function) else UNKNOWN
    if function == 8:
        if have < 3:
            return NEED_MORE
        return UNKNOWN if data.startswith(_ECHO, start) else 5
    if function == 43:
        if have < 2:
            return NEED_MORE
        return 4 if data[start + 1] == READ_DEVICE_IDENTIFICATION else UNKNOWN
    return UNKNOWN


def _counts_agree(data: bytes, start: int, function: int) -> bool:
    """Whether the quantity and the byte count of 15, 16 and 23 say the same."""
    if function == 15:
        return data[start + 5] == (_word(data, start + 3) + 7) // 8
    if function == 16:
        return data[start + 5] == 2 * _word(data, start + 3)
    if function == 23:
        return data[start + 9] == 2 * _word(data, start + 7)
    return True


def answer_length(data: bytes, start: int = 0) -> int:
    """Bytes of the answer PDU that begins at `data[start]`, from the bytes so far; or `NEED_MORE` or `UNKNOWN`.

    It is the length that the answer itself claims. The answer to 8 is taken to have one data word.
    """
    have = len(data) - start
    if have < 1:
        return NEED_MORE
    function = data[start]
    if function & EXCEPTION_BIT:
        return 2
    length = _ANSWER_LENGTHS.get(function)
    if length is not None:
        return length
    if function in _COUNTED_ANSWERS:
        if have < 2:
            return NEED_MORE
        length = 2 + data[start + 1]
    elif function == 24:  # 6.18: two bytes of byte count, which counts whole words, 2 to 64
        if have < 3:
            return NEED_MORE
        length = 3 + _word(data, start + 1)
        return length if 5 <= length <= 67 and length % 2 else UNKNOWN
    elif function == 43:
        length = _identification_length(data, start)
    else:
        return UNKNOWN
    return length if length <= MAX_PDU else UNKNOWN


def _identification_length(data: bytes, start: int) -> int:
    """The length of an answer to 43/14 (6.21): seven bytes, then objects of id, length and value."""
    have = len(data) - start
    if have >= 2 and data[start + 1] != READ_DEVICE_IDENTIFICATION:
        return UNKNOWN
    if have < 7:
        return NEED_MORE
    length = 7
    for _ in range(data[start + 6]):
        if have < length + 2:
            # Objects that need not be there to be too many; this also bounds the walk.
            return NEED_MORE if length + 2 <= MAX_PDU else UNKNOWN
        length += 2 + data[start + length + 1]
        if length > MAX_PDU:
            return UNKNOWN
    return length


def check_request(pdu: bytes) -> None:
    """Refuse what a server would answer with ILLEGAL DATA VALUE without looking at its data: lengths and quantities.

    Functions that are not public pass, and so do the values of single writes: vendors have their own.

    Raises:
        ProtocolError: the reason.
    """
    size = len(pdu)
    if not 1 <= size <= MAX_PDU:
        raise ProtocolError(f"a request has 1 to {MAX_PDU} bytes, not {size}")
    function = pdu[0]
    if not 1 <= function <= 127:
        raise ProtocolError(f"{function} is no function code")
    length = request_length(pdu)
    if length == UNKNOWN:
        if function in _REQUEST_COUNTS:
            raise ProtocolError(f"quantity and byte count of function {function} contradict each other")
        if function == 8 and not size % 2:
            raise ProtocolError(f"a diagnostic request has whole words, not {size} bytes")
    elif length != size:
        raise ProtocolError(f"a request of function {function} has {length or 'more'} bytes, not {size}")
    _check_quantities(pdu, function)


def _check_quantities(pdu: bytes, function: int) -> None:
    if function <= 2:
        _check(_word(pdu, 3), MAX_READ_BITS)
    elif function <= 4:
        _check(_word(pdu, 3), MAX_READ_REGISTERS)
    elif function == 15:
        _check(_word(pdu, 3), MAX_WRITE_BITS)
    elif function == 16:
        _check(_word(pdu, 3), MAX_WRITE_REGISTERS)
    elif function == 20:  # 6.14: sub-requests of 7 bytes
        if not 7 <= pdu[1] <= 245 or pdu[1] % 7:
            raise ProtocolError(f"{pdu[1]} bytes are not 1 to 35 sub-requests")
    elif function == 21:  # 6.15
        if pdu[1] < 9:
            raise ProtocolError(f"{pdu[1]} bytes hold no record to write")
    elif function == 23:  # 6.17
        _check(_word(pdu, 3), MAX_READ_REGISTERS)
        _check(_word(pdu, 7), MAX_WRITE_REGISTERS - 2)


def _check(quantity: int, limit: int) -> None:
    if not 1 <= quantity <= limit:
        raise ProtocolError(f"a quantity of {quantity} is not in 1..{limit}")


# Pollers ask the same few questions for ever.
@lru_cache(maxsize=1024)
def expected_answer(pdu: bytes) -> Expected:
    """What must come back for the request `pdu`, if it is not an exception: exceptions have two bytes.

    The answer to a request that `check_request` refuses is unknown but for its function; an empty PDU has none.
    """
    function = pdu[:1]
    try:
        check_request(pdu)
    except ProtocolError:
        return Expected(function, UNKNOWN)
    code = pdu[0]
    if code <= 2:
        size = (_word(pdu, 3) + 7) // 8
        return Expected(bytes((code, size)), 2 + size)
    if code <= 4 or code == 23:
        size = 2 * _word(pdu, 3)
        return Expected(bytes((code, size)), 2 + size)
    if code in (5, 6, 21, 22) or pdu.startswith(_ECHO):
        return Expected(pdu, len(pdu))
    if code in (15, 16):
        return Expected(pdu[:5], 5)
    if code == 8:
        return Expected(pdu[:3], 5)
    if code in _SELF_TOLD:
        return Expected(function, NEED_MORE)
    if code == 43 and pdu[1] == READ_DEVICE_IDENTIFICATION:
        return Expected(pdu[:3], NEED_MORE)
    return Expected(function, _ANSWER_LENGTHS.get(code, UNKNOWN))


def is_answer(request: bytes, answer: bytes) -> bool:
    """Whether the PDU `answer` can be the whole answer to the PDU `request`, an exception included.

    Of a function that is not public, anything that begins with it can.
    """
    if not request or not answer:
        return False
    if answer[0] & EXCEPTION_BIT:
        return answer[0] == request[0] | EXCEPTION_BIT and len(answer) == 2
    prefix, length = expected_answer(request)
    if not answer.startswith(prefix):
        return False
    if length == UNKNOWN:
        return True
    return len(answer) == (length or answer_length(answer))


def never_answered(pdu: bytes) -> bool:
    """Whether the standard forbids an answer even to a single unit: force listen only mode (6.8, 8/4)."""
    return pdu.startswith(_FORCE_LISTEN_ONLY)


def is_repeatable(pdu: bytes) -> bool:
    """Whether the request is known to change nothing, so that asking twice is the same as asking once.

    Such requests may be retried, and one answer may serve several who ask the same. What is not repeatable must be
    taken for a write, of what `write_span` says or of anything.
    """
    function = pdu[0]
    if function == 8:
        return pdu[1:2] == b"\x00" and len(pdu) > 2 and pdu[2] in _REPEATABLE_DIAGNOSTICS
    if function == 43:
        return pdu[1:2] == bytes((READ_DEVICE_IDENTIFICATION,))
    return function in _REPEATABLE


def kind(pdu: bytes) -> bytes:
    """What tells a request from others that a unit may treat otherwise: all of it, but for values to be written."""
    return pdu[: _KINDS.get(pdu[0], len(pdu))]


def may_broadcast(pdu: bytes) -> bool:
    """Whether the request makes sense to all units at once: nobody answers, so it must not be known to read.

    Source: MODBUS over Serial Line V1.02, 2.1: broadcast requests are necessarily writing commands.
    """
    return pdu[0] != 23 and not is_repeatable(pdu)


def read_span(pdu: bytes) -> Span | None:
    """What the request reads from the four tables; None where it reads nothing, or something else.

    The request has passed `check_request`. 23 has a span to read and one to write, and is done after the write.
    """
    function = pdu[0]
    if function <= 4:
        return Span(_READ_TABLES[function], _word(pdu, 1), _word(pdu, 3))
    if function == 23:
        return Span(Table.HOLDING_REGISTERS, _word(pdu, 1), _word(pdu, 3))
    return None


def write_span(pdu: bytes) -> Span | None:
    """What the request writes to the four tables; None where it writes nothing, or something else.

    The request has passed `check_request`.
    """
    function = pdu[0]
    if function == 5:
        return Span(Table.COILS, _word(pdu, 1), 1)
    if function in (6, 22):
        return Span(Table.HOLDING_REGISTERS, _word(pdu, 1), 1)
    if function == 15:
        return Span(Table.COILS, _word(pdu, 1), _word(pdu, 3))
    if function == 16:
        return Span(Table.HOLDING_REGISTERS, _word(pdu, 1), _word(pdu, 3))
    if function == 23:
        return Span(Table.HOLDING_REGISTERS, _word(pdu, 5), _word(pdu, 7))
    return None


def _word(data: bytes, at: int) -> int:
    return data[at] << 8 | data[at + 1]

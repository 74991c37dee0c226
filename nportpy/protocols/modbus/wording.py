"""Requests and answers in words, with the numbers of manuals: `read 41001-41002`, `41001: 1000, 41002: 1001`.

For people: a monitor, a log. What does not fit its function is shown as bytes, and never raises.
"""

from collections.abc import Iterable
from typing import Final

from nportpy.errors import ProtocolError
from nportpy.protocols.modbus.addresses import LAST_ADDRESS, Address
from nportpy.protocols.modbus.functions import Span, Table, check_request, read_span, write_span
from nportpy.protocols.modbus.pdu import EXCEPTION_BIT, ExceptionCode, FunctionCode

MOST_SHOWN: Final = 16
"""Values of one request or answer that are shown; the rest is counted."""

_EXCEPTIONS = {int(code): code.name.lower().replace("_", " ") for code in ExceptionCode}
_FUNCTIONS = {int(code): code.name.lower().replace("_", " ") for code in FunctionCode}
_BITS = (Table.COILS, Table.DISCRETE_INPUTS)


def spans(pdu: bytes) -> tuple[Span, ...]:
    """What a request reads and writes of the four tables."""
    try:
        check_request(pdu)
    except (ProtocolError, IndexError):
        return ()
    return tuple(span for span in (read_span(pdu), write_span(pdu)) if span is not None)


def request_text(pdu: bytes) -> str:
    """A request."""
    try:
        check_request(pdu)
        read, written = read_span(pdu), write_span(pdu)
    except (ProtocolError, IndexError):
        return _bytes("request", pdu)
    parts = [f"read {_range(read)}"] if read is not None else []
    if written is not None:
        parts.append(f"write {_values(written, _written(pdu, written))}")
    return ", ".join(parts) or _bytes(_FUNCTIONS.get(pdu[0], f"function {pdu[0]}"), pdu[1:])


def answer_text(request: bytes, answer: bytes) -> str:
    """An answer to `request`."""
    if not answer:
        return "answers something else"
    if answer[0] & EXCEPTION_BIT:
        code = answer[1] if len(answer) > 1 else 0
        return f"exception {code:02X}, {_EXCEPTIONS.get(code, 'of its own')}"
    try:
        check_request(request)
        read = read_span(request)
    except (ProtocolError, IndexError):
        read = None
    if read is not None and answer[0] == request[0] and len(answer) > 2:
        return _values(read, _read(read, answer[2:]))
    return (
        "done" if answer[:5] == request[:5] else _bytes(_FUNCTIONS.get(answer[0], f"function {answer[0]}"), answer[1:])
    )


def _range(span: Span) -> str:
    first = _number(span.table, span.address)
    return first if span.quantity == 1 else f"{first}-{_number(span.table, span.address + span.quantity - 1)}"


def _number(table: Table, address: int) -> str:
    return Address(table, min(address, LAST_ADDRESS)).modicon()


def _values(span: Span, values: Iterable[int]) -> str:
    found = list(values)[: span.quantity]
    shown = [f"{_number(span.table, span.address + at)}: {value}" for at, value in enumerate(found[:MOST_SHOWN])]
    if len(found) > MOST_SHOWN:
        shown.append(f"{len(found) - MOST_SHOWN} more")
    return ", ".join(shown) or _range(span)


def _read(span: Span, data: bytes) -> list[int]:
    return _bits(data, span.quantity) if span.table in _BITS else _words(data)


def _written(pdu: bytes, span: Span) -> list[int]:
    match pdu[0]:
        case FunctionCode.WRITE_SINGLE_COIL:
            return [int(pdu[3] == 0xFF)]
        case FunctionCode.WRITE_SINGLE_REGISTER:
            return _words(pdu[3:5])
        case FunctionCode.WRITE_MULTIPLE_COILS:
            return _bits(pdu[6:], span.quantity)
        case FunctionCode.WRITE_MULTIPLE_REGISTERS:
            return _words(pdu[6:])
        case FunctionCode.READ_WRITE_MULTIPLE_REGISTERS:
            return _words(pdu[10:])
        case _:
            return []


def _words(data: bytes) -> list[int]:
    return [data[at] << 8 | data[at + 1] for at in range(0, len(data) - 1, 2)]


def _bits(data: bytes, quantity: int) -> list[int]:
    return [data[at // 8] >> at % 8 & 1 for at in range(min(quantity, 8 * len(data)))]


def _bytes(what: str, data: bytes) -> str:
    return f"{what}, {data[:MOST_SHOWN].hex(' ')}{' ...' if len(data) > MOST_SHOWN else ''}" if data else what

"""Services by logical names: GET, and ACTION for high-level security (DLMS UA 1000-2, 9.3.6).

Requests are encoded, answers parsed (apdu.py tells them apart). An attribute is class, OBIS code and number; the
answer carries the low four bits of the invoke-id back, which tells a late answer from the one that is awaited.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from nportpy.errors import ProtocolError
from nportpy.protocols.dlms import axdr
from nportpy.protocols.dlms.obis import Obis
from nportpy.protocols.dlms.results import Refused, Result

GET_REQUEST: Final = 0xC0
GET_RESPONSE: Final = 0xC4
ACTION_REQUEST: Final = 0xC3
ACTION_RESPONSE: Final = 0xC7

_NORMAL, _NEXT, _LIST = 1, 2, 3
_BLOCK = 2
_CONFIRMED_HIGH: Final = 0xC0  # high priority, confirmed
_HEADER: Final = 3


@dataclass(frozen=True, slots=True)
class AttributeDescriptor:
    """What a GET asks for.

    Attributes:
        class_id: of the object.
        name: of the object.
        number: of the attribute; 2 is the value, mostly.
        selection: which part of it: a selector and its parameters, encoded (profile.py); empty: all.
    """

    class_id: int
    name: Obis
    number: int = 2
    selection: bytes = b""

    def encode(self) -> bytes:
        """As it stands in a request."""
        head = self.class_id.to_bytes(2, "big") + self.name.code + (self.number & 0xFF).to_bytes(1, "big")
        return head + (b"\x01" + self.selection if self.selection else b"\x00")


def get(invoke: int, attribute: AttributeDescriptor) -> bytes:
    """Ask for one attribute; `invoke` is 0 to 15."""
    return bytes((GET_REQUEST, _NORMAL, _CONFIRMED_HIGH | invoke)) + attribute.encode()


def get_list(invoke: int, attributes: Sequence[AttributeDescriptor]) -> bytes:
    """Ask for several at once; the answer has as many, in this order."""
    head = bytes((GET_REQUEST, _LIST, _CONFIRMED_HIGH | invoke)) + axdr.encode_length(len(attributes))
    return head + b"".join(each.encode() for each in attributes)


def get_next(invoke: int, block: int) -> bytes:
    """Ask for what follows the `block` that came."""
    return bytes((GET_REQUEST, _NEXT, _CONFIRMED_HIGH | invoke)) + block.to_bytes(4, "big")


def action(invoke: int, class_id: int, name: Obis, method: int, data: bytes | None = None) -> bytes:
    """Call a method, with encoded `data` or without any."""
    head = bytes((ACTION_REQUEST, _NORMAL, _CONFIRMED_HIGH | invoke)) + class_id.to_bytes(2, "big") + name.code
    return head + bytes((method,)) + (b"\x00" if data is None else b"\x01" + data)


@dataclass(frozen=True, slots=True)
class Got:
    """The value of an attribute, or why there is none."""

    invoke: int
    result: Result


@dataclass(frozen=True, slots=True)
class GotList:
    """The values of several attributes, in the order of the request."""

    invoke: int
    results: tuple[Result, ...]


@dataclass(frozen=True, slots=True)
class GotBlock:
    """A part of a long answer; blocks.py puts them together.

    Attributes:
        invoke: of the request.
        last: whether it is the last one.
        number: from 1.
        raw: the part; or why there is none.
    """

    invoke: int
    last: bool
    number: int
    raw: bytes | Refused


@dataclass(frozen=True, slots=True)
class Acted:
    """What came of a method: its result, 0 is success, and what it returned."""

    invoke: int
    code: int
    result: Result = None


def parse_get(apdu: bytes) -> Got | GotList | GotBlock:
    """The answer to a GET.

    Raises:
        ProtocolError: it is cut, has too much, or is none.
    """
    if len(apdu) < _HEADER + 1 or apdu[0] != GET_RESPONSE:
        raise ProtocolError(f"no answer to a get: {apdu[:8].hex(' ')}")
    invoke = apdu[2] & 0x0F
    match apdu[1]:
        case 1:
            result, end = take_result(apdu, _HEADER)
            _whole(apdu, end)
            return Got(invoke, result)
        case 2:
            return _block(apdu, invoke)
        case 3:
            return GotList(invoke, results(apdu, _HEADER))
    raise ProtocolError(f"no kind of answer to a get is {apdu[1]:02X}")


def parse_action(apdu: bytes) -> Acted:
    """The answer to an ACTION.

    Raises:
        ProtocolError: it is cut, has too much, or is none.
    """
    if len(apdu) < _HEADER + 1 or apdu[:2] != bytes((ACTION_RESPONSE, _NORMAL)):
        raise ProtocolError(f"no answer to an action: {apdu[:8].hex(' ')}")
    invoke, code, at = apdu[2] & 0x0F, apdu[3], 4
    if at == len(apdu) or apdu[at:] == b"\x00":  # old stacks leave the flag out
        return Acted(invoke, code)
    if apdu[at] != 1:
        raise ProtocolError(f"neither data nor none follows an action's result: {apdu[at]:02X}")
    result, end = take_result(apdu, at + 1)
    _whole(apdu, end)
    return Acted(invoke, code, result)


def take_result(data: bytes, at: int) -> tuple[Result, int]:
    """The value or result that begins at `at` with the choice between them, and where it ends.

    Raises:
        ProtocolError: it is cut, or neither.
    """
    choice = data[at : at + 2]
    if choice[:1] == b"\x00":
        return axdr.take(data, at + 1)
    if choice[:1] == b"\x01" and len(choice) == 2:
        return Refused(choice[1]), at + 2
    raise ProtocolError(f"neither data nor a result: {choice.hex(' ') or 'nothing'}")


def results(data: bytes, at: int = 0) -> tuple[Result, ...]:
    """The values or results of a list from its count to the end; so they stand in the blocks of a list, too.

    Raises:
        ProtocolError: they are cut, or more follows.
    """
    count, at = axdr.length(data, at)
    if count > len(data) - at:
        raise ProtocolError(f"{count} results in {len(data) - at} bytes")
    found = []
    for _ in range(count):
        result, at = take_result(data, at)
        found.append(result)
    _whole(data, at)
    return tuple(found)


def _block(apdu: bytes, invoke: int) -> GotBlock:
    if len(apdu) < _HEADER + 7:
        raise ProtocolError(f"a block is cut: {apdu.hex(' ')}")
    last, number, choice = apdu[3] != 0, int.from_bytes(apdu[4:8], "big"), apdu[8]
    if choice == 1:
        _whole(apdu, 10)
        return GotBlock(invoke, last, number, Refused(apdu[9]))
    if choice != 0:
        raise ProtocolError(f"a block has neither data nor a result: {choice:02X}")
    raw, end = axdr.octets(apdu, 9)
    _whole(apdu, end)
    return GotBlock(invoke, last, number, raw)


def _whole(data: bytes, end: int) -> None:
    if end != len(data):
        raise ProtocolError(f"{len(data) - end} bytes too many behind an answer: {data[end : end + 8].hex(' ')}")

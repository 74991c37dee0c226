"""What an APDU from a meter is: told apart by its first byte, then parsed (DLMS UA 1000-2, 9.5).

Meters also say what nobody asked: notifications of data and events. They are told apart here so that no client takes
one for its answer. Ciphered APDUs are opened before they come here (ciphering.py).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from nportpy.errors import ProtocolError
from nportpy.protocols.dlms.blocks import GENERAL, GeneralBlock
from nportpy.protocols.dlms.logical import (
    ACTION_RESPONSE,
    GET_RESPONSE,
    Acted,
    Got,
    GotBlock,
    GotList,
    parse_action,
    parse_get,
)
from nportpy.protocols.dlms.results import ExceptionResponse, ServiceError
from nportpy.protocols.dlms.short import (
    READ_RESPONSE,
    WRITE_RESPONSE,
    ReadAnswer,
    ReadBlock,
    Written,
    parse_read,
    parse_write,
)

SERVICE_ERROR: Final = 0x0E
EXCEPTION_RESPONSE: Final = 0xD8
DATA_NOTIFICATION: Final = 0x0F
EVENT_NOTIFICATION: Final = 0xC2
INFORMATION_REPORT: Final = 0x18

_INVOCATION_COUNTER: Final = 6


@dataclass(frozen=True, slots=True)
class Notification:
    """What the meter says by itself: a data or event notification, or an information report.

    Attributes:
        kind: its tag.
        body: what follows the tag.
    """

    kind: int
    body: bytes


Apdu: TypeAlias = (
    Got | GotList | GotBlock | Acted | ReadAnswer | ReadBlock | Written | ExceptionResponse | ServiceError
    | GeneralBlock | Notification
)  # fmt: skip
"""Whatever a meter may say within an association."""


def _notification(apdu: bytes) -> Notification:
    return Notification(apdu[0], apdu[1:])


def parse_exception(apdu: bytes) -> ExceptionResponse:
    """An exception response.

    Raises:
        ProtocolError: it is cut, or none.
    """
    if len(apdu) < 3 or apdu[0] != EXCEPTION_RESPONSE:
        raise ProtocolError(f"no exception response: {apdu[:8].hex(' ')}")
    counter = None
    if apdu[2] == _INVOCATION_COUNTER and len(apdu) == 7:
        counter = int.from_bytes(apdu[3:], "big")
    elif len(apdu) != 3:
        raise ProtocolError(f"no exception response: {apdu[:8].hex(' ')}")
    return ExceptionResponse(apdu[1], apdu[2], counter)


def parse_service_error(apdu: bytes) -> ServiceError:
    """A confirmed service error.

    Raises:
        ProtocolError: it is cut, or none.
    """
    if len(apdu) != 4 or apdu[0] != SERVICE_ERROR:
        raise ProtocolError(f"no confirmed service error: {apdu[:8].hex(' ')}")
    return ServiceError(*apdu[1:])


_PARSERS: Final[dict[int, Callable[[bytes], Apdu]]] = {
    GET_RESPONSE: parse_get,
    READ_RESPONSE: parse_read,
    ACTION_RESPONSE: parse_action,
    WRITE_RESPONSE: parse_write,
    EXCEPTION_RESPONSE: parse_exception,
    SERVICE_ERROR: parse_service_error,
    GENERAL: GeneralBlock.parse,
    DATA_NOTIFICATION: _notification,
    EVENT_NOTIFICATION: _notification,
    INFORMATION_REPORT: _notification,
}


def parse(apdu: bytes) -> Apdu:
    """What the meter said.

    Raises:
        ProtocolError: it is cut, has too much, or is nothing that a meter may say here.
    """
    parser = _PARSERS.get(apdu[0]) if apdu else None
    if parser is None:
        raise ProtocolError(f"no answer begins with {apdu[:8].hex(' ') or 'nothing'}")
    return parser(apdu)

"""Who made a device: Read Device Identification, and Report Server ID for those that do not know it.

Source: MODBUS Application Protocol V1.1b3, 6.21 (43/14) and 6.13 (17).

Read Device Identification gives objects, an id and a text each, in three categories: basic (0 to 2), regular (3 to 6
have names) and extended (from 0x80 on, the vendor's). An answer says which of them the device has, and, where not all
fit in one PDU, with which object to go on. `Walk` asks until everything is there.
"""

from typing import Final, NamedTuple

from nportpy.errors import ProtocolError
from nportpy.protocols.modbus.functions import UNKNOWN, answer_length
from nportpy.protocols.modbus.pdu import EXCEPTION_BIT, READ_DEVICE_IDENTIFICATION, FunctionCode

OBJECTS: Final = ("vendor", "product", "version", "vendor url", "product name", "model", "application")
"""What the objects 0 to 6 are: VendorName, ProductCode, MajorMinorRevision and so on (table 55 of 6.21)."""

BASIC: Final = 1
EXTENDED: Final = 3
"""Categories, as a request names them and as the conformity level does (6.21)."""

MAX_REQUESTS: Final = 40
"""Requests that one device is worth."""

REPORT_SERVER_ID: Final = bytes((FunctionCode.REPORT_SERVER_ID,))
"""The request of 17."""

_FUNCTION = FunctionCode.ENCAPSULATED_INTERFACE_TRANSPORT
_HEAD = 7  # bytes before the objects
_MORE = 0xFF
_RUN = (0x00, 0xFF)  # the run indicator: off, on


class Page(NamedTuple):
    """One answer.

    Attributes:
        level: the highest category that the device has.
        following: the object with which to go on; None if there is nothing more.
        objects: the objects' bytes, by id.
    """

    level: int
    following: int | None
    objects: dict[int, bytes]


def request(category: int, first: int = 0) -> bytes:
    """The PDU that asks for the objects of `category`, and of those below it, from the object `first` on."""
    return bytes((_FUNCTION, READ_DEVICE_IDENTIFICATION, category, first))


def parse(pdu: bytes) -> Page:
    """What an answer says.

    Raises:
        ProtocolError: it is none.
    """
    length = answer_length(pdu)
    if pdu[:2] != bytes((_FUNCTION, READ_DEVICE_IDENTIFICATION)) or length == UNKNOWN or length != len(pdu):
        raise ProtocolError(f"not an answer with objects: {pdu[:16].hex(' ')}")
    objects: dict[int, bytes] = {}
    at = _HEAD
    for _ in range(pdu[6]):
        end = at + 2 + pdu[at + 1]
        objects[pdu[at]] = pdu[at + 2 : end]
        at = end
    # Of the level the highest bit says that objects can be asked for one by one.
    return Page(pdu[3] & 0x7F, pdu[5] if pdu[4] == _MORE else None, objects)


class Walk:
    """Asks one device for everything: first for what every device has, then for all that it says it has besides.

    `pdu` is the next request, None when there is nothing more to ask; `take` is given its answer.

    Attributes:
        objects: what came, by id.
    """

    def __init__(self) -> None:
        self.objects: dict[int, bytes] = {}
        self.pdu: bytes | None = request(BASIC)
        self._category = BASIC
        self._asked = 0

    def take(self, answer: bytes) -> None:
        """The answer to `pdu`. A refusal, or one that makes no sense, ends the walk; what came before stays."""
        asked, self.pdu = self.pdu, None
        self._asked += 1
        if asked is None or answer[0] & EXCEPTION_BIT:
            return
        try:
            page = parse(answer)
        except ProtocolError:
            return
        self.objects.update(page.objects)
        if self._asked == MAX_REQUESTS:
            return
        if page.following is not None:
            if page.following > asked[3]:  # some name the same object for ever
                self.pdu = request(self._category, page.following)
        elif self._category == BASIC < page.level:
            self._category = min(page.level, EXTENDED)
            # From 0 on, not from where the basic ones end: not every device has what comes next, and some refuse then.
            self.pdu = request(self._category)


def text(data: bytes) -> str:
    """What a device says of itself, leniently: UTF-8, else ISO 8859-1, without the zeros and spaces around it."""
    try:
        words = data.decode()
    except UnicodeDecodeError:
        words = data.decode("latin-1")
    return words.strip("\0 \t\r\n")


class ServerId(NamedTuple):
    """What Report Server ID gives. How long the id is only the device's manual tells; mostly it is a byte.

    Attributes:
        data: everything, as sent.
        running: the run indicator, where it stands behind an id of one byte; None where it does not.
    """

    data: bytes
    running: bool | None

    def __str__(self) -> str:
        """The text in it, or hexadecimal digits where there is none."""
        rest = self.data if self.running is None else self.data[2:]
        words = text(rest.rstrip(b"\0\xff"))
        return words if words and words.isprintable() else self.data.hex(" ")


def parse_server_id(pdu: bytes) -> ServerId:
    """What the answer to `REPORT_SERVER_ID` says.

    Raises:
        ProtocolError: it is none.
    """
    if pdu[:1] != REPORT_SERVER_ID or len(pdu) < 2 or len(pdu) != 2 + pdu[1]:
        raise ProtocolError(f"not an answer with a server id: {pdu[:16].hex(' ')}")
    data = pdu[2:]
    return ServerId(data, data[1] == _RUN[1] if len(data) > 1 and data[1] in _RUN else None)

"""Services by short names: Read and Write (DLMS UA 1000-2, 9.3.14 to 9.3.16).

An object has a base name of 16 bits, and attribute n lies 8 x (n - 1) above it. There is no invoke-id: only the order
on the link ties an answer to its question.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from nportpy.errors import ProtocolError
from nportpy.protocols.dlms import axdr
from nportpy.protocols.dlms.logical import results
from nportpy.protocols.dlms.results import Refused, Result
from nportpy.protocols.dlms.simple import Value

READ_REQUEST: Final = 0x05
WRITE_REQUEST: Final = 0x06
READ_RESPONSE: Final = 0x0C
WRITE_RESPONSE: Final = 0x0D

ASSOCIATION: Final = 0xFA00
"""The base name of the association that is open (class 12)."""

OBJECT_LIST: Final = 0xFA08
REPLY_TO_HLS: Final = 0xFA58

_VARIABLE, _PARAMETERISED, _BLOCK = 0x02, 0x04, 0x05
_METHODS: Final = {3: 0x28, 4: 0x38, 5: 0x48, 6: 0x30, 7: 0x58, 8: 0x60, 9: 0x20, 12: 0x20}
_DATA, _RESULT, _DATA_BLOCK, _BLOCK_NUMBER = 0, 1, 2, 3


def attribute_name(base: int, number: int) -> int:
    """The short name of an attribute; `base` may be as object lists have it, signed."""
    return (base + 8 * (number - 1)) % 0x10000


def method_name(base: int, class_id: int, number: int) -> int:
    """The short name of a method.

    Raises:
        ProtocolError: it is not known where methods of this class begin.
    """
    first = _METHODS.get(class_id)
    if first is None:
        raise ProtocolError(f"methods of class {class_id} have no short names that are known")
    return (base + first + 8 * (number - 1)) % 0x10000


@dataclass(frozen=True, slots=True)
class Variable:
    """What a Read asks for.

    Attributes:
        name: of the attribute.
        selection: which part of it: a selector and its parameters, encoded (profile.py); empty: all.
    """

    name: int
    selection: bytes = b""

    def encode(self) -> bytes:
        """As it stands in a request."""
        name = self.name.to_bytes(2, "big")
        return bytes((_PARAMETERISED,)) + name + self.selection if self.selection else bytes((_VARIABLE,)) + name


def read(variables: Sequence[Variable]) -> bytes:
    """Ask for attributes; the answer has as many results, in this order."""
    head = bytes((READ_REQUEST,)) + axdr.encode_length(len(variables))
    return head + b"".join(each.encode() for each in variables)


def read_next(block: int) -> bytes:
    """Ask for what follows the `block` that came."""
    return bytes((READ_REQUEST, 1, _BLOCK)) + block.to_bytes(2, "big")


def write(name: int, data: bytes) -> bytes:
    """Write encoded `data` to a short name: so a method is called."""
    return bytes((WRITE_REQUEST, 1, _VARIABLE)) + name.to_bytes(2, "big") + b"\x01" + data


@dataclass(frozen=True, slots=True)
class ReadAnswer:
    """The values of attributes, in the order of the request, or why there are none."""

    results: tuple[Result, ...]


@dataclass(frozen=True, slots=True)
class ReadBlock:
    """A part of a long answer; blocks.py puts them together.

    Attributes:
        last: whether it is the last one.
        number: from 1.
        raw: the part.
    """

    last: bool
    number: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class Written:
    """What came of each write: None is success.

    Attributes:
        results: in the order of the request.
        returned: the octet string that a method gave back, where a meter puts it behind the one success.
    """

    results: tuple[Refused | None, ...]
    returned: Value = None


def parse_read(apdu: bytes) -> ReadAnswer | ReadBlock:
    """The answer to a Read.

    Raises:
        ProtocolError: it is cut, has too much, or is none.
    """
    if len(apdu) < 3 or apdu[0] != READ_RESPONSE:
        raise ProtocolError(f"no answer to a read: {apdu[:8].hex(' ')}")
    if apdu[1] != 1 or apdu[2] not in (_DATA_BLOCK, _BLOCK_NUMBER):
        return ReadAnswer(results(apdu, 1))
    if apdu[2] == _BLOCK_NUMBER:
        raise ProtocolError("the meter acknowledges a block that was never written")
    if len(apdu) < 7:
        raise ProtocolError(f"a block is cut: {apdu.hex(' ')}")
    raw, end = axdr.octets(apdu, 6)
    if end != len(apdu):
        raise ProtocolError(f"{len(apdu) - end} bytes too many behind a block")
    return ReadBlock(apdu[3] != 0, int.from_bytes(apdu[4:6], "big"), raw)


def parse_write(apdu: bytes) -> Written:
    """The answer to a Write.

    Raises:
        ProtocolError: it is cut, has too much, or is none.
    """
    if len(apdu) < 2 or apdu[0] != WRITE_RESPONSE:
        raise ProtocolError(f"no answer to a write: {apdu[:8].hex(' ')}")
    count, at = axdr.length(apdu, 1)
    found: list[Refused | None] = []
    for _ in range(min(count, len(apdu) - at)):
        choice = apdu[at : at + 1]
        if choice == b"\x00":
            found.append(None)
            at += 1
        elif choice == b"\x01" and at + 1 < len(apdu):
            found.append(Refused(apdu[at + 1]))
            at += 2
        else:
            raise ProtocolError(f"neither success nor a result: {choice.hex() or 'nothing'}")
    if found == [None] and count == 1 and apdu[at : at + 1] == bytes((axdr.Tag.OCTET_STRING,)):
        return Written((None,), axdr.decode(apdu[at:]))
    if len(found) != count or at != len(apdu):
        raise ProtocolError(f"no answer to a write: {apdu[:8].hex(' ')}")
    return Written(tuple(found))


def joined(raw: bytes, count: int) -> tuple[Result, ...]:
    """The results that the blocks of a long answer hold, put together.

    One value stands there alone; some meters put the count and the choice before it, as before the values of a list.

    Args:
        raw: the parts of all blocks.
        count: how many attributes were asked for.

    Raises:
        ProtocolError: it is neither.
    """
    if count == 1:
        try:
            return (axdr.decode(raw),)
        except ProtocolError:
            pass
    found = results(raw)
    if len(found) != count:
        raise ProtocolError(f"{len(found)} values for {count} attributes")
    return found

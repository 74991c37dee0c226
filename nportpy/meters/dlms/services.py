"""Reading attributes within an association: one, several at once, and long answers block by block.

By logical names (GET) and by short ones (Read) the same is done; the two differ in how a request is written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from nportpy.errors import ProtocolError
from nportpy.meters.dlms.association import Association
from nportpy.meters.dlms.errors import AnswerTooLong, Dissociated, ServiceRefused
from nportpy.meters.dlms.settings import DlmsSettings, Referencing
from nportpy.protocols.dlms import axdr, logical, short
from nportpy.protocols.dlms.acse import Conformance
from nportpy.protocols.dlms.apdu import Apdu
from nportpy.protocols.dlms.blocks import Blocks
from nportpy.protocols.dlms.logical import AttributeDescriptor, Got, GotBlock, GotList
from nportpy.protocols.dlms.obis import Obis
from nportpy.protocols.dlms.results import ExceptionResponse, Refused, Result, ServiceError
from nportpy.protocols.dlms.short import ReadAnswer, ReadBlock, Variable

LARGEST_LIST: Final = 32
"""Attributes in one request, where the meter's PDU would hold more."""

_PDU_TOO_LONG: Final = 4  # of an ExceptionResponse
_ROOM: Final = 48  # bytes of a request that are not attributes: headers, and what ciphering adds


@dataclass(frozen=True, slots=True)
class Wanted:
    """An attribute, as it is asked for.

    Attributes:
        class_id: of the object; by short names it does not matter.
        obis: its logical name.
        number: of the attribute.
        name: its short name; -1 by logical ones.
        selection: which part of it (profile.py); empty: all.
    """

    class_id: int
    obis: bytes
    number: int
    name: int = -1
    selection: bytes = b""


class Names(Protocol):
    """How requests are written, and answers read."""

    listing: int
    """Bytes that one attribute takes in a request."""

    def one(self, wanted: Wanted) -> bytes:
        """Ask for one."""

    def several(self, wanted: Sequence[Wanted]) -> bytes:
        """Ask for several."""

    def more(self, block: int) -> bytes:
        """Ask for what follows a block."""

    def answers(self, answer: Apdu) -> bool:
        """Whether that answers the last request."""

    def joined(self, raw: bytes, count: int) -> Sequence[Result]:
        """What the blocks of a long answer hold."""


class _Logical:
    """GET."""

    listing = 11

    def __init__(self) -> None:
        self._invoke = 0

    def one(self, wanted: Wanted) -> bytes:
        return logical.get(self._next(), _described(wanted))

    def several(self, wanted: Sequence[Wanted]) -> bytes:
        return logical.get_list(self._next(), [_described(each) for each in wanted])

    def more(self, block: int) -> bytes:
        return logical.get_next(self._invoke, block)

    def answers(self, answer: Apdu) -> bool:
        return isinstance(answer, Got | GotList | GotBlock) and answer.invoke == self._invoke

    def joined(self, raw: bytes, count: int) -> Sequence[Result]:
        return (axdr.decode(raw),) if count == 1 else logical.results(raw)

    def _next(self) -> int:
        self._invoke = self._invoke % 15 + 1
        return self._invoke


class _Short:
    """Read. Nothing but their order ties answers to questions."""

    listing = 3

    def one(self, wanted: Wanted) -> bytes:
        return short.read([Variable(wanted.name, wanted.selection)])

    def several(self, wanted: Sequence[Wanted]) -> bytes:
        return short.read([Variable(each.name, each.selection) for each in wanted])

    def more(self, block: int) -> bytes:
        return short.read_next(block)

    def answers(self, answer: Apdu) -> bool:
        return isinstance(answer, ReadAnswer | ReadBlock)

    def joined(self, raw: bytes, count: int) -> Sequence[Result]:
        return short.joined(raw, count)


class Services:
    """What one client asks of its meter, in whatever association there is."""

    def __init__(self, settings: DlmsSettings, association: Association) -> None:
        """Nothing was asked yet."""
        self._settings = settings
        self._association = association
        self._names: Names = _Short() if settings.referencing is Referencing.SHORT else _Logical()
        self._unable = 0  # the number of the association in which a list was answered by an error

    def may(self, service: Conformance) -> bool:
        """Whether the meter agreed to a service."""
        return bool(self._association.agreement.conformance & service)

    async def get(self, wanted: Wanted, within: float) -> Result:
        """One attribute, or the result that the meter gives for it.

        Raises:
            ServiceRefused: it answered an error instead.
            ProtocolError, LineError: as `Association.ask`.
        """
        return (await self._asked(self._names.one(wanted), 1, within))[0]

    async def fetch(self, wanted: Sequence[Wanted], found: dict[Wanted, Result | ProtocolError]) -> None:
        """Put what is there of `wanted` into `found`, several at once where the meter can.

        What it refuses, or answers nonsense to, is put there as such, so that others are read all the same.

        Raises:
            Dissociated: the association is gone; what was read is in `found`.
            LineError: the same of the connection.
        """
        left = [each for each in dict.fromkeys(wanted) if each not in found]
        size = self._at_once()
        while left:
            part, left = left[:size], left[size:]
            if len(part) == 1 or not await self._fetch_list(part, found):
                for each in part:
                    try:
                        found[each] = await self.get(each, self._settings.response)
                    except Dissociated:
                        raise
                    except ProtocolError as error:
                        found[each] = error

    def _at_once(self) -> int:
        if not (self._settings.lists and self.may(Conformance.MULTIPLE_REFERENCES)):
            return 1
        size = self._association.agreement.pdu_size
        most = max((size - _ROOM) // self._names.listing, 1) if size else LARGEST_LIST
        return min(self._settings.list_size or LARGEST_LIST, most)

    async def _fetch_list(self, part: Sequence[Wanted], found: dict[Wanted, Result | ProtocolError]) -> bool:
        """Whether the meter could do that; if it says no, it is not asked again in this association."""
        if self._unable == self._association.number:
            return False
        try:
            results = await self._asked(self._names.several(part), len(part), self._settings.response)
        except Dissociated:
            raise
        except ProtocolError:
            self._unable = self._association.number
            return False
        found.update(zip(part, results, strict=True))
        return True

    async def _asked(self, request: bytes, count: int, within: float) -> Sequence[Result]:
        answer = await self._association.ask(request, within, self._names.answers)
        match answer:
            case Got(result=result) if count == 1:
                return (result,)
            case GotList(results=results) | ReadAnswer(results=results) if len(results) == count:
                return results
            case GotBlock() | ReadBlock():
                return await self._long(answer, count)
            case ExceptionResponse() | ServiceError():
                hint = "; pdu_size = 0 lets it answer at length" if _too_long(answer) else ""
                raise ServiceRefused(f"the meter refuses to answer: {answer}{hint}")
        raise ProtocolError(f"the answer is not for {count} attribute{'s' * (count != 1)}: {type(answer).__name__}")

    async def _long(self, block: GotBlock | ReadBlock, count: int) -> Sequence[Result]:
        """Everything that follows its first block."""
        blocks, size, limit = Blocks(self._settings.max_size), 0, self._settings.max_size
        while True:
            if isinstance(block.raw, Refused):
                if count > 1 or blocks.received:
                    raise ServiceRefused(f"the meter ends a long answer: {block.raw}")
                return (block.raw,)
            size += len(block.raw)
            if size > limit:
                raise AnswerTooLong(f"an answer of more than {limit} bytes")
            blocks.add(block.number, block.raw)
            if block.last:
                break
            answer = await self._association.ask(
                self._names.more(block.number), self._settings.response, self._names.answers
            )
            if not isinstance(answer, GotBlock | ReadBlock):
                raise ServiceRefused(f"the meter ends a long answer: {_reason(answer)}")
            block = answer
        found = self._names.joined(blocks.joined(), count)
        if len(found) != count:
            raise ProtocolError(f"{len(found)} values for {count} attributes")
        return found


def _described(wanted: Wanted) -> AttributeDescriptor:
    return AttributeDescriptor(wanted.class_id, Obis(wanted.obis), wanted.number, wanted.selection)


def _too_long(answer: ExceptionResponse | ServiceError) -> bool:
    return isinstance(answer, ExceptionResponse) and answer.service == _PDU_TOO_LONG


def _reason(answer: Apdu) -> str:
    match answer:
        case Got(result=Refused() as refused) | ReadAnswer(results=(Refused() as refused,)):
            return str(refused)
        case ExceptionResponse() | ServiceError():
            return str(answer)
    return type(answer).__name__

"""The services by logical names: GET, and what answers SET and ACTION (Green Book 9.3.6 to 9.3.9, 9.5)."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from nportpy.simulator.cosem.data import Data, MalformedError, Source, encode, length
from nportpy.simulator.cosem.objects import Result, Selection

GET_REQUEST, SET_REQUEST, ACTION_REQUEST = 0xC0, 0xC1, 0xC3
GET_RESPONSE, SET_RESPONSE, ACTION_RESPONSE = 0xC4, 0xC5, 0xC7
GENERAL_BLOCK, EXCEPTION = 0xE0, 0xD8
BLOCK_HEADER = 9
"""Bytes of a block's answer before the length of its raw data."""

GENERAL_HEADER = 9
"""Bytes of a general block with the longest length of its part."""

_LAST = 0x80


class Kind(IntEnum):
    """The second byte of a GET."""

    NORMAL = 1
    NEXT = 2
    WITH_LIST = 3


class Refusal(IntEnum):
    """The service error of an exception."""

    NOT_POSSIBLE = 1
    NOT_SUPPORTED = 2
    OTHER = 3
    PDU_TOO_LONG = 4
    DECIPHERING = 5


def exception(state: int, refusal: Refusal) -> bytes:
    """An ExceptionResponse: state 1 service not allowed, 2 service unknown."""
    return bytes((EXCEPTION, state, refusal))


@dataclass(frozen=True, slots=True)
class Reference:
    """An attribute or a method by logical name."""

    class_id: int
    name: bytes
    attribute: int
    selection: Selection | None = None

    @classmethod
    def take(cls, source: Source, selective: bool = True) -> "Reference":
        """The next attribute that a request names."""
        class_id, name = source.number(2), source.take(6)
        attribute = int.from_bytes(source.take(1), "big", signed=True)
        if not selective or not source.number():
            return cls(class_id, name, attribute)
        return cls(class_id, name, attribute, Selection(source.number(), source.data()))


@dataclass(frozen=True, slots=True)
class Get:
    """A GET.

    Attributes:
        kind: normal, next or with a list.
        invoke: invoke id and priority, which the answer repeats.
        references: what is wanted.
        block: the number of the block that the client has.
    """

    kind: Kind
    invoke: int
    references: tuple[Reference, ...] = ()
    block: int = 0

    @classmethod
    def parse(cls, apdu: bytes) -> "Get":
        """What a GetRequest wants.

        Raises:
            MalformedError: it is none.
        """
        source = Source(apdu[1:])
        try:
            kind = Kind(source.number())
        except ValueError as error:
            raise MalformedError(str(error)) from error
        invoke = source.number()
        match kind:
            case Kind.NORMAL:
                get = cls(kind, invoke, (Reference.take(source),))
            case Kind.NEXT:
                get = cls(kind, invoke, block=source.number(4))
            case Kind.WITH_LIST:
                get = cls(kind, invoke, tuple(Reference.take(source) for _ in range(source.length())))
        source.end()
        return get


@dataclass(frozen=True, slots=True)
class Action:
    """An ACTION of one method, with its parameter if it has one."""

    invoke: int
    reference: Reference
    parameter: Data | None

    @classmethod
    def parse(cls, apdu: bytes) -> "Action":
        """What an ActionRequest wants.

        Raises:
            MalformedError: it is none, or one with a list or in blocks.
        """
        source = Source(apdu[1:])
        if source.number() != Kind.NORMAL:
            raise MalformedError("only one method at a time")
        invoke, reference = source.number(), Reference.take(source, selective=False)
        parameter = source.data() if source.number() else None
        source.end()
        return cls(invoke, reference, parameter)

    def response(self, result: Result, returned: Data | None = None) -> bytes:
        """The answer."""
        head = bytes((ACTION_RESPONSE, Kind.NORMAL, self.invoke, result))
        return head + (b"\0" if returned is None else b"\1\0" + encode(returned))


Got = Data | int
"""A value, or the result that is given instead of it."""


def choice(got: Got) -> bytes:
    """A value or a result as an answer has it."""
    return b"\0" + encode(got) if isinstance(got, Data) else bytes((1, got))


def normal(invoke: int, got: Got) -> bytes:
    """The answer to a GET of one attribute."""
    return bytes((GET_RESPONSE, Kind.NORMAL, invoke)) + choice(got)


def listed(invoke: int, got: Sequence[Got]) -> bytes:
    """The answer to a GET with a list."""
    return bytes((GET_RESPONSE, Kind.WITH_LIST, invoke)) + raw_list(got)


def raw_list(got: Sequence[Got]) -> bytes:
    """Several values or results, with their count."""
    return length(len(got)) + b"".join(map(choice, got))


def block(invoke: int, number: int, raw: bytes, last: bool) -> bytes:
    """A block of a long answer."""
    head = bytes((GET_RESPONSE, Kind.NEXT, invoke, last)) + number.to_bytes(4, "big")
    return head + b"\0" + length(len(raw)) + raw


def no_block(invoke: int, number: int, result: Result) -> bytes:
    """The answer instead of a block."""
    return bytes((GET_RESPONSE, Kind.NEXT, invoke, 1)) + number.to_bytes(4, "big") + bytes((1, result))


@dataclass(frozen=True, slots=True)
class GeneralBlock:
    """A block of a whole APDU (9.3.12); a client acknowledges one with an empty one.

    Attributes:
        number: its own.
        acknowledged: that of the other side's last block.
        part: of the APDU.
        last: there are no more.
    """

    number: int
    acknowledged: int
    part: bytes = b""
    last: bool = False

    @classmethod
    def parse(cls, apdu: bytes) -> "GeneralBlock":
        """The block in an APDU.

        Raises:
            MalformedError: it is none.
        """
        source = Source(apdu[1:])
        last = bool(source.number() & _LAST)
        block = cls(source.number(2), source.number(2), source.string(), last)
        source.end()
        return block

    def encode(self) -> bytes:
        """The APDU: one block at a time, no streaming."""
        numbers = self.number.to_bytes(2, "big") + self.acknowledged.to_bytes(2, "big")
        control = self.last * _LAST | 1
        return bytes((GENERAL_BLOCK, control)) + numbers + length(len(self.part)) + self.part


def set_denied(apdu: bytes) -> bytes:
    """The answer to a SET: nothing of a simulated meter can be set."""
    invoke = apdu[2] if len(apdu) > 2 else 0
    return bytes((SET_RESPONSE, Kind.NORMAL, invoke, Result.READ_WRITE_DENIED))

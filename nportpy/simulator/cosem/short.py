"""The services by short names: Read and Write (Green Book 9.3.14 to 9.3.16, 9.5)."""

from collections.abc import Sequence
from dataclasses import dataclass

from nportpy.simulator.cosem.data import Data, MalformedError, Source, encode, length
from nportpy.simulator.cosem.logical import Got, choice, raw_list
from nportpy.simulator.cosem.objects import Selection

READ_REQUEST, WRITE_REQUEST, READ_RESPONSE, WRITE_RESPONSE = 0x05, 0x06, 0x0C, 0x0D
SERVICE_ERROR = 0x0E
ASSOCIATION, SAP_LIST, DEVICE_NAME = 0xFA00, 0xFC00, 0xFD00
"""Base names that every meter has."""

REPLY_TO_HLS = ASSOCIATION + 0x58
READ_BY_NAME = ASSOCIATION + 0x30
BLOCK_HEADER = 8
"""Bytes of a block's answer with the longest length of its raw data."""

_NAME, _PARAMETERISED, _BLOCK = 2, 4, 5


@dataclass(frozen=True, slots=True)
class Named:
    """A variable by its short name, perhaps with a selection."""

    name: int
    selection: Selection | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """A Read.

    Attributes:
        wanted: variables.
        block: the number of the block that the client has, where it asks for the next one.
    """

    wanted: tuple[Named, ...] = ()
    block: int | None = None

    @classmethod
    def parse(cls, apdu: bytes) -> "Read":
        """What a ReadRequest wants.

        Raises:
            MalformedError: it is none.
        """
        source = Source(apdu[1:])
        count = source.length()
        wanted: list[Named] = []
        for _ in range(count):
            kind = source.number()
            if kind == _BLOCK and count == 1:
                number = source.number(2)
                source.end()
                return cls(block=number)
            wanted.append(_named(kind, source))
        source.end()
        return cls(tuple(wanted))


def _named(kind: int, source: Source) -> Named:
    if kind not in (_NAME, _PARAMETERISED):
        raise MalformedError(f"no variable begins with {kind}")
    name = source.number(2)
    return Named(name, Selection(source.number(), source.data()) if kind == _PARAMETERISED else None)


@dataclass(frozen=True, slots=True)
class Write:
    """A Write: variables and their values."""

    wanted: tuple[Named, ...]
    values: tuple[Data, ...]

    @classmethod
    def parse(cls, apdu: bytes) -> "Write":
        """What a WriteRequest wants.

        Raises:
            MalformedError: it is none.
        """
        source = Source(apdu[1:])
        wanted = tuple(_named(source.number(), source) for _ in range(source.length()))
        values = tuple(source.data() for _ in range(source.length()))
        source.end()
        if len(wanted) != len(values):
            raise MalformedError("as many values as variables are needed")
        return cls(wanted, values)


def response(got: Sequence[Got]) -> bytes:
    """The answer to a Read."""
    return bytes((READ_RESPONSE,)) + raw_list(got)


def block(number: int, raw: bytes, last: bool) -> bytes:
    """A block of a long answer."""
    return bytes((READ_RESPONSE, 1, 2, last)) + number.to_bytes(2, "big") + length(len(raw)) + raw


def written(results: Sequence[int]) -> bytes:
    """The answer to a Write: a result each, 0 for success."""
    each = (bytes((1, result)) if result else b"\0" for result in results)
    return bytes((WRITE_RESPONSE,)) + length(len(results)) + b"".join(each)


def service_error(service: int, kind: int, code: int) -> bytes:
    """A ConfirmedServiceError: of service 1 initiate, 5 read, 6 write."""
    return bytes((SERVICE_ERROR, service, kind, code))


def single(got: Got) -> bytes:
    """What the blocks of one variable join to: its data alone."""
    return encode(got) if isinstance(got, Data) else choice(got)

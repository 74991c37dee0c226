"""Requests for an association and the answers, in BER (Green Book 9.4.2, 9.4.4; IEC 62056-53)."""

from dataclasses import dataclass, field
from enum import IntEnum, IntFlag

from nportpy.simulator.cosem.data import MalformedError, Source, length

AARQ, AARE, RLRQ, RLRE = 0x60, 0x61, 0x62, 0x63
RELEASED = bytes((RLRE, 3, 0x80, 1, 0))
"""RLRE, reason normal."""

_CONTEXT = bytes.fromhex("608574050801")
_MECHANISM = bytes.fromhex("608574050802")
_CONFORMANCE = bytes.fromhex("5F1F0400")
_CONFORMANCE_OLD = bytes.fromhex("5F0400")  # as stacks before the two-byte tag wrote it
VERSION = 6
INITIATE_REQUEST, INITIATE_RESPONSE, CONFIRMED_SERVICE_ERROR = 0x01, 0x08, 0x0E
_VAA_SHORT, _VAA_LOGICAL = 0xFA00, 0x0007


class Context(IntEnum):
    """How objects are named, and whether APDUs may be ciphered."""

    LOGICAL = 1
    SHORT = 2
    LOGICAL_CIPHERED = 3
    SHORT_CIPHERED = 4


class Mechanism(IntEnum):
    """How a client proves who it is."""

    NONE = 0
    LOW = 1
    MD5 = 3
    SHA1 = 4
    GMAC = 5
    SHA256 = 6


class Conformance(IntFlag):
    """The services, 24 bits, bit 0 first (9.4.6.1)."""

    GENERAL_BLOCKS = 0x200000
    READ = 0x100000
    WRITE = 0x080000
    BLOCKS_GET = 0x001000
    BLOCKS_SET = 0x000800
    MULTIPLE = 0x000200
    PARAMETERISED = 0x000020
    GET = 0x000010
    SET = 0x000008
    SELECTIVE = 0x000004
    ACTION = 0x000001


class Diagnostic(IntEnum):
    """What the meter's user of ACSE says of a request."""

    NONE = 0
    NO_REASON = 1
    CONTEXT_NOT_SUPPORTED = 2
    MECHANISM_NOT_RECOGNISED = 11
    MECHANISM_REQUIRED = 12
    AUTHENTICATION_FAILURE = 13
    AUTHENTICATION_REQUIRED = 14


class Outcome(IntEnum):
    """The answer to a request."""

    ACCEPTED = 0
    REJECTED_PERMANENT = 1
    REJECTED_TRANSIENT = 2


class InitiateError(IntEnum):
    """Why the user information of a request was refused."""

    OTHER = 0
    VERSION_TOO_LOW = 1
    INCOMPATIBLE_CONFORMANCE = 2
    PDU_SIZE_TOO_SHORT = 3
    REFUSED = 4

    def encode(self) -> bytes:
        """A ConfirmedServiceError that says so."""
        return bytes((CONFIRMED_SERVICE_ERROR, 1, 6, self))


@dataclass(frozen=True, slots=True)
class Initiate:
    """What a client proposes.

    Attributes:
        version: of DLMS; 6.
        conformance: the services it would use.
        pdu_size: what it can receive; 0: it does not say.
        dedicated_key: for ciphering in this association; empty: none.
    """

    version: int
    conformance: Conformance
    pdu_size: int
    dedicated_key: bytes = field(default=b"", repr=False)

    @classmethod
    def parse(cls, apdu: bytes) -> "Initiate":
        """What an InitiateRequest says.

        Raises:
            MalformedError: it is none.
        """
        source = Source(apdu)
        if source.number() != INITIATE_REQUEST:
            raise MalformedError("no InitiateRequest")
        key = source.string() if source.number() else b""
        if source.number():  # response-allowed, if it is not the default
            source.take(1)
        if source.number():  # quality of service
            source.take(1)
        version = source.number()
        head = source.take(3)
        if head == _CONFORMANCE[:3]:
            head += source.take(1)
        if head not in (_CONFORMANCE, _CONFORMANCE_OLD):
            raise MalformedError("no conformance")
        return cls(version, Conformance(source.number(3)), source.number(2), key)


def initiate_response(conformance: Conformance, pdu_size: int, short: bool) -> bytes:
    """What the meter agrees to, and how large an APDU it can receive."""
    vaa = _VAA_SHORT if short else _VAA_LOGICAL
    agreed = _CONFORMANCE + int(conformance).to_bytes(3, "big")
    return bytes((INITIATE_RESPONSE, 0, VERSION)) + agreed + pdu_size.to_bytes(2, "big") + vaa.to_bytes(2, "big")


@dataclass(frozen=True, slots=True)
class Request:
    """An AARQ.

    Attributes:
        context: the application context's number, 1 to 4; what is no such thing is 0.
        mechanism: the authentication mechanism's number; 0: none is named.
        value: password or challenge.
        title: the client's system title.
        user: the user information, an InitiateRequest or that ciphered.
    """

    context: int
    mechanism: int = 0
    value: bytes = field(default=b"", repr=False)
    title: bytes = b""
    user: bytes = b""

    @classmethod
    def parse(cls, apdu: bytes) -> "Request":
        """What an AARQ says; elements that are not known are skipped.

        Raises:
            MalformedError: it is none.
        """
        whole = Source(apdu)
        if whole.number() != AARQ:
            raise MalformedError("no AARQ")
        source = Source(whole.string())
        whole.end()
        context = mechanism = 0
        value = title = user = b""
        while source.left:
            tag, part = source.number(), source.string()
            match tag:
                case 0xA1:
                    context = _number(_inner(part, 0x06), _CONTEXT)
                case 0x8B:
                    mechanism = _number(part, _MECHANISM)
                case 0xAC:
                    value = _inner(part, 0x80)
                case 0xA6:
                    title = _inner(part, 0x04)
                case 0xBE:
                    user = _inner(part, 0x04)
        return cls(context, mechanism, value, title, user)


def _inner(part: bytes, tag: int) -> bytes:
    source = Source(part)
    if source.number() != tag:
        raise MalformedError(f"no element {tag:#x} where one belongs")
    return source.string()


def _number(identifier: bytes, prefix: bytes) -> int:
    return identifier[-1] if identifier[:-1] == prefix[: len(identifier) - 1] and len(identifier) == 7 else 0


@dataclass(frozen=True, slots=True)
class Response:
    """An AARE.

    Attributes:
        context: the application context's number.
        outcome: accepted or not.
        diagnostic: why.
        user: the user information; empty: none.
        mechanism: the mechanism of an association that goes on with challenges; 0: none.
        challenge: the meter's.
        title: the meter's system title; empty: none.
    """

    context: int
    outcome: Outcome
    diagnostic: Diagnostic
    user: bytes = b""
    mechanism: int = 0
    challenge: bytes = b""
    title: bytes = b""

    def encode(self) -> bytes:
        """The AARE."""
        body = _element(0xA1, _element(0x06, _CONTEXT + bytes((self.context,))))
        body += _element(0xA2, bytes((2, 1, self.outcome)))
        body += _element(0xA3, _element(0xA1, bytes((2, 1, self.diagnostic))))
        if self.title:
            body += _element(0xA4, _element(0x04, self.title))
        if self.mechanism:
            body += _element(0x88, bytes((7, 0x80)))
            body += _element(0x89, _MECHANISM + bytes((self.mechanism,)))
            body += _element(0xAA, _element(0x80, self.challenge))
        if self.user:
            body += _element(0xBE, _element(0x04, self.user))
        return _element(AARE, body)


def _element(tag: int, contents: bytes) -> bytes:
    return bytes((tag,)) + length(len(contents)) + contents

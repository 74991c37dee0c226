"""Associations: AARQ, AARE, RLRQ and RLRE in BER, and the InitiateRequest and -Response within them.

Source: Green Book 9.4.2 and 9.4.4, ISO/IEC 8650-1; the names of the services are 24 bits of conformance (9.4.6.1).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final

from nportpy.errors import ProtocolError
from nportpy.protocols.dlms.apdu import SERVICE_ERROR, parse_service_error
from nportpy.protocols.dlms.results import ServiceError

AARQ: Final = 0x60
AARE: Final = 0x61
RLRQ: Final = b"\x62\x03\x80\x01\x00"
"""Release, for the normal reason."""

RLRE: Final = 0x63
INITIATE_REQUEST: Final = 0x01
INITIATE_RESPONSE: Final = 0x08

DLMS_VERSION: Final = 6

_OID: Final = b"\x60\x85\x74\x05\x08"  # 2.16.756.5.8
_ACSE_REQUIREMENTS: Final = b"\x02\x07\x80"


class Conformance(IntFlag):
    """Services, as both sides propose and agree on them."""

    GENERAL_PROTECTION = 0x400000
    GENERAL_BLOCK_TRANSFER = 0x200000
    READ = 0x100000
    WRITE = 0x080000
    BLOCK_TRANSFER = 0x001000
    MULTIPLE_REFERENCES = 0x000200
    PARAMETERISED_ACCESS = 0x000020
    GET = 0x000010
    SET = 0x000008
    SELECTIVE_ACCESS = 0x000004
    ACTION = 0x000001


LOGICAL_PROPOSAL: Final = 0x007E1F
SHORT_PROPOSAL: Final = 0x1C1320
"""What meters take, including block transfer."""


class Context(IntEnum):
    """The application context: how objects are named, and whether APDUs are ciphered."""

    LOGICAL = 1
    SHORT = 2
    LOGICAL_CIPHERED = 3
    SHORT_CIPHERED = 4


class Mechanism(IntEnum):
    """How a client proves who it is."""

    NONE = 0
    LOW = 1
    MANUFACTURER = 2
    MD5 = 3
    SHA1 = 4
    GMAC = 5
    SHA256 = 6
    ECDSA = 7


class Diagnostic(IntEnum):
    """Why an association was refused; or 14: it goes on with the answer to a challenge."""

    NONE = 0
    NO_REASON = 1
    CONTEXT_NOT_SUPPORTED = 2
    MECHANISM_NOT_RECOGNISED = 11
    MECHANISM_REQUIRED = 12
    AUTHENTICATION_FAILURE = 13
    AUTHENTICATION_REQUIRED = 14


_MEANINGS: Final = {
    1: "no reason given",
    2: "it does not know the application context: other names (short or logical), or ciphering",
    3: "calling AP title not recognised",
    4: "calling AP invocation identifier not recognised",
    5: "calling AE qualifier not recognised",
    6: "calling AE invocation identifier not recognised",
    7: "called AP title not recognised",
    8: "called AP invocation identifier not recognised",
    9: "called AE qualifier not recognised",
    10: "called AE invocation identifier not recognised",
    11: "it does not know this kind of authentication",
    12: "it wants a password or key from this client",
    13: "authentication failed: the password or key is wrong for this client",
    14: "it wants a high level of security from this client",
}
_TO_AUTHENTICATE: Final = frozenset((11, 12, 13, 14))


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a client asks for.

    Attributes:
        context: names and ciphering.
        mechanism: of authentication.
        value: the password, or the challenge to the server. Never shown.
        title: the client's system title; b"": it has none.
    """

    context: Context
    mechanism: Mechanism = Mechanism.NONE
    value: bytes = b""
    title: bytes = b""

    def __repr__(self) -> str:
        return f"Proposal({self.context!r}, {self.mechanism!r})"

    def encode(self, user: bytes) -> bytes:
        """AARQ, with `user`: the InitiateRequest, perhaps ciphered."""
        body = _tagged(0xA1, _tagged(0x06, _OID + bytes((1, self.context))))
        if self.title:
            body += _tagged(0xA6, _tagged(0x04, self.title))
        if self.mechanism:
            body += b"\x8a" + _ACSE_REQUIREMENTS
            body += _tagged(0x8B, _OID + bytes((2, self.mechanism)))
            body += _tagged(0xAC, _tagged(0x80, self.value))
        return _tagged(AARQ, body + _tagged(0xBE, _tagged(0x04, user)))


def initiate_request(conformance: int, pdu_size: int) -> bytes:
    """InitiateRequest: services, and the longest APDU that this side takes; 0: no limit (9.4.4.2.1)."""
    services = b"\x5f\x1f\x04\x00" + conformance.to_bytes(3, "big")
    return bytes((INITIATE_REQUEST, 0, 0, 0, DLMS_VERSION)) + services + pdu_size.to_bytes(2, "big")


@dataclass(frozen=True, slots=True)
class Response:
    """AARE.

    Attributes:
        result: 0 accepted, 1 rejected for good, 2 rejected for now.
        diagnostic: of the service user (1) or provider (2), with its source.
        title: the server's system title.
        value: its challenge.
        user: the InitiateResponse or a service error, perhaps ciphered.
    """

    result: int
    diagnostic: int = 0
    by_provider: bool = False
    title: bytes = b""
    value: bytes = b""
    user: bytes = b""

    @property
    def accepted(self) -> bool:
        """Whether there is an association."""
        return self.result == 0

    @property
    def challenged(self) -> bool:
        """Whether it goes on with the answer to a challenge."""
        return self.accepted and self.diagnostic == Diagnostic.AUTHENTICATION_REQUIRED

    @property
    def concerns_authentication(self) -> bool:
        """Whether it was refused because of who the client is, or how it proves it."""
        return not self.accepted and not self.by_provider and self.diagnostic in _TO_AUTHENTICATE

    @property
    def error(self) -> ServiceError | None:
        """The service error in place of the InitiateResponse."""
        return parse_service_error(self.user) if self.user[:1] == bytes((SERVICE_ERROR,)) else None

    @property
    def reason(self) -> str:
        """Why it was refused, in words."""
        if self.by_provider:
            why = {1: "no reason given", 2: "no common version of ACSE"}.get(self.diagnostic, "")
        else:
            why = _MEANINGS.get(self.diagnostic, "")
        why = why or f"diagnostic {self.diagnostic}"
        if self.error:
            why += f" ({self.error})"
        return f"{why}, for now" if self.result == 2 else why

    @classmethod
    def parse(cls, apdu: bytes) -> "Response":
        """The AARE that `apdu` is; parts that are unknown are skipped.

        Raises:
            ProtocolError: it is cut, or none.
        """
        if apdu[:1] != bytes((AARE,)):
            raise ProtocolError(f"no answer to an association: {apdu[:8].hex(' ')}")
        result = diagnostic = 0
        by_provider = seen = False
        title = value = user = b""
        _, body = next(_elements(apdu))
        for tag, content in _elements(body):
            match tag:
                case 0xA2:
                    result, seen = int.from_bytes(_inner(content), "big"), True
                case 0xA3:
                    source, number = next(_elements(content), (0, b""))
                    by_provider, diagnostic = source == 0xA2, int.from_bytes(_inner(number), "big")
                case 0xA4:
                    title = _inner(content)
                case 0xAA:
                    value = _inner(content)
                case 0xBE:
                    user = _inner(content)
        if not seen:
            raise ProtocolError("an answer to an association without a result")
        return cls(result, diagnostic, by_provider, title, value, user)


@dataclass(frozen=True, slots=True)
class Agreement:
    """InitiateResponse: what the meter agrees to.

    Attributes:
        conformance: services.
        pdu_size: the longest APDU that it takes; 0: it states no limit.
        vaa: 0007 by logical names, FA00 by short ones.
    """

    conformance: Conformance
    pdu_size: int
    vaa: int

    @classmethod
    def parse(cls, apdu: bytes) -> "Agreement":
        """The InitiateResponse that `apdu` is.

        Raises:
            ProtocolError: it is cut, or none; a service error says which.
        """
        if apdu[:1] == bytes((SERVICE_ERROR,)):
            raise ProtocolError(str(parse_service_error(apdu)))
        if apdu[:1] != bytes((INITIATE_RESPONSE,)):
            raise ProtocolError(f"no response to an initiate: {apdu[:8].hex(' ')}")
        at = 1
        at += 2 if apdu[at : at + 1] == b"\x01" else 1  # quality of service, and the flag before it
        at += 1  # version
        at += 2 if apdu[at : at + 2] == b"\x5f\x1f" else 1  # old stacks leave 1F out
        size = apdu[at] if at < len(apdu) else 0
        services, rest = apdu[at + 1 : at + 1 + size], apdu[at + 1 + size :]
        if not 2 <= size <= 4 or len(rest) < 4:
            raise ProtocolError(f"a response to an initiate is cut: {apdu.hex(' ')}")
        conformance = int.from_bytes(services[1:].ljust(3, b"\0"), "big")
        return cls(Conformance(conformance), int.from_bytes(rest[:2], "big"), int.from_bytes(rest[2:4], "big"))


def _tagged(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = (
        bytes((size,)) if size < 0x80 else bytes((0x81, size)) if size < 0x100 else b"\x82" + size.to_bytes(2, "big")
    )
    return bytes((tag,)) + length + content


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Tags and contents."""
    at, end = 0, len(data)
    while at < end:
        tag, first, at = data[at], data[at + 1] if at + 1 < end else 0x80, at + 2
        if first & 0x80:
            count = first & 0x7F
            size = int.from_bytes(data[at : at + count], "big")
            if not 1 <= count <= 2 or at + count > end:
                raise ProtocolError(f"no length in BER: {data[at - 2 : at + 4].hex(' ')}")
            at += count
        else:
            size = first
        if at + size > end:
            raise ProtocolError(f"BER is cut: {size} bytes of {tag:02X}, {end - at} there")
        yield tag, data[at : at + size]
        at += size


def _inner(data: bytes) -> bytes:
    """The content of the one element within; b"" if there is none."""
    return next(_elements(data), (0, b""))[1]

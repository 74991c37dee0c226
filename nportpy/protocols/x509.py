"""What is read of certificates and revocation lists: who, until when, which role, which key. RFC 5280, DER (X.690).

OpenSSL has verified a client's chain before anything here sees its certificate; its bytes are still a stranger's. So
nothing is believed that does not parse to its end, and nothing raises anything but ProtocolError.

The role is that of MODBUS/TCP Security (MB-TCP-Security v36, 8.4): one UTF8String in an extension of its own. Whatever
else stands there, or nothing, is the NULL role (R-23).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from nportpy.errors import ProtocolError

ROLE_OID: Final = "1.3.6.1.4.1.50316.802.1"
"""The extension that names a Modbus client's role (R-21)."""

LONGEST_ROLE: Final = 64
"""Characters; a longer role is the NULL role. The specification names no limit."""

_ROLE: Final = bytes.fromhex("2b0601040183890c862201")
_COMMON_NAME: Final = bytes.fromhex("550403")
_ORGANIZATION: Final = bytes.fromhex("55040a")
_KEYS: Final = {
    bytes.fromhex("2a864886f70d010101"): "RSA",
    bytes.fromhex("2a864886f70d01010a"): "RSA",  # RSASSA-PSS
    bytes.fromhex("2a8648ce3d0201"): "EC",
    bytes.fromhex("2b6570"): "Ed25519",
    bytes.fromhex("2b6571"): "Ed448",
}

_INTEGER, _OCTETS, _OID, _UTF8, _SEQUENCE, _SET = 0x02, 0x04, 0x06, 0x0C, 0x30, 0x31
_BOOLEAN: Final = 0x01
_UTC_TIME, _GENERAL_TIME = 0x17, 0x18
_VERSION, _EXTENSIONS = 0xA0, 0xA3
_LONGEST_NAME: Final = 64  # RFC 5280, appendix A.1: ub-common-name


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate.

    Attributes:
        serial: its number, of those that its issuer made.
        issuer: who made it, as DER.
        subject: whose it is, as DER.
        name: whose it is, in words: `CN=scada`.
        not_before: its first second, since the epoch.
        not_after: its last second.
        key: RSA, EC, Ed25519, Ed448, or empty.
        role: a Modbus client's; empty: the NULL role.
        strange_role: why what stands in its place is none; empty: nothing strange stands there.
    """

    serial: int
    issuer: bytes
    subject: bytes
    name: str
    not_before: int
    not_after: int
    key: str
    role: str
    strange_role: str


@dataclass(frozen=True, slots=True)
class RevocationList:
    """A certificate revocation list.

    Attributes:
        issuer: whose certificates it is about, as DER.
        next_update: when it expires, in seconds since the epoch; None: never.
        revoked: the serial numbers.
    """

    issuer: bytes
    next_update: int | None
    revoked: frozenset[int]


class _Reader:
    """Reads elements one after the other."""

    __slots__ = ("_at", "_data", "_end")

    def __init__(self, data: bytes, at: int = 0, end: int | None = None) -> None:
        self._data = data
        self._at = at
        self._end = len(data) if end is None else end

    @property
    def tag(self) -> int:
        """Of the next element; -1: there is none."""
        return self._data[self._at] if self._at < self._end else -1

    def element(self) -> tuple[int, int, int, int]:
        """The next one: its tag, where it begins, where its content begins and ends."""
        data, begin = self._data, self._at
        if begin + 2 > self._end:
            raise ProtocolError("the DER ends too soon")
        size, at = data[begin + 1], begin + 2
        if data[begin] & 0x1F == 0x1F or size == 0x80:
            raise ProtocolError("no DER")
        if size > 0x80:
            count = size & 0x7F
            if count > 4 or at + count > self._end:
                raise ProtocolError("the DER ends too soon")
            size = int.from_bytes(data[at : at + count], "big")
            at += count
        if at + size > self._end:
            raise ProtocolError("the DER ends too soon")
        self._at = at + size
        return data[begin], begin, at, at + size

    def content(self, tag: int) -> bytes:
        """What is in the next element, which must be one of a kind."""
        found, _, at, end = self.element()
        if found != tag:
            raise ProtocolError(f"0x{found:02x} where 0x{tag:02x} belongs")
        return self._data[at:end]

    def inside(self, tag: int) -> "_Reader":
        """The same, to be read on."""
        found, _, at, end = self.element()
        if found != tag:
            raise ProtocolError(f"0x{found:02x} where 0x{tag:02x} belongs")
        return _Reader(self._data, at, end)

    def whole(self, tag: int) -> bytes:
        """The next element with its head."""
        found, begin, _, end = self.element()
        if found != tag:
            raise ProtocolError(f"0x{found:02x} where 0x{tag:02x} belongs")
        return self._data[begin:end]


def certificate(der: bytes) -> Certificate:
    """What a certificate says.

    Raises:
        ProtocolError: it is none.
    """
    tbs = _Reader(der).inside(_SEQUENCE).inside(_SEQUENCE)
    if tbs.tag == _VERSION:
        tbs.element()
    serial = int.from_bytes(tbs.content(_INTEGER), "big", signed=True)
    tbs.content(_SEQUENCE)  # how it is signed
    issuer = tbs.whole(_SEQUENCE)
    validity = tbs.inside(_SEQUENCE)
    begins, ends = _time(validity), _time(validity)
    subject = tbs.whole(_SEQUENCE)
    key = _KEYS.get(tbs.inside(_SEQUENCE).inside(_SEQUENCE).content(_OID), "")
    role, strange = "", ""
    while tbs.tag != -1:
        tag, _, at, end = tbs.element()
        if tag == _EXTENSIONS:
            role, strange = _role(_Reader(der, at, end).inside(_SEQUENCE))
    return Certificate(serial, issuer, subject, _name(subject, serial), begins, ends, key, role, strange)


def revocation_list(der: bytes) -> RevocationList:
    """What a revocation list says.

    Raises:
        ProtocolError: it is none.
    """
    tbs = _Reader(der).inside(_SEQUENCE).inside(_SEQUENCE)
    if tbs.tag == _INTEGER:
        tbs.element()  # the version
    tbs.content(_SEQUENCE)  # how it is signed
    issuer = tbs.whole(_SEQUENCE)
    _time(tbs)
    next_update = _time(tbs) if tbs.tag in (_UTC_TIME, _GENERAL_TIME) else None
    revoked: set[int] = set()
    if tbs.tag == _SEQUENCE:
        entries = tbs.inside(_SEQUENCE)
        while entries.tag != -1:
            revoked.add(int.from_bytes(entries.inside(_SEQUENCE).content(_INTEGER), "big", signed=True))
    return RevocationList(issuer, next_update, frozenset(revoked))


def _role(extensions: _Reader) -> tuple[str, str]:
    """The role, and why it is none if something strange stands there."""
    found = []
    while extensions.tag != -1:
        extension = extensions.inside(_SEQUENCE)
        if extension.content(_OID) == _ROLE:
            if extension.tag == _BOOLEAN:  # whether it is critical
                extension.element()
            found.append(extension.content(_OCTETS))
    if not found:
        return "", ""
    if len(found) > 1:
        return "", "several roles"
    try:
        value = _Reader(found[0])
        text = value.content(_UTF8)
        if value.tag != -1:
            return "", "more than a string"
        role = text.decode()
    except ProtocolError:
        return "", "no UTF8String"
    except UnicodeDecodeError:
        return "", "no UTF-8"
    if len(role) > LONGEST_ROLE:
        return "", f"longer than {LONGEST_ROLE} characters"
    if not role.isprintable():
        return "", "characters that cannot be printed"
    return role, ""


def _name(subject: bytes, serial: int) -> str:
    """A subject in words, fit for one line of a log whatever stands in it."""
    names = dict(_attributes(_Reader(subject).inside(_SEQUENCE)))
    for oid, label in ((_COMMON_NAME, "CN"), (_ORGANIZATION, "O")):
        if names.get(oid):
            text = "".join(each if each.isprintable() else "?" for each in names[oid])
            return f"{label}={text[:_LONGEST_NAME]}"
    return f"serial {serial:x}"[:_LONGEST_NAME]


def _attributes(names: _Reader) -> Iterator[tuple[bytes, str]]:
    while names.tag != -1:
        attribute = names.inside(_SET).inside(_SEQUENCE)
        oid = attribute.content(_OID)
        _, _, at, end = attribute.element()
        yield oid, attribute._data[at:end].decode("utf-8", "replace")  # noqa: SLF001 - of this module


def _time(times: _Reader) -> int:
    """The next element as a time (RFC 5280, 4.1.2.5)."""
    tag = times.tag
    if tag not in (_UTC_TIME, _GENERAL_TIME):
        raise ProtocolError("no time where one belongs")
    text = times.content(tag).decode("ascii", "replace")
    if tag == _UTC_TIME:  # two digits of the year, of which 50 is 1950
        text = ("19" if text[:2] >= "50" else "20") + text
    try:
        return int(datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp())
    except ValueError as error:
        raise ProtocolError(f"{text!r} is no time") from error

"""Ciphered APDUs by security suite 0: AES-128 in Galois counter mode, with keys that both sides have.

    tag | length | security control | invocation counter (4) | text | authentication tag (12)      glo-
    DB | length title | length | security control | ...                                            general-glo

The nonce is the sender's system title and its invocation counter, which never comes twice under one key.

Source: Green Book 9.2.7. AES is the `cryptography` package's, imported where it is first needed: most meters need none.
"""

from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Any, Final

from nportpy.errors import LineUnsupported, ProtocolError
from nportpy.protocols.dlms import axdr

AUTHENTICATED: Final = 0x10
ENCRYPTED: Final = 0x20
TAG_SIZE: Final = 12
TITLE_SIZE: Final = 8
GENERAL_GLO: Final = 0xDB

_COUNTER_LIMIT: Final = 1 << 32
_GLO: Final = {
    0x01: 0x21, 0x08: 0x28, 0x05: 0x25, 0x06: 0x26, 0x0C: 0x2C, 0x0D: 0x2D, 0x0E: 0x2E,
    0xC0: 0xC8, 0xC1: 0xC9, 0xC2: 0xCA, 0xC3: 0xCB, 0xC4: 0xCC, 0xC5: 0xCD, 0xC7: 0xCF,
}  # fmt: skip
"""The tag of the ciphered form, by that of the plain one (9.5)."""

_PLAIN: Final = frozenset(_GLO.values())


@dataclass(frozen=True, slots=True)
class Keys:
    """The global keys, 16 bytes each. Never shown.

    Attributes:
        encryption: EK.
        authentication: AK.
    """

    encryption: bytes = field(repr=False)
    authentication: bytes = field(repr=False)


def is_ciphered(apdu: bytes) -> bool:
    """Whether an APDU is one of these."""
    return apdu[:1] == bytes((GENERAL_GLO,)) or (bool(apdu) and apdu[0] in _PLAIN)


def gmac(keys: Keys, title: bytes, counter: bytes, data: bytes) -> bytes:
    """The authentication tag of `data` that is not encrypted, by the sender `title`."""
    head = bytes((AUTHENTICATED,)) + keys.authentication
    return _seal(keys.encryption, title + counter, head + data, b"")[1]


class Cipher:
    """One client's side: it counts what it sends, and takes nothing twice.

    Attributes:
        counter: the next invocation counter to send.
        server_title: the meter's system title, as soon as it is known.
    """

    def __init__(self, title: bytes, keys: Keys, counter: int, control: int, *, general: bool = False) -> None:
        """A client `title` that sends by the security control `control`, with `counter` first."""
        self.title = title
        self.keys = keys
        self.counter = counter
        self.server_title = b""
        self._control = control
        self._general = general
        self._heard = -1  # the meter's invocation counter

    def next_counter(self) -> bytes:
        """An invocation counter that was not used yet, four bytes.

        Raises:
            ProtocolError: there are no more: the keys have to be exchanged.
        """
        if self.counter >= _COUNTER_LIMIT:
            raise ProtocolError("the invocation counter is used up: the meter needs a new key")
        self.counter += 1
        return (self.counter - 1).to_bytes(4, "big")

    def begin(self) -> None:
        """A new association: the meter's counter may be any again, as it may be another meter."""
        self._heard = -1

    def protect(self, apdu: bytes) -> bytes:
        """`apdu`, ciphered."""
        counter, head = self.next_counter(), bytes((self._control,))
        if not self._control & ENCRYPTED:
            text, tag = apdu, gmac(self.keys, self.title, counter, apdu)
        else:
            about = head + self.keys.authentication if self._control & AUTHENTICATED else b""
            text, tag = _seal(self.keys.encryption, self.title + counter, about, apdu)
        body = head + counter + text + (tag if self._control & AUTHENTICATED else b"")
        named = bytes((GENERAL_GLO, TITLE_SIZE)) + self.title if self._general else bytes((_GLO[apdu[0]],))
        return named + axdr.encode_length(len(body)) + body

    def open(self, apdu: bytes) -> bytes:
        """What the meter ciphered into `apdu`.

        Raises:
            ProtocolError: it is cut, was changed, is not for these keys, or was heard before.
        """
        title, at = self.server_title, 1
        if apdu[:1] == bytes((GENERAL_GLO,)):
            named, at = axdr.octets(apdu, 1)
            title = named or title
        body, end = axdr.octets(apdu, at)
        if end != len(apdu) or len(body) < 5:
            raise ProtocolError(f"a ciphered APDU is cut: {apdu[:8].hex(' ')}")
        control, counter, text = body[0], body[1:5], body[5:]
        if control & 0x0F or not control & (AUTHENTICATED | ENCRYPTED):
            raise ProtocolError(f"security control {control:02X} is not of suite 0")
        if int.from_bytes(counter, "big") <= self._heard:
            raise ProtocolError("an APDU that was heard before: its invocation counter has not grown")
        tag = b""
        if control & AUTHENTICATED:
            text, tag = text[:-TAG_SIZE], text[-TAG_SIZE:]
        about = bytes((control,)) + self.keys.authentication
        if control & ENCRYPTED:
            text = _run(self.keys.encryption, title + counter, text)
            right = _seal(self.keys.encryption, title + counter, about, text)[1] if tag else b""
        else:
            right = _seal(self.keys.encryption, title + counter, about + text, b"")[1]
        if control & AUTHENTICATED and not compare_digest(tag, right):
            raise ProtocolError("the authentication tag is wrong: another key, or it was changed on the way")
        self._heard = int.from_bytes(counter, "big")
        return text


def _aes(key: bytes, mode: str, nonce: bytes) -> Any:
    """An encryptor.

    Raises:
        LineUnsupported: the package that has AES is not installed.
    """
    try:
        from cryptography.hazmat.primitives.ciphers import Cipher as Aes
        from cryptography.hazmat.primitives.ciphers import algorithms, modes
    except ModuleNotFoundError:
        raise LineUnsupported("keys need the package cryptography: pip install 'nportpy[dlms]'") from None
    return Aes(algorithms.AES(key), getattr(modes, mode)(nonce)).encryptor()


def _seal(key: bytes, nonce: bytes, about: bytes, plain: bytes) -> tuple[bytes, bytes]:
    """Encrypted text and tag."""
    encryptor = _aes(key, "GCM", nonce)
    encryptor.authenticate_additional_data(about)
    return encryptor.update(plain) + encryptor.finalize(), encryptor.tag[:TAG_SIZE]


def _run(key: bytes, nonce: bytes, text: bytes) -> bytes:
    """Counter mode from 2 on, as GCM has it: what it encrypted it also decrypts."""
    return bytes(_aes(key, "CTR", nonce + b"\x00\x00\x00\x02").update(text))

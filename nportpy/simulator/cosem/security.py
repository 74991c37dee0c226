"""Challenges, and ciphering by security suite 0 (Green Book 9.2; vectors of its 9.2.7).

AES is the `cryptography` package's; it is imported where it is first needed, as most simulated meters need none.
"""

import hashlib
from dataclasses import dataclass, field

from nportpy.simulator.cosem.acse import Mechanism
from nportpy.simulator.cosem.data import MalformedError, Source, length

AUTHENTICATED, ENCRYPTED = 0x10, 0x20
TAG_SIZE = 12

GLOBAL_OF = {0x01: 0x21, 0x08: 0x28, 0xC0: 0xC8, 0xC1: 0xC9, 0xC3: 0xCB, 0xC4: 0xCC, 0xC5: 0xCD, 0xC7: 0xCF,
             0x05: 0x25, 0x06: 0x26, 0x0C: 0x2C, 0x0D: 0x2D}  # fmt: skip
"""The global ciphering of an APDU, by its own tag."""


@dataclass(frozen=True, slots=True)
class Keys:
    """Of suite 0, 16 bytes each."""

    encryption: bytes = field(repr=False)
    authentication: bytes = field(repr=False)


def _gcm(key: bytes, iv: bytes, aad: bytes, plain: bytes) -> tuple[bytes, bytes]:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    encryptor = Cipher(algorithms.AES(key), modes.GCM(iv)).encryptor()
    encryptor.authenticate_additional_data(aad)
    return encryptor.update(plain) + encryptor.finalize(), encryptor.tag[:TAG_SIZE]


def gmac(keys: Keys, title: bytes, counter: bytes, challenge: bytes) -> bytes:
    """The answer to a challenge by mechanism 5: security control, invocation counter, tag."""
    aad = bytes((AUTHENTICATED,)) + keys.authentication + challenge
    return bytes((AUTHENTICATED,)) + counter + _gcm(keys.encryption, title + counter, aad, b"")[1]


def digest(mechanism: int, challenge: bytes, secret: bytes, titles: bytes = b"", own: bytes = b"") -> bytes:
    """The answer to a challenge by mechanism 3, 4 or 6.

    Args:
        mechanism: which.
        challenge: what the other side sent.
        secret: of the association.
        titles: for SHA-256 the system titles, that of whoever answers first.
        own: for SHA-256 the challenge that whoever answers has sent itself.
    """
    match mechanism:
        case Mechanism.MD5:
            return hashlib.md5(challenge + secret, usedforsecurity=False).digest()
        case Mechanism.SHA1:
            return hashlib.sha1(challenge + secret, usedforsecurity=False).digest()
        case _:
            return hashlib.sha256(secret + titles + challenge + own).digest()


def cipher(keys: Keys, title: bytes, counter: int, apdu: bytes, control: int = AUTHENTICATED | ENCRYPTED) -> bytes:
    """An APDU, ciphered: tag, length, security control, counter, text, tag."""
    ic = counter.to_bytes(4, "big")
    head, aad = bytes((control,)), bytes((control,)) + keys.authentication
    if control & ENCRYPTED:
        text, tag = _gcm(keys.encryption, title + ic, aad, apdu)
    else:
        text, tag = apdu, _gcm(keys.encryption, title + ic, aad + apdu, b"")[1]
    body = head + ic + text + (tag if control & AUTHENTICATED else b"")
    return bytes((GLOBAL_OF[apdu[0]],)) + length(len(body)) + body


def decipher(keys: Keys, title: bytes, apdu: bytes) -> tuple[bytes, int]:
    """The APDU in a ciphered one, and its invocation counter.

    Raises:
        MalformedError: it is none, or was not ciphered with these keys.
    """
    source = Source(apdu[1:])
    body = Source(source.string())
    source.end()
    control, ic = body.number(), body.take(4)
    text = body.take(body.left - TAG_SIZE if control & AUTHENTICATED else body.left)
    given = body.take(body.left)
    aad = bytes((control,)) + keys.authentication
    if control & ENCRYPTED:
        plain = _gcm(keys.encryption, title + ic, b"", text)[0]  # counter mode: the same both ways
        tag = _gcm(keys.encryption, title + ic, aad, plain)[1]
    else:
        plain, tag = text, _gcm(keys.encryption, title + ic, aad + text, b"")[1]
    if control & AUTHENTICATED and tag != given:
        raise MalformedError("the authentication tag is wrong")
    return plain, int.from_bytes(ic, "big")

"""Passwords: scrypt (RFC 7914) of the standard library, and which are too weak.

    scrypt$14$8$5$SALT$HASH        log2 N, r, p, then salt and hash in base64

A hash takes 16 MiB and a fifth of a second of one processor: whoever computes one in a server does it in a thread, and
one at a time.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import Final

SHORTEST: Final = 12
LONGEST: Final = 256
"""Characters of a password."""

_COST, _BLOCK, _PARALLEL = 14, 8, 5  # one of OWASP's equal settings; that with p=1 takes 128 MiB
_SALT, _HASH = 16, 32  # bytes
_MEMORY: Final = 64 << 20
_MOST_COST, _MOST_FACTOR = 20, 64  # of a stored hash: who can write the file must not be able to stop the gateway
_WORST: Final = (
    "password", "passwort", "123456", "1234567890", "qwerty", "qwertz", "admin", "administrator", "letmein", "welcome",
    "iloveyou", "changeme", "default", "secret", "nportpy", "moxa", "nport", "root", "superuser", "raspberry",
)  # fmt: skip
_ROWS: Final = tuple(
    row * 3
    for row in ("qwertyuiop", "qwertzuiop", "asdfghjkl", "1234567890", "0987654321", "abcdefghijklmnopqrstuvwxyz")
)
"""Keys beside each other, and digits."""


def weakness(password: str, name: str) -> str:
    """Why a password is too weak for an account `name`; empty: it is not."""
    if len(password) < SHORTEST:
        return f"a password has {SHORTEST} characters or more"
    if len(password) > LONGEST:
        return f"a password has {LONGEST} characters at most"
    plain = password.casefold()
    if len(set(plain)) < 5:
        return "these are the same few characters again and again"
    rest = plain.strip("0123456789!?.-_# ")
    words = any(rest in (word, word * 2, word * 3) for word in (*_WORST, name.casefold()))
    if words or any(rest in row or plain in row for row in _ROWS):
        return "this is among the first that are tried"
    return ""


def hashed(password: str, salt: bytes | None = None) -> str:
    """A password as it is stored."""
    salt = salt or secrets.token_bytes(_SALT)
    found = _scrypt(password, salt, _COST, _BLOCK, _PARALLEL, _HASH)
    return f"scrypt${_COST}${_BLOCK}${_PARALLEL}${_text(salt)}${_text(found)}"


def fits(password: str, stored: str) -> bool:
    """Whether it is the password of a stored hash. A hash that is none fits nothing."""
    if (parts := _parts(stored)) is None or len(password) > LONGEST:
        return False
    cost, block, parallel, salt, expected = parts
    return hmac.compare_digest(_scrypt(password, salt, cost, block, parallel, len(expected)), expected)


def is_hash(stored: str) -> bool:
    """Whether it has the form of one, with parameters that can be computed here."""
    return _parts(stored) is not None


NOBODY: Final = f"scrypt${_COST}${_BLOCK}${_PARALLEL}${'A' * 22}==${'A' * 43}="
"""What a password of nobody is compared with: it takes as long, and never fits."""


def _parts(stored: str) -> tuple[int, int, int, bytes, bytes] | None:
    try:
        kind, cost, block, parallel, salt, expected = stored.split("$")
        numbers = int(cost), int(block), int(parallel)
        found = base64.b64decode(salt, validate=True), base64.b64decode(expected, validate=True)
    except (ValueError, binascii.Error):
        return None
    within = 1 <= numbers[0] <= _MOST_COST and all(1 <= each <= _MOST_FACTOR for each in numbers[1:])
    if not within or 128 * numbers[1] * ((1 << numbers[0]) + numbers[2] + 2) > _MEMORY:
        return None
    if kind != "scrypt" or len(found[0]) < 8 or len(found[1]) != _HASH:
        return None
    return *numbers, *found


def _scrypt(password: str, salt: bytes, cost: int, block: int, parallel: int, length: int) -> bytes:
    data = password.encode(errors="surrogatepass")
    return hashlib.scrypt(data, salt=salt, n=1 << cost, r=block, p=parallel, maxmem=_MEMORY + (1 << 20), dklen=length)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()

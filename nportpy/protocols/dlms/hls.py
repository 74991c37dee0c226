"""High level security: the answers to challenges, ours (pass 3) and the meter's (pass 4).

| mechanism | answer to challenge x, by a side that sent challenge y |
|---|---|
| MD5 | MD5(x, secret) |
| SHA-1 | SHA1(x, secret) |
| SHA-256 | SHA256(secret, own title, other's title, x, y) |
| GMAC | security control, invocation counter, tag of x under the global keys |

Source: Green Book 9.2.2.2.2 and 9.2.7.4.
"""

import hashlib
from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Final

from nportpy.errors import ProtocolError
from nportpy.protocols.dlms import ciphering
from nportpy.protocols.dlms.acse import Mechanism
from nportpy.protocols.dlms.ciphering import Cipher

MIN_CHALLENGE: Final = 8
MAX_CHALLENGE: Final = 64
_GMAC_SIZE: Final = 1 + 4 + ciphering.TAG_SIZE


@dataclass(frozen=True, slots=True)
class Challenge:
    """Both sides' challenges of one association, and what they are answered with.

    Attributes:
        mechanism: how.
        ours: to the meter (CtoS).
        theirs: the meter's (StoC).
        secret: of MD5, SHA-1 and SHA-256. Never shown.
        cipher: the keys of GMAC; None: there are none.
        titles: for SHA-256, our system title and the meter's; empty where a side has said none.
    """

    mechanism: Mechanism
    ours: bytes
    theirs: bytes
    secret: bytes = field(default=b"", repr=False)
    cipher: Cipher | None = field(default=None, repr=False)
    titles: tuple[bytes, bytes] = (b"", b"")

    def answer(self) -> bytes:
        """Our answer to the meter's challenge.

        Raises:
            ProtocolError: the challenge is no challenge, or the mechanism is not known here.
        """
        if not MIN_CHALLENGE <= len(self.theirs) <= MAX_CHALLENGE:
            raise ProtocolError(f"a challenge has 8 to 64 bytes, not {len(self.theirs)}")
        if self.theirs == self.ours:
            raise ProtocolError("the meter gives our own challenge back: our answer would be its own")
        if self.mechanism is Mechanism.GMAC:
            cipher = self._cipher()
            counter = cipher.next_counter()
            tag = ciphering.gmac(cipher.keys, cipher.title, counter, self.theirs)
            return bytes((ciphering.AUTHENTICATED,)) + counter + tag
        return self._digest(self.theirs, self.ours, from_meter=False)

    def is_answer(self, given: bytes) -> bool:
        """Whether `given` answers our challenge: then the meter knows the secret, too."""
        if self.mechanism is Mechanism.GMAC:
            cipher = self._cipher()
            if len(given) != _GMAC_SIZE or given[0] != ciphering.AUTHENTICATED:
                return False
            return compare_digest(given[5:], ciphering.gmac(cipher.keys, cipher.server_title, given[1:5], self.ours))
        return compare_digest(given, self._digest(self.ours, self.theirs, from_meter=True))

    def _cipher(self) -> Cipher:
        if self.cipher is None:
            raise ProtocolError("GMAC needs keys")
        return self.cipher

    def _digest(self, challenge: bytes, own: bytes, *, from_meter: bool) -> bytes:
        match self.mechanism:
            case Mechanism.MD5:
                return hashlib.md5(challenge + self.secret, usedforsecurity=False).digest()
            case Mechanism.SHA1:
                return hashlib.sha1(challenge + self.secret, usedforsecurity=False).digest()
            case Mechanism.SHA256:
                titled = b"".join(reversed(self.titles) if from_meter else self.titles)
                return hashlib.sha256(self.secret + titled + challenge + own).digest()
        raise ProtocolError(f"mechanism {self.mechanism} is not known here")

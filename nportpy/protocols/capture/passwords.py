"""Passwords that can be told from the bytes in which they are sent, so that no capture and no monitor shows them.

Our own clients say themselves which of their writes has one (`Leased.write`). This is for programs that talk to a meter
through a stream. What is sent in other pieces, one character at a time for instance, is not recognised.
"""

from typing import Final

_IEC_62056_21: Final = b"\x01P"
"""SOH and the command P: P1 and P2 carry the password (IEC 62056-21, 6.5); P0 is the other direction's."""

_DLMS_LOW_LEVEL: Final = b"\x8b\x07\x60\x85\x74\x05\x08\x02\x01"
"""mechanism-name of low-level security in an AARQ; the password follows it (IEC 62056-5-3, 7.2.2 and annex)."""


def has_password(data: bytes) -> bool:
    """Whether what is sent has a password in it."""
    return data.find(_IEC_62056_21) >= 0 or data.find(_DLMS_LOW_LEVEL) >= 0

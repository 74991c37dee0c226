"""What to try where an outstation's bytes do not fit what was agreed: nothing in them says how they are cut up.

A guess is told to people and never acted upon: other sizes may fit by chance.
"""

from collections.abc import Iterator
from datetime import tzinfo
from itertools import product
from typing import Final

from nportpy.errors import ProtocolError
from nportpy.protocols.iec101.asdu import KNOWN_CAUSES, Asdu, Sizes, decode
from nportpy.protocols.iec101.ft12 import PRIMARY
from nportpy.protocols.iec101.link import Answered
from nportpy.protocols.iec101.times import AHEAD, standard_offset

_HOUR: Final = 3_600_000_000
_QUARTER: Final = 900_000_000
_ANSWERS: Final = frozenset(each.value for each in Answered)


def strange(asdu: Asdu, common_addresses: frozenset[int]) -> bool:
    """Whether an ASDU that could be read is so odd that its sizes may be others."""
    return asdu.cause not in KNOWN_CAUSES or asdu.common_address not in common_addresses


def size_hint(data: bytes, sizes: Sizes, common_addresses: frozenset[int]) -> str:
    """Which sizes would fit an ASDU that `sizes` do not; empty: none would.

    Those with a common address that is expected are named before others.
    """
    found: list[tuple[bool, Sizes]] = []
    for cause, common, address in product((1, 2), (1, 2), (1, 2, 3)):
        other = Sizes(cause, common, address)
        if other == sizes:
            continue
        try:
            asdu = decode(data, other)
        except ProtocolError:
            continue
        if asdu.objects and asdu.cause in KNOWN_CAUSES and asdu.common_address:
            found.append((asdu.common_address not in common_addresses, other))
    if not found:
        return ""
    best = min(stranger for stranger, _ in found)
    names = " or ".join(str(each) for stranger, each in found if stranger is best)
    return f"sizes {names} (cause/common address/object address) would fit what it sends, not {sizes}"


def link_hint(heard: bytes, address: int, address_size: int) -> str:
    """What bytes that came instead of an answer look like; empty: like nothing known."""
    for start in (at for at, byte in enumerate(heard) if byte == 0x10):
        for size, body in _bodies(heard[start:]):
            control = body[0] if body else 0
            if size == 1 and address < 256 and body == bytes((address, *body[1:2])) and _answers(body[1]):
                return "control byte and link address seem to be swapped (SINAUT): that is not supported"
            if size != address_size and _answers(control) and int.from_bytes(body[1:], "little") == address:
                return f"it seems to answer with a link address of {size} bytes, not {address_size}"
            if size == 0 and address_size and address < 256 and control == address:
                return "the control byte seems to be missing (TELEGYR): that is not supported"
    return ""


def clock_hint(ahead: int, zone: tzinfo, year: int) -> str:
    """Why an outstation's clock may be `ahead` microseconds ahead of ours; empty: it is about right."""
    if abs(ahead) <= AHEAD:
        return ""
    said = f"the outstation's clock is {abs(ahead) / 1e6:.0f} s {'ahead' if ahead > 0 else 'behind'}"
    offset = round(standard_offset(zone, year).total_seconds() * 1e6)
    causes = []
    if offset and abs(ahead + offset) <= AHEAD:
        causes.append("a clock that shows UTC makes (then the zone should be UTC)")
    if abs(abs(ahead) - _HOUR) <= AHEAD:
        causes.append("a wrong summer time bit makes")
    if not causes and abs(ahead) <= 14 * _HOUR and abs(ahead - round(ahead / _QUARTER) * _QUARTER) <= AHEAD:
        causes.append("a clock in another zone makes")
    return f"{said}: that is what {' or '.join(causes)}" if causes else said


def _bodies(rest: bytes) -> Iterator[tuple[int, bytes]]:
    """What a fixed frame at the beginning of `rest` would hold, by the bytes of the link address."""
    for size in (0, 1, 2):
        body, end = rest[1 : 2 + size], rest[2 + size : 4 + size]
        if len(end) == 2 and end[1] == 0x16 and sum(body) & 0xFF == end[0]:
            yield size, body


def _answers(control: int) -> bool:
    return not control & (PRIMARY | 0x80) and control & 0x0F in _ANSWERS

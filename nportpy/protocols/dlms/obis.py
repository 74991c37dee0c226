"""OBIS: names of what a meter knows (IEC 62056-61), and the forms in which people write them.

Accepted are:

    1-0:1.8.0*255    A-B:C.D.E*F, as standards print it; *255 may be left away
    1.0.1.8.0.255    six groups, as programs print it; the sixth may be left away
    1.8.0            as displays and IEC 62056-21 have it: electricity (A = 1), B = 0, F = 255; E may be left away
    1.8.0*03         with a billing period (F = 3); 1.8.0&03 where that was reset by hand
    C.1.0  F.F  P.01 letters in C and D: C is 96, F 97, L 98, P 99

Printed are the six groups with dots.
"""

import re
from dataclasses import dataclass
from typing import Final

from nportpy.errors import ProtocolError

SIZE: Final = 6
CURRENT: Final = 255
"""The value group F of what is no stored value of a billing period."""

_LETTERS: Final = {"C": 96, "F": 97, "L": 98, "P": 99}
_GROUP: Final = r"([0-9]{1,3}|[CFLP])"
_FORMS: Final = (
    re.compile(rf"(?P<a>[0-9]{{1,3}})-(?P<b>[0-9]{{1,3}}):{_GROUP}\.{_GROUP}(?:\.([0-9]{{1,3}}))?(?:[*&.]([0-9]{{1,3}}))?"),
    re.compile(rf"(?P<a>[0-9]{{1,3}})\.(?P<b>[0-9]{{1,3}})\.{_GROUP}\.{_GROUP}\.([0-9]{{1,3}})(?:[.*&]([0-9]{{1,3}}))?"),
    re.compile(rf"(?P<a>)(?P<b>){_GROUP}\.{_GROUP}(?:\.([0-9]{{1,3}}))?(?:[*&]([0-9]{{1,3}}))?"),
)  # fmt: skip


@dataclass(frozen=True, slots=True, order=True)
class Obis:
    """A logical name.

    Attributes:
        code: its six value groups, A to F.
    """

    code: bytes

    def __post_init__(self) -> None:
        """There are six."""
        if len(self.code) != SIZE:
            raise ProtocolError(f"a logical name has {SIZE} bytes, not {len(self.code)}")

    @classmethod
    def parse(cls, text: str) -> "Obis":
        """The name that somebody wrote; see above.

        Raises:
            ProtocolError: it is none.
        """
        given = text.strip().upper()
        for form in _FORMS:
            if (found := form.fullmatch(given)) is not None:
                a, b, c, d, e, f = found.groups()
                groups = (
                    int(a or 1),
                    int(b or 0),
                    _LETTERS.get(c) or int(c),
                    _LETTERS.get(d) or int(d),
                    int(e or 0),
                    CURRENT if f is None else int(f),
                )
                if max(groups) <= 255:
                    return cls(bytes(groups))
                raise ProtocolError(f"{text}: no group of an OBIS code is above 255")
        raise ProtocolError(f"{text} is no OBIS code: write it as 1.0.1.8.0.255, 1-0:1.8.0*255 or 1.8.0")

    def __str__(self) -> str:
        """The six groups with dots."""
        return ".".join(map(str, self.code))

    @property
    def medium(self) -> int:
        """Value group A: 0 is the meter itself, 1 electricity, 4 heat cost, 6 heat, 7 gas, 8 water."""
        return self.code[0]

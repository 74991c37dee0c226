"""EDIS and OBIS codes as meters print them and people write them (IEC 62056-61, and DIN 43863-3 before it).

`1-0:1.8.0*255`, `1.0.1.8.0.255`, `1.8.0` and `1.8` are one register; `1.8.0*03` and `1.8.0&03` are its stored value
number 3, which is another. Letters are numbers: C is 96, F 97, L 98, P 99 (`F.F` is 97.97, `C.1.0` is 96.1.0). A code
without medium and channel stands for any.
"""

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

_CODE: Final = re.compile(
    r"(?:(?P<a>\d{1,3})-(?P<b>\d{1,3}):)?"
    r"(?P<c>\d{1,3}|[CFLP])"
    r"(?:\.(?P<d>\d{1,3}|[CFLP])(?:\.(?P<e>\d{1,3}|[CFLP]))?)?"
    r"(?:[*&](?P<f>\d{1,3}))?",
    re.ASCII | re.IGNORECASE,
)
_DOTTED: Final = re.compile(r"(\d{1,3})[.-](\d{1,3})[.:](\d{1,3})\.(\d{1,3})\.(\d{1,3})(?:[.*&](\d{1,3}))?", re.ASCII)
_LETTERS: Final = {"C": 96, "F": 97, "L": 98, "P": 99}
_PRESENT: Final = 255  # F: not a stored value

_UNITS: Final = (  # of meters that print none, as they show their values (VDEW); groups C and D
    ({1, 2, 15, 16, 21, 22, 41, 42, 61, 62}, {8, 9, 29}, "kWh"),
    ({1, 2, 15, 16, 21, 22, 41, 42, 61, 62}, {2, 4, 5, 6, 7}, "kW"),
    ({3, 4, 5, 6, 7, 8, 23, 24, 43, 44, 63, 64}, {8, 9, 29}, "kvarh"),
    ({3, 4, 5, 6, 7, 8, 23, 24, 43, 44, 63, 64}, {2, 4, 5, 6, 7}, "kvar"),
    ({9, 10, 29, 30, 49, 50, 69, 70}, {8, 9, 29}, "kVAh"),
    ({9, 10, 29, 30, 49, 50, 69, 70}, {2, 4, 5, 6, 7}, "kVA"),
    ({12, 32, 52, 72}, {7}, "V"),
    ({11, 31, 51, 71, 91}, {7}, "A"),
    ({14, 34, 54, 74}, {7}, "Hz"),
    ({81}, {7}, "deg"),
)
_ELECTRICITY: Final = 1
_TEXTS: Final = frozenset((0, 96, 97))  # C of serial numbers, versions, clocks, error words


class Code(NamedTuple):
    """A code in numbers; None: not said, so any."""

    a: int | None
    b: int | None
    c: int
    d: int | None  # old codes have a single part
    e: int
    f: int

    def __str__(self) -> str:
        """All six, dotted, as this gateway shows them: `1.0.1.8.0.255`; medium 1 and channel 0 where unsaid."""
        a = _ELECTRICITY if self.a is None else self.a
        return f"{a}.{self.b or 0}.{self.c}.{self.d or 0}.{self.e}.{self.f}"


def parse(text: str) -> Code | None:
    """The code that a text is, in any of its forms; None: it is none, and only the same text is the same."""
    text = text.strip()
    if (dotted := _DOTTED.fullmatch(text)) is not None:
        a, b, c, d, e, f = (int(each) if each else _PRESENT for each in dotted.groups())
        code = Code(a, b, c, d, e, f)
    elif (match := _CODE.fullmatch(text)) is not None:
        parts = {name: None if part is None else _part(part) for name, part in match.groupdict().items()}
        stored = parts["f"]
        code = Code(
            parts["a"],
            parts["b"],
            parts["c"] or 0,
            parts["d"],
            parts["e"] or 0,
            _PRESENT if stored is None else stored,
        )
    else:
        return None
    return code if all(part is None or part <= 255 for part in code) else None


def _part(text: str) -> int:
    return _LETTERS.get(text.upper()) or int(text)


def same(one: str, other: str) -> bool:
    """Whether two addresses mean one value: as codes where they are codes, else as texts."""
    mine, theirs = parse(one), parse(other)
    if mine is None or theirs is None:
        return one.strip().casefold() == other.strip().casefold()
    unsaid = all(a is None or b is None or a == b for a, b in zip(mine[:2], theirs[:2], strict=True))
    return unsaid and mine[2:] == theirs[2:]


def find(wanted: str, among: Iterable[str]) -> int | None:
    """Which of the addresses is the wanted one: the same text before the same code, the first of equals; None: none."""
    candidates = list(among)
    folded = wanted.strip().casefold()
    for index, each in enumerate(candidates):
        if each.strip().casefold() == folded:
            return index
    return next((index for index, each in enumerate(candidates) if same(wanted, each)), None)


def unit_of(address: str) -> str:
    """The unit that a meter means where it prints none, by its code: kWh, not Wh, as meters show it; empty: unknown."""
    code = parse(address)
    if code is None or code.a not in (None, _ELECTRICITY):
        return ""
    return next((unit for quantities, kinds, unit in _UNITS if code.c in quantities and code.d in kinds), "")


def is_text(address: str) -> bool:
    """Whether a code's value is no number even where it is made of digits: serial numbers, clocks, error words."""
    code = parse(address)
    return code is None or code.c in _TEXTS

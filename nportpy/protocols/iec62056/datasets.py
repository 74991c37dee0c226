"""Data sets: `address(value*unit)`, several of them on a line (IEC 62056-21:2002, clauses 5.8 and 6.5).

Real meters keep to the grammar less well than it deserves. Values with characters that it reserves, empty values and
texts are taken as they are; what is no data set at all is an unreadable line, and no reason to drop the others.
"""

import re
from dataclasses import dataclass
from typing import Final

_SET: Final = re.compile(r"\s*([^()]*)\(([^()]*)\)")
_ADDRESS_LENGTH: Final = 32  # the standard says 16, some meters print whole sentences


@dataclass(frozen=True, slots=True)
class DataSet:
    """One value.

    Attributes:
        address: EDIS or OBIS code as the meter prints it, or a text; where the meter left it out, the last one.
        value: as it was printed; may be empty.
        unit: as it was printed; empty: none.
        repeated: the meter left the address out: this belongs to the set before (a stamp to its maximum).
    """

    address: str
    value: str
    unit: str = ""
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """The data sets of one line; never none."""

    sets: tuple[DataSet, ...]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A line, or the rest of one, that is no data set."""

    text: str


def parse(text: str, last: str = "") -> tuple[tuple[DataSet, ...], str]:
    """The data sets of a line without its end, and the rest that is none.

    Args:
        text: the line.
        last: the address of the last set before, which an empty address stands for.
    """
    sets: list[DataSet] = []
    at = 0
    while (match := _SET.match(text, at)) is not None:
        address, content = match[1].strip(), match[2]
        if len(address) > _ADDRESS_LENGTH or not (address + content).isprintable():
            break
        value, _, unit = content.partition("*")
        sets.append(DataSet(address or last, value.strip(), unit.strip(), not address))
        last = address or last
        at = match.end()
    return tuple(sets), text[at:].strip()

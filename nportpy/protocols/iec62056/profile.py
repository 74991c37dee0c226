"""Load profiles as meters of the VDEW's specification answer them.

    P.01(stamp)(status)(minutes)(columns)(code)(unit)... CR LF
    (value)(value)... CR LF

The stamp is the end of the first interval; each row is one interval later. A new header follows a gap, a change of the
clock or of the status.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Final

from nportpy.errors import ProtocolError
from nportpy.protocols.iec62056.datasets import DataSet, Line, Unreadable
from nportpy.protocols.iec62056.values import Stamp, number

_HEAD: Final = 4
_MOST_COLUMNS: Final = 64
_LONGEST_PERIOD: Final = 31 * 24 * 60  # minutes


@dataclass(frozen=True, slots=True)
class Column:
    """What one value of each row is."""

    code: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One interval.

    Attributes:
        stamp: its end.
        status: of the interval, as the meter writes it (hexadecimal flags).
        columns: what the values are.
        values: None where the meter gives none.
    """

    stamp: Stamp
    status: str
    columns: tuple[Column, ...]
    values: tuple[Decimal | None, ...]


def rows(lines: Iterable[Line | Unreadable]) -> list[Row]:
    """The rows of an answer, all its parts put together.

    A row that cannot be read is one without values, so that the others keep their times.

    Raises:
        ProtocolError: a header makes no sense.
    """
    found: list[Row] = []
    at: Row | None = None  # the next row
    period = timedelta()
    pending: list[Decimal | None] = []
    for line in lines:
        sets = line.sets if isinstance(line, Line) else ()
        if sets and not sets[0].repeated:
            at, period, sets = _header(sets)
            pending = []
        if at is None:
            continue
        width = len(at.columns)
        if isinstance(line, Unreadable):
            pending = [None] * width
        pending += [number(each.value) for each in sets]
        while len(pending) >= width:
            found.append(replace(at, values=tuple(pending[:width])))
            del pending[:width]
            at = replace(at, stamp=_later(at.stamp, period))
    return found


def _header(sets: tuple[DataSet, ...]) -> tuple[Row, timedelta, tuple[DataSet, ...]]:
    """The first row's stamp, status and columns; the interval; what stands behind the header on its line."""
    texts = [each.value for each in sets]
    stamp = Stamp.parse(texts[0])
    if stamp is None or len(texts) < _HEAD:
        raise ProtocolError(f"{sets[0].address} begins with ({texts[0]}), which is no header of a profile")
    minutes, count = number(texts[2]), number(texts[3])
    if minutes is None or not 0 < minutes <= _LONGEST_PERIOD:
        raise ProtocolError(f"{sets[0].address}: ({texts[2]}) is no interval in minutes")
    if count is None or not 0 < count <= _MOST_COLUMNS or count != int(count):
        raise ProtocolError(f"{sets[0].address}: ({texts[3]}) is no number of columns")
    end = _HEAD + 2 * int(count)
    if len(texts) < end:
        raise ProtocolError(f"{sets[0].address}: its header has not the codes and units of {count} columns")
    columns = tuple(Column(texts[each], texts[each + 1]) for each in range(_HEAD, end, 2))
    return Row(stamp, texts[1], columns, ()), timedelta(minutes=float(minutes)), sets[end:]


def _later(stamp: Stamp, period: timedelta) -> Stamp:
    try:
        return replace(stamp, local=stamp.local + period)
    except OverflowError as error:
        raise ProtocolError("a profile goes beyond the year 9999") from error

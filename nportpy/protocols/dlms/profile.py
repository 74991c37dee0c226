"""Profiles: which rows to ask for, and what rows mean (class 7; DLMS UA 1000-1, 4.3.6).

A row is a structure with a value for each column. Null stands for the value of the row before, and in the clock's
column for the time of the row before and one capture period.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from nportpy.errors import ProtocolError
from nportpy.protocols.dlms import axdr
from nportpy.protocols.dlms.axdr import Tag, Value
from nportpy.protocols.dlms.classes import CLOCK
from nportpy.protocols.dlms.clock import DATE_TIME_SIZE, DateTime
from nportpy.protocols.dlms.obis import SIZE, Obis

BY_RANGE: Final = 1
BY_ENTRY: Final = 2

LIFO: Final = 2
"""The sort method with the newest row first."""

_TIME: Final = 2  # the attribute of a clock


@dataclass(frozen=True, slots=True)
class Captured:
    """A column: what is captured in it.

    Attributes:
        class_id: of the object.
        name: of the object.
        attribute: which one of it; 0: all.
        index: which element of the attribute, from 1; 0: the whole.
    """

    class_id: int
    name: Obis
    attribute: int = 2
    index: int = 0

    @property
    def is_clock(self) -> bool:
        """Whether the column says when its row was captured."""
        return self.class_id == CLOCK and self.attribute == _TIME

    def encode(self) -> bytes:
        """As a structure."""
        return axdr.structure(
            axdr.encode(Tag.LONG_UNSIGNED, self.class_id),
            axdr.encode(Tag.OCTET_STRING, self.name.code),
            axdr.encode(Tag.INTEGER, self.attribute),
            axdr.encode(Tag.LONG_UNSIGNED, self.index),
        )


def columns(value: Value) -> list[Captured]:
    """What attribute 3, capture_objects, lists.

    Raises:
        ProtocolError: it is no such list.
    """
    if not isinstance(value, list):
        raise ProtocolError("the list of captured objects is no array")
    return [captured(each) for each in value]


def captured(value: Value) -> Captured:
    """One captured object: an element of attribute 3, or attribute 6, the sort object.

    Raises:
        ProtocolError: it is none.
    """
    match value:
        case (int(class_id), bytes(name), int(attribute), int(index), *_) if len(name) == SIZE:
            return Captured(class_id, Obis(name), attribute, index)
    raise ProtocolError(f"this describes no captured object: {value!r}")


def by_range(restricting: Captured, start: DateTime, end: DateTime, chosen: Sequence[Captured] = ()) -> bytes:
    """The selection of the rows from `start` to `end`, both within, by the column `restricting`.

    Args:
        restricting: the sort object: meters refuse others.
        start: the first time.
        end: the last.
        chosen: only these columns; none: all of them.
    """
    return bytes((BY_RANGE,)) + axdr.structure(
        restricting.encode(),
        axdr.encode(Tag.OCTET_STRING, start.encode()),
        axdr.encode(Tag.OCTET_STRING, end.encode()),
        axdr.array(*(each.encode() for each in chosen)),
    )


def by_entry(first: int = 1, last: int = 0, first_column: int = 1, last_column: int = 0) -> bytes:
    """The selection of rows by their numbers: 1 is the oldest one; 0, as the last one, the last that there is."""
    return bytes((BY_ENTRY,)) + axdr.structure(
        axdr.encode(Tag.DOUBLE_LONG_UNSIGNED, first),
        axdr.encode(Tag.DOUBLE_LONG_UNSIGNED, last),
        axdr.encode(Tag.LONG_UNSIGNED, first_column),
        axdr.encode(Tag.LONG_UNSIGNED, last_column),
    )


@dataclass(frozen=True, slots=True)
class ProfileRow:
    """A row, without nulls.

    Attributes:
        at: when it was captured, in microseconds UTC; None where no column says so, or the meter did not know.
        uncertain: whether the meter's clock doubted it.
        values: one for each column; the clock's is a `DateTime`, or None where the row left it out.
    """

    at: int | None
    uncertain: bool
    values: tuple[Value, ...]


def rows(
    buffer: Value,
    captures: Sequence[Captured],
    moment: Callable[[DateTime], int | None] = DateTime.moment,
    step: int = 0,
) -> list[ProfileRow]:
    """The rows of a buffer (attribute 2), in its order.

    Args:
        buffer: what was read.
        captures: its columns.
        moment: what a stamp of this meter means, in microseconds UTC.
        step: seconds from a row to the next one, for rows that leave their time out: the capture period, negative
            where the newest row comes first.

    Raises:
        ProtocolError: it is no buffer, or a row has not a value for each column.
    """
    if not isinstance(buffer, list):
        raise ProtocolError("the profile's buffer is no array")
    clock = next((number for number, column in enumerate(captures) if column.is_clock), None)
    width = len(captures)
    found: list[ProfileRow] = []
    before: tuple[Value, ...] = (None,) * width
    at: int | None = None
    uncertain = False
    for row in buffer:
        if not isinstance(row, tuple) or len(row) != width:
            raise ProtocolError(_odd_row(row, width))
        values = row
        if None in values:
            values = tuple(
                old if new is None and number != clock else new
                for number, (new, old) in enumerate(zip(values, before, strict=True))
            )
        if clock is not None:
            stamp = values[clock]
            if stamp is None:
                at = None if at is None else at + step * 1_000_000
            else:
                if isinstance(stamp, bytes) and len(stamp) == DATE_TIME_SIZE:
                    stamp = DateTime.parse(stamp)
                    values = (*values[:clock], stamp, *values[clock + 1 :])
                at, uncertain = (moment(stamp), stamp.uncertain) if isinstance(stamp, DateTime) else (None, False)
        found.append(ProfileRow(at, uncertain, values))
        before = values
    return found


def _odd_row(row: Value, width: int) -> str:
    if isinstance(row, tuple):
        return f"a row of {len(row)} values where {width} are captured"
    return "a row of the profile is no structure"

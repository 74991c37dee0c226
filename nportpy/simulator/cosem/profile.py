"""A load profile: class 7 with a row each period, without a store, as every row is a function of its time.

Source: Blue Book 4.3.6; what selective access takes: 4.3.6.4 and Green Book 9.3.9.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from nportpy.simulator.cosem.clock import Zone
from nportpy.simulator.cosem.data import (
    NULL,
    Data,
    MalformedError,
    Tag,
    array,
    double_long_unsigned,
    enum,
    integer,
    long_unsigned,
    octets,
    structure,
)
from nportpy.simulator.cosem.objects import CosemObject, Moment, RefusedError, Result, Selection, obis

RANGE, ENTRY = 1, 2
CLOCK = obis("0.0.1.0.0")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SORT_FIFO = 1


class Bounds(StrEnum):
    """Which bounds of a range the meter takes."""

    ANY = "any"
    UNSPECIFIED = "unspecified"
    """Only those with deviation 8000."""
    SPECIFIED = "specified"
    """Only those that say the deviation."""


@dataclass(frozen=True, slots=True)
class Column:
    """A captured attribute.

    Attributes:
        class_id, name, attribute: which.
        value: what a row has, by the row's moment.
    """

    class_id: int
    name: bytes
    attribute: int
    value: Callable[[Moment], Data]

    def definition(self) -> Data:
        """As capture_objects has it."""
        return structure(long_unsigned(self.class_id), octets(self.name), integer(self.attribute), long_unsigned(0))


@dataclass(frozen=True, slots=True)
class ProfileSettings:
    """How a profile is kept and told.

    Attributes:
        period: seconds between rows.
        entries: rows that it holds; with more the oldest go.
        recorded: seconds before the meter's start since when it has recorded.
        null_cells: a cell that is as expected is null: a clock one period on, and what equals the row before.
        bounds: of ranges.
        ranges: selection by range is known; else it is refused.
    """

    period: int = 900
    entries: int = 3360
    recorded: float = 40 * 86400.0
    null_cells: bool = False
    bounds: Bounds = Bounds.ANY
    ranges: bool = True


class Profile:
    """The buffer of a load profile."""

    def __init__(self, name: str, columns: Sequence[Column], zone: Zone, settings: ProfileSettings) -> None:
        """Under the OBIS code `name`; the first of `columns` follows the clock, which is added."""
        clock = Column(8, CLOCK, 2, lambda moment: octets(zone.encode(moment.utc)))
        self._name = name
        self._columns = (clock, *columns)
        self._zone = zone
        self._settings = settings

    def cosem_object(self) -> CosemObject:
        """The object that it is."""
        ours = self._settings
        return CosemObject(
            7,
            obis(self._name),
            {
                3: array(*(column.definition() for column in self._columns)),
                4: double_long_unsigned(ours.period),
                5: enum(_SORT_FIFO),
                6: self._columns[0].definition(),
                7: lambda moment: double_long_unsigned(len(self._rows(moment))),
                8: double_long_unsigned(ours.entries),
            },
            version=1,
            buffer=self.read,
        )

    def read(self, moment: Moment, selection: Selection | None = None) -> Data:
        """The rows that are selected; without a selection all of them.

        Raises:
            RefusedError: there is no such selection.
        """
        rows = self._rows(moment)
        columns: range | list[int] = range(len(self._columns))
        if selection:
            try:
                if selection.selector == RANGE:
                    rows, columns = self._by_range(rows, selection.parameters)
                elif selection.selector == ENTRY:
                    rows, columns = self._by_entry(rows, selection.parameters)
                else:
                    raise RefusedError(Result.OTHER)
            except (TypeError, ValueError, AttributeError, MalformedError) as error:
                raise RefusedError(Result.TYPE_UNMATCHED) from error
        return self._told(rows, columns, moment)

    def _rows(self, moment: Moment) -> range:
        """The stamps of the rows, in periods since 1970."""
        period = self._settings.period
        newest = int((moment.utc - _EPOCH).total_seconds() // period)
        started = (moment.utc - _EPOCH).total_seconds() - moment.elapsed - self._settings.recorded
        oldest = int(-(-started // period))
        return range(max(oldest, newest - self._settings.entries + 1), newest + 1)

    def _by_range(self, rows: range, parameters: Data) -> tuple[range, range | list[int]]:
        restricting, first, last, wanted = parameters.value
        if not self._settings.ranges or restricting != self._columns[0].definition():
            raise RefusedError(Result.OTHER)
        begin, end = self._bound(first), self._bound(last)
        period = self._settings.period
        low = -int(-(begin - _EPOCH).total_seconds() // period)
        high = int((end - _EPOCH).total_seconds() // period)
        definitions = [column.definition() for column in self._columns]
        columns = [definitions.index(column) for column in wanted.value] or range(len(definitions))
        return range(max(low, rows.start), min(high + 1, rows.stop)), columns

    def _bound(self, bound: Data) -> datetime:
        utc, says_deviation = self._zone.decode(bound.value)
        allowed = {Bounds.UNSPECIFIED: not says_deviation, Bounds.SPECIFIED: says_deviation}
        if not allowed.get(self._settings.bounds, True):
            raise RefusedError(Result.OTHER)
        return utc

    def _by_entry(self, rows: range, parameters: Data) -> tuple[range, range]:
        first, last, left, right = (part.value for part in parameters.value)
        last, right = last or len(rows), right or len(self._columns)
        if first < 1 or left < 1 or right > len(self._columns):
            raise RefusedError(Result.OTHER)
        return rows[first - 1 : last], range(left - 1, right)

    def _told(self, rows: range, columns: range | list[int], moment: Moment) -> Data:
        told, before = [], None
        for row in rows:
            utc = _EPOCH + timedelta(seconds=row * self._settings.period)
            at = Moment(utc, moment.elapsed - (moment.utc - utc).total_seconds())
            cells = [self._columns[number].value(at) for number in columns]
            told.append(structure(*self._shortened(cells, before, columns)))
            before = cells
        return array(*told)

    def _shortened(self, cells: list[Data], before: list[Data] | None, columns: range | list[int]) -> list[Data]:
        if before is None or not self._settings.null_cells:
            return cells
        return [
            NULL if number == 0 or (cell == old and cell.tag is not Tag.OCTET_STRING) else cell
            for number, cell, old in zip(columns, cells, before, strict=True)
        ]

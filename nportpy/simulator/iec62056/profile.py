"""A load profile in the form of the VDEW: header, then a line for each interval; a new header after each break.

Source: IEC 62056-21, 6.5, commands R5 and R6; the data's form is the VDEW's specification for load meters.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Interval:
    """One row.

    Attributes:
        end: when the interval ended, by the meter's clock.
        values: as texts.
        season: 0 normal time, 1 summer, 2 UTC.
        status: eight hexadecimal digits.
    """

    end: datetime
    values: tuple[str, ...]
    season: int = 0
    status: str = "00000000"


@dataclass(frozen=True, slots=True)
class Profile:
    """A profile.

    Attributes:
        columns: code and unit of each value.
        rows: in order of time.
        period: minutes of an interval.
        name: its address.
    """

    columns: tuple[tuple[str, str], ...]
    rows: tuple[Interval, ...]
    period: int = 15
    name: str = "P.01"

    def lines(self, first: str, last: str) -> list[str]:
        """Headers and rows from one time stamp to another, both included; an empty stamp is no bound.

        Raises:
            ValueError: a stamp is none.
        """
        low, high = _bound(first), _bound(last)
        rows = [row for row in self.rows if (low is None or row.end >= low) and (high is None or row.end <= high)]
        return [line for run in _runs(rows, timedelta(minutes=self.period)) for line in self._run(run)]

    def _run(self, rows: Sequence[Interval]) -> Iterator[str]:
        columns = "".join(f"({code})({unit})" for code, unit in self.columns)
        first = rows[0]
        head = f"({stamp(first)})({first.status})({self.period})({len(self.columns)})"
        yield f"{self.name}{head}{columns}"
        for row in rows:
            yield "".join(f"({value})" for value in row.values)


def stamp(row: Interval) -> str:
    """The 13 characters of a header: season, then yyMMddhhmmss. It is the end of the first interval."""
    return f"{row.season}{row.end:%y%m%d%H%M%S}"


def _bound(text: str) -> datetime | None:
    """Of a request: season, then yyMMddhhmm, with or without seconds; the season may be left out."""
    if not text:
        return None
    digits = text[len(text) % 2 :]
    if not text.isdecimal() or len(digits) not in (10, 12):
        raise ValueError(f"{text} is no time stamp")
    return datetime.strptime(digits.ljust(12, "0"), "%y%m%d%H%M%S")  # noqa: DTZ007 - the meter's own clock


def _runs(rows: Sequence[Interval], period: timedelta) -> list[list[Interval]]:
    """Rows without a break, a change of the clock or of the status between them."""
    runs: list[list[Interval]] = []
    for row in rows:
        last = runs[-1][-1] if runs else None
        if last and row.end - last.end == period and (row.season, row.status) == (last.season, last.status):
            runs[-1].append(row)
        else:
            runs.append([row])
    return runs

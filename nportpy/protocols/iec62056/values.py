"""What the text of a value means: a number, or a time stamp. Exact: numbers are decimals."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from enum import StrEnum
from typing import Final, Self

_NUMBER: Final = re.compile(r"([+-]?)((?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+))([+-]?)", re.ASCII)
_STAMP: Final = re.compile(
    r"([012SWU]?)([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})?", re.ASCII | re.IGNORECASE
)
_CENTURY: Final = 2000  # of two-digit years: there is no telling, and no electronic register is older


def number(text: str) -> Decimal | None:
    """The number that a text is, or None: `000077.160`, `12,3`, `-5`, and `12.3-` with its sign behind."""
    match = _NUMBER.fullmatch(text.strip())
    if match is None or (match[1] and match[3]):
        return None
    value = Decimal(match[2].replace(",", "."))
    return -value if "-" in (match[1], match[3]) else value


class Season(StrEnum):
    """What a stamp says of its time; many say nothing."""

    UNSAID = ""
    NORMAL = "0"
    SUMMER = "1"
    UTC = "2"


_SEASONS: Final = {
    "": Season.UNSAID,
    "0": Season.NORMAL,
    "W": Season.NORMAL,
    "1": Season.SUMMER,
    "S": Season.SUMMER,
    "2": Season.UTC,
    "U": Season.UTC,
}


@dataclass(frozen=True, slots=True)
class Stamp:
    """A time as the meter's clock says it.

    Attributes:
        local: the meter's date and time, without a zone.
        season: what it says of daylight saving time.
    """

    local: datetime
    season: Season = Season.UNSAID

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """The stamp that a text is, or None: yyMMddhhmm, yyMMddhhmmss, and both with a season before them.

        24:00 is the end of that day.
        """
        match = _STAMP.fullmatch(text.strip())
        if match is None:
            return None
        year, month, day, hour, minute, second = (int(each or 0) for each in match.groups()[1:])
        midnight = hour == 24 and not minute and not second
        try:
            local = datetime(_CENTURY + year, month, day, 0 if midnight else hour, minute, second)  # noqa: DTZ001
        except ValueError:
            return None
        return cls(local + timedelta(days=midnight), _SEASONS[match[1].upper()])

    def utc(self, zone: tzinfo) -> datetime:
        """The same in UTC, without a zone; `zone` is where the meter's clock lives."""
        if self.season is Season.UTC:
            return self.local
        aware = self.local.replace(tzinfo=zone)
        offset = aware.utcoffset() or timedelta()
        if self.season is not Season.UNSAID:
            offset -= aware.dst() or timedelta()
            if self.season is Season.SUMMER:
                offset += timedelta(hours=1)
        return self.local - offset

    def text(self) -> str:
        """As requests write it: the season, if any, and yyMMddhhmm."""
        return f"{self.season}{self.local:%y%m%d%H%M}"


def stamp_at(utc: datetime, zone: tzinfo, *, season: bool = True) -> Stamp:
    """What a meter in `zone` shows at a time in UTC.

    Args:
        utc: with its zone.
        zone: where the meter's clock lives.
        season: whether its stamps have a season.
    """
    aware = utc.astimezone(zone)
    if not season:
        return Stamp(aware.replace(tzinfo=None))
    return Stamp(aware.replace(tzinfo=None), Season.SUMMER if aware.dst() else Season.NORMAL)

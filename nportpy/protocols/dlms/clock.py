"""Dates and times of meters, with everything that may be unknown in them (DLMS UA 1000-1, 4.1.6.1).

    date-time = year(2) month day weekday hour minute second hundredths deviation(2) status    12 bytes
    date      = year(2) month day weekday                                                        5 bytes
    time      = hour minute second hundredths                                                    4 bytes

FF in a byte, FFFF in the year and 8000 in the deviation mean "not specified". UTC is local time *plus* the deviation,
which includes daylight saving: central Europe has -60 in winter and -120 in summer. There are meters that count the
other way, and meters that state no deviation: `DateTime.moment` is told. The clock of some of the latter stays on
standard time all the year, whatever their status says: their zone is one without daylight saving.
"""

import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final

from nportpy.errors import ProtocolError

DATE_TIME_SIZE: Final = 12
DATE_SIZE: Final = 5
TIME_SIZE: Final = 4

ANY: Final = 0xFF
ANY_YEAR: Final = 0xFFFF
NO_DEVIATION: Final = -0x8000

INVALID, DOUBTFUL, OTHER_BASE, INVALID_STATUS, DAYLIGHT_SAVING = 0x01, 0x02, 0x04, 0x08, 0x80
"""The bits of the clock status."""

_UNCERTAIN: Final = INVALID | DOUBTFUL | INVALID_STATUS
_DATE_TIME: Final = struct.Struct(">H7BhB")
_FARTHEST: Final = 14 * 60  # minutes between local time and UTC, anywhere on earth
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class DateTime:
    """A point in time as a meter writes it. Every field may be "not specified", and is as it was sent.

    Attributes:
        year: FFFF: not specified.
        month: 1 to 12; FD: the end, FE: the beginning of daylight saving.
        day: 1 to 31; FE: the last of the month, FD: the second last.
        weekday: 1 is Monday.
        hour: 24 has been seen.
        minute: of the hour.
        second: 60 has been seen.
        hundredths: of a second.
        deviation: minutes from local time to UTC, added; -0x8000: not specified.
        status: bits of the clock; FF: not specified.
    """

    year: int = ANY_YEAR
    month: int = ANY
    day: int = ANY
    weekday: int = ANY
    hour: int = ANY
    minute: int = ANY
    second: int = ANY
    hundredths: int = ANY
    deviation: int = NO_DEVIATION
    status: int = ANY

    @classmethod
    def parse(cls, data: bytes) -> "DateTime":
        """The date-time in these 12 bytes.

        Raises:
            ProtocolError: they are more or fewer.
        """
        if len(data) != DATE_TIME_SIZE:
            raise ProtocolError(f"a date-time has {DATE_TIME_SIZE} bytes, not {len(data)}")
        return cls(*_DATE_TIME.unpack(data))

    @classmethod
    def of(cls, moment: datetime, *, deviation: bool = True) -> "DateTime":
        """An aware `moment` on its own zone's clock, for asking a meter; without `deviation` that is left open."""
        offset, saving = moment.utcoffset(), moment.dst()
        if offset is None:
            raise ProtocolError(f"{moment} does not say how far it is from UTC")
        return cls(
            moment.year,
            moment.month,
            moment.day,
            ANY,
            moment.hour,
            moment.minute,
            moment.second,
            ANY,
            -int(offset.total_seconds() // 60) if deviation else NO_DEVIATION,
            DAYLIGHT_SAVING if saving else 0,
        )

    def encode(self) -> bytes:
        """The 12 bytes."""
        return _DATE_TIME.pack(
            self.year,
            self.month,
            self.day,
            self.weekday,
            self.hour,
            self.minute,
            self.second,
            self.hundredths,
            self.deviation,
            self.status,
        )

    @property
    def uncertain(self) -> bool:
        """Whether the meter itself doubts it; a status that is not specified doubts nothing."""
        return self.status != ANY and bool(self.status & _UNCERTAIN)

    @property
    def saving(self) -> bool:
        """Whether the meter says that daylight saving is in force."""
        return self.status != ANY and bool(self.status & DAYLIGHT_SAVING)

    def moment(self, zone: tzinfo = UTC, *, inverted: bool = False) -> int | None:
        """Microseconds since 1970, UTC; None where the year, month, day, hour or minute is unknown or none at all.

        A second that is not specified counts as 0, as do the hundredths.

        Args:
            zone: of the meter's clock where it states no deviation.
            inverted: this meter's deviation has the other sign.
        """
        hour, minute, second = self.hour, self.minute, self.second
        if second == ANY:
            second = 0
        if hour > 24 or minute > 59 or second > 60 or (hour == 24 and (minute or second)):
            return None
        deviation = self.deviation
        try:
            if -_FARTHEST <= deviation <= _FARTHEST:
                return (
                    _midnight(self.year, self.month, self.day)
                    + ((hour * 60 + minute + (-deviation if inverted else deviation)) * 60 + second) * 1_000_000
                    + (self.hundredths * 10_000 if self.hundredths < 100 else 0)
                )
            local = datetime(self.year, self.month, self.day, tzinfo=zone)
            local += timedelta(hours=hour, minutes=minute, seconds=second)
            if self.hundredths < 100:
                local += timedelta(microseconds=self.hundredths * 10_000)
            local = local.replace(fold=0 if self.saving or self.status == ANY else 1)
            return (local - _EPOCH) // _MICROSECOND
        except (ValueError, OverflowError):
            return None

    def __str__(self) -> str:
        """As in `2026-11-21 18:58:15 +01:00`; what is not specified is a `?`."""
        text = f"{_date(self.year, self.month, self.day)} {_time(self.hour, self.minute, self.second, self.hundredths)}"
        if not -_FARTHEST <= self.deviation <= _FARTHEST:
            return text
        sign = "-" if self.deviation > 0 else "+"
        hours, minutes = divmod(abs(self.deviation), 60)
        return f"{text} {sign}{hours:02}:{minutes:02}"


@dataclass(frozen=True, slots=True)
class Date:
    """A day as a meter writes it; see `DateTime`."""

    year: int = ANY_YEAR
    month: int = ANY
    day: int = ANY
    weekday: int = ANY

    @classmethod
    def parse(cls, data: bytes) -> "Date":
        """The date in these 5 bytes.

        Raises:
            ProtocolError: they are more or fewer.
        """
        if len(data) != DATE_SIZE:
            raise ProtocolError(f"a date has {DATE_SIZE} bytes, not {len(data)}")
        return cls(int.from_bytes(data[:2], "big"), *data[2:])

    def encode(self) -> bytes:
        """The 5 bytes."""
        return self.year.to_bytes(2, "big") + bytes((self.month, self.day, self.weekday))

    def __str__(self) -> str:
        return _date(self.year, self.month, self.day)


@dataclass(frozen=True, slots=True)
class Time:
    """A time of day as a meter writes it; see `DateTime`."""

    hour: int = ANY
    minute: int = ANY
    second: int = ANY
    hundredths: int = ANY

    @classmethod
    def parse(cls, data: bytes) -> "Time":
        """The time in these 4 bytes.

        Raises:
            ProtocolError: they are more or fewer.
        """
        if len(data) != TIME_SIZE:
            raise ProtocolError(f"a time has {TIME_SIZE} bytes, not {len(data)}")
        return cls(*data)

    def encode(self) -> bytes:
        """The 4 bytes."""
        return bytes((self.hour, self.minute, self.second, self.hundredths))

    def __str__(self) -> str:
        return _time(self.hour, self.minute, self.second, self.hundredths)


@lru_cache(64)
def _midnight(year: int, month: int, day: int) -> int:
    """Microseconds from 1970 to a day's beginning; the rows of a profile share few days.

    Raises:
        ValueError: there is no such day.
    """
    return (datetime(year, month, day, tzinfo=UTC) - _EPOCH) // _MICROSECOND


def _date(year: int, month: int, day: int) -> str:
    return f"{'????' if year == ANY_YEAR else f'{year:04}'}-{_two(month, 0xFC)}-{_two(day, 0xFC)}"


def _time(hour: int, minute: int, second: int, hundredths: int) -> str:
    text = f"{_two(hour)}:{_two(minute)}:{_two(second)}"
    return text if hundredths in (0, ANY) else f"{text}.{hundredths:02}"


def _two(number: int, highest: int = 0xFE) -> str:
    return f"{number:02}" if number <= highest else "??"

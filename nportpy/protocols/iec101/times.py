"""Time tags: CP56Time2a, CP24Time2a and CP16Time2a (IEC 60870-5-4, 6.8; IEC 60870-5-101, 7.2.6.18 to 20).

A tag shows the outstation's clock: UTC or local time, which is agreed by hand. Local time says by SU whether it is
summer time, so it is never ambiguous: UTC is the tag minus the zone's standard offset, minus an hour with SU. Clocks
that show UTC should leave SU at 0; some do not, so it is not looked at there.

Instants are microseconds since the epoch in UTC.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

SIZE_56: Final = 7
"""Bytes of a CP56Time2a."""

SIZE_24: Final = 3
"""Bytes of a CP24Time2a."""

AHEAD: Final = 120_000_000
"""Microseconds that an outstation's clock may be ahead of ours before a tag without hour means the hour before."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HOUR: Final = timedelta(hours=1)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Time24:
    """A tag of minute and milliseconds; the hour is that of its arrival.

    Attributes:
        milliseconds: within the minute, seconds included: 0 to 59999.
        minute: 0 to 59.
        invalid: the outstation does not believe its clock (IV).
        substituted: the tag was not made by the one that saw the event (GEN).
    """

    milliseconds: int
    minute: int
    invalid: bool = False
    substituted: bool = False

    def instant(self, zone: tzinfo, arrival: int) -> int | None:
        """The latest instant with that minute, not later than shortly after `arrival`; None: the tag means none."""
        if self.invalid or self.minute > 59 or self.milliseconds > 59999:
            return None
        latest = _local(arrival + AHEAD, zone)
        found = latest.replace(minute=self.minute, second=0, microsecond=0) + timedelta(milliseconds=self.milliseconds)
        if found > latest:
            found -= _HOUR
        return arrival + AHEAD - (latest - found) // _MICROSECOND


@dataclass(frozen=True, slots=True)
class Time56:
    """A full tag.

    Attributes:
        milliseconds: within the minute, seconds included: 0 to 59999.
        minute, hour, day, month: as calendars have them.
        year: within the century: 0 to 99, of 2000 to 2099.
        weekday: 1 Monday to 7 Sunday; 0: not told.
        summer: the clock shows summer time (SU).
        invalid: the outstation does not believe its clock (IV).
        substituted: the tag was not made by the one that saw the event (GEN).
    """

    milliseconds: int
    minute: int
    hour: int
    day: int
    month: int
    year: int
    weekday: int = 0
    summer: bool = False
    invalid: bool = False
    substituted: bool = False

    def instant(self, zone: tzinfo, _arrival: int = 0) -> int | None:
        """When that was, by a clock in `zone`; None: the tag is invalid, or no date."""
        if self.invalid or self.milliseconds > 59999:
            return None
        try:
            shown = datetime(2000 + self.year, self.month, self.day, self.hour, self.minute, tzinfo=UTC)
        except ValueError:
            return None
        shown += timedelta(milliseconds=self.milliseconds) - standard_offset(zone, shown.year)
        if self.summer and not is_utc(zone, shown.year):
            shown -= _HOUR
        return (shown - _EPOCH) // _MICROSECOND

    def encode(self) -> bytes:
        """The seven bytes."""
        return self.milliseconds.to_bytes(2, "little") + bytes(
            (
                self.minute | self.substituted << 6 | self.invalid << 7,
                self.hour | self.summer << 7,
                self.day | self.weekday << 5,
                self.month,
                self.year,
            )
        )


Time = Time24 | Time56
"""A time tag of an object."""


def decode_24(data: bytes) -> Time24:
    """The tag in three bytes."""
    return Time24(data[0] | data[1] << 8, data[2] & 0x3F, bool(data[2] & 0x80), bool(data[2] & 0x40))


def decode_56(data: bytes) -> Time56:
    """The tag in seven bytes. Whether it is a date is for `instant` to say."""
    return Time56(
        milliseconds=data[0] | data[1] << 8,
        minute=data[2] & 0x3F,
        hour=data[3] & 0x1F,
        day=data[4] & 0x1F,
        month=data[5] & 0x0F,
        year=data[6] & 0x7F,
        weekday=data[4] >> 5,
        summer=bool(data[3] & 0x80),
        invalid=bool(data[2] & 0x80),
        substituted=bool(data[2] & 0x40),
    )


def time_of(instant: int, zone: tzinfo) -> Time56:
    """What a clock in `zone` shows at `instant`, in whole milliseconds."""
    shown = (_EPOCH + instant * _MICROSECOND).astimezone(zone)
    summer = shown.utcoffset() != standard_offset(zone, shown.year)
    return Time56(
        milliseconds=shown.second * 1000 + shown.microsecond // 1000,
        minute=shown.minute,
        hour=shown.hour,
        day=shown.day,
        month=shown.month,
        year=shown.year % 100,
        weekday=shown.isoweekday(),
        summer=summer,
    )


def standard_offset(zone: tzinfo, year: int) -> timedelta:
    """The zone's offset from UTC without summer time: the smaller of those of January and July, north and south."""
    return min(_offsets(zone, year))


def is_utc(zone: tzinfo, year: int) -> bool:
    """Whether clocks in `zone` show UTC all the year."""
    return not any(_offsets(zone, year))


def _offsets(zone: tzinfo, year: int) -> tuple[timedelta, timedelta]:
    january, july = (zone.utcoffset(datetime(year, month, 1)) or timedelta() for month in (1, 7))  # noqa: DTZ001 - its
    return january, july


def _local(instant: int, zone: tzinfo) -> datetime:
    """What a clock on standard time shows: only its minutes matter, and those may differ from UTC's."""
    moment = _EPOCH + instant * _MICROSECOND
    return moment + standard_offset(zone, moment.year)

"""Dates and times as COSEM writes them (Blue Book 4.1.6.1), in the meter's own zone."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from nportpy.simulator.cosem.data import MalformedError

UNSPECIFIED = -0x8000
"""The deviation of a time that does not say where it holds."""

SUMMER_TIME = 0x80
"""In the clock status."""


@dataclass(frozen=True, slots=True)
class Zone:
    """Where a meter is, and how it writes times.

    Attributes:
        offset: minutes that its standard time is ahead of UTC.
        summer: it keeps European summer time.
        deviation: it writes the deviation; else 8000.
    """

    offset: int = 60
    summer: bool = True
    deviation: bool = True

    def ahead(self, utc: datetime) -> int:
        """Minutes that its time is ahead of UTC at a time in UTC."""
        return self.offset + 60 * (self.summer and _in_summer(utc))

    def encode(self, utc: datetime) -> bytes:
        """A time in UTC, in 12 bytes."""
        ahead = self.ahead(utc)
        local = utc + timedelta(minutes=ahead)
        deviation = -ahead if self.deviation else UNSPECIFIED
        status = SUMMER_TIME if ahead > self.offset else 0
        return (
            local.year.to_bytes(2, "big")
            + bytes((local.month, local.day, local.isoweekday(), local.hour, local.minute, local.second))
            + bytes((0xFF,))
            + deviation.to_bytes(2, "big", signed=True)
            + bytes((status,))
        )

    def decode(self, data: bytes) -> tuple[datetime, bool]:
        """The time in UTC in 12 bytes, and whether they say the deviation; without one it is the meter's own time.

        Raises:
            MalformedError: they are no such time.
        """
        if len(data) != 12:
            raise MalformedError(f"a time of {len(data)} bytes")
        hour, minute, second = (0 if part == 0xFF else part for part in data[5:8])
        deviation = int.from_bytes(data[9:11], "big", signed=True)
        try:
            local = datetime(int.from_bytes(data[:2], "big"), data[2], data[3], hour, minute, second, tzinfo=UTC)
            if deviation != UNSPECIFIED:
                return local + timedelta(minutes=deviation), True
            utc = local - timedelta(minutes=self.offset)
            return utc - timedelta(hours=1) * (self.ahead(utc - timedelta(hours=1)) > self.offset), False
        except (ValueError, OverflowError) as error:
            raise MalformedError(str(error)) from error


def _in_summer(utc: datetime) -> bool:
    """Between the last Sundays of March and October, 01:00 UTC."""
    begin, end = (_last_sunday(utc.year, month) for month in (3, 10))
    return begin <= utc < end


def _last_sunday(year: int, month: int) -> datetime:
    last = datetime(year, month, 31, 1, tzinfo=UTC)
    return last - timedelta(days=last.isoweekday() % 7)

"""Times of IEC 60870-5-4, 6.8: CP56Time2a and CP24Time2a."""

from dataclasses import dataclass
from datetime import datetime

INVALID = 0x80
SUMMER = 0x80


@dataclass(frozen=True, slots=True)
class Stamp:
    """A time by the outstation's clock.

    Attributes:
        time: what the clock shows, without a zone.
        invalid: the clock was not right.
        summer: it shows summer time.
    """

    time: datetime
    invalid: bool = False
    summer: bool = False

    def cp24(self) -> bytes:
        """Milliseconds and minute."""
        milliseconds = self.time.second * 1000 + self.time.microsecond // 1000
        return milliseconds.to_bytes(2, "little") + bytes((self.time.minute | INVALID * self.invalid,))

    def cp56(self) -> bytes:
        """All of it, with the day of the week."""
        time = self.time
        day = time.day | time.isoweekday() << 5
        return self.cp24() + bytes((time.hour | SUMMER * self.summer, day, time.month, time.year % 100))


def parse_cp56(data: bytes) -> Stamp:
    """The time in seven bytes.

    Raises:
        ValueError: it is none.
    """
    milliseconds = int.from_bytes(data[:2], "little")
    second, rest = divmod(milliseconds, 1000)
    time = datetime(  # noqa: DTZ001 - whose zone it is, is agreed by word of mouth
        2000 + (data[6] & 0x7F), data[5] & 0x0F, data[4] & 0x1F, data[3] & 0x1F, data[2] & 0x3F, second, rest * 1000
    )
    return Stamp(time, bool(data[2] & INVALID), bool(data[3] & SUMMER))

"""A sample as a row of a database, whatever a node may have sent. Pure.

`value` is a double, since that is what charts and sums work on. What a double cannot hold stands in `text`: words, and
the exact digits of an integer beyond 53 bits (a 64-bit counter), whose `value` is then the nearest double.
"""

from collections.abc import Iterator
from typing import Final

from nportpy.edge.collect.arrivals import Stored
from nportpy.edge.sample import Quality, Value

EARLIEST: Final = -62_135_510_400_000_000
LATEST: Final = 253_402_214_400_000_000
"""The years 1 to 9999, a day left out at either end, in microseconds since 1970: what every database and language has
dates for (asyncpg takes the last moment of 9999 for infinity)."""

SeriesKey = tuple[str, str, str, int]
"""Site, node, hash of the tag table, and the tag's number in it."""

SampleRow = tuple[str, str, int, SeriesKey, int, int, float | None, str | None, int, bool]
"""node, boot, seq, series, at, received, value, text, quality, late."""


def rows_of(stored: Stored) -> Iterator[SampleRow]:
    """The rows of a batch, in its order."""
    batch, received = stored.batch, stored.received
    site, node, boot, meta, late = stored.site, batch.node, batch.boot, batch.meta, batch.late
    for seq, row in enumerate(batch.rows, batch.seq):
        value, text = columns(row.value)
        at, quality = row.at, row.quality
        if not EARLIEST <= at <= LATEST:  # a meter's own stamp, without sense
            at, quality = clamped(at), min(quality, Quality.UNCERTAIN)
        yield node, boot, seq, (site, node, meta, row.tag), at, received, value, text, int(quality), late


def columns(value: Value) -> tuple[float | None, str | None]:
    """`value` and `text`."""
    if isinstance(value, str):
        return None, value
    if value is None:
        return None, None
    try:
        number = float(value)
    except OverflowError:
        return None, str(value)
    exact = isinstance(value, float) or int(number) == value
    return number, None if exact else str(value)


def clamped(at: int) -> int:
    """A time that a database can hold."""
    return max(EARLIEST, min(at, LATEST))

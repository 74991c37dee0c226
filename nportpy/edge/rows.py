"""A sample as a row of the archive: as few bytes as SQLite can make of it.

SQLite spends no byte on the integers 0 and 1 and on NULL, so that a good number costs its tag, its monotonic stamp
and itself: some 25 bytes with everything around it.
"""

import re
from collections.abc import Mapping, Sequence
from math import isfinite

from nportpy.edge.epochs import Epoch, index_of
from nportpy.edge.sample import Quality, Reading, Sample, Tag, Value

Row = tuple[int, int, int, Value, int, int | None]
"""seq, tag, monotonic, value, state, the device's stamp."""

MAX_TEXT = 1024
"""Characters of a value that is text; what is longer is cut and uncertain."""

MAX_BITS = 256
"""Bits of an integer; a longer one is no reading."""

# Bits of `state`. The lowest two are the quality, good being 0.
_QUALITIES = (Quality.GOOD, Quality.UNCERTAIN, Quality.BAD)
_BOOL = 4  # 0 or 1 stand for False and True
_LARGE = 8  # an integer beyond SQLite's 64 bits, as decimal digits
_HISTORY = 16

_UNFIT = re.compile("[\x00\ud800-\udfff]")  # no database takes NUL, no encoding half a surrogate pair
_INT64 = 1 << 63


def row_of(seq: int, reading: Reading) -> Row:
    """One reading under its number. Whatever its value is, the row can be stored: a float that is none is bad."""
    value, quality = reading.value, reading.quality
    bits = _HISTORY if reading.history else 0
    if isinstance(value, bool):
        value, bits = int(value), bits | _BOOL
    elif isinstance(value, float):
        if not isfinite(value):
            value, quality = None, Quality.BAD
    elif isinstance(value, int):
        if value.bit_length() > MAX_BITS:
            value, quality = None, Quality.BAD
        elif not -_INT64 <= value < _INT64:
            value, bits = str(value), bits | _LARGE
    elif isinstance(value, str):
        value = _UNFIT.sub("\N{REPLACEMENT CHARACTER}", value)
        if len(value) > MAX_TEXT:
            value, quality = value[:MAX_TEXT], min(quality, Quality.UNCERTAIN)
    return seq, reading.tag, reading.monotonic, value, bits | _QUALITIES.index(quality), reading.at


def weight(reading: Reading) -> int:
    """Bytes that its row takes at most, with everything around it."""
    return 64 + 4 * min(len(reading.value), MAX_TEXT) if isinstance(reading.value, str) else 64


def samples_of(rows: Sequence[Row], tags: Mapping[int, Tag], epochs: Sequence[Epoch]) -> list[Sample]:
    """Rows in the order of their numbers as samples. What no writer here can have written is left out."""
    samples: list[Sample] = []
    if not rows or not epochs:
        return samples
    index = index_of(epochs, rows[0][0])
    epoch = epochs[index]
    borders = [each.first for each in epochs[index + 1 :]]
    for seq, tag, monotonic, stored, state, stamp in rows:
        while borders and seq >= borders[0]:
            borders.pop(0)
            index += 1
            epoch = epochs[index]
        try:
            quality = _QUALITIES[state & 3]
            value = _value(stored, state) if state > 3 else stored
            at = monotonic + epoch.offset if stamp is None else stamp
            if quality is Quality.GOOD and not epoch.trusted and stamp is None:
                quality = Quality.UNCERTAIN
            history = state & _HISTORY > 0
            samples.append(Sample(seq, epoch.boot, at, tags[tag], value, quality, monotonic, history))
        except (TypeError, ValueError, KeyError, IndexError):
            continue  # a damaged page: SQLite has no checksums
    return samples


def _value(stored: Value, state: int) -> Value:
    if state & _BOOL:
        return bool(stored)
    return int(str(stored)) if state & _LARGE else stored

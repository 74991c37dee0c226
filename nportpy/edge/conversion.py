"""From what a device says to what a tag is worth: pure, in the order of the steps below.

    raw value -> bits -> invalid? -> number? -> scale, offset -> precision -> limits -> words

A value that is none is of bad quality and has a reason, never a number in disguise: NaN, infinities and the numbers by
which a device says "not available" (0x8000, 0xFFFFFFFF and their like).
"""

import math
from typing import Final, NamedTuple

from nportpy.edge.sample import Quality
from nportpy.edge.settings import Beyond, TagSettings
from nportpy.protocols.modbus.values import Value, scaled

_STRANGE_LARGE: Final = 1e20
_STRANGE_SMALL: Final = 1e-30


class Converted(NamedTuple):
    """What a tag is worth: a value and its quality; without a value, why there is none."""

    value: Value | None
    quality: Quality
    reason: str = ""


def convert(tag: TagSettings, raw: Value) -> Converted:
    """The worth of a raw value.

    Whole numbers stay whole where nothing scales them: 64-bit counters exceed the 53 bits of a double.
    """
    if isinstance(raw, str) or (isinstance(raw, bool) and not tag.words):
        return Converted(raw, Quality.GOOD)
    number: int | float = raw
    if tag.bits is not None and isinstance(number, int):
        first, last = tag.bits
        number = number >> first & (1 << last - first + 1) - 1
    if any(_same(number, each) for each in tag.invalid):
        return Converted(None, Quality.BAD, f"the device says {number!r}, which stands for no value")
    if not math.isfinite(number):
        return Converted(None, Quality.BAD, f"{number!r} is no number")
    if tag.words:
        word = dict(tag.words).get(int(number))
        return Converted(number, Quality.UNCERTAIN, f"no word for {number!r}") if word is None else _good(word)
    if tag.scale != 1.0 or tag.offset:
        number = scaled(number, tag.scale, tag.offset)
        if not math.isfinite(number):
            return Converted(None, Quality.BAD, "beyond what a number can be")
    if tag.precision is not None and isinstance(number, float):
        number = round(number, tag.precision)
    return _limited(tag, number)


def strange(raw: Value) -> bool:
    """Whether a float looks as floats do that were put together in a wrong order: near 1e23, or denormal."""
    if not isinstance(raw, float) or not raw or not math.isfinite(raw):
        return False
    return not _STRANGE_SMALL < abs(raw) < _STRANGE_LARGE


def _good(value: Value) -> Converted:
    return Converted(value, Quality.GOOD)


def _same(number: float, invalid: float) -> bool:
    return number == invalid or (math.isnan(number) and math.isnan(invalid))


def _limited(tag: TagSettings, number: float) -> Converted:
    limits = tag.limits
    if limits is None:
        return _good(number)
    low, high = limits.low, limits.high
    if low is not None and number < low:
        bound, words = low, "below"
    elif high is not None and number > high:
        bound, words = high, "above"
    else:
        return _good(number)
    reason = f"{number!r} is {words} the limit {bound!r}"
    if limits.beyond is Beyond.CLAMP:
        return Converted(bound, Quality.UNCERTAIN, reason)
    return Converted(None, Quality.BAD, reason)

"""Numbers of IEEE 754, 32 bits, as people read them."""

import math
import struct
from typing import Final

_DIGITS: Final = 9  # decimal digits that tell every two float32 apart


def shortest(value: float) -> float:
    """Of all floats that round to the float32 `value` the one with the fewest digits: 231.4, not 231.39999389648438."""
    if not math.isfinite(value):
        return value
    for digits in range(1, _DIGITS):
        candidate = float(f"{value:.{digits}g}")
        try:
            (back,) = struct.unpack(">f", struct.pack(">f", candidate))
        except OverflowError:  # rounded up, beyond the largest
            continue
        if back == value:
            return candidate
    return float(f"{value:.{_DIGITS}g}")

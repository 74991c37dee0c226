"""Units and scalers of COSEM (DLMS UA 1000-1, 4.3.2): exact, by decimal arithmetic.

A register holds a whole number, a power of ten and the code of a unit: 77160, 0 and 30 are 77160 Wh, and that is
77.160 kWh exactly.
"""

from decimal import Context, Decimal
from typing import Final

NO_UNIT: Final = 255
OTHER_UNIT: Final = 254

UNITS: Final = {
    1: "a", 2: "mo", 3: "wk", 4: "d", 5: "h", 6: "min", 7: "s", 8: "°", 9: "°C", 10: "currency",
    11: "m", 12: "m/s", 13: "m³", 14: "m³", 15: "m³/h", 16: "m³/h", 17: "m³/d", 18: "m³/d", 19: "l", 20: "kg",
    21: "N", 22: "Nm", 23: "Pa", 24: "bar", 25: "J", 26: "J/h", 27: "W", 28: "VA", 29: "var", 30: "Wh",
    31: "VAh", 32: "varh", 33: "A", 34: "C", 35: "V", 36: "V/m", 37: "F", 38: "Ω", 39: "Ωm²/m", 40: "Wb",
    41: "T", 42: "A/m", 43: "H", 44: "Hz", 45: "1/Wh", 46: "1/varh", 47: "1/VAh", 48: "1/(V²h)", 49: "1/(A²h)",
    50: "kg/s", 51: "S", 52: "K", 53: "V²h", 54: "A²h", 55: "1/m³", 56: "%", 57: "Ah",
    60: "Wh/m³", 61: "J/m³", 62: "mol%", 63: "g/m³", 64: "Pa s", 65: "J/kg",
    70: "dBm", 71: "dBµV", 72: "dB",
}  # fmt: skip
"""Codes of units, as one writes them. 254 is another unit, 255 none."""

_PREFIXES: Final = {"": 0, "k": 3, "M": 6, "G": 9, "T": 12, "m": -3, "µ": -6, "u": -6}
_SPELLED: Final = {
    "degC": "°C", "deg": "°", "m3": "m³", "m3/h": "m³/h", "m3/d": "m³/d", "V2h": "V²h", "A2h": "A²h", "Ohm": "Ω",
    "VAr": "var", "VArh": "varh", "Var": "var", "Varh": "varh", "percent": "%",
}  # fmt: skip
# What takes prefixes: a "mh" or a "k%" is nobody's unit, and "mo", "min" are no metres.
_PREFIXED: Final = frozenset(
    ("W", "Wh", "VA", "VAh", "var", "varh", "V", "A", "Ah", "Hz", "J", "Pa", "bar", "Ω", "F", "H", "T", "C", "N", "S",
     "s", "m", "g", "l", "J/h", "V²h", "A²h", "Wb")
)  # fmt: skip
_EXACT: Final = Context(prec=60, Emin=-999, Emax=999)


def unit_name(code: int) -> str:
    """The unit of a code; empty where it is none, `unit 99` where nobody knows it."""
    if code in (NO_UNIT, OTHER_UNIT):
        return ""
    return UNITS.get(code, f"unit {code}")


def scaled(raw: int, scaler: int) -> Decimal:
    """`raw` x 10^`scaler`, exactly."""
    return Decimal(raw).scaleb(scaler, _EXACT)


def power_between(unit: str, wanted: str) -> int | None:
    """What power of ten turns a number of `unit` into one of `wanted`: -3 from Wh to kWh; None: they do not compare."""
    have, want = _parted(unit), _parted(wanted)
    if have is None or want is None or have[1] != want[1]:
        return None
    return have[0] - want[0]


def _parted(unit: str) -> tuple[int, str] | None:
    """The power of a unit's prefix, and what is left without it."""
    given = unit.strip()
    given = _SPELLED.get(given, given)
    if given in _PREFIXED or given in UNITS.values():
        return (3, "g") if given == "kg" else (0, given)
    base = _SPELLED.get(given[1:], given[1:])
    if given[:1] in _PREFIXES and base in _PREFIXED:
        return _PREFIXES[given[0]], base
    return None

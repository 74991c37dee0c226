"""What a meter's answers are worth: numbers with their unit, texts, times. Pure.

A number is exact: raw x 10^scaler is computed in decimals. An octet string is a time where its attribute is one, text
where it can be printed, else hexadecimal digits.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from math import isfinite
from typing import Final, TypeAlias

from nportpy.meters.dlms.objects import Data
from nportpy.meters.dlms.settings import Deviation, DlmsSettings
from nportpy.protocols.dlms.axdr import DONT_CARE, BitString
from nportpy.protocols.dlms.classes import is_time
from nportpy.protocols.dlms.clock import DATE_TIME_SIZE, NO_DEVIATION, Date, DateTime, Time
from nportpy.protocols.dlms.units import scaled, unit_name

Shown: TypeAlias = bool | int | float | str | Decimal
"""A value for people and archives. A `Decimal` has as many digits as its scaler says."""

NO_VALUE: Final = "the meter has no value there (null data)"


@dataclass(frozen=True, slots=True)
class Meant:
    """What something that a meter said means.

    Attributes:
        value: None: there is none, and `reason` says why.
        unit: of a number; empty: it has none, or it is not known.
        doubt: why it is not to be trusted; empty: it is.
        reason: why there is no value.
    """

    value: Shown | None = None
    unit: str = ""
    doubt: str = ""
    reason: str = ""


def meaning(
    data: Data, settings: DlmsSettings, *, scaler: int | None = None, unit: int | None = None, time: bool = False
) -> Meant:
    """What `data` means.

    Args:
        data: as it was decoded.
        settings: of the meter: its zone.
        scaler: of a number.
        unit: the code of its unit.
        time: an octet string of 12 bytes is a time.
    """
    name = "" if unit is None else unit_name(unit)
    match data:
        case bool() | float() | str():
            return Meant(data, name)
        case int():
            return Meant(scaled(data, scaler) if scaler else data, name)
        case bytes() if time and len(data) == DATE_TIME_SIZE:
            return _time(DateTime.parse(data), settings)
        case bytes():
            return Meant(text_of(data))
        case DateTime():
            return _time(data, settings)
        case BitString() | Date() | Time():
            return Meant(str(data))
        case list() | tuple():
            what = "an array" if isinstance(data, list) else "a structure"
            return Meant(reason=f"it is {what} of {len(data)}, not a single value")
    return Meant(reason=NO_VALUE if data is None or data is DONT_CARE else f"nobody knows what {data!r} is")


def is_time_of(class_id: int, attribute: int, obis: bytes) -> bool:
    """Whether an attribute is a time: by its class, or, where that is not known, because the object is the clock."""
    return is_time(class_id, attribute) or (
        not class_id and attribute == 2 and obis[2:5] == b"\x01\x00\x00" and not obis[0]
    )


def moment_of(stamp: DateTime, settings: DlmsSettings) -> int | None:
    """When a stamp of this meter was, in microseconds UTC; None: it does not say."""
    if settings.deviation is Deviation.IGNORED:
        stamp = replace(stamp, deviation=NO_DEVIATION)
    return stamp.moment(settings.zone, inverted=settings.deviation is Deviation.INVERTED)


def text_of(data: bytes) -> str:
    """An octet string as text where all of it can be printed, trailing zeros aside, else as hexadecimal digits."""
    body = data.rstrip(b"\0")
    return body.decode("ascii") if body and all(0x20 <= byte < 0x7F for byte in body) else data.hex().upper()


def plain(value: Shown, power: int = 0) -> bool | int | float | str:
    """A value as archives have it, its number times 10^`power`: whole where nothing can stand behind its point."""
    if isinstance(value, bool | str):
        return value
    if isinstance(value, float):
        return float(Decimal(repr(value)).scaleb(power)) if power and isfinite(value) else value
    exact = scaled(value, power) if isinstance(value, int) else value.scaleb(power)
    exponent = exact.as_tuple().exponent
    return int(exact) if isinstance(exponent, int) and exponent >= 0 else float(exact)


def _time(stamp: DateTime, settings: DlmsSettings) -> Meant:
    at = moment_of(stamp, settings)
    if at is None:
        return Meant(reason=f"the meter does not know the time: {stamp}")
    local = datetime.fromtimestamp(at / 1e6, UTC).astimezone(settings.zone)
    doubt = "the meter's clock doubts it" if stamp.uncertain else ""
    return Meant(local.isoformat(timespec="seconds"), doubt=doubt)

"""How ser2net puts a line's bytes together (chardelay, sendon) as our `packing`.

ser2net waits for so many tenths of a character (chardelay-scale), at least chardelay-min and at most chardelay-max, for
more to come. Unless something is said of that, we do not: bytes go out as they come, and nobody waits for them.
"""

import re
from collections.abc import Mapping

from nportpy.migration.source import Option

# ser2net.yaml(5): tenths of a character, and microseconds.
_SCALE, _LEAST, _MOST = 20, 1000, 20000
_DELAYS = ("chardelay-scale", "chardelay-min", "chardelay-max")
_GAPS = (0.5, 1000.0)  # characters; what `packing` takes
_ESCAPES = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, "?": 63, "'": 39, '"': 34}
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{1,2})|([0-7]{1,3})|(.))|(.)", re.DOTALL)


def packing(options: Mapping[str, Option], character_time: float) -> object | None:
    """The value of `packing` for a connection's options; None for none.

    Args:
        options: by name, without those that are switched off; `chardelay` too if it is.
        character_time: seconds of a character on the line.

    Raises:
        ValueError: there is no equal; says why.
    """
    if "chardelay" in options:
        if "sendon" in options:
            raise ValueError("with chardelay off, ser2net did not wait for it either")
        return None
    wait = _wait(options, character_time)
    if "sendon" in options:
        delimiters = _bytes(options["sendon"].value)
        if not 1 <= len(delimiters) <= 2:
            raise ValueError("a delimiter has one byte or two")
        return {"delimiters": delimiters.hex(" ").upper(), "force_transmit": f"{max(1, round(wait * 1000))}ms"}
    if not any(name in options for name in _DELAYS):
        return None
    low, high = _GAPS
    return {"mode": "gap", "gap": round(min(max(wait / character_time, low), high), 1)}


def _wait(options: Mapping[str, Option], character_time: float) -> float:
    """How long ser2net waits, in seconds."""
    values = [options[name].value.strip() if name in options else "" for name in _DELAYS]
    if any(value and not re.fullmatch(r"\d{1,9}", value) for value in values):
        raise ValueError("is no number")
    scale, least, most = (int(value or usual) for value, usual in zip(values, (_SCALE, _LEAST, _MOST), strict=True))
    return min(max(scale / 10 * character_time, least / 1e6), most / 1e6)


def _bytes(text: str) -> bytes:
    """The bytes of a string with C's escapes; those that stand for a device or a time have none."""
    found = bytearray()
    for hexadecimal, octal, letter, plain in _ESCAPE.findall(text):
        if plain:
            found += plain.encode()
        elif hexadecimal:
            found.append(int(hexadecimal, 16))
        elif octal:
            found.append(int(octal, 8) & 0xFF)
        elif letter in _ESCAPES:
            found.append(_ESCAPES[letter])
        else:
            raise ValueError(f"\\{letter} has no fixed bytes")
    return bytes(found)

r"""The identification message: who the meter is, and how it goes on (IEC 62056-21:2002, clauses 6.3.2, 6.3.14, 6.4).

    "/" XXX Z ["\" W]... ident CR LF

XXX is the maker; Z offers a speed and tells the mode; each pair `\W` announces something more, 2 being HDLC (annex E).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

SIGN_ON_BAUDRATE: Final = 300
"""At which everybody begins."""

PUSH_BAUDRATE: Final = 2400
"""Of mode D, which knows no other."""

C_BAUDRATES: Final = {"0": 300, "1": 600, "2": 1200, "3": 2400, "4": 4800, "5": 9600, "6": 19200, "7": 38400}
"""Speeds of mode C by their character. The standard reserves 7; meters of one maker mean 38400 by it."""

_B_BAUDRATES: Final = {"A": 600, "B": 1200, "C": 2400, "D": 4800, "E": 9600, "F": 19200}
_HDLC: Final = "2"


class Mode(StrEnum):
    """How a meter goes on after its identification.

    The identification of mode D is one of mode C: nobody has asked for it, that is the difference.
    """

    A = "A"  # data at once, at the same speed
    B = "B"  # data at once, at the speed of Z
    C = "C"  # waits for an acknowledgement that chooses speed and what comes
    D = "D"  # data at once, by itself
    E = "E"  # as C, and HDLC on wish


@dataclass(frozen=True, slots=True)
class Identification:
    r"""Who the meter is.

    Attributes:
        maker: three letters (FLAG association).
        offer: Z, the character of speed and mode.
        extensions: the characters W of each pair `\W`, in their order.
        text: the rest, chosen by the maker: type, version, sometimes a serial number.
    """

    maker: str
    offer: str
    extensions: str = ""
    text: str = ""

    @property
    def mode(self) -> Mode:
        """How it goes on, D excepted."""
        if self.offer in C_BAUDRATES:
            return Mode.E if _HDLC in self.extensions else Mode.C
        return Mode.B if self.offer in _B_BAUDRATES else Mode.A

    @property
    def baudrate(self) -> int:
        """The highest speed that it offers."""
        return C_BAUDRATES.get(self.offer) or _B_BAUDRATES.get(self.offer, SIGN_ON_BAUDRATE)

    @property
    def reaction(self) -> float:
        """Seconds that it needs after its message until it can hear the next one (6.3.14, note to XXX)."""
        return 0.02 if self.maker[2:].islower() else 0.2

    @property
    def hdlc(self) -> bool:
        """Whether it announces HDLC (annex E), whatever its mode."""
        return _HDLC in self.extensions


def starts_identification(line: str) -> bool:
    """Whether a line that began with `/` may be one so far: the maker is three letters of ASCII."""
    maker = line[:3]
    return maker.isascii() and (maker.isalpha() or not maker)


def identification(line: str) -> Identification | None:
    """What stands between `/` and CR LF, understood; None: it is no identification.

    The echo of our own sign-on (`/?!`) is none.
    """
    if len(line) < 4 or not starts_identification(line) or not line.isprintable():
        return None
    rest = line[4:]
    extensions = ""
    while len(rest) > 1 and rest[0] == "\\":
        extensions += rest[1]
        rest = rest[2:]
    return Identification(line[:3], line[3], extensions, rest.strip())


def speed_character(offered: str, limit: int) -> str:
    """The character of the highest speed of mode C that is neither above the offer nor above `limit` baud."""
    return max((each for each, baudrate in C_BAUDRATES.items() if each <= offered and baudrate <= limit), default="0")

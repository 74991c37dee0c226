"""Reverse telnet: a person's telnet program on a device's console port, as an NPort's mode of that name.

A plain network virtual terminal (RFC 854): no BINARY, no RFC 2217. For programs there are raw.py and rfc2217.py.
"""

from dataclasses import dataclass
from enum import StrEnum

from nportpy.modes.base import ServiceSettings


class Enter(StrEnum):
    """What the end of a line that a client sent (CR LF) is on the serial line."""

    CRLF = "crlf"
    CR = "cr"
    LF = "lf"


class LineEnds(StrEnum):
    """How a CR that came from the serial line goes to clients."""

    NVT = "nvt"  # a CR without LF as CR NUL, which is what RFC 854 (page 11) demands
    UNCHANGED = "unchanged"  # for programs that do not know that


@dataclass(frozen=True, slots=True, kw_only=True)
class ReverseTelnetSettings(ServiceSettings):
    """A telnet listener for a console port.

    Attributes:
        enter: what a client's CR LF is on the serial line. CR NUL is always CR: that is how a client says that it
            means CR alone, and what many send for the Enter key.
        line_ends: how a CR that came from the serial line goes to clients.
        echo: say that the device echoes (WILL ECHO). Clients then send each character as it is typed, and do not
            show it themselves; without it most of them show and send whole lines.
        break_time: seconds of the break on the serial line that a client's BREAK makes.
    """

    enter: Enter = Enter.CRLF
    line_ends: LineEnds = LineEnds.NVT
    echo: bool = True
    break_time: float = 0.25

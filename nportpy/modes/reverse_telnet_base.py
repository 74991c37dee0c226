"""What a reverse telnet service is told, apart from what serves it."""

from dataclasses import dataclass
from enum import StrEnum

from nportpy.network.service import ServiceSettings


class Enter(StrEnum):
    """What a client's Enter key is on the serial line. Clients send CR NUL or CR LF for it."""

    CR = "cr"  # what a terminal sends
    LF = "lf"
    CRLF = "crlf"
    AS_SENT = "as_sent"  # CR for CR NUL, CR LF for CR LF


class LineEnds(StrEnum):
    """How a CR that came from the serial line goes to clients."""

    NVT = "nvt"  # a CR without LF as CR NUL, which is what RFC 854 (page 11) demands
    UNCHANGED = "unchanged"  # for programs that do not know that


@dataclass(frozen=True, slots=True, kw_only=True)
class ReverseTelnetSettings(ServiceSettings):
    """A telnet listener for a console port.

    Attributes:
        enter: what a client's Enter key is on the serial line.
        line_ends: how a CR that came from the serial line goes to clients.
        echo: say that the device echoes (WILL ECHO). Clients then send each character as it is typed, and do not
            show it themselves; without it most of them show and send whole lines.
        break_time: seconds of the break on the serial line that a client's BREAK makes.
    """

    enter: Enter = Enter.CR
    line_ends: LineEnds = LineEnds.NVT
    echo: bool = True
    break_time: float = 0.25

"""TARGET of the command line and of stations: whom to ask, in words.

One of:

    HOST:PORT, tcp://HOST:PORT     a gateway or a device that speaks Modbus TCP; the port may be left out: 502
    rtu+tcp://HOST:PORT            RTU frames over TCP, such as a raw port of nportpy or of an NPort
    /dev/ttyUSB0                   a serial device of this machine
    rfc2217://HOST:PORT            a serial device elsewhere, whose speed and format are set from here
    tls://HOST:PORT, raws://, rfc2217s://    the first three by TLS: MODBUS/TCP Security (802), RTU frames, RFC 2217
"""

import re
from dataclasses import dataclass
from typing import Final

from nportpy.network.addresses import Endpoint
from nportpy.network.tls_settings import TlsSettings
from nportpy.protocols.modbus.mbap import PORT, SECURITY_PORT

FORMS: Final = (
    "HOST:PORT (Modbus TCP), rtu+tcp://HOST:PORT, rfc2217://HOST:PORT, by TLS tls://HOST, raws://HOST:PORT or "
    "rfc2217s://HOST:PORT, or a device such as /dev/ttyUSB0"
)

BY_TLS: Final = "tls://HOST (MODBUS/TCP Security), raws://HOST:PORT or rfc2217s://HOST:PORT"
"""Those of them that speak TLS."""

_HOST_PORT = re.compile(r"(?:\[(?P<v6>[0-9a-fA-F:.%\w]+)\]|(?P<host>[^\s:/\[\]]+))(?::(?P<port>[0-9]{1,5}))?")

_ANYBODY: Final = TlsSettings("")  # whom the system's authorities vouch for, by the name that is called


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to ask.

    Attributes:
        place: an address on the network, or a device: a path or a pyserial URL.
        rtu: the frames are RTU, not Modbus TCP; a device's always are.
        tls: how the far end is believed; None: it is spoken plainly.
    """

    place: Endpoint | str
    rtu: bool
    tls: TlsSettings | None = None

    @property
    def sets_line(self) -> bool:
        """Whether the line's speed and format are set from here."""
        return isinstance(self.place, str)

    @property
    def far(self) -> bool:
        """Whether it is reached over a network."""
        return not isinstance(self.place, str) or "://" in self.place

    @classmethod
    def parse(cls, text: str) -> "Target":
        """The target that `text` names.

        Raises:
            ValueError: it names none.
        """
        scheme, there, rest = text.partition("://")
        if not there:
            return cls(text, rtu=True) if "/" in text else cls(_endpoint(text, text, PORT), rtu=False)
        if scheme == "tcp":
            return cls(_endpoint(text, rest, PORT), rtu=False)
        if scheme == "rtu+tcp":
            return cls(_endpoint(text, rest, None), rtu=True)
        if scheme == "tls":
            return cls(_endpoint(text, rest, SECURITY_PORT), rtu=False, tls=_ANYBODY)
        if scheme == "raws":
            return cls(_endpoint(text, rest, None), rtu=True, tls=_ANYBODY)
        if scheme in ("rfc2217", "rfc2217s"):
            _endpoint(text, rest.partition("?")[0], None)
            return cls(text, rtu=True, tls=_ANYBODY if scheme == "rfc2217s" else None)
        raise ValueError(f"{text!r} is no target; a target is {FORMS}")

    def __str__(self) -> str:
        if not isinstance(self.place, Endpoint):
            return self.place
        if self.tls is not None:
            return f"{'raws' if self.rtu else 'tls'}://{self.place}"
        return f"rtu+tcp://{self.place}" if self.rtu else str(self.place)


def _endpoint(text: str, rest: str, default: int | None) -> Endpoint:
    match = _HOST_PORT.fullmatch(rest)
    if match is None:
        raise ValueError(f"{text!r} is no target; a target is {FORMS}")
    if match["port"] is None and default is None:
        raise ValueError(f"{text!r} names no TCP port")
    port = default if match["port"] is None else int(match["port"])
    if port is None or not 1 <= port <= 65535:
        raise ValueError(f"{text!r}: a TCP port is 1 to 65535")
    return Endpoint(match["v6"] or match["host"], port)

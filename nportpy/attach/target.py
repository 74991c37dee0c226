"""TARGET of `nportpy attach`: which port of which server, and what is spoken there."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from nportpy.network.addresses import Endpoint
from nportpy.network.tls_settings import TlsSettings

FORMS: Final = (
    "HOST:PORT or rfc2217://HOST:PORT, raw://HOST:PORT for plain TCP, rfc2217s:// and raws:// for these by TLS, or "
    "realcom://HOST:DATA[,COMMAND] for Real COM"
)

_PLACE = re.compile(
    r"(?:\[(?P<v6>[0-9a-fA-F:.%\w]+)\]|(?P<host>[^\s:/\[\]?#@,]+)):(?P<port>[0-9]{1,5})"
    r"(?:,(?P<command>[0-9]{1,5}))?/?"
)
_NUMBERED = (*range(950, 966), *range(982, 998))
_BEHIND = 16  # a command port lies so far behind its data port, by the numbering of the drivers


class Scheme(StrEnum):
    """What is spoken."""

    RFC2217 = "rfc2217"
    RAW = "raw"
    REALCOM = "realcom"


_BY_TLS = {Scheme.RFC2217: "rfc2217s", Scheme.RAW: "raws"}
_SCHEMES = {
    **{name: scheme for scheme, name in _BY_TLS.items()},
    "": Scheme.RFC2217,
    "rfc2217": Scheme.RFC2217,
    "raw": Scheme.RAW,
    "tcp": Scheme.RAW,
    "realcom": Scheme.REALCOM,
}


@dataclass(frozen=True, slots=True)
class Target:
    """A port of a server.

    Attributes:
        scheme: what is spoken.
        place: where; of Real COM the data connection.
        commands: where Real COM's command connection goes; None: it is not Real COM.
        tls: how the server is believed; None: it is spoken plainly.
    """

    scheme: Scheme
    place: Endpoint
    commands: Endpoint | None = None
    tls: TlsSettings | None = None

    @classmethod
    def parse(cls, text: str) -> "Target":
        """The target that `text` names.

        Raises:
            ValueError: it names none.
        """
        scheme, there, rest = text.rpartition("://")
        match = _PLACE.fullmatch(rest)
        if match is None or (there and not scheme) or scheme not in _SCHEMES:
            raise ValueError(f"{text!r} is no target; a target is {FORMS}")
        place = Endpoint(match["v6"] or match["host"], _port(text, match["port"]))
        if _SCHEMES[scheme] is not Scheme.REALCOM:
            if match["command"]:
                raise ValueError(f"{text!r}: only a target of Real COM has a command port")
            return cls(_SCHEMES[scheme], place, tls=TlsSettings("") if scheme in _BY_TLS.values() else None)
        if not match["command"] and place.port not in _NUMBERED:
            raise ValueError(f"{text!r}: data port {place.port} has no usual command port: name it, HOST:DATA,COMMAND")
        command = _port(text, match["command"]) if match["command"] else place.port + _BEHIND
        return cls(Scheme.REALCOM, place, Endpoint(place.host, command))

    @property
    def others(self) -> str:
        """What else there may be at the place, as targets, for people."""
        names = {scheme: str(scheme) for scheme in Scheme} if self.tls is None else _BY_TLS
        found = {scheme: f"{name}://{self.place}" for scheme, name in names.items()}
        if self.tls is None and self.place.port not in _NUMBERED:
            del found[Scheme.REALCOM]
        return " or ".join(text for scheme, text in found.items() if scheme is not self.scheme)

    def __str__(self) -> str:
        """As `parse` takes it."""
        name = self.scheme if self.tls is None else _BY_TLS[self.scheme]
        return f"{name}://{self.place}" + (f",{self.commands.port}" if self.commands else "")


def _port(text: str, digits: str) -> int:
    port = int(digits)
    if not 1 <= port <= 65535:
        raise ValueError(f"{text!r}: a TCP port is 1 to 65535")
    return port

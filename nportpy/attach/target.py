"""TARGET of `nportpy attach`: which port of which server, and what is spoken there."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from nportpy.network import Endpoint

FORMS: Final = "HOST:PORT or rfc2217://HOST:PORT, or raw://HOST:PORT for plain TCP"

_PLACE = re.compile(r"(?:\[(?P<v6>[0-9a-fA-F:.%\w]+)\]|(?P<host>[^\s:/\[\]?#@]+)):(?P<port>[0-9]{1,5})/?")


class Scheme(StrEnum):
    """What is spoken."""

    RFC2217 = "rfc2217"
    RAW = "raw"


_SCHEMES = {"": Scheme.RFC2217, "rfc2217": Scheme.RFC2217, "raw": Scheme.RAW, "tcp": Scheme.RAW}


@dataclass(frozen=True, slots=True)
class Target:
    """A port of a server."""

    scheme: Scheme
    place: Endpoint

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
        port = int(match["port"])
        if not 1 <= port <= 65535:
            raise ValueError(f"{text!r}: a TCP port is 1 to 65535")
        return cls(_SCHEMES[scheme], Endpoint(match["v6"] or match["host"], port))

    def __str__(self) -> str:
        return f"{self.scheme}://{self.place}"

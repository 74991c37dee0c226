"""What an RFC 2217 service is told, apart from what serves it."""

from dataclasses import dataclass
from enum import StrEnum

from nportpy.network.service import ServiceSettings


class WhoControls(StrEnum):
    """Whose settings count when several clients are there."""

    FIRST = "first"  # the client that came first; the next one when it has gone
    ANY = "any"  # whoever asks last
    NONE = "none"  # nobody: the configuration rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Rfc2217Settings(ServiceSettings):
    """An RFC 2217 listener.

    Attributes:
        control: who may change settings and modem lines.
        signature: what a client that asks for our signature gets; empty: name, version and port.
    """

    control: WhoControls = WhoControls.FIRST
    signature: str = ""

"""What a candidate would do to a gateway that runs: said before it is tried."""

from dataclasses import dataclass
from enum import StrEnum


class Becomes(StrEnum):
    """What becomes of something."""

    STAYS = "stays"
    IN_PLACE = "changes in place"
    ANEW = "starts anew"
    ENDS = "ends"
    NEW = "is new"


@dataclass(frozen=True, slots=True)
class Affected:
    """A line, a service, a station or another part.

    Attributes:
        part: line, service, http, discovery, mdns, station, upstream, archive, certificates or gateway.
        port: of a service: whose it is, a port or router.
        name: its name in the status.
        becomes: what becomes of it.
        changed: the settings in which it differs.
        clients: who loses a connection, as `address:port`.
        listen: where it will be, if that changes.
    """

    part: str
    port: str
    name: str
    becomes: Becomes
    changed: tuple[str, ...] = ()
    clients: tuple[str, ...] = ()
    listen: tuple[str, ...] = ()


Impact = tuple[Affected, ...]
"""Everything that does not just stay."""

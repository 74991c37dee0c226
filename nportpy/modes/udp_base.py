"""What a UDP service is told, apart from what serves it."""

from dataclasses import dataclass, field
from enum import StrEnum

from nportpy.network.addresses import Address, Endpoint, Group, Rings
from nportpy.network.service import Direction
from nportpy.protocols.packing import PackingSettings

MOST_DESTINATIONS = 4
"""Ranges that an NPort sends to at most."""

WIDEST_RANGE = 64
"""Addresses in a range at most (NPort 6000 manual, UDP mode)."""

LARGEST_PAYLOAD = 65507
"""Bytes in a datagram at most: 65535 less the headers of IPv4 (RFC 791) and UDP (RFC 768)."""


class Accept(StrEnum):
    """Whose datagrams go to the line, of those that `allow` lets in."""

    ANYONE = "anyone"
    DESTINATIONS = "destinations"  # addresses that we send to, from any port


@dataclass(frozen=True, slots=True)
class Range:
    """Where datagrams go: every address from `first` to `last`, or one, which may be a broadcast or multicast address.

    Attributes:
        first: the first address.
        last: the last, of the same kind and not before it; at most `WIDEST_RANGE` in all.
        port: the UDP port there.
    """

    first: Address
    last: Address
    port: int

    def __post_init__(self) -> None:
        """Refuse what is no range.

        Raises:
            ValueError: the addresses are of two kinds, in the wrong order, or too many.
        """
        if self.first.version != self.last.version:
            raise ValueError(f"{self.first} and {self.last} are not of one kind")
        count = int(self.last) - int(self.first) + 1
        if count < 1:
            raise ValueError(f"{self.last} comes before {self.first}")
        if count > WIDEST_RANGE:
            raise ValueError(f"{count} addresses are more than {WIDEST_RANGE}")

    def addresses(self) -> tuple[Address, ...]:
        """All of them."""
        others = range(1, int(self.last) - int(self.first) + 1)
        return (self.first, *(self.first + number for number in others))


@dataclass(frozen=True, slots=True, kw_only=True)
class UdpSettings:
    """Where datagrams come from, and where they go. Times are seconds, sizes are bytes.

    Attributes:
        listen: where datagrams are taken for the line, and where those of the line come from.
        allow: who may send: rings of networks (gateway, port, service); an address must be in one network of every
            ring. No ring: anyone.
        accept: whose datagrams go to the line.
        destinations: up to four ranges that hear all of the line.
        groups: multicast groups that are heard.
        multicast_interface: the network interface by which multicast leaves, by name; empty: the kernel chooses.
        multicast_ttl: how many routers, and one, a multicast datagram may pass; 1: none. 0 to 255.
        multicast_loop: whether programs on this machine hear the multicast datagrams that we send.
        max_datagram: what a datagram carries at most. 1472 fits an Ethernet frame over IPv4; over IPv6 that is 1452.
        reply_to_last: with no destination: what the line says goes to whoever spoke last.
        reply_time: for so long after it last spoke.
        packing: which bytes of the line make a datagram; by default what is read at once.
        direction: which way bytes go.
    """

    listen: tuple[Endpoint, ...]
    allow: Rings = ()
    accept: Accept = Accept.ANYONE
    destinations: tuple[Range, ...] = ()
    groups: tuple[Group, ...] = ()
    multicast_interface: str = ""
    multicast_ttl: int = 1
    multicast_loop: bool = False
    max_datagram: int = 1472
    reply_to_last: bool = False
    reply_time: float = 60.0
    packing: PackingSettings = field(default_factory=PackingSettings)
    direction: Direction = Direction.BOTH

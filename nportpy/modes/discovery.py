"""Discovery of NPorts, UDP port 4800: who this device is and which Real COM connections it has. It only reads.

A driver tears its connections down if nobody answers here while its line is idle, so this belongs to Real COM.
"""

from dataclasses import dataclass

from nportpy.network import Endpoint, Network
from nportpy.protocols import dsci


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoverySettings:
    """What searching programs and drivers are told.

    Attributes:
        listen: where it listens. Drivers ask port 4800, by IPv4; only "0.0.0.0" and "::" hear a broadcast search.
        allow: who is answered: rings of networks (gateway, discovery); an address must be in one network of every
            ring. No ring: anyone.
        name: of the server; 39 bytes of it are told.
        ap_id: what kind of device this is; with `hardware_id` one of those that a driver or search program knows, if
            it insists: protocols/dsci.py has a list. 1 to 0xFFFFFFFF.
        hardware_id: likewise, 0 to 0xFFFF.
        mac: its MAC address, 6 bytes; empty: that of the first network interface that has one. Some search programs
            only show devices whose address begins with the vendor's 00:90:E8.
        serial: its serial number, 0 to 65535.
    """

    listen: tuple[Endpoint, ...] = (Endpoint("0.0.0.0", dsci.PORT),)  # noqa: S104 - a broadcast reaches no other
    allow: tuple[tuple[Network, ...], ...] = ()
    name: str = "nportpy"
    ap_id: int = 0x4E504F52
    hardware_id: int = 0x5059
    mac: bytes = b""
    serial: int = 0

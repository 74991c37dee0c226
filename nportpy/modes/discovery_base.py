"""What discovery is told, apart from what answers."""

from dataclasses import dataclass
from typing import Final

from nportpy.network.addresses import Endpoint, Rings

PORT: Final = 4800
"""UDP port; protocols/dsci.py, which a gateway without discovery need not import, has the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoverySettings:
    """What searching programs and drivers are told.

    Attributes:
        listen: where it listens. Drivers ask port 4800; only "0.0.0.0" and "::" hear a broadcast search, and only
            "::" or an IPv6 address drivers that connect by IPv6.
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

    listen: tuple[Endpoint, ...] = (Endpoint("::", PORT),)
    allow: Rings = ()
    name: str = "nportpy"
    ap_id: int = 0x4E504F52
    hardware_id: int = 0x5059
    mac: bytes = b""
    serial: int = 0

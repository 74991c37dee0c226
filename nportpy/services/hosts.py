"""Whether a request is for this gateway by its Host header (RFC 9110, 7.2).

A page of another site can have its own name resolved to an address of ours, and its script would then be of the same
origin as our pages. Its name comes with each request, and is none of ours.
"""

import re
import socket
from collections.abc import Collection
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

from nportpy.network.addresses import address_of

_HOST: Final = re.compile(r"(?:\[(?P<address>[^\[\]]+)\]|(?P<name>[a-z0-9._-]+))(?::[0-9]{0,5})?")


def is_ours(host: str, local: str, names: Collection[str]) -> bool:
    """Whether a Host header names us.

    Args:
        host: as it came, perhaps with a port.
        local: our address of the connection.
        names: other names and addresses of ours, in lower case.
    """
    found = _HOST.fullmatch(host.lower())
    if found is None:
        return False
    name = (found["address"] or found["name"]).removesuffix(".")
    if name in names:
        return True
    try:
        address = ip_address(name.partition("%")[0])
    except ValueError:
        return found["address"] is None and (name == "localhost" or name in own_names())
    return address.is_loopback or address == address_of(local)


@lru_cache(maxsize=1)
def own_names() -> frozenset[str]:
    """The names of this machine: its host name, the first part of that, and the same in mDNS."""
    whole = socket.gethostname().lower().removesuffix(".")
    first = whole.partition(".")[0]
    return frozenset({whole, first, f"{first}.local"})

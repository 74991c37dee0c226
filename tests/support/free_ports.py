"""Ports of this machine that nobody has, and that no client is given meanwhile.

The kernel gives those who call a port of its own range (ip_local_port_range, from 32768 on): one of those may be taken
before it is listened on, and who calls again and again where nobody listens would come to speak with itself.
"""

import random
import socket
from contextlib import suppress

_BELOW = range(10_000, 32_000)
_SEEDLESS = random.SystemRandom()  # tests seed the other one alike in every process


def free_port() -> int:
    """A port that is free now for TCP and for UDP."""
    while True:
        port = _SEEDLESS.choice(_BELOW)
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp, suppress(OSError):
            for sock in (tcp, udp):
                sock.bind(("", port))
            return port


def free_ports(count: int) -> list[int]:
    """So many of them, all different."""
    found: dict[int, None] = {}
    while len(found) < count:
        found[free_port()] = None
    return list(found)

"""Who sends datagrams, and what the kernel knows of a socket for them. Linux only, see socket(7) and ip(7)."""

import contextlib
import socket
import struct
import time
from dataclasses import dataclass, field

from nportpy.network.addresses import Address, Ancillary, Endpoint, address_of
from nportpy.status import ClientStatus

_SO_MEMINFO = 55  # asm-generic/socket.h: numbers of 32 bits, the ninth of which is SK_MEMINFO_DROPS (linux/sock_diag.h)
_MEMINFO = struct.Struct("=32xI")

Name = tuple[str, int] | tuple[str, int, int, int]
"""An address and port as the socket module has them: of IPv4 or IPv6."""


@dataclass(slots=True, eq=False)
class Correspondent:
    """An address and port that datagrams come from.

    Attributes:
        peer: address and port.
        since: the time of day when it was first heard.
        received: bytes that it sent.
        sent: bytes that were sent to it, as it was it that spoke.
    """

    peer: Endpoint
    since: float = field(default_factory=time.time, kw_only=True)
    received: int = field(default=0, kw_only=True)
    sent: int = field(default=0, kw_only=True)

    def status(self) -> ClientStatus:
        """A snapshot."""
        return ClientStatus(
            address=self.peer.host,
            port=self.peer.port,
            since=self.since,
            state="open",
            received=self.received,
            sent=self.sent,
            waiting=0,
            controls=False,
        )


@dataclass(slots=True, eq=False)
class Sender(Correspondent):
    """Somebody whose datagrams went to the line.

    Attributes:
        name: its address and port, for the socket module.
        sock: where it is heard; ancillary: what came beside its last datagram.
        heard: when that was, in the loop's time.
    """

    name: Name
    sock: socket.socket
    ancillary: Ancillary = field(default_factory=list)
    heard: float = 0.0


def name_on(sock: socket.socket, address: Address, port: int) -> Name:
    """How a socket calls an address."""
    mapped = sock.family == socket.AF_INET6 and address.version == 4
    return (f"::ffff:{address}" if mapped else str(address), port)


def dropped(sock: socket.socket) -> int:
    """Datagrams that the kernel has dropped since the socket was made, as its buffer was full."""
    if sock.fileno() < 0:  # closed
        return 0
    (count,) = _MEMINFO.unpack(sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))
    return int(count)


def another(sock: socket.socket, ours: contextlib.ExitStack) -> socket.socket:
    """Another descriptor of a socket, as the last datagrams leave when the caller's is closed already."""
    try:
        return ours.enter_context(sock.dup())
    except OSError:  # out of descriptors: then those are lost
        return sock


def is_from(own: socket.socket, name: Name) -> bool:
    """Whether a datagram with this sender's name was sent by that socket."""
    here, port = own.getsockname()[:2]
    if name[1] != port:
        return False
    if not address_of(here).is_unspecified:
        return bool(here == name[0])
    with socket.socket(own.family, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((name[0], 0, *name[2:]))
        except OSError:  # not an address of this machine
            return False
    return True

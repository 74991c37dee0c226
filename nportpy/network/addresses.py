"""Addresses, who is allowed, and sockets that listen. Linux only, see ip(7) and ipv6(7)."""

import contextlib
import errno
import socket
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Self

from nportpy.errors import ListenError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Ancillary = list[tuple[int, int, bytes]]
"""What comes beside a datagram, or goes: level, kind and data of control messages, see cmsg(3)."""

_IP_FREEBIND = 15  # linux/in.h
_IP_PKTINFO = 8
_IPV6_FREEBIND = 78  # linux/in6.h
_BACKLOG = 128
_REASONS = {
    errno.EADDRINUSE: "the address is in use by another program",
    errno.EACCES: "not permitted; ports below 1024 need CAP_NET_BIND_SERVICE",
    errno.EAFNOSUPPORT: 'this machine has no IPv6; listen = "0.0.0.0" in [gateway] does without',
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address to listen on. Host "::" is dual-stack; port 0 lets the kernel choose."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Destination:
    """A host to call.

    Attributes:
        host: its name, looked up before each attempt, or its address.
        port: its TCP port.
        local_port: the port that we call from; 0: any. A host that sees a connection from a fixed port end may refuse
            the next one from there for a minute (TIME_WAIT), and so may our own kernel.
    """

    host: str
    port: int
    local_port: int = 0

    def __str__(self) -> str:
        return str(Endpoint(self.host, self.port))


@dataclass(frozen=True, slots=True)
class Group:
    """A multicast group to hear. Then `listen` must name no address, or the group's own: nothing else hears it.

    Attributes:
        address: the group's.
        interface: where: a network interface's name (eth0); empty: the kernel chooses by its routes. One that is not
            there yet is waited for.
    """

    address: Address
    interface: str = ""

    def __str__(self) -> str:
        return f"{self.address}%{self.interface}" if self.interface else str(self.address)


@dataclass(frozen=True, slots=True)
class Known:
    """Somebody at an address who is known by a certificate."""

    host: str
    port: int
    identity: str

    def __str__(self) -> str:
        return f"{Endpoint(self.host, self.port)} ({self.identity})"


def address_of(host: str) -> Address:
    """A peer's address as one compares it: no zone, and IPv4 seen through a dual-stack socket as IPv4."""
    address = ip_address(host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return address if mapped is None else mapped


def host_of(address: Address) -> Hashable:
    """What tells the host at this address from others: in IPv6 a network of 64 bits, as one host may have all of it."""
    return IPv6Network((address, 64), strict=False) if isinstance(address, IPv6Address) else address


def peer_of(name: tuple[str, int] | tuple[str, int, int, int]) -> Endpoint:
    """A peer's address and port as one writes them, from the socket module's: see `address_of`; a zone stays."""
    host = name[0]
    return Endpoint(host.removeprefix("::ffff:") if "." in host else host, name[1])


class AllowList(tuple[Network, ...]):
    """Networks of which an address must be in one.

    Attributes:
        key: where the list is written, as in `gateway.allow`.
    """

    key: str

    def __new__(cls, networks: Iterable[Network] = (), key: str = "allow") -> Self:
        """A tuple that knows its key."""
        made = super().__new__(cls, networks)
        made.key = key
        return made


Rings = tuple[tuple[Network, ...], ...]
"""Who is allowed: an address must be in one network of every ring. No ring: anyone."""


def allowed(address: Address, rings: Rings) -> bool:
    """Whether an address is in one network of every ring."""
    return all(any(address in network for network in ring) for ring in rings)


def barred_by(address: Address, rings: Rings) -> str:
    """The key of the first list that an address is not in; empty: it may come in."""
    barring = next((ring for ring in rings if not any(address in network for network in ring)), None)
    return "" if barring is None else getattr(barring, "key", "allow")


def listen(endpoint: Endpoint, beside: Iterable[socket.socket] = ()) -> socket.socket:
    """A listening socket. The address may come later than we do (IP_FREEBIND): no waiting for the network at boot.

    `beside` are listening sockets of our own on the same port, whose addresses may overlap with this one: they go on
    until they are closed, so that a service moves from one address to another without a gap.

    Raises:
        ListenError: the address is taken, not allowed or none.
    """
    return _bound(endpoint, socket.SOCK_STREAM, tuple(beside))


def listen_datagrams(endpoint: Endpoint, beside: Iterable[socket.socket] = ()) -> socket.socket:
    """A socket for datagrams, bound as `listen` binds one; what comes with `recvmsg` says where it was sent to.

    That is what `reply_from` takes: on a machine with several addresses the kernel would answer from any of them.

    Raises:
        ListenError: the address is taken, not allowed or none.
    """
    sock = _bound(endpoint, socket.SOCK_DGRAM, tuple(beside))
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    return sock


def reply_from(ancillary: Ancillary) -> Ancillary:
    """What to give `sendmsg` for an answer to what came with `ancillary`: it leaves from the address it came to.

    The interface is left to the kernel, except for addresses that mean nothing without one.
    """
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):  # struct in_pktinfo: interface, our address, header's
            return [(level, kind, bytes(4) + data[4:8] + bytes(4))]
        # struct in6_pktinfo: our address, interface. ff00::/8 is multicast, fe80::/10 link-local (RFC 4291, 2.4).
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO) and data[0] != 0xFF:
            link_local = data[0] == 0xFE and data[1] >> 6 == 0b10
            return [(level, kind, data if link_local else data[:16] + bytes(4))]
    return []


def _bound(endpoint: Endpoint, kind: socket.SocketKind, beside: tuple[socket.socket, ...]) -> socket.socket:
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    try:
        sock = socket.socket(family, kind | socket.SOCK_NONBLOCK)
    except OSError as error:
        raise ListenError(str(endpoint), _reason(error), error.errno or 0) from error
    try:
        if kind is socket.SOCK_STREAM:  # a datagram socket would share its port with other programs
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family is socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(endpoint.host != "::"))
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        with _sharing((sock, *beside) if beside else ()):
            sock.bind((endpoint.host, endpoint.port))
            if kind is socket.SOCK_STREAM:
                sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise ListenError(str(endpoint), _reason(error), error.errno or 0) from error
    return sock


def _reason(error: OSError) -> str:
    """Why an address cannot be bound, and what helps."""
    return _REASONS.get(error.errno or 0) or error.strerror or str(error)


def is_here(host: str) -> bool:
    """Whether this machine has an address now; of "::" and "0.0.0.0", groups and loopback it always has some."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.bind((host, 0))
    except socket.gaierror:  # the zone is an interface that is not there
        return False
    except OSError as error:  # others, such as having no descriptor left, tell nothing
        return error.errno not in (errno.EADDRNOTAVAIL, errno.ENODEV)
    return True


@contextlib.contextmanager
def _sharing(sockets: tuple[socket.socket, ...]) -> Iterator[None]:
    """Let these sockets share a port, and nobody else: SO_REUSEPORT counts at the moment of binding."""
    for sock in sockets:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        yield
    finally:
        for sock in sockets:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)


def local_endpoint(sock: socket.socket) -> Endpoint:
    """Where a socket really listens."""
    host, port = sock.getsockname()[:2]
    return Endpoint(host, port)

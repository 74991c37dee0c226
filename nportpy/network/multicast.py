"""Multicast on sockets for datagrams: groups that are heard, and how multicast leaves. Linux, see ip(7) and ipv6(7).

A dual-stack socket takes the options of both kinds. Network interfaces come and go, and at boot they come after us:
what cannot be had now is tried again.
"""

import asyncio
import logging
import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address

from nportpy.network.addresses import Group
from nportpy.throttle import Throttle

_IP_MULTICAST_ALL = 49  # linux/in.h: 0: hear the groups that this socket has joined, not those of other programs
_IPV6_MULTICAST_ALL = 29  # linux/in6.h
_RETRY = 5.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Leaving:
    """How multicast leaves. See `UdpSettings`."""

    interface: str
    ttl: int
    loop: bool


class Multicast:
    """The groups of some sockets, until `close`."""

    def __init__(
        self,
        sockets: Iterable[socket.socket],
        groups: Sequence[Group],
        leaving: Leaving,
        throttle: Throttle,
        **of: object,
    ) -> None:
        """Join now what can be joined. `of` says in the log whose they are."""
        self._throttle = throttle
        self._of = of
        self._undo: list[Callable[[], None]] = []
        self._timer: asyncio.TimerHandle | None = None
        wanted: list[tuple[str, Callable[[], None]]] = []
        for sock in sockets:
            for version in versions(sock):
                _set_leaving(sock, version, leaving)
                if leaving.interface:
                    wanted.append((leaving.interface, partial(_leave_by, sock, version, leaving.interface)))
                mine = (group for group in groups if group.address.version == version)
                wanted += [(str(group), partial(self._join, sock, group)) for group in mine]
        self._try(wanted)

    def close(self) -> None:
        """Leave all groups."""
        if self._timer is not None:
            self._timer.cancel()
        for undo in self._undo:
            undo()
        self._undo.clear()

    def _try(self, wanted: list[tuple[str, Callable[[], None]]]) -> None:
        """Do what can be done, and the rest later."""
        self._timer = None
        loop = asyncio.get_running_loop()
        failed = []
        for what, act in wanted:
            try:
                act()
            except OSError as error:
                failed.append((what, act))
                key = ("multicast", *self._of.values(), what, error.errno)
                if self._throttle.allow(key, loop.time()) is not None:
                    extra = self._of | {"multicast": what, "reason": error.strerror}
                    log.warning("multicast cannot be had yet, trying on", extra=extra)
        if failed:
            self._timer = loop.call_later(_RETRY, self._try, failed)

    def _join(self, sock: socket.socket, group: Group) -> None:
        index = socket.if_nametoindex(group.interface) if group.interface else 0
        if isinstance(group.address, IPv4Address):
            level, join, leave = socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.IP_DROP_MEMBERSHIP
            request = struct.pack("=4s4xi", group.address.packed, index)  # struct ip_mreqn
        else:
            level, join, leave = socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, socket.IPV6_LEAVE_GROUP
            request = struct.pack("=16si", group.address.packed, index)  # struct ipv6_mreq
        sock.setsockopt(level, join, request)
        self._undo.append(partial(_drop, sock, level, leave, request))


def versions(sock: socket.socket) -> Iterator[int]:
    """The kinds of addresses that a socket can send to."""
    if sock.family == socket.AF_INET6:
        yield 6
        if sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
            return
    yield 4


def _drop(sock: socket.socket, level: int, leave: int, request: bytes) -> None:
    try:
        sock.setsockopt(level, leave, request)
    except OSError as error:  # the interface has gone, and the membership with it
        log.debug("no group left", extra={"reason": error.strerror})


def _set_leaving(sock: socket.socket, version: int, leaving: Leaving) -> None:
    if version == 4:
        sock.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, leaving.ttl)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, leaving.loop)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MULTICAST_ALL, 0)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, leaving.ttl)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, leaving.loop)


def _leave_by(sock: socket.socket, version: int, interface: str) -> None:
    index = socket.if_nametoindex(interface)
    if version == 4:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=8xi", index))  # struct ip_mreqn
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)

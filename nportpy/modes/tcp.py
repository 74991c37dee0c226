"""Sockets: listening, keepalive and what the kernel knows of a connection. Linux only, see tcp(7) and ip(7)."""

import contextlib
import errno
import math
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nportpy.errors import ListenError
from nportpy.modes.base import Endpoint

IP_FREEBIND = 15
IPV6_FREEBIND = 78
_BACKLOG = 128
# struct tcp_info, linux/tcp.h: eight bytes, of which the first is tcpi_state and the third and fourth are
# tcpi_retransmits and tcpi_probes, then 32-bit fields, the twelfth and thirteenth of which are tcpi_last_data_recv and
# tcpi_last_ack_recv.
_TCP_INFO = struct.Struct("=Bx2B4x44x2I")
_TCP_CLOSE = 7  # net/tcp_states.h


def listen(endpoint: Endpoint, beside: Iterable[socket.socket] = ()) -> socket.socket:
    """A listening socket. The address may come later than we do (IP_FREEBIND): no waiting for the network at boot.

    `beside` are listening sockets of our own on the same port, whose addresses may overlap with this one: they go on
    until they are closed, so that a service moves from one address to another without a gap.

    Raises:
        ListenError: the address is taken, not allowed or none.
    """
    beside = tuple(beside)
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    try:
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    except OSError as error:
        raise ListenError(f"{endpoint}: {error.strerror}") from error
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family is socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(endpoint.host != "::"))
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        with _sharing((sock, *beside) if beside else ()):
            sock.bind((endpoint.host, endpoint.port))
            sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        reason = {
            errno.EADDRINUSE: "the address is in use by another program",
            errno.EACCES: "not permitted; ports below 1024 need CAP_NET_BIND_SERVICE",
        }.get(error.errno or 0, os.strerror(error.errno or 0))
        raise ListenError(f"cannot listen on {endpoint}: {reason}") from error
    return sock


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


def set_up(sock: socket.socket, alive_check: float) -> None:
    """No Nagle delay, and a peer that answers nothing for `alive_check` seconds is given up (0: never).

    TCP_USER_TIMEOUT bounds unanswered data, and data that a peer does not fetch; keepalive probes an idle connection:
    first after half the time, then each eighth of it. With both set the kernel ends the connection at the first probe
    that is due after `alive_check`. Setting up again undoes `probe_now`.
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if alive_check:
        idle = max(1, int(alive_check / 2))
        _probe(sock, idle, max(1, math.ceil((alive_check - idle) / 4)), 4, alive_check)
    else:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 0)


def probe_now(sock: socket.socket) -> None:
    """Ask the peer for a sign of life each second from now on."""
    with contextlib.suppress(OSError):
        _probe(sock, 1, 1, 2, 0)


def _probe(sock: socket.socket, idle: int, interval: int, count: int, user_timeout: float) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, min(idle, 32767))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, min(interval, 32767))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, count)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(user_timeout * 1000))


@dataclass(frozen=True, slots=True)
class PeerSilence:
    """What the kernel knows of a peer's silence.

    Attributes:
        data: seconds since the peer last sent data.
        ack: seconds since it last acknowledged anything.
        unanswered: probes or data that we have sent and sent again without an answer. A living peer that fetches
            nothing answers each probe, so it has none, however rare the probes have become.
    """

    data: float
    ack: float
    unanswered: int


def peer_silence(sock: socket.socket) -> PeerSilence | None:
    """How long the peer has been silent (TCP_INFO); None when the connection is gone.

    Nobody else tells of that while the transport does not read.
    """
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        state, retransmits, probes, data, ack = _TCP_INFO.unpack(info)
    except (OSError, struct.error):
        return None
    if state == _TCP_CLOSE:
        return None
    return PeerSilence(data / 1000, ack / 1000, retransmits + probes)

"""Sockets: listening, keepalive and what the kernel knows of a connection. Linux only, see tcp(7) and ip(7)."""

import contextlib
import errno
import os
import socket
import struct
from dataclasses import dataclass

from nportpy.errors import ListenError
from nportpy.modes.base import Endpoint

IP_FREEBIND = 15
IPV6_FREEBIND = 78
_BACKLOG = 128
# struct tcp_info, linux/tcp.h: eight bytes of flags, then 32-bit fields; these are the ones we look at.
_TCP_INFO = struct.Struct("=8x13I")
_LAST_DATA_RECEIVED, _LAST_ACK_RECEIVED = 11, 12


def listen(endpoint: Endpoint) -> socket.socket:
    """A listening socket. The address may come later than we do (IP_FREEBIND): no waiting for the network at boot.

    Raises:
        ListenError: the address is taken, not allowed or none.
    """
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


def local_endpoint(sock: socket.socket) -> Endpoint:
    """Where a socket really listens."""
    host, port = sock.getsockname()[:2]
    return Endpoint(host, port)


def set_up(sock: socket.socket, alive_check: float) -> None:
    """No Nagle delay, and a peer that answers nothing for `alive_check` seconds is given up (0: never).

    TCP_USER_TIMEOUT bounds unanswered data, keepalive probes an idle connection: first after half the time, then
    four times more. With both set the kernel ends the connection after `alive_check`.
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if alive_check:
        idle = max(1, int(alive_check / 2))
        _probe(sock, idle, max(1, int((alive_check - idle) / 4)), 4, alive_check)


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
    """Seconds since the peer last sent data, and since it last acknowledged anything."""

    data: float
    ack: float


def peer_silence(sock: socket.socket) -> PeerSilence | None:
    """How long the peer has been silent (TCP_INFO); None when the connection is gone."""
    try:
        fields = _TCP_INFO.unpack(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size))
    except (OSError, struct.error):
        return None
    return PeerSilence(fields[_LAST_DATA_RECEIVED] / 1000, fields[_LAST_ACK_RECEIVED] / 1000)

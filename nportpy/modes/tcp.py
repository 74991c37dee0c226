"""Connections: keepalive and what the kernel knows of them. Linux only, see tcp(7)."""

import contextlib
import math
import socket
import struct
from dataclasses import dataclass

# struct tcp_info, linux/tcp.h: eight bytes, of which the first is tcpi_state and the third and fourth are
# tcpi_retransmits and tcpi_probes, then 32-bit fields, the twelfth and thirteenth of which are tcpi_last_data_recv and
# tcpi_last_ack_recv.
_TCP_INFO = struct.Struct("=Bx2B4x44x2I")
_TCP_CLOSE = 7  # net/tcp_states.h


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

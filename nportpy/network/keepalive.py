"""What every TCP connection is set to, those that come in and those that go out. Linux only, see tcp(7)."""

import math
import socket


def set_up(sock: socket.socket, alive_check: float) -> None:
    """No Nagle delay, and a peer that answers nothing for `alive_check` seconds is given up (0: never).

    TCP_USER_TIMEOUT bounds unanswered data, and data that a peer does not fetch; keepalive probes an idle connection:
    first after half the time, then each eighth of it. With both set the kernel ends the connection at the first probe
    that is due after `alive_check`. Setting up again undoes what `probe` changed.
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if alive_check:
        idle = max(1, int(alive_check / 2))
        probe(sock, idle, max(1, math.ceil((alive_check - idle) / 4)), 4, alive_check)
    else:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 0)


def probe(sock: socket.socket, idle: int, interval: int, count: int, user_timeout: float) -> None:
    """Ask an idle peer for signs of life: after `idle` seconds, then every `interval`, and `count` times in vain.

    `user_timeout`: seconds after which unanswered data ends the connection; 0: as the kernel thinks best.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, min(idle, 32767))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, min(interval, 32767))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, count)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(user_timeout * 1000))


def keep_urgent_data(sock: socket.socket) -> None:
    """Leave urgent data in their place in the stream, as telnet wants it: see protocols/telnet.py."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)

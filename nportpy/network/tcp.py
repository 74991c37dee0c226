"""Connections: keepalive and what the kernel knows of them. Linux only, see tcp(7)."""

import contextlib
import socket
import struct
from dataclasses import dataclass

from nportpy.network.keepalive import keep_urgent_data, probe, set_up

__all__ = ["PeerSilence", "keep_urgent_data", "peer_silence", "probe_now", "set_up"]

# struct tcp_info, linux/tcp.h: eight bytes, of which the first is tcpi_state and the third and fourth are
# tcpi_retransmits and tcpi_probes, then 32-bit fields, the twelfth and thirteenth of which are tcpi_last_data_recv and
# tcpi_last_ack_recv.
_TCP_INFO = struct.Struct("=Bx2B4x44x2I")
_TCP_CLOSE = 7  # net/tcp_states.h


def probe_now(sock: socket.socket) -> None:
    """Ask the peer for a sign of life each second from now on."""
    with contextlib.suppress(OSError):
        probe(sock, 1, 1, 2, 0)


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

"""TLS: what a handshake, a round trip and a flood cost, beside ser2net with its own.

The client is Python's `ssl` on a blocking socket, the same for both: its own share of a round trip is in all figures.
"""

import os
import socket
import ssl
import time
from collections.abc import Sequence

from tests.bench.farend import payload
from tests.bench.gateways import PATIENCE, Running, Setup
from tests.bench.processes import BrokenError, FarEnd, cpu_seconds
from tests.bench.report import Bench, Figure, Goal, Rounds, Scale
from tests.bench.stats import percentile

_WARM_UP = 200
_HANDSHAKES = 50
_SEED, _BLOCK = 13, 65536
_PART = 4  # a part of the exchanges, and of the bulk, is enough


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _wrapped(context: ssl.SSLContext, descriptor: int) -> ssl.SSLSocket:
    link = socket.socket(fileno=os.dup(descriptor))
    link.settimeout(PATIENCE)
    return context.wrap_socket(link)


def _exchange(link: ssl.SSLSocket, count: int) -> list[float]:
    clock, took = time.perf_counter_ns, []
    for number in range(count):
        message = b"%08d" % number
        start = clock()
        link.send(message)
        reply = link.recv(256)
        while reply != message:
            if not message.startswith(reply):
                raise BrokenError(f"sent {message!r}, got {reply!r}")
            reply += link.recv(256)
        took.append((clock() - start) / 1000)
    return took


def _flood(link: ssl.SSLSocket, end: FarEnd, sent: bytes) -> float:
    received, view = bytearray(b"\xaa") * len(sent), 0
    buffer = memoryview(received)
    start = time.perf_counter()
    end.go()
    while view < len(sent):
        count = link.recv_into(buffer[view:])
        if not count:
            raise BrokenError(f"closed after {view} bytes")
        view += count
    took = time.perf_counter() - start
    if received != sent:
        raise BrokenError("wrong bytes")
    return len(sent) / took / 1e6


def _shake_hands(gateway: Running, context: ssl.SSLContext) -> float:
    """Milliseconds from the connection to the end of the handshake, as a client sees them."""
    port, took = gateway.port(2, "tls"), []
    for _ in range(_HANDSHAKES):
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as link:
            start = time.perf_counter()
            with context.wrap_socket(link):
                took.append((time.perf_counter() - start) * 1e3)
    return percentile(took, 0.5)


def _measure(gateway: Running, ends: Sequence[FarEnd], scale: Scale, started: float) -> Rounds:
    context = _context()
    echo = _wrapped(context, gateway.connect(0, "tls"))
    flood = _wrapped(context, gateway.connect(1, "tls"))
    sent = payload(_SEED, scale.bulk // _PART)
    gateway.settle()
    _exchange(echo, _WARM_UP)
    pids, count = gateway.pids(), scale.exchanges // _PART
    while True:
        before = cpu_seconds(pids)
        took = _exchange(echo, count)
        middle = cpu_seconds(pids)
        hands = _shake_hands(gateway, context)
        after = cpu_seconds(pids)
        yield {
            "tls_rtt_p50": percentile(took, 0.5),
            "tls_rtt_cpu": (middle - before) / count * 1e6,
            "tls_hands": hands,
            "tls_hands_cpu": (after - middle) / _HANDSHAKES * 1e3,
            "tls_from_line": _flood(flood, ends[1], sent),
        }


TLS = Bench(
    name="tls",
    figures=(
        Figure("tls_rtt_p50", "8-byte round trip by TLS, p50", "us"),
        Figure("tls_rtt_cpu", "the same, gateway's processor", "us"),
        Figure("tls_hands", "a handshake, as a client sees it", "ms"),
        Figure("tls_hands_cpu", "the same, gateway's processor", "ms"),
        Figure("tls_from_line", "line to TLS, flat out", "MB/s"),
    ),
    goals=(
        Goal("tls_rtt_p50", 1.0, times="tls_rtt_p50", of="ser2net"),
        Goal("tls_from_line", 1.0, least=True, times="tls_from_line", of="ser2net"),
    ),
    far_ends=lambda scale: [["echo"], ["source", _SEED, scale.bulk // _PART, _BLOCK], ["echo"]],
    measure=_measure,
    setup=Setup("tls"),
)

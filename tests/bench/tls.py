"""TLS: what a handshake, a round trip and a flood cost, beside ser2net with its own.

The client is Python's `ssl` on a blocking socket, the same for both: its own share of a round trip is in all figures.
"""

import os
import socket
import ssl
import time
from collections.abc import Sequence
from itertools import cycle

from tests.bench.farend import payload
from tests.bench.gateways import PATIENCE, Running, Setup
from tests.bench.modbus_paced import cycle_time
from tests.bench.modbusclients import QUANTITY, Pair, reads
from tests.bench.processes import BrokenError, FarEnd, cpu_seconds, megabytes
from tests.bench.report import Bench, Figure, Goal, Rounds, Scale
from tests.bench.stats import percentile

_WARM_UP = 200
_HANDSHAKES = 50
_SEED, _BLOCK = 13, 65536
_PART = 4  # a part of the exchanges, and of the bulk, is enough
_WARM, _CONNECTIONS = 4, 50  # connections; one address may have 64
_BAUDRATE, _UNIT, _REFUSAL = 115200, 1, 9  # a refusal has so many bytes


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _wrapped(context: ssl.SSLContext, descriptor: int) -> ssl.SSLSocket:
    link = socket.socket(fileno=os.dup(descriptor))
    link.settimeout(PATIENCE)
    return context.wrap_socket(link)


def _exchange(link: socket.socket, count: int) -> list[float]:
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
    plain = socket.socket(fileno=os.dup(gateway.connect(3))) if gateway.serves("raw") else None
    sent = payload(_SEED, scale.bulk // _PART)
    gateway.settle()
    _exchange(echo, _WARM_UP)
    pids, count = gateway.pids(), scale.exchanges // _PART
    while True:
        at = [cpu_seconds(pids)]
        took = _exchange(echo, count)
        at.append(cpu_seconds(pids))
        hands = _shake_hands(gateway, context)
        at.append(cpu_seconds(pids))
        figures = {
            "tls_rtt_p50": percentile(took, 0.5),
            "tls_rtt_cpu": (at[1] - at[0]) / count * 1e6,
            "tls_hands": hands,
            "tls_hands_cpu": (at[2] - at[1]) / _HANDSHAKES * 1e3,
            "tls_from_line": _flood(flood, ends[1], sent),
        }
        if plain is not None:
            before = cpu_seconds(pids)
            bare = percentile(_exchange(plain, count), 0.5)
            used = (cpu_seconds(pids) - before) / count * 1e6
            figures |= {"tls_adds": figures["tls_rtt_p50"] - bare, "tls_adds_cpu": figures["tls_rtt_cpu"] - used}
        yield figures


TLS = Bench(
    name="tls",
    figures=(
        Figure("tls_rtt_p50", "8-byte round trip by TLS, p50", "us"),
        Figure("tls_rtt_cpu", "the same, gateway's processor", "us"),
        Figure("tls_adds", "what TLS adds to a round trip, both ends, p50", "us"),
        Figure("tls_adds_cpu", "what it adds, gateway's processor", "us"),
        Figure("tls_hands", "a handshake, as a client sees it", "ms"),
        Figure("tls_hands_cpu", "the same, gateway's processor", "ms"),
        Figure("tls_from_line", "line to TLS, flat out", "MB/s"),
    ),
    goals=(
        Goal("tls_rtt_p50", 1.0, times="tls_rtt_p50", of="ser2net"),
        Goal("tls_adds", 60),
        Goal("tls_adds_cpu", 60),
        Goal("tls_from_line", 1.0, least=True, times="tls_from_line", of="ser2net"),
    ),
    far_ends=lambda scale: [["echo"], ["source", _SEED, scale.bulk // _PART, _BLOCK], ["echo"], ["echo"]],
    measure=_measure,
    setup=Setup("tls"),
)


def _held(gateway: Running, ends: Sequence[FarEnd], scale: Scale, started: float) -> Rounds:
    """Connections that do nothing; the first few load what is loaded once."""
    context = _context()
    links = [_wrapped(context, gateway.connect(0, "tls")) for _ in range(_WARM)]
    gateway.settle()
    pids = gateway.pids()
    before = megabytes(pids, "Pss")
    links += [_wrapped(context, gateway.connect(0, "tls")) for _ in range(_CONNECTIONS)]
    gateway.settle()
    yield {"tls_connection": (megabytes(pids, "Pss") - before) / _CONNECTIONS * 1000}
    for link in links:
        link.close()


TLS_MEMORY = Bench(
    name="tls-memory",
    figures=(Figure("tls_connection", "memory of a connection by TLS", "kB"),),
    goals=(Goal("tls_connection", 30),),
    far_ends=lambda _: [["echo"]],
    measure=_held,
    process_rows=True,
    fresh=True,
    setup=Setup("tls", modbus="max_clients = 1000"),
    weight=0.4,
    ours_only=True,
)


def _paced(gateway: Running, ends: Sequence[FarEnd], scale: Scale, started: float) -> Rounds:
    """One client that asks as fast as it is answered."""
    link = _wrapped(_context(), gateway.connect(service="modbus-tls"))
    pairs = cycle(reads(_UNIT, range(0, QUANTITY * 4, QUANTITY)))
    _await_line(link, next(pairs))
    gateway.settle()
    limit = 1 / cycle_time(_BAUDRATE)
    while True:
        at = [time.monotonic()]
        while at[-1] < at[0] + scale.paced_seconds:
            request, wanted = next(pairs)
            if (answer := _asked(link, request, len(wanted))) != wanted:
                raise BrokenError(f"wanted {wanted.hex()}, got {answer.hex()}")
            at.append(time.monotonic())
        yield {"modbus_tls": (len(at) - 2) / (at[-1] - at[1]) / limit * 100}


def _asked(link: ssl.SSLSocket, request: bytes, size: int) -> bytes:
    link.send(request)
    answer = link.recv(512)
    while len(answer) < size and len(answer) != _REFUSAL:
        answer += link.recv(512)
    return answer


def _await_line(link: ssl.SSLSocket, pair: Pair) -> None:
    """Until its line is open, a gateway answers with exceptions."""
    deadline = time.monotonic() + PATIENCE
    while _asked(link, pair.request, len(pair.answer)) != pair.answer:
        if time.monotonic() > deadline:
            raise BrokenError("no answer but exceptions")
        time.sleep(0.05)


MODBUS_TLS = Bench(
    name="modbus-tls",
    figures=(Figure("modbus_tls", f"Modbus by TLS at {_BAUDRATE} 8E1, one client", "% of the line", 2),),
    goals=(
        Goal("modbus_tls", 99, least=True),
        Goal("modbus_tls", 0.99, least=True, times="modbus115200_one"),
    ),
    far_ends=lambda _: [["simulated", f"--baudrate={_BAUDRATE}", "--format=8E1"]],
    measure=_paced,
    setup=Setup("modbus-tls", _BAUDRATE, "8E1"),
    weight=0.4,
)

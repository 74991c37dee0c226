"""The gateway as a TCP client and in UDP mode, beside raw: what a mode costs, and what it carries.

Each mode has a line that echoes and one that sends flat out. The harness plays the host that is called, and the peer
of the datagrams. Nobody holds datagrams back, so some of those that come flat out are lost here: what is shown is what
arrived.
"""

import socket
import struct
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.bench.clients import exchange, sink
from tests.bench.farend import payload
from tests.bench.gateways import PATIENCE, Nportpy, Running, Setup
from tests.bench.processes import BrokenError, FarEnd, cpu_seconds, program
from tests.bench.report import Bench, Figure, Goal, Rounds, Scale
from tests.bench.stats import percentile
from tests.support.free_ports import free_ports

_MODES = ("raw", "tcp_client", "udp")
_WARM_UP = 500
_SEED, _BLOCK = 9, 65536
_QUIET = 0.2  # seconds without a datagram: that was the last
_BULK = 4  # a part of the bulk is enough


class _Serving(Running):
    """A gateway whose lines have one mode each; a line has the port that the harness uses, and the gateway's own."""

    def connect(self, line: int = 0, service: str = "raw") -> int:
        if service == "raw":
            return super().connect(line)
        link = (self._called if service == "tcp_client" else self._peer)(line)
        self._stack.callback(link.close)
        link.setblocking(True)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", int(PATIENCE), 0))
        return link.fileno()

    def _called(self, line: int) -> socket.socket:
        """The host's end of a connection, once it is called."""
        with socket.create_server(("127.0.0.1", self._ports["far"][line])) as host:
            host.settimeout(PATIENCE)
            try:
                link, _ = host.accept()
            except TimeoutError:
                raise BrokenError(f"no call for line {line} within {PATIENCE:.0f} s") from None
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return link

    def _peer(self, line: int) -> socket.socket:
        link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        link.bind(("127.0.0.1", self._ports["far"][line]))
        link.connect(("127.0.0.1", self._ports["raw"][line]))
        return link


class NportpyModes(Nportpy):
    """nportpy with another mode on each line, in turn."""

    services = frozenset(("modes",))

    def start(self, stack: ExitStack, directory: Path, devices: Sequence[str], setup: Setup) -> Running:
        free = free_ports(2 * len(devices))
        ports = {"raw": free[::2], "far": free[1::2]}
        text = '[gateway]\nname = "bench"\nlisten = "127.0.0.1"\n\n[http]\nlisten = false\n'
        for number, device in enumerate(devices):
            mode = _MODES[number % len(_MODES)]
            text += (
                f'\n[port.line{number}]\ndevice = "{device}"\nbaudrate = {setup.baudrate}\n[port.line{number}.{mode}]\n'
            )
            text += f"listen = {ports['raw'][number]}\n" if mode != "tcp_client" else ""
            text += f'to = "127.0.0.1:{ports["far"][number]}"\n' if mode != "raw" else ""
        file = directory / "nportpy.toml"
        file.write_text(text)
        command = [sys.executable, "-m", "nportpy", "serve", "-c", str(file)]
        return _Serving(stack, [stack.enter_context(program(command, directory / "nportpy.log"))], ports)


def _measure(gateway: Running, ends: Sequence[FarEnd], scale: Scale, started: float) -> Rounds:
    descriptors = [gateway.connect(line, _MODES[line % len(_MODES)]) for line in range(2 * len(_MODES))]
    gateway.settle()
    echoing, sending = descriptors[: len(_MODES)], descriptors[len(_MODES) :]
    for descriptor in echoing:
        exchange(descriptor, _WARM_UP)
    pids = gateway.pids()
    while True:
        figures: dict[str, float] = {}
        for mode, descriptor in zip(_MODES, echoing, strict=True):
            before = cpu_seconds(pids)
            took = exchange(descriptor, scale.exchanges)
            figures[f"{mode}_rtt_p50"] = percentile(took, 0.5)
            figures[f"{mode}_rtt_p99"] = percentile(took, 0.99)
            figures[f"{mode}_rtt_cpu"] = (cpu_seconds(pids) - before) / scale.exchanges * 1e6
        for mode, descriptor, end in zip(_MODES, sending, ends[len(_MODES) :], strict=True):
            receive = _datagrams if mode == "udp" else _stream
            before = cpu_seconds(pids)
            figures |= receive(mode, descriptor, end, scale.bulk // _BULK)
            figures[f"{mode}_bulk_cpu"] = (cpu_seconds(pids) - before) / (scale.bulk // _BULK) * 1e9
        yield figures


def _stream(mode: str, descriptor: int, end: FarEnd, size: int) -> dict[str, float]:
    sent, received = payload(_SEED, size), bytearray(b"\xaa") * size
    start = time.perf_counter()
    end.go()
    sink(descriptor, received)
    took = time.perf_counter() - start
    if received != sent:
        raise BrokenError(f"{mode}: wrong bytes")
    return {f"{mode}_bulk": size / took / 1e6}


def _datagrams(mode: str, descriptor: int, end: FarEnd, size: int) -> dict[str, float]:
    """What comes until nothing comes any more; each datagram must be a part of what was sent, in its place."""
    sent = payload(_SEED, size)
    pieces = []
    with socket.socket(fileno=descriptor) as link:
        try:
            link.settimeout(PATIENCE)
            start = last = time.perf_counter()
            end.go()
            while True:
                pieces.append(link.recv(65536))
                last = time.perf_counter()
                link.settimeout(_QUIET)
        except TimeoutError:
            pass
        finally:
            link.settimeout(None)
            link.detach()
    place = 0
    for piece in pieces:
        place = sent.index(piece, place) + len(piece)
    arrived = sum(map(len, pieces))
    return {f"{mode}_bulk": arrived / (last - start) / 1e6, f"{mode}_lost": (1 - arrived / size) * 100}


MODES = Bench(
    name="modes",
    figures=(
        *(Figure(f"{mode}_rtt_p50", f"{mode}: 8-byte round trip, p50", "us") for mode in _MODES),
        *(Figure(f"{mode}_rtt_p99", f"{mode}: 8-byte round trip, p99", "us") for mode in _MODES),
        *(Figure(f"{mode}_rtt_cpu", f"{mode}: 8-byte round trip, gateway's processor", "us") for mode in _MODES),
        *(Figure(f"{mode}_bulk", f"{mode}: line to network, flat out", "MB/s") for mode in _MODES),
        *(Figure(f"{mode}_bulk_cpu", f"{mode}: a kilobyte flat out, gateway's processor", "us") for mode in _MODES),
        Figure("udp_lost", "udp: of that, lost on its way", "%"),
    ),
    goals=(
        Goal("tcp_client_rtt_p50", 1.1, times="raw_rtt_p50"),
        Goal("tcp_client_bulk", 0.8, least=True, times="raw_bulk"),
        Goal("udp_rtt_p50", 1.5, times="raw_rtt_p50"),
    ),
    far_ends=lambda scale: [
        *(["echo"] for _ in _MODES),
        *(["source", _SEED, scale.bulk // _BULK, _BLOCK] for _ in _MODES),
    ],
    measure=_measure,
    process_rows=True,
    setup=Setup("modes"),
    weight=2.0,
    ours_only=True,
)

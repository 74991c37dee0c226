"""Reverse telnet, Ethernet modem and pair connection beside raw: what a mode costs, and what it carries.

Each mode has a line that echoes and one that sends flat out. The harness is the telnet client, the host that a modem
calls, and the device at the near end of a pair. A pair's far end is an RFC 2217 service of the same gateway, which so
does the work of two in one process.
"""

import os
import re
import select
import socket
import struct
import subprocess
import sys
import time
import tty
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.bench.clients import exchange, sink
from tests.bench.farend import payload
from tests.bench.gateways import PATIENCE, Nportpy, Running, Setup
from tests.bench.processes import BrokenError, FarEnd, cpu_seconds, program
from tests.bench.report import Bench, Figure, Goal, Rounds, Scale
from tests.bench.stats import percentile
from tests.support.free_ports import free_ports

_MODES = ("raw", "reverse_telnet", "modem", "pair")
_DIAL = {"modem": ("dial",)}  # what a far end does before
_WARM_UP = 500
_SEED, _BLOCK = 13, 65536
_BULK = 4  # a part of the bulk is enough
_SPLIT = b"\r\0\n"  # nothing else is sent so: the NUL of CR NUL LF on the line comes after another one
_OFFERS = bytes.fromhex("ff fb 01 ff fb 03")  # reverse telnet's first words: WILL ECHO, WILL SUPPRESS-GO-AHEAD


class _Serving(Running):
    """A gateway whose lines have one mode each, with the hosts that its modems call and the near ends of its pairs."""

    def __init__(
        self,
        stack: ExitStack,
        process: subprocess.Popen[str],
        ports: Mapping[str, Sequence[int]],
        hosts: Mapping[int, socket.socket],
        near: Mapping[int, int],
    ) -> None:
        """`hosts` listen, `near` are descriptors of pseudo-terminals; both by the line's number."""
        super().__init__(stack, [process], ports)
        self._hosts = hosts
        self._near = near

    def called(self, line: int) -> int:
        """The host's end of a modem's call."""
        try:
            link, _ = self._hosts[line].accept()
        except TimeoutError:
            raise BrokenError(f"no call from line {line} within {PATIENCE:.0f} s") from None
        self._stack.callback(link.close)
        link.setblocking(True)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", int(PATIENCE), 0))
        return link.fileno()

    def near(self, line: int) -> int:
        """The device at the near end of the pair whose far end is a line."""
        return self._near[line]


class NportpyOtherModes(Nportpy):
    """nportpy with another mode on each line, in turn."""

    services = frozenset(("other-modes",))

    def start(self, stack: ExitStack, directory: Path, devices: Sequence[str], setup: Setup) -> Running:
        ports = free_ports(len(devices))
        hosts: dict[int, socket.socket] = {}
        near: dict[int, int] = {}
        text = '[gateway]\nname = "bench"\nlisten = "127.0.0.1"\n\n[http]\nlisten = false\n'
        for number, (device, port) in enumerate(zip(devices, ports, strict=True)):
            mode = _MODES[number % len(_MODES)]
            text += _port(f"line{number}", device, setup)
            match mode:
                case "modem":
                    host = hosts[number] = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
                    host.settimeout(PATIENCE)
                    text += f'[port.line{number}.modem]\nnumbers = {{ "1" = "127.0.0.1:{host.getsockname()[1]}" }}\n'
                case "pair":
                    near[number], device_here = _terminal(stack)
                    text += f"[port.line{number}.rfc2217]\nlisten = {port}\n"
                    text += _port(f"near{number}", device_here, setup)
                    text += f'[port.near{number}.pair]\nto = "127.0.0.1:{port}"\n'
                case _:
                    text += f"[port.line{number}.{mode}]\nlisten = {port}\n"
        file = directory / "nportpy.toml"
        file.write_text(text)
        command = [sys.executable, "-m", "nportpy", "serve", "-c", str(file)]
        process = stack.enter_context(program(command, directory / "nportpy.log"))
        return _Serving(stack, process, {"raw": ports}, hosts, near)


def _port(name: str, device: str, setup: Setup) -> str:
    return f'\n[port.{name}]\ndevice = "{device}"\nbaudrate = {setup.baudrate}\n'


def _terminal(stack: ExitStack) -> tuple[int, str]:
    """A pseudo-terminal: our end, and the path of the other, which stays open so that no hang-up comes between."""
    master, slave = os.openpty()
    stack.callback(os.close, master)
    stack.callback(os.close, slave)
    tty.setraw(slave)
    return master, os.ttyname(slave)


def _reach(gateway: _Serving, line: int, end: FarEnd) -> int:
    """A descriptor on which a line's data come and go, and nothing else."""
    match _MODES[line % len(_MODES)]:
        case "modem":
            end.go()
            return gateway.called(line)
        case "pair":
            return gateway.near(line)
        case "reverse_telnet":
            descriptor = gateway.connect(line)
            offers = bytearray(len(_OFFERS))
            sink(descriptor, offers)
            if offers != _OFFERS:
                raise BrokenError(f"other first words than expected: {offers.hex()}")
            return descriptor
        case _:
            return gateway.connect(line)


def _measure(gateway: Running, ends: Sequence[FarEnd], scale: Scale, started: float) -> Rounds:
    assert isinstance(gateway, _Serving)
    gateway.connect(0)
    gateway.settle()  # every line is open now, and the pairs are joined
    descriptors = [_reach(gateway, line, end) for line, end in enumerate(ends)]
    gateway.settle()
    echoing, sending = descriptors[: len(_MODES)], descriptors[len(_MODES) :]
    for mode, descriptor in zip(_MODES, echoing, strict=True):
        _first(mode, descriptor)
        exchange(descriptor, _WARM_UP)
    pids = gateway.pids()
    size = scale.bulk // _BULK
    while True:
        figures: dict[str, float] = {}
        for mode, descriptor in zip(_MODES, echoing, strict=True):
            before = cpu_seconds(pids)
            took = exchange(descriptor, scale.exchanges)
            figures[f"other_{mode}_rtt_p50"] = percentile(took, 0.5)
            figures[f"other_{mode}_rtt_p99"] = percentile(took, 0.99)
            figures[f"other_{mode}_rtt_cpu"] = (cpu_seconds(pids) - before) / scale.exchanges * 1e6
        for mode, descriptor, end in zip(_MODES, sending, ends[len(_MODES) :], strict=True):
            before = cpu_seconds(pids)
            figures[f"other_{mode}_bulk"] = _flat_out(mode, descriptor, end, size)
            figures[f"other_{mode}_bulk_cpu"] = (cpu_seconds(pids) - before) / size * 1e9
        yield figures


def _first(mode: str, descriptor: int) -> None:
    """A first exchange: a pseudo-terminal has no time limit of its own."""
    os.write(descriptor, b"01234567")
    heard = b""
    while len(heard) < 8:
        if not select.select([descriptor], [], [], PATIENCE)[0]:
            raise BrokenError(f"{mode}: no echo within {PATIENCE:.0f} s")
        piece = os.read(descriptor, 8 - len(heard))
        if not piece:
            raise BrokenError(f"{mode}: closed by the gateway")
        heard += piece
    if heard != b"01234567":
        raise BrokenError(f"{mode}: got {heard!r}")


def _flat_out(mode: str, descriptor: int, end: FarEnd, size: int) -> float:
    """MB of the line's bytes in a second."""
    sent = payload(_SEED, size)
    telnet = mode == "reverse_telnet"
    if telnet:  # RFC 854, pages 11 and 14: CR NUL, IAC IAC
        sent = re.sub(rb"\r(?!\n)", b"\r\0", sent.replace(b"\xff", b"\xff\xff"))
    received = bytearray(b"\xaa") * len(sent)
    start = time.perf_counter()
    end.go()
    sink(descriptor, received)
    took = time.perf_counter() - start
    if telnet:
        received = _joined(descriptor, received)
    if received != sent:
        raise BrokenError(f"{mode}: wrong bytes")
    return size / took / 1e6


def _joined(descriptor: int, received: bytearray) -> bytearray:
    """Telnet data with each CR LF that came in two reads of the line, and so as CR NUL LF, as if it had come in one.

    Each such NUL has kept a byte of the end back, which is fetched here.
    """
    size = len(received)
    while more := size + received.count(_SPLIT) - len(received):
        tail = bytearray(more)
        sink(descriptor, tail)
        received += tail
    return received.replace(_SPLIT, b"\r\n")


_TITLES = {"raw": "raw beside these", "reverse_telnet": "reverse telnet", "modem": "modem", "pair": "pair and RFC 2217"}

OTHER_MODES = Bench(
    name="other-modes",
    figures=(
        *(Figure(f"other_{mode}_rtt_p50", f"{_TITLES[mode]}: 8-byte round trip, p50", "us") for mode in _MODES),
        *(Figure(f"other_{mode}_rtt_p99", f"{_TITLES[mode]}: 8-byte round trip, p99", "us") for mode in _MODES),
        *(
            Figure(f"other_{mode}_rtt_cpu", f"{_TITLES[mode]}: 8-byte round trip, gateway's processor", "us")
            for mode in _MODES
        ),
        *(Figure(f"other_{mode}_bulk", f"{_TITLES[mode]}: from the line, flat out", "MB/s") for mode in _MODES),
        *(
            Figure(f"other_{mode}_bulk_cpu", f"{_TITLES[mode]}: a kilobyte flat out, gateway's processor", "us")
            for mode in _MODES
        ),
    ),
    goals=(
        Goal("other_reverse_telnet_rtt_p50", 1.5, times="other_raw_rtt_p50"),
        Goal("other_modem_rtt_p50", 1.5, times="other_raw_rtt_p50"),
        Goal("other_pair_rtt_p50", 3.0, times="other_raw_rtt_p50"),
    ),
    far_ends=lambda scale: [
        *([*_DIAL.get(mode, ()), "echo"] for mode in _MODES),
        *([*_DIAL.get(mode, ()), "source", _SEED, scale.bulk // _BULK, _BLOCK] for mode in _MODES),
    ],
    measure=_measure,
    process_rows=True,
    setup=Setup("other-modes"),
    weight=2.0,
    ours_only=True,
)

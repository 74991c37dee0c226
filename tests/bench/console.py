"""The console: what it costs while nobody looks (C2), and with ten pages open on sixteen busy lines (C4)."""

import socket
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector

from tests.bench.clients import exchange
from tests.bench.gateways import PATIENCE, Nportpy, Running, Setup
from tests.bench.processes import BrokenError, FarEnd, cpu_seconds, megabytes, program, wakeups
from tests.bench.report import Bench, Figure, Goal, Rounds, Scale
from tests.support.free_ports import free_ports

_TABS = 10
_PERIOD = 0.05
"""Seconds between two exchanges on each line: its counters have changed whenever pages are told of changes."""

_ASKED = b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAccept: application/x-ndjson\r\n\r\n"


class NportpyConsole(Nportpy):
    """nportpy with HTTP. `console`: with pages; `unseen`: two, each with half of the lines, the second with pages."""

    services = frozenset(("console", "unseen"))

    def start(self, stack: ExitStack, directory: Path, devices: Sequence[str], setup: Setup) -> Running:
        modes = ("off", "view") if setup.service == "unseen" else ("view",)
        ports, http = free_ports(len(devices)), free_ports(len(modes))
        share = len(devices) // len(modes)
        processes = []
        for place, console in enumerate(modes):
            text = '[gateway]\nname = "bench"\nlisten = "127.0.0.1"\n'
            text += f'[http]\nlisten = "127.0.0.1:{http[place]}"\nconsole = "{console}"\n'
            for number in range(place * share, (place + 1) * share):
                text += f'[port.line{number}]\ndevice = "{devices[number]}"\n'
                text += f"[port.line{number}.raw]\nlisten = {ports[number]}\n"
            file = directory / f"{console}.toml"
            file.write_text(text)
            command = [sys.executable, "-m", "nportpy", "serve", "-c", str(file)]
            processes.append(stack.enter_context(program(command, directory / f"{console}.log")))
        return Running(stack, processes, {"raw": ports, "http": http})


def _unseen(gateway: Running, ends: Sequence[FarEnd], scale: Scale, started: float) -> Rounds:
    for number in range(len(ends)):
        gateway.connect(number)
    gateway.settle()
    pids = gateway.pids()
    if len(pids) != 2:
        raise BrokenError(f"there are {len(pids)} processes, and should be 2")
    before = [(cpu_seconds([pid]), wakeups([pid])) for pid in pids]
    began = time.monotonic()
    time.sleep(scale.idle_seconds)
    lasted = time.monotonic() - began
    off, view = (
        ((cpu_seconds([pid]) - cpu) / lasted * 100, (wakeups([pid]) - woken) / lasted, megabytes([pid], "Rss"))
        for pid, (cpu, woken) in zip(pids, before, strict=True)
    )
    yield {
        "console_unseen_cpu": view[0] - off[0],
        "console_unseen_wakeups": view[1] - off[1],
        "console_unseen_rss": view[2] - off[2],
    }


def _seen(gateway: Running, ends: Sequence[FarEnd], scale: Scale, started: float) -> Rounds:
    lines = [gateway.connect(number) for number in range(len(ends))]
    gateway.settle()
    pids = gateway.pids()
    alone, memory = _used(pids, lines, scale.paced_seconds, None), megabytes(pids, "Rss")
    with DefaultSelector() as tabs, ExitStack() as stack:
        for _ in range(_TABS):
            link = stack.enter_context(socket.create_connection(("127.0.0.1", gateway.port(0, "http")), PATIENCE))
            link.sendall(_ASKED)
            tabs.register(link, EVENT_READ)
        _used(pids, lines, 1.0, tabs)  # the console is imported, and its first texts are made
        watched = _used(pids, lines, scale.paced_seconds, tabs)
        yield {
            "console_tabs_cpu": watched - alone,
            "console_tabs_rss": megabytes(pids, "Rss") - memory,
        }


def _used(pids: Sequence[int], lines: Sequence[int], seconds: float, tabs: DefaultSelector | None) -> float:
    """Percent of a core that the gateway takes for exchanges on all lines, and for what its pages are told."""
    cpu, began = cpu_seconds(pids), time.monotonic()
    due = began
    while due < began + seconds:
        for line in lines:
            exchange(line, 1)
        for key, _ in tabs.select(0) if tabs is not None else ():
            link = key.fileobj
            assert isinstance(link, socket.socket)
            if not link.recv(1 << 20):
                raise BrokenError("a page was cut off")
        due += _PERIOD
        time.sleep(max(0.0, due - time.monotonic()))
    return (cpu_seconds(pids) - cpu) / (time.monotonic() - began) * 100


CONSOLE_UNSEEN = Bench(
    name="console-unseen",
    figures=(
        Figure("console_unseen_cpu", "console that nobody opens: more processor, 8 lines idle", "% of a core", 3),
        Figure("console_unseen_wakeups", "console that nobody opens: more wake-ups", "1/s", 2),
        Figure("console_unseen_rss", "console that nobody opens: more RSS", "MB", 2),
    ),
    goals=(Goal("console_unseen_rss", 1.0), Goal("console_unseen_wakeups", 0.5)),
    far_ends=lambda scale: [["echo"]] * scale.lines,
    measure=_unseen,
    process_rows=True,
    setup=Setup("unseen"),
    fresh=True,
    weight=0.4,
    ours_only=True,
)

CONSOLE = Bench(
    name="console",
    figures=(
        Figure("console_tabs_cpu", "10 pages open on 16 busy lines: more processor", "% of a core", 2),
        Figure("console_tabs_rss", "10 pages open on 16 busy lines: more RSS", "MB"),
    ),
    goals=(Goal("console_tabs_cpu", 2.0),),
    far_ends=lambda scale: [["echo"]] * scale.lines,
    measure=_seen,
    process_rows=True,
    setup=Setup("console"),
    fresh=True,
    weight=0.4,
    ours_only=True,
)

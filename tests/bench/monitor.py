"""The live monitor in a browser (C14): 2,000 records a second, how smoothly they are shown, and in how much memory."""

import asyncio
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.bench.gateways import Nportpy, Running, Setup
from tests.bench.modbusclients import QUANTITY, await_line, exchange, reads
from tests.bench.processes import BrokenError, FarEnd, cpu_seconds, program
from tests.bench.report import Bench, Figure, Goal, Rounds, Scale
from tests.support import browser
from tests.support.free_ports import free_ports

_RECORDS = 2000
_OF_A_REQUEST = 3  # what was sent, what was heard, and what it meant
_AT_ONCE = 10

_COUNT = """(() => {
    window.frames_ = 0; window.longest = 0; window.most = 0;
    let last = performance.now();
    const step = (now) => {
        frames_ += 1; longest = Math.max(longest, now - last); last = now;
        if (frames_ % 10 === 0) most = Math.max(most, document.querySelectorAll('.row').length);
        requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
})()"""

_LOST = "fetch('api/v1/captures').then((each) => each.json()).then((all) => all[0].watchers[0].lost)"


class NportpyMonitor(Nportpy):
    """nportpy with pages, and a Modbus line without wire time."""

    services = frozenset(("monitor",))

    def start(self, stack: ExitStack, directory: Path, devices: Sequence[str], setup: Setup) -> Running:
        http, port = free_ports(2)
        file = directory / "nportpy.toml"
        file.write_text(
            f'[gateway]\nname = "bench"\nlisten = "127.0.0.1"\n[http]\nlisten = "127.0.0.1:{http}"\nconsole = "view"\n'
            f'[port.line]\ndevice = "{devices[0]}"\n[port.line.modbus]\nlisten = {port}\nsilence = "0ms"\n'
        )
        command = [sys.executable, "-m", "nportpy", "serve", "-c", str(file)]
        process = stack.enter_context(program(command, directory / "nportpy.log"))
        return Running(stack, [process], {"http": [http], "modbus": [port]})


def _measure(gateway: Running, ends: Sequence[FarEnd], scale: Scale, started: float) -> Rounds:
    if browser.PROGRAM is None:
        raise BrokenError("there is no Chromium here")
    line = gateway.connect(0, "modbus")
    pairs = reads(1, range(0, 16 * QUANTITY, QUANTITY))
    await_line(line, pairs[0])
    gateway.settle()
    stop, asked = threading.Event(), [0]

    def poll() -> None:
        due = time.monotonic()
        while not stop.is_set():
            exchange(line, pairs, _AT_ONCE)
            asked[0] += _AT_ONCE
            due += _AT_ONCE * _OF_A_REQUEST / _RECORDS
            time.sleep(max(0.0, due - time.monotonic()))

    polling = threading.Thread(target=poll)
    polling.start()
    base = f"http://127.0.0.1:{gateway.port(0, 'http')}/"
    try:
        figures = asyncio.run(_watched(base, gateway.pids(), scale.soak_seconds, asked))
    finally:
        stop.set()
        polling.join()
    yield figures


async def _watched(base: str, pids: Sequence[int], seconds: float, asked: Sequence[int]) -> dict[str, float]:
    async with browser.browser() as chromium:
        page = await chromium.page(base)
        await page.until("document.querySelector('main')?.innerText.includes('ready')")
        paint = await page.run("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        await page.run("location.hash = '#/monitor/line'")
        await page.until("document.querySelectorAll('.row').length > 10")
        await page.run(_COUNT)
        before, cpu, began = asked[0], cpu_seconds(pids), time.monotonic()
        await asyncio.sleep(seconds)
        lasted = time.monotonic() - began
        frames = await page.run("frames_") / lasted
        await page.send("HeapProfiler.collectGarbage")
        heap = (await page.send("Runtime.getHeapUsage"))["usedSize"]
        assert not page.trouble, page.trouble
        assert await page.run("!document.querySelector('button[aria-pressed=true]')"), "it has paused by itself"
        return {
            "monitor_paint": paint,
            "monitor_records": (asked[0] - before) * _OF_A_REQUEST / lasted,
            "monitor_lost": await page.run(_LOST),
            "monitor_frames": frames,
            "monitor_longest": await page.run("longest"),
            "monitor_dom": await page.run("most"),
            "monitor_heap": heap / 1e6,
            "monitor_cpu": (cpu_seconds(pids) - cpu) / lasted * 100,
        }


MONITOR = Bench(
    name="monitor",
    figures=(
        Figure("monitor_paint", "console: first paint in Chromium", "ms", 0),
        Figure("monitor_records", "monitor in Chromium: records", "1/s", 0),
        Figure("monitor_lost", "monitor in Chromium: records that it lost", "", 0),
        Figure("monitor_frames", "monitor in Chromium: frames", "1/s", 0),
        Figure("monitor_longest", "monitor in Chromium: longest frame", "ms", 0),
        Figure("monitor_dom", "monitor in Chromium: rows in the document", "", 0),
        Figure("monitor_heap", "monitor in Chromium: heap afterwards", "MB"),
        Figure("monitor_cpu", "monitor in Chromium: gateway's processor, requests included", "% of a core"),
    ),
    goals=(
        Goal("monitor_paint", 1000),
        Goal("monitor_lost", 0, always=True),
        Goal("monitor_frames", 50, least=True),
        Goal("monitor_dom", 100),
        Goal("monitor_heap", 64),
    ),
    far_ends=lambda _: [["modbus"]],
    measure=_measure,
    process_rows=True,
    setup=Setup("monitor"),
    fresh=True,
    weight=0.2,
    ours_only=True,
)

"""A chart of a week: one tag each 10 s, 60,000 samples, from the request to pixels, and who waits meanwhile."""

import asyncio
import json
import random
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

from nportpy.edge.archive import Archive
from nportpy.edge.clock import Clock
from nportpy.edge.sample import Quality, Reading
from nportpy.edge.settings import ArchiveSettings
from tests.bench.gateways import PATIENCE, Nportpy, Running, Setup
from tests.bench.processes import FarEnd, program
from tests.bench.report import Bench, Figure, Goal, Rounds, Scale
from tests.bench.stats import percentile
from tests.support import browser
from tests.support.free_ports import free_ports

_WEEK, _EVERY = 7 * 86400, 10
_TAGS = 4
_POINTS = 1140  # as many as a page of 1200 pixels asks for
_ASKED = 10


class NportpyChart(Nportpy):
    """nportpy with pages, and with an archive that is a week old."""

    services = frozenset(("chart",))

    def start(self, stack: ExitStack, directory: Path, devices: Sequence[str], setup: Setup) -> Running:
        (http,) = free_ports(1)
        asyncio.run(_week(directory / "archive.db"))
        file = directory / "nportpy.toml"
        tags = ", ".join(f'{{ name = "t{number}", at = "{40001 + number}" }}' for number in range(_TAGS))
        file.write_text(
            f'[gateway]\nname = "bench"\nlisten = "127.0.0.1"\n[http]\nlisten = "127.0.0.1:{http}"\nconsole = "view"\n'
            f'[archive]\npath = "{directory}/archive.db"\nclock = "trusted"\n[port.line]\ndevice = "{devices[0]}"\n'
            f'[station.s]\nport = "line"\nunit = 1\nevery = "1h"\ntags = [{tags}]\n'
        )
        command = [sys.executable, "-m", "nportpy", "serve", "-c", str(file)]
        process = stack.enter_context(program(command, directory / "nportpy.log"))
        return Running(stack, [process], {"http": [http]})


async def _week(path: Path) -> None:
    """An archive as a gateway leaves it that ran for a week until now."""
    now, stamp = time.time_ns(), 10**9
    clock = Clock(lambda: stamp, lambda: now - _WEEK * 10**9 + stamp, lambda: True, "last week")
    archive = Archive(ArchiveSettings(str(path)), clock)
    await archive.open()
    tags = [archive.register("s", f"t{number}", "kW", "float32").id for number in range(_TAGS)]
    chance = random.Random(5)
    for number in range(_WEEK // _EVERY):
        stamp += _EVERY * 10**9
        archive.add([Reading(tag, chance.gauss(100, 10), Quality.GOOD, clock.now()) for tag in tags])
        if number % 500 == 0:
            await archive.flush()
    await archive.close()


def _measure(gateway: Running, ends: Sequence[FarEnd], scale: Scale, started: float) -> Rounds:
    base = f"http://127.0.0.1:{gateway.port(0, 'http')}/"
    end = time.time()
    wanted = {"tag": "s/t0", "from": end - _WEEK, "to": end, "points": _POINTS}
    chart = f"{base}api/v1/archive/chart?{urlencode(wanted)}"
    _until(f"{base}readyz")
    _until(chart)
    while True:
        stop, waits = threading.Event(), list[float]()
        other = threading.Thread(target=_read_beside, args=(base, stop, waits))
        other.start()
        took = []
        try:
            for _ in range(_ASKED):
                began = time.monotonic()
                curve = _asked(chart)["curves"][0]
                took.append((time.monotonic() - began) * 1e3)
                assert curve["samples"] > 0.99 * _WEEK / _EVERY
        finally:
            stop.set()
            other.join()
        figures = {"chart_answer": percentile(took, 0.5), "chart_wait": max(waits) * 1e3}
        if browser.PROGRAM is not None:
            figures["chart_pixels"] = asyncio.run(_drawn(f"{base}#/stations?tag=s/t0&range=d7"))
        yield figures


def _read_beside(base: str, stop: threading.Event, waits: list[float]) -> None:
    """Read the newest samples again and again: what needs the archive twice."""
    while not stop.is_set():
        began = time.monotonic()
        with urlopen(f"{base}api/v1/archive/samples?from={time.time() - 1}", timeout=PATIENCE) as answer:
            answer.read()
        waits.append((time.monotonic() - began) / 2)
        time.sleep(0.002)


async def _drawn(url: str) -> float:
    """Milliseconds from the request of a page that is open until its chart is drawn."""
    async with browser.browser() as chromium:
        page = await chromium.page(url.replace("d7", "m10"))
        await page.until("!!document.querySelector('main button')")
        took = []
        for _ in range(3):
            await page.run("performance.clearMeasures(); location.hash = '#/stations?tag=s/t0&range=d7'")
            await page.until("performance.getEntriesByName('chart').length > 0")
            took.append(await page.run("performance.getEntriesByName('chart')[0].duration"))
            await page.run("location.hash = '#/stations?tag=s/t0&range=m10'")
            await asyncio.sleep(0.5)
        return percentile(took, 0.5)


def _asked(url: str) -> dict[str, Any]:
    with urlopen(url, timeout=PATIENCE) as answer:
        found = json.load(answer)
    assert isinstance(found, dict)
    return found


def _until(url: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with urlopen(url, timeout=PATIENCE):
                return
        except OSError:  # it begins
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


CHART = Bench(
    name="chart",
    figures=(
        Figure("chart_answer", f"a week's chart, one of {_TAGS} tags each {_EVERY} s: until the answer, p50", "ms", 0),
        Figure("chart_wait", "a week's chart: what another reader of the archive waits meanwhile at most", "ms", 0),
        Figure("chart_pixels", "a week's chart: from request to pixels in Chromium", "ms", 0),
    ),
    goals=(Goal("chart_answer", 300), Goal("chart_wait", 50), Goal("chart_pixels", 300)),
    far_ends=lambda _: [["echo"]],
    measure=_measure,
    process_rows=True,
    setup=Setup("chart"),
    fresh=True,
    weight=0.4,
    ours_only=True,
)

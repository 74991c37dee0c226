"""The console in a real browser: what its pages show is what the gateway, and a scripted bus, have done."""

import asyncio
import json
import os
import signal
import sys
import urllib.error
import urllib.request
from asyncio.subprocess import DEVNULL, Process
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from nportpy.console import checking
from nportpy.console.files import Files
from nportpy.modbus.settings import BusSettings, Timeout
from nportpy.port.loopback import Cable
from nportpy.protocols.modbus.rtu import Frame
from nportpy.services.http_base import HttpSettings
from tests.console.test_checking import WARNED, WRONG
from tests.support import browser
from tests.support.asking import Client, read
from tests.support.browser import Browser, Page
from tests.support.bus import Units, reply
from tests.support.editing import edited
from tests.support.free_ports import free_port
from tests.support.serving import Served, plan, raw, serving, until

pytestmark = [
    pytest.mark.peer,
    pytest.mark.real,
    pytest.mark.skipif(browser.PROGRAM is None, reason="no Chromium here"),
]

PAGES = (
    *("overview", "lines", "services", "modbus", "monitor", "stations", "upstreams", "log", "alarms"),
    *("configuration", "support", "accounts"),
)
PICTURES = os.environ.get("NPORTPY_PICTURES", "")
"""A folder for pictures of all pages, for who wants to look at them."""


def once(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """On asyncio's loop alone: it is the browser that is tried."""

    @wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        asyncio.run(test(*arguments, **named))

    return run


async def go(page: Page, place: str) -> None:
    await page.run(f"location.hash = '#/{place}'")
    await page.until(
        f"document.querySelector('nav [aria-current]').hash === '#/{place.partition('?')[0].split('/')[0]}'"
    )


async def healthy(page: Page, base: str) -> None:
    assert not page.trouble
    foreign = [url for url in page.requests if not url.startswith((base, "data:", "blob:", "about:"))]
    assert not foreign


@asynccontextmanager
async def demo(port: int, *more: str) -> AsyncIterator[Process]:
    first = free_port() // 10 * 10
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "nportpy", "demo", f"--http-port={port}", f"--modbus-port={first + 9}"),
        *(f"--raw-port={first + 1}", f"--rfc2217-port={first + 4}", *more),
        stdout=DEVNULL,
    )
    try:
        async with asyncio.timeout(90):
            while not await asyncio.to_thread(answers, port):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.1)
        yield program
    finally:
        if program.returncode is None:
            program.send_signal(signal.SIGINT)
        await program.wait()


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
            return True
    except (OSError, urllib.error.URLError):
        return False


async def prefixed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    """A proxy that has the gateway under /gw/ and takes one request for each connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        method, path, rest = head.split(b" ", 2)
        if not path.startswith(b"/gw/"):
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        there, to = await asyncio.open_connection("127.0.0.1", port)
        rest = b"\r\n".join(line for line in rest.split(b"\r\n") if not line.lower().startswith(b"connection:"))
        to.write(method + b" " + path.removeprefix(b"/gw") + b" " + rest[:-2] + b"Connection: close\r\n\r\n")
        try:
            while data := await there.read(65536):
                writer.write(data)
                await writer.drain()
        finally:
            to.close()
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


@once
async def test_c11_c1_every_page_of_the_demo_light_dark_and_on_a_phone(tmp_path: Path) -> None:
    port = free_port()
    folder = Path(PICTURES) if PICTURES else tmp_path
    async with demo(port, "--outage=4s"), browser.browser() as chromium:
        base = f"http://127.0.0.1:{port}/"
        page = await chromium.page(base)
        await page.until("document.querySelector('main').innerText.includes('ready')")
        for mode in ("light", "dark", "phone"):
            await page.look(
                *((360, 780) if mode == "phone" else (1200, 900)), dark=mode == "dark", phone=mode == "phone"
            )
            for place in PAGES:
                await go(page, place)
                await page.until("document.querySelector('main').innerText.length > 40")
                await page.picture(folder / f"{place}-{mode}.png")
                wider = await page.run("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                assert wider <= 0, (place, mode)
                assert await page.run(UNLABELLED) == [], place
                assert await page.run(PALE) == [], (place, mode)
        await page.look()
        # A chart that moves, with the outage that was and its back-fill.
        await go(page, "stations?tag=emon/power")
        await page.until("!!document.querySelector('.plot canvas')")
        await page.click("As a table")
        await page.until("document.querySelector('.charts details').innerText.includes('late')")
        await page.picture(folder / "chart-light.png")
        # The monitor explains each frame.
        await go(page, "monitor/meter")
        await page.until("document.querySelector('.rows').innerText.includes('read 41001-41026')")
        # Write, after confirmation.
        await page.run("window.confirm = (text) => { window.asked = text; return true; }")
        await go(page, "modbus")
        await page.click("Ask a unit")
        await page.click("Read")
        await page.until("document.querySelector('.actions table').innerText.includes('41001')")
        await page.click("Scan")
        await page.until("document.querySelector('.scan').innerText.includes('SIM')")
        await page.click("Stop")
        await healthy(page, base)


UNLABELLED = """[...document.querySelectorAll('button, input, select, a')]
    .filter(e => !(e.textContent.trim() || e.getAttribute('aria-label') || e.closest('label')?.textContent.trim()))
    .map(e => e.outerHTML)"""
PALE = (Path(__file__).parents[1] / "support/pale.js").read_text()


@once
async def test_c1_behind_a_path_prefix() -> None:
    port = free_port()
    async with demo(port), browser.browser() as chromium:
        proxy = await asyncio.start_server(lambda r, w: prefixed(r, w, port), "127.0.0.1", 0)
        base = f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}/gw/"
        try:
            page = await chromium.page(base)
            await page.until("document.querySelector('main').innerText.includes('ready')")
            await go(page, "stations?tag=emon/power")
            await page.until("!!document.querySelector('.plot canvas')")
            await healthy(page, base)
        finally:
            proxy.close()


@once
async def test_c5_a_gateway_that_is_killed_and_comes_back() -> None:
    port = free_port()
    async with browser.browser() as chromium:
        async with demo(port) as program:
            page = await chromium.page(f"http://127.0.0.1:{port}/")
            await page.until("document.querySelector('main').innerText.includes('ready')")
            program.kill()
            await program.wait()
            await page.until("document.querySelector('.alarm')?.innerText.startsWith('No connection since')")
            assert await page.run("document.querySelector('main').className") == "stale"
        async with demo(port):
            await page.until("!document.querySelector('.alarm') && document.querySelector('main').className === ''")


@once
async def test_c5_a_new_version_is_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    http = HttpSettings((("127.0.0.1", port),))
    raw_files = dict(Files()._raw)
    async with browser.browser() as chromium:
        async with serving(plan("bus", raw()), cables=[Cable("bus")], http=http):
            page = await chromium.page(f"http://127.0.0.1:{port}/")
            await page.until("document.querySelector('main').innerText.includes('ready')")
            old = await page.run(LOADED)
        newer = raw_files | {"texts.js": raw_files["texts.js"].replace(b'title: "nportpy"', b'title: "renewed"')}
        monkeypatch.setattr(Files, "_raw", newer)
        async with serving(plan("bus", raw()), cables=[Cable("bus")], http=http):
            await page.until("document.querySelector('.brand')?.innerText === 'renewed'")
            assert await page.run(LOADED) != old
            # A proxy that gives it the old page for ever: no page that loads itself again and again.
            await page.run("sessionStorage.setItem('assets', 'of a third version')")
            monkeypatch.setattr(Files, "hash", "of a third version")
            loads = page.requests.count(f"http://127.0.0.1:{port}/")
        async with serving(plan("bus", raw()), cables=[Cable("bus")], http=http):
            await page.until("document.querySelector('.alarm') === null")
            assert page.requests.count(f"http://127.0.0.1:{port}/") == loads


LOADED = "document.querySelector('script').src"


# A scripted bus with faults.


class Scripted:
    """A gateway in this process whose units answer by script."""

    def __init__(self, served: Served, cable: Cable) -> None:
        self.served = served
        self.cable = cable
        service = served.gateway._http._service
        assert service is not None
        self.url = f"http://{service.addresses[0]}/"

    def asker(self) -> Client:
        bus = self.served.gateway._ports["bus"].bus
        assert bus is not None
        return Client(bus)


def answer(data: bytes) -> list[tuple[float, bytes]]:
    """1 answers, 2 refuses, 3 is silent, 4 has a wrong CRC."""
    whole = reply(data)
    match data[0]:
        case 2:
            return [(0.002, Frame(2, bytes((data[1] | 0x80, 2))).encode())]
        case 3:
            return []
        case 4:
            return [(0.002, whole[:-1] + bytes((whole[-1] ^ 1,)))]
        case _:
            return [(0.002, whole)]


@asynccontextmanager
async def scripted() -> AsyncIterator[tuple[Scripted, Browser]]:
    cable = Cable("bus")
    Units(cable, answer)
    bus = BusSettings(timeout=Timeout(0.1), retries=0)
    http = HttpSettings((("127.0.0.1", 0),))
    async with (
        serving(plan("bus", raw(), bus=bus), cables=[cable], http=http) as served,
        browser.browser() as chromium,
    ):
        yield Scripted(served, cable), chromium


_REMEMBER_HEADINGS = """
const headings = new Set();
new MutationObserver(() => document.querySelectorAll("h1").forEach((each) => headings.add(each.innerText)))
  .observe(document, { childList: true, subtree: true, characterData: true });
"""


@once
async def test_c12_c13_the_monitor_shows_what_the_bus_did() -> None:
    async with scripted() as (at, chromium):
        page = await chromium.page()
        await page.send("Page.addScriptToEvaluateOnNewDocument", source=_REMEMBER_HEADINGS)
        await page.open(f"{at.url}#/monitor/bus")
        await page.until("document.querySelector('.rows').innerText.includes('Nothing has happened')")
        assert await page.run("[...headings].join()") == "Monitor"  # no other page is shown until rights are known
        await until(lambda: at.served.gateway._ports["bus"].line.tap().watchers)
        for unit in (1, 2, 3, 4, 1, 2):
            client = at.asker()
            client.ask(read(1000, 2), unit=unit)
            await client.ended()
        await page.until("document.querySelectorAll('.row.answer').length === 6")
        shown = await page.run("[...document.querySelectorAll('.row')].map(e => [e.className, e.innerText])")
        results: Counter[str] = Counter()
        for (_, _, result), count in at.served.bus("bus").requests.items():
            results[result] += count
        answers = [text for kind, text in shown if "answer" in kind]
        assert results == {"answered": 2, "exception": 2, "no_answer": 2}
        assert sum("[exception]" in text for text in answers) == results["exception"]
        assert sum("[no_answer]" in text for text in answers) == results["no_answer"]
        assert sum("41001:" in text for text in answers) == results["answered"]
        assert sum("crc" in text for _, text in shown) >= 1
        await page.fill("Unit", "2")  # the gateway filters
        await page.until("document.querySelector('.rows').innerText.includes('Nothing has happened')")
        for unit in (1, 2):
            client = at.asker()
            client.ask(read(1000, 2), unit=unit)
            await client.ended()
        await page.until("document.querySelectorAll('.row.answer').length >= 1")
        units = await page.run("[...document.querySelectorAll('.row .unit')].map(e => e.innerText)")
        assert set(units) == {"2"}
        await healthy(page, at.url)


@once
async def test_c3_c6_a_line_that_goes_and_a_client_that_is_ended() -> None:
    async with scripted() as (at, chromium):
        page = await chromium.page(f"{at.url}#/overview")
        await page.click("Everything in the status")
        await page.until("!!document.querySelector('.tree .tree')")
        keys = set(await page.run("[...document.querySelectorAll('.tree .key')].map(e => e.innerText)"))
        assert _fields(at.served.gateway.status()) <= keys
        at.cable.plugged = False
        assert at.cable.near is not None
        at.cable.near.lose()
        await page.until("document.querySelector('.alarms')?.innerText.includes('bus is lost')")
        assert "since" in await page.text(".alarms")
        assert at.served.line("bus").error in await page.text("table")  # with the reason
        assert await page.run("document.querySelector('td .state').classList.contains('bad')")
        at.cable.plugged = True
        await page.until("!document.querySelector('.alarms')")  # and it comes back
        client = await at.served.raw(port="bus")
        await go(page, "services")
        await page.click("End")
        await page.click("Do it")
        await until(lambda: client.lost)
        assert at.served.results(port="bus")["kicked"] == 1
        await healthy(page, at.url)


def _fields(status: object) -> set[str]:
    """The names of all fields that the status has anywhere."""
    from dataclasses import fields, is_dataclass

    found: set[str] = set()
    if is_dataclass(status) and not isinstance(status, type):
        for each in fields(status):
            found |= {each.name} | _fields(getattr(status, each.name))
    elif isinstance(status, tuple):
        for each in status:
            found |= _fields(each)
    return found - _SAID_OTHERWISE


_SAID_OTHERWISE = {"port", "service"}
"""What is the name of a branch instead."""


@once
async def test_the_modbus_page_says_what_the_verdict_says() -> None:
    async with scripted() as (at, chromium):
        for unit in (1, 2, *(3,) * 4, *(4,) * 4):
            client = at.asker()
            client.ask(read(1000, 2), unit=unit)
            await client.ended()
        page = await chromium.page(f"{at.url}#/modbus")
        await page.until("document.querySelector('.verdict')?.innerText.includes('Unit 3 is dead')")
        said = await page.text(".verdict")
        assert "1 is" not in said
        units = await page.run("[...document.querySelectorAll('table')][0].innerText")
        for words in ("dead", "answers", "Wrong check sum"):
            assert words in units
        assert await page.run("!!document.querySelector('caption').innerText.match(/in the last/)")
        await go(page, "overview")
        await page.until("document.querySelector('.alarms').innerText.includes('unit 3 is dead')")
        await healthy(page, at.url)


@once
async def test_c8_the_configuration_page_has_a_row_for_each_warning_and_each_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "AGAIN", 0.0)
    async with edited(tmp_path, console="view") as at, browser.browser() as chromium:
        base = f"http://127.0.0.1:{at.ports['http']}/"
        page = await chromium.page(base)
        for name, text, right in (("warned", WARNED, True), ("wrong", WRONG, False)):
            await asyncio.to_thread(at.file.write_text, text)
            await go(page, "overview")
            await go(page, "configuration")
            said = json.dumps("The file can be loaded" if right else "The file cannot be loaded")
            await page.until(
                f"[...document.querySelectorAll('[role=status]')].some(e => e.innerText.startsWith({said}))"
            )
            async with aiohttp.ClientSession() as session, session.get(f"{base}api/v1/check") as answer:
                found = await answer.json()
            assert found["ok"] == right
            warnings = await page.run(IN_SECTION % ("Allowed, and perhaps not meant", ".warnings li"))
            assert warnings == [" ".join(each.split()) for each in found["warnings"]]
            rows = await page.run(IN_SECTION % ("Faults", "tbody tr"))
            assert len(rows) == len(found["faults"])
            for row, fault in zip(rows, found["faults"], strict=True):
                assert fault["key"] in row
                assert " ".join(fault["reason"].split()) in " ".join(row.split())
            for mode in ("light", "dark", "phone"):
                size = (360, 780) if mode == "phone" else (1200, 900)
                await page.look(*size, dark=mode == "dark", phone=mode == "phone")
                wide = await page.run("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                assert wide <= 0, mode
                assert await page.run(PALE) == [], mode
                if PICTURES:
                    await page.picture(Path(PICTURES) / f"configuration-{name}-{mode}.png", whole=True)
            await page.look()
        await healthy(page, base)


IN_SECTION = """[...document.querySelectorAll('main section')].filter(e => e.querySelector('h2')?.innerText === '%s')
    .flatMap(e => [...e.querySelectorAll('%s')]).map(e => e.innerText)"""


@once
async def test_c5_c15_a_monitor_goes_on_with_a_gateway_that_began_anew_and_counts() -> None:
    """Its records are numbered anew, too: none of them is one that was seen before."""
    http = HttpSettings((("127.0.0.1", free_port()),))
    async with browser.browser() as chromium:
        page = None
        for records, seen in ((500, 500), (5, 505)):
            async with serving(plan("bus", raw()), cables=[Cable("bus")], http=http) as served:
                page = page or await chromium.page(f"http://127.0.0.1:{http.listen[0][1]}/#/monitor/bus")
                tap = served.gateway._ports["bus"].line.tap()
                await until(lambda tap=tap: tap.watchers, 30)  # type: ignore[misc]
                if records == 500:
                    await page.click("Trigger")
                    await page.fill("then", "count")
                    await page.fill("Trigger", "text:break")
                    await page.until("document.querySelector('.notice')?.innerText === 'Seen so often: 0'")
                    await asyncio.sleep(0.5)  # the stream with the other query has ended
                    await until(lambda tap=tap: tap.watchers)  # type: ignore[misc]
                for number in range(records):
                    tap.note("break", number % 2 == 0)  # type: ignore[arg-type]
                await page.until(f"document.querySelector('.notice').innerText === 'Seen so often: {seen}'")


@once
async def test_c24_a_page_shows_who_else_watches() -> None:
    async with scripted() as (at, chromium):
        page = await chromium.page(f"{at.url}#/monitor/bus")
        await page.until("document.querySelector('main').innerText.includes('Watched by')")
        headers = {"User-Agent": "anna"}
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{at.url}api/v1/ports/bus/monitor", headers=headers),
        ):
            await page.until("document.querySelector('main').innerText.includes('127.0.0.1 anna')")
        await page.until("!document.querySelector('main').innerText.includes('anna')")


@once
async def test_c14_the_heap_of_a_page_that_watches_is_bounded() -> None:
    """More rows than a page keeps, and more again: they take no more memory than those before."""
    async with scripted() as (at, chromium):
        page = await chromium.page(f"{at.url}#/monitor/bus")
        line = at.served.gateway._ports["bus"].line
        await until(lambda: line.tap().watchers)
        used = []
        for count in (22_000, 4_000, 4_000):  # what it keeps, and what drives some of that out
            for number in range(count):
                line.tap().note("break", number % 2 == 0)  # type: ignore[arg-type]
                if number % 100 == 0:  # so that the page keeps up
                    await until(lambda: all(each.place > line.tap().next_number - 500 for each in line.tap().watchers))
            await until(lambda: all(each.place == line.tap().next_number for each in line.tap().watchers))
            await page.until("document.querySelectorAll('.row').length > 10")
            await asyncio.sleep(1)
            await page.send("HeapProfiler.collectGarbage")
            used.append((await page.send("Runtime.getHeapUsage"))["usedSize"])
            assert await page.run("document.querySelectorAll('.row').length") <= 100
        assert used[2] < 1.3 * used[1], used
        assert used[2] < 64 << 20, used


@once
async def test_c14_many_rows_and_few_in_the_document() -> None:
    async with scripted() as (at, chromium):
        page = await chromium.page(f"{at.url}#/monitor/bus")
        await page.until("!!document.querySelector('.rows')")
        line = at.served.gateway._ports["bus"].line
        await until(lambda: line.tap().watchers)
        for number in range(3000):
            line.tap().note("break", number % 2 == 0)  # type: ignore[arg-type]
            if number % 100 == 0:
                await asyncio.sleep(0.02)
        await page.until("document.querySelector('.hint:last-child, .actions .hint').innerText.startsWith('3,000')")
        assert await page.run("document.querySelectorAll('.row').length") <= 100
        await page.run(  # rows that came between its going to the end and hearing of it
            "(() => { const box = document.querySelector('.rows'), all = box.querySelector('.all');"
            "all.style.height = `${all.offsetHeight + 1000}px`; box.dispatchEvent(new Event('scroll')); })()"
        )
        assert await page.run("!!document.querySelector('button[aria-pressed=false]')")
        await page.run("document.querySelector('.rows').scrollTop = 0")  # who scrolls up wants to read
        await page.until("!!document.querySelector('button[aria-pressed=true]')")
        line.tap().note("break", True)  # type: ignore[arg-type]
        await page.until("document.querySelector('.actions .hint').innerText.startsWith('3,001')")
        assert await page.run("document.querySelector('.rows').scrollTop") == 0
        await page.click("Go on")
        for _ in range(40):  # what a raw client writes at once: a row each, and none of them is a wall of text
            line.data_received(bytes(65536))
            line.tap().note("break", True)  # type: ignore[arg-type]
            await until(lambda: all(each.place == line.tap().next_number for each in line.tap().watchers))
        await page.until("document.querySelectorAll('.row.rx').length > 3")
        assert await page.run("document.querySelector('.rows').textContent.length") < 100 * 1500

"""A headless Chromium, driven over its DevTools protocol: https://chromedevtools.github.io/devtools-protocol/."""

import asyncio
import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp

from nportpy.network.tls_settings import KeyPair

PROGRAM = next((p for name in ("chromium-headless-shell", "chromium") if (p := shutil.which(name))), None)
WHOLE = shutil.which("chromium")
"""The one with certificates of its user: the headless shell shows none."""

PATIENCE = 30.0


class ScriptError(Exception):
    """What a page's script threw."""


class Page:
    """One tab.

    Attributes:
        trouble: what went wrong in it: exceptions, errors of the console, violations of the CSP.
        requests: addresses that it asked for.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.trouble: list[str] = []
        self.requests: list[str] = []
        self._socket = socket
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}

    async def listen(self) -> None:
        async for message in self._socket:
            told = json.loads(message.data)
            if "id" in told:
                waiting = self._waiting.pop(told["id"], None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(told)
            else:
                self._hear(told["method"], told["params"])

    def _hear(self, method: str, params: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.trouble.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.trouble.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    async def send(self, method: str, **params: Any) -> Any:
        number = next(self._numbers)
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(PATIENCE):
            told = await waiting
        if "error" in told:  # the page went elsewhere meanwhile, for one
            raise ScriptError(told["error"])
        return told["result"]

    async def open(self, url: str) -> None:
        await self.send("Page.navigate", url=url)

    async def run(self, script: str) -> Any:
        """The value of an expression; promises are waited for."""
        found = await self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            details = found["exceptionDetails"]
            raise ScriptError(details.get("exception", {}).get("description") or details["text"])
        return found["result"].get("value")

    async def until(self, script: str) -> Any:
        """Wait until an expression is true; its value."""
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    try:
                        if value := await self.run(script):
                            return value
                    except ScriptError:
                        pass  # what it looks for is not there yet
                    await asyncio.sleep(0.05)
        except TimeoutError:
            text = await self.run("document.body.innerText")
            raise AssertionError(f"never true: {script}\n{text}\n{self.trouble}") from None

    async def text(self, selector: str = "main") -> str:
        return str(await self.run(f"document.querySelector({json.dumps(selector)}).innerText"))

    async def click(self, label: str, within: str = "main") -> None:
        """Click the button, link or summary of that text."""
        find = (
            f"[...document.querySelector({json.dumps(within)}).querySelectorAll('button, a, summary, input')]"
            ".find(e => !e.disabled && (e.innerText || e.getAttribute('aria-label') || '').trim()"
            f" === {json.dumps(label)})"
        )
        await self.until(f"!!{find}")
        await self.run(f"{find}.click()")

    async def fill(self, label: str, text: str, within: str = "main") -> None:
        """Type into the field of that label."""
        script = (
            f"(() => {{ const e = [...document.querySelector({json.dumps(within)}).querySelectorAll('label')]"
            f".find(e => e.innerText.trim().startsWith({json.dumps(label)})).querySelector('input, select');"
            f"e.value = {json.dumps(text)};"
            "e.dispatchEvent(new Event(e.tagName === 'SELECT' ? 'change' : 'input', { bubbles: true }));"
            "return true; })()"
        )
        await self.until(script)

    async def look(self, width: int = 1200, height: int = 900, *, dark: bool = False, phone: bool = False) -> None:
        """What it is shown on."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
        await self.send("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.send("Emulation.setEmulatedMedia", features=[scheme])

    async def picture(self, path: Path, *, whole: bool = False) -> None:
        """A PNG of what is seen, or of the whole page."""
        found = await self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        await asyncio.to_thread(path.write_bytes, base64.b64decode(found["data"]))


class Browser:
    """A running Chromium."""

    def __init__(self, session: aiohttp.ClientSession, port: int, tasks: asyncio.TaskGroup) -> None:
        self._session = session
        self._port = port
        self._tasks = tasks
        self._listening: list[asyncio.Task[None]] = []

    async def page(self, url: str = "about:blank") -> Page:
        async with self._session.put(f"http://127.0.0.1:{self._port}/json/new?about:blank") as response:
            found = await response.json(content_type=None)
        page = Page(await self._session.ws_connect(found["webSocketDebuggerUrl"], max_msg_size=0))
        self._listening.append(self._tasks.create_task(page.listen()))
        for domain in ("Page", "Runtime", "Log", "Network"):
            await page.send(f"{domain}.enable")
        if url != "about:blank":
            await page.open(url)
        return page

    def close(self) -> None:
        for task in self._listening:
            task.cancel()


def _believe(folder: str, authority: str) -> None:
    """Install an authority for the user whose home this is."""
    database = f"{folder}/.pki/nssdb"
    os.makedirs(database)
    for words in (("-N", "--empty-password"), ("-A", "-t", "C,,", "-n", "plant", "-i", authority)):
        subprocess.run(["certutil", "-d", f"sql:{database}", *words], check=True, timeout=20)


@dataclass(frozen=True)
class Shown:
    """A certificate that the user shows to a site, which is an origin, without being asked which one."""

    pair: KeyPair
    site: str

    def install(self, folder: str) -> None:
        """Give it to the user whose home this is."""
        bundle, word = f"{folder}/shown.p12", "word"
        pair = ("-in", self.pair.certificate, "-inkey", self.pair.key)
        made = ("openssl", "pkcs12", "-export", *pair, "-out", bundle, "-passout", f"pass:{word}")
        taken = ("pk12util", "-d", f"sql:{folder}/.pki/nssdb", "-i", bundle, "-W", word)
        for words in (made, taken):
            subprocess.run(words, check=True, timeout=20, stdout=subprocess.DEVNULL)
        # What AutoSelectCertificateForUrls of a policy would set: a folder of policies is the whole machine's.
        always: dict[str, Any] = {f"{self.site},*": {"setting": {"filters": [{}]}}}
        settings = {"profile": {"content_settings": {"exceptions": {"auto_select_certificate": always}}}}
        os.makedirs(f"{folder}/Default")
        Path(f"{folder}/Default/Preferences").write_text(json.dumps(settings))


@asynccontextmanager
async def browser(authority: str = "", shown: Shown | None = None) -> AsyncIterator[Browser]:
    """`authority`: a file with one whose certificates it is to believe; `shown`: takes `WHOLE`."""
    program_file = PROGRAM if shown is None else WHOLE
    assert program_file is not None
    with tempfile.TemporaryDirectory(prefix="nportpy-browser-", ignore_cleanup_errors=True) as folder:
        if authority:
            _believe(folder, authority)
        if shown is not None:
            shown.install(folder)
        program = await asyncio.create_subprocess_exec(
            program_file,
            *("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--hide-scrollbars"),
            *("--disable-background-networking", "--disable-dev-shm-usage", "--no-first-run"),
            *(f"--user-data-dir={folder}", "about:blank"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, "HOME": folder},
        )
        try:
            assert program.stderr is not None
            async with asyncio.timeout(PATIENCE):
                while b"DevTools listening on" not in (line := await program.stderr.readline()):
                    assert line, "the browser ended"
            port = int(line.partition(b"127.0.0.1:")[2].partition(b"/")[0])
            async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
                draining = tasks.create_task(_drain(program.stderr))
                running = Browser(session, port, tasks)
                try:
                    yield running
                finally:
                    running.close()
                    draining.cancel()  # its children may keep the pipe longer than it
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)
            await program.wait()


async def _drain(stream: asyncio.StreamReader) -> None:
    while await stream.read(65536):
        pass

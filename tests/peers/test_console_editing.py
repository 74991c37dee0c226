"""The configuration changed in a real browser: as text and by value, tried, confirmed; a page that cuts itself off."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.peers.test_console import PALE, PICTURES, UNLABELLED, healthy, once
from tests.support import browser
from tests.support.browser import Page
from tests.support.editing import At, edited
from tests.support.serving import until

pytestmark = [
    pytest.mark.peer,
    pytest.mark.real,
    pytest.mark.skipif(browser.PROGRAM is None, reason="no Chromium here"),
]

AREA = "document.querySelector('.source textarea')"


async def typed(page: Page, text: str) -> None:
    await page.run(f"{AREA}.value = {json.dumps(text)}; {AREA}.dispatchEvent(new Event('input', {{ bubbles: true }}))")


async def said(page: Page, text: str, within: str = "main") -> None:
    await page.until(f"document.querySelector({json.dumps(within)})?.innerText.includes({json.dumps(text)})")


async def opened(at: At, chromium: browser.Browser) -> Page:
    page = await chromium.page(f"http://127.0.0.1:{at.ports['http']}/#/configuration")
    await page.until(f"{AREA}?.value.startsWith('# Comments stay.')")
    await said(page, "Nothing: it is the file.")
    return page


@once
async def test_c26_c27_c28_c30_edit_faults_diff_apply_and_confirm(tmp_path: Path) -> None:
    folder = Path(PICTURES) if PICTURES else tmp_path
    (tmp_path / "etc").mkdir()
    async with edited(tmp_path / "etc") as at, browser.browser() as chromium:
        client = await at.raw(port="a")
        page = await opened(at, chromium)
        await typed(page, at.text(("max_clients = 4", "max_clients = 0"), ('device = "/dev/b"', "devise = 5")))
        await page.click("Check")
        await page.until("document.querySelectorAll('.faults li').length === 3")
        marks = await page.run("[...document.querySelectorAll('.source .fault')].map(e => Number(e.innerText))")
        rows = (await page.run(f"{AREA}.value")).splitlines()
        assert ["max_clients = 0" in rows[marks[0] - 1], "devise = 5" in " ".join(rows[line - 1] for line in marks)]
        await page.click(f"Line {marks[0]}")
        assert await page.run(f"{AREA}.value.slice({AREA}.selectionStart, {AREA}.selectionEnd)") == "max_clients = 0"
        await page.picture(folder / "editing-faults.png", whole=True)
        await page.click("Read the file again")
        await said(page, "Nothing: it is the file.")
        # Value by value.
        await page.click("Single values")
        await page.run(
            "(() => { const e = document.querySelector('[aria-label=\"port.a.raw.listen\"]');"
            f"e.value = '{at.ports['spare']}'; e.dispatchEvent(new Event('input', {{ bubbles: true }})); }})()"
        )
        await page.click("Into the text")
        await said(page, f"+listen = {at.ports['spare']}", ".diff")
        wanted = at.text((f"listen = {at.ports['a']}\n", f"listen = {at.ports['spare']}\n"))
        assert await page.run(f"{AREA}.value") == wanted
        host, port = client.transport.get_extra_info("sockname")
        await said(page, f"{host}:{port}")
        await said(page, "starts anew")
        for mode in ("light", "dark", "phone"):
            await page.look(
                *((360, 780) if mode == "phone" else (1200, 900)), dark=mode == "dark", phone=mode == "phone"
            )
            await page.picture(folder / f"editing-{mode}.png", whole=True)
            wider = await page.run("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wider <= 0, mode
            assert await page.run(UNLABELLED) == [], mode
            assert await page.run(PALE) == [], mode
        await page.look()
        await page.fill("Why", "the old port is taken")
        await page.click("Apply")
        await said(page, "the old port is taken", ".trial")
        await until(lambda: client.lost)
        assert at.file.read_text() != wanted
        await page.picture(folder / "editing-trial.png")
        other = await chromium.page(f"http://127.0.0.1:{at.ports['http']}/#/overview")  # from another page
        await said(other, "the old port is taken", ".trial")
        await other.click("Confirm", ".trial")
        await page.until("!document.querySelector('.trial')")
        assert at.file.read_text() == wanted
        await said(page, "Nothing: it is the file.")
        await said(page, "confirmed")
        await healthy(page, f"http://127.0.0.1:{at.ports['http']}/")


@once
async def test_c30_a_page_that_cuts_itself_off_comes_back_by_itself(tmp_path: Path) -> None:
    folder = Path(PICTURES) if PICTURES else tmp_path
    (tmp_path / "etc").mkdir()
    async with edited(tmp_path / "etc") as at, browser.browser() as chromium:
        apply = at.editor.apply

        async def sooner(*arguments: Any, **named: Any) -> Any:
            return await apply(*arguments, **named | {"window": 3.0})

        at.editor.apply = sooner  # type: ignore[method-assign]
        whole = at.file.read_bytes().replace(b"\n", b"\r\n")
        at.file.write_bytes(whole)
        page = await opened(at, chromium)
        there, away = at.ports["http"], at.ports["spare"]
        await typed(page, at.text((f"127.0.0.1:{there}", f"127.0.0.1:{away}")))
        await page.click("Check")
        await said(page, f"127.0.0.1:{away}", ".diff")
        lines = await page.run("[...document.querySelectorAll('.diff .added, .diff .gone')].length")
        assert lines == 4  # the lines' ends stay
        await page.click("Apply")
        await said(page, f"http://127.0.0.1:{away}/#/configuration", ".trial")
        await page.picture(folder / "editing-cut-off.png")
        await said(page, "it went back")
        await page.until("!document.querySelector('.trial') && !document.querySelector('.alarm')")
        assert at.file.read_bytes() == whole
        # Somebody edits the file on disk: nothing of theirs is lost.
        at.file.write_text(at.text(("pi-07", "pi-08")))
        await page.click("Check")
        await page.click("Apply")
        await said(page, "Somebody else has changed the file")
        await said(page, '-name = "pi-08"')

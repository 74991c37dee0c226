"""Accounts with programs that nobody here wrote: Chromium, curl with a certificate, a Prometheus with a token."""

import asyncio
import json
import os
import shutil
import urllib.request
from pathlib import Path

import pytest

from nportpy.accounts import changing
from nportpy.accounts.roles import Extra, Role
from nportpy.network.tls_settings import Clients
from nportpy.port.loopback import Cable
from nportpy.services.http_base import HttpSettings
from tests.peers.test_console import once
from tests.support import browser
from tests.support.free_ports import free_port
from tests.support.serving import plan, raw, serving
from tests.support.tls import Plant, table

pytestmark = [pytest.mark.peer, pytest.mark.real]

GOOD = "correct horse battery"
PICTURES = os.environ.get("NPORTPY_PICTURES", "")


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"no {program} here")


async def run(*command: str) -> tuple[int, str]:
    program = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(30):
        output, _ = await program.communicate()
    assert program.returncode is not None
    return program.returncode, output.decode()


@pytest.mark.skipif(browser.PROGRAM is None, reason="no Chromium here")
@once
async def test_s21_a_browser_logs_in_gets_what_its_role_may_and_logs_out(tmp_path: Path) -> None:
    path = str(tmp_path / "accounts.json")
    changing.add(path, "anna", Role.ADMIN, [], GOOD)
    changing.add(path, "bob", Role.VIEWER, [Extra.MONITOR], GOOD)
    port = free_port()
    settings = HttpSettings((("127.0.0.1", port),), accounts=path)
    async with serving(plan("cable", raw()), cables=[Cable()], http=settings), browser.browser() as chromium:
        page = await chromium.page(f"http://localhost:{port}/")

        async def picture(name: str) -> None:
            if PICTURES:
                await page.picture(Path(PICTURES) / f"{name}.png", whole=True)

        async def log_in(name: str, password: str) -> None:
            await page.until("!!document.querySelector('input[name=password]')")
            await page.run(
                f"document.querySelector('input[name=name]').value = {json.dumps(name)};"
                f"document.querySelector('input[name=password]').value = {json.dumps(password)};"
                "document.querySelector('form button').click();"
            )

        await log_in("bob", "another password")
        await page.until("document.querySelector('main .alarm')?.innerText.includes('name or password is wrong')")
        await picture("login")
        await asyncio.sleep(1.1)  # a wrong password is waited for
        await log_in("bob", GOOD)
        await page.until("!!document.querySelector('button.who') && !!document.querySelector('nav')")
        pages = await page.run("[...document.querySelectorAll('nav a')].map(e => e.innerText)")
        assert ("Log" in pages, "Accounts" in pages) == (True, False)
        await picture("viewer")
        call = (
            "fetch('/api/v1/lines/cable/reopen', {method: 'POST', body: '{}',"
            "headers: {'Content-Type': 'application/json'}}).then(r => r.status)"
        )
        assert await page.run(call) == 403
        assert await page.run("document.cookie") == ""  # no script sees it
        await page.click("Log out", "header")
        await log_in("anna", GOOD)
        await page.until("[...document.querySelectorAll('nav a')].some(e => e.innerText === 'Accounts')")
        await page.run("location.hash = '#/accounts'")
        await page.until("document.querySelector('main').innerText.includes('bob')")
        await page.run(
            "(() => { const f = document.querySelectorAll('main form')[1]; f.elements.name.value = 'scrape';"
            "f.querySelector('button').click(); })()"
        )
        token = await page.until("document.querySelector('main .notice code')?.innerText")
        assert token.startswith("np_")
        await picture("accounts")
        assert await page.run(call) == 200
        await page.look(390, 844, phone=True)
        await picture("accounts-phone")
        await page.click("Log out", "header")
        await page.until("!!document.querySelector('input[name=password]')")
        await page.until("fetch('/api/v1/status').then(r => r.status === 401)")
        wrong = [each for each in page.trouble if "401" not in each and "403" not in each]
        assert not wrong


@needs("curl")
@needs("openssl")
@once
async def test_s25_curl_with_a_certificate_and_without_once_it_is_revoked(tmp_path: Path) -> None:
    plant = Plant(tmp_path)
    server, anna = plant.pair("server"), plant.client("anna", "Operator")
    crl = plant.revoke()
    settings = table(plant, server, clients=Clients.OPTIONAL, crl=crl)
    port = free_port()
    http = HttpSettings((("127.0.0.1", port),), tls=settings.name, accounts=str(tmp_path / "none.json"))
    async with serving(plan("cable", raw()), cables=[Cable()], http=http, tls=(settings,)) as served:
        shown = ("--cacert", settings.ca or "", "--cert", anna.files.certificate, "--key", anna.files.key)
        url = f"https://localhost:{port}/api/v1/"
        code, output = await run("curl", "-sS", *shown, url + "session")
        assert code == 0, output
        assert json.loads(output)["name"] == "CN=anna"
        send = ("-H", "Content-Type: application/json", "-d", '{"text": "x"}', url + "lines/cable/send")
        code, output = await run("curl", "-sS", *shown, *send)
        assert code == 0, output
        assert json.loads(output).get("status") != 403
        plant.revoke("anna")
        await served.gateway.reload(served.gateway._settings)
        code, output = await run("curl", "-sS", *shown, url + "session")
        assert code, output


@needs("chromium")
@needs("certutil")
@needs("openssl")
@once
async def test_s25_a_browser_with_a_certificate_gets_in_without_a_password_until_it_is_revoked(tmp_path: Path) -> None:
    path = str(tmp_path / "accounts.json")
    changing.add(path, "bob", Role.ADMIN, [], GOOD)
    plant = Plant(tmp_path)
    server, anna = plant.pair("server"), plant.client("anna", "Operator")
    settings = table(plant, server, clients=Clients.OPTIONAL, crl=plant.revoke())
    port = free_port()
    http = HttpSettings((("127.0.0.1", port),), tls=settings.name, accounts=path)
    site = f"https://localhost:{port}"
    async with (
        serving(plan("cable", raw()), cables=[Cable()], http=http, tls=(settings,)) as served,
        browser.browser(settings.ca, browser.Shown(anna.files, site)) as chromium,
    ):
        page = await chromium.page(f"{site}/")
        await page.until("!!document.querySelector('nav')")
        assert not await page.run("!!document.querySelector('input[name=password]')")
        who = await page.run("fetch('/api/v1/session').then(r => r.json())")
        assert (who["name"], who["how"], who["rights"]) == ("CN=anna", "certificate", ["act", "look", "open"])
        call = (
            "fetch('/api/v1/%s', {method: 'POST', body: '{}', headers: {'Content-Type': 'application/json'}})"
            ".then(r => r.status)"
        )
        assert await page.run(call % "lines/cable/reopen") == 200
        assert await page.run(call % "config/check") == 403
        plant.revoke("anna")
        await served.gateway.reload(served.gateway._settings)
        await page.until("fetch('/api/v1/session').then(() => false, () => true)")
        await page.open(f"{site}/")
        await page.until("location.href.startsWith('chrome-error:')")


@needs("prometheus")
@once
async def test_s26_a_prometheus_scrapes_with_a_token(tmp_path: Path) -> None:
    path = str(tmp_path / "accounts.json")
    token = changing.add_token(path, "prometheus", Role.VIEWER, [], None)
    (tmp_path / "token").write_text(token + "\n")
    port, own = free_port(), free_port()
    (tmp_path / "prometheus.yml").write_text(
        f"""
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: with
    authorization: {{credentials_file: {tmp_path}/token}}
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
  - job_name: without
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""
    )

    def up() -> dict[str, str]:
        with urllib.request.urlopen(f"http://127.0.0.1:{own}/api/v1/query?query=up", timeout=5) as answer:
            found = json.load(answer)["data"]["result"]
        return {each["metric"]["job"]: each["value"][1] for each in found}

    async with serving(
        plan("cable", raw()), cables=[Cable()], http=HttpSettings((("127.0.0.1", port),), accounts=path)
    ):
        program = await asyncio.create_subprocess_exec(
            *("prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"),
            f"--web.listen-address=127.0.0.1:{own}",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(40):
                while True:
                    try:
                        if (found := await asyncio.to_thread(up)).keys() == {"with", "without"}:
                            break
                    except OSError:
                        pass
                    await asyncio.sleep(0.2)
            assert found == {"with": "1", "without": "0"}
        finally:
            program.terminate()
            await program.wait()

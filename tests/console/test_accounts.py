"""Accounts on a gateway: who may what, by session and by token, and that nothing goes past the gate."""

import asyncio
import io
import json
import logging
import os
import secrets
import time
import zipfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nportpy.accounts import changing, passwords
from nportpy.accounts.roles import Extra, Role
from nportpy.accounts.sessions import IDLE, LONGEST
from nportpy.services import logins
from nportpy.services.http_base import HttpSettings
from nportpy.services.logs import JsonFormatter, TextFormatter
from tests.console.test_api import At, consoled
from tests.support.api import Answered
from tests.support.handed import hand
from tests.support.http_streams import asking
from tests.support.serving import until

GOOD = "correct horse battery"
OWN: dict[str, Any] = {"Sec_Fetch_Site": "same-origin"}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(passwords, "_COST", 4)
    monkeypatch.setattr(passwords, "NOBODY", passwords.hashed("nobody's"))
    return str(tmp_path / "accounts.json")


@asynccontextmanager
async def guarded(path: str) -> AsyncIterator[At]:
    async with consoled(HttpSettings((("127.0.0.1", 0),), accounts=path)) as at:
        yield at


async def log_in(at: At, name: str = "anna", password: str = GOOD) -> Answered:
    return await at.call("/api/v1/session", {"name": name, "password": password}, **OWN)


def cookie(answer: Answered) -> dict[str, str]:
    return {"Cookie": answer.headers["set-cookie"].split(";")[0]} | OWN


async def session(at: At, name: str = "anna") -> dict[str, str]:
    """Headers of somebody who has logged in. `call` gives headers in lower case, and a cookie is not."""
    logins = _gate(at).logins
    account = logins.accounts.account(name)
    return {"Cookie": f"nportpy={logins.sessions.begin(account, asyncio.get_running_loop().time())}"} | OWN


def _gate(at: At) -> Any:
    service: Any = at.served.gateway._http._service
    return service._site._gate


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_s16_without_an_account_all_is_as_it_was(path: str) -> None:
    async with guarded(path) as at:
        assert (await at.call("/api/v1/lines/cable/send", {"text": "x"})).status == 200
        assert (await at.call("/api/v1/status", Via="1.1 proxy")).status == 200
        assert (await at.call("/api/v1/log", Via="1.1 proxy")).status == 403
        refused = await log_in(at)
        assert (refused.status, refused.json()["detail"]) == (403, "there is no account: nportpy user add NAME")
        assert (await at.call("/api/v1/session")).json()["how"] == "local"


async def test_s16_with_one_nobody_may_anything_without_it_and_no_reload_is_needed(path: str) -> None:
    async with guarded(path) as at:
        await at.call("/api/v1/status")
        changing.add(path, "anna", Role.ADMIN, [], GOOD)
        for page in ("/metrics", "/api/v1/status", "/readings", "/api/v1/openapi.json", "/api/v1/events"):
            answer = await at.call(page)
            assert (answer.status, answer.headers["www-authenticate"]) == (401, 'bearer realm="nportpy"'), page
            assert answer.json()["detail"] == "log in first"
        for page in ("/healthz", "/readyz"):
            assert (await at.call(page)).status == 200
        assert (await at.call("/", Accept="text/html")).status == 200
        assert (await at.call("/")).status == 401  # what there is, for programs
        changing.remove(path, "anna")
        assert (await at.call("/metrics")).status == 200


async def test_s16_a_file_that_is_gone_opens_nothing(path: str) -> None:
    changing.add(path, "anna", Role.ADMIN, [], GOOD)
    async with guarded(path) as at:
        assert (await at.call("/metrics")).status == 401
        os.rename(path, f"{path}.away")
        answer = await at.call("/metrics")
        assert (answer.status, answer.json()["detail"]) == (401, "accounts cannot be read; the log says why")
        os.rename(f"{path}.away", path)
        assert (await log_in(at)).status == 200


async def test_s28_what_is_kept_outlives_a_change_of_addresses(path: str) -> None:
    changing.add(path, "anna", Role.ADMIN, [], GOOD)
    async with guarded(path) as at:
        assert (await log_in(at, password="in vain, surely")).status == 401
        settings = at.served.gateway.now()
        assert settings.http is not None
        await at.served.gateway.reload(replace(settings, http=replace(settings.http, names=frozenset({"pi"}))))
        events = (await at.call("/api/v1/audit", **await session(at))).json()["records"]
        assert [each["event"] for each in events if each.get("result") == "failed"] == ["login"]
        numbers = [each["number"] for each in events]
        assert numbers == sorted(set(numbers))


@pytest.mark.parametrize("bad", [b"", b"{}", b"\xff"])
async def test_s16_a_file_that_cannot_be_read_lets_nobody_in(path: str, bad: bytes) -> None:
    with open(path, "wb") as file:  # noqa: ASYNC230 - a test
        file.write(bad)
    os.chmod(path, 0o600)
    async with guarded(path) as at:
        answer = await at.call("/api/v1/status")
        assert (answer.status, answer.json()["detail"]) == (401, "accounts cannot be read; the log says why")
        assert (await log_in(at)).status == 403
        assert (await at.call("/healthz")).status == 200


async def test_s21_a_session_from_login_to_logout(path: str) -> None:
    changing.add(path, "anna", Role.OPERATOR, [Extra.MONITOR], GOOD)
    async with guarded(path) as at:
        answer = await log_in(at)
        assert answer.status == 200
        assert answer.json()["rights"] == ["act", "look", "monitor", "open"]
        kept = answer.headers["set-cookie"]
        assert kept.startswith("nportpy=")
        assert {"httponly", "samesite=strict", "path=/"} <= set(kept.split("; "))
        assert "max-age" not in kept
        headers = await session(at)
        assert (await at.call("/api/v1/session", **headers)).json()["name"] == "anna"
        assert (await at.call("/api/v1/lines/cable/send", {"text": "x"}, **headers)).status == 200
        refused = await at.call("/api/v1/audit", **headers)
        assert (refused.status, refused.json()["detail"]) == (403, "anna may not: it takes the right to audit")
        assert (await at.call("/api/v1/session", method="DELETE", **headers)).status == 200
        assert (await at.call("/api/v1/status", **headers)).status == 401


async def test_s21_nobody_chooses_the_session_of_another_one_and_a_new_login_ends_the_one_before(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    # `call` gives headers in lower case.

    def token(size: int) -> str:
        asked.append(size)
        return f"{len(asked):043}"

    monkeypatch.setattr(secrets, "token_urlsafe", token)
    changing.add(path, "anna", Role.OPERATOR, [], GOOD)
    changing.add(path, "bob", Role.VIEWER, [], GOOD)
    async with guarded(path) as at:
        planted = {"Cookie": "nportpy=chosen-by-somebody-else"} | OWN
        answer = await at.call("/api/v1/session", {"name": "anna", "password": GOOD}, **planted)
        first = cookie(answer)
        assert answer.status == 200
        assert asked == [32]
        assert (await at.call("/api/v1/status", **planted)).status == 401
        second = cookie(await at.call("/api/v1/session", {"name": "bob", "password": GOOD}, **first))
        assert second != first
        assert (await at.call("/api/v1/session", **second)).json()["name"] == "bob"
        assert (await at.call("/api/v1/status", **first)).status == 401
        # In vain: who cannot log in does not end another's.
        await at.call("/api/v1/session", {"name": "anna", "password": "in vain, surely"}, **second)
        assert (await at.call("/api/v1/status", **second)).status == 200


async def test_s21_however_busy_it_is_it_ends_after_twelve_hours(path: str) -> None:
    changing.add(path, "anna", Role.VIEWER, [], GOOD)
    async with guarded(path) as at:
        headers = await session(at)
        for _ in range(int(LONGEST / (IDLE - 60))):
            await asyncio.sleep(IDLE - 60)
            assert (await at.call("/api/v1/session", **headers)).json()["name"] == "anna"
        await asyncio.sleep(IDLE - 60)
        assert (await at.call("/api/v1/session", **headers)).json()["name"] == ""


async def test_s21_behind_tls_the_cookie_is_for_this_host_and_for_tls_alone(path: str) -> None:
    changing.add(path, "anna", Role.VIEWER, [], GOOD)
    async with guarded(path) as at:
        forwarded = {"X_Forwarded_Proto": "https", "X_Forwarded_For": "192.0.2.9"} | OWN
        answer = await at.call("/api/v1/session", {"name": "anna", "password": GOOD}, **forwarded)
        assert answer.status == 200
        kept = answer.headers["set-cookie"]
        assert kept.startswith("__host-nportpy=")
        assert {"secure", "httponly", "samesite=strict", "path=/"} <= set(kept.split("; "))
        local = await session(at)
        assert (await at.call("/api/v1/status", **local | forwarded)).status == 401  # the plain one is not taken there
        plain = await at.call("/api/v1/session", {"name": "anna", "password": GOOD}, X_Forwarded_For="192.0.2.9")
        assert plain.status == 403
        assert "over TLS" in plain.json()["detail"]


async def test_s21_it_ends_with_idleness_another_password_role_or_the_account(path: str) -> None:
    changing.add(path, "anna", Role.OPERATOR, [], GOOD)
    changing.add(path, "bob", Role.ADMIN, [], GOOD)
    async with guarded(path) as at:
        for number in range(3):
            headers = await session(at)
            assert (await at.call("/api/v1/status", **headers)).status == 200
            if number == 0:
                changing.set_password(path, "anna", "another good one")
            elif number == 1:
                changing.set_role(path, "anna", Role.ADMIN, [])
            else:
                changing.remove(path, "anna")
            assert (await at.call("/api/v1/status", **headers)).status == 401
        headers = await session(at, "bob")
        await asyncio.sleep(IDLE + 1)
        assert (await at.call("/api/v1/status", **headers)).status == 401


async def test_s21_a_stream_ends_with_its_session(path: str) -> None:
    changing.add(path, "anna", Role.VIEWER, [], GOOD)
    changing.add(path, "bob", Role.VIEWER, [], GOOD)
    async with guarded(path) as at:
        headers = await session(at)
        async with asking(at.port, "/api/v1/events", Accept="application/x-ndjson", **headers) as answer:
            await answer.row()
            changing.remove(path, "anna")
            async with asyncio.timeout(5):
                await answer.all()


async def test_c24_a_page_that_is_open_elsewhere_is_named_by_its_account_and_a_viewer_gets_none(path: str) -> None:
    changing.add(path, "anna", Role.ADMIN, [], GOOD)
    changing.add(path, "bob", Role.VIEWER, [Extra.MONITOR], GOOD)
    changing.add(path, "carl", Role.VIEWER, [], GOOD)
    async with guarded(path) as at:
        async with asking(at.port, LASTING[1], **await session(at)) as answer:
            assert answer.status == 200
            (line,) = (await at.call("/api/v1/captures", **await session(at, "bob"))).json()
            assert [each["who"].split()[0] for each in line["watchers"]] == ["anna"]
        for name, status in (("bob", 403), ("carl", 403), ("anna", 200)):
            headers = await session(at, name)
            assert (await at.call("/api/v1/ports/cable/capture.pcapng?for=10ms", **headers)).status == status
            if name != "bob":
                assert (await at.call("/api/v1/ports/cable/monitor?for=10ms", **headers)).status == status


LASTING = ("/api/v1/events", "/api/v1/ports/cable/monitor", "/api/v1/ports/cable/capture.pcapng?live=1")


@pytest.mark.parametrize("how", ["less", "revoked", "over", "file", "first", "logout"])
async def test_c24_s21_every_stream_ends_when_its_right_does_and_it_is_told_why(
    path: str, how: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if how != "first":
        changing.add(path, "anna", Role.ADMIN, [], GOOD)
        token = changing.add_token(path, "watch", Role.ADMIN, [], time.time() + 1000)
    async with guarded(path) as at, AsyncExitStack() as stack:
        headers: dict[str, str] = {}
        if how in ("less", "file", "logout"):
            headers = await session(at)
        elif how != "first":
            headers = bearer(token)
        answers = [await stack.enter_async_context(asking(at.port, each, **headers)) for each in LASTING]
        assert {answer.status for answer in answers} == {200}
        await asyncio.sleep(3)
        match how:
            case "less":
                changing.set_role(path, "anna", Role.OPERATOR, [])
            case "revoked":
                changing.remove_token(path, "watch")
            case "over":
                later = time.time() + 2000
                monkeypatch.setattr(time, "time", lambda: later)
            case "file":
                await asyncio.to_thread(Path(path).write_text, "{")
            case "first":
                changing.add(path, "anna", Role.ADMIN, [], GOOD)
            case _:
                assert (await at.call("/api/v1/session", method="DELETE", **headers)).status < 300
        async with asyncio.timeout(5):
            for answer in answers:
                await answer.all()
    ended = [vars(each) for each in caplog.records if vars(each).get("event") == "ended"]
    assert len(ended) == len(LASTING)
    assert all(each["result"] for each in ended)


async def test_s26_tokens(path: str) -> None:
    scrape = changing.add_token(path, "prometheus", Role.VIEWER, [], None)
    over = changing.add_token(path, "over", Role.ADMIN, [], 1.0)
    async with guarded(path) as at:
        assert b"nportpy_build_info" in (await at.call("/metrics", **bearer(scrape))).body
        assert (await at.call("/api/v1/lines/cable/send", {"text": "x"}, **bearer(scrape))).status == 403
        for wrong in (over, scrape + "x", scrape.lower(), "np_", "x"):
            assert (await at.call("/metrics", **bearer(wrong))).status == 401, wrong
        assert (await at.call("/metrics", Authorization=f"Basic {scrape}")).status == 401
        through = await at.call("/metrics", Via="1.1 proxy", **bearer(scrape))
        assert through.status == 401
        assert "over TLS" in through.json()["detail"]
        assert (await at.call("/metrics", Via="1.1 p", X_Forwarded_Proto="https", **bearer(scrape))).status == 200
        changing.remove_token(path, "prometheus")
        changing.add_token(path, "other", Role.VIEWER, [], None)
        assert (await at.call("/metrics", **bearer(scrape))).status == 401


async def test_s20_many_at_once_are_not_cheaper(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    changing.add(path, "anna", Role.VIEWER, [], GOOD)
    looked: list[str] = []

    def wrong(_password: str, stored: str) -> bool:
        looked.append(stored)
        return False

    monkeypatch.setattr(passwords, "fits", wrong)
    async with guarded(path) as at:
        answers = await asyncio.gather(*(log_in(at, password="x" * 12) for _ in range(20)))
        assert [each.status for each in answers].count(401) == 1
        late = next(each for each in answers if each.status == 429)
        assert int(late.headers["retry-after"]) >= 1
        assert len(looked) == 1


async def test_s19_one_password_at_a_time_and_eight_wait(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From as many addresses: nothing but the queue holds them up."""
    names = [f"anna{number}" for number in range(20)]
    for name in names:
        changing.add(path, name, Role.VIEWER, [], GOOD)
    now = most = 0

    def slow(_password: str, _stored: str) -> bool:
        nonlocal now, most
        now += 1
        most = max(most, now)
        time.sleep(0.01)
        now -= 1
        return True

    monkeypatch.setattr(passwords, "fits", slow)
    async with guarded(path) as at:
        service: Any = at.served.gateway._http._service
        made = await asyncio.gather(
            *(
                hand(service._site, "/api/v1/session", {"name": name, "password": GOOD}, peer=f"127.0.0.{place}", **OWN)
                for place, name in enumerate(names, 1)
            )
        )
        assert most == 1
        assert sorted({each.status for each in made}) == [200, 503]
        assert [each.status for each in made].count(200) == logins.QUEUE


async def test_s19_an_unknown_name_is_looked_at_like_a_known_one(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    changing.add(path, "anna", Role.VIEWER, [], GOOD)
    seen: list[str] = []

    def wrong(_password: str, stored: str) -> bool:
        seen.append(stored)
        return False

    monkeypatch.setattr(passwords, "fits", wrong)
    async with guarded(path) as at:
        first = await log_in(at, "nobody")
        await asyncio.sleep(2)
        second = await log_in(at, "anna")
        assert first.body == second.body
        assert len(seen) == 2
        assert seen[0] == passwords.NOBODY


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"name": 1, "password": "x"}', b'{"name": "a"}', b"[" * 4000, b'"' + b"x" * 100_000]
)
async def test_s20_what_is_no_login(path: str, body: bytes) -> None:
    changing.add(path, "anna", Role.VIEWER, [], GOOD)
    async with guarded(path) as at:
        assert (await at.call("/api/v1/session", body, method="POST", **OWN)).status in (400, 413)


async def test_s28_each_event_once_and_harmless(path: str, caplog: pytest.LogCaptureFixture) -> None:
    changing.add(path, "anna", Role.ADMIN, [], GOOD)
    caplog.set_level(logging.INFO)
    async with guarded(path) as at:
        await log_in(at, "x\n\x1b[31m" + "y" * 50)
        await asyncio.sleep(2)
        assert (await log_in(at, "y" * 1_000_000)).status == 413
        assert (await log_in(at)).status == 200
        headers = await session(at)
        send = "/api/v1/lines/cable/send"
        assert (await at.call(send, {"text": "a secret"}, **headers)).status == 200
        for _ in range(50):
            await at.call("/api/v1/status")
        client = await at.served.raw()
        await until(lambda: bool(at.served.service().clients))
        known = at.served.service().clients[0]
        name = f"{known.address}:{known.port}"
        kick = {"port": "cable", "service": "raw", "client": name}
        assert (await at.call("/api/v1/services/end", kick, **headers)).status == 200
        await until(lambda: client.lost)
        for what in ("monitor", "capture.pcapng"):
            page = f"/api/v1/ports/cable/{what}?for=1s"
            assert (await at.call(page, **headers)).status == 200
        made = {"name": "bob", "role": "viewer", "password": "x" * 3 + GOOD}
        assert (await at.call("/api/v1/users", made, **headers)).status == 200
        assert (await at.call("/api/v1/tokens", {"name": "all", "role": "viewer"}, **headers)).status == 200
        changing.remove(path, "bob")
        await at.call("/healthz")  # it is seen with the next request
        await at.served.gateway.reload(at.served.gateway._settings)
        at.served.gateway.reload_failed()
        await at.call("/api/v1/session", method="DELETE", **headers)
        headers = await session(at)
        records = (await at.call("/api/v1/audit", **headers)).json()["records"]
        told = [(each["event"], each["who"], each["result"]) for each in records]
        assert told == [
            ("accounts", "", "read"),
            ("login", "", "failed"),
            ("login", "anna", "done"),
            ("send", "anna", "done"),
            ("refused", "", "log in first"),
            ("kick", "anna", "done"),
            *(("monitor", "anna", "begins"), ("monitor", "anna", "ends")),
            *(("capture", "anna", "begins"), ("capture", "anna", "ends")),
            *(("account", "anna", "added"), ("token", "anna", "added")),
            ("account", "", "removed"),
            *(("reload", "", "done"), ("reload", "", "failed")),
            ("logout", "anna", "done"),
        ]
        assert records[3]["port"] == "cable"
        text = json.dumps(records)
        assert "a secret" not in text
        assert GOOD not in text
        assert "y" * 201 not in text
    logged = [record for record in caplog.records if record.name == "nportpy.audit"]
    assert len(logged) == len(records)
    for formatter in (TextFormatter(journal=False), JsonFormatter()):
        lines = [formatter.format(record) for record in logged]
        assert all(line.isprintable() for line in lines)


async def test_s28_a_flood_is_bounded(path: str) -> None:
    changing.add(path, "anna", Role.ADMIN, [], GOOD)
    async with guarded(path) as at:
        for _ in range(200):
            await log_in(at, password="x" * 12)
        assert len(_gate(at).audit.recent.since(0)) < 20


def _unpacked(archive: bytes) -> bytes:
    """All that is in a zip: packed, nobody would find anything in it."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert len(opened.namelist()) > 3
        return b"\n".join(opened.read(name) for name in opened.namelist())


async def test_s29_no_secret_is_anywhere(path: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    changing.add(path, "anna", Role.ADMIN, [], GOOD)
    token = changing.add_token(path, "all", Role.ADMIN, [], None)
    with open(path) as file:  # noqa: ASYNC230 - a test
        kept = json.load(file)
    canaries = [GOOD, token, kept["accounts"][0]["password"], kept["tokens"][0]["sha256"]]
    async with guarded(path) as at:
        assert (await log_in(at)).status == 200
        canaries.append((await session(at))["Cookie"].partition("=")[2])
        for page in (
            "/api/v1/status",
            "/metrics",
            "/api/v1/log",
            "/api/v1/audit",
            "/api/v1/session",
            "/api/v1/bundle",
            "/api/v1/users",
            "/api/v1/check",
        ):
            answer = await at.call(page, **bearer(token))
            assert answer.status == 200
            body = _unpacked(answer.body) if page.endswith("bundle") else answer.body
            assert not [each for each in canaries if each.encode() in body], page
    text = "\n".join(str(vars(record)) for record in caplog.records)
    assert not [each for each in canaries if each in text]


async def test_s18_admins_change_accounts_and_tokens_from_the_console(path: str) -> None:
    changing.add(path, "anna", Role.ADMIN, [], GOOD)
    async with guarded(path) as at:
        await at.call("/api/v1/status")
        headers = await session(at)

        async def ask(page: str, **body: object) -> Answered:
            return await at.call(f"/api/v1/{page}", body, **headers)

        assert (await ask("users", name="bob", role="operator", password=GOOD, monitor=True)).status == 200
        token = (await ask("tokens", name="scrape", role="viewer", days=30)).json()["token"]
        found = (await at.call("/api/v1/users", **headers)).json()
        assert [(each["name"], each["role"], each["rights"]) for each in found["accounts"]] == [
            ("anna", "admin", []),
            ("bob", "operator", ["monitor"]),
        ]
        assert [each["name"] for each in found["tokens"]] == ["scrape"]
        assert "scrypt" not in json.dumps(found)
        assert (await at.call("/metrics", **bearer(token))).status == 200
        bob = await session(at, "bob")
        assert (await at.call("/api/v1/users", **bob)).status == 403
        assert (await ask("users/bob/password", password="another good one")).status == 200
        assert (await at.call("/api/v1/status", **bob)).status == 401
        assert (await ask("users/bob/role", role="viewer")).status == 200
        assert (await ask("tokens/scrape/remove")).status == 200
        assert (await at.call("/metrics", **bearer(token))).status == 401
        for page, body in (
            ("users", {"name": "bob", "role": "viewer", "password": GOOD}),
            ("users", {"name": "../x", "role": "viewer", "password": GOOD}),
            ("users", {"name": "eve", "role": "viewer", "password": "short"}),
            ("users/none/role", {"role": "viewer"}),
            ("users/anna/remove", {}),
            ("users/anna/role", {"role": "viewer"}),
        ):
            refused = await ask(page, **body)
            assert (refused.status, bool(refused.json()["detail"])) == (409, True), page
        assert (await ask("users", name="eve", role="root", password=GOOD)).status == 400
        assert (await ask("users/bob/remove")).status == 200


async def test_s18_the_first_account_can_be_made_from_the_console_on_this_machine(path: str) -> None:
    async with guarded(path) as at:
        made = await at.call("/api/v1/users", {"name": "anna", "role": "admin", "password": GOOD})
        assert made.status == 200
        assert (await at.call("/api/v1/status")).status == 401
        assert (await log_in(at)).status == 200


async def test_s18_a_full_disk_is_told_and_the_old_file_stays(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    changing.add(path, "anna", Role.ADMIN, [], GOOD)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    async with guarded(path) as at:
        await at.call("/api/v1/status")
        headers = await session(at)
        monkeypatch.setattr(os, "fsync", full)
        refused = await at.call("/api/v1/tokens", {"name": "x", "role": "viewer"}, **headers)
        assert (refused.status, "No space left" in refused.json()["detail"]) == (409, True)
        assert (await at.call("/api/v1/status", **headers)).status == 200

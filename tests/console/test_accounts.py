"""Accounts on a gateway: who may what, by session and by token, and that nothing goes past the gate."""

import asyncio
import dataclasses
import json
import logging
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from nportpy.accounts import changing, passwords
from nportpy.accounts.roles import Extra, Right, Role, rights
from nportpy.accounts.sessions import IDLE
from nportpy.console.openapi import SITE
from nportpy.services import session_pages, site
from nportpy.services.http import HttpSettings
from nportpy.services.pages import Found
from tests.console.test_api import At, _routes, consoled
from tests.support.api import Answered
from tests.support.http_streams import asking
from tests.support.serving import until

GOOD = "correct horse battery"
OWN = {"Sec_Fetch_Site": "same-origin"}


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
    gate = _gate(at)
    account = gate.accounts.account(name)
    return {"Cookie": f"nportpy={gate.sessions.begin(account, asyncio.get_running_loop().time())}"} | OWN


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
        os.unlink(path)
        assert (await at.call("/metrics")).status == 200


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
        assert {"httponly", "samesite=strict", "path=/", "max-age=43200"} <= set(kept.split("; "))
        headers = await session(at)
        assert (await at.call("/api/v1/session", **headers)).json()["name"] == "anna"
        assert (await at.call("/api/v1/lines/cable/send", {"text": "x"}, **headers)).status == 200
        refused = await at.call("/api/v1/audit", **headers)
        assert (refused.status, refused.json()["detail"]) == (403, "anna may not: it takes the right to audit")
        assert (await at.call("/api/v1/session", method="DELETE", **headers)).status == 200
        assert (await at.call("/api/v1/status", **headers)).status == 401


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
    async with guarded(path) as at:
        for how in (
            lambda: changing.set_password(path, "anna", "another good one"),
            lambda: changing.set_role(path, "anna", Role.ADMIN, []),
            lambda: changing.remove(path, "anna"),
        ):
            headers = await session(at)
            assert (await at.call("/api/v1/status", **headers)).status == 200
            how()
            assert (await at.call("/api/v1/status", **headers)).status in (401, 200 if not _gate(at).closed else 401)
        changing.add(path, "anna", Role.OPERATOR, [], GOOD)
        headers = await session(at)
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


async def test_s22_what_another_site_sends_with_a_session_is_refused(path: str) -> None:
    changing.add(path, "anna", Role.ADMIN, [], GOOD)
    async with guarded(path) as at:
        headers = await session(at)
        body = {"text": "x"}
        for other in (
            {"Sec_Fetch_Site": "cross-site"},
            {"Sec_Fetch_Site": "same-site"},
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
        ):
            sent = {"Cookie": headers["Cookie"]} | other
            assert (await at.call("/api/v1/lines/cable/send", body, **sent)).status == 403
            assert (await at.call("/api/v1/status", **sent)).status == 403
            assert (await at.call("/api/v1/session", {"name": "anna", "password": GOOD}, **other)).status == 403
        bare = {"Cookie": headers["Cookie"]}
        refused = await at.call("/api/v1/lines/cable/send", body, **bare)
        assert refused.status == 403
        assert "Origin or Sec-Fetch-Site is missing" in refused.json()["detail"]
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
            sent = await at.call("/api/v1/lines/cable/send", b'{"text": "x"}', Content_Type=kind, **headers)
            assert sent.status == 415
        own = {"Cookie": headers["Cookie"], "Origin": f"http://localhost:{at.port}"}
        assert (await at.call("/api/v1/lines/cable/send", body, **own)).status == 200


async def test_s26_tokens(path: str) -> None:
    scrape = changing.add_token(path, "prometheus", Role.VIEWER, [], None)
    over = changing.add_token(path, "over", Role.ADMIN, [], 1.0)
    async with guarded(path) as at:
        assert b"nportpy_build_info" in (await at.call("/metrics", **bearer(scrape))).body
        assert (await at.call("/api/v1/lines/cable/send", {"text": "x"}, **bearer(scrape))).status == 403
        for wrong in (over, scrape + "x", scrape.lower(), "np_", "x", ""):
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
    looked, now, most = 0, 0, 0

    def slow(password: str, stored: str) -> bool:
        nonlocal looked, now, most
        looked, now = looked + 1, now + 1
        most = max(most, now)
        now -= 1
        return False

    monkeypatch.setattr(session_pages.passwords, "fits", slow)
    async with guarded(path) as at:
        answers = await asyncio.gather(*(log_in(at, password="x" * 12) for _ in range(20)))
        assert [each.status for each in answers].count(401) == 1
        late = next(each for each in answers if each.status == 429)
        assert int(late.headers["retry-after"]) >= 1
        assert (looked, most) == (1, 1)


async def test_s19_an_unknown_name_is_looked_at_like_a_known_one(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    changing.add(path, "anna", Role.VIEWER, [], GOOD)
    seen: list[str] = []
    monkeypatch.setattr(session_pages.passwords, "fits", lambda _password, stored: bool(seen.append(stored)))
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
        await log_in(at)
        headers = await session(at)
        await at.call("/api/v1/lines/cable/send", {"text": "a secret"}, **headers)
        for _ in range(50):
            await at.call("/api/v1/status")
        await at.call("/api/v1/session", method="DELETE", **headers)
        headers = await session(at)
        records = (await at.call("/api/v1/audit", **headers)).json()["records"]
        told = [(each["event"], each["who"], each["result"]) for each in records]
        assert told == [
            ("accounts", "", "read"),
            ("login", "", "failed"),
            ("login", "anna", "done"),
            ("action", "anna", "done"),
            ("refused", "", "log in first"),
            ("logout", "anna", "done"),
        ]
        assert records[3]["action"] == "send"
        assert records[3]["port"] == "cable"
        assert all(each["client"] == "127.0.0.1" for each in records[1:])
        text = json.dumps(records)
        assert "a secret" not in text
        assert GOOD not in text
        assert "\x1b" not in text
    lines = [record for record in caplog.records if record.name == "nportpy.audit"]
    assert len(lines) == len(records)


async def test_s28_a_flood_is_bounded(path: str) -> None:
    changing.add(path, "anna", Role.ADMIN, [], GOOD)
    async with guarded(path) as at:
        for _ in range(200):
            await log_in(at, password="x" * 12)
        assert len(_gate(at).audit.recent.since(0)) < 20


async def test_s29_no_secret_is_anywhere(path: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    changing.add(path, "anna", Role.ADMIN, [], GOOD)
    token = changing.add_token(path, "all", Role.ADMIN, [], None)
    with open(path) as file:  # noqa: ASYNC230 - a test
        kept = json.load(file)
    canaries = [GOOD, token, kept["accounts"][0]["password"], kept["tokens"][0]["sha256"]]
    async with guarded(path) as at:
        answer = await log_in(at)
        canaries.append(answer.headers["set-cookie"].split(";")[0].partition("=")[2])
        for page in ("/api/v1/status", "/metrics", "/api/v1/log", "/api/v1/audit", "/api/v1/session", "/api/v1/bundle"):
            body = (await at.call(page, **bearer(token))).body
            assert not [each for each in canaries if each.encode() in body], page
    text = "\n".join(str(vars(record)) for record in caplog.records)
    assert not [each for each in canaries if each in text]


# The gate: routes x roles x mutations.

LOOK = [
    *("/metrics", "/readings", "/api/v1/status", "/api/v1/verdict", "/api/v1/stations", "/api/v1/archive"),
    *("/api/v1/archive/samples", "/api/v1/archive/chart", "/api/v1/events", "/api/v1/openapi.json"),
]
ACT = [
    *(f"/api/v1/modbus/{what}" for what in ("read", "ask", "write", "scan")),
    *(f"/api/v1/lines/cable/{what}" for what in ("send", "break", "modem_lines", "reopen")),
    *("/api/v1/services/end", "/api/v1/archive/send"),
]
NEEDED = {
    **{("GET", each): Right.LOOK for each in LOOK},
    **{("POST", each): Right.ACT for each in ACT},
    ("GET", "/api/v1/log"): Right.MONITOR,
    ("GET", "/api/v1/bundle"): Right.MONITOR,
    ("GET", "/api/v1/captures"): Right.MONITOR,
    ("GET", "/api/v1/ports/cable/monitor"): Right.MONITOR,
    ("GET", "/api/v1/ports/cable/capture.pcapng"): Right.CAPTURE,
    ("GET", "/api/v1/audit"): Right.AUDIT,
}
METHODS = ("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE", "get", "X")
OPEN = {"/healthz", "/readyz", "/", "/api/v1/session"}


def mutations(path: str) -> list[str]:
    last = path.rpartition("/")[2]
    return [
        *(
            path,
            path + "/",
            path + ".json",
            path + ";x",
            path + "?x=1",
            path + "%00",
            path + "%20",
            path + "/..",
            path + "/.",
        ),
        *("/" + path, path.replace("/", "//"), path.replace("/", "/./"), path.upper(), path.title(), "/x/.." + path),
        *(path.replace(last, f"%{ord(last[0]):02x}{last[1:]}"), path.replace("/", "%2f"), path.replace("/", "%2F")),
        *(path.replace("/api", "/healthz/../api"), f"/healthz/..{path}", f"/healthz%2f..{path}", f"/healthz;{path}"),
        *(f"http://localhost{path}", f"http://127.0.0.1/healthz{path}", path + "#/healthz", f"/assets/..{path}"),
        *(f"{path}?/healthz", f"/healthz?{path}", path.replace("/", "\\")),
    ]


async def test_s27_no_route_is_missing_here(path: str) -> None:
    async with guarded(path) as at:
        known = {(each.method, each.path.replace("{name}", "cable")) for each in (*SITE, *await _routes(at))}
        service: Any = at.served.gateway._http._service
        own: Any = service._site
        known |= {("GET", each) for each in own._pages} | set(own._streams)
        assert {each for each in known if not each[1].startswith("/assets/") and each[1] not in OPEN} == set(NEEDED)


@pytest.mark.parametrize("who", ["nobody", *Role, *Extra])
async def test_s27_nothing_goes_past_the_gate(path: str, who: str, monkeypatch: pytest.MonkeyPatch) -> None:
    extras = [Extra(who)] if who in list(Extra) else []
    role = Role(who) if who in list(Role) else Role.VIEWER
    token = changing.add_token(path, "one", role, extras, None)
    has = frozenset({Right.OPEN}) if who == "nobody" else rights(role, extras)
    reached: list[tuple[str, Right]] = []
    real = site.Site._find

    async def find(self: Any, request: web.BaseRequest) -> Found:
        found = await real(self, request)
        if found.right is Right.OPEN:
            return found

        async def answer(_who: Any) -> web.StreamResponse:
            reached.append((request.method, found.right))
            return web.Response(status=HTTPStatus.IM_A_TEAPOT)

        return dataclasses.replace(found, answer=answer)

    monkeypatch.setattr(site.Site, "_find", find)
    headers = {} if who == "nobody" else bearer(token)
    async with guarded(path) as at:
        for (method, page), right in NEEDED.items():
            reached.clear()
            answer = await at.call(page, {} if method == "POST" else None, method=method, **headers)
            assert bool(reached) == (right in has) == (answer.status == HTTPStatus.IM_A_TEAPOT), (page, answer.status)
            assert not reached or reached == [(method, right)]
            for changed in mutations(page):
                for other in METHODS if who in ("nobody", Role.VIEWER) else METHODS[:2]:
                    reached.clear()
                    answer = await at.call(changed, {} if other == "POST" else None, method=other, **headers)
                    assert all(each in has for _, each in reached), (changed, other)
                    open_page = re.match(r"/healthz|/readyz", changed) and "?" in changed
                    assert reached or answer.status >= 400 or open_page, (changed, other, answer.status)
            upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "X_Original_URL": page, "X_Rewrite_URL": page}
            reached.clear()
            await at.call("/healthz", **headers | upgrade | {"X_HTTP_Method_Override": method})
            assert not reached


async def test_s24_refusals_have_the_headers_too(path: str) -> None:
    changing.add(path, "anna", Role.VIEWER, [], GOOD)
    async with guarded(path) as at:
        for answer in (await at.call("/metrics"), await log_in(at, password="y" * 12), await at.call("/none")):
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert answer.headers["cache-control"] == "no-store"
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        await until(lambda: True)

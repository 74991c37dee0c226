"""The gate: who may what, whatever a request looks like. Nothing here needs a socket."""

import asyncio
import dataclasses
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import pytest
from aiohttp import web

from nportpy.accounts import changing, passwords
from nportpy.accounts.roles import Extra, Right, Role, rights
from nportpy.console.openapi import SITE
from nportpy.network.tls_settings import Identity
from nportpy.services import bodies, site
from nportpy.services.gate import GateSettings
from nportpy.services.http_base import AsWhom, ConsoleMode, HttpSettings
from nportpy.services.pages import Found
from tests.console.test_api import _routes, consoled
from tests.support.api import Answered
from tests.support.handed import hand

GOOD = "correct horse battery"
OWN = {"Sec_Fetch_Site": "same-origin"}


class Asking:
    """A gateway with a console, to which requests are handed."""

    def __init__(self, at: Any) -> None:
        self.at = at
        self.site: Any = at.served.gateway._http._service._site
        self.gate = self.site._gate

    async def ask(self, path: str, body: object = None, **more: Any) -> Answered:
        return await hand(self.site, path, body, **more)

    def session(self, name: str = "anna") -> dict[str, str]:
        """Headers of a page of somebody who has logged in."""
        logins = self.gate.logins
        text = logins.sessions.begin(logins.accounts.account(name), asyncio.get_running_loop().time())
        return {"Cookie": f"nportpy={text}", **OWN}

    def told(self, **changes: Any) -> None:
        """Settings of HTTPS, say."""
        self.gate.settings = dataclasses.replace(self.gate.settings, **changes)


@pytest.fixture
def path(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(passwords, "_COST", 4)
    monkeypatch.setattr(passwords, "NOBODY", passwords.hashed("nobody's"))
    return str(tmp_path / "accounts.json")


@asynccontextmanager
async def asking(path: str = "", **settings: Any) -> AsyncIterator[Asking]:
    async with consoled(HttpSettings((("127.0.0.1", 0),), accounts=path, **settings)) as at:
        yield Asking(at)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


# What may be asked, and what it takes. The code's own tables must say the same.

LOOK = [
    *("/metrics", "/readings", "/api/v1/status", "/api/v1/verdict", "/api/v1/stations", "/api/v1/archive"),
    *("/api/v1/archive/samples", "/api/v1/archive/chart", "/api/v1/events", "/api/v1/openapi.json"),
]
ACT = [
    *(f"/api/v1/modbus/{what}" for what in ("read", "ask", "write", "scan")),
    *(f"/api/v1/lines/cable/{what}" for what in ("send", "break", "modem_lines", "reopen")),
    *("/api/v1/services/end", "/api/v1/archive/send"),
]
ACCOUNTS = [
    *("/api/v1/users", "/api/v1/users/cable/password", "/api/v1/users/cable/role", "/api/v1/users/cable/remove"),
    *("/api/v1/tokens", "/api/v1/tokens/cable/remove"),
]
NEEDED = {
    **{("GET", each): Right.LOOK for each in LOOK},
    **{("POST", each): Right.ACT for each in ACT},
    **{("POST", each): Right.ACCOUNTS for each in ACCOUNTS},
    ("GET", "/api/v1/users"): Right.ACCOUNTS,
    ("GET", "/api/v1/log"): Right.MONITOR,
    ("GET", "/api/v1/bundle"): Right.MONITOR,
    ("GET", "/api/v1/check"): Right.MONITOR,
    ("GET", "/api/v1/captures"): Right.MONITOR,
    ("GET", "/api/v1/ports/cable/monitor"): Right.MONITOR,
    ("GET", "/api/v1/ports/cable/capture.pcapng"): Right.CAPTURE,
    ("GET", "/api/v1/audit"): Right.AUDIT,
}
CONFIG = "/api/v1/config"
NEEDED |= {("GET", CONFIG + each): Right.EDIT for each in ("", "/file", "/history", "/history/1")}
NEEDED |= {("POST", CONFIG + each): Right.EDIT for each in ("/check", "/apply", "/confirm", "/back")}
NEEDED |= {("PUT", f"{CONFIG}/file"): Right.EDIT}
METHODS = ("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "get", "X")
OPEN = {"/healthz", "/readyz", "/", "/api/v1/session"}


def mutations(path: str) -> list[str]:
    """Other ways to write a path, by which others' gates were passed."""
    last = path.rpartition("/")[2]
    ends = (
        "/",
        ".json",
        ".css",
        ";x",
        "?x=1",
        "%00",
        "%20",
        "%0a",
        "/..",
        "/.",
        "/../x",
        "%2f",
        "%3f",
        "~",
        "/assets/x",
    )
    return [
        *(path + end for end in ends),
        *("/" + path, path.replace("/", "//"), path.replace("/", "/./"), path.upper(), path.title(), "/x/.." + path),
        *(path.replace(last, f"%{ord(last[0]):02x}{last[1:]}"), path.replace("/", "%2f"), path.replace("/", "%2F")),
        *(path.replace(last, f"%25{ord(last[0]):02x}{last[1:]}"), path.replace("/api", "/healthz/../api")),
        *(f"/healthz/..{path}", f"/healthz%2f..{path}", f"/healthz;{path}", f"/assets/..{path}", f"/assets/x/..{path}"),
        *(f"http://localhost{path}", f"http://127.0.0.1/healthz{path}", f"http://healthz@localhost{path}"),
        *(path + "#/healthz", f"{path}?/healthz", f"/healthz?{path}", f"/healthz#{path}", path.replace("/", "\\")),
    ]


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"Origin": "http://["}, HTTPStatus.FORBIDDEN),
        ({"host": "[localhost]"}, HTTPStatus.MISDIRECTED_REQUEST),
        ({"host": "["}, HTTPStatus.MISDIRECTED_REQUEST),
        ({"Content_Encoding": "gzip"}, HTTPStatus.BAD_REQUEST),
    ],
)
async def test_s31_what_no_browser_sends_is_refused_without_a_traceback(
    path: str, more: dict[str, str], status: HTTPStatus, caplog: pytest.LogCaptureFixture
) -> None:
    changing.add(path, "anna", Role.ADMIN, [], "correct horse battery")
    async with asking(path) as here:
        answer = await here.ask(
            "/api/v1/session", {"name": "anna", "password": "x"}, Sec_Fetch_Site="same-origin", **more
        )
        assert answer.status == status
    assert not [each for each in caplog.records if each.exc_info]


HIDDEN = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
"""A request that is hidden in the body of another one; whoever finds it answers 200."""

FRAMINGS = {
    "both lengths": (f"Content-Length: {len(HIDDEN) + 5}\r\nTransfer-Encoding: chunked", f"0\r\n\r\n{HIDDEN}"),
    "two lengths": (f"Content-Length: 0\r\nContent-Length: {len(HIDDEN)}", HIDDEN),
    "a list": (f"Content-Length: 0, {len(HIDDEN)}", HIDDEN),
    "a sign": (f"Content-Length: +{len(HIDDEN)}", HIDDEN),
    "less than nothing": ("Content-Length: -1", HIDDEN),
    "hexadecimal": ("Content-Length: 0x0", HIDDEN),
    "as Python writes it": (f"Content-Length: {len(HIDDEN) // 10}_{len(HIDDEN) % 10}", HIDDEN),
    "no coding": ("Transfer-Encoding: xchunked", f"0\r\n\r\n{HIDDEN}"),
    "a blank": ("Transfer-Encoding : chunked", f"0\r\n\r\n{HIDDEN}"),
    "chunked is not the last": ("Transfer-Encoding: chunked, identity", f"0\r\n\r\n{HIDDEN}"),
    "twice": ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", f"0\r\n\r\n{HIDDEN}"),
    "a line that goes on": ("X: a\r\n Content-Length: 0", HIDDEN),
    "half an end of a line": ("X: a\rContent-Length: 0", HIDDEN),
    "nothing": ("X: a\0b\r\nContent-Length: 0", HIDDEN),
    "chunk of another kind": ("Transfer-Encoding: chunked", f"0x0\r\n\r\n{HIDDEN}"),
    "chunk without end": ("Transfer-Encoding: chunked", f"{'f' * 18}\r\n{HIDDEN}"),
    "chunk that ends otherwise": ("Transfer-Encoding: chunked", f"2;a\nb\r\n{{}}\r\n0\r\n\r\n{HIDDEN}"),
    "chunks of lines": ("Transfer-Encoding: chunked", f"2\n{{}}\n0\n\n{HIDDEN}"),
    "another version": ("Connection: keep-alive\r\nTransfer-Encoding: chunked", f"0\r\n\r\n{HIDDEN}"),
    "the length of it": (f"Content-Length: {len(HIDDEN)}", HIDDEN),
}
"""RFC 9112, 6 and 11.2: ways in which a proxy and we could take different bytes for the next request."""


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_s31_nobody_hides_a_request_in_another_one(path: str, framing: str) -> None:
    token = changing.add_token(path, "one", Role.OPERATOR, [], None)
    headers, body = FRAMINGS[framing]
    version = "1.0" if framing == "another version" else "1.1"
    async with asking(path) as here:
        (port,) = {int(place.endpoint.port) for place in here.at.served.gateway._http.chosen_by_kernel()}
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST /api/v1/lines/cable/send HTTP/{version}\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
        writer.write(f"{head}Content-Type: application/json\r\n{headers}\r\n\r\n{body}".encode())
        writer.write_eof()
        answered = await reader.read()
        assert re.findall(rb"HTTP/1\.[01] (\d+)", answered) == [b"400"]
        writer.close()


async def test_s31_who_waits_for_leave_to_send_a_body_gets_it(path: str) -> None:
    async with asking(path) as here:
        (port,) = {int(place.endpoint.port) for place in here.at.served.gateway._http.chosen_by_kernel()}
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):  # and the connection can be kept
            head = f"POST /api/v1/lines/cable/send HTTP/1.1\r\nHost: localhost:{port}\r\n"
            head += "Content-Type: application/json\r\n"
            writer.write(f"{head}Content-Length: 13\r\nExpect: 100-continue\r\n\r\n".encode())
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b'{"text": "x"}')
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 200")
            assert await reader.readuntil(b"}\n") == b'{"bytes":1,"left":true}\n'
        writer.close()


@pytest.mark.parametrize("body", [b"[" * 60000, b'{"milliseconds": ' + b"9" * 50000 + b"}"])
async def test_s31_json_that_python_does_not_take_is_said_plainly(path: str, body: bytes) -> None:
    async with asking(path) as here:
        answer = await here.ask("/api/v1/lines/cable/break", body)
        assert (answer.status, answer.json()["detail"]) == (
            400,
            "this JSON has a number that is too long, or too many levels",
        )


async def test_s31_a_body_that_does_not_come_holds_its_place_for_a_while(path: str) -> None:
    changing.add(path, "anna", Role.ADMIN, [], "correct horse battery")
    async with asking(path) as here:
        (port,) = {int(place.endpoint.port) for place in here.at.served.gateway._http.chosen_by_kernel()}
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST /api/v1/session HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: 100\r\n\r\n{{".encode())
        began = asyncio.get_running_loop().time()
        assert (await reader.readline()).startswith(b"HTTP/1.1 408")
        assert asyncio.get_running_loop().time() - began < bodies.PATIENCE + 1
        await reader.read()
        assert asyncio.get_running_loop().time() - began < 2 * bodies.PATIENCE
        writer.close()


async def test_s27_no_route_is_missing_here(path: str) -> None:
    async with asking(path) as here:
        known = {
            (each.method, each.path.replace("{name}", "cable").replace("{number}", "1"))
            for each in (*SITE, *await _routes(here.at))
        }
        known |= {("GET", each) for each in here.site._pages} | set(here.site._streams)
        assert {each for each in known if not each[1].startswith("/assets/") and each[1] not in OPEN} == set(NEEDED)


@pytest.mark.parametrize("who", ["nobody", *Role, *Extra])
async def test_s27_nothing_goes_past_the_gate(path: str, who: str, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """S17, too: every route and role, by the one table of rights. Each other way to write a path is tried on every
    third route for each role, `--times 3`: on each."""
    step, begin = max(1, 3 // times), (*Role, *Extra, "nobody").index(who)
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
    async with asking(path) as here:
        for turn, ((method, page), right) in enumerate(NEEDED.items(), begin):
            reached.clear()
            answer = await here.ask(page, {} if method == "POST" else None, method=method, **headers)
            assert bool(reached) == (right in has) == (answer.status == HTTPStatus.IM_A_TEAPOT), (page, answer.status)
            assert not reached or reached == [(method, right)]
            for other in METHODS if who == "nobody" else (method, "HEAD"):
                for changed in (page, *mutations(page)[turn % step :: step]):
                    reached.clear()
                    answer = await here.ask(changed, {} if other == "POST" else None, method=other, **headers)
                    assert all(each in has for _, each in reached), (changed, other)
                    open_page = re.match(r"/(healthz|readyz)[?#]", changed)
                    assert reached or answer.status >= 400 or open_page, (changed, other, answer.status)
            upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "X_Original_URL": page, "X_Rewrite_URL": page}
            reached.clear()
            await here.ask("/healthz", X_HTTP_Method_Override=method, **headers | upgrade)
            assert not reached
            await here.ask(page, method=method, **headers | upgrade | {"Expect": "100-continue"})
            assert all(each in has for _, each in reached)


async def test_c4_c20_head_has_no_body_on_any_path(path: str) -> None:
    """What a body would be is the next answer's head: they come through one connection."""
    async with asking(path, console=ConsoleMode.EDIT) as here:
        (port,) = {int(place.endpoint.port) for place in here.at.served.gateway._http.chosen_by_kernel()}
        page = (await here.ask("/", Accept="text/html")).body.decode()
        files = re.findall(r"assets/[0-9a-f]+/[a-z/.]+", page)
        for each in [*(page for method, page in NEEDED if method == "GET"), *OPEN, *(f"/{file}" for file in files[:2])]:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for method, target in (("HEAD", each), ("HEAD", "/healthz")):
                writer.write(f"{method} {target} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
            async with asyncio.timeout(30):
                first = await reader.readuntil(b"\r\n\r\n")
                assert b"Transfer-Encoding" not in first, each
                assert (await reader.readline()) == b"HTTP/1.1 200 OK\r\n", each
            writer.close()


async def test_s27_without_accounts_others_get_what_programs_ask_for_and_no_page() -> None:
    async with asking() as here:
        for (method, page), right in NEEDED.items():
            answer = await here.ask(page, {} if method == "POST" else None, method=method, peer="192.0.2.9")
            program = right is Right.LOOK and page not in ("/api/v1/archive/chart", "/api/v1/events")
            program = program and page != "/api/v1/openapi.json"
            assert (answer.status != 403) is program, page
        assert "nportpy user add NAME" in (await here.ask("/api/v1/events", peer="192.0.2.9")).json()["detail"]


# Host.


@pytest.mark.parametrize("page", ["/metrics", "/healthz", "/", "/api/v1/status", "/none"])
async def test_s23_a_host_that_is_none_of_ours_is_told_so(page: str) -> None:
    async with asking(names=frozenset({"pi-07.plant", "192.0.2.80"})) as here:
        own = socket.gethostname().lower()
        for host in (
            *(
                "localhost",
                "localhost:9550",
                "127.0.0.1:9550",
                "127.1.2.3",
                "[::1]:9550",
                "192.0.2.7",
                "192.0.2.7:9550",
            ),
            *(own, own.upper(), f"{own.partition('.')[0]}.local:9550", "pi-07.plant", "PI-07.plant.:1", "192.0.2.80"),
            None,
        ):
            answer = await here.ask(page, host=host, local="192.0.2.7")
            assert answer.status != 421, host
        for host in (
            *("evil.example", "evil.example:9550", "localhost.evil.example", f"{own}.evil.example", "192.0.2.8", "a b"),
            *(
                "pi-07",
                "[::2]",
                "127.0.0.1.evil.example",
                "localhost:9550@evil.example",
                "0x7f000001",
                "[",
                "::1:9550:x",
            ),
        ):
            answer = await here.ask(page, host=host, local="192.0.2.7")
            assert answer.status in (400, 421), host
            assert answer.status == 400 or b"names in [http]" in answer.body


async def test_s23_the_whole_url_counts_too_and_two_hosts_are_refused() -> None:
    async with asking() as here:
        assert (await here.ask("http://evil.example/metrics")).status == 421
        assert (await here.ask("http://localhost/metrics", host="evil.example")).status == 421
        assert (await here.ask("http://localhost:9550/metrics")).status == 200
        two = await here.ask("/metrics", X="x\r\nHost: evil.example")
        assert two.status in (400, 421)


async def test_s23_ipv6_and_mapped_addresses() -> None:
    async with asking() as here:
        for host, local in (
            ("[2001:db8::7]:9550", "2001:db8::7"),
            ("192.0.2.7", "::ffff:192.0.2.7"),
            ("[fe80::1]", "fe80::1%eth0"),
        ):
            assert (await here.ask("/metrics", host=host, local=local)).status == 200, host


# Other sites.


async def test_s22_what_another_site_sends_with_a_session_is_refused(path: str) -> None:
    changing.add(path, "anna", Role.ADMIN, [], GOOD)
    async with asking(path) as here:
        cookie = {"Cookie": here.session()["Cookie"]} if here.gate.logins else {}
        page, body = "/api/v1/lines/cable/send", {"text": "x"}
        assert (await here.ask(page, body, **cookie, **OWN)).status == 200
        assert (await here.ask(page, body, **cookie, Origin="http://localhost")).status == 200
        for other in (
            *({"Sec_Fetch_Site": site} for site in ("cross-site", "same-site", "", "x")),
            *({"Origin": origin} for origin in ("http://evil.example", "null", "", "http://localhost:1")),
            {"Sec_Fetch_Site": "same-origin", "Origin": "http://evil.example"},
            {},
        ):
            assert (await here.ask(page, body, **cookie, **other)).status == 403, other
            if other:
                assert (await here.ask("/api/v1/status", **cookie, **other)).status == 403, other
                login = await here.ask("/api/v1/session", {"name": "anna", "password": GOOD}, **other)
                assert login.status == 403, other
        for kind in (
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "",
            "application/json-x",
        ):
            for where, content in ((page, b'{"text": "x"}'), ("/api/v1/archive/send", b"x")):
                sent = await here.ask(where, content, Content_Type=kind, **cookie, **OWN)
                assert sent.status == 403, kind
            login = await here.ask("/api/v1/session", b"{}", Content_Type=kind, **OWN)
            assert login.status == 403


async def test_s22_a_page_that_came_in_plain_is_not_ours_where_we_are_https(path: str) -> None:
    changing.add(path, "anna", Role.ADMIN, [], GOOD)
    page, body = "/api/v1/lines/cable/send", {"text": "x"}
    async with asking(path) as here:
        cookie = {"Cookie": here.session()["Cookie"].replace("nportpy=", "__Host-nportpy=")}
        here.told(secure=True)
        for scheme, status in (("https", 200), ("http", 403), ("ftp", 403)):
            origin = {"Origin": f"{scheme}://localhost"}
            assert (await here.ask(page, body, **cookie, **origin)).status == status
            anna = shown("CN=anna", "operator")
            assert (await here.ask(page, body, identity=anna, **origin)).status == status
            login = await here.ask("/api/v1/session", {"name": "anna", "password": GOOD}, **origin)
            assert login.status == status


# Headers.


async def test_s24_every_answer_has_the_headers_and_https_is_insisted_on_with_an_authority_only(path: str) -> None:
    changing.add(path, "anna", Role.ADMIN, [], GOOD)
    token = changing.add_token(path, "all", Role.ADMIN, [], None)

    async def every(here: Asking) -> list[Answered]:
        asked: list[tuple[str, str, dict[str, str]]] = [
            (each, method, {}) for method, each in NEEDED if "archive" not in each and "events" not in each
        ]
        asked += [(each, "GET", {}) for each in (*OPEN, "/none", "/api/v1/none", "/assets/x/y.js")]
        asked += [
            ("/", "GET", {"Accept": "text/html"}),
            ("/metrics", "POST", {}),
            ("/metrics", "GET", {"host": "evil.example"}),
        ]
        asked += [("/x" * 3000, "GET", {}), ("/metrics", "BAD METHOD", {}), ("/api/v1/session", "POST", {})]
        own = bearer(token)
        found = [await here.ask(each, method=method, **more) for each, method, more in asked]
        return found + [
            await here.ask(each, method=method, **more | own)
            for each, method, more in asked
            if "monitor" not in each and "capture" not in each
        ]

    async with asking(path) as here:
        for vouched in (False, True):
            here.told(vouched=lambda vouched=vouched: vouched)
            answers = await every(here)
            assert {200, 400, 401, 404, 405, 421} <= {each.status for each in answers}
            for answer in answers:
                assert answer.headers["x-content-type-options"] == "nosniff"
                assert answer.headers["referrer-policy"] == "no-referrer"
                assert answer.headers["cache-control"] in ("no-store", "no-cache")
                policy = answer.headers["content-security-policy"]
                assert {"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"} <= set(policy.split("; "))
                assert ("strict-transport-security" in answer.headers) is vouched


# Certificates.


def shown(name: str, role: str = "") -> Identity:
    return Identity(name, role, b"")


async def test_s25_a_certificate_is_a_login_by_its_role_or_by_the_table(path: str) -> None:
    subjects = {"CN=scada": AsWhom(Role.VIEWER), "CN=bob": AsWhom(Role.VIEWER, (Extra.CAPTURE,))}
    async with asking(path, subjects=subjects) as here:
        act, body = "/api/v1/lines/cable/send", {"text": "x"}
        assert (await here.ask("/api/v1/status")).status == 401  # the table closes the gate
        for identity, status, acted in (
            (shown("CN=anna", "Operator"), 200, 200),
            (shown("CN=anna", "admin"), 200, 200),
            (shown("CN=scada", "Admin"), 200, 403),  # the table gives less
            (shown("CN=bob"), 200, 403),
            (shown("CN=eve", "Engineer"), 401, 401),
            (shown("CN=eve"), 401, 401),
            (None, 401, 401),
        ):
            assert (await here.ask("/api/v1/status", identity=identity)).status == status, identity
            assert (await here.ask(act, body, identity=identity)).status == acted, identity
        who = (await here.ask("/api/v1/session", identity=shown("CN=bob"))).json()
        assert (who["name"], who["how"]) == ("CN=bob", "certificate")
        assert who["rights"] == ["capture", "look", "monitor", "open"]


async def test_s25_a_browser_shows_it_to_every_site_s_wish(path: str) -> None:
    anna = shown("CN=anna", "operator")
    async with asking(path, subjects={"CN=x": AsWhom(Role.VIEWER)}) as here:
        act, body = "/api/v1/lines/cable/send", {"text": "x"}
        for other in (
            {"Sec_Fetch_Site": "cross-site"},
            {"Origin": "http://evil.example"},
            {"Content_Type": "text/plain"},
        ):
            assert (await here.ask(act, body, identity=anna, **other)).status == 403, other
        assert (await here.ask(act, body, identity=anna)).status == 200  # curl


async def test_s25_revoked_is_out_in_the_midst_of_it(path: str) -> None:
    believed = True
    async with asking(path) as here:
        here.told(admits=lambda _identity: believed)
        anna = shown("CN=anna", "admin")
        assert (await here.ask("/api/v1/audit", identity=anna, peer="192.0.2.9")).status == 200
        async with asyncio.TaskGroup() as tasks:
            streaming = tasks.create_task(here.ask("/api/v1/events", identity=anna, peer="192.0.2.9"))
            await asyncio.sleep(3)
            assert not streaming.done()
            believed = False
            async with asyncio.timeout(3):
                assert b"hello" in (await streaming).body
        refused = await here.ask("/healthz", identity=anna, peer="192.0.2.9")
        assert (refused.status, b"not believed" in refused.body) == (403, True)


async def test_s25_a_token_or_session_comes_before_it_and_one_that_has_ended_after(path: str) -> None:
    changing.add(path, "anna", Role.VIEWER, [], GOOD)
    token = changing.add_token(path, "scrape", Role.VIEWER, [], None)
    async with asking(path) as here:
        identity = shown("CN=bob", "operator")
        for headers, name in ((bearer(token), "scrape"), (here.session() if here.gate.logins else {}, "anna")):
            assert (await here.ask("/api/v1/session", identity=identity, **headers)).json()["name"] == name
        stale = {"Cookie": "nportpy=none", **OWN}
        assert (await here.ask("/api/v1/session", identity=identity, **stale)).json()["name"] == "CN=bob"


# Guesses.


async def test_s20_three_hundred_guesses_of_one_address_and_the_owner_from_elsewhere(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changing.add(path, "anna", Role.VIEWER, [], GOOD)
    tried = 0
    real = passwords.fits

    def fits(password: str, stored: str) -> bool:
        nonlocal tried
        tried += 1
        return real(password, stored)

    monkeypatch.setattr(passwords, "fits", fits)
    async with asking(path) as here:
        here.told(secure=True)
        for number in range(300):
            body = {"name": "anna", "password": f"guess {number}"}
            answer = await here.ask("/api/v1/session", body, peer="192.0.2.66", **OWN)
            assert answer.status in (401, 429)
            await asyncio.sleep(1)
            if number == 150:
                own = await here.ask("/api/v1/session", {"name": "anna", "password": GOOD}, peer="192.0.2.7", **OWN)
                assert own.status == 200
        assert 8 <= tried - 1 <= 10
        assert len(here.gate.audit.recent.since(0)) < 30


async def test_s20_behind_a_proxy_one_who_guesses_holds_up_nobody_else(path: str) -> None:
    changing.add(path, "anna", Role.VIEWER, [], GOOD)
    async with asking(path) as here:
        proxied = {"X_Forwarded_Proto": "https", **OWN}
        wrong, right = {"name": "eve", "password": "x" * 12}, {"name": "anna", "password": GOOD}
        for status in (401, 429, 429):
            answer = await here.ask("/api/v1/session", wrong, X_Forwarded_For="192.0.2.66", **proxied)
            assert answer.status == status
        for heard in ("192.0.2.7", "192.0.2.66, 192.0.2.8", "none", "2001:db8::7"):
            answer = await here.ask("/api/v1/session", right, X_Forwarded_For=heard, **proxied)
            assert answer.status == 200, heard


async def test_a_gateway_without_accounts_reads_no_file(tmp_path: Any) -> None:
    async with asking(str(tmp_path / "none" / "accounts.json")) as here:
        assert (await here.ask("/metrics")).status == 200
        assert here.gate.logins is None
        assert GateSettings().file is None

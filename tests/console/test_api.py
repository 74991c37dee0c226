"""The console's API on a gateway: what it shows, what it does, who may, and that nothing else can be done with it."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from nportpy.console import streams
from nportpy.console.changes import Changes, differences
from nportpy.modbus.settings import BusSettings, Timeout
from nportpy.port.loopback import Cable
from nportpy.services import site
from nportpy.services.http_base import ConsoleMode, HttpSettings
from tests.support.api import Answered, call
from tests.support.bus import Units, reply
from tests.support.http_streams import asking
from tests.support.serving import Served, plan, raw, serving, until

HTTP = HttpSettings((("127.0.0.1", 0),))
BUS = BusSettings(timeout=Timeout(0.1), retries=0)


class At:
    """A gateway with a console, on one line with units 1 to 9 that hold what is written to them."""

    def __init__(self, served: Served, cable: Cable) -> None:
        self.served = served
        self.cable = cable
        self.heard = bytearray()

    @property
    def port(self) -> int:
        service = self.served.gateway._http._service
        assert service is not None
        return int(service.addresses[0].rpartition(":")[2])

    async def call(self, path: str, body: object = None, **more: Any) -> Answered:
        return await call(self.port, path, body, **more)

    def counted(self) -> dict[tuple[str, str], int]:
        return dict(self.served.gateway.status().actions)


@asynccontextmanager
async def consoled(http: HttpSettings = HTTP, **changes: Any) -> AsyncIterator[At]:
    cable = Cable()
    async with serving(plan("cable", raw(), bus=BUS), cables=[cable], http=http, **changes) as served:
        yield At(served, cable)


@asynccontextmanager
async def with_units() -> AsyncIterator[At]:
    async with consoled() as at:
        Units(at.cable, lambda data: [(0.01, reply(data))] if data[0] < 10 else [])
        yield at


# Looking.


async def test_the_status_and_its_changes() -> None:
    async with consoled() as at, asking(at.port, "/api/v1/events", Accept="application/x-ndjson") as answer:
        assert answer.headers["content-type"] == "application/x-ndjson"
        hello, status = await answer.row(), await answer.row()
        assert (hello["event"], status["event"]) == ("hello", "status")
        document = (await at.call("/api/v1/status")).json()
        assert status["status"].keys() == document.keys() - {"time"}
        client = await at.served.raw()
        client.send(b"abc")
        shown = status["status"]
        async with asyncio.timeout(20):
            while shown["lines"][0]["sent"] != 3 or not shown["services"][0]["clients"]:
                change = await answer.row()
                for path, value in change.get("changes", ()):
                    place = shown
                    for key in path[:-1]:
                        place = place[key]
                    place[path[-1]] = value
        assert shown["services"][0]["clients"][0]["received"] == 3


async def test_events_for_who_does_not_accept_ndjson() -> None:
    async with consoled() as at, asking(at.port, "/api/v1/events") as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        text = b""
        while b"event: status" not in text:
            text += await answer.some()
        assert text.startswith(b"retry: 1000\n\nevent: hello\ndata: {")


async def test_an_idle_gateway_still_says_that_it_lives() -> None:
    async with consoled() as at, asking(at.port, "/api/v1/events", Accept="application/x-ndjson") as answer:
        assert [(await answer.row())["event"] for _ in range(2)] == ["hello", "status"]
        for _ in range(3):
            async with asyncio.timeout(2.5):
                assert (await answer.row())["event"] in ("change", "alive")


@given(st.recursive(st.integers() | st.text(max_size=3), lambda of: st.lists(of, max_size=3) | st.dictionaries(
    st.sampled_from("abc"), of, max_size=3), max_leaves=12), st.data())  # fmt: skip
def test_differences_make_the_one_of_the_other(before: Any, data: st.DataObject) -> None:
    now = data.draw(
        st.one_of(st.just(json.loads(json.dumps(before))), st.integers(), st.lists(st.integers(), max_size=3))
    )
    if isinstance(now, dict | list) and now and data.draw(st.booleans()):
        now[next(iter(now)) if isinstance(now, dict) else 0] = 7
    shown: Any = {"whole": json.loads(json.dumps(before))}
    for path, value in differences(before, now, []):
        place = shown
        for key in ("whole", *path[:-1]) if path else ():
            place = place[key]
        place[path[-1] if path else "whole"] = value
    assert shown["whole"] == now


async def test_c2_nothing_is_kept_or_looked_at_while_nobody_watches() -> None:
    async with consoled() as at:
        asked = 0
        before = at.served.gateway.status

        def counting() -> Any:
            nonlocal asked
            asked += 1
            return before()

        changes = Changes(counting)
        changes.enter()
        await changes.look()
        assert changes.whole()
        changes.leave()
        assert asked == 1
        assert not changes._now
        await asyncio.sleep(60)
        assert asked == 1


async def test_c4_who_is_too_slow_gets_the_whole_again() -> None:
    async with consoled() as at:
        changes = Changes(at.served.gateway.status)
        changes.enter()
        first = await changes.look()
        for _ in range(3):
            client = await at.served.raw()
            client.send(b"x")
            await asyncio.sleep(1)
            await changes.look()
        assert changes.step > first + 1  # so `change` would miss something for one who has `first`
        assert json.loads(changes.whole())["status"]["services"][0]["clients"]
        changes.leave()


async def test_c4_ten_watchers_share_one_look() -> None:
    async with consoled() as at:
        changes = Changes(at.served.gateway.status)
        for _ in range(10):
            changes.enter()
        steps = await asyncio.gather(*(changes.look() for _ in range(10)))
        assert steps == [1] * 10
        assert len({id(changes.whole()) for _ in range(10)}) == 1


async def test_c4_too_many_streams_hear_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MOST", 2)
    async with consoled() as at, asking(at.port, "/api/v1/events") as one, asking(at.port, "/api/v1/events") as two:
        assert (one.status, two.status) == (200, 200)
        refused = await at.call("/api/v1/events")
        assert (refused.status, refused.headers["content-type"]) == (503, "application/problem+json")
        assert "2 streams are open" in refused.json()["detail"]


async def test_c4_one_client_too_many_hears_why_and_one_that_asks_nothing_makes_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(site, "MAX_CLIENTS", 2)
    async with consoled() as at, asking(at.port, "/api/v1/events"), asking(at.port, "/api/v1/events"):
        refused = await at.call("/healthz")
        assert (refused.status, refused.body) == (
            503,
            b"503 Service Unavailable: 2 clients are connected, and no more may be\n",
        )
        monkeypatch.setattr(site, "MAX_STRANGERS", 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
    monkeypatch.setattr(site, "MAX_STRANGERS", 8)
    async with consoled() as at, asking(at.port, "/api/v1/events"):
        silent = await asyncio.open_connection("127.0.0.1", at.port)
        assert (await at.call("/healthz")).status == 503
        await asyncio.sleep(1.1)
        assert (await at.call("/healthz")).status == 200  # who asks nothing makes room
        silent[1].close()


async def test_c4_the_33rd_client_hears_why() -> None:
    """24 pages, and those of them that show the monitor have a stream more."""
    paths = ["/api/v1/events"] * streams.MOST + ["/api/v1/ports/cable/monitor"] * (site.MAX_CLIENTS - streams.MOST)
    async with consoled() as at, AsyncExitStack() as stack:
        for path in paths:
            answer = await stack.enter_async_context(asking(at.port, path))
            assert answer.status == 200
        for _ in range(site.MAX_STRANGERS):
            refused = await at.call("/healthz")
            assert (refused.status, refused.body) == (
                503,
                b"503 Service Unavailable: 32 clients are connected, and no more may be\n",
            )


async def test_c9_the_log_is_shown_filtered_and_bounded() -> None:
    async with consoled() as at:
        log = logging.getLogger("nportpy.test")
        for number in range(1200):
            log.warning("something %d", number, extra={"port": "cable"})
        log.error("fault")
        found = (await at.call("/api/v1/log")).json()
        assert len(found["records"]) == 1000
        assert found["records"][-1]["message"] == "fault"
        assert found["records"][-1]["number"] == found["newest"]
        errors = (await at.call("/api/v1/log?level=error")).json()["records"]
        assert [each["message"] for each in errors] == ["fault"]
        some = (await at.call("/api/v1/log?text=SOMETHING%201199")).json()["records"]
        assert [each["port"] for each in some] == ["cable"]
        assert not (await at.call(f"/api/v1/log?after={found['newest']}")).json()["records"]


async def test_a_chart_without_an_archive_says_so() -> None:
    async with consoled() as at:
        answer = await at.call("/api/v1/archive/chart?tag=a/b")
        assert (answer.status, answer.json()["detail"]) == (404, "nothing is archived here")


# Doing.


async def test_c7_values_are_read_and_written_after_confirmation() -> None:
    async with with_units() as at:
        wanted = {"bus": "cable", "unit": 1}
        read = await at.call("/api/v1/modbus/read", wanted | {"read": "41001-41002"})
        assert [each["address"] for each in read.json()["values"]] == ["41001", "41002"]
        write = wanted | {"write": "41001", "value": "7"}
        asked = await at.call("/api/v1/modbus/write", write)
        assert asked.status == 428
        assert asked.json()["confirm"] == "0603e80007"
        assert asked.json()["name"] == "41001"
        wrong = await at.call("/api/v1/modbus/write", write | {"value": "8", "confirm": "0603e80007"})
        assert wrong.status == 428  # that was another request
        done = await at.call("/api/v1/modbus/write", write | {"confirm": asked.json()["confirm"]})
        assert done.status == 200
        records = (await at.call("/api/v1/audit")).json()["records"]  # S28
        told = [(each["event"], each["result"]) for each in records if each["event"] in ("read", "write")]
        assert told == [("read", "done"), *[("write", "unconfirmed")] * 2, ("write", "done")]
        assert (records[-1]["bus"], records[-1]["unit"], records[-1]["write"], records[-1]["value"]) == (
            *("cable", 1),
            *("41001", "7"),
        )
        assert at.counted()["write", "done"] == 1
        assert at.counted()["write", "unconfirmed"] == 2


async def test_c7_any_request_can_be_asked_and_those_that_change_something_want_to_be_confirmed() -> None:
    async with with_units() as at:
        wanted = {"bus": "cable", "unit": 2}
        answer = await at.call("/api/v1/modbus/ask", wanted | {"pdu": "03 03e8 0002"})
        assert answer.json()["answer"].startswith("0304")
        for pdu in ("0603e80001", "05 0001 ff00", "1003e80001020001", "08 0001 0000", "41"):
            assert (await at.call("/api/v1/modbus/ask", wanted | {"pdu": pdu})).status == 428, pdu
        silent = await at.call("/api/v1/modbus/ask", {"bus": "cable", "unit": 99, "pdu": "0300000001"})
        assert silent.json()["answer"] == "830b"
        assert "did not answer" in silent.json()["exception"]


async def test_c7_a_scan_shows_progress_and_stops_with_who_asked() -> None:
    async with with_units() as at:
        body = {"bus": "cable", "first": 8, "last": 11}
        rows = (await at.call("/api/v1/modbus/scan", body, Accept="application/x-ndjson")).body.splitlines()
        found = [json.loads(row) for row in rows]
        assert [(each["unit"], each["found"]) for each in found[:-1]] == [
            (8, True),
            (9, True),
            (10, False),
            (11, False),
        ]
        assert found[-1] == {"done": True}
        reader, writer = await asyncio.open_connection("127.0.0.1", at.port)
        content = json.dumps({"bus": "cable", "first": 20, "last": 247}).encode()
        head = "POST /api/v1/modbus/scan HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        await reader.readuntil(b'"unit":20')
        assert (await at.call("/api/v1/modbus/scan", body)).status == 409
        writer.close()
        await until(lambda: at.counted().get(("scan", "done")) == 2, 30)
        units = [each.unit for each in at.served.bus().units]
        assert max(units) < 40


async def test_c7_bytes_a_break_modem_lines_and_reopening() -> None:
    async with consoled() as at:
        sent = await at.call("/api/v1/lines/cable/send", {"text": "höre"})
        assert sent.json() == {"bytes": 5, "left": True}
        assert (await at.call("/api/v1/lines/cable/send", {"hex": "00 ff"})).json()["bytes"] == 2
        assert at.served.line().sent == 7
        assert (await at.call("/api/v1/lines/cable/break", {"milliseconds": 100})).status == 200
        lines = await at.call("/api/v1/lines/cable/modem_lines", {"dtr": False, "rts": True})
        assert "rts" in lines.json()["modem_lines"]
        assert "dtr" not in lines.json()["modem_lines"]
        opens = at.served.line().opens
        assert (await at.call("/api/v1/lines/cable/reopen", {})).status == 200
        await until(lambda: at.served.line().opens == opens + 1)
        assert at.counted() == {(name, "done"): n for name, n in
                                (("send", 2), ("break", 1), ("modem_lines", 1), ("reopen", 1))}  # fmt: skip


async def test_c6_a_client_is_ended_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "nportpy")
    async with consoled() as at:
        client = await at.served.raw()
        known = at.served.service().clients[0]
        who = {"port": "cable", "service": "raw", "client": f"{known.address}:{known.port}"}
        assert (await at.call("/api/v1/services/end", who)).status == 200
        await until(lambda: client.lost)
        assert at.served.results()["kicked"] == 1
        assert (await at.call("/api/v1/services/end", who)).status == 404
        entry = (await at.call("/api/v1/log?text=kick")).json()["records"]
        assert any(each.get("event") == "kick" and each.get("result") == "done" for each in entry)


async def test_a_line_that_is_away_is_not_acted_upon() -> None:
    async with consoled() as at:
        assert at.cable.near is not None
        at.cable.near.lose()
        await until(lambda: at.served.line().state != "up")
        assert (await at.call("/api/v1/lines/cable/send", {"text": "x"})).status == 409
        assert (await at.call("/api/v1/lines/none/send", {"text": "x"})).status == 404


# Who may.

ACTIONS = ("/api/v1/lines/cable/send", "/api/v1/modbus/read", "/api/v1/services/end", "/api/v1/lines/cable/reopen")
PRIVATE = ("/api/v1/log", "/api/v1/bundle")


@pytest.mark.parametrize(
    ("host", "headers"),
    [
        ("localhost", {"X_Forwarded_For": "192.0.2.1"}),
        ("localhost", {"Forwarded": "for=192.0.2.1"}),
        ("localhost", {"Origin": "http://evil.example"}),
        ("localhost", {"Origin": "null"}),
        ("localhost", {"Sec_Fetch_Site": "cross-site"}),
        ("localhost", {"Sec_Fetch_Site": "same-site"}),
    ],
)
async def test_c24_other_sites_and_other_machines_may_neither_act_nor_listen(
    host: str, headers: dict[str, str]
) -> None:
    async with consoled() as at:
        for path in ACTIONS:
            answer = await at.call(path, {"text": "x"}, host=host, **headers)
            assert (answer.status, answer.headers["content-type"]) == (403, "application/problem+json")
        for path in PRIVATE:
            assert (await at.call(path, host=host, **headers)).status == 403
        assert at.served.line().sent == 0
        assert all(result == "refused" for _, result in at.counted())
        assert sum(at.counted().values()) == len(ACTIONS) + len(PRIVATE)
        for evil in ("evil.example", "localhost.evil.example"):  # a page whose name was made to lead here
            answer = await at.call("/api/v1/lines/cable/send", {"text": "x"}, host=evil, **headers)
            assert answer.status == 421
        assert at.served.line().sent == 0


async def test_c24_a_form_of_another_site_cannot_act() -> None:
    async with consoled() as at:
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
            answer = await at.call("/api/v1/lines/cable/send", b'{"text": "x"}', Content_Type=kind)
            assert answer.status == 415
        assert at.served.line().sent == 0


async def test_s24_every_answer_has_the_headers() -> None:
    async with consoled() as at:
        for path in (
            "/",
            "/nothing",
            "/api/v1/status",
            "/metrics",
            "/api/v1/log?x=1",
            "/assets/0/x.js",
            "/api/v1/openapi.json",
        ):
            for accept in ("text/html", "*/*"):
                headers = (await at.call(path, Accept=accept)).headers
                assert headers["x-content-type-options"] == "nosniff", path
                assert headers["referrer-policy"] == "no-referrer"
                assert "default-src 'none'" in headers["content-security-policy"]
                assert "frame-ancestors 'none'" in headers["content-security-policy"]


async def test_off_is_off() -> None:
    async with consoled(HttpSettings((("127.0.0.1", 0),), console=ConsoleMode.OFF)) as at:
        assert b"/metrics" in (await at.call("/", Accept="text/html")).body
        for path in ("/api/v1/events", "/api/v1/log", "/api/v1/openapi.json", "/assets/0/console.js"):
            assert (await at.call(path)).status == 404
        assert (await at.call("/api/v1/lines/cable/send", {"text": "x"})).status in (404, 405)
        assert (await at.call("/api/v1/status")).status == 200
        assert at.served.gateway._desk.recent.newest == 0


# Nonsense.

PARTS = (
    *("api", "v1", "lines", "cable", "send", "break", "archive", "chart", "log", "events", "modbus", "assets", ".."),
    *("%2e%2e", "%00", "%ff", "bundle", "captures", "ports"),
)
PATHS = st.lists(st.sampled_from([*PARTS, "monitor", "", "\u00fc", "x" * 300]), max_size=7)
NAMES = ["tag", "from", "to", "points", "level", "text", "after", "x", "upstream", "filter", "ä"]
VALUES = [
    "",
    "0",
    "-1",
    "1e999",
    "nan",
    "inf",
    "9" * 400,
    "a/b",
    "%00",
    "2026-01-01T00:00:00Z",
    "\U0001f600",
    "'",
    "]" * 50,
]
QUERIES = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(VALUES), max_size=4)
MEMBERS = ["bus", "unit", "pdu", "read", "text", "hex", "milliseconds", "dtr", "confirm", "first", "last"]
BODIES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda of: (
        st.lists(of, max_size=3) | st.dictionaries(st.text(max_size=8) | st.sampled_from(MEMBERS), of, max_size=5)
    ),
    max_leaves=8,
)


@pytest.mark.long
async def test_fuzzed_paths_queries_and_bodies_are_answered_in_order() -> None:
    """Whatever comes: an answer that says what is wrong, never 500, and a gateway that serves on."""
    from urllib.parse import quote, urlencode

    async with consoled() as at:
        loop = asyncio.get_running_loop()
        asked: list[tuple[str, object]] = []

        @hypothesis_settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))
        @given(PATHS, QUERIES, st.none() | BODIES)
        def collect(parts: list[str], query: dict[str, str], body: object) -> None:
            path = "/" + "/".join(quote(part, safe="%") for part in parts)
            asked.append((f"{path}?{urlencode(query)}" if query else path, body))

        collect()
        known = [route.path.replace("{name}", "cable") for route in (await _routes(at)) if route.method == "POST"]
        asked += [(path, body) for path in known for _, body in asked[:40] if body is not None]
        del loop
        for path, body in asked:
            if "/events" in path or "/monitor" in path or "/capture" in path:
                continue
            answer = await at.call(path, None if body is None else json.dumps(body).encode())
            assert answer.status < 500 or answer.status == 503, (path, body, answer.body)
        await until(lambda: at.served.line().state == "up")  # some of it may have opened it anew


async def _routes(at: At) -> Any:
    await at.call("/api/v1/openapi.json")
    service = at.served.gateway._http._service
    assert service is not None
    console: Any = next(each for each in service._pages if hasattr(each, "_desk"))
    return console._console.routes.all

"""The pages of the second storey: /readings, stations, the archive, its samples, and sending them again."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from http.client import HTTPResponse
from typing import Any

import pytest

from nportpy.errors import ArchiveError
from nportpy.network.addresses import Endpoint, listen
from nportpy.services.archived import COLUMNS, Archived, Curve, ShownSample, interval, utc
from nportpy.services.http import HttpService
from nportpy.services.http_base import HttpSettings
from nportpy.status import GatewayStatus
from tests.services import samples
from tests.services.test_http import fetch

SECOND = 1_000_000
SAMPLES = [
    ShownSample("2026-01-01T00:00:01.000000Z", "emon", "power", 1.5, "kW", "good", False, 1, "b0"),
    ShownSample("2026-01-01T00:00:02.000000Z", "emon", "state", 'a, "b"', "", "uncertain", True, 2, "b0"),
    ShownSample("2026-01-01T00:00:03.000000Z", "emon", "power", None, "kW", "bad", False, 3, "b0"),
    ShownSample("2026-01-01T00:00:04.000000Z", "emon", "energy", 2**63 + 1, "kWh", "good", False, 4, "b0"),
]


class FakeArchive:
    """Has `SAMPLES`; says what it was asked."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked: list[tuple[object, ...]] = []

    async def samples(self, start: int, end: int, tag: str = "") -> AsyncIterator[list[ShownSample]]:
        self.asked.append((start, end, tag))
        if self.error is not None:
            raise self.error
        if tag.startswith("no"):
            raise LookupError("nothing of it was ever kept")
        for each in SAMPLES:
            if not tag or tag in (each.station, f"{each.station}/{each.tag}"):
                yield [each]

    async def chart(self, tags: Sequence[str], start: int, end: int, points: int) -> list[Curve]:
        raise NotImplementedError

    def send(self, upstream: str, start: int, end: int) -> list[str]:
        self.asked.append((upstream, start, end))
        if self.error is not None:
            raise self.error
        if upstream not in ("", "plant"):
            raise LookupError(f"there is no upstream {upstream}; there are: plant")
        return ["plant"]


@asynccontextmanager
async def serving(
    archive: Archived | None, status: Callable[[], GatewayStatus] = samples.with_edge, host: str = "127.0.0.1"
) -> AsyncIterator[HttpService]:
    settings = HttpSettings(((host, 0),))
    with ExitStack() as stack:
        sockets = [stack.enter_context(listen(Endpoint(*each))) for each in settings.listen]
        service = HttpService(settings, sockets, status, lambda: True, lambda: archive)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(service.run())
            await service.listening.wait()
            yield service
            running.cancel()


def problem(response: HTTPResponse, body: bytes) -> str:
    """The detail of a problem (RFC 9457)."""
    assert response.headers["Content-Type"].startswith("application/problem+json")
    assert response.headers["Cache-Control"] == "no-store"
    found = json.loads(body)
    assert found["status"] == response.status
    assert set(found) == {"title", "status", "detail"}
    return str(found["detail"])


async def test_samples_as_csv() -> None:
    archive = FakeArchive()
    async with serving(archive) as service:
        response, body = await fetch(service, "/api/v1/archive/samples?from=2026-01-01T00:00:00Z&to=1767225610")
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
        rows = list(csv.reader(io.StringIO(body.decode())))
        assert tuple(rows[0]) == COLUMNS
        assert rows[2] == ["2026-01-01T00:00:02.000000Z", "emon", "state", 'a, "b"', "", "uncertain", "true", "2", "b0"]
        assert rows[3][3] == ""
        assert rows[4][3] == str(2**63 + 1)
        assert archive.asked == [(1767225600 * SECOND, 1767225610 * SECOND, "")]


async def test_samples_as_lines_of_json() -> None:
    async with serving(FakeArchive()) as service:
        response, body = await fetch(service, "/api/v1/archive/samples?format=ndjson&tag=emon/power")
        assert response.headers["Content-Type"] == "application/x-ndjson"
        found = [json.loads(line) for line in body.splitlines()]
        assert [each["value"] for each in found] == [1.5, None]
        assert all(tuple(each) == COLUMNS for each in found)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("from=yesterday", "'yesterday' is no time"),
        ("from=2026-01-01T00:00:00", "says nothing of its offset"),
        ("from=nan", "is no time"),
        ("from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "ends before it begins"),
        ("from=5&to=5", "ends before it begins"),
        ("format=xml", "format is csv or ndjson, not 'xml'"),
        ("tag=nothing/like/it", "nothing of it"),
        ("from=" + "9" * 400 + "x", "is no time"),
        ("from=inf&to=inf", "ends before it begins"),
    ],
)
async def test_what_cannot_be_asked_is_a_problem(query: str, said: str) -> None:
    async with serving(FakeArchive()) as service:
        response, body = await fetch(service, f"/api/v1/archive/samples?{query}")
        assert response.status == 400
        assert said in problem(response, body)


@pytest.mark.parametrize("start", ["-inf", "-1e300", "0001-01-01T00:00:00Z", ""])
async def test_an_interval_may_begin_anywhere(start: str) -> None:
    archive = FakeArchive()
    async with serving(archive) as service:
        response, _ = await fetch(service, f"/api/v1/archive/samples?from={start}&to=inf")
        assert response.status == 200
        assert all(abs(each) < 2**63 for each in archive.asked[0][:2])  # type: ignore[arg-type]


def test_a_plus_that_was_not_escaped_in_a_url() -> None:
    assert interval("2026-01-01T01:00:00 01:00", None)[0] == 1767225600 * SECOND
    assert interval("2026-01-01 00:00:00Z", None)[0] == 1767225600 * SECOND
    assert utc(1767225600 * SECOND + 1) == "2026-01-01T00:00:00.000001Z"


async def test_where_nothing_is_archived() -> None:
    async with serving(None, samples.gateway) as service:
        for path, method in (("/api/v1/archive/samples", "GET"), ("/api/v1/archive/send", "POST")):
            response, body = await fetch(service, path, method)
            assert response.status == 404
            assert problem(response, body) == "nothing is archived here"
        assert (await fetch(service, "/api/v1/archive"))[1] == b"null\n"
        assert (await fetch(service, "/api/v1/stations"))[1] == b"[]\n"
        response, body = await fetch(service, "/readings")
        assert response.status == 200
        assert b"\nnportpy_reading{" not in body


async def test_an_archive_that_cannot_be_had_says_why() -> None:
    async with serving(FakeArchive(ArchiveError("/x/archive.db: read-only file system"))) as service:
        for path, method in (("/api/v1/archive/samples", "GET"), ("/api/v1/archive/send?from=0", "POST")):
            response, body = await fetch(service, path, method)
            assert response.status == 503
            assert "read-only" in problem(response, body)


async def test_send_again() -> None:
    archive = FakeArchive()
    async with serving(archive) as service:
        response, body = await fetch(service, "/api/v1/archive/send?upstream=plant&from=10&to=20", "POST")
        assert (response.status, json.loads(body)) == (200, {"upstreams": ["plant"]})
        assert archive.asked == [("plant", 10 * SECOND, 20 * SECOND)]
        response, body = await fetch(service, "/api/v1/archive/send?upstream=other", "POST")
        assert response.status == 400
        assert problem(response, body) == "there is no upstream other; there are: plant"
        response, body = await fetch(service, "/api/v1/archive/send?from=never", "POST")
        assert response.status == 400
        for method in ("GET", "PUT"):
            assert (await fetch(service, "/api/v1/archive/send", method))[0].status == 405
        assert (await fetch(service, "/api/v1/archive/samples", "POST"))[0].status == 405


@pytest.mark.parametrize(
    ("remote", "status"),
    [
        ("127.0.0.1", 200),
        ("127.8.8.8", 200),
        ("::1", 200),
        ("::ffff:127.0.0.1", 200),
        ("192.0.2.7", 403),
        ("fe80::1%eth0", 403),
        ("::ffff:192.0.2.7", 403),
        (None, 403),
    ],
)
async def test_send_again_is_for_this_machine_only(remote: str | None, status: int) -> None:
    from nportpy.accounts.roles import Right
    from nportpy.services.audit import Audit
    from nportpy.services.gate import Gate, GateSettings
    from nportpy.services.pages import Found

    class Request:
        headers = {"Host": "localhost:9550"}  # noqa: RUF012 - as aiohttp's

        def __init__(self) -> None:
            self.remote = remote

    request: Any = Request()
    gate = Gate(GateSettings(), Audit())

    async def answer(_who: Any) -> Any:
        raise AssertionError

    refusal = gate.refusal(request, gate.who(request), Found(Right.ACT, answer))
    assert (refusal.status if refusal else 200) == status


async def test_readings_stations_and_the_archive() -> None:
    async with serving(FakeArchive()) as service:
        _, body = await fetch(service, "/readings")
        lines = [line for line in body.decode().splitlines() if not line.startswith("#")]
        assert lines == [
            'nportpy_reading{station="emon",tag="power",unit="kW"} 12.5',
            'nportpy_reading{station="emon",tag="counter",unit=""} 7.0',
        ]  # neither what is bad nor what is no number
        _, body = await fetch(service, "/api/v1/stations")
        stations = json.loads(body)
        assert [each["name"] for each in stations] == ["emon", "dead"]
        assert stations[1]["up"] is False
        assert stations[1]["since"] == "2026-01-01T00:01:00.000Z"
        assert stations[1]["reason"] == "unit 9 does not answer"
        assert stations[0]["tags"][0] == {
            "name": "power", "unit": "kW", "value": 12.5, "quality": "good", "reason": "",
            "at": "2026-01-01T00:01:40.000Z",
        }  # fmt: skip
        _, body = await fetch(service, "/api/v1/archive")
        found = json.loads(body)
        assert found["archive"]["samples"] == 90
        assert found["upstreams"][0]["backlog"] == 30
        _, body = await fetch(service, "/readings", Accept="application/openmetrics-text")
        assert body.endswith(b"# EOF\n")


async def test_an_error_of_the_archive_is_in_the_status() -> None:
    def status() -> GatewayStatus:
        found = samples.with_edge()
        assert found.edge is not None
        return replace(found, edge=replace(found.edge, archive=None, stations=(), upstreams=(), error="no room"))

    async with serving(FakeArchive(), status) as service:
        _, body = await fetch(service, "/api/v1/archive")
        assert json.loads(body) == {"archive": None, "upstreams": [], "error": "no room"}

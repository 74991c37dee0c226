"""Upstreams and databases: InfluxDB 1 and VictoriaMetrics of Debian, and what a version 2 server and a proxy say."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
import pytest
from aiohttp import web

from nportpy.edge.settings import Format
from tests.support.brokers import influxd, victoria_metrics
from tests.support.serving import until
from tests.support.upstreams import Sending, sending_to

pytestmark = [pytest.mark.peer, pytest.mark.real, pytest.mark.slow]


async def says(at: Sending, *words: str) -> None:
    await until(lambda: all(word in at.upstream.status().reason for word in words), 30.0)


async def asked(url: str, **query: str) -> str:
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{url.removeprefix('influx+')}?{urlencode(query)}") as answer,
    ):
        return await answer.text()


async def test_influxdb_1_has_every_sample_once_its_database_is_made(tmp_path: Path) -> None:
    async with (
        influxd(tmp_path) as server,
        sending_to(tmp_path, server.url, format=Format.INFLUX, database="energy") as at,
    ):
        await at.feed(1.0, 100.0)
        await says(at, "404", "database not found")
        assert at.upstream.status().backlog == at.archive.newest
        await asked(f"{server.url}/query", q="CREATE DATABASE energy")
        await at.settle()
        assert await points(server.url) == at.produced
        await server.kill()
        await at.feed(1.0, 100.0)
        await until(lambda: not at.upstream.status().up)
        await server.start()
        await at.settle()
        assert await points(server.url) == at.produced  # the overlap is the same points again


async def points(url: str) -> int:
    said = json.loads(await asked(f"{url}/query", db="energy", q="SELECT count(value) FROM reading"))
    return int(said["results"][0]["series"][0]["values"][0][1])


async def test_victoria_metrics_has_every_sample(tmp_path: Path) -> None:
    async with (
        victoria_metrics(tmp_path) as server,
        sending_to(tmp_path, server.url, format=Format.INFLUX, bucket="b", org="o") as at,
    ):
        await at.feed(1.0, 100.0)
        await at.settle()
        query = {"match[]": '{__name__="reading_value"}'}
        said = ""

        async def there() -> int:
            nonlocal said
            said = await asked(f"{server.url}/api/v1/export", **query)
            return sum(len(json.loads(line)["values"]) for line in said.splitlines())

        for _ in range(100):
            await asked(f"{server.url}/internal/force_flush")
            if await there() == at.produced:
                break
            await asyncio.sleep(0.2)  # it shows a sample some time after it has taken it
        assert await there() == at.produced, said[:500]


class Version2:
    """What a server of version 2 does, as far as writes go; `answer` says how."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.status, self.text, self.type = 204, "", "application/json"
        self.headers: dict[str, str] = {}
        self.poison = b""
        self.limit = 1 << 30

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        if request.headers.get("Authorization") != "Token secret":
            return web.json_response({"code": "unauthorized", "message": "unauthorized access"}, status=401)
        if self.status != 204:
            return web.Response(status=self.status, text=self.text, content_type=self.type, headers=self.headers)
        if len(body) > self.limit:
            return web.json_response({"code": "request too large"}, status=413)
        if self.poison and self.poison in body:
            return web.json_response({"code": "invalid", "message": "unable to parse"}, status=400)
        assert request.query["precision"] == "ns"
        assert (request.query["org"], request.query["bucket"]) == ("plant", "energy")
        self.lines += body.splitlines()
        return web.Response(status=204)


@asynccontextmanager
async def version_2(path: Path, token: str = "secret") -> AsyncIterator[tuple[Version2, Sending]]:
    server, application = Version2(), web.Application(client_max_size=1 << 30)
    application.router.add_post("/api/v2/write", server.take)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    (path / "token").write_text(f"{token}\n")
    keys = {"org": "plant", "bucket": "energy", "token_file": str(path / "token"), "format": Format.INFLUX}
    try:
        async with sending_to(path, f"influx+http://127.0.0.1:{port}", **keys) as at:
            yield server, at
    finally:
        await runner.cleanup()


async def test_version_2_with_a_token_that_is_put_right(tmp_path: Path) -> None:
    async with version_2(tmp_path, token="old") as (server, at):
        await at.feed(0.5, 100.0)
        await says(at, "401")
        assert not at.upstream.status().up
        (tmp_path / "token").write_text("secret\n")
        await at.settle()
        assert len(set(server.lines)) == at.produced


@pytest.mark.parametrize(
    ("status", "text", "kind", "headers", "words"),
    [
        (401, '{"message":"unauthorized access"}', "application/json", {}, "401"),
        (404, '{"message":"bucket not found"}', "application/json", {}, "bucket not found"),
        (429, "too many", "text/plain", {}, "429"),
        (503, "busy", "text/plain", {}, "503"),
        (302, "", "text/html", {"Location": "http://login.example/"}, "login.example"),
        (301, "", "text/plain", {"Location": "https://there.example/"}, "there.example"),
        (200, "<html>Welcome to our network</html>", "text/html", {}, "no database is there"),
        (400, "<html>plain HTTP to a TLS port</html>", "text/html", {}, "no database is there"),
    ],
)
async def test_answers_that_pass_lose_nothing(
    tmp_path: Path, status: int, text: str, kind: str, headers: dict[str, str], words: str
) -> None:
    async with version_2(tmp_path) as (server, at):
        server.status, server.text, server.type, server.headers = status, text, kind, headers
        await at.feed(0.5, 100.0)
        await says(at, words)
        assert at.upstream.status().refused == 0
        assert at.upstream.status().backlog == at.archive.newest
        server.status = 204
        await at.settle()
        assert len(set(server.lines)) == at.produced


async def test_a_line_that_is_refused_and_a_body_that_is_too_large(tmp_path: Path) -> None:
    async with version_2(tmp_path) as (server, at):
        server.poison, server.limit = b"value=7.0,", 500
        await at.feed(0.5, 100.0)
        await at.settle()
        assert at.upstream.status().refused == 1
        assert len({line.split(b",late=")[0] for line in server.lines}) == at.produced - 1

"""Every example of docs/console.md and of the routes is tried on a gateway."""

import asyncio
import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from nportpy.console.openapi import SITE
from nportpy.port.loopback import Cable
from tests.console.test_api import BUS, HTTP, At, _routes
from tests.support.api import Answered, call
from tests.support.bus import Units, reply
from tests.support.edges import edged, emon, plant, world
from tests.support.http_streams import asking
from tests.support.serving import plan, raw, serving, until

DOCS = (Path(__file__).parents[2] / "docs/console.md").read_text()
EXAMPLES = [line.strip() for line in DOCS.splitlines() if line.strip().startswith("curl ")]


async def tried(port: int, command: str) -> Answered | None:
    """What curl would get; None: a stream that goes on."""
    words = shlex.split(command.replace("{url}", "http://127.0.0.1:9550"))
    headers, body, method = {}, None, ""
    url = next(word for word in words if word.startswith("http://"))
    for flag, value in pairwise(words):
        if flag == "-H":
            name, _, text = value.partition(": ")
            headers[name.replace("-", "_")] = text
        elif flag == "-d":
            body = value.encode()
        elif flag == "-X":
            method = value
    path = re.sub(r"meter|echo|\{name\}", "cable", url.removeprefix("http://127.0.0.1:9550"))
    body = body.replace(b'"meter"', b'"cable"') if body is not None else None
    if "/events" in path or "/monitor" in path or "/capture." in path:
        async with asking(port, path, **headers) as answer:
            assert answer.status == 200, command
        return None
    return await call(port, path, body, method, **headers)


@pytest.mark.long
async def test_c34_every_example_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cable = Cable()
    Units(cable, lambda data: [(0.01, reply(data))] if data[0] < 3 else [])
    async with serving(plan("cable", raw(), bus=BUS), cables=[cable], http=HTTP) as served:
        at = At(served, cable)
        routes = [*SITE, *await _routes(at)]
        examples = EXAMPLES + [f"curl {route.example}" for route in routes if route.example]
        for command in examples:
            if "/archive" in command or "/config" in command:  # test_editing.py has a file
                continue
            await until(lambda: served.line().state == "up")  # one of them opens it anew
            answer = await tried(at.port, command)
            if answer is not None:
                absent = "/services/end" in command  # no such client
                expected = 428 if "/modbus/write" in command else 404 if absent else 200
                assert answer.status == expected, (command, answer.body)
    assert len(EXAMPLES) > 12
    told = {re.sub(r"[?{].*", "", command.split("9550", 1)[-1].split("'")[0].split(" ")[0]) for command in EXAMPLES}
    assert {"/api/v1/status", "/api/v1/events", "/api/v1/bundle", "/api/v1/modbus/scan"} <= told


async def test_c34_the_examples_of_the_archive_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    around = world(tmp_path, monkeypatch)
    async with edged(around, around.edge(emon(), plant()), http=HTTP) as at:
        service = at.gateway._http._service
        assert service is not None
        port = int(service.addresses[0].rpartition(":")[2])
        await asyncio.sleep(120)
        examples = EXAMPLES + [f"curl {route.example}" for route in SITE if route.example]
        for command in examples:
            if "/archive" in command:
                answer = await tried(port, command)
                assert answer is not None
                assert answer.status == 200, (command, answer.body)
        chart = (await call(port, "/api/v1/archive/chart?tag=emon/power&points=50&from=0&to=1e11")).json()
        assert [curve["tag"] for curve in chart["curves"]] == ["emon/power"]
        assert chart["curves"][0]["samples"] >= 1
        assert set(chart["curves"][0]["low"]) == {256}
        unknown = await call(port, "/api/v1/archive/chart?tag=emon/none")
        assert unknown.status == 404
        many = "&tag=".join("abcdefghi")
        for query in ("from=x", "points=1", "points=5000", "from=5&to=4", f"tag={many}", "from=nan"):
            assert (await call(port, f"/api/v1/archive/chart?tag=emon/power&{query}")).status in (200, 400, 404), query

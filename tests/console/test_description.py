"""The description of the API: every path is in it, and what they answer is what it says."""

import asyncio
import json
from typing import Any

import pytest

from nportpy.console.openapi import SITE
from nportpy.services.site import Site
from tests.console.test_api import HTTP, At, consoled, with_units
from tests.support.api import call
from tests.support.asking import Client as Asker
from tests.support.asking import read
from tests.support.edges import edged, emon, plant, world
from tests.support.schemas import unlike


async def test_c34_the_description_has_every_route_and_every_field() -> None:
    async with consoled() as at:
        found = (await at.call("/api/v1/openapi.json")).json()
        status = (await at.call("/api/v1/status")).json()
    assert found["openapi"] == "3.1.0"
    schema = found["components"]["schemas"]
    assert set(schema["Status"]["required"]) == status.keys()
    assert set(schema["LineStatus"]["properties"]) == status["lines"][0].keys()
    assert set(schema["BusStatus"]["properties"]) == status["buses"][0].keys()
    for path, methods in found["paths"].items():
        for method, what in methods.items():
            assert what["responses"]["default"], (method, path)
            assert (method == "post") == (
                "requestBody" in what or path.endswith(("reopen", "archive/send", "remove"))
            ), path
    references = {part.split('"')[0] for part in json.dumps(found).split("#/components/schemas/")[1:]}
    assert references <= schema.keys()


async def test_c34_every_path_of_the_site_is_described() -> None:
    async with consoled() as at:
        found = (await at.call("/api/v1/openapi.json")).json()["paths"]
        service = at.served.gateway._http._service
        assert service is not None
        site = service._site
        assert isinstance(site, Site)
        paths = {path for path in site._pages if path.startswith("/api/")} | {path for _, path in site._streams}
        assert paths <= found.keys()
        assert {route.path for route in SITE} <= found.keys()


async def asked(at: At, *units: int) -> None:
    """Have units asked by somebody whom the status then knows."""
    bus = at.served.gateway._ports["cable"].bus
    assert bus is not None
    for unit in units:
        client = Asker(bus)
        client.ask(read(1000, 2), unit=unit)
        await client.ended()


async def unfit(call: Any, path: str, described: dict[str, Any]) -> list[str]:
    """Where the answer of a path is not what its description says."""
    operation = described["paths"][path.partition("?")[0]]["get"]
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    answer = await call(path)
    assert answer.status == 200, (path, answer.body)
    return list(unlike(answer.json(), schema, described["components"]["schemas"], path))


async def test_c34_answers_are_what_the_description_says() -> None:
    async with with_units() as at:
        client = await at.served.raw()
        client.send(b"abc")
        await asked(at, 1, 2, 42, 42)
        described = (await at.call("/api/v1/openapi.json")).json()
        for path in ("/api/v1/status", "/api/v1/verdict", "/api/v1/verdict?bus=cable", "/api/v1/log"):
            assert await unfit(at.call, path, described) == []
        units = (await at.call("/api/v1/status")).json()["buses"][0]["units"]
        assert [each["unit"] for each in units if each["silent_since"]] == [42]
        assert units[0]["answer_times"]  # so that there was something to compare


async def test_c34_answers_of_the_archive_are_what_the_description_says(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    around = world(tmp_path, monkeypatch)
    async with edged(around, around.edge(emon(), plant()), http=HTTP) as at:
        service = at.gateway._http._service
        assert service is not None
        port = int(service.addresses[0].rpartition(":")[2])
        await asyncio.sleep(120)
        described = (await call(port, "/api/v1/openapi.json")).json()
        for path in ("/api/v1/status", "/api/v1/stations", "/api/v1/archive", "/api/v1/archive/chart?tag=emon/power"):
            assert await unfit(lambda path: call(port, path), path, described) == []


async def test_the_verdict_over_http() -> None:
    async with with_units() as at:
        await asked(at, 1, *(42,) * 4)
        (found,) = (await at.call("/api/v1/verdict?bus=cable")).json()
        assert found["bus"] == "cable"
        assert [(each["unit"], each["ill"]) for each in found["units"]] == [(42, "dead")]
        assert any("Unit 42 is dead" in each for each in found["sentences"])
        unknown = await at.call("/api/v1/verdict?bus=none")
        assert (unknown.status, b"there are: cable" in unknown.body) == (404, True)

"""Pages that stop reading, that watch each other, and that a new version finds open."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any

import pytest

from nportpy.console.files import Files
from nportpy.services import http, site
from tests.console.test_api import At, consoled
from tests.support.http_streams import asking
from tests.support.serving import until


@asynccontextmanager
async def deaf(port: int, path: str) -> AsyncIterator[socket.socket]:
    """A page that asks and then reads nothing."""
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        sock.setblocking(False)
        await loop.sock_connect(sock, ("127.0.0.1", port))
        await loop.sock_sendall(sock, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        yield sock


def served(at: At) -> int:
    """How many clients HTTP has."""
    service = at.served.gateway._http._service
    assert service is not None
    assert service._site is not None
    return len(service._site._clients)


async def test_c4_a_tab_that_stops_reading_is_cut_off_and_others_see_no_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_SEND_BUFFER", 4096)
    async with consoled() as at, asking(at.port, "/api/v1/events", Accept="application/x-ndjson") as other:
        assert [(await other.row())["event"] for _ in range(2)] == ["hello", "status"]
        client = await at.served.raw()
        async with deaf(at.port, "/api/v1/events"):
            await until(lambda: served(at) == 2)
            steps, loop = [], asyncio.get_running_loop()
            began = loop.time()
            while served(at) == 2:
                assert loop.time() - began < 600
                client.send(b"x" * 10)
                found = await other.row()
                if found["event"] != "alive":
                    steps.append(found["step"])
            assert steps == list(range(steps[0], steps[0] + len(steps)))  # a change each, and none of them missing
            assert loop.time() - began >= site.STALLED
            # The other one goes on as if nothing had been.
            client.send(b"x")
            while (found := await other.row())["event"] == "alive":
                pass
            assert found["step"] == steps[-1] + 1


async def test_c24_who_watches_is_shown_to_others_and_no_more_when_it_has_gone() -> None:
    async with consoled() as at:
        agents = ("anna's browser", "bert's browser")
        async with asking(at.port, "/api/v1/ports/cable/monitor", User_Agent=agents[0]):
            async with asking(at.port, "/api/v1/ports/cable/monitor", User_Agent=agents[1]):
                await until(lambda: len(at.served.gateway._ports["cable"].line.tap().watchers) == 2)
                (line,) = (await at.call("/api/v1/captures")).json()
                assert [each["who"] for each in line["watchers"]] == [f"127.0.0.1 {agent}" for agent in agents]
            await until(lambda: len(at.served.gateway._ports["cable"].line.tap().watchers) == 1)
            (line,) = (await at.call("/api/v1/captures")).json()
            assert [each["who"] for each in line["watchers"]] == [f"127.0.0.1 {agents[0]}"]


async def test_c5_hello_names_the_assets_of_the_page_and_a_new_version_has_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def told(at: At) -> tuple[str, bytes]:
        async with asking(at.port, "/api/v1/events", Accept="application/x-ndjson") as answer:
            hello: dict[str, Any] = await answer.row()
        return hello["assets"], (await at.call("/", Accept="text/html")).body

    async with consoled() as at:
        old, page = await told(at)
        assert f"assets/{old}/console.js".encode() in page
    real = Files._raw.func(Files())  # type: ignore[attr-defined]  # what the property is made of
    newer = cached_property(lambda _: real | {"texts.js": real["texts.js"] + b"\n"})
    newer.__set_name__(Files, "_raw")
    monkeypatch.setattr(Files, "_raw", newer)
    async with consoled() as at:
        new, page = await told(at)
        assert new != old
        assert f"assets/{new}/console.js".encode() in page
        assert (await at.call(f"/assets/{old}/console.js")).status == 404  # a page never gets files of two versions

"""Addresses that cannot be had: the rest is served, and they are tried on for ever."""

import asyncio
import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import pytest

from nportpy.errors import ListenError
from nportpy.gateway import sockets
from nportpy.network import addresses
from nportpy.network.addresses import Endpoint
from nportpy.port.loopback import Cable
from nportpy.services import report
from nportpy.services.http_base import HttpSettings
from nportpy.services.metrics import registry
from nportpy.status import MissingStatus
from tests.support.serving import Served, plan, raw, serving, settings, settle, until
from tests.support.ways import HOST, WAYS, Raw, parsed, serving_text

LISTENING = sorted(WAYS.keys() - {"tcp_client", "pair"})


@contextmanager
def taken(port: int, kind: str = "") -> Iterator[None]:
    """Somebody else is there."""
    with socket.socket(type=socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM) as sock:
        if kind != "udp":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((HOST, port))
        if kind != "udp":
            sock.listen()
        yield


def listening(served: Served, **labels: str) -> float | None:
    return registry(served.gateway.status).get_sample_value("nportpy_service_listening", labels)


def logged(caplog: pytest.LogCaptureFixture, message: str) -> list[dict[str, Any]]:
    return [record.__dict__ for record in caplog.records if record.message == message]


@pytest.mark.parametrize("kind", LISTENING)
@pytest.mark.parametrize("which", [0, 1])
async def test_a4_an_occupied_port_stops_nobody_else(kind: str, which: int, caplog: pytest.LogCaptureFixture) -> None:
    """Of Real COM either port: drivers need both."""
    caplog.set_level("INFO")
    way, beside = WAYS[kind](), Raw(9, "beside")
    port = way.number + (which if kind == "realcom" else 0)
    tables = way.line(), way.text(), beside.line(), beside.text()
    with ExitStack() as other:
        other.enter_context(taken(port, kind))
        async with serving_text(*tables, ways=[way, beside]) as served:
            await beside.join(served)
            await beside.both_ways()
            status = served.gateway.status()
            assert served.gateway.ready.is_set()
            assert not status.ready
            (missing,) = status.missing
            assert (missing.port, missing.service, missing.line[:5]) == (way.name, kind, "test:")
            assert missing.listen.startswith(f"{HOST}:{port}")
            assert missing.reason.startswith("the address is in use by ")
            found = report.readiness(status)
            assert found["ready"] is False
            assert f"{way.name} {kind} does not listen on {HOST}:{port}" in str(found["reasons"])
            assert listening(served, port=way.name, service=kind) == 0
            assert listening(served, port="beside", service="raw") == 1
            await served.gateway.reload(parsed(*tables))  # no news
            await settle(300)
            assert len(logged(caplog, "cannot be reached yet, trying on")) == 1
            served.gateway.changed.clear()
            other.close()
            async with asyncio.timeout(31):  # the longest pause between two attempts
                await served.gateway.changed.wait()
            assert served.gateway.status().ready
            assert listening(served, port=way.name, service=kind) == 1
            assert len(logged(caplog, "can be reached now")) == 1
            await way.join(served)
            await way.both_ways()
            assert not beside.lost
            await beside.both_ways()


async def test_a4_a_service_serves_at_those_of_its_addresses_that_can_be_had() -> None:
    way = Raw()
    both = way.text().replace(f'"{HOST}:4010"', f'["{HOST}:4010", "{HOST}:4011"]')
    with ExitStack() as other:
        other.enter_context(taken(4011))
        async with serving_text(way.line(), both, ways=[way]) as served:
            await way.join(served)
            assert served.service("raw", way.name).listen == (f"{HOST}:4010",)
            assert listening(served, port=way.name, service="raw") == 0
            other.close()
            await until(lambda: served.gateway.status().ready, within=60)
            assert served.service("raw", way.name).listen == (f"{HOST}:4010", f"{HOST}:4011")
            assert not way.lost
            await way.both_ways()
            way.number = 4011
            await way.join(served)
            await way.both_ways()


@pytest.mark.parametrize("kind", sorted({*LISTENING} - {"udp"}))
async def test_a4_a_reload_ends_where_a_start_would(kind: str) -> None:
    way, beside = WAYS[kind](), Raw(9, "beside")
    async with serving_text(way.line(), way.text(), beside.line(), beside.text(), ways=[way, beside]) as served:
        await way.join(served)
        await beside.join(served)
        with taken(4900, kind):
            way.number = 4900
            await served.gateway.reload(parsed(way.line(), way.text(), beside.line(), beside.text()))
            status = served.gateway.status()
            assert (status.reloads, status.reloads_failed, status.ready) == (1, 0, False)
            assert [each.service for each in status.missing] == [kind]
            assert not beside.lost
            await beside.both_ways()
        await until(lambda: served.gateway.status().ready, within=60)
        await way.join(served)
        await way.both_ways()


async def test_a4_what_a_reload_does_not_want_any_more_is_not_missed() -> None:
    way, beside = Raw(), Raw(9, "beside")
    with taken(way.number):
        async with serving_text(way.line(), way.text(), beside.line(), beside.text(), ways=[way, beside]) as served:
            assert served.gateway.status().missing
            await served.gateway.reload(parsed(beside.line(), beside.text()))
            assert served.gateway.status().missing == ()
            assert served.gateway.status().ready
            await settle(100)
            assert not served.gateway._sockets.missing


@pytest.mark.real
async def test_a4_http_and_discovery_are_waited_for_likewise() -> None:
    way = WAYS["realcom"]()
    http = HttpSettings(listen=((HOST, 4950),))
    with ExitStack() as other:
        other.enter_context(taken(4950))
        other.enter_context(taken(4800, "udp"))
        async with serving_text(way.line(), way.text(), ways=[way]) as served:
            assert [each.service for each in served.gateway.status().missing] == ["discovery"]
            with_http = replace(parsed(way.line(), way.text()), http=http)
            await served.gateway.reload(with_http)
            found = [(each.port, each.service, each.listen) for each in served.gateway.status().missing]
            name = with_http.name
            assert found == [(name, "discovery", f"{HOST}:4800 (UDP)"), (name, "http", f"{HOST}:4950")]
            other.close()
            await until(lambda: served.gateway.status().ready, within=20)
            reader, writer = await asyncio.open_connection(HOST, 4950)
            writer.write(b"GET /readyz HTTP/1.0\r\n\r\n")
            assert b"200 OK" in await reader.read()
            writer.close()
            assert served.service("discovery", name).listen == (f"{HOST}:4800",)


@pytest.mark.long
async def test_a4_nothing_at_all_can_be_served_yet() -> None:
    way = Raw()
    with ExitStack() as other:
        other.enter_context(taken(way.number))
        async with serving_text(way.line(), way.text(), ways=[way]) as served:
            await settle(100)
            assert not served.task.done()
            other.close()
            await way_served(served)
            await way.join(served)


async def way_served(served: Served) -> None:
    await until(lambda: served.gateway.status().ready, within=60)


async def test_a4_without_a_right_the_rest_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may have every port, so that the system's word is put into its mouth."""
    real, forbidden = addresses.listen, True

    def listen(endpoint: Endpoint, beside: Any = ()) -> socket.socket:
        if 0 < endpoint.port < 1024 and forbidden:
            raise ListenError(str(endpoint), addresses._REASONS[errno.EACCES], errno.EACCES)
        return real(endpoint, beside)

    monkeypatch.setattr(sockets, "listen", listen)
    cable = Cable()
    service = raw(listen=(Endpoint(HOST, 950),))
    async with serving(plan("cable", service, raw()), cables=[cable]) as served:
        (missing,) = served.gateway.status().missing
        assert missing.reason == "not permitted; ports below 1024 need CAP_NET_BIND_SERVICE"
        client = await served.raw("raw-2")
        client.send(b"x")
        await until(lambda: cable.heard == b"x")
        forbidden = False
        await way_served(served)
        assert served.service().listen == (f"{HOST}:950",)


async def test_a4_without_a_file_it_fails_at_once() -> None:
    from nportpy.gateway.running import Gateway

    with taken(4960):
        gateway = Gateway(settings(plan("cable", raw(listen=(Endpoint(HOST, 4960),)))), strict=True)
        with pytest.raises(ListenError, match="the address is in use by "):
            await gateway.run()


async def test_a3_an_address_that_this_machine_lacks(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    here = False
    monkeypatch.setattr(sockets, "is_here", lambda host: here if host == "192.0.2.77" else addresses.is_here(host))
    service = raw(listen=(Endpoint("192.0.2.77", 4010), Endpoint(HOST, 4010)))
    async with serving(plan("cable", service), cables=[Cable()]) as served:
        wanted = MissingStatus("cable", "raw", "192.0.2.77:4010", "this machine does not have the address now")
        for _ in range(3):  # it comes, and goes again
            assert served.gateway.status().missing == (wanted,)
            assert not served.gateway.status().ready
            assert listening(served, port="cable", service="raw") == 0
            await settle(100)
            warnings = logged(caplog, "cannot be reached yet, trying on")
            assert [(each["levelname"], each["listen"]) for each in warnings] == [("WARNING", "192.0.2.77:4010")]
            caplog.clear()
            for here in (True, False):
                served.gateway.changed.clear()
                async with asyncio.timeout(6):
                    await served.gateway.changed.wait()
                assert served.gateway.status().ready is here
                assert listening(served, port="cable", service="raw") == here


def test_a3_is_here() -> None:
    for host in ("127.0.0.1", "127.3.2.1", "0.0.0.0", "::", "::1"):
        assert addresses.is_here(host), host
    for host in ("203.0.113.77", "2001:db8::77", "fe80::1%nowhere"):
        assert not addresses.is_here(host), host


def test_a4_a_line_of_the_file_is_known() -> None:
    text = """[port.a]
device = "/dev/null"
raw = [
  { listen = [4001, 4002] },
]
[port.a.modbus]
listen = 502
protocol = "udp"
[http]
listen = ["127.0.0.1:80",
          "127.0.0.1:81"]
"""
    origins = {str(place): line for place, line in parsed(text).origins.items()}
    assert origins == {
        "[::]:4001": "test:4",
        "[::]:4002": "test:4",
        "[::]:502 (UDP)": "test:7",
        "127.0.0.1:80": "test:10",
        "127.0.0.1:81": "test:11",
    }

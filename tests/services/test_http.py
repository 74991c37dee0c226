import asyncio
import contextlib
import gzip
import http.client
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from ipaddress import ip_network

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as text_metrics

from nportpy.network.addresses import AllowList, Endpoint, listen
from nportpy.services import site
from nportpy.services.http import HttpService
from nportpy.services.http_base import HttpSettings
from nportpy.status import GatewayStatus
from tests.services import samples

LOOPBACK = HttpSettings((("127.0.0.1", 0),))


@asynccontextmanager
async def serving(
    settings: HttpSettings = LOOPBACK,
    status: Callable[[], GatewayStatus] = samples.gateway,
    healthy: Callable[[], bool] = lambda: True,
) -> AsyncIterator[HttpService]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(listen(Endpoint(*each))) for each in settings.listen]
        service = HttpService(settings, sockets, status, healthy)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(service.run())
            await service.listening.wait()
            yield service
            running.cancel()
    assert service.addresses == ()


def split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


async def fetch(
    service: HttpService, path: str, method: str = "GET", **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    def ask() -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection(*split(service.addresses[0]), timeout=10)
        try:
            connection.request(method, path, headers={name.replace("_", "-"): text for name, text in headers.items()})
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()

    return await asyncio.to_thread(ask)


async def raw(service: HttpService, sent: bytes) -> bytes:
    """Everything that the service sends to a client that sends `sent` and waits for the end."""
    reader, writer = await asyncio.open_connection(*split(service.addresses[0]))
    try:
        writer.write(sent)
        return await reader.read()
    except ConnectionResetError:
        return b"reset"
    finally:
        writer.close()


async def read_to_the_end(sock: socket.socket) -> int:
    count = 0
    with contextlib.suppress(ConnectionResetError):
        while data := await asyncio.get_running_loop().sock_recv(sock, 1 << 20):
            count += len(data)
    return count


@pytest.mark.real
async def test_metrics_in_both_formats() -> None:
    async with serving() as service:
        response, body = await fetch(service, "/metrics")
        assert (response.status, response.headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
        assert "nportpy_line_received_bytes" in {family.name for family in text_metrics(body.decode())}
        # What Prometheus 3 sends.
        accept = (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
            "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
            "text/plain;version=0.0.4;q=0.2,/;q=0.1"
        )
        response, body = await fetch(service, "/metrics", Accept=accept, Accept_Encoding="gzip")
        assert response.headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
        assert response.headers["Content-Encoding"] == "gzip"
        families = openmetrics(gzip.decompress(body).decode())  # type: ignore[no-untyped-call]
        names = {family.name for family in families}
        assert {"nportpy_build", "nportpy_line_up", "process_cpu_seconds"} <= names


@pytest.mark.real
async def test_a_long_page_is_the_same_packed_in_portions() -> None:
    status = samples.translator("meters", "plc", units=247)
    async with serving(status=lambda: status) as service:
        _, plain = await fetch(service, "/metrics")
        response, packed = await fetch(service, "/metrics", Accept_Encoding="gzip")
        assert response.headers["Content-Encoding"] == "gzip"
        assert samples_of(gzip.decompress(packed)) == samples_of(plain)
        _, plain = await fetch(service, "/api/v1/status")
        response, packed = await fetch(service, "/api/v1/status", Accept_Encoding="gzip")
        documents = [json.loads(page) | {"time": ""} for page in (gzip.decompress(packed), plain)]
        assert documents[0] == documents[1]
        assert len(documents[0]["buses"]) == 3


def samples_of(page: bytes) -> list[bytes]:
    """What it says of the gateway; what it says of the process changes."""
    return [line for line in page.splitlines() if line.startswith(b"nportpy_")]


@pytest.mark.real
async def test_plain_where_gzip_is_not_wanted() -> None:
    async with serving() as service:
        for wish in ("identity", "gzip;q=0", "br"):
            response, body = await fetch(service, "/metrics", Accept_Encoding=wish)
            assert "Content-Encoding" not in response.headers
            assert body.startswith(b"# HELP")


@pytest.mark.real
async def test_status_as_json() -> None:
    async with serving() as service:
        response, body = await fetch(service, "/api/v1/status")
    assert response.headers["Content-Type"] == "application/json"
    status = json.loads(body)
    assert status["started"] == "2026-01-01T00:00:00.000Z"
    assert status["lines"][0]["settings"]["parity"] == "E"
    assert status["services"][0]["clients"][0]["address"] == "192.0.2.1"


@pytest.mark.real
async def test_health_is_the_event_loop_and_what_the_gateway_says() -> None:
    well = True
    async with serving(healthy=lambda: well) as service:
        response, body = await fetch(service, "/healthz")
        assert (response.status, body) == (200, b"ok\n")
        well = False
        response, body = await fetch(service, "/healthz")
        assert (response.status, body) == (503, b"not healthy\n")


@pytest.mark.real
async def test_readiness_with_a_reason() -> None:
    status = samples.gateway("meters", "plc")
    async with serving(status=lambda: status) as service:
        status = replace(status, lines=(samples.line(), samples.line("plc", "lost")))
        response, body = await fetch(service, "/readyz")
        assert response.status == 200
        assert [line["port"] for line in json.loads(body)["lines_down"]] == ["plc"]
        silent = replace(status.services[0], listen=())
        status = replace(status, ready=False, services=(silent, *status.services[1:]))
        response, body = await fetch(service, "/readyz")
        assert response.status == 503
        assert json.loads(body)["reasons"] == ["meters raw does not listen"]


@pytest.mark.real
async def test_a20_the_root_lists_what_is_there() -> None:
    async with serving(status=lambda: replace(samples.gateway(), name="<pi>")) as service:
        response, body = await fetch(service, "/")
        assert (response.status, response.headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
        title, empty, *rows = body.decode().splitlines()
        assert title.endswith(", <pi>")
        assert empty == ""
        paths = [row.split()[0] for row in rows]
        assert paths == [
            "/metrics",
            "/healthz",
            "/readyz",
            "/api/v1/status",
            "/api/v1/verdict",
            "/api/v1/stations",
            "/api/v1/archive",
            "/api/v1/archive/samples",
            "/readings",
        ]
        others = ("/api/v1/archive/samples", "/api/v1/captures")  # want an archive, or the gateway
        for path in paths:
            assert (await fetch(service, path))[0].status in (200, 503) or path in others
        response, body = await fetch(service, "/", Accept="text/html,*/*;q=0.8")
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        assert b'<a href="/metrics">' in body
        assert b"<pi>" not in body


@pytest.mark.real
async def test_only_these_pages_and_only_for_reading() -> None:
    async with serving() as service:
        response, body = await fetch(service, "/index.html")
        assert (response.status, body) == (404, b"404 Not Found\n")
        response, body = await fetch(service, "/metrics/../../etc/passwd")
        assert response.status == 404
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "TRACE"):
            response, body = await fetch(service, "/metrics", method)
            assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")
        response, body = await fetch(service, "/metrics?x=1", "HEAD")
        assert (response.status, body) == (200, b"")
        assert int(response.headers["Content-Length"]) > 1000
        assert response.headers["Server"] == "nportpy"


@pytest.mark.real
async def test_a_connection_is_kept_between_scrapes() -> None:
    async with serving() as service:
        reader, writer = await asyncio.open_connection(*split(service.addresses[0]))
        for _ in range(3):
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await reader.readuntil(b"ok\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        writer.close()


@pytest.mark.real
async def test_a_client_that_closes_its_side_first_gets_its_answer() -> None:
    async with serving() as service:
        reader, writer = await asyncio.open_connection(*split(service.addresses[0]))
        writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
        writer.write_eof()
        assert (await reader.read()).endswith(b"ok\n")
        writer.close()


@pytest.mark.real
@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),  # TLS
        b"\xff" * 10_000,
        b"\x00\x01\x00\x00\x00\x06\x01\x03\x00\x00\x00\x0a\r\n\r\n",  # Modbus TCP
        b"GET /metrics HTTP/9.9\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n" + b"z" * 100_000,
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET http://[::1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET //%ff%00%zz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    ids=range(13),
)
async def test_garbage_ends_its_own_connection_only(sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as service:
        got = await asyncio.wait_for(raw(service, sent), 10)
        assert got == b"reset" or b" 40" in got.split(b"\r\n")[0]
        response, _ = await fetch(service, "/healthz")
        assert response.status == 200
    assert not caplog.records


@pytest.mark.real
async def test_a_fault_in_a_page_is_logged_once_and_told_without_detail(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> GatewayStatus:
        raise ValueError("secret")

    async with serving(status=broken) as service:
        for path in ("/metrics", "/readyz", "/api/v1/status"):
            response, body = await fetch(service, path)
            assert (response.status, body) == (500, b"500 Internal Server Error\n")
    assert [record.message for record in caplog.records] == ["no answer"] * 3


@pytest.mark.real
@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::"])
async def test_a2_strangers_are_told_which_list_refuses_them(host: str, caplog: pytest.LogCaptureFixture) -> None:
    here = AllowList((ip_network("127.0.0.0/8"), ip_network("::1/128")), "gateway.allow")
    rings = (here, AllowList((ip_network("192.0.2.0/24"),), "http.allow"))
    async with serving(HttpSettings(((host, 0),), rings)) as service:
        own = "::1" if host == "::1" else "127.0.0.1"
        if host == "::":
            service.addresses = (f"127.0.0.1:{split(service.addresses[0])[1]}",)
        for _ in range(3):
            response, body = await fetch(service, "/metrics")
            assert response.status == 403
            assert body == f"403 Forbidden: {own} is not in http.allow\n".encode()
        service.addresses = ()
    assert [record.message for record in caplog.records] == ["refused: not in allow"]
    assert caplog.records[0].__dict__["list"] == "http.allow"
    assert caplog.records[0].__dict__["client"].startswith(("127.0.0.1:", "[::1]:"))  # not ::ffff:127.0.0.1


@pytest.mark.real
async def test_ipv4_through_a_dual_stack_socket_is_ipv4() -> None:
    settings = HttpSettings((("::", 0),), ((ip_network("127.0.0.0/8"),),))
    async with serving(settings) as service:
        _, port = split(service.addresses[0])
        service.addresses = (f"127.0.0.1:{port}",)
        response, _ = await fetch(service, "/healthz")
        assert response.status == 200
        service.addresses = (f"[::1]:{port}",)
        response, _ = await fetch(service, "/healthz")
        assert response.status == 403
        service.addresses = ()


@pytest.mark.real
async def test_s3_who_asks_nothing_makes_room_and_first_who_has_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """One host with silent connections, half a request in each, keeps nobody out, and costs nobody else his own."""
    monkeypatch.setattr(site, "MAX_CLIENTS", 8)
    whole = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with serving() as service:
        there = split(service.addresses[0])
        reader, writer = await asyncio.open_connection(*there, local_addr=("127.0.0.2", 0))
        writer.write(whole)
        await reader.readuntil(b"ok\n")
        silent = []
        for _ in range(20):
            silent.append(await asyncio.open_connection(*there, local_addr=("127.0.0.3", 0)))
            silent[-1][1].write(whole[:-9])
            assert b"200 OK" in await raw(service, b"GET /healthz HTTP/1.0\r\n\r\n")
        writer.write(whole)
        await reader.readuntil(b"ok\n")
        # The oldest have gone, the newest are there.
        assert [await each.read() for each, _ in silent[:12]] == [b""] * 12
        silent[-1][1].write(whole[-9:])
        await silent[-1][0].readuntil(b"ok\n")
        for _, each in (*silent, (reader, writer)):
            each.close()


@pytest.mark.real
async def test_several_addresses_and_an_end_with_clients_connected() -> None:
    async with serving(HttpSettings((("127.0.0.1", 0), ("::1", 0)))) as service:
        clients = []
        for address in service.addresses:
            reader, writer = await asyncio.open_connection(*split(address))
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await reader.readuntil(b"ok\n")
            clients.append((reader, writer))
        addresses = service.addresses
    for reader, writer in clients:
        assert await reader.read() == b""
        writer.close()
    for address in addresses:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*split(address))


async def test_a_request_that_does_not_come_to_its_end() -> None:
    loop = asyncio.get_running_loop()
    async with serving() as service:
        reader, writer = await asyncio.open_connection(*split(service.addresses[0]))
        started = loop.time()
        writer.write(b"GET /metrics HTTP/1.1\r\n")
        dripping = 0
        while not reader.at_eof() and loop.time() < started + 1000:
            writer.write(b"X: y\r\n")
            dripping += 1
            try:
                await asyncio.wait_for(reader.read(), 5)
            except TimeoutError:
                continue
        assert loop.time() - started == pytest.approx(site.PATIENCE, abs=6)
        assert dripping > 10
        writer.close()


async def test_a_client_that_takes_no_answer_is_cut_off() -> None:
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        status = samples.gateway(*[f"port{number}" for number in range(16)])
        async with serving(status=lambda: status) as service:
            await loop.sock_connect(sock, split(service.addresses[0]))
            await loop.sock_sendall(sock, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 400)
            await asyncio.sleep(site.STALLED + 5)
            assert await read_to_the_end(sock) < 1_000_000  # of 20 MB


async def test_the_service_can_be_stopped_while_a_client_takes_no_answer() -> None:
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        async with serving(status=lambda: samples.gateway(*map(str, range(16)))) as service:
            await loop.sock_connect(sock, split(service.addresses[0]))
            await loop.sock_sendall(sock, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 400)
            await asyncio.sleep(1)
            started = loop.time()
        assert loop.time() - started < 5


def test_the_module_itself_is_cheap_to_import() -> None:
    asked = "import sys, nportpy.services.http; sys.exit(bool({'aiohttp', 'prometheus_client'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", asked], check=False).returncode == 0

"""Upstreams by TLS with a table: names, revocation and the clock hold there as for everybody whom we call."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from nportpy import wallclock
from nportpy.edge.links import connect
from nportpy.edge.links.base import LinkError, Message
from nportpy.edge.links.credentials import tls_context
from nportpy.network.tls_settings import TlsSettings
from tests.support.serving import Client
from tests.support.tls import Pair, Plant
from tests.support.upstreams import upstream_settings

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    return Plant(tmp_path_factory.mktemp("plant"))


class Broker(Client):
    """Says what an MQTT broker, a NATS server and a database answer first; more is not needed here."""

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"POST"):
            self.transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        elif data[0] == 0x10:  # CONNECT
            self.transport.write(b"\x20\x03\x00\x00\x00")
        elif data[0] == 0x82:  # SUBSCRIBE
            self.transport.write(b"\x90\x05" + data[2:4] + b"\x00\x01\x01")


@asynccontextmanager
async def listening(pair: Pair) -> AsyncIterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Broker, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def reach(scheme: str, port: int, tls: TlsSettings) -> None:
    """Connect, and leave again."""
    settings = upstream_settings(urls=(f"{scheme}://127.0.0.1:{port}",), tls=tls)
    link = await connect(settings.urls[0], settings, lambda *_: None, Message("state", b"{}"))
    await link.close()


SCHEMES = pytest.mark.parametrize("scheme", ["mqtts", "influx+https"])


@SCHEMES
async def test_s1_an_upstream_is_believed_by_its_table(plant: Plant, scheme: str) -> None:
    async with listening(plant.pair("broker")) as port:
        await reach(scheme, port, TlsSettings("plant", ca=plant.ca))


@SCHEMES
async def test_s1_an_upstream_whose_certificate_is_for_another_name(plant: Plant, scheme: str) -> None:
    async with listening(plant.pair("named", names=("broker.plant",))) as port:
        with pytest.raises(LinkError, match="its certificate is not accepted: IP address mismatch"):
            await reach(scheme, port, TlsSettings("plant", ca=plant.ca))
        await reach(scheme, port, TlsSettings("plant", ca=plant.ca, server_name="broker.plant"))


@SCHEMES
async def test_s11_an_upstream_that_is_revoked(plant: Plant, scheme: str) -> None:
    async with listening(plant.pair("stolen")) as port:
        listed = TlsSettings("plant", ca=plant.ca, crl=plant.revoke("stolen"))
        with pytest.raises(LinkError, match="certificate revoked"):
            await reach(scheme, port, listed)


@SCHEMES
async def test_s10_an_upstream_before_the_clock_is_known(
    plant: Plant, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with listening(plant.pair("future", days=(10, 20))) as port:
        with pytest.raises(LinkError, match="not yet valid"):
            await reach(scheme, port, TlsSettings("plant", ca=plant.ca))
        monkeypatch.setattr(wallclock, "known", lambda _: False)
        await reach(scheme, port, TlsSettings("plant", ca=plant.ca))


def test_s1_an_upstream_of_which_nothing_is_said_has_the_systems_authorities() -> None:
    context = tls_context(None)
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_s5_a_renewed_file_counts_from_the_next_connection_on(plant: Plant, tmp_path: Path) -> None:
    ca = tmp_path / "ca.crt"
    with pytest.raises(LinkError, match=f"{ca}: No such file"):
        tls_context(TlsSettings("plant", ca=str(ca)))
    ca.write_bytes(Path(plant.ca).read_bytes())
    assert tls_context(TlsSettings("plant", ca=str(ca))).cert_store_stats()["x509_ca"] == 1

"""Those whom we call by TLS: hosts, far ends, Modbus servers; who they must be, and what is said if they are not."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, Self

import pytest

from nportpy.gateway.plans import Kind, PortPlan, RouterPlan
from nportpy.modbus.settings import RoutingSettings, ServerSettings
from nportpy.modes.pair_base import PairSettings
from nportpy.modes.tcp_client_base import TcpClientSettings
from nportpy.network.addresses import Destination, Endpoint
from nportpy.network.tls_settings import Clients, TlsSettings
from nportpy.port.base import PortSettings
from nportpy.port.loopback import Cable
from nportpy.port.opening import open_port
from nportpy.protocols.modbus import mbap
from tests.support.modbus_serving import attach, holding, modbus, route, units
from tests.support.serving import Client, com, connect, plan, serving, until
from tests.support.tls import Pair, Plant, table


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    return Plant(tmp_path_factory.mktemp("plant"))


def believing(plant: Plant, *pairs: Pair, **more: Any) -> TlsSettings:
    return TlsSettings("plant", tuple(pair.files for pair in pairs), plant.ca, **more)


def calling(port: int, kind: Kind = Kind.TCP_CLIENT) -> PortPlan:
    to = Destination("127.0.0.1", port)
    settings: Any = TcpClientSettings(destinations=(to,), tls="plant")
    if kind is Kind.PAIR:
        settings = PairSettings(to=to, tls="plant")
    return PortPlan("cable", PortSettings("cable"), modes=((kind, settings),))


class Host:
    """A server that speaks TLS, by asyncio's own."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self.clients: list[Client] = []
        self.port = 0

    async def __aenter__(self) -> Self:
        def made() -> Client:
            self.clients.append(Client())
            return self.clients[-1]

        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(made, "127.0.0.1", 0, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for client in self.clients:
            if hasattr(client, "transport"):
                client.transport.abort()
        await asyncio.sleep(0.01)


def shown_by(pair: Pair, plant: Plant | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    if plant is not None:
        context.load_verify_locations(plant.ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


async def test_s1_a_host_that_is_called_hears_the_line(plant: Plant) -> None:
    cable = Cable()
    async with (
        Host(shown_by(plant.pair("host"))) as host,
        serving(calling(host.port), cables=[cable], tls=(believing(plant),)) as served,
    ):
        await until(lambda: served.service("tcp_client").clients)
        assert served.service("tcp_client").clients[0].identity == "CN=host"
        cable.far.write(b"said by the line")
        await host.clients[0].hears(b"said by the line")
        host.clients[0].send(b"to the line")
        await until(lambda: cable.heard == b"to the line")


async def test_s1_a_host_that_wants_a_certificate_is_shown_one(plant: Plant) -> None:
    async with (
        Host(shown_by(plant.pair("host"), plant)) as host,
        serving(calling(host.port), cables=[Cable()], tls=(believing(plant, plant.client("gateway")),)) as served,
    ):
        await until(lambda: served.service("tcp_client").clients)


REFUSED: dict[str, tuple[Callable[[Plant], Pair], dict[str, Any], str]] = {
    "expired": (lambda plant: plant.pair("host", days=(-9, -1)), {}, "certificate has expired"),
    "another name": (lambda plant: plant.pair("host", names=["elsewhere"]), {}, "IP address mismatch"),
    "named otherwise": (lambda plant: plant.pair("host"), {"server_name": "broker.plant"}, "Hostname mismatch"),
    "wrong purpose": (lambda plant: plant.client("host"), {}, "unsuitable certificate purpose"),
    "a stranger's": (
        lambda plant: Plant(plant.folder / "elsewhere", "elsewhere").pair("host"),
        {},
        "unable to get local issuer certificate",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_s1_a_host_that_is_not_believed_is_said_to_be_so(
    plant: Plant, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    make, more, reason = REFUSED[case]
    cable = Cable()
    async with (
        Host(shown_by(make(plant))) as host,
        serving(calling(host.port), cables=[cable], tls=(believing(plant, **more),)) as served,
    ):
        await until(lambda: served.results("tcp_client").get("tls_failed", 0) > 2, within=30)
        assert not served.service("tcp_client").clients
        assert not any(client.heard for client in host.clients)
    told = [record.reason for record in caplog.records if hasattr(record, "reason")]
    assert len(told) == 1
    assert reason in told[0]


async def test_s1_a_host_that_speaks_no_tls_is_named_so(plant: Plant, caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.get_running_loop()

    class Plain(Client):
        def data_received(self, data: bytes) -> None:
            self.transport.write(b"220 what do you want?\r\n")

    server = await loop.create_server(Plain, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with serving(calling(port), cables=[Cable()], tls=(believing(plant),)) as served:
        await until(lambda: served.results("tcp_client").get("tls_failed"), within=30)
    server.close()
    assert "it does not speak TLS" in [getattr(record, "reason", "") for record in caplog.records]


async def test_s3_a_silent_host_holds_nobody_up(plant: Plant) -> None:
    """The line is not set for a host, nor told of it, before hands were shaken."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Client, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with serving(calling(port), cables=[Cable()], tls=(believing(plant),)) as served:
        await asyncio.sleep(5)
        assert not served.service("tcp_client").clients
        assert served.results("tcp_client") == {}
        await until(lambda: served.results("tcp_client") == {"tls_failed": 1}, within=30)
    server.close()


async def test_s1_two_gateways_are_one_cable_through_tls(plant: Plant) -> None:
    near, far = Cable(), Cable()
    server = plan("cable", com(tls="plant"))
    tls = (table(plant, clients=Clients.REQUIRED),)
    async with serving(server, cables=[far], tls=tls) as there:
        pair = calling(there.port("rfc2217"), Kind.PAIR)
        shown = (believing(plant, plant.client("near")),)
        async with serving(pair, cables=[near], tls=shown) as here:
            await until(lambda: here.service("pair").clients)
            near.far.write(b"from here")
            await until(lambda: far.heard == b"from here")
            far.far.write(b"from there")
            await until(lambda: near.heard == b"from there")
            assert there.service("rfc2217").clients[0].identity == "CN=near"


@pytest.mark.parametrize("believed", [True, False])
async def test_s1_a_route_to_a_server_with_modbus_security(plant: Plant, believed: bool) -> None:
    """A gateway asks another one's units, both by MODBUS/TCP Security."""
    cable = Cable()
    attach(cable, units(1))
    service = modbus(tls="plant", security=True)
    async with serving(plan("cable", service), cables=[cable], tls=(table(plant, clients=Clients.REQUIRED),)) as there:
        to = ServerSettings(Endpoint("127.0.0.1", there.port("modbus")), tls="plant")
        router = RouterPlan("plant", modbus(routing=RoutingSettings((route(1, to),))))
        shown = believing(plant, plant.client("near", role="Operator")) if believed else believing(plant)
        async with serving(routers=(router,), opener=open_port, up=False, tls=(shown,)) as here:
            client = await connect(Client, here.port("router", "plant"))
            await until(lambda: here.bus(to.name).up is believed)
            assert to.name.startswith("tls://")
            for transaction in range(3):
                client.heard.clear()
                client.send(mbap.encode(transaction, 1, b"\x03\x00\x00\x00\x7d"))
                await until(lambda: len(client.heard) >= (259 if believed else 9), within=30)
                answer = b"\x03\xfa" + b"".join(each.to_bytes(2, "big") for each in holding(1, 0, 125))
                if believed:
                    assert bytes(client.heard[7:]) == answer
                else:
                    assert bytes(client.heard[7:]) in (b"\x83\x0a", b"\x83\x0b")
            if believed:
                assert there.service("modbus").clients[0].identity == "CN=near, Operator"
            await client.close()

"""S1: every TCP service by TLS, each with a client of its protocol; the peers' own are in tests/peers/test_tls.py."""

from functools import partial
from pathlib import Path

import pytest

from nportpy.modes.modbus_base import Access
from nportpy.network.tls_settings import Clients
from nportpy.port.loopback import Cable
from nportpy.protocols.modbus import ascii as ascii_frames
from nportpy.protocols.modbus import mbap, rtu
from tests.support import ways
from tests.support.modbus_serving import attach, holding, modbus, read, units
from tests.support.serving import connect, plan, serving
from tests.support.tls import Plant, context_of, table
from tests.support.ways import WAYS, serving_text


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    return Plant(tmp_path_factory.mktemp("plant"))


@pytest.mark.parametrize("kind", ["raw", "rfc2217", "reverse_telnet", "modem"])
async def test_s1_each_service_of_a_line_by_tls(plant: Plant, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    context = context_of(plant, plant.client("scada", role="Operator"))
    monkeypatch.setattr(ways, "connect", partial(connect, tls=context))
    pair = plant.pair("gateway")
    tables = f"""
[tls.plant]
cert_file = "{pair.certificate}"
key_file = "{pair.key}"
ca_file = "{plant.ca}"
"""
    way = WAYS[kind]()
    way.table += '\ntls = "plant"'
    async with serving_text(way.line(), way.text(), tables, ways=[way]) as served:
        await way.join(served)
        await way.both_ways()
        assert served.service(kind, way.name).clients[0].identity == "CN=scada, Operator"


def framed(protocol: Access, pdu: bytes) -> bytes:
    match protocol:
        case Access.TCP:
            return mbap.encode(1, 1, pdu)
        case Access.RTU:
            return rtu.encode(1, pdu)
        case _:
            return ascii_frames.encode(1, pdu)


@pytest.mark.parametrize("protocol", [Access.TCP, Access.RTU, Access.ASCII])
async def test_s1_modbus_by_tls_in_each_framing(plant: Plant, protocol: Access) -> None:
    cable = Cable()
    attach(cable, units(1))
    tls = (table(plant, clients=Clients.REQUIRED),)
    async with serving(plan("cable", modbus(protocol=protocol, tls="plant")), cables=[cable], tls=tls) as served:
        context = context_of(plant, plant.client("scada"))
        client = await served.raw("modbus", tls=context)
        client.send(framed(protocol, read(0, 3)))
        answer = b"\x03\x06" + b"".join(value.to_bytes(2, "big") for value in holding(1, 0, 3))
        await client.hears(framed(protocol, answer))
        assert served.service("modbus").clients[0].identity == "CN=scada"
        await client.close()


def test_s1_nothing_that_listens_by_tcp_was_left_out() -> None:
    """Real COM alone has no TLS, and docs/security.md says so."""
    document = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
    assert "Real COM has none" in document

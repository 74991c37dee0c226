"""MODBUS/TCP Security on simulated units: a case for each requirement of MB-TCP-Security v36 (S12, S13)."""

import asyncio
import random
import socket
import ssl
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from prometheus_client import generate_latest

from nportpy.linesettings import LineSettings
from nportpy.modbus.rules import Refusal, concerning, judge, look_at
from nportpy.modbus.settings import Action, Matching, RoutingSettings, Rule
from nportpy.network.tls_settings import Clients
from nportpy.port.loopback import Cable
from nportpy.protocols.capture.packets import Capture
from nportpy.protocols.capture.records import Asked, Kind, Unsent
from nportpy.protocols.modbus import mbap
from nportpy.protocols.modbus.functions import Span, Table
from nportpy.services.metrics import registry
from tests.support.modbus_serving import attach, holding, modbus, units
from tests.support.serving import Client, Served, connect, plan, serving, settings, until
from tests.support.tls import CLIENT, Plant, context_of, read, secured, table, utf8, write

READ, WRITE = b"\x03\x00\x00\x00\x02", b"\x06\x00\x00\x12\x34"
OPERATORS_WRITE = (
    Rule(Matching(roles=frozenset({"Operator"})), Action.READ_WRITE),
    Rule(Matching(roles=frozenset({"Viewer"})), Action.READ_ONLY),
    Rule(Matching(), Action.DENY),
)


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    return Plant(tmp_path_factory.mktemp("plant"))


def _service(**routing: Any) -> Any:
    return modbus(tls="plant", security=True, routing=RoutingSettings.whole("cable", **routing))


def _serving(plant: Plant, *pairs: Any, rules: tuple[Rule, ...] = (), **more: Any) -> Any:
    cable = Cable()
    attach(cable, units(1))
    tls = (table(plant, *pairs, clients=Clients.REQUIRED, **more),)
    return serving(plan("cable", _service(rules=rules)), cables=[cable], tls=tls)


async def _ask(client: Client, pdu: bytes, transaction: int = 1) -> bytes:
    before = len(client.heard)
    client.send(mbap.encode(transaction, 1, pdu))
    await until(lambda: len(client.heard) >= before + 8)
    answer = bytes(client.heard[before:])
    assert answer[:2] == transaction.to_bytes(2, "big")
    return answer[7:]


async def _shown(plant: Plant, served: Served, role: str | bytes | None, name: str = "scada") -> Client:
    pair = plant.client(name, role=role) if not isinstance(role, bytes) else plant.client(name)
    if isinstance(role, bytes):
        pair = plant.pair(name, purpose=CLIENT, role=role)
    return await secured(served.port("modbus"), context_of(plant, pair))


async def test_s12_r_02_r_06_r_44_both_show_certificates(plant: Plant) -> None:
    async with _serving(plant) as served:
        client = await _shown(plant, served, "Operator")
        assert await _ask(client, READ) == b"\x03\x04" + b"".join(each.to_bytes(2, "big") for each in holding(1, 0, 2))
        assert client.transport.get_extra_info("peercert")
        bare = await secured(served.port("modbus"), context_of(plant))
        bare.send(mbap.encode(1, 1, READ))
        await until(lambda: bare.lost)
        assert not bare.heard
        assert served.results("modbus")["tls_failed"] == 1
        await client.close()


async def test_s12_r_34_there_is_no_way_back_to_plain_modbus(plant: Plant) -> None:
    async with _serving(plant) as served:
        plain = await connect(Client, served.port("modbus"))
        plain.send(mbap.encode(1, 1, READ))
        await until(lambda: plain.lost)
        assert mbap.encode(1, 1, b"\x03\x04") not in bytes(plain.heard)
        assert served.results("modbus") == {"tls_failed": 1}


async def test_s12_r_14_the_suite_that_all_must_have(plant: Plant) -> None:
    """It takes a certificate with an RSA key; one with an EC key may stand beside it."""
    async with _serving(plant, plant.pair("rsa", rsa_key=True), plant.pair("ec")) as served:
        for suite in ("ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"):
            context = context_of(plant, plant.client("scada", role="Operator"))
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            context.set_ciphers(suite)
            client = await secured(served.port("modbus"), context)
            assert client.transport.get_extra_info("cipher")[0] == suite
            assert client.transport.get_extra_info("compression") is None
            assert (await _ask(client, READ))[0] == 3
            await client.close()


@pytest.mark.parametrize(
    "suite", ["AES128-SHA256", "ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-NULL-SHA", "AECDH-NULL-SHA"]
)
async def test_s12_what_is_weaker_is_not_spoken(plant: Plant, suite: str) -> None:
    async with _serving(plant) as served:
        context = context_of(plant, plant.client("scada"))
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(f"{suite}:@SECLEVEL=0")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await secured(served.port("modbus"), context)
        await until(lambda: served.results("modbus").get("tls_failed"))


@pytest.mark.parametrize(("role", "write"), [("Operator", True), ("Viewer", False)])
async def test_s13_r_21_r_24_the_role_says_what_a_client_may(plant: Plant, role: str, write: bool) -> None:
    async with _serving(plant, rules=OPERATORS_WRITE) as served:
        client = await _shown(plant, served, role)
        assert (await _ask(client, READ))[0] == 3
        assert await _ask(client, WRITE) == (WRITE if write else b"\x86\x01")
        await client.close()


async def test_s13_r_31_a_refusal_is_exception_01_and_the_connection_stays(plant: Plant) -> None:
    async with _serving(plant, rules=OPERATORS_WRITE) as served:
        client = await _shown(plant, served, "Viewer")
        for transaction in range(3):
            assert await _ask(client, WRITE, transaction) == b"\x86\x01"
        assert (await _ask(client, READ, 9))[0] == 3
        assert served.service("modbus").refused == {"forbidden": 3}
        await client.close()


@pytest.mark.parametrize("role", [None, b"\x13\x08Operator", utf8("Operator") * 2, utf8("x" * 65), b"\x0c\x02\xff\xff"])
async def test_s13_r_23_without_a_role_it_is_the_null_role(plant: Plant, role: bytes | None) -> None:
    rules = (Rule(Matching(roles=frozenset({""})), Action.READ_ONLY), Rule(Matching(), Action.DENY))
    async with _serving(plant, rules=rules) as served:
        client = await _shown(plant, served, role)
        assert (await _ask(client, READ))[0] == 3
        assert await _ask(client, WRITE) == b"\x86\x01"
        assert served.service("modbus").clients[0].identity == "CN=scada"
        await client.close()


async def test_s13_r_22_a_role_is_compared_as_it_is_written(plant: Plant) -> None:
    async with _serving(plant, rules=OPERATORS_WRITE) as served:
        for role in ("operator", "Operator ", "Operator2"):
            client = await _shown(plant, served, role)
            assert await _ask(client, READ) == b"\x83\x01"
            await client.close()


async def test_s13_a_reload_changes_what_a_role_may_for_those_who_are_there(plant: Plant) -> None:
    cable = Cable()
    attach(cable, units(1))
    tls = (table(plant, clients=Clients.REQUIRED),)
    async with serving(plan("cable", _service(rules=OPERATORS_WRITE)), cables=[cable], tls=tls) as served:
        client = await _shown(plant, served, "Viewer")
        assert await _ask(client, WRITE) == b"\x86\x01"
        allowing = (Rule(Matching(roles=frozenset({"Viewer"})), Action.READ_WRITE),)
        await served.gateway.reload(settings(plan("cable", _service(rules=allowing)), tls=tls))
        assert await _ask(client, WRITE) == WRITE
        await client.close()


async def test_s15_the_same_identity_in_status_and_log(plant: Plant, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        async with _serving(plant, rules=OPERATORS_WRITE) as served:
            client = await _shown(plant, served, "Viewer")
            await _ask(client, WRITE)
            assert served.service("modbus").clients[0].identity == "CN=scada, Viewer"
            await client.close()
            await until(lambda: not served.service("modbus").clients)
    told = {record.message: record for record in caplog.records}
    for message in ("client connected", "client gone"):
        assert told[message].identity == "CN=scada, Viewer"  # type: ignore[attr-defined]
    assert told["request refused by a rule"].role == "Viewer"  # type: ignore[attr-defined]


async def test_s15_the_same_identity_in_captures(plant: Plant) -> None:
    async with _serving(plant, rules=OPERATORS_WRITE) as served:
        client = await _shown(plant, served, "Viewer")
        async with served.gateway._ports["cable"].line.tap().watch("test") as watcher:
            await _ask(client, READ)
            await _ask(client, WRITE)
            heard = watcher.take()[1]
        records = [record for record in heard if record.kind in (Kind.TX, Kind.UNSENT)]
        asked = [str(record.about.client) for record in records if isinstance(record.about, Asked | Unsent)]
        await client.close()
    assert len(asked) >= 1
    assert all(name.endswith(" (CN=scada, Viewer)") for name in asked)
    capture = Capture("cable", LineSettings(115200), requests=True)
    file = capture.feed([(watcher.wall(record.time), record) for record in heard]) + capture.finish()
    assert b"CN=scada, Viewer" in file


async def test_s15_metrics_have_the_role_and_never_the_name(plant: Plant) -> None:
    async with _serving(plant, rules=OPERATORS_WRITE) as served:
        for role in ("Viewer", "Operator", None, "a role that no rule names"):
            client = await _shown(plant, served, role)
            await _ask(client, WRITE)
            await client.close()
        text = generate_latest(registry(served.gateway.status)).decode()
        refused = dict(served.service("modbus").refused_by)
    assert "scada" not in text
    assert "a role that no rule names" not in text
    assert sum(refused.values()) == 3
    assert {role for _, role in refused} <= {"NULL", "other", "Viewer"}
    for (rule, role), count in refused.items():
        labels = f'port="cable",role="{role}",rule="{rule}",service="modbus"'
        assert f"nportpy_modbus_refused_by_rule_total{{{labels}}} {float(count)}" in text


async def test_s12_r_46_the_whole_chain_is_sent(plant: Plant, tmp_path: Any) -> None:
    pair = plant.pair("gateway")
    chain = tmp_path / "chain.crt"
    write(chain, read(pair.certificate) + read(plant.ca))
    async with _serving(plant, type(pair)(str(chain), pair.key)) as served:
        client_pair = plant.client("scada")
        port = served.port("modbus")
        asked = await asyncio.to_thread(_chain, context_of(plant, client_pair), port)
        assert asked == 2


def _chain(context: ssl.SSLContext, port: int) -> int:
    with (
        socket.create_connection(("127.0.0.1", port)) as sock,
        context.wrap_socket(sock, server_hostname="localhost") as tls,
    ):
        return len(tls._sslobj.get_unverified_chain())  # type: ignore[attr-defined]


_ROLES = ("", "Operator", "Viewer")
_TABLES = (Table.HOLDING_REGISTERS, Table.INPUT_REGISTERS)
_SPANS = st.builds(Span, st.sampled_from(_TABLES), st.integers(0, 20), st.integers(1, 10))
_RULES = st.builds(
    Rule,
    st.builds(
        Matching,
        units=st.frozensets(st.integers(1, 3), max_size=2),
        functions=st.frozensets(st.sampled_from((3, 4, 6, 16)), max_size=2),
        span=st.none() | _SPANS,
        roles=st.frozensets(st.sampled_from(_ROLES), max_size=2),
    ),
    st.sampled_from(Action),
)


@given(
    rules=st.lists(_RULES, max_size=6).map(tuple),
    role=st.none() | st.sampled_from((*_ROLES, "Unknown")),
    unit=st.integers(1, 3),
    function=st.sampled_from((3, 4, 6, 16)),
    address=st.integers(0, 25),
    count=st.integers(1, 8),
)
@hypothesis_settings(max_examples=150, deadline=None)
@pytest.mark.long
def test_s13_roles_units_functions_and_registers_against_a_model(
    rules: tuple[Rule, ...], role: str | None, unit: int, function: int, address: int, count: int
) -> None:
    _as_modelled(rules, role, unit, function, address, count)


def test_s13_random_requests_and_roles_against_a_model(times: int) -> None:
    """As S13 wants it with --times 50: a million."""
    chance = random.Random(13)
    for _ in range(400 * times):
        rules = tuple(
            Rule(
                Matching(
                    units=frozenset(chance.sample((1, 2, 3), chance.randrange(3))),
                    functions=frozenset(chance.sample((3, 4, 6, 16), chance.randrange(3))),
                    span=chance.choice(
                        (None, Span(chance.choice(_TABLES), chance.randrange(20), chance.randrange(1, 10)))
                    ),
                    roles=frozenset(chance.sample(_ROLES, chance.randrange(3))),
                ),
                chance.choice(tuple(Action)),
            )
            for _ in range(chance.randrange(6))
        )
        for _ in range(50):
            role = chance.choice((*_ROLES, "Unknown", None))
            where = chance.randrange(25), chance.randrange(1, 8)
            _as_modelled(rules, role, chance.randrange(1, 4), chance.choice((3, 4, 6, 16)), *where)


def _as_modelled(rules: tuple[Rule, ...], role: str | None, unit: int, function: int, address: int, count: int) -> None:
    pdu = bytes((function,)) + address.to_bytes(2, "big")
    match function:
        case 6:
            pdu, count = pdu + b"\0\1", 1
        case 16:
            pdu += count.to_bytes(2, "big") + bytes((2 * count,)) + bytes(2 * count)
        case _:
            pdu += count.to_bytes(2, "big")
    table_of = Table.INPUT_REGISTERS if function == 4 else Table.HOLDING_REGISTERS
    touched = {(table_of, each) for each in range(address, address + count)}
    expected = None
    for rule in rules:
        matching, writes = rule.matching, function in (6, 16)
        passes = rule.action is Action.READ_WRITE or (rule.action is Action.READ_ONLY and not writes)
        if matching.roles and (role is None or role not in matching.roles):
            continue
        if (matching.functions and function not in matching.functions) or (
            matching.units and unit not in matching.units
        ):
            continue
        if matching.span is not None:
            table, first, size = matching.span
            meant = {(table, each) for each in range(first, first + size)}
            if not (touched <= meant if passes else touched & meant):
                continue  # all of it has to be allowed, and any of it can be forbidden
        if not passes:
            expected = Refusal.IGNORED if rule.action is Action.IGNORE else Refusal.FORBIDDEN
        break
    assert judge(concerning(rules, None, role), look_at(pdu), frozenset({unit})) is expected

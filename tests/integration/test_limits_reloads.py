"""Limits and lists that a reload changes under those who are connected: nobody goes but who is allowed no more."""

import asyncio
import socket
from dataclasses import replace
from typing import Any

import pytest

from nportpy.port.loopback import Cable
from tests.support.modbus_serving import asker, attach, modbus, route, router, units
from tests.support.serving import plan, serving, settings, settle, until
from tests.support.ways import HOST, WAYS, Way, parsed, serving_text

LISTENING = sorted(WAYS.keys() - {"tcp_client", "pair"})
CONNECTED = sorted(WAYS.keys() - {"tcp_client", "pair", "udp"})
# A limit of each kind of service, beside the lists, as it is at first and as it becomes.
LIMITS = {
    "raw": 'max_clients = 9\nwhen_full = "kick_idle"\nidle_after = "2s"\ninactivity = "1h"\nalive_check = "1min"\n',
    "rfc2217": 'max_clients = 9\ntakeover = false\nallowance = "8KiB"\nwhen_down = "hold"\nhalf_close = "3s"\n',
    "reverse_telnet": 'max_clients = 9\ninactivity = "1h"\nalive_check = "off"\n',
    "modem": 'inactivity = "1h"\nalive_check = "1min"\nnumbers = { "7" = "127.0.0.1:1" }\n',
    "realcom": 'max_clients = 3\nallow_driver_control = true\ngrace = "50ms"\npoll = "20s"\ninactivity = "1h"\n',
    "udp": "max_datagram = 1000\n",
    "tcp_client": 'connect_timeout = "3s"\nretry_at_most = "1min"\nalive_check = "1min"\nallowance = "8KiB"\n',
    "pair": 'connect_timeout = "3s"\nretry_at_most = "1min"\nalive_check = "1min"\n',
}


def changes(caplog: pytest.LogCaptureFixture, message: str) -> list[dict[str, Any]]:
    return [record.__dict__ for record in caplog.records if record.message == message]


@pytest.mark.parametrize("kind", sorted(WAYS))
async def test_a9_limits_change_and_nobody_goes(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    way = WAYS[kind]()
    async with serving_text(way.line(), way.text(), ways=[way]) as served:
        await way.join(served)
        await way.both_ways()
        for text in (way.text() + LIMITS[kind], way.text()):  # there and back again
            caplog.clear()
            await served.gateway.reload(parsed(way.line(), text))
            await settle()
            assert not way.lost
            await way.both_ways()
            (change,) = changes(caplog, "changed in place")
            keys = {line.partition(" ")[0] for line in LIMITS[kind].splitlines()}
            assert set(change["changed"].split(", ")) == keys
            assert (change["port"], change["service"], change["result"]) == (way.name, kind, "reload")
            assert not [record for record in caplog.records if "shutdown" in str(record.__dict__)]


@pytest.mark.parametrize("kind", LISTENING)
@pytest.mark.parametrize("where", ["gateway", "port", "service"])
async def test_a9_lists_change_and_only_those_not_allowed_go(kind: str, where: str) -> None:
    way = WAYS[kind]()

    def tables(networks: str) -> list[str]:
        allow = f"allow = [{networks}]\n"
        top = "[gateway]\n" + (allow if where == "gateway" else "")
        return [top, way.line(allow if where == "port" else ""), way.text() + (allow if where == "service" else "")]

    async with serving_text(*tables(f"'127.0.0.1', '{HOST}'"), ways=[way]) as served:
        await way.join(served)
        for networks in ("'192.0.2.0/24', '127.0.0.0/8'", "'0.0.0.0/0'", f"'{HOST}', '127.0.0.1', '::1'"):
            await served.gateway.reload(parsed(*tables(networks)))
            await settle()
            assert not way.lost, networks
            await way.both_ways()
        if where != "service":  # what listens on loopback is there for this machine, whatever the outer lists say
            await served.gateway.reload(parsed(*tables("'192.0.2.0/24'")))
            await way.both_ways()
            return
        await served.gateway.reload(parsed(*tables("'192.0.2.0/24'")))
        if kind == "udp":
            assert served.results(kind, way.name)["not_allowed"] == 1
        else:
            await until(lambda: way.lost)
            await until(lambda: not served.service(kind, way.name).clients)
            assert served.results(kind, way.name)["not_allowed"] == 1
            assert "shutdown" not in served.results(kind, way.name)
        await served.gateway.reload(parsed(*tables(f"'127.0.0.1', '{HOST}'")))
        await way.join(served)
        await way.both_ways()


@pytest.mark.parametrize("kind", CONNECTED)
async def test_a9_what_starts_anew_says_so(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    way: Way = WAYS[kind]()
    async with serving_text(way.line(), way.text(), ways=[way]) as served:
        await way.join(served)
        await served.gateway.reload(parsed(way.line(), way.text(changed=True)))
        await until(lambda: way.lost)
        (change,) = changes(caplog, "started anew")
        assert change["changed"] == way.changed.partition(" ")[0]
        gone = changes(caplog, "client gone")
        assert gone
        assert {each["result"] for each in gone} <= {"reload", "closed"}  # Real COM: its other half closes after it
        assert "reload" in {each["result"] for each in gone}


async def test_a9_a_line_that_starts_anew_says_what_has_changed(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    way = WAYS["raw"]()
    async with serving_text(way.line(), way.text(), ways=[way]) as served:
        await way.join(served)
        await served.gateway.reload(parsed(way.line('format = "7E1"'), way.text()))
        await until(lambda: way.lost)
        (change,) = changes(caplog, "line started anew")
        assert (change["port"], change["changed"]) == (way.name, "line")
        assert [each["result"] for each in changes(caplog, "client gone")] == ["reload"]
        await served.gateway.reload(parsed(way.line()))
        assert not served.gateway.status().services


async def test_a9_linger_changes_in_place() -> None:
    way = WAYS["raw"]()
    async with serving_text(way.line(), way.text(), ways=[way]) as served:
        await way.join(served)
        await served.gateway.reload(parsed(way.line('linger = "7s"'), way.text()))
        await way.both_ways()
        assert not way.lost
        line = served.gateway._ports[way.name].line
        assert (line.linger, line.stream._settings.linger) == (7.0, 7.0)


async def test_a9_fewer_clients_than_there_are_send_nobody_away() -> None:
    way = WAYS["raw"]()
    async with serving_text(way.line(), way.text(), ways=[way]) as served:
        await way.join(served)
        first = way.client  # type: ignore[attr-defined]  # a raw one
        await way.join(served)
        await served.gateway.reload(parsed(way.line(), way.text() + "max_clients = 1\n"))
        await settle()
        assert not first.lost
        assert not way.lost
        third = await way.connected()  # type: ignore[attr-defined]
        await until(lambda: third.lost)
        await first.close()


async def test_a9_a_new_limit_holds_for_those_who_are_there() -> None:
    way = WAYS["raw"]()
    async with serving_text(way.line(), way.text(), ways=[way]) as served:
        await way.join(served)
        await served.gateway.reload(parsed(way.line(), way.text() + 'inactivity = "10s"\n'))
        began = asyncio.get_running_loop().time()
        await until(lambda: way.lost, within=30)
        assert 9.9 < asyncio.get_running_loop().time() - began < 12
        assert served.results()["inactive"] == 1 if way.name == "cable" else True
        await way.join(served)
        await served.gateway.reload(parsed(way.line(), way.text()))
        await settle(30)
        assert not way.lost
        client: Any = served.gateway._ports[way.name].services.running[0].runs.sessions[0]
        await served.gateway.reload(parsed(way.line(), way.text() + 'alive_check = "40s"\n'))
        assert client.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 40_000


async def test_a9_modbus_clients_stay() -> None:
    cable = Cable()
    attach(cable, units(1))
    whole, plant = modbus(), router(route(1, "cable"))
    fewer = replace(plant, service=replace(plant.service, max_clients=7))
    async with serving(plan("cable", whole), cables=[cable], routers=(plant,)) as served:
        clients = [await asker(served), await asker(served, "router", "plant")]
        await served.gateway.reload(settings(plan("cable", modbus(max_clients=99, outstanding=3)), routers=(fewer,)))
        await settle()
        for client in clients:
            assert not client.lost
            assert isinstance(await client.read(0), list)

"""Modes that come, go, change places and meet trouble while the gateway runs."""

import asyncio
import os
import random
import resource

import pytest

from nportpy.port.loopback import Cable
from tests.support.calls import deaf
from tests.support.modbus_serving import Asker, attach, holding, units
from tests.support.serving import Client, Served, connect, settle, until
from tests.support.ways import HOST, WAYS, Modem, Raw, RealCom, ReverseTelnet, TcpClient, Udp, Way, parsed, serving_text

KINDS = sorted(WAYS)


async def reload(served: Served, *tables: str) -> None:
    await served.gateway.reload(parsed(*tables))


@pytest.mark.parametrize("seed", range(6))
async def test_random_reloads_keep_whoever_is_not_concerned(seed: int) -> None:
    chance = random.Random(seed)
    ways = [make(place) for place, make in enumerate(WAYS.values(), 1)]
    state = {way.kind: "on" for way in ways}

    def tables() -> list[str]:
        return [
            way.line() + (way.text(changed=state[way.kind] == "changed") if state[way.kind] != "off" else "")
            for way in ways
        ]

    async with serving_text(*tables(), ways=ways) as served:
        for way in ways:
            await way.join(served)
        for count in range(8):
            before = dict(state)
            for way in chance.sample(ways, chance.randint(1, 4)):
                state[way.kind] = chance.choice(("on", "off", "changed"))
            await reload(served, *tables())
            concerned = {kind for kind in state if state[kind] != before[kind]}
            for way in ways:
                if state[way.kind] == "off":
                    continue
                if way.kind in concerned:
                    await settle(0.5)
                    await way.join(served)
                assert not way.lost, (way.kind, count)
                await way.both_ways(b"%d" % count)
            running = {each.service for each in served.gateway.status().services}
            assert running == {kind for kind in state if state[kind] != "off"} | {"rfc2217", "discovery"} - (
                {"discovery"} if state["realcom"] == "off" else set()
            )


async def test_modes_change_places() -> None:
    ways: list[Way] = [Raw(1), ReverseTelnet(2), Modem(3)]
    async with serving_text(*(way.line() + way.text() for way in ways), ways=ways) as served:
        for count in range(3):
            for way in ways:
                await way.join(served)
                await way.both_ways(b"%d" % count)
            numbers = [way.number for way in ways]
            for way, number in zip(ways, numbers[1:] + numbers[:1], strict=True):
                way.number = number
            await reload(served, *(way.line() + way.text() for way in ways))
            await until(lambda: all(way.lost for way in ways))


async def test_a_router_and_a_line_change_places() -> None:
    cable = Cable("/dev/one")
    attach(cable, units(1))
    text = """
    [port.one]
    device = "/dev/one"
    [port.one.modbus]
    listen = "{host}:{line}"
    [modbus.plant]
    listen = "{host}:{router}"
    routes = [{{ units = "1", port = "one" }}]
    """
    places = {"line": 4010, "router": 4020}
    async with serving_text(text.format(host=HOST, **places), cables=[cable]) as served:
        for _ in range(3):
            for number in places.values():
                client = await connect(Asker, number, HOST)
                assert await client.read(0, 2) == holding(1, 0, 2)
                await client.close()
            places = {"line": places["router"], "router": places["line"]}
            await reload(served, text.format(host=HOST, **places))


async def test_the_ports_of_real_com_go_over_to_raw_and_come_back() -> None:
    driver, raw = RealCom(1, "one"), Raw(1, "one")
    raw.cable = driver.cable
    async with serving_text(driver.line(), driver.text(), ways=[driver, raw]) as served:
        for _ in range(2):
            await driver.join(served)
            await driver.both_ways()
            await reload(served, raw.line(), raw.text())
            await until(lambda: driver.lost)
            await raw.join(served)
            await raw.both_ways()
            await reload(served, driver.line(), driver.text())
            await until(lambda: raw.lost)


@pytest.mark.parametrize("kind", KINDS)
async def test_reloads_and_a_stop_while_the_device_is_away(kind: str) -> None:
    way = WAYS[kind]()
    async with serving_text(way.line(), way.text(), ways=[way]) as served:
        await way.join(served)
        way.cable.unplug()
        await until(lambda: served.line(kind).state == "lost")
        await reload(served, way.line(), way.text(changed=True))
        await settle(1.0)
        way.cable.plug()
        await until(lambda: served.line(kind).state == "up")
        await settle(1.0)
        await way.join(served)
        await way.both_ways()
        way.cable.unplug()
        await until(lambda: served.line(kind).state == "lost")
        began = asyncio.get_running_loop().time()
        served.gateway.stop()
        await asyncio.wait([served.task])
        assert asyncio.get_running_loop().time() - began < 5.5  # drain


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stop_before_the_device_was_ever_there(kind: str) -> None:
    way = WAYS[kind]()
    way.cable.plugged = False
    async with serving_text(way.line(), way.text(), ways=[way], up=False) as served:
        await settle(1.0)
        began = asyncio.get_running_loop().time()
        served.gateway.stop()
        await asyncio.wait([served.task])
        assert asyncio.get_running_loop().time() - began < 1.0


@pytest.mark.parametrize("kind", ["tcp_client", "pair", "modem"])
async def test_reloads_and_a_stop_do_not_wait_for_who_is_called(kind: str) -> None:
    cable = Cable("/dev/one")
    with deaf() as to:
        table = f'init = "E0S0=1"\n[port.one.raw]\nlisten="{HOST}:4900"' if kind == "modem" else f'to = "{to}"'
        text = f'[port.one]\ndevice = "/dev/one"\n[port.one.{kind}]\n{table}\n'
        async with serving_text(text, cables=[cable]) as served:
            for _ in range(2):
                if kind == "modem":
                    cable.far.write(b"ATDT%s\r" % str(to).encode())
                await settle(0.5)
                began = asyncio.get_running_loop().time()
                await reload(served, '[port.one]\ndevice = "/dev/one"\n')
                assert asyncio.get_running_loop().time() - began < 1.0
                await reload(served, text)
            await settle(0.5)
            began = asyncio.get_running_loop().time()
            served.gateway.stop()
            await asyncio.wait([served.task])
            assert asyncio.get_running_loop().time() - began < 1.0


async def test_a_host_that_does_not_read_does_not_hold_up_a_reload() -> None:
    way, beside = TcpClient(), Raw(9, "beside")
    async with serving_text(way.line(), way.text(), beside.line(), beside.text(), ways=[way, beside]) as served:
        way.host.reading = False
        await way.join(served)
        await beside.join(served)
        way.host.client.transport.pause_reading()
        for _ in range(200):
            way.cable.far.write(bytes(60000))
            await settle(0.01)
        began = asyncio.get_running_loop().time()
        await reload(served, way.line(), beside.line(), beside.text())
        assert asyncio.get_running_loop().time() - began < 10.0
        await beside.both_ways()


async def test_two_of_a_kind_and_one_goes() -> None:
    first, second = Udp(1, "one"), Udp(2, "one")
    second.cable = first.cable
    both = [
        first.text().replace("[port.one.udp]", "[[port.one.udp]]"),
        second.text().replace("[port.one.udp]", "[[port.one.udp]]"),
    ]
    async with serving_text(first.line(), *both, ways=[first, second]) as served:
        await settle()
        first.cable.far.write(b"for both")
        await until(lambda: first.heard == b"for both" == second.heard)
        assert [each.service for each in served.gateway.status().services] == ["udp", "udp-2"]
        await reload(served, first.line(), second.text())
        first.cable.far.write(b", for one")
        await until(lambda: second.heard == b"for both, for one")
        assert first.heard == b"for both"
        await reload(served, first.line(), *both)
        first.cable.far.write(b", and both")
        await until(lambda: second.heard == b"for both, for one, and both")
        await until(lambda: first.heard == b"for both, and both")


async def test_a_service_whose_line_changes_is_started_anew_on_the_same_port() -> None:
    ways = [make(place) for place, make in enumerate(WAYS.values(), 1)]
    async with serving_text(*(way.line() + way.text() for way in ways), ways=ways) as served:
        for way in ways:
            await way.join(served)
        await reload(served, *(way.line('format = "8E1"') + way.text() for way in ways))
        await until(lambda: all(line.state == "up" for line in served.gateway.status().lines))
        await settle(1.0)
        for way in ways:
            await way.join(served)
            await way.both_ways()
            if way.kind != "realcom":  # whose driver sets it
                assert str(served.line(way.name).settings) == "115200 8E1"


async def test_who_connects_during_a_reload_waits() -> None:
    way = ReverseTelnet()
    async with serving_text(way.line(), way.text(), ways=[way]) as served:
        await way.join(served)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(reload(served, way.line('format = "8E1"'), way.text()))
            await asyncio.sleep(0)
            client = await connect(Client, way.number, HOST)
        await until(lambda: client.heard or client.lost)
        assert not client.lost
        await client.close()


@pytest.mark.parametrize("kind", sorted(WAYS.keys() - {"raw"}))
@pytest.mark.parametrize("spare", range(6))
async def test_a_mode_that_comes_when_descriptors_run_out(kind: str, spare: int) -> None:
    way, beside = WAYS[kind](), Raw(9, "beside")
    others = beside.line(), beside.text()
    async with serving_text(way.line(), *others, ways=[way, beside]) as served:
        await beside.join(served)
        await reload(served, way.line(), *others)
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        in_use = os.dup(0)
        os.close(in_use)
        resource.setrlimit(resource.RLIMIT_NOFILE, (in_use + spare, limits[1]))
        try:
            await reload(served, way.line(), way.text(), *others)
            await settle(2.0)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert not served.task.done()
        await reload(served, way.line(), way.text(), *others)
        await settle(6.0)  # the pause before the next call
        await way.join(served)
        await way.both_ways()
        await beside.both_ways()

"""A gateway that speaks Modbus goes over to other settings: clients stay where they can, and hear nothing wrong."""

import asyncio
import os
import random
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

from nportpy.gateway.plans import PortPlan, RouterPlan
from nportpy.linesettings import LineSettings, Parity
from nportpy.modbus.settings import (
    Action,
    BusSettings,
    Framing,
    Matching,
    Route,
    RoutingSettings,
    Rule,
    ServerSettings,
    Timeout,
    Unrouted,
)
from nportpy.modes.modbus_base import Access, MasterSettings, ModbusSettings
from nportpy.network.addresses import Endpoint
from nportpy.port.loopback import Cable
from nportpy.protocols.modbus import mbap
from nportpy.protocols.modbus.rtu import Frame
from tests.support.bus import Units, mbap_reply
from tests.support.modbus_serving import (
    Asker,
    asker,
    attach,
    holding,
    modbus,
    read,
    registers,
    route,
    router,
    units,
    write,
)
from tests.support.serving import Served, connect, plan, raw, serving, settings, settle, until

BUS = LineSettings(19200, parity=Parity.EVEN)
HOST = f"127.77.{os.getpid() % 250 + 1}.1"  # nobody else's, and the ports are not those that clients get
PATH_UNAVAILABLE = 0x0A


async def reload(served: Served, *plans: Any, **changes: Any) -> None:
    await served.gateway.reload(settings(*plans, **changes))


def only_reading(unit: int) -> Rule:
    return Rule(Matching(units=frozenset((unit,))), Action.READ_ONLY)


async def all_of(answers: Iterable[asyncio.Future[bytes]]) -> list[bytes]:
    async with asyncio.timeout(3600):
        return await asyncio.gather(*answers)


async def test_rules_and_routes_change_under_clients() -> None:
    cable, other = Cable(), Cable("other")
    attach(cable, units(1))
    attach(other, units(1, 2))
    ports = plan("cable", modbus()), plan("other")
    plants = (router(route(1, "cable")),)
    async with serving(*ports, cables=[cable, other], routers=plants) as served:
        client, routed = await asker(served), await asker(served, "router", "plant")
        assert await client.ask(write(0, 7)) == write(0, 7)
        assert [await routed.read(0), await routed.read(0, unit=2)] == [[7], PATH_UNAVAILABLE]
        strict = modbus(routing=RoutingSettings.whole("cable", rules=(only_reading(1),)))
        plants = (router(route(1, "other", unit=2), route(2, "cable", offset=-1), unrouted=Unrouted.SILENCE),)
        under_way = client.ask(read(5))
        await reload(served, plan("cable", strict), plan("other"), routers=plants)
        assert registers(await under_way) == holding(1, 5)
        assert await client.ask(write(0, 8)) == b"\x86\x01"
        assert [await routed.read(0), await routed.read(0, unit=2)] == [holding(2, 0), [7]]
        silent = routed.ask(read(0), 3)
        assert await routed.read(1) == holding(2, 1)
        assert not silent.done()
        await reload(served, *ports, routers=plants)
        assert await client.ask(write(0, 9)) == write(0, 9)
        assert (cable.opened, other.opened) == (1, 1)
        assert served.results("modbus") == served.results("router", "plant") == {"accepted": 1}
        assert not client.lost
        assert not routed.lost


async def test_what_unit_0_means_changes() -> None:
    """A broadcast is not answered: over RTU a client would wait for ever for what is none any more."""
    cable = Cable()
    attach(cable, units(1, 2))

    def service(unit0: int | None) -> ModbusSettings:
        routing = RoutingSettings.whole("cable", unit0=unit0)
        return modbus(protocol=Access.RTU, routing=routing)

    async with serving(plan("cable", service(None)), cables=[cable]) as served:
        client = await served.raw("modbus")
        for unit0 in (1, None, 2):
            await reload(served, plan("cable", service(unit0)))
            await settle()
            if client.lost:
                client = await served.raw("modbus")
            client.heard.clear()
            client.send(Frame(0, read(3)).encode() + Frame(1, read(4)).encode())
            zero = b"" if unit0 is None else Frame(0, b"\x03\x02" + bytes((unit0, 3))).encode()
            await client.hears(zero + Frame(1, b"\x03\x02\x01\x04").encode())


class Datagrams(asyncio.DatagramProtocol):
    """A client over UDP that keeps what it hears."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.heard.append(data)


async def test_tcp_and_udp_on_one_port_number() -> None:
    """Each comes, stays and goes for itself."""
    cable = Cable()
    attach(cable, units(1))
    both = {
        protocol: modbus(protocol=protocol, listen=(Endpoint(HOST, 15105),)) for protocol in (Access.TCP, Access.UDP)
    }
    async with serving(plan("cable", *both.values()), cables=[cable]) as served:
        loop = asyncio.get_running_loop()
        transport, client = await loop.create_datagram_endpoint(Datagrams, remote_addr=(HOST, 15105))
        stream = await connect(Asker, 15105, HOST)
        for number, services in enumerate(([*both.values()], [both[Access.UDP]], [*both.values()]), 1):
            await reload(served, plan("cable", *services))
            if len(services) == 2 and stream.lost:
                stream = await connect(Asker, 15105, HOST)
            if len(services) == 2:
                assert await stream.read(4) == holding(1, 4)
            else:
                await settle()
                assert stream.lost
            transport.sendto(mbap.encode(number, 1, read(3)))
            await until(lambda number=number: len(client.heard) == number)  # type: ignore[misc]
            assert client.heard[-1] == mbap.encode(number, 1, b"\x03\x02\x01\x03")
        assert served.service("modbus").results == {"accepted": 1}
        transport.close()


async def test_a_line_that_begins_to_be_asked_keeps_its_streams() -> None:
    """It had no Modbus service; a reload brings one."""
    cable = Cable()
    attach(cable, units(1))
    async with serving(plan("cable", raw()), cables=[cable]) as served:
        stream = await served.raw()
        await reload(served, plan("cable", raw(), modbus()))
        client = await asker(served)
        assert await client.read(3) == holding(1, 3)
        stream.send(Frame(1, read(4)).encode())
        await stream.hears(Frame(1, b"\x03\x02\x01\x04").encode())
        await reload(served, plan("cable", raw()))
        await until(lambda: client.lost)
        assert not stream.lost
        assert cable.opened == 1


async def test_a_line_that_begins_to_be_asked_is_asked_as_the_new_settings_say() -> None:
    cable = Cable()
    attach(cable, units(1, framing=Framing.ASCII))
    async with serving(plan("cable", raw()), cables=[cable]) as served:
        ascii_bus = BusSettings(framing=Framing.ASCII, timeout=Timeout(0.3))
        await reload(served, plan("cable", raw(), modbus(), bus=ascii_bus))
        client = await asker(served)
        assert await client.read(3) == holding(1, 3)
        assert served.bus().units[0].timeout == 0.3
        assert cable.opened == 1


async def test_a_replaced_line_costs_a_routers_clients_an_exception_at_most() -> None:
    """Requests before, during and after: each is answered, and nothing but 0A comes beside the right answers."""
    cable, other = Cable(), Cable("other")
    attach(cable, units(1), BUS)
    attach(other, units(2), BUS)
    plants = (router(route(1, "cable"), route(2, "other")),)
    async with serving(
        plan("cable", line=BUS), plan("other", line=BUS), cables=[cable, other], routers=plants
    ) as served:
        client = await asker(served, "router", "plant")
        results: list[list[int] | int] = []
        done = asyncio.Event()

        async def poll() -> None:
            while not done.is_set():
                results.append(await client.read(10, 2))
                assert await client.read(10, 2, unit=2) == holding(2, 10, 2)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(poll())
            await asyncio.sleep(1)
            cable.plugged = False  # so that the new line cannot open at once
            await reload(
                served,
                plan("cable", line=BUS, bus=BusSettings(retries=0)),
                plan("other", line=BUS),
                routers=plants,
            )
            await asyncio.sleep(1)
            assert results[-1] == PATH_UNAVAILABLE
            assert served.line().state == "lost"
            cable.plug()
            await until(lambda: served.line().state == "up")
            await asyncio.sleep(1)
            done.set()
        assert not client.lost
        good = [result == holding(1, 10, 2) for result in results]
        assert {result for result, fine in zip(map(str, results), good, strict=True) if not fine} == {"10"}
        assert good[0]
        assert good[-1]
        assert good == sorted(good[: good.index(False)]) + sorted(good[good.index(False) :])  # one gap
        assert (cable.opened, other.opened) == (2, 1)


async def test_a_server_elsewhere_comes_and_goes_with_its_routes() -> None:
    where = ServerSettings(Endpoint("192.0.2.10", 502))
    cable = Cable(where.name)
    Units(cable, lambda frame: [(0.001, mbap_reply(frame))])
    async with serving(routers=(router(),), cables=[cable]) as served:
        client = await asker(served, "router", "plant")
        assert await client.read(5) == PATH_UNAVAILABLE
        await reload(served, routers=(router(route(1, where)),))
        await until(lambda: served.bus(where.name).up)
        assert await client.read(5, 2) == [5, 6]
        await reload(served, routers=(router(route(1, where), route(2, where, unit=1)),))
        assert await client.read(7, 2, unit=2) == [7, 8]
        assert cable.opened == 1
        answers = [client.ask(read(base)) for base in range(5)]
        await reload(served, routers=(router(),))
        assert {answer[0] for answer in await all_of(answers)} <= {3, 0x83}
        assert await client.read(5) == PATH_UNAVAILABLE
        assert served.gateway.status().buses == ()
        assert cable.near is None


async def test_a_masters_routes_change_while_it_asks() -> None:
    plc, cable = Cable("plc"), Cable()
    attach(cable, units(1, 2))

    def ports(there: int) -> tuple[Any, ...]:
        master = MasterSettings(routing=RoutingSettings((Route(frozenset((1,)), "cable", unit=there),)))
        return plan("plc", master), plan("cable")

    async with serving(*ports(1), cables=[plc, cable]) as served:
        for there in (1, 2):
            await reload(served, *ports(there))
            before = len(plc.heard)
            plc.far.write(Frame(1, read(3)).encode())
            answer = Frame(1, b"\x03\x02" + bytes((there, 3))).encode()
            await until(lambda before=before, answer=answer: plc.heard[before:] == answer)  # type: ignore[misc]
        assert (plc.opened, cable.opened) == (1, 1)


# Any settings after any others.

SERVER = ServerSettings(Endpoint("192.0.2.10", 502))
PORTS = {("one", "modbus"): 15101, ("two", "modbus"): 15102, ("plant", "router"): 15103, ("site", "router"): 15104}
WHERE = {1: ("one", 1), 2: ("one", 2), 11: ("two", 1), 21: (SERVER, 1)}


def any_settings(chance: random.Random) -> tuple[list[PortPlan], tuple[RouterPlan, ...]]:
    """Lines with and without Modbus, and routers to those that there are."""

    def listening(port: str, service: str) -> dict[str, Any]:
        return {"listen": (Endpoint(HOST, PORTS[port, service]),)}

    ports = []
    for name in (name for name in ("one", "two") if chance.random() < 0.85):
        services: list[Any] = [modbus(name, max_clients=chance.choice((8, 8, 9)), **listening(name, "modbus"))]
        services += [raw()] if chance.random() < 0.5 else []
        bus = chance.choice((None, None, BusSettings(), BusSettings(retries=0)))
        line = LineSettings(chance.choice((115200, 115200, 57600)))
        ports.append(plan(name, *chance.sample(services, chance.randrange(len(services) + 1)), line=line, bus=bus))
    if ports and chance.random() < 0.5:
        routing = RoutingSettings((route(1, chance.choice(ports).name),))
        ports.append(plan("plc", MasterSettings(routing=routing, deadline=chance.choice((1.0, 2.0)))))
    there = {plan.name for plan in ports} | {SERVER}
    routers = []
    for name in (name for name in ("plant", "site") if chance.random() < 0.8):
        routes = [Route(frozenset((unit,)), to, unit=at) for unit, (to, at) in WHERE.items() if to in there]
        routes = chance.sample(routes, chance.randrange(len(routes) + 1))
        service = modbus(routing=RoutingSettings(tuple(routes)), **listening(name, "router"))
        routers.append(RouterPlan(name, service))
    return ports, tuple(routers)


async def poll(place: tuple[str, str], chance: random.Random, results: Counter[str], stop: asyncio.Event) -> None:
    """Ask for whatever, connect again where the connection ends, and never hear anything wrong."""
    client: Asker | None = None
    while not stop.is_set():
        try:
            if client is None or client.lost:
                client = await connect(Asker, PORTS[place], HOST)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        unit = chance.choice(list(WHERE) if place[1] == "router" else [1, 2])
        address, count = chance.randrange(900), 1 + chance.randrange(20)
        to, at = WHERE[unit] if place[1] == "router" else (place[0], unit)
        right = list(range(address, address + count)) if to is SERVER else holding(at, address, count)
        answer = client.ask(read(address, count), unit)
        await asyncio.wait([answer], timeout=30)
        if answer.cancelled():
            assert client.lost
            results["cut"] += 1
        elif answer.result()[0] == 3:
            assert registers(answer.result()) == right
            results["answered"] += 1
        else:
            assert answer.result()[1] in (0x0A, 0x0B)
            results["exception"] += 1
        await asyncio.sleep(chance.random() / 50)
    if client is not None:
        client.transport.abort()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.long
async def test_any_settings_after_any_others(seed: int) -> None:
    chance = random.Random(seed)
    cables = [Cable("one"), Cable("two"), Cable("plc"), Cable(SERVER.name)]
    attach(cables[0], units(1, 2))
    attach(cables[1], units(1, 2))
    Units(cables[3], lambda frame: [(0.001, mbap_reply(frame))])
    ports, routers = any_settings(chance)
    results: Counter[str] = Counter()
    stop = asyncio.Event()
    async with serving(*ports, cables=cables, routers=routers) as served:
        async with asyncio.TaskGroup() as tasks:
            for place in PORTS:
                tasks.create_task(poll(place, chance, results, stop))
            for _ in range(40):
                await asyncio.sleep(chance.random() / 3)
                ports, routers = any_settings(chance)
                await reload(served, *ports, routers=routers)
                if chance.random() < 0.2:
                    cable = chance.choice(cables[:2])
                    cable.unplug()
                    await settle()
                    cable.plug()
                if cables[2].near is not None:
                    cables[2].far.write(Frame(1, read(chance.randrange(100))).encode())
            stop.set()
        await until(lambda: not any(bus.queued for bus in served.gateway.status().buses))
        status = served.gateway.status()
        assert [line.name for line in status.lines] == [plan.name for plan in ports]
        assert not any(service.results.get("error") for service in status.services)
        assert min(results[kind] for kind in ("answered", "exception", "cut")) > 10, results

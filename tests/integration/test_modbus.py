"""A whole gateway that speaks Modbus, in memory and on virtual time: what is refused, losses, stopping, fair turns."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterable

import pytest

from nportpy.linesettings import LineSettings, Parity
from nportpy.modbus.settings import (
    Action,
    BusSettings,
    Matching,
    RoutingSettings,
    Rule,
    Timeout,
)
from nportpy.modes.modbus_base import Access
from nportpy.port.loopback import Cable
from nportpy.protocols.modbus import mbap
from nportpy.protocols.modbus.rtu import Frame
from tests.support.modbus_serving import (
    Asker,
    asker,
    attach,
    holding,
    modbus,
    outcomes,
    read,
    registers,
    route,
    router,
    units,
    write,
)
from tests.support.serving import Client, connect, plan, raw, serving, until

BUS = LineSettings(19200, parity=Parity.EVEN)
PATH_UNAVAILABLE, NO_ANSWER, BUSY = 0x0A, 0x0B, 0x06


def only_reading(unit: int) -> Rule:
    return Rule(Matching(units=frozenset((unit,))), Action.READ_ONLY)


async def all_of(answers: Iterable[asyncio.Future[bytes]]) -> list[bytes]:
    async with asyncio.timeout(3600):
        return await asyncio.gather(*answers)


# What is seen from outside.


async def test_status_tells_buses_units_and_what_was_refused() -> None:
    cable = Cable()
    attach(cable, units(1, 2))
    rules = only_reading(1), Rule(Matching(units=frozenset((2,)), functions=frozenset((6,))), Action.IGNORE)
    service = modbus(routing=RoutingSettings.whole("cable", rules=rules), outstanding=3)
    bus = BusSettings(timeout=Timeout(0.2), retries=1, queue=2)
    async with serving(plan("cable", service, bus=bus), cables=[cable]) as served:
        client = await asker(served)
        assert await client.read(0) == holding(1, 0)
        assert await client.read(9999, 2) == 2
        assert await client.ask(write(0, 1)) == b"\x86\x01"
        ignored = client.ask(write(0, 1), 2)
        assert await client.read(0, unit=250) == PATH_UNAVAILABLE
        assert await client.read(0, unit=3) == NO_ANSWER
        assert await client.read(0, unit=3) == NO_ANSWER
        assert await client.ask(b"\x03\x00\x00\x00\x00") == b"\x83\x03"
        answers = await all_of([client.ask(read(base)) for base in range(0, 100, 10)])
        assert Counter(answer[0] for answer in answers) == {3: 3, 0x83: 7}
        assert not ignored.done()
        status = served.gateway.status()
        assert [bus.name for bus in status.buses] == ["cable"]
        assert status.buses[0].requests == {
            ("1", "3", "answered"): 4,
            ("1", "3", "exception"): 1,
            ("3", "3", "no_answer"): 1,
            ("3", "3", "unreachable"): 1,
        }
        assert [(unit.unit, unit.silent, unit.answered, unit.unanswered) for unit in status.buses[0].units] == [
            (1, False, 5, 0),
            (3, True, 0, 1),
        ]
        assert (status.buses[0].retries, status.buses[0].queued, status.buses[0].sent) == (1, 0, 6)
        expected = {"forbidden": 1, "ignored": 1, "no_route": 1, "malformed": 1, "queue_full": 7}
        assert served.service("modbus").refused == expected
        assert [client.state for client in served.service("modbus").clients] == ["open"]


async def test_services_of_every_protocol_share_one_bus() -> None:
    cable = Cable()
    attach(cable, units(1))
    services = [modbus(protocol=protocol) for protocol in Access]
    async with serving(plan("cable", *services, raw()), cables=[cable]) as served:
        names = ["raw", "modbus", "modbus-2", "modbus-3", "modbus-4"]
        assert [service.service for service in served.gateway.status().services] == names
        number = dict(zip(Access, names[1:], strict=True))
        client, serial = await asker(served, number[Access.TCP]), await served.raw(number[Access.RTU])
        answer = client.ask(read(10, 2))
        serial.send(Frame(1, read(20, 2)).encode())
        assert registers(await answer) == holding(1, 10, 2)
        await serial.hears(Frame(1, b"\x03\x04" + bytes((1, 20, 1, 21))).encode())
        assert outcomes(served.bus()) == {"answered": 2}
        assert len(served.gateway.status().buses) == 1


async def test_a_port_without_modbus_has_no_bus() -> None:
    cable, other = Cable(), Cable("other")
    attach(other, units(1))
    async with serving(plan("cable", raw()), plan("other", bus=BusSettings()), cables=[cable, other]) as served:
        assert [bus.name for bus in served.gateway.status().buses] == ["other"]


# Loss.


async def test_a_lost_line_is_an_exception_at_once_and_the_listener_stays() -> None:
    cable = Cable()
    attach(cable, units(1), BUS)
    loop = asyncio.get_running_loop()
    async with serving(plan("cable", modbus(), line=BUS), cables=[cable]) as served:
        client = await asker(served)
        under_way = [client.ask(read(base, 100)) for base in range(0, 2000, 100)]
        await under_way[0]
        cable.unplug()
        began = loop.time()
        answers = await all_of(under_way[1:])
        assert {bytes(answer) for answer in answers[1:]} == {bytes((0x83, PATH_UNAVAILABLE))}
        late = await asker(served)
        assert await late.read(0) == PATH_UNAVAILABLE
        assert loop.time() - began < 0.1
        cable.plug()
        await until(lambda: served.line().state == "up")
        attach(cable, units(1), BUS)
        for each in (client, late):
            assert await each.read(7, 3) == holding(1, 7, 3)
        assert served.results("modbus") == {"accepted": 2}


async def test_a_line_that_is_not_there_at_the_start() -> None:
    cable = Cable()
    attach(cable, units(1))
    cable.plugged = False
    async with serving(plan("cable", modbus()), cables=[cable], up=False) as served:
        client = await connect(Asker, served.port("modbus"))
        assert await client.read(0) == PATH_UNAVAILABLE
        cable.plug()
        await until(lambda: served.line().state == "up")
        assert await client.read(0) == holding(1, 0)


async def test_a_broadcast_through_a_router_reaches_every_line() -> None:
    cable, other = Cable(), Cable("other")
    attach(cable, units(1, 2))
    attach(other, units(1))
    plants = (router(route((1, 2), "cable"), route(11, "other", unit=1)),)
    async with serving(plan("cable"), plan("other"), cables=[cable, other], routers=plants) as served:
        client = await asker(served, "router", "plant")
        nobody_answers = client.ask(write(3, 99), 0)
        assert [await client.read(3, unit=unit) for unit in (1, 2, 11)] == [[99]] * 3
        assert not nobody_answers.done()
        assert [outcomes(bus)["sent"] for bus in served.gateway.status().buses] == [1, 1]


async def test_what_a_client_asked_that_has_gone_is_not_sent() -> None:
    cable = Cable()
    attach(cable, units(1), BUS)
    async with serving(plan("cable", modbus(), line=BUS), cables=[cable]) as served:
        gone, stays = await asker(served), await asker(served)
        first, *_ = [gone.ask(write(base, 1)) for base in range(30)]
        await first
        await gone.reset()
        assert await stays.read(10, 3) == holding(1, 10, 3)
        await until(lambda: not served.bus().queued)
        results = outcomes(served.bus())
        assert results["answered"] <= 4
        assert results["answered"] + results["gone"] == 31


async def test_a_request_that_waits_too_long_is_not_sent() -> None:
    """0B at its deadline, not the answer to a question of long ago."""
    line = LineSettings(9600)
    cable = Cable()
    attach(cable, units(1), line)
    bus = BusSettings(deadline=1.0)
    loop = asyncio.get_running_loop()
    async with serving(plan("cable", modbus(), line=line, bus=bus), cables=[cable]) as served:
        client = await asker(served)
        began = loop.time()
        answers = await all_of([client.ask(read(base, 125)) for base in range(0, 2500, 125)])
        assert loop.time() - began < 1.4
        good = [answer[0] == 3 for answer in answers]
        assert good == sorted(good, reverse=True)
        assert {bytes(answer) for answer in answers if answer[0] != 3} == {bytes((0x83, NO_ANSWER))}
        assert outcomes(served.bus()) == {"answered": sum(good), "expired": 20 - sum(good)}
        assert await client.read(9, 2) == holding(1, 9, 2)


# Stopping.


@pytest.mark.parametrize("routed", [False, True])
async def test_stopping_answers_what_is_under_way(routed: bool) -> None:
    cable = Cable()
    attach(cable, units(1), BUS)
    plants = (router(route(1, "cable")),) if routed else ()
    port = plan("cable", line=BUS, bus=BusSettings()) if routed else plan("cable", modbus(), line=BUS)
    async with serving(port, cables=[cable], routers=plants, drain=30.0) as served:
        client = await (asker(served, "router", "plant") if routed else asker(served))
        where = served.port("router", "plant") if routed else served.port("modbus")
        under_way = [client.ask(read(base, 10)) for base in range(0, 300, 10)]
        await under_way[2]
        served.gateway.stop()
        answers = [registers(answer) for answer in await all_of(under_way)]
        assert answers == [holding(1, base, 10) for base in range(0, 300, 10)]
        with pytest.raises(ConnectionRefusedError):
            await connect(Client, where)
        await until(lambda: client.lost)
    assert cable.near is None


@pytest.mark.parametrize("routed", [False, True])
async def test_stopping_does_not_wait_longer_than_drain(routed: bool) -> None:
    cable = Cable()  # nobody answers
    plants = (router(route(1, "cable")),) if routed else ()
    services = () if routed else (modbus(),)
    port = plan("cable", *services, bus=BusSettings(timeout=Timeout(60.0)))
    loop = asyncio.get_running_loop()
    async with serving(port, cables=[cable], routers=plants, drain=1.0) as served:
        client = await (asker(served, "router", "plant") if routed else asker(served))
        answer = client.ask(read(0))
        await until(lambda: cable.heard)
        began = loop.time()
        served.gateway.stop()
        await until(lambda: client.lost)
        assert 0.9 < loop.time() - began < 3
        assert answer.cancelled() or answer.result() == bytes((0x83, PATH_UNAVAILABLE))


# Turns.


@pytest.mark.long
async def test_a_flood_does_not_keep_a_polite_client_waiting() -> None:
    """Whoever asks for one thing at a time waits for one request of the other's, not for all of them."""
    cable = Cable()
    wire = attach(cable, units(1, eager=False), BUS)
    loop = asyncio.get_running_loop()
    async with serving(plan("cable", modbus(), line=BUS), cables=[cable]) as served:
        flood, polite = await asker(served), await asker(served)
        stop = asyncio.Event()
        busy = answered = 0

        async def send_all() -> None:
            nonlocal busy, answered
            while not stop.is_set():
                for answer in await all_of([flood.ask(read(base, 10)) for base in range(0, 1000, 10)]):
                    busy += answer == bytes((0x83, BUSY))
                    answered += answer[0] == 3

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(send_all())
            await until(lambda: busy)
            longest, times, began = 0.0, 0, loop.time()
            while loop.time() < began + 20:
                asked = loop.time()
                assert await polite.read(2000 + times % 100, 10) == holding(1, 2000 + times % 100, 10)
                longest, times = max(longest, loop.time() - asked), times + 1
            stop.set()
        transaction = 0.0229  # FC3 x 10 at 19200 8E1
        assert longest < 2.2 * transaction
        assert times > 0.45 * 20 / transaction
        assert answered
        counts = wire.counts()
        assert (counts["violations"], counts["collisions"]) == (0, 0)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.long
async def test_whatever_is_sent_to_any_service_the_neighbours_get_their_answers(seed: int) -> None:
    cable = Cable()
    attach(cable, units(1, 2))
    services = [modbus(protocol=protocol) for protocol in (Access.TCP, Access.TCP, Access.RTU, Access.ASCII)]
    chance = random.Random(seed)
    good = [mbap.encode(1, 2, read(0, 3)), Frame(2, read(1)).encode(), b":0203000000017A\r\n", b"\0\1\0\0\xff\xff"]

    def noise() -> bytes:
        data = bytearray(b"".join(chance.choice([*good, chance.randbytes(chance.randrange(300))]) for _ in range(9)))
        for _ in range(chance.randrange(4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        return bytes(data)

    bus = BusSettings(timeout=Timeout(0.05), retries=0)
    async with serving(plan("cable", *services, bus=bus), cables=[cable]) as served:
        polite = await asker(served)
        for turn in range(150):
            name = chance.choice(["modbus-2", "modbus-3", "modbus-4"])
            client = await connect(Client, served.port(name))
            client.send(noise())
            if chance.random() < 0.5:
                await asyncio.sleep(chance.random() / 10)
            client.transport.abort()
            assert await polite.read(turn, 10) == holding(1, turn, 10)
        await until(lambda: [len(service.clients) for service in served.gateway.status().services] == [1, 0, 0, 0])
        assert served.bus().queued == 0
        assert not any(service.results.get("error", 0) for service in served.gateway.status().services[2:])


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.long
async def test_ten_clients_mixed_reads_and_writes(share: bool) -> None:
    """For half a minute, on three units: every answer belongs to its question, and turns are fair within 10 %."""
    cable = Cable()
    wire = attach(cable, units(1, 2, 3, eager=False), BUS)
    loop = asyncio.get_running_loop()
    turns: Counter[int] = Counter()
    bus = BusSettings(share=share)
    async with serving(plan("cable", modbus(), line=BUS, bus=bus), cables=[cable]) as served:
        clients = [await asker(served) for _ in range(10)]
        end = loop.time() + 30

        async def work(number: int, client: Asker) -> None:
            turn = 0
            base, unit = 500 * number, 1 + number % 3
            while loop.time() < end:
                turn += 1
                value = (number * 5000 + turn) % 65536
                count = 1 + turn % 20
                assert await client.ask(write(base, value), unit) == write(base, value)
                asked = client.read(base, 2, unit), client.read(base + 5, count, unit), client.read(0, 9, 3)
                own, other, common = await asyncio.gather(*asked)
                assert own == [value, *holding(unit, base + 1)]
                assert other == holding(unit, base + 5, count)
                assert common == holding(3, 0, 9)
                assert await client.read(9990, 11 + turn % 50, unit) == 2
                turns[number] += 5

        async with asyncio.TaskGroup() as tasks:
            for number, client in enumerate(clients, 1):
                tasks.create_task(work(number, client))
        total = sum(turns.values())
        assert max(turns.values()) - min(turns.values()) <= 0.1 * total / 10, turns
        status = served.bus()
        assert sum(outcomes(status).values()) == total
        assert (status.coalesced > 0) == share
        assert (status.retries, status.late, status.unfit, status.foreign, status.spoilt) == (0, 0, 0, 0, 0)
        assert status.busy > 25
        counts = wire.counts()
        assert (counts["violations"], counts["collisions"]) == (0, 0)

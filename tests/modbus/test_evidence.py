"""What is on record of units and clients: who asked, what it cost, and for how long it is kept."""

import asyncio
import logging
from ipaddress import ip_address

import pytest

from nportpy.line.transaction import SAMPLED
from nportpy.modbus.bus import Bus
from nportpy.modbus.clients import KEPT, MOST_GONE, Asker, Clients
from nportpy.modbus.health import FORGOTTEN
from nportpy.modbus.question import Question
from nportpy.modbus.recent import MARKS, Marks
from nportpy.modbus.routing import Router, Visitor
from nportpy.modbus.settings import Action, Matching, RoutingSettings, Rule, Timeout
from nportpy.port.loopback import Cable
from nportpy.status import BusClientCounts, BusClientStatus, UnitStatus
from tests.support.asking import Client, a_modbus, read, write
from tests.support.bus import Units, reply
from tests.support.clock import VirtualLoop

SLOW = 0.02
MINUTE = 60.0


def slowly(data: bytes) -> list[tuple[float, bytes]]:
    return [(SLOW, reply(data))]


class Guest:
    """A client that comes through a router."""

    def __init__(self, bus: Bus, host: str = "192.0.2.7", port: int = 4711, *rules: Rule) -> None:
        settings = RoutingSettings(RoutingSettings.whole("line").routes, rules=rules)
        self.router = Router("line", settings, lambda _: bus, service="line modbus")
        self.router.refresh()
        self.visitor: Visitor = self.router.visitor(self, ip_address(host), f"{host}:{port}")
        self._answered = asyncio.Event()

    def put(self, pdu: bytes, unit: int = 1) -> None:
        self.visitor.ask(Question(self, unit, pdu, lambda *_: self._answered.set()))

    async def ask(self, pdu: bytes, unit: int = 1) -> None:
        self._answered.clear()
        self.put(pdu, unit)
        async with asyncio.timeout(3600):
            await self._answered.wait()


def unit_of(bus: Bus, number: int = 1) -> UnitStatus:
    (found,) = (unit for unit in bus.status().units if unit.unit == number)
    return found


def clients_of(bus: Bus) -> dict[str, BusClientStatus]:
    return {client.client: client for client in bus.status().clients}


# Units.


async def test_what_a_unit_costs_and_how_long_it_takes() -> None:
    cable = Cable()
    Units(cable, slowly)
    async with a_modbus(cable) as bus:
        client = Client(bus)
        for number in range(5):
            client.ask(read(number, 2), unit=7)
            await client.ended()
        unit = unit_of(bus, 7)
        assert (unit.answered, unit.unanswered, unit.retries) == (5, 0, 0)
        assert sum(unit.answer_times) == unit.answer_times[4] == 5  # up to 25 ms
        assert unit.busy == unit.answer_seconds == pytest.approx(5 * SLOW, abs=0.005)
        assert unit.wire_seconds == pytest.approx(5 * (8 + 9) * 10 / 115200, rel=0.2)
        status = bus.status()
        assert status.sent == sum(status.durations) == 5
        assert status.busy == pytest.approx(unit.busy)


async def test_a_lost_request_and_its_retry_are_on_the_units_account() -> None:
    cable = Cable()
    heard: list[bytes] = []

    def lose_every_other(data: bytes) -> list[tuple[float, bytes]]:
        heard.append(data)
        return [(SLOW, reply(data))] if len(heard) % 2 == 0 else []

    Units(cable, lose_every_other)
    async with a_modbus(cable, timeout=Timeout(0.1), retries=1) as bus:
        client = Client(bus)
        for number in range(3):
            client.ask(read(number), unit=7)
            await client.ended()
        unit = unit_of(bus, 7)
        assert (unit.answered, unit.unanswered, unit.retries) == (3, 0, 3)
        assert sum(unit.answer_times) == 0  # nobody knows which of the two they answer
        assert unit.busy == pytest.approx(3 * (0.1 + SLOW), rel=0.1)
        assert sum(bus.status().durations) == 3


async def test_spoilt_and_late_answers_are_the_units() -> None:
    cable = Cable()

    def badly(data: bytes) -> list[tuple[float, bytes]]:
        if data[0] == 5:
            return [(SLOW, reply(data)[:-1] + b"\xff")]
        if data[0] == 6:
            return [(SLOW, reply(data)[:-2])]  # cut off
        return [(0.15 if data[0] == 4 else SLOW, reply(data))]

    Units(cable, badly)
    async with a_modbus(cable, timeout=Timeout(0.1), retries=0) as bus:
        client = Client(bus)
        for unit in (5, 6, 4, 1):
            client.ask(read(unit), unit=unit)
            await client.ended()
            await asyncio.sleep(0.2)
        found = {unit.unit: (unit.answered, unit.unanswered, unit.spoilt, unit.late) for unit in bus.status().units}
        assert found == {5: (0, 1, 1, 0), 6: (0, 1, 1, 0), 4: (0, 1, 0, 1), 1: (1, 0, 0, 0)}


async def test_units_that_never_answered_expire_with_all_that_is_counted_of_them() -> None:
    cable = Cable()
    Units(cable, lambda data: slowly(data) if data[0] == 1 else [])
    async with a_modbus(cable, timeout=Timeout(0.05), retries=0) as bus:
        client = Client(bus)
        for unit in range(1, 248):
            client.ask(read(0), unit=unit)
            await client.ended()
        assert len(bus.status().units) == 247
        silent = unit_of(bus, 9)
        assert silent.silent
        assert silent.silent_since is not None
        sent = sum(bus.status().durations)
        for _ in range(8):
            bus.mark(bus._clock())
            await asyncio.sleep(MINUTE)
        assert FORGOTTEN < 8 * MINUTE
        status = bus.status()
        assert [unit.unit for unit in status.units] == [1]
        assert {unit for unit, _, _ in status.requests} == {"1"}
        assert list(bus._units) == [1]
        assert sum(status.durations) == sent  # histograms must not go back
        client.ask(read(0), unit=9)  # it may come back as anybody may
        await client.ended()
        assert unit_of(bus, 9).unanswered == 1


async def test_a_unit_that_is_asked_does_not_expire_under_way() -> None:
    cable = Cable()
    Units(cable, lambda _: [])
    async with a_modbus(cable, timeout=Timeout(400.0), retries=0) as bus:
        client = Client(bus)
        client.ask(read(0), unit=9)
        await client.ended()
        await asyncio.sleep(3000)
        client.ask(read(0), unit=9)
        await asyncio.sleep(FORGOTTEN + 10)
        bus.mark(bus._clock())
        await client.ended()
        assert len(client.answers) == 2


async def test_recent_is_what_came_since_the_oldest_mark() -> None:
    cable = Cable()
    Units(cable, slowly)
    async with a_modbus(cable) as bus:
        guest = Guest(bus)
        bus.mark(bus._clock())
        for minute in range(10):
            for number in range(minute + 1):
                await guest.ask(read(number))
            await asyncio.sleep(MINUTE - (minute + 1) * SLOW)
            bus.mark(bus._clock())
        status = bus.status()
        assert status.recent.seconds == pytest.approx((MARKS - 1) * MINUTE, abs=1)
        assert status.recent.sent == status.recent.results["answered"] == 10 + 9 + 8 + 7 + 6
        assert status.recent.busy == pytest.approx(40 * SLOW, rel=0.1)
        assert unit_of(bus).recent.answered == 40
        assert sum(unit_of(bus).recent.answer_times) == 40
        assert unit_of(bus).answered == 55
        assert clients_of(bus)["192.0.2.7:4711"].recent.requests == 40
        newcomer = Guest(bus, "192.0.2.8", 1)
        await newcomer.ask(read(0))
        assert clients_of(bus)["192.0.2.8:1"].recent.requests == 1


# Clients.


async def test_who_asked_what_and_how_long_the_bus_was_busy_for_it() -> None:
    cable = Cable()
    Units(cable, slowly)
    async with a_modbus(cable) as bus:
        one, other = Guest(bus), Guest(bus, port=4712)
        await one.ask(read(1000, 2), unit=7)
        await one.ask(read(1002, 2), unit=7)
        await other.ask(write(5, 1), unit=8)
        found = clients_of(bus)
        assert set(found) == {"192.0.2.7:4711", "192.0.2.7:4712"}
        first, second = found.values()
        assert (first.requests, first.unit, first.function, first.address) == (2, 7, 3, 1002)
        assert (second.requests, second.unit, second.function, second.address) == (1, 8, 6, 5)
        assert first.busy == pytest.approx(2 * SLOW, abs=0.005)
        assert (first.service, first.left, first.connections) == ("line modbus", None, 1)


async def test_who_shares_an_answer_shares_its_time() -> None:
    cable = Cable()
    Units(cable, slowly)
    async with a_modbus(cable) as bus:
        guests = [Guest(bus, port=port) for port in range(4)]
        async with asyncio.TaskGroup() as tasks:
            for guest in guests:
                tasks.create_task(guest.ask(read(1000)))
        assert [client.busy for client in bus.status().clients] == pytest.approx([SLOW / 4] * 4, abs=0.002)
        assert sum(client.busy for client in bus.status().clients) == pytest.approx(bus.status().busy)


async def test_who_gives_up_is_charged_all_the_same() -> None:
    cable = Cable()
    Units(cable, lambda _: [])
    async with a_modbus(cable, timeout=Timeout(1.0), retries=1) as bus:
        for port in range(3):
            guest = Guest(bus, port=port)
            guest.put(read(port))
            await asyncio.sleep(0.5)
            guest.visitor.leave()
            await asyncio.sleep(3)
        (left,) = bus.status().clients
        assert (left.client, left.connections, left.requests) == ("192.0.2.7", 3, 3)
        assert left.left is not None
        assert left.busy == pytest.approx(bus.status().busy)


async def test_refusals_are_the_clients() -> None:
    cable = Cable()
    Units(cable, slowly)
    async with a_modbus(cable, queue=1) as bus:
        guest = Guest(bus, "192.0.2.7", 4711, Rule(Matching(functions=frozenset({6})), Action.DENY))
        guest.put(write(0, 1))
        guest.put(b"\xff\x00")  # no function code
        assert clients_of(bus)["192.0.2.7:4711"].refused == 2
        assert clients_of(bus)["192.0.2.7:4711"].function is None
        for number in range(4):
            guest.put(read(10 * number))
        assert clients_of(bus)["192.0.2.7:4711"].refused == 4  # one is on the line, one waits
        guest.visitor.refused("malformed", 3)
        assert guest.router.refused == {"forbidden": 1, "malformed": 4}
        await asyncio.sleep(1)
        guest.visitor.leave()
        assert clients_of(bus)["192.0.2.7"].refused == 7


async def test_broadcasts_are_counted_too() -> None:
    cable = Cable()
    Units(cable, lambda _: [])
    async with a_modbus(cable) as bus:
        guest = Guest(bus)
        await guest.ask(write(1, 2), unit=0)
        (client,) = bus.status().clients
        assert (client.requests, client.unit, client.address) == (1, 0, 1)


async def test_the_trace_says_who_asked(caplog: pytest.LogCaptureFixture) -> None:
    cable = Cable()
    Units(cable, slowly)
    caplog.set_level(logging.INFO, "nportpy.trace")
    async with a_modbus(cable) as bus:
        bus.trace = True
        guests = [Guest(bus, port=port) for port in (1, 2)]
        async with asyncio.TaskGroup() as tasks:
            for guest in guests:
                tasks.create_task(guest.ask(read(1000)))
        client = Client(bus)  # nobody knows it
        client.ask(read(5))
        await client.ended()
    said = [getattr(record, "client", None) for record in caplog.records if record.name == "nportpy.trace"]
    assert said == ["192.0.2.7:1 192.0.2.7:2", None]


def test_who_left_is_kept_for_an_hour_and_in_bounded_number() -> None:
    clients = Clients()
    for number in range(2 * MOST_GONE):
        host = f"192.0.{number // 256}.{number % 256}"
        clients.enter(number, Asker(f"{host}:1", host, "line modbus")).requests = number
        clients.leave(number, float(number))
    kept = clients.status(600.0, 0)
    assert len(kept) == MOST_GONE
    assert kept[0].client == "192.0.1.0"
    clients.mark(KEPT + 300.0)
    assert len(clients.status(KEPT + 300.0, 1)) == 2 * MOST_GONE - 301
    assert clients.status(KEPT + 3 * MOST_GONE, 1) == ()
    assert clients.leave("nobody", 0.0) is None


def test_who_has_no_address_comes_back_as_itself() -> None:
    clients = Clients()
    for round_ in range(3):
        use = clients.enter("driver", Asker("station emon", "station emon", "station emon"))
        use.requests += 1
        use.asker.refused += 1
        assert use.requests == use.refused == round_ + 1
        if round_ < 2:
            clients.leave("driver", float(round_))
    (found,) = clients.status(10.0, 0)
    assert (found.client, found.requests, found.refused, found.left, found.connections) == (
        "station emon",
        3,
        3,
        None,
        1,
    )


def test_what_several_connections_had_is_recent_as_far_as_each_of_them_is() -> None:
    clients, marks = Clients(), 0
    for number in range(MARKS + 2):  # one a minute: each asks ten times and leaves
        use = clients.enter(number, Asker(f"192.0.2.7:{number}", "192.0.2.7", "line modbus"))
        use.requests, use.busy = 10, 1.0
        clients.leave(number, MINUTE * number)
        clients.mark(MINUTE * number + 1)
        marks = min(marks + 1, MARKS)
    (found,) = clients.status(MINUTE * 10, marks)
    assert (found.requests, found.connections) == (10 * (MARKS + 2), MARKS + 2)
    assert found.recent == BusClientCounts(requests=10 * (MARKS - 1), busy=MARKS - 1.0)


@pytest.mark.parametrize(("mine", "its"), [(0, 0), (0, 3), (3, 0), (2, 5), (5, 2)])
def test_marks_are_joined_at_their_newest_ends(mine: int, its: int) -> None:
    one, other = Marks(), Marks()
    for marks, count in ((one, mine), (other, its)):
        for number in range(count):
            marks.mark((number + 1.0,))
    one.join(other)
    assert len(one) == max(mine, its)
    if mine or its:
        size = max(mine, its)
        oldest = (1.0 if mine == size else 0.0) + (1.0 if its == size else 0.0)
        assert one.recent((100.0,), size) == (100.0 - oldest,)


# The gateway.


async def test_waiting_wire_and_unit_are_no_share_of_the_gateways() -> None:
    cable = Cable()
    Units(cable, slowly)
    async with a_modbus(cable, silence=0.01) as bus:
        client = Client(bus)
        for number in range(20):
            client.ask(read(number))
        await client.ended()
        status = bus.status()
        assert status.sent == 20
        assert status.own < 0.001  # on virtual time nothing that is computed takes any
        assert status.waited > 1


async def test_what_handing_an_answer_on_takes_is_the_gateways() -> None:
    cable = Cable()
    Units(cable, slowly)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    async with a_modbus(cable) as bus:
        for number in range(2 * SAMPLED):
            question = Question("client", 1, read(number), lambda *_: loop.advance(0.005))
            bus.ask(question)
            await asyncio.sleep(1)
        status = bus.status()
        assert status.own == pytest.approx(2 * 0.005, abs=0.001)
        assert status.sampled == 2
        assert status.busy == pytest.approx(2 * SAMPLED * SLOW, rel=0.1)


async def test_a_request_that_is_sent_late_after_the_silence_is_the_gateways_fault() -> None:
    cable = Cable()
    Units(cable, slowly)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    async with a_modbus(cable, silence=0.1) as bus:
        client = Client(bus)
        for number in range(SAMPLED + 1):
            client.ask(read(number))
        await client.ended(SAMPLED)
        loop.call_later(0.099, loop.advance, 0.05)  # something keeps the loop busy when the silence is over
        await client.ended()
        assert bus.status().own == pytest.approx(0.049, abs=0.005)


async def test_what_a_silent_unit_is_waited_for_is_not_the_gateways_fault() -> None:
    cable = Cable()
    Units(cable, lambda _: [])
    async with a_modbus(cable, silence=0.01, timeout=Timeout(0.5), retries=1, isolate=False) as bus:
        client = Client(bus)
        for number in range(3 * SAMPLED):
            client.ask(read(number))
            client.ask(read(number), unit=2)
            await client.ended()
        status = bus.status()
        assert status.sampled >= 6
        assert status.own < 0.001

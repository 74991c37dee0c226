"""What finding out about the echo costs the units of a bus: nothing."""

from nportpy.modbus.settings import Timeout
from nportpy.port.loopback import Cable
from nportpy.protocols.modbus.exchange import Echo
from tests.support.asking import Client, a_modbus
from tests.support.bus import READ, WRITE, Units
from tests.support.libmodbus import LibmodbusSlave

NO_ANSWER = b"\x86\x0b"


async def test_f3_the_first_write_of_a_gateway_succeeds_at_once() -> None:
    cable = Cable()
    slave = LibmodbusSlave()
    Units(cable, slave)
    async with a_modbus(cable, echo=Echo.AUTO) as bus:
        client = Client(bus)
        for _ in range(5):
            client.ask(WRITE)
        await client.ended()
        assert client.answers == [WRITE] * 5
        status = bus.status()
        assert status.requests == {("1", "6", "answered"): 5}
        assert (status.probes, status.retries) == (1, 0)
        assert max(status.durations[index] for index in range(len(status.durations))) == 5
    assert not slave.ignored


async def test_f3_what_follows_a_probe_does_not_count_against_the_unit() -> None:
    cable = Cable()
    alive = False
    units = Units(cable, lambda frame: LibmodbusSlave()(frame) if alive else [])
    async with a_modbus(cable, echo=Echo.AUTO, timeout=Timeout(0.1)) as bus:
        client = Client(bus)
        client.ask(WRITE)
        await client.ended()
        assert client.answers == [NO_ANSWER]
        (unit,) = bus.status().units
        assert (unit.silent, unit.unanswered) == (False, 0)
        alive = True
        client.ask(WRITE)
        client.ask(READ)
        await client.ended()
        assert client.answers[1:] == [WRITE, b"\x03\x02\x00\x00"]
    assert [frame[1] for _, frame in units.heard] == [3, 6, 6, 3]

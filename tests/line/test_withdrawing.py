"""Requests that are taken back, or get another PDU, while they wait."""

import asyncio

from nportpy.line.turns import Outcome, Request, Result
from nportpy.port.loopback import Cable
from nportpy.protocols.modbus.rtu import Frame
from tests.support.bus import READ, Asker, Units, a_bus, reply


def late(data: bytes) -> list[tuple[float, bytes]]:
    return [(0.05, reply(data))]


async def test_requests_that_wait_are_taken_back_and_nobody_ends_them() -> None:
    cable = Cable()
    units = Units(cable, late)
    async with a_bus(cable) as (_, bus):
        one, two = Asker(bus), Asker(bus)
        on_the_line = one.ask(1)
        taken = [one.ask(1), two.ask(1)]
        one.ask(2)
        assert on_the_line.waits is False
        assert all(request.waits for request in taken)
        assert bus.withdraw(lambda request: request.unit == 1) == taken
        assert bus.withdraw(lambda request: request.unit == 1) == []
        await one.ended(2)
        assert one.outcomes == [Outcome.ANSWERED] * 2
        assert not two.ends
        status = bus.status()
        assert (status.requests, status.withdrawn, status.queued, sum(status.outcomes.values())) == (4, 2, 0, 2)
    assert [data[0] for _, data in units.heard] == [1, 2]


async def test_what_was_sent_and_will_be_sent_again_is_not_taken_back() -> None:
    cable = Cable()
    Units(cable, lambda data: [])
    async with a_bus(cable) as (_, bus):
        asker = Asker(bus)
        asker.ask(timeout=0.1, retries=1, pause=0.3)
        while not bus.status().retries:  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(0.001)
        assert not bus.busy
        assert bus.withdraw(lambda _: True) == []
        await asker.ended()
        assert asker.outcomes == [Outcome.NO_ANSWER]


async def test_the_end_of_one_request_may_take_the_others_back() -> None:
    """As one does who learns that a unit is dead."""
    cable = Cable()
    units = Units(cable, lambda data: late(data) if data[0] == 2 else [])
    async with a_bus(cable) as (_, bus):
        taken: list[Request] = []

        def done(_: Request, result: Result) -> None:
            assert result.outcome is Outcome.NO_ANSWER
            taken.extend(bus.withdraw(lambda request: request.unit == 1))

        asker, other = Asker(bus), Asker(bus)
        bus.submit(Request(asker, 1, READ, done, timeout=0.1))
        for _ in range(3):
            asker.ask(1)
        other.ask(2)
        await other.ended()
        assert len(taken) == 3
        assert not asker.ends
    assert [data[0] for _, data in units.heard] == [1, 2]


async def test_a_request_that_waits_may_be_given_another_pdu() -> None:
    cable = Cable()
    units = Units(cable, late)
    async with a_bus(cable) as (_, bus):
        asker = Asker(bus)
        asker.ask()
        waits = asker.ask()
        waits.pdu = b"\x03\x00\x00\x00\x02"
        await asker.ended()
        assert asker.ends[1][1].answer == b"\x03\x04\x00\x00\x00\x01"
    assert units.heard[1][1] == Frame(1, waits.pdu).encode()


async def test_the_counts_can_be_read_at_any_time() -> None:
    cable = Cable()
    Units(cable, lambda data: [(0, b"\xff"), (0.001, reply(data))])
    async with a_bus(cable) as (_, bus):
        counts = bus.counts
        asker = Asker(bus)
        for _ in range(2):
            asker.ask()
        await asker.ended()
        assert counts.junk == bus.status().junk
        assert bus.counts is counts

"""A bus of units: joined reads, caches, writes between them, silent units, deadlines, exceptions of the gateway."""

import asyncio
import logging

import pytest

from nportpy.line.turns import Priority
from nportpy.linesettings import LineSettings
from nportpy.modbus.bus import Bus
from nportpy.modbus.health import FORGOTTEN
from nportpy.modbus.settings import BusSettings, Framing, Timeout, UnitSettings
from nportpy.modbus.trial import FIRST_REST
from nportpy.port.loopback import Cable
from nportpy.protocols.modbus import ascii as ascii_frames
from nportpy.protocols.modbus.mbap_reply import ReplyFinder as MbapReplies
from nportpy.protocols.modbus.rtu import Frame
from tests.support.asking import Client, a_modbus, read, registers, write
from tests.support.bus import Units, reply
from tests.support.lines import running

SLOW = 0.02
NO_PATH, NO_ANSWER, BUSY = b"\x83\x0a", b"\x83\x0b", b"\x83\x06"


def slowly(data: bytes) -> list[tuple[float, bytes]]:
    return [(SLOW, reply(data))]


def sent(units: Units) -> list[bytes]:
    """The PDUs that the units heard."""
    return [data[1:-2] for _, data in units.heard]


async def test_a_question_is_answered() -> None:
    cable = Cable()
    Units(cable, slowly)
    async with a_modbus(cable) as bus:
        client = Client(bus)
        client.ask(read(1000, 2), unit=7)
        await client.ended()
        assert client.answers == [registers(1000, 2)]
        status = bus.status()
        assert status.requests == {("7", "3", "answered"): 1}
        assert status.sent == sum(status.durations) == 1
        assert status.busy == pytest.approx(SLOW, abs=0.005)
        assert [unit.unit for unit in status.units] == [7]


async def test_eight_clients_that_read_the_same_cost_one_transaction() -> None:
    cable = Cable()
    units = Units(cable, slowly)
    async with a_modbus(cable) as bus:
        clients = [Client(bus) for _ in range(8)]
        for client in clients:
            client.ask(read(1000, 2))
        for client in clients:
            await client.ended()
            assert client.answers == [registers(1000, 2)]
        assert sent(units) == [read(1000, 2)]
        assert bus.status().coalesced == 7
        assert bus.status().requests == {("1", "3", "answered"): 8}


async def test_a_part_of_a_read_under_way_is_cut_out_of_its_answer() -> None:
    cable = Cable()
    units = Units(cable, slowly)
    async with a_modbus(cable) as bus:
        one, two = Client(bus), Client(bus)
        one.ask(read(1000, 20))
        two.ask(read(1007, 3))
        await two.ended()
        assert two.answers == [registers(1007, 3)]
        assert sent(units) == [read(1000, 20)]


async def test_sharing_can_be_switched_off() -> None:
    cable = Cable()
    units = Units(cable, slowly)
    async with a_modbus(cable, share=False) as bus:
        one, two = Client(bus), Client(bus)
        one.ask(read(1))
        two.ask(read(1))
        await two.ended()
        assert sent(units) == [read(1)] * 2


async def test_no_read_joins_one_from_before_a_write() -> None:
    cable = Cable()
    held = {1: 5}

    def answer(data: bytes) -> list[tuple[float, bytes]]:
        pdu = data[1:-2]
        if pdu[0] == 6:
            held[1] = pdu[4]
            return [(SLOW, data)]
        return [(SLOW, Frame(1, b"\x03\x02\x00" + bytes((held[1],))).encode())]

    units = Units(cable, answer)
    async with a_modbus(cable) as bus:
        one, two = Client(bus), Client(bus)
        one.ask(read(9))  # keeps the line busy
        before = one.ask(read(1))
        two.ask(write(1, 7))
        after = two.ask(read(1))
        third = one.ask(read(1))
        await one.ended()
        await two.ended()
        assert two.answer(after) == b"\x03\x02\x00\x07"
        assert one.answer(before) in (b"\x03\x02\x00\x05", b"\x03\x02\x00\x07")
        assert one.answer(third) is not None
        assert sent(units).count(read(1)) == 3
        assert bus.status().coalesced == 0


async def test_a_write_of_another_unit_parts_nothing() -> None:
    cable = Cable()
    units = Units(cable, slowly)
    async with a_modbus(cable) as bus:
        one, two = Client(bus), Client(bus)
        one.ask(read(9))
        one.ask(read(1))
        one.ask(write(1, 7), unit=2)
        two.ask(read(1))
        await one.ended()
        await two.ended()
        assert sent(units).count(read(1)) == 1


async def test_a_broadcast_parts_the_reads_of_all_units() -> None:
    cable = Cable()
    units = Units(cable, lambda data: [] if data[0] == 0 else slowly(data))
    async with a_modbus(cable) as bus:
        one, two = Client(bus), Client(bus)
        one.ask(read(9))
        one.ask(read(1))
        one.ask(write(1, 7), unit=0)
        two.ask(read(1))
        await one.ended()
        await two.ended()
        assert sent(units).count(read(1)) == 2
        assert one.answers[-1] in (b"", registers(1))
        assert b"" in one.answers
        assert bus.status().requests["0", "6", "sent"] == 1


async def test_an_exception_to_a_wider_read_is_not_given_to_those_who_asked_less() -> None:
    cable = Cable()

    def answer(data: bytes) -> list[tuple[float, bytes]]:
        refused = Frame(1, b"\x83\x02").encode()
        return [(SLOW, refused if data[5] > 10 else reply(data))]

    units = Units(cable, answer)
    async with a_modbus(cable) as bus:
        one, two, three = Client(bus), Client(bus), Client(bus)
        one.ask(read(1000, 20))
        two.ask(read(1000, 2))
        three.ask(read(1000, 20))
        for client in (one, two, three):
            await client.ended()
        assert one.answers == three.answers == [b"\x83\x02"]
        assert two.answers == [registers(1000, 2)]
        assert sent(units) == [read(1000, 20), read(1000, 2)]


async def test_neighbouring_reads_that_wait_become_one() -> None:
    cable = Cable()
    units = Units(cable, slowly)
    async with a_modbus(cable, merge=16) as bus:
        one, two, three = Client(bus), Client(bus), Client(bus)
        one.ask(read(0))
        one.ask(read(100, 2))
        two.ask(read(110, 2))
        three.ask(read(95, 1))
        for client in (one, two, three):
            await client.ended()
        assert one.answers == [registers(0), registers(100, 2)]
        assert two.answers == [registers(110, 2)]
        assert three.answers == [registers(95, 1)]
        assert sent(units) == [read(0), read(95, 17)]
        assert bus.status().merged == 2


async def test_a_merged_read_that_is_refused_is_split_for_good() -> None:
    cable = Cable()

    def answer(data: bytes) -> list[tuple[float, bytes]]:
        address, count = int.from_bytes(data[2:4]), int.from_bytes(data[4:6])
        hole = address <= 105 < address + count
        return [(SLOW, Frame(1, b"\x83\x02").encode() if hole else reply(data))]

    units = Units(cable, answer)
    async with a_modbus(cable, merge=16) as bus:
        one, two = Client(bus), Client(bus)
        for _ in range(3):
            one.ask(read(0))
            one.ask(read(100, 2))
            two.ask(read(110, 2))
            await one.ended()
            await two.ended()
        assert two.answers == [registers(110, 2)] * 3
        assert one.answers == [registers(0), registers(100, 2)] * 3
        assert sent(units).count(read(100, 12)) == 1


async def test_a_merged_read_that_the_unit_says_nothing_to_is_split_for_good() -> None:
    cable = Cable()

    def answer(data: bytes) -> list[tuple[float, bytes]]:
        address, count = int.from_bytes(data[2:4]), int.from_bytes(data[4:6])
        return [] if address <= 105 < address + count else slowly(data)

    units = Units(cable, answer)
    async with a_modbus(cable, merge=16, timeout=Timeout(0.1)) as bus:
        one, two = Client(bus), Client(bus)
        for _ in range(3):
            one.ask(read(0))
            one.ask(read(100, 2))
            two.ask(read(110, 2))
            await one.ended()
            await two.ended()
            await asyncio.sleep(1)
        assert two.answers == [registers(110, 2)] * 3
        assert one.answers == [registers(0), registers(100, 2)] * 3
        assert sent(units).count(read(100, 12)) == 2  # once more, as any read


async def test_a_merged_read_that_was_answered_before_stays_one_when_an_answer_is_lost() -> None:
    cable = Cable()
    units = Units(cable, slowly)
    async with a_modbus(cable, merge=16, timeout=Timeout(0.1), retries=0) as bus:
        client = Client(bus)
        for lost in (False, True, False):
            units.answer = lambda data, lost=lost: [] if lost and data[3] == 100 else slowly(data)  # type: ignore[misc]
            for pdu in (read(0), read(100, 2), read(110, 2)):
                client.ask(pdu)
            await client.ended()
            await asyncio.sleep(1)
        assert client.answers.count(NO_ANSWER) == 2
        assert sent(units) == [read(0), read(100, 12)] * 3


async def test_answers_are_kept_for_their_time_and_no_longer() -> None:
    cable = Cable()
    units = Units(cable, slowly)
    async with a_modbus(cable, cache=0.5) as bus:
        client = Client(bus)
        client.ask(read(1, 4))
        await client.ended()
        client.ask(read(2, 1))
        assert client.answers[-1] == registers(2)
        assert len(sent(units)) == 1
        assert bus.status().cached == 1
        await asyncio.sleep(0.5)
        client.ask(read(2, 1))
        await client.ended()
        assert len(sent(units)) == 2


async def test_a_write_makes_what_is_kept_of_its_unit_worthless() -> None:
    cable = Cable()
    units = Units(cable, slowly)
    async with a_modbus(cable, cache=60.0) as bus:
        client = Client(bus)
        for unit in (1, 2):
            client.ask(read(1), unit=unit)
        await client.ended()
        client.ask(write(1, 2))
        client.ask(read(1))
        await client.ended()
        client.ask(read(1), unit=2)
        assert sent(units) == [read(1), read(1), write(1, 2), read(1)]


async def test_exceptions_are_not_kept() -> None:
    cable = Cable()
    units = Units(cable, lambda data: [(SLOW, Frame(data[0], b"\x83\x02").encode())])
    async with a_modbus(cable, cache=60.0) as bus:
        client = Client(bus)
        for _ in range(2):
            client.ask(read(1))
            await client.ended()
        assert client.answers == [b"\x83\x02"] * 2
        assert len(sent(units)) == 2
        assert bus.status().requests == {("1", "3", "exception"): 2}


# Units that do not answer.


async def test_a_silent_units_requests_are_answered_at_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "nportpy.modbus")
    cable = Cable()
    units = Units(cable, lambda data: [] if data[0] == 9 else slowly(data))
    async with a_modbus(cable, timeout=Timeout(0.1), retries=0) as bus:
        client = Client(bus)
        for address in range(5):
            client.ask(read(address), unit=9)
        await client.ended()
        assert client.answers == [NO_ANSWER] * 5
        assert len(units.heard) == 1
        client.ask(read(1), unit=9)
        assert client.answers[-1] == NO_ANSWER
        assert bus.status().requests == {("9", "3", "no_answer"): 1, ("9", "3", "unreachable"): 5}
        assert [unit.silent for unit in bus.status().units] == [True]
        assert [record.message for record in caplog.records] == ["unit does not answer"]


async def test_a_silent_unit_that_answers_again_is_served_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "nportpy.modbus")
    cable = Cable()
    units = Units(cable, lambda data: [])
    async with a_modbus(cable, timeout=Timeout(0.1), retries=0) as bus:
        client = Client(bus)
        client.ask(read(1))
        await client.ended()
        units.answer = slowly
        await asyncio.sleep(0.4)
        client.ask(read(1))
        assert client.answers == [NO_ANSWER] * 2
        await asyncio.sleep(0.2)
        client.ask(read(1))
        client.ask(read(2))
        await client.ended()
        assert client.answer(client.ends[-1][0]) == registers(1)
        assert client.answers.count(NO_ANSWER) == 3
        client.ask(read(2))
        await client.ended()
        assert client.answers[-1] == registers(2)
        assert [record.message for record in caplog.records][-1] == "unit answers again"


async def test_a_unit_that_comes_and_goes_does_not_flood_the_log_and_the_log_is_right_in_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "nportpy.modbus")
    cable = Cable()
    units = Units(cable, lambda data: [])
    async with a_modbus(cable, timeout=Timeout(0.1), retries=0) as bus:
        client = Client(bus)

        async def poll(seconds: int) -> None:
            for _ in range(2 * seconds):
                client.ask(read(1))
                await client.ended()
                await asyncio.sleep(0.5)

        for _ in range(5):
            units.answer = lambda data: []
            await poll(3)
            units.answer = slowly
            await poll(3)
        units.answer = lambda data: []
        await poll(60)
        assert client.answers.count(registers(1)) > 20
        said = [record.message for record in caplog.records]
        assert said == ["unit does not answer", "unit answers again", "unit does not answer"]


async def test_f1_who_joined_a_read_that_the_unit_says_nothing_to_is_asked_for_itself() -> None:
    cable = Cable()
    units = Units(cable, lambda data: [] if data[5] > 10 else slowly(data))
    async with a_modbus(cable, timeout=Timeout(0.1), retries=0) as bus:
        one, two = Client(bus), Client(bus)
        for _ in range(3):
            one.ask(read(1000, 20))
            two.ask(read(1000, 2))
            await one.ended()
            await two.ended()
        assert one.answers == [NO_ANSWER] * 3
        assert two.answers == [registers(1000, 2)] * 3
        assert sent(units)[:2] == [read(1000, 20), read(1000, 2)]


@pytest.mark.parametrize("retries", [0, 1])
async def test_f2_an_answer_of_another_length_is_told_as_0b_at_once_and_the_unit_lives(retries: int) -> None:
    cable = Cable()
    units = Units(cable, lambda data: [(SLOW, Frame(data[0], registers(0, min(data[5], 10))).encode())])
    async with a_modbus(cable, timeout=Timeout(1.0), retries=retries) as bus:
        client = Client(bus)
        began = asyncio.get_running_loop().time()
        for _ in range(20):
            client.ask(read(0, 20))
            await client.ended()
        assert asyncio.get_running_loop().time() - began < 20 * (2 + retries) * SLOW
        assert client.answers == [NO_ANSWER] * 20
        assert sent(units) == [read(0, 20)] * 20 * (1 + retries)
        assert bus.status().unfit == 20 * (1 + retries)
        assert bus.status().requests == {("1", "3", "no_answer"): 20}
        assert [unit.silent for unit in bus.status().units] == [False]
        client.ask(read(0, 10))
        await client.ended()
        assert client.answers[-1] == registers(0, 10)


async def test_f2_a_unit_that_speaks_of_other_things_is_alive() -> None:
    cable = Cable()
    units = Units(cable, lambda data: [(SLOW, Frame(data[0], b"\x84\x02").encode())])
    async with a_modbus(cable, timeout=Timeout(0.1), retries=0) as bus:
        client = Client(bus)
        for _ in range(3):
            client.ask(read(0))
            await client.ended()
            await asyncio.sleep(10)
        assert client.answers == [NO_ANSWER] * 3
        assert [unit.silent for unit in bus.status().units] == [False]
        units.answer = slowly
        client.ask(read(0))
        await client.ended()
        assert client.answers[-1] == registers(0)


async def test_f7_where_it_is_switched_off_every_request_goes_out() -> None:
    cable = Cable()
    units = Units(cable, lambda data: [])
    own = UnitSettings(frozenset((2,)), isolate=True)
    async with a_modbus(cable, timeout=Timeout(0.1), retries=1, isolate=False, units=(own,), deadline=60) as bus:
        client = Client(bus)
        for number in range(8):
            for unit in (1, 2):
                client.ask(read(number), unit=unit)
        await client.ended()
        assert sum(data[0] == 1 for _, data in units.heard) == 16
        assert sum(data[0] == 2 for _, data in units.heard) == 2
        assert [unit.silent for unit in bus.status().units] == [True, True]


@pytest.mark.parametrize(("unit", "wanted"), [(255, True), (0, True), (9, False)])
async def test_f6_a_server_may_answer_as_the_device_itself_and_the_log_says_so_once(
    unit: int, wanted: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "nportpy.modbus")
    cable = Cable()
    Units(cable, lambda data: [(SLOW, data[:4] + b"\x00\x05" + bytes((unit,)) + registers(1))])
    async with running(cable) as line:
        bus = Bus(line, BusSettings(), MbapReplies())
        await asyncio.sleep(0.01)
        client = Client(bus)
        for _ in range(3):
            client.ask(read(1))
            await client.ended()
        assert client.answers == [registers(1) if wanted else NO_ANSWER] * 3
    assert [record.getMessage() for record in caplog.records] == [f"server answers under unit id {unit}"]


@pytest.mark.long
async def test_a_silent_unit_takes_little_from_the_living() -> None:
    cable = Cable()
    units = Units(cable, lambda data: [] if data[0] == 9 else slowly(data))
    async with a_modbus(cable, timeout=Timeout(0.5)) as bus:
        dead, living = Client(bus), Client(bus)
        loop = asyncio.get_running_loop()
        end, answered = loop.time() + 120, 0
        while loop.time() < end:
            dead.ask(read(1), unit=9)
            living.ask(read(1), unit=1)
            await living.ended()
            answered += 1
        assert answered > 0.8 * 120 / (SLOW + 0.001)
        assert set(living.answers) == {registers(1)}
        assert sum(data[0] == 9 for _, data in units.heard) > 10
        await dead.ended()


async def test_a_line_that_goes_while_a_unit_is_tried_does_not_make_it_silent_for_ever() -> None:
    cable = Cable()
    units = Units(cable, lambda data: [])
    async with a_modbus(cable, timeout=Timeout(0.1), retries=0) as bus:
        client = Client(bus)
        client.ask(read(1))
        await client.ended()
        await asyncio.sleep(0.6)
        client.ask(read(1))
        cable.unplug()
        await client.ended()
        assert client.answers == [NO_ANSWER, NO_PATH]
        cable.plug()
        cable.far._receiver = units
        units.answer = slowly
        await asyncio.sleep(10)
        client.ask(read(1))
        await client.ended()
        assert client.answers[-1] == registers(1)


async def test_reads_are_sent_again_and_writes_are_not() -> None:
    cable = Cable()
    units = Units(cable, lambda data: [])
    async with a_modbus(cable, timeout=Timeout(0.1), retries=2) as bus:
        client = Client(bus)
        client.ask(write(1, 2), unit=1)
        client.ask(read(1), unit=2)
        await client.ended()
        assert sent(units) == [write(1, 2)] + [read(1)] * 3
        assert client.answers == [b"\x86\x0b", NO_ANSWER]
        assert bus.status().retries == 2


async def test_units_have_settings_of_their_own() -> None:
    cable = Cable()
    units = Units(cable, lambda data: [])
    own = UnitSettings(frozenset((2, 3)), Timeout(0.3), 0.05, 0)
    async with a_modbus(cable, timeout=Timeout(0.1), units=(own,)) as bus:
        client = Client(bus)
        began = asyncio.get_running_loop().time()
        client.ask(read(1), unit=2)
        await client.ended()
        assert asyncio.get_running_loop().time() - began == pytest.approx(0.3 + 0.05, abs=0.02)
        assert len(units.heard) == 1
        assert units.quiet[0] >= 0.05


async def test_a_timeout_that_is_learned_gives_up_early() -> None:
    cable = Cable()
    units = Units(cable, slowly)
    async with a_modbus(cable, timeout=Timeout(None, 0.01, 3.0), retries=0) as bus:
        client = Client(bus)
        for address in range(50):
            client.ask(read(address))
            await client.ended()
        units.answer = lambda data: []
        began = asyncio.get_running_loop().time()
        client.ask(read(1))
        await client.ended()
        assert asyncio.get_running_loop().time() - began < 0.06


async def test_an_answers_wire_time_is_added_to_its_timeout() -> None:
    cable = Cable()
    line = LineSettings(300)
    wire = 255 * line.character_time
    Units(cable, lambda data: [(8 * line.character_time + wire, reply(data))])
    async with a_modbus(cable, line, timeout=Timeout(0.1), retries=0) as bus:
        client = Client(bus)
        client.ask(read(0, 125))
        await client.ended()
        assert client.answers == [registers(0, 125)]


# What the gateway itself answers.


async def test_a_line_that_is_down_is_said_at_once() -> None:
    cable = Cable()
    Units(cable, lambda data: [])
    async with a_modbus(cable) as bus:
        client = Client(bus)
        client.ask(read(1))
        client.ask(read(2))
        cable.unplug()
        await client.ended()
        client.ask(read(3))
        assert client.answers == [NO_PATH] * 3
        assert not bus.status().up


async def test_a_request_that_waited_too_long_is_answered_and_not_sent() -> None:
    cable = Cable()
    units = Units(cable, lambda data: [(0.9, reply(data))])
    async with a_modbus(cable, deadline=1.0) as bus:
        client = Client(bus)
        for address in range(4):
            client.ask(read(address))
        await client.ended()
        assert client.answers == [registers(0), NO_ANSWER, NO_ANSWER, registers(1)]
        await asyncio.sleep(5)
        assert len(units.heard) == 2
        assert bus.status().requests["1", "3", "expired"] == 2


async def test_those_who_joined_a_request_that_expires_have_their_own_time() -> None:
    cable = Cable()
    units = Units(cable, lambda data: [(1.5, reply(data))])
    async with a_modbus(cable, deadline=1.0, timeout=Timeout(3.0)) as bus:
        one, two = Client(bus), Client(bus)
        one.ask(read(1))
        one.ask(read(2))
        await asyncio.sleep(0.8)
        two.ask(read(2))
        await one.ended()
        await two.ended()
        assert one.answers == [NO_ANSWER, registers(1)]
        assert two.answers == [registers(2)]
        assert len(units.heard) == 2


async def test_beyond_its_queue_a_client_hears_that_the_gateway_is_busy() -> None:
    cable = Cable()
    Units(cable, slowly)
    async with a_modbus(cable, queue=4) as bus:
        flood, other = Client(bus), Client(bus)
        for address in range(10):
            flood.ask(read(2 * address))
        other.ask(read(1001))
        await flood.ended()
        await other.ended()
        assert flood.answers.count(BUSY) == 5
        assert other.answers == [registers(1001)]
        assert bus.status().requests["1", "3", "queue_full"] == 5


async def test_requests_of_a_client_that_has_gone_are_not_sent() -> None:
    cable = Cable()
    units = Units(cable, slowly)
    async with a_modbus(cable) as bus:
        gone, other = Client(bus), Client(bus)
        gone.ask(read(1))
        gone.ask(read(2))
        gone.ask(read(3))
        other.ask(read(3))
        bus.leave(gone)
        assert gone.answers == [b""] * 3
        await other.ended()
        assert other.answers == [registers(3)]
        await asyncio.sleep(1)
        assert sent(units) == [read(1), read(3)]
        assert bus.status().requests["1", "3", "gone"] == 3


async def test_who_joined_a_request_on_the_line_has_its_retry_when_its_owner_goes() -> None:
    cable = Cable()
    units = Units(cable, lambda data: slowly(data) if len(units.heard) > 1 else [])
    async with a_modbus(cable, timeout=Timeout(0.1), retries=1) as bus:
        gone, other = Client(bus), Client(bus)
        gone.ask(read(3))
        other.ask(read(3))
        await asyncio.sleep(0.05)
        bus.leave(gone)
        await other.ended()
        assert other.answers == [registers(3)]
        assert sent(units) == [read(3)] * 2


async def test_who_joined_a_client_that_goes_is_not_told_that_the_queue_of_another_is_full() -> None:
    cable = Cable()
    Units(cable, slowly)
    async with a_modbus(cable, queue=2) as bus:
        gone, flood, other = Client(bus), Client(bus), Client(bus)
        gone.ask(read(1))
        gone.ask(read(2))
        flood.ask(read(3))
        flood.ask(read(4))
        flood.ask(read(2))
        other.ask(read(2))
        bus.leave(gone)
        await flood.ended()
        await other.ended()
        assert flood.answers == [BUSY, registers(3), registers(4)]
        assert other.answers == [registers(2)]


async def test_the_urgent_go_first() -> None:
    cable = Cable()
    units = Units(cable, slowly)
    async with a_modbus(cable) as bus:
        client = Client(bus)
        client.ask(read(1))
        client.ask(read(2), priority=Priority.LOW)
        client.ask(read(3))
        client.ask(read(4), priority=Priority.HIGH)
        await client.ended()
        assert sent(units) == [read(1), read(4), read(3), read(2)]


async def test_writes_go_first_where_that_is_wished() -> None:
    cable = Cable()
    units = Units(cable, slowly)
    async with a_modbus(cable, writes_first=True) as bus:
        client = Client(bus)
        client.ask(read(1))
        client.ask(read(2))
        client.ask(write(4, 1))
        await client.ended()
        assert sent(units) == [read(1), write(4, 1), read(2)]


async def test_what_the_standard_leaves_unanswered_is_not_waited_for() -> None:
    cable = Cable()
    Units(cable, lambda data: [])
    async with a_modbus(cable, timeout=Timeout(1.0), turnaround=0.1) as bus:
        client = Client(bus)
        client.ask(b"\x08\x00\x04\x00\x00")
        await asyncio.sleep(0.15)
        assert client.answers == [b""]


async def test_ascii_units_are_asked_in_ascii() -> None:
    cable = Cable()

    def answer(data: bytes) -> list[tuple[float, bytes]]:
        reader = ascii_frames.Reader()
        (frame,) = reader.feed(data, 0)
        good = Frame.parse(reply(Frame(frame.unit, frame.pdu).encode()))
        return [(SLOW, ascii_frames.encode(good.unit, good.pdu))]

    units = Units(cable, answer)
    async with a_modbus(cable, framing=Framing.ASCII) as bus:
        client = Client(bus)
        client.ask(read(1000, 2), unit=17)
        await client.ended()
        assert client.answers == [registers(1000, 2)]
        assert units.heard[0][1] == b":110303E80002FF\r\n"


async def test_a_decoded_trace_says_what_was_asked_and_what_came(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "nportpy.trace")
    cable = Cable()
    units = Units(cable, slowly)
    async with a_modbus(cable, timeout=Timeout(0.1), retries=0) as bus:
        bus.trace = True
        client = Client(bus)
        client.ask(read(1000, 2))
        await client.ended()
        units.answer = lambda data: [(SLOW, Frame(1, b"\x86\x02").encode())]
        client.ask(write(7, 1))
        await client.ended()
        units.answer = lambda data: []
        client.ask(b"\x41\x01\x02", unit=2)
        await client.ended()
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0].startswith("01 FC3 1000+2 -> 6 bytes, 2")
    assert lines[0].endswith(" ms")
    assert lines[1].startswith("01 FC6 7 -> exception 02, ")
    assert lines[2].startswith("02 FC65 3 bytes -> no answer, 1")


async def test_a18_a_unit_that_never_answered_is_forgotten() -> None:
    """Who has looked for units that are not there does not leave them in the status for ever."""
    cable = Cable()
    Units(cable, lambda data: slowly(data) if data[0] == 1 else [])
    async with a_modbus(cable) as bus:
        client = Client(bus)
        for unit in (1, 2, 3):
            client.ask(read(1000, 2), unit=unit)
            await client.ended()
        assert [(unit.unit, unit.silent) for unit in bus.status().units] == [(1, False), (2, True), (3, True)]
        await asyncio.sleep(FORGOTTEN / 2)
        client.ask(read(1000, 2), unit=3)  # somebody wants it, so it is missed
        await client.ended()
        await asyncio.sleep(FORGOTTEN / 2 + FIRST_REST * 20)
        assert [(unit.unit, unit.silent) for unit in bus.status().units] == [(1, False), (3, True)]
        await asyncio.sleep(FORGOTTEN)
        assert [unit.unit for unit in bus.status().units] == [1]

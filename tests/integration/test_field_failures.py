"""What breaks Modbus in the field, row by row of the list that the issue refers to, and what a client sees of it here.

Each test stands for a row: evidence is in public issue threads of other projects. Rows about the network side, where
what matters is bytes on a connection (15 to 20), go through a session; the others through a bus on a cable. Time is
virtual, so wire time and timeouts are exact.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from nportpy.linesettings import LineSettings
from nportpy.modbus.bus import Bus
from nportpy.modbus.question import Question
from nportpy.modbus.routing import Router
from nportpy.modbus.settings import BusSettings, RoutingSettings, Timeout, UnitSettings
from nportpy.port.loopback import Cable
from nportpy.protocols.modbus import mbap
from nportpy.protocols.modbus.exchange import Echo
from nportpy.protocols.modbus.mbap_reply import ReplyFinder
from nportpy.protocols.modbus.rtu import Frame, encode, silent_interval
from nportpy.status import BusStatus
from tests.support.asking import Client, a_modbus, read, registers, write
from tests.support.bus import Units, reply
from tests.support.lines import running
from tests.support.routers import asking
from tests.support.serving import until

WAIT = 0.2
NO_ANSWER = b"\x83\x0b"
Said = list[tuple[float, bytes]]


def after(seconds: float, *parts: bytes) -> Said:
    """What a unit says, in pieces that come together."""
    return [(seconds, b"".join(parts))]


def scripted(*answers: Callable[[bytes], Said]) -> Callable[[bytes], Said]:
    """One answer after the other; the last for all that come then."""
    left = list(answers)

    def answer(data: bytes) -> Said:
        return (left.pop(0) if len(left) > 1 else left[0])(data)

    return answer


def good(data: bytes) -> Said:
    return after(0.01, reply(data))


def nothing(data: bytes) -> Said:
    return []


async def asked(bus: Bus, *pdus: bytes, unit: int = 1) -> list[bytes]:
    """The answers to requests, one after the other."""
    client = Client(bus)
    for pdu in pdus:
        client.ask(pdu, unit)
        await client.ended()
    return client.answers


async def answers(
    answer: Callable[[bytes], Said], *pdus: bytes, retries: int = 0, **settings: Any
) -> tuple[list[bytes], BusStatus, Units]:
    """What comes of requests on a bus whose unit says `answer`."""
    cable = Cable()
    units = Units(cable, answer)
    async with a_modbus(cable, timeout=Timeout(WAIT), retries=retries, **settings) as bus:
        return await asked(bus, *pdus), bus.status(), units


# 1 to 14: the line.


@pytest.mark.parametrize("echo", [Echo.AUTO, Echo.YES])
async def test_row_01_local_echo_is_swallowed(echo: Echo) -> None:
    def answer(data: bytes) -> Said:
        return [(0.001, data), (0.01, reply(data))]

    heard, status, _ = await answers(answer, read(1, 2), write(1, 7), write(2, 8), read(2), echo=echo)
    assert heard == [registers(1, 2), write(1, 7), write(2, 8), registers(2)]
    assert status.echoes >= 4


@pytest.mark.parametrize("echo", [Echo.AUTO, Echo.YES])
@pytest.mark.parametrize(
    "pdu", [write(1, 7), b"\x05\x00\x01\xff\x00", b"\x08\x00\x00\x12\x34", b"\x16\x00\x01\x00\xff\x00\x01"]
)
async def test_row_01_an_echo_alone_is_no_answer_to_a_write(echo: Echo, pdu: bytes) -> None:
    heard, _, _ = await answers(lambda data: [(0.001, data)], pdu, echo=echo)
    assert heard == [bytes((pdu[0] | 0x80, 0x0B))]


async def test_row_01_an_echo_that_lacks_its_first_byte_is_junk() -> None:
    def answer(data: bytes) -> Said:
        return [(0.001, data[1:]), (0.01, reply(data))]

    heard, _, _ = await answers(answer, read(1), read(2), write(1, 2), echo=Echo.AUTO)
    assert heard == [registers(1), registers(2), write(1, 2)]


@pytest.mark.parametrize(
    "junk", [b"\x00", b"\xff", b"\x00" * 40, b"\xff\x00\xff", b"\x01\x03", b"\x01\x83", b"\x01\x03\x02"]
)
async def test_row_02_junk_before_the_answer(junk: bytes) -> None:
    heard, status, _ = await answers(lambda data: after(0.01, junk, reply(data)), read(1), read(7, 10))
    assert heard == [registers(1), registers(7, 10)]
    assert status.junk >= len(junk)


async def test_row_03_zeros_after_the_answer() -> None:
    heard, _, _ = await answers(lambda data: after(0.01, reply(data), bytes(3)), *[read(n) for n in range(5)])
    assert heard == [registers(n) for n in range(5)]


async def test_row_04_a_late_answer_is_not_given_to_the_next_request() -> None:
    values: Iterator[int] = iter(range(1, 100))

    def late(data: bytes) -> Said:
        return after(WAIT * 1.5, encode(1, b"\x03\x02" + next(values).to_bytes(2)))

    def prompt(data: bytes) -> Said:
        return after(0.01, encode(1, b"\x03\x02" + next(values).to_bytes(2)))

    heard, status, _ = await answers(scripted(prompt, late, prompt), read(1), read(2), read(3))
    assert heard == [b"\x03\x02\x00\x01", NO_ANSWER, b"\x03\x02\x00\x03"]
    assert status.late == 1


async def test_row_05_a_lost_answer_of_a_server_does_not_shift_the_others() -> None:
    heard = await through_a_server(lambda number: [] if number == 2 else [number], 5)
    assert [answer == NO_ANSWER for answer in heard] == [False, True, False, False, False]
    assert [answer for answer in heard if answer != NO_ANSWER] == [registers(n) for n in (1, 3, 4, 5)]


async def test_row_06_an_answer_of_another_unit_is_passed_over() -> None:
    def answer(data: bytes) -> Said:
        return [(0.005, encode(9, b"\x03\x02\xde\xad")), (0.02, reply(data))]

    heard, status, _ = await answers(answer, read(1), read(2))
    assert heard == [registers(1), registers(2)]
    assert status.foreign >= 1  # the last ones are sorted when the next request begins


async def test_row_07_an_exception_costs_no_more_than_an_answer() -> None:
    heard, status, _ = await answers(lambda data: after(0.01, encode(1, b"\x83\x02")), read(1, 10))
    assert heard == [b"\x83\x02"]
    assert status.busy < 0.012


async def test_row_08_units_that_need_a_pause() -> None:
    own = UnitSettings(frozenset((1,)), silence=0.1)
    _, _, units = await answers(good, *[read(n) for n in range(4)], units=(own,))
    assert min(units.quiet[1:]) >= 0.1 - 1e-9


async def test_row_09_an_adapter_that_hands_over_every_16_ms() -> None:
    def answer(data: bytes) -> Said:
        frame = reply(data)
        return [(0.016 * (1 + at // 20), frame[at : at + 20]) for at in range(0, len(frame), 20)]

    heard, _, _ = await answers(answer, read(1, 40), read(2, 40))
    assert heard == [registers(1, 40), registers(2, 40)]


async def test_row_10_a_unit_that_pauses_inside_a_frame() -> None:
    def answer(data: bytes) -> Said:
        frame = reply(data)
        return [(0.01, frame[:4]), (0.1, frame[4:])]

    heard, status, _ = await answers(answer, read(1, 10), read(2, 10))
    assert heard == [registers(1, 10), registers(2, 10)]
    assert status.junk == 0


async def test_row_11_an_answer_that_lost_its_head_is_asked_for_again() -> None:
    def beheaded(data: bytes) -> Said:
        return after(0.001, reply(data)[2:])

    heard, status, _ = await answers(scripted(beheaded, good), read(1), retries=1)
    assert heard == [registers(1)]
    assert status.retries == 1


async def test_row_12_a_wrong_check_sum_is_asked_for_again_and_ends_as_0b() -> None:
    def spoilt(data: bytes) -> Said:
        frame = reply(data)
        return after(0.01, frame[:-1], bytes((frame[-1] ^ 1,)))

    heard, status, _ = await answers(scripted(spoilt, good), read(1), retries=1)
    assert heard == [registers(1)]
    assert status.spoilt == 1
    heard, _, _ = await answers(spoilt, read(1), retries=1)
    assert heard == [NO_ANSWER]


@pytest.mark.parametrize("count", [1, 3, 20])
async def test_row_13_more_or_fewer_registers_than_asked_are_no_answer(count: int) -> None:
    heard, status, _ = await answers(lambda data: after(0.01, encode(1, registers(1, count))), read(1, 2))
    assert heard == [NO_ANSWER]
    assert status.unfit + status.junk + status.spoilt > 0


@pytest.mark.parametrize(
    ("pdu", "answer"),
    [
        (b"\x41\x01\x02", b"\x41\x01\x02\x03\x04"),
        (b"\x0c", b"\x0c\x08\x00\x00\x01\x08\x01\x21\x20\x00"),
        (b"\x11", b"\x11\x05pump\xff"),
        (b"\x14\x07\x06\x00\x04\x00\x01\x00\x02", b"\x14\x06\x05\x06\x0d\xfe\x00\x20"),
        (b"\x17\x00\x03\x00\x14\x00\x0e\x00\x01\x02\x00\xff", b"\x17\x28" + bytes(40)),
        (b"\x18\x04\xde", b"\x18\x00\x06\x00\x02\x01\xb8\x12\x84"),
        (b"\x2b\x0e\x01\x00", b"\x2b\x0e\x01\x01\x00\x00\x01\x00\x03abc"),
    ],
)
async def test_row_14_functions_of_all_kinds_pass(pdu: bytes, answer: bytes) -> None:
    heard, _, _ = await answers(lambda data: after(0.01, encode(1, answer)), pdu)
    assert heard == [answer]


# 15 to 20: the network.


async def test_row_15_a_request_in_pieces_and_many_in_one() -> None:
    frames = [mbap.encode(number, 1, read(number)) for number in range(19)]
    async with asking() as served:
        client = await served.client()
        for byte in frames[0]:
            client.send(bytes((byte,)))
            await asyncio.sleep(0.001)
        client.send(b"".join(frames[1:]))
        await client.hears(b"".join(frames))


async def test_row_16_the_same_transaction_id_every_time() -> None:
    frames = b"".join(mbap.encode(0, 1, read(number)) for number in range(3))
    async with asking() as served:
        client = await served.client()
        client.send(frames)
        await client.hears(frames)


async def test_row_17_a_server_that_changes_the_transaction_id_is_not_believed() -> None:
    heard = await through_a_server(lambda number: [number + 1], 1)
    assert heard == [NO_ANSWER]


@pytest.mark.parametrize("length", [0, 1, 255, 65535])
async def test_rows_18_and_20_a_length_that_cannot_be_closes_the_connection(length: int) -> None:
    async with asking() as served:
        client = await served.client()
        client.send(b"\x00\x01\x00\x00" + length.to_bytes(2) + b"\x01\x03\x00\x00\x00\x01")
        await until(lambda: client.lost)
        assert not client.heard
        other = await served.client()
        other.send(mbap.encode(1, 1, read(1)))
        await other.hears(mbap.encode(1, 1, read(1)))


async def test_row_18_a_length_that_contradicts_its_function_is_answered_with_03() -> None:
    router = Router("plant", RoutingSettings.whole("line"), lambda _: None)
    told: list[bytes] = []
    visitor = router.visitor("client", None)
    visitor.ask(Question("client", 1, b"\x03\x00\x00\x00", lambda _, answer: told.append(answer)))
    assert told == [b"\x83\x03"]


async def test_row_19_another_protocol_is_passed_over() -> None:
    good_frame = mbap.encode(2, 1, read(2))
    async with asking() as served:
        client = await served.client()
        client.send(b"\x00\x01\x00\x07\x00\x06\x01\x03\x00\x00\x00\x01" + good_frame)
        await client.hears(good_frame)


# 21 to 30: everything together.


async def test_row_21_unit_0_is_a_broadcast_or_a_unit() -> None:
    cable = Cable()
    units = Units(cable, lambda data: [] if data[0] == 0 else good(data))
    async with a_modbus(cable, turnaround=0.1) as bus:
        for unit0, wanted in ((None, b""), (5, write(1, 2))):
            router = Router("plant", RoutingSettings.whole("line", unit0=unit0, unit255=5), lambda _: bus)
            router.refresh()
            told: list[bytes] = []
            router.visitor("client", None).ask(Question("c", 0, write(1, 2), lambda _, answer: told.append(answer)))  # noqa: B023
            router.visitor("client", None).ask(Question("c", 255, read(1), lambda _, answer: told.append(answer)))  # noqa: B023
            await asyncio.sleep(1)
            assert told == [wanted, registers(1)]
    assert [data[0] for _, data in units.heard] == [0, 5, 5, 5]


async def test_row_22_a_unit_that_answers_a_broadcast() -> None:
    cable = Cable()
    Units(cable, lambda data: after(0.01, encode(7, data[1:-2])) if data[0] == 0 else good(data))
    async with a_modbus(cable, turnaround=0.1) as bus:
        client = Client(bus)
        client.ask(write(1, 2), unit=0)
        client.ask(write(1, 2), unit=7)
        client.ask(read(1), unit=7)
        await client.ended()
        assert client.answers == [b"", write(1, 2), registers(1)]


@pytest.mark.long
async def test_row_23_a_dead_unit_does_not_starve_the_living() -> None:
    cable = Cable()
    Units(cable, lambda data: [] if data[0] == 9 else good(data))
    async with a_modbus(cable, timeout=Timeout(0.3)) as bus:
        loop, dead, living, answered = asyncio.get_running_loop(), Client(bus), Client(bus), 0
        began = loop.time()
        while loop.time() < began + 60:
            dead.ask(read(answered), unit=9)
            living.ask(read(1))
            await living.ended()
            answered += 1
        assert answered > 0.8 * 60 / 0.0115


async def test_row_24_requests_of_vanished_clients_are_not_sent() -> None:
    cable = Cable()
    units = Units(cable, good)
    async with a_modbus(cable) as bus:
        for _ in range(50):
            client = Client(bus)
            for address in range(5):
                client.ask(read(address, 1, 4))
            bus.leave(client)
            assert client.answers == [b""] * 5
        await asyncio.sleep(1)
        assert len(units.heard) <= 50
        assert bus.status().queued == 0


async def test_row_25_retransmissions_do_not_pile_up() -> None:
    cable = Cable()
    units = Units(cable, lambda data: after(0.9, reply(data)))
    async with a_modbus(cable, timeout=Timeout(1.0)) as bus:
        impatient = Client(bus)
        for _ in range(10):
            impatient.ask(read(1))
            await asyncio.sleep(0.1)
        await impatient.ended()
        assert impatient.answers == [registers(1)] * 10
        assert len(units.heard) <= 2


async def test_row_26_writes_are_never_repeated() -> None:
    heard, status, units = await answers(nothing, write(1, 2), b"\x10\x00\x01\x00\x01\x02\x00\x07", retries=3)
    assert heard == [b"\x86\x0b", b"\x90\x0b"]
    assert len(units.heard) <= 2
    assert status.retries == 0


async def test_row_27_another_master_on_the_bus() -> None:
    line = LineSettings(9600)
    cable = Cable()
    units = Units(cable, good)
    async with a_modbus(cable, line, silence=None, timeout=Timeout(WAIT)) as bus:
        client = Client(bus)
        for number in range(20):
            units._say(encode(3, read(number)))  # a request of the other one
            client.ask(read(number))
            units._say(encode(3, registers(number)))  # and the answer to it
            await client.ended()
        assert client.answers == [registers(number) for number in range(20)]
        assert min(units.quiet[1:]) >= silent_interval(line) * 0.99


async def test_row_28_a_device_that_disappears_and_comes_back() -> None:
    cable = Cable()
    units = Units(cable, good)
    async with a_modbus(cable) as bus:
        assert await asked(bus, read(1)) == [registers(1)]
        cable.unplug()
        assert await asked(bus, read(1)) == [b"\x83\x0a"]
        cable.plug()
        cable.far._receiver = units
        await asyncio.sleep(10)
        assert await asked(bus, read(1)) == [registers(1)]


async def test_row_29_a_timeout_that_fits_its_unit() -> None:
    times = iter([0.3, 0.35, 0.4, 0.33, 0.45, 0.5] * 20)
    cable = Cable()
    Units(cable, lambda data: after(next(times), reply(data)))
    async with a_modbus(cable, timeout=Timeout(None, 0.05, 3.0), retries=0) as bus:
        heard = await asked(bus, *[read(n) for n in range(100)])
        assert heard == [registers(n) for n in range(100)]
        assert bus.status().units[0].timeout < 1.0


async def test_row_30_a_server_that_needs_a_rest_after_connecting() -> None:
    cable = Cable()
    units = Units(cable, lambda data: after(0.01, data[:7], registers(1)))
    async with running(cable) as line:
        bus = Bus(line, BusSettings(), ReplyFinder(), rest=2.0)
        client = Client(bus)
        began = asyncio.get_running_loop().time()
        client.ask(read(1))
        await asyncio.sleep(3)
        assert units.heard[0][0] - began == pytest.approx(2.0, abs=0.05)


async def through_a_server(transactions: Callable[[int], list[int]], count: int) -> list[bytes]:
    """The answers to reads of registers 1 to `count` from a Modbus TCP server that answers with these ids."""
    cable = Cable()

    def answer(data: bytes) -> Said:
        (adu,) = mbap.Reader().feed(data)
        assert isinstance(adu, mbap.Adu)
        pdu = Frame.parse(reply(encode(adu.unit, adu.pdu))).pdu
        return [(0.01, mbap.encode(number, adu.unit, pdu)) for number in transactions(adu.transaction)]

    Units(cable, answer)
    async with running(cable) as line:
        bus = Bus(line, BusSettings(timeout=Timeout(WAIT), retries=0), ReplyFinder())
        await asyncio.sleep(0.01)
        return await asked(bus, *[read(n) for n in range(1, count + 1)])

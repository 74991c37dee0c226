"""Requests to a Modbus TCP server, as if it were a line."""

import asyncio
import random
from collections.abc import Callable
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nportpy.line.arbiter import Line
from nportpy.line.stream_base import StreamSettings
from nportpy.line.transaction_base import TransactionSettings
from nportpy.line.turns import Outcome
from nportpy.linesettings import LineSettings
from nportpy.port.base import PortSettings
from nportpy.port.loopback import Cable, LoopbackPort
from nportpy.port.opening import open_port
from nportpy.protocols.modbus.mbap import encode
from nportpy.protocols.modbus.mbap_reply import ReplyFinder
from tests.support.bus import READ, WRITE, Asker, Units, a_bus, mbap_reply, read, registers
from tests.support.clock import VirtualLoop
from tests.support.ports import until


def at_once(data: bytes) -> list[tuple[float, bytes]]:
    return [(0, mbap_reply(data))]


async def test_frames_take_no_time_and_need_no_silence() -> None:
    cable = Cable()
    units = Units(cable, lambda data: [] if data[6] == 9 else at_once(data))
    async with a_bus(cable, line=LineSettings(), exchange=ReplyFinder()) as (_, bus):
        asker = Asker(bus)
        for unit in (1, 2, 9):
            asker.ask(unit, timeout=0.5)
        await asker.ended()
        assert asker.outcomes == [Outcome.ANSWERED, Outcome.ANSWERED, Outcome.NO_ANSWER]
        assert asker.ends[2][1].took == pytest.approx(0.5, abs=1e-6)
        assert bus.status().probes == 0
    assert len(units.heard) == 3


async def test_no_request_is_held_back_after_one_that_was_not_answered() -> None:
    cable = Cable()
    replies = iter([1.0, 0.0])
    Units(cable, lambda data: [(next(replies), mbap_reply(data))])
    async with a_bus(cable, exchange=ReplyFinder()) as (_, bus):
        asker = Asker(bus)
        asker.ask(timeout=0.6)
        asker.ask(pdu=b"\x03\x00\x07\x00\x01", timeout=0.6)
        await asker.ended()
        assert asker.outcomes == [Outcome.NO_ANSWER, Outcome.ANSWERED]
        assert asker.ends[1][1].waited == pytest.approx(0.6, abs=0.01)
        assert asker.ends[1][1].answer == b"\x03\x02\x00\x07"
        await asyncio.sleep(1)
        assert bus.counts.late == bus.counts.total() == 1


async def test_a_write_needs_no_probe() -> None:
    cable = Cable()
    units = Units(cable, at_once)
    async with a_bus(cable, exchange=ReplyFinder()) as (_, bus):
        asker = Asker(bus)
        asker.ask(pdu=WRITE)
        await asker.ended()
        assert asker.outcomes == [Outcome.ANSWERED]
    assert len(units.heard) == 1


async def test_a_server_that_answers_with_another_id_is_not_believed() -> None:
    """reference, row 17: nothing else would tell a late answer from the awaited one."""
    cable = Cable()
    Units(cable, lambda data: [(0, bytes(2) + mbap_reply(data)[2:])])
    async with a_bus(cable, exchange=ReplyFinder()) as (_, bus):
        asker = Asker(bus)
        asker.ask(timeout=0.1, retries=1)
        await asker.ended()
        assert asker.outcomes == [Outcome.NO_ANSWER]
        assert bus.counts.foreign == 2


@pytest.mark.parametrize("rest", [0.0, 0.5, 2.0])
async def test_a_server_may_need_rest_after_it_was_connected_to(rest: float) -> None:
    """Longer than patience, too."""
    cable = Cable()
    units = Units(cable, at_once)
    loop = asyncio.get_running_loop()
    start = loop.time()
    async with a_bus(cable, TransactionSettings(rest=rest), exchange=ReplyFinder()) as (line, bus):
        one, two = Asker(bus), Asker(bus)
        one.ask()
        two.ask(deadline=bus.clock() + 1)
        await one.ended()
        await two.ended()
        assert one.outcomes == [Outcome.ANSWERED]
        assert two.outcomes == [Outcome.ANSWERED if rest < 1 else Outcome.EXPIRED]
        assert units.heard[0][0] - start == pytest.approx(max(rest, 0.01), abs=0.002)
        cable.unplug()
        cable.plug()
        await until(lambda: not line.up)
        await until(lambda: line.up)
        start = loop.time()
        one.ask()
        await one.ended()
        assert units.heard[-1][0] - start == pytest.approx(rest, abs=0.01)


async def test_a_connection_that_cannot_be_understood_is_opened_anew() -> None:
    cable = Cable()
    garbage = iter([b"HTTP/1.1 400 Bad Request"])
    Units(cable, lambda data: [(0.01, next(garbage, mbap_reply(data)))])
    async with a_bus(cable, exchange=ReplyFinder()) as (line, bus):
        asker = Asker(bus)
        for _ in range(3):
            asker.ask()
        await asker.ended()
        assert asker.outcomes == [Outcome.LINE_DOWN] * 3
        assert asker.ends[0][1].took < 0.02
        assert "a length of" in line.status().error
        await until(lambda: line.up)
        asker.ask()
        await asker.ended()
        assert asker.outcomes[3:] == [Outcome.ANSWERED]
        assert line.status().losses == 1


async def test_the_last_answer_before_garbage_counts() -> None:
    cable = Cable()
    Units(cable, lambda data: [(0.01, mbap_reply(data) + bytes(8))])
    async with a_bus(cable, exchange=ReplyFinder()) as (line, bus):
        asker = Asker(bus)
        for _ in range(2):
            asker.ask()
        await asker.ended()
        assert asker.outcomes == [Outcome.LINE_DOWN, Outcome.ANSWERED]
        assert not line.up


async def test_garbage_that_nobody_asked_for_is_noticed_too() -> None:
    cable = Cable()
    Units(cable, at_once)
    async with a_bus(cable, exchange=ReplyFinder()) as (line, _):
        cable.far.write(bytes(8))
        await until(lambda: not line.up)
        await until(lambda: line.up)


async def test_half_an_answer_of_the_old_connection_is_forgotten() -> None:
    cable = Cable()
    pieces = iter([10])
    Units(cable, lambda data: [(0.01, mbap_reply(data)[: next(pieces, None)])])
    async with a_bus(cable, exchange=ReplyFinder()) as (line, bus):
        asker = Asker(bus)
        asker.ask()
        await asyncio.sleep(0.1)
        cable.unplug()
        cable.plug()
        await until(lambda: not line.up)
        await until(lambda: line.up)
        asker.ask()
        await asker.ended()
        assert asker.outcomes == [Outcome.LINE_DOWN, Outcome.ANSWERED]


# Whatever the server does.


class Connected(Units):
    """Frames do not mix with each other, and what was to come on one connection does not come on the next."""

    def data_received(self, data: bytes) -> None:
        for delay, frame in self.answer(data):
            asyncio.get_running_loop().call_later(delay, self._say_on, self.cable.near, frame)

    def _say_on(self, connection: LoopbackPort | None, frame: bytes) -> None:
        if connection is self.cable.near:
            for at in range(0, len(frame), 4):
                self.cable.far.write(frame[at : at + 4])


ACTIONS = st.sampled_from(["answer", "late", "silent", "another id", "another unit", "twice", "garbage", "lost"])


@given(st.lists(ACTIONS, min_size=1, max_size=12), st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
@pytest.mark.long
def test_every_request_ends_once_and_every_answer_belongs_to_its_request(actions: list[str], seed: int) -> None:
    async def run() -> None:
        cable, chance = Cable(), random.Random(seed)
        script = iter(actions * 20)

        def answer(data: bytes) -> list[tuple[float, bytes]]:
            good = mbap_reply(data)
            match next(script, "answer"):
                case "late":
                    return [(chance.uniform(0.1, 0.4), good)]
                case "silent":
                    return []
                case "another id":
                    return [(0.01, bytes((data[0] ^ 0x80,)) + good[1:])]
                case "another unit":
                    return [(0.01, good[:6] + bytes((good[6] + 1,)) + good[7:]), (0.02, good)]
                case "twice":
                    return [(0.01, good), (0.0105, good)]
                case "garbage":
                    return [(0.01, good[:4] + chance.randbytes(20))]
                case "lost":
                    if cable.near is not None:
                        cable.near.lose()
            return [(0.01, good)]

        Connected(cable, answer)
        async with a_bus(cable, exchange=ReplyFinder()) as (line, bus):
            askers = [Asker(bus) for _ in range(3)]
            for _ in actions:
                for asker in askers:
                    asker.ask(chance.randrange(1, 4), read(chance.randrange(65536)), timeout=0.1, retries=1)
                await asyncio.sleep(chance.uniform(0, 0.2))
            bus.leave(askers[0])
            for asker in askers:
                await asker.ended()
                for request, result in asker.ends:
                    if result.outcome is Outcome.ANSWERED:
                        # Nothing: an answer under another unit's id ends the wait, and is nobody's (F6).
                        unfit = not result.answer and "another unit" in actions
                        assert unfit or result.answer == registers(int.from_bytes(request.pdu[1:3]))
            status = bus.status()
            assert status.queued == 0
            assert sum(status.outcomes.values()) == status.requests == 3 * len(actions)
            await until(lambda: line.up)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(run())


# Over a real connection.


class Server(asyncio.Protocol):
    """A Modbus TCP server on one connection."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self.answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        for at in range(0, len(data), 12):
            if answer := self.answer(data[at : at + 12]):
                self.transport.write(answer)
            else:
                self.transport.abort()


@pytest.mark.real
async def test_a_server_elsewhere_is_asked_and_may_come_and_go() -> None:
    leaves = iter([False] * 60 + [True])
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Server(lambda data: b"" if next(leaves, False) else mbap_reply(data)), "127.0.0.1", 0
    )
    device = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    line = Line("elsewhere", PortSettings(device), StreamSettings(), open_port)
    bus = line.transact(ReplyFinder(), TransactionSettings())
    async with server, asyncio.TaskGroup() as tasks:
        running = tasks.create_task(line.run())
        await line.tried.wait()
        asker = Asker(bus)
        for address in range(30):
            asker.ask(1, b"\x03" + address.to_bytes(2) + b"\x00\x01")
        await until(lambda: len(asker.ends) == 30)
        assert [result.answer[2:] for _, result in asker.ends] == [number.to_bytes(2) for number in range(30)]
        for _ in range(31):
            asker.ask(1, READ)
        await until(lambda: len(asker.ends) == 61)
        assert asker.outcomes[30:] == [Outcome.ANSWERED] * 30 + [Outcome.LINE_DOWN]
        await until(lambda: line.up)
        asker.ask(1, READ)
        await until(lambda: len(asker.ends) == 62)
        assert asker.outcomes[61] is Outcome.ANSWERED
        running.cancel()


def test_the_answers_of_the_tests_are_right() -> None:
    assert mbap_reply(encode(7, 1, READ)) == encode(7, 1, b"\x03\x02\x00\x00")

"""A Modbus master on the line whose units are elsewhere."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as tried
from hypothesis import strategies as st

from nportpy.line.arbiter import Line
from nportpy.linesettings import LineSettings
from nportpy.modbus.question import Question
from nportpy.modbus.settings import Framing
from nportpy.modes.modbus_base import MasterSettings
from nportpy.modes.modbus_master import ModbusMaster
from nportpy.port.loopback import Cable
from nportpy.protocols.modbus import ascii, rtu  # noqa: A004 - the standard's name
from nportpy.protocols.modbus.exchange import Echo
from tests.support.clock import VirtualLoop
from tests.support.lines import running
from tests.support.routers import READ, WHOLE, Answer, Scripted, echoed, later
from tests.support.serving import settle, until

GOOD = b"\x03\x02\x12\x34"
WRITE = b"\x06\x00\x01\x00\x02"
SPEED = LineSettings(19200)
T35 = rtu.silent_interval(SPEED)


class Plc:
    """A line with a master at its far end, which keeps what it hears and when; with `echo` the line hears itself."""

    def __init__(self, cable: Cable, line: Line, master: ModbusMaster, router: Scripted, echo: bool) -> None:
        self.cable = cable
        self.line = line
        self.master = master
        self.router = router
        self.heard: list[tuple[float, bytes]] = []
        self._echo = echo
        cable.far._receiver = self

    def ask(self, unit: int = 1, pdu: bytes = READ) -> None:
        self.cable.far.write(rtu.encode(unit, pdu))

    async def hears(self, *answers: bytes) -> None:
        await until(lambda: len(self.heard) >= len(answers))
        assert [data for _, data in self.heard] == list(answers)

    async def asks(self, count: int) -> list[Question]:
        await until(lambda: len(self.router.asked) >= count)
        assert len(self.router.asked) == count
        return self.router.asked

    def data_received(self, data: bytes) -> None:
        self.heard.append((asyncio.get_running_loop().time(), data))
        if self._echo:
            self.cable.far.write(data)

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...

    def port_lost(self, error: Exception) -> None: ...


@asynccontextmanager
async def a_plc(
    answer: Answer = echoed, *, echo: bool = False, speed: LineSettings = SPEED, **changes: Any
) -> AsyncIterator[Plc]:
    cable, router = Cable(), Scripted(answer)
    settings = replace(MasterSettings(routing=WHOLE), **changes)
    async with running(cable, speed) as line:
        await until(lambda: line.up)
        master = ModbusMaster(line, settings, router)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(master.run())
            await settle()
            try:
                yield Plc(cable, line, master, router, echo)
            finally:
                master.stop()
        assert not line.stream.clients
        assert router.guests[-1].left


async def test_a_request_is_asked_and_its_answer_written() -> None:
    async with a_plc(lambda _: GOOD) as plc:
        plc.ask(7)
        await plc.hears(rtu.encode(7, GOOD))
        assert plc.router.written == [(7, READ)]
        assert plc.router.guests[0].address is None


async def test_an_answer_that_is_there_at_once_waits_for_the_silence() -> None:
    async with a_plc(lambda _: GOOD) as plc:
        for count in range(1, 4):
            began = asyncio.get_running_loop().time()
            plc.ask()
            await until(lambda count=count: len(plc.heard) == count)  # type: ignore[misc]  # a default: this count
            assert plc.heard[-1][0] - began >= T35 * 0.999
            assert plc.heard[-1][0] - began < T35 + 0.001 + 8 * SPEED.character_time
        assert not plc.master.late


async def test_an_answer_that_took_longer_does_not_wait() -> None:
    async with a_plc(later) as plc:
        plc.ask()
        (question,) = await plc.asks(1)
        await settle(0.1)
        began = asyncio.get_running_loop().time()
        question.done(question, GOOD)
        await plc.hears(rtu.encode(1, GOOD))
        assert plc.heard[0][0] - began < T35


async def test_silence_is_counted_from_the_last_byte_whatever_it_was() -> None:
    async with a_plc(later) as plc:
        plc.ask()
        (question,) = await plc.asks(1)
        await settle(0.1)
        plc.cable.far.write(b"\x00")
        await settle(0.0005)
        noise = asyncio.get_running_loop().time()
        question.done(question, GOOD)
        await plc.hears(rtu.encode(1, GOOD))
        assert plc.heard[0][0] - noise >= T35 / 2


async def test_only_the_newest_request_is_answered() -> None:
    async with a_plc(later) as plc:
        plc.ask(1)
        await plc.asks(1)
        plc.ask(1, b"\x03\x00\x07\x00\x01")
        first, second = await plc.asks(2)
        assert [guest.left for guest in plc.router.guests] == [True, False]
        first.done(first, b"\x03\x02\x00\x01")
        await settle()
        assert not plc.heard
        assert plc.master.late == 1
        second.done(second, GOOD)
        await plc.hears(rtu.encode(1, GOOD))


async def test_an_answer_that_waits_for_silence_is_dropped_for_a_newer_request() -> None:
    async with a_plc(lambda question: GOOD if question.pdu == READ else None) as plc:
        plc.ask()
        plc.ask(2, WRITE)
        await plc.asks(2)
        await settle()
        assert not plc.heard
        assert plc.master.late == 1


async def test_a_request_to_a_unit_that_is_not_ours_means_that_the_old_one_was_given_up() -> None:
    async with a_plc(later) as plc:
        plc.ask()
        (question,) = await plc.asks(1)
        plc.ask(200)
        await settle()
        question.done(question, GOOD)
        await settle()
        assert not plc.heard
        assert plc.master.late == 1
        assert plc.router.written == [(1, READ)]


async def test_an_answer_after_the_deadline_is_dropped() -> None:
    async with a_plc(later, deadline=0.5) as plc:
        for pause in (0.4, 0.6, 0.4):
            plc.ask()
            await settle(pause)
            question = plc.router.asked[-1]
            question.done(question, GOOD)
            await settle()
        await plc.hears(rtu.encode(1, GOOD), rtu.encode(1, GOOD))
        assert plc.master.late == 1


async def test_units_without_a_route_hear_nothing() -> None:
    async with a_plc() as plc:
        plc.ask(200)
        plc.ask(3)
        await plc.hears(rtu.encode(3, READ))
        assert plc.router.written == [(3, READ)]


async def test_broadcasts_go_on_without_an_answer() -> None:
    async with a_plc(lambda _: b"\x86\x0a") as plc:
        plc.ask(0, WRITE)
        await plc.asks(1)
        await settle()
        assert not plc.heard
        assert not plc.master.late
        assert plc.master.accepted() == 0


async def test_a_broadcast_that_is_under_way_is_not_given_up_with_the_next_request() -> None:
    async with a_plc(later) as plc:
        plc.ask(0, WRITE)
        await plc.asks(1)
        plc.ask(1)
        plc.ask(2)
        broadcast, _, newest = await plc.asks(3)
        assert not plc.router.guests[0].left
        broadcast.done(broadcast, b"")
        newest.done(newest, GOOD)
        await plc.hears(rtu.encode(2, GOOD))


@pytest.mark.parametrize("code", [0x06, 0x0A, 0x0B])
async def test_the_gateways_exceptions_are_left_out_where_that_is_wished(code: int) -> None:
    answers = [bytes((0x83, code)), b"\x83\x02"]
    for exceptions, heard in ((True, answers), (False, answers[1:])):
        left = list(answers)
        async with a_plc(lambda _, left=left: left.pop(0), exceptions=exceptions) as plc:  # type: ignore[misc]
            plc.ask()
            await settle()
            plc.ask()
            await plc.hears(*(rtu.encode(1, pdu) for pdu in heard))


async def test_no_answer_is_none() -> None:
    async with a_plc(lambda _: b"") as plc:
        plc.ask()
        await settle()
        assert not plc.heard
        assert not plc.master.late


@pytest.mark.parametrize("known", [Echo.AUTO, Echo.YES])
async def test_the_echo_of_an_answer_is_no_request(known: Echo) -> None:
    async with a_plc(echo=True) as plc:  # the answer to a write equals the request
        for count in range(1, 6):
            plc.ask(1, WRITE)
            await until(lambda count=count: len(plc.heard) == count)  # type: ignore[misc]  # a default: this count
            await settle()
        assert len(plc.router.asked) == len(plc.heard) == 5


async def test_a_line_without_echo_is_known_by_the_answer_to_a_read() -> None:
    async with a_plc(lambda question: GOOD if question.pdu == READ else question.pdu) as plc:
        for count, pdu in enumerate((READ, READ, WRITE, WRITE, WRITE), 1):
            plc.ask(1, pdu)
            await until(lambda count=count: len(plc.heard) == count)  # type: ignore[misc]  # a default: this count


async def test_ascii_needs_no_silence() -> None:
    async with a_plc(framing=Framing.ASCII) as plc:
        began = asyncio.get_running_loop().time()
        plc.cable.far.write(ascii.encode(1, READ))
        await plc.hears(ascii.encode(1, READ))
        assert plc.heard[0][0] - began < 40 * SPEED.character_time


async def test_a_vendors_function_is_known_by_the_silence_after_it() -> None:
    async with a_plc(lambda _: b"\x64\x07") as plc:
        for _ in range(2):
            plc.ask(1, b"\x64\x01\x02")
            await settle()
        await plc.hears(*2 * (rtu.encode(1, b"\x64\x07"),))


async def test_a_line_that_goes_takes_the_question_with_it() -> None:
    async with a_plc(later) as plc:
        plc.ask()
        (question,) = await plc.asks(1)
        plc.cable.unplug()
        await until(lambda: not plc.line.up)
        assert plc.router.guests[0].left
        question.done(question, GOOD)
        assert plc.master.late == 1


async def test_hushed_it_answers_what_it_was_asked_and_takes_no_more() -> None:
    async with a_plc(later) as plc:
        plc.ask()
        (question,) = await plc.asks(1)
        plc.master.hush()
        assert plc.master.accepted() == 1
        question.done(question, GOOD)
        await plc.hears(rtu.encode(1, GOOD))
        plc.ask()
        await settle()
        await plc.asks(1)
        assert plc.master.accepted() == 0


async def test_an_answer_that_comes_after_the_end_goes_nowhere() -> None:
    async with a_plc(later) as plc:
        plc.ask()
        (question,) = await plc.asks(1)
    question.done(question, GOOD)
    assert plc.master.late == 1


async def test_a_bug_costs_one_request(caplog: pytest.LogCaptureFixture) -> None:
    def answer(question: Question) -> bytes:
        if question.pdu == WRITE:
            raise ZeroDivisionError
        return GOOD

    async with a_plc(answer) as plc:
        plc.ask(1, WRITE)
        await plc.asks(1)
        plc.ask()
        await plc.hears(rtu.encode(1, GOOD))
    assert [record.message for record in caplog.records].count("a request failed") == 1


async def test_status() -> None:
    async with a_plc() as plc:
        plc.router.refused["no_route"] += 1
        status = plc.master.status()
        assert (status.port, status.service, status.listen) == ("meters", "master", ())
        assert status.refused == {"no_route": 1}


@pytest.mark.real
async def test_the_silence_is_kept_on_both_loops() -> None:
    async with a_plc(lambda _: GOOD, speed=LineSettings(115200)) as plc:
        for count in range(1, 51):
            began = asyncio.get_running_loop().time()
            plc.ask()
            await until(lambda count=count: len(plc.heard) == count)  # type: ignore[misc]  # a default: this count
            assert plc.heard[-1][0] - began > rtu.FIXED_SILENCE - 0.0011  # uvloop's clock counts milliseconds


@tried(max_examples=50, deadline=None)
@given(
    st.sampled_from(Framing),
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 65535)), min_size=1, max_size=6),
    st.lists(st.integers(0, 200), max_size=9),
)
def test_any_cut_of_the_same_bytes_gives_the_same_questions(
    framing: Framing, requests: list[tuple[int, int]], places: list[int]
) -> None:
    encode = rtu.encode if framing is Framing.RTU else ascii.encode
    wanted = [(unit, b"\x03" + address.to_bytes(2) + b"\x00\x01") for unit, address in requests]
    data = b"".join(encode(unit, pdu) for unit, pdu in wanted)
    at = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]

    async def feed() -> None:
        async with a_plc(later, framing=framing) as plc:
            for start, end in pairwise(at):
                if end > start:
                    plc.master.line_data(data[start:end])
            assert plc.router.written == wanted

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(feed())


async def test_f5_a_request_that_contradicts_itself_is_answered() -> None:
    async with a_plc(lambda question: bytes((question.pdu[0] | 0x80, 3))) as plc:
        plc.ask(1, READ + b"\x00")
        await plc.hears(rtu.encode(1, b"\x83\x03"))
        assert plc.router.written == [(1, READ + b"\x00")]

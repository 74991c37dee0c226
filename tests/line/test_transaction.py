"""Requests on a line: silence, answers, timeouts, echo, late answers, loss, and streams beside them."""

import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nportpy.line.transaction_base import TransactionSettings
from nportpy.line.turns import Outcome, Priority
from nportpy.linesettings import Flow, LineSettings
from nportpy.port.base import PortSettings
from nportpy.port.loopback import Cable, LoopbackPort
from nportpy.protocols.modbus.exchange import Echo, probe_of
from nportpy.protocols.modbus.rtu import Frame, silent_interval
from nportpy.protocols.modbus.rtu_reply import ReplyFinder
from nportpy.simulator.memory import MemoryLine
from nportpy.simulator.meter import Meter
from nportpy.simulator.wire import PacedWire
from tests.support.bus import READ, WRITE, Asker, Units, a_bus, late_answers, read, registers, reply
from tests.support.clock import VirtualLoop
from tests.support.lines import Client, running

QUICK = TransactionSettings(silence=0)
FRAME = Frame(1, READ).encode()


def at_once(data: bytes) -> list[tuple[float, bytes]]:
    return [(0, reply(data))]


def never(data: bytes) -> list[tuple[float, bytes]]:
    return []


# The way of one request.


async def test_on_an_idle_line_a_request_is_written_at_once_and_its_answer_ends_it() -> None:
    cable = Cable()
    units = Units(cable, at_once)
    async with a_bus(cable, QUICK) as (line, bus):
        asker = Asker(bus)
        sent = line.sent
        asker.ask(pdu=read(7))
        assert line.sent == sent + 8
        await asker.ended()
        (_, result), *_ = asker.ends
        assert result == (Outcome.ANSWERED, registers(7), 0, result.took)
        assert [data for _, data in units.heard] == [Frame(1, read(7)).encode()]
        status = bus.status()
        assert (status.requests, status.queued, status.outcomes[Outcome.ANSWERED]) == (1, 0, 1)
        assert status.busy == pytest.approx(result.took)


@pytest.mark.parametrize("baudrate", [9600, 19200, 115200])
async def test_the_cycle_is_the_physical_limit(baudrate: int) -> None:
    """reference: FC3 x 10 at 8E1 takes 45.8, 22.9 and 6.7 ms with both silences."""
    limit = {9600: 0.0458, 19200: 0.0229, 115200: 0.0067}[baudrate]
    cable, serial = Cable(), LineSettings.parse(baudrate, "8E1")
    wire = PacedWire(Meter(), serial)
    far = MemoryLine(wire)
    cable.far = LoopbackPort(cable, PortSettings(cable.name), far)
    far.attach(cable.far)
    async with a_bus(cable, line=serial) as (_, bus):
        asker = Asker(bus)
        for _ in range(30):
            asker.ask(pdu=read(1000, 10))
        await asker.ended()
        cycle = (asker.ends[-1][0].sent_at - asker.ends[0][0].sent_at) / 29
        assert asker.outcomes == [Outcome.ANSWERED] * 30
        exact = 33 * serial.character_time + 2 * silent_interval(serial)
        assert cycle == pytest.approx(exact, rel=0.001)
        assert cycle == pytest.approx(limit, rel=0.01)  # the table is rounded
        assert wire.collisions == 0
    far.close()


@pytest.mark.parametrize(("baudrate", "fixed"), [(9600, None), (115200, None), (115200, 0.02), (19200, 0.001)])
async def test_there_is_silence_before_every_frame(baudrate: int, fixed: float | None) -> None:
    cable, serial = Cable(), LineSettings(baudrate)
    chance = random.Random(baudrate)

    def answer(data: bytes) -> list[tuple[float, bytes]]:
        noise = [(chance.uniform(0, 0.2), chance.randbytes(3))] if chance.random() < 0.3 else []
        return noise + ([(chance.uniform(0, 0.01), reply(data))] if chance.random() < 0.8 else [])

    units = Units(cable, answer)
    async with a_bus(cable, TransactionSettings(silence=fixed), serial) as (_, bus):
        askers = [Asker(bus) for _ in range(5)]
        for number in range(100):
            askers[number % 5].ask(1 + number % 3, read(number), timeout=0.1, retries=1)
            await asyncio.sleep(chance.uniform(0, 0.05))
        for asker in askers:
            await asker.ended()
    silence = silent_interval(serial) if fixed is None else fixed
    assert min(units.quiet) >= silence - 1e-9


async def test_a_unit_may_need_a_longer_pause() -> None:
    cable = Cable()
    units = Units(cable, at_once)
    async with a_bus(cable, QUICK) as (_, bus):
        asker = Asker(bus)
        for pause in (0, 0.25, 0):
            asker.ask(pause=pause)
        await asker.ended()
    assert units.quiet[1] >= 0.25 - 1e-9
    assert units.quiet[2] < 0.01


async def test_an_unanswered_read_is_asked_again_and_a_write_is_not() -> None:
    cable = Cable()
    units = Units(cable, never)
    async with a_bus(cable) as (_, bus):
        asker = Asker(bus)
        asker.ask(timeout=0.5, retries=2)
        asker.ask(2, WRITE, timeout=0.5)
        await asker.ended()
        assert asker.outcomes == [Outcome.NO_ANSWER] * 2
        assert asker.ends[0][1].took == pytest.approx(1.5, abs=0.01)
        assert [data[0] for _, data in units.heard] == [1, 1, 1, 2]
        assert bus.status().retries == 2


async def test_after_a_broadcast_units_get_their_time_and_nobody_answers() -> None:
    cable = Cable()
    units = Units(cable, lambda data: [(0.01, reply(data))])  # some do, all the same
    async with a_bus(cable) as (_, bus):
        asker = Asker(bus)
        asker.ask(0, WRITE, awaited=False)
        asker.ask(1, READ)
        await asker.ended()
        assert asker.outcomes == [Outcome.SENT, Outcome.ANSWERED]
        assert units.heard[1][0] - units.heard[0][0] >= 0.1


async def test_an_exception_costs_no_more_than_an_answer() -> None:
    cable = Cable()
    Units(cable, lambda data: [(0.001, Frame(1, b"\x83\x02").encode())])
    async with a_bus(cable) as (_, bus):
        asker = Asker(bus)
        asker.ask()
        await asker.ended()
        assert asker.ends[0][1].answer == b"\x83\x02"
        assert asker.ends[0][1].took < 0.005


# The queue.


async def test_clients_take_turns_and_the_urgent_go_first() -> None:
    cable = Cable()
    units = Units(cable, lambda data: [(0.01, reply(data))])
    async with a_bus(cable, TransactionSettings(writes_first=True)) as (_, bus):
        busy, calm, urgent = Asker(bus), Asker(bus), Asker(bus)
        for address in range(4):
            busy.ask(1, read(address))
        calm.ask(2, READ)
        calm.ask(2, WRITE, write=True)
        urgent.ask(3, READ, priority=Priority.HIGH)
        for asker in (busy, calm, urgent):
            await asker.ended()
    # The first was on the line when the others came.
    assert [(data[0], data[1]) for _, data in units.heard] == [(1, 3), (3, 3), (2, 6), (1, 3), (2, 3), (1, 3), (1, 3)]


async def test_what_is_too_late_is_dropped_unsent_and_told_when_it_is() -> None:
    cable = Cable()
    units = Units(cable, never)
    loop = asyncio.get_running_loop()
    async with a_bus(cable) as (_, bus):
        asker = Asker(bus)
        asker.ask(1, timeout=5)
        asker.ask(2, deadline=bus.clock() + 0.2)
        start = loop.time()
        await asker.ended(1)
        assert asker.outcomes == [Outcome.EXPIRED]
        assert loop.time() - start == pytest.approx(0.2, abs=0.005)
        asker.ask(3, deadline=bus.clock())
        assert asker.outcomes == [Outcome.EXPIRED] * 2
        await asker.ended()
    assert [data[0] for _, data in units.heard] == [1]


async def test_a_client_that_asks_too_much_is_told_at_once_and_one_that_leaves_is_forgotten() -> None:
    cable = Cable()
    units = Units(cable, lambda data: [(0.1, reply(data))])
    async with a_bus(cable) as (_, bus):
        asker, other = Asker(bus), Asker(bus)
        for _ in range(34):
            asker.ask()
        assert asker.outcomes == [Outcome.QUEUE_FULL]
        other.ask(2)
        bus.leave(asker)
        assert asker.outcomes == [Outcome.QUEUE_FULL] + [Outcome.GONE] * 32
        await other.ended()
        assert asker.outcomes[-1] is Outcome.ANSWERED
        assert other.outcomes == [Outcome.ANSWERED]
    assert [data[0] for _, data in units.heard] == [1, 2]


# Echo.


@pytest.mark.parametrize("echoes", [True, False])
@pytest.mark.parametrize("alive", [True, False])
@pytest.mark.parametrize("known", [True, False])
async def test_an_echo_is_never_taken_for_the_answer_to_a_write(echoes: bool, alive: bool, known: bool) -> None:
    cable = Cable()

    def answer(data: bytes) -> list[tuple[float, bytes]]:
        answered = [(0.01, reply(data))] if alive else []
        return [(0, data)] * echoes + answered

    units = Units(cable, answer)
    echo = (Echo.YES if echoes else Echo.NO) if known else Echo.AUTO
    async with a_bus(cable, echo=echo) as (_, bus):
        asker = Asker(bus)
        asker.ask(1, WRITE)
        await asker.ended()
        assert asker.outcomes == [Outcome.ANSWERED if alive else Outcome.NO_ANSWER]
        assert bus.status().probes == (not known)
        asked = [WRITE] if known else [probe_of(WRITE), WRITE]
        assert [data for _, data in units.heard] == [Frame(1, pdu).encode() for pdu in asked]


async def test_a_client_that_leaves_during_the_probe_is_not_served() -> None:
    cable = Cable()
    units = Units(cable, never)
    async with a_bus(cable, echo=Echo.AUTO) as (_, bus):
        asker, late = Asker(bus), Asker(bus)
        asker.ask(1, WRITE)
        bus.leave(asker)
        await asker.ended()
        assert asker.outcomes == [Outcome.GONE]
        bus._exchange.echo.present = None
        late.ask(2, WRITE, deadline=bus.clock() + 0.03)
        await late.ended()
        assert late.outcomes == [Outcome.EXPIRED]
    assert [data[1] for _, data in units.heard] == [3, 3]


async def test_noise_instead_of_an_echo_is_not_probed_for_ever() -> None:
    cable = Cable()
    units = Units(cable, lambda data: [(0.001, b"\xff")])
    async with a_bus(cable, echo=Echo.AUTO) as (_, bus):
        asker = Asker(bus)
        asker.ask(1, WRITE)
        await asker.ended()
        assert asker.outcomes == [Outcome.NO_ANSWER]
    assert [data[1] for _, data in units.heard] == [3, 6]


# Late answers.


@pytest.mark.long
async def test_a_late_answer_is_never_given_to_the_next_request() -> None:
    status = await late_answers(4000)
    assert status.late > 100
    assert status.requests == 4000


async def test_one_dead_unit_holds_up_its_own_kind_only() -> None:
    cable = Cable()
    units = Units(cable, lambda data: at_once(data) if data[0] == 2 else [])
    async with a_bus(cable) as (_, bus):
        one, two = Asker(bus), Asker(bus)
        one.ask(1, read(1), timeout=0.5)
        one.ask(1, read(2), timeout=0.5)
        await one.ended(1)
        two.ask(2, READ)
        await two.ended()
        assert two.ends[0][1].waited < 0.01
        await one.ended()
        assert units.heard[-1][0] - units.heard[0][0] >= 1.0


# Loss.


async def test_a_device_that_goes_ends_everything_at_once_and_all_is_well_when_it_is_back() -> None:
    cable = Cable()
    Units(cable, lambda data: [(0.05, reply(data))])
    async with a_bus(cable) as (_, bus):
        asker = Asker(bus)
        for _ in range(3):
            asker.ask()
        cable.unplug()
        await asyncio.sleep(0.001)
        asker.ask()
        assert asker.outcomes == [Outcome.LINE_DOWN] * 4
        cable.plug()
        await asyncio.sleep(2)
        asker.ask()
        await asker.ended()
        asker.ask(2)
    assert asker.outcomes[4:] == [Outcome.ANSWERED, Outcome.LINE_DOWN]


@pytest.mark.parametrize("fail_at", range(1, 25))
async def test_whichever_call_fails_every_request_ends_once(fail_at: int) -> None:
    cable, client = Cable(), Client()
    Units(cable, lambda data: [(0.01, reply(data))] if data[0] != 3 else [])
    cable.fail_at = fail_at
    async with a_bus(cable) as (line, bus):
        line.stream.join(client)
        asker = Asker(bus)
        for unit in (1, 2, 3, 1):
            asker.ask(unit, timeout=0.1, retries=1)
            line.stream.write(client, b"hello")
            await asyncio.sleep(0.02)
        await asker.ended()
        while cable.calls < fail_at:
            asker.ask()
            await asker.ended()
        await asyncio.sleep(3)
        asker.ask()
        await asker.ended()
        assert line.status().losses + line.status().attempts == 1
        assert asker.outcomes[-1] is Outcome.ANSWERED


async def test_a_line_that_is_never_quiet_holds_a_request_up_for_a_bounded_time() -> None:
    cable = Cable()
    Units(cable, at_once)
    async with a_bus(cable) as (_, bus):
        asker = Asker(bus)
        babble = b"\xff"
        for _ in range(1500):
            cable.far.write(babble)
            await asyncio.sleep(0.001)
            if asker.asked == 0:
                asker.ask()
        assert asker.outcomes == [Outcome.ANSWERED]
        assert asker.ends[0][1].waited == pytest.approx(1.0, abs=0.01)


async def test_a_request_that_flow_control_holds_back_does_not_leave_later() -> None:
    cable = Cable()
    stuck = LineSettings(115200, flow=Flow.RTSCTS, flow_in=Flow.RTSCTS)
    units = Units(cable, at_once)
    async with a_bus(cable, line=stuck, echo=Echo.AUTO) as (line, bus):
        cable.far.set_modem_lines(rts=False)
        asker = Asker(bus)
        asker.ask(1, timeout=0.1)
        await asker.ended()
        assert asker.outcomes == [Outcome.NO_ANSWER]
        assert line.purged == 8
        cable.far.set_modem_lines(rts=True)
        await asyncio.sleep(0.1)
        assert not units.heard
        assert bus._exchange.echo.present is None
        asker.ask(1)
        await asker.ended()
        assert asker.outcomes == [Outcome.NO_ANSWER, Outcome.ANSWERED]


# Streams on the same line.


async def test_what_a_stream_writes_waits_for_the_answer_and_the_silence() -> None:
    cable, one = Cable(), Client()
    units = Units(cable, lambda data: [(0.05, reply(data))] if data[0] == 1 else [])
    async with a_bus(cable) as (line, bus):
        line.stream.join(one)
        asker = Asker(bus)
        asker.ask()
        line.stream.write(one, b"hello ")
        line.stream.write(one, b"there")
        assert one.calls == ["full"]
        assert line.unsent() == 8 + 11
        assert not line.all_sent()
        await asker.ended()
        await asyncio.sleep(0.01)
        assert [data for _, data in units.heard] == [FRAME, b"hello there"]
        assert units.quiet[1] >= 0.00175
        assert one.calls == ["full", "ready"]
        assert one.heard == b""  # the answer was the request's
        cable.far.write(b"hi")
        await asyncio.sleep(0.01)
        assert one.heard == b"hi"


async def test_a_request_waits_for_a_conversation_but_not_for_ever() -> None:
    cable, client = Cable(), Client()
    units = Units(cable, lambda data: at_once(data) if data == FRAME else [(0.01, b"said")])
    loop = asyncio.get_running_loop()
    async with a_bus(cable) as (line, bus):
        line.stream.join(client)
        asker = Asker(bus)
        line.stream.write(client, b"say")
        asker.ask()
        start = loop.time()
        await asker.ended()
        assert asker.ends[0][1].waited == pytest.approx(0.06, abs=0.005)
        while len(asker.ends) < 2:
            line.stream.write(client, b"say")
            if loop.time() - start > 0.5 and asker.asked < 2:
                asker.ask()
            await asyncio.sleep(0.02)
        assert asker.ends[1][1].waited == pytest.approx(1.0, abs=0.03)
        assert asker.outcomes == [Outcome.ANSWERED] * 2
        await asyncio.sleep(0.1)
        assert client.heard == b"said" * sum(data != FRAME for _, data in units.heard)


async def test_a_line_with_requests_is_read_whatever_its_clients_do() -> None:
    cable, client = Cable(), Client()
    Units(cable, at_once)
    async with a_bus(cable) as (line, bus):
        line.stream.join(client)
        line.stream.hold(client)
        assert not line.stream.alone
        asker = Asker(bus)
        asker.ask()
        await asker.ended()
        assert asker.outcomes == [Outcome.ANSWERED]


async def test_what_is_kept_for_a_stream_can_be_purged_and_survives_the_device() -> None:
    cable, client = Cable(), Client()
    units = Units(cable, never)
    async with a_bus(cable) as (line, bus):
        line.stream.join(client)
        asker = Asker(bus)
        asker.ask()
        line.stream.write(client, b"never")
        await asyncio.sleep(0.001)
        line.purge(unsent=True)
        assert (line.unsent(), line.purged) == (0, 5)
        line.stream.write(client, b"later")
        cable.unplug()
        await asyncio.sleep(0.001)
        assert line.unsent() == 5
        cable.plug()
        await asyncio.sleep(1)
        assert [data for _, data in units.heard] == [FRAME, b"later"]


async def test_a_line_without_requests_pays_nothing_and_one_with_them_can_be_traced() -> None:
    async with running(Cable()) as line:
        assert line._hear == line.stream.deliver
        assert line.stream._put == line.put
        bus = line.transact(ReplyFinder(), QUICK)
        assert line._hear == bus.hear
        line.set_trace(True)
        assert line._hear == line._hear_traced
        line.set_trace(False)
        assert line._hear == bus.hear


# Whatever the far end does.

ACTIONS = st.sampled_from(
    ["answer", "late", "very late", "silent", "spoilt", "foreign", "junk", "twice", "echo", "lost"]
)


@pytest.mark.long
@given(st.lists(ACTIONS, min_size=1, max_size=12), st.integers(0, 2**32))
@settings(max_examples=150, deadline=None)
def test_every_request_ends_once_and_every_answer_belongs_to_its_request(actions: list[str], seed: int) -> None:
    async def run() -> None:
        cable, chance = Cable(), random.Random(seed)
        script = iter(actions * 20)

        def answer(data: bytes) -> list[tuple[float, bytes]]:
            good = reply(data)
            match next(script, "answer"):
                case "late":
                    return [(0.12, good)]
                case "very late":
                    return [(0.19, good)]
                case "silent":
                    return []
                case "spoilt":
                    return [(0.01, good[:-1] + bytes((good[-1] ^ 1,)))]
                case "foreign":
                    return [(0.01, reply(Frame(data[0] + 1, data[1:-2]).encode())), (0.02, good)]
                case "junk":
                    return [(0.01, chance.randbytes(5)), (0.03, good[:3]), (0.04, good[3:] + b"\0\0")]
                case "twice":
                    return [(0.01, good), (0.0105, good)]
                case "echo":
                    return [(0, data), (0.01, good)]
                case "lost":
                    if cable.near is not None:
                        cable.near.lose()
            return [(0.01, good)]

        Units(cable, answer)
        async with a_bus(cable) as (_, bus):
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
                        assert result.answer == registers(int.from_bytes(request.pdu[1:3]))
            status = bus.status()
            assert status.queued == 0
            assert sum(status.outcomes.values()) == status.requests == 3 * len(actions)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(run())


async def test_a_request_behind_more_than_its_deadline_allows_is_not_sent() -> None:
    cable = Cable(paced=True)
    heard = bytearray()

    def answer(data: bytes) -> list[tuple[float, bytes]]:
        heard.extend(data)
        return at_once(FRAME) if heard.endswith(FRAME) else []

    Units(cable, answer)
    async with a_bus(cable, TransactionSettings(patience=11), LineSettings(1200)) as (line, bus):
        stream, asker = Client(), Asker(bus)
        line.stream.join(stream)
        line.stream.write(stream, bytes(1200))  # ten seconds
        began = bus.clock()
        asker.ask(deadline=began + 2.0)
        asker.ask(deadline=began + 60.0)
        await asker.ended(1)
        assert asker.outcomes == [Outcome.EXPIRED]
        assert bus.clock() - began == pytest.approx(2.0, abs=0.1)
        await asker.ended(2)
        assert asker.outcomes == [Outcome.EXPIRED, Outcome.ANSWERED]
        assert bus.clock() - began >= 10.0
        assert heard == bytes(1200) + FRAME

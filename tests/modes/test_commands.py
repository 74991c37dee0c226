"""Command by command: whose turn it is, what ends an answer, who gets it, and what happens when things go wrong."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from nportpy.line.arbiter import Line
from nportpy.line.stream_base import StreamSettings
from nportpy.line.transaction_base import TransactionSettings
from nportpy.line.turns import Outcome
from nportpy.linesettings import Flow, LineSettings
from nportpy.modes.commands import MOST_ANSWER, Commands
from nportpy.modes.commands_base import CommandSettings, Unrequested
from nportpy.modes.raw import sessions
from nportpy.modes.raw_base import RawSettings
from nportpy.network.access import AccessLimits
from nportpy.network.addresses import Endpoint, listen
from nportpy.network.listener import Listener
from nportpy.network.service import AccessSettings, WhenDown
from nportpy.port.base import PortSettings
from nportpy.port.loopback import Cable, LoopbackPort
from nportpy.protocols.modbus.exchange import Echo
from nportpy.protocols.modbus.rtu import encode, silent_interval
from nportpy.protocols.modbus.rtu_reply import ReplyFinder
from nportpy.protocols.packing import BUFFER, Delimiting, Packing, PackingSettings
from nportpy.simulator.bus import Bus
from nportpy.simulator.memory import MemoryLine
from nportpy.simulator.store import Store
from nportpy.simulator.wire import PacedWire
from nportpy.throttle import Throttle
from tests.support.bus import Asker, Units, read, registers, reply
from tests.support.lines import Client, running
from tests.support.serving import Client as TcpClient
from tests.support.serving import connect, until

LINE = LineSettings(9600)
CR = PackingSettings(delimiters=b"\r")
RTU = PackingSettings(Packing.RTU)
BY_CR = CommandSettings(answers=CR)


class Asking(Client):
    """A client of the commands: keeps its answers, and when they came."""

    def __init__(self, commands: Commands) -> None:
        super().__init__()
        self.commands = commands
        self.answers: list[bytes] = []
        self.times: list[float] = []
        commands.join(self)

    def line_data(self, data: bytes) -> None:
        super().line_data(data)
        self.answers.append(data)
        self.times.append(now())

    def ask(self, data: bytes) -> None:
        self.commands.write(self, data)

    def go(self) -> None:
        self.commands.leave(self)


def now() -> float:
    return asyncio.get_running_loop().time()


def upper(data: bytes) -> list[tuple[float, bytes]]:
    """A device that takes 0.1 s."""
    return [(0.1, data.upper())]


def mute(data: bytes) -> list[tuple[float, bytes]]:
    return []


@asynccontextmanager
async def shared(
    settings: CommandSettings,
    answer: Callable[[bytes], list[tuple[float, bytes]]] = upper,
    clients: int = 2,
    line: LineSettings = LINE,
) -> AsyncIterator[tuple[Commands, list[Asking], Units, Line]]:
    """Clients that take turns on a line, and the device; in the end nothing may be left."""
    cable = Cable()
    device = Units(cable, answer)
    async with running(cable, line) as owner:
        commands = Commands(owner, settings)
        askers = [Asking(commands) for _ in range(clients)]
        try:
            yield commands, askers, device, owner
        finally:
            for asker in askers:
                if asker in commands._clients:
                    asker.go()
            await asyncio.sleep(10)
        assert not owner.stream.clients
        assert commands._timer is None


def heard(device: Units) -> list[bytes]:
    return [data for _, data in device.heard]


# Whose turn it is.


async def test_each_gets_the_answers_to_its_own_requests() -> None:
    async with shared(BY_CR) as (commands, (one, two), device, _):
        for round_ in range(3):
            one.ask(b"a%d\r" % round_)
            two.ask(b"b%d\r" % round_)
        await asyncio.sleep(2)
        assert one.answers == [b"A0\r", b"A1\r", b"A2\r"]
        assert two.answers == [b"B0\r", b"B1\r", b"B2\r"]
        assert heard(device) == [b"a0\r", b"b0\r", b"a1\r", b"b1\r", b"a2\r", b"b2\r"]
        assert (commands.status().sent, commands.status().answered, commands.status().queued) == (6, 6, 0)


async def test_turns_are_fair_whatever_one_sends() -> None:
    async with shared(BY_CR, clients=3) as (commands, (flood, two, three), device, _):
        for number in range(20):
            flood.ask(b"f%d\r" % number)
        two.ask(b"two\r")
        await asyncio.sleep(0.15)
        three.ask(b"three\r")
        await asyncio.sleep(0.4)
        assert heard(device)[:4] == [b"f0\r", b"two\r", b"three\r", b"f1\r"]
        assert commands.under_way(flood) == 17
        assert commands.under_way(two) == 0


async def test_a_flood_is_not_read_on() -> None:
    async with shared(replace(BY_CR, queue=4)) as (commands, (flood, other), device, _):
        for _ in range(5):
            flood.ask(b"f\r")
        assert flood.calls == ["full"]  # one is on the line, four wait
        other.ask(b"o\r")
        assert other.calls == []
        await asyncio.sleep(0.55)
        assert flood.calls == ["full", "ready"]
        await asyncio.sleep(2)
        assert len(device.heard) == 6
        assert commands.status().queued == 0


async def test_who_does_not_fetch_its_answers_is_not_served() -> None:
    async with shared(BY_CR) as (commands, (jammed, other), device, _):
        jammed.ask(b"1\r")
        commands.hold(jammed)
        jammed.ask(b"2\r")
        other.ask(b"o\r")
        await asyncio.sleep(1)
        assert heard(device) == [b"1\r", b"o\r"]
        assert not commands.waits_for(jammed)
        commands.release(jammed)
        await asyncio.sleep(1)
        assert jammed.answers == [b"1\r", b"2\r"]
        missed = Client()
        commands.skip(jammed, missed)
        jammed.ask(b"3\r")
        await asyncio.sleep(1)
        commands.release(jammed)
        jammed.ask(b"4\r")
        await asyncio.sleep(1)
        assert missed.heard == b"3\r"
        assert jammed.answers == [b"1\r", b"2\r", b"4\r"]


# What ends a request.


@pytest.mark.parametrize(
    ("requests", "reads", "expected"),
    [
        (PackingSettings(), [b"one", b"two"], [b"one", b"two"]),
        (PackingSettings(), [b"x" * (BUFFER + 1)], [b"x" * BUFFER, b"x"]),
        (CR, [b"on", b"e\rtwo\rthr"], [b"one\r", b"two\r"]),
        (PackingSettings(force_transmit=0.02), [b"on", b"e"], [b"one"]),
        (PackingSettings(Packing.GAP), [b"on", b"e"], [b"one"]),
        (
            RTU,
            [encode(1, read(1)) + encode(2, read(2))[:3], encode(2, read(2))[3:]],
            [encode(1, read(1)), encode(2, read(2))],
        ),
    ],
)
async def test_what_ends_a_request(requests: PackingSettings, reads: list[bytes], expected: list[bytes]) -> None:
    settings = CommandSettings(requests=requests, response_timeout=0.1)
    async with shared(settings, mute, clients=1) as (_, (asker,), device, _):
        for data in reads:
            asker.ask(data)
        await asyncio.sleep(5)
        assert heard(device) == expected


# What ends an answer.


@pytest.mark.parametrize(
    ("answers", "said", "expected", "unrequested"),
    [
        (CR, [(0.1, b"on"), (0.3, b"e\r")], [b"one\r"], 0),
        (CR, [(0.1, b"one\rtwo\rth")], [b"one\r"], 6),
        (replace(CR, delimiting=Delimiting.STRIP), [(0.1, b"one\r")], [b"one"], 0),
        (replace(CR, delimiting=Delimiting.PLUS_2), [(0.1, b"one\rxy")], [b"one\rxy"], 0),
        (PackingSettings(length=4), [(0.1, b"on"), (0.4, b"e!")], [b"one!"], 0),
        (PackingSettings(force_transmit=0.05), [(0.1, b"on"), (0.12, b"e")], [b"one"], 0),
        (PackingSettings(Packing.GAP, gap=10), [(0.1, b"on"), (0.105, b"e")], [b"one"], 0),
        (RTU, [(0.1, encode(1, registers(5))[:4]), (0.11, encode(1, registers(5))[4:])], [encode(1, registers(5))], 0),
        (RTU, [(0.1, b"\xff" + encode(1, registers(5)) + b"\x00")], [b"\xff", encode(1, registers(5))], 1),
        (RTU, [(0.1, b"no frame")], [b"no frame"], 0),
    ],
)
async def test_what_ends_an_answer(
    answers: PackingSettings, said: list[tuple[float, bytes]], expected: list[bytes], unrequested: int
) -> None:
    """And the next request goes at once."""
    async with shared(CommandSettings(answers=answers), lambda data: said if data == b"?" else []) as (
        commands,
        (one, two),
        device,
        _,
    ):
        one.ask(b"?")
        two.ask(b"next")
        await asyncio.sleep(0.9)
        assert one.answers == expected
        assert two.answers == []
        assert heard(device) == [b"?", b"next"]
        assert device.heard[1][0] - one.times[-1] < (silent_interval(LINE) if answers is RTU else 0.0) + 1e-4
        assert commands.status().unrequested == unrequested


async def test_rtu_answers_are_followed_by_the_silence_of_the_line() -> None:
    answer = encode(1, registers(5))
    async with shared(CommandSettings(answers=RTU), lambda _: [(0.1, answer)]) as (_, (one, two), device, _):
        one.ask(encode(1, read(5)))
        two.ask(encode(1, read(5)))
        await asyncio.sleep(1)
        assert device.heard[1][0] - one.times[0] == pytest.approx(silent_interval(LINE), abs=1e-4)


async def test_an_answer_that_is_cut_too_early_ends_as_the_next_ones() -> None:
    """Nothing in the bytes could tell; a device that pauses wants a longer gap."""
    settings = CommandSettings(answers=PackingSettings(Packing.GAP, gap=2))
    async with shared(settings, lambda data: [(0.1, b"on"), (0.2, b"e")] if data == b"?" else []) as (
        _,
        (one, two),
        _,
        _,
    ):
        one.ask(b"?")
        two.ask(b"next")
        await asyncio.sleep(1)
        assert (one.answers, two.answers) == ([b"on"], [b"e"])


async def test_a_pause_between_an_answer_and_the_next_request() -> None:
    async with shared(replace(BY_CR, pause=0.25)) as (_, (one, two), device, _):
        one.ask(b"a\r")
        two.ask(b"b\r")
        await asyncio.sleep(1)
        assert device.heard[1][0] - one.times[0] == pytest.approx(0.25, abs=1e-4)


@pytest.mark.parametrize("size", [BUFFER - 1, BUFFER, BUFFER + 1, 3 * BUFFER, 5000])
@pytest.mark.parametrize("packing", [PackingSettings(Packing.GAP), PackingSettings(force_transmit=0.03)])
async def test_long_answers_are_whole(size: int, packing: PackingSettings) -> None:
    """Though they are handed over in pieces, and nothing else ends them."""
    said = random.Random(size).randbytes(size)
    settings = CommandSettings(answers=packing, response_timeout=0)
    async with shared(settings, lambda data: [(0.1, said)] if data == b"?" else []) as (
        commands,
        (one, two),
        device,
        _,
    ):
        one.ask(b"?")
        two.ask(b"next")
        await asyncio.sleep(1)
        assert one.heard == said
        assert heard(device) == [b"?", b"next"]
        assert commands.status().unrequested == 0


async def test_a_device_that_talks_without_end_keeps_nobodys_turn() -> None:
    said = [(0.01 * number, bytes(1000)) for number in range(100)]
    async with shared(BY_CR, lambda data: said if data == b"?" else []) as (_, (one, _), device, _):
        one.ask(b"?")
        one.ask(b"next")
        await asyncio.sleep(2)
        assert heard(device) == [b"?", b"next"]
        assert device.heard[1][0] - device.heard[0][0] < 0.7
        assert len(one.heard) < 2 * MOST_ANSWER


# No answer.


async def test_the_next_one_has_its_turn_when_an_answer_does_not_come() -> None:
    async with shared(replace(BY_CR, response_timeout=0.3), mute) as (commands, (one, two), device, _):
        began = now()
        one.ask(bytes(96))
        two.ask(b"next\r")
        await asyncio.sleep(1)
        # 96 characters take 0.1 s at 9600 8N1.
        assert device.heard[1][0] - began == pytest.approx(0.4, abs=0.001)
        assert commands.status().timeouts == 2
        assert one.answers == two.answers == []


async def test_the_timeout_counts_from_the_last_byte_and_its_part_of_an_answer_is_told() -> None:
    said = [(0.2, b"one"), (0.4, b" two"), (0.6, b" three")]
    async with shared(replace(BY_CR, response_timeout=0.3), lambda data: said if data == b"?" else []) as (
        commands,
        (one, _),
        device,
        _,
    ):
        one.ask(b"?")
        one.ask(b"next")
        await asyncio.sleep(0.8)
        assert one.answers == []
        await asyncio.sleep(0.2)
        assert one.answers == [b"one two three"]
        assert heard(device) == [b"?", b"next"]
        assert commands.status().timeouts == 1


async def test_an_answer_may_be_waited_for_for_ever() -> None:
    said = [(3600.0, b"at last\r")]
    async with shared(replace(BY_CR, response_timeout=0), lambda data: said) as (_, (one, two), device, _):
        one.ask(b"?")
        two.ask(b"next")
        await asyncio.sleep(3599)
        assert heard(device) == [b"?"]
        await asyncio.sleep(2)
        assert one.answers == [b"at last\r"]
        assert heard(device) == [b"?", b"next"]


# Unrequested.


@pytest.mark.parametrize(
    ("whom", "one_hears", "two_hears"),
    [
        (Unrequested.DISCARD, [b"A\r"], []),
        (Unrequested.LAST, [b"A\r", b"alarm"], []),
        (Unrequested.ALL, [b"A\r", b"alarm"], [b"alarm"]),
    ],
)
async def test_what_nobody_asked_for(whom: Unrequested, one_hears: list[bytes], two_hears: list[bytes]) -> None:
    async with shared(replace(BY_CR, unrequested=whom)) as (commands, (one, two), device, _):
        one.ask(b"a\r")
        await asyncio.sleep(1)
        device.cable.far.write(b"alarm")
        await asyncio.sleep(1)
        assert (one.answers, two.answers) == (one_hears, two_hears)
        assert commands.status().unrequested == 5
        one.go()
        device.cable.far.write(b"gone")
        await asyncio.sleep(1)
        assert one.answers == one_hears
        assert commands.status().unrequested == 9


# Clients that go.


@pytest.mark.parametrize(("limit", "wait"), [(0.5, 0.5), (0.0, 1.2)])
async def test_a_client_that_goes_leaves_its_answer_to_nobody(limit: float, wait: float) -> None:
    async with shared(replace(BY_CR, response_timeout=limit), mute) as (commands, (one, two), device, _):
        for number in range(3):
            one.ask(b"one%d" % number)
        two.ask(b"two")
        await asyncio.sleep(0.2)
        one.go()
        assert commands.status().unsent == 2
        device.cable.far.write(b"late\r" if limit else b"late")
        await asyncio.sleep(0.01)
        if limit:
            assert heard(device) == [b"one0", b"two"]  # that was it
        else:
            assert heard(device) == [b"one0"]
            await asyncio.sleep(wait)
            assert heard(device) == [b"one0", b"two"]
        assert two.answers == []


async def test_who_comes_next_does_not_get_the_last_ones_answer() -> None:
    async with shared(BY_CR, clients=1) as (commands, (one,), device, line):
        one.ask(b"old\r")
        one.go()
        assert line.stream.clients  # it is waited for
        new = Asking(commands)
        new.ask(b"new\r")
        await asyncio.sleep(1)
        assert new.answers == [b"NEW\r"]
        assert heard(device) == [b"old\r", b"new\r"]
        new.go()


async def test_who_has_left_may_write_in_vain() -> None:
    async with shared(BY_CR) as (commands, (one, two), device, _):
        one.go()
        one.ask(b"x\r")
        commands.hold(one)
        commands.release(one)
        commands.skip(one, two)
        assert commands.under_way(one) == 0
        await asyncio.sleep(1)
        assert not device.heard


# The line.


async def test_a_loss_ends_everything_that_was_asked() -> None:
    async with shared(replace(BY_CR, queue=2)) as (commands, (one, two), device, _):
        for _ in range(3):
            one.ask(b"a\r")
        two.ask(b"b\r")
        device.cable.unplug()
        await asyncio.sleep(0.05)
        assert one.calls == ["full", "down", "ready"]
        assert two.calls == ["down"]
        assert commands.status().unsent == 3
        two.ask(b"into the void\r")
        device.cable.plug()
        await asyncio.sleep(1)
        assert two.calls == ["down", "up"]
        del device.heard[:]
        two.ask(b"c\r")
        await asyncio.sleep(1)
        assert heard(device) == [b"c\r"]
        assert two.answers == [b"C\r"]


async def test_requests_wait_for_a_line_that_takes_nothing() -> None:
    line = LineSettings(115200, flow=Flow.RTSCTS, flow_in=Flow.RTSCTS)
    async with shared(replace(BY_CR, response_timeout=0.2), clients=1, line=line) as (_, (one,), device, owner):
        other = Client()
        owner.stream.join(other)
        device.cable.far.set_modem_lines(rts=False)
        owner.stream.write(other, bytes(100_000))
        one.ask(b"1\r")
        one.ask(b"2\r")
        await asyncio.sleep(5)
        assert not device.heard
        device.cable.far.set_modem_lines(rts=True)
        await asyncio.sleep(1)
        assert b"".join(heard(device)) == bytes(100_000) + b"1\r2\r"
        owner.stream.leave(other)


async def test_silence_is_counted_at_the_lines_speed() -> None:
    settings = CommandSettings(answers=PackingSettings(Packing.GAP, gap=3))
    async with shared(settings, lambda _: [(0.1, b"abc")], clients=1) as (_, (one,), device, line):
        for speed in (9600, 300, 9600):
            line.configure(LineSettings(speed))
            one.ask(b"?")
            await asyncio.sleep(1)
            took = one.times[-1] - device.last
            assert took == pytest.approx(max(3 * LineSettings(speed).character_time, 0.001), abs=1e-4)
        one.go()
        await asyncio.sleep(1)
        line.configure(LineSettings(300))  # while nobody is there
        one.commands.join(one)
        one.ask(b"?")
        await asyncio.sleep(1)
        assert one.times[-1] - device.last == pytest.approx(3 * LineSettings(300).character_time, abs=1e-4)


# Beside Modbus requests.


@asynccontextmanager
async def beside_modbus(
    settings: CommandSettings, answer: Callable[[bytes], list[tuple[float, bytes]]]
) -> AsyncIterator[tuple[Asking, Asker, Units, Line]]:
    async with shared(settings, answer, clients=1) as (_, (one,), device, line):
        bus = line.transact(ReplyFinder(Echo.NO), TransactionSettings())
        await asyncio.sleep(0.1)
        yield one, Asker(bus), device, line


def both(data: bytes) -> list[tuple[float, bytes]]:
    """Commands take half a second, longer than a stream's conversation may pause; units a tenth."""
    return [(0.5, data.upper())] if data.endswith(b"\r") else [(0.1, reply(data))]


async def test_a_modbus_request_waits_for_the_answer_to_a_command() -> None:
    async with beside_modbus(BY_CR, both) as (one, modbus, device, _):
        one.ask(b"command\r")
        modbus.ask()
        await asyncio.sleep(1)
        assert one.answers == [b"COMMAND\r"]
        assert modbus.outcomes == [Outcome.ANSWERED]
        assert device.heard[1][0] - one.times[0] < 2 * silent_interval(LINE)  # and not a moment longer


async def test_a_command_waits_for_the_modbus_request_on_the_line() -> None:
    async with beside_modbus(replace(BY_CR, response_timeout=0.6), both) as (one, modbus, device, _):
        modbus.ask()
        one.ask(b"command\r")
        await asyncio.sleep(1)
        assert modbus.outcomes == [Outcome.ANSWERED]
        assert one.answers == [b"COMMAND\r"]  # its time is counted from when it was sent
        assert [len(data) for data in heard(device)] == [8, 8]


async def test_a_modbus_request_does_not_wait_for_ever() -> None:
    async with beside_modbus(replace(BY_CR, response_timeout=0), lambda data: both(data) if data[-1] != 13 else []) as (
        one,
        modbus,
        device,
        _,
    ):
        one.ask(b"command\r")
        began = now()
        modbus.ask()
        await asyncio.sleep(3)
        assert modbus.outcomes == [Outcome.ANSWERED]
        assert 0.9 < device.heard[1][0] - began < 1.2
        assert one.answers == []


async def test_many_commands_and_many_modbus_requests() -> None:
    async with beside_modbus(BY_CR, both) as (one, modbus, _, _):
        for number in range(10):
            one.ask(b"%d\r" % number)
            modbus.ask(pdu=read(number), timeout=1)
        await asyncio.sleep(60)
        assert one.answers == [b"%d\r" % number for number in range(10)]
        assert modbus.outcomes == [Outcome.ANSWERED] * 10


async def test_what_comes_while_nobody_is_there_is_kept_beside_modbus() -> None:
    cable, first = Cable(), Client()
    Units(cable, both)
    async with running(cable, LINE, StreamSettings(buffer=64)) as line:
        modbus = Asker(line.transact(ReplyFinder(Echo.NO), TransactionSettings()))
        cable.far.write(b"before ")
        await asyncio.sleep(1)
        modbus.ask()
        await modbus.ended()
        cable.far.write(b"and after")
        await asyncio.sleep(1)
        assert modbus.outcomes == [Outcome.ANSWERED]
        line.stream.join(first)
        assert first.heard == b"before and after"
        line.stream.leave(first)


# Everything at once.


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_happens_nobody_gets_anothers_answer(seed: int) -> None:
    """Clients come, ask, do not fetch and go; the device is slow or mute, but never late; the line goes and comes."""
    chance = random.Random(seed)

    def device(data: bytes) -> list[tuple[float, bytes]]:
        answer, cut = data.upper(), chance.randrange(len(data))
        slow = chance.uniform(0.001, 0.1)
        return chance.choice([[(slow, answer)], [(slow, answer[:cut]), (slow + 0.05, answer[cut:])], []])

    settings = replace(BY_CR, response_timeout=0.3, requests=CR, queue=3)
    asked: dict[Asking, set[bytes]] = {}
    async with shared(settings, device, clients=0, line=LineSettings(115200)) as (commands, _, units, line):
        for step in range(600):
            there = [asker for asker in asked if asker in commands._clients]
            match chance.randrange(12):
                case 0 if len(there) < 6:
                    asked[Asking(commands)] = set()
                case 1 if len(there) > 3:
                    chance.choice(there).go()
                case 2 if there:
                    commands.hold(chance.choice(there))
                case 3 if step % 10 == 0:
                    units.cable.unplug()
                    await asyncio.sleep(0.2)  # what the device was about to say is lost
                    units.cable.plug()
                    await until(lambda: line.up)
                case number if there:
                    asker = chance.choice(there)
                    commands.release(asker)
                    if asker.calls[-1:] != ["full"]:
                        text = b"%d by %d\r" % (step, number)
                        asked[asker].add(text.upper())
                        asker.ask(text)
            await asyncio.sleep(chance.choice((0, 0.001, 0.1)))
        for asker in asked:
            if asker in commands._clients:
                commands.release(asker)
        await asyncio.sleep(30)
        status = commands.status()
        assert status.queued == 0
        assert status.answered > 50
        assert status.timeouts > 5
        for asker, texts in asked.items():
            for answer in asker.answers:
                assert any(text.startswith(answer) for text in texts)
            if asker in commands._clients:
                asker.go()
        await asyncio.sleep(1)
        assert not line.stream.clients


# Settings.


@pytest.mark.parametrize("answers", [PackingSettings(), PackingSettings(latency=0.1, gap=3)])
def test_something_must_end_an_answer(answers: PackingSettings) -> None:
    with pytest.raises(ValueError, match="nothing would end an answer"):
        CommandSettings(answers=answers)


# Masters on sockets.


@asynccontextmanager
async def masters(
    settings: CommandSettings, line: LineSettings, count: int, **more: object
) -> AsyncIterator[tuple[Line, Cable, Listener, list[TcpClient]]]:
    """A raw port whose clients take turns, in front of a bus with units 1 to 4 at its true speed."""
    wanted = RawSettings(listen=(), commands=settings, max_clients=count, **more)  # type: ignore[arg-type]
    cable = Cable()
    far = MemoryLine(PacedWire(Bus({unit: Store(unit) for unit in range(1, 5)}), line))
    cable.far = LoopbackPort(cable, PortSettings(cable.name), far)
    far.attach(cable.far)
    access, throttle = AccessLimits(AccessSettings()), Throttle()
    async with running(cable, line) as owner:
        sock = listen(Endpoint("127.0.0.1", 0))
        listener = Listener(owner, "raw", wanted, sessions(owner, wanted), [sock], access, throttle)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(listener.run())
            try:
                clients = [await connect(TcpClient, listener.endpoints[0].port) for _ in range(count)]
                await until(lambda: len(listener.sessions) == count)
                yield owner, cable, listener, clients
            finally:
                listener.stop()
        sock.close()
        far.close()


async def test_masters_of_a_bus_get_their_own_answers() -> None:
    """Sixty-four of them, at the line's true speed; each asks another register, so an answer tells whose it is."""
    line = LineSettings.parse(115200, "8E1")
    settings = CommandSettings(answers=RTU, requests=RTU, response_timeout=0.5)
    async with masters(settings, line, 64) as (_, _, listener, clients):
        for round_ in range(3):
            expected = []
            for number, client in enumerate(clients):
                address = 64 * round_ + number
                unit = 1 + number % 4
                client.send(encode(unit, read(address)))
                expected.append(encode(unit, b"\x03\x02" + (256 * unit + address).to_bytes(2)))
            await until(lambda: all(len(client.heard) == 7 for client in clients), 60)
            assert [bytes(client.heard) for client in clients] == expected
            for client in clients:
                del client.heard[:]
        assert listener.accepted() == 0


@pytest.mark.real
async def test_masters_on_real_loops() -> None:
    line = LineSettings.parse(115200, "8E1")
    settings = CommandSettings(answers=RTU, requests=RTU, response_timeout=5)
    async with masters(settings, line, 4) as (_, _, _, clients):
        for number, client in enumerate(clients):
            client.send(encode(1, read(number)) * 5)
        for number, client in enumerate(clients):
            await client.hears(encode(1, b"\x03\x02\x01" + bytes((number,))) * 5)


async def test_a_master_may_say_all_it_has_to_say_and_listen_on() -> None:
    line = LineSettings.parse(9600, "8E1")
    settings = CommandSettings(answers=RTU, requests=RTU)
    async with masters(settings, line, 1, half_close=0.5) as (_, _, listener, (client,)):
        for address in range(20):
            client.send(encode(1, read(address)))
        client.half_close()
        await until(lambda: client.lost, 60)
        assert len(client.heard) == 20 * 7
        assert listener.results["closed"] == 1


async def test_masters_that_hold_on_while_the_device_is_away() -> None:
    line = LineSettings.parse(9600, "8E1")
    settings = CommandSettings(answers=RTU, requests=RTU)
    async with masters(settings, line, 2, when_down=WhenDown.HOLD) as (owner, cable, _, clients):
        cable.unplug()
        await until(lambda: not owner.up)
        for client in clients:
            client.send(encode(1, read(7)))
        await asyncio.sleep(0.2)
        cable.plug()
        await until(lambda: owner.up)
        for client in clients:
            await client.hears(encode(1, b"\x03\x02\x01\x07"))


async def test_masters_are_sent_away_with_the_device() -> None:
    settings = CommandSettings(answers=RTU, requests=RTU)
    async with masters(settings, LineSettings(9600), 2) as (owner, cable, listener, clients):
        clients[0].send(encode(1, read(7)))
        cable.unplug()
        await until(lambda: all(client.lost for client in clients))
        assert listener.results["line_down"] == 2
        assert not owner.stream.clients

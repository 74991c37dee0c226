"""The stream discipline: who hears, whose bytes go out in which order, who waits for whom."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nportpy.line.stream import Change, Stream
from nportpy.line.stream_base import IdleLevels, StreamSettings
from nportpy.linesettings import Flow, LineSettings, ModemLines
from nportpy.port.loopback import Cable
from nportpy.protocols.packing import Packing, PackingSettings
from tests.support.clock import VirtualLoop
from tests.support.lines import Client, running

RTSCTS = LineSettings(115200, flow=Flow.RTSCTS, flow_in=Flow.RTSCTS)
KEEPING = StreamSettings(flush_on_first=False)


class Wire:
    """A wire that writes down what the stream wants of it."""

    up = True

    def __init__(self) -> None:
        self.settings = LineSettings()
        self.levels: list[tuple[bool | None, bool | None]] = []  # DTR and RTS
        self.sent: list[bytes] = []
        self.held: list[bool] = []
        self.flushed = 0
        self.waiting = 0
        self.purges: list[int] = []  # how much waited each time

    def put(self, data: bytes) -> None:
        self.sent.append(data)

    def hold_reading(self, hold: bool) -> None:
        self.held.append(hold)

    def flush_received(self) -> None:
        self.flushed += 1

    def unsent(self) -> int:
        return self.waiting

    def all_sent(self) -> bool:
        return not self.waiting

    def purge_unsent(self) -> None:
        self.purges.append(self.waiting)
        self.waiting = 0

    def set_modem_lines(self, *, dtr: bool | None = None, rts: bool | None = None) -> None:
        self.levels.append((dtr, rts))


class Segments(Client):
    """Keeps what it was told together, and when."""

    def __init__(self) -> None:
        super().__init__()
        self.segments: list[bytes] = []
        self.times: list[float] = []

    def line_data(self, data: bytes) -> None:
        super().line_data(data)
        self.segments.append(data)
        self.times.append(asyncio.get_running_loop().time())


def heard(*clients: Client) -> list[bytes]:
    return [bytes(client.heard) for client in clients]


def joined(count: int, options: StreamSettings | None = None) -> tuple[Wire, Stream, list[Client]]:
    wire = Wire()
    stream = Stream(wire, options or StreamSettings())
    clients = [Client() for _ in range(count)]
    for client in clients:
        stream.join(client)
    return wire, stream, clients


# Who hears.


def test_everybody_hears_and_what_nobody_hears_is_counted() -> None:
    wire, stream, (one, two) = joined(2)
    stream.deliver(b"both")
    stream.leave(one)
    stream.deliver(b" one")
    stream.leave(two)
    stream.deliver(b"nobody")
    assert one.heard == b"both"
    assert two.heard == b"both one"
    assert stream.unheard == 6
    assert wire.flushed == 1


def test_a_client_may_leave_while_it_hears() -> None:
    _, stream, (staying,) = joined(1)

    class Leaving(Client):
        def line_data(self, data: bytes) -> None:
            super().line_data(data)
            stream.leave(self)

    leaving = Leaving()
    stream.join(leaving)
    stream.deliver(b"a")
    stream.deliver(b"b")
    assert leaving.heard == b"a"
    assert staying.heard == b"ab"


def test_only_others_are_told_of_a_change() -> None:
    _, stream, (one, two) = joined(2)
    stream.changed(Change.SETTINGS, one)
    stream.changed(Change.CONTROL, None)
    assert one.changes == [Change.CONTROL]
    assert two.changes == [Change.SETTINGS, Change.CONTROL]


# Back-pressure from the line.


def test_one_client_holds_the_line_several_do_not() -> None:
    wire, stream, (one,) = joined(1)
    assert stream.alone
    stream.hold(one)
    assert wire.held[-1]
    two = Client()
    stream.join(two)
    assert not stream.alone
    assert not wire.held[-1]
    stream.hold(two)
    assert not wire.held[-1]
    stream.leave(two)
    assert wire.held[-1]
    stream.release(one)
    assert not wire.held[-1]
    stream.hold(one)
    stream.leave(one)
    assert not wire.held[-1]  # nobody listens: what comes is unheard


def test_a_client_that_has_left_holds_nothing() -> None:
    wire, stream, (one,) = joined(1)
    stream.leave(one)
    stream.hold(one)
    assert not stream._held
    stream.release(one)
    assert not any(wire.held)


def test_the_line_is_left_unread_for_the_first_client_where_that_is_asked_for() -> None:
    wire, stream, (one,) = joined(1, KEEPING)
    assert wire.flushed == 0
    assert wire.held == [False]
    stream.leave(one)
    assert wire.held[-1]


@pytest.mark.parametrize(("flush", "expected"), [(True, b"new"), (False, b"oldnew")])
async def test_what_came_before_the_first_client(flush: bool, expected: bytes) -> None:
    cable, client = Cable(), Client()
    async with running(cable, stream=StreamSettings(flush_on_first=flush)) as line:
        cable.far.write(b"old")
        await asyncio.sleep(1)
        line.stream.join(client)
        cable.far.write(b"new")
        await asyncio.sleep(1)
        assert client.heard == expected
        assert line.stream.unheard == (3 if flush else 0)


async def test_a_single_slow_client_loses_nothing() -> None:
    cable, client = Cable(), Client()
    async with running(cable, RTSCTS) as line:
        line.stream.join(client)
        line.stream.hold(client)
        data = bytes(range(1, 17)) * 5000
        cable.far.write(data)
        await asyncio.sleep(1)
        assert not client.heard
        assert cable.far.unsent() > 70_000
        line.stream.release(client)
        await asyncio.sleep(1)
        assert client.heard == data


async def test_a_hold_outlives_the_device() -> None:
    cable, client = Cable(), Client()
    async with running(cable) as line:
        line.stream.join(client)
        line.stream.hold(client)
        cable.unplug()
        await asyncio.sleep(0.01)
        cable.plug()
        await asyncio.sleep(1)
        cable.far.write(b"later")
        await asyncio.sleep(1)
        assert not client.heard
        line.stream.release(client)
        await asyncio.sleep(1)
        assert client.heard == b"later"


# One client of several that does not keep up.


def test_the_line_waits_for_who_is_to_be_waited_for() -> None:
    wire, stream, (other,) = joined(1)
    patient = Client()
    stream.join(patient, waited_for=True)
    assert stream.waits_for(patient)
    assert not stream.waits_for(other)
    stream.hold(other)
    assert not wire.held[-1]
    stream.hold(patient)
    assert wire.held[-1]
    stream.release(patient)
    assert not wire.held[-1]
    stream.hold(patient)
    stream.leave(patient)
    assert wire.held[-1]  # for the other one, which is alone now
    stream.release(other)
    assert not wire.held[-1]


def test_beside_requests_the_line_waits_for_nobody() -> None:
    wire, stream, (client,) = joined(1)
    other = Client()
    stream.join(other, waited_for=True)
    stream.share(wire.put)
    for each in (client, other):
        stream.hold(each)
        assert not stream.waits_for(each)
        assert not wire.held[-1]


@pytest.mark.parametrize("packing", [PackingSettings(), PackingSettings(length=2)])
async def test_a_client_may_miss_bytes_until_it_is_released(packing: PackingSettings) -> None:
    _, stream, (other,) = joined(1)
    jammed, missed = Client(), Client()
    stream.join(jammed, packing=packing)
    stream.deliver(b"ab")
    stream.hold(jammed)
    stream.skip(jammed, missed)
    stream.deliver(b"cd")
    stream.release(jammed)
    stream.deliver(b"ef")
    assert heard(jammed, missed, other) == [b"abef", b"cd", b"abcdef"]
    stream.skip(jammed, missed)
    stream.leave(jammed)
    stream.deliver(b"gh")
    stream.skip(jammed, missed)  # it has left
    assert heard(jammed, missed, other) == [b"abef", b"cd", b"abcdefgh"]
    stream.leave(other)


# Those who only write.


def test_who_only_writes_hears_nothing_and_does_not_count_as_a_listener() -> None:
    wire, stream, _ = joined(0)
    deaf, client = Client(), Client()
    stream.join(deaf, hears=False)
    assert wire.flushed == 0
    assert stream.hearers == []
    stream.deliver(b"nobody")
    assert stream.unheard == 6
    stream.join(client)
    assert wire.flushed == 1
    stream.deliver(b"one")
    assert heard(deaf, client) == [b"", b"one"]
    assert stream.alone
    stream.hold(client)
    assert wire.held[-1]
    stream.hold(deaf)
    stream.leave(client)
    assert not wire.held[-1]
    stream.write(deaf, b"written")
    assert wire.sent == [b"written"]


# Packing.


async def test_segments_are_made_once_for_all_that_want_the_same() -> None:
    loop = asyncio.get_running_loop()
    wire, stream, (plain,) = joined(1)
    packing = PackingSettings(Packing.GAP)
    clients = [Segments() for _ in range(3)]
    for client in clients[:2]:
        stream.join(client, packing=packing)
    stream.join(clients[2], packing=PackingSettings(delimiters=b"\r"))
    assert len(stream.hearers) == 3
    start = loop.time()
    stream.deliver(b"abc\rd")
    assert (clients[0].segments, clients[2].segments) == ([], [b"abc\r"])
    await asyncio.sleep(0.1)
    assert clients[0].segments == clients[1].segments == [b"abc\rd"]
    gap = 2 * wire.settings.character_time
    assert clients[0].times[0] - start == pytest.approx(gap)
    assert plain.heard == b"abc\rd"
    for client in clients:
        stream.leave(client)
    assert clients[2].segments == [b"abc\r", b"d"]  # the last one to leave loses nothing
    assert stream.hearers == [plain]


async def test_who_leaves_within_a_segment_gets_what_was_heard_and_the_others_the_whole() -> None:
    _, stream, _ = joined(0)
    packing = PackingSettings(delimiters=b"\r")
    clients = [Segments(), Segments()]
    for client in clients:
        stream.join(client, packing=packing)
    stream.deliver(b"ab")
    stream.leave(clients[0])
    stream.deliver(b"c\r")
    assert (clients[0].segments, clients[1].segments) == ([b"ab"], [b"abc\r"])
    stream.leave(clients[1])
    stream.deliver(b"x")
    assert stream.unheard == 1
    stream.join(clients[0], packing=packing)
    stream.deliver(b"new\r")
    assert clients[0].segments == [b"ab", b"new\r"]
    stream.leave(clients[0])


async def test_segments_follow_the_speed_of_the_line() -> None:
    loop = asyncio.get_running_loop()
    wire, stream, _ = joined(0)
    wire.settings = LineSettings(115200)
    client = Segments()
    stream.join(client, packing=PackingSettings(Packing.GAP))
    wire.settings = LineSettings(1200)
    stream.changed(Change.SETTINGS, None)
    start = loop.time()
    stream.deliver(b"abc")
    await asyncio.sleep(1)
    assert client.times[0] - start == pytest.approx(2 * wire.settings.character_time)
    stream.deliver(b"def")  # the speed changes while it is waited for more
    start = loop.time()
    wire.settings = LineSettings(9600)
    stream.changed(Change.SETTINGS, None)
    await asyncio.sleep(1)
    assert client.times[1] - start == pytest.approx(2 * wire.settings.character_time)
    stream.leave(client)


async def test_a_loss_and_a_purge_end_segments() -> None:
    wire, stream, _ = joined(0)
    client = Segments()
    stream.join(client, packing=PackingSettings(length=10))
    stream.deliver(b"abc")
    wire.up = False
    stream.wire_down()
    assert client.segments == [b"abc"]
    assert client.calls == ["down"]
    stream.deliver(b"old")
    stream.forget()
    stream.deliver(b"0123456789")
    assert client.segments == [b"abc", b"0123456789"]
    stream.leave(client)


async def test_a_client_may_leave_while_it_hears_a_segment() -> None:
    _, stream, _ = joined(0)

    class Leaving(Segments):
        def line_data(self, data: bytes) -> None:
            super().line_data(data)
            if self in stream.clients:
                stream.leave(self)

    clients = [Leaving(), Leaving()]
    for client in clients:
        stream.join(client, packing=PackingSettings(length=1))
    stream.deliver(b"abc")
    stream.deliver(b"d")
    assert [client.segments for client in clients] == [[b"a"], [b"a"]]
    assert not stream.hearers


# While nobody listens.


@pytest.mark.parametrize("packing", [PackingSettings(), PackingSettings(length=3)])
async def test_what_came_while_nobody_listened_is_given_to_the_first_client(packing: PackingSettings) -> None:
    wire, stream, _ = joined(0, StreamSettings(buffer=6))
    stream.wire_up()
    assert wire.held == [False]
    stream.deliver(b"ab")
    assert (stream.buffered, stream.unheard) == (2, 0)
    stream.deliver(b"cdefgh")
    assert (stream.buffered, stream.unheard) == (6, 2)
    deaf, client, second = Client(), Client(), Client()
    stream.join(deaf, hears=False)
    assert stream.buffered == 6
    stream.join(client, packing=packing)
    assert client.heard == b"cdefgh"
    assert stream.buffered == 0
    assert wire.flushed == 0
    stream.join(second)
    stream.deliver(b"ijk")
    assert heard(client, second) == [b"cdefghijk", b"ijk"]
    for each in (client, second):
        stream.leave(each)
    stream.deliver(b"0123456789")
    assert (stream.buffered, stream.unheard) == (6, 6)
    stream.leave(deaf)


async def test_a_line_is_read_for_its_buffer_while_nobody_is_there() -> None:
    cable, client = Cable(), Client()
    options = StreamSettings(flush_on_first=False, buffer=64 * 1024)
    async with running(cable, RTSCTS, options) as line:
        said = bytes(range(256)) * 300
        cable.far.write(said)
        await asyncio.sleep(10)
        assert cable.far.unsent() == 0
        line.stream.join(client)
        assert client.heard == said[-64 * 1024 :]
        assert line.stream.unheard == len(said) - 64 * 1024
        line.stream.leave(client)


# DTR and RTS while nobody is there.


@pytest.mark.parametrize(
    ("idle", "flow", "idly", "busily"),
    [
        (IdleLevels.LOW, Flow.NONE, (False, False), (True, True)),
        (IdleLevels.HIGH, Flow.NONE, (True, True), (True, True)),
        (IdleLevels.LOW, Flow.RTSCTS, (False, None), (True, None)),
        (IdleLevels.LOW, Flow.DSRDTR, (None, False), (None, True)),
    ],
)
async def test_levels_without_clients(
    idle: IdleLevels, flow: Flow, idly: tuple[bool | None, bool | None], busily: tuple[bool | None, bool | None]
) -> None:
    wire, stream, _ = joined(0, StreamSettings(idle_levels=idle))
    wire.settings = LineSettings(flow=flow, flow_in=flow)
    clients = [Client(), Client()]
    stream.wire_up()
    for client in clients:
        stream.join(client)
    wire.waiting = 100
    for client in clients:
        stream.leave(client)
    await asyncio.sleep(1)
    assert wire.levels == [idly, busily]
    wire.waiting = 0  # the last byte has left
    await asyncio.sleep(1)
    assert wire.levels == [idly, busily, idly]
    wire.waiting = 100
    stream.join(clients[0])
    stream.leave(clients[0])
    await asyncio.sleep(0.01)
    stream.join(clients[1])
    wire.waiting = 0
    await asyncio.sleep(1)
    assert wire.levels == [idly, busily, idly, busily, busily]


async def test_levels_are_left_alone_unless_that_is_wished() -> None:
    wire, stream, (client,) = joined(1)
    stream.wire_up()
    stream.leave(client)
    assert wire.levels == []


def far_end(cable: Cable) -> ModemLines:
    lines = cable.far.modem_lines()
    assert lines is not None
    return lines


async def test_levels_at_the_far_end() -> None:
    cable, client = Cable(), Client()
    both = ModemLines.DSR | ModemLines.CTS
    async with running(cable, stream=StreamSettings(idle_levels=IdleLevels.LOW)) as line:
        assert not far_end(cable) & both
        line.stream.join(client)
        assert far_end(cable) & both == both
        cable.unplug()
        await asyncio.sleep(0.01)
        cable.plug()
        await asyncio.sleep(1)
        assert far_end(cable) & both == both
        line.stream.leave(client)
        assert not far_end(cable) & both


# Back-pressure towards the line.


def test_those_who_write_are_told_to_stop_and_all_of_them_to_go_on() -> None:
    _, stream, (one, two, silent) = joined(3)
    stream.wire_full()
    for client in (one, one, two):
        stream.write(client, b"x")
    stream.wire_ready()
    stream.write(one, b"x")
    assert one.calls == two.calls == ["full", "ready"]
    assert silent.calls == []
    stream.wire_full()
    stream.write(two, b"x")
    stream.leave(two)
    stream.wire_ready()
    assert two.calls == ["full", "ready", "full"]


async def test_a_full_line_says_so_and_a_loss_frees_whoever_waited() -> None:
    cable, one, two = Cable(), Client(), Client()
    cable.far.pause_reading()
    async with running(cable, RTSCTS) as line:
        for client in (one, two):
            line.stream.join(client)
        line.stream.write(one, b"1" * 100_000)
        line.stream.write(two, b"2")
        assert one.calls == two.calls == ["full"]
        cable.unplug()
        await asyncio.sleep(0.01)
        assert one.calls == two.calls == ["full", "down", "ready"]
        assert line.purged + len(cable.heard) + cable.far._arrived_size == line.sent == 100_001


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.binary(max_size=3000), st.sampled_from([0.0, 0.0, 0.001, 0.05])), max_size=40
    ),
    st.sampled_from([Flow.NONE, Flow.RTSCTS, Flow.DSRDTR]),
    st.booleans(),
)
def test_writes_go_out_whole_and_in_order(writes: list[tuple[int, bytes, float]], flow: Flow, traced: bool) -> None:
    async def scenario() -> None:
        cable = Cable()
        clients = [Client() for _ in range(4)]
        async with running(cable, LineSettings(115200, flow=flow, flow_in=flow)) as line:
            line.set_trace(traced)
            for client in clients:
                line.stream.join(client)
            for number, data, pause in writes:
                line.stream.write(clients[number], data)
                if pause:
                    await asyncio.sleep(pause)
                    (cable.far.pause_reading if len(data) % 2 else cable.far.resume_reading)()
            cable.far.resume_reading()
            await line.drain()
            await asyncio.sleep(0.1)
            assert cable.heard == b"".join(data for _, data, _ in writes)
            assert line.sent == len(cable.heard)
            assert line.unsent() == 0

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(scenario())


# What is left behind.


async def linger(wire: Wire, stream: Stream, seconds: float, takes: Callable[[int], int]) -> None:
    for _ in range(int(seconds * 10)):
        wire.waiting = takes(wire.waiting)
        await asyncio.sleep(0.1)


async def test_what_a_stuck_line_does_not_take_is_purged() -> None:
    wire, stream, (one,) = joined(1, StreamSettings(linger=3))
    wire.waiting = 1000
    stream.leave(one)
    await linger(wire, stream, 2.9, lambda waiting: waiting)
    assert not wire.purges
    await asyncio.sleep(0.2)
    assert wire.purges == [1000]
    await asyncio.sleep(20)
    assert len(wire.purges) == 1


async def test_a_slow_line_gets_everything() -> None:
    wire, stream, (one,) = joined(1, StreamSettings(linger=3))
    wire.waiting = 200
    stream.leave(one)
    await linger(wire, stream, 30, lambda waiting: max(0, waiting - 1))
    assert not wire.purges


async def test_the_next_client_takes_over_what_waits() -> None:
    wire, stream, (one, two) = joined(2, StreamSettings(linger=3))
    wire.waiting = 1000
    stream.leave(one)
    await asyncio.sleep(10)
    stream.leave(two)
    await asyncio.sleep(2)
    stream.join(one)
    await asyncio.sleep(10)
    assert not wire.purges
    stream.leave(one)
    await asyncio.sleep(10)
    assert wire.purges == [1000]


async def test_nothing_waits_for_a_line_that_is_down() -> None:
    wire, stream, (one,) = joined(1)
    wire.up = False
    wire.waiting = 5
    stream.leave(one)
    assert wire.purges == [5]

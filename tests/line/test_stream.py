"""The stream discipline: who hears, whose bytes go out in which order, who waits for whom."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nportpy.line.loopback import Cable
from nportpy.line.stream import Change, Stream, StreamSettings
from nportpy.linesettings import Flow, LineSettings
from tests.support.clock import VirtualLoop
from tests.support.lines import Client, running

RTSCTS = LineSettings(115200, flow=Flow.RTSCTS, flow_in=Flow.RTSCTS)
KEEPING = StreamSettings(flush_on_first=False)


class Wire:
    """A wire that writes down what the stream wants of it."""

    up = True

    def __init__(self) -> None:
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

    def purge_unsent(self) -> None:
        self.purges.append(self.waiting)
        self.waiting = 0


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

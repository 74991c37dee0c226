"""How what arrives is handed over, and the echo of what is sent."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.linesettings import LineSettings
from nportpy.simulator.delivery import PACKET, Burst, Delivery, Fifo, LatencyTimer
from nportpy.simulator.meter import Meter
from nportpy.simulator.unpaced import UnpacedWire
from nportpy.simulator.wire import PacedWire
from tests.simulator.test_wire import READ_10, joined, run

SETTINGS = LineSettings.parse(9600, "8E1")


def handed(delivery: Delivery, bursts: list[Burst]) -> list[tuple[float, bytes]]:
    rest = deque(bursts)
    given: list[tuple[float, bytes]] = []
    while (due := delivery.due(rest)) is not None:
        data = delivery.take(rest, due)
        assert data
        given.append((round(due, 9), data))
    return given


def burst(start: float, data: bytes, character: float = 0.001) -> Burst:
    return Burst(start, bytearray(data), character)


def test_a_fifo_hands_over_in_eights_and_what_is_left_at_the_end() -> None:
    assert handed(Fifo(), [burst(0, bytes(10)), burst(1, b"ab")]) == [
        (0.008, bytes(8)),
        (0.010, bytes(2)),
        (1.002, b"ab"),
    ]


def test_a_latency_timer_hands_over_what_has_come_when_it_ends() -> None:
    timer = LatencyTimer(0.016)
    assert handed(timer, [burst(0.010, b"0123456789"), burst(0.025, b"ab"), burst(1.0, b"z")]) == [
        (0.016, b"012345"),
        (0.032, b"6789ab"),
        (1.008, b"z"),
    ]


def test_a_full_packet_does_not_wait_and_starts_the_timer_over() -> None:
    data = bytes(range(200))
    assert handed(LatencyTimer(0.016), [burst(0, data[:100], 0.0001), burst(0.01, data[100:], 0.0001)]) == [
        (0.0062, data[:62]),
        (0.0124, data[62:124]),
        (0.0186, data[124:186]),
        (0.0346, data[186:]),
    ]


@given(st.lists(st.tuples(st.floats(0, 0.1), st.binary(min_size=1, max_size=100)), max_size=8), st.floats(1e-5, 0.01))
def test_nothing_is_lost_or_early_whatever_comes(pieces: list[tuple[float, bytes]], character: float) -> None:
    bursts, end = [], 0.0
    for gap, data in pieces:
        bursts.append(burst(end + gap, data, character))
        end = bursts[-1].end
    ends = [one.time_of(count) for one in bursts for count in range(1, len(one.data) + 1)]
    rest, count, before = deque(bursts), 0, 0.0
    timer, got = LatencyTimer(), b""
    while (due := timer.due(rest)) is not None:
        data = timer.take(rest, due)
        count += len(data)
        got += data
        assert 1 <= len(data) <= PACKET
        assert due >= before
        assert ends[count - 1] <= due + 1e-6
        before = due
    assert got == b"".join(data for _, data in pieces)


def test_a_wire_behind_a_usb_adapter() -> None:
    wire = PacedWire(Meter(), SETTINGS, delivery=LatencyTimer())
    wire.send(READ_10, 0.0)
    arrivals = run(wire)
    assert [when for when, _ in arrivals] == pytest.approx([0.016, 0.032, 0.048])
    assert len(joined(arrivals)) == 25
    # What has passed on the wire counts for the silence, not when the gateway gets to know of it.
    wire.send(READ_10, 0.048)
    silence = 0.048 - (8 + 3.5 + 25) * SETTINGS.character_time
    assert wire.counts()["shortest_silence"] == pytest.approx(silence)


def test_a_local_echo_comes_as_the_characters_pass() -> None:
    wire = PacedWire(Meter(), SETTINGS, local_echo=True)
    wire.send(READ_10, 0.0)
    arrivals = run(wire)
    assert arrivals[0][0] == pytest.approx(8 * SETTINGS.character_time)
    assert arrivals[0][1] == READ_10
    assert len(joined(arrivals)) == 8 + 25
    assert wire.collisions == 0
    wire.send(READ_10, arrivals[-1][0] + 3.5 * SETTINGS.character_time)
    assert wire.counts()["violations"] == 0


def test_a_local_echo_shows_a_collision() -> None:
    wire = PacedWire(Meter(), SETTINGS, local_echo=True)
    wire.send(READ_10, 0.0)
    now = (8 + 3.5 + 8.5) * SETTINGS.character_time
    got = joined(run(wire, until=now))
    wire.send(b"\x00", now)
    got += joined(run(wire, now))
    assert wire.collisions == 1
    assert b"\xff" in got[8:]  # its own character, spoilt


def test_an_unpaced_local_echo() -> None:
    wire = UnpacedWire(Meter(eager=True), local_echo=True)
    wire.send(READ_10, 0.0)
    assert wire.receive(0.0)[:8] == READ_10
    assert wire.deadline() is None


def test_an_unpaced_wire_waits_for_a_unit_that_thinks() -> None:
    wire = UnpacedWire(Meter(eager=True, delay=0.5))
    wire.send(READ_10, 0.0)
    assert wire.receive(0.0) == b""
    assert wire.deadline() == 0.5
    wire.send(READ_10, 0.25)
    assert len(wire.receive(0.5)) == 25
    assert wire.deadline() == 0.75
    assert len(wire.receive(0.8)) == 25

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.linesettings import LineSettings
from nportpy.protocols.modbus.rtu import Frame, silent_interval
from nportpy.simulator.echo import Echo
from nportpy.simulator.meter import Meter
from nportpy.simulator.unpaced import UNPACED_SILENCE, UnpacedWire
from nportpy.simulator.wire import PacedWire, Wire

READ_10 = Frame(1, bytes.fromhex("03 03E8 000A")).encode()
ANSWER_SIZE = 25

SETTINGS = [
    LineSettings.parse(baudrate, format_)
    for baudrate, format_ in [(300, "7E1"), (9600, "8E1"), (19200, "8N1"), (38400, "8E1"), (115200, "8N1")]
]


def run(wire: Wire, now: float = 0.0, until: float = float("inf")) -> list[tuple[float, bytes]]:
    """What arrives and when, for a driver that is always on time; the last deadline ends it."""
    arrivals = []
    while True:
        if data := wire.receive(now):
            arrivals.append((now, data))
        deadline = wire.deadline()
        if deadline is None or deadline > until:
            return arrivals
        assert deadline > now  # a driver must never spin
        now = deadline


def joined(arrivals: list[tuple[float, bytes]]) -> bytes:
    return b"".join(data for _, data in arrivals)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("delay", [0.0, 0.012])
def test_wire_time_is_exact(settings: LineSettings, delay: float) -> None:
    character = settings.character_time
    wire = PacedWire(Meter(delay=delay), settings)
    wire.send(READ_10, 5.0)
    arrivals = run(wire, 5.0)
    begin = 5.0 + len(READ_10) * character + silent_interval(settings) + delay
    ends = [begin + count * character for count in (8, 16, 24, 25)]
    assert [when for when, _ in arrivals] == pytest.approx(ends, abs=1e-9)
    assert [len(data) for _, data in arrivals] == [8, 8, 8, 1]
    assert len(Frame.parse(joined(arrivals)).pdu) == ANSWER_SIZE - 3


def test_a_late_driver_delays_nothing_but_its_own_delivery() -> None:
    settings = SETTINGS[1]
    wire = PacedWire(Meter(), settings)
    wire.send(READ_10, 0.0)
    end = (len(READ_10) + 3.5 + ANSWER_SIZE) * settings.character_time
    wire.receive(end - 0.5 * settings.character_time)
    assert len(wire.receive(end + 1e-9)) == 1


def test_1000_bytes_at_300_baud_take_their_33_seconds() -> None:
    wire = PacedWire(Echo(), LineSettings.parse(300, "8N1"), shared_pair=False)
    data, now, accepted, got = bytes(range(250)) * 4, 0.0, 0, b""
    while len(got) < len(data):
        room = wire.room(now)
        wire.send(data[accepted : accepted + room], now)
        accepted = min(accepted + room, len(data))
        assert accepted - now / (10 / 300) <= 64 + 1  # never further ahead of the wire than its capacity
        got += wire.receive(now)
        now = wire.deadline() or now
    assert got == data
    assert now == pytest.approx((1000 + 8) * 10 / 300)  # the echo is one chunk behind


def test_a_full_wire_says_when_it_has_room() -> None:
    wire = PacedWire(Meter(), SETTINGS[1])
    size = wire.room(0.0)
    wire.send(bytes(size), 0.0)
    assert wire.room(0.0) == 0
    now = 0.0
    while not wire.room(now):
        deadline = wire.deadline()
        assert deadline is not None
        assert deadline > now
        now = deadline
        wire.receive(now)
    assert 0 < now < size * SETTINGS[1].character_time
    wire.send(bytes(wire.room(now)), now)


def test_a_gap_below_the_silent_interval_does_not_end_a_frame() -> None:
    character = SETTINGS[1].character_time
    wire = PacedWire(Meter(), SETTINGS[1])
    wire.send(READ_10[:4], 0.0)
    run(wire, until=5 * character)
    wire.send(READ_10[4:], (4 + 3.4) * character)
    assert len(joined(run(wire, 7.4 * character))) == ANSWER_SIZE


def test_a_gap_of_the_silent_interval_does() -> None:
    character = SETTINGS[1].character_time
    wire = PacedWire(Meter(), SETTINGS[1])
    wire.send(READ_10[:4], 0.0)
    run(wire)
    wire.send(READ_10[4:], (4 + 3.6) * character)
    assert run(wire, 7.6 * character) == []


def test_two_senders_on_a_shared_pair_spoil_each_other() -> None:
    settings = SETTINGS[1]
    character = settings.character_time
    wire = PacedWire(Meter(), settings)
    wire.send(READ_10, 0.0)
    begin = (len(READ_10) + 3.5) * character
    before = joined(run(wire, until=begin + 8.5 * character))
    now = begin + 9.5 * character  # in the middle of the tenth character
    wire.send(b"\x00\x00", now)
    got = before + joined(run(wire, now))
    clean = PacedWire(Meter(), settings)
    clean.send(READ_10, 0.0)
    right = joined(run(clean))
    assert wire.collisions == 1
    assert clean.collisions == 0
    assert [at for at in range(ANSWER_SIZE) if got[at] != right[at]] == [9, 10, 11]


def test_a_pair_each_way_carries_both_at_once() -> None:
    wire = PacedWire(Echo(), SETTINGS[4], shared_pair=False)
    wire.send(bytes(range(50)), 0.0)
    assert joined(run(wire)) == bytes(range(50))
    assert wire.collisions == 0


@given(st.lists(st.tuples(st.binary(max_size=30), st.floats(0, 0.05)), max_size=10))
def test_an_echo_gives_everything_back_in_order_whatever_the_pace(pieces: list[tuple[bytes, float]]) -> None:
    wire, now, got = PacedWire(Echo(), SETTINGS[1], shared_pair=False), 0.0, b""
    for data, pause in pieces:
        wire.send(data, now)
        now += pause
        got += wire.receive(now)
    assert got + joined(run(wire, now)) == b"".join(data for data, _ in pieces)


def test_unpaced_answers_at_once() -> None:
    wire = UnpacedWire(Meter(eager=True))
    wire.send(READ_10[:3], 0.0)
    assert wire.receive(0.0) == b""
    wire.send(READ_10[3:], 0.001)
    assert len(wire.receive(0.001)) == ANSWER_SIZE


def test_unpaced_forgets_half_a_frame() -> None:
    wire = UnpacedWire(Meter(eager=True))
    wire.send(READ_10[:3], 0.0)
    assert wire.deadline() == UNPACED_SILENCE
    assert run(wire) == []
    wire.send(READ_10, 1.0)
    assert len(wire.receive(1.0)) == ANSWER_SIZE

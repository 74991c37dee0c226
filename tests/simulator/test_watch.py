"""The watch on the silence before the gateway's frames, by itself and on a wire."""

import pytest

from nportpy.linesettings import LineSettings
from nportpy.protocols.modbus.rtu import Frame, silent_interval
from nportpy.simulator.bus import Bus
from nportpy.simulator.faults import Delay, Faulty, Rule, Script, Where
from nportpy.simulator.meter import Meter
from nportpy.simulator.store import Store
from nportpy.simulator.watch import SilenceWatch
from nportpy.simulator.wire import PacedWire
from tests.simulator.test_wire import READ_10, joined, run

SETTINGS = LineSettings.parse(19200, "8E1")
CHARACTER = SETTINGS.character_time
FRAME = Frame(1, bytes.fromhex("03 0000 0001")).encode()
LENGTH = len(FRAME) * CHARACTER


def watched(*sent: tuple[bytes, float], heard: float | None = None) -> SilenceWatch:
    """Pieces and their starts in characters; somebody else spoke until `heard`, told with the last piece."""
    watch = SilenceWatch(SETTINGS)
    for number, (data, start) in enumerate(sent, 1):
        begin = start * CHARACTER
        last = heard * CHARACTER if heard is not None and number == len(sent) else None
        watch.sent(data, begin, begin + len(data) * CHARACTER, last)
    return watch


def test_before_the_first_frame_there_is_nothing_to_keep() -> None:
    watch = watched((FRAME, 0))
    assert (watch.frames, watch.violations, watch.shortest) == (1, 0, None)


@pytest.mark.parametrize(("silence", "violations"), [(0.5, 1), (3.4, 1), (3.5, 0), (100, 0)])
def test_after_another_frame(silence: float, violations: int) -> None:
    watch = watched((FRAME, 0), (FRAME, 8 + silence))
    assert (watch.frames, watch.violations) == (2, violations)
    assert watch.shortest == pytest.approx(silence * CHARACTER)


@pytest.mark.parametrize(("silence", "violations"), [(0, 1), (3.4, 1), (3.5, 0)])
def test_after_an_answer(silence: float, violations: int) -> None:
    watch = watched((FRAME, 0), (FRAME, 50 + silence), heard=50)
    assert (watch.frames, watch.violations) == (2, violations)


@pytest.mark.parametrize(
    ("pause", "frames", "violations"), [(0, 1, 0), (1.4, 1, 0), (1.6, 2, 1), (3.4, 2, 1), (3.5, 2, 0)]
)
def test_a_pause_inside_a_frame(pause: float, frames: int, violations: int) -> None:
    watch = watched((FRAME[:3], 0), (FRAME[3:], 3 + pause))
    assert (watch.frames, watch.violations) == (frames, violations)


def test_pieces_back_to_back_and_then_another_frame_at_once() -> None:
    watch = watched(*((FRAME[at : at + 1], at) for at in range(8)), (FRAME, 8))
    assert (watch.frames, watch.violations) == (2, 1)


def test_junk_without_end_is_one_frame() -> None:
    watch = watched(*((bytes(100), at * 100) for at in range(20)))
    assert (watch.frames, watch.violations) == (1, 0)


@pytest.mark.parametrize("settings", [SETTINGS, LineSettings.parse(115200, "8E1")], ids=str)
@pytest.mark.parametrize(("part", "violations"), [(0.9, 9), (1.0, 0), (1.5, 0)])
def test_a_gateway_on_a_wire(settings: LineSettings, part: float, violations: int) -> None:
    wire, now = PacedWire(Meter(), settings), 0.0
    for _ in range(10):
        wire.send(READ_10, now)
        arrivals = run(wire, now)
        assert len(joined(arrivals)) == 25
        now = arrivals[-1][0] + part * silent_interval(settings)
    counts = wire.counts()
    assert counts["frames"] == counts["requests"] == counts["answers"] == 10
    assert counts["violations"] == violations
    assert counts["shortest_silence"] == pytest.approx(part * silent_interval(settings))
    assert counts["silence"] == pytest.approx(9 * part * silent_interval(settings))
    assert counts["collisions"] == 0


def test_talking_into_an_answer_is_a_violation_and_a_collision() -> None:
    wire = PacedWire(Meter(), SETTINGS)
    wire.send(READ_10, 0.0)
    until = (8 + 3.5 + 10.5) * CHARACTER
    run(wire, until=until)
    wire.send(READ_10, until)
    assert wire.counts().items() >= {"violations": 1, "shortest_silence": 0.0, "collisions": 1}.items()


def test_an_answer_under_way_to_nobody_counts_until_it_ends() -> None:
    """A unit answers late, after the gateway has asked another one, which answers at once."""
    slow = Where(units=(range(1, 2),))
    wire = PacedWire(Faulty(Bus({1: Store(1), 2: Store(2)}), Script((Rule(Delay(1.0), slow),))), SETTINGS)
    wire.send(FRAME, 0.0)
    run(wire, until=0.5)
    wire.send(Frame(2, FRAME[1:-2]).encode(), 0.5)
    before = run(wire, 0.5, until=0.9)
    assert Frame.parse(joined(before)).unit == 2  # it does not wait for the first one's
    late = run(wire, 0.9)
    assert Frame.parse(joined(late)).unit == 1
    assert late[-1][0] == pytest.approx(LENGTH + 3.5 * CHARACTER + 1.0 + 7 * CHARACTER)
    wire.send(FRAME, late[-1][0] + 3 * CHARACTER)
    assert wire.counts()["violations"] == 1


def test_two_units_at_once_spoil_each_other() -> None:
    both = Faulty(Bus({1: Store(1), 2: Store(2)}), Script((Rule(Delay(LENGTH * 3), Where(units=(range(1, 2),))),)))
    wire = PacedWire(both, SETTINGS, shared_pair=False)
    wire.send(FRAME, 0.0)
    run(wire, until=(8 + 3.6) * CHARACTER)
    wire.send(Frame(2, FRAME[1:-2]).encode(), 19 * CHARACTER)
    run(wire, 19 * CHARACTER)
    assert wire.collisions == 1

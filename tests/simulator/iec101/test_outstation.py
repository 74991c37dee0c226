"""Outstations on their wire."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import pytest

from nportpy.linesettings import LineSettings
from nportpy.simulator.iec101.asdu import Sizes, parse
from nportpy.simulator.iec101.clock import Stamp
from nportpy.simulator.iec101.frames import Frame, Reader
from nportpy.simulator.iec101.line import OutstationLine
from nportpy.simulator.iec101.outstation import Outstation, alike
from nportpy.simulator.iec101.points import Kind, Point, Quality
from nportpy.simulator.iec101.script import parse as parse_script
from nportpy.simulator.iec101.settings import OutstationSettings, Single, Times, Unreset
from nportpy.simulator.wire import PacedWire
from tests.simulator.iec101.vectors import FRAMES
from tests.simulator.tool import Tool

LINE = LineSettings.parse(9600, "8E1")
SETTINGS = OutstationSettings(end_of_init=False, delay=0.0)
V3_POINTS = (Point(10, Kind.SINGLE, 1), Point(11, Kind.SINGLE, 0), Point(20, Kind.SINGLE, 0, Quality.INVALID))
F = FRAMES


class Master:
    """Asks as a master does, and keeps the FCB."""

    def __init__(self, settings: OutstationSettings = SETTINGS, points: Sequence[Point] = V3_POINTS, script: str = ""):
        self.outstation = Outstation(settings, points, started=100.0)
        spoils = parse_script(script.encode()) if script else None
        self.line = OutstationLine([self.outstation], LINE, spoils=spoils)
        self.tool = Tool(PacedWire(self.line, LINE, watched=False), LINE)
        self.sizes = settings.sizes
        self.link = settings.link
        self.fcb = 0

    def ask(self, wire: bytes) -> bytes:
        return self.tool.ask(wire, within=0.5)

    def request(self, function: int, data: bytes = b"", *, again: bool = False) -> bytes:
        if function in (3, 10, 11):
            self.fcb ^= 0 if again else 0x20
            control = 0x50 | self.fcb | function
        else:
            control = 0x40 | function
            self.fcb = 0
        return self.ask(Frame(control, self.link, data).encode(self.sizes.link))

    def told(self, wire: bytes) -> tuple[int, int, int]:
        """Control, type and cause of an answer."""
        (frame,) = Reader(self.sizes.link).feed(wire)
        asdu = parse(frame.data, self.sizes)
        return frame.control, asdu.type, asdu.cause

    def up(self) -> None:
        assert self.request(9)
        assert self.request(0)

    def drain(self, function: int = 10) -> list[bytes]:
        """Everything of a class."""
        told = []
        while frame := self.request(function):
            if len(frame) <= 4 + self.sizes.link:
                break
            told.append(frame)
        return told


def test_the_transcript() -> None:
    master = Master()
    acd = bytes.fromhex("68 09 09 68 28 01 64 01 07 01 00 00 14 AA 16")
    for asked, answered in (
        ("F2", F["F3"]),
        ("F1", F["F4"]),
        ("V1", F["F5"]),
        ("F10", acd),
        ("F9", F["V3"]),
        ("F9", F["V3"]),
        ("F10", F["V5"]),
        ("F7", F["F11"]),
    ):
        assert master.ask(F[asked]) == answered, asked
    assert master.line.counts()["repeats"] == 1


def test_wire_time() -> None:
    master = Master(replace(SETTINGS, delay=0.02))
    begin = master.tool.now
    master.tool.say(F["F2"])
    master.tool.hear(1.0, quiet=0.0)
    assert master.tool.now - begin == pytest.approx((5 + 5 + 10) * 11 / 9600 + 0.02, abs=1e-6)


def test_8n1_is_not_8e1() -> None:
    master = Master()
    master.tool.tune(9600, "8N1")
    assert master.ask(F["F1"]) == b""


def test_the_first_fcb_after_a_reset_is_1_and_a_reset_of_the_process_is_no_reset() -> None:
    master = Master()
    master.up()
    assert master.ask(F["F7"]) == F["F11"]
    master.outstation.change(10, 0, 100.0)
    assert master.ask(F["F7"]) == F["F11"]  # taken for a repeat: stale
    assert master.ask(F["F8"]) == F["F12"]
    assert master.ask(F["F1"]) == F["F5"]
    assert master.told(master.ask(F["F9"])) == (0x08, 30, 3)


@pytest.mark.parametrize(
    ("unreset", "answer"),
    [
        (Unreset.SILENT, b""),
        (Unreset.NOT_FUNCTIONING, bytes.fromhex("10 0E 01 0F 16")),
        (Unreset.ANSWERS, F["F11"]),
    ],
)
def test_before_the_link_is_reset(unreset: Unreset, answer: bytes) -> None:
    master = Master(replace(SETTINGS, unreset=unreset))
    assert master.ask(F["F7"]) == answer
    assert master.ask(F["F2"]) == F["F3"]


def test_end_of_initialisation_comes_first() -> None:
    master = Master(replace(SETTINGS, end_of_init=True))
    assert master.request(9) == bytes.fromhex("10 2B 01 2C 16")
    master.up()
    assert master.drain() == [F["V19"]]


def test_events_carry_their_time() -> None:
    master = Master()
    master.up()
    at = Stamp(datetime.fromisoformat("2026-11-21T18:58:15.250"))
    master.outstation.application.change(10, 1, 0.0, at=at)
    master.outstation.application.change(11, 1, 0.0, at=at)
    assert master.request(11) == F["F12"]
    assert master.request(10) == F["V15"]
    assert master.told(master.request(10)) == (0x08, 30, 3)
    assert master.request(10) == F["F11"]


@pytest.mark.parametrize(("times", "type_"), [(Times.NONE, 1), (Times.SHORT, 2), (Times.LONG, 30)])
def test_forms_of_events(times: Times, type_: int) -> None:
    master = Master(replace(SETTINGS, times=times))
    master.up()
    master.outstation.change(10, 1, master.tool.now)
    assert master.told(master.request(10))[1:] == (type_, 3)


def test_clock_of_events_goes_on_and_is_invalid_until_set() -> None:
    master = Master(replace(SETTINGS, clock_set=False))
    master.up()
    master.outstation.change(10, 1, 101.0)
    assert master.request(10)[13:-2] == Stamp(datetime.fromisoformat("2026-11-21T18:58:16.250"), invalid=True).cp56()
    assert master.request(3, F["V21"][6:-2]) == F["F5"]
    confirmed = master.request(10)
    assert master.told(confirmed) == (0x08, 103, 7)
    assert confirmed[14] & 0x80  # what it showed before
    master.outstation.change(10, 0, master.tool.now)
    assert not master.request(10)[15] & 0x80


def test_broadcast_sets_the_clock_and_nobody_answers() -> None:
    master = Master(replace(SETTINGS, clock_set=False))
    assert master.ask(F["V22"]) == b""
    assert master.line.counts()["clock_set"] == 1
    assert master.request(9) == F["F3"]  # nothing to say


def test_everything_of_every_kind_is_told() -> None:
    master = Master(SETTINGS, Outstation().application.points.values())  # type: ignore[arg-type] # in order
    master.up()
    master.request(3, F["V1"][6:-2])
    types = [master.told(frame)[1:] for frame in master.drain()]
    assert types[0] == (100, 7)
    assert types[-1] == (100, 10)
    assert [kind for kind, _ in types[1:-1]] == [1, 3, 5, 7, 9, 11, 13, 20, 21]
    assert {cause for _, cause in types[1:-1]} == {20}


def test_groups_and_an_unknown_qualifier() -> None:
    master = Master(SETTINGS, Outstation().application.points.values())  # type: ignore[arg-type] # in order
    master.up()
    master.request(3, F["V1"][6:-3] + b"\x16")
    assert [master.told(frame)[1:] for frame in master.drain()] == [(100, 7), (5, 22), (7, 22), (100, 10)]
    master.request(3, F["V1"][6:-3] + b"\x63")
    assert [master.told(frame)[1:] for frame in master.drain()] == [(100, 0x47)]


def test_counters_are_frozen_and_read() -> None:
    master = Master(SETTINGS, (Point(50, Kind.COUNTER, 77160, 4), Point(51, Kind.COUNTER, 7, group=2)))
    master.up()
    master.request(3, F["V20"][6:-3] + b"\x45")
    assert [master.told(frame)[1:] for frame in master.drain()] == [(101, 7), (101, 10)]
    master.outstation.application.points[50].value = 80000
    master.request(3, F["V20"][6:-3] + b"\x05")
    told = master.drain()
    assert [master.told(frame)[1:] for frame in told] == [(101, 7), (15, 37), (101, 10)]
    assert told[1][12:17] == bytes.fromhex("68 2D 01 00 05")
    master.request(3, F["V20"][6:-3] + b"\x02")
    assert [master.told(frame)[1:] for frame in master.drain()] == [(101, 7), (15, 39), (101, 10)]


def test_freeze_and_reset_begins_at_nothing() -> None:
    master = Master(SETTINGS, (Point(50, Kind.COUNTER, 77160, 4),))
    master.up()
    master.request(3, F["V20"][6:-3] + b"\x85")
    master.drain()
    assert master.outstation.application.points[50].value == 0
    master.request(3, F["V20"][6:-3] + b"\x05")
    assert master.drain()[1][12:17] == bytes.fromhex("68 2D 01 00 05")


def test_read() -> None:
    master = Master(SETTINGS, (Point(42, Kind.FLOAT, 231.4),))
    master.up()
    master.request(3, F["V27"][6:-2])
    assert master.drain() == [F["V11"]]
    master.request(3, F["V27"][6:-4] + b"\x2b\x00")
    assert [master.told(frame)[1:] for frame in master.drain()] == [(102, 47 | 0x40)]


@pytest.mark.parametrize(
    ("asked", "cause"),
    [
        (F["V33"][6:-2], 7),
        (F["V34"][6:-2], 7),
        (F["V23"][6:-2], 44 | 0x40),
        (F["V28"][6:-2], 44 | 0x40),
        (bytes.fromhex("64 01 05 01 00 00 14"), 45 | 0x40),
        (bytes.fromhex("64 01 06 02 00 00 14"), 46 | 0x40),
        (bytes.fromhex("64 01 86 01 00 00 63"), 0xC7),
    ],
)
def test_what_is_confirmed_and_what_is_refused(asked: bytes, cause: int) -> None:
    master = Master()
    master.up()
    master.request(3, asked)
    assert [master.told(frame)[1:] for frame in master.drain()] == [(asked[0], cause)]


def test_reset_process_ends_in_the_end_of_initialisation() -> None:
    master = Master(replace(SETTINGS, end_of_init=True))
    master.up()
    master.drain()
    master.request(3, F["V32"][6:-2])
    assert [master.told(frame)[1:] for frame in master.drain()] == [(105, 7), (70, 4)]


def test_too_short_an_asdu_is_nothing() -> None:
    master = Master()
    master.up()
    assert master.request(3, b"\x64\x01\x06") == F["F4"]
    assert master.drain() == []


def test_measured_values_are_cyclic() -> None:
    master = Master(replace(SETTINGS, cyclic=10.0), (Point(40, Kind.NORMALISED, 0.5), *V3_POINTS))
    master.up()
    assert master.request(11) == F["F11"]
    master.tool.pass_(10.0)
    assert master.request(11) == F["V9"]
    assert master.request(11) == F["F11"]


def test_everything_in_class_2() -> None:
    master = Master(replace(SETTINGS, one_class=True))
    master.up()
    assert master.request(3, F["V1"][6:-2]) == F["F4"]
    assert master.drain(10) == []
    assert [master.told(frame)[0] for frame in master.drain(11)] == [8, 8, 8]


def test_class_1_instead_of_class_2() -> None:
    master = Master(replace(SETTINGS, class_1_for_2=True))
    master.up()
    master.outstation.change(10, 1, 0.0)
    assert master.told(master.request(11)) == (0x08, 30, 3)


@pytest.mark.parametrize(("single", "quiet", "waiting"), [
    (Single.NEVER, F["F11"], F["F12"]), (Single.QUIET, b"\xe5", F["F12"]), (Single.ALWAYS, b"\xe5", b"\xe5"),
])  # fmt: skip
def test_the_single_character(single: Single, quiet: bytes, waiting: bytes) -> None:
    master = Master(replace(SETTINGS, single=single))
    master.up()
    assert master.request(11) == quiet
    master.outstation.change(10, 1, 0.0)
    assert master.request(11) == waiting
    assert len(master.drain()) == 1


@pytest.mark.parametrize("sizes", [Sizes(2, 2, 2, 3), Sizes(0, 1, 1, 1), Sizes(1, 2, 1, 3), Sizes(2, 1, 2, 2)], ids=str)
@pytest.mark.parametrize("sequences", [False, True])
def test_sizes(sizes: Sizes, sequences: bool) -> None:
    link = 258 if sizes.link == 2 else 1
    settings = replace(SETTINGS, sizes=sizes, link=link, sequences=sequences)
    master = Master(settings, [Point(number, Kind.FLOAT, number) for number in range(1, 201)])
    master.up()
    asked = bytes((100, 1, 6, 0)[: 2 + sizes.cause]) + (1).to_bytes(sizes.common, "little") + bytes(sizes.ioa) + b"\x14"
    master.request(3, asked)
    frames = master.drain()
    assert [master.told(frame)[1:] for frame in (frames[0], frames[-1])] == [(100, 7), (100, 10)]
    asdus = [parse(Reader(sizes.link).feed(frame)[0].data, sizes) for frame in frames[1:-1]]
    assert sum(asdu.count for asdu in asdus) == 200
    assert all(asdu.sequence is sequences for asdu in asdus)


def test_several_on_one_line() -> None:
    line = OutstationLine([Outstation(settings, V3_POINTS) for settings in alike(SETTINGS, 3)], LINE)
    tool = Tool(PacedWire(line, LINE, watched=False), LINE)
    for link in (3, 1, 2):
        assert tool.ask(Frame(0x49, link).encode(1), within=0.5) == Frame(0x0B, link).encode(1)
    assert tool.ask(Frame(0x49, 4).encode(1), within=0.5) == b""
    assert tool.ask(Frame(0x0B, 1).encode(1), within=0.5) == b""  # an echo of an answer
    assert tool.wire.collisions == 0


def test_lines_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="without"):
        OutstationLine([])
    with pytest.raises(ValueError, match="one link address"):
        OutstationLine([Outstation(), Outstation()])
    with pytest.raises(ValueError, match="different sizes"):
        OutstationLine([Outstation(), Outstation(OutstationSettings(link=2, sizes=Sizes(1, 2, 1, 2)))])


def test_a_long_pause_ends_a_frame() -> None:
    master = Master()
    master.tool.say(F["F2"][:3])
    assert master.ask(F["F2"][3:]) == F["F3"]  # a gateway's gap
    master.tool.say(F["F2"][:3])
    master.tool.pass_(1.0)
    assert master.ask(F["F2"][3:]) == b""


# Faults.


def script(kind: str, more: str = "") -> str:
    return f'[[fault]]\nkind = "{kind}"\nrequests = "class-1"\nlimit = 1\n{more}\n'


def up_with_events(kind: str, more: str = "", settings: OutstationSettings = SETTINGS) -> Master:
    master = Master(settings, script=script(kind, more))
    master.up()
    at = Stamp(datetime.fromisoformat("2026-11-21T18:58:15.250"))
    for address in (10, 11):
        master.outstation.application.change(address, 1, 0.0, at=at)
    return master


def test_a_lost_answer_is_said_again_once() -> None:
    master = up_with_events("missing")
    assert master.request(10) == b""
    assert master.request(10, again=True) == F["V15"]
    assert len(master.drain()) == 1


def test_a_lost_answer_is_lost_where_fcb_is_not_obeyed() -> None:
    master = up_with_events("missing", settings=replace(SETTINGS, obeys_fcb=False))
    assert master.request(10) == b""
    assert master.request(10, again=True) != F["V15"]
    assert master.drain() == []


@pytest.mark.parametrize(
    ("kind", "more", "answer"),
    [
        ("wrong-address", "", b"\x68\x10\x10\x68\x28\x02" + F["V15"][6:-2] + b"\x6b\x16"),
        ("bad-crc", "", F["V15"][:-2] + bytes((F["V15"][-2] ^ 0x55, 0x16))),
        ("nack", "", bytes.fromhex("10 21 01 22 16")),
        ("not-functioning", "", bytes.fromhex("10 2E 01 2F 16")),
        ("not-functioning", "implemented = false", bytes.fromhex("10 2F 01 30 16")),
        ("deaf", "", b""),
        ("busy", "", b"\x68\x10\x10\x68\x38" + F["V15"][5:-2] + b"\x7a\x16"),
        ("junk", 'data = "FF"', b"\xff" + F["V15"]),
        ("twice", "", F["V15"] * 2),
        ("cut", "", F["V15"][:-1]),
        ("echo", "", F["F9"] + F["V15"]),
    ],
)
def test_faults(kind: str, more: str, answer: bytes) -> None:
    master = up_with_events(kind, more)
    assert master.request(10) == answer
    assert master.line.counts()["struck"] == 1


def test_a_slow_answer() -> None:
    master = up_with_events("delay", 'delay = "2s"')
    assert master.request(10) == b""
    assert master.tool.hear(3.0) == F["V15"]


def test_stuck_acd() -> None:
    master = Master(script='[[fault]]\nkind = "stuck-acd"\n')
    master.up()
    for _ in range(5):
        assert master.request(10) == F["F12"]


def test_busy_refuses_user_data() -> None:
    master = Master(script='[[fault]]\nkind = "busy"\nrequests = "data"\nlimit = 1\n')
    master.up()
    assert master.request(3, F["V1"][6:-2]) == bytes.fromhex("10 11 01 12 16")
    assert master.request(3, F["V1"][6:-2]) == F["F5"]


@pytest.mark.parametrize("warns", [False, True])
def test_restart(warns: bool) -> None:
    master = up_with_events("restart", f"warns = {str(warns).lower()}", replace(SETTINGS, end_of_init=True))
    assert master.request(10) == b""
    assert master.request(10, again=True) == b""
    master.up()
    assert master.drain() == ([F["V19"]] if warns else [])

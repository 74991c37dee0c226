"""The outstation's codec against frames that others agree on: whole, byte by byte, and among rubbish."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.simulator.iec101.asdu import Asdu, Sizes, parse
from nportpy.simulator.iec101.clock import Stamp, parse_cp56
from nportpy.simulator.iec101.frames import Frame, Reader
from nportpy.simulator.iec101.points import Kind, Point, Quality, reports
from tests.simulator.iec101.vectors import FRAMES, sizes_of

STAMP = Stamp(datetime.fromisoformat("2026-11-21T18:58:15.250"))
CP56 = bytes.fromhex("92 3B 3A 12 D5 0B 1A")


@pytest.mark.parametrize("name", FRAMES)
def test_frames_there_and_back(name: str) -> None:
    wire, sizes = FRAMES[name], sizes_of(name)
    (frame,) = Reader(sizes.link).feed(wire)
    assert frame.encode(sizes.link) == wire
    assert frame.address in (1, 258, 255)
    if frame.data:
        asdu = parse(frame.data, sizes)
        assert asdu.encode(sizes) == frame.data
        assert asdu.common in (1, 258, 255)


@pytest.mark.parametrize("name", FRAMES)
def test_cut_at_every_byte_and_among_rubbish(name: str) -> None:
    wire, size = FRAMES[name], sizes_of(name).link
    for cut in range(1, len(wire)):
        reader = Reader(size)
        assert reader.feed(wire[:cut]) == []
        assert len(reader.feed(wire[cut:])) == 1
        assert Reader(size).feed(wire[:cut]) == []
    for rubbish in (b"\x00", b"\xe5", b"\x16\x16", b"\x68\x09\x0a\x68", b"\x10\x10\x10", b"\xff" * 9):
        assert Reader(size).feed(rubbish + wire + rubbish)[:1] == Reader(size).feed(wire)


@given(st.binary(max_size=600))
def test_rubbish_ends(data: bytes) -> None:
    reader = Reader(1)
    frames = reader.feed(data)
    assert sum(len(frame.encode(1)) for frame in frames) <= len(data)


@pytest.mark.parametrize(
    ("name", "cause", "points"),
    [
        ("V3", 20, [Point(10, Kind.SINGLE, 1), Point(11, Kind.SINGLE, 0), Point(20, Kind.SINGLE, 0, Quality.INVALID)]),
        ("V4", 20, [Point(10, Kind.SINGLE, 1), Point(11, Kind.SINGLE, 0), Point(12, Kind.SINGLE, 1, Quality.BLOCKED)]),
        ("V6", 3, [Point(30, Kind.DOUBLE, 2)]),
        ("V7", 3, [Point(31, Kind.STEP, -2, transient=True)]),
        ("V8", 3, [Point(32, Kind.BITS, 0x04030201)]),
        ("V9", 1, [Point(40, Kind.NORMALISED, 0.5)]),
        ("V10", 2, [Point(41, Kind.SCALED, -1000, Quality.OVERFLOW)]),
        ("V11", 5, [Point(42, Kind.FLOAT, 231.4)]),
        ("V12", 37, [Point(50, Kind.COUNTER, 77160, 5)]),
        ("V13", 20, [Point(60, Kind.PACKED, 0x00010003)]),
        ("V14", 1, [Point(61, Kind.BARE, 0.5)]),
    ],
)
def test_points(name: str, cause: int, points: list[Point]) -> None:
    (asdu,) = reports(points, cause, 1, Sizes(), sequences=name == "V4")
    assert asdu.encode(Sizes()) == FRAMES[name][6:-2]


@pytest.mark.parametrize(
    ("name", "point", "short", "cause"),
    [
        ("V15", Point(10, Kind.SINGLE, 1), False, 3),
        ("V16", Point(30, Kind.DOUBLE, 1), False, 3),
        ("V17", Point(42, Kind.FLOAT, 231.4), False, 3),
        ("V18", Point(50, Kind.COUNTER, 77160, 5), False, 37),
        ("V31", Point(10, Kind.SINGLE, 1), True, 3),
        ("V30", Point(65578, Kind.FLOAT, 231.4), False, 3),
    ],
)
def test_events(name: str, point: Point, short: bool, cause: int) -> None:
    sizes = sizes_of(name)
    kind, element = point.timed(STAMP, short=short)
    asdu = Asdu(kind, cause, 258 if name == "V30" else 1, point.address.to_bytes(sizes.ioa, "little") + element)
    assert asdu.encode(sizes) == FRAMES[name][5 + sizes.link : -2]


def test_times() -> None:
    assert STAMP.cp56() == CP56
    assert parse_cp56(CP56) == STAMP
    summer = Stamp(STAMP.time, summer=True)
    assert summer.cp56()[3] == 0x92
    assert parse_cp56(summer.cp56()) == summer
    assert Stamp(STAMP.time, invalid=True).cp24() == bytes.fromhex("92 3B BA")


@given(
    st.datetimes(datetime.fromisoformat("2000-01-01"), datetime.fromisoformat("2099-12-31")),
    st.booleans(),
    st.booleans(),
)
def test_times_there_and_back(time: datetime, invalid: bool, summer: bool) -> None:
    stamp = Stamp(time.replace(microsecond=time.microsecond // 1000 * 1000), invalid, summer)
    assert parse_cp56(stamp.cp56()) == stamp


@given(
    st.lists(st.integers(1, 255), unique=True, max_size=250).map(sorted),
    st.sampled_from([Sizes(), Sizes(2, 2, 2, 3), Sizes(0, 1, 1, 1)]),
    st.booleans(),
)
def test_reports_hold_every_point_and_fit(addresses: list[int], sizes: Sizes, sequences: bool) -> None:
    points = [Point(address, Kind.FLOAT, address) for address in addresses]
    told = list(reports(points, 20, 1, sizes, sequences=sequences))
    seen: list[int] = []
    for asdu in told:
        encoded = asdu.encode(sizes)
        assert len(encoded) + 1 + sizes.link <= 255
        step = 0 if asdu.sequence else sizes.ioa
        first = int.from_bytes(asdu.objects[: sizes.ioa], "little")
        for number in range(asdu.count):
            at = number * (5 + step)
            seen.append(
                first + number if asdu.sequence else int.from_bytes(asdu.objects[at : at + sizes.ioa], "little")
            )
        assert len(asdu.objects) == (sizes.ioa if asdu.sequence else 0) + asdu.count * (5 + step)
    assert seen == addresses


@pytest.mark.parametrize("sizes", [(3, 1, 1, 2), (1, 3, 1, 2), (1, 1, 0, 2), (1, 1, 1, 0), (1, 1, 1, 4)])
def test_other_sizes_are_refused(sizes: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="has one of"):
        Sizes(*sizes)


def test_frame_with_no_link_address() -> None:
    assert Frame(0x49, 0).encode(0) == bytes.fromhex("10 49 49 16")
    assert Reader(0).feed(bytes.fromhex("10 49 49 16")) == [Frame(0x49, 0)]

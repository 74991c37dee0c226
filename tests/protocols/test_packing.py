from collections import deque
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.linesettings import LineSettings
from nportpy.protocols.modbus.rtu import encode
from nportpy.protocols.packing import (
    BUFFER,
    Delimiting,
    GapPacker,
    Immediate,
    Packer,
    Packing,
    PackingSettings,
    RtuPacker,
    SizePacker,
    packer,
)
from nportpy.simulator.delivery import Burst, Delivery, Fifo, LatencyTimer
from tests.protocols.modbus.vectors import PAIRS

CHARACTER = 0.001
SPEEDS = [1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200, 230400, 460800, 921600]
FRAMES = [encode(unit, pdu) for pair in PAIRS for unit, pdu in zip((1, 247), pair, strict=True)]
RTU = PackingSettings(Packing.RTU)
GAP = PackingSettings(Packing.GAP)


def by(**settings: object) -> Packer:
    return packer(PackingSettings(**settings), CHARACTER)  # type: ignore[arg-type]  # the test's own words


def cut_everywhere(settings: PackingSettings, data: bytes, expected: list[bytes], left: list[bytes]) -> None:
    """Whole, byte by byte, and split at every place, in no time: the same segments."""
    for pieces in ([data], [data[at : at + 1] for at in range(len(data))]):
        pack = packer(settings, CHARACTER)
        assert [segment for piece in pieces for segment in pack.feed(piece, 0.0)] == expected
        assert pack.finish() == left
        assert pack.finish() == []
        assert pack.deadline() is None
    for cut in range(len(data) + 1):
        pack = packer(settings, CHARACTER)
        assert pack.feed(data[:cut], 0.0) + pack.feed(data[cut:], 0.0) == expected
        assert pack.finish() == left


# Settings.


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        (PackingSettings(), Immediate),
        (PackingSettings(length=1), SizePacker),
        (PackingSettings(delimiters=b"\r"), SizePacker),
        (PackingSettings(force_transmit=0.01), SizePacker),
        (GAP, GapPacker),
        (RTU, RtuPacker),
    ],
)
def test_each_way_has_its_packer(settings: PackingSettings, kind: type) -> None:
    assert type(packer(settings, CHARACTER)) is kind


@pytest.mark.parametrize(
    "settings",
    [
        {"length": 1025},
        {"length": -1},
        {"delimiters": b"abc"},
        {"delimiters": b"a", "length": 5},
        {"packing": Packing.RTU, "length": 5},
        {"packing": Packing.GAP, "delimiters": b"a"},
        {"packing": Packing.GAP, "force_transmit": 0.1},
        {"gap": 0.0},
        {"gap": float("nan")},
        {"force_transmit": -1.0},
        {"latency": float("inf")},
    ],
)
def test_what_contradicts_itself_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        by(**settings)


def test_immediate() -> None:
    pack = by()
    assert pack.feed(b"abc", 0.0) == [b"abc"]
    assert pack.feed(b"", 0.0) == []
    assert pack.deadline() is None
    assert pack.expire(1.0) == pack.finish() == []


# Packing length and delimiters.


def test_packing_length() -> None:
    cut_everywhere(PackingSettings(length=4), b"0123456789", [b"0123", b"4567"], [b"89"])
    cut_everywhere(PackingSettings(length=1), b"012", [b"0", b"1", b"2"], [])


@pytest.mark.parametrize(
    ("delimiters", "delimiting", "data", "expected", "left"),
    [
        (b"\r", Delimiting.KEEP, b"ab\rc\r\rd", [b"ab\r", b"c\r", b"\r"], [b"d"]),
        (b"\r", Delimiting.STRIP, b"ab\rc\r\rd", [b"ab", b"c"], [b"d"]),
        (b"\r", Delimiting.PLUS_1, b"ab\rXc\rYd\r", [b"ab\rX", b"c\rY"], [b"d\r"]),
        (b"\r", Delimiting.PLUS_2, b"ab\rXYc\r\r\rd\rZ", [b"ab\rXY", b"c\r\r\r"], [b"d\rZ"]),
        (b"\r\n", Delimiting.KEEP, b"a\rb\nc\r\nd\r", [b"a\rb\nc\r\n"], [b"d\r"]),
        (b"\r\n", Delimiting.STRIP, b"a\r\n\r\nb\r\r\n\n", [b"a", b"b\r"], [b"\n"]),
        (b"\r\n", Delimiting.PLUS_1, b"a\r\n\rb\r\n", [b"a\r\n\r"], [b"b\r\n"]),
        (b"\r\r", Delimiting.KEEP, b"\r\r\ra\r\r", [b"\r\r", b"\ra\r\r"], []),
        (b"\r\r", Delimiting.PLUS_2, b"\r\rab\r\r", [b"\r\rab"], [b"\r\r"]),
    ],
)
def test_delimiters(
    delimiters: bytes, delimiting: Delimiting, data: bytes, expected: list[bytes], left: list[bytes]
) -> None:
    cut_everywhere(PackingSettings(delimiters=delimiters, delimiting=delimiting), data, expected, left)


def test_a_full_buffer_is_sent() -> None:
    line = b"x" * (BUFFER - 1)
    cut_everywhere(PackingSettings(delimiters=b"\r"), line + b"\ra", [line + b"\r"], [b"a"])
    cut_everywhere(PackingSettings(delimiters=b"\r"), line + b"x\ra", [line + b"x", b"\r"], [b"a"])
    plus = PackingSettings(delimiters=b"\r", delimiting=Delimiting.PLUS_1)
    cut_everywhere(plus, line + b"\rab", [line + b"\r"], [b"ab"])


def test_force_transmit() -> None:
    pack = by(delimiters=b"\r", force_transmit=0.05)
    assert pack.deadline() is None
    assert pack.feed(b"a\rbc", 1.0) == [b"a\r"]
    assert pack.deadline() == 1.05
    assert pack.feed(b"d", 1.04) == []
    assert pack.deadline() == 1.09, "it is silence that counts"
    assert pack.expire(1.05) == []
    assert pack.expire(1.09) == [b"bcd"]
    assert pack.deadline() is None
    assert pack.expire(2.0) == []


def test_force_transmit_alone() -> None:
    pack = by(force_transmit=0.05)
    assert pack.feed(b"abc", 1.0) == []
    assert pack.expire(1.05) == [b"abc"]


def test_without_force_transmit_the_rest_waits() -> None:
    pack = by(length=10)
    assert pack.feed(b"abc", 1.0) == []
    assert pack.deadline() is None
    assert pack.expire(100.0) == []


# The gap.


def drive(pack: Packer, bursts: list[Burst], delivery: Delivery, late: float = 0.0) -> list[tuple[float, bytes]]:
    """What leaves the packer, and when, if timers and deliveries are seen `late` seconds after their time."""
    waiting, segments = deque(bursts), []
    while True:
        due, deadline = delivery.due(waiting), pack.deadline()
        if due is not None and (deadline is None or due <= deadline + late):
            data = delivery.take(waiting, due)
            segments += [(due, segment) for segment in pack.feed(data, due + late)]
        elif deadline is not None:
            segments += [(deadline + late, segment) for segment in pack.expire(deadline + late)]
        else:
            return segments


def bursts(frames: list[bytes], character: float, pause: float = 4.0) -> list[Burst]:
    """The frames one after the other, `pause` characters of silence between them."""
    result: list[Burst] = []
    start = 1.0
    for frame in frames:
        result.append(Burst(start, bytearray(frame), character))
        start = result[-1].end + pause * character
    return result


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("settings", [GAP, RTU])
@pytest.mark.parametrize("chunk", [1, 8])
def test_one_segment_for_each_frame(speed: int, settings: PackingSettings, chunk: int) -> None:
    """With silence enough between them for the FIFO and for a machine whose timers are a millisecond apart."""
    character = LineSettings.parse(speed, "8E1").character_time
    pause = 20 + 0.004 / character
    frames = [bytes(range(size)) for size in range(1, 40)] if settings is GAP else FRAMES
    wire = bursts(frames, character, pause)
    ends = [burst.end for burst in wire]
    segments = drive(packer(settings, character), wire, Fifo(chunk))
    assert [segment for _, segment in segments] == frames
    for (at, segment), end in zip(segments, ends, strict=True):
        promised = max((20 if len(segment) % 8 == 0 or settings is RTU else 2) * character, 0.001)
        if settings is RTU and segment[1] != 0x41:  # a vendor's: only silence ends it
            promised = 0.0
        assert at - end <= promised + 1e-9


@pytest.mark.parametrize("speed", SPEEDS)
def test_rtu_frames_need_no_silence(speed: int) -> None:
    character = LineSettings.parse(speed).character_time
    known = [frame for frame in FRAMES if frame[1] != 0x41]
    wire = bursts(known, character, 0.0)
    segments = drive(packer(RTU, character), wire, Fifo(16))
    assert [segment for _, segment in segments] == known


@pytest.mark.parametrize("chunk", [4, 32, 56])
def test_another_fifo_is_learned_from_one_frame(chunk: int) -> None:
    frames = [bytes(range(130))] * 5
    wire = bursts(frames, CHARACTER, 100)
    segments = [segment for _, segment in drive(packer(GAP, CHARACTER), wire, Fifo(chunk))]
    assert segments[-4:] == frames[1:]
    assert b"".join(segments) == b"".join(frames)


@pytest.mark.parametrize("chunk", [8, 14, 16])
def test_a_usual_fifo_need_not_be_learned(chunk: int) -> None:
    frames = [bytes(range(70))] * 5
    wire = bursts(frames, CHARACTER, 100)
    assert [segment for _, segment in drive(packer(GAP, CHARACTER), wire, Fifo(chunk))] == frames


def test_an_adapter_is_waited_for() -> None:
    character = LineSettings.parse(9600).character_time
    frames = [bytes(range(size)) for size in (3, 20, 60, 100, 7, 64)]
    settings = PackingSettings(Packing.GAP, latency=0.017)
    wire = bursts(frames, character, 60)
    assert [segment for _, segment in drive(packer(settings, character), wire, LatencyTimer())] == frames


def test_a_slow_handing_over_of_a_fifos_rest_is_waited_for() -> None:
    """A 16550 hands the rest over after four characters of silence."""
    pack = packer(GAP, CHARACTER)
    assert pack.feed(b"12345678", 0.008) == []
    assert pack.expire(0.018) == []
    assert pack.feed(b"abcdefg", 0.008 + 0.007 + 0.004) == []
    assert pack.deadline() == pytest.approx(0.021)
    assert pack.expire(0.022) == [b"12345678abcdefg"]


def test_a_late_timer_does_not_join_frames() -> None:
    pack = packer(GAP, CHARACTER)
    assert pack.feed(b"abc", 1.0) == []
    assert pack.feed(b"de", 1.0 + 0.010) == [b"abc"]
    assert pack.expire(2.0) == [b"de"]


def test_a_late_reader_does_not_cut_frames() -> None:
    """What was on the wire all the time is no silence, however late it is read."""
    pack = packer(GAP, CHARACTER)
    assert pack.feed(b"12345", 1.0) == []
    assert pack.feed(b"x" * 30, 1.03) == []
    due = pack.deadline()
    assert due is not None
    assert pack.expire(due) == [b"12345" + b"x" * 30]


def test_learning_has_its_limits() -> None:
    pack = packer(GAP, CHARACTER)
    now = 0.0
    for _ in range(5):
        now += 0.5
        pack.feed(b"x" * 500, now)
    due = pack.deadline()
    assert due is not None
    assert due - now <= 0.07


def test_another_speed() -> None:
    pack = packer(PackingSettings(Packing.GAP, gap=3.5), CHARACTER)
    pack.feed(b"abc", 1.0)
    assert pack.deadline() == pytest.approx(1.0035)
    pack.set_character_time(10 * CHARACTER)
    assert pack.deadline() == pytest.approx(1.035)
    assert pack.expire(1.0035) == []
    assert pack.expire(1.0351) == [b"abc"]


def test_a_stream_without_gaps_is_cut_at_the_buffers_size() -> None:
    cut_everywhere(GAP, bytes(3 * BUFFER), [bytes(BUFFER)] * 3, [])


# Modbus RTU.


@pytest.mark.parametrize("frame", [frame for frame in FRAMES if frame[1] != 0x41])
def test_a_frame_goes_with_its_last_byte(frame: bytes) -> None:
    cut_everywhere(RTU, frame, [frame], [])
    cut_everywhere(RTU, frame * 3, [frame] * 3, [])


def test_an_exception_and_a_broadcast() -> None:
    refusal, write = encode(1, b"\x83\x02"), encode(0, bytes.fromhex("06 0001 0003"))
    cut_everywhere(RTU, write + refusal, [write, refusal], [])


def test_what_a_vendor_says_ends_by_silence() -> None:
    vendor, known = encode(1, b"\x41\x01\x02"), FRAMES[0]
    cut_everywhere(RTU, vendor, [], [vendor])
    pack = packer(RTU, CHARACTER)
    assert pack.feed(vendor, 1.0) == []
    due = pack.deadline()
    assert due is not None
    assert pack.expire(due) == [vendor]
    assert pack.feed(known, 2.0) == [known]


@pytest.mark.parametrize("noise", [b"\xff", b"\x00", b"\xff\x00\xff", b"\x01\x03\x00", b"\xaa" * 7])
def test_noise_goes_apart_from_frames(noise: bytes) -> None:
    answer = encode(1, bytes.fromhex("03 14") + bytes(range(20)))
    for frame in (FRAMES[4], answer):
        pack = packer(RTU, CHARACTER)
        assert pack.feed(noise + frame + frame, 1.0) + pack.expire(2.0) == [noise, frame, frame]
        assert pack.deadline() is None


def test_a_spoilt_frame_goes_apart_from_the_next() -> None:
    frame = FRAMES[4]
    spoilt = frame[:-1] + bytes((frame[-1] ^ 1,))
    cut_everywhere(RTU, spoilt + frame, [], [spoilt, frame])
    cut_everywhere(RTU, spoilt, [], [spoilt])


def test_a_cut_off_frame_ends_by_silence() -> None:
    frame = FRAMES[4]
    pack = packer(RTU, CHARACTER)
    assert pack.feed(frame[:-1], 1.0) == []
    assert pack.expire(1.1) == [frame[:-1]]
    assert pack.feed(frame, 2.0) == [frame]


# Whatever comes.

SETTINGS = st.one_of(
    st.builds(PackingSettings, st.sampled_from(Packing), gap=st.sampled_from([1.5, 2.0, 3.5])),
    st.builds(PackingSettings, length=st.integers(0, 50), force_transmit=st.sampled_from([0.0, 0.02])),
    st.builds(
        PackingSettings,
        delimiters=st.lists(st.sampled_from([0, 1, 3]), max_size=2).map(bytes),
        delimiting=st.sampled_from([Delimiting.KEEP, Delimiting.PLUS_1, Delimiting.PLUS_2]),
        force_transmit=st.sampled_from([0.0, 0.02]),
    ),
)
PIECES = st.lists(
    st.tuples(
        st.one_of(
            st.binary(max_size=40),
            st.sampled_from(FRAMES),
            st.sampled_from([bytes(500), bytes(2000), b"\x01\x03" * 300, b"\x00\x01\x03"]),
        ),
        st.sampled_from([0.0, 0.0005, 0.003, 0.01, 0.05]),
    ),
    max_size=20,
)


@given(SETTINGS, PIECES)
def test_nothing_is_lost_or_added_or_kept_without_bound(
    settings: PackingSettings, pieces: list[tuple[bytes, float]]
) -> None:
    pack = packer(settings, CHARACTER)
    segments: list[bytes] = []
    given_ = sent = 0
    now = 1.0
    for data, pause in pieces:
        now += pause
        due = pack.deadline()
        if due is not None and due <= now:
            segments += pack.expire(due)
            assert pack.deadline() is None
        segments += pack.feed(data, now)
        given_ += len(data)
        sent = sum(map(len, segments))
        assert given_ - sent <= BUFFER
    segments += pack.finish()
    assert b"".join(segments) == b"".join(data for data, _ in pieces)
    assert all(segments)
    if settings.packing is not Packing.IMMEDIATE or settings.length or settings.delimiters:
        assert all(len(segment) <= BUFFER for segment in segments)


@given(SETTINGS, st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=6))
def test_any_cut_gives_the_same_segments(settings: PackingSettings, data: bytes, cuts: list[int]) -> None:
    if settings == PackingSettings(gap=settings.gap):
        return
    whole, cut = packer(settings, CHARACTER), packer(settings, CHARACTER)
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    segments = [segment for start, end in pairwise(places) for segment in cut.feed(data[start:end], 1.0)]
    assert segments == whole.feed(data, 1.0)
    assert cut.finish() == whole.finish()


@given(st.lists(st.sampled_from(FRAMES), max_size=10), st.sampled_from([1, 3, 8, 16]), st.sampled_from(SPEEDS))
def test_frames_with_silence_between_them(frames: list[bytes], chunk: int, speed: int) -> None:
    character = LineSettings.parse(speed).character_time
    wire = bursts(frames, character, 30 + 0.005 / character)
    assert [segment for _, segment in drive(packer(RTU, character), wire, Fifo(chunk))] == frames


@given(st.binary(max_size=200).filter(lambda data: b"\r" not in data), st.integers(1, 5))
def test_strip_takes_nothing_but_delimiters(data: bytes, parts: int) -> None:
    pack = by(delimiters=b"\r", delimiting=Delimiting.STRIP)
    segments = pack.feed((data + b"\r") * parts, 0.0)
    assert segments == [data] * parts if data else not segments

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.protocols.modbus.exchange import Echo
from nportpy.protocols.modbus.rtu import MAX_FRAME, Frame, encode
from nportpy.protocols.modbus.rtu_request import RequestFinder
from tests.protocols.modbus.vectors import PAIRS, VENDOR

QUIET = 0.002
KNOWN = [request for request, _ in PAIRS if request != VENDOR[0]] + [bytes.fromhex("08 0000 A537")]
LONG_ECHO = bytes.fromhex("08 0000 A537 0102 0304")
READ = Frame(1, bytes.fromhex("03 0000 000A"))
WRITE = Frame(1, bytes.fromhex("06 0001 0003"))


def heard(finder: RequestFinder, *chunks: bytes) -> list[Frame]:
    """The requests in these chunks, which come without silence between them but with some at the end."""
    now = finder._heard_at + 2 * QUIET
    frames = [frame for chunk in chunks for frame in finder.feed(chunk, now)]
    if (deadline := finder.deadline()) is not None:
        frames += finder.expire(deadline)
    return frames


def bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(ends)]


def test_a_published_frame() -> None:
    assert RequestFinder().feed(bytes.fromhex("01 03 00 00 00 0A C5 CD"), 0.0) == [READ]
    assert RequestFinder().feed(bytes.fromhex("11 03 00 6B 00 03 76 87"), 0.0) == [Frame(17, b"\x03\x00\x6b\x00\x03")]


@pytest.mark.parametrize("pdu", KNOWN)
def test_a_request_is_taken_with_its_last_byte(pdu: bytes) -> None:
    wire = encode(9, pdu)
    finder = RequestFinder()
    *before, last = [finder.feed(byte, 0.0) for byte in bytewise(wire)]
    assert not any(before)
    assert last == [Frame(9, pdu)]
    assert finder.deadline() is None
    for at in range(len(wire)):
        assert heard(RequestFinder(), wire[:at], wire[at:]) == [Frame(9, pdu)]


@pytest.mark.parametrize("pdu", KNOWN)
@pytest.mark.parametrize("junk", ["00", "FF", "FF FF FF", "00 00 00 00", "09", "09 10 00", "55 AA"])
def test_rubbish_before_and_after(pdu: bytes, junk: str) -> None:
    rubbish = bytes.fromhex(junk)
    wire = rubbish + encode(9, pdu) + rubbish + encode(9, pdu)
    for chunks in ([wire], bytewise(wire)):
        finder = RequestFinder()
        assert heard(finder, *chunks) == [Frame(9, pdu)] * 2
        assert finder.counts.junk == 2 * len(rubbish)


@pytest.mark.parametrize("pdu", [VENDOR[0], LONG_ECHO, bytes.fromhex("2B 0D 01"), b"\x7f"])
def test_a_length_that_nothing_tells_ends_with_silence(pdu: bytes) -> None:
    finder = RequestFinder(QUIET)
    assert finder.feed(encode(9, pdu), 0.0) == []
    assert finder.deadline() == QUIET
    assert finder.expire(0.001) == []
    assert finder.expire(QUIET) == [Frame(9, pdu)]


def test_silence_takes_nothing_away() -> None:
    """An adapter that hands its bytes over in pieces; and one that stopped in the middle."""
    finder = RequestFinder(QUIET)
    for pdu in (VENDOR[0], READ.pdu):
        wire = encode(9, pdu)
        assert heard(finder, wire[:4]) == []
        assert heard(finder, wire[4:]) == [Frame(9, pdu)]
        assert heard(finder, wire[:4]) == []
        assert heard(finder, wire) == [Frame(9, pdu)]


CONTRADICTORY = [
    "03 0000 000A 00",
    "03 0000",
    "03",
    "04 0000 000A 0000",
    "01 0000",
    "05 0001 FF",
    "06 0001 0003 00",
    "0F 0001 0002 02 03 00",
    "10 0001 0002 02 0003",
    "10 0001 0002 04 0003",
    "16 0004 00F2",
    "17 0003 0002 000E 0002 02 00FF",
    "18 04",
]


@pytest.mark.parametrize("pdu", CONTRADICTORY)
def test_f5_a_frame_whose_length_contradicts_its_function_is_a_request(pdu: str) -> None:
    frame = Frame(9, bytes.fromhex(pdu))
    wire = frame.encode()
    for chunks in ([wire], bytewise(wire), cut(wire, [3])):
        for alone in (True, False):
            finder = RequestFinder(QUIET, alone=alone)
            assert heard(finder, *chunks) == [frame]
            assert finder.counts.junk == 0
            assert finder.deadline() is None
            assert heard(finder, READ.encode(), *chunks) == [READ, frame]
            assert heard(finder, READ.encode()) == [READ]
            assert heard(finder, wire[:-1], READ.encode()) == [READ]
            assert heard(finder, *bytewise(wire[:-1] + bytes((wire[-1] ^ 1,)))) == []


def test_f5_what_is_short_of_bytes_may_be_another_units_answer() -> None:
    frame = Frame(9, bytes.fromhex("03 02 0001"))
    assert heard(RequestFinder(QUIET, alone=True), frame.encode()) == [frame]
    assert heard(RequestFinder(QUIET), frame.encode()) == []


def test_a_vendors_request_after_rubbish_and_silence() -> None:
    finder = RequestFinder(QUIET)
    assert heard(finder, b"\x00\xff\xff") == []
    assert heard(finder, encode(9, VENDOR[0])) == [Frame(9, VENDOR[0])]


def test_a_vendors_request_is_not_searched_for_others() -> None:
    pdu = b"\x41" + encode(1, WRITE.pdu) + b"\x01\x02"
    for chunks in ([encode(9, pdu)], bytewise(encode(9, pdu))):
        assert heard(RequestFinder(), *chunks) == [Frame(9, pdu)]


def test_a_vendors_request_with_others_behind_it_ends_where_its_crc_does() -> None:
    frames = [Frame(9, VENDOR[0]), *[READ] * 40]
    assert heard(RequestFinder(), b"".join(frame.encode() for frame in frames)) == frames


def test_a_broken_off_request_delays_the_next_only_until_silence() -> None:
    finder = RequestFinder()
    assert heard(finder, encode(9, KNOWN[11])[:7]) == []
    assert heard(finder, READ.encode()) == [READ]
    assert heard(finder, READ.encode()) == [READ]
    long = bytes.fromhex("01 10 0001 007B F6")  # 255 bytes
    assert heard(finder, long) == []
    assert finder.feed(READ.encode(), 1.0) == []
    assert finder.expire(1.0 + QUIET) == [READ]
    assert finder.feed(READ.encode(), 2.0) == [READ]


def test_what_other_units_answer_is_no_request() -> None:
    wire = b"".join(encode(5, answer) for request, answer in PAIRS if request != answer and answer[0] != 8)
    found = heard(RequestFinder(), wire + READ.encode())
    assert [frame for frame in found if frame.unit != 5] == [READ]


def test_a_known_echo() -> None:
    finder = RequestFinder(QUIET, Echo.YES)
    for pdu in (WRITE.pdu, b"\x03\x02\x00\x01"):
        wire = finder.answer(1, pdu)
        assert heard(finder, *bytewise(wire)) == []
        assert heard(finder, WRITE.encode()) == [WRITE]
    assert finder.counts.echoes == 2
    finder.answer(1, WRITE.pdu)
    assert heard(finder, READ.encode() + WRITE.encode()) == [READ, WRITE]


def test_without_echo_a_write_may_be_repeated() -> None:
    finder = RequestFinder(QUIET, Echo.NO)
    finder.answer(1, WRITE.pdu)
    assert heard(finder, WRITE.encode()) == [WRITE]


def test_an_echo_is_learned() -> None:
    finder = RequestFinder(QUIET, Echo.AUTO)
    assert heard(finder, finder.answer(1, b"\x03\x02\x00\x01")) == []
    assert heard(finder, finder.answer(1, WRITE.pdu) + WRITE.encode()) == [WRITE]
    finder = RequestFinder(QUIET, Echo.AUTO)
    finder.answer(1, b"\x03\x02\x00\x01")
    assert heard(finder, READ.encode()) == [READ]
    finder.answer(1, WRITE.pdu)
    assert heard(finder, WRITE.encode()) == [WRITE]


def test_half_an_echo_is_not_waited_for_beyond_silence() -> None:
    finder = RequestFinder(QUIET, Echo.YES)
    finder.answer(1, READ.pdu + bytes(40))
    assert heard(finder, READ.encode()[:6]) == []
    assert heard(finder, READ.encode()[6:]) == [READ]


@pytest.mark.parametrize("pattern", [b"\xff", b"\x00", b"\x01\x03", b"\x01\x41", b"\x01\x10\x00\x00\x00\x7b\xf6"])
def test_a_stream_of_rubbish_is_bounded_and_linear(pattern: bytes) -> None:
    finder = RequestFinder()
    started = time.process_time()
    for number in range(16):
        finder.feed((pattern * 4096)[:4096], number)
        finder.expire(number + 2 * QUIET)
        assert len(finder._rest) < MAX_FRAME
    assert time.process_time() - started < 2  # 64 KiB; quadratic would be minutes
    assert 16 * 4096 - MAX_FRAME < finder.counts.junk <= 16 * 4096


STREAM = st.lists(
    st.sampled_from(
        [encode(9, pdu) for pdu in [*KNOWN, VENDOR[0], LONG_ECHO]] + [b"\x00", b"\xff", b"\x09\x10", b"\x41"]
    )
    | st.binary(max_size=9),
    max_size=12,
).map(b"".join)


@given(STREAM, st.lists(st.integers(0, 9999), max_size=12), st.sampled_from(Echo))
def test_any_cut_of_the_same_bytes_gives_the_same_requests(wire: bytes, places: list[int], echo: Echo) -> None:
    whole, pieced = RequestFinder(QUIET, echo), RequestFinder(QUIET, echo)
    assert whole.answer(9, KNOWN[2]) == pieced.answer(9, KNOWN[2])
    assert heard(whole, wire) == heard(pieced, *cut(wire, places))
    assert whole.counts.total() == pieced.counts.total()


@given(st.lists(st.sampled_from(KNOWN), max_size=9), st.lists(st.integers(0, 9999), max_size=12))
def test_requests_may_follow_each_other(pdus: list[bytes], places: list[int]) -> None:
    frames = [Frame(unit, pdu) for unit, pdu in enumerate(pdus)]
    wire = b"".join(frame.encode() for frame in frames)
    finder = RequestFinder()
    assert [frame for chunk in cut(wire, places) for frame in finder.feed(chunk, 0.0)] == frames


@given(st.lists(st.binary(max_size=600), max_size=9))
def test_no_bytes_raise_and_memory_is_bounded(chunks: list[bytes]) -> None:
    finder = RequestFinder(QUIET, Echo.AUTO)
    for now, chunk in enumerate(chunks):
        finder.answer(1, WRITE.pdu)
        frames = finder.feed(chunk, now) + finder.expire(now + 2 * QUIET)
        assert len(finder._rest) < MAX_FRAME
        assert all(frame.encode() in b"".join(chunks) for frame in frames)

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.protocols.modbus.ascii import MAX_FRAME, Reader, ReplyFinder, RequestFinder, encode, lrc
from nportpy.protocols.modbus.exchange import Echo, probe_of
from nportpy.protocols.modbus.functions import is_answer
from nportpy.protocols.modbus.rtu import Frame
from tests.protocols.modbus.vectors import PAIRS

READ = bytes.fromhex("03 0000 0001")
ANSWER = bytes.fromhex("03 02 1234")
WRITE = bytes.fromhex("06 0001 0003")
# A request to read, and the write of MODBUS over Serial Line V1.02, each with its LRC worked out by hand.
PUBLISHED = [(b":010300000001FB\r\n", Frame(1, READ)), (b":1103006B00037E\r\n", Frame(17, b"\x03\x00\x6b\x00\x03"))]


def bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(ends)]


def read(reader: Reader, *chunks: bytes) -> list[Frame]:
    return [frame for chunk in chunks for frame in reader.feed(chunk, 0.0)]


def heard(finder: ReplyFinder, *chunks: bytes) -> bytes | None:
    answers = [answer for chunk in chunks if (answer := finder.feed(chunk, 0.0)) is not None]
    assert len(answers) <= 1
    return answers[0] if answers else None


def waiting(pdu: bytes = READ, echo: Echo = Echo.NO) -> ReplyFinder:
    finder = ReplyFinder(echo)
    assert finder.begin(1, pdu) == encode(1, pdu)
    return finder


@pytest.mark.parametrize(("wire", "frame"), PUBLISHED)
def test_published_frames(wire: bytes, frame: Frame) -> None:
    assert encode(frame.unit, frame.pdu) == wire
    assert read(Reader(), wire) == read(Reader(), *bytewise(wire)) == read(Reader(), wire.lower()) == [frame]
    assert lrc(bytes.fromhex("01 03 00 00 00 01")) == 0xFB


@pytest.mark.parametrize(("request_", "answer"), PAIRS)
def test_frames_whole_and_split_at_every_byte_and_with_rubbish(request_: bytes, answer: bytes) -> None:
    for pdu in (request_, answer):
        wire = encode(9, pdu)
        for at in range(len(wire)):
            assert read(Reader(), wire[:at], wire[at:]) == [Frame(9, pdu)]
        for junk in (b"\x00", b"\xff\xff", b"\r\n", b":", b":0103", b"0103\r\n", b":01\r", b":0G\r\n", b":\r\n"):
            rubbish = junk + wire + junk
            assert read(Reader(), rubbish) == read(Reader(), *bytewise(rubbish)) == [Frame(9, pdu)]


def test_a_colon_begins_anew() -> None:
    reader = Reader()
    assert read(reader, b":01030000:010300000001FB\r\n") == [Frame(1, READ)]
    assert reader.counts.junk == 9


def test_wrong_ones_are_counted() -> None:
    reader = Reader()
    wrong = (b":010300000001FA\r\n", b":01030000001FB\r\n", b":0103 0000 0001FB\r\n", b":01FF\r\n", b":\r\n")
    assert read(reader, *wrong) == []
    assert (reader.counts.spoilt, reader.counts.junk) == (5, 0)


def test_the_longest_frame_and_a_longer_one() -> None:
    longest = encode(1, bytes(253))
    assert len(longest) == MAX_FRAME
    assert read(Reader(), longest) == read(Reader(), *bytewise(longest)) == [Frame(1, bytes(253))]
    longer = encode(1, bytes(254))
    for chunks in ([longer + longest], bytewise(longer + longest)):
        reader = Reader()
        assert read(reader, *chunks) == [Frame(1, bytes(253))]
        assert reader.counts.junk == len(longer)


def test_another_delimiter() -> None:
    reader = Reader(delimiter=b"!")
    assert encode(1, READ, b"!") == b":010300000001FB\r!"
    assert read(reader, b":010300000001FB\r!") == [Frame(1, READ)]
    reader.delimiter = b"\n"
    assert read(reader, b":010300000001FB\r\n") == [Frame(1, READ)]


def test_a_pause_inside_a_frame() -> None:
    reader = Reader(timeout=1.0)
    assert reader.deadline() is None
    assert reader.feed(b":0103", 5.0) == []
    assert reader.deadline() == 6.0
    assert reader.expire(5.9) == []
    assert reader.feed(b"000000", 5.9) == []
    assert reader.deadline() == 6.9
    assert reader.expire(6.9) == []
    assert reader.deadline() is None
    assert reader.feed(b"01FB\r\n", 7.0) == []
    assert reader.counts.junk == 11 + 6


# The client's side ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("request_", "answer"), PAIRS)
def test_an_answer_is_taken_with_its_last_byte(request_: bytes, answer: bytes) -> None:
    for pdu in (answer, bytes((answer[0] | 0x80, 4))):
        *before, last = [waiting_finder.feed(byte, 0.0) for waiting_finder in [waiting(request_)]
                         for byte in bytewise(b":00" + encode(1, pdu))]  # fmt: skip
        assert (set(before), last) == ({None}, pdu)


def test_what_is_no_answer_is_counted_and_the_wait_goes_on() -> None:
    finder = waiting()
    other = b"".join((encode(2, ANSWER), encode(1, b"\x04" + ANSWER[1:]), encode(1, b"\x84\x02"), b":0103FF\r\n"))
    assert heard(finder, other) is None
    assert heard(finder, encode(1, ANSWER)) == ANSWER
    assert heard(finder, encode(1, ANSWER)) is None
    assert (finder.counts.foreign, finder.counts.unfit, finder.counts.spoilt) == (3, 1, 1)
    assert finder.spoke


@pytest.mark.parametrize("pdu", [b"\x03\x04abcd", b"\x03\x00", b"\x83\x02\x00"])
def test_f2_an_answer_that_does_not_fit_ends_the_wait(pdu: bytes) -> None:
    finder = waiting()
    assert heard(finder, encode(1, pdu)) == b""
    assert (finder.counts.unfit, finder.counts.total()) == (1, 1)
    assert heard(finder, encode(1, ANSWER)) is None
    finder = waiting()
    assert heard(finder, encode(1, pdu) + encode(1, ANSWER)) == ANSWER


def test_echo() -> None:
    for pdu, answer in ((READ, ANSWER), (WRITE, WRITE)):
        for echo in (Echo.YES, Echo.AUTO):
            finder = waiting(pdu, echo)
            assert heard(finder, encode(1, pdu)) is None
            assert heard(finder, encode(1, answer)) == answer
            assert (finder.counts.echoes, finder.counts.total(), finder.echo.present) == (1, 1, True)
    assert heard(waiting(WRITE, Echo.NO), encode(1, WRITE)) == WRITE
    assert heard(waiting(WRITE, Echo.YES), b"\x00" + encode(1, WRITE)) is None


@pytest.mark.parametrize("echo", [True, False])
def test_a_probe_settles_it(echo: bool) -> None:
    finder = ReplyFinder(Echo.AUTO)
    assert finder.wants_probe(WRITE)
    wire = finder.begin(1, probe_of(WRITE))
    assert heard(finder, wire if echo else b"") is None
    finder.abandon(0.0)
    assert finder.echo.present is echo


def test_auto_learns_from_answers() -> None:
    finder = waiting(READ, Echo.AUTO)
    assert heard(finder, b"\x00" + encode(1, ANSWER)) == ANSWER
    assert finder.echo.present is None
    finder.begin(1, READ)
    assert heard(finder, *bytewise(encode(1, ANSWER))) == ANSWER
    assert finder.echo.present is False


def test_a_late_answer_is_recognised() -> None:
    finder = waiting()
    finder.abandon(until=5.0)
    assert finder.clear_at(1, READ, 1.0) == 5.0
    finder.begin(1, bytes.fromhex("03 0000 0002"))
    assert heard(finder, encode(1, ANSWER) + encode(1, b"\x03\x04abcd")) == b"\x03\x04abcd"
    assert (finder.counts.late, finder.counts.total()) == (1, 1)


def test_half_an_answer_does_not_outlive_its_request() -> None:
    finder = waiting()
    assert heard(finder, encode(1, ANSWER)[:-1]) is None
    assert finder.deadline() == 1.0
    finder.begin(1, READ)
    assert finder.deadline() is None
    assert heard(finder, b"\n" + encode(1, ANSWER)) == ANSWER
    assert finder.feed(b":01", 3.0) is None
    assert finder.expire(4.0) is None
    assert finder.deadline() is None


# The server's side ------------------------------------------------------------------------------------------------


def test_the_echo_of_an_answer_is_no_request() -> None:
    for echo, learned in ((Echo.YES, True), (Echo.AUTO, True), (Echo.NO, False)):
        finder = RequestFinder(echo=echo)
        assert read(finder, finder.answer(1, ANSWER) + encode(1, READ))[-1] == Frame(1, READ)
        assert finder._echo.present is learned
        wire = finder.answer(1, WRITE)
        assert read(finder, wire) == ([] if learned else [Frame(1, WRITE)])
        assert read(finder, wire) == [Frame(1, WRITE)]


def test_the_lack_of_an_echo_is_learned() -> None:
    finder = RequestFinder(echo=Echo.AUTO)
    finder.answer(1, ANSWER)
    assert read(finder, encode(1, READ)) == [Frame(1, READ)]
    finder.answer(1, WRITE)
    assert read(finder, encode(1, WRITE)) == [Frame(1, WRITE)]


# Properties -------------------------------------------------------------------------------------------------------

PIECES = st.lists(
    st.binary(max_size=8)
    | st.sampled_from(
        [b":", b"\r", b"\n", b"\r\n", b"01", encode(9, READ), encode(9, WRITE).lower(), encode(9, bytes(254))]
    ),
    max_size=12,
).map(b"".join)


@given(PIECES, st.lists(st.integers(0, 9999), max_size=12))
def test_any_cut_of_the_same_bytes_gives_the_same_frames(wire: bytes, places: list[int]) -> None:
    whole, pieced = Reader(), Reader()
    assert read(whole, wire) == read(pieced, *cut(wire, places))
    for reader in (whole, pieced):
        reader.restart()
    assert (whole.counts.junk, whole.counts.spoilt) == (pieced.counts.junk, pieced.counts.spoilt)


@given(st.integers(0, 255), st.binary(min_size=1, max_size=253))
def test_frames_survive_the_wire(unit: int, pdu: bytes) -> None:
    assert read(Reader(), encode(unit, pdu)) == [Frame(unit, pdu)]


@given(st.binary(max_size=60), st.sampled_from(PAIRS), st.binary(max_size=60))
def test_any_junk_around_an_answer_gives_the_same_answer(
    before: bytes, pair: tuple[bytes, bytes], after: bytes
) -> None:
    assert heard(waiting(pair[0]), before + encode(1, pair[1]) + after) == pair[1]
    assert is_answer(*pair)


@given(st.lists(st.binary(max_size=600), max_size=9), st.sampled_from(Echo))
def test_no_bytes_raise(chunks: list[bytes], echo: Echo) -> None:
    finder, server = ReplyFinder(echo), RequestFinder(echo=echo)
    for chunk in chunks:
        finder.begin(1, chunk[:253] or b"\x00")
        server.answer(1, chunk)
        finder.feed(chunk, 0.0)
        server.feed(chunk, 0.0)


@pytest.mark.parametrize("pattern", [b"\xff", b"0", b":", b":0", b":" + b"0" * 510 + b"\r", b"\r\n"])
def test_memory_is_bounded(pattern: bytes) -> None:
    reader = Reader()
    for _ in range(16):
        reader.feed((pattern * 4096)[:4096], 0.0)
        assert len(reader._rest) < MAX_FRAME

import time
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nportpy.protocols.modbus.exchange import UNLEARN, Echo, probe_of
from nportpy.protocols.modbus.functions import is_answer
from nportpy.protocols.modbus.rtu import MAX_FRAME, encode
from nportpy.protocols.modbus.rtu_reply import KEPT, ReplyFinder
from tests.protocols.modbus.vectors import PAIRS, VENDOR

QUIET = 0.002
ALL = [*PAIRS, (bytes.fromhex("08 0000 A537 0102"), bytes.fromhex("08 0000 A537 0102"))]
READ = bytes.fromhex("03 0000 000A")
ANSWER = b"\x03\x14" + bytes(range(100, 120))
WRITE = bytes.fromhex("06 0001 0003")
REFUSED = b"\x83\x02"


def heard(finder: ReplyFinder, *chunks: bytes) -> bytes | None:
    """The answer in these chunks, which come without silence between them but with some at the end."""
    answers = [finder.feed(chunk, 0.0) for chunk in chunks]
    if finder.deadline() is not None:
        answers.append(finder.expire(QUIET))
    answers = [answer for answer in answers if answer is not None]
    assert len(answers) <= 1
    return answers[0] if answers else None


def waiting(unit: int = 1, pdu: bytes = READ, echo: Echo = Echo.NO) -> ReplyFinder:
    finder = ReplyFinder(echo, QUIET)
    assert finder.begin(unit, pdu) == encode(unit, pdu)
    return finder


def bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in pairwise(ends)]


def sorted_out(finder: ReplyFinder) -> None:
    finder.abandon(0.0)
    finder.settle()


def test_the_published_frames() -> None:
    finder = ReplyFinder()
    assert finder.begin(1, READ) == bytes.fromhex("01 03 00 00 00 0A C5 CD")
    finder.begin(0x11, bytes.fromhex("03 006B 0003"))
    wire = bytes.fromhex("11 03 06 AE41 5652 4340 49AD")
    assert finder.feed(wire, 0.0) == wire[1:-2]


@pytest.mark.parametrize(("request_", "answer"), ALL)
def test_an_answer_whole_and_split_at_every_byte(request_: bytes, answer: bytes) -> None:
    for pdu in (answer, bytes((answer[0] | 0x80, 4))):
        wire = encode(9, pdu)
        for at in range(len(wire)):
            assert heard(waiting(9, request_), wire[:at], wire[at:]) == pdu
        assert heard(waiting(9, request_), *bytewise(wire)) == pdu


@pytest.mark.parametrize(("request_", "answer"), [pair for pair in ALL if pair != VENDOR])
def test_an_answer_is_taken_with_its_last_byte(request_: bytes, answer: bytes) -> None:
    for pdu in (answer, bytes((answer[0] | 0x80, 4))):
        finder = waiting(9, request_)
        *before, last = [finder.feed(byte, 0.0) for byte in bytewise(encode(9, pdu))]
        assert (set(before), last) == ({None}, pdu)


def test_an_exception_of_a_vendors_function_waits_for_no_silence() -> None:
    finder = waiting(9, VENDOR[0])
    assert finder.feed(encode(9, b"\xc1\x01"), 0.0) == b"\xc1\x01"


def test_the_answer_to_a_vendors_function_ends_with_silence() -> None:
    finder = waiting(9, VENDOR[0])
    wire = encode(9, VENDOR[1])
    assert finder.feed(wire[:4], 0.0) is None
    assert finder.deadline() == QUIET
    assert finder.expire(QUIET) is None
    assert finder.deadline() is None  # silence told what it can
    assert finder.feed(wire[4:], 0.016) is None
    assert finder.expire(0.017) is None  # too early
    assert finder.deadline() == 0.016 + QUIET
    assert finder.expire(0.016 + QUIET) == VENDOR[1]


def test_the_answer_to_a_vendors_function_is_not_cut_short_where_its_crc_fits_by_chance() -> None:
    inner = encode(9, VENDOR[1])
    whole = inner[1:] + b"\x55\xaa\x01"
    assert heard(waiting(9, VENDOR[0]), encode(9, whole)) == whole


@pytest.mark.parametrize("junk", ["00", "00 00 00", "FF", "FF FF FF FF", "55", "09", "09 09 09", "F0 0D"])
@pytest.mark.parametrize(("request_", "answer"), ALL)
def test_rubbish_before_and_after(request_: bytes, answer: bytes, junk: str) -> None:
    rubbish = bytes.fromhex(junk)
    for pdu in (answer, bytes((answer[0] | 0x80, 4))):
        # A single zero after a frame that only its CRC ends cannot be told from its last byte.
        rubbish = rubbish if request_ != VENDOR[0] or rubbish != b"\x00" else b"\x00\x00"
        wire = rubbish + encode(9, pdu) + rubbish
        finder = waiting(9, request_)
        assert heard(finder, wire) == pdu
        sorted_out(finder)
        assert finder.counts.junk == 2 * len(rubbish)
        assert heard(waiting(9, request_), *bytewise(wire)) == pdu


@pytest.mark.parametrize("junk", ["01 03", "01 03 14", "01 83", "01 03 14 00 00", "01 03 14 01 03 14", "01 83 02 C0"])
def test_false_beginnings(junk: str) -> None:
    assert heard(waiting(), bytes.fromhex(junk) + encode(1, ANSWER)) == ANSWER
    assert heard(waiting(), *bytewise(bytes.fromhex(junk) + encode(1, ANSWER))) == ANSWER
    # An exception is shorter than the false beginning claims: silence tells.
    assert heard(waiting(), bytes.fromhex(junk) + encode(1, REFUSED)) == REFUSED


def test_an_answer_that_contains_other_frames() -> None:
    for inner in (encode(1, REFUSED), encode(1, b"\x03\x04abcd"), encode(2, WRITE)):
        answer = b"\x03\x14" + inner.ljust(20, b"\x00")
        finder = waiting()
        wire = encode(1, answer)
        assert [finder.feed(byte, 0.0) for byte in bytewise(wire)][-1] == answer


def test_silence_takes_nothing_away() -> None:
    """A USB adapter that hands its bytes over every 16 ms."""
    finder = waiting()
    wire = encode(1, ANSWER)
    for at in range(0, 24, 6):
        assert finder.feed(wire[at : at + 6], at) is None
        finder.expire(at + 0.5)
    assert finder.feed(wire[24:], 25) == ANSWER


@pytest.mark.parametrize(
    ("wire", "counted"),
    [
        (encode(2, ANSWER), "foreign"),
        (encode(1, b"\x04\x14" + bytes(20)), "foreign"),
        (encode(1, b"\x84\x02"), "foreign"),
        (encode(1, ANSWER)[:-1] + b"\x00", "spoilt"),
    ],
)
def test_what_is_no_answer_is_counted_and_the_wait_goes_on(wire: bytes, counted: str) -> None:
    finder = waiting()
    assert heard(finder, wire) is None
    assert heard(finder, encode(1, ANSWER)) == ANSWER
    sorted_out(finder)
    assert getattr(finder.counts, counted) == 1
    assert counted == "spoilt" or finder.counts.total() == 1
    assert finder.spoke is (wire[0] == 1 and counted == "foreign")


UNFIT = [
    (READ, b"\x03\x04abcd"),
    (READ, b"\x03\x16" + bytes(22)),
    (READ, b"\x03\x00"),
    (bytes.fromhex("01 0000 0010"), b"\x01\x01\x00"),
    (bytes.fromhex("02 0000 0001"), b"\x02\x02\x00\x00"),
    (bytes.fromhex("04 0000 0002"), b"\x04\x02\x00\x00"),
    (bytes.fromhex("05 0001 ff00"), bytes.fromhex("05 0001 0000")),
    (WRITE, bytes.fromhex("06 0001 0004")),
    (WRITE, bytes.fromhex("06 0002 0003")),
    (bytes.fromhex("0f 0001 0002 01 03"), bytes.fromhex("0f 0001 0001")),
    (bytes.fromhex("10 0001 0001 02 0003"), bytes.fromhex("10 0001 0002")),
    (bytes.fromhex("16 0004 00f2 0025"), bytes.fromhex("16 0004 00f2 0026")),
    (bytes.fromhex("17 0003 0002 000e 0001 02 00ff"), b"\x17\x02\x00\x01"),
]


@pytest.mark.parametrize(("asked", "wire_pdu"), UNFIT)
@pytest.mark.parametrize("cut", [0, 1, 3, 5])
def test_f2_an_answer_that_does_not_fit_ends_the_wait(asked: bytes, wire_pdu: bytes, cut: int) -> None:
    """However it is cut, with silence in between too; but not before silence, as the awaited one may yet come."""
    for junk in (b"", b"\x00", b"\xff\x01"):
        finder, wire, now = waiting(1, asked), junk + encode(1, wire_pdu), 10.0
        for piece, found in ((wire[:cut], None), (wire[cut:], b"")):
            if piece:
                found = b"" if piece == wire else found
                assert finder.feed(piece, now) is None
                when = finder.deadline()
                assert (None if when is None else finder.expire(when)) == found
                now += 1.0
        assert finder.counts.unfit == 1
        assert finder.spoke
        assert finder.deadline() is None or finder.expire(now) is None
        finder.begin(1, asked)
        assert heard(finder, encode(1, bytes((asked[0] | 0x80, 2)))) == bytes((asked[0] | 0x80, 2))


def test_f2_the_awaited_answer_behind_one_that_does_not_fit_counts() -> None:
    finder = waiting()
    assert finder.feed(encode(1, b"\x03\x04abcd") + encode(1, ANSWER), 0.0) == ANSWER


def test_f2_a_late_answer_of_another_length_does_not_end_the_wait() -> None:
    finder = waiting()
    finder.abandon(until=5.0)
    finder.begin(1, bytes.fromhex("03 0000 0002"))
    assert heard(finder, encode(1, ANSWER)) is None
    assert finder.spoke
    assert heard(finder, encode(1, b"\x03\x02ab")) == b""
    assert (finder.counts.late, finder.counts.unfit, finder.counts.total()) == (1, 1, 2)


# Echo -------------------------------------------------------------------------------------------------------------

MIRRORED = [request for request, answer in ALL if is_answer(request, request) and request != VENDOR[0]]
OTHERS = [(request, answer) for request, answer in ALL if not is_answer(request, request)]


@pytest.mark.parametrize("echo", Echo)
@pytest.mark.parametrize(("request_", "answer"), OTHERS)
def test_an_echo_is_swallowed(request_: bytes, answer: bytes, echo: Echo) -> None:
    for pdu in (answer, bytes((answer[0] | 0x80, 4))):
        for chunks in ([encode(1, request_) + encode(1, pdu)], bytewise(encode(1, request_) + encode(1, pdu))):
            finder = waiting(1, request_, echo)
            assert heard(finder, *chunks) == pdu
            sorted_out(finder)
            assert (finder.counts.echoes, finder.counts.total()) == (1, 1)
            assert finder.echo.present is (echo is not Echo.NO)


@pytest.mark.parametrize("request_", MIRRORED)
def test_an_echo_is_no_answer(request_: bytes) -> None:
    wire = encode(1, request_)
    for chunks in ([wire], bytewise(wire)):
        finder = waiting(1, request_, Echo.YES)
        assert heard(finder, *chunks) is None
        assert heard(finder, *chunks) == request_
    for echo in (Echo.YES, Echo.AUTO):
        finder = waiting(1, request_, echo)
        assert heard(finder, wire + wire) == request_
        assert finder.echo.present is True
        assert heard(waiting(1, request_, echo), b"\x00" + wire + wire[:-1]) is None
    assert heard(waiting(1, request_, Echo.NO), wire) == request_


@pytest.mark.parametrize("request_", MIRRORED)
@pytest.mark.parametrize("echo", [Echo.YES, Echo.AUTO])
def test_an_echo_one_byte_short_is_an_echo(request_: bytes, echo: Echo) -> None:
    wire = encode(1, request_)
    for short in (wire[1:], wire[:-1], b"\xff" + wire[1:], wire[:-1] + b"\xff"):
        finder = waiting(1, request_, echo)
        assert heard(finder, short) is None
        assert heard(finder, wire) == request_


def test_auto_learns_that_there_is_an_echo() -> None:
    finder = ReplyFinder(Echo.AUTO, QUIET)
    assert finder.wants_probe(WRITE)
    assert not finder.wants_probe(READ)
    assert heard(finder, finder.begin(1, READ) + encode(1, ANSWER)) == ANSWER
    assert not finder.wants_probe(WRITE)
    wire = finder.begin(1, WRITE)
    assert heard(finder, wire) is None
    assert heard(finder, wire) == WRITE


def test_auto_learns_that_there_is_none() -> None:
    finder = ReplyFinder(Echo.AUTO, QUIET)
    finder.begin(1, READ)
    assert heard(finder, encode(1, ANSWER)) == ANSWER
    assert not finder.wants_probe(WRITE)
    assert heard(finder, finder.begin(1, WRITE)) == WRITE


@pytest.mark.parametrize("echo", [True, False])
def test_a_probe_settles_it(echo: bool) -> None:
    finder = ReplyFinder(Echo.AUTO, QUIET)
    assert not finder.wants_probe(probe_of(WRITE))
    wire = finder.begin(1, probe_of(WRITE))
    assert heard(finder, wire if echo else b"") is None
    finder.abandon(0.0)
    assert finder.echo.present is echo


def test_unknown_is_taken_for_an_echo() -> None:
    finder = waiting(1, WRITE, Echo.AUTO)
    assert heard(finder, encode(1, WRITE)) is None
    finder.abandon(0.0)
    assert finder.echo.present is None


def test_an_echo_is_forgotten_only_after_some_exchanges_without() -> None:
    finder = waiting(1, READ, Echo.AUTO)
    assert heard(finder, encode(1, READ) + encode(1, ANSWER)) == ANSWER
    for _ in range(UNLEARN):
        assert finder.echo.present is True
        finder.begin(1, READ)
        assert heard(finder, encode(1, ANSWER)) == ANSWER
    assert finder.echo.present is False


def test_noise_before_an_answer_says_nothing_about_the_echo() -> None:
    finder = waiting(1, READ, Echo.AUTO)
    assert heard(finder, b"\x55\x55" + encode(1, ANSWER)) == ANSWER
    assert finder.echo.present is None


def test_a_spoilt_echo_of_a_read_is_still_evidence() -> None:
    for short in (encode(1, READ)[1:], encode(1, READ)[:-1]):
        finder = waiting(1, READ, Echo.AUTO)
        assert heard(finder, short + encode(1, ANSWER)) == ANSWER
        finder.settle()
        assert finder.echo.present is True


def test_an_answer_that_comes_twice_shows_an_echo_that_was_not_known() -> None:
    finder = ReplyFinder(Echo.AUTO, QUIET)
    finder.begin(2, READ)
    finder.abandon(0.0)
    assert finder.echo.present is False
    wire = finder.begin(1, WRITE)
    assert heard(finder, wire) == WRITE
    assert heard(finder, wire) is None
    assert finder.echo.present is True


# Late answers -----------------------------------------------------------------------------------------------------


def test_a_late_answer_that_differs_is_recognised() -> None:
    finder = waiting()
    finder.abandon(until=5.0)
    finder.begin(1, bytes.fromhex("03 0000 0002"))
    assert heard(finder, encode(1, ANSWER)) is None
    assert heard(finder, encode(1, b"\x03\x04abcd")) == b"\x03\x04abcd"
    sorted_out(finder)
    assert (finder.counts.late, finder.counts.total()) == (1, 1)
    assert finder.clear_at(1, READ, 1.0) == 1.0  # it came, so no other can


def test_a_late_answer_between_requests_is_recognised() -> None:
    finder = waiting()
    finder.abandon(until=5.0)
    assert heard(finder, *bytewise(encode(1, ANSWER))) is None
    assert finder.counts.late == 1


def test_the_late_answer_to_a_write_is_no_echo() -> None:
    finder = ReplyFinder(Echo.AUTO, QUIET)
    finder.begin(1, WRITE)
    finder.abandon(until=5.0)
    assert finder.echo.present is False
    finder.begin(1, WRITE)
    assert heard(finder, encode(1, WRITE)) == WRITE
    assert heard(finder, encode(1, WRITE)) is None
    assert (finder.counts.late, finder.counts.echoes) == (1, 0)
    assert finder.echo.present is False


def test_who_must_stay_away_until_when() -> None:
    finder = waiting()
    finder.abandon(until=5.0)
    assert finder.clear_at(1, bytes.fromhex("03 1234 0001"), 1.0) == 5.0
    assert finder.clear_at(1, bytes.fromhex("04 0000 000A"), 1.0) == 1.0
    assert finder.clear_at(2, READ, 1.0) == 1.0
    assert finder.clear_at(1, READ, 5.0) == 5.0
    finder.abandon(until=9.0)  # nothing is awaited
    assert finder.clear_at(1, READ, 6.0) == 6.0


# Bounds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", [b"\xff", b"\x00", b"\x01\x03\x14", b"\x01\x41", b"\x01\x83", b"\x01\x11\xfb"])
@pytest.mark.parametrize("pdu", [READ, VENDOR[0], b"\x11"])
def test_a_stream_of_rubbish_is_bounded_and_linear(pattern: bytes, pdu: bytes) -> None:
    finder = waiting(1, pdu, Echo.AUTO)
    chunk = (pattern * 4096)[:4096]
    started = time.process_time()
    for number in range(16):
        assert finder.feed(chunk, number) is None
        assert len(finder._heard) <= KEPT
        assert len(finder._aside) <= KEPT
    assert time.process_time() - started < 2  # 64 KiB; quadratic would be minutes
    if pattern in (b"\xff", b"\x00"):
        answer = bytes((pdu[0] | 0x80, 2))
        assert heard(finder, encode(1, answer)) == answer
    sorted_out(finder)
    assert finder.counts.junk > 16 * 4096 - 2 * KEPT - MAX_FRAME


def test_idle_rubbish_is_bounded_too() -> None:
    finder = ReplyFinder(quiet=QUIET)
    for number in range(100):
        assert finder.feed(b"\xff" * 1000, number) is None
    assert finder.deadline() == 99 + QUIET
    assert finder.expire(100) is None
    assert finder.deadline() is None
    assert finder.counts.junk == 100_000


# Properties -------------------------------------------------------------------------------------------------------

JUNK = st.binary(max_size=40) | st.lists(
    st.sampled_from([b"\x09", b"\x03", b"\x09\x03", b"\x09\x83", b"\x00", b"\xff", b"\x09\x11", b"\x14", b"\x09\x41"]),
    max_size=12,
).map(b"".join)


@given(st.sampled_from(OTHERS), JUNK, JUNK, st.lists(st.integers(0, 999), max_size=8), st.booleans(), st.booleans())
def test_any_junk_around_an_answer_gives_the_same_answer(
    pair: tuple[bytes, bytes], before: bytes, after: bytes, places: list[int], exception: bool, echo: bool
) -> None:
    """Junk that is or makes a frame with a right CRC is beyond help; chance finds it once in 65536 places."""
    request, answer = pair
    answer = bytes((answer[0] | 0x80, 2)) if exception else answer
    wire = before + encode(9, request) * echo + encode(9, answer) + after
    finder = waiting(9, request, Echo.AUTO)
    assert heard(finder, *cut(wire, places)) == answer
    sorted_out(finder)
    assert finder.counts.junk <= len(before + after)


@given(JUNK, JUNK, st.binary(max_size=40), st.lists(st.integers(0, 999), max_size=8))
def test_any_junk_around_the_answer_to_a_vendors_function(
    before: bytes, after: bytes, data: bytes, places: list[int]
) -> None:
    assume(b"\x09\x41" not in before and not after.startswith(b"\x00"))
    answer = b"\x41" + data
    wire = before + encode(9, answer) + after
    # An exception for it needs no silence, so one that stands by chance before it is taken.
    assert heard(waiting(9, VENDOR[0], Echo.NO), *cut(wire, places)) == answer


@given(st.sampled_from(ALL), st.sampled_from(Echo), st.lists(st.sampled_from(["r", "e", "x", "j", "z"])),
       st.lists(st.integers(0, 999), max_size=8))  # fmt: skip
def test_any_cut_of_the_same_bytes_gives_the_same(
    pair: tuple[bytes, bytes], echo: Echo, parts: list[str], places: list[int]
) -> None:
    request, answer = pair
    pieces = {
        "r": encode(9, answer),
        "e": encode(9, request),
        "x": encode(9, bytes((request[0] | 0x80, 1))),
        "j": b"\x09" + request[:1],
        "z": encode(9, answer)[:-1],
    }
    wire = b"".join(pieces[part] for part in parts)
    whole, pieced = waiting(9, request, echo), waiting(9, request, echo)
    assert heard(whole, wire) == heard(pieced, *cut(wire, places))
    assert whole.echo.present == pieced.echo.present


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 255), st.binary(min_size=1, max_size=300),
                          st.binary(max_size=300)), max_size=20), st.sampled_from(Echo))  # fmt: skip
def test_no_bytes_raise_and_memory_is_bounded(steps: list[tuple[int, int, bytes, bytes]], echo: Echo) -> None:
    finder = ReplyFinder(echo, QUIET)
    for now, (kind, unit, pdu, data) in enumerate(steps):
        if kind == 0:
            finder.begin(unit, pdu)
        elif kind == 1:
            finder.expire(now)
        elif kind == 2:
            finder.abandon(now + 1)
        answer = finder.feed(data, now)
        assert answer is None or answer in data
        assert len(finder._heard) <= KEPT
        assert len(finder._aside) <= KEPT

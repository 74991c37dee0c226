"""Answers of a Modbus TCP server: which are taken, and what the others are counted as."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.protocols.modbus.mbap import encode
from nportpy.protocols.modbus.mbap_reply import MAX_LATE, ReplyFinder
from tests.protocols.modbus.vectors import PAIRS

READ = bytes.fromhex("03 0004 0001")
ANSWER = bytes.fromhex("03 02 1234")


def begun(finder: ReplyFinder, unit: int = 1, pdu: bytes = READ) -> int:
    """Begin a request; its transaction id."""
    return int.from_bytes(finder.begin(unit, pdu)[:2])


def test_a_request_has_a_new_id_each_time_and_ids_begin_anew() -> None:
    finder = ReplyFinder()
    assert finder.begin(9, READ) == encode(1, 9, READ)
    ids = [begun(finder) for _ in range(65536)]
    assert len(set(ids)) == 65536
    assert ids[-1] == 1


@pytest.mark.parametrize(("request_pdu", "answer"), PAIRS)
def test_an_answer_is_found_however_it_is_cut(request_pdu: bytes, answer: bytes) -> None:
    for pdu in (answer, bytes((request_pdu[0] | 0x80, 2))):
        for at in range(len(pdu) + 7):
            finder = ReplyFinder()
            wire = encode(begun(finder, 5, request_pdu), 5, pdu)
            found = [finder.feed(piece, 0) for piece in (wire[:at], wire[at:], wire) if piece]
            assert [one for one in found if one] == [pdu]
            assert finder.counts.foreign == 1  # that it came twice
        assert finder.deadline() is None
        assert not finder.wants_probe(request_pdu)


@pytest.mark.parametrize(
    ("shift", "unit", "pdu", "counted"),
    [
        (1, 1, ANSWER, "foreign"),  # another id: some hardware gateways change it
        (-1, 1, ANSWER, "foreign"),
    ],
)
def test_what_is_not_the_answer_is_counted_and_the_wait_goes_on(
    shift: int, unit: int, pdu: bytes, counted: str
) -> None:
    finder = ReplyFinder()
    transaction = begun(finder)
    assert finder.feed(encode(transaction + shift, unit, pdu), 0) is None
    assert getattr(finder.counts, counted) == finder.counts.total() == 1
    assert finder.feed(encode(transaction, 1, ANSWER), 0) == ANSWER


@pytest.mark.parametrize(
    ("unit", "pdu"),
    [
        (2, ANSWER),  # of another unit behind a gateway
        (1, b"\x04\x02\x12\x34"),
        (1, b"\x84\x02"),
        (1, b"\x03\x04\x12\x34\x56\x78"),
        (255, b"\x03\x00"),
    ],
)
def test_f2_an_answer_with_the_id_that_does_not_fit_ends_the_wait(unit: int, pdu: bytes) -> None:
    finder = ReplyFinder()
    transaction = begun(finder)
    assert finder.feed(encode(transaction, unit, pdu), 0) == b""
    assert finder.counts.unfit == finder.counts.total() == 1
    assert finder.feed(encode(transaction, 1, ANSWER), 0) is None


@pytest.mark.parametrize(
    ("asked", "answers", "believed"),
    [(1, 255, True), (1, 0, True), (255, 1, True), (255, 0, True), (247, 255, True), (1, 2, False), (1, 248, False)],
)
def test_f6_a_server_may_answer_as_the_device_itself(asked: int, answers: int, believed: bool) -> None:
    finder = ReplyFinder()
    wire = finder.begin(asked, READ)
    assert finder.feed(encode(int.from_bytes(wire[:2]), answers, ANSWER), 0) == (ANSWER if believed else b"")
    assert finder.foreign_unit == answers
    assert finder.counts.total() == (not believed)


def test_a_late_answer_is_known_by_its_id() -> None:
    finder = ReplyFinder()
    late = begun(finder)
    finder.abandon(9)
    finder.abandon(9)
    awaited = begun(finder)
    assert finder.feed(encode(late, 1, ANSWER), 0) is None
    assert (finder.counts.late, finder.counts.total()) == (1, 1)
    assert finder.feed(encode(late, 1, ANSWER), 0) is None
    assert (finder.counts.foreign, finder.counts.total()) == (1, 2)
    assert finder.feed(encode(awaited, 1, ANSWER), 0) == ANSWER


def test_few_abandoned_requests_are_remembered() -> None:
    finder = ReplyFinder()
    for _ in range(MAX_LATE + 1):
        begun(finder)
        finder.abandon(0)
    finder.feed(encode(1, 1, ANSWER) + encode(2, 1, ANSWER), 0)
    assert (finder.counts.foreign, finder.counts.late) == (1, 1)


def test_an_answer_that_was_half_there_when_it_was_abandoned_does_not_spoil_the_next() -> None:
    finder = ReplyFinder()
    late = encode(begun(finder), 1, ANSWER)
    assert finder.feed(late[:8], 0) is None
    finder.abandon(0)
    finder.settle()
    wire = late[8:] + encode(begun(finder), 1, ANSWER)
    assert finder.feed(wire, 0) == ANSWER
    assert finder.counts.late == finder.counts.total() == 1


def test_frames_of_another_protocol_are_passed_over() -> None:
    finder = ReplyFinder()
    wire = encode(begun(finder), 1, ANSWER)
    assert finder.feed(wire[:3] + b"\x01" + wire[4:] + wire, 0) == ANSWER
    assert finder.counts.foreign == finder.counts.total() == 1


def test_a_stream_that_lost_its_place_is_broken_until_it_begins_anew() -> None:
    finder = ReplyFinder()
    wire = encode(begun(finder), 1, ANSWER)
    assert finder.broken == ""
    assert finder.feed(wire + bytes(6) + wire, 0) == ANSWER
    assert "a length of 0" in finder.broken
    assert finder.feed(wire, 0) is None
    finder.restart()
    assert finder.broken == ""
    assert finder.feed(encode(begun(finder), 1, ANSWER), 0) == ANSWER


def test_on_a_new_connection_nothing_of_the_old_one_goes_on() -> None:
    finder = ReplyFinder()
    wire = encode(begun(finder), 1, ANSWER)
    finder.feed(wire[:9], 0)
    finder.restart()
    assert finder.feed(wire, 0) is None  # nobody waits
    assert finder.feed(encode(begun(finder), 1, ANSWER), 0) == ANSWER


@given(st.lists(st.binary(max_size=40), max_size=10), st.integers(0, 9))
def test_any_bytes_do_no_harm(chunks: list[bytes], asked: int) -> None:
    finder = ReplyFinder()
    for number, chunk in enumerate(chunks):
        if number % 3 == asked % 3:
            begun(finder)
        finder.feed(chunk, 0)
        if finder.broken:
            finder.restart()
    assert finder.feed(encode(begun(finder), 1, ANSWER), 0) in (None, ANSWER)
    finder.restart()
    assert finder.feed(encode(begun(finder), 1, ANSWER), 0) == ANSWER

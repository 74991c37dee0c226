"""The link: what is asked with which bit, and what counts as its answer."""

import pytest

from nportpy.protocols.iec101 import asdu as asdus
from nportpy.protocols.iec101.asdu import Sizes
from nportpy.protocols.iec101.ft12 import SINGLE_CHARACTER, Frame, parse
from nportpy.protocols.iec101.link import Answer, Answered, Function, Link
from tests.protocols.iec101.vectors import WIRE


def frame(name: str) -> Frame:
    return parse(WIRE[name], 1)


def up() -> Link:
    link = Link(1, 1)
    link.reset()
    assert link.hear(frame("F4")) is not None
    assert link.up
    return link


def test_the_transcript_of_the_reference() -> None:
    link = Link(1, 1)
    assert link.request_status() == WIRE["F2"]
    assert link.hear(frame("F3")) == Answer(Answered.STATUS, Function.STATUS)
    assert link.reset() == WIRE["F1"]
    assert link.hear(frame("F4")) == Answer(Answered.ACK, Function.RESET)
    assert link.send(asdus.interrogation(Sizes(), 1)) == WIRE["V1"]
    assert link.hear(frame("F5")) == Answer(Answered.ACK, Function.SEND_CONFIRMED, more=True)
    assert link.request_class(1) == WIRE["F10"]
    confirmed = Frame(0x28, 1, frame("V2").data)
    assert confirmed.encode(1)[-2] == 0xAA
    assert link.hear(confirmed) == Answer(Answered.DATA, Function.CLASS_1, more=True, data=frame("V2").data)
    assert link.request_class(1) == WIRE["F9"]
    assert link.repeat() == WIRE["F9"]
    assert link.hear(frame("V3")) == Answer(Answered.DATA, Function.CLASS_1, more=True, data=frame("V3").data)
    assert link.owed == 1
    assert link.request_status() == WIRE["F2"]
    assert link.hear(frame("V3")) is None  # the first answer to F9, which was only late
    assert link.hear(frame("F3")) is not None
    assert link.request_class(1) == WIRE["F10"]
    assert link.hear(frame("V5")) is not None
    assert (link.counts.duplicates, link.owed) == (1, 0)
    assert link.request_class(2) == WIRE["F7"]
    assert link.hear(frame("F11")) == Answer(Answered.NO_DATA, Function.CLASS_2)
    assert link.request_class(2) == WIRE["F8"]


def test_answers_that_look_alike_are_told_apart_by_the_status_between_them() -> None:
    link = up()
    for late in (0, 1, 2):
        link.request_class(2)
        link.repeat()
        link.repeat()
        assert link.hear(frame("F11")) is not None
        assert link.owed == 2
        link.request_status()
        for _ in range(late):
            assert link.hear(frame("F11")) is None
        assert link.hear(frame("F3")) is not None
        assert link.owed == 0
        link.request_class(2)
        assert link.hear(frame("F11")) is not None
    assert link.counts.duplicates == 3
    assert link.counts.unfit == 0


def test_a_late_answer_need_not_look_like_the_first() -> None:
    link = up()
    link.request_class(2)
    link.repeat()
    assert link.hear(frame("F11")) is not None
    link.request_status()
    assert link.hear(frame("F12")) is None  # ACD came in between
    assert link.hear(frame("F3")) is not None
    assert link.counts.duplicates == 1


def test_a_late_refusal_is_no_status() -> None:
    link = up()
    link.send(b"\x01")
    link.repeat()
    assert link.hear(frame("F13")) is not None
    link.request_status()
    assert link.hear(frame("F13")) is None
    assert link.hear(frame("F3")) is not None
    link.request_status()
    assert link.hear(frame("F13")) is not None


def test_a_status_that_was_repeated_owes_nothing_that_could_pass_for_another_answer() -> None:
    link = up()
    link.request_status()
    link.repeat()
    assert link.hear(frame("F3")) is not None
    assert link.owed == 0
    link.request_class(2)
    assert link.hear(frame("F3")) is None
    assert link.hear(frame("F11")) is not None


def test_without_a_status_nothing_is_late_for_ever() -> None:
    link = up()
    link.request_class(2)
    link.repeat()
    link.hear(frame("F11"))
    link.request_status()
    link.settled()
    assert (link.owed, link.pending) == (0, False)
    link.request_class(2)
    assert link.hear(frame("F11")) is not None


def test_the_bit_is_one_after_a_reset_and_turns_with_answers_only() -> None:
    link = up()
    assert link.request_class(2) == WIRE["F7"]
    assert link.repeat() == WIRE["F7"]
    link.hear(SINGLE_CHARACTER)
    assert link.request_class(1) == WIRE["F10"]
    link.reset()
    link.hear(frame("F4"))
    assert link.request_class(1) == WIRE["F9"]


def test_status_leaves_the_bit_alone() -> None:
    link = up()
    link.request_class(2)
    link.hear(frame("F11"))
    link.request_status()
    link.hear(frame("F3"))
    assert link.request_class(2) == WIRE["F8"]


def test_e5_is_ack_or_no_data() -> None:
    link = up()
    link.request_class(1)
    assert link.hear(SINGLE_CHARACTER) == Answer(Answered.NO_DATA, Function.CLASS_1, silent=True)
    link.send(b"\x01")
    assert link.hear(SINGLE_CHARACTER) == Answer(Answered.ACK, Function.SEND_CONFIRMED, silent=True)
    link.request_status()
    assert link.hear(SINGLE_CHARACTER) is None


def test_acd_and_dfc() -> None:
    link = up()
    link.request_class(2)
    assert link.hear(frame("F12")) == Answer(Answered.NO_DATA, Function.CLASS_2, more=True)
    link.send(b"\x01")
    assert link.hear(frame("F14")) == Answer(Answered.ACK, Function.SEND_CONFIRMED, full=True)


def test_class_1_data_as_the_answer_to_class_2_is_taken() -> None:
    link = up()
    link.request_class(2)
    assert link.hear(frame("V15")) == Answer(Answered.DATA, Function.CLASS_2, more=True, data=frame("V15").data)


@pytest.mark.parametrize("name", ["F13", "F15"])
def test_refusals_are_answers(name: str) -> None:
    link = up()
    link.send(b"\x01")
    answer = link.hear(frame(name))
    assert answer is not None
    assert answer.what is (Answered.NACK if name == "F13" else Answered.NOT_IMPLEMENTED)


def test_a_refused_reset_leaves_the_link_down() -> None:
    link = Link(1, 1)
    link.reset()
    assert link.hear(frame("F13")) is not None
    assert not link.up


def test_answers_from_elsewhere_are_dropped_and_counted() -> None:
    link = up()
    link.request_class(2)
    assert link.hear(Frame(0x09, 2)) is None
    assert (link.counts.strangers, link.stranger) == (1, Frame(0x09, 2))
    assert link.hear(frame("F11")) is not None


def test_what_does_not_fit_the_request_is_dropped() -> None:
    link = up()
    link.request_class(2)
    for wrong in (frame("F4"), frame("F3"), Frame(0x0C, 1), Frame(0x09, 1, b"\x01")):
        assert link.hear(wrong) is None
    assert link.counts.unfit == 4
    assert link.hear(frame("F11")) is not None
    assert link.hear(frame("F11")) is None
    assert link.counts.unfit == 5


def test_the_echo_is_dropped_and_counted() -> None:
    link = up()
    link.request_class(2)
    assert link.hear(frame("F7")) is None
    assert (link.counts.echoes, link.counts.primaries) == (1, 0)
    assert link.hear(frame("F11")) is not None


def test_a_second_asking_side_is_counted_apart() -> None:
    link = up()
    link.request_class(2)
    assert link.hear(Frame(0x5B, 3)) is None
    link.hear(frame("F7"))
    link.hear(frame("F7"))
    assert (link.counts.echoes, link.counts.primaries, link.balanced) == (1, 2, False)


@pytest.mark.parametrize("said", [Frame(0x52, 1), Frame(0xD2, 1), Frame(0x73, 1, b"\x1e\x01")])
def test_the_balanced_mode_is_recognised(said: Frame) -> None:
    link = Link(1, 1)
    link.request_status()
    assert link.hear(said) is None
    assert link.balanced


def test_a_repeat_may_tell_another_time() -> None:
    link = up()
    first = link.send(b"\x67\x01")
    again = link.repeat(b"\x67\x02")
    assert parse(first, 1).control == parse(again, 1).control
    assert parse(again, 1).data == b"\x67\x02"


def test_links_without_address_bytes_take_every_answer() -> None:
    link = Link(0, 0)
    assert link.reset() == bytes.fromhex("10 40 40 16")
    assert link.hear(Frame(0x00)) is not None


def test_vector_f16_has_a_wide_address() -> None:
    assert Link(258, 2).reset() == WIRE["F16"]

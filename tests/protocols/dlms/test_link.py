"""The client's side of HDLC, frame by frame: the table of link.py, and vectors of the reference."""

import pytest

from nportpy.errors import MisuseError
from nportpy.protocols.dlms import hdlc
from nportpy.protocols.dlms.hdlc import Address, Frame, Parameters
from nportpy.protocols.dlms.link import (
    MAX_POLLS,
    Busy,
    Connected,
    Disconnected,
    Event,
    Link,
    Loss,
    Lost,
    Received,
    State,
)

SERVER, CLIENT = b"\x03", b"\x21"
UA = bytes.fromhex("7EA01E210373C37A818012050180060180070400000001080400000001533B7E")
DM = bytes.fromhex("7EA00721031F6BE97E")
ANSWER = bytes.fromhex("E6E700") + b"answer"


def frame(control: int, information: bytes = b"", segmented: bool = False, *, to: bytes = CLIENT) -> bytes:
    return Frame(to, SERVER, control, information, segmented).encode()


def connected(tries: int = 3, **parameters: int) -> Link:
    link = Link(16, Address(1), 1, tries=tries)
    link.connect(Parameters(**parameters) if parameters else None)
    link.take_output()
    (event,) = link.feed(UA)
    assert isinstance(event, Connected)
    return link


def asked(link: Link, apdu: bytes = b"question") -> list[Frame]:
    link.request(apdu)
    return sent(link)


def sent(link: Link) -> list[Frame]:
    return hdlc.FrameFinder().feed(link.take_output())


def only(events: list[Event]) -> Event:
    (event,) = events
    return event


def test_snrm_with_and_without_parameters_are_vectors() -> None:
    link = Link(16, Address(1), 1)
    link.connect(None)
    assert link.take_output().hex().upper() == "7EA0070321930F017E"
    link.connect(Parameters(256, 256))
    assert link.take_output().hex().upper() == "7EA0200321937DD98180140502010006020100070400000001080400000001696D7E"
    link.disconnect()
    assert link.take_output().hex().upper() == "7EA00703215303C77E"


@pytest.mark.parametrize("cut", range(1, len(UA)))
def test_ua_cut_anywhere(cut: int) -> None:
    link = Link(16, Address(1), 1)
    link.connect(None)
    assert link.feed(b"\xff\x7e" + UA[:cut]) == []
    assert isinstance(only(link.feed(UA[cut:])), Connected)


def test_snrm_and_disc_are_said_once() -> None:
    for connects in (True, False):
        link = Link(16, Address(1), 1)
        if connects:
            link.connect(None)
        else:
            link.disconnect()
        link.take_output()
        assert only(link.expire()) == Lost(Loss.SILENCE)
        assert link.take_output() == b""


@pytest.mark.parametrize(("said", "loss"), [(DM, Loss.NOT_CONNECTED), (frame(hdlc.FRMR | 0x10), Loss.REFUSED)])
def test_dm_and_frmr_in_every_state(said: bytes, loss: Loss) -> None:
    connecting = Link(16, Address(1), 1)
    connecting.connect(None)
    assert isinstance(event := only(connecting.feed(said)), Lost)
    assert event.loss is loss
    waiting = connected()
    asked(waiting)
    for link in (connected(), waiting):
        assert isinstance(event := only(link.feed(said)), Lost)
        assert (event.loss, link.state) == (loss, State.CLOSED)
    leaving = connected()
    leaving.disconnect()
    assert only(leaving.feed(said)) == Disconnected()


def test_numbers_go_round() -> None:
    link = connected()
    for number in range(20):
        (question,) = asked(link)
        assert question.control == hdlc.information(number % 8, number % 8, poll=True)
        answer = frame(hdlc.information(number % 8, (number + 1) % 8, poll=True), ANSWER)
        assert only(link.feed(answer)) == Received(b"answer")


def test_silence_is_polled_for_and_never_asked_anew() -> None:
    link = connected()
    asked(link)
    for _ in range(2):
        assert link.expire() == []
        assert [each.control for each in sent(link)] == [hdlc.receive_ready(0)]
    assert only(link.expire()) == Lost(Loss.SILENCE)


def test_a_lost_question_is_repeated_with_its_number() -> None:
    link = connected()
    first = asked(link)
    assert link.expire() == []
    link.take_output()
    assert link.feed(frame(hdlc.receive_ready(0))) == []
    assert sent(link) == first


def test_a_question_that_has_arrived_is_polled_for() -> None:
    link = connected()
    asked(link)
    assert only(link.feed(frame(hdlc.receive_ready(1)))) == Busy()
    assert link.poll() == []
    assert [each.control for each in sent(link)] == [hdlc.receive_ready(0)]


def test_rnr_three_times_then_the_answer_and_rnr_for_ever() -> None:
    link = connected()
    asked(link)
    for _ in range(3):
        assert only(link.feed(frame(0x15 | 1 << 5))) == Busy()
        assert link.poll() == []
        link.take_output()
    assert only(link.feed(frame(hdlc.information(0, 1, poll=True), ANSWER))) == Received(b"answer")
    asked(link)
    for _ in range(MAX_POLLS):
        assert only(link.feed(frame(0x15 | 2 << 5))) == Busy()
        assert link.poll() == []
    assert only(link.poll()) == Lost(Loss.BUSY)


@pytest.mark.parametrize("number", [1, 2, 3, 7])
def test_an_answer_with_another_number_is_dropped(number: int) -> None:
    link = connected()
    asked(link)
    assert link.feed(frame(hdlc.information(number, 1, poll=True), ANSWER)) == []
    assert [each.control for each in sent(link)] == ([hdlc.receive_ready(0)] if number < 4 else [])


def test_segments_with_a_lost_rr() -> None:
    link = connected()
    asked(link)
    part = frame(hdlc.information(0, 1, poll=True), ANSWER, segmented=True)
    assert link.feed(part) == []
    assert [each.control for each in sent(link)] == [hdlc.receive_ready(1)]
    assert link.feed(part) == []  # repeated, as RR was lost
    assert link.expire() == []
    assert [each.control for each in sent(link)] == [hdlc.receive_ready(1)]
    assert only(link.feed(frame(hdlc.information(1, 1, poll=True), b"!"))) == Received(b"answer!")


def test_a_long_question_goes_in_segments() -> None:
    link = connected()
    (first,) = asked(link, bytes(200))
    assert (len(first.information), first.segmented) == (128, True)
    assert link.feed(frame(hdlc.receive_ready(1))) == []
    (second,) = sent(link)
    assert (len(second.information), second.segmented, second.control) == (75, False, 0x12)


def test_a_notification_before_the_question_arrived() -> None:
    """It takes the number that the answer would have had; the question is repeated with what was received since."""
    link = connected()
    (question,) = asked(link)
    push = frame(hdlc.information(0, 0, poll=True), bytes.fromhex("E6E7000F00000001000206"))
    assert only(link.feed(push)) == Received(bytes.fromhex("0F00000001000206"))
    link.await_another()
    assert [each.control for each in sent(link)] == [hdlc.receive_ready(1)]
    assert link.feed(frame(hdlc.receive_ready(0))) == []
    (again,) = sent(link)
    assert again == question._replace(control=hdlc.information(0, 1, poll=True))
    assert only(link.feed(frame(hdlc.information(1, 1, poll=True), ANSWER))) == Received(b"answer")


def test_ui_and_frames_for_others_are_no_answers() -> None:
    link = connected()
    asked(link)
    assert link.feed(frame(hdlc.UI, ANSWER) + frame(hdlc.information(0, 1, poll=True), ANSWER, to=b"\x23")) == []
    assert link.foreign == 2


def test_what_is_no_llc_ends_the_connection() -> None:
    link = connected()
    asked(link)
    event = only(link.feed(frame(hdlc.information(0, 1, poll=True), b"\x00\x00\x00nonsense")))
    assert isinstance(event, Lost)
    assert event.loss is Loss.MALFORMED


def test_one_question_at_a_time_and_only_when_connected() -> None:
    link = Link(16, Address(1), 1)
    with pytest.raises(MisuseError):
        link.request(b"question")
    with pytest.raises(MisuseError):
        link.await_another()
    link = connected()
    asked(link)
    with pytest.raises(MisuseError):
        link.request(b"another")

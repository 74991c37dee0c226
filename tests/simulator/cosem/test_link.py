"""The meter's end of HDLC: sequence, segments, windows, and what it does when the client is wrong or gone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.simulator.cosem import frames
from nportpy.simulator.cosem.frames import Address, Control, Frame
from nportpy.simulator.cosem.line import MeterLine
from nportpy.simulator.cosem.link import Link, LinkSettings, UaForm
from nportpy.simulator.cosem.meter import MeterSettings
from nportpy.simulator.cosem.mt880 import Mt880Settings, mt880
from tests.simulator.cosem.asking import LN_ASSOCIATE, Client, heard
from tests.simulator.cosem.vectors import vector

ENERGY = bytes.fromhex("C001C100030100010800FF0200")
LIST = bytes.fromhex("C001C1000F0000280000FF0200")


def client(**link: object) -> Client:
    settings = MeterSettings(Address(1, 17), link=LinkSettings(**link))  # type: ignore[arg-type]
    return Client(MeterLine([mt880(Mt880Settings(meter=settings))]), b"\x02\x23")


def connected(**link: object) -> Client:
    asking = client(**link)
    asking.connect()
    assert asking.ask(LN_ASSOCIATE)[0] == 0x61
    return asking


def echo(apdu: bytes, now: float) -> bytes:
    return apdu


def test_sequence_numbers_on_the_wire() -> None:
    asking = client()
    asking.connect()
    controls = []
    for apdu in (LN_ASSOCIATE, ENERGY, ENERGY, ENERGY):
        (frame,) = asking.raw(apdu)
        controls.append((asking.receive << 5 | 0x10 | asking.send << 1, frame.control))
        asking.send, asking.receive = asking.send + 1, asking.receive + 1
    assert controls == [(0x10, 0x30), (0x32, 0x52), (0x54, 0x74), (0x76, 0x96)]


def test_they_go_round_after_eight() -> None:
    asking = connected()
    for _ in range(20):
        assert asking.ask(ENERGY)[:4] == b"\xc4\x01\xc1\x00"


def test_dm_when_not_connected() -> None:
    asking = client()
    for control in (0x10, 0x11, Control.DISC):
        (frame,) = asking.frame(control, b"\xe6\xe6\x00" + ENERGY if control == 0x10 else b"")
        assert frame.control == Control.DM


def test_disc_is_ua_then_dm() -> None:
    asking = connected()
    assert [frame.control for _ in range(2) for frame in asking.frame(Control.DISC)] == [Control.UA, Control.DM]


def test_field_18_a_session_is_forgotten_after_the_inactivity_time() -> None:
    asking = connected()
    asking.now = 119.9
    assert asking.ask(ENERGY)
    asking.now = 119.9 + 120.1
    assert [frame.control for frame in asking.raw(ENERGY)] == [Control.DM]
    asking.connect()
    assert asking.ask(ENERGY) == bytes.fromhex("D80101")  # connected, not associated


def test_an_inactivity_time_of_0_is_for_ever() -> None:
    asking = connected(inactivity=0)
    asking.now = 1e6
    assert asking.ask(ENERGY)


def test_another_client_hears_nothing_meanwhile_and_is_heard_after_disc() -> None:
    asking = connected()
    other = Client(asking.line, asking.server, client=1)
    assert other.frame(Control.SNRM) == []
    assert other.frame(Control.DISC) == []
    assert other.raw(ENERGY) == []
    asking.frame(Control.DISC)
    other.connect()


def test_a_second_snrm_of_the_same_client_is_accepted_and_ends_the_association() -> None:
    asking = connected()
    asking.ask(ENERGY)
    asking.connect()
    assert asking.ask(ENERGY) == bytes.fromhex("D80101")


def test_field_4_old_counters_after_a_new_snrm_get_frmr_until_the_next_one() -> None:
    asking = connected()
    asking.ask(ENERGY)
    send, receive = asking.send, asking.receive
    asking.connect()
    asking.send, asking.receive = send, receive
    (frame,) = asking.raw(ENERGY)
    assert frame.control == Control.FRMR
    assert frame.information == bytes((0x54, 0x00, 0x08))  # N(R) acknowledges what was never sent
    assert [frame.control for frame in asking.rr()] == [Control.FRMR]
    asking.connect()
    assert asking.ask(LN_ASSOCIATE)[0] == 0x61


def test_field_4_the_frame_of_the_field() -> None:
    """u9n/dlms-cosem#95: client 1, server of 4 bytes, FRMR of control 54 because of its N(S)."""
    wire = bytes.fromhex("7EA00F0300022C29971B60540010743F7E")
    link = Link(LinkSettings(), echo, lambda: None)
    server, source = bytes.fromhex("00022C29"), b"\x03"
    link.hear(Frame(server, source, Control.SNRM), 0.0)
    (frame,) = link.reject(0x54, 0x10)
    assert frame.encode() == wire


def test_a_wrong_n_s_gets_frmr() -> None:
    asking = connected()
    asking.send += 2
    (frame,) = asking.raw(ENERGY)
    assert (frame.control, frame.information[2]) == (Control.FRMR, 0x10)


def test_the_same_question_again_gets_the_stored_answer() -> None:
    asking = connected()
    first = asking.raw(ENERGY)
    served = asking.line.meters[0].server.served
    asking.now = 50.0
    assert asking.raw(ENERGY) == first
    assert asking.rr() == first
    assert asking.line.meters[0].server.served == served
    asking.send += 1
    asking.receive += 1
    assert asking.ask(ENERGY) != first[0].information[3:]


def test_rr_after_a_lost_question_says_that_nothing_came() -> None:
    asking = connected()
    (frame,) = asking.rr()
    assert frame.control == frames.receive_ready(asking.send)


def test_a_long_answer_comes_in_segments_of_the_agreed_size() -> None:
    asking = connected()
    answer = asking.raw(LIST)
    sizes = []
    asking.send += 1
    while True:
        (frame,) = answer
        sizes.append(len(frame.information))
        asking.receive = (asking.receive + 1) % 8
        if not frame.segmented:
            break
        answer = asking.rr()
        assert asking.rr() == answer  # asked again, it says the same again
    assert sizes[:-1] == [128] * (len(sizes) - 1)
    assert sizes[-1] <= 128
    assert sum(sizes) == 503  # the block and the LLC


@pytest.mark.parametrize(
    ("ours", "wish", "told"),
    [
        (128, "", "818012050180060180070400000001080400000001"),
        (512, "81800705020100060180", "81801305018006020100070400000001080400000001"),
        (250, "8180140502010006020100070400000001080400000001", "8180120501FA0601FA070400000001080400000001"),
        (128, "81800D05018006020020070400000001", "818012050120060180070400000001080400000001"),
    ],
)
def test_the_smaller_size_of_both_holds(ours: int, wish: str, told: str) -> None:
    asking = client(information=ours)
    answer = asking.connect(bytes.fromhex(wish))
    assert answer.information.hex() == told.lower()


def test_parameters_of_mixed_lengths_and_none() -> None:
    assert client(ua=UaForm.MIXED).connect().information.hex() == "81801005020080060180070101080400000001"
    assert client(ua=UaForm.EMPTY).connect().information == b""


def test_field_16_a_meter_that_accepts_no_parameters_answers_a_bare_snrm_only() -> None:
    asking = client(bare_only=True)
    assert asking.frame(Control.SNRM, bytes.fromhex("8180140502010006020100070400000001080400000001")) == []
    asking.connect()


def test_more_than_the_agreed_size_is_refused() -> None:
    asking = connected()
    (frame,) = asking.frame(asking.receive << 5 | 0x10 | asking.send << 1, bytes(129))
    assert (frame.control, frame.information[2]) == (Control.FRMR, 0x04)


def test_a_long_question_in_segments_gets_rr() -> None:
    asking = connected()
    question = b"\xe6\xe6\x00" + ENERGY
    (frame,) = asking.frame(asking.receive << 5 | 0x10 | asking.send << 1, question[:9], segmented=True)
    assert frame.control == frames.receive_ready(asking.send + 1)
    asking.send += 1
    (frame,) = asking.frame(asking.receive << 5 | 0x10 | asking.send << 1, question[9:])
    assert frame.information[3:7] == bytes.fromhex("C401C100")


def test_a_window_of_three() -> None:
    asking = client(window=3)
    asking.connect(bytes.fromhex("818012050180060180070400000003080400000003"))
    asking.ask(LN_ASSOCIATE)
    answer = asking.raw(LIST)
    assert [(frame.control & 0x10, frame.segmented) for frame in answer] == [(0, True), (0, True), (0x10, True)]
    asking.send += 1
    asking.receive = (asking.receive + 1) % 8  # only the first has come
    again = asking.rr()
    assert again == [*answer[1:]]


def test_a_window_that_ignores_what_was_agreed() -> None:
    asking = connected(ignored_window=3)
    assert len(asking.raw(LIST)) == 3


def test_busy_says_rnr_as_often_as_told() -> None:
    asking = connected()
    asking.line.meters[0].link.hold(3)
    controls = [frame.control & 0x0F for frame in asking.raw(ENERGY)]
    for _ in range(2):
        controls += [frame.control & 0x0F for frame in asking.rr()]
    assert controls == [0x05] * 3
    (frame,) = asking.rr()
    assert frame.information[3:7] == bytes.fromhex("C401C100")


def test_a_client_that_is_busy_gets_nothing_more() -> None:
    asking = connected()
    asking.raw(LIST)
    asking.send += 1
    asking.receive += 1
    (frame,) = asking.frame(frames.receive_not_ready(asking.receive))
    assert frame.control == frames.receive_ready(asking.send)
    (frame,) = asking.rr()
    assert frame.segmented


def test_ui_is_not_answered() -> None:
    asking = connected()
    assert asking.frame(Control.UI, b"\xe6\xe6\x00" + ENERGY) == []
    assert asking.ask(ENERGY)


def test_without_poll_nothing_is_answered() -> None:
    asking = connected()
    assert asking.frame(asking.receive << 5 | 0x01) == []


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=40)), max_size=30))
def test_no_sequence_of_frames_breaks_it(sent: list[tuple[int, bytes]]) -> None:
    link = Link(LinkSettings(), echo, lambda: None)
    for number, (control, information) in enumerate(sent):
        link.hear(Frame(b"\x03", b"\x21", control, information), float(number))
    link.hear(Frame(b"\x03", b"\x21", Control.DISC), 100.0)
    (ua,) = link.hear(Frame(b"\x03", b"\x21", Control.SNRM), 100.0)
    assert ua.control == Control.UA
    (frame,) = link.hear(Frame(b"\x03", b"\x21", 0x10, b"\xe6\xe6\x00abc"), 101.0)
    assert frame.information == b"\xe6\xe7\x00abc"


def test_a_vector_in_and_a_vector_out() -> None:
    meter = mt880(Mt880Settings(meter=MeterSettings(Address(1, 17), narrow=True)))
    line = MeterLine([meter])
    (frame,) = heard(line, vector("H9"))
    assert (frame.destination, frame.source) == (b"\x21", b"\x02\x23")
    assert frame.information == heard(line, vector("H10"))[0].information

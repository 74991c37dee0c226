"""What goes wrong with meters, each by itself, by script."""

import pytest

from nportpy.errors import ConfigError
from nportpy.simulator.cosem.faults import Deaf, LinkFault, MeterFaults, ServiceFault, ValueFault, Where, frame_kind
from nportpy.simulator.cosem.frames import Address, Control, Frame, Reader
from nportpy.simulator.cosem.line import MeterLine
from nportpy.simulator.cosem.mt880 import mt880
from nportpy.simulator.cosem.script import load, parse
from nportpy.simulator.cosem.zmd import zmd
from tests.simulator.cosem.asking import LN_PASSWORD, SN_ASSOCIATE, Client
from tests.simulator.cosem.test_meters import LIST, get

ENERGY = get(3, "1.0.1.8.0", 2)
SCALER = get(3, "1.0.1.8.0", 3)


def faulty(script: str, *, associate: bool = True) -> Client:
    line = MeterLine([mt880(), zmd()], spoils=parse(f"[[fault]]\n{script}".encode()))
    asking = Client(line, Address(1, 59).encode(), client=1)
    if associate:
        asking.connect()
        assert asking.ask(LN_PASSWORD)[0] == 0x61
    return asking


def said(asking: Client, apdu: bytes = ENERGY) -> list[tuple[float, bytes]]:
    """Delays and characters of the answer to an I frame."""
    control = asking.receive << 5 | 0x10 | asking.send << 1
    wire = Frame(asking.server, asking.source, control, b"\xe6\xe6\x00" + apdu).encode()
    return [(answer.delay, answer.data) for answer in asking.line.feed(wire, asking.now)]


GOOD = said(faulty('kind = "deaf"\nframes = "disc"'))[0][1]


def later(kind: str) -> str:
    """Such a fault at the second I frame: the first associates."""
    return f'{kind}\nframes = "i"\nevery = 2'


@pytest.mark.parametrize(
    ("script", "answers"),
    [
        ('kind = "missing"', []),
        ('kind = "deaf"', []),
        ('kind = "delay"\ndelay = "1s"', [(1.02, GOOD)]),
        ('kind = "bad-crc"', [(0.02, GOOD[:-2] + bytes((GOOD[-2] ^ 0x55, 0x7E)))]),
        ('kind = "cut"\ndrop = 5', [(0.02, GOOD[:-5])]),
        ('kind = "pause"\npause = "3s"\nafter = 10', [(0.02, GOOD[:10]), (3.0, GOOD[10:])]),
        ('kind = "junk"\ndata = "FF FF"', [(0.02, b"\xff\xff"), (0.0, GOOD)]),
        ('kind = "junk"\nplace = "after"\ndata = "00"', [(0.02, GOOD), (0.0, b"\0")]),
        ('kind = "twice"', [(0.02, GOOD), (0.0, GOOD)]),
    ],
)
def test_what_happens_to_an_answers_characters(script: str, answers: list[tuple[float, bytes]]) -> None:
    got = said(faulty(later(script)))
    assert [data for _, data in got] == [data for _, data in answers]
    assert [delay for delay, _ in got] == pytest.approx([delay for delay, _ in answers])


def test_field_1_an_echo_comes_before_the_answer() -> None:
    asking = faulty(later('kind = "echo"'))
    (_, echo), (_, answer) = said(asking)
    assert answer == GOOD
    (frame,) = Reader().feed(echo)
    assert frame.source == asking.source


def test_a_lost_answer_was_served_and_a_lost_question_was_not() -> None:
    for kind, served in (("missing", 1), ("deaf", 0)):
        asking = faulty(later(f'kind = "{kind}"'))
        assert said(asking) == []
        assert asking.line.meters[0].server.served == served


def test_busy_then_the_answer() -> None:
    asking = faulty(later('kind = "busy"\ntimes = 2'))
    assert frame_kind(asking.raw(ENERGY)[0].control) == "rnr"
    assert frame_kind(asking.rr()[0].control) == "rnr"
    assert asking.rr()[0].encode() == GOOD


def test_a_reboot_is_dm_until_it_is_connected_anew() -> None:
    asking = faulty(later('kind = "reboot"\nlimit = 1'))
    assert [frame.control for frame in asking.raw(ENERGY)] == [Control.DM]
    asking.connect()
    assert asking.ask(ENERGY) == bytes.fromhex("D80101")
    assert asking.ask(LN_PASSWORD)[0] == 0x61


def test_a_rejected_frame_is_frmr() -> None:
    asking = faulty(later('kind = "reject-frame"\nreason = 2'))
    (frame,) = asking.raw(ENERGY)
    assert (frame.control, frame.information) == (Control.FRMR, bytes.fromhex("322202"))


def test_a_late_answer_with_the_wrong_n_s() -> None:
    (frame,) = faulty(later('kind = "wrong-sequence"')).raw(ENERGY)
    assert frame.control == 0x50


def test_a_notification_before_the_answer() -> None:
    first, second = faulty(later('kind = "push"')).raw(ENERGY)
    assert first.control == 0x03
    assert first.information[3] == 0x0F
    assert second.encode() == GOOD


def test_a_huge_length() -> None:
    ((_, data),) = said(faulty(later('kind = "wrong-length"')))
    assert (data[1] & 7) << 8 | data[2] == len(GOOD) - 2 + 1000
    assert len(data) == len(GOOD)


def test_a_missing_rr() -> None:
    asking = faulty('kind = "missing"\nframes = "rr"\nlimit = 1')
    asking.raw(LIST)
    asking.send += 1
    asking.receive += 1
    assert asking.rr() == []
    assert asking.rr()[0].segmented


def test_field_5_d8_now_and_then() -> None:
    asking = faulty('kind = "refuse-service"\nservices = "get"\nevery = 2')
    answers = [asking.ask(ENERGY) for _ in range(4)]
    assert [answer[0] for answer in answers] == [0xC4, 0xD8, 0xC4, 0xD8]
    assert answers[1] == bytes.fromhex("D80101")


def test_by_short_names_it_is_a_service_error() -> None:
    line = MeterLine(
        [zmd()], spoils=parse(b'[[fault]]\nkind = "refuse-service"\nservices = "read"\nstate = 3\nerror=0')
    )
    asking = Client(line)
    asking.connect()
    asking.ask(SN_ASSOCIATE)
    assert asking.ask(bytes.fromhex("05010200B8")) == bytes.fromhex("0E050300")


def test_an_association_can_be_refused_so() -> None:
    asking = faulty('kind = "refuse-service"\nservices = "associate"\nlimit = 1', associate=False)
    asking.connect()
    assert asking.ask(LN_PASSWORD) == bytes.fromhex("D80101")
    assert asking.ask(LN_PASSWORD)[0] == 0x61


def test_block_numbers_jump() -> None:
    asking = faulty('kind = "block-jump"\nevery = 3')
    first = asking.ask(LIST)  # the association was the first service that it could strike
    assert int.from_bytes(first[4:8], "big") == 1
    second = asking.ask(bytes.fromhex("C002C100000001"))
    assert int.from_bytes(second[4:8], "big") == 3


def test_results_instead_of_values_by_name_and_attribute() -> None:
    asking = faulty('kind = "refuse-value"\nresult = 13\nnames = "1.0.1.8.0.255"\nattributes = "2"')
    assert asking.ask(ENERGY) == bytes.fromhex("C401C1010D")
    assert asking.ask(SCALER) == bytes.fromhex("C401C10002020F00161E")
    assert asking.ask(get(3, "1.0.2.8.0", 2))[3] == 0


def test_field_13_a_wrong_scaler() -> None:
    asking = faulty('kind = "wrong-scaler"\nadd = 3')
    assert asking.ask(SCALER) == bytes.fromhex("C401C10002020F03161E")
    assert asking.ask(ENERGY)[3] == 0
    assert asking.line.counts()["struck"] == 2


def test_where_by_meter_and_client() -> None:
    for where, silent in (('meters = "59"', True), ('meters = "60"', False), ('clients = "2-9"', False)):
        asking = faulty(f'kind = "deaf"\n{where}', associate=False)
        assert (asking.frame(Control.SNRM) == []) is silent


def test_the_same_script_strikes_the_same_each_time() -> None:
    def struck() -> list[bool]:
        asking = faulty('kind = "deaf"\nshare = 0.5', associate=False)
        return [not asking.frame(Control.SNRM) for _ in range(40)]

    assert struck() == struck()
    assert 5 < sum(struck()) < 35


def test_faults_that_are_none() -> None:
    line = MeterLine([mt880()], spoils=MeterFaults([]))
    assert line.counts()["struck"] == 0
    (frame,) = Client(line, Address(1, 59).encode()).frame(Control.SNRM)
    assert LinkFault().frames([frame]) == [frame]
    assert LinkFault().before(line.meters[0], frame) is None
    assert ServiceFault().service(b"\xc0") is None
    assert ServiceFault().block(3) == 3
    assert ValueFault().value(line.meters[0].objects[0], 2, 4) == 4
    assert Deaf().before(line.meters[0], frame) == []
    assert Where().holds_frame(1, frame)


@pytest.mark.parametrize(
    "text",
    [
        'kind = "refuse"',
        'kind = "deaf"\nframes = "x"',
        'kind = "deaf"\nnames = "1.8.0"',
        'kind = "deaf"\nnames = "a"',
        'kind = "busy"\ntimes = 0',
        'kind = "deaf"\nservices = "get,put"',
    ],
)
def test_a_script_that_is_wrong(text: str) -> None:
    with pytest.raises(ConfigError):
        parse(f"[[fault]]\n{text}".encode())


def test_a_script_from_a_file(tmp_path: object) -> None:
    path = f"{tmp_path}/script.toml"
    with open(path, "w") as file:
        file.write('seed = 3\n[[fault]]\nkind = "busy"\n')
    assert load(path).struck == 0

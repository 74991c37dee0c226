"""Every fault by itself, several at once, and which requests are struck."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.modbus.settings import Framing
from nportpy.protocols.modbus import ascii  # noqa: A004 - the standard's word
from nportpy.protocols.modbus.rtu import Frame
from nportpy.simulator.bus import Bus
from nportpy.simulator.device import Answer
from nportpy.simulator.faults import (
    AnswerBroadcast,
    BadCheck,
    Cut,
    Delay,
    EchoBefore,
    Fault,
    Faulty,
    Junk,
    Missing,
    Pause,
    Place,
    Refuse,
    Rule,
    Script,
    Twice,
    Where,
    WrongCount,
    WrongUnit,
)
from nportpy.simulator.store import Store

READ = Frame(1, bytes.fromhex("03 0000 0001")).encode()
GOOD = Frame(1, bytes.fromhex("03 02 0100")).encode()
WRITE = Frame(1, bytes.fromhex("06 0005 ABCD")).encode()


def faulty(*rules: Fault | Rule, seed: int = 0, delay: float = 0.0) -> Faulty:
    bus = Bus({1: Store(1), 2: Store(2)}, delay=delay)
    return Faulty(bus, Script(tuple(rule if isinstance(rule, Rule) else Rule(rule) for rule in rules), seed))


def ask(device: Faulty, wire: bytes = READ) -> list[Answer]:
    assert not device.feed(wire, 0.0)
    return list(device.silence(0.0))


def said(device: Faulty, wire: bytes = READ) -> list[tuple[float, bytes]]:
    return [(answer.delay, answer.data) for answer in ask(device, wire)]


def test_no_fault() -> None:
    assert said(faulty()) == said(faulty(Fault())) == [(0.0, GOOD)]


@pytest.mark.parametrize(
    ("fault", "answers"),
    [
        (Delay(1.5), [(1.5, GOOD)]),
        (Refuse(6), [(0, Frame(1, b"\x83\x06").encode())]),
        (WrongUnit(9), [(0, Frame(9, GOOD[1:-2]).encode())]),
        (WrongUnit(), [(0, Frame(2, GOOD[1:-2]).encode())]),
        (WrongCount(1), [(0, Frame(1, b"\x03\x03\x01\x00").encode())]),
        (WrongCount(-1), [(0, Frame(1, b"\x03\x01\x01\x00").encode())]),
        (WrongCount(2, data=True), [(0, Frame(1, b"\x03\x04\x01\x00\x00\x00").encode())]),
        (WrongCount(-1, data=True), [(0, Frame(1, b"\x03\x01\x01").encode())]),
        (WrongCount(-9), [(0, Frame(1, b"\x03\x00\x01\x00").encode())]),
        (BadCheck(), [(0, GOOD[:-1] + bytes((GOOD[-1] ^ 0x55,)))]),
        (Missing(), []),
        (Twice(0.01), [(0, GOOD), (0.01, GOOD)]),
        (Cut(3), [(0, GOOD[:-3])]),
        (EchoBefore(), [(0, READ), (0, GOOD)]),
        (EchoBefore(1), [(0, READ[:-1]), (0, GOOD)]),
        (Junk(), [(0, b"\0"), (0, GOOD)]),
        (Junk(Place.AFTER, b"\xff", 3), [(0, GOOD), (0, b"\xff\xff\xff")]),
        (Junk(Place.AFTER, b"\0", gap=0.1), [(0, GOOD), (0.1, b"\0")]),
        (Junk(Place.INSIDE, b"\x55"), [(0, GOOD[:3]), (0, b"\x55"), (0, GOOD[3:])]),
        (Pause(0.02), [(0, GOOD[:3]), (0.02, GOOD[3:])]),
        (AnswerBroadcast(), [(0, GOOD)]),
    ],
    ids=repr,
)
def test_each_fault(fault: Fault, answers: list[tuple[float, bytes]]) -> None:
    assert said(faulty(fault)) == answers


def test_a_fault_keeps_the_units_own_delay() -> None:
    assert said(faulty(Delay(0.5), Junk(), delay=0.1)) == [(pytest.approx(0.6), b"\0"), (0, GOOD)]


def test_a_refused_request_is_not_obeyed_and_one_without_an_answer_is() -> None:
    for fault, value in ((Refuse(6), "0105"), (Missing(), "abcd")):
        device = faulty(Rule(fault, Where(functions=(range(6, 7),))))
        ask(device, WRITE)
        ((_, answer),) = said(device, Frame(1, bytes.fromhex("03 0005 0001")).encode())
        assert Frame.parse(answer).pdu.hex() == f"0302{value}"


def test_a_missing_answer_leaves_the_echo() -> None:
    assert said(faulty(Missing(), EchoBefore()), WRITE) == [(0, WRITE)]


def test_what_an_answer_says_is_spoilt_before_its_characters() -> None:
    assert said(faulty(Cut(2), Junk(), WrongUnit(9))) == [(0, b"\0"), (0, Frame(9, GOOD[1:-2]).encode()[:-2])]


def test_broadcasts_are_answered_by_those_who_do_that() -> None:
    device = faulty(Rule(AnswerBroadcast(), Where(units=(range(2, 3),))))
    broadcast = Frame(0, WRITE[1:-2]).encode()
    (answer,) = ask(device, broadcast)
    assert answer == Answer(Frame(2, WRITE[1:-2]).encode(), 0.0, 2)
    assert ask(faulty(Delay(1.0)), broadcast) == []


def test_absent_units_stay_silent() -> None:
    assert ask(faulty(Refuse(), EchoBefore(), Junk()), Frame(9, READ[1:-2]).encode()) == []


def test_each_unit_sends_for_itself() -> None:
    device = faulty(WrongUnit(1), EchoBefore(), Twice())
    assert {answer.sender for answer in ask(device, Frame(2, READ[1:-2]).encode())} == {2}


def test_in_ascii_the_lrc_is_wrong() -> None:
    bus = Bus({1: Store(1)}, framing=Framing.ASCII)
    (answer,) = Faulty(bus, Script((Rule(BadCheck()),))).feed(ascii.encode(1, READ[1:-2]), 0.0)
    reader = ascii.Reader()
    assert not reader.feed(answer.data, 0.0)
    assert reader.counts.spoilt == 1


@pytest.mark.parametrize(
    ("where", "struck"),
    [
        (Where(), [True] * 4),
        (Where(units=(range(2, 3),)), [False, False, True, False]),
        (Where(functions=(range(4), range(16, 17))), [True, True, True, False]),
        (Where(addresses=(range(10, 20),)), [False, True, False, True]),
        (Where(addresses=(range(9, 10), range(14, 15))), [False, True, False, False]),
        (Where(addresses=(range(6, 10),)), [False] * 4),
    ],
)
def test_where(where: Where, struck: list[bool]) -> None:
    requests = [
        READ,
        Frame(1, bytes.fromhex("03 000A 0005")).encode(),
        Frame(2, READ[1:-2]).encode(),
        Frame(1, bytes.fromhex("06 000A 0005")).encode(),
    ]
    device = faulty(Rule(Missing(), where))
    assert [not ask(device, request) for request in requests] == struck


def test_every_third_and_no_more_than_twice() -> None:
    device = faulty(Rule(Missing(), Where(every=3, limit=2)))
    assert [at for at in range(1, 13) if not ask(device)] == [3, 6]
    assert device.counts()["struck"] == 2
    assert device.counts()["requests"] == 12


def test_a_share_falls_alike_each_time() -> None:
    def struck(seed: int) -> list[int]:
        device = faulty(Rule(Missing(), Where(share=0.2)), seed=seed)
        return [at for at in range(500) if not ask(device)]

    assert struck(1) == struck(1) != struck(2)
    assert 60 < len(struck(1)) < 140


@given(
    st.lists(
        st.sampled_from(
            [
                Cut(300),
                Junk(random=5),
                Junk(Place.INSIDE),
                Pause(0.1, 300),
                Twice(),
                EchoBefore(),
                BadCheck(),
                Missing(),
            ]
        ),
        max_size=8,
    )
)
def test_faults_go_together_in_any_order(faults: list[Fault]) -> None:
    device = faulty(*faults)
    first = said(device)
    assert all(delay >= 0 for delay, _ in first)
    if Missing() in faults:
        after = faults[len(faults) - faults[::-1].index(Missing()) :]
        assert bool(first) == (EchoBefore() in after)

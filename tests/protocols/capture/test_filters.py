"""Filters and triggers: each term, what is refused, and rows before and after."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.protocols.capture.filters import FAULTS, MOST_HELD, MOST_ROWS, Filter, Trigger
from nportpy.protocols.capture.rows import Row
from nportpy.protocols.modbus.functions import Span, Table


def row(number: int = 0, **fields: object) -> Row:
    return Row(number, 0, **{"kind": "tx", **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "passes", "fails"),
    [
        ("unit:5", row(unit=5), row(unit=6)),
        ("unit:1,5-7", row(unit=6), row()),
        ("function:3", row(function=3), row(function=4)),
        ("exception:02", row(exception=2), row(exception=0)),
        ("register:41001-41010", row(spans=(Span(Table.HOLDING_REGISTERS, 1009, 2),)),
         row(spans=(Span(Table.HOLDING_REGISTERS, 1010, 2), Span(Table.COILS, 1000, 9)))),
        ("register:input:7", row(spans=(Span(Table.INPUT_REGISTERS, 0, 8),)), row(spans=())),
        ("dir:rx", row(kind="rx"), row(kind="answer")),
        ("kind:modem,down", row(kind="down"), row(kind="rx")),
        ("client:192.0.2.7", row(clients=("a", "192.0.2.7:5000")), row(clients=())),
        ("fault:any", row(faults=["crc"]), row()),
        ("fault:crc,late", row(faults=["junk", "late"]), row(faults=["junk"])),
        ("gap:100ms", row(gap=0.1), row(gap=0.0999)),
        ("gap:1.5s", row(gap=2.0), row()),
        ("hex:0103??10", row(data=b"x\x01\x03\x0a\x10"), row(data=b"\x01\x03\x10")),
        ('hex:"01 2e"', row(data=b"\x01."), row(data=b"\x01a")),
        ("hex:0a", row(data=b"\n"), row(data=b"\n", kind="answer")),
        ('text:"LINE down"', row(text="line down: gone"), row()),
        ("text:hello", row(data=b"\x02Hello"), row()),
        ("-unit:5", row(unit=6), row(unit=5)),
        ("not:unit:5", row(unit=6), row(unit=5)),
        ("unit:5 -fault:any", row(unit=5), row(unit=5, faults=["crc"])),
    ],
)  # fmt: skip
def test_c13_each_term(text: str, passes: Row, fails: Row) -> None:
    wanted = Filter(text)
    assert wanted(passes)
    assert not wanted(fails)
    assert Filter("")(fails)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("unit", "'unit' is no term; terms are unit:"),
        ("unit:", "unit: wants a value, as in unit:1,5-7"),
        ("unit:x", "unit:x is no number"),
        ("unit:256", "not within 0-255"),
        ("unit:7-5", "not within"),
        ("unit:\u0663", "no number"),
        ("fault:bad", "fault:bad is not known; fault is of any, exception"),
        ("dir:up", "dir is of rx, tx"),
        ("register:7", "manuals' numbers have 5 or 6 digits"),
        ("hex:1", "no row of bytes, as in hex:0103??10"),
        ("gap:5", "no time, as in gap:100ms"),
        ("text:'", "no closing quotation"),
        ("port:4", "is no term"),
        ("unit:1 " * 40, "32 terms at most"),
        ("x" * 1001, "1000 characters at most"),
    ],
)
def test_what_is_no_filter_is_refused_with_what_would_be(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says.replace("?", r"\?")):
        Filter(text)


@given(st.text(max_size=60) | st.from_regex(r"-?(unit|function|register|hex|gap|fault|text|exception):.{0,20}"))
def test_whatever_is_written_is_understood_or_refused(text: str) -> None:
    try:
        wanted = Filter(text)
    except ValueError as error:
        assert str(error)  # noqa: PT017 - most are refused
    else:
        assert isinstance(wanted(row(data=b"\x01\x02", unit=5, text="x")), bool)


@pytest.mark.parametrize(("before", "after"), [(0, 0), (20, 5), (1, 0), (0, 7)])
def test_c15_an_exception_among_ten_thousand_stops_with_exactly_so_many_before_and_after(
    before: int, after: int
) -> None:
    at = random.Random(before).randrange(100, 9000)
    trigger = Trigger(Filter("exception:2 unit:5"), before, after)
    passed: list[Row] = []
    for number in range(10_000):
        hit = number == at or number % 97 == 0
        found = row(number, unit=5 if number == at else 6, exception=2 if hit else 0)
        passed += trigger.feed(found)
        if trigger.done:
            break
    assert [each.number for each in passed] == list(range(at - before, at + after + 1))
    assert [each.number for each in passed if each.marked] == [at]
    assert number == at + after


def test_c15_what_matches_again_among_those_after_is_marked() -> None:
    trigger = Trigger(Filter("unit:5"), 1, 2)
    passed = [each for number in range(6) for each in trigger.feed(row(number, unit=5 if number in (2, 3) else 6))]
    assert [(each.number, each.marked) for each in passed] == [(1, False), (2, True), (3, True), (4, False)]
    assert trigger.matches == 2


def test_c15_c18_what_waits_for_a_trigger_is_bounded_in_bytes() -> None:
    trigger = Trigger(Filter("unit:5"), MOST_ROWS, 0)
    for number in range(300):
        assert not list(trigger.feed(row(number, unit=6, data=bytes(65536))))
    passed = list(trigger.feed(row(300, unit=5)))
    assert [each.number for each in passed] == list(range(300 - MOST_HELD // 65536, 301))


def test_all_faults_can_be_filtered() -> None:
    for fault in FAULTS:
        assert Filter(f"fault:{fault}")(row(faults=[fault]))
    with pytest.raises(ValueError, match="0 to 10000"):
        Trigger(Filter(), 10_001, 0)

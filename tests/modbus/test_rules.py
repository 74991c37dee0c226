from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.errors import ProtocolError
from nportpy.line.turns import Priority
from nportpy.modbus.rules import Refusal, concerning, judge, look_at, urgency
from nportpy.modbus.settings import Action, Matching, PriorityRule, Rule
from nportpy.protocols.modbus.functions import Span, Table, check_request
from tests.protocols.modbus.vectors import PAIRS

HOLDING = Table.HOLDING_REGISTERS
RESTRICTIVE = (Action.READ_ONLY, Action.DENY, Action.IGNORE)
READ = bytes.fromhex("03 03E8 000A")  # holding registers 1000 to 1009
WRITE = bytes.fromhex("10 03E8 0002 04 0001 0002")  # 1000 and 1001
READ_WRITE = bytes.fromhex("17 03E8 0002 07D0 0001 02 0000")  # reads 1000 and 1001, writes 2000
VENDOR = bytes.fromhex("41 03E8 000A")
FIFO = bytes.fromhex("18 03E8")
IDENTIFY = bytes.fromhex("2B 0E 01 00")
WRITE_FILE = bytes.fromhex("15 09 06 0004 0007 0001 0102")


def rule(action: Action, **matching: object) -> Rule:
    return Rule(Matching(**matching), action)  # type: ignore[arg-type]  # names are checked by use


def verdict(pdu: bytes, *rules: Rule, unit: int = 1, broadcast: bool = False) -> Refusal | None:
    check_request(pdu)
    return judge(rules, look_at(pdu), frozenset((unit,)), broadcast)


def test_without_a_rule_that_matches_a_request_passes() -> None:
    assert verdict(WRITE) is None
    assert (
        verdict(WRITE, rule(Action.DENY, units=frozenset((2,))), rule(Action.DENY, functions=frozenset((3,)))) is None
    )


def test_the_first_match_decides() -> None:
    allow, deny, ignore = (rule(action) for action in (Action.READ_WRITE, Action.DENY, Action.IGNORE))
    assert verdict(WRITE, allow, deny) is None
    assert verdict(WRITE, deny, allow) is Refusal.FORBIDDEN
    assert verdict(WRITE, ignore, deny) is Refusal.IGNORED


@pytest.mark.parametrize("request_", [pair[0] for pair in PAIRS])
def test_read_only_lets_pass_what_is_known_to_change_nothing(request_: bytes) -> None:
    reads = request_[0] in (1, 2, 3, 4, 7, 8, 11, 12, 17, 20, 24, 43)
    harmless = reads and not request_.startswith(b"\x08\x00\x01")  # restart
    assert (verdict(request_, rule(Action.READ_ONLY)) is None) is harmless


def test_reading_and_writing_at_once_is_not_reading() -> None:
    assert verdict(READ_WRITE, rule(Action.READ_ONLY)) is Refusal.FORBIDDEN


@pytest.mark.parametrize(
    ("span", "touched"),
    [
        (Span(HOLDING, 1000, 10), True),
        (Span(HOLDING, 990, 11), True),
        (Span(HOLDING, 1009, 1), True),
        (Span(HOLDING, 0, 65536), True),
        (Span(HOLDING, 990, 10), False),
        (Span(HOLDING, 1010, 10), False),
        (Span(Table.INPUT_REGISTERS, 1000, 10), False),
    ],
)
def test_what_touches_a_refused_register_is_refused(span: Span, touched: bool) -> None:
    assert (verdict(READ, rule(Action.DENY, span=span)) is not None) is touched


@pytest.mark.parametrize(
    ("span", "whole"),
    [
        (Span(HOLDING, 1000, 10), True),
        (Span(HOLDING, 0, 65536), True),
        (Span(HOLDING, 1000, 9), False),
        (Span(HOLDING, 1001, 9), False),
        (Span(Table.COILS, 1000, 10), False),
    ],
)
@pytest.mark.parametrize("action", [Action.READ_WRITE, Action.READ_ONLY])
def test_what_goes_beyond_allowed_registers_does_not_pass(span: Span, whole: bool, action: Action) -> None:
    assert (verdict(READ, rule(action, span=span), rule(Action.DENY)) is None) is whole


def test_both_spans_of_23_count() -> None:
    read, written = Span(HOLDING, 1000, 2), Span(HOLDING, 2000, 1)
    for span in (read, written):
        assert verdict(READ_WRITE, rule(Action.DENY, span=span)) is Refusal.FORBIDDEN
        assert verdict(READ_WRITE, rule(Action.READ_WRITE, span=span), rule(Action.DENY)) is Refusal.FORBIDDEN
    both = Span(HOLDING, 1000, 1001)
    assert verdict(READ_WRITE, rule(Action.READ_WRITE, span=both), rule(Action.DENY)) is None


@pytest.mark.parametrize("pdu", [VENDOR, WRITE_FILE, bytes.fromhex("08 0001 0000"), bytes.fromhex("2B 0D 01")])
def test_what_touches_nobody_knows_what_is_refused_for_any_register(pdu: bytes) -> None:
    span = Span(Table.COILS, 7, 1)
    for action in RESTRICTIVE:
        assert verdict(pdu, rule(action, span=span)) is not None
    assert verdict(pdu, rule(Action.READ_WRITE, span=Span(HOLDING, 0, 65536)), rule(Action.DENY)) is not None


def test_a_queue_is_made_of_registers() -> None:
    span = Span(HOLDING, 1, 1)
    assert verdict(FIFO, rule(Action.DENY, span=span)) is Refusal.FORBIDDEN
    assert verdict(FIFO, rule(Action.READ_ONLY, span=span)) is None
    assert verdict(FIFO, rule(Action.READ_ONLY, span=span), rule(Action.DENY)) is Refusal.FORBIDDEN


@pytest.mark.parametrize("action", list(Action))
def test_a_rule_for_registers_is_not_about_what_touches_none(action: Action) -> None:
    everything = rule(action, span=Span(HOLDING, 0, 65536))
    assert verdict(IDENTIFY, everything) is None
    assert verdict(IDENTIFY, everything, rule(Action.DENY)) is Refusal.FORBIDDEN


def test_going_round_the_end_of_the_addresses_is_no_way_in() -> None:
    round_the_end = bytes.fromhex("03 FFFF 0002")
    assert verdict(round_the_end, rule(Action.DENY, span=Span(HOLDING, 0, 1))) is Refusal.FORBIDDEN
    allow = rule(Action.READ_WRITE, span=Span(HOLDING, 0, 65536))
    assert verdict(round_the_end, allow, rule(Action.DENY)) is Refusal.FORBIDDEN
    assert verdict(bytes.fromhex("03 FFFE 0002"), allow, rule(Action.DENY)) is None


def test_a_broadcast_is_refused_for_the_sake_of_one_unit() -> None:
    single = bytes.fromhex("06 0001 0003")
    for action in RESTRICTIVE:
        protects = rule(action, units=frozenset((5,)))
        assert verdict(single, protects, unit=0, broadcast=True) is not None
        allow = rule(Action.READ_WRITE, units=frozenset((0,)))
        assert verdict(single, allow, protects, unit=0, broadcast=True) is None
    allow = rule(Action.READ_WRITE, units=frozenset((5,)))
    assert verdict(single, allow, rule(Action.DENY), unit=0, broadcast=True) is Refusal.FORBIDDEN


def test_a_unit_is_found_by_any_of_its_ids() -> None:
    for unit in (0, 1):
        deny = rule(Action.DENY, units=frozenset((unit,)))
        assert judge((deny,), look_at(READ), frozenset((0, 1))) is Refusal.FORBIDDEN


def test_who_is_concerned() -> None:
    anyone = rule(Action.DENY)
    office = rule(Action.READ_ONLY, clients=(ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")))
    plant = rule(Action.IGNORE, clients=(ip_network("198.51.100.0/24"),))
    rules = (plant, office, anyone)
    assert concerning(rules, ip_address("192.0.2.7")) == (office, anyone)
    assert concerning(rules, ip_address("2001:db8::7")) == (office, anyone)
    assert concerning(rules, ip_address("198.51.100.7")) == (plant, anyone)
    assert concerning(rules, ip_address("203.0.113.7")) == (anyone,)
    assert concerning(rules, None) == (anyone,)


def test_urgency() -> None:
    span = Span(HOLDING, 1005, 10)
    rules = (
        PriorityRule(Matching(units=frozenset((2,))), Priority.LOW),
        PriorityRule(Matching(span=span), Priority.HIGH),
        PriorityRule(Matching(functions=frozenset((65,))), Priority.LOW),
    )
    assert urgency(rules, look_at(READ), frozenset((1,))) is Priority.HIGH
    assert urgency(rules, look_at(READ), frozenset((0, 2))) is Priority.LOW
    assert urgency(rules, look_at(VENDOR), frozenset((1,))) is Priority.LOW
    assert urgency(rules, look_at(FIFO), frozenset((1,))) is None
    assert urgency(rules, look_at(WRITE), frozenset((1,))) is None


# A model that reckons with sets of registers, function by function, on its own.

spans = st.builds(Span, st.sampled_from(Table), st.integers(0, 12), st.integers(1, 8))
matchings = st.builds(
    Matching,
    units=st.frozensets(st.integers(0, 3), max_size=2),
    functions=st.frozensets(st.sampled_from((1, 3, 4, 6, 7, 16, 23, 65)), max_size=3),
    span=st.none() | spans,
)
policies = st.lists(st.builds(Rule, matchings, st.sampled_from(Action)), max_size=6).map(tuple)


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, bool, set[tuple[Table, int]] | None]:
    """A PDU, whether it only reads, and which cells it touches; None: nobody knows."""
    address, quantity = draw(st.integers(0, 15)), draw(st.integers(1, 6))
    there, size = address.to_bytes(2), quantity.to_bytes(2)
    cells = range(address, address + quantity)
    match draw(st.sampled_from((1, 2, 3, 4, 6, 7, 16, 23, 65))):
        case 1 | 2 | 3 | 4 as function:
            table = (Table.COILS, Table.DISCRETE_INPUTS, HOLDING, Table.INPUT_REGISTERS)[function - 1]
            return bytes((function,)) + there + size, True, {(table, cell) for cell in cells}
        case 6:
            return b"\x06" + there + size, False, {(HOLDING, address)}
        case 7:
            return b"\x07", True, set()
        case 16:
            data = bytes((2 * quantity,)) + bytes(2 * quantity)
            return b"\x10" + there + size + data, False, {(HOLDING, cell) for cell in cells}
        case 23:
            other = draw(st.integers(0, 15))
            pdu = b"\x17" + there + size + other.to_bytes(2) + b"\x00\x01\x02\x00\x00"
            return pdu, False, {(HOLDING, cell) for cell in (*cells, other)}
        case _:
            return b"\x41" + there, False, None


def model(
    rules: tuple[Rule, ...], pdu: bytes, reads: bool, cells: set[tuple[Table, int]] | None, unit: int, broadcast: bool
) -> Refusal | None:
    for each in rules:
        limits, passes = each.matching, {
            Action.READ_WRITE: True, Action.READ_ONLY: reads, Action.DENY: False, Action.IGNORE: False,
        }[each.action]  # fmt: skip
        if limits.functions and pdu[0] not in limits.functions:
            continue
        if limits.units and unit not in limits.units and not (broadcast and not passes):
            continue
        if limits.span:
            table, first, quantity = limits.span
            inside = {(table, cell) for cell in range(first, first + quantity)}
            if cells is None:
                matches = not passes
            else:
                matches = bool(cells) and cells <= inside if passes else bool(cells & inside)
            if not matches:
                continue
        if passes:
            return None
        return Refusal.IGNORED if each.action is Action.IGNORE else Refusal.FORBIDDEN
    return None


@given(policies, requests(), st.integers(0, 3), st.booleans())
def test_rules_do_what_the_model_does(
    rules: tuple[Rule, ...],
    request_: tuple[bytes, bool, set[tuple[Table, int]] | None],
    unit: int,
    broadcast: bool,
) -> None:
    pdu = request_[0]
    broadcast = broadcast and unit == 0
    assert verdict(pdu, *rules, unit=unit, broadcast=broadcast) is model(rules, *request_, unit, broadcast)


@given(st.binary(min_size=1, max_size=12), st.integers(0, 255), st.booleans())
def test_no_request_passes_where_all_are_denied(pdu: bytes, unit: int, broadcast: bool) -> None:
    try:
        check_request(pdu)
    except ProtocolError:
        return
    assert verdict(pdu, rule(Action.DENY), unit=unit, broadcast=broadcast) is Refusal.FORBIDDEN


@given(policies, requests(), spans)
def test_nothing_that_touches_a_register_passes_a_rule_that_denies_it_first(
    rules: tuple[Rule, ...], request_: tuple[bytes, bool, set[tuple[Table, int]] | None], span: Span
) -> None:
    pdu, _, cells = request_
    passed = verdict(pdu, rule(Action.DENY, span=span), *rules) is None
    denied = {(span.table, cell) for cell in range(span.address, span.address + span.quantity)}
    assert not passed or (cells is not None and not cells & denied)

import logging
from collections.abc import Hashable
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nportpy.line.turns import Priority
from nportpy.modbus.clients import Asker, Use
from nportpy.modbus.question import Question
from nportpy.modbus.routing import Router, Target
from nportpy.modbus.settings import (
    UNITS,
    Action,
    Matching,
    PriorityRule,
    Route,
    RoutingSettings,
    Rule,
    ServerSettings,
    Unrouted,
)
from nportpy.network.addresses import Address, Endpoint
from nportpy.protocols.modbus.functions import may_broadcast
from tests.modbus.test_rules import policies

READ = bytes.fromhex("03 0000 0001")
WRITE = bytes.fromhex("06 0001 0003")
ELSEWHERE = ServerSettings(Endpoint("192.0.2.10", 502))
CLIENT = ip_address("192.0.2.7")
NO_ROUTE = b"\x83\x0a"
FORBIDDEN = b"\x83\x01"


class Bus:
    """Answers with its name at once, or, told to hold, on `answer`."""

    def __init__(self, name: str, hold: bool = False) -> None:
        self.name = name
        self.hold = hold
        self.asked: list[tuple[int, bytes, Priority]] = []
        self.held: list[Question] = []
        self.left: list[Hashable] = []
        self.uses: list[Use] = []

    def enter(self, client: Hashable, asker: Asker) -> Use:
        assert client == "client"
        self.uses.append(Use(asker, 0.0))
        return self.uses[-1]

    def ask(self, question: Question) -> None:
        self.asked.append((question.unit, question.pdu, question.priority))
        self.held.append(question)
        if not self.hold:
            self.answer()

    def answer(self) -> None:
        question = self.held.pop(0)
        question.done(question, self.name.encode())

    def leave(self, client: Hashable) -> None:
        self.left.append(client)

    def refused(self, question: Question, why: str) -> None: ...


class Plant:
    """A router, its buses, and a client of it; `ask` returns the answers that have come by then."""

    def __init__(self, settings: RoutingSettings, *there: str | ServerSettings, address: Address | None = CLIENT):
        self.buses = {to: Bus(to if isinstance(to, str) else to.name) for to in there}
        self.now = 0.0
        self.router = Router("plant", settings, self.find, lambda: self.now)
        self.router.refresh()
        self.visitor = self.router.visitor("client", address)

    def find(self, to: str | ServerSettings) -> Target | None:
        return self.buses.get(to)

    def ask(self, unit: int, pdu: bytes = READ) -> list[bytes]:
        answers: list[bytes] = []
        question = Question("client", unit, pdu, lambda _, answer: answers.append(answer))
        self.visitor.ask(question)
        return answers

    @property
    def asked(self) -> list[int]:
        """The unit ids on the lines, in the order of the buses."""
        return [unit for bus in self.buses.values() for unit, _, _ in bus.asked]


def routes(*entries: Route, **more: object) -> RoutingSettings:
    return RoutingSettings(entries, **more)  # type: ignore[arg-type]  # names are checked by use


A, B, C = (
    Route(frozenset(range(1, 32)), "a"),
    Route(frozenset(range(32, 64)), "b", offset=-31),
    Route(frozenset((100,)), ELSEWHERE, unit=7),
)


def rule(action: Action, **matching: object) -> Rule:
    return Rule(Matching(**matching), action)  # type: ignore[arg-type]  # names are checked by use


def test_units_lead_to_their_buses() -> None:
    plant = Plant(routes(A, B, C), "a", "b", ELSEWHERE)
    assert [plant.ask(unit) for unit in (1, 31, 32, 63, 100)] == [
        [b"a"], [b"a"], [b"b"], [b"b"], [b"tcp://192.0.2.10:502"],
    ]  # fmt: skip
    assert [[unit for unit, _, _ in bus.asked] for bus in plant.buses.values()] == [[1, 31], [1, 32], [7]]
    assert not plant.router.refused


def test_the_question_keeps_its_client_and_gets_the_unit_on_the_line() -> None:
    plant = Plant(routes(B), "b")
    question = Question("client", 40, READ, lambda *_: None, Priority.LOW)
    plant.visitor.ask(question)
    assert (question.client, question.unit, question.priority) == ("client", 9, Priority.LOW)


@pytest.mark.parametrize(("unrouted", "answer"), [(Unrouted.EXCEPTION, NO_ROUTE), (Unrouted.SILENCE, b"")])
def test_a_unit_without_a_route(unrouted: Unrouted, answer: bytes) -> None:
    plant = Plant(routes(A, B, unrouted=unrouted), "a", "b")
    assert [plant.ask(unit) for unit in (64, 247, 248, 254, 255)] == 5 * [[answer]]
    assert plant.router.refused == {"no_route": 5}
    assert not plant.asked


@pytest.mark.parametrize("unrouted", Unrouted)
def test_a_bus_that_is_not_there_is_always_said(unrouted: Unrouted) -> None:
    plant = Plant(routes(A, B, unrouted=unrouted), "b")
    assert plant.ask(1) == [NO_ROUTE]
    assert plant.ask(32) == [b"b"]
    plant.buses["a"] = Bus("a")
    assert plant.ask(1) == [NO_ROUTE]
    plant.router.refresh()
    assert plant.ask(1) == [b"a"]
    del plant.buses["b"]
    plant.router.refresh()
    assert plant.ask(32) == [NO_ROUTE]
    assert plant.router.refused == {"no_route": 3}


def test_before_the_first_refresh_no_bus_is_there() -> None:
    router = Router("plant", routes(A, unrouted=Unrouted.SILENCE), lambda _: Bus("a"))
    answers: list[bytes] = []
    visitor = router.visitor("client", None)
    visitor.ask(Question("client", 1, READ, lambda _, answer: answers.append(answer)))
    assert answers == [NO_ROUTE]
    assert not visitor.routed(1)
    router.refresh()
    assert visitor.routed(1)


@pytest.mark.parametrize(("unit", "offset"), [(1, -1), (31, 217), (31, 300), (1, -40)])
def test_no_offset_makes_a_broadcast_or_a_reserved_address(unit: int, offset: int) -> None:
    plant = Plant(routes(Route(frozenset((unit,)), "a", offset=offset)), "a")
    assert plant.ask(unit, WRITE) == [b"\x86\x0a"]
    assert not plant.asked


@given(st.frozensets(st.integers(1, 255), max_size=8), st.integers(-255, 255), st.none() | st.integers(1, 247))
def test_unit_ids_are_mapped_as_the_route_says(units: frozenset[int], offset: int, fixed: int | None) -> None:
    plant = Plant(routes(Route(units, "a", offset=offset, unit=fixed)), "a")
    for unit in range(1, 256):
        there = unit + offset if fixed is None else fixed
        known = unit in units and 1 <= there <= 247
        assert plant.ask(unit) == ([b"a"] if known else [NO_ROUTE])
        assert plant.visitor.routed(unit) is known
    assert plant.asked == [
        unit + offset if fixed is None else fixed
        for unit in sorted(units)
        if fixed is not None or 1 <= unit + offset <= 247
    ]


def test_0_and_255_may_be_taken_for_units() -> None:
    plant = Plant(routes(A, B, unit0=32, unit255=2), "a", "b")
    assert plant.ask(0) == [b"b"]
    assert plant.ask(255) == [b"a"]
    assert plant.asked == [2, 1]
    plant.router.configure(routes(A, B, unit0=255, unit255=2))
    assert plant.ask(0, WRITE) == [b"a"]
    assert plant.asked == [2, 2, 1]
    del plant.buses["a"]
    plant.router.configure(routes(A, B, unit0=1, unit255=70, unrouted=Unrouted.SILENCE))
    assert plant.ask(0) == [NO_ROUTE]
    assert plant.ask(255) == [b""]


def test_255_may_have_a_route() -> None:
    direct = Route(frozenset((255,)), "a", unit=1)
    assert Plant(routes(direct), "a").ask(255) == [b"a"]
    plant = Plant(routes(direct, B, unit255=33), "a", "b")
    assert plant.ask(255) == [b"b"]


@pytest.mark.parametrize(
    ("pdu", "answer"),
    [("03 0000 0000", "8303"), ("03 0000", "8303"), ("10 0000 0001 03 0000", "9003"), ("00", "8001"),
     ("80", "8001"), ("83 02", "8301"), ("FF", "FF01"), ("41" + 253 * "00", "C103")],
)  # fmt: skip
def test_what_no_unit_would_take_is_refused(pdu: str, answer: str) -> None:
    plant = Plant(routes(A), "a")
    for unit in (1, 99):
        assert plant.ask(unit, bytes.fromhex(pdu)) == [bytes.fromhex(answer)]
    assert plant.router.refused == {"malformed": 2}
    assert not plant.asked


def test_a_broadcast_goes_to_every_bus_once() -> None:
    twice = Route(frozenset((200,)), "a")
    plant = Plant(routes(A, twice, B, C), "a", "b", ELSEWHERE)
    assert plant.ask(0, WRITE) == [b""]
    assert plant.asked == [0, 0, 0]
    del plant.buses["b"]
    plant.router.refresh()
    assert plant.ask(0, WRITE) == [b""]
    assert not plant.router.refused


def test_a_broadcast_ends_when_its_last_part_does() -> None:
    plant = Plant(routes(A, B, C), "a", "b", ELSEWHERE)
    for bus in plant.buses.values():
        bus.hold = True
    plant.buses["b"].hold = False
    answers = plant.ask(0, WRITE)
    plant.buses[ELSEWHERE].answer()
    assert answers == []
    plant.buses["a"].answer()
    assert answers == [b""]


@pytest.mark.parametrize(("unrouted", "answer"), [(Unrouted.EXCEPTION, NO_ROUTE), (Unrouted.SILENCE, b"")])
def test_reads_are_not_broadcast(unrouted: Unrouted, answer: bytes) -> None:
    plant = Plant(routes(A, B, unrouted=unrouted), "a", "b")
    assert plant.ask(0, READ) == [answer]
    plant.buses.clear()
    plant.router.refresh()
    assert plant.ask(0, WRITE) == [bytes((WRITE[0] | 0x80, 0x0A)) if answer else b""]
    assert plant.router.refused == {"no_route": 2}


def test_who_has_a_unit() -> None:
    plant = Plant(routes(A, B, unit255=1), "a")
    assert [plant.visitor.routed(unit) for unit in (0, 1, 31, 32, 64, 255)] == [True, True, True, False, False, True]
    del plant.buses["a"]
    plant.router.refresh()
    assert not any(plant.visitor.routed(unit) for unit in range(256))


def test_refusals_by_rules_are_answered_and_counted() -> None:
    rules = (
        rule(Action.IGNORE, units=frozenset((3,))),
        rule(Action.READ_ONLY, units=frozenset((2,))),
        rule(Action.DENY, functions=frozenset((3,))),
    )
    plant = Plant(routes(A, rules=rules), "a")
    assert plant.ask(1) == [FORBIDDEN]
    assert plant.ask(2) == [b"a"]
    assert plant.ask(2, WRITE) == [b"\x86\x01"]
    assert plant.ask(3, WRITE) == [b""]
    assert plant.ask(1, WRITE) == [b"a"]
    assert plant.router.refused == {"forbidden": 2, "ignored": 1}
    assert plant.asked == [2, 1]


def test_rules_know_units_as_clients_write_them() -> None:
    plant = Plant(routes(B, unit0=32, rules=(rule(Action.DENY, units=frozenset((32,))),)), "b")
    assert plant.ask(32) == [FORBIDDEN]
    assert plant.ask(0) == [FORBIDDEN]
    assert plant.ask(63) == [b"b"]
    plant.router.configure(routes(B, unit0=32, rules=(rule(Action.DENY, units=frozenset((0,))),)))
    assert plant.ask(32) == [b"b"]
    assert plant.ask(0) == [FORBIDDEN]


def test_a_broadcast_obeys_rules() -> None:
    protects = rule(Action.READ_ONLY, units=frozenset((5,)))
    plant = Plant(routes(A, B, rules=(protects,)), "a", "b")
    assert plant.ask(0, WRITE) == [b"\x86\x01"]
    assert plant.router.refused == {"forbidden": 1}
    urgent = PriorityRule(Matching(units=frozenset((0,))), Priority.HIGH)
    allow = rule(Action.READ_WRITE, units=frozenset((0,)))
    plant.router.configure(routes(A, B, rules=(allow, protects), priorities=(urgent,)))
    assert plant.ask(0, WRITE) == [b""]
    assert [bus.asked for bus in plant.buses.values()] == 2 * [[(0, WRITE, Priority.HIGH)]]


def test_rules_are_for_networks() -> None:
    rules = (rule(Action.DENY, clients=(ip_network("192.0.2.0/24"),)),)
    urgent = (PriorityRule(Matching(clients=(ip_network("198.51.100.0/24"),)), Priority.HIGH),)
    settings = routes(A, rules=rules, priorities=urgent)
    assert Plant(settings, "a", address=CLIENT).ask(1) == [FORBIDDEN]
    for address, priority in ((ip_address("198.51.100.1"), Priority.HIGH), (None, Priority.NORMAL)):
        plant = Plant(settings, "a", address=address)
        assert plant.ask(1) == [b"a"]
        assert plant.buses["a"].asked == [(1, READ, priority)]


def test_new_settings_hold_for_those_who_are_there() -> None:
    plant = Plant(routes(A), "a", "b")
    assert plant.ask(1) == [b"a"]
    plant.router.configure(routes(A, rules=(rule(Action.DENY),)))
    assert plant.ask(1) == [FORBIDDEN]
    plant.router.configure(routes(Route(frozenset((1,)), "b")))
    assert plant.ask(1) == [b"b"]
    assert plant.ask(2) == [NO_ROUTE]


def test_leaving_is_told_to_those_who_were_asked() -> None:
    plant = Plant(routes(A, B, C), "a", "b", ELSEWHERE)
    plant.visitor.leave()
    plant.ask(1)
    plant.ask(2)
    plant.ask(32)
    plant.router.configure(routes(C))
    plant.visitor.leave()
    plant.visitor.leave()
    assert [bus.left for bus in plant.buses.values()] == [["client"], ["client"], []]


def test_leaving_is_told_to_all_who_heard_a_broadcast() -> None:
    plant = Plant(routes(A, B), "a", "b")
    plant.ask(0, WRITE)
    plant.visitor.leave()
    assert [bus.left for bus in plant.buses.values()] == 2 * [["client"]]


def test_refusals_are_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "nportpy.modbus.routing")
    plant = Plant(routes(A, rules=(rule(Action.DENY, functions=frozenset((3,))), rule(Action.IGNORE))), "a")
    for _ in range(10):
        plant.ask(1)
        plant.ask(2, WRITE)
    first, second = caplog.records
    facts = {"service": "plant", "client": "192.0.2.7", "unit": 1, "function": 3, "result": "forbidden"}
    assert facts.items() <= first.__dict__.items()
    assert "more" not in first.__dict__
    assert second.__dict__.items() >= {("unit", 2), ("function", 6), ("result", "ignored")}
    plant.now = 61.0
    plant.ask(1)
    assert len(caplog.records) == 3
    assert caplog.records[2].__dict__["more"] == 9


def test_a_flood_of_different_refusals_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    plant = Plant(RoutingSettings.whole("a", rules=(rule(Action.DENY),)), "a", address=None)
    for unit in UNITS:
        for function in range(65, 73):
            assert plant.ask(unit, bytes((function,))) == [bytes((function | 0x80, 1))]
    assert len(caplog.records) <= 65
    assert caplog.records[0].__dict__["client"] == "master"


settings = st.builds(
    RoutingSettings,
    st.sampled_from(((), (A,), (A, B, C))),
    unit0=st.none() | st.sampled_from((1, 32, 70)),
    unit255=st.none() | st.sampled_from((1, 32, 70)),
    unrouted=st.sampled_from(Unrouted),
    rules=policies,
    priorities=st.lists(st.builds(PriorityRule, st.just(Matching()), st.sampled_from(Priority)), max_size=1).map(tuple),
)
pdus = st.binary(min_size=1, max_size=10) | st.sampled_from((READ, WRITE, bytes.fromhex("08 0004 0000"), b"\x41"))


@given(settings, st.frozensets(st.sampled_from(("a", "b", ELSEWHERE))), st.integers(0, 255), pdus)
def test_every_question_is_answered_exactly_once(
    settings: RoutingSettings, there: frozenset[str | ServerSettings], unit: int, pdu: bytes
) -> None:
    plant = Plant(settings, *there)
    for bus in plant.buses.values():
        bus.hold = True
    answers = plant.ask(unit, pdu)
    held = [bus for bus in plant.buses.values() if bus.held]
    assert len(answers) == (0 if held else 1)
    assert sum(plant.router.refused.values()) == len(answers)
    for bus in held:
        assert not answers
        bus.answer()
    assert len(answers) == 1
    assert all(0 < there <= 247 or (unit == 0 and may_broadcast(pdu)) for there in plant.asked)


@given(settings, st.integers(0, 255), pdus)
def test_nothing_comes_to_a_bus_where_all_is_denied(settings: RoutingSettings, unit: int, pdu: bytes) -> None:
    denied = RoutingSettings(settings.routes, settings.unit0, settings.unit255, rules=(rule(Action.DENY),))
    plant = Plant(denied, "a", "b", ELSEWHERE)
    assert plant.ask(unit, pdu)[0][0] & 0x80
    assert not plant.asked

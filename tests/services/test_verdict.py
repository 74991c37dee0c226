"""What is said of a bus, out of statuses that are made up."""

from dataclasses import replace
from typing import Any

import pytest

from nportpy.services.faults import Fault, faults
from nportpy.services.verdict import Ill, Verdict, lasting, share, took, verdict
from nportpy.status import (
    BusClientCounts,
    BusClientStatus,
    BusCounts,
    BusStatus,
    GatewayStatus,
    LoopStatus,
    UnitCounts,
    UnitStatus,
)
from tests.services import samples

NOW = samples.STARTED + 3600


def unit(number: int, *, silent: bool = False, thinks: float = 0.01, **recent: Any) -> UnitStatus:
    """One that has answered a hundred times in the last minutes, unless that is said otherwise."""
    fields = {"answered": 100} | recent
    timed = fields["answered"]
    counts = UnitCounts(
        **fields,
        busy=timed * (thinks + 0.02),
        answer_times=(timed, *(0,) * 13),
        answer_seconds=timed * (thinks + 0.02),
        wire_seconds=timed * 0.02,
    )
    return UnitStatus(number, silent, 1.0, NOW - 600 if silent else None, counts, answered=timed)


def client(name: str, requests: int, busy: float, **more: Any) -> BusClientStatus:
    fields: dict[str, Any] = {"left": None, "connections": 1, "unit": 1} | more
    return BusClientStatus(
        client=name, service="meters modbus", since=NOW - 900, refused=0, function=3, address=0,
        recent=BusClientCounts(requests=requests, busy=busy), **fields,
    )  # fmt: skip


def bus(*units: UnitStatus, clients: tuple[BusClientStatus, ...] = (), **recent: Any) -> BusStatus:
    """One that was busy for 200 of the last 300 seconds."""
    fields: dict[str, Any] = {
        "seconds": 300.0,
        "sent": 1000,
        "busy": 200.0,
        "waited": 50.0,
        "own": 0.5,
        "sampled": 1000,
    } | recent
    counts = BusCounts(**({"results": {"answered": 1000}} | fields))
    return replace(samples.bus(), units=units, clients=clients, recent=counts)


def judged(of: BusStatus, loop: LoopStatus | None = None) -> Verdict:
    return verdict(replace(samples.gateway(), buses=(of,), loop=loop or LoopStatus()), of, NOW)


@pytest.mark.parametrize(
    ("bad", "ill", "words"),
    [
        (unit(9, silent=True, answered=0, unanswered=20), Ill.DEAD, "it has answered nothing for 10 min, nor ever"),
        (unit(9, silent=True), Ill.DEAD, "it has answered nothing for 10 min; trying it takes 2 % of the bus's"),
        (unit(9, silent=True, answered=0, unanswered=20, spoilt=20), Ill.NOISY, "20 answers of 20 (100 %)"),
        (unit(9, silent=True, answered=0, unanswered=20, late=18), Ill.LATE, "18 answers of 20 (90 %) came after its"),
        (unit(9, spoilt=4), Ill.NOISY, "4 answers of 100 (4 %) had a wrong check sum"),
        (unit(9, spoilt=4, unanswered=4, late=5), Ill.LATE, "came after its timeout of 1.0 s"),
        (unit(9, unanswered=3, retries=8), Ill.FLAKY, "11 of 111 requests sent to it (10 %) were not answered"),
        (unit(9, thinks=0.3), Ill.SLOW, "it takes 300 ms to answer, the others 10 ms, and 16 % of the bus's time"),
        (unit(9, thinks=0.06), Ill.SLOW, "it takes 60 ms to answer, the others 10 ms"),
        (unit(9, spoilt=2), None, ""),  # accidents
        (unit(9, spoilt=3, answered=1000), None, ""),
        (unit(9, unanswered=2, retries=2, answered=200), None, ""),
        (unit(9, thinks=0.03), None, ""),
        (unit(9, answered=0), None, ""),
    ],
)
def test_how_a_unit_is_bad(bad: UnitStatus, ill: Ill | None, words: str) -> None:
    found = judged(bus(unit(1), unit(2), bad))
    assert {each.unit: each.ill for each in found.units} == ({9: ill} if ill else {})
    if ill:
        (sentence,) = (each for each in found.sentences if each.startswith("Unit 9"))
        assert words in sentence
    else:
        assert "All units that were asked answer as they should." in found.sentences


def test_a_unit_alone_is_slow_only_beyond_what_any_may_take() -> None:
    assert judged(bus(unit(1, thinks=0.2))).units == ()
    assert judged(bus(unit(1, thinks=0.26))).units[0].ill is Ill.SLOW


def test_a_long_answer_on_the_wire_is_nobodys_fault() -> None:
    counts = UnitCounts(answered=50, answer_times=(50, *(0,) * 13), answer_seconds=50.0, wire_seconds=49.0, busy=50.0)
    assert judged(bus(UnitStatus(1, False, 1.0, None, counts), unit(2))).units == ()


EVEN = tuple(client(f"192.0.2.{number}:4000", 100, 20.0) for number in range(1, 5))


@pytest.mark.parametrize(
    ("clients", "hogs", "words"),
    [
        ((*EVEN, client("192.0.2.9:5000", 2000, 120.0)), ["192.0.2.9:5000"], "192.0.2.9:5000 hogs the bus: it"),
        ((*EVEN, client("192.0.2.9:5000", 40, 120.0)), ["192.0.2.9:5000"], "not by asking often (0.1 times a second"),
        ((*EVEN, client("192.0.2.9:5000", 120, 22.0)), [], "Nobody hogs it: 5 clients ask"),
        ((*EVEN, client("192.0.2.9", 2000, 120.0, left=NOW, connections=70)),
         ["192.0.2.9 (70 connections, left)"], "192.0.2.9 (70 connections, left) hogs the bus"),
        ((*EVEN, client("192.0.2.9", 2000, 120.0, left=NOW, connections=1)),
         ["192.0.2.9 (left)"], "192.0.2.9 (left) hogs the bus"),
        ((*EVEN, *(client(f"192.0.2.9:{port}", 300, 30.0) for port in range(5))),
         ["192.0.2.9 (5 clients there)"], "192.0.2.9 (5 clients there) hogs the bus"),
        ((*EVEN[:2], *(client(f"[2001:db8::9]:{port}", 500, 60.0) for port in range(3))),
         ["2001:db8::9 (3 clients there)"], "2001:db8::9 (3 clients there) hogs the bus"),
        ((EVEN[0], client("station emon", 150, 25.0)), [], "Nobody hogs it: 2 clients ask"),
        ((EVEN[0], client("station emon", 1500, 180.0)), ["station emon"], "station emon hogs the bus"),
        (EVEN[:1], [], "192.0.2.1:4000 is the only client that asks (meters modbus): 0.3 times a second."),
        ((*EVEN[:1], client("192.0.2.5:1", 0, 0.0)), [], "192.0.2.1:4000 is the only client that asks"),
    ],
)  # fmt: skip
def test_who_hogs_the_bus(clients: tuple[BusClientStatus, ...], hogs: list[str], words: str) -> None:
    found = judged(bus(unit(1), clients=clients))
    assert list(found.hogs) == hogs
    assert words in found.sentences[1]


def test_who_asks_the_bad_unit_is_told_so() -> None:
    asks_the_slow = client("192.0.2.9:5000", 40, 120.0, unit=4)
    found = judged(bus(unit(1), unit(4, thinks=0.5), clients=(*EVEN, asks_the_slow)))
    assert found.sentences[1].endswith("last unit 4, which is slow.")
    assert found.hogs == ()  # who is kept waiting is not to blame


def test_a_client_whose_request_was_counted_before_the_last_minutes_divides_by_nothing() -> None:
    found = judged(bus(unit(1), clients=(client("192.0.2.8:1", 0, 200.0), client("192.0.2.9:1", 0, 10.0))))
    assert found.hogs == ("192.0.2.8:1",)


def test_who_has_much_of_a_bus_that_rests_does_no_harm() -> None:
    found = judged(bus(unit(1), clients=(*EVEN, client("192.0.2.9:5000", 2000, 120.0)), busy=30.0))
    assert found.hogs == ()
    assert "but the bus has room" in found.sentences[1]


@pytest.mark.parametrize(
    ("own", "loop", "innocent", "words"),
    [
        (0.5, LoopStatus(worst=0.003), True, "of the 200 ms that a transaction takes it adds 0.5 ms (0.2 %)"),
        (1.9, LoopStatus(), True, "The gateway is innocent"),
        (
            30.0,
            LoopStatus(),
            False,
            "The gateway is not innocent: of the 230 ms that a transaction takes it adds 30 ms",
        ),
        (0.5, LoopStatus(worst=0.4), False, "its event loop was at most 400 ms late in the last two minutes"),
    ],
)
def test_whether_the_gateway_is_innocent(own: float, loop: LoopStatus, innocent: bool, words: str) -> None:
    found = judged(bus(unit(1), own=own), loop)
    assert found.innocent is innocent
    assert words in found.sentences[-1]


def test_more_is_asked_than_the_bus_carries() -> None:
    found = judged(bus(unit(1), results={"answered": 90, "expired": 6, "queue_full": 4}))
    assert found.sentences[1] == "More is asked than it carries: 10 requests (10 %) were never sent."


def test_a_bus_that_is_down_and_one_that_nobody_asks() -> None:
    away = replace(bus(), up=False)
    status = replace(samples.gateway(), lines=(samples.line(state="lost"),))
    said = verdict(status, away, samples.STARTED + 602.5)
    assert said.sentences[0] == "meters is down for 10 min: No such file or directory."
    assert said.innocent is None
    nobody = judged(bus(unit(1, answered=0), sent=0, busy=0.0, results={"answered": 0}))
    assert nobody.sentences == ("Nobody has asked meters anything in the last 5 min.",)


def test_before_the_first_minute_was_marked() -> None:
    assert judged(bus(seconds=0.0)).sentences[0].startswith("meters: 1000 requests were sent")


def test_words_for_numbers() -> None:
    assert [lasting(each) for each in (-1, 0, 119, 120, 7199, 7200, 172800)] == [
        "0 s", "0 s", "119 s", "2 min", "120 min", "2 h", "2 days"
    ]  # fmt: skip
    assert [took(each) for each in (0.0004, 0.0251, 1.25)] == ["0.4 ms", "25 ms", "1.2 s"]
    assert [share(*each) for each in ((0, 0), (1, 1000), (1, 8))] == ["0 %", "0.1 %", "12 %"]


def test_faults_and_since_when() -> None:
    hog = client("192.0.2.9:5000", 2000, 120.0)
    status: GatewayStatus = replace(
        samples.with_edge(),
        lines=(samples.line(), samples.line("plc", "lost")),
        buses=(bus(unit(1), unit(9, silent=True), clients=(*EVEN, hog)), replace(bus(), name="tcp://h:502", up=False)),
        loop=LoopStatus(worst=0.5),
    )
    assert faults(status, NOW) == (
        Fault("plc", "/dev/ttyAMA0 is lost: No such file or directory", samples.STARTED + 2.5),
        Fault("meters", "unit 9 is dead", NOW - 600),
        Fault("meters", "192.0.2.9:5000 has too much of the bus"),
        Fault("tcp://h:502", "cannot be reached"),
        Fault("dead", "the station does not answer: unit 9 does not answer", samples.STARTED + 60),
        Fault("pi-07", "the event loop was 500 ms late in the last two minutes"),
    )
    assert faults(samples.gateway(), NOW) == ()

"""Rounds of polling on virtual time: against the reference's transcript, and outstations that keep FCB and queues."""

import asyncio
from collections import deque
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from nportpy.errors import LineDown, LineError
from nportpy.meters.iec101.client import Iec101Client, Report, Restarted
from nportpy.meters.iec101.exchange import OutstationSilent
from nportpy.meters.iec101.settings import CounterRequest, Iec101Settings
from nportpy.protocols.iec101.asdu import Sizes
from nportpy.protocols.iec101.elements import Flags, Object
from nportpy.protocols.iec101.times import decode_56
from tests.meters.iec101.support import Script, Station, Wire, fixed, hexed, together, variable
from tests.protocols.iec101.vectors import WIRE

START = int(datetime(2026, 11, 21, 18, 58, tzinfo=UTC).timestamp()) * 1_000_000
POINTS = hexed("01 03 14 01 0A 00 01 0B 00 00 14 00 80")  # V3
EVENT = hexed("1E 01 03 01 0A 00 01 92 3B 3A 12 D5 0B 1A")  # V15
INITIALISED = hexed("46 01 04 01 00 00 00")  # V19
QUIET = Iec101Settings(interrogate=False)


def wall() -> int:
    return START + round((asyncio.get_running_loop().time() - 1000) * 1e6)


def client(settings: Iec101Settings | None = None) -> Iec101Client:
    return Iec101Client("rtu", settings or Iec101Settings(), wall)


def objects(one: Iec101Client) -> list[tuple[int, Object]]:
    """Cause and object of all that was reported since the last call."""
    return [(each.asdu.cause, found) for each in one.take() if isinstance(each, Report) for found in each.asdu.objects]


def scripted(*lines: tuple[str, str | None]) -> Script:
    vectors = WIRE | {"V2+ACD": variable(0x28, hexed("64 01 07 01 00 00 14"))}
    return Script(*((vectors[asked], vectors[said] if said else None) for asked, said in lines))


TRANSCRIPT = (("F2", "F3"), ("F1", "F4"), ("V1", "F5"), ("F10", "V2+ACD"), ("F9", "V3"), ("F10", "V5"), ("F7", "F11"))


@pytest.mark.parametrize("pieces", [0, 1, 4])
async def test_the_transcript_of_the_reference(pieces: int) -> None:
    script, one = scripted(*TRANSCRIPT), client()
    wire = Wire(script)
    wire.pieces = pieces
    await one.poll(wire)
    assert not script.left
    assert one.settled
    assert objects(one) == [
        (20, Object(10, True)),
        (20, Object(11, False)),
        (20, Object(20, False, Flags.INVALID)),
    ]


async def test_the_transcript_with_a_lost_answer_counts_it_once() -> None:
    lines: list[tuple[str, str | None]] = list(TRANSCRIPT)
    lines[4:5] = [("F9", None), ("F9", "V3"), ("F2", "F3")]  # whatever comes before the status is late
    script, one = scripted(*lines), client()
    await one.poll(Wire(script))
    assert not script.left
    assert len(objects(one)) == 3
    assert one.exchange.link.counts.repeats == 1


async def test_the_transcript_on_an_echoing_line() -> None:
    script, one = scripted(*TRANSCRIPT), client()
    await one.poll(Wire(lambda request: request + script(request)))
    assert len(objects(one)) == 3
    assert one.exchange.link.counts.echoes == len(TRANSCRIPT)


async def test_each_frame_of_the_transcript_may_be_lost() -> None:
    """Requests and answers alike, one at a time: the same values once each, and the link stays up."""
    for fault in range(1, 8):
        for deaf in (True, False):
            station, one = Station(image=[POINTS]), client()
            seen = 0

            def heard(request: bytes, station: Station = station, fault: int = fault, deaf: bool = deaf) -> bytes:
                nonlocal seen
                seen += 1
                station.deaf, station.lose = int(deaf and seen == fault), int(not deaf and seen == fault)
                return station(request)

            await one.poll(Wire(heard))
            assert len(objects(one)) == 3
            assert one.exchange.link.up
            assert len(station.received) == 1


async def test_an_outstation_need_not_tell_its_status_while_the_link_is_up() -> None:
    """Then what is late has the time to come in which it would have been told."""
    station, one = Station(), client(QUIET)
    wire, loop = Wire(station), asyncio.get_running_loop()
    await one.poll(wire)
    one.take()
    wire._other = lambda request: b"" if request == WIRE["F2"] else station(request)
    for number in range(8):
        station.class_2.append(EVENT[:4] + bytes((number, 0)) + EVENT[6:])
        station.lose = lost = number % 3
        began = loop.time()
        await one.poll(wire)
        assert loop.time() - began < 0.2 + 0.6 * (lost and lost + lost + 1)
    assert [found.address for _, found in objects(one)] == list(range(8))
    assert wire.sent_frames.count(WIRE["F1"]) == 1


@pytest.mark.parametrize("single", [False, True])
async def test_events_come_once_each_in_their_order(single: bool) -> None:
    station, one = Station(single=single), client(QUIET)
    wire = Wire(station)
    await one.poll(wire)
    assert [type(each) for each in one.take()] == [Restarted]
    for number in range(30):
        station.class_1.append(EVENT[:4] + bytes((number, 0)) + EVENT[6:])
        if number % 3 == 0:
            station.lose = 1
        for _ in range(one._settings.class1_every):
            await one.poll(wire)
    assert [found.address for _, found in objects(one)] == list(range(30))
    assert one.exchange.link.counts.repeats == 10


async def test_class_1_is_asked_now_and_then_where_e5_hides_acd() -> None:
    station, one = Station(single=True), client(replace(QUIET, class1_every=4))
    wire = Wire(station)
    await one.poll(wire)
    station.class_1.append(EVENT)
    for _ in range(3):
        await one.poll(wire)
    assert len(objects(one)) == 1


async def test_acd_stuck_is_bounded() -> None:
    station, one = Station(stuck=True), client(replace(QUIET, burst=5))
    wire = Wire(station)
    for _ in range(10):
        await one.poll(wire)
    assert len(wire.sent_frames) < 10 * 5


async def test_class_1_bursts_are_bounded() -> None:
    station, one = Station(class_1=deque([EVENT] * 100)), client(replace(QUIET, burst=20))
    wire = Wire(station)
    station.stuck = True
    await one.poll(wire)
    assert station.acted.count(10) <= 40
    assert ", 10" * 21 not in str(station.acted)
    for _ in range(5):
        await one.poll(wire)
    assert len(objects(one)) == 100


async def test_events_before_the_link_came_up_are_told_from_those_after() -> None:
    station, one = Station(class_1=deque([EVENT])), client(QUIET)
    wire = Wire(station)
    await one.poll(wire)
    station.class_1.append(EVENT)
    await one.poll(wire)
    old, new = (each for each in one.take() if isinstance(each, Report))
    assert old.since is None
    assert new.since is not None
    assert new.since < new.arrived


async def test_cyclic_values_end_the_round_when_they_come_again() -> None:
    cyclic = hexed("09 01 01 01 28 00 00 40 00")
    one = client(QUIET)
    station = Station()
    station.class_2.extend([cyclic] * 50)
    await one.poll(Wire(station))
    assert len(objects(one)) == 2


async def test_no_answer_is_silence_after_all_tries() -> None:
    wire, one = Wire(lambda _: b""), client()
    with pytest.raises(OutstationSilent, match="outstation 1 did not answer"):
        await one.poll(wire)
    assert wire.sent_frames == [WIRE["F2"]] * 4
    assert not one.exchange.link.up


async def test_the_link_is_reset_after_silence_and_all_is_asked_again() -> None:
    station, one = Station(image=[POINTS]), client()
    wire = Wire(station)
    await one.poll(wire)
    assert len(objects(one)) == 3
    station.deaf = 4
    with pytest.raises(OutstationSilent):
        await one.poll(wire)
    await one.poll(wire)
    assert len(objects(one)) == 3
    assert len(station.received) == 2


async def test_what_came_before_the_silence_is_kept() -> None:
    station, one = Station(), client(QUIET)
    wire = Wire(station)
    await one.poll(wire)
    one.take()
    station.class_2.append(EVENT)

    def then_deaf(request: bytes) -> bytes:
        answer = station(request)
        station.deaf = 9
        return answer

    wire._other = then_deaf
    with pytest.raises(OutstationSilent):
        await one.poll(wire)
    assert len(objects(one)) == 1


async def test_the_line_lost_in_an_exchange_loses_nothing() -> None:
    """The same request goes first when the line is back, and the outstation repeats its answer."""
    station, one = Station(), client(QUIET)
    wire = Wire(station)
    await one.poll(wire)
    one.take()
    station.class_2.append(EVENT)
    answered = station

    def cut(request: bytes) -> bytes:
        answered(request)
        wire.down = True
        return b""

    wire._other = cut
    with pytest.raises(LineDown):
        await one.poll(wire)
    wire.down, wire._other = False, station
    await one.poll(wire)
    assert len(objects(one)) == 1
    assert one.exchange.link.up
    assert station.expected is not None


async def test_a_cancelled_round_loses_nothing() -> None:
    station, one = Station(), client(QUIET)
    wire = Wire(station)
    await one.poll(wire)
    one.take()
    for delay in (0.001, 0.006, 0.012, 0.02, 0.03):
        station.class_2.append(EVENT)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(delay):
                await one.poll(wire)
        await one.poll(wire)
        assert len(objects(one)) == 1


async def test_the_end_of_initialisation_asks_all_again() -> None:
    station, one = Station(image=[POINTS]), client()
    wire = Wire(station)
    await one.poll(wire)
    one.take()
    station.class_1.append(INITIALISED)
    await one.poll(wire)
    heard = one.take()
    assert isinstance(heard[0], Restarted)
    assert len([each for each in heard if isinstance(each, Report)]) == 1
    assert len(station.received) == 2
    assert one.counts.restarts == 1


async def test_a_second_end_of_initialisation_begins_the_interrogation_anew() -> None:
    station, one = Station(single=True, image=[INITIALISED, POINTS]), client()
    station.class_1.append(INITIALISED)
    wire = Wire(station)
    station_asked = station._asked

    def once(data: bytes) -> None:
        station_asked(data)
        station.image = [POINTS]

    station._asked = once  # type: ignore[method-assign]
    for _ in range(3):
        await one.poll(wire)
    assert len(station.received) == 2
    assert one.counts.restarts == 2
    assert one.settled


async def test_an_interrogation_that_never_ends_is_given_up_and_its_values_stay() -> None:
    station, one = Station(image=[POINTS], terminates=False), client(replace(Iec101Settings(), patience=3.0))
    wire = Wire(station)
    await one.poll(wire)
    assert len(objects(one)) == 3
    assert one.counts.given_up == 1
    await asyncio.sleep(200)
    await one.poll(wire)
    assert len(station.received) == 1


async def test_an_interrogation_without_any_answer_is_asked_again_later() -> None:
    class Mute(Station):
        def _asked(self, data: bytes) -> None:
            pass

    station, one = Mute(), client(replace(Iec101Settings(), patience=3.0))
    wire = Wire(station)
    await one.poll(wire)
    assert (one.counts.given_up, len(station.received)) == (1, 1)
    await one.poll(wire)
    assert len(station.received) == 1
    await asyncio.sleep(61)
    await one.poll(wire)
    assert len(station.received) == 2


async def test_rounds_are_bounded_and_interrogations_go_on_in_the_next() -> None:
    station, one = Station(image=[POINTS] * 100, terminates=True), client(replace(Iec101Settings(), hold=1.0))
    wire, loop = Wire(station), asyncio.get_running_loop()
    rounds = 0
    while not one.settled:
        began = loop.time()
        await one.poll(wire)
        assert loop.time() - began < 3.0
        rounds += 1
    assert rounds > 1
    assert len(objects(one)) == 300


async def test_a_refused_interrogation_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    station, one = Station(refuses=True), client()
    await one.poll(Wire(station))
    assert one.settled
    assert one.counts.refused == 1
    assert "station interrogation refused" in caplog.text


async def test_groups_and_counters() -> None:
    settings = Iec101Settings(groups=(1, 16), counters=CounterRequest.FREEZE)
    station, one = Station(), client(settings)
    await one.poll(Wire(station))
    assert station.received == [
        hexed("64 01 06 01 00 00 15"),
        hexed("64 01 06 01 00 00 24"),
        hexed("65 01 06 01 00 00 45"),
        hexed("65 01 06 01 00 00 05"),
    ]
    assert one.settled


async def test_interrogations_return() -> None:
    station, one = Station(image=[POINTS]), client(Iec101Settings(interrogate_every=600))
    wire = Wire(station)
    for _ in range(4):
        await one.poll(wire)
        await asyncio.sleep(301)
    assert len(station.received) == 2


async def test_the_clock_is_set_only_on_wish_and_first() -> None:
    station, one = Station(), client(Iec101Settings(synchronise_every=3600))
    await one.poll(Wire(station))
    clock, interrogation = station.received
    assert clock[:6] == hexed("67 01 06 01 00 00")
    assert interrogation[0] == 100
    told = decode_56(clock[6:]).instant(UTC)
    assert told is not None
    assert 0 <= told - START < 100_000
    assert one.clock is not None
    assert abs(one.clock) < 1_000_000  # it says what we have just said


async def test_repeats_of_the_clock_tell_the_time_that_it_is_then() -> None:
    station, one = Station(), client(Iec101Settings(synchronise_every=3600, interrogate=False))
    wire = Wire(station)

    def deaf_to_clocks(request: bytes) -> bytes:
        if request[6:7] == b"\x67" and len(clocks) < 2:
            clocks.append(request)
            return b""
        return station(request)

    clocks: list[bytes] = []
    wire._other = deaf_to_clocks
    await one.poll(wire)
    first, second = (decode_56(each[12:19]).instant(UTC) for each in clocks)
    third = decode_56(station.received[0][6:]).instant(UTC)
    assert first is not None and second is not None and third is not None  # noqa: PT018 - for mypy
    assert 500_000 <= second - first < 700_000
    assert 500_000 <= third - second < 700_000
    assert len({each[4] for each in clocks}) == 1  # FCB


async def test_dfc_keeps_data_back_until_it_is_over() -> None:
    station, one = Station(busy=3), client()
    wire = Wire(station)
    await one.poll(wire)
    first = next(at for at, each in enumerate(wire.sent_frames) if each[0] == 0x68)
    assert first > wire.sent_frames.index(WIRE["F1"]) + 2
    assert wire.sent_frames.count(WIRE["F2"]) >= 2
    assert station.busy == 0
    assert one.settled


async def test_a_refused_send_is_tried_in_the_next_round() -> None:
    station, one = Station(), client()

    def refusing(request: bytes) -> bytes:
        answer = station(request)
        if request[0] == 0x68 and refused[0]:
            refused[0] -= 1
            station.class_1.clear()
            return fixed(0x01)
        return answer

    refused = [1]
    wire = Wire(refusing)
    await one.poll(wire)
    assert not one.settled
    assert len(station.received) == 1
    await one.poll(wire)
    assert one.settled
    assert len(station.received) == 2


async def test_two_stations_have_a_bit_each() -> None:
    first, second = Station(1, image=[POINTS]), Station(2, image=[POINTS])
    wire = Wire(together(first, second))
    ones = [client(), client(replace(Iec101Settings(), link_address=2))]
    for _ in range(3):
        for one in ones:
            await one.poll(wire)
    second.lose = 1
    for _ in range(3):
        for one in ones:
            await one.poll(wire)
    assert [len(objects(one)) for one in ones] == [3, 3]
    assert [bool(one.exchange.link.counts.repeats) for one in ones] == [False, True]


async def test_answers_from_another_address_do_not_count() -> None:
    station, one = Station(), client(QUIET)
    wire = Wire(lambda request: fixed(0x09, 7) + station(request))
    await one.poll(wire)
    assert one.exchange.link.up
    assert one.exchange.link.counts.strangers > 2


async def test_only_another_outstation_answers() -> None:
    with pytest.raises(OutstationSilent, match="outstation 7 did"):
        await client().poll(Wire(lambda _: fixed(0x0B, 7)))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (variable(0x73, EVENT), "balanced mode, which is not supported"),
        (fixed(0xC9, 1), "second controlling station"),
        (hexed("10 01 0B 0C 16"), "SINAUT"),
        (hexed("10 0B 01 00 0C 16"), "2 bytes, not 1"),
        (hexed("10 0B 01 FF 16"), "parity"),
    ],
)
async def test_why_an_outstation_is_not_understood(said: bytes, expected: str) -> None:
    with pytest.raises(OutstationSilent, match=expected):
        await client().poll(Wire(lambda _: said))


async def test_sizes_that_do_not_fit_are_told(caplog: pytest.LogCaptureFixture) -> None:
    settings = replace(QUIET, sizes=Sizes(2, 2, 3))
    station, one = Station(class_2=deque([EVENT, POINTS])), client(settings)
    await one.poll(Wire(station))
    assert objects(one) == []
    assert "1/1/2" in one.hint
    assert one.counts.malformed == 2
    assert caplog.text.count("1/1/2") == 1


async def test_unknown_types_are_dropped_and_the_link_stays() -> None:
    station, one = Station(class_1=deque([hexed("7F 01 03 01 01 00 00"), EVENT])), client(QUIET)
    await one.poll(Wire(station))
    assert one.counts.unknown == 1
    assert len(objects(one)) == 1


async def test_tests_are_no_data() -> None:
    station, one = Station(class_1=deque([EVENT[:2] + b"\x83" + EVENT[3:]])), client(QUIET)
    await one.poll(Wire(station))
    assert (objects(one), one.counts.tests) == ([], 1)


async def test_it_gives_way_between_exchanges() -> None:
    station, one = Station(image=[POINTS]), client()
    wire = Wire(station)
    await one.poll(wire)
    assert wire.given_way >= len(wire.sent_frames) - 2  # all but the start of the link


async def test_a_line_that_never_falls_silent_has_an_end() -> None:
    class Babble(Wire):
        async def read(self, within: float) -> bytes:
            await asyncio.sleep(0.01)
            return b"\x10\x68\x55"

    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(OutstationSilent):
        await client().poll(Babble(lambda _: b""))
    assert loop.time() - began < 20


async def test_a_link_out_of_service_is_said() -> None:
    with pytest.raises(LineError, match="does not work"):
        await client().poll(Wire(lambda _: fixed(0x0E)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"link_address": 255},
        {"link_size": 3},
        {"common_address": 0},
        {"common_address": 255},
        {"zone": "Europe/Nowhere"},
        {"zone": "../etc"},
        {"groups": (17,)},
        {"counter_groups": (5,)},
        {"burst": 0},
    ],
)
def test_settings_of_no_system_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong)).partition("_")[0]):
        Iec101Settings(**wrong)  # type: ignore[arg-type]

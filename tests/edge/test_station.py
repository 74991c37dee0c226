"""A station's rounds: when it is read, what becomes a sample, what happens while it does not answer."""

import asyncio
import itertools
import logging

import pytest

from tests.support.stations import Kept, station_of, tag

POWER = tag("power", "41009", "float32", deadband=0.5)
ENERGY = tag("energy", "41001", "float32", always_at=900.0, max_silence=0.0)


async def test_e2_constant_input_one_sample_and_then_one_per_max_silence() -> None:
    kept = Kept(station_of(tag("power", "41009", "float32", max_silence=60.0)), lambda _: {"power": 5.0})
    await kept.run(201.0)
    assert [at for at, *_ in kept.of(1)] == [0.05, 60.05, 120.05, 180.05]
    assert kept.station.counts.good == 21
    assert kept.station.counts.unchanged == 17


async def test_e2_a_change_beyond_the_deadband_gives_one_in_the_next_cycle() -> None:
    kept = Kept(station_of(POWER), lambda now: {"power": 5.0 if now < 25 else 5.6})
    await kept.run(100.0)
    assert kept.of(1) == [(0.05, 5.0, 192), (30.05, 5.6, 192)]


async def test_e12_a_dead_station_gives_one_bad_sample_per_tag_and_one_good_on_recovery(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "nportpy.edge")
    tags = (POWER, tag("voltage", "41059", "float32", max_silence=60.0))
    kept = Kept(station_of(*tags), lambda now: None if 15 < now < 200 else {"power": 1.0, "voltage": 230.0})
    await kept.run(300.0)
    assert [(value, quality) for _, value, quality in kept.of(1)] == [(1.0, 192), (None, 0), (1.0, 192)]
    assert [quality for _, _, quality in kept.of(2)][:3] == [192, 0, 192]
    assert kept.station.up is True
    assert [record.message for record in caplog.records] == ["station does not answer", "station answers again"]


async def test_a_dead_station_is_tried_after_2_4_8_to_60_seconds() -> None:
    kept = Kept(station_of(POWER, every=1.0), lambda _: None)
    kept.driver.takes = 1.0
    await kept.run(260.0)
    tries = [at for at, _ in kept.driver.reads]
    assert [round(later - before) for before, later in itertools.pairwise(tries)] == [
        3,
        5,
        9,
        17,
        33,
        61,
        61,
        61,
    ]
    assert kept.station.rounds is not None
    assert kept.station.rounds.overruns == 0
    assert kept.station.up is False
    assert kept.station.reason == "nothing came"


async def test_rounds_that_are_overrun_are_skipped_and_counted() -> None:
    kept = Kept(station_of(POWER, every=1.0), lambda _: {"power": 1.0})
    kept.driver.takes = 2.5
    await kept.run(31.0)
    assert [at for at, _ in kept.driver.reads] == [float(at) for at in range(0, 31, 3)]
    assert kept.station.rounds is not None
    assert kept.station.rounds.overruns == 20


async def test_e12_always_at_gives_a_sample_at_each_quarter_of_the_clock() -> None:
    kept = Kept(station_of(POWER, ENERGY, every=7.0), lambda _: {"power": 1.0, "energy": 42.0})
    await kept.run(3600.0)
    times = [at for at, *_ in kept.of(2)]
    assert times[0] == 0.05
    assert [round((1_750_000_000 + at - 0.05) % 900, 3) for at in times[1:]] == [0.0, 0.0, 0.0, 0.0]
    assert len(times) == 5


async def test_a_refused_tag_is_bad_and_the_others_are_not() -> None:
    kept = Kept(
        station_of(POWER, tag("voltage", "41059", "float32")), lambda _: {"power": 1.0, "voltage": float("nan")}
    )
    await kept.run(25.0)
    assert kept.of(2) == [(0.05, None, 0)]
    assert kept.of(1) == [(0.05, 1.0, 192)]
    assert kept.station.counts.partial == 3
    assert kept.station.up is True
    assert "no number" in kept.station.tags["voltage"].reason


async def test_a_value_in_a_wrong_order_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    kept = Kept(station_of(POWER), lambda _: {"power": 2.7e23})
    await kept.run(50.0)
    assert [record.message for record in caplog.records if "order" in record.message] == [
        "this value looks as if its order were another one (ABCD, CDAB, BADC, DCBA)"
    ]


async def test_a_cancelled_round_leaves_nothing() -> None:
    kept = Kept(station_of(POWER), lambda _: {"power": 1.0})
    kept.driver.takes = 100.0
    await kept.run(5.0)
    assert kept.samples == []
    assert asyncio.all_tasks() == {asyncio.current_task()}

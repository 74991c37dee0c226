"""The second storey in its gateway: stations beside clients, outages, reloads, and an archive that cannot be had."""

import asyncio
import itertools
import logging
import os
import sqlite3
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from nportpy.edge.archive import Archive
from nportpy.edge.sample import Quality
from nportpy.edge.settings import ArchiveSettings, ClockTrust
from nportpy.linesettings import LineSettings
from nportpy.modbus.settings import Action, BusSettings, Matching, Rule, ServerSettings
from nportpy.network.addresses import Endpoint
from nportpy.port.base import Port, PortReceiver, PortSettings
from nportpy.port.loopback import Cable
from tests.support.edges import Edged, edged, emon, plant, world
from tests.support.modbus_serving import asker, attach, modbus, outcomes, read, registers, route, router, units
from tests.support.serving import plan, until
from tests.support.stations import LoopClock, station_of, tag

HOUR = 3600.0
EVERY = 6.0


# Polling, and what becomes of it.


async def test_a_station_is_read_kept_and_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    around = world(tmp_path, monkeypatch)
    async with edged(around, around.edge(emon(), plant())) as at:
        await asyncio.sleep(60.0)
        assert at.station().up is True
        assert [(each.name, each.value) for each in at.station().tags] == [("power", 256), ("energy", 257)]
        kept = await at.kept("emon/power")
        assert len(kept) == at.station().polls["good"] == 6
        assert {each.value for each in kept} == {256}
        await until(lambda: not at.upstream().backlog, 60)
        assert at.upstream().sent_live + at.upstream().sent_late >= 10
    assert {number for _, number in around.broker.received()} >= set(range(1, 11))


async def jitter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, hole: bool, seconds: float = HOUR
) -> tuple[int, float, dict[str, int]]:
    """Requests, the 99th percentile of the rounds' jitter in seconds, and what the bus says."""
    around = world(tmp_path, monkeypatch)
    stations = [emon(name=f"s{number}", unit=number, every=EVERY) for number in (1, 2, 3)]
    async with edged(around, around.edge(*stations, plant())) as at:
        await asyncio.sleep(5.0)
        around.broker.hole = hole
        began = asyncio.get_running_loop().time()
        sent = at.bus().sent
        await asyncio.sleep(seconds)
        sent, found = at.bus().sent - sent, outcomes(at.bus())
        if hole:
            assert at.upstream().backlog > 0.9 * 6 * seconds / EVERY
            assert at.archive().samples > 0.9 * 6 * seconds / EVERY
    off = []
    for name in ("s1", "s2", "s3"):
        times = [when for when in around.times(name) if began <= when < began + seconds]
        off += [abs(later - before - EVERY) for before, later in itertools.pairwise(times)]
    return sent, sorted(off)[int(0.99 * len(off))], found


@pytest.mark.long
async def test_e1_an_hour_in_a_black_hole_costs_polling_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    online = await jitter(tmp_path / "a", monkeypatch, hole=False)
    away = await jitter(tmp_path / "b", monkeypatch, hole=True)
    assert abs(online[0] - away[0]) <= 1
    assert away[1] <= 1.05 * online[1] + 0.001
    assert set(away[2]) == {"answered"}


async def test_e3_latency_of_the_upstream_does_not_touch_polling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    around = world(tmp_path, monkeypatch)
    around.broker.delay = 0.3
    async with edged(around, around.edge(emon(every=1.0), plant())) as at:
        await asyncio.sleep(100.5)
        assert at.station().polls == {"good": 101, "partial": 0, "failed": 0}
        assert at.station().overruns == 0


@pytest.mark.long
async def test_e4_it_starts_without_upstream_and_polls_within_5_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    around = world(tmp_path, monkeypatch)
    around.broker.up = False
    async with edged(around, around.edge(emon(), plant())) as at:
        await asyncio.sleep(5.0)
        assert at.station().polls["good"] == 1
        assert at.archive().samples == 2
        before = at.archive().samples
        await asyncio.sleep(100.0)
        assert at.archive().samples > before
        assert not at.upstream().up
        assert at.upstream().reason == "refused"
        around.broker.up = True
        await until(lambda: not at.upstream().backlog, 600)
    assert len(set(around.broker.received())) >= 22


async def test_e7_a_restart_inside_the_outage_sends_the_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    around = world(tmp_path, monkeypatch)
    around.broker.up = False
    settings = around.edge(emon(every=1.0), plant())
    async with edged(around, settings):
        await asyncio.sleep(60.0)
    async with edged(around, settings) as at:
        await asyncio.sleep(5.0)
        around.broker.up = True
        await until(lambda: not at.upstream().backlog, 600)
        newest = at.archive().newest
    assert newest > 120
    assert {number for _, number in around.broker.received()} >= set(range(1, newest + 1))


@pytest.mark.long
async def test_e8_e9_e11_e14_a_silent_hole_of_421_seconds_is_back_filled_late_and_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "nportpy.edge")
    around = world(tmp_path, monkeypatch)
    async with edged(around, around.edge(emon(every=1.0), plant(keepalive=60.0))) as at:
        await asyncio.sleep(100.0)
        caplog.clear()
        around.broker.hole = True
        await asyncio.sleep(90.0)
        around.broker.drop("no sign of life for 90 s")
        await asyncio.sleep(331.0)
        around.broker.hole = False
        await asyncio.sleep(120.0)
        await until(lambda: not at.upstream().backlog, 600)
        newest, boot = at.archive().newest, (await at.kept())[0].boot
    received = Counter(around.broker.received())
    assert set(received) >= {(boot, number) for number in range(1, newest + 1)}
    assert max(received.values()) == 2  # the overlap; (node, boot, seq) tells
    [line] = [record for record in caplog.records if record.message == "back-filled"]
    assert {"upstream", "samples", "from", "to", "seconds", "evicted"} <= vars(line).keys()
    assert line.evicted == 0  # type: ignore[attr-defined]  # extra
    for late in (False, True):  # in order inside each of the two; the one long late run here has no overlap in itself
        times = [row.at for _, batch in around.broker.batches if batch.late is late for row in batch.rows]
        assert times == sorted(times)


# On the line, beside its clients.


async def test_e15_clients_requests_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    around = world(tmp_path, monkeypatch)
    order: list[int] = []
    device = units(1, 2, delay=0.1)
    for number, unit in device.units.items():
        note(unit, order, number)
    async with edged(
        around,
        around.edge(emon(unit=2, every=5.0)),
        plan("cable", modbus(), line=LineSettings(9600)),
        cables=[cable_with(device)],
    ) as at:
        await asyncio.sleep(1.0)
        client = await asker(at)
        start = around.times()[0]
        order.clear()
        await asyncio.sleep(start + 5.0 - 0.05 - asyncio.get_running_loop().time())
        answers = [client.ask(read(number)) for number in range(4)]  # these wait as the station's time comes
        await asyncio.gather(*answers)
        await asyncio.sleep(1.0)
        assert order == [1, 1, 1, 1, 2]
        await client.close()


@pytest.mark.long
async def test_e15_a_flood_of_clients_does_not_keep_a_station_from_being_read_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    around = world(tmp_path, monkeypatch)
    device = units(1, 2, delay=0.05)
    async with edged(
        around, around.edge(emon(unit=2, every=1.0)), plan("cable", modbus()), cables=[cable_with(device)]
    ) as at:
        client = await asker(at)
        good = at.station().polls["good"]

        async def flood(address: int) -> None:
            while True:
                await client.ask(read(address))

        async with asyncio.TaskGroup() as tasks:
            asking = [tasks.create_task(flood(number * 200)) for number in range(1, 4)]
            await asyncio.sleep(60.0)
            for task in asking:
                task.cancel()
        status = at.station()
        assert status.up is True
        assert status.polls["good"] > good + 5
        assert set(at.qualities(await at.kept())) == {192}
        await client.close()


async def test_e15_who_asks_the_same_shares_the_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    around = world(tmp_path, monkeypatch)
    async with edged(
        around,
        around.edge(emon(every=5.0)),
        plan("cable", modbus(), bus=BusSettings()),
        cables=[cable_with(units(1, delay=0.2))],
    ) as at:
        await asyncio.sleep(1.0)
        client = await asker(at)
        start = around.times()[0]
        sent = at.bus().sent
        await asyncio.sleep(start + 5.0 + 0.01 - asyncio.get_running_loop().time())
        assert await client.read(0, 2) == [256, 257]  # the station asks just this
        await asyncio.sleep(1.0)
        assert at.bus().sent == sent + 1
        assert at.station().polls["good"] == 2
        await client.close()


async def test_e15_rules_hold_for_the_poller_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    around = world(tmp_path, monkeypatch)
    forbids = Rule(Matching(functions=frozenset({3})), Action.DENY)
    async with edged(around, around.edge(emon(rules=(forbids,)))) as at:
        await asyncio.sleep(29.0)
        assert at.bus().sent == 0
        assert at.station().up is True  # the gateway answers, with an exception
        assert at.station().polls["partial"] == 3


@pytest.mark.long
async def test_e12_a_dead_station_costs_the_living_ones_one_timeout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    around = world(tmp_path, monkeypatch)
    living, dead = emon(every=1.0), emon(name="dead", unit=77, every=1.0)
    async with edged(around, around.edge(living, dead)) as at:
        await asyncio.sleep(600.0)
        assert at.station("dead").up is False
        kept = await at.kept("dead")
        assert at.qualities(kept) == [0, 0]  # one bad sample a tag
        assert at.station().polls["failed"] == 0
        assert len(await at.kept("emon/power")) > 570
        lost = 600 - at.station().polls["good"]
        assert lost <= 2 * at.station("dead").polls["failed"]  # a try costs the neighbour its timeout, no more
        assert at.station("dead").polls["failed"] <= 15


async def test_e12_a_line_that_goes_gives_one_bad_sample_and_one_good_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    around = world(tmp_path, monkeypatch)
    cable = cable_with(units(1))
    station = station_of(tag("power", "40001", max_silence=0.0), to="cable", every=1.0)
    async with edged(around, around.edge(station), plan("cable"), cables=[cable]) as at:
        await asyncio.sleep(10.0)
        cable.unplug()
        await asyncio.sleep(30.0)
        assert at.station().up is False
        cable.plug()
        await asyncio.sleep(90.0)
        assert at.qualities(await at.kept()) == [192, 0, 192]


async def test_the_first_poll_waits_for_the_lines_opening_and_gives_no_false_bad_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    around = world(tmp_path, monkeypatch)
    cable = cable_with(units(1))
    async with edged(around, around.edge(emon(every=1.0)), plan("cable"), opener=slow(cable, 1.0), up=False) as at:
        assert around.polls == []
        await asyncio.sleep(5.0)
        assert at.station().polls["failed"] == 0
        assert set(at.qualities(await at.kept())) == {192}


async def test_a_line_that_never_opens_is_told_after_two_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    around = world(tmp_path, monkeypatch)
    async with edged(
        around, around.edge(emon()), plan("cable"), opener=slow(cable_with(units(1)), 100.0), up=False
    ) as at:
        await asyncio.sleep(3.0)
        assert at.station().up is False
        assert at.station().reason.startswith("there is no way to unit 1: its line is down")


async def test_a_target_elsewhere_shares_the_connection_of_a_route(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    around = world(tmp_path, monkeypatch)
    accepted = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal accepted
        accepted += 1
        try:
            while True:
                head = await reader.readexactly(7)
                pdu = await reader.readexactly(int.from_bytes(head[4:6]) - 1)
                count = int.from_bytes(pdu[3:5])
                body = bytes((3, 2 * count)) + b"\x01\x00" * count
                writer.write(head[:4] + (len(body) + 1).to_bytes(2) + head[6:7] + body)
        except asyncio.IncompleteReadError:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        there = ServerSettings(Endpoint("127.0.0.1", server.sockets[0].getsockname()[1]))
        async with edged(
            around,
            around.edge(emon(to=there, unit=9)),
            plan("unused"),
            opener=both(Cable("unused")),
            routers=(router(route(9, there)),),
        ) as at:
            await asyncio.sleep(30.0)
            client = await asker(at, *router_of(at))
            assert registers(await client.ask(read(0), 9)) == [256]
            assert at.station().polls["good"] >= 3
            await client.close()
    assert accepted == 1


# Reloads.


async def test_a_reload_adds_removes_and_changes_stations_and_leaves_the_others_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    around = world(tmp_path, monkeypatch)
    one, two, three = (emon(name=f"s{number}", unit=number, every=1.0) for number in (1, 2, 3))
    async with edged(around, around.edge(one, two)) as at:
        await asyncio.sleep(10.2)
        untouched = at.edge._stations["s1"].task
        await at.change(edge=around.edge(one, replace(two, every=5.0), three))
        assert at.edge._stations["s1"].task is untouched
        await asyncio.sleep(20.0)
        await at.change(edge=around.edge(one, three))
        gone = len(around.times("s2"))
        await asyncio.sleep(20.0)
        assert len(around.times("s2")) == gone
        gaps = {round(later - before, 2) for before, later in itertools.pairwise(around.times("s1"))}
        assert gaps == {1.0}
        assert [each.name for each in at.edge.status().stations] == ["s1", "s3"]  # type: ignore[union-attr]
        kept = await at.kept()
        assert [each.seq for each in kept] == list(range(1, len(kept) + 1))
        assert set(at.qualities(kept)) == {192}


async def test_stations_are_shown_in_the_files_order_after_a_reload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    around = world(tmp_path, monkeypatch)
    one, two, three = (emon(name=f"s{number}", unit=number) for number in (1, 2, 3))
    async with edged(around, around.edge(two, plant(name="b"))) as at:
        await at.change(edge=around.edge(one, two, three, plant(name="a"), plant(name="b")))
        status = at.edge.status()
        assert status is not None
        assert [each.name for each in status.stations] == ["s1", "s2", "s3"]
        assert [each.name for each in status.upstreams] == ["a", "b"]


async def test_e9_a_reload_in_the_middle_of_a_back_fill_loses_no_sample_and_no_cursor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    around = world(tmp_path, monkeypatch)
    around.broker.up = False
    settings = around.edge(emon(every=0.2), plant(max_rate=20.0))
    async with edged(around, settings) as at:
        await asyncio.sleep(100.0)
        around.broker.up = True
        await until(lambda: at.upstream().sent_late > 100, 300)
        await at.change(edge=around.edge(emon(every=0.2), emon(name="other", unit=2), plant(max_rate=20.0)))
        assert at.upstream().up  # it was not touched
        await until(lambda: at.upstream().sent_late > 300, 300)
        acknowledged = at.upstream().acknowledged
        await at.change(edge=around.edge(emon(every=0.5), plant(max_rate=500.0), plant(name="second", node="pi")))
        assert at.upstream().acknowledged >= acknowledged
        await until(lambda: at.upstream().up, 300)
        await until(lambda: at.upstream().backlog < 5, 300)
        await at.change(edge=around.edge(plant(max_rate=500.0)))  # nothing is read any more
        await until(lambda: not at.upstream().backlog, 300)
        kept = await at.kept()
    received = {number for _, number in around.broker.received()}
    assert [each.seq for each in kept] == list(range(1, len(kept) + 1))
    assert received >= {each.seq for each in kept}


async def test_a_reload_of_the_archives_settings_keeps_samples_and_cursors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    around = world(tmp_path, monkeypatch)
    async with edged(around, around.edge(emon(every=1.0), plant())) as at:
        await asyncio.sleep(30.0)
        before, acknowledged = at.archive().newest, at.upstream().acknowledged
        await at.change(edge=around.edge(emon(every=1.0), plant(), commit=5.0, max_size=64 << 20))
        assert at.archive().newest >= before
        assert at.upstream().acknowledged >= acknowledged > 0
        await asyncio.sleep(30.0)
        await at.change(edge=around.edge(emon(every=1.0), plant(), path=str(tmp_path / "new" / "other.db")))
        await asyncio.sleep(30.0)
        assert at.archive().path == str(tmp_path / "new" / "other.db")
        assert at.archive().oldest == 1
        assert at.archive().samples > 50


async def test_a_line_replaced_at_a_reload_gives_no_false_bad_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    around = world(tmp_path, monkeypatch)
    cable = cable_with(units(1, delay=0.05))
    settings = around.edge(emon(every=0.1))
    async with edged(around, settings, plan("cable"), opener=slow(cable, 0.5), up=False) as at:
        await asyncio.sleep(10.03)
        await at.change(plan("cable", line=LineSettings(9600)), edge=settings)
        await asyncio.sleep(10.0)
        assert cable.opened >= 2
        assert at.station().polls["good"] > 80
        assert set(at.qualities(await at.kept())) == {192}


async def test_a_port_that_goes_and_comes_back_at_reloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    around = world(tmp_path, monkeypatch)
    settings = around.edge(emon(every=1.0))
    cable = cable_with(units(1))
    async with edged(around, settings, plan("cable"), cables=[cable, Cable("other")]) as at:
        await asyncio.sleep(5.0)
        await at.change(plan("other"), edge=around.edge())
        assert at.edge.status().stations == ()  # type: ignore[union-attr]
        await asyncio.sleep(5.0)
        await at.change(plan("cable"), edge=settings)
        await asyncio.sleep(5.0)
        assert set(at.qualities(await at.kept())) == {192}


async def test_a_reload_without_any_of_it_and_with_it_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    around = world(tmp_path, monkeypatch)
    settings = around.edge(emon(every=1.0), plant())
    async with edged(around, None) as at:
        assert at.gateway.status().edge is None
        await at.change(edge=settings)
        await asyncio.sleep(10.0)
        assert at.archive().samples > 10
        await at.change(edge=None)
        assert at.gateway.status().edge is None
        polls = len(around.polls)
        await asyncio.sleep(10.0)
        assert len(around.polls) == polls
        await at.change(edge=settings)
        await asyncio.sleep(10.0)
        assert at.archive().oldest == 1
        assert at.archive().samples > 30


async def test_an_upstream_that_was_taken_out_is_given_everything_when_it_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    around = world(tmp_path, monkeypatch)
    station = emon(every=1.0)
    async with edged(around, around.edge(station, plant())) as at:
        await asyncio.sleep(60.0)
        assert at.upstream().acknowledged > 50
        await at.change(edge=around.edge(station))
        await asyncio.sleep(60.0)
    async with edged(around, around.edge(station)):  # over a restart, too
        await asyncio.sleep(60.0)
    async with edged(around, around.edge(station, plant())) as at:
        assert at.upstream().acknowledged == 0


# An archive that cannot be had.


async def test_an_archive_that_cannot_be_opened_keeps_nothing_else_from_being_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    around = world(tmp_path, monkeypatch)
    (tmp_path / "file").write_text("in the way")
    settings = around.edge(emon(), path=str(tmp_path / "file" / "archive.db"))
    async with edged(around, settings, plan("cable", modbus()), cables=[cable_with(units(1))]) as at:
        client = await asker(at)
        assert await client.read(0) == [256]
        status = at.edge.status()
        assert status is not None
        assert status.archive is None
        assert "file" in status.error
        assert status.stations == ()
        await asyncio.sleep(60.0)
        assert [record.message for record in caplog.records if "archive" in record.message] == [
            "no archive, so no station is read; trying on"
        ]
        (tmp_path / "file").unlink()
        await asyncio.sleep(11.0)
        assert at.edge.status().error == ""  # type: ignore[union-attr]
        assert at.station().up is True
        await client.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_directory_that_is_not_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    around = world(tmp_path, monkeypatch)
    (tmp_path / "locked").mkdir(mode=0o500)
    settings = around.edge(emon(), path=str(tmp_path / "locked" / "archive.db"))
    async with edged(around, settings) as at:
        assert at.edge.status().error  # type: ignore[union-attr]
        (tmp_path / "locked").chmod(0o700)
        await asyncio.sleep(11.0)
        assert at.archive().error == ""


async def test_an_archive_that_another_program_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    around = world(tmp_path, monkeypatch)
    other = Archive(ArchiveSettings(str(tmp_path / "archive.db")), LoopClock())
    await other.open()
    async with edged(around, around.edge(emon(), plant())) as at:
        status = at.edge.status()
        assert status is not None
        assert "another" in status.error or "in use" in status.error
        await other.close()
        await asyncio.sleep(11.0)
        assert at.station().up is True
        assert at.upstream().up


async def test_a_reload_to_another_archive_while_the_first_cannot_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    around = world(tmp_path, monkeypatch)
    (tmp_path / "file").write_text("in the way")
    async with edged(around, around.edge(emon(), path=str(tmp_path / "file" / "a.db"))) as at:
        await at.change(edge=around.edge(emon(), path=str(tmp_path / "b.db")))
        assert at.edge.status().error == ""  # type: ignore[union-attr]
        await asyncio.sleep(30.0)
        assert at.archive().path == str(tmp_path / "b.db")
        assert at.station().polls["good"] == 3


async def test_a_gateway_whose_archive_cannot_be_had_ends_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    around = world(tmp_path, monkeypatch)
    (tmp_path / "file").write_text("in the way")
    async with edged(around, around.edge(emon(), path=str(tmp_path / "file" / "a.db"))):
        pass
    assert len(asyncio.all_tasks()) == 1


# The end.


async def test_at_the_end_what_was_read_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    around = world(tmp_path, monkeypatch)
    async with edged(around, around.edge(emon(every=0.5), plant(), commit=300.0)) as at:
        await asyncio.sleep(20.1)
        samples = at.station().samples
        assert at.archive().samples < samples
    with sqlite3.connect(f"file:{tmp_path}/archive.db?mode=ro", uri=True) as db:
        assert db.execute("SELECT count(*) FROM sample").fetchone() == (samples,)
    db.close()
    assert len(asyncio.all_tasks()) == 1


# E17: the clock.


async def test_e17_a_boot_with_a_wrong_clock_then_a_step_over_the_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    around = world(tmp_path, monkeypatch)
    right = around.clock.wall()
    began = asyncio.get_running_loop().time()
    trusted = False
    monkeypatch.setattr(around.clock, "_trusted", lambda: trusted)
    around.clock.step(-300 * 86400.0)
    around.broker.up = False
    async with edged(around, around.edge(emon(every=10.0), plant())) as at:
        await asyncio.sleep(100.0)
        assert {each.quality for each in await at.kept()} == {Quality.UNCERTAIN}
        assert not at.archive().trusted
        around.clock.step(300 * 86400.0)
        trusted = True
        around.broker.up = True
        await asyncio.sleep(100.0)
        await until(lambda: not at.upstream().backlog, 600)
        assert at.archive().trusted
    rows = [row for _, batch in around.broker.batches for row in batch.rows]
    assert {row.quality for row in rows} == {Quality.GOOD}
    took = (asyncio.get_running_loop().time() - began) * 1e6
    assert all(right <= row.at <= right + took for row in rows)
    assert len(rows) >= 40


async def test_e17_a_clock_that_is_believed_makes_certain_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    around = world(tmp_path, monkeypatch)
    monkeypatch.setattr(around.clock, "_trusted", lambda: False)
    async with edged(around, around.edge(emon(every=1.0), clock=ClockTrust.TRUSTED)) as at:
        await asyncio.sleep(10.0)
        assert set(at.qualities(await at.kept())) == {192}
        assert at.archive().trusted


# What the tests above need.


def note(unit: object, order: list[int], number: int) -> None:
    """Write down whom a request reached."""
    contents = unit.contents  # type: ignore[attr-defined]
    reply = contents.reply

    def noted(pdu: bytes, now: float) -> bytes:
        order.append(number)
        answer: bytes = reply(pdu, now)
        return answer

    contents.steady_until = lambda now: now  # nothing is remembered
    contents.reply = noted


def cable_with(device: object) -> Cable:
    cable = Cable("cable")
    attach(cable, device)  # type: ignore[arg-type]
    return cable


def slow(cable: Cable, seconds: float):  # type: ignore[no-untyped-def]
    """An opener whose device takes its time."""

    async def opener(settings: PortSettings, receiver: PortReceiver) -> Port:
        await asyncio.sleep(seconds)
        return await cable.opener(settings, receiver)

    return opener


def both(cable: Cable):  # type: ignore[no-untyped-def]
    """An opener for a cable, and for servers."""
    from nportpy.port.opening import open_port

    async def opener(settings: PortSettings, receiver: PortReceiver) -> Port:
        if settings.device == cable.name:
            return await cable.opener(settings, receiver)
        return await open_port(settings, receiver)

    return opener


def router_of(at: Edged) -> tuple[str, str]:
    status = next(each for each in at.gateway.status().services if each.port == "plant")
    return status.service, status.port

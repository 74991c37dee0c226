"""Watching a gateway's lines over HTTP: captures, rows, the flight recorder, recording to files, and who may."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nportpy.gateway import capture_pages
from nportpy.gateway.capture_settings import CaptureSettings
from nportpy.gateway.captures import Captures
from nportpy.gateway.plans import GatewaySettings, PortPlan
from nportpy.modbus.settings import BusSettings, Timeout
from nportpy.network.addresses import AllowList
from nportpy.port.loopback import Cable
from nportpy.protocols.capture.pcapng import Interface, Packet, Reader, Statistics
from nportpy.services.http_base import HttpSettings
from tests.support.asking import Client as Asker
from tests.support.asking import read
from tests.support.bus import Units, reply
from tests.support.http_streams import Answer, asking
from tests.support.serving import Served, plan, raw, serving, until
from tests.support.serving import settings as gateway_settings

HTTP = HttpSettings((("127.0.0.1", 0),))
BUS = BusSettings(timeout=Timeout(0.1), retries=0)
KEPT = CaptureSettings(keep=65536)


class At:
    """A gateway whose lines are watched."""

    def __init__(self, served: Served, cable: Cable) -> None:
        self.served = served
        self.cable = cable
        self.units = Units(cable, lambda data: [(0.02, reply(data))])

    @property
    def port(self) -> int:
        service = self.served.gateway._http._service
        assert service is not None
        return int(service.addresses[0].rpartition(":")[2])

    @property
    def captures(self) -> Captures:
        return self.served.gateway._captures

    def asker(self) -> Asker:
        bus = self.served.gateway._ports["cable"].bus
        assert bus is not None
        return Asker(bus)

    def get(self, what: str, **headers: str) -> AbstractAsyncContextManager[Answer]:
        return asking(self.port, f"/api/v1/ports/cable/{what}", **headers)

    async def watched_by(self, count: int) -> None:
        await until(lambda: len(self.served.gateway._ports["cable"].line.tap().watchers) == count)


@asynccontextmanager
async def watched(
    capture: CaptureSettings | None = None, port: PortPlan | None = None, http: HttpSettings | None = HTTP
) -> AsyncIterator[At]:
    cable = Cable()
    changes: dict[str, Any] = {"http": http} | ({"capture": capture} if capture else {})
    async with serving(port or plan("cable", raw(), bus=BUS), cables=[cable], **changes) as served:
        yield At(served, cable)


async def test_c20_a_capture_is_streamed_while_the_line_speaks() -> None:
    async with watched() as at, at.get("capture.pcapng?live=1") as answer:
        assert answer.headers["content-type"] == "application/x-pcapng"
        assert 'filename="cable-' in answer.headers["content-disposition"]
        reader = Reader()
        head = list(reader.feed(await answer.some()))
        assert [block.name for block in head if isinstance(block, Interface)] == ["cable", "cable-modbus"]
        asker = at.asker()
        asker.ask(read(1000, 2), unit=5)
        await asker.ended()
        packets: list[Packet] = []
        while len(packets) < 4:
            packets += [block for block in reader.feed(await answer.some()) if isinstance(block, Packet)]
        assert [packet.interface for packet in packets] == [1, 0, 0, 1]
        assert [packet.time for packet in packets] == sorted(packet.time for packet in packets)


@pytest.mark.parametrize("requests", [False, True])
async def test_c21_the_first_packet_comes_within_half_a_second(requests: bool) -> None:
    """Of a line that says one thing, and then nothing for long; and each one after it."""
    async with watched() as at, at.get("capture.pcapng?live=1") as answer:
        reader = Reader()
        await at.watched_by(1)
        list(reader.feed(await answer.some()))
        clock = asyncio.get_running_loop().time
        for _ in range(3):
            began = clock()
            if requests:
                at.asker().ask(read(1000, 2), unit=5)
            else:
                at.cable.far.write(b"x")
            while not any(isinstance(block, Packet) for block in list(reader.feed(await answer.some()))):
                pass
            assert clock() - began < 0.5
            await asyncio.sleep(20)


async def test_c20_a_capture_ends_after_its_time_or_size_and_is_whole() -> None:
    async with watched() as at:
        async with at.get("capture.pcapng?for=2s") as answer:
            blocks = list(Reader().feed(await answer.all()))
            assert isinstance(blocks[-1], Statistics)
        async with at.get("capture.pcapng?live=1&size=1KiB") as answer:
            for _ in range(40):
                await asyncio.sleep(0.1)
                at.cable.far.write(bytes(100))
            data = await answer.all()
            assert 1024 <= len(data) <= 3000
            assert isinstance(list(Reader().feed(data))[-1], Statistics)
        await at.watched_by(0)
        assert not at.served.gateway._ports["cable"].line.tap().on


async def test_c13_rows_come_as_ndjson_and_a_filter_is_the_server_s() -> None:
    async with watched() as at, at.get(f"monitor?filter={quote('unit:6 kind:answer')}") as answer:
        asker = at.asker()
        await at.watched_by(1)
        for unit in (5, 6, 7, 6):
            asker.ask(read(1000, 1), unit=unit)
            await asker.ended()
        found = [await answer.row() for _ in range(2)]
        assert {(row["kind"], row["unit"], row["text"].partition(";")[0]) for row in found} == {
            ("answer", 6, "41001: 1000")
        }
        assert found[0]["request"] == 2
        assert found[0]["clients"] == ["Client"]


async def test_c13_every_filter_passes_what_the_same_one_here_passes() -> None:
    async with watched(KEPT) as at:
        asker = at.asker()
        for unit in (1, 2, 3):
            at.units.answer = (lambda data: []) if unit == 2 else (lambda data: [(0.02, reply(data))])
            for address in (0, 1000):
                asker.ask(read(address, 2), unit=unit)
                await asker.ended()
        at.cable.far.write(b"noise")
        await asyncio.sleep(1)

        async def rows(text: str) -> list[int]:
            async with at.get(f"monitor?live=0&filter={quote(text)}") as answer:
                return [row["n"] for row in await answer.rows()]

        async with at.get("monitor?live=0") as answer:
            every = await answer.rows()
        second = {row["request"] for row in every if row.get("request") and "41001" in row.get("text", "")}
        here: dict[str, Callable[[Any], bool]] = {
            "unit:1": lambda row: row.get("unit") == 1,
            "function:3": lambda row: row.get("function") == 3,
            "fault:any": lambda row: bool(row.get("faults")),
            "fault:no_answer": lambda row: "no_answer" in row.get("faults", []),
            "dir:tx": lambda row: row["kind"] == "tx",
            "kind:answer,unsent": lambda row: row["kind"] in ("answer", "unsent"),
            "text:41001": lambda row: "41001" in row.get("text", ""),
            "register:41002": lambda row: "41001" in row.get("text", "") or row.get("request") in second,
            "hex:6e6f": lambda row: "6e 6f" in row.get("hex", ""),
            "gap:15ms": lambda row: row.get("gap_ms", 0) >= 15,
            "client:client": lambda row: "clients" in row,
        }
        assert len(every) > 12
        for text, passes in here.items():
            wanted = [row["n"] for row in every if passes(row)]
            assert wanted
            assert await rows(text) == wanted, text
            assert await rows(f"-{text}") == [row["n"] for row in every if row["n"] not in wanted], text


async def test_c15_a_trigger_ends_the_stream_with_what_was_before_and_after() -> None:
    async with watched() as at:
        where = f"monitor?trigger={quote('exception:2 unit:6')}&before=3&after=2"
        async with at.get(where) as answer:
            await at.watched_by(1)
            asker = at.asker()
            for number in range(12):
                at.units.answer = lambda data, number=number: [  # type: ignore[misc]
                    (0.02, at_exception(data) if number == 7 else reply(data))
                ]
                asker.ask(read(number, 1), unit=6)
                await asker.ended()
            rows = await answer.rows()
        assert len(rows) == 6
        assert [row.get("marked", False) for row in rows] == [False, False, False, True, False, False]
        assert rows[3]["exception"] == 2


async def test_c15_what_is_counted_is_marked_and_stops_nothing() -> None:
    async with watched() as at:
        async with at.get(f"monitor?for=3s&count={quote('exception:2')}&filter={quote('kind:answer')}") as answer:
            await at.watched_by(1)
            asker = at.asker()
            for number in range(9):
                at.units.answer = lambda data, number=number: [  # type: ignore[misc]
                    (0.02, reply(data) if number % 3 else at_exception(data))
                ]
                asker.ask(read(number, 1), unit=6)
                await asker.ended()
            rows = await answer.rows()
        assert [row.get("count", 0) for row in rows] == [1, 0, 0, 2, 0, 0, 3, 0, 0]
        assert [row.get("marked", False) for row in rows] == [True, False, False] * 3
        async with at.get("monitor?count=unit:x") as answer:
            assert answer.status == 400


def at_exception(data: bytes) -> bytes:
    from nportpy.protocols.modbus.rtu import Frame

    return Frame(data[0], bytes((data[1] | 0x80, 2))).encode()


async def test_rows_are_server_sent_events_to_whoever_asks_for_them() -> None:
    async with watched() as at, at.get("monitor", Accept="text/event-stream") as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        await at.watched_by(1)
        at.cable.far.write(b"hello")
        found = b""
        while b"data:" not in found:
            found += await answer.some()
        assert found.startswith(b"retry: 2000\n\n")
        assert b"\n\nid: 0\ndata: {" in found
        assert found.endswith(b"}\n\n")


@pytest.mark.long
async def test_c19_the_minute_before_a_timeout_is_there_next_morning() -> None:
    async with watched(KEPT) as at:
        asker = at.asker()
        asker.ask(read(7, 1), unit=5)
        await asker.ended()
        await asyncio.sleep(60)
        at.units.answer = lambda data: []
        asker.ask(read(1000, 1), unit=5)
        await asker.ended()
        at.units.answer = lambda data: [(0.02, reply(data))]
        await asyncio.sleep(30)
        for number in range(3000):  # by next morning the ring has others
            asker.ask(read(number, 1), unit=6)
            await asker.ended()
        async with asking(at.port, "/api/v1/captures") as answer:
            (line,) = await answer.rows()
        (moment,) = line[0]["frozen"]
        assert moment["cause"] == "no_answer unit 5"
        async with at.get(f"monitor?frozen={moment['number']}") as answer:
            rows = await answer.rows()
        assert any("40008: 7" in row.get("text", "") for row in rows)
        assert rows[-1]["faults"] == ["no_answer"]
        async with at.get(f"capture.pcapng?frozen={moment['number']}") as answer:
            blocks = list(Reader().feed(await answer.all()))
            assert sum(isinstance(block, Packet) for block in blocks) == 1 + 4 + 3
        async with at.get("capture.pcapng?frozen=99") as answer:
            assert answer.status == 404
            assert "there are" in await answer.problem()


async def test_c19_causes_are_bounded_and_a_unit_that_is_off_takes_one_place() -> None:
    async with watched(KEPT) as at:
        at.units.answer = lambda data: []
        asker = at.asker()
        for unit in (1, 2, 3, 4, 5, 6, 6, 6):
            asker.ask(read(0, 1), unit=unit)
            await asker.ended()
            await asyncio.sleep(100)
        found = at.captures.find("cable")
        assert found is not None
        assert list(found.recorder.frozen) == [f"no_answer unit {unit}" for unit in (3, 4, 5, 6)]


@pytest.mark.long
async def test_c18_who_does_not_read_costs_bounded_memory_and_keeps_nobody_waiting() -> None:
    async with watched() as at, at.get("capture.pcapng?live=1") as stalled, at.get("capture.pcapng?live=1") as good:
        await at.watched_by(2)
        assert stalled.status == 200
        line = at.served.gateway._ports["cable"].line
        sent = received = 0
        reader = Reader()
        lost = False
        while sent < 20_000_000:
            for _ in range(20):
                line.data_received(bytes(4000))
                sent += 4000
            assert line.tap().size <= 256 * 1024
            await asyncio.sleep(0.05)
            while received < sent and not lost:
                for block in reader.feed(await good.some()):
                    if isinstance(block, Packet):
                        received += len(block.data) - 12
                        lost = block.data[8] == 5
        assert not lost
        slow, _ = line.tap().watchers
        assert line.tap().next_number - slow.place > 1000
        async with asking(at.port, "/api/v1/captures") as listed:
            shown = (await listed.rows())[0][0]["watchers"][0]
        assert shown["lost"] == slow.missed > 1000  # although it has not come to be told


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("monitor?filter=unit:x", "unit:x is no number"),
        ("monitor?filter=colour:red", "terms are unit:"),
        ("monitor?trigger=fault:bad", "fault is of any"),
        ("monitor?trigger=unit:1&before=-1", "before is a whole number"),
        ("monitor?trigger=unit:1&before=99999999", "0 to 10000"),
        ("monitor?for=5", "units are ms, s, min, h, d"),
        ("monitor?for=0s", "is none, as in 60s"),
        ("monitor?size=1MiB", "'size' is not known here; a query may have live"),
        ("monitor?live=yes", "live is 0 or 1"),
        ("capture.pcapng?size=1TB", "as in 10MiB"),
        ("capture.pcapng?frozen=x", "frozen is a whole number"),
    ],
)
async def test_what_is_not_understood_is_said(what: str, says: str) -> None:
    async with watched() as at, at.get(what) as answer:
        assert answer.status == 400
        assert says in await answer.problem()


async def test_what_is_not_there_is_said() -> None:
    async with watched() as at:
        async with at.get("capture.pcapng") as answer:
            assert answer.status == 404
            assert "set keep in [capture], or add live=1" in await answer.problem()
        async with asking(at.port, "/api/v1/ports/other/monitor") as answer:
            assert answer.status == 404
            assert "ports are cable" in await answer.problem()
        async with at.get("monitor", method="POST") as answer:
            assert (answer.status, answer.headers["allow"]) == (405, "get, head")
        async with at.get("monitor", method="HEAD") as answer:
            assert answer.status == 200
        await at.watched_by(0)


async def test_c24_a_port_can_forbid_it_and_who_watches_is_seen_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with watched() as at:
        async with at.get("monitor", User_Agent="anna") as answer:
            await at.watched_by(1)
            async with asking(at.port, "/api/v1/captures") as listed:
                (line,) = await listed.rows()
                assert line[0]["watchers"][0]["who"] == "127.0.0.1 anna"
            await at.served.gateway.reload(gateway_settings(plan_that_forbids(), http=HTTP))
            assert await answer.all() == b""
        async with at.get("monitor") as answer:
            assert answer.status == 403
            assert "monitor = false" in await answer.problem()
        async with asking(at.port, "/api/v1/captures") as listed:
            assert await listed.rows() == [[{"port": "cable", "monitor": False}]]
        assert at.cable.opened == 1
    told = [vars(record)["result"] for record in caplog.records if vars(record).get("event") in ("monitor", "capture")]
    assert told == ["begins", "ends"]


def plan_that_forbids() -> PortPlan:
    from dataclasses import replace

    return replace(plan("cable", raw(), bus=BUS), monitor=False)


async def test_c24_it_is_for_this_machine_and_for_those_who_are_named() -> None:
    async with watched() as at:
        async with at.get("monitor", X_Forwarded_For="192.0.2.9") as answer:
            assert answer.status == 403
            assert "through a proxy" in await answer.problem()
        async with at.get("monitor", Origin="http://evil.example") as answer:
            assert answer.status == 403
    named = AllowList((ip_network("127.0.0.0/8"),), "capture.allow")
    async with watched(CaptureSettings(allow=named)) as at:
        async with at.get("monitor?for=1s", Via="1.1 proxy") as answer:
            assert answer.status == 200
        async with at.get("monitor", Via="1.1 proxy", Origin="http://evil.example") as answer:
            assert answer.status == 403


@pytest.mark.parametrize("what", ["monitor", "capture.pcapng?live=1"])
@pytest.mark.parametrize("key", ["capture.allow", "http.allow"])
async def test_c24_who_is_in_no_list_any_more_after_a_reload_is_out_in_the_midst_of_it(
    what: str, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Let in by `[capture] allow`, as it came through a proxy; what is let in still goes on."""

    def lists(capture: str, http: str) -> GatewaySettings:
        named = CaptureSettings(allow=AllowList((ip_network(capture),), "capture.allow"))
        site = HttpSettings(HTTP.listen, (AllowList((ip_network(http),), "http.allow"),))
        return gateway_settings(plan("cable", raw(), bus=BUS), capture=named, http=site)

    before = lists("127.0.0.0/8", "127.0.0.0/8")
    wider = lists("127.0.0.0/16", "127.0.0.0/16")
    after = lists("192.0.2.0/24", "127.0.0.0/8") if key == "capture.allow" else lists("127.0.0.0/8", "192.0.2.0/24")
    async with watched(before.capture, http=before.http) as at, at.get(what, Via="1.1 proxy") as answer:
        assert answer.status == 200
        await at.served.gateway.reload(wider)
        await asyncio.sleep(3)
        await at.watched_by(1)
        await at.served.gateway.reload(after)
        async with asyncio.timeout(3):
            await answer.all()
        await at.watched_by(0)
        async with at.get(what, Via="1.1 proxy") as again:
            assert again.status == 403
    (ended,) = [vars(each) for each in caplog.records if vars(each).get("event") == "ended"]
    assert ended["result"] == f"127.0.0.1 is not in {key}"


async def test_streams_are_bounded_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture_pages, "MOST_WATCHERS", 2)
    async with watched() as at, at.get("monitor"), at.get("monitor"):
        await at.watched_by(2)
        async with at.get("monitor") as answer:
            assert answer.status == 503
            assert "2 watch already" in await answer.problem()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(path=st.text(max_size=40), query=st.dictionaries(
    st.sampled_from(["live", "for", "size", "history", "frozen", "filter", "trigger", "before", "after", "x"]),
    st.text(max_size=30), max_size=4,
))  # fmt: skip
def test_paths_and_queries_of_all_kinds_are_answered(path: str, query: dict[str, str]) -> None:
    known = capture_pages._KEYS["monitor"]
    try:
        capture_pages._query(query, known)
    except capture_pages._Wrong as wrong:
        assert str(wrong)  # noqa: PT017 - some queries are good


# Recording to files.


def recorded(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.pcapng"), key=lambda path: (path.stat().st_mtime_ns, path.name))


async def test_c23_a_ring_of_files_is_written(tmp_path: Path) -> None:
    other = tmp_path / "captures" / "mine.pcapng"
    other.parent.mkdir()
    other.write_bytes(b"not the gateway's")
    capture = CaptureSettings(directory=str(other.parent), files=3, size=4096)
    async with watched(capture) as at:
        for _ in range(100):
            at.cable.far.write(bytes(500))
            await asyncio.sleep(0.2)
    assert other.read_bytes() == b"not the gateway's"
    found = [path for path in recorded(other.parent) if path != other]
    assert len(found) == 3
    for path in found:
        blocks = list(Reader().feed(path.read_bytes()))
        assert isinstance(blocks[-1], Statistics)
        assert len(path.read_bytes()) < 4096 + 2000


async def test_c23_a_disk_that_fails_stops_the_recording_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from nportpy.gateway import recording

    full = True

    def write(file: object, data: bytes) -> None:
        if full:
            raise OSError(28, os.strerror(28))
        file.write(data)  # type: ignore[attr-defined]
        file.flush()  # type: ignore[attr-defined]

    monkeypatch.setattr(recording, "_write", write)
    async with watched(CaptureSettings(directory=str(tmp_path / "captures"))) as at:
        client = await at.served.raw()
        for number in range(300):
            at.cable.far.write(b"x")
            await client.hears(b"x" * (number + 1))
            await asyncio.sleep(1)
            full = number < 100
        (now,) = at.served.gateway.status().recordings
        assert (now.port, now.error) == ("cable", "")
        assert now.lost > 50
        async with asking(at.port, "/metrics") as answer:
            metrics = (await answer.all()).decode()
        found = [line for line in metrics.splitlines() if line.startswith("nportpy_recording_writes{")]
        assert found == ['nportpy_recording_writes{port="cable"} 1']
        assert 'nportpy_recording_lost_records_total{port="cable"}' in metrics
    messages = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert messages == ["recording stops, trying again every minute"]
    assert isinstance(list(Reader().feed(recorded(tmp_path / "captures")[-1].read_bytes()))[-1], Statistics)


@pytest.mark.parametrize("takes_heads", [False, True])
@pytest.mark.long
async def test_c23_a_disk_that_is_full_for_an_hour_costs_no_file_that_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, takes_heads: bool
) -> None:
    from nportpy.gateway import recording

    full, tries = True, 0

    def write(file: IO[bytes], data: bytes) -> None:
        nonlocal tries
        tries += 1
        if full and (file.tell() > 0 or not takes_heads):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        file.write(data)
        file.flush()

    monkeypatch.setattr(recording, "_write", write)
    old = [tmp_path / f"cable-20260101T00000{number}Z.pcapng" for number in range(8)]
    for number, path in enumerate(old):
        path.write_bytes(b"what was seen")
        os.utime(path, (number, number))
    async with watched(CaptureSettings(directory=str(tmp_path), files=8)) as at:
        for _ in range(360):
            at.cable.far.write(b"x")
            await asyncio.sleep(10)
        await asyncio.sleep(25)  # between two tries
        assert tries > 50
        assert recorded(tmp_path)[: len(old) - takes_heads] == old[takes_heads:]
        assert all(path.stat().st_size for path in recorded(tmp_path))
        full = False
        await asyncio.sleep(70)
        at.cable.far.write(b"y")
        await asyncio.sleep(5)
        (now,) = at.served.gateway.status().recordings
        assert now.error == ""
    assert recorded(tmp_path)[:7] == old[1:]
    assert len(recorded(tmp_path)) == 8
    assert isinstance(list(Reader().feed(recorded(tmp_path)[-1].read_bytes()))[-1], Statistics)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOTDIR])
async def test_c23_a_folder_that_cannot_be_written_stops_the_recording_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    from nportpy.gateway.recording import Recording

    opens, failing = Recording._open, True

    def fail(self: Recording) -> Any:
        if failing:
            raise OSError(number, os.strerror(number))
        return opens(self)

    monkeypatch.setattr(Recording, "_open", fail)
    async with watched(CaptureSettings(directory=str(tmp_path / "captures"))) as at:
        client = await at.served.raw()
        at.cable.far.write(b"x")
        await client.hears(b"x")
        (now,) = at.served.gateway.status().recordings
        assert (now.error, recorded(tmp_path / "captures")) == (os.strerror(number), [])
        failing = False
        await asyncio.sleep(70)
        at.cable.far.write(b"y")
        await client.hears(b"xy")
        await until(lambda: recorded(tmp_path / "captures"))
        (now,) = at.served.gateway.status().recordings
        assert (now.error, now.lost) == ("", 1)


async def test_c23_off_by_default_and_a_reload_switches_it(tmp_path: Path) -> None:
    async with watched() as at:
        assert not at.captures.status()
        assert not at.served.gateway._ports["cable"].line.tap().on
        on = gateway_settings(
            plan("cable", raw(), bus=BUS), http=HTTP, capture=CaptureSettings(directory=str(tmp_path))
        )
        await at.served.gateway.reload(on)
        await until(lambda: recorded(tmp_path))
        await at.served.gateway.reload(gateway_settings(plan("cable", raw(), bus=BUS), http=HTTP))
        assert not at.captures.status()
        assert not at.served.gateway._ports["cable"].line.tap().on

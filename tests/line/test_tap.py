"""The tap: what it tells of a line, what it costs while it is off, and its bounds."""

import asyncio
import random
from collections import Counter

import pytest

from nportpy.line.arbiter import Line
from nportpy.line.ring import OVERHEAD
from nportpy.line.tap import DEFAULT_LIMIT
from nportpy.line.watcher import Watcher
from nportpy.linesettings import LineSettings
from nportpy.modbus.bus import Bus
from nportpy.modbus.settings import BusSettings, Timeout
from nportpy.port.loopback import Cable
from nportpy.protocols.capture.records import Ended, Hidden, Kind, Record, Unsent
from nportpy.protocols.modbus.exchange import Counts
from nportpy.protocols.modbus.rtu import Frame
from tests.support.asking import Client as Asker
from tests.support.asking import read
from tests.support.bus import Units, reply
from tests.support.lines import Client, running


def taken(watcher: Watcher) -> list[Record]:
    lost, records = watcher.take()
    assert not lost
    return records


def bytes_of(records: list[Record], kind: Kind) -> bytes:
    return b"".join(record.data for record in records if record.kind is kind)


async def test_c16_nobody_watches_and_the_callables_are_the_bare_ones() -> None:
    cable = Cable()
    async with running(cable) as line:
        assert cable.near is not None
        bare = line._hear, line._write
        assert bare == (line.stream.deliver, cable.near.write)
        with_tap = line.tap()
        assert (line._hear, line._write) == bare
        async with with_tap.watch("one"):
            assert line._hear not in bare
            assert line._write not in bare
            async with with_tap.watch("two"):
                pass
            assert line._hear not in bare
        assert (line._hear, line._write) == bare
        assert not with_tap.on
        assert not with_tap.size


async def test_c12_what_came_and_went_is_told_in_order_and_byte_by_byte() -> None:
    cable, client = Cable(), Client()
    async with running(cable) as line, line.tap().watch("test") as watcher:
        line.stream.join(client)
        line.stream.write(client, b"ask")
        await asyncio.sleep(0.1)
        cable.far.write(b"answer")
        await asyncio.sleep(0.1)
        records = taken(watcher)
        assert [(record.kind, record.data) for record in records] == [(Kind.TX, b"ask"), (Kind.RX, b"answer")]
        assert [record.number for record in records] == [0, 1]
        assert records[1].time - records[0].time >= 100_000_000


async def test_c17_bytes_go_first_and_are_recorded_before_what_they_cause() -> None:
    cable, client = Cable(), Client()
    async with running(cable) as line, line.tap().watch("test") as watcher:
        there: list[int] = []

        def heard(data: bytes) -> None:
            there.append(line.tap().next_number)
            if data == b"both":
                line.stream.write(client, b"echo")
                line.set_break(True)
            elif data == b"fault":
                raise ValueError("on purpose")

        client.line_data = heard  # type: ignore[method-assign]
        line.stream.join(client)
        line.data_received(b"plain")
        line.data_received(b"both")
        with pytest.raises(ValueError, match="on purpose"):
            line.data_received(b"fault")
        line.data_received(b"on")
        assert there == [0, 1, 4, 5]
        records = taken(watcher)
        assert [(record.kind, record.data) for record in records] == [
            (Kind.RX, b"plain"),
            (Kind.RX, b"both"),
            (Kind.TX, b"echo"),
            (Kind.BREAK, b""),
            (Kind.RX, b"fault"),
            (Kind.RX, b"on"),
        ]
        assert [record.time for record in records] == sorted(record.time for record in records)


async def test_c18_the_ring_is_bounded_and_a_slow_watcher_is_told_what_it_lost() -> None:
    cable = Cable()
    async with running(cable) as line, line.tap().watch("slow") as slow:
        tap = line.tap()
        for _ in range(10_000):
            line.data_received(bytes(1000))
            assert tap.size <= DEFAULT_LIMIT
        room = line.tap().next_number - line.tap().first_number
        assert room * (1000 + OVERHEAD) > DEFAULT_LIMIT * 3 // 4
        lost, records = slow.take()
        assert (lost, len(records)) == (10_000 - room, room)
        assert slow.lost == tap.lost == lost
        assert [record.number for record in records] == list(range(lost, 10_000))
        line.data_received(b"x")
        assert [record.data for record in taken(slow)] == [b"x"]


async def test_c18_a_portion_is_bounded_and_the_next_goes_on_where_it_ended() -> None:
    cable = Cable()
    async with running(cable) as line, line.tap().watch("test") as watcher:
        for number in range(1000):
            line.data_received(b"%d" % number)
        found = [watcher.take(300)[1] for _ in range(5)]
        assert [len(portion) for portion in found] == [300, 300, 300, 100, 0]
        assert [int(record.data) for portion in found for record in portion] == list(range(1000))


async def test_c18_a_follower_is_woken_and_the_tap_goes_off_with_the_last_of_them() -> None:
    cable = Cable()

    async def follow(line: Line, portions: list[bytes]) -> None:
        async with line.tap().watch("test") as watcher:
            async for _, records in watcher.follow():
                portions.extend(record.data for record in records)

    async with running(cable) as line, asyncio.TaskGroup() as tasks:
        portions: list[bytes] = []
        task = tasks.create_task(follow(line, portions))
        await asyncio.sleep(10)
        assert line.tap().on
        line.data_received(b"one")
        line.data_received(b"two")
        await asyncio.sleep(0.1)
        assert portions == [b"one", b"two"]
        task.cancel()
        await asyncio.wait([task])
        assert not line.tap().on


async def test_what_happens_to_the_line_is_told() -> None:
    cable = Cable()
    async with running(cable) as line, line.tap().watch("test") as watcher:
        before, after = line.settings, LineSettings(19200)
        line.configure(after)
        line.set_break(True)
        line.set_break(False)
        assert cable.near is not None
        cable.near.count(parity=3)
        await asyncio.sleep(0.2)
        cable.unplug()
        await asyncio.sleep(0.1)
        cable.plug()
        await asyncio.sleep(5)
        found = [(record.kind, record.about) for record in taken(watcher)]
        kinds = [kind for kind, _ in found]
        for kind in (Kind.SETTINGS, Kind.BREAK, Kind.ERRORS, Kind.DOWN, Kind.UP):
            assert kind in kinds
        assert (Kind.SETTINGS, (before, after)) in found
        assert (Kind.BREAK, True) in found
        assert (Kind.BREAK, False) in found
        assert kinds.index(Kind.DOWN) < kinds.index(Kind.UP)


async def test_what_a_lease_writes_in_secret_is_told_by_its_length_only() -> None:
    cable = Cable()
    async with running(cable) as line, line.tap().watch("test") as watcher:
        async with line.lease("mains", LineSettings(300), limit=60) as lease:
            lease.write(b"\x01P1\x02(12345678)\x03", secret=True)
            await asyncio.sleep(1)
            cable.far.write(b"\x01P1\x02(12345678)\x03")  # its echo
            await asyncio.sleep(1)
            lease.write(b"plain")
            await asyncio.sleep(1)
            cable.far.write(b"answer")
            await asyncio.sleep(1)
        records = taken(watcher)
        assert b"12345678" not in repr(records).encode()
        hidden = [record for record in records if isinstance(record.about, Hidden)]
        assert sum(record.about.size for record in hidden if record.kind is Kind.TX) == 15  # type: ignore[attr-defined]
        assert sum(record.about.size for record in hidden if record.kind is Kind.RX) == 15  # type: ignore[attr-defined]
        assert bytes_of(records, Kind.TX) == b"plain"
        assert bytes_of(records, Kind.RX) == b"answer"
        assert [record.about for record in records if record.kind is Kind.HOLDER] == ["mains", ""]
        assert [record.kind for record in records].count(Kind.SETTINGS) == 2


@pytest.mark.parametrize(
    "written",
    [
        b"\x01P1\x02(12345678)\x03\x61",
        b"\x01P2\x02(12345678)\x03\x61",
        bytes.fromhex("7EA0210002040323935A FA E6E600 6036A1090607608574050801018A0207808B0760857405080201AC0A8008")
        + b"12345678"
        + bytes.fromhex("BE10040E01000000065F1F0400007E1F04B0 7E7E"),
    ],
)
async def test_a_password_that_another_program_sends_through_a_stream_is_told_by_its_length_only(
    written: bytes,
) -> None:
    cable, client = Cable(), Client()
    async with running(cable) as line, line.tap().watch("test") as watcher:
        line.stream.join(client)
        line.stream.write(client, written)
        await asyncio.sleep(1)
        cable.far.write(written)
        await asyncio.sleep(1)
        line.stream.write(client, b"\x01R1\x021.8.0()\x03")
        await asyncio.sleep(1)
        cable.far.write(b"answer")
        await asyncio.sleep(1)
        records = taken(watcher)
    assert bytes(client.heard) == written + b"answer"
    assert b"12345678" not in repr(records).encode()
    assert [record.about for record in records if record.about] == [Hidden(len(written))] * 2
    assert bytes_of(records, Kind.RX) == b"answer"


@pytest.mark.parametrize("seed", range(4))
async def test_c12_a_bus_with_faults_is_told_byte_for_byte_and_verdict_for_verdict(seed: int) -> None:
    chance = random.Random(seed)
    cable = Cable()

    def answer(data: bytes) -> list[tuple[float, bytes]]:
        whole = reply(data)
        match chance.randrange(8):
            case 0:
                return []
            case 1:
                return [(0.01, whole[:-1] + bytes((whole[-1] ^ 1,)))]
            case 2:
                return [(0.01, Frame(data[0], bytes((data[1] | 0x80, 2))).encode())]
            case 3:
                return [(0.15, whole)]  # too late
            case 4:
                return [(0.01, whole[:3]), (0.02, whole[3:])]
            case 5:
                return [(0.005, b"\x00\xff"), (0.01, whole)]
            case _:
                return [(0.01, whole)]

    units, said = Units(cable, answer), bytearray()
    say = units._say

    def say_and_keep(reply: bytes) -> None:
        said.extend(reply)
        say(reply)

    units._say = say_and_keep  # type: ignore[method-assign]
    async with running(cable) as line:
        bus = Bus(line, BusSettings(timeout=Timeout(0.1), retries=1, cache=0.5))
        async with line.tap().watch("test") as watcher:
            clients = [Asker(bus) for _ in range(4)]
            records = []
            for _ in range(60):
                for client in clients:
                    client.ask(read(chance.randrange(3), 2), unit=chance.randrange(1, 4))
                for client in clients:
                    await client.ended()
                records += taken(watcher)
            await asyncio.sleep(1)
            records += taken(watcher)
        counted: Counter[str] = Counter()
        for (_, _, end), count in bus.status().requests.items():
            counted[end] += count
    assert bytes_of(records, Kind.TX) == b"".join(data for _, data in units.heard)
    assert bytes_of(records, Kind.RX) == bytes(said)
    told: Counter[str] = Counter()
    for record in records:
        match record.about:
            case Ended(outcome="answered") if record.data[:1] and record.data[0] & 0x80:
                told["exception"] += len(record.about.clients)
            case Ended() as ended:
                told[ended.outcome] += len(ended.clients)
            case Unsent() as unsent:
                told["answered" if unsent.why == "cache" else unsent.why] += 1
    assert told == counted


async def test_an_echo_of_a_password_is_hidden_whatever_of_it_has_left_the_ring_and_for_a_minute() -> None:
    cable, client = Cable(), Client()
    async with running(cable) as line:
        tap = line.tap()
        line.stream.join(client)
        tap.keep(256 * 1024)
        line.stream.write(client, b"\x01P1\x02(12345678)\x03\x61")
        for _ in range(200):  # what was written is dropped from the ring
            cable.far.write(b"12345678" * 256)
            await asyncio.sleep(0.01)
        assert tap.first_number > 0
        heard = tap.snapshot()
        assert {type(record.about) for record in heard} == {Hidden}
        assert b"".join(record.data for record in heard) == b""
        assert tap.since(tap.next_number - 1, 1) == [heard[-1]]
        await asyncio.sleep(60)
        cable.far.write(b"a minute later")
        await asyncio.sleep(1)
        assert tap.snapshot()[-1].data == b"a minute later"
        tap.keep(0)


async def test_what_a_line_discards_is_told_once() -> None:
    counts = Counts()
    before = counts.changes
    counts.junk += 0
    assert counts.changes == before
    counts.junk += 3
    counts.late_from(7)
    assert (counts.junk, counts.late, counts.changes - before, counts.total()) == (3, 1, 2, 4)

"""E5: the archive survives kills and damaged files, and what was delivered is what was committed."""

import asyncio
import contextlib
import multiprocessing
import os
import random
import shutil
import signal
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from nportpy.edge.archive import Archive
from nportpy.edge.database import NoRoom
from nportpy.edge.sample import Quality, Reading, Sample, Tag
from nportpy.edge.store import Store
from nportpy.edge.writer import UNREADABLE, Writer
from tests.edge.support import FakeClock, everything, readings, running, settings

pytestmark = pytest.mark.process

KILLS = 100
COPIES = 400
AFTER = Tag(7, "mains", "after")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """In memory, where there is such a thing: a kill and a damaged copy are the same there, and fsync is free."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else tmp_path) as name:
        yield Path(name)


def write_until_killed(folder: Path, told: Connection) -> None:
    """Every sample's value is its number, from run to run. Tells the number of the newest after each commit."""

    async def write() -> None:
        archive = Archive(settings(folder, commit=0.01, max_size=1 << 20), FakeClock())
        await archive.open()
        tag = archive.register("mains", "energy").id
        added = archive.newest

        async def tell() -> None:
            newest = archive.newest
            while True:
                newest = await archive.grown(newest)
                (sample,) = await archive.read(newest - 1, 1)
                archive.acknowledge("plant", sample.seq)
                told.send(sample.seq)

        async with asyncio.TaskGroup() as group:
            group.create_task(archive.run())
            group.create_task(tell())
            told.send(archive.newest)
            while True:
                count = random.randrange(200)
                archive.add([Reading(tag, added + n, Quality.GOOD, n) for n in range(1, count + 1)])
                added += count
                await asyncio.sleep(random.random() * 0.01)

    asyncio.run(write())


def test_e5_a_hundred_kills_lose_nothing_that_was_delivered(folder: Path) -> None:
    spawn = multiprocessing.get_context("forkserver")
    spawn.set_forkserver_preload(["tests.edge.test_e5_crash"])
    delivered, boots = 0, set()
    for kill in range(KILLS):
        heard, told = spawn.Pipe(duplex=False)
        process = spawn.Process(target=write_until_killed, args=(folder, told))
        process.start()
        told.close()
        assert heard.poll(30)
        assert heard.recv() >= delivered, f"kill {kill}"
        time.sleep(random.random() * 0.06)
        assert process.pid
        os.kill(process.pid, signal.SIGKILL)
        process.join(30)
        with contextlib.suppress(EOFError):
            while True:
                delivered = heard.recv()
        heard.close()
        if kill % 10 == 9:
            boots |= _check(folder, delivered)
    assert delivered > 1000
    assert len(boots) > 1
    assert not list(folder.glob("*damaged*"))


def _check(folder: Path, delivered: int) -> set[str]:
    """All is well in the file. Returns the runs it knows."""
    with contextlib.closing(sqlite3.connect(folder / "archive.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    writer = Writer(settings(folder, max_size=1 << 20), FakeClock())
    writer.open()
    samples = _all(writer)
    store = writer.store
    writer.close()
    assert writer.recovered == 0
    assert store.newest >= delivered
    assert [each.seq for each in samples] == list(range(store.oldest, store.newest + 1))
    assert all(each.value == each.seq for each in samples)
    assert store.evicted == store.oldest - 1
    return {each.boot for each in samples}


def _all(writer: Writer) -> list[Sample]:
    samples: list[Sample] = []
    after = 0
    while found := writer.read(lambda store, after=after: store.read(after, 1000)):  # type: ignore[misc]
        samples += found
        after = found[-1].seq
    return samples


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a power cut leaves: a file, and a WAL that was not written back."""
    folder, image = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("crashed")

    async def fill() -> None:
        async with running(folder, max_size=1 << 20) as archive:
            for start in range(1, 1000, 50):
                archive.add(readings(archive, [start + n for n in range(50)]))
                await archive.flush()
                if start == 501:
                    await archive._call(archive._writer.store.write_back)
            for name in ("archive.db", "archive.db-wal", "archive.db.mark"):
                shutil.copy(folder / name, image)

    asyncio.run(fill())
    assert (image / "archive.db-wal").stat().st_size > 20_000
    return image


def _damage(data: bytearray, chance: random.Random) -> bytes:
    where = chance.randrange(len(data))
    match chance.randrange(5):
        case 0:
            return bytes(data[:where])
        case 1:
            data[where] ^= 1 << chance.randrange(8)
        case 2:
            data[where : where + 512] = bytes(len(data[where : where + 512]))
        case 3:
            data[where : where + 4096] = chance.randbytes(len(data[where : where + 4096]))
        case 4:
            return bytes(data) + chance.randbytes(chance.randrange(10_000))
    return bytes(data)


@pytest.mark.parametrize("end", ["-wal", ""])
def test_e5_four_hundred_damaged_copies_are_opened(crashed: Path, folder: Path, end: str) -> None:
    chance = random.Random(5)
    outcomes = {"whole": 0, "shorter": 0, "set aside": 0}
    for number in range(COPIES // 2):
        copy = folder / str(number)
        shutil.copytree(crashed, copy)
        path = copy / f"archive.db{end}"
        path.write_bytes(_damage(bytearray(path.read_bytes()), chance))
        writer = Writer(settings(copy, max_size=1 << 20), FakeClock(boot="another"))
        writer.open()
        found = _all(writer)
        newest = writer.store.newest
        writer.queue.append(Reading(7, 7, Quality.GOOD, 0))
        writer.tags[7] = writer.new_tags[7] = AFTER
        assert writer.work(with_cursors=True), writer.error
        assert _all(writer)[-1].value == 7
        assert writer.store.newest >= newest or writer.recovered
        if writer.recovered:
            outcomes["set aside"] += 1
            assert len(list(copy.glob("*.damaged-*"))) in (1, 2)
            assert writer.store.newest > 1000  # no number is used twice
        else:
            outcomes["whole" if len(found) == 1000 else "shorter"] += 1
        if end:  # SQLite's check sums see to the WAL: what is read is what was written
            assert not writer.recovered
            assert [each.value for each in found] == list(range(1, len(found) + 1))
            assert len(found) >= 500
        for each in found:
            assert isinstance(each.value, int | float | str | None)
        writer.close()
        with contextlib.closing(sqlite3.connect(copy / "archive.db")) as database:
            if (end or writer.recovered) and number % 4 == 0:
                assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        shutil.rmtree(copy)
    assert all(outcomes[each] for each in (("whole", "shorter") if end else outcomes)), outcomes


async def test_e5_a_file_that_is_damaged_while_it_is_used_is_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path, max_size=1 << 20) as archive:
        archive.add(readings(archive, list(range(1000))))
        await archive.flush()
        archive.acknowledge("plant", 100)
        await archive._call(archive._writer.store.write_back)
        _overwrite(tmp_path / "archive.db")
        for _ in range(5):
            archive.add(readings(archive, list(range(1000))))
            assert await archive.flush()
    async with running(tmp_path, max_size=1 << 20) as archive:
        archive.add(readings(archive, ["after"]))
        await archive.flush()
        samples = await everything(archive)
        assert samples[-1].value == "after"
        assert samples[-1].seq > 5000


def _overwrite(path: Path) -> None:
    with open(path, "r+b") as file:
        file.write(os.urandom(20_000))


def _aside(folder: Path) -> list[Path]:
    return list(folder.glob("*.damaged-*"))


@pytest.mark.parametrize("what", ["removed", "moved", "replaced"])
async def test_e5_a_file_that_is_taken_away_is_begun_again(tmp_path: Path, what: str) -> None:
    path = tmp_path / "archive.db"
    async with running(tmp_path) as archive:
        archive.add(readings(archive, [1, 2, 3]))
        await archive.flush()
        archive.cursor("plant")
        if what == "removed":
            path.unlink()
            (tmp_path / "archive.db-wal").unlink()
        else:
            path.rename(tmp_path / "elsewhere")
        if what == "replaced":
            path.write_bytes(b"something else, and long enough to be looked at" * 1000)
        archive.add(readings(archive, [4]))
        assert await archive.flush()
        assert archive.status().recovered == 1
        (sample,) = await archive.read(0)
        assert (sample.value, sample.seq) == (4, 1_000_003)
        assert archive.waiting("plant") == 1
        assert (await archive.backlog("plant")).lost == 0
    async with running(tmp_path) as archive:
        assert archive.newest == 1_000_003
        assert [each.value for each in await archive.read(0)] == [4]


@pytest.mark.parametrize("content", [b"\0" * 8192, b"SQLite format 3\0" + b"x" * 8000, b"text\n" * 500])
async def test_e5_a_file_that_is_none_is_set_aside_at_the_start(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "archive.db").write_bytes(content)
    (tmp_path / "archive.db.mark").write_text("4000000\n")
    async with running(tmp_path) as archive:
        archive.add(readings(archive, [1]))
        await archive.flush()
        assert archive.newest == 4_000_000
        assert archive.status().recovered == 1
    (aside,) = _aside(tmp_path)
    assert aside.read_bytes() == content


@pytest.mark.parametrize("mark", ["", "nonsense", "-5", "9" * 400, None])
async def test_e5_a_mark_that_is_none_does_no_harm(tmp_path: Path, mark: str | None) -> None:
    async with running(tmp_path) as archive:
        archive.add(readings(archive, [1]))
    path = tmp_path / "archive.db.mark"
    path.unlink() if mark is None else path.write_text(mark)
    async with running(tmp_path) as archive:
        archive.add(readings(archive, [2]))
    assert int(path.read_text()) > 1_000_000
    async with running(tmp_path) as archive:
        assert [each.value for each in await archive.read(0)] == [1, 2]


async def test_e5_no_number_is_used_twice_when_all_were_evicted(tmp_path: Path) -> None:
    async with running(tmp_path) as archive:
        archive.add(readings(archive, [1, 2, 3]))
        await archive.flush()
        while archive.oldest <= archive.newest:
            await archive._call(lambda: archive._writer.store.trim(force=True))
        assert archive.status().samples == 0
        assert await archive.read(0) == []
    async with running(tmp_path) as archive:
        assert (archive.oldest, archive.newest) == (4, 3)
        archive.add(readings(archive, [4]))
        await archive.flush()
        assert [each.seq for each in await archive.read(0)] == [4]


async def test_e5_a_disk_that_cannot_be_read_gives_way_to_a_new_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken: list[Store] = []
    write = Store.write

    def fail(store: Store, *arguments: object) -> None:
        if store in broken:
            raise NoRoom("disk I/O error", unreadable=True)
        write(store, *arguments)  # type: ignore[arg-type]

    async with running(tmp_path) as archive:
        archive.add(readings(archive, [1]))
        await archive.flush()
        broken.append(archive._writer.store)
        monkeypatch.setattr(Store, "write", fail)
        monkeypatch.setattr(Store, "trim", lambda store, force=False: 0)
        archive.add(readings(archive, [2]))
        while not await archive.flush():
            assert archive.status().error == "disk I/O error"
        assert archive.status().failures == UNREADABLE - 1
        assert [each.value for each in await archive.read(0)] == [2]


async def test_e5_a_damaged_file_that_cannot_be_renamed_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str) -> str:
        raise PermissionError(1, "Operation not permitted")

    async with running(tmp_path) as archive:
        archive.add(readings(archive, [1]))
        await archive.flush()
        with monkeypatch.context() as patch:
            patch.setattr("nportpy.edge.recovery.set_aside", refuse)
            (tmp_path / "archive.db").unlink()
            archive.add(readings(archive, [2]))
            assert not await archive.flush()
            assert "cannot be renamed: Operation not permitted" in archive.status().error
        assert await archive.flush()
        assert [each.value for each in await archive.read(0)] == [2]

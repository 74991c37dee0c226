"""SQLite: one file, one collector, nothing to install.

One connection in one thread, WAL, synchronous FULL: a commit is on the disk when it returns. A lock beside the file
keeps a second collector away from it: SQLite up to 3.51.2 can corrupt a WAL that two connections write to.
"""

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from nportpy.edge.collect.arrivals import Work
from nportpy.edge.collect.ledger import Ledger
from nportpy.edge.collect.rows import SeriesKey, clamped, rows_of
from nportpy.edge.collect.schema import MOST_DEAD_LETTERS, SQLITE_STEPS
from nportpy.edge.collect.stores import NodeReport, StoreError, StoreRefused, Written, holes_of, note

_APPLICATION: Final = 0x6E70_6F63  # "npoc"
_KNOWN_SERIES: Final = 100_000
_REFUSALS: Final = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, OverflowError)

T = TypeVar("T")


class SqliteStore:
    """See `Store`."""

    def __init__(self, path: str, *, read_only: bool = False) -> None:
        """Not open yet."""
        self.name = f"sqlite {path}"
        self._path = path
        self._read_only = read_only
        self._connection: sqlite3.Connection | None = None
        self._lock = -1
        self._thread: ThreadPoolExecutor | None = None
        self._series: dict[SeriesKey, int] = {}
        self._made = 0  # series that came to be between the samples of a commit

    async def open(self) -> None:
        """See `Store`."""
        await self._call(self._open)

    async def write(self, work: Work) -> Written:
        """See `Store`."""
        return await self._call(lambda: self._write(work))

    async def reports(self) -> list[NodeReport]:
        """See `Store`."""
        return await self._call(self._reports)

    async def dead_letters(self) -> int:
        """See `Store`."""
        return await self._call(lambda: self._one("SELECT coalesce(max(id), 0) FROM dead_letters"))

    async def close(self) -> None:
        """See `Store`."""
        await self._call(self._close)
        if self._thread is not None:
            self._thread.shutdown(wait=False)
            self._thread = None

    async def _call(self, call: Callable[[], T]) -> T:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "collect")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, call)
        except _REFUSALS as error:
            raise StoreRefused(f"{self.name}: {error}") from error
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{self.name}: {error}") from error

    # In the thread.

    @property
    def _database(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StoreError(f"{self.name}: is not open")
        return self._connection

    def _open(self) -> None:
        self._close()
        if self._read_only:
            if not os.path.exists(self._path):
                raise StoreError(f"{self.name}: there is no such file", final=True)
            self._connection = sqlite3.connect(f"file:{_quoted(self._path)}?mode=ro", uri=True, isolation_level=None)
            if self._one("PRAGMA application_id") != _APPLICATION:
                raise StoreError(f"{self.name}: is no collector's database", final=True)
            return
        os.makedirs(os.path.dirname(os.path.abspath(self._path)), exist_ok=True)
        self._take_lock()
        database = self._connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        if self._one("SELECT count(*) FROM sqlite_schema") and self._one("PRAGMA application_id") != _APPLICATION:
            raise StoreError(f"{self.name}: is another program's database; name another path", final=True)
        database.execute(f"PRAGMA application_id = {_APPLICATION}")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        version = self._one("PRAGMA user_version")
        if version > len(SQLITE_STEPS):
            raise StoreError(f"{self.name}: was made by a newer version of nportpy", final=True)
        for number, step in enumerate(SQLITE_STEPS[version:], version + 1):
            database.executescript(f"BEGIN; {step}; PRAGMA user_version = {number}; COMMIT")

    def _take_lock(self) -> None:
        self._lock = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(
                f"{self.name}: another collector has it; several of them share PostgreSQL", final=True
            ) from None

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _one(self, statement: str, *values: object) -> int:
        row = self._database.execute(statement, values).fetchone()
        return int(row[0])

    def _write(self, work: Work) -> Written:
        database = self._database
        database.execute("BEGIN IMMEDIATE")
        try:
            written = self._written(database, work)
            database.execute("COMMIT")
        except BaseException:
            self._series.clear()  # some of them may be no more
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise
        return written

    def _written(self, database: sqlite3.Connection, work: Work) -> Written:
        for site, meta in work.metas:
            database.executemany(
                "INSERT INTO series (site, node, meta, number, station, tag, unit, type, class)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (site, node, meta, number) DO UPDATE SET"
                " station = excluded.station, tag = excluded.tag, unit = excluded.unit, type = excluded.type,"
                " class = excluded.class",
                [
                    (site, meta.node, meta.hash, tag.id, tag.station, tag.name, tag.unit, tag.type, tag.device_class)
                    for tag in meta.tags
                ],
            )
        before = database.total_changes
        database.executemany(
            "INSERT INTO samples (node, boot, seq, series, at, received, value, text, quality, late)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            self._rows(work),
        )
        rows = database.total_changes - before - self._made
        written = Written(rows, work.rows - rows)
        self._keep_ledgers(database, work, written)
        database.executemany(
            "INSERT INTO dead_letters (received, topic, reason, size, payload) VALUES (?, ?, ?, ?, ?)",
            [(each.received, each.topic, each.reason, each.size, each.payload) for each in work.dead],
        )
        if work.dead:
            database.execute(
                "DELETE FROM dead_letters WHERE id <= (SELECT max(id) FROM dead_letters) - ?", (MOST_DEAD_LETTERS,)
            )
        return written

    def _rows(self, work: Work) -> Iterable[tuple[object, ...]]:
        self._made = 0
        for stored in work.batches:
            for row in rows_of(stored):
                yield *row[:3], self._series_of(row[3]), *row[4:]

    def _series_of(self, key: SeriesKey) -> int:
        known = self._series.get(key)
        if known is None:
            found = self._database.execute(
                "SELECT id FROM series WHERE site = ? AND node = ? AND meta = ? AND number = ?", key
            ).fetchone()
            if found is None:
                self._made += 1
                found = self._database.execute(
                    "INSERT INTO series (site, node, meta, number) VALUES (?, ?, ?, ?) RETURNING id", key
                ).fetchone()
            if len(self._series) >= _KNOWN_SERIES:
                self._series.clear()
            known = self._series[key] = int(found[0])
        return known

    def _keep_ledgers(self, database: sqlite3.Connection, work: Work, written: Written) -> None:
        for site, node in work.nodes:
            found = database.execute("SELECT ledger FROM nodes WHERE site = ? AND node = ?", (site, node)).fetchone()
            written.ledgers[site, node] = Ledger.loaded(found[0] if found else "")
        note(work, written)
        database.executemany(
            "INSERT INTO nodes (site, node, stored_upto, boot, online, state_at, oldest, newest, evicted, ledger)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (site, node) DO UPDATE SET"
            " stored_upto = excluded.stored_upto, boot = excluded.boot, online = excluded.online,"
            " state_at = excluded.state_at, oldest = excluded.oldest, newest = excluded.newest,"
            " evicted = excluded.evicted, ledger = excluded.ledger",
            [
                (*node, each.upto, each.boot, each.online, clamped(each.at), each.oldest, each.newest, each.evicted,
                 each.dumped())
                for node, each in written.ledgers.items()
            ],
        )  # fmt: skip

    def _reports(self) -> list[NodeReport]:
        found = self._database.execute("SELECT site, node, ledger FROM nodes ORDER BY site, node").fetchall()
        return [self._report(site, node, ledger) for site, node, text in found if (ledger := Ledger.loaded(text)).boot]

    def _report(self, site: str, node: str, ledger: Ledger) -> NodeReport:
        boots = list(ledger.numbering.boots)
        marks = ", ".join("?" * len(boots))
        where = f"FROM samples WHERE node = ? AND boot IN ({marks})"
        within = (ledger.oldest, ledger.newest)
        first, last, total, stored = self._database.execute(
            f"SELECT min(seq), max(seq), count(*), count(*) FILTER (WHERE seq BETWEEN ? AND ?) {where}",
            (*within, node, *boots),
        ).fetchone()
        missing = self._database.execute(
            f"SELECT seq + 1, next - 1 FROM (SELECT seq, lead(seq) OVER (ORDER BY seq) AS next {where})"  # noqa: S608 - ours
            " WHERE next > seq + 1",
            (node, *boots),
        ).fetchall()
        return NodeReport((site, node), ledger, stored, total, holes_of(missing, first, last, ledger))


def _quoted(path: str) -> str:
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")

"""The archive's file: SQLite, one connection, used by one thread.

Samples are numbered without holes: what is there is `oldest` to `newest`, and counting needs no scan.

The file grows before it must: pages are filled with zeros and given back, and only then used. So everything in the WAL
has its place in the file on the disk, writing it back cannot fail for want of room, and there is always room to evict
what is old. Without that, a disk that others have filled would leave a WAL that can neither grow nor be written back.
"""

import contextlib
import secrets
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from nportpy.edge import epochs as clocks
from nportpy.edge import recovery
from nportpy.edge.chart import Buckets, Slice, look
from nportpy.edge.clock import Clock, ClockState
from nportpy.edge.database import PAGE, Damaged, NoRoom, file_size, identity, page_count, prepare, translated
from nportpy.edge.epochs import Epoch
from nportpy.edge.rows import Row, row_of, samples_of, weight
from nportpy.edge.sample import Reading, Sample, Tag
from nportpy.edge.settings import ArchiveSettings, ClockTrust
from nportpy.errors import MisuseError

CHUNK = 1000
"""Rows that one turn of the thread reads or evicts at most: some milliseconds."""

_WAL_PAGES = 2000  # from here on the WAL is written back into the file
_MARGIN = 48  # pages that are free before anything is written, besides those that it needs
_STEP = 1024  # pages by which the file grows
_RETRY = 60_000_000  # microseconds until it is tried again to grow, when the disk was full
_MARK = "complete until: "  # how the totals are called that are marks of stations
_SLACK = 60_000_000  # microseconds by which readings may be out of order


class Store:
    """One file and what is known of it. Attributes may be read by any thread; methods are the one thread's.

    Attributes:
        boot: this run of the gateway.
        oldest: number of the oldest sample that is there; newest + 1 if there is none.
        newest: number of the newest sample that was written.
        oldest_at: its time, in microseconds since the epoch; None if there is no sample.
        evicted: samples that had to go, since the file was begun.
        tags: every tag that has an id.
        epochs: when the clock was what.
        cursors: the last sample that each upstream has acknowledged, as it was when the file was opened.
        marks: until when each station is complete, in microseconds UTC, as it was then.
        bytes: what the file and its WAL take.
        batch: bytes, by `weight`, that one write may take.
        excess: there are samples that should go: `trim`.
    """

    def __init__(self, settings: ArchiveSettings, clock: Clock, first: int = 1) -> None:
        """Nothing is opened yet; `first` is the number of the first sample if the file has to be begun."""
        self._settings = settings
        self._clock = clock
        self._wal_pages = min(_WAL_PAGES, max(settings.max_size // 8 // PAGE, 64))
        self._ceiling = max(settings.max_size // PAGE - 2 * self._wal_pages, 512)
        self.batch = self._ceiling * PAGE // 8
        self._db: sqlite3.Connection | None = None
        self.boot = secrets.token_hex(4)
        self.oldest, self.newest = first, first - 1
        self.oldest_at: int | None = None
        self.evicted = 0
        self.tags: dict[int, Tag] = {}
        self.epochs: list[Epoch] = []
        self.cursors: dict[str, int] = {}
        self.marks: dict[str, int] = {}
        self.bytes = 0
        self.excess = False
        self._grow_at = 0
        self._file: tuple[int, int] | None = None
        self._outdating = False
        self._device_newest = 0  # the newest sample with a stamp of its device's

    # Opening

    @property
    def is_open(self) -> bool:
        """Whether it is."""
        return self._db is not None

    def open(self) -> None:
        """Open the file or begin it.

        Raises:
            Damaged: it is none of ours any more.
            ArchiveError: another process has it, or it cannot be opened.
        """
        try:
            self._db = sqlite3.connect(self._settings.path, timeout=0, isolation_level=None)
            prepare(self._db, self._settings.path, self._wal_pages, self._ceiling, self.newest)
            self._load(self._db)
            self._file = identity(self._settings.path)
        except sqlite3.Error as error:
            self.close()
            raise translated(error, self._settings.path) from error
        except (TypeError, ValueError) as error:
            self.close()
            raise Damaged(f"its tables hold something else: {error}") from error
        except BaseException:
            self.close()
            raise

    def _load(self, db: sqlite3.Connection) -> None:
        tags = (Tag(int(number), *map(str, texts)) for number, *texts in db.execute("SELECT * FROM tag"))
        self.tags = {tag.id: tag for tag in tags}
        self.epochs = [
            Epoch(int(first), str(boot), str(kernel), int(offset), bool(trusted))
            for first, boot, kernel, offset, trusted in db.execute("SELECT * FROM epoch ORDER BY 1")
        ]
        self.cursors = {str(upstream): int(acked) for upstream, acked in db.execute("SELECT * FROM cursor")}
        totals = {str(name): int(value) for name, value in db.execute("SELECT * FROM total")}
        self.marks = {name.removeprefix(_MARK): at for name, at in totals.items() if name.startswith(_MARK)}
        self.evicted = totals.get("evicted", 0)
        self._device_newest = totals.get("device_newest", 0)
        (newest,) = db.execute("SELECT max(seq) FROM sample").fetchone()
        (oldest,) = db.execute("SELECT min(seq) FROM sample").fetchone()
        if newest is None:
            (newest,) = db.execute("SELECT max(seq) FROM sqlite_sequence WHERE name = 'sample'").fetchone()
            oldest = newest + 1
        self.oldest, self.newest = oldest, newest
        self._look(db)

    def close(self) -> None:
        """Write the WAL back and let go of the file."""
        if self._db is not None:
            with contextlib.suppress(sqlite3.Error):
                self._db.close()
            self._db = None

    # Writing

    def write(
        self,
        readings: Sequence[Reading],
        tags: Collection[Tag],
        cursors: Mapping[str, int] | None = None,
        marks: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """Store readings under the next numbers, and what else changed, all or nothing.

        `cursors` are all that there are, `marks` those that moved. At most CHUNK readings at a time. What is in their
        way is evicted.

        Raises:
            Damaged, NoRoom: nothing was stored.
        """
        db = self._connection()
        if identity(self._settings.path) != self._file:
            raise Damaged("it was taken away")
        state = self._clock_state()
        self._make_room(db, sum(map(weight, readings)))
        rows = [row_of(seq, reading) for seq, reading in enumerate(readings, self.newest + 1)]
        device_newest = max((row[0] for row in rows if row[5] is not None), default=self._device_newest)
        epochs = self.epochs
        if rows or epochs:
            epochs = clocks.advanced(epochs, state, self.boot, self._clock.boot, self.newest + 1)
        with self._transaction(db):
            db.executemany(
                "INSERT OR REPLACE INTO tag VALUES(?,?,?,?,?,?)",
                [(tag.id, tag.station, tag.name, tag.unit, tag.type, tag.device_class) for tag in tags],
            )
            db.executemany("INSERT INTO sample VALUES(?,?,?,?,?,?)", rows)
            if cursors is not None:
                db.execute("DELETE FROM cursor")
                db.executemany("INSERT INTO cursor VALUES(?,?)", cursors.items())
            for name, at in marks.items():
                self._set_total(db, _MARK + name, at)
            if device_newest != self._device_newest:
                self._set_total(db, "device_newest", device_newest)
            self._save_epochs(db, epochs)
        self.newest += len(rows)
        self._device_newest = device_newest
        self.tags.update((tag.id, tag) for tag in tags)
        self._settle(db, 0, epochs)
        self.excess = self._superfluous(db, state) > 0

    def trim(self, force: bool = False) -> int:
        """Evict one chunk of the oldest samples if the archive is too large or too old, or if it is told to.

        Returns:
            How many went.

        Raises:
            Damaged, NoRoom: none did.
        """
        db = self._connection()
        count = self._chunk() if force else self._superfluous(db, self._clock_state())
        if not count:
            self.excess = False
            return 0
        with self._transaction(db):
            gone = self._evict(db, count)
            epochs = clocks.without(self.epochs, self.oldest + gone)
            self._save_epochs(db, epochs)
        self._settle(db, gone, epochs)
        self.excess = True
        return gone

    def _clock_state(self) -> ClockState:
        state = self._clock.state()
        return replace(state, trusted=True) if self._settings.clock is ClockTrust.TRUSTED else state

    def correct(self, boot: str, offset: int) -> None:
        """Set the wall clock's offset of a run of the gateway, in microseconds: all its samples move."""
        db = self._connection()
        epochs = clocks.corrected(self.epochs, boot, offset)
        with self._transaction(db):
            self._save_epochs(db, epochs)
        self._settle(db, 0, epochs)

    def write_back(self) -> None:
        """Write the WAL back into the file, so that it is filled from its beginning again."""
        try:
            self._connection().execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
        except sqlite3.Error as error:
            raise translated(error, self._settings.path) from error

    def _make_room(self, db: sqlite3.Connection, size: int) -> None:
        """See to it that there are free pages for so many bytes of rows: grow, or if that is over, evict."""
        need = _MARGIN + 2 * size // PAGE
        while page_count(db)[1] < need and not self._grow(db):
            try:
                gone = self.trim(force=True)
            except NoRoom:
                self.write_back()
                gone = self.trim(force=True)
            if not gone:
                break

    def _grow(self, db: sqlite3.Connection) -> bool:
        """Make the file larger by some free pages.

        Returns:
            Whether it is.
        """
        pages, free = page_count(db)
        step = min(_STEP, self._wal_pages // 2, self._ceiling - pages)
        if step < 2 or self._clock.now() < self._grow_at:
            return False
        self.write_back()
        while not recovery.has_room(self._settings.path, 2 * (free + step + _MARGIN) * PAGE):
            step //= 4
            if step < 2:
                self._grow_at = self._clock.now() + _RETRY
                return False
        with self._transaction(db):
            db.execute("INSERT INTO filler VALUES(zeroblob(?))", ((free + step - 1) * (PAGE - 4),))
        with self._transaction(db):
            db.execute("DELETE FROM filler")
        self.write_back()
        return page_count(db)[0] > pages

    def _superfluous(self, db: sqlite3.Connection, state: ClockState) -> int:
        """How many of the oldest samples should go next."""
        if self.newest < self.oldest:
            return 0
        pages, free = page_count(db)
        if pages - free > self._ceiling - _MARGIN // 2:  # it was made smaller
            return self._chunk()
        return self._outdated(db, state)

    def _chunk(self) -> int:
        """A chunk for eviction. A small archive is not emptied at once."""
        return min(CHUNK, (self.newest - self.oldest + 1 + 7) // 8)

    def _outdated(self, db: sqlite3.Connection, state: ClockState) -> int:
        """How many of the oldest are too old. Begins at `max_age` and goes on a little below, so it is seldom at work.

        Only a trusted clock lets samples go, and only by trusted stamps: those of an epoch without go when the samples
        after them do.
        """
        if not state.trusted:
            return 0
        slack = min(self._settings.max_age / 100, 3600) if self._outdating else 0.0
        horizon = self._clock.wall() - int((self._settings.max_age - slack) * 1e6)
        index = clocks.index_of(self.epochs, self.oldest)
        for epoch in self.epochs[index:]:
            if not epoch.trusted or epoch.first > self.newest:
                continue
            limit = horizon - epoch.offset
            start = max(epoch.first, self.oldest)
            first = self._monotonic(db, start)
            self._outdating = first is not None and first < limit
            if not self._outdating:
                break
            if start > self.oldest:
                return min(CHUNK, start - self.oldest)
            (young,) = db.execute(
                "SELECT min(seq) FROM (SELECT seq, monotonic FROM sample WHERE seq >= ? ORDER BY seq LIMIT ?)"
                " WHERE monotonic >= ?",
                (start, CHUNK, limit),
            ).fetchone()
            end = self.epochs[index + 1].first if index + 1 < len(self.epochs) else self.newest + 1
            return min(CHUNK, (young or self.newest + 1) - start, end - start)
        return 0

    def _evict(self, db: sqlite3.Connection, count: int) -> int:
        if not count:
            return 0
        gone = db.execute("DELETE FROM sample WHERE seq < ?", (self.oldest + count,)).rowcount
        if gone != count:
            raise Damaged(f"{gone} samples where {count} should be")
        self._set_total(db, "evicted", self.evicted + gone)
        return gone

    def _save_epochs(self, db: sqlite3.Connection, epochs: list[Epoch]) -> None:
        if epochs == self.epochs:
            return
        db.execute("DELETE FROM epoch")
        db.executemany(
            "INSERT INTO epoch VALUES(?,?,?,?,?)",
            [(each.first, each.boot, each.kernel, each.offset, each.trusted) for each in epochs],
        )

    @staticmethod
    def _set_total(db: sqlite3.Connection, name: str, value: int) -> None:
        db.execute("INSERT OR REPLACE INTO total VALUES(?,?)", (name, value))

    # Reading

    def read(self, after: int, limit: int) -> list[Sample]:
        """Samples with numbers above `after`, at most `limit` and CHUNK, in their order.

        Raises:
            Damaged, NoRoom: they cannot be read.
        """
        return self._samples("seq > ? ORDER BY seq LIMIT ?", (after, min(limit, CHUNK)))

    def ranges(self, start: int, end: int) -> list[tuple[int, int]]:
        """Numbers, first and last, between which all samples of a time interval are (and others, too).

        `start` and `end` are in microseconds since the epoch.
        """
        db = self._connection()
        found = []
        try:
            for index, epoch in enumerate(self.epochs):
                following = self.epochs[index + 1].first if index + 1 < len(self.epochs) else self.newest + 1
                low, high = max(epoch.first, self.oldest), following
                first = self._search(db, low, high, start - epoch.offset - _SLACK)
                last = self._search(db, first, high, end - epoch.offset + _SLACK)
                last = max(last, min(high, self._device_newest + 1))  # a device's stamps come after their time
                if first < last:
                    found.append((first, last - 1))
        except sqlite3.Error as error:
            raise translated(error, self._settings.path) from error
        return found

    def slices(self, start: int, end: int) -> list[tuple[int, int, Epoch]]:
        """The same as `ranges`, and the epoch of each."""
        return [(*each, self.epochs[clocks.index_of(self.epochs, each[0])]) for each in self.ranges(start, end)]

    def buckets(self, rows: Slice, tags: Collection[int], start: int, end: int, width: int) -> Buckets:
        """What a chart shows of some rows; see chart.py.

        Raises:
            Damaged, NoRoom: they cannot be read.
        """
        try:
            return look(self._connection(), rows, tags, start, end, width)
        except sqlite3.Error as error:
            raise translated(error, self._settings.path) from error

    def within(self, first: int, last: int, start: int, end: int) -> list[Sample]:
        """Samples numbered `first` to `last`, at most CHUNK, with `start` <= at < `end`."""
        rows = self._samples("seq BETWEEN ? AND ? ORDER BY seq LIMIT ?", (first, last, CHUNK))
        return [sample for sample in rows if start <= sample.at < end]

    def newest_stamps(self, tags: Collection[int], before: int) -> tuple[dict[int, int], int]:
        """The newest stamps of devices' own that some tags have, among the CHUNK samples with numbers below `before`.

        Returns:
            The stamps, in microseconds UTC, by tag; and the number before which to look on.
        """
        found: dict[int, int] = {}
        try:
            rows = (
                self._connection()
                .execute("SELECT seq, tag, at FROM sample WHERE seq < ? ORDER BY seq DESC LIMIT ?", (before, CHUNK))
                .fetchall()
            )
        except sqlite3.Error as error:
            raise translated(error, self._settings.path) from error
        for _, tag, at in rows:
            if tag in tags and isinstance(at, int):
                found.setdefault(tag, at)
        return found, rows[-1][0] if rows else 0

    def _samples(self, condition: str, values: tuple[int, ...]) -> list[Sample]:
        try:
            rows: list[Row] = (
                self._connection()
                .execute(f"SELECT seq, tag, monotonic, value, state, at FROM sample WHERE {condition}", values)  # noqa: S608
                .fetchall()
            )
        except sqlite3.Error as error:
            raise translated(error, self._settings.path) from error
        return samples_of(rows, self.tags, self.epochs)

    def _search(self, db: sqlite3.Connection, low: int, high: int, monotonic: int) -> int:
        """The first number from `low` on, `high` at most, whose sample came at `monotonic` or later."""
        while low < high:
            middle = (low + high) // 2
            stamp = self._monotonic(db, middle)
            if stamp is not None and stamp < monotonic:
                low = middle + 1
            else:
                high = middle
        return low

    @staticmethod
    def _monotonic(db: sqlite3.Connection, seq: int) -> int | None:
        row = db.execute("SELECT monotonic FROM sample WHERE seq = ?", (seq,)).fetchone()
        return row[0] if row and isinstance(row[0], int) else None

    # Both

    def _connection(self) -> sqlite3.Connection:
        if self._db is None:
            raise MisuseError("the store is not open")
        return self._db

    @contextlib.contextmanager
    def _transaction(self, db: sqlite3.Connection) -> Iterator[None]:
        try:
            db.execute("BEGIN IMMEDIATE")
            yield
            db.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                if db.in_transaction:
                    db.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise translated(error, self._settings.path) from error
            raise

    def _settle(self, db: sqlite3.Connection, gone: int, epochs: list[Epoch]) -> None:
        """Take over what was committed."""
        self.oldest += gone
        self.evicted += gone
        self.epochs = epochs
        self._look(db)

    def _look(self, db: sqlite3.Connection) -> None:
        """Size and age, for whoever asks."""
        monotonic = self._monotonic(db, self.oldest) if self.oldest <= self.newest else None
        if monotonic is None or not self.epochs:
            self.oldest_at = None
        else:
            self.oldest_at = monotonic + self.epochs[clocks.index_of(self.epochs, self.oldest)].offset
        self.bytes = sum(file_size(self._settings.path + end) for end in ("", "-wal"))

"""SQLite as the archive uses it: how a connection is set up, the tables, and what its errors mean.

One connection only: SQLite 3.7.0 to 3.51.2 can corrupt a file in WAL mode that has two (sqlite.org/wal.html, section
"the WAL-reset bug"). `locking_mode=EXCLUSIVE` sees to that across processes too, and keeps the WAL's index in memory.
"""

import os
import sqlite3

from nportpy.errors import ArchiveError

PAGE = 1024
"""Bytes. A commit is two pages and their frames: half the flash that pages of 4096 cost."""

_APPLICATION = 0x6E70_6F72  # "npor"
_VERSION = 1

_NO_ROOM = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_NOMEM)
_UNREADABLE = (sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS)

_SCHEMA = """
CREATE TABLE sample(seq INTEGER PRIMARY KEY AUTOINCREMENT, tag INTEGER NOT NULL, monotonic INTEGER NOT NULL, value,
    state INTEGER NOT NULL, at INTEGER);
CREATE TABLE tag(id INTEGER PRIMARY KEY, station TEXT, name TEXT, unit TEXT, type TEXT, device_class TEXT);
CREATE TABLE epoch(first INTEGER PRIMARY KEY, boot TEXT, kernel TEXT, offset INTEGER, trusted INTEGER);
CREATE TABLE cursor(upstream TEXT PRIMARY KEY, acked INTEGER) WITHOUT ROWID;
CREATE TABLE filler(zeros);
CREATE TABLE total(name TEXT PRIMARY KEY, value INTEGER) WITHOUT ROWID;
"""


class Damaged(Exception):
    """The file is no archive any more. Stays between the store and recovery."""


class NoRoom(Exception):
    """The file cannot take more: the disk is full or fails. Stays between the store and the writer."""

    def __init__(self, text: str, unreadable: bool = False) -> None:
        """`unreadable`: it was not even read."""
        super().__init__(text)
        self.unreadable = unreadable


def prepare(db: sqlite3.Connection, path: str, wal_pages: int, max_pages: int, newest: int) -> None:
    """Set a fresh connection up, and begin the file if it is empty: its samples are numbered after `newest`.

    Raises:
        Damaged: it is an archive of another version.
        ArchiveError: it is another program's.
        sqlite3.Error: whatever else; see `translated`.
    """
    db.text_factory = lambda raw: raw.decode("utf-8", "replace")
    db.execute("PRAGMA locking_mode=EXCLUSIVE")
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (schema,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if schema and application != _APPLICATION:
        raise ArchiveError(f"{path} is another program's database; name another `path` in [archive]")
    if schema and version != _VERSION:
        raise Damaged(f"its version is {version}, this program's is {_VERSION}")
    if not schema:
        db.execute(f"PRAGMA page_size={PAGE}")
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute(f"PRAGMA wal_autocheckpoint={wal_pages}")
    db.execute(f"PRAGMA max_page_count={max_pages}")
    if not schema:
        db.executescript(
            f"BEGIN;{_SCHEMA}INSERT INTO sqlite_sequence VALUES('sample',{newest});"
            f"PRAGMA application_id={_APPLICATION};PRAGMA user_version={_VERSION};COMMIT"
        )


def page_count(db: sqlite3.Connection) -> tuple[int, int]:
    """How many pages the file has, and how many of them are free."""
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    (free,) = db.execute("PRAGMA freelist_count").fetchone()
    return int(pages), int(free)


def translated(error: sqlite3.Error, path: str) -> Exception:
    """What an error of SQLite means for the archive at `path`."""
    if isinstance(error, sqlite3.ProgrammingError | sqlite3.InterfaceError):
        return error  # our own mistake
    extended = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    code = extended & 0xFF
    if code in _NO_ROOM:
        return NoRoom(str(error), extended in _UNREADABLE)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL):
        return ArchiveError(f"{path} is in use by another nportpy; stop it, or ask it over HTTP")
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        directory = os.path.dirname(path) or "."
        return ArchiveError(f"{path} cannot be opened: {error}; make {directory} writable")
    return Damaged(str(error))


def identity(path: str) -> tuple[int, int] | None:
    """Which file it is now: device and inode; None if there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def file_size(path: str) -> int:
    """Its bytes; 0 if there is none."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0

"""Settings of the archive; the configuration file's `[archive]` makes them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ArchiveSettings:
    """How much is kept, and what a power cut may cost.

    Attributes:
        path: the file. Its directory exists. Beside it lie `-wal` (SQLite's), `.mark` (which numbers were used) and,
            after damage, one `.damaged-TIME`.
        max_size: bytes that the file and its WAL may take together; less than 1 MiB counts as that.
        max_age: seconds that a sample is kept.
        commit: seconds that a reading may wait until it is on the disk; less wears flash more.
        queue: readings that may wait for the disk; beyond it the oldest of them are dropped and counted.
    """

    path: str
    max_size: int = 200 * 1024 * 1024
    max_age: float = 30 * 86400.0
    commit: float = 2.0
    queue: int = 16384

"""The thread's side of the archive: what waits, what is being written, and what is done when it cannot be.

One thread calls `open`, `work`, the reads and `close`, one after the other. The event loop adds to `queue` and reads
the numbers; the deque's ends are atomic, so neither waits for the other.
"""

import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from nportpy.edge import recovery
from nportpy.edge.clock import Clock
from nportpy.edge.database import Damaged, NoRoom
from nportpy.edge.rows import weight
from nportpy.edge.sample import Reading, Tag
from nportpy.edge.settings import ArchiveSettings
from nportpy.edge.store import CHUNK, Store
from nportpy.errors import ArchiveError
from nportpy.status import DURATIONS

_T = TypeVar("_T")

UNREADABLE = 10
"""Failures to read the file, one after the other, after which it counts as damaged."""

log = logging.getLogger(__name__)


class Writer:
    """One store after the other: a damaged one is set aside, and the next one goes on with the numbers.

    Attributes:
        store: the store in use.
        queue: readings that wait, oldest first.
        in_hand: those that are being written.
        tags: every tag that has an id, by id.
        new_tags: those of them that are not in the file.
        cursors: the last sample that each upstream has acknowledged.
        marks: until when each station is complete, in microseconds UTC (history.py).
        recovered: how often a damaged file was set aside.
        failures: commits that failed.
        error: why the last one did; empty if it did not.
        commits: commits that succeeded.
        written: readings that they stored.
        seconds: what they took, all together.
        durations: the same as a histogram, as `BusStatus.durations`.
    """

    def __init__(self, settings: ArchiveSettings, clock: Clock) -> None:
        """Nothing is opened yet."""
        self._settings = settings
        self._clock = clock
        self.store = Store(settings, clock)
        self.queue: deque[Reading] = deque()
        self.in_hand: list[Reading] = []
        self.tags: dict[int, Tag] = {}
        self.new_tags: dict[int, Tag] = {}
        self.cursors: dict[str, int] = {}
        self.marks: dict[str, int] = {}
        self.recovered = self.failures = self.commits = self.written = 0
        self.error = ""
        self.seconds = 0.0
        self.durations = [0] * (len(DURATIONS) + 1)
        self._mark = 1
        self._unreadable = 0
        self._written_cursors: dict[str, int] = {}
        self._written_marks: dict[str, int] = {}

    def open(self) -> None:
        """Open the file or begin one.

        Raises:
            ArchiveError: it cannot be opened here.
        """
        self._mark = recovery.read_mark(self._settings.path)
        self.store = Store(self._settings, self._clock, self._mark)
        self.read(lambda _store: None)
        self.tags = dict(self.store.tags)
        self.cursors = dict(self.store.cursors)
        self._written_cursors = dict(self.cursors)
        self.marks = dict(self.store.marks)
        self._written_marks = dict(self.marks)

    def close(self) -> None:
        """Let go of the file."""
        self.store.close()

    def work(self, with_cursors: bool) -> bool:
        """Commit one batch of what waits.

        Returns:
            Whether that went well. What could not be written waits on.
        """
        room = self.store.batch
        while self.queue and room > 0 and len(self.in_hand) < CHUNK:
            with contextlib.suppress(IndexError):  # the event loop has dropped it
                self.in_hand.append(self.queue.popleft())
                room -= weight(self.in_hand[-1])
        cursors = dict(self.cursors) if with_cursors and self.cursors != self._written_cursors else None
        marks = dict(self.marks.items() - self._written_marks.items()) if with_cursors else {}
        began = time.monotonic()
        try:
            self.guarded(lambda store: self._write(store, cursors, marks))
        except (ArchiveError, NoRoom, Damaged, OSError) as error:
            self.failures += 1
            self.error = str(error)
            while self.in_hand:  # back to where the oldest are dropped first
                self.queue.appendleft(self.in_hand.pop())
            return False
        taken = time.monotonic() - began
        self.written += len(self.in_hand)
        self.in_hand = []
        if cursors is not None:
            self._written_cursors = cursors
        self._written_marks |= marks
        self.error = ""
        self.commits += 1
        self.seconds += taken
        self.durations[next((i for i, bound in enumerate(DURATIONS) if taken <= bound), -1)] += 1
        return True

    def trim(self) -> bool:
        """Evict one chunk of what is too much.

        Returns:
            Whether there was any.
        """
        try:
            return self.guarded(Store.trim) > 0
        except (ArchiveError, NoRoom, Damaged) as error:
            self.error = str(error)
            self.store.excess = False
            return False

    def read(self, what: Callable[[Store], _T]) -> _T:
        """Read from the store.

        Raises:
            ArchiveError: it cannot be read now.
        """
        try:
            return self.guarded(what)
        except (NoRoom, Damaged) as error:
            raise ArchiveError(f"{self._settings.path} cannot be read: {error}") from error

    def guarded(self, what: Callable[[Store], _T]) -> _T:
        """Do something with the store, opening it first if need be; if it is damaged, once more with a new one.

        Raises:
            ArchiveError, NoRoom, Damaged: it cannot be done now.
        """
        try:
            return what(self._opened())
        except Damaged as error:
            self._set_aside(str(error))
            return what(self._opened())
        except NoRoom as error:
            self._unreadable = self._unreadable + 1 if error.unreadable else 0
            if self._unreadable < UNREADABLE:
                raise
            self._set_aside(str(error))
            return what(self._opened())

    def _opened(self) -> Store:
        if not self.store.is_open:
            self.store.open()
            known = self.store.tags
            self.new_tags |= {each.id: each for each in tuple(self.tags.values()) if known.get(each.id) != each}
        return self.store

    def _write(self, store: Store, cursors: dict[str, int] | None, marks: dict[str, int]) -> None:
        tags = tuple(self.new_tags.values())  # after the readings were taken: each has its tag
        self._raise_mark(store.newest + len(self.in_hand))
        try:
            store.write(self.in_hand, tags, cursors, marks)
        except NoRoom:
            store.write_back()
            store.write(self.in_hand, tags, cursors, marks)
        for tag in tags:
            if self.new_tags.get(tag.id) is tag:
                del self.new_tags[tag.id]

    def _raise_mark(self, newest: int) -> None:
        """See to it that the mark is above number `newest`, long before it must be."""
        if newest < self._mark - recovery.STEP // 2:
            return
        mark = newest + recovery.STEP
        try:
            recovery.write_mark(self._settings.path, mark)
        except OSError:
            if newest >= self._mark:
                raise
        else:
            self._mark = mark

    def _set_aside(self, why: str) -> None:
        """Get the file out of the way; the next one goes on behind the mark."""
        lost = self.store
        lost.close()
        path = self._settings.path
        try:
            aside = recovery.set_aside(path)
        except OSError as error:
            raise ArchiveError(f"{path} is damaged ({why}) and cannot be renamed: {error.strerror}") from error
        self.recovered += 1
        log.error("archive %s: %s; %s, a new one is begun", path, why, f"kept as {aside}" if aside else "it is gone")
        self._unreadable = 0
        self.store = Store(self._settings, self._clock, max(self._mark, lost.newest + 1))
        for upstream, acknowledged in self.cursors.items():
            self.cursors[upstream] = max(acknowledged, self.store.newest)
        self._written_cursors = {}
        self._written_marks = {}

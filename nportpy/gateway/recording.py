"""What is on a line, written to a ring of files in a directory of the gateway's own.

    NAME-20261129T101500Z.pcapng

A full or read-only disk stops the recording, which says so and tries again every minute; the line never waits for it.
Files are written in threads, as a card may take seconds.
"""

import asyncio
import contextlib
import logging
import re
import time
from pathlib import Path
from typing import IO, Final

from nportpy import __version__
from nportpy.line.arbiter import Line
from nportpy.line.watcher import Watcher
from nportpy.protocols.capture.packets import Capture
from nportpy.status import RecordingStatus

TRY_AGAIN: Final = 60.0
"""Seconds after a failure."""

_WITHIN: Final = 1.0

log = logging.getLogger(__name__)


class Recording:
    """Of one line.

    Attributes:
        place: directory, files and size, as it was started with.
        error: why nothing is written; empty if all is well.
        lost: records that came faster than they could be written, or while nothing could be.
    """

    def __init__(self, line: Line, directory: str, files: int, size: int) -> None:
        """Nothing is written before `start`."""
        self.place = (directory, files, size)
        self.error = ""
        self.lost = 0
        self._line = line
        self._folder = Path(directory)
        self._stem = file_name(line.name)
        self._files = files
        self._size = size
        self._file: IO[bytes] | None = None
        self._written = 0
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Write from now on."""
        self._task = tasks.create_task(self._run(), name=f"{self._line.name} recording")

    async def stop(self) -> None:
        """Finish the file."""
        self._stopping.set()
        if self._task is not None:
            self._line.tap().wake()
            await asyncio.wait([self._task])
            self._task = None

    def status(self) -> RecordingStatus:
        """A snapshot."""
        return RecordingStatus(self._line.name, self.error, self.lost)

    async def _run(self) -> None:
        log.info("recording begins", extra={"port": self._line.name, "directory": str(self._folder)})
        async with self._line.tap().watch("recording to files") as watcher:
            while not self._stopping.is_set() and not watcher.tap.closed:
                try:
                    await self._write_files(watcher)
                except OSError as error:
                    await self._fail(error, watcher)
        log.info("recording ends", extra={"port": self._line.name, "lost": self.lost})

    async def _fail(self, error: OSError, watcher: Watcher) -> None:
        reason = f"{error.strerror or error}"
        if reason != self.error:
            extra = {"port": self._line.name, "directory": str(self._folder), "reason": reason}
            log.error("recording stops, trying again every minute", extra=extra)
        self.error = reason
        try:
            async with asyncio.timeout(TRY_AGAIN):
                await self._stopping.wait()
        except TimeoutError:
            pass
        self.lost += watcher.skip()

    async def _write_files(self, watcher: Watcher) -> None:
        """One file after another."""
        while not self._stopping.is_set() and not watcher.tap.closed:
            await self._write_file(watcher)

    async def _write_file(self, watcher: Watcher) -> None:
        capture = capture_of(self._line)
        file = await asyncio.to_thread(self._open)
        written = 0
        try:
            await asyncio.to_thread(_write, file, capture.head())
            await asyncio.to_thread(self._make_room, file)
            if self.error:
                log.info("recording goes on", extra={"port": self._line.name})
                self.error = ""
            async for lost, records in watcher.follow(_WITHIN):
                self.lost += lost
                data = capture.feed([(watcher.wall(record.time), record) for record in records], lost)
                if not records:
                    data += capture.flush()
                if data:
                    await asyncio.to_thread(_write, file, data)
                    written += len(data)
                if written >= self._size or self._stopping.is_set():
                    break
            await asyncio.to_thread(_write, file, capture.finish())
        except OSError:
            if not written:
                await asyncio.to_thread(_take_away, file)  # or it would count as one of the ring
            raise
        finally:
            await asyncio.to_thread(_close, file)

    def _open(self) -> IO[bytes]:
        self._folder.mkdir(parents=True, exist_ok=True)
        stem, number = f"{self._stem}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}", 0
        while True:
            name = f"{stem}-{number}.pcapng" if number else f"{stem}.pcapng"
            try:
                return (self._folder / name).open("xb")
            except FileExistsError:
                number += 1

    def _make_room(self, file: IO[bytes]) -> None:
        """Delete what is too old for the ring, now that there is a new one."""
        own = re.compile(re.escape(self._stem) + r"-[0-9]{8}T[0-9]{6}Z(-[0-9]+)?\.pcapng")
        others = (each for each in self._folder.iterdir() if own.fullmatch(each.name) and each != Path(file.name))
        found = sorted(others, key=_age)
        for old in found[: max(len(found) - self._files + 1, 0)]:
            old.unlink(missing_ok=True)


def capture_of(line: Line) -> Capture:
    """What makes a file of a line's records, from now on."""
    return Capture(
        line.name,
        line.tap().settings,
        requests=line.transactions is not None,
        application=f"nportpy {__version__}",
        modem=line.modem_lines(),
    )


def file_name(line: str) -> str:
    """A line's name as the beginning of a file's: a server elsewhere is called by its address."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", line).strip("-.") or "line"


def _age(path: Path) -> tuple[float, str]:
    return path.stat().st_mtime, path.name


def _write(file: IO[bytes], data: bytes) -> None:
    file.write(data)
    file.flush()


def _take_away(file: IO[bytes]) -> None:
    with contextlib.suppress(OSError):
        Path(file.name).unlink(missing_ok=True)


def _close(file: IO[bytes]) -> None:
    try:
        file.close()
    except OSError:
        log.debug("a file could not be closed", exc_info=True)

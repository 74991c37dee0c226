"""An archive with clocks that the test sets, and readings for it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

from nportpy.edge.archive import Archive
from nportpy.edge.clock import Clock
from nportpy.edge.sample import Quality, Reading, Sample, Value
from nportpy.edge.settings import ArchiveSettings

START = 1_800_000_000 * 10**9


class FakeClock(Clock):
    """Nanoseconds as the test says. `step` moves the wall clock, `pass_time` both."""

    def __init__(self, wall: int = START, trusted: bool = True, boot: str = "kernel", monotonic: int = 10**9) -> None:
        self.mono_ns, self.wall_ns, self.is_trusted = monotonic, wall, trusted
        super().__init__(lambda: self.mono_ns, lambda: self.wall_ns, lambda: self.is_trusted, boot)

    def pass_time(self, seconds: float) -> None:
        self.mono_ns += int(seconds * 1e9)
        self.wall_ns += int(seconds * 1e9)

    def step(self, seconds: float) -> None:
        self.wall_ns += int(seconds * 1e9)


def settings(folder: Path, **others: object) -> ArchiveSettings:
    return replace(ArchiveSettings(str(folder / "archive.db")), **others)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def running(
    folder: Path,
    clock: Clock | None = None,
    prepare: Callable[[Archive], None] = lambda archive: None,
    **others: object,
) -> AsyncIterator[Archive]:
    """An open archive whose commits run."""
    archive = Archive(settings(folder, **others), clock or FakeClock())
    prepare(archive)
    await archive.open()
    try:
        async with asyncio.TaskGroup() as group:
            run = group.create_task(archive.run())
            yield archive
            run.cancel()
    finally:
        await archive.close()


def readings(archive: Archive, values: list[Value], quality: Quality = Quality.GOOD) -> list[Reading]:
    """One of each value, a microsecond apart."""
    tag = archive.register("mains", "energy", "kWh", "float32")
    now = archive.clock.now()
    return [Reading(tag.id, value, quality, now + index) for index, value in enumerate(values)]


async def everything(archive: Archive) -> list[Sample]:
    found: list[Sample] = []
    while samples := await archive.read(found[-1].seq if found else 0):
        found += samples
    return found

"""One station: its rounds on a fixed grid, what is worth a sample, and what happens while it does not answer.

    schedule -> driver -> conversion -> reporting -> samples

A round that is overrun is skipped and counted, never queued. A station that does not answer is tried again after 2, 4,
8 ... 60 s, gives one bad sample for each tag, and one good sample when it is back.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from nportpy.edge.clock import Clock
from nportpy.edge.conversion import Converted, convert, strange
from nportpy.edge.driver import Driver, RawReading, StationRefused, StationSilent, Telling
from nportpy.edge.history import History
from nportpy.edge.reporting import Reporter
from nportpy.edge.sample import Quality, Reading
from nportpy.edge.schedule import Due, Rounds
from nportpy.edge.settings import StationSettings, TagSettings
from nportpy.protocols.modbus.values import Value
from nportpy.status import StationStatus, TagStatus
from nportpy.throttle import Throttle

FIRST_PAUSE: Final = 2.0
LONGEST_PAUSE: Final = 60.0

_ROOM: Final = 0.5  # seconds before a round in which nothing else is begun
_LONGEST_SLEEP: Final = 60.0  # the wall clock may be set meanwhile

log = logging.getLogger(__name__)


@dataclass(slots=True)
class TagState:
    """A tag, and the newest that is known of it.

    Attributes:
        tag: its settings.
        id: its number in the archive.
        reporter: judges what is worth a sample.
        value: the newest, reported or not; None: there is none.
        quality: of it.
        reason: why it is not good.
        at: when it was read, in microseconds UTC; 0: never.
        sampled: the time of its newest sample that was not history, in microseconds UTC.
    """

    tag: TagSettings
    id: int
    reporter: Reporter
    value: Value | None = None
    quality: Quality = Quality.BAD
    reason: str = "not read yet"
    at: int = 0
    sampled: int = 0


@dataclass(slots=True)
class StationCounts:
    """Numbers since the start.

    Attributes:
        good: rounds in which every tag had a value.
        partial: rounds in which some had none.
        failed: rounds in which the station did not answer.
        samples: given to the archive.
        unchanged: readings that were not worth one.
        seconds: that rounds took, all added up.
    """

    good: int = 0
    partial: int = 0
    failed: int = 0
    samples: int = 0
    unchanged: int = 0
    seconds: float = 0.0


class Station:
    """Reads one station for as long as `run` runs.

    Attributes:
        settings: what it was made from.
        tags: its tags by name, in the file's order.
        up: whether it answered last; None: it was not asked yet.
        since: when that began, in microseconds UTC.
        reason: why it is not up.
        refused: it has refused the password: it is not asked any more.
        counts: numbers since the start.
        rounds: when it is read; None until `run` runs.
    """

    def __init__(
        self,
        settings: StationSettings,
        driver: Driver,
        keep: Callable[[Sequence[Reading]], None],
        clock: Clock,
        ids: Mapping[str, int],
        phase: float = 0.0,
        history: History | None = None,
    ) -> None:
        """Not read yet.

        Args:
            settings: what is read, and when.
            driver: reads it; closed when `run` ends.
            keep: takes samples; must not block.
            clock: stamps readings, and knows the grid of `always_at`.
            ids: the archive's number of each tag, by its name here.
            phase: seconds from the start to the first round.
            history: fills its gaps; None: nobody does.
        """
        self.settings = settings
        self.tags = {tag.name: TagState(tag, ids[tag.name], Reporter(tag)) for tag in settings.tags}
        self.up: bool | None = None
        self.since = clock.wall()
        self.reason = "not read yet"
        self.refused = False
        self.counts = StationCounts()
        self.rounds: Rounds | None = None
        self._driver = driver
        self._telling = driver if isinstance(driver, Telling) else None
        self._keep = keep
        self._clock = clock
        self._phase = phase
        self._history = history
        self._filled = False  # since the last round
        self._pause = FIRST_PAUSE
        self._strange: set[str] = set()  # tags whose odd values the log has told
        self._throttle = Throttle()

    async def run(self) -> None:
        """Read until cancelled."""
        loop = asyncio.get_running_loop()
        start = loop.time() + self._phase
        self.rounds = rounds = Rounds(self.settings.tags, self.settings.every, start, self._wall())
        try:
            while not self.refused:
                if (wait := rounds.wait(loop.time(), self._wall())) > 0:
                    if wait > _ROOM and await self._fill(wait):
                        continue
                    await asyncio.sleep(min(wait, _LONGEST_SLEEP))
                due = rounds.due(loop.time(), self._wall())
                self._filled = False
                if due.tags and await self.round(due):
                    rounds.finished(loop.time())
                elif due.tags:
                    await asyncio.sleep(self._pause)
                    self._pause = min(2 * self._pause, LONGEST_PAUSE)
                    rounds.paused(loop.time())
        finally:
            await self._driver.close()

    async def round(self, due: Due) -> bool:
        """Read some tags and keep what is worth it; False if the station did not answer."""
        began = asyncio.get_running_loop().time()
        try:
            readings = await self._driver.read(due.tags)
        except StationSilent as error:
            self._silent(str(error))
            return False
        except StationRefused as error:
            self._refuse(str(error))
            return False
        finally:
            self.counts.seconds += asyncio.get_running_loop().time() - began
        self._answered()
        good = True
        samples: list[Reading] = []
        for reading in readings:
            state = self.tags[reading.tag.name]
            found = self._converted(state, reading)
            good = good and found.value is not None
            samples += self._judged(state, found, reading, reading.tag.name in due.always)
        self._give(samples)
        if self._history is not None:
            self._history.answered()
        if good:
            self.counts.good += 1
        else:
            self.counts.partial += 1
        return True

    async def close(self) -> None:
        """There will be no more rounds; `run` does it by itself."""
        await self._driver.close()

    def status(self) -> StationStatus:
        """A snapshot."""
        counts, rounds = self.counts, self.rounds
        trying = self._telling.trying if self._telling is not None and not self.up else ""
        return StationStatus(
            name=self.settings.name,
            up=self.up,
            since=self.since / 1e6,
            reason=trying or self.reason,
            polls={"good": counts.good, "partial": counts.partial, "failed": counts.failed},
            poll_seconds=counts.seconds,
            overruns=rounds.overruns if rounds is not None else 0,
            lag=rounds.lag if rounds is not None else 0.0,
            samples=counts.samples,
            unchanged=counts.unchanged,
            tags=tuple(
                TagStatus(
                    name,
                    state.tag.unit,
                    state.value,
                    state.quality.name.lower(),
                    state.reason,
                    state.at / 1e6 if state.at else None,
                )
                for name, state in self.tags.items()
            ),
        )

    def _wall(self) -> float:
        return self._clock.wall() / 1e6

    def _converted(self, state: TagState, reading: RawReading) -> Converted:
        if reading.raw is None:
            return Converted(None, Quality.BAD, reading.reason)
        if strange(reading.raw) and state.tag.name not in self._strange:
            self._strange.add(state.tag.name)
            extra = {"station": self.settings.name, "tag": state.tag.name, "value": reading.raw}
            log.warning("this value looks as if its order were another one (ABCD, CDAB, BADC, DCBA)", extra=extra)
        found = convert(reading.tag, reading.raw)
        if reading.uncertain and found.quality is Quality.GOOD:
            return Converted(found.value, Quality.UNCERTAIN, reading.uncertain)
        return found

    def _judged(self, state: TagState, found: Converted, reading: RawReading, always: bool) -> list[Reading]:
        kept = reading.at is not None and not reading.present  # by the device, and read later
        if not kept:
            state.value, state.quality, state.reason = found
            arrived = self._clock.wall() - (self._clock.now() - reading.monotonic)
            state.at = arrived if reading.at is None else reading.at
            # Nobody who looks at the present is told of what was before that which he knows.
            kept = reading.at is not None and reading.at < state.sampled
        now = asyncio.get_running_loop().time()
        if kept:
            return [_kept(state.id, found, reading)]
        if state.reporter.reports(found, now, always=always or reading.event):
            state.sampled = state.at
            return [Reading(state.id, found.value, found.quality, reading.monotonic, reading.at)]
        self.counts.unchanged += 1
        return []

    def _answered(self) -> None:
        if self.up is not True:
            if self.up is False:
                log.info("station answers again", extra={"station": self.settings.name})
            self.up, self.since, self.reason = True, self._clock.wall(), ""
        self._pause = FIRST_PAUSE

    async def _fill(self, room: float) -> bool:
        """Fill a part of a gap from what the device has kept; False if there is none, or the next round comes first.

        One part goes between any two rounds; more of them where there is `room`, in seconds.
        """
        if self._history is None or not self._history.owes or (self._filled and self._history.takes > room):
            return False
        self._filled = True
        try:
            await self._history.fill(self._past)
        except StationRefused as error:
            self._refuse(str(error))
        return True

    def _past(self, reading: RawReading) -> Reading | None:
        """What was kept of a tag, and is read now."""
        state = self.tags.get(reading.tag.name)
        return None if state is None else _kept(state.id, self._converted(state, reading), reading)

    def _refuse(self, reason: str) -> None:
        """It will not answer for as long as it is configured like this: asking on might lock it for a day."""
        self._silent(reason)
        self.refused = True
        extra = {"station": self.settings.name, "reason": reason}
        log.error("station is not asked again before the configuration changes, or is reloaded", extra=extra)

    def _silent(self, reason: str) -> None:
        self.counts.failed += 1
        if self.up is not False:
            self.up, self.since = False, self._clock.wall()
            if (more := self._throttle.allow(self.settings.name, asyncio.get_running_loop().time())) is not None:
                extra = {"station": self.settings.name, "reason": reason} | ({"more": more} if more else {})
                log.warning("station does not answer", extra=extra)
        self.reason = reason
        bad = Converted(None, Quality.BAD, reason)
        samples: list[Reading] = []
        now = asyncio.get_running_loop().time()
        for state in self.tags.values():
            state.value, state.quality, state.reason = bad
            if state.reporter.silent(bad, now):
                state.sampled = self._clock.wall()
                samples.append(Reading(state.id, None, Quality.BAD, self._clock.now()))
        self._give(samples)

    def _give(self, samples: Sequence[Reading]) -> None:
        if samples:
            self.counts.samples += len(samples)
            self._keep(samples)


def _kept(tag: int, found: Converted, reading: RawReading) -> Reading:
    return Reading(tag, found.value, found.quality, reading.monotonic, reading.at, history=True)

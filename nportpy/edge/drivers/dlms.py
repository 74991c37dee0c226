"""DLMS/COSEM meters as stations: attributes of objects, and the rows of load profiles with the meter's own time.

A tag's `at` is an OBIS code, as meters/dlms/places.py has them. A number comes with the meter's scaler and, where the
tag names a unit of the same kind (kWh for Wh), in that unit, exactly. A tag that has a `scale` converts by itself: its
number is the meter's, in the meter's unit.

What was not read, because the gateway or the line was away, is filled from the station's `history`, a profile.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Final, Protocol

from nportpy.edge.clock import Clock
from nportpy.edge.driver import RawReading, StationRefused, StationSilent
from nportpy.edge.drivers.dlms_rows import DEPTH, Known, Span, column_of, moment_of
from nportpy.edge.drivers.units import power as power_to
from nportpy.edge.settings import StationSettings, TagSettings
from nportpy.errors import LineError, ProtocolError
from nportpy.meters.dlms.errors import AuthenticationRefused, ServiceRefused
from nportpy.meters.dlms.objects import Attribute, Profile, Result
from nportpy.meters.dlms.places import Place, name_of
from nportpy.meters.dlms.settings import DlmsSettings
from nportpy.meters.dlms.values import Meant, is_time_of, meaning, plain
from nportpy.protocols.dlms.obis import Obis
from nportpy.protocols.dlms.results import Refused

REFUSED_PAUSE: Final = 3600 * 1_000_000
"""Microseconds for which is not asked again what the meter refuses for good."""

_DOUBT: Final = "the meter's clock doubts it"

log = logging.getLogger(__name__)


class Meter(Protocol):
    """What the driver wants of a client (`DlmsClient`)."""

    async def read(self, attributes: Sequence[Attribute], *, scaled: bool = True) -> list[Result]:
        """See `DlmsClient`."""

    async def profile(self, obis: bytes, start: datetime, end: datetime) -> Profile:
        """See `DlmsClient`."""

    async def close(self) -> None:
        """See `DlmsClient`."""


class DlmsDriver:
    """Reads a meter: see `Driver`."""

    def __init__(
        self,
        station: StationSettings,
        settings: DlmsSettings,
        meter: Meter,
        clock: Clock,
        newest: Callable[[TagSettings], int | None] = lambda _: None,
    ) -> None:
        """Nothing is asked yet.

        Args:
            station: its tags.
            settings: how the meter is reached; its zone.
            meter: asks it; closed with the driver.
            clock: stamps what comes.
            newest: when the newest sample of a tag was that the archive has, in microseconds UTC.
        """
        self._station = station.name
        self._places = {tag.name: Place.parse(tag.at) for tag in station.tags}
        self._history = station.history.profile if station.history is not None else b""
        columns = {tag.name: self._column_that_fills(tag) for tag in station.tags}
        self._filled = {name: column for name, column in columns.items() if column is not None}
        self._settings = settings
        self._meter = meter
        self._clock = clock
        self._newest = newest
        self._depth = station.history.depth if station.history is not None else DEPTH
        self._profiles: dict[bytes, Known] = {}
        self._refused: dict[str, tuple[int, str]] = {}  # until when a tag is not asked, and why

    async def read(self, tags: Sequence[TagSettings]) -> list[RawReading]:
        """See `Driver`. A tag in a profile has as many readings as there are new rows, and none if there are none."""
        now = self._clock.now()
        held = [tag for tag in tags if self._refused.get(tag.name, (0, ""))[0] > now]
        readings = [RawReading(tag, now, reason=self._refused[tag.name][1]) for tag in held]
        live = [tag for tag in tags if not self._places[tag.name].profile and tag not in held]
        kept: dict[bytes, list[TagSettings]] = {}
        for tag in tags:
            if (profile := self._places[tag.name].profile) and tag not in held:
                kept.setdefault(profile, []).append(tag)
        try:
            if live:
                await self._present(live, readings)
            for profile, inside in kept.items():
                await self._kept(profile, inside, readings)
        except AuthenticationRefused as error:
            raise StationRefused(str(error)) from None
        except (LineError, ProtocolError) as error:
            if len(readings) == len(held):
                raise StationSilent(str(error)) from None
            done = {reading.tag.name for reading in readings}
            readings += [RawReading(tag, self._clock.now(), reason=str(error)) for tag in tags if tag.name not in done]
        return readings

    async def close(self) -> None:
        """See `Driver`."""
        await self._meter.close()

    # Both add to `readings`, so that what was read before an error counts.

    async def _present(self, tags: Sequence[TagSettings], readings: list[RawReading]) -> None:
        """Read tags as they are now, and fill the gap before."""
        try:
            found = await self._attributes(tags)
        except ServiceRefused as error:  # it has answered
            readings += [RawReading(tag, self._clock.now(), reason=str(error)) for tag in tags]
            return
        readings += found
        good = [each.tag for each in found if each.raw is not None and each.tag.name in self._filled]
        if good and self._clock.state().trusted:
            readings += await self._fill(good)

    async def _kept(self, profile: bytes, tags: Sequence[TagSettings], readings: list[RawReading]) -> None:
        """Read what new rows a profile has for the tags in it."""
        if not self._clock.state().trusted:
            return  # from when on rows are new, nobody knows
        columns = {tag.name: self._places[tag.name].attribute for tag in tags}
        try:
            found, missing = await self._rows(profile, columns, tags)
        except ServiceRefused as error:
            found, missing = [], [(tag, str(error)) for tag in tags]
        readings += [reading for rows in found for reading in rows]
        readings += [self._hold(tag, reason, self._clock.now()) for tag, reason in missing]

    async def _attributes(self, tags: Sequence[TagSettings]) -> list[RawReading]:
        wanted = list(dict.fromkeys(self._places[tag.name].attribute for tag in tags))
        results = dict(zip(wanted, await self._meter.read(wanted), strict=True))
        now = self._clock.now()
        readings = []
        for tag in tags:
            result = results[self._places[tag.name].attribute]
            if result.reason or result.code:
                readings.append(self._refusal(tag, result, now))
                continue
            self._refused.pop(tag.name, None)
            asked = result.asked
            time = is_time_of(result.class_id or asked.class_id, asked.attribute, asked.obis)
            meant = meaning(result.value, self._settings, scaler=result.scaler, unit=result.unit, time=time)
            readings.append(_reading(tag, now, meant))
        return readings

    async def _rows(
        self, profile: bytes, columns: Mapping[str, Attribute], tags: Sequence[TagSettings]
    ) -> tuple[list[list[RawReading]], list[tuple[TagSettings, str]]]:
        """The new rows of a profile for each tag, the newest marked as the present; and tags that have no column."""
        known = self._known(profile)
        span = known.span(tags, self._clock.wall())
        if span is None:
            return [], []
        answer = await self._meter.profile(profile, *span.bounds)
        known.learn(answer)
        found: list[list[RawReading]] = []
        missing: list[tuple[TagSettings, str]] = []
        for tag in tags:
            number = column_of(answer.columns, columns[tag.name])
            if number is None:
                names = ", ".join(name_of(Attribute(each.obis, each.attribute)) for each in answer.columns) or "none"
                wanted = name_of(columns[tag.name])
                missing.append((tag, f"profile {Obis(profile)} has no column {wanted}; it has {names}"))
            else:
                found.append(self._column(tag, number, answer, known, span))
        return found, missing

    def _column(self, tag: TagSettings, number: int, answer: Profile, known: Known, span: Span) -> list[RawReading]:
        column, now = answer.columns[number], self._clock.now()
        time = is_time_of(column.class_id, column.attribute, column.obis)
        readings = []
        for row in known.fresh(tag, answer.rows, span):
            meant = meaning(row.values[number], self._settings, scaler=column.scaler, unit=column.unit, time=time)
            if row.doubtful and not meant.doubt:
                meant = replace(meant, doubt=_DOUBT)
            assert row.at is not None
            readings.append(replace(_reading(tag, now, meant), at=moment_of(row.at)))
        if readings and span.last:
            readings[-1] = replace(readings[-1], present=True, event=True)
        return readings

    # Filling gaps.

    def _column_that_fills(self, tag: TagSettings) -> Attribute | None:
        """The column of the station's history that a tag's gaps are filled from; None: they are not."""
        place = self._places[tag.name]
        if not self._history or place.profile or tag.history == "":
            return None
        return place.attribute if tag.history is None else Place.parse(tag.history).attribute

    async def _fill(self, tags: Sequence[TagSettings]) -> list[RawReading]:
        """The rows between the newest samples of `tags` and their readings of now."""
        known, now = self._known(self._history), self._clock.now()
        if known.resting > now:
            return []
        try:
            found, missing = await self._rows(self._history, self._filled, tags)
        except ServiceRefused as error:
            known.resting = now + REFUSED_PAUSE
            extra = {"station": self._station, "profile": str(Obis(self._history)), "reason": str(error)}
            log.warning("the meter refuses its history; it is asked again in an hour", extra=extra)
            return []
        for tag, reason in missing:
            self._filled.pop(tag.name)
            if tag.history is not None:
                extra = {"station": self._station, "tag": tag.name, "reason": reason}
                log.warning("gaps of a tag cannot be filled", extra=extra)
        wall = self._clock.wall()
        if known.caught_up:
            for tag in tags:
                known.present(tag, wall)
        return [replace(each, present=False, event=False) for rows in found for each in rows]

    def _known(self, profile: bytes) -> Known:
        return self._profiles.setdefault(profile, Known(self._newest, self._depth))

    # What the meter refuses.

    def _refusal(self, tag: TagSettings, result: Result, now: int) -> RawReading:
        refused = Refused(result.code)
        reason = result.reason or str(refused)
        return self._hold(tag, reason, now) if refused.permanent else RawReading(tag, now, reason=reason)

    def _hold(self, tag: TagSettings, reason: str, now: int) -> RawReading:
        """What will be the same tomorrow is not asked each minute."""
        if self._refused.get(tag.name, (0, ""))[1] != reason:
            extra = {"station": self._station, "tag": tag.name, "at": tag.at, "reason": reason}
            log.warning("the meter refuses a tag; it is asked again in an hour", extra=extra)
        self._refused[tag.name] = now + REFUSED_PAUSE, reason
        return RawReading(tag, now, reason=reason)


def _reading(tag: TagSettings, now: int, meant: Meant) -> RawReading:
    if meant.value is None:
        return RawReading(tag, now, reason=meant.reason)
    power, doubt = 0, meant.doubt
    if isinstance(meant.value, int | float | Decimal) and not isinstance(meant.value, bool):
        power, odd = power_to(tag, meant.unit)
        doubt = doubt or odd
    return RawReading(tag, now, plain(meant.value, power), uncertain=doubt)
